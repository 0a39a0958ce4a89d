"""PyTorch's own layers with our parameters, and both sides compared."""

import torch
from numpy.testing import assert_allclose
from torch import nn


def drawn(model):
    """Draw every parameter anew, so that none hides behind a gain of 1 or a bias of 0."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.3)
    return model


def close(got, wanted, what="", tolerance=1e-10):
    assert_allclose(got.detach().numpy(), wanted.detach().numpy(), rtol=tolerance, atol=tolerance, err_msg=what)


def turned(array):
    """Turn a matrix of weights: PyTorch multiplies by it from the other side."""
    return array.T if array.ndim == 2 else array


def norm_pairs(ours, theirs):
    """Yield the parameters of two layer norms: ours, theirs, and the rows of theirs."""
    yield ours.gain, theirs.weight, slice(None)
    yield ours.bias, theirs.bias, slice(None)


def give(all_pairs, theirs):
    """Copy our parameters into theirs, and set the biases of their attention, which ours has not, to zero."""
    with torch.no_grad():
        for ours, parameter, rows in all_pairs:
            parameter[rows] = turned(ours)
        for module in theirs.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.in_proj_bias.zero_()
                module.out_proj.bias.zero_()
    return theirs


def compare(ours, theirs, all_pairs, inputs, call_ours, call_theirs, rows=slice(None)):
    """Compare outputs, and the gradients of inputs and parameters, at the rows that are no padding."""
    sides = []
    for model, call in ((ours, call_ours), (theirs, call_theirs)):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        output = call(model, *leaves)[rows]
        model.zero_grad()
        (output * torch.linspace(-1, 2, output.numel()).reshape(output.shape)).sum().backward()
        sides.append((output, leaves))
    close(sides[0][0], sides[1][0], "output")
    for a, b in zip(sides[0][1], sides[1][1], strict=True):
        close(a.grad, b.grad, "gradient of an input")
    for n, (parameter, other, which) in enumerate(all_pairs):
        close(parameter.grad, turned(other.grad[which]), f"gradient of parameter {n}")

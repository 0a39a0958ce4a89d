"""Layer norm, feed-forward network and patch embedding beside PyTorch's own layers, and planted faults."""

import contract
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from planting import plant
from theirs import close, compare, drawn, give, norm_pairs
from torch import nn

from attn_edu.core import FeedForward, LayerNorm, feed_forward, layer_norm
from attn_edu.vision import PatchEmbedding, patch_embedding

D, HIDDEN = 12, 17


def test_layer_norm_is_pytorchs():
    torch.manual_seed(0)
    ours, theirs = drawn(LayerNorm(D, eps=0.01).double()), nn.LayerNorm(D, eps=0.01).double()
    x = torch.randn(2, 5, D, dtype=torch.float64)
    compare(ours, give(norm_pairs(ours, theirs), theirs), norm_pairs(ours, theirs), [x], *[lambda f, x: f(x)] * 2)
    arrays = {name: p.detach().numpy() for name, p in ours.named_parameters()}
    close(torch.from_numpy(layer_norm(x.numpy(), **arrays, eps=0.01)), theirs(x))


def test_layer_norm_forgets_level_and_scale():
    rng = np.random.default_rng(0)
    x, gain, bias = rng.normal(size=(5, D)), rng.normal(size=D), rng.normal(size=D)
    wanted = layer_norm(x, gain=gain, bias=bias, eps=1e-12)
    assert_allclose(layer_norm(3 * x + 7, gain=gain, bias=bias, eps=1e-12), wanted, rtol=1e-9)
    plain = layer_norm(x, gain=np.ones(D), bias=np.zeros(D), eps=1e-12)
    assert_allclose(plain.mean(-1), 0, atol=1e-12)
    assert_allclose(plain.var(-1), 1, rtol=1e-9)


def test_feed_forward_is_pytorchs():
    torch.manual_seed(0)
    ours, x = drawn(FeedForward(D, HIDDEN).double()), torch.randn(2, 5, D, dtype=torch.float64)
    theirs = nn.Sequential(nn.Linear(D, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, D)).double()
    all_pairs = [
        (ours.W_1, theirs[0].weight, slice(None)),
        (ours.b_1, theirs[0].bias, slice(None)),
        (ours.W_2, theirs[2].weight, slice(None)),
        (ours.b_2, theirs[2].bias, slice(None)),
    ]
    compare(ours, give(all_pairs, theirs), all_pairs, [x], *[lambda f, x: f(x)] * 2)
    arrays = {name: p.detach().numpy() for name, p in ours.named_parameters()}
    close(torch.from_numpy(feed_forward(x.numpy(), **arrays)), theirs(x))


@pytest.mark.parametrize(("height", "width", "patch", "channels"), [(32, 32, 8, 3), (128, 128, 16, 3), (6, 15, 3, 2)])
def test_patch_embedding_is_a_strided_convolution(height, width, patch, channels):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, height, width, channels))
    conv = nn.Conv2d(channels, 11, patch, stride=patch).double()
    W = conv.weight.detach().permute(2, 3, 1, 0).reshape(-1, 11).numpy()
    b = conv.bias.detach().numpy()
    with torch.no_grad():
        wanted = conv(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1, 2)
    assert_allclose(patch_embedding(x, W=W, b=b, patch=patch), wanted, rtol=1e-10, atol=1e-12)
    assert wanted.shape == (2, height * width // patch**2, 11)


def test_patches_of_one_pixel_are_a_linear_layer():
    """With patch 1 every pixel is a token, and the running example's image the matrix of 1024 × 3."""
    x = np.random.default_rng(4).normal(size=(32, 32, 3))
    assert_allclose(patch_embedding(x, W=np.eye(3), b=np.zeros(3), patch=1), x.reshape(1024, 3))
    layer = PatchEmbedding(1, 3, 3).double()
    layer.load_state_dict({"W": torch.eye(3), "b": torch.zeros(3)})
    assert_allclose(layer(torch.from_numpy(x)).detach(), x.reshape(1024, 3), atol=1e-15)


def test_a_token_of_one_number_learns():
    """The gradient of such a patch embedding was refused by PyTorch, for the order in which its weight lay."""
    layer = PatchEmbedding(patch=2, channels=2, d_model=1)
    layer(torch.arange(8.0).reshape(2, 2, 2)).sum().backward()
    assert layer.W.grad.tolist() == [[float(n)] for n in range(8)]


LAYER, NETWORK = "core/_layer_norm.py", "core/_feed_forward.py"
FAULTS = {  # (mechanism, edits, the clause that must catch it, the example, what it must say)
    "statistics over the tokens": (
        "layer_norm",
        [
            (LAYER, "x.mean(axis=-1,", "x.mean(axis=-2,"),
            (LAYER, "np.square(centred).mean(axis=-1,", "np.square(centred).mean(axis=-2,"),
        ],
        contract.worked_by_hand,
        None,
        "worked by hand gives something else",
    ),
    "the variance of a sample": (
        "layer_norm",
        [(LAYER, "np.square(centred).mean(axis=-1, keepdims=True)", "x.var(axis=-1, ddof=1, keepdims=True)")],
        contract.worked_by_hand,
        None,
        "worked by hand gives something else",
    ),
    "eps beside the root": (
        "layer_norm",
        [(LAYER, "np.sqrt(variance + eps)", "(np.sqrt(variance) + eps)")],
        contract.matches_numpy,
        "large eps",
        "output of PyTorch and NumPy",
    ),
    "eps forgotten": (
        "layer_norm",
        [(LAYER, "self.bias, self.eps)", "self.bias, 1e-5)")],
        contract.matches_numpy,
        "large eps",
        "output of PyTorch and NumPy",
    ),
    "no ReLU in either form": (
        "feed_forward",
        [
            (NETWORK, "np.where(hidden > 0, hidden, 0)", "hidden"),
            (NETWORK, "torch.relu(x @ self.W_1 + self.b_1)", "(x @ self.W_1 + self.b_1)"),
        ],
        contract.worked_by_hand,
        None,
        "worked by hand gives something else",
    ),
    "a bias forgotten in both forms": (
        "feed_forward",
        [(NETWORK, "x, W_1) + b_1", "x, W_1)"), (NETWORK, "x @ self.W_1 + self.b_1", "x @ self.W_1")],
        contract.liveness,
        "plain",
        "b_1 does not change",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_a_piece_is_caught(fault):
    mechanism, edits, clause, case, reason = FAULTS[fault]
    arguments = (case,) if case else ()
    clause(plant(mechanism), *arguments)
    with pytest.raises(AssertionError, match=reason):
        clause(plant(mechanism, *edits), *arguments)

"""Reversible stacks and chunks beside autograd through the plain equations, and what they keep in memory."""

import numpy as np
import pytest
import torch
from kept import kept_bytes
from numpy.testing import assert_allclose
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from attn_edu.core import FeedForward, LayerNorm, MultiHead
from attn_edu.mechanism import Sizes
from attn_edu.memory import Largest
from attn_edu.recomputed import (
    ChunkedFeedForward,
    ReversibleResidual,
    ReversibleStack,
    chunked_feed_forward,
    reversible_inverse,
    reversible_residual,
)
from attn_edu.recomputed._reversible_residual import examples

WIDTH = 12


class Attend(nn.Module):
    """Attention over what comes in, normalised first."""

    def __init__(self):
        super().__init__()
        self.norm, self.heads = LayerNorm(WIDTH), MultiHead(WIDTH, 3, causal=True)

    def forward(self, x):
        x = self.norm(x)
        return self.heads(x, x, x, need_weights=False)[0]


def feed():
    return nn.Sequential(LayerNorm(WIDTH), ChunkedFeedForward(WIDTH, 4 * WIDTH, chunk=8))


def layers(count, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    pairs = [(Attend().to(dtype), feed().to(dtype)) for _ in range(count)]
    for parameter in nn.ModuleList(m for pair in pairs for m in pair).parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 1, 0.3)
    return pairs


def two_streams(x, pairs):
    """Compute the paper's equations, one after another, for autograd to differentiate."""
    x_1, x_2 = x[..., :WIDTH], x[..., WIDTH:]
    for F, G in pairs:
        x_1 = x_1 + F(x_2)
        x_2 = x_2 + G(x_1)
    return torch.cat((x_1, x_2), -1)


def draw(*batch, length=9, dtype=torch.float64, seed=1):
    torch.manual_seed(seed)
    return torch.randn(*batch, length, 2 * WIDTH, dtype=dtype)


def gradients(function, x, parameters):
    """Differentiate a function of x with distinct cotangents, in one way or the other."""
    x = x.clone().requires_grad_()
    y = function(x)
    cotangent = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    return y.detach(), torch.autograd.grad((y * cotangent).sum(), [x, *parameters], allow_unused=True)


def same(ours, wanted, rtol=1e-10):
    (y, got), (y_wanted, due) = ours, wanted
    assert torch.equal(y, y_wanted)
    assert len(got) == len(due) > 1
    for a, b in zip(got, due, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_allclose(a, b, rtol=rtol, atol=rtol * max(1, float(b.abs().max())))


# ------------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("depth", [0, 1, 2, 7])
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_gradients_are_those_of_the_two_streams(depth, batch):
    pairs = layers(depth)
    stack, x = ReversibleStack(pairs), draw(*batch)
    parameters = list(stack.parameters()) + ([] if depth else [torch.zeros(1, requires_grad=True)])
    same(gradients(stack, x, parameters), gradients(lambda x: two_streams(x, pairs), x, parameters))


def test_store_is_the_plain_way():
    pairs = layers(3)
    plain, x = ReversibleStack(pairs, store=True), draw(2)
    parameters = list(plain.parameters())
    ours, wanted = gradients(plain, x, parameters), gradients(lambda x: two_streams(x, pairs), x, parameters)
    same(ours, wanted, rtol=1e-14)


def test_backward_accumulates_like_any_other():
    """Through .backward(), twice, for a batch that needs no gradient itself."""
    pairs = layers(2)
    stack, x = ReversibleStack(pairs), draw(2)
    for _ in range(2):
        stack(x).square().sum().backward()
    ours = [p.grad.clone() for p in stack.parameters()]
    stack.zero_grad()
    for _ in range(2):
        two_streams(x, pairs).square().sum().backward()
    for a, parameter in zip(ours, stack.parameters(), strict=True):
        assert parameter.grad.abs().max() > 1e-6
        assert_allclose(a, parameter.grad, rtol=1e-9, atol=1e-10)
    assert x.grad is None


def test_modules_may_be_shared():
    """One pair three times, and a module that is F and G at once."""
    (F, G), one = layers(1)[0], feed().double()
    pairs = [(F, G), (F, G), (one, one), (F, G)]
    stack, x = ReversibleStack(pairs), draw(2)
    parameters = list(stack.parameters())
    assert len(parameters) == len([*F.parameters(), *G.parameters(), *one.parameters()])
    same(gradients(stack, x, parameters), gradients(lambda x: two_streams(x, pairs), x, parameters))


def test_frozen_parameters_stay_so():
    pairs = layers(3)
    stack, x = ReversibleStack(pairs), draw(2)
    for parameter in (*pairs[1][0].parameters(), *pairs[0][1].parameters(), pairs[2][0].norm.gain):
        parameter.requires_grad_(False)
    trained = [p for p in stack.parameters() if p.requires_grad]
    assert 0 < len(trained) < len(list(stack.parameters()))
    same(gradients(stack, x, trained), gradients(lambda x: two_streams(x, pairs), x, trained))
    for parameter in stack.parameters():
        parameter.requires_grad_(False)
    none = [x.new_zeros(1).requires_grad_()]
    same(gradients(stack, x, none), gradients(lambda x: two_streams(x, pairs), x, none))
    assert not stack(x).requires_grad


class Constant(nn.Module):
    """Depends on nothing that comes in; has a parameter that it does not use."""

    def __init__(self):
        super().__init__()
        self.shift, self.idle = nn.Parameter(torch.ones(WIDTH).double()), nn.Parameter(torch.ones(1).double())

    def forward(self, x):
        return self.shift.expand_as(x)


class Nothing(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)


def test_parts_that_use_less():
    pairs = [(Constant(), layers(1)[0][1]), (layers(1)[0][0], Nothing())]
    stack, x = ReversibleStack(pairs), draw(2)
    parameters = list(stack.parameters())
    got = gradients(stack, x, parameters)
    same(got, gradients(lambda x: two_streams(x, pairs), x, parameters))
    assert sum(gradient is None for gradient in got[1]) == 1


def test_mechanism_is_a_stack_of_one():
    case = examples(np.random.default_rng(0), Sizes())["causal"]
    layer = ReversibleResidual(**case.options, **case.widths).double()
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in case.parameters.items()})
    x = torch.from_numpy(case.inputs["x"])
    x_1, x_2 = x.chunk(2, -1)
    y_1 = x_1 + layer.attend(x_2)
    wanted = torch.cat((y_1, x_2 + layer.feed(y_1)), -1)
    assert_allclose(layer(x).detach(), wanted.detach(), rtol=1e-12)
    kept, _ = kept_bytes(lambda: layer(x.requires_grad_()), layer.parameters())
    assert kept == x.nbytes, "it is there to keep its output alone"


# ----------------------------------------------------------------------------------------------- there and back


def test_inverse_recovers_the_inputs():
    for case in examples(np.random.default_rng(0), Sizes()).values():
        there = reversible_residual(**case.inputs, **case.parameters, **case.options)
        back = reversible_inverse(there, **case.parameters, **case.options)
        assert_allclose(back, case.inputs["x"], atol=1e-9)
        assert np.abs(there - case.inputs["x"]).max() > 1
    stack, x = ReversibleStack(layers(6)), draw(2)
    assert_allclose(stack.inverse(stack(x)), x, atol=1e-12)


def test_rounding_grows_with_depth():
    """In float32 the inputs come back with an error that grows with depth; the gradients stay near."""
    errors = {}
    for depth in (1, 4, 16, 64):
        stack, x = ReversibleStack(layers(depth, dtype=torch.float32)), draw(2, dtype=torch.float32)
        errors[depth] = float((stack.inverse(stack(x)) - x).abs().max())
        assert errors[depth] < 1e-6 * (2 + depth)
    assert errors[1] < errors[16] < errors[64]
    exact = ReversibleStack(layers(64), store=True)
    exact.load_state_dict({name: tensor.double() for name, tensor in stack.state_dict().items()})
    ours = gradients(stack, x, list(stack.parameters()))[1]
    for a, b in zip(ours, gradients(exact, x.double(), list(exact.parameters()))[1], strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-4


# ------------------------------------------------------------------------------------------------------- memory


def test_kept_bytes_do_not_grow_with_depth():
    x = draw(2, length=32)
    counts = {}
    for store in (False, True):
        for depth in (1, 2, 4, 8):
            stack = ReversibleStack(layers(depth), store=store)
            counts[store, depth], _ = kept_bytes(lambda stack=stack: stack(x), stack.parameters())
    assert {counts[False, depth] for depth in (1, 2, 4, 8)} == {x.nbytes}
    plain = [counts[True, depth] for depth in (1, 2, 4, 8)]
    assert plain[3] - plain[2] == 2 * (plain[2] - plain[1]) > 4 * 4 * x.nbytes  # as much for every layer


def test_each_part_is_computed_twice_and_no_more():
    calls = []

    class Counted(nn.Linear):
        def forward(self, x):
            calls.append(torch.is_grad_enabled())
            return super().forward(x)

    stack = ReversibleStack([(Counted(WIDTH, WIDTH), Counted(WIDTH, WIDTH)) for _ in range(3)])
    stack(draw(dtype=torch.float32)).sum().backward()
    assert calls == [False] * 6 + [True] * 6


def test_it_costs_a_third_more():
    """PyTorch's counter hooks into modules and gradients, and gets through."""
    x, work = draw(dtype=torch.float32).requires_grad_(), {}
    for store in (False, True):
        stack = ReversibleStack([(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)) for _ in range(3)], store)
        with FlopCounterMode(display=False) as counter:
            stack(x).sum().backward()
        work[store] = counter.get_total_flops()
    assert 3 * work[False] == 4 * work[True] > 0


def test_evaluation_keeps_and_computes_nothing_extra():
    stack, x = ReversibleStack([(nn.Dropout(0.5), nn.Linear(WIDTH, WIDTH))]), draw(dtype=torch.float32)
    with torch.no_grad():
        y = stack(x)  # in training mode: what is drawn need not be drawn again
    assert not y.requires_grad
    with torch.inference_mode():
        stack.eval()
        assert_allclose(stack.inverse(stack(x)), x, atol=1e-5)


# ------------------------------------------------------------------------------------------------- what it refuses


def test_randomness_is_refused():
    stack, x = ReversibleStack([(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5))]), draw(dtype=torch.float32)
    with pytest.raises(ValueError, match="layers: wanted none that draws random numbers, as dropout in training does"):
        stack(x)
    stack.eval()(x).sum().backward()
    ReversibleStack([(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5))], store=True)(x).sum().backward()


def test_second_derivatives_are_refused():
    stack, x = ReversibleStack(layers(1)), draw().requires_grad_()
    (slope,) = torch.autograd.grad(stack(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_parameters_changed_meanwhile_are_found_out():
    stack, x = ReversibleStack(layers(2)), draw()
    y = stack(x)
    with torch.no_grad():
        next(stack.parameters()).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_autocast_is_remembered():
    """Going back computes in the precision of the way there."""
    seen = []

    class Noting(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            seen.append(y.dtype)
            return y

    stack, x = ReversibleStack([(Noting(WIDTH, WIDTH), Noting(WIDTH, WIDTH))]), draw(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = stack(x)
    y.sum().backward()
    assert seen == [torch.bfloat16] * 4 and y.dtype == torch.float32


@pytest.mark.usefixtures("unhooked")
def test_bad_arguments():
    linear = nn.Linear(2, 2)
    for wrong in ([linear], [(linear,)], [(linear, torch.relu)]):
        with pytest.raises(TypeError, match="layers: wanted pairs of modules, got"):
            ReversibleStack(wrong)
    with pytest.raises(TypeError, match="store: wanted True or False, got 1"):
        ReversibleStack([], store=1)
    stack = ReversibleStack([(linear, linear)])
    for name, call in (("x", stack), ("y", stack.inverse)):
        with pytest.raises(ValueError, match=rf"{name}: wanted shape \(\*, L, 2d\), got \(3, 5\)"):
            call(torch.zeros(3, 5))
        with pytest.raises(TypeError, match=rf"{name}: wanted a torch.Tensor, got list"):
            call([1.0])
    with pytest.raises(ValueError, match=r"layers: wanted results of shape \(3, 2\), got \(3, 1\)"):
        ReversibleStack([(linear, nn.Linear(2, 1))])(torch.zeros(3, 4))
    case = examples(np.random.default_rng(0), Sizes())["plain"]
    for function, name in ((reversible_residual, "x"), (reversible_inverse, "y")):
        with pytest.raises(
            ValueError, match=rf"{name}: wanted shape \(\*, L, 2d\) with d = 11 as in W_Q, got \(5, 21\)"
        ):
            function(**{name: np.zeros((5, 21))}, **case.parameters)
    with pytest.raises(ValueError, match=r"x: wanted shape \(\*, L, 2d\) with d = 11 as in W_Q, got \(5, 24\)"):
        ReversibleResidual(**case.widths)(torch.zeros(5, 24))


# --------------------------------------------------------------------------------------------------------- chunks


@pytest.mark.parametrize("chunk", [1, 4, 5, 20, 1000])
def test_chunks_change_nothing(chunk):
    torch.manual_seed(0)
    whole, parts = FeedForward(6, 17).double(), ChunkedFeedForward(6, 17, chunk).double()
    nn.init.normal_(whole.b_1)
    parts.load_state_dict(whole.state_dict())
    results = []
    for layer in (whole, parts):
        x = torch.linspace(-2, 2, 2 * 2 * 5 * 6, dtype=torch.float64).reshape(2, 2, 5, 6).sin().requires_grad_()
        y = layer(x)
        cotangent = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
        results.append([y, *torch.autograd.grad((y * cotangent).sum(), [x, *layer.parameters()])])
    for a, b in zip(*results, strict=True):
        assert_allclose(a.detach(), b.detach(), rtol=1e-11, atol=1e-12)
    arrays = {name: parameter.detach().numpy() for name, parameter in parts.named_parameters()}
    assert_allclose(chunked_feed_forward(x.detach().numpy(), **arrays, chunk=chunk), results[0][0].detach(), rtol=1e-11)


def test_hidden_features_are_never_all_there():
    """Forward and back; and none is kept between."""
    L, d, hidden, chunk = 256, 8, 64, 16
    largest = {}
    for layer in (FeedForward(d, hidden), ChunkedFeedForward(d, hidden, chunk)):
        x = torch.randn(L, d, requires_grad=True)
        with Largest() as watch:
            layer(x).sum().backward()
        largest[type(layer)] = watch.elements
        if type(layer) is ChunkedFeedForward:
            assert kept_bytes(lambda layer=layer, x=x: layer(x), layer.parameters())[0] == x.nbytes
    assert largest == {FeedForward: L * hidden, ChunkedFeedForward: L * d}
    assert chunk * hidden < L * d


def test_chunks_refuse_second_derivatives():
    layer, x = ChunkedFeedForward(2, 3, 4), torch.randn(5, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_sums_over_chunks_are_kept_in_single_precision():
    """A gradient that sums over many chunks is as good as one that sums at once."""
    torch.manual_seed(0)
    layer = ChunkedFeedForward(4, 8, chunk=2).bfloat16()
    x = torch.rand(4096, 4).bfloat16()
    layer(x).sum().backward()
    exact = ChunkedFeedForward(4, 8, chunk=2).double()
    exact.load_state_dict({name: tensor.double() for name, tensor in layer.state_dict().items()})
    exact(x.double()).sum().backward()
    for a, b in zip(layer.parameters(), exact.parameters(), strict=True):
        assert float((a.grad.double() - b.grad).abs().max()) < 0.02 * float(b.grad.abs().max())


class Step(nn.Module):
    """A function with an edge at every millionth: rounding alone carries its input over some of them."""

    def __init__(self, told):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5))
        if told:
            self.decide = self.first

    def first(self, x):
        side = (x.detach() * 1e6).floor() % 2
        return self(x, side), side

    def forward(self, x, side=None):
        side = (x.detach() * 1e6).floor() % 2 if side is None else side
        return torch.sin(self.w * x) * (1 + side)


def test_what_was_decided_on_the_way_there_holds_on_the_way_back():
    off = {}
    for told in (True, False):
        found = []
        for store in (True, False):
            stack = ReversibleStack([(Step(told), Step(told)) for _ in range(3)], store)
            x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
            stack(x).square().sum().backward()
            found.append(torch.cat([x.grad.flatten(), *(p.grad.flatten() for p in stack.parameters())]))
        off[told] = float((found[0] - found[1]).abs().max() / found[0].abs().max())
    assert off[True] < 1e-4 < 1e-2 < off[False]

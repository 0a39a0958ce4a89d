"""Blocked attention and the joining of its parts, beside plain softmax written out."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from planting import load

from attn_edu import _blocked_attention, torch_ops
from attn_edu.heads import _mixed_attention
from attn_edu.memory import Largest
from attn_edu.sparse import LshAttention, SlidingWindowAttention, _hashed_attention, _staircase_attention

SHAPES = {"query": (2, 3, 5, 4, 6), "key": (2, 3, 5, 7, 6), "value": (2, 3, 5, 7, 2)}


def drawn(seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=shape)).to(dtype).requires_grad_() for shape in SHAPES.values()]


def biases():
    """No bias, one for all outer axes, and one with an empty row, an empty block and other numbers than 0 and -inf."""
    rng = np.random.default_rng(1)
    some = torch.zeros(5, 4, 7, dtype=torch.float64)
    some[1, 2] = some[3] = some[2, :, 3:] = -math.inf
    some[0] = torch.from_numpy(rng.normal(size=(4, 7)))
    return {"none": None, "row": torch.from_numpy(rng.normal(size=(1, 7))), "some": some}


def plain(query, key, value, bias, scale):
    """What blocks compute, with autograd through every score."""
    scores = scale * query @ key.mT if bias is None else scale * query @ key.mT + bias
    empty = (scores == -math.inf).all(-1, keepdim=True)
    safe = scores.masked_fill(empty, 0)
    weights = safe.softmax(-1).masked_fill(empty, 0)
    return weights @ value, safe.logsumexp(-1).masked_fill(empty[..., 0], -math.inf)


def gradients(function, arrays):
    output, sums = function(*arrays)
    seen = torch.where(sums == -math.inf, torch.zeros_like(sums), sums)
    pull = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).reshape(output.shape)
    push = torch.linspace(1, -3, sums.numel(), dtype=sums.dtype).reshape(sums.shape)
    return torch.autograd.grad((output * pull).sum() + (seen * push).sum(), arrays)


def agree(module, bias, held=None, monkeypatch=None):
    if held:
        monkeypatch.setitem(_blocked_attention.HELD, "cpu", held)
    arrays = drawn()
    ours = module.blocked_attention(*arrays, bias, 0.3)
    for got, wanted in zip(ours, plain(*arrays, bias, 0.3), strict=True):
        assert_allclose(got.detach(), wanted.detach(), rtol=1e-12, atol=1e-13)
    got = gradients(lambda *a: module.blocked_attention(*a, bias, 0.3), arrays)
    for ours, wanted in zip(got, gradients(lambda *a: plain(*a, bias, 0.3), arrays), strict=True):
        assert_allclose(ours, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("held", [2**18, 60, 1])
@pytest.mark.parametrize("name", biases())
def test_equal_to_plain_softmax_however_few_scores_are_held(name, held, monkeypatch):
    agree(torch_ops, biases()[name], held, monkeypatch)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sub_(grad_sum)", "sub_(0 * grad_sum)"),
        ("mul_(weights).mul_(scale)", "mul_(weights)"),
        ("d_value = weights.mT @ grad", "d_value = weights.mT @ grad * 0.5"),
        ("else scores.add_(bias)", "else scores"),
        ("(bias.detach().to(dtype) / LOG_2)", "bias.to(dtype)"),
        (".log2_().add_(top)", ".log2_()"),
        ("(log_sum_exp / LOG_2).clamp_(min=NOWHERE)", "(log_sum_exp / LOG_2)"),
        ("keepdim=True).clamp_(min=NOWHERE)", "keepdim=True)"),
    ],
)
def test_planted_faults_are_seen(old, new):
    outside = old.startswith("(bias")
    kernel = load("_blocked_attention.py", [] if outside else [(old, new)])
    module = load("torch_ops.py", [(old, new)] if outside else [], BlockedAttention=kernel.BlockedAttention)
    with pytest.raises(AssertionError):
        agree(module, biases()["some"])


@pytest.mark.parametrize(("c", "m", "blocks"), [(4, 0, 3), (0, 7, 3), (4, 7, 0)])
def test_nothing_to_attend_or_nobody_to(c, m, blocks):
    query, key, value = (torch.ones(blocks, n, 2, requires_grad=True) for n in (c, m, m))
    output, sums = torch_ops.blocked_attention(query, key, value, None, 1.0)
    assert output.shape == (blocks, c, 2) and sums.shape == (blocks, c)
    assert torch.all(output == (0 if m == 0 else 1)) and (m > 0 or torch.all(sums == -math.inf))
    output.sum().backward()
    assert torch.all(query.grad == 0)


def test_blocks_that_overlap_in_memory_pass_their_gradients_on():
    key = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    query = torch.randn(4, 2, 3, dtype=torch.float64)
    blocks = key.unfold(0, 3, 2).mT  # rows 0–2, 2–4, 4–6, 6–8
    ours = torch_ops.blocked_attention(query, blocks, blocks, None, 1.0)[0].sum()
    wanted = plain(query, blocks.clone(), blocks.clone(), None, 1.0)[0].sum()
    for got, true in zip(torch.autograd.grad(ours, key), torch.autograd.grad(wanted, key), strict=True):
        assert_allclose(got, true, rtol=1e-10)


@pytest.mark.parametrize(
    "limit",
    [
        _blocked_attention.HELD,
        _staircase_attention.HELD,
        _staircase_attention.CHUNK,
        _hashed_attention.HELD,
        _hashed_attention.ROWS,
        _mixed_attention.HELD,
    ],
)
def test_every_device_but_a_cpu_is_an_accelerator(limit):
    assert {limit[kind] for kind in ("cuda", "mps", "xpu", "meta")} == {limit["accelerator"]} != {limit["cpu"]}


def test_other_devices_run():
    x = torch.empty(2, 4, 9, 6, device="meta", requires_grad=True)
    one = torch.empty(4, 4, device="meta")
    output, _ = torch_ops.blocked_attention(x, x, x, None, 1.0)
    output = SlidingWindowAttention(2, 1)(output, x, x, need_weights=False)[0]
    output = LshAttention(6, 2, buckets=(4,), chunk=3).to("meta")(output, x, need_weights=False)[0]
    output = _mixed_attention.MixedAttention.apply(output, x, x, one, one[0], one[0], 1e-5)
    output.sum().backward()
    assert output.device == x.grad.device == x.device


def test_few_scores_exist_at_a_time():
    query, key = (torch.randn(2, 32, 64, 8, requires_grad=True) for _ in range(2))
    held = _blocked_attention.HELD["cpu"]
    try:
        _blocked_attention.HELD["cpu"] = 2**14
        with Largest() as largest:
            torch_ops.blocked_attention(query, key, key, None, 1.0)[0].sum().backward()
    finally:
        _blocked_attention.HELD["cpu"] = held
    assert largest.elements == query.numel() < 2 * 32 * 64 * 64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_single(dtype):
    arrays = drawn(dtype=dtype)
    output, sums = torch_ops.blocked_attention(*arrays, biases()["some"].to(dtype), 0.3)
    wanted, total = plain(*(x.double() for x in arrays), biases()["some"].to(dtype).double(), 0.3)
    assert output.dtype == dtype and sums.dtype == torch.float32
    assert_allclose(output.detach().double(), wanted.detach(), atol=0.02)
    assert_allclose(sums.detach(), total.detach(), atol=1e-3)


def test_parts_are_joined_as_if_they_had_been_one():
    query, key, value = drawn()
    bias = biases()["some"]
    whole = plain(query, key, value, bias, 0.3)

    def joined(query, key, value):
        cuts = [(0, 2), (2, 3), (3, 7)]
        return torch_ops.combine(
            [
                torch_ops.blocked_attention(query, key[..., a:b, :], value[..., a:b, :], bias[..., a:b], 0.3)
                for a, b in cuts
            ]
        )

    for got, wanted in zip(joined(query, key, value), whole, strict=True):
        assert_allclose(got.detach(), wanted.detach(), rtol=1e-12, atol=1e-13)
    got = gradients(joined, [query, key, value])
    for ours, wanted in zip(got, gradients(lambda *a: plain(*a, bias, 0.3), [query, key, value]), strict=True):
        assert_allclose(ours, wanted, rtol=1e-10, atol=1e-12)

"""One mechanism becomes another in a limit, and PyTorch's own attention is the third opinion."""

import contract
import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose

from attn_edu.catalogue import find
from attn_edu.core import (
    MultiHead,
    NarrowMultiHead,
    SelfAttention,
    multi_head,
    narrow_multi_head,
    scaled_dot_product,
    self_attention,
    soft_dictionary,
    weighted_sum,
)
from attn_edu.mechanism import Sizes, draw_mask, draw_query_key_value
from attn_edu.memory import Largest


@pytest.fixture
def arrays():
    return draw_query_key_value(np.random.default_rng(0), Sizes())


def tensors(arrays):
    return [torch.from_numpy(arrays[name]) for name in ("query", "key", "value")]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scale", [None, 0.37])
def test_scaled_dot_product_is_pytorchs(arrays, causal, masked, scale):
    """Mask convention, causal alignment with L ≠ S, default scale: all as in F.scaled_dot_product_attention."""
    mask = draw_mask(np.random.default_rng(1), 5, 7) if masked else None
    allowed = torch.ones(5, 7, dtype=torch.bool) if mask is None else torch.from_numpy(mask)
    allowed = allowed.tril() if causal else allowed
    wanted = F.scaled_dot_product_attention(*tensors(arrays), attn_mask=allowed, scale=scale)
    output, _ = scaled_dot_product(**arrays, attn_mask=mask, causal=causal, scale=scale)
    assert_allclose(output, wanted.numpy(), rtol=1e-10)


def test_causal_alignment_is_pytorchs(arrays):
    wanted = F.scaled_dot_product_attention(*tensors(arrays), is_causal=True)
    assert_allclose(scaled_dot_product(**arrays, causal=True)[0], wanted.numpy(), rtol=1e-10)


def test_single_head_is_pytorchs_multi_head():
    """`nn.MultiheadAttention` with one head, its output projection the identity, and the same weights."""
    d = 11
    rng = np.random.default_rng(2)
    x, mask = rng.normal(size=(2, 5, d)), draw_mask(rng, 5, 5)
    mask[1] = True  # nn.MultiheadAttention makes NaN of an empty row
    weights = {name: rng.normal(size=(d, d)) for name in ("W_Q", "W_K", "W_V")}
    theirs = torch.nn.MultiheadAttention(d, 1, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.from_numpy(np.concatenate([w.T for w in weights.values()])))
        theirs.out_proj.weight.copy_(torch.eye(d))
    tensor = torch.from_numpy(x)
    wanted, wanted_weights = theirs(tensor, tensor, tensor, attn_mask=~torch.from_numpy(mask))
    output, attention = self_attention(x, **weights, attn_mask=mask)
    assert_allclose(output, wanted.detach().numpy(), rtol=1e-9, atol=1e-12)
    assert_allclose(attention, wanted_weights.detach().numpy(), rtol=1e-9, atol=1e-12)


def pytorchs_multi_head(weights, heads):
    """`nn.MultiheadAttention` with the same parameters; it stores each matrix transposed."""
    d = len(weights["W_Q"])
    theirs = torch.nn.MultiheadAttention(d, heads, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.from_numpy(np.concatenate([weights[f"W_{n}"].T for n in "QKV"])))
        theirs.out_proj.weight.copy_(torch.from_numpy(weights["W_O"].T))
    return theirs


@pytest.mark.parametrize("heads", [1, 3, 11])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cross", [False, True])
def test_multi_head_is_pytorchs(heads, masked, cross):
    """Self- and cross-attention, with and without a mask (theirs means: drop), output and weights of every head."""
    rng = np.random.default_rng(8)
    weights = {name: rng.normal(size=(33, 33)) for name in ("W_Q", "W_K", "W_V", "W_O")}
    query = rng.normal(size=(2, 5, 33))
    key, value = rng.normal(size=(2, 2, 7, 33)) if cross else (query, query)
    mask = None
    if masked:
        mask = draw_mask(rng, 5, key.shape[1])
        mask[1] = True  # nn.MultiheadAttention makes NaN of an empty row
    theirs = pytorchs_multi_head(weights, heads)
    drop = None if mask is None else ~torch.from_numpy(mask)
    tensors = [torch.from_numpy(array) for array in (query, key, value)]
    wanted, wanted_weights = theirs(*tensors, attn_mask=drop, average_attn_weights=False)
    output, attention = multi_head(query, key, value, **weights, heads=heads, attn_mask=mask)
    assert_allclose(output, wanted.detach().numpy(), rtol=1e-9, atol=1e-9)
    assert_allclose(attention, wanted_weights.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_multi_head_is_single_heads_added_up():
    rng = np.random.default_rng(9)
    x, weights = rng.normal(size=(5, 6)), {name: rng.normal(size=(6, 6)) for name in ("W_Q", "W_K", "W_V", "W_O")}
    total = 0
    for n in range(3):
        columns = slice(2 * n, 2 * n + 2)
        one = {name: weights[name][:, columns] for name in ("W_Q", "W_K", "W_V")}
        total = total + self_attention(x, **one)[0] @ weights["W_O"][columns]
    assert_allclose(multi_head(x, x, x, **weights, heads=3)[0], total, rtol=1e-10)


def test_one_head_is_self_attention():
    rng = np.random.default_rng(10)
    x, weights = rng.normal(size=(2, 5, 6)), {name: rng.normal(size=(6, 6)) for name in ("W_Q", "W_K", "W_V")}
    output, attention = multi_head(x, x, x, **weights, W_O=np.eye(6), heads=1)
    wanted, wanted_weights = self_attention(x, **weights)
    assert_allclose(output, wanted, rtol=1e-10)
    assert_allclose(attention[:, 0], wanted_weights, rtol=1e-10)


def test_split_input_is_multi_head_with_blocks():
    """Splitting the input is the Transformer's multi-head with block-diagonal projections, and nothing more."""
    rng = np.random.default_rng(11)
    x, W_O = rng.normal(size=(2, 5, 6)), rng.normal(size=(6, 6))
    narrow = {name: rng.normal(size=(3, 2, 2)) for name in ("W_Q", "W_K", "W_V")}
    wide = {name: scipy.linalg.block_diag(*blocks) for name, blocks in narrow.items()}
    for ours, wanted in zip(
        narrow_multi_head(x, **narrow, W_O=W_O), multi_head(x, x, x, **wide, W_O=W_O, heads=3), strict=True
    ):
        assert_allclose(ours, wanted, rtol=1e-10)


def test_split_input_cannot_mix_slices_before_the_output():
    rng = np.random.default_rng(12)
    x = rng.normal(size=(5, 6))
    narrow = {name: rng.normal(size=(3, 2, 2)) for name in ("W_Q", "W_K", "W_V")}
    moved = x.copy()
    moved[:, :2] += rng.normal(size=(5, 2))  # features of the first head alone
    before, after = (narrow_multi_head(a, **narrow, W_O=np.eye(6))[0] for a in (x, moved))
    assert_allclose(after[:, 2:], before[:, 2:])
    assert not np.allclose(after[:, :2], before[:, :2])


def test_parameter_counts():
    """3d² + d² for the Transformer's heads, 3d²/h + d² for a split input, whatever the number of heads."""
    for h in (1, 2, 4):
        count = {m: sum(p.numel() for p in m(8, h).parameters()) for m in (MultiHead, NarrowMultiHead)}
        assert count == {MultiHead: 4 * 64, NarrowMultiHead: 3 * 64 // h + 64}


def test_soft_dictionary_at_temperature_root_d_is_scaled_dot_product(arrays):
    root = np.sqrt(arrays["key"].shape[-1])
    for ours, wanted in zip(soft_dictionary(**arrays, temperature=root), scaled_dot_product(**arrays), strict=True):
        assert_allclose(ours, wanted, rtol=1e-12)


def test_scale_of_one_over_temperature(arrays):
    root = np.sqrt(arrays["key"].shape[-1])
    cool = scaled_dot_product(**arrays, scale=1 / (0.3 * root))[1]
    assert_allclose(cool, soft_dictionary(**arrays, temperature=0.3 * root)[1], rtol=1e-12)


def test_cold_dictionary_is_hard_lookup(arrays):
    scores = np.einsum("bid,bjd->bij", arrays["query"], arrays["key"])
    best = np.take_along_axis(arrays["value"], scores.argmax(-1)[..., None], axis=1)
    output, weights = soft_dictionary(**arrays, temperature=1e-3)
    assert_allclose(output, best, atol=1e-12)
    assert set(np.unique(weights.round(12))) == {0.0, 1.0}


def test_hot_dictionary_is_the_mean(arrays):
    output, _ = soft_dictionary(**arrays, temperature=1e9)
    mean = arrays["value"].mean(axis=1, keepdims=True)
    assert_allclose(output, np.broadcast_to(mean, output.shape), atol=1e-7)


def test_ties_share_a_hard_lookup():
    key, value = np.array([[1.0], [1.0], [0.0]]), np.array([[2.0], [4.0], [9.0]])
    assert_allclose(soft_dictionary(np.ones((1, 1)), key, value, temperature=1e-4)[0], [[3.0]])


def test_identity_projections_are_the_weighted_sum():
    x = np.random.default_rng(3).normal(size=(2, 5, 4))
    eye = np.eye(4)
    scaled = self_attention(x, W_Q=eye * 2, W_K=eye, W_V=eye)  # 2/√4 = 1
    for ours, wanted in zip(scaled, weighted_sum(x), strict=True):
        assert_allclose(ours, wanted, rtol=1e-12)


def test_raw_weighted_sum_is_cubic():
    x = np.random.default_rng(4).normal(size=(5, 3))
    assert_allclose(weighted_sum(x, softmax=False)[0], x @ x.T @ x, rtol=1e-12)
    assert_allclose(weighted_sum(2 * x, softmax=False)[0], 8 * weighted_sum(x, softmax=False)[0], rtol=1e-12)


def test_zero_queries_average():
    x = np.random.default_rng(5).normal(size=(5, 3))
    eye = np.eye(3)
    output, weights = self_attention(x, W_Q=0 * eye, W_K=eye, W_V=eye, causal=True)
    assert_allclose(weights[3], [0.25, 0.25, 0.25, 0.25, 0.0])
    assert_allclose(output, np.cumsum(x, 0) / np.arange(1, 6)[:, None], rtol=1e-12)


def test_one_position_returns_its_own_value():
    x = np.random.default_rng(6).normal(size=(1, 3))
    W = np.random.default_rng(7).normal(size=(3, 2))
    assert_allclose(self_attention(x, W_Q=W, W_K=W, W_V=W)[0], x @ W, rtol=1e-12)


@pytest.mark.parametrize("batch", [(), (1,), (1, 1), (1, 1, 1)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    "name", ["weighted_sum", "soft_dictionary", "scaled_dot_product", "self_attention", "multi_head"]
)
def test_fused_path_stores_no_square(name, batch, causal, padded):
    """Without weights no module makes a tensor of size L×L, forward and backward, whatever the batch axes.

    PyTorch's own routine does where there are other than four axes.
    """
    L, d = 512, 8
    if causal and (padded or name == "soft_dictionary"):
        return  # causal order beside a mask is a square mask; a dictionary has no order
    record = find(name)
    widths = {"self_attention": {"d_model": d, "d_k": d, "d_v": d}, "multi_head": {"d_model": d, "heads": 2}}.get(
        name, {}
    )
    module = record.module(**widths, **({"causal": True} if causal else {}))
    x = torch.randn(*batch, L, d, requires_grad=True)
    inputs = [x] if name in ("weighted_sum", "self_attention") else [x, x, x]
    mask = torch.arange(L) < L - 3 if padded else None
    for need_weights in (False, True):
        with Largest() as watch:
            module(*inputs, attn_mask=mask, need_weights=need_weights)[0].sum().backward()
        assert (watch.elements >= L * L) == need_weights, f"{watch.elements} elements, need_weights={need_weights}"


@pytest.mark.parametrize("d_v", [3, 8, 20])
def test_fused_path_stores_no_square_for_values_of_any_width(d_v):
    L = 512
    query, value = torch.randn(2, L, 8, requires_grad=True), torch.randn(2, L, d_v, requires_grad=True)
    with Largest() as watch:
        find("scaled_dot_product").module()(query, query, value, need_weights=False)[0].sum().backward()
    assert watch.elements < L * L


def test_autocast_takes_the_module():
    """Under autocast an activation in bfloat16 meets float32 parameters."""
    layer, x = SelfAttention(3, 11, 13), torch.randn(2, 5, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = layer(x.bfloat16())
    contract.assert_close(output, layer(x)[0].detach().double().numpy(), "output under autocast", rtol=0, atol=0.1)

"""Re-attention beside plain attention, PyTorch's norms, and itself in blocks."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from attn_edu.core import scaled_dot_product
from attn_edu.heads import ReAttention, _mixed_attention, re_attention
from attn_edu.mechanism import Sizes, draw_query_key_value
from attn_edu.memory import Largest


@pytest.fixture
def arrays():
    return draw_query_key_value(np.random.default_rng(0), Sizes(batch=(2, 3)))


@pytest.fixture
def mixing():
    rng = np.random.default_rng(1)
    return {"Theta": rng.normal(size=(3, 3)), "gain": rng.uniform(0.5, 2, size=3), "bias": rng.normal(size=3)}


def maps(arrays, Theta):
    """Mixed maps before any norm, head by head."""
    plain = scaled_dot_product(**arrays)[1]
    return np.stack([sum(Theta[n, g] * plain[:, n] for n in range(3)) for g in range(3)], 1)


def test_identity_without_norm_is_plain_attention(arrays):
    for ours, wanted in zip(
        re_attention(**arrays, Theta=np.eye(3), norm="none"), scaled_dot_product(**arrays), strict=True
    ):
        assert_allclose(ours, wanted, rtol=1e-10)


def test_layer_norm_is_pytorchs(arrays, mixing):
    theirs = torch.nn.LayerNorm(3, dtype=torch.float64)
    theirs.load_state_dict({"weight": torch.tensor(mixing["gain"]), "bias": torch.tensor(mixing["bias"])})
    mixed = torch.from_numpy(maps(arrays, mixing["Theta"]))
    wanted = theirs(mixed.movedim(1, -1)).movedim(-1, 1)
    assert_allclose(re_attention(**arrays, **mixing)[1], wanted.detach(), rtol=1e-9)


@pytest.mark.parametrize(("items", "queries", "keys"), [(2, 5, 1), (2, 5, 7), (1, 1, 2)])
def test_batch_norm_is_pytorchs(arrays, mixing, items, queries, keys):
    """In training, what it keeps, and in evaluation; with one key every map is 1, and varies by nothing."""
    lengths = {"query": queries, "key": keys, "value": keys}
    arrays = {name: array[:items, :, : lengths[name]] for name, array in arrays.items()}
    ours, theirs = ReAttention(3, norm="batch").double(), torch.nn.BatchNorm2d(3, dtype=torch.float64)
    state = {name: torch.from_numpy(array) for name, array in mixing.items()}
    ours.load_state_dict({**ours.state_dict(), **state})
    theirs.load_state_dict({**theirs.state_dict(), "weight": state["gain"], "bias": state["bias"]})
    mixed = torch.from_numpy(maps(arrays, mixing["Theta"]))
    tensors = [torch.from_numpy(array) for array in arrays.values()]
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        assert_allclose(ours(*tensors)[1].detach(), theirs(mixed).detach(), rtol=1e-8)
        for name in ("running_mean", "running_var"):
            assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-10)


def test_what_the_norms_do_to_rows(arrays, mixing):
    """BatchNorm's rows sum to the number of keys times the bias: to nothing at initialisation."""
    batch, layer = (re_attention(**arrays, **mixing, norm=norm)[1] for norm in ("batch", "layer"))
    assert_allclose(batch.sum(-1), np.broadcast_to(7 * mixing["bias"][:, None], batch.shape[:-1]), atol=1e-10)
    fresh = re_attention(**arrays, Theta=mixing["Theta"])[1]
    assert_allclose(fresh.sum(1), 0, atol=1e-10)  # LayerNorm: every entry's heads sum to nothing
    assert np.ptp(layer.sum(-1)) > 0.1


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_blocks_change_nothing(monkeypatch, norm):
    torch.manual_seed(0)
    layer = ReAttention(3, norm=norm).double()
    results = []
    # Blocks of one query, of 6 of the 50, of 2 of the 3 items, and one for all: the last of each is what is left.
    for need_weights, block in ((True, None), (False, 1), (False, 6 * 150), (False, 2 * 50 * 150), (False, 2**20)):
        if block:
            monkeypatch.setitem(_mixed_attention.HELD, "cpu", block)
        torch.manual_seed(1)
        inputs = [torch.randn(3, 3, 50, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
        output, _ = layer(*inputs, need_weights=need_weights)
        results.append([output, *torch.autograd.grad(output.square().sum(), [*inputs, *layer.parameters()])])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_allclose(a.detach(), b.detach(), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_maps_are_never_all_held(monkeypatch, norm):
    monkeypatch.setitem(_mixed_attention.HELD, "cpu", 2**14)
    heads, L = 4, 256
    layer, x = ReAttention(heads, norm=norm), torch.randn(heads, L, 8, requires_grad=True)
    with Largest() as watch:
        layer(x, x, x, need_weights=False)[0].sum().backward()
    assert watch.elements <= 4 * 2**14  # its four arrays


@pytest.mark.parametrize("given", [(), ("running_mean",), ("running_var",)])
def test_statistics_are_asked_for_in_evaluation(arrays, mixing, given):
    statistics = {name: np.ones(3) for name in given}
    with pytest.raises(ValueError, match="running_mean, running_var: wanted both where training is False, got None"):
        re_attention(**arrays, **mixing, **statistics, norm="batch", training=False)


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_low_precision_is_rounded_at_the_end(norm):
    """What is computed with bfloat16 numbers is what single precision gives for them, rounded."""
    torch.manual_seed(0)
    layer = ReAttention(3, norm=norm).bfloat16()
    inputs = [torch.randn(2, 3, 50, 4).bfloat16() for _ in range(3)]
    output, maps = layer(*inputs, need_weights=False)[0], layer(*inputs)[1]
    single = layer.float()
    exact = [x.float() for x in inputs]  # and so is the division of the query by √4
    assert torch.equal(output, single(*exact, need_weights=False)[0].bfloat16())
    assert torch.equal(maps, single(*exact)[1].bfloat16())

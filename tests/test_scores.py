"""Scores: limits in which one becomes another, other people's forms of the same, slabs, and what slabs never hold."""

import contract
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose
from planting import load

from attn_edu.catalogue import find
from attn_edu.core import scaled_dot_product
from attn_edu.memory import Largest
from attn_edu.positions import sinusoidal_positions
from attn_edu.scores import (
    Additive,
    Concat,
    Cosine,
    DeepVoice,
    Location,
    LocationSensitive,
    _additive,
    additive,
    concat,
    cosine,
    deep_voice,
    dot,
    general,
    location,
    location_sensitive,
)
from attn_edu.selection import RelaxedAttention

NETWORKS = {
    "additive": lambda: Additive(5, 3, 7),
    "concat": lambda: Concat(5, 3, 7),
    "location_sensitive": lambda: LocationSensitive(5, 3, 7, filters=2, kernel_size=5),
    "relaxed_attention": lambda: RelaxedAttention(5, 3, 7, temperature=0.7),
}
EACH_PAIR = {"location_sensitive": "previous", "relaxed_attention": "noise"}  # inputs that hold L·S numbers themselves


@pytest.fixture
def draw():
    rng = np.random.default_rng(0)
    return lambda *shape: rng.normal(size=shape)


def same(a, b):
    for one, other in zip(a, b, strict=True):
        assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_dot_is_scaled_dot_product_with_scale_one(draw):
    q, k, v = draw(2, 5, 3), draw(2, 7, 3), draw(2, 7, 4)
    same(dot(q, k, v), scaled_dot_product(q * np.sqrt(3), k, v))


def test_general_with_the_identity_is_dot(draw):
    q, k, v = draw(2, 5, 3), draw(2, 7, 3), draw(2, 7, 4)
    same(general(q, k, v, W_a=np.eye(3)), dot(q, k, v))


def test_general_is_dot_between_two_projections(draw):
    """W_a = PᵀR: the query and key projections of later models, multiplied out."""
    q, k, v, P, R = draw(2, 5, 3), draw(2, 7, 6), draw(2, 7, 4), draw(2, 3), draw(2, 6)
    same(general(q, k, v, W_a=P.T @ R), dot(q @ P.T, k @ R.T, v))


def test_concat_is_additive_with_one_joined_matrix(draw):
    q, k, v, W_a, U_a, v_a = draw(2, 5, 3), draw(2, 7, 6), draw(2, 7, 4), draw(9, 3), draw(9, 6), draw(9)
    same(concat(q, k, v, W_a=np.concatenate([W_a, U_a], 1), v_a=v_a), additive(q, k, v, W_a=W_a, U_a=U_a, v_a=v_a))


def test_small_hidden_units_make_additive_scores_blind_to_pairs(draw):
    """tanh of little is linear: the query's part is the same for every key and falls out of the softmax."""
    q, k, v = draw(1, 3) * 1e-6, draw(7, 6) * 1e-6, draw(7, 4)
    W_a, U_a, v_a = draw(9, 3), draw(9, 6), draw(9) * 1e6
    wanted = additive(np.zeros((1, 3)), k, v, W_a=W_a, U_a=U_a, v_a=v_a)[1]
    assert_allclose(additive(q, k, v, W_a=W_a, U_a=U_a, v_a=v_a)[1], wanted, rtol=1e-9)


def test_cosine_ignores_lengths_and_dot_does_not(draw):
    q, k, v, beta = draw(5, 3), draw(7, 3), draw(7, 4), draw(5) ** 2
    lengths = np.exp(draw(7, 1))
    same(cosine(q * 10, k * lengths, v, beta), cosine(q, k, v, beta))
    assert not np.allclose(dot(q, k * lengths, v)[1], dot(q, k, v)[1])


def test_cosine_is_pytorchs(draw):
    q, k, v, beta = draw(5, 3), draw(7, 3), draw(7, 4), draw(5)
    cosines = F.cosine_similarity(torch.tensor(q)[:, None], torch.tensor(k)[None], -1).numpy()
    assert_allclose(cosine(q, k, v, beta)[1], torch.tensor(beta[:, None] * cosines).softmax(-1), rtol=1e-12)


def test_two_weights_of_cosine_differ_by_exp_2_beta_at_most(draw):
    q, beta = draw(1, 3), np.array([2.5])
    weights = cosine(q, np.concatenate([q, -q]), draw(2, 4), beta)[1]
    assert_allclose(weights[0, 0] / weights[0, 1], np.exp(5.0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_zeros_have_cosine_zero(dtype):
    q = torch.zeros(2, 3, dtype=dtype, requires_grad=True)
    k, v, beta = torch.zeros(4, 3, dtype=dtype), torch.eye(4, dtype=dtype), torch.ones(2, dtype=dtype)
    output, weights = Cosine()(q, k, v, beta)
    assert torch.all(weights == 0.25)
    output.sum().backward()
    assert torch.isfinite(q.grad).all()
    same(cosine(np.zeros((2, 3)), np.zeros((4, 3)), np.eye(4), np.ones(2)), (np.full((2, 4), 0.25),) * 2)


@pytest.mark.parametrize("places", [7, 9])
def test_location_asks_keys_that_never_read_the_input(draw, places):
    q, v, W_a = draw(2, 5, 3), draw(2, 7, 4), draw(places, 3)
    same(location(q, v, W_a=W_a), dot(q, np.stack([W_a[:7]] * 2), v))


def test_location_has_no_more_places_than_rows(draw):
    for form, arrays in (
        (lambda q, v: location(q, v, W_a=draw(6, 3)), (draw(5, 3), draw(7, 4))),
        (Location(3, 6), (torch.zeros(5, 3), torch.zeros(7, 4))),
    ):
        with pytest.raises(ValueError, match="value: wanted at most 6 rows, as many as W_a has, got 7"):
            form(*arrays)


def test_location_sensitive_without_its_filters_is_additive(draw):
    q, k, v, before = draw(2, 5, 3), draw(2, 7, 6), draw(2, 7, 4), draw(2, 5, 7)
    W, V, w = draw(9, 3), draw(9, 6), draw(9)
    blind = location_sensitive(q, k, v, before, W=W, V=V, U=np.zeros((9, 2)), F=draw(2, 5), w=w, b=np.zeros(9))
    same(blind, additive(q, k, v, W_a=W, U_a=V, v_a=w))


def test_filters_slide_as_pytorchs_convolution_does(draw):
    """With one unit, linear because its numbers are small, the scores are the filter's readings."""
    before, filters = draw(4, 9), draw(1, 5)
    tiny = 1e-6
    weights = location_sensitive(
        np.zeros((4, 1)), np.zeros((9, 1)), draw(9, 2), before, W=np.ones((1, 1)), V=np.ones((1, 1)),
        U=np.full((1, 1), tiny), F=filters, w=np.array([1 / tiny]), b=np.zeros(1),
    )[1]  # fmt: skip
    readings = F.conv1d(torch.tensor(before[:, None]), torch.tensor(filters[:, None]), padding=2)[:, 0]
    assert_allclose(weights, readings.softmax(-1), rtol=1e-8)


def test_equal_rates_and_projections_look_along_the_diagonal():
    """Nothing but positions: frame i looks at letter i·ω_q/ω_k, wherever that is one."""
    d, frames, letters = 64, 40, 8
    W = np.eye(d)
    weights = deep_voice(
        np.zeros((frames, d)), np.zeros((letters, d)), np.zeros((letters, d)),
        W_Q=W, W_K=W, W_V=W, W_O=W, query_rate=1.0, key_rate=5.0,
    )[1]  # fmt: skip
    assert_allclose(weights.argmax(-1)[::5], np.arange(letters))
    assert np.all(np.diff(weights.argmax(-1)) >= 0)


def test_a_rate_is_a_number_of_steps():
    table = sinusoidal_positions(np.zeros((13, 6)))
    assert_allclose(sinusoidal_positions(np.zeros((4, 6)), rate=3.0, start=1), table[3::3], rtol=1e-12)


def test_projections_start_equal():
    layer = DeepVoice(d_model=6, width=4)
    assert torch.equal(layer.W_Q, layer.W_K) and layer.W_Q is not layer.W_K


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("held", [1, 7 * 11 * 2, 10**9], ids=["a query at a time", "some", "all"])
def test_slabs_change_nothing(name, held, monkeypatch, draw):
    """Output, weights and gradients are the definition's, however few queries are scored at a time."""
    torch.manual_seed(0)
    layer = NETWORKS[name]().double()
    inputs = {"query": draw(2, 13, 5), "key": draw(2, 11, 3), "value": draw(2, 11, 4)}
    if name in EACH_PAIR:
        inputs[EACH_PAIR[name]] = draw(2, 13, 11)
    masks = {"none": None, "all": draw(13, 11) > 0, "keys": draw(11) > -1, "each": draw(2, 13, 11) > 0}
    for label, mask in masks.items():
        grads = []
        for limit in (held, 10**12):
            monkeypatch.setitem(_additive.HELD, "cpu", limit)
            leaves = {key: torch.tensor(x, requires_grad=True) for key, x in inputs.items()}
            tensor = None if mask is None else torch.tensor(mask)
            layer.zero_grad()
            output, weights = layer(**leaves, attn_mask=tensor)
            fused = layer(**leaves, attn_mask=tensor, need_weights=False)[0]
            assert torch.equal(output, fused), label
            ((output**2).sum() + (weights**2).sum()).backward()
            grads.append([x.grad.clone() for x in (*leaves.values(), *layer.parameters())])
        for one, other in zip(*grads, strict=True):
            assert_allclose(one, other, rtol=1e-9, atol=1e-12, err_msg=label)
        parameters = {key: x.detach().numpy() for key, x in layer.state_dict().items()}
        options = {"temperature": 0.7} if name == "relaxed_attention" else {}
        wanted = find(name).reference(**inputs, **parameters, **options, attn_mask=mask)
        for got, one in zip((output, weights), wanted, strict=True):
            assert_allclose(got.detach(), one, rtol=1e-9, atol=1e-12, err_msg=label)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_hidden_units_of_all_pairs_never_exist_at_once(name, monkeypatch):
    """L·S·n numbers would be 2.2 million; forward and back, no tensor holds more than the slab or the weights."""
    L, S = 1201, 257
    monkeypatch.setitem(_additive.HELD, "cpu", 20_000)
    layer = NETWORKS[name]()
    inputs = [torch.randn(L, 5, requires_grad=True), torch.randn(S, 3), torch.randn(S, 4)]
    if name in EACH_PAIR:
        inputs.append(torch.rand(L, S))
    with Largest() as largest:
        layer(*inputs)[0].sum().backward()
    assert largest.elements <= L * S, largest.elements
    if name not in EACH_PAIR:
        with Largest() as largest:
            layer(*inputs, need_weights=False)[0].sum().backward()
        assert largest.elements <= 20_000, largest.elements


# Faults that are in circulation, or were made here; each must be caught by the clause that is there for it.
FAULTS = {
    "β left out": (
        "cosine", "unit(query) * beta.unsqueeze(-1)", "unit(query)", contract.matches_numpy, "output of PyTorch",
    ),
    "cosine of one side only": ("cosine", "unit(key)", "key", contract.matches_numpy, "output of PyTorch"),
    "concat: the key's columns first": (
        "concat", "for_query, for_key = self.W_a.split((query.shape[-1], key.shape[-1]), 1)",
        "for_key, for_query = self.W_a.split((key.shape[-1], query.shape[-1]), 1)",
        contract.matches_numpy, "output of PyTorch",
    ),
    "additive without tanh, in both forms": (
        "additive", ("np.tanh((query", ".unsqueeze(-3)).tanh()"), ("((query", ".unsqueeze(-3))"),
        contract.liveness, "query does not change",
    ),
    "location: the last rows": (
        "location", "keys = self.W_a[: value.shape[-2]].expand", "keys = self.W_a[-value.shape[-2] :].expand",
        contract.matches_numpy, "output of PyTorch",
    ),
    "filters turned round": (
        "location_sensitive", "self.F.unsqueeze(1), padding", "self.F.flip(-1).unsqueeze(1), padding",
        contract.matches_numpy, "output of PyTorch",
    ),
    "the bias forgotten": ("location_sensitive", "self.V.mT + self.b", "self.V.mT", contract.liveness, "b does not"),
    "one rate for both": (
        "deep_voice", "SinusoidalPositions(rate=key_rate)", "SinusoidalPositions(rate=query_rate)",
        contract.matches_numpy, "output of PyTorch",
    ),
    "scores divided after all": (
        "deep_voice", "ScaledDotProduct(scale=1.0)", "ScaledDotProduct()", contract.matches_numpy, "output of PyTorch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_caught(fault):
    name, old, new, clause, message = FAULTS[fault]
    edits = list(zip(old, new, strict=True)) if isinstance(old, tuple) else [(old, new)]
    planted = load(f"scores/_{name}.py", edits).MECHANISM
    case = "rates" if name == "deep_voice" and "rate" in fault else "plain"
    with pytest.raises(AssertionError, match=message):
        clause(planted, case)

"""Local-m and local-p: limits, numbers worked by hand, what padding does, how little they hold, and planted faults."""

import contract
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from planting import load

from attn_edu.core import scaled_dot_product
from attn_edu.mechanism import Sizes
from attn_edu.memory import Largest
from attn_edu.selection import LocalM, LocalP, _attend_near, local_m, local_p


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {"query": rng.normal(size=(2, 5, 3)), "key": rng.normal(size=(2, 7, 3)), "value": rng.normal(size=(2, 7, 4))}


@pytest.fixture
def places():
    rng = np.random.default_rng(1)
    return {"W_p": rng.normal(size=(6, 3)), "v_p": rng.normal(size=6)}


def gaussian(arrays, places, D):
    p = 7 / (1 + np.exp(-np.tanh(arrays["query"] @ places["W_p"].T) @ places["v_p"]))
    offset = np.arange(7) - p[..., None]
    return np.exp(-2 * (offset / D) ** 2), np.abs(offset) <= D  # 2 / D² = 1 / (2 (D/2)²)


def test_a_window_as_wide_as_the_sentence_is_global_attention(arrays):
    for ours, wanted in zip(
        local_m(**arrays, W_a=np.eye(3), D=7), scaled_dot_product(**arrays, scale=1.0), strict=True
    ):
        assert_allclose(ours, wanted, rtol=1e-12)


def test_the_matrix_may_be_put_on_either_side(arrays):
    W_a = np.random.default_rng(2).normal(size=(3, 3))
    moved = {**arrays, "query": arrays["query"] @ W_a}
    for a, b in zip(local_m(**arrays, W_a=W_a, D=2), local_m(**moved, W_a=np.eye(3), D=2), strict=True):
        assert_allclose(a, b, rtol=1e-12)


def test_local_m_is_a_masked_softmax(arrays):
    near = np.abs(np.arange(7) - np.arange(5)[:, None]) <= 2
    wanted = scaled_dot_product(**arrays, attn_mask=near, scale=1.0)
    for ours, theirs in zip(local_m(**arrays, W_a=np.eye(3), D=2), wanted, strict=True):
        assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("D", [1, 2, 9])
def test_local_p_divided_by_its_gaussian_is_a_windowed_softmax(arrays, places, D):
    weights = local_p(**arrays, **places, W_a=np.eye(3), D=D)[1]
    bell, near = gaussian(arrays, places, D)
    wanted = scaled_dot_product(**arrays, attn_mask=near, scale=1.0)[1]
    assert_allclose(weights / bell, wanted, rtol=1e-10)
    assert_allclose((weights / bell).sum(-1), 1)


def test_rows_of_local_p_keep_at_least_the_gaussian_of_two_deviations(arrays, places):
    for D in (1, 2, 5):
        sums = local_p(**arrays, **places, W_a=np.eye(3), D=D)[1].sum(-1)
        assert (sums < 1).all() and (sums > np.exp(-2)).all()


def test_how_many_places_a_window_holds():
    """2D, and one more where the place is a whole number: W_p = 0 puts it at S/2."""
    for keys, wanted in ((9, 4), (10, 5)):
        nothing = {"W_a": np.ones((1, 1)), "W_p": np.zeros((1, 1)), "v_p": np.zeros(1)}
        _, weights = local_p(np.ones((1, 1)), np.ones((keys, 1)), np.ones((keys, 1)), **nothing, D=2)
        assert (weights > 0).sum() == wanted


def test_the_range_of_places():
    """From 0 to S: at its upper end, a place after the last key, the window still holds the last keys."""
    pushed = {"W_a": np.ones((1, 1)), "W_p": np.full((1, 1), 9.0)}
    for v_p, seen in ((-50.0, [0, 1, 2]), (50.0, [4, 5])):
        _, weights = local_p(np.ones((1, 1)), np.ones((6, 1)), np.ones((6, 1)), **pushed, v_p=np.array([v_p]), D=2)
        assert np.flatnonzero(weights[0]).tolist() == seen
    assert_allclose(weights[0, 4:], np.exp([-2, -0.5]) / 2)  # at S = 6: offsets −2 and −1, deviation 1


def test_queries_after_the_sentence_see_nothing(arrays):
    few = {**arrays, "key": arrays["key"][:, :2], "value": arrays["value"][:, :2]}
    output, weights = local_m(**few, W_a=np.eye(3), D=2)
    assert (weights[:, 3] != 0).any() and not weights[:, 4].any() and not output[:, 4].any()


def test_padding_moves_the_places_of_local_p_and_a_mask_does_not_move_them_back(arrays, places):
    longer = {
        "query": arrays["query"],
        **{n: np.concatenate([arrays[n], np.zeros_like(arrays[n])], 1) for n in ("key", "value")},
    }
    mask = np.arange(14) < 7
    for function, extra, same in ((local_m, {}, True), (local_p, places, False)):
        short = function(**arrays, **extra, W_a=np.eye(3), D=2)[0]
        padded = function(**longer, **extra, W_a=np.eye(3), D=2, attn_mask=mask)[0]
        assert np.allclose(short, padded) is same


@pytest.mark.parametrize("module", [LocalM(8, 8, D=4), LocalP(8, 8, 5, D=4)])
def test_nothing_is_as_large_as_all_pairs(module):
    query, key, value = (torch.randn(1, 512, 8, requires_grad=True) for _ in range(3))
    with Largest() as watch:
        module(query, key, value, need_weights=False)[0].sum().backward()
    assert watch.elements <= 512 * 9 * 8  # the gathered rows


@pytest.mark.parametrize("kind", ["m", "p"])
def test_a_place_past_half_precision(kind):
    """Places are counted exactly where numbers are kept in 16 bits: 300 is a place, and so is 301."""
    torch.manual_seed(0)
    layer = (LocalM(4, 4, D=1) if kind == "m" else LocalP(4, 4, 3, D=1)).to(torch.bfloat16)
    query, key, value = (torch.randn(600, 4).bfloat16() for _ in range(3))
    weights = layer(query, key, value)[1].float()
    state = {name: tensor.double().numpy() for name, tensor in layer.state_dict().items()}
    exact = [x.double().numpy() for x in (query, key, value)]
    wanted = (local_m if kind == "m" else local_p)(*exact, **state, D=1)[1]
    assert ((weights.detach().numpy() > 0) == (wanted > 0)).all()


def test_places_have_a_gradient_through_the_gaussian_alone():
    torch.manual_seed(0)
    layer = LocalP(3, 3, 4, D=2).double()
    query, key = torch.randn(5, 3).double(), torch.randn(9, 3).double()
    layer(query, key, key)[0].sum().backward()
    assert layer.v_p.grad.abs().min() > 0 and layer.W_p.grad.abs().max() > 0


def test_gathering_at_the_edges():
    rows = _attend_near.take_windows(torch.arange(6.0).reshape(2, 3, 1), torch.tensor([[[0, 0, 1]], [[1, 2, 2]]]))
    assert rows.squeeze(-1).tolist() == [[[0, 0, 1]], [[4, 5, 5]]]


# Faults, planted in one form and in both.

NUMPY_BELL, TORCH_BELL = "np.exp(-(offset**2) / (2 * (D / 2) ** 2))", "sigma=self.D / 2"
WINDOW = "_attend_near.py"
FAULTS = {
    "the Gaussian's sign": (
        "local_p",
        [("", "np.exp(-(offset", "np.exp((offset"), (WINDOW, "torch.exp(-(offset", "torch.exp((offset")],
        contract.worked_by_hand,
    ),
    "the Gaussian's sign in one form": (
        "local_p",
        [(WINDOW, "torch.exp(-(offset**2)", "torch.exp((offset**2)")],
        contract.matches_numpy,
    ),
    "a deviation of D": (
        "local_p",
        [("", NUMPY_BELL, "np.exp(-(offset**2) / (2 * D**2))"), ("", TORCH_BELL, "sigma=self.D")],
        contract.worked_by_hand,
    ),
    "rows made to sum to one again": (
        "local_p",
        [
            (
                "",
                'return np.einsum("...ts,...sd->...td", weights, value), weights',
                "weights = weights / np.maximum(weights.sum(-1, keepdims=True), 1e-300)\n"
                '    return np.einsum("...ts,...sd->...td", weights, value), weights',
            )
        ],
        contract.property_claims,
    ),
    "a Gaussian inside the softmax": (
        "local_p",
        [
            ("", "np_ops.masked_softmax(scores, allowed) * " + NUMPY_BELL, "np_ops.masked_softmax(SCORES, allowed)"),
            ("", "SCORES", "scores - offset**2 / (2 * (D / 2) ** 2)"),
        ],
        contract.property_claims,
    ),
    "a Gaussian without a window": (
        "local_p",
        [("", " & (np.abs(offset) <= D)", ""), (WINDOW, "near = offset.abs() <= D", "near = offset.abs() < 1e9")],
        contract.worked_by_hand,
    ),
    "a window about the place rounded down": (
        "local_p",
        [("", "np.abs(offset) <= D", "np.abs(np.arange(scores.shape[-1]) - np.floor(p)[..., None]) <= D")],
        contract.matches_numpy,
    ),
    "places counted from one": (
        "local_p",
        [("", "np.arange(key.shape[-2]) - p", "np.arange(key.shape[-2]) + 1 - p"),
         (WINDOW, "offset = places - centre", "offset = places + 1 - centre")],
        contract.worked_by_hand,
    ),
    "a place that forgets the length": (
        "local_p",
        [("", "p = key.shape[-2] / (1", "p = 1 / (1"), ("", "return keys * torch.sigmoid", "return 1 * torch.sigmoid")],
        contract.worked_by_hand,
    ),
    "a window one place short in all forms": (
        "local_m",
        [("", "(t - D <= s)", "(t - D < s)"), (WINDOW, "offset.abs() <= D", "(offset <= D) & (offset > -D)")],
        contract.worked_by_hand,
    ),
    "a window one place short in the fast form": (
        "local_m",
        [(WINDOW, "torch.arange(-D, D + 1, device=device)", "torch.arange(-D, D + 1, device=device).clamp(max=D - 1)")],
        contract.fused_matches_explicit,
    ),
    "the first key counted again by windows that stick out": (
        "local_m",
        [(WINDOW, "(places >= 0) & (places < keys)", "places < keys")],
        contract.fused_matches_explicit,
    ),
    "the matrix transposed": (
        "local_p",
        [("", '"...td,de,...se->...ts", query, W_a, key', '"...td,ed,...se->...ts", query, W_a, key')],
        contract.matches_numpy,
    ),
    "a scale of 1/√d": (
        "local_m",
        [("", "query @ self.W_a, key", "query @ self.W_a / self.W_a.shape[1] ** 0.5, key")],
        contract.matches_numpy,
    ),
    "a mask that the fast form drops": (
        "local_m",
        [(WINDOW, "allowed = inside if allowed is None else inside & allowed.expand(shape).gather(-1, rows)",
          "allowed = inside")],
        contract.fused_matches_explicit,
    ),
}  # fmt: skip


def plant(name, edits=()):
    near = load(f"selection/{WINDOW}", [edit[1:] for edit in edits if edit[0]]).attend_near
    return load(f"selection/_{name}.py", [edit[1:] for edit in edits if not edit[0]], attend_near=near).MECHANISM


def try_all(clause, mechanism):
    for case in ("narrow", "masked") if clause in contract.PER_CASE else (None,):
        clause(mechanism, *([case] if case else []))


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault):
    name, edits, clause = FAULTS[fault]
    try_all(clause, plant(name))
    with pytest.raises((AssertionError, ValueError)):  # a transposed matrix does not fit
        try_all(clause, plant(name, edits))


def test_examples_keep_away_from_the_edges_of_windows():
    for seed in range(20):
        for example in contract.examples(plant("local_p"), Sizes(L=17), seed).values():
            arrays, parameters = example.inputs, example.parameters
            hidden = np.tanh(arrays["query"] @ parameters["W_p"].T) @ parameters["v_p"]
            p = arrays["key"].shape[-2] / (1 + np.exp(-hidden))
            assert np.abs(p - p.round()).min() > 1e-2


def test_low_precision_does_not_move_the_window():
    """Among 4,096 keys a centre in bfloat16 would be off by as many as 16 places."""
    torch.manual_seed(0)
    layer, query = LocalP(6, 6, 5, D=2).bfloat16(), torch.randn(20, 6).bfloat16()
    rough, exact = layer.centre(query, 4096), layer.double().centre(query.double(), 4096)
    assert_allclose(rough.detach(), exact.detach(), atol=0.01)

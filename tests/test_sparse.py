"""Sparse patterns: their masks place by place, the masked dense form, limits, reach, nothing square, scores counted."""

import math

import contract
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from planting import load
from torch.utils._python_dispatch import TorchDispatchMode

from attn_edu.catalogue import find
from attn_edu.core import scaled_dot_product
from attn_edu.memory import Largest
from attn_edu.sparse import (
    FixedAttention,
    GlobalWindowAttention,
    SlidingWindowAttention,
    StridedAttention,
    _staircase_attention,
    fixed_attention,
    fixed_pattern,
    global_pattern,
    global_window_attention,
    layers_to_reach,
    reach,
    sliding_window_attention,
    strided_attention,
    strided_pattern,
    window_pattern,
)

LENGTHS = [0, 1, 2, 5, 12, 13, 67]
NAMES = ["sliding_window_attention", "strided_attention", "fixed_attention", "global_window_attention"]
WINDOWS = [
    {"before": before, "after": after, "dilation": dilation}
    for before, after in ((0, 0), (1, 0), (0, 2), (3, 2), (99, 0), (99, 99))
    for dilation in (1, 2, 5, 1000)
]
STRIDES = [{"stride": l, "part": part} for l in (1, 2, 3, 7, 1000) for part in ("local", "strided", "both")]
BLOCKS = [
    {"block": l, "summary": c, "part": part}
    for l, c in ((1, 1), (2, 1), (4, 4), (5, 2), (7, 1), (1000, 1), (13, 12))
    for part in ("local", "fixed", "both")
]
CASES = [
    *((window_pattern, sliding_window_attention, SlidingWindowAttention, options) for options in WINDOWS),
    *((strided_pattern, strided_attention, StridedAttention, options) for options in STRIDES),
    *((fixed_pattern, fixed_attention, FixedAttention, options) for options in BLOCKS),
]


@pytest.fixture(params=["chunks as they are", "small chunks"])
def chunks(request, monkeypatch):
    """Also with chunks of a few queries, so that short examples have many."""
    if request.param == "small chunks":
        monkeypatch.setitem(_staircase_attention.CHUNK, "cpu", 4)
        monkeypatch.setitem(_staircase_attention.HELD, "cpu", 16)


def draw(length, names=("query", "key", "value"), seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(2, length, 5 if "value" in name else 3)) for name in names}


# Patterns, place by place.


def sees(pattern, options, i, j):
    """The definitions once more, as a reader would check one place."""
    if pattern is window_pattern:
        steps = range(-options["before"], options["after"] + 1)
        return any(j == i + n * options["dilation"] for n in steps)
    if pattern is strided_pattern:
        local = j in range(max(0, i - options["stride"]), i + 1)
        other = j in range(i, -1, -options["stride"])
    else:
        l, c = options["block"], options["summary"]
        local = j <= i and j // l == i // l
        other = j <= i and any(j % l == l - n for n in range(1, c + 1))
    return {"local": local, "both": local or other}.get(options["part"], other)


@pytest.mark.parametrize(("pattern", "options"), [(case[0], case[3]) for case in CASES])
def test_pattern_place_by_place(pattern, options):
    for length in (0, 1, 2, 14):
        got = pattern(length, **options)
        assert got.dtype == bool and got.shape == (length, length)
        for i, j in np.ndindex(length, length):
            assert got[i, j] == sees(pattern, options, i, j), (i, j)


@pytest.mark.parametrize("at", [(), (0,), (3,), (6, 1)])
def test_global_pattern_place_by_place(at):
    got = global_pattern(7, before=1, after=2, at=at)
    for i, j in np.ndindex(7, 7):
        assert got[i, j] == (-1 <= j - i <= 2 or i in at or j in at), (i, j)


def test_longformers_window_has_half_of_its_width_on_each_side():
    w = 4
    assert window_pattern(20, before=w // 2, after=w // 2)[10].nonzero()[0].tolist() == [8, 9, 10, 11, 12]


def test_summaries_of_the_papers_example():
    """Stride 128 and c = 8: after the first block all see places 120 to 127, counted from 0, after the second more."""
    rows = fixed_pattern(300, block=128, summary=8, part="fixed")
    assert rows[128].nonzero()[0].tolist() == [*range(120, 128)]
    assert rows[256].nonzero()[0].tolist() == [*range(120, 128), *range(248, 256)]
    assert not rows[119].any() and rows[120].sum() == 1


@pytest.mark.parametrize("l", [1, 2, 5])
def test_strided_head_has_about_l_and_length_over_l(l):
    assert strided_pattern(50, stride=l, part="local").sum(-1).max() == l + 1
    assert strided_pattern(50, stride=l, part="strided").sum(-1).max() == math.ceil(50 / l)


# The masked dense form, in three forms, there and back.


def dense(arrays, allowed):
    return scaled_dot_product(*arrays.values(), attn_mask=allowed)


@pytest.mark.parametrize(("pattern", "function", "module", "options"), CASES)
def test_any_length(pattern, function, module, options, chunks):
    for length in LENGTHS:
        arrays = draw(length)
        allowed = pattern(length, **options)
        wanted = dense(arrays, allowed)
        sides = []
        for need_weights in (True, False):
            leaves = [torch.tensor(x, requires_grad=True) for x in arrays.values()]
            output, weights = module(**options)(*leaves, need_weights=need_weights)
            assert_allclose(output.detach(), wanted[0], rtol=1e-9, atol=1e-12)
            if need_weights:
                assert_allclose(weights.detach(), wanted[1], rtol=1e-9, atol=1e-12)
                assert_array_equal(weights.detach() != 0, np.broadcast_to(allowed, weights.shape))
            (output * torch.linspace(-1, 2, output.numel(), dtype=torch.float64).reshape(output.shape)).sum().backward()
            sides.append([leaf.grad for leaf in leaves])
        for got, right in zip(*sides, strict=True):
            assert_allclose(got, right, rtol=1e-8, atol=1e-11)
        for got, right in zip(function(**arrays, **options), wanted, strict=True):
            assert_allclose(got, right, rtol=1e-9, atol=1e-12)


GLOBAL = ("query", "key", "value", "global_query", "global_key", "global_value")


@pytest.mark.parametrize("at", [(), (0,), (2,), (4, 0), (1, 2, 3, 4, 0)])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 1), (3, 0), (99, 99)])
def test_global_places_row_by_row(before, after, at, chunks):
    """Two dense calls, one with each set of projections, of which each row takes its own."""
    options = {"before": before, "after": after, "at": at}
    for length in (5, 12, 67):
        arrays = draw(length, GLOBAL)
        allowed = global_pattern(length, **options)
        near = scaled_dot_product(*list(arrays.values())[:3], attn_mask=allowed)
        far = scaled_dot_product(*list(arrays.values())[3:])
        rows = np.isin(np.arange(length), at)[:, None]
        wanted = [np.where(rows, b, a) for a, b in zip(near, far, strict=True)]
        layer, tensors = GlobalWindowAttention(**options), [torch.from_numpy(x) for x in arrays.values()]
        explicit, fused = layer(*tensors), layer(*tensors, need_weights=False)
        for got in (explicit[0], fused[0], global_window_attention(**arrays, **options)[0]):
            assert_allclose(got, wanted[0], rtol=1e-9, atol=1e-12)
        assert_allclose(explicit[1], wanted[1], rtol=1e-9, atol=1e-12)


def test_global_places_in_any_order_and_of_one_set_of_projections():
    arrays = draw(9)
    twice = arrays | {f"global_{name}": array for name, array in arrays.items()}
    one = global_window_attention(**twice, before=1, after=0, at=(7, 2))
    two = global_window_attention(**twice, before=1, after=0, at=(2, 7))
    wanted = dense(arrays, global_pattern(9, before=1, after=0, at=(2, 7)))
    for a, b, right in zip(one, two, wanted, strict=True):
        assert_array_equal(a, b)
        assert_allclose(a, right, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_many_small_chunks_pass_the_contract(name, monkeypatch):
    monkeypatch.setitem(_staircase_attention.CHUNK, "cpu", 3)
    monkeypatch.setitem(_staircase_attention.HELD, "cpu", 20)
    for case in contract.examples(find(name)):
        for clause in (contract.fused_matches_explicit, contract.precision, contract.extremes):
            clause(find(name), case)


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_by_itself(name):
    """Under autocast the layer gets, and gives, what autocast made of its inputs."""
    example = contract.examples(find(name))[next(iter(contract.examples(find(name))))]
    inputs = {k: torch.tensor(v, dtype=torch.float32) for k, v in example.inputs.items()}
    layer = find(name).module(**example.options)
    wanted = layer(**inputs, need_weights=False)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = layer(**inputs, need_weights=False)[0]
    assert_allclose(got.float(), wanted, rtol=0.1, atol=0.1)


# Limits.


def both_forms(function, module, arrays, **options):
    """Results of the definition and of the module with and without weights."""
    tensors = [torch.from_numpy(x) for x in arrays.values()]
    layer = module(**options)
    return function(**arrays, **options), layer(*tensors), layer(*tensors, need_weights=False)


def assert_all_equal(results, wanted):
    for result in results:
        for got, right in zip(result, wanted, strict=True):
            if got is not None:
                assert_allclose(got, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length", [1, 7, 70])
def test_what_covers_all_is_full_attention(length):
    arrays = draw(length)
    full, causal = scaled_dot_product(*arrays.values()), scaled_dot_product(*arrays.values(), causal=True)
    window = (sliding_window_attention, SlidingWindowAttention, arrays)
    assert_all_equal(both_forms(*window, before=length, after=length), full)
    assert_all_equal(both_forms(*window, before=length - 1, after=0), causal)
    assert_all_equal(both_forms(*window, before=length, after=length, dilation=1), full)
    strided = (strided_attention, StridedAttention, arrays)
    assert_all_equal(both_forms(*strided, stride=1), causal)
    assert_all_equal(both_forms(*strided, stride=1, part="strided"), causal)
    assert_all_equal(both_forms(*strided, stride=length, part="local"), causal)
    fixed = (fixed_attention, FixedAttention, arrays)
    assert_all_equal(both_forms(*fixed, block=length, summary=1), causal)
    assert_all_equal(both_forms(*fixed, block=length + 3, summary=2, part="local"), causal)
    for part in ("fixed", "both"):
        assert_all_equal(both_forms(*fixed, block=3, summary=3, part=part), causal)
    for wide in (
        global_window_attention(
            **arrays, **{f"global_{n}": a for n, a in arrays.items()}, before=99, after=99, at=(0,)
        ),
    ):
        assert_all_equal([wide], full)


def test_what_sees_itself_alone_gives_its_own_value():
    arrays = draw(9)
    alone = (arrays["value"], np.broadcast_to(np.eye(9), (2, 9, 9)))
    assert_all_equal(both_forms(sliding_window_attention, SlidingWindowAttention, arrays, before=0, after=0), alone)
    far = {"before": 5, "after": 5, "dilation": 9}
    assert_all_equal(both_forms(sliding_window_attention, SlidingWindowAttention, arrays, **far), alone)
    strided = both_forms(strided_attention, StridedAttention, arrays, stride=9, part="strided")
    assert_all_equal(strided, alone)
    fixed = both_forms(fixed_attention, FixedAttention, arrays, block=1, summary=1, part="local")
    assert_all_equal(fixed, alone)


def test_no_global_place_leaves_the_window():
    arrays = draw(30, GLOBAL)
    window = sliding_window_attention(*list(arrays.values())[:3], before=2, after=1)
    got = both_forms(global_window_attention, GlobalWindowAttention, arrays, before=2, after=1, at=())
    assert_all_equal(got, window)


def test_dilated_window_is_a_window_within_each_residue():
    arrays = draw(23)
    output = sliding_window_attention(**arrays, before=2, after=1, dilation=3)[0]
    for r in range(3):
        apart = {name: array[:, r::3] for name, array in arrays.items()}
        assert_allclose(output[:, r::3], sliding_window_attention(**apart, before=2, after=1)[0], rtol=1e-10)


def test_queries_before_the_first_summary_get_zeros():
    arrays = draw(9)
    for output, *_ in both_forms(fixed_attention, FixedAttention, arrays, block=4, summary=2, part="fixed"):
        assert not np.asarray(output[:, :2]).any()
        assert np.asarray(output[:, 2:]).all()


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    "layer",
    [
        SlidingWindowAttention(before=3, after=0, dilation=2),
        StridedAttention(stride=3),
        FixedAttention(block=4, summary=2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_no_output_depends_on_a_later_place(layer, need_weights):
    arrays = [torch.from_numpy(x) for x in draw(14).values()]
    before = layer(*arrays, need_weights=need_weights)[0]
    for now in range(1, 14):
        late = (torch.arange(14) >= now)[:, None]
        after = layer(*(torch.where(late, 100 + x, x) for x in arrays), need_weights=need_weights)[0]
        assert torch.equal(after[:, :now], before[:, :now])
        assert not torch.equal(after[:, now], before[:, now])


# Reach.


def paths(patterns, layers):
    """Follow every path back from every output, a layer at a time: to a key of the pattern, or straight down."""
    length = len(patterns[0])
    found = np.zeros((length, length), dtype=bool)
    for i in range(length):
        here = {i}
        for layer in reversed(range(layers)):
            pattern = patterns[layer % len(patterns)]
            here |= {j for n in here for j in range(length) if pattern[n, j]}
        found[i, list(here)] = True
    return found


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("length", [0, 1, 2, 6, 9])
def test_reach_follows_every_path(length, count):
    rng = np.random.default_rng(length + 10 * count)
    for density in (0.05, 0.2):
        patterns = [rng.random((length, length)) < density for _ in range(count)]
        given = patterns[0] if count == 1 else patterns
        for layers in range(6):
            assert_array_equal(reach(given, layers), paths(patterns, layers))
        wanted = [n for n in range(40) if paths(patterns, n).all() or _all_before(patterns, n)]
        assert layers_to_reach(given) == (wanted[0] if wanted else None)


def _all_before(patterns, layers):
    causal = not any(np.triu(pattern, 1).any() for pattern in patterns)
    return causal and paths(patterns, layers)[np.tril_indices(len(patterns[0]))].all()


def test_order_of_layers_is_kept():
    """First layer: 1 reads 0. Second: 2 reads 1. So 2 knows 0; in the other order it does not."""
    one, two = np.zeros((2, 3, 3), dtype=bool)
    one[1, 0] = two[2, 1] = True
    assert reach([one, two], 2)[2, 0]
    assert not reach([two, one], 2)[2, 0]
    assert reach([two, one], 3)[2, 0]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        (window_pattern(17, before=1, after=0), 16),
        (window_pattern(17, before=3, after=0), 6),  # 16 places in steps of 3
        (window_pattern(17, before=2, after=2), 8),  # 16 in steps of 2
        (window_pattern(17, before=16, after=0), 1),
        (window_pattern(17, before=2, after=2, dilation=2), None),  # even and odd never meet
        (window_pattern(1, before=0, after=0), 0),
        (strided_pattern(16, stride=4, part="strided"), None),
        (strided_pattern(16, stride=4, part="local"), 4),  # 15 places in steps of 4
        (strided_pattern(16, stride=4), 2),
        ([strided_pattern(16, stride=4, part=part) for part in ("local", "strided")], 2),
        ([strided_pattern(16, stride=4, part=part) for part in ("strided", "local")], 2),
        (fixed_pattern(16, block=4, summary=1), 2),
        (fixed_pattern(16, block=4, summary=1, part="local"), None),
        ([fixed_pattern(16, block=4, summary=1, part=part) for part in ("local", "fixed")], 2),
        # Summaries that are read before they are written: the first layer is lost.
        ([fixed_pattern(16, block=4, summary=1, part=part) for part in ("fixed", "local")], 3),
        (global_pattern(16, before=0, after=0, at=(5,)), 2),
        (global_pattern(16, before=1, after=1, at=()), 15),
    ],
)
def test_layers_by_hand(pattern, wanted):
    assert layers_to_reach(pattern) == wanted
    if wanted:
        full = layers_to_reach(pattern) and reach(pattern, wanted)
        assert (full.all() or np.array_equal(full, np.tril(np.ones_like(full)))) and wanted > 0
        assert not np.array_equal(reach(pattern, wanted - 1), full)


# Cost.


class Scored(TorchDispatchMode):
    """Count the scores that are made powers."""

    scores = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.exp2_.default:
            self.scores += result.numel()
        return result


def layers(length):
    """Each layer, the pattern whose scores it needs, and of how many parts it joins the result."""
    l = math.isqrt(length)
    near, wide = {"before": 20, "after": 10}, {"before": 20, "after": 10, "dilation": 3}
    stride, block = {"stride": l}, {"block": l, "summary": 2}
    return {
        "window": (SlidingWindowAttention, window_pattern, near, 1),
        "dilated": (SlidingWindowAttention, window_pattern, wide, 1),
        "local": (StridedAttention, strided_pattern, {**stride, "part": "local"}, 1),
        "strided": (StridedAttention, strided_pattern, {**stride, "part": "strided"}, 1),
        "both strided": (StridedAttention, strided_pattern, stride, 2),
        "fixed": (FixedAttention, fixed_pattern, {**block, "part": "fixed"}, 1),
        "both fixed": (FixedAttention, fixed_pattern, block, 2),
    }


@pytest.mark.parametrize("name", layers(4))
def test_scores_grow_as_claimed(name, monkeypatch):
    """What is scored exceeds the pattern by a chunk's width a query and part; the pattern is linear, or L√L."""
    monkeypatch.setitem(_staircase_attention.CHUNK, "cpu", 8)
    needed = []
    for length in (256, 1024):
        module, pattern, options, parts = layers(length)[name]
        x = torch.randn(1, length, 2)
        with Scored() as watch:
            module(**options)(x, x, x, need_weights=False)
        needed.append(pattern(length, **options).sum())
        assert needed[-1] - length <= watch.scores <= needed[-1] + parts * 2 * 8 * length
    grown = needed[1] / needed[0]
    assert grown < (4.5 if name in ("window", "dilated") else 8.5) < 16


@pytest.mark.parametrize("name", [*layers(4), "global"])
def test_nothing_square(name):
    """Without weights, no tensor has L×L entries, nor grows faster than L, forward or backward."""
    largest = []
    for length in (1024, 4096):
        if name == "global":
            layer, count = GlobalWindowAttention(20, 10, (0, 5, length - 1)), 6
        else:
            module, _, options, _ = layers(length)[name]
            layer, count = module(**options), 3
        arrays = [torch.randn(2, length, 8, requires_grad=True) for _ in range(count)]
        with Largest() as watch:
            layer(*arrays, need_weights=False)[0].sum().backward()
        largest.append(watch.elements)
        assert watch.elements < length**2 / 16
    assert largest[1] <= 4.3 * largest[0]


def test_a_stride_of_one_holds_few_scores_all_the_same():
    x = torch.randn(2, 2048, 4, requires_grad=True)
    for layer in (StridedAttention(1), SlidingWindowAttention(5000, 5000), FixedAttention(2048, 1)):
        with Largest() as watch:
            layer(x, x, x, need_weights=False)[0].sum().backward()
        assert watch.elements <= _staircase_attention.HELD["cpu"]


# Words of refusal beyond the contract's.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: window_pattern(-1, before=0, after=0), "length: wanted an integer of at least 0, got -1"),
        (lambda: window_pattern(3, before=-1, after=0), "before: wanted an integer of at least 0, got -1"),
        (lambda: window_pattern(3, before=0, after=0.5), "after: wanted an integer, got float"),
        (lambda: window_pattern(3, before=0, after=0, dilation=0), "dilation: wanted an integer of at least 1, got 0"),
        (lambda: strided_pattern(3, stride=0), "stride: wanted an integer of at least 1, got 0"),
        (
            lambda: strided_pattern(3, stride=1, part="fixed"),
            "part: wanted one of 'local', 'strided', 'both', got 'fixed'",
        ),
        (lambda: fixed_pattern(3, block=2, summary=3), "summary: wanted an integer of at most block = 2, got 3"),
        (
            lambda: fixed_pattern(3, block=2, summary=1, part="all"),
            "part: wanted one of 'local', 'fixed', 'both', got 'all'",
        ),
        (lambda: global_pattern(3, before=0, after=0, at=(3,)), "at: wanted places below L = 3, got (3,)"),
        (lambda: global_pattern(3, before=0, after=0, at=(-1,)), "at: wanted places of at least 0, got (-1,)"),
        (lambda: global_pattern(3, before=0, after=0, at=(1, 1)), "at: wanted each place once, got (1, 1)"),
        (lambda: global_pattern(3, before=0, after=0, at=[1]), "at: wanted a tuple of integers, got [1]"),
        (
            lambda: GlobalWindowAttention(1, 1, (9,))(*(torch.ones(3, 2) for _ in range(6))),
            "at: wanted places below L = 3, got (9,)",
        ),
        (lambda: reach([], 1), "pattern: wanted at least one, got an empty list"),
        (lambda: reach("no", 1), "pattern: wanted a NumPy array or a list of them, got str"),
        (lambda: reach([[True]], 1), "pattern: wanted a NumPy array, got list"),
        (lambda: reach(np.ones((2, 2)), 1), "pattern: wanted booleans, got dtype float64"),
        (lambda: layers_to_reach(np.ones((2, 3), dtype=bool)), "pattern: wanted shape (L, L), got (2, 3)"),
        (
            lambda: layers_to_reach([np.ones((2, 2), dtype=bool), np.ones((3, 3), dtype=bool)]),
            "pattern: wanted shape (2, 2) as the first has, got (3, 3)",
        ),
        (lambda: reach(np.ones((2, 2), dtype=bool), -1), "layers: wanted an integer of at least 0, got -1"),
    ],
)
def test_refuses(unhooked, call, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value) == message


# Faults, planted as in test_planted_faults.py.

STAIRS, KERNEL = "_staircase_attention.py", "_blocked_attention.py"
FAULTS = {
    "a window one place short": (
        "sliding_window_attention",
        [("", "ahead >= -self.before * self.dilation", "ahead > -self.before * self.dilation")],
        contract.matches_numpy,
        "both sides",
        "of PyTorch and NumPy",
    ),
    "a window one place short in the fast form": (
        "sliding_window_attention",
        [(STAIRS, "torch.maximum(i - before, start)", "torch.maximum(i - before + 1, start)")],
        contract.fused_matches_explicit,
        "both sides",
        "fused output",
    ),
    "a window one place short in all forms": (
        "sliding_window_attention",
        [
            ("", "-before * dilation <= ahead", "-before * dilation < ahead"),
            ("", "ahead >= -self.before * self.dilation", "ahead > -self.before * self.dilation"),
            (STAIRS, "torch.maximum(i - before, start)", "torch.maximum(i - before + 1, start)"),
        ],
        contract.worked_by_hand,
        None,
        "worked by hand gives something else",
    ),
    "a dilation that is lost": (
        "sliding_window_attention",
        [("", "near & (ahead % self.dilation == 0)", "near")],
        contract.matches_numpy,
        "dilated",
        "of PyTorch and NumPy",
    ),
    "a dilation that is lost in the fast form": (
        "sliding_window_attention",
        [("", "step = min(self.dilation, max(length, 1))", "step = 1")],
        contract.fused_matches_explicit,
        "dilated",
        "fused output",
    ),
    "a place of two parts counted twice": (
        "strided_attention",
        [("", "else -2  #", "else -1  #")],
        contract.fused_matches_explicit,
        "both",
        "fused output",
    ),
    "a summary one place early": (
        "fixed_attention",
        [("", "x[:, :, skipped:]", "x[:, :, skipped - 1 : -1]")],
        contract.fused_matches_explicit,
        "both",
        "fused output",
    ),
    "a summary one place short in both forms": (
        "fixed_attention",
        [
            ("", "j % block >= block - summary", "j % block > block - summary"),
            ("", "j % self.block >= self.block - self.summary", "j % self.block > self.block - self.summary"),
        ],
        contract.worked_by_hand,
        None,
        "worked by hand gives something else",
    ),
    "summaries of the own block in both parts": (
        "fixed_attention",
        [
            (
                "",
                "end = i // self.block * self.summary",
                "end = ((i // self.block + 1) * self.summary).clamp(max=length // self.block * self.summary)",
            )
        ],
        contract.fused_matches_explicit,
        "both",
        "fused output",
    ),
    "global places counted twice by those near them": (
        "global_window_attention",
        [("", "torch.where(self.near(at - i[:, None]), -math.inf, 0.0)", "torch.zeros(length, len(at))")],
        contract.fused_matches_explicit,
        "wide",
        "fused output",
    ),
    "global queries that meet the ordinary keys": (
        "global_window_attention",
        [("", "* scale) @ global_key.mT", "* scale) @ key.mT")],
        contract.matches_numpy,
        "one",
        "of PyTorch and NumPy",
    ),
    "global queries that take the ordinary values in both forms": (
        "global_window_attention",
        [
            ("", "weights, global_value), output)", "weights, value), output)"),
            ("", "weights[..., at, :] @ global_value)", "weights[..., at, :] @ value)"),
        ],
        contract.weights_mean_what_they_say,
        "one",
        "output rebuilt from the NumPy weights",
    ),
    "an empty row that attends to all alike": (
        "fixed_attention",
        [(KERNEL, "clamp_(min=NOWHERE)", "clamp_(min=-math.inf)")],
        contract.fused_matches_explicit,
        "fixed",
        "fused output",
    ),
    "parts joined by a wrong sum": (
        "strided_attention",
        [(KERNEL, "total.log2_().add_(top)", "total.log2_().sub_(top)")],
        contract.fused_matches_explicit,
        "both",
        "fused ",
    ),
    "a joint that passes no gradient": (
        "strided_attention",
        [(STAIRS, ".sub_(grad_sum)", "")],
        contract.fused_matches_explicit,
        "both",
        "fused gradient of",
    ),
    "chunks that overwrite the gradient of the one before": (
        "sliding_window_attention",
        [
            (STAIRS, "CHUNK = ByDevice(cpu=64", "CHUNK = ByDevice(cpu=4"),
            (STAIRS, "d_key[keys] += for_key", "d_key[keys] = for_key"),
        ],
        contract.fused_matches_explicit,
        "both sides",
        "fused gradient of key",
    ),
}


def plant(name, *edits):
    """Return the mechanism's record with (file, old text, new text) edits planted; "" is its own file."""
    kernel = load(KERNEL, [edit[1:] for edit in edits if edit[0] == KERNEL])
    used = {"attend": kernel.attend, "attend_back": kernel.attend_back}
    stairs = load("sparse/_staircase_attention.py", [edit[1:] for edit in edits if edit[0] == STAIRS], **used)
    shared = {
        n: value for n, value in vars(stairs).items() if n in vars(_staircase_attention) and not n.startswith("__")
    }
    own = load(f"sparse/_{name}.py", [edit[1:] for edit in edits if not edit[0]])
    used = {n: value for n, value in shared.items() if getattr(value, "__module__", "") == stairs.__name__}
    vars(own).update({n: value for n, value in used.items() if n in vars(own)})
    return own.MECHANISM


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault):
    name, edits, clause, case, reason = FAULTS[fault]
    arguments = (case,) if case else ()
    clause(plant(name), *arguments)  # without the fault the clause is content
    with pytest.raises(AssertionError, match=reason):
        clause(plant(name, *edits), *arguments)

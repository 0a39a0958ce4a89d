"""Exercises of the chapter *Patterns*."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.core import scaled_dot_product
from attn_edu.sparse import fixed_pattern, reach, strided_pattern, window_pattern

from ._check import Exercise, expect_close, expect_function
from ._nothing_square import expect_nothing_square, sequences

_rng = np.random.default_rng(41)


def _judge_pairs(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 3:
        return f"wanted three numbers in a tuple, got {answer!r}"
    names = ("the count of full causal attention", "the count of the local part", "the count of the strided part")
    wanted = (1024 * 1025 // 2, 1024 * 33 - 32 * 33 // 2, 1024 * 33 // 2)
    faults = (expect_close(a, float(w), name, rtol=0) for a, w, name in zip(answer, wanted, names, strict=True))
    return next((fault for fault in faults if fault), None)


def _reached(patterns: Sequence[np.ndarray]) -> np.ndarray:
    return reach(list(patterns), len(patterns))


def _judge_dilations(answer: Any) -> str | None:
    def outcome(length: int) -> tuple[int, int] | None:
        found = answer(length)
        if found is None:
            return None
        steps = list(found)
        if any(step != int(step) for step in steps):
            raise ValueError(f"dilations are whole numbers, got {steps}")
        layers = [window_pattern(length, before=1, after=0, dilation=int(step)) for step in steps]
        seen = reach(layers, len(layers))[-1] if layers else np.eye(length, dtype=bool)[-1]
        return len(layers), int(seen.sum())

    if not callable(answer):
        return expect_function(answer, outcome, (2,))
    return expect_function(
        outcome,
        lambda length: ((length - 1).bit_length(), length),
        *[(length,) for length in (2, 5, 16, 17, 40)],
        what="your function: layers, and places reached,",
    )


def _far(Q: np.ndarray, K: np.ndarray, V: np.ndarray, stride: int) -> np.ndarray:
    allowed = strided_pattern(len(Q), stride=stride, part="strided")
    return scaled_dot_product(Q, K, V, attn_mask=allowed)[0]


def _judge_far(answer: Any) -> str | None:
    sizes = ((6, 2, 3, 2), (6, 3, 2, 3), (4, 2, 2, 4), (5, 2, 1, 1), (12, 4, 2, 3))
    return expect_nothing_square(answer, _far, sequences(_rng, *sizes), sequences(_rng, (2048, 2, 2, 512))[0])


_FIXED = [fixed_pattern(9, block=3, summary=1, part=part) for part in ("local", "fixed")]

pairs = Exercise(
    "Pairs of query and key for 1,024 places: full and causal, and the two parts of the strided pattern with l = 32.",
    _judge_pairs,
    (
        "Under a causal mask place i, counted from 0, sees i + 1 places: 1 + 2 + … + 1,024.",
        "The local part has l + 1 keys a query, but the first l places have fewer: l + (l − 1) + … + 1 are missing.",
        "In the strided part 32 places see one key, the next 32 see two, and so on, up to 32.",
    ),
)

reached = Exercise(
    "What each output depends on after one layer of each of the patterns, the first layer at the bottom.",
    lambda answer: expect_function(
        answer,
        _reached,
        (_FIXED,),
        (_FIXED[::-1],),
        ([np.eye(4, dtype=bool)[[3, 0, 1, 2]], np.eye(4, dtype=bool)[[0, 0, 2, 2]]],),
    ),
    (
        "Three places, two layers. Only the first lets place 1 see place 0, and only the second place 2 see place 1. "
        "Does place 2 depend on place 0?",
        "Output i of the new layer sees what its keys have seen: row i of the new reach joins the *rows* k of the old "
        "one for which the layer has (i, k).",
        "The newest layer stands on the left of the product: A R, not R A.",
    ),
)

dilations = Exercise(
    "Dilations, one for each layer, with which the last of L places reaches all of them, in as few layers as can be.",
    _judge_dilations,
    (
        "A layer with one key beside the own place can at most double what is reached. How many layers does that take?",
        "After a dilation of 1 a place has seen itself and the one before. Which dilation brings two new ones next?",
        "1, 2, 4, …: `[2**n for n in range((L - 1).bit_length())]`.",
    ),
)

far = Exercise(
    "The output of the strided part, for a stride that divides L, from scores of l small squares alone: no L×L matrix.",
    _judge_far,
    (
        "Places 0, l, 2l, … see nobody but each other. So do 1, l + 1, 2l + 1, …: l sequences that have nothing to do "
        "with one another.",
        "`x.reshape(L // l, l, -1).swapaxes(0, 1)` has these sequences as a batch.",
        "Within each of them attention is full and causal. Afterwards swap the axes back before the last reshape.",
    ),
)

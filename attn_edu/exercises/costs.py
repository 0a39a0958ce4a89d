"""Exercises of the chapter *What attention costs*."""

from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(41)


def _judge_wide(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 2:
        return f"wanted two numbers in a tuple, got {answer!r}"
    share, length = answer
    if fault := expect_close(share, 2048 / (2048 + 6 * 12_288), "the share of the pairs", rtol=5e-3):
        return fault
    return expect_close(length, 6.0 * 12_288, "the length at which it is a half", rtol=0)


def _step(largest: float, total: float, output: np.ndarray, scores: np.ndarray, values: np.ndarray) -> tuple[Any, ...]:
    higher = max(largest, float(scores.max()))
    powers, shrink = np.exp(scores - higher), np.exp(largest - higher)
    return higher, shrink * total + powers.sum(), shrink * output + powers @ values


def _steps() -> list[tuple[Any, ...]]:
    empty: tuple[Any, ...] = (-np.inf, 0.0, np.zeros(2), np.log([1.0, 2]), np.array([[3.0, 0], [0, 1]]))
    raised = (float(np.log(2)), 1.5, np.array([1.5, 1.0]), np.log([4.0, 1]), np.array([[2.0, 1], [6, 0]]))
    lower = (3.0, 2.0, np.array([4.0]), np.array([1.0, -1, 2]), _rng.normal(size=(3, 1)))
    return [empty, raised, lower]


def _join(outputs: np.ndarray, log_sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore"):
        total = np.logaddexp.reduce(log_sums, axis=0)
    known = np.where(np.isneginf(total), 0, total)
    shares = np.exp(log_sums - known)
    return (shares[..., None] * outputs).sum(0), total


def _parts() -> list[tuple[np.ndarray, np.ndarray]]:
    by_hand = (np.array([[[1.0]], [[2.8]]]), np.log(np.array([[3.0], [5.0]])))
    outputs = np.array([[[1.0, 2], [5, 6]], [[3, 4], [7, 8]]])
    far = (outputs, np.array([[1000.0, -1000], [1000, -999]]))  # exp of these overflows, or is 0
    sums = _rng.normal(size=(3, 4))
    sums[1, 2] = -np.inf  # nothing there
    outputs = _rng.normal(size=(3, 4, 2))
    outputs[1, 2] = 0
    nothing = (np.zeros((2, 1, 2)), np.full((2, 1), -np.inf))
    return [by_hand, far, (outputs, sums), nothing]


wide = Exercise(
    "The share of the pairs for d = 12,288 and 2,048 tokens, and the length at which it is a half.",
    _judge_wide,
    (
        "Divide 2L²d by the sum 4Ld² + 2L²d + 8Ld², and cancel 2Ld.",
        "The share is L / (L + 6d).",
        "It is a half where L = 6d.",
    ),
)

longest = Exercise(
    "The largest L for which the maps of one layer of 16 heads fit into 16 GiB, at two bytes a number.",
    lambda answer: expect_close(answer, 23_170.0, "the length", rtol=0),
    (
        "There are 16 maps of L × L numbers, so 32 L² bytes. 16 GiB are 2³⁴ bytes.",
        "L² may be at most 2²⁹. L is a whole number: round down.",
    ),
)

rescale = Exercise(
    "One step of the online softmax for one query: sums so far, a tile of scores and its values; return the new sums.",
    lambda answer: expect_function(answer, _step, *_steps()),
    (
        "`powers` are relative to `higher`, the sums so far to `largest`. Bring both to the same reference.",
        "Every exponential in the sums so far must be multiplied by `np.exp(largest - higher)`.",
        "Total *and* output are such sums: `shrink * total + powers.sum()`, and likewise with the values.",
    ),
)

join = Exercise(
    "Join outputs (parts, L, d_v) with log-sum-exps (parts, L) into one output and one log-sum-exp.",
    lambda answer: expect_function(answer, _join, *_parts()),
    (
        "The log-sum-exp of a query is the logarithm of the sum over parts of `np.exp(log_sums)`; its shares are "
        "`np.exp(log_sums - total)`.",
        "`np.exp(1000)` overflows. Subtract the largest first, or use `np.logaddexp.reduce(log_sums, axis=0)`.",
        "Where every part is empty, the total is −inf, and −inf − (−inf) is not a number. Subtract 0 there: the shares "
        "are then 0, and so is the output.",
    ),
)

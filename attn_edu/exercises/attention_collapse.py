"""Exercises of the chapter *When attention collapses*."""

from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(22)


def _draw(*shape: int) -> np.ndarray:
    """Draw weights whose rows sum to one."""
    weights = np.exp(_rng.normal(size=shape))
    return weights / weights.sum(-1, keepdims=True)


def _judge_counts(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        return f"wanted three numbers in a tuple, got {answer!r}"
    names = ("the sum of a row", "the number of learned numbers", "the number of multiplications")
    wanted = (17 * 0.1, 12 * 12 + 2 * 12, 12 * 12 * 197 * 197)
    faults = (expect_close(a, float(w), name, rtol=1e-9) for a, w, name in zip(answer, wanted, names, strict=True))
    return next((fault for fault in faults if fault), None)


def _judge_strangers(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 2:
        return f"wanted two matrices in a tuple, got {answer!r}"
    matrices = [np.asarray(matrix, dtype=float) for matrix in answer]
    for name, matrix in zip("AB", matrices, strict=True):
        if matrix.shape != (3, 3):
            return f"{name} has shape {matrix.shape}, wanted (3, 3)"
        if not np.isfinite(matrix).all() or (matrix < 0).any() or np.abs(matrix.sum(1) - 1).max() > 1e-6:
            return f"{name} does not hold weights: no entry below 0, and each row sums to 1"
        if np.linalg.norm(matrix, axis=0).min() < 1e-6:
            return f"a column of {name} holds zeros alone, and zeros have no direction"
    A, B = matrices
    products = (A * B).sum(0) / (np.linalg.norm(A, axis=0) * np.linalg.norm(B, axis=0))
    if products.min() < 1 - 1e-6:
        return f"the cosines of the columns are {products.round(3).tolist()}, wanted 1 for all"
    for name, matrix in zip("AB", matrices, strict=True):
        if (np.diff(np.sort(matrix, axis=1))[:, -1] < 1e-9).any():
            return f"a row of {name} has its largest weight twice, wanted one favourite key in every row"
    first, second = (M.argmax(1) for M in matrices)
    if (first == second).any():
        row = int(np.argmax(first == second))
        return f"row {row} has its largest weight at key {first[row]} in both, wanted different keys in every row"
    if np.ptp(A, axis=0).max() < 1e-6:
        return "that is right for stripes; now find a pair whose rows are not all equal"
    return None


def _mix(Theta: np.ndarray, maps: np.ndarray) -> np.ndarray:
    return np.einsum("ng,...nij->...gij", Theta, maps)


def _undo(maps: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    axes = (0, 2, 3)
    return np.sqrt(maps.var(axes) + eps), maps.mean(axes)


counts = Exercise(
    "A row's sum for 17 keys and β = 0.1; what re-attention learns with 12 heads; the multiplications of its mixing.",
    _judge_counts,
    (
        "In training the norm subtracts the mean, so a row sums to 0 before β is added, once to each entry.",
        "Θ has 12 × 12 numbers, and gain and bias have one for each head.",
        "Each of the 12 · 197 · 197 new entries is a sum of 12 products.",
    ),
)

mix = Exercise(
    "The new maps, before any norm: that of head g is the sum over n of Θ[n, g] times the map of head n.",
    lambda answer: expect_function(
        answer, _mix, (_rng.normal(size=(3, 3)), _draw(3, 2, 4)), (_rng.normal(size=(2, 2)), _draw(5, 2, 3, 3))
    ),
    (
        "Which index of Θ is summed over, the first or the second?",
        "In the formula the sum runs over n, the first index. Here it runs over the second.",
    ),
)

strangers = Exercise(
    "Two 3 × 3 matrices of weights, not striped, with column cosines of 1 and no row's favourite key in common.",
    _judge_strangers,
    (
        "A cosine of 1 means that column t of B is a positive multiple of column t of A. B is A with scaled columns.",
        "The rows of B must sum to 1 again: with factors c, that is A c = (1, 1, 1). One solution is c = (1, 1, 1).",
        "For another one A must not be invertible: make its third row the mean of the first two, which differ. "
        "Then c can be (1, 1, 1) plus a multiple of a vector that A takes to 0, as long as every factor stays above 0.",
    ),
)

undo = Exercise(
    "The gain and the bias with which a batch norm gives back the maps (images, h, L, S) that it was given.",
    lambda answer: expect_function(answer, _undo, (_draw(2, 3, 4, 4), 1e-5), (_draw(3, 2, 5, 7) * 2, 0.1)),
    (
        "The norm takes off a head's mean and divides by the root of its variance plus eps. Do both backwards.",
        "One mean and one variance for each head: over the axes (0, 2, 3).",
    ),
)

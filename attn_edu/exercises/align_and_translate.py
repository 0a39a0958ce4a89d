"""Exercises of the chapter *Align and translate*."""

from typing import Any

import numpy as np

from attn_edu.scores import additive

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(21)


def _context(s: np.ndarray, H: np.ndarray, W_a: np.ndarray, U_a: np.ndarray, v_a: np.ndarray) -> np.ndarray:
    return additive(s[None], H, H, W_a=W_a, U_a=U_a, v_a=v_a)[0][0]


def _rows(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    powers = np.where(present, np.exp(scores - scores.max(-1, keepdims=True)), 0)
    return powers / powers.sum(-1, keepdims=True)


def _on_true(weights: np.ndarray, truth: np.ndarray) -> float:
    known = truth.any(axis=1)
    return float(truth[known, weights[known].argmax(axis=1)].mean())


def _judge_counts(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 3:
        return f"wanted three numbers in a tuple, got {answer!r}"
    names = (
        "the number of parameters",
        "multiplications when computed once",
        "multiplications when computed each step",
    )
    wanted = (3 * 512**2 + 512, 40 * 2 * 512 * 512, 40 * 50 * 2 * 512 * 512)
    faults = (expect_close(a, float(w), name, rtol=0) for a, w, name in zip(answer, wanted, names, strict=True))
    return next((fault for fault in faults if fault), None)


def _draw(d_s: int, d_h: int, width: int, length: int) -> tuple[np.ndarray, ...]:
    shapes = ((d_s,), (length, d_h), (width, d_s), (width, d_h), (width,))
    return tuple(_rng.normal(size=shape) for shape in shapes)


def _truth(*places: int | None, length: int) -> np.ndarray:
    return np.array([[place == j for j in range(length)] for place in places])


context = Exercise(
    "The context c_i of one decoder state, from the annotations and the aligner's parameters.",
    lambda answer: expect_function(
        answer,
        _context,
        (
            np.ones(1),
            np.array([[0.0], [1.0], [2.0]]),
            np.full((1, 1), np.log(2)),
            np.full((1, 1), -np.log(2)),
            np.ones(1),
        ),
        _draw(3, 4, 5, 6),
        _draw(2, 2, 7, 1),
    ),
    (
        "`W_a @ s` is one vector of n′ numbers. `H @ U_a.T` has a row of n′ numbers for each of the S annotations.",
        "Add the vector to every row, take tanh, then `@ v_a`: S scores. Their softmax is the row of weights.",
        "The values are the annotations themselves: weights @ H.",
    ),
)

counts = Exercise(
    "Parameters of the aligner, and multiplications for U_a h_j, once or at every step.",
    _judge_counts,
    (
        "W_a is n′ × n, U_a is n′ × 2n, v_a has n′ numbers.",
        "One product U_a h_j takes n′ · 2n multiplications, and there are S annotations.",
        "Computed afresh for each target word, all that happens L times.",
    ),
)

masked_rows = Exercise(
    "Weights from scores (N, L, S), with padding left out: rows sum to 1 over the words that are there.",
    lambda answer: expect_function(
        answer,
        _rows,
        (np.zeros((1, 1, 4)), np.array([[[True, True, False, False]]])),
        (_rng.normal(size=(2, 3, 5)), np.arange(5) < np.array([5, 2])[:, None, None]),
        (_rng.normal(size=(1, 2, 3)) + 40, np.array([[[True, False, False]]])),
    ),
    (
        "Print the sums of the rows. What do the places of padding take away?",
        "A softmax that has included padding in its sum cannot be mended by zeros afterwards: mask before you sum.",
        "`np.where(present, np.exp(…), 0)` first, then divide by the sum of that.",
    ),
)

on_true = Exercise(
    "The share of target words whose largest weight is on a true source word.",
    lambda answer: expect_function(
        answer,
        _on_true,
        (np.array([[0.6, 0.4], [0.9, 0.1]]), _truth(0, 1, length=2)),
        (np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]]), _truth(1, 0, None, length=3)),
        (_rng.dirichlet(np.ones(7), size=9), np.eye(9, 7, dtype=bool)),
        (np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]), np.array([[True, True, False], [False, True, True]])),
    ),
    (
        "`weights.argmax(axis=1)` is the place of each row's largest weight.",
        "`truth[i, place]` says whether that place is true; `np.arange(L)` picks one entry from each row.",
        "Rows of `truth` without a True belong to no source word. `truth.any(axis=1)` says which rows count.",
    ),
)

"""Exercises of the chapter *Everywhere or somewhere*."""

from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(31)


def _judge_counts(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 3:
        return f"wanted three numbers in a tuple, got {answer!r}"
    names = ("the number of scores everywhere", "the number of scores in windows", "the length of the shortest pair")
    wanted = (10_000, 1_990, 12)
    faults = (expect_close(a, float(w), name, rtol=0) for a, w, name in zip(answer, wanted, names, strict=True))
    return next((fault for fault in faults if fault), None)


def _judge_place(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 3:
        return f"wanted a number, a list of places and a number in a tuple, got {answer!r}"
    fault = expect_close(answer[0], 7.5, "the place p")
    if fault:
        return fault
    places = np.asarray(sorted(answer[1]) if isinstance(answer[1], set) else answer[1])
    if places.shape != (4,) or sorted(places.tolist()) != [6, 7, 8, 9]:
        return f"the places in the window: wanted the whole numbers from 5.5 to 9.5, got {answer[1]!r}"
    return expect_close(answer[2], float(np.exp([-1.125, -0.125]).mean()), "the sum of the weights", rtol=5e-3)


def _windowed(q: np.ndarray, K: np.ndarray, t: int, D: int) -> np.ndarray:
    s = np.arange(max(t - D, 0), min(t + D + 1, len(K)))
    weights = np.zeros(len(K))
    powers = np.exp(K[s] @ q - (K[s] @ q).max())
    weights[s] = powers / powers.sum()
    return weights


def _predicted(scores: np.ndarray, p: np.ndarray, D: int) -> np.ndarray:
    offset = np.arange(scores.shape[1]) - p[:, None]
    near = np.abs(offset) <= D
    inside = np.where(near, scores, -np.inf)
    powers = np.exp(inside - inside.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True) * np.exp(-2 * (offset / D) ** 2)


def _pull(weights: np.ndarray, gain: np.ndarray, p: float, D: int) -> float:
    return float(np.sum(weights * gain * (np.arange(len(weights)) - p)) / (D / 2) ** 2)


def _bell(S: int, p: float, D: int) -> tuple[np.ndarray, np.ndarray, float, int]:
    offset = np.arange(S) - p
    weights = np.where(np.abs(offset) <= D, np.exp(-2 * (offset / D) ** 2), 0.0)
    return weights / (weights > 0).sum(), _rng.normal(size=S), p, D


counts = Exercise(
    "Scores of 100 words against 100, everywhere and in windows with D = 10, and from which length on they differ.",
    _judge_counts,
    (
        "Without borders, each of the 100 windows would hold 2D + 1 = 21 places.",
        "The first window has lost 10 places to the border, the second 9, and so on; the last ones have lost as many.",
        "The first target word sees source words 0 to 10. How many words may there be if that is all of them?",
    ),
)

place = Exercise(
    "A predicted place, its window, and how much weight is handed out.",
    _judge_place,
    (
        "The sigmoid of ln 3 is 1/(1 + 1/3).",
        "p is no whole number, so the window holds 2D places.",
        "Equal scores give each place the weight 1/4; then comes the Gaussian, of deviation D/2 = 1.",
    ),
)

windowed = Exercise(
    "The weights of local-m for one query, with what lies outside the sentence ignored.",
    lambda answer: expect_function(
        answer,
        _windowed,
        *[
            (_rng.normal(size=3), _rng.normal(size=(6, 3)), t, D)
            for t, D in ((0, 2), (5, 2), (3, 1), (2, 9))
        ],
    ),
    (
        "Try D = 2 at t = 0 and sum the weights. Where has the rest gone?",
        "A key of zeros scores 0, and the exponential of 0 is 1.",
        "Take the softmax over the places that exist: from max(t − D, 0) to min(t + D, S − 1).",
    ),
)  # fmt: skip

predicted = Exercise(
    "The weights of local-p from scores, places and D.",
    lambda answer: expect_function(
        answer,
        _predicted,
        (_rng.normal(size=(3, 7)), np.array([1.3, 5.8, 3.4]), 2),
        (_rng.normal(size=(2, 4)), np.array([0.2, 3.9]), 1),
        (_rng.normal(size=(2, 5)), np.array([2.5, 0.7]), 20),
        (_rng.normal(size=(2, 6)), np.array([2.0, 4.0]), 1),
        (1000.0 * np.array([[1, -1, 0.999, 1], [-1, 1, -1, -0.999]]), np.array([1.4, 2.6]), 1),
    ),
    (
        "`np.arange(S) - p[:, None]` is s − p_t for every query and key.",
        "Set scores outside the window to −inf before the softmax, and take away the largest that is left in the row.",
        "Multiply by the Gaussian after the softmax, and do not normalise again.",
    ),
)

pull = Exercise(
    "Which way, and how hard, a predicted place is pulled.",
    lambda answer: expect_function(answer, _pull, _bell(7, 2.3, 2), _bell(9, 6.6, 4), _bell(3, 1.5, 1)),
    (
        "The softmax does not depend on p; of a weight only the Gaussian's factor does.",
        "The derivative of exp(−(s − p)²/2σ²) by p, with σ = D/2, is the same exponential times (s − p)/σ².",
        "So weight s grows at the rate weights[s] · (s − p)/σ², and the loss falls at gain[s] times that. Sum over s.",
    ),
)

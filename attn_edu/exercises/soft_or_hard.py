"""Exercises of the chapter *Soft or hard*."""

from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(25)


def _judge_penalties(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 2:
        return f"wanted two numbers in a tuple, got {answer!r}"
    names = ("the penalty of pointing", "the penalty of even weights")
    faults = (expect_close(a, w, name) for a, w, name in zip(answer, (15.0, 1.0), names, strict=True))
    return next((fault for fault in faults if fault), None)


def _estimate(alpha: np.ndarray, s: int, reward: float, b: float) -> np.ndarray:
    return (reward - b) * (np.eye(len(alpha))[s] - alpha)


def _exact(alpha: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    return alpha * (rewards - alpha @ rewards)


def _best_baseline(alpha: np.ndarray, rewards: np.ndarray) -> float:
    size = ((np.eye(len(alpha)) - alpha) ** 2).sum(1)
    return float((alpha * size * rewards).sum() / (alpha * size).sum())


def _chances(count: int) -> np.ndarray:
    return _rng.dirichlet(np.ones(count))


_three = (np.array([0.5, 0.3, 0.2]), np.array([-1.0, -2.0, -4.0]))
_seven = (_chances(7), _rng.normal(size=7) - 3)

penalties = Exercise(
    "The doubly stochastic penalty of six words that point, and of six words that look everywhere.",
    _judge_penalties,
    (
        "Add up each place's weights over the words first. The penalty is the sum of the squares of one minus that.",
        "Pointing, two places have a sum of 3 and seven have 0. With even weights all nine have 6/9.",
    ),
)

estimate = Exercise(
    "One draw's estimate of the gradient at the scores, which is to be climbed.",
    lambda answer: expect_function(
        answer,
        _estimate,
        (_three[0], 1, -2.0, -1.9),
        (_three[0], 0, -1.0, -1.9),
        (_chances(4), 3, -0.5, -2.5),
        (_chances(4), 0, -3.0, 0.0),
    ),
    (
        "A place that did better than the baseline must become likelier, so its entry must be positive.",
        "Better means: reward > b. What is the sign of `b - reward` then?",
    ),
)

exact = Exercise(
    "The exact gradient of the mean reward at the scores, without drawing.",
    lambda answer: expect_function(answer, _exact, _three, _seven, (np.array([0.25, 0.75]), np.array([0.0, -1.0]))),
    (
        "The mean reward is `alpha @ rewards`. Differentiate it: ∂α_j/∂e_i is α_j (1 − α_j) if i = j, else −α_i α_j.",
        "Sum over j: α_i r_i − α_i Σ_j α_j r_j. Take α_i out.",
    ),
)

best_baseline = Exercise(
    "The baseline with which the estimates vary least.",
    lambda answer: expect_function(answer, _best_baseline, _three, _seven, (_chances(3), np.array([-1.0, -1.0, -1.0]))),
    (
        "The mean of the estimates does not depend on b. So the variance is least where their mean squared length is.",
        "Draw s has squared length (r_s − b)² n_s with n_s = ‖one-hot_s − α‖². Weigh by α_s; the derivative by b is 0.",
        "b = Σ α_s n_s r_s / Σ α_s n_s: a weighted mean of the rewards.",
    ),
)

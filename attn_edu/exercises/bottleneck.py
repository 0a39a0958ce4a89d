"""Exercises of the chapter *The bottleneck*."""

import math
from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(11)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _steps_to_half(z: float) -> int:
    return math.ceil(math.log(0.5) / math.log(z))


def _last_states(states: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return states[np.arange(len(states)), lengths - 1]


def _cho_step(x: np.ndarray, h: np.ndarray, W: tuple[np.ndarray, ...], U: tuple[np.ndarray, ...]) -> np.ndarray:
    r, z = _sigmoid(W[0] @ x + U[0] @ h), _sigmoid(W[1] @ x + U[1] @ h)
    return (1 - z) * np.tanh(W[2] @ x + U[2] @ (r * h)) + z * h


def _write(step: Any, state: Any, start: int, end: int, limit: int) -> list[int]:
    words = [start]
    while len(words) <= limit and words[-1] != end:
        scores, state = step(words[-1], state)
        words.append(int(np.argmax(scores)))
    return words[1:]


class _Machine:
    """A step whose state counts the words: each state prefers other words, and which depends on the last word."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def __call__(self, word: int, state: int) -> tuple[np.ndarray, int]:
        if not 0 <= word < self.table.shape[1]:
            raise ValueError(f"word: wanted 0 to {self.table.shape[1] - 1}, got {word}")
        return self.table[state % len(self.table), word], state + 1

    def __repr__(self) -> str:
        return "step"


def _case(*shape: int) -> tuple[Any, ...]:
    d, n = shape
    matrices = [tuple(_rng.normal(size=(n, width)) for _ in range(3)) for width in (d, n)]
    return (_rng.normal(size=d), _rng.normal(size=n), *matrices)


def _judge_half(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 2:
        return f"wanted two numbers in a tuple, got {answer!r}"
    wanted = {"the count for z = 0.5": 1, "the count for z = 0.95": _steps_to_half(0.95)}
    faults = (expect_close(a, float(w), name, rtol=0) for a, (name, w) in zip(answer, wanted.items(), strict=True))
    return next((fault for fault in faults if fault), None)


half = Exercise(
    "Steps until at most half of a state is left, when its gate z is 0.5 and 0.95 at every step.",
    _judge_half,
    (
        "Each step multiplies what is left of the old state by z.",
        "After m steps zᵐ is left. The least m with zᵐ ≤ 1/2 is ln ½ / ln z, rounded up.",
    ),
)

last_states = Exercise(
    "The last state of each sentence in a padded batch.",
    lambda answer: expect_function(
        answer,
        _last_states,
        (np.arange(12.0).reshape(2, 3, 2), np.array([3, 1])),
        (_rng.normal(size=(4, 6, 3)), np.array([2, 6, 1, 5])),
        (_rng.normal(size=(1, 1, 2)), np.array([1])),
    ),
    (
        "Column −1 is the last state of the longest sentence. What is it in a short one?",
        "Row n's last word stands at place lengths[n] − 1.",
        "`states[rows, places]` with two arrays of integers takes one state for each pair.",
    ),
)

cho_step = Exercise(
    "One step of the gated unit of 2014: the reset gate acts before the matrix.",
    lambda answer: expect_function(
        answer,
        _cho_step,
        (
            np.array([1.0]),
            np.array([0.8, 0.0]),
            (np.array([[np.log(3)], [-np.log(3)]]), np.zeros((2, 1)), np.zeros((2, 1))),
            (np.zeros((2, 2)), np.zeros((2, 2)), np.array([[0.0, 1.0], [1.0, 0.0]])),
        ),
        _case(3, 4),
        _case(2, 1),
    ),
    (
        "Both gates are as before: r = σ(W[0] x + U[0] h), z = σ(W[1] x + U[1] h). They have as many numbers as h.",
        "The candidate is tanh(W[2] x + U[2] (r ⊙ h)): multiply r and h first.",
        "Then mix: (1 − z) ⊙ n + z ⊙ h.",
    ),
)

write = Exercise(
    "Greedy decoding around a step: words until the end, or until the limit.",
    lambda answer: expect_function(
        answer,
        _write,
        (_Machine(np.eye(4)[None, [2, 0, 3, 1]]), 0, 0, 1, 9),
        (_Machine(np.eye(4)[None, [2, 0, 3, 2]]), 0, 0, 1, 5),
        (_Machine(_rng.normal(size=(3, 6, 6))), 1, 2, 4, 12),
        (_Machine(np.eye(3)[None, [1, 1, 1]]), 0, 0, 1, 1),
    ),
    (
        "`step(word, state)` wants the last word, first of all `start`, and the state that the last call gave back.",
        "Take `np.argmax(scores)`, keep it, and feed it in again. The list begins after `start`.",
        "Stop after `end`, which is in the list, or when it has `limit` words.",
    ),
)

"""Exercises of the chapter *Made again instead of kept*."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(11)

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Named:
    """A function that messages can name; if `most` is given, for so many tokens at a time and no more."""

    function: Function
    name: str
    most: int | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.most is not None and len(x) > self.most:
            raise ValueError(f"network: wanted at most {self.most} tokens at a time, got {len(x)}")
        return self.function(x)

    def __repr__(self) -> str:
        return self.name


def _double(x: np.ndarray) -> np.ndarray:
    return 2 * x


def _clip(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, x - 1)


def _mix(x: np.ndarray) -> np.ndarray:
    return np.tanh(x).mean(axis=0) + x**2 / 8


_F, _G, _MIX = _Named(_double, "2x"), _Named(_clip, "max(0, x − 1)"), _Named(_mix, "mean(tanh x) + x²/8")


def _inputs(y_1: np.ndarray, y_2: np.ndarray, F: Function, G: Function) -> tuple[np.ndarray, np.ndarray]:
    x_2 = y_2 - G(y_1)
    return y_1 - F(x_2), x_2


def _in_chunks(X: np.ndarray, network: Function, chunk: int) -> np.ndarray:
    return np.concatenate([network(X[start : start + chunk]) for start in range(0, len(X), chunk)])


def _way_back(
    Y_1: np.ndarray, Y_2: np.ndarray, D_1: np.ndarray, D_2: np.ndarray, A: np.ndarray, B: np.ndarray
) -> tuple[np.ndarray, ...]:
    X_2 = Y_2 - np.maximum(0, Y_1 @ B)
    D_hidden = D_2 * (Y_1 @ B > 0)
    D_1 = D_1 + D_hidden @ B.T
    return Y_1 - X_2 @ A, X_2, D_1, D_2 + D_1 @ A.T, X_2.T @ D_1, Y_1.T @ D_hidden


def _judge_counted(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 4:
        return f"wanted four numbers in a tuple, got {answer!r}"
    wanted = {
        "what the plain model keeps": 12 * 48 * 2**18,
        "what is kept with one array a layer": 48 * 2**18,
        "what the reversible model keeps": 2 * 2**18,
        "calls of F": 2 * 48,
    }
    faults = (expect_close(a, float(w), name, rtol=0) for a, (name, w) in zip(answer, wanted.items(), strict=True))
    return next((fault for fault in faults if fault), None)


def _row_mean(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, x) - x.mean(axis=-1, keepdims=True)


def _in_parts(L: int, chunk: int) -> tuple[np.ndarray, _Named, int]:
    return _rng.normal(size=(L, 3)), _Named(_row_mean, f"a network for {chunk} tokens at most", chunk), chunk


def _draw(L: int, d: int) -> tuple[np.ndarray, ...]:
    return tuple(_rng.normal(size=shape) for shape in (*[(L, d)] * 4, (d, d), (d, d)))


counted = Exercise(
    "48 layers, 1,024 tokens of width 256: numbers kept three ways, and calls of all F in a reversible step.",
    _judge_counted,
    (
        "One sequence is 1,024 · 256 numbers. A plain layer keeps twelve.",
        "Two streams of the last layer are all that the reversible model keeps. Each F is called forth and back.",
    ),
)

inputs = Exercise(
    "The inputs of a reversible layer from its outputs.",
    lambda answer: expect_function(
        answer,
        _inputs,
        (np.array([[11.0]]), np.array([[7.0]]), _F, _G),
        (_rng.normal(size=(4, 3)), _rng.normal(size=(4, 3)), _MIX, _G),
        (_rng.normal(size=(2, 5)), _rng.normal(size=(2, 5)), _G, _MIX),
    ),
    (
        "Which of the two functions was given something that is still there?",
        "G was given y_1. So x_2 comes first, and F is then called with x_2.",
    ),
)

in_chunks = Exercise(
    "A network in chunks, for every length.",
    lambda answer: expect_function(
        answer,
        _in_chunks,
        _in_parts(8, 4),
        _in_parts(10, 4),
        _in_parts(3, 5),
    ),
    (
        "Try 10 tokens and a chunk of 4. Which tokens never reach the network?",
        "A slice may reach past the end of an array: `X[8:12]` of ten rows has two. So `range` may go up to len(X).",
    ),
)

way_back = Exercise(
    "Backward through one reversible layer, with F(X) = XA and G(Y) = max(0, YB).",
    lambda answer: expect_function(answer, _way_back, _draw(1, 1), _draw(5, 3), _draw(4, 6)),
    (
        "First X_2, as before. Y_1 = X_1 + F(X_2) enters both outputs: its slope is D_1 plus what comes through G.",
        "Through G: D_2 where YB > 0, else 0; times Bᵀ for the slope by Y_1, and Y_1ᵀ times it for the slope by B.",
        "With the full slope by Y_1, call it D: X_1 gets D, X_2 gets D_2 + D Aᵀ, and A gets X_2ᵀ D.",
    ),
)

"""Exercises of the chapter *Seven ways to score*."""

from typing import Any

import numpy as np

from attn_edu.scores import additive

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(73)


def _judge_counts(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 4:
        return f"wanted four numbers in a tuple, got {answer!r}"
    names = (
        "the number of multiplications",
        "the number of tanhs",
        "the multiplicative score's largest array",
        "the additive score's largest array",
    )
    wanted = (1_920_000.0, 1_920_000.0, 60_000.0, 1_920_000.0)
    faults = (expect_close(a, w, name, rtol=0) for a, w, name in zip(answer, wanted, names, strict=True))
    return next((fault for fault in faults if fault), None)


def _cosines(Q: np.ndarray, K: np.ndarray) -> np.ndarray:
    return (Q / np.linalg.norm(Q, axis=1, keepdims=True)) @ (K / np.linalg.norm(K, axis=1, keepdims=True)).T


def _features(weights: np.ndarray, F: np.ndarray) -> np.ndarray:
    return np.stack([np.correlate(np.pad(weights.sum(0), F.shape[1] // 2), f, "valid") for f in F], axis=1)


def _judge_nearest(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        return f"wanted W_a, U_a and v_a in a tuple, got {answer!r}"
    shapes = {"W_a": (2, 2), "U_a": (2, 2), "v_a": (2,)}
    matrices = {}
    for (name, shape), given in zip(shapes.items(), answer, strict=True):
        array = np.asarray(given, dtype=float)
        if array.shape != shape or not np.isfinite(array).all():
            return f"{name}: wanted finite numbers of shape {shape}, got shape {array.shape}"
        matrices[name] = array
    rng = np.random.default_rng(5)
    for _ in range(50):
        x, y = rng.uniform(-3, 3), np.sort(rng.uniform(-3, 3, size=5))
        distance = np.sort(abs(x - y))
        if distance[1] - distance[0] < 0.1:
            continue  # too close to call
        key = np.stack([y, np.ones(5)], axis=1)
        weights = additive(np.array([[x, 1.0]]), key, key, **matrices)[1][0]
        right = abs(x - y).argmin()
        others = np.delete(weights, right)
        if others.max() >= weights[right]:
            found = np.delete(y, right)[others.argmax()]
            return f"for x = {x:.2f}, y = {found:.2f} gets no less weight than the nearest, y = {y[right]:.2f}"
    return None


counts = Exercise(
    "Multiplications of the multiplicative score, tanhs of the additive one, and the largest array of each.",
    _judge_counts,
    (
        "There are 200 · 300 pairs of a query and a key.",
        "A dot product of width 32 takes 32 multiplications; an additive score takes a tanh for each hidden unit.",
        "The multiplicative scores are one number a pair. The additive ones first stand as 32 numbers a pair.",
    ),
)

cosines = Exercise(
    "The cosine of each row of Q with each row of K, shape (L, S).",
    lambda answer: expect_function(
        answer,
        _cosines,
        (np.array([[3.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])),
        (_rng.normal(size=(3, 4)), _rng.normal(size=(5, 4))),
    ),
    (
        "How many lengths are there? What does `np.linalg.norm(K)` return for a matrix?",
        "`np.linalg.norm(K, axis=1)` has a length for each key. The queries' must divide rows, the keys' columns.",
    ),
)

features = Exercise(
    "The location features of cumulative weights, shape (S, c), for filters F of shape (c, r) with r odd.",
    lambda answer: expect_function(
        answer,
        _features,
        (np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]), np.array([[1.0, 0.0, 0.0]])),
        (_rng.dirichlet(np.ones(6), size=4), _rng.normal(size=(2, 3))),
        (_rng.dirichlet(np.ones(4), size=1), _rng.normal(size=(3, 5))),
    ),
    (
        "First add up the rows of `weights`: one number for each place.",
        "`np.pad(x, r // 2)` puts r // 2 zeros before and after. Place j then sees the r numbers from j on.",
        "Stack these windows to shape (S, r) and multiply by `F.T`.",
    ),
)

nearest = Exercise(
    "W_a, U_a, v_a of an additive score with two hidden units that is largest for the nearest number.",
    _judge_nearest,
    (
        "tanh(z + b) − tanh(z − b) is a bump: largest at z = 0, smaller on both sides. Let z be a multiple of x − y.",
        "The 1 in the query is a bias: its column of W_a holds b in one row and −b in the other.",
        "Too steep a bump is 0 to the last digit from some distance on: take z = (x − y) / 2.",
    ),
)

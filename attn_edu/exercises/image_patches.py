"""Exercises of the chapter *An image is a set of patches*."""

from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(12)


def _judge_counts(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 4:
        return f"wanted four numbers in a tuple, got {answer!r}"
    names = ("the number of tokens", "the size of W", "the size of P", "the number of weights of a head")
    wanted = (197, 16 * 16 * 3 * 768, 197 * 768, 197**2)
    faults = (expect_close(a, float(w), name, rtol=0) for a, w, name in zip(answer, wanted, names, strict=True))
    return next((fault for fault in faults if fault), None)


def _cut(x: np.ndarray, p: int) -> np.ndarray:
    height, width, channels = x.shape
    parts = x.reshape(height // p, p, width // p, p, channels)
    return parts.transpose(0, 2, 1, 3, 4).reshape(-1, p * p * channels)


def _lay(patches: np.ndarray, p: int, height: int, width: int) -> np.ndarray:
    parts = patches.reshape(height // p, width // p, p, p, -1)
    return parts.transpose(0, 2, 1, 3, 4).reshape(height, width, -1)


def _grow(P: np.ndarray) -> np.ndarray:
    wide = round((len(P) - 1) ** 0.5)
    grid = P[1:].reshape(wide, wide, -1).repeat(2, axis=0).repeat(2, axis=1)
    return np.concatenate([P[:1], grid.reshape(4 * wide**2, -1)])


def _pictures(*sizes: tuple[int, int, int, int]) -> list[tuple[Any, ...]]:
    return [(_rng.normal(size=(height, width, channels)), p) for height, width, channels, p in sizes]


counts = Exercise(
    "Tokens, numbers in W and in P, and weights of a head, for 224 × 224 colour pixels, p = 16 and d = 768.",
    _judge_counts,
    (
        "224 / 16 = 14, so there are 14 × 14 patches. One more token stands in front of them.",
        "W has a row for each number of a patch, 16 · 16 · 3, and d columns. P has a row for each token.",
        "Every token asks every token, the class token included.",
    ),
)

cut = Exercise(
    "Patches as rows, in reading order, of an image (height, width, channels).",
    lambda answer: expect_function(answer, _cut, *_pictures((4, 6, 1, 2), (6, 6, 3, 3), (4, 4, 2, 1))),
    (
        "`reshape` never moves a number. What does the first row hold: a square, or the beginning of the top row?",
        "Give patch row, pixel row, patch column and pixel column an axis each: (height/p, p, width/p, p, channels).",
        "Bring the two patch axes to the front with `transpose(0, 2, 1, 3, 4)`, then reshape.",
    ),
)

lay = Exercise(
    "The image that flattened patches came from.",
    lambda answer: expect_function(
        answer,
        _lay,
        *[(_cut(x, p), p, *x.shape[:2]) for x, p in _pictures((4, 6, 1, 2), (6, 9, 3, 3), (2, 4, 2, 1))],
    ),
    (
        "Undo the cutting in the opposite order: first give every axis its place back.",
        "`patches.reshape(height // p, width // p, p, p, -1)` has patch row, patch column, pixel row, pixel column.",
        "Pixel rows belong directly behind patch rows. Which two axes have to change places?",
    ),
)

grow = Exercise(
    "A table of positions for twice as many patches each way: every row copied to the 2 × 2 new places it covers.",
    lambda answer: expect_function(
        answer,
        _grow,
        (np.arange(10.0).reshape(5, 2),),
        (_rng.normal(size=(10, 3)),),
        (_rng.normal(size=(2, 4)),),
    ),
    (
        "Row 0 belongs to the class token, which has no place. Set it aside and put it back at the end.",
        "The other rows form a square: reshape them to (g, g, d), with g the root of their number.",
        "`repeat(2, axis=0)` doubles the rows of the square, `repeat(2, axis=1)` its columns.",
    ),
)

"""Exercises of the chapter *One axis at a time*."""

from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(7)


def _columns_of(image: np.ndarray) -> np.ndarray:
    return image.swapaxes(0, 1)


def _cross(height: int, width: int) -> np.ndarray:
    row, column = np.divmod(np.arange(height * width), width)
    return (row[:, None] == row) | (column[:, None] == column)


def _ways(height: int, width: int, layers: int) -> int:
    return ((height + width) ** layers - height**layers - width**layers) // (height * width)


def _judge_scores(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return f"wanted two numbers in a tuple, got {answer!r}"
    wanted = {"the count for full attention": (48 * 80) ** 2, "the count for both axes": 48 * 80 * (48 + 80)}
    faults = (expect_close(a, float(w), name, rtol=0) for a, (name, w) in zip(answer, wanted.items(), strict=True))
    return next((fault for fault in faults if fault), None)


scores = Exercise(
    "Scores of one head on an image of 48 × 80 pixels: full attention, and a row and a column layer together.",
    _judge_scores,
    (
        "Count for one pixel first: whom does it ask?",
        "In full attention a pixel asks all 48 · 80. In a row layer it asks 80, in a column layer 48.",
    ),
)

columns_of = Exercise(
    "The columns of an image as lines: from (H, W, d) to (W, H, d).",
    lambda answer: expect_function(
        answer,
        _columns_of,
        (np.arange(6.0).reshape(2, 3, 1),),
        (_rng.normal(size=(4, 4, 2)),),
        (_rng.normal(size=(1, 5, 3)),),
    ),
    (
        "`reshape` never moves a number: it reads the array row by row and cuts the line of numbers anew.",
        "Line c should hold `image[0, c]`, `image[1, c]` and so on. Which two axes have to change places?",
    ),
)

cross = Exercise(
    "The mask of criss-cross attention: True where two pixels share a row or a column.",
    lambda answer: expect_function(answer, _cross, (2, 3), (3, 2), (4, 4), (1, 5)),
    (
        "Token i stands in row i // width and column i % width.",
        "`row[:, None] == row` compares every two tokens at once. Do so with the columns, and join both with `|`.",
    ),
)

ways = Exercise(
    "Ways through n summed layers from a pixel to an output in another row and another column.",
    lambda answer: expect_function(answer, _ways, (7, 7, 2), (7, 7, 1), (7, 7, 3), (3, 5, 4), (2, 2, 6)),
    (
        "Let M say how many moves lead from pixel j to pixel i: 1 for the same row, plus 1 for the same column.",
        "Ways of n moves are the entries of M to the power n. `np.linalg.matrix_power` takes it; keep integers.",
        "Pick an entry for two pixels that share no line, such as first and last. An image of one row has none.",
    ),
)

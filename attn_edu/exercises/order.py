"""Exercises of the chapter *Order*."""

from typing import Any

import numpy as np

from attn_edu.core import scaled_dot_product

from ._check import Exercise, expect_close, expect_function


def _rows(length: int, k: int) -> np.ndarray:
    i = np.arange(length)
    return np.clip(i - i[:, None], -k, k) + k


def _shift(r: int, d: int, base: float) -> np.ndarray:
    M = np.zeros((d, d))
    for c in range(0, d, 2):
        angle = r * base ** (-c / d)
        M[c : c + 2, c : c + 2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return M


def _places(start: np.ndarray, attend: Any) -> np.ndarray:
    return np.arange(len(start), dtype=float)


class _Attend:
    """Causal attention that counts how often it is called, in its copies too."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, query: Any, key: Any, value: Any) -> Any:
        self.calls += 1
        return scaled_dot_product(query, key, value, causal=True)

    def __deepcopy__(self, _: Any) -> "_Attend":
        return self

    def __repr__(self) -> str:
        return "attend"


def _judge_places(answer: Any) -> str | None:
    attend, lengths = _Attend(), (6, 1, 13)
    fault = expect_function(answer, _places, *((np.eye(length)[0], attend) for length in lengths))
    if fault is None and attend.calls != len(lengths):
        return f"In {len(lengths)} calls, your function called attend {attend.calls} times, wanted once in each"
    return fault


def _judge_counts(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 4:
        return f"wanted four numbers in a tuple, got {answer!r}"
    parts = ("learned table", "relative tables", "rotation")
    names = [*(f"the count of the {part}" for part in parts), "the slope of head 3"]
    wanted = (512 * 768, 2 * 33 * 64, 0, 1 / 8)
    faults = (expect_close(a, float(w), name, rtol=0) for a, w, name in zip(answer, wanted, names, strict=True))
    return next((fault for fault in faults if fault), None)


counts = Exercise(
    "Parameters of a learned table, of the relative tables and of rotary positions, and ALiBi's slope of head 3 of 8.",
    _judge_counts,
    (
        "A learned table has a row of d numbers for each place.",
        "Offsets run from −k to k, zero included, and there is a table for the keys and one for the values.",
        "Head n of h has the slope 2^(−8n/h), so with 8 heads the slopes are 1/2, 1/4, and so on.",
    ),
)

rows = Exercise(
    "Which row of a table of offsets −k to k belongs to query i and key j.",
    lambda answer: expect_function(answer, _rows, (5, 2), (4, 1), (1, 3), (7, 10)),
    (
        "Print the result for three tokens and k = 1, and read its first row: query 0 and the keys 0, 1 and 2.",
        "Key 1 stands *after* query 0, so its offset is +1 and its row is k + 1.",
        "The offset is j − i, with the query i along the rows and the key j along the columns.",
    ),
)

shift = Exercise(
    "The matrix M with p_t M = p_{t + r} for every place t.",
    lambda answer: expect_function(answer, _shift, (1, 2, 10_000.0), (3, 6, 10_000.0), (-2, 4, 37.0), (0, 2, 5.0)),
    (
        "M has a 2 × 2 block on its diagonal for every hand. Find the block for one hand, (sin a, cos a).",
        "With θ for a step: sin(a + rθ) = sin a cos rθ + cos a sin rθ, cos(a + rθ) = cos a cos rθ − sin a sin rθ.",
        "The first column of a block makes the new sine: (cos rθ, sin rθ). The second makes the new cosine.",
    ),
)

places = Exercise(
    "The place of every token, from one causal attention and a mark on the first token.",
    _judge_places,
    (
        "With equal scores and a causal mask, token t averages the values 0 to t.",
        "If only the first value is 1 and the others are 0, that average is 1 / (t + 1).",
        "Queries and keys of zeros have equal scores: `attend(zeros, zeros, start[:, None])`.",
    ),
)

"""Exercises of the chapter *Near by hash*."""

from typing import Any

import numpy as np

from attn_edu.sparse import angular_hash, lsh_meetings

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(34)


def _judge_counts(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 4:
        return f"wanted four numbers in a tuple, got {answer!r}"
    names = ("the number of keys", "the number of buckets", "the number of columns", "the number of columns in two")
    faults = (
        expect_close(a, float(w), name, rtol=0) for a, w, name in zip(answer, (512, 1024, 512, 32), names, strict=True)
    )
    return next((fault for fault in faults if fault), None)


def _hashed(X: np.ndarray, R: np.ndarray) -> np.ndarray:
    return angular_hash(X, R[None])[0]


def _meets(buckets: np.ndarray, m: int) -> np.ndarray:
    return lsh_meetings(buckets[None], chunk=m, causal=True) > 0


def _joined(outputs: np.ndarray, sums: np.ndarray) -> np.ndarray:
    shares = np.exp(sums - sums.max(axis=0))
    return ((shares / shares.sum(axis=0))[..., None] * outputs).sum(axis=0)


def _vectors(*sizes: tuple[int, int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(_rng.normal(size=(length, width)), _rng.normal(size=(width, half))) for length, width, half in sizes]


counts = Exercise(
    "Keys that a position is compared with, buckets, and columns of R, plain and in two factors.",
    _judge_counts,
    (
        "In each round a position is compared with its own chunk and the one before, whole: 2m keys.",
        "Twice the average bucket, L / b positions, is one chunk: m = 2L / b.",
        "b buckets take b / 2 columns. Factors b₁ and b₂ take b₁ / 2 and b₂ / 2, and b₁ b₂ = b.",
    ),
)

hashed = Exercise(
    "The bucket of each row of X under R, with b = 2 · (columns of R) buckets.",
    lambda answer: expect_function(
        answer,
        _hashed,
        (np.array([[3.0, 1.0], [-3.0, 1.0], [1.0, -3.0]]), np.eye(2)),
        *_vectors((6, 3, 2), (8, 4, 4), (1, 2, 1)),
    ),
    (
        "What is the largest entry of [xR; −xR] for x = (−3, 1) and R = I? Which entry is the largest of |xR|?",
        "`X @ R` has b / 2 columns; put `-X @ R` to its right and take the argmax along each row.",
    ),
)

meets = Exercise(
    "Whom each position may meet in one round of causal LSH attention, from the buckets and m.",
    lambda answer: expect_function(
        answer,
        _meets,
        (np.array([0, 1, 0, 1, 0]), 5),
        (np.array([1, 1, 1, 1, 0]), 2),
        (np.array([0, 0, 0, 0, 0, 0]), 2),
        (_rng.integers(0, 3, size=11), 3),
        (_rng.integers(0, 3, size=100), 7),  # long enough for an unstable sort to show
    ),
    (
        "Where does the sort put each position? `np.argsort(buckets, kind='stable')` lists positions in sorted order; "
        "the argsort of that list says where each has gone.",
        "Place p belongs to chunk p // m. Two positions may meet if the query's chunk less the key's is 0 or 1.",
        "Besides: the same bucket, and the key before the query, so never the query itself.",
    ),
)

joined = Exercise(
    "The outputs of r rounds joined, from their log-sum-exps, for scores of any size.",
    lambda answer: expect_function(
        answer,
        _joined,
        (np.array([[[8.0]], [[32 / 7]]]), np.log([[0.5], [3.5]])),
        (_rng.normal(size=(3, 4, 2)), 2 * _rng.normal(size=(3, 4))),
        (_rng.normal(size=(2, 3, 2)), 1000 + _rng.normal(size=(2, 3))),
        (_rng.normal(size=(2, 2, 1)), np.array([[1000.0, -1000.0], [1001.0, -1000.5]])),  # each column by its own
    ),
    (
        "Round r has the share e^ℓ_r / (e^ℓ_1 + e^ℓ_2 + …) of position i, and the shares of all rounds sum to 1.",
        "That is a softmax of `sums` over its first axis. Subtract the largest first, or e^1000 is infinite.",
        "`shares[..., None] * outputs` multiplies each output, a row of d_v numbers, by its share.",
    ),
)

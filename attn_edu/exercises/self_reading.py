"""Exercises of the chapter *A memory that reads itself*."""

from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(26)


def _judge_counts(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 3:
        return f"wanted three numbers in a tuple, got {answer!r}"
    names = ("the parameters of the LSTM", "those that the tape adds", "the number of scores")
    faults = (
        expect_close(a, float(w), name, rtol=0)
        for a, w, name in zip(answer, (80_400, 30_100, 1_225), names, strict=True)
    )
    return next((fault for fault in faults if fault), None)


def _scores(hidden: np.ndarray, x: np.ndarray, summary: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    t = len(hidden)
    return np.tanh(hidden @ p["W_h"].T + x[t] @ p["W_x"].T + summary[-1] @ p["W_ht"].T) @ p["v"]


def _read(scores: np.ndarray, hidden: np.ndarray, memory: np.ndarray) -> np.ndarray:
    if not len(scores):
        return np.zeros((2, hidden.shape[1]))
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    return np.stack([weights @ hidden, weights @ memory])


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(z / 2)) / 2


def _fused(gates: np.ndarray, r: np.ndarray, c_tilde: np.ndarray, a_tilde: np.ndarray) -> np.ndarray:
    i, f, o, candidate = np.split(gates, 4)
    c = _sigmoid(r) * a_tilde + _sigmoid(f) * c_tilde + _sigmoid(i) * np.tanh(candidate)
    return np.stack([_sigmoid(o) * np.tanh(c), c])


def _tapes(slots: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _rng.normal(size=slots), _rng.normal(size=(slots, d)), _rng.normal(size=(slots, d))


def _past(t: int, d: int, d_in: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    shapes = {"W_h": (n, d), "W_x": (n, d_in), "W_ht": (n, d), "v": (n,)}
    p = {name: _rng.normal(size=shape) for name, shape in shapes.items()}
    return _rng.normal(size=(t, d)), _rng.normal(size=(t + 2, d_in)), _rng.normal(size=(t, d)), p


counts = Exercise(
    "Parameters of an LSTM, parameters that the tape adds, and scores for a text of fifty words.",
    _judge_counts,
    (
        "W has 4d rows and d + d_in columns, and b has 4d entries.",
        "The tape adds W_h and W_h̃, each n × d, W_x, n × d_in, and v with n entries.",
        "The t-th word scores t − 1 slots: 0 + 1 + 2 + … + 49.",
    ),
)

scores = Exercise(
    "The scores of all slots on the tape, for the word that comes next.",
    lambda answer: expect_function(answer, _scores, _past(3, 2, 4, 3), _past(1, 3, 2, 2), _past(6, 4, 4, 5)),
    (
        "What in the score depends on the slot? Only h_i. The word that asks is the same for all slots.",
        "Slots hold the words before: with t slots written, the word that reads is `x[t]`, t counted from 0.",
        "h̃_{t−1} is the last summary, `summary[-1]`; the summaries of other places have no part in it.",
    ),
)

read = Exercise(
    "What is read off both tapes with the softmax of the scores; zeros where the tape is empty.",
    lambda answer: expect_function(
        answer,
        _read,
        (np.log([1.0, 3.0]), np.array([[4.0], [8.0]]), np.array([[0.0], [-4.0]])),
        _tapes(5, 3),
        (1000 + _rng.normal(size=4), *_tapes(4, 2)[1:]),
        (np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3))),
    ),
    (
        "One softmax for both tapes: h̃ and c̃ are means with the *same* weights.",
        "Subtract the largest score first, or e^1000 is infinite. An empty array has no largest: return early.",
        "`np.stack([weights @ hidden, weights @ memory])`, and `np.zeros((2, d))` for a tape without slots.",
    ),
)

fused = Exercise(
    "h_t and c_t of a step with deep fusion, from the sums that go into the gates.",
    lambda answer: expect_function(
        answer,
        _fused,
        (np.array([0.0, 0.0, 50.0, 0.0]), np.array([0.0]), np.array([2.0]), np.array([4.0])),
        *((_rng.normal(size=4 * d), *_rng.normal(size=(3, d))) for d in (3, 5)),
    ),
    (
        "`np.split(gates, 4)` gives the input gate, forget gate, output gate and candidate before σ and tanh.",
        "Three terms: the source's memory under r, the own past under f, what is new under i.",
        "c = σ(r) ã + σ(f) c̃ + σ(i) tanh(candidate), and h = σ(o) tanh(c).",
    ),
)

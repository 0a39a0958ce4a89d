"""Exercises of the chapter *Queries, keys and values*."""

from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(0)


def _hard_lookup(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    return value[np.argmax(key @ query)]


def _same_scores(W_Q: np.ndarray, W_K: np.ndarray, M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return W_Q @ M, W_K @ np.linalg.inv(M).T


def _judge_one_way(answer: Any) -> str | None:
    W_Q, W_K = (np.asarray(matrix, dtype=float) for matrix in answer)
    if W_Q.shape != (2, 1) or W_K.shape != (2, 1):
        return f"W_Q and W_K have shapes {W_Q.shape} and {W_K.shape}, wanted (2, 1) for both"
    scores = W_Q @ W_K.T  # the inputs are the rows of the identity
    weights = np.exp(scores - scores.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    if not weights[0, 1] > 0.9:
        return f"the moth gives the lamp a weight of {weights[0, 1]:.2f}, wanted more than 0.9"
    if not weights[1, 0] < 0.1:
        return f"the lamp gives the moth a weight of {weights[1, 0]:.2f}, wanted less than 0.1"
    return None


def _judge_same_scores(answer: Any) -> str | None:
    W_Q, W_K = _rng.normal(size=(2, 5, 3))
    M = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [1.0, 0.0, 1.0]])
    return expect_function(answer, _same_scores, (W_Q, W_K, M), (W_K, W_Q, np.eye(3) * 4))


one_score = Exercise(
    "The scaled score of q = (2, 1, 0, 1) with k = (1, 0, 3, 2).",
    lambda answer: expect_close(answer, 2.0, "the score"),
    (
        "Multiply entry by entry and add: 2·1 + 1·0 + 0·3 + 1·2.",
        "Here d_k = 4, so divide by 2.",
    ),
)

hard_lookup = Exercise(
    "The value whose key has the largest dot product with the query.",
    lambda answer: expect_function(
        answer,
        _hard_lookup,
        (np.array([1.0, 0.0]), np.array([[0.5, 9.0], [2.0, 0.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])),
        (_rng.normal(size=3), _rng.normal(size=(6, 3)), _rng.normal(size=(6, 2))),
        (-np.ones(2), np.array([[1.0, 1.0], [-1.0, 0.0], [3.0, -9.0]]), np.arange(6.0).reshape(3, 2)),
        (np.array([1.0, 0.0]), np.array([[-5.0, 1.0], [2.0, 0.0], [-1.0, 3.0]]), np.arange(3.0)[:, None]),
    ),
    (
        "`key @ query` is a vector of S scores, one for each key.",
        "`np.argmax` says where the largest stands; that row of `value` is the answer.",
    ),
)

one_way = Exercise(
    "Projections with which the moth attends to the lamp and the lamp does not attend back.",
    _judge_one_way,
    (
        "With these inputs, row i of W_Q is the query of input i and row j of W_K is the key of input j.",
        "The score of i with j is their product. The moth's query times the lamp's key should be large; "
        "what should the lamp's query times the moth's key be, beside the lamp's with its own?",
        "Give the lamp a key of 1 and the moth a key of 0. Then only the queries are left to choose.",
    ),
)

same_scores = Exercise(
    "Another pair of projections with the same scores.",
    _judge_same_scores,
    (
        "Scores depend on W_Q and W_K through the product W_Q W_Kᵀ alone. Try W_K B for some matrix B.",
        "W_Q M (W_K B)ᵀ = W_Q M Bᵀ W_Kᵀ, so M Bᵀ must be the identity.",
    ),
)

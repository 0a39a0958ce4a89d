"""Exercises of the chapter *The block*."""

from typing import Any

import numpy as np

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(10)
_A, _B, _C = _rng.normal(size=(3, 4, 4))


def _norms_first(x: Any, attend: Any, network: Any, norm_1: Any, norm_2: Any) -> Any:
    x = x + attend(norm_1(x))
    return x + network(norm_2(x))


def _norm(x: np.ndarray, gain: Any, bias: Any) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return gain * centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5) + bias


def _attend(x: np.ndarray) -> np.ndarray:
    return np.tanh(x.mean(0) @ _A) + x @ _B


def _network(x: np.ndarray) -> np.ndarray:
    return np.maximum(x @ _C, 0)


def _norm_1(x: np.ndarray) -> np.ndarray:
    return _norm(x, 1.0, 0.0)


def _norm_2(x: np.ndarray) -> np.ndarray:
    return _norm(x, np.array([0.5, 2.0, -1.0, 1.0]), 0.3)


def _judge_weights(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 2:
        return f"wanted two numbers in a tuple, got {answer!r}"
    names = ("the count for an encoder's block", "the count for a decoder's block")
    pairs = zip(answer, (12 * 256**2, 16 * 256**2), names, strict=True)
    return next((fault for a, w, name in pairs if (fault := expect_close(a, float(w), name, rtol=0))), None)


def _judge_sorter(answer: Any) -> str | None:
    wanted = ("W_1", "b_1", "W_2", "b_2")
    if not isinstance(answer, dict) or set(answer) != set(wanted):
        return f"wanted a dict with W_1, b_1, W_2 and b_2, got {answer!r}"
    W_1, b_1, W_2, b_2 = (np.asarray(answer[name], dtype=float) for name in wanted)
    hidden = W_1.shape[-1] if W_1.ndim == 2 else 0
    for name, array, shape in (
        ("W_1", W_1, (2, hidden)),
        ("b_1", b_1, (hidden,)),
        ("W_2", W_2, (hidden, 2)),
        ("b_2", b_2, (2,)),
    ):
        if array.shape != shape:
            due = "(2, d_ff)" if name == "W_1" else shape
            return f"{name} has shape {array.shape}, wanted {due}"
    # The last token is larger than any bias: adding much before the ReLU and taking it off afterwards is no answer.
    far = 10 * max(1.0, np.abs(b_1).max(initial=0.0), np.abs(b_2).max())
    tokens = np.array(
        [[3.0, 1.0], [1.0, 3.0], [-2.0, 5.0], [-1.0, -4.0], [-4.0, -1.0], [2.0, 2.0], [0.0, -3.0], [-3 * far, -2 * far]]
    )
    sorted_ = np.sort(tokens, axis=1)[:, ::-1]
    for token, due in zip(tokens, sorted_, strict=True):
        fault = expect_close(np.maximum(token @ W_1 + b_1, 0) @ W_2 + b_2, due, f"the output for {token.tolist()}")
        if fault:
            return fault
    return None


block_weights = Exercise(
    "Weights of an encoder's and of a decoder's block with d = 256 and d_ff = 1024, without biases and norms.",
    _judge_weights,
    (
        "An attention has four matrices of d × d, the network one of d × d_ff and one of d_ff × d.",
        "An encoder's block has one attention, a decoder's two; each has one network.",
        "With d_ff = 4d the network has 8d², each attention 4d².",
    ),
)

norms_first = Exercise(
    "A pre-norm block from given functions: attention, network and two norms.",
    lambda answer: expect_function(
        answer,
        _norms_first,
        (_rng.normal(size=(3, 4)), _attend, _network, _norm_1, _norm_2),
        (5 * _rng.normal(size=(2, 4)), _attend, _network, _norm_1, _norm_2),
    ),
    (
        "Each layer reads a normalised copy of x. What does it add its result to?",
        "The first half is x + attend(norm_1(x)). Nothing is normalised afterwards.",
    ),
)

leaky_norm = Exercise(
    "A layer norm in which each token has its own mean and variance.",
    lambda answer: expect_function(
        answer,
        _norm,
        (np.array([[0.0, 6.0, 6.0, 8.0], [0.0, 0.0, 0.0, 50.0]]), np.ones(4), np.zeros(4)),
        (_rng.normal(size=(5, 3)), np.array([2.0, 1.0, -1.0]), np.array([0.0, 1.0, 2.0])),
    ),
    (
        "The first token's result changes when a second token stands beside it. Which numbers enter its mean?",
        "Take the mean and the variance along the last axis, `axis=-1`, and keep that axis with `keepdims=True`.",
    ),
)

sorter = Exercise(
    "A feed-forward network that turns every token (a, b) into (max(a, b), min(a, b)).",
    _judge_sorter,
    (
        "max(a, b) = b + max(0, a − b). What is min(a, b)?",
        "The network has no way around the ReLU: to let b through, use two hidden features, max(0, b) and max(0, −b).",
        "Five hidden features suffice: the ReLUs of a, −a, b, −b and a − b.",
    ),
)

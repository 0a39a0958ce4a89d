"""Exercises of the chapter *All at once: matrices*."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._check import Exercise, expect_function

_rng = np.random.default_rng(0)
_SHAPES = {"Q": (8, 6, 4), "K": (8, 10, 4), "the scores": (8, 6, 10), "the output": (8, 6, 5)}


def _judge_shapes(answer: Any) -> str | None:
    for (name, wanted), given in zip(_SHAPES.items(), answer, strict=True):
        if given is None:
            return f"the shape of {name} is still missing"
        if not isinstance(given, tuple | list):
            return f"the shape of {name} is {given!r}, wanted a tuple such as (2, 3)"
        if tuple(given) != wanted:
            return f"the shape of {name} is {tuple(given)}, and that is not it"
    return None


def _batch_mask(lengths: np.ndarray, L: int) -> np.ndarray:
    place = np.arange(L)
    return (place <= place[:, None]) & (place < lengths[:, None])[:, None, :]


def _sequence_first(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    scores = np.einsum("ibn,jbn->bij", query, key) / np.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bij,jbn->ibn", weights, value)


def _two_layers(x: Tensor, attn_mask: Tensor) -> Tensor:
    for _ in range(2):
        scores = x @ x.mT / x.shape[-1] ** 0.5
        weights = scores.masked_fill(~attn_mask, -1e9).softmax(-1).masked_fill(~attn_mask, 0)
        x = x + weights @ x
    return x


def _arrays(*shapes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    return tuple(_rng.normal(size=shape) for shape in shapes)


_x = torch.from_numpy(_rng.normal(size=(5, 3)))
_all, _causal = torch.ones(5, 5, dtype=torch.bool), torch.ones(5, 5, dtype=torch.bool).tril()
_padded = _causal & (torch.arange(5) > 1)  # the first two queries may attend to nothing

shapes = Exercise(
    "The shapes of Q, K, the scores and the output for 8 sequences, 6 queries, 10 keys, d_k = 4 and d_v = 5.",
    _judge_shapes,
    (
        "Each is (batch, rows, columns). Q has a row for each query, K a row for each key.",
        "The scores have a row for each query and a column for each key; the output has a row for each query and "
        "the width of a value.",
    ),
)

batch_mask = Exercise(
    "A mask of shape (B, L, L) that is causal and hides the padding from every query.",
    lambda answer: expect_function(
        answer,
        _batch_mask,
        (np.array([3, 1]), 3),
        (np.array([2, 5, 4]), 5),
        (np.array([1, 3]), 6),  # padding behind every sequence
        (np.array([4, 4, 4, 2]), 4),  # B = L, where a forgotten axis raises nothing
        what="batch_mask",
    ),
    (
        "With `place = np.arange(L)`, the comparison `place <= place[:, None]` is the causal mask.",
        "`place < lengths[:, None]` has shape (B, L): the keys of each sequence that are real.",
        "It needs an axis for the queries, between the two: `[:, None, :]`. Combine the masks by `&`.",
    ),
)

sequence_first = Exercise(
    "Attention for arrays with the sequence axis first and the batch second.",
    lambda answer: expect_function(
        answer,
        _sequence_first,
        _arrays((5, 2, 3), (7, 2, 3), (7, 2, 4)),
        _arrays((4, 4, 4), (4, 4, 4), (4, 4, 4)),  # where a mixed-up axis raises nothing
        what="sequence_first",
    ),
    (
        'A query\'s letters are "ibn" and a key\'s "jbn". Which letters should the scores have, and which is summed?',
        'The scores are `np.einsum("ibn,jbn->bij", query, key)`; divide by √d_k, then softmax over the last axis.',
        'The second call sums over the keys j: it begins with "bij,jbn->".',
    ),
)

spot_the_bugs = Exercise(
    "Two layers that obey the mask, leave their input alone and add nothing where a query may see nothing.",
    lambda answer: expect_function(
        answer,
        _two_layers,
        (_x, _all),
        (_x, _causal),
        (_x, _padded),
        (_x[:4, :2], _causal[:4, :4]),
        what="two_layers",
    ),
    (
        "Which scores does `masked_fill(attn_mask, …)` overwrite: those a query may use, or those it may not?",
        "`x += y` changes the array that x names, and the caller has the same array. `x = x + y` makes a new one.",
        "Follow the mask from the first line of `two_layers` to the last. Who gets it?",
        "In a row with no True every score is −10⁹. Equal scores make equal weights: set the forbidden weights to "
        "zero after the softmax.",
    ),
)

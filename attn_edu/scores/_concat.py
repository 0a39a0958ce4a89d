r"""Concat attention: query and key, one after the other, go through one matrix, a tanh and a vector.

.. math:: s_{ij} = v_a^\top \tanh(W_a [q_i; k_j]), \qquad y_i = \sum_j \operatorname{softmax}(s_i)_j\, v_j

Source: Luong et al. (2015), section 3.1, *concat*. The left and right parts of :math:`W_a` are the two matrices of
`additive`: a matrix times two vectors, one after the other, is the sum of two products.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value

from ._additive import attend_additively

PATTERN = "query: * L d_q, key: * S d_k, value: * S d_v, v_a: n, W_a: n d_q+d_k"


def concat(
    query: Float[np.ndarray, "*batch L d_q"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    W_a: Float[np.ndarray, "n d_q+d_k"],
    v_a: Float[np.ndarray, "n"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average the values, weighted by the softmax of scores that a network gives to each pair, joined.

    Parameters
    ----------
    query : (..., L, d_q)
        What asks, one row per output wanted.
    key : (..., S, d_k)
        What is asked; its width need not be the query's.
    value : (..., S, d_v)
        What is averaged. In the paper the same as `key`.
    W_a : (n, d_q + d_k)
        From a query and a key, one after the other, to n hidden units. As in the paper it multiplies columns.
    v_a : (n,)
        From the hidden units to one score.
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query i may attend to key j. A row without any True gives zero weights and a zero output.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values per query.
    weights : (..., L, S)
        The attention weights; row i belongs to query i.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape.

    References
    ----------
    Luong et al. (2015), section 3.1.

    Examples
    --------
    One hidden unit that adds query and key, and v_a = ln 3 / tanh 1. Query 1 meets keys 0 and −1: the scores are ln 3
    and 0, the weights 3/4 and 1/4:

    >>> v_a = np.array([np.log(3.0) / np.tanh(1.0)])
    >>> concat(
    ...     np.ones((1, 1)), np.array([[0.0], [-1.0]]), np.array([[8.0], [4.0]]), W_a=np.ones((1, 2)), v_a=v_a
    ... )
    (array([[7.]]), array([[0.75, 0.25]]))
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, W_a=W_a, v_a=v_a)
    queries, keys = query[..., :, None, :], key[..., None, :, :]
    pairs = np.broadcast_shapes(queries.shape[:-1], keys.shape[:-1])
    joined = np.concatenate([np.broadcast_to(x, (*pairs, x.shape[-1])) for x in (queries, keys)], -1)
    scores = np.tanh(joined @ W_a.T) @ v_a
    weights = np_ops.masked_softmax(scores, np_ops.may_attend(attn_mask, False, scores.shape))
    return np.einsum("...ij,...jd->...id", weights, value), weights


class Concat(nn.Module):
    """`concat` as a PyTorch module with parameters W_a and v_a. It joins nothing: it adds two products.

    Parameters
    ----------
    d_query, d_key : int
        Widths of queries and keys.
    width : int
        n, the number of hidden units.

    Raises
    ------
    TypeError, ValueError
        If `d_query`, `d_key` or `width` is not an integer of at least 1.

    Examples
    --------
    >>> layer = Concat(d_query=1, d_key=1, width=1)
    >>> _ = layer.load_state_dict({"W_a": torch.ones(1, 2), "v_a": torch.tensor([1.0986123 / 0.7615942])})
    >>> layer(torch.ones(1, 1), torch.tensor([[0.0], [-1.0]]), torch.tensor([[8.0], [4.0]]))[1].detach()
    tensor([[0.7500, 0.2500]])
    """

    def __init__(self, d_query: int, d_key: int, width: int) -> None:
        super().__init__()
        check_width("d_query", d_query)
        check_width("d_key", d_key)
        check_width("width", width)
        self.W_a = nn.Parameter(torch.empty(width, d_query + d_key))
        self.v_a = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W_a anew, Glorot-uniform, and v_a uniformly from ±1/√n."""
        nn.init.xavier_uniform_(self.W_a)
        bound = 1 / math.sqrt(len(self.v_a))
        nn.init.uniform_(self.v_a, -bound, bound)

    def forward(
        self,
        query: Float[Tensor, "*batch L d_q"],
        key: Float[Tensor, "*batch S d_k"],
        value: Float[Tensor, "*batch S d_v"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, W_a=self.W_a, v_a=self.v_a)
        for_query, for_key = self.W_a.split((query.shape[-1], key.shape[-1]), 1)
        shape = (*query.shape[:-1], key.shape[-2])
        allowed = torch_ops.may_attend(attn_mask, False, shape, query.device)
        return attend_additively(query @ for_query.mT, key @ for_key.mT, value, self.v_a, allowed, need_weights)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use, with h·d hidden units and keys of width d."""
    inputs = draw_query_key_value(rng, sizes) | {"key": rng.normal(size=(*sizes.batch, sizes.S, sizes.d))}
    n = sizes.h * sizes.d
    parameters = {"W_a": rng.normal(size=(n, sizes.d_k + sizes.d)) / 2, "v_a": rng.normal(size=n) / 2}
    widths = {"d_query": sizes.d_k, "d_key": sizes.d, "width": n}
    return {
        "plain": Example(inputs, parameters, {}, widths),
        "masked": Example({**inputs, "attn_mask": draw_mask(rng, sizes.L, sizes.S)}, parameters, {}, widths),
    }


MECHANISM = Mechanism(
    title="Concat attention",
    citation="luong2015effective",
    equation=r"s_{ij} = v_a^\top \tanh(W_a [q_i; k_j])",
    cost=r"O(L S (n + d_v) + (L + S)\, d n)",
    kind="attention",
    reference=concat,
    module=Concat,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative equivariant_to_query_order invariant_to_key_order linear_in_values",
        does_not_apply={
            "causal_when_asked": "queries and keys are two sequences",
            "largest_on_diagonal": "queries and keys are two sequences",
        },
    ),
    refuses={"d_query": (0, 2.5), "d_key": (0, "two"), "width": (0, None)},
    chapter="notebooks/origins/03_seven_scores",
)

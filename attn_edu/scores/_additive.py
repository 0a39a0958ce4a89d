r"""Additive attention: a small network scores how well a query fits a key.

.. math:: e_{ij} = v_a^\top \tanh(W_a q_i + U_a k_j), \qquad y_i = \sum_j \operatorname{softmax}(e_i)_j\, v_j

Source: Bahdanau et al. (2015), section 3.1 and appendix A.1.2. There the query is the decoder's state
:math:`s_{i-1}`, and key and value are both the annotation :math:`h_j`.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attn_edu import np_ops, torch_ops
from attn_edu._blocked_attention import ByDevice
from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value

PATTERN = "query: * L d_q, key: * S d_k, value: * S d_v, W_a: n d_q, U_a: n d_k, v_a: n"
HELD = ByDevice(cpu=2**21, accelerator=2**26)  # numbers that the hidden layer holds at a time


def additive_scores(
    query: Float[np.ndarray, "*batch L d_q"],
    key: Float[np.ndarray, "*batch S d_k"],
    W_a: Float[np.ndarray, "n d_q"],
    U_a: Float[np.ndarray, "n d_k"],
    v_a: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "*batch L S"]:
    """Return e, the score of every query with every key.

    Examples
    --------
    One hidden unit, tanh(1 + 0) and tanh(1 − 1):

    >>> one = np.ones((1, 1))
    >>> additive_scores(one, np.array([[0.0], [-1.0]]), one, one, np.ones(1)).round(3)
    array([[0.762, 0.   ]])
    """
    hidden = np.tanh((query @ W_a.T)[..., :, None, :] + (key @ U_a.T)[..., None, :, :])
    return np.einsum("...ijn,n->...ij", hidden, v_a)


def additive(
    query: Float[np.ndarray, "*batch L d_q"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    W_a: Float[np.ndarray, "n d_q"],
    U_a: Float[np.ndarray, "n d_k"],
    v_a: Float[np.ndarray, "n"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average the values, weighted by the softmax of scores that a network with one hidden layer gives.

    Parameters
    ----------
    query : (..., L, d_q)
        What asks, one row per output wanted.
    key : (..., S, d_k)
        What is asked; its width need not be the query's.
    value : (..., S, d_v)
        What is averaged. In the paper the same as `key`.
    W_a, U_a : (n, d_q), (n, d_k)
        From query and key to n hidden units. As in the paper they multiply columns.
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
    Bahdanau et al. (2015), section 3.1 and appendix A.1.2.

    Examples
    --------
    One hidden unit, and v_a = ln 3 / tanh 1. Query 1 meets keys 0 and −1: the unit gives tanh 1 and tanh 0, the scores
    are ln 3 and 0, the weights 3/4 and 1/4, and the output 3/4 · 8 + 1/4 · 4 = 7:

    >>> one, v_a = np.ones((1, 1)), np.array([np.log(3.0) / np.tanh(1.0)])
    >>> output, weights = additive(
    ...     one, np.array([[0.0], [-1.0]]), np.array([[8.0], [4.0]]), W_a=one, U_a=one, v_a=v_a
    ... )
    >>> weights
    array([[0.75, 0.25]])
    >>> output
    array([[7.]])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, W_a=W_a, U_a=U_a, v_a=v_a)
    scores = additive_scores(query, key, W_a, U_a, v_a)
    weights = np_ops.masked_softmax(scores, np_ops.may_attend(attn_mask, False, scores.shape))
    return np.einsum("...ij,...jd->...id", weights, value), weights


class Additive(nn.Module):
    """`additive` as a PyTorch module with parameters W_a, U_a and v_a.

    The L×S×n hidden units never stand in memory at once: a slab of queries is scored at a time, and again on the way
    back. Nor does the L×S matrix of weights, unless it is asked for.

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
    >>> layer = Additive(d_query=1, d_key=1, width=1)
    >>> one = torch.ones(1, 1)
    >>> v_a = torch.tensor([1.0986123 / 0.7615942])
    >>> _ = layer.load_state_dict({"W_a": one, "U_a": one, "v_a": v_a})
    >>> layer(one, torch.tensor([[0.0], [-1.0]]), torch.tensor([[8.0], [4.0]]))[0].detach()
    tensor([[7.0000]])
    """

    def __init__(self, d_query: int, d_key: int, width: int) -> None:
        super().__init__()
        check_width("d_query", d_query)
        check_width("d_key", d_key)
        check_width("width", width)
        self.W_a = nn.Parameter(torch.empty(width, d_query))
        self.U_a = nn.Parameter(torch.empty(width, d_key))
        self.v_a = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W_a and U_a anew, Glorot-uniform, and v_a uniformly from ±1/√n."""
        nn.init.xavier_uniform_(self.W_a)
        nn.init.xavier_uniform_(self.U_a)
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
        W_a, U_a, v_a = self.W_a, self.U_a, self.v_a
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, W_a=W_a, U_a=U_a, v_a=v_a)
        shape = (*query.shape[:-1], key.shape[-2])
        allowed = torch_ops.may_attend(attn_mask, False, shape, query.device)
        return attend_additively(query @ W_a.mT, key @ U_a.mT, value, v_a, allowed, need_weights)


def attend_additively(
    query: Float[Tensor, "*batch L n"],
    key: Float[Tensor, "*batch S n"],
    value: Float[Tensor, "*batch S d_v"],
    v_a: Float[Tensor, "n"],
    allowed: Bool[Tensor, "..."] | None,
    need_weights: bool,
) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
    """Attend with queries and keys that are projected already."""

    def attend(query: Tensor, allowed: Tensor | None) -> tuple[Tensor, Tensor]:
        scores = (query.unsqueeze(-2) + key.unsqueeze(-3)).tanh() @ v_a
        weights = torch_ops.masked_softmax(scores, allowed)
        return weights @ value, weights

    return attend_in_slabs(attend, (query,), allowed, key.shape[-2], need_weights)


def attend_in_slabs(
    attend: Callable[..., tuple[Tensor, Tensor]],
    rows: tuple[Tensor, ...],
    allowed: Bool[Tensor, "..."] | None,
    places: int,
    need_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """Call ``attend(*rows, allowed)`` on a slab of rows at a time: on all at once, where they are few."""
    query = rows[0]
    length, held = query.shape[-2], HELD[query.device.type]
    few = max(held * max(length, 1) // max(query.numel() * places, 1), 1)
    if few >= length:
        output, weights = attend(*rows, allowed)
        return output, weights if need_weights else None
    outputs, kept = [], []
    for start in range(0, length, few):
        here = slice(start, start + few)
        limit = allowed if allowed is None or allowed.shape[-2] == 1 else allowed[..., here, :]
        slab = [x[..., here, :] for x in rows]
        output, weights = checkpoint(attend, *slab, limit, use_reentrant=False, preserve_rng_state=False)
        outputs.append(output)
        kept += [weights] if need_weights else []
    return torch.cat(outputs, -2), torch.cat(kept, -2) if need_weights else None


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use, with h·d hidden units and keys of width d."""
    inputs = draw_query_key_value(rng, sizes) | {"key": rng.normal(size=(*sizes.batch, sizes.S, sizes.d))}
    n = sizes.h * sizes.d
    shapes = {"W_a": (n, sizes.d_k), "U_a": (n, sizes.d), "v_a": (n,)}
    parameters = {name: rng.normal(size=shape) / 2 for name, shape in shapes.items()}
    widths = {"d_query": sizes.d_k, "d_key": sizes.d, "width": n}
    mask = draw_mask(rng, sizes.L, sizes.S)
    return {
        "plain": Example(inputs, parameters, {}, widths),
        "masked": Example({**inputs, "attn_mask": mask}, parameters, {}, widths),
    }


MECHANISM = Mechanism(
    title="Additive attention",
    citation="bahdanau2015neural",
    equation=r"e_{ij} = v_a^\top \tanh(W_a q_i + U_a k_j)",
    cost=r"O(L S (n + d_v) + (L + S)\, d n)",
    kind="attention",
    reference=additive,
    module=Additive,
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
    chapter="notebooks/origins/02_align_and_translate",
)

r"""Global and sliding-window attention: a window for all, and a few places that see all and are seen by all.

.. math:: y_i = \sum_{j \in N_i \cup G} w_{ij}\, v_j \quad (i \notin G), \qquad
          y_i = \sum_{j} w_{ij}\, \tilde v_j \quad (i \in G)

with weights from :math:`q_i \cdot k_j` in the first and from :math:`\tilde q_i \cdot \tilde k_j` in the second, each
row a softmax over its places, scaled by √d_k as ever.

Source: Beltagy et al. (2020), section 3.1, *global attention* and *linear projections for global attention*. The paper
has a second set of projections for the global attention, and does not say which set serves a query outside G that meets
a key in G. In the code of its authors, and in Hugging Face's, that is the first: such a query has one softmax over its
window and G together, all with ordinary keys and values. The second set serves the queries in G alone. So here.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays
from attn_edu.mechanism import Example, Mechanism, Sizes, claims
from attn_edu.sparse._sliding_window_attention import check_window, window_pattern
from attn_edu.sparse._staircase_attention import flat, residue_bounds, staircase_attention

PATTERN = (
    "query: * L d_k, key: * L d_k, value: * L d_v, global_query: * L d_k, global_key: * L d_k, global_value: * L d_v"
)


def global_pattern(length: int, *, before: int, after: int, at: tuple[int, ...]) -> Bool[np.ndarray, "L L"]:
    """Say which places each place sees: a window, and the global places; a global place sees all.

    Parameters
    ----------
    length : int
        L, the number of places.
    before, after : int
        How many places the window has before and after the query's own.
    at : tuple of int
        G, the global places, each once and in any order.

    Returns
    -------
    allowed : (L, L) bool
        True where query i sees key j.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer or too small, or `at` is not a tuple of different places below `length`.

    Examples
    --------
    >>> global_pattern(5, before=1, after=0, at=(1,)).astype(int)
    array([[1, 1, 0, 0, 0],
           [1, 1, 1, 1, 1],
           [0, 1, 1, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 1, 0, 1, 1]])
    """
    allowed = window_pattern(length, before=before, after=after)
    check_places(at, length)
    allowed[:, list(at)] = allowed[list(at)] = True
    return allowed


def global_window_attention(
    query: Float[np.ndarray, "*batch L d_k"],
    key: Float[np.ndarray, "*batch L d_k"],
    value: Float[np.ndarray, "*batch L d_v"],
    global_query: Float[np.ndarray, "*batch L d_k"],
    global_key: Float[np.ndarray, "*batch L d_k"],
    global_value: Float[np.ndarray, "*batch L d_v"],
    *,
    before: int,
    after: int,
    at: tuple[int, ...],
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L L"]]:
    """Attend to a window and to the global places; from a global place, to all, with projections of its own.

    Parameters
    ----------
    query, key, value : (..., L, d_k), (..., L, d_k), (..., L, d_v)
        Q, K and V at the same L places. Queries at global places are not used; keys and values there are.
    global_query, global_key, global_value : (..., L, d_k), (..., L, d_k), (..., L, d_v)
        What queries at global places use in their stead: their own query, and keys and values of all places. Queries
        elsewhere are not used.
    before, after : int
        How many places the window has before and after the query's own.
    at : tuple of int
        G, the global places, each once and in any order.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average per query: of values, and at global places of global values.
    weights : (..., L, L)
        The attention weights, exactly 0 outside window and G, for queries outside G.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, `before` or `after` is below 0, or `at` is not a tuple of
        different places.

    References
    ----------
    Beltagy et al. (2020), section 3.1.

    Examples
    --------
    Four places, a window of the query's own place alone, and place 0 global. Place 3 sees 0 and itself; the scores are
    0 and ln 3, the weights 1/4 and 3/4, and of 8 and 4 it gets 5. Place 0 sees all four alike, and their global values:

    >>> ones, key = np.ones((4, 1)), np.array([[0.0], [9.0], [9.0], [np.log(3.0)]])
    >>> value, global_value = np.array([[8.0], [70.0], [16.0], [4.0]]), np.array([[1.0], [2.0], [3.0], [6.0]])
    >>> output, weights = global_window_attention(
    ...     ones, key, value, ones, ones, global_value, before=0, after=0, at=(0,)
    ... )
    >>> weights[3], output[3]
    (array([0.25, 0.  , 0.  , 0.75]), array([5.]))
    >>> weights[0], output[0]
    (array([0.25, 0.25, 0.25, 0.25]), array([3.]))
    """
    arrays = {"query": query, "key": key, "value": value}
    arrays |= {"global_query": global_query, "global_key": global_key, "global_value": global_value}
    check_arrays(np.ndarray, PATTERN, **arrays)
    allowed = global_pattern(query.shape[-2], before=before, after=after, at=at)
    everywhere = np.isin(np.arange(len(allowed)), at)[:, None]  # is query i global?
    scores = np.einsum("...id,...jd->...ij", query, key)
    scores = np.where(everywhere, np.einsum("...id,...jd->...ij", global_query, global_key), scores)
    weights = np_ops.masked_softmax(scores / math.sqrt(query.shape[-1]), np.broadcast_to(allowed, scores.shape))
    output = np.einsum("...ij,...jd->...id", weights, value)
    return np.where(everywhere, np.einsum("...ij,...jd->...id", weights, global_value), output), weights


def check_places(at: Any, length: int | None = None) -> None:
    """Check the global places; both forms do."""
    if not isinstance(at, tuple) or any(isinstance(place, bool) or not isinstance(place, int) for place in at):
        raise TypeError(f"at: wanted a tuple of integers, got {at!r}")
    if len(set(at)) < len(at):
        raise ValueError(f"at: wanted each place once, got {at}")
    if any(place < 0 for place in at):
        raise ValueError(f"at: wanted places of at least 0, got {at}")
    if length is not None and any(place >= length for place in at):
        raise ValueError(f"at: wanted places below L = {length}, got {at}")


class GlobalWindowAttention(nn.Module):
    """`global_window_attention` as a PyTorch module; it has no parameters.

    Without weights, the window, the global keys outside it, and the rows of the global queries are computed apart: time
    and memory grow with L. An L×L matrix is made only if weights are asked for.

    Parameters
    ----------
    before, after : int
        How many places the window has before and after the query's own.
    at : tuple of int
        The global places, each once and in any order.

    Raises
    ------
    TypeError, ValueError
        If `before` or `after` is not an integer of at least 0, or `at` is not a tuple of different places.

    Examples
    --------
    >>> ones, key = torch.ones(4, 1), torch.tensor([[0.0], [9.0], [9.0], [1.0986123]])
    >>> value, global_value = torch.tensor([[8.0], [70.0], [16.0], [4.0]]), torch.tensor([[1.0], [2.0], [3.0], [6.0]])
    >>> layer = GlobalWindowAttention(before=0, after=0, at=(0,))
    >>> layer(ones, key, value, ones, ones, global_value)[0][[0, 3]]
    tensor([[3.],
            [5.]])
    """

    def __init__(self, before: int, after: int, at: tuple[int, ...]) -> None:
        super().__init__()
        check_window(before, after, 1)
        check_places(at)
        self.before, self.after, self.at = before, after, at

    def forward(
        self,
        query: Float[Tensor, "*batch L d_k"],
        key: Float[Tensor, "*batch L d_k"],
        value: Float[Tensor, "*batch L d_v"],
        global_query: Float[Tensor, "*batch L d_k"],
        global_key: Float[Tensor, "*batch L d_k"],
        global_value: Float[Tensor, "*batch L d_v"],
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L L"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, L) if `need_weights`, else None."""
        arrays = {"query": query, "key": key, "value": value}
        arrays |= {"global_query": global_query, "global_key": global_key, "global_value": global_value}
        check_arrays(Tensor, PATTERN, **arrays)
        length, scale = query.shape[-2], 1 / math.sqrt(query.shape[-1])
        check_places(self.at, length)
        at = torch.tensor(self.at, dtype=torch.long, device=query.device)
        i = torch.arange(length, device=query.device)
        if need_weights:
            near = self.near(i - i[:, None]).index_fill(0, at, True).index_fill(1, at, True)
            scores = (query * scale) @ key.mT
            scores = scores.index_copy(-2, at, (global_query[..., at, :] * scale) @ global_key.mT)
            weights = torch_ops.masked_softmax(scores, near)
            return (weights @ value).index_copy(-2, at, weights[..., at, :] @ global_value), weights
        q, k, v = (flat(x) for x in (query, key, value))
        output, log_sum_exp = staircase_attention(q, k, v, *residue_bounds(length, 1, self.before, self.after), scale)
        if self.at:
            outside = torch.where(self.near(at - i[:, None]), -math.inf, 0.0)  # the window has seen the others
            far = torch_ops.blocked_attention(q, k[:, at], v[:, at], outside, scale)
            output = torch_ops.combine([(output, log_sum_exp), far])[0]
            q, k, v = (flat(x) for x in (global_query[..., at, :], global_key, global_value))
            output = output.index_copy(1, at, torch_ops.fused_attention(q, k, v, None, False, scale))
        return output.reshape(value.shape), None

    def near(self, ahead: Int[Tensor, "L S"]) -> Bool[Tensor, "L S"]:
        """Say which keys are in the window, from how far they are ahead of the query."""
        return (ahead >= -self.before) & (ahead <= self.after)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one global place within a window to both sides, two with a causal window, and a window that holds all."""
    widths = {"query": sizes.d_k, "key": sizes.d_k, "value": sizes.d_v}
    widths |= {f"global_{name}": width for name, width in widths.items()}
    arrays = {name: rng.normal(size=(*sizes.batch, sizes.L, width)) for name, width in widths.items()}
    one, two = (sizes.L // 2,)[: sizes.L], (sizes.L - 1, 0)[: sizes.L]
    return {
        "one": Example(arrays, options={"before": 1, "after": 1, "at": one}),
        "two": Example(arrays, options={"before": 2, "after": 0, "at": two}),
        "wide": Example(arrays, options={"before": 40, "after": 40, "at": one}),
    }


def recompose(
    weights: np.ndarray, value: np.ndarray, global_value: np.ndarray, at: tuple[int, ...], **_: np.ndarray
) -> np.ndarray:
    """Rebuild the output from the weights: of values, and at global places of global values."""
    output = weights @ value
    output[..., list(at), :] = weights[..., list(at), :] @ global_value
    return output


MECHANISM = Mechanism(
    title="Global and sliding-window attention",
    citation="beltagy2020longformer",
    equation=r"\begin{aligned} i \notin G:\quad & \operatorname{softmax}_{j \in N_i \cup G}\!"
    r"\left(\frac{q_i \cdot k_j}{\sqrt{d_k}}\right) \\ "
    r"i \in G:\quad & \operatorname{softmax}_j\!\left(\frac{\tilde q_i \cdot \tilde k_j}{\sqrt{d_k}}\right) "
    r"\end{aligned}",
    cost=r"O(L (a + b + 1 + |G|) (d_k + d_v))",
    kind="attention",
    reference=global_window_attention,
    module=GlobalWindowAttention,
    examples=examples,
    recompose=recompose,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative",
        fails="equivariant_to_query_order invariant_to_key_order linear_in_values",
        does_not_apply={
            "causal_when_asked": "a global place sees all, before and after",
            "largest_on_diagonal": "queries and keys may come from different inputs",
        },
    ),
    refuses={
        "before": (-1, 1.5, False, None),
        "after": (-1, 1.5, True, None),
        "at": ((-1,), (0, 0), (1.0,), (True,), [0], 0, None),
    },
    chapter="notebooks/long/02_patterns",
)

r"""Sliding-window attention: each query sees the few places around its own, or every second or third of them.

.. math:: y_i = \sum_{j \in N_i} w_{ij}\, v_j, \qquad
          N_i = \{\, j : j = i + n D,\ -b \le n \le a \,\}

Source: Beltagy et al. (2020), section 3.1, *sliding window* and *dilated sliding window*. Their window of w places has
w/2 on each side: b = a = w/2. Their causal form, for language models, has a = 0. D is the dilation.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_width
from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_query_key_value
from attn_edu.sparse._staircase_attention import (
    by_residue,
    flat,
    from_residues,
    residue_bounds,
    staircase_attention,
)

PATTERN = "query: * L d_k, key: * L d_k, value: * L d_v"


def window_pattern(length: int, *, before: int, after: int, dilation: int = 1) -> Bool[np.ndarray, "L L"]:
    """Say which places each place sees through a sliding window.

    Parameters
    ----------
    length : int
        L, the number of places.
    before, after : int
        b and a, how many places the window has before and after the query's own.
    dilation : int
        D, the distance from one place of the window to the next.

    Returns
    -------
    allowed : (L, L) bool
        True where query i sees key j.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer or too small.

    Examples
    --------
    Two places before and none after, two apart: query 4 sees 0, 2 and itself.

    >>> window_pattern(5, before=2, after=0, dilation=2).astype(int)
    array([[1, 0, 0, 0, 0],
           [0, 1, 0, 0, 0],
           [1, 0, 1, 0, 0],
           [0, 1, 0, 1, 0],
           [1, 0, 1, 0, 1]])
    """
    check_width("length", length, least=0)
    check_window(before, after, dilation)
    ahead = np.arange(length) - np.arange(length)[:, None]  # j - i
    return (ahead % dilation == 0) & (-before * dilation <= ahead) & (ahead <= after * dilation)


def sliding_window_attention(
    query: Float[np.ndarray, "*batch L d_k"],
    key: Float[np.ndarray, "*batch L d_k"],
    value: Float[np.ndarray, "*batch L d_v"],
    *,
    before: int,
    after: int,
    dilation: int = 1,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L L"]]:
    """Attend to the places in a window around the query's own.

    Parameters
    ----------
    query, key, value : (..., L, d_k), (..., L, d_k), (..., L, d_v)
        Q, K and V at the same L places.
    before, after : int
        b and a, how many places the window has before and after the query's own; with ``after=0`` it is causal.
    dilation : int
        D, the distance from one place of the window to the next.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values per query.
    weights : (..., L, L)
        The attention weights, exactly 0 outside the window.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, `before` or `after` is below 0, or `dilation` below 1.

    References
    ----------
    Beltagy et al. (2020), section 3.1.

    Examples
    --------
    Four places, and a window of one place before. The last sees the last two; their scores are 0 and ln 3, the weights
    1/4 and 3/4, and of 8 and 4 it gets 1/4 · 8 + 3/4 · 4 = 5:

    >>> query, key = np.ones((4, 1)), np.array([[9.0], [9.0], [0.0], [np.log(3.0)]])
    >>> value = np.array([[70.0], [16.0], [8.0], [4.0]])
    >>> output, weights = sliding_window_attention(query, key, value, before=1, after=0)
    >>> weights[3], output[3]
    (array([0.  , 0.  , 0.25, 0.75]), array([5.]))

    With a dilation of two it sees itself and the place two before, whose key is 9:

    >>> sliding_window_attention(query, key, value, before=1, after=0, dilation=2)[1][3].round(3)
    array([0., 1., 0., 0.])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value)
    allowed = window_pattern(query.shape[-2], before=before, after=after, dilation=dilation)
    return scaled_dot_product(query, key, value, attn_mask=allowed)


def check_window(before: Any, after: Any, dilation: Any) -> None:
    """Check the options; both forms do."""
    check_width("before", before, least=0)
    check_width("after", after, least=0)
    check_width("dilation", dilation)


class SlidingWindowAttention(nn.Module):
    """`sliding_window_attention` as a PyTorch module; it has no parameters.

    Without weights, a few queries at a time meet the keys of their windows alone: time and memory grow with L. With a
    dilation the places are first laid out so that those of a window stand side by side. An L×L matrix is made only if
    weights are asked for.

    Parameters
    ----------
    before, after : int
        How many places the window has before and after the query's own.
    dilation : int
        The distance from one place of the window to the next.

    Raises
    ------
    TypeError, ValueError
        If `before` or `after` is not an integer of at least 0, or `dilation` not one of at least 1.

    Examples
    --------
    >>> query, key = torch.ones(4, 1), torch.tensor([[9.0], [9.0], [0.0], [1.0986123]])
    >>> value = torch.tensor([[70.0], [16.0], [8.0], [4.0]])
    >>> SlidingWindowAttention(before=1, after=0)(query, key, value)[0][3]
    tensor([5.])
    """

    def __init__(self, before: int, after: int, dilation: int = 1) -> None:
        super().__init__()
        check_window(before, after, dilation)
        self.before, self.after, self.dilation = before, after, dilation

    def forward(
        self,
        query: Float[Tensor, "*batch L d_k"],
        key: Float[Tensor, "*batch L d_k"],
        value: Float[Tensor, "*batch L d_v"],
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L L"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, L) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value)
        length, scale = query.shape[-2], 1 / math.sqrt(query.shape[-1])
        if need_weights:
            i = torch.arange(length, device=query.device)
            ahead = i - i[:, None]
            near = (ahead >= -self.before * self.dilation) & (ahead <= self.after * self.dilation)
            return ScaledDotProduct()(query, key, value, near & (ahead % self.dilation == 0))
        step = min(self.dilation, max(length, 1))
        q, k, v = (by_residue(flat(x), step) for x in (query, key, value))
        bounds = residue_bounds(length, step, self.before, self.after)
        output = staircase_attention(q, k, v, *bounds, scale)[0]
        return from_residues(output, step, length).reshape(value.shape), None


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw a window to both sides, a causal one, one of every other place, and one that holds all."""
    arrays = draw_query_key_value(rng, Sizes(sizes.batch, sizes.L, sizes.L, d_k=sizes.d_k, d_v=sizes.d_v))
    return {
        "both sides": Example(arrays, options={"before": 2, "after": 1}),
        "causal": Example(arrays, options={"before": 2, "after": 0}),
        "dilated": Example(arrays, options={"before": 1, "after": 2, "dilation": 2}),
        "wide": Example(arrays, options={"before": 40, "after": 40}),
    }


MECHANISM = Mechanism(
    title="Sliding-window attention",
    citation="beltagy2020longformer",
    equation=r"\begin{gathered} \operatorname{softmax}_{j \in N_i}\!\left(\frac{q_i \cdot k_j}{\sqrt{d_k}}\right) \\ "
    r"N_i = \{ i + n D : -b \le n \le a \} \end{gathered}",
    cost=r"O(L (a + b + 1) (d_k + d_v))",
    kind="attention",
    reference=sliding_window_attention,
    module=SlidingWindowAttention,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative linear_in_values",
        fails="equivariant_to_query_order invariant_to_key_order",
        does_not_apply={
            "causal_when_asked": "it is causal if nothing comes after: after=0",
            "largest_on_diagonal": "queries and keys may come from different inputs",
        },
    ),
    refuses={
        "before": (-1, 1.5, False, None),
        "after": (-1, 1.5, True, None),
        "dilation": (0, -1, 2.0, True, None),
    },
    chapter="notebooks/long/02_patterns",
)

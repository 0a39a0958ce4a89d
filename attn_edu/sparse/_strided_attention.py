r"""Strided attention: each query sees the l places before it, and every l-th place before those.

.. math:: A_i^{(1)} = \{\, j : \max(0, i - l) \le j \le i \,\}, \qquad
          A_i^{(2)} = \{\, j \le i : (i - j) \bmod l = 0 \,\}

Source: Child et al. (2019), section 4.3. A head may have either set, or both at once, the *merged* head of section 5.1.
With l near √L each set has about √L places, and two layers, one of each, join every place to all before it. The first
set has l + 1 places, the query's own among them; OpenAI's code for the paper takes l.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import torch_ops
from attn_edu.checks import check_arrays, check_choice, check_width
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


def strided_pattern(length: int, *, stride: int, part: str = "both") -> Bool[np.ndarray, "L L"]:
    """Say which places each place sees: those just before it, every l-th before it, or both.

    Parameters
    ----------
    length : int
        L, the number of places.
    stride : int
        l.
    part : {"local", "strided", "both"}
        The last l places and the query's own; the query's own and every l-th place before it; or all of those.

    Returns
    -------
    allowed : (L, L) bool
        True where query i sees key j.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer or too small, or `part` is none of the three.

    Examples
    --------
    >>> strided_pattern(6, stride=2, part="strided").astype(int)
    array([[1, 0, 0, 0, 0, 0],
           [0, 1, 0, 0, 0, 0],
           [1, 0, 1, 0, 0, 0],
           [0, 1, 0, 1, 0, 0],
           [1, 0, 1, 0, 1, 0],
           [0, 1, 0, 1, 0, 1]])
    >>> strided_pattern(6, stride=2).astype(int)[5]  # and places 3 to 5 near by
    array([0, 1, 0, 1, 1, 1])
    """
    check_width("length", length, least=0)
    check_stride(stride, part)
    behind = np.arange(length)[:, None] - np.arange(length)  # i - j
    local = (behind >= 0) & (behind <= stride)
    strided = (behind >= 0) & (behind % stride == 0)
    return {"local": local, "strided": strided, "both": local | strided}[part]


def strided_attention(
    query: Float[np.ndarray, "*batch L d_k"],
    key: Float[np.ndarray, "*batch L d_k"],
    value: Float[np.ndarray, "*batch L d_v"],
    *,
    stride: int,
    part: str = "both",
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L L"]]:
    """Attend to the places just before, to every l-th place before, or to both at once. It is causal.

    Parameters
    ----------
    query, key, value : (..., L, d_k), (..., L, d_k), (..., L, d_v)
        Q, K and V at the same L places, in the order of generation.
    stride : int
        l; near √L, both sets of places are small.
    part : {"local", "strided", "both"}
        The last l places and the query's own; the query's own and every l-th place before it; or all of those.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values per query.
    weights : (..., L, L)
        The attention weights, exactly 0 where the pattern has no place.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, `stride` is below 1, or `part` is none of the three.

    References
    ----------
    Child et al. (2019), section 4.3; both at once, section 5.1.

    Examples
    --------
    Five places and a stride of two. The last sees itself, places 2 and 3 near by, and place 0, two strides away. All
    but place 1 have a score of 0, so each of the four has a quarter of the weight, and of 8, 4, 0 and 8 it gets 5:

    >>> query, key = np.ones((5, 1)), np.array([[0.0], [9.0], [0.0], [0.0], [0.0]])
    >>> value = np.array([[8.0], [70.0], [4.0], [0.0], [8.0]])
    >>> output, weights = strided_attention(query, key, value, stride=2)
    >>> weights[4], output[4]
    (array([0.25, 0.  , 0.25, 0.25, 0.25]), array([5.]))

    By strides alone it sees 0, 2 and itself: a third of 8 + 4 + 8.

    >>> strided_attention(query, key, value, stride=2, part="strided")[0][4] * 3
    array([20.])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value)
    allowed = strided_pattern(query.shape[-2], stride=stride, part=part)
    return scaled_dot_product(query, key, value, attn_mask=allowed)


def check_stride(stride: Any, part: Any) -> None:
    """Check the options; both forms do."""
    check_width("stride", stride)
    check_choice("part", part, ("local", "strided", "both"))


class StridedAttention(nn.Module):
    """`strided_attention` as a PyTorch module; it has no parameters.

    Without weights, the places near by and those by strides are attended to apart, and the two results joined; places
    of one stride are first laid side by side. With a stride near √L, time grows with L√L and memory with L. An L×L
    matrix is made only if weights are asked for.

    Parameters
    ----------
    stride : int
        l; near √L, both sets of places are small.
    part : {"local", "strided", "both"}
        See `strided_attention`.

    Raises
    ------
    TypeError, ValueError
        If `stride` is not an integer of at least 1, or `part` is none of the three.

    Examples
    --------
    >>> query, key = torch.ones(5, 1), torch.tensor([[0.0], [9.0], [0.0], [0.0], [0.0]])
    >>> value = torch.tensor([[8.0], [70.0], [4.0], [0.0], [8.0]])
    >>> StridedAttention(stride=2)(query, key, value)[0][4]
    tensor([5.])
    """

    def __init__(self, stride: int, part: str = "both") -> None:
        super().__init__()
        check_stride(stride, part)
        self.stride, self.part = stride, part

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
            behind = i[:, None] - i
            near, far = behind <= self.stride, behind % self.stride == 0
            allowed = {"local": near, "strided": far, "both": near | far}[self.part] & (behind >= 0)
            return ScaledDotProduct()(query, key, value, allowed)
        q, k, v = (flat(x) for x in (query, key, value))
        parts = []
        if self.part != "strided":
            parts.append(staircase_attention(q, k, v, *residue_bounds(length, 1, self.stride, 0), scale))
        if self.part != "local":
            step = min(self.stride, max(length, 1))
            last = 0 if self.part == "strided" else -2  # the local part has the query's own place and one stride before
            q, k, v = (by_residue(x, step) for x in (q, k, v))
            output, log_sum_exp = staircase_attention(q, k, v, *residue_bounds(length, step, length, last), scale)
            parts.append((from_residues(output, step, length), from_residues(log_sum_exp, step, length)))
        output = parts[0][0] if len(parts) == 1 else torch_ops.combine(parts)[0]
        return output.reshape(value.shape), None


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw both parts, each alone, and a stride that reaches beyond the start."""
    arrays = draw_query_key_value(rng, Sizes(sizes.batch, sizes.L, sizes.L, d_k=sizes.d_k, d_v=sizes.d_v))
    return {
        "both": Example(arrays, options={"stride": 2}),
        "local": Example(arrays, options={"stride": 2, "part": "local"}),
        "strided": Example(arrays, options={"stride": 3, "part": "strided"}),
        "long stride": Example(arrays, options={"stride": 40}),
    }


MECHANISM = Mechanism(
    title="Strided attention",
    citation="child2019generating",
    equation=r"\begin{gathered} \operatorname{softmax}_{j \in A_i}\!\left(\frac{q_i \cdot k_j}{\sqrt{d_k}}\right) \\ "
    r"A_i = \{ j \le i : i - j \le l \text{ or } l \mid i - j \} \end{gathered}",
    cost=r"O(L (l + L/l) (d_k + d_v))",
    kind="attention",
    reference=strided_attention,
    module=StridedAttention,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative linear_in_values",
        fails="equivariant_to_query_order invariant_to_key_order",
        does_not_apply={
            "causal_when_asked": "it is always causal",
            "largest_on_diagonal": "queries and keys may come from different inputs",
        },
    ),
    refuses={"stride": (0, -1, 2.0, True, None), "part": ("fixed", "", None, 1)},
    chapter="notebooks/long/02_patterns",
)

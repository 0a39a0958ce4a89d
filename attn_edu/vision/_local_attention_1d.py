r"""Local attention in one dimension: a block of queries asks itself and the few places before it.

.. math:: y_i = \sum_{j \in M_i} w_{ij}\, v_j, \qquad
          M_i = \{\, j : l_q \lfloor i / l_q \rfloor - l_m \le j \le i \,\}

Source: Parmar et al. (2018), section 3.3, *1D local attention*. Query blocks of :math:`l_q` places do not overlap; the
memory block of each is the block itself and the :math:`l_m` places before it. An image comes flattened, row by row.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_flag, check_width
from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_query_key_value

PATTERN = "query: * L d_k, key: * L d_k, value: * L d_v"


def memory_1d(length: int, *, block: int, memory: int, causal: bool = True) -> Bool[np.ndarray, "L L"]:
    """Say which places each place sees.

    Parameters
    ----------
    length : int
        L, the number of places.
    block : int
        l_q, places in a query block.
    memory : int
        l_m, places before the query block that its memory block adds.
    causal : bool
        If True, only places up to the query's own; if False, all of its memory block.

    Returns
    -------
    allowed : (L, L) bool
        True where query i sees key j.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer or too small, or `causal` is not a bool.

    Examples
    --------
    Blocks of two and one place before them:

    >>> memory_1d(5, block=2, memory=1).astype(int)
    array([[1, 0, 0, 0, 0],
           [1, 1, 0, 0, 0],
           [0, 1, 1, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 1, 1]])
    """
    check_width("length", length, least=0)
    check_options(block, memory, causal)
    i, j = np.arange(length)[:, None], np.arange(length)
    start = i // block * block
    return (start - memory <= j) & (j <= (i if causal else start + block - 1))


def local_attention_1d(
    query: Float[np.ndarray, "*batch L d_k"],
    key: Float[np.ndarray, "*batch L d_k"],
    value: Float[np.ndarray, "*batch L d_v"],
    *,
    block: int,
    memory: int,
    causal: bool = True,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L L"]]:
    """Attend within memory blocks: the query's own block, and a few places before it.

    Parameters
    ----------
    query, key, value : (..., L, d_k), (..., L, d_k), (..., L, d_v)
        Q, K and V at the same L places, in the order of generation.
    block : int
        l_q, places in a query block. The last block may be shorter.
    memory : int
        l_m, places before the query block that its memory block adds. With ``block=1`` it is a sliding window.
    causal : bool
        If True, query i sees no place after its own; it does see its own. If False, it sees all of its memory block.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values per query.
    weights : (..., L, L)
        The attention weights, exactly 0 outside the memory block and, if causal, after the query.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, `block` is below 1, or `memory` below 0.

    References
    ----------
    Parmar et al. (2018), section 3.3.

    Examples
    --------
    Three places in blocks of two, and one place before them. The last is alone in its block and sees itself and the
    place before; its scores are 0 and ln 3, its weights 1/4 and 3/4, and of 8 and 4 it gets 1/4 · 8 + 3/4 · 4 = 5:

    >>> query, key = np.ones((3, 1)), np.array([[9.0], [0.0], [np.log(3.0)]])
    >>> output, weights = local_attention_1d(query, key, np.array([[70.0], [8.0], [4.0]]), block=2, memory=1)
    >>> weights[2]
    array([0.  , 0.25, 0.75])
    >>> output[2]
    array([5.])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value)
    allowed = memory_1d(query.shape[-2], block=block, memory=memory, causal=causal)
    return scaled_dot_product(query, key, value, attn_mask=allowed)


def check_options(block: Any, memory: Any, causal: Any) -> None:
    """Check the options; both forms do."""
    check_width("block", block)
    check_width("memory", memory, least=0)
    check_flag("causal", causal)


def spread(weights: Tensor, places: Tensor, count: int) -> Tensor:
    """Lay weights on the keys of memory blocks out over all keys; a place of `count` is none, and falls away."""
    wide = weights.new_zeros(*weights.shape[:-1], count + 1)
    return wide.scatter(-1, places.expand_as(weights), weights)[..., :count]


class LocalAttention1d(nn.Module):
    """`local_attention_1d` as a PyTorch module; it has no parameters.

    Each query block is multiplied with its memory block alone. Time and memory grow with L · (l_q + l_m); only if
    weights are asked for is an L×L matrix made, mostly of zeros.

    Parameters
    ----------
    block, memory : int
        l_q and l_m, see `local_attention_1d`.
    causal : bool
        If True, query i sees no place after its own.

    Raises
    ------
    TypeError, ValueError
        If `block` is not an integer of at least 1, `memory` not one of at least 0, or `causal` not a bool.

    Examples
    --------
    >>> query, key = torch.ones(3, 1), torch.tensor([[9.0], [0.0], [1.0986123]])
    >>> LocalAttention1d(block=2, memory=1)(query, key, torch.tensor([[70.0], [8.0], [4.0]]))[0][2]
    tensor([5.])
    """

    def __init__(self, block: int, memory: int, causal: bool = True) -> None:
        super().__init__()
        check_options(block, memory, causal)
        self.block, self.memory, self.causal = block, memory, causal

    def forward(
        self,
        query: Float[Tensor, "*batch L d_k"],
        key: Float[Tensor, "*batch L d_k"],
        value: Float[Tensor, "*batch L d_v"],
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L L"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, L) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value)
        batch, length, block = query.shape[:-2], query.shape[-2], self.block
        q, k, v = (x.reshape(math.prod(batch), length, x.shape[-1]) for x in (query, key, value))
        count = max(1, math.ceil(length / block))
        before, after = min(self.memory, (count - 1) * block), count * block - length
        q = F.pad(q, (0, 0, 0, after)).unflatten(1, (count, block))  # batch, block, place in it, d_k
        k, v = (F.pad(x, (0, 0, before, after)).unfold(1, before + block, block).mT for x in (k, v))
        i = torch.arange(count * block, device=query.device).reshape(count, block, 1)
        j = i[:, :1] - before + torch.arange(before + block, device=query.device)  # block, 1, place in its memory
        inside = (j >= 0) & (j < length)
        allowed = inside & (j <= i) if self.causal else inside
        context, weights = ScaledDotProduct()(q, k, v, allowed, need_weights)
        if weights is not None:
            weights = spread(weights, j.where(inside, length), length).flatten(1, 2)[:, :length]
            weights = weights.reshape(*batch, length, length)
        return context.flatten(1, 2)[:, :length].reshape(*batch, length, value.shape[-1]), weights


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw blocks that overlap in memory, a sliding window, a memory that holds all, and one without order."""
    arrays = draw_query_key_value(rng, Sizes(sizes.batch, sizes.L, sizes.L, d_k=sizes.d_k, d_v=sizes.d_v))
    return {
        "blocks": Example(arrays, options={"block": 3, "memory": 1}),
        "sliding": Example(arrays, options={"block": 1, "memory": 2}),
        "all before": Example(arrays, options={"block": 2, "memory": 40}),
        "both ways": Example(arrays, options={"block": 2, "memory": 3, "causal": False}),
    }


MECHANISM = Mechanism(
    title="Local attention, 1-D",
    citation="parmar2018image",
    equation=r"\begin{gathered} \operatorname{softmax}_{j \in M_i}\!\left(\frac{q_i \cdot k_j}{\sqrt{d_k}}\right) \\ "
    r"M_i = \{ j : l_q \lfloor i / l_q \rfloor - l_m \le j \le i \} \end{gathered}",
    cost=r"O(L (l_q + l_m) (d_k + d_v))",
    kind="attention",
    reference=local_attention_1d,
    module=LocalAttention1d,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative linear_in_values",
        fails="equivariant_to_query_order invariant_to_key_order",
        does_not_apply={
            "causal_when_asked": "it is causal unless told otherwise",
            "largest_on_diagonal": "queries and keys may come from different inputs",
        },
    ),
    refuses={
        "block": (0, -1, 2.0, True, None),
        "memory": (-1, 1.5, False, None),
        "causal": (1, "yes", None),
    },
    chapter="notebooks/vision/04_local_attention",
)

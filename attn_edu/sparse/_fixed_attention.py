r"""Fixed attention: each query sees its own block so far, and the last few places of every block before.

.. math:: A_i^{(1)} = \{\, j \le i : \lfloor j / l \rfloor = \lfloor i / l \rfloor \,\}, \qquad
          A_i^{(2)} = \{\, j \le i : j \bmod l \in \{ l - c, \dots, l - 1 \} \,\}

Source: Child et al. (2019), section 4.3, *fixed* attention: the last c places of a block of l sum it up for all that
comes after. The paper lets j mod l be in {t, t + 1, …, l} with t = l − c. That lists c + 1 numbers, but no remainder
equals l, so c are left, the c above. (Its example, "positions 120–128" for l = 128 and c = 8, has nine, if both ends
count. Counted from 0 the eight are 120 to 127.)
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import torch_ops
from attn_edu.checks import check_arrays, check_choice, check_width
from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_query_key_value
from attn_edu.sparse._staircase_attention import flat, staircase_attention

PATTERN = "query: * L d_k, key: * L d_k, value: * L d_v"


def fixed_pattern(length: int, *, block: int, summary: int, part: str = "both") -> Bool[np.ndarray, "L L"]:
    """Say which places each place sees: those of its own block so far, the summaries so far, or both.

    Parameters
    ----------
    length : int
        L, the number of places.
    block : int
        l, places in a block.
    summary : int
        c, how many places at the end of each block are its summary.
    part : {"local", "fixed", "both"}
        The query's block up to the query; the summaries of all blocks up to the query; or all of those.

    Returns
    -------
    allowed : (L, L) bool
        True where query i sees key j.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer or too small, `summary` is above `block`, or `part` is none of the three.

    Examples
    --------
    Blocks of three, each summed up in its last place, 2 and 5. Before the first summary there is nothing to see.

    >>> fixed_pattern(7, block=3, summary=1, part="fixed").astype(int)
    array([[0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0],
           [0, 0, 1, 0, 0, 0, 0],
           [0, 0, 1, 0, 0, 0, 0],
           [0, 0, 1, 0, 0, 0, 0],
           [0, 0, 1, 0, 0, 1, 0],
           [0, 0, 1, 0, 0, 1, 0]])
    >>> fixed_pattern(7, block=3, summary=1).astype(int)[4]  # and its own block so far, 3 and 4
    array([0, 0, 1, 1, 1, 0, 0])
    """
    check_width("length", length, least=0)
    check_blocks(block, summary, part)
    i, j = np.arange(length)[:, None], np.arange(length)
    local = (j <= i) & (j // block == i // block)
    fixed = (j <= i) & (j % block >= block - summary)
    return {"local": local, "fixed": fixed, "both": local | fixed}[part]


def fixed_attention(
    query: Float[np.ndarray, "*batch L d_k"],
    key: Float[np.ndarray, "*batch L d_k"],
    value: Float[np.ndarray, "*batch L d_v"],
    *,
    block: int,
    summary: int,
    part: str = "both",
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L L"]]:
    """Attend to the query's own block so far, to the last places of all blocks so far, or to both at once.

    Parameters
    ----------
    query, key, value : (..., L, d_k), (..., L, d_k), (..., L, d_v)
        Q, K and V at the same L places, in the order of generation.
    block : int
        l, places in a block. The last block may be shorter.
    summary : int
        c, how many places at the end of each block are its summary.
    part : {"local", "fixed", "both"}
        The query's block up to the query; the summaries of all blocks up to the query; or all of those. A query that
        comes before the first summary has nothing to attend to in "fixed", and gets zeros.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values per query.
    weights : (..., L, L)
        The attention weights, exactly 0 where the pattern has no place.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, `block` or `summary` is below 1, `summary` is above `block`,
        or `part` is none of the three.

    References
    ----------
    Child et al. (2019), section 4.3; both at once, section 5.1.

    Examples
    --------
    Five places in blocks of two, each summed up in its second place. The last place sees itself and the summaries 1 and
    3. Their scores are 0, 0 and ln 2, so the weights are 1/4, 1/4 and 1/2; of 8, 4 and 6 it gets 2 + 1 + 3 = 6:

    >>> query, key = np.ones((5, 1)), np.array([[9.0], [0.0], [9.0], [0.0], [np.log(2.0)]])
    >>> value = np.array([[70.0], [8.0], [16.0], [4.0], [6.0]])
    >>> output, weights = fixed_attention(query, key, value, block=2, summary=1)
    >>> weights[4], output[4]
    (array([0.  , 0.25, 0.  , 0.25, 0.5 ]), array([6.]))

    From the summaries alone it gets (8 + 4) / 2:

    >>> fixed_attention(query, key, value, block=2, summary=1, part="fixed")[0][4]
    array([6.])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value)
    allowed = fixed_pattern(query.shape[-2], block=block, summary=summary, part=part)
    return scaled_dot_product(query, key, value, attn_mask=allowed)


def check_blocks(block: Any, summary: Any, part: Any) -> None:
    """Check the options; both forms do."""
    check_width("block", block)
    check_width("summary", summary)
    if summary > block:
        raise ValueError(f"summary: wanted an integer of at most block = {block}, got {summary}")
    check_choice("part", part, ("local", "fixed", "both"))


class FixedAttention(nn.Module):
    """`fixed_attention` as a PyTorch module; it has no parameters.

    Without weights, the query's own block and the summaries, which are first put side by side, are attended to apart,
    and the two results joined. With blocks of about √L places, time grows with c · L√L and memory with L. An L×L matrix
    is made only if weights are asked for.

    Parameters
    ----------
    block, summary : int
        l and c, see `fixed_attention`.
    part : {"local", "fixed", "both"}
        See `fixed_attention`.

    Raises
    ------
    TypeError, ValueError
        If `block` or `summary` is not an integer of at least 1, `summary` is above `block`, or `part` is none of the
        three.

    Examples
    --------
    >>> query, key = torch.ones(5, 1), torch.tensor([[9.0], [0.0], [9.0], [0.0], [0.6931472]])
    >>> value = torch.tensor([[70.0], [8.0], [16.0], [4.0], [6.0]])
    >>> FixedAttention(block=2, summary=1)(query, key, value)[0][4]
    tensor([6.])
    """

    def __init__(self, block: int, summary: int, part: str = "both") -> None:
        super().__init__()
        check_blocks(block, summary, part)
        self.block, self.summary, self.part = block, summary, part

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
            j = torch.arange(length, device=query.device)
            i = j[:, None]
            own, last = i // self.block == j // self.block, j % self.block >= self.block - self.summary
            allowed = {"local": own, "fixed": last, "both": own | last}[self.part] & (j <= i)
            return ScaledDotProduct()(query, key, value, allowed)
        q, k, v = (flat(x) for x in (query, key, value))
        i, parts = torch.arange(length), []
        start = i // self.block * self.block
        if self.part != "fixed":
            parts.append(staircase_attention(q, k, v, start, i + 1, scale))
        if self.part != "local":
            end = i // self.block * self.summary  # how many summary places came in former blocks
            if self.part == "fixed":
                end += (i - start + 1 - self.block + self.summary).clamp(min=0)  # and in the query's own, so far
            parts.append(staircase_attention(q, self.summaries(k), self.summaries(v), torch.zeros_like(i), end, scale))
        output = parts[0][0] if len(parts) == 1 else torch_ops.combine(parts)[0]
        return output.reshape(value.shape), None

    def summaries(self, x: Float[Tensor, "n L d"]) -> Float[Tensor, "n S d"]:
        """Put the last places of all blocks side by side; zeros stand for those that the last block lacks."""
        skipped, length = self.block - self.summary, x.shape[1]
        if length <= self.block:
            return x[:, skipped:]
        x = F.pad(x, (0, 0, 0, -length % self.block)).unflatten(1, (-1, self.block))
        return x[:, :, skipped:].flatten(1, 2)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw both parts, each alone, and a block that holds all."""
    arrays = draw_query_key_value(rng, Sizes(sizes.batch, sizes.L, sizes.L, d_k=sizes.d_k, d_v=sizes.d_v))
    return {
        "both": Example(arrays, options={"block": 3, "summary": 2}),
        "local": Example(arrays, options={"block": 2, "summary": 1, "part": "local"}),
        "fixed": Example(arrays, options={"block": 2, "summary": 1, "part": "fixed"}),
        "one block": Example(arrays, options={"block": 40, "summary": 1}),
    }


MECHANISM = Mechanism(
    title="Fixed attention",
    citation="child2019generating",
    equation=r"\begin{gathered} \operatorname{softmax}_{j \in A_i}\!\left(\frac{q_i \cdot k_j}{\sqrt{d_k}}\right) \\ "
    r"A_i = \{ j \le i : \lfloor j/l \rfloor = \lfloor i/l \rfloor \\ "
    r"\text{ or } j \bmod l \ge l - c \} \end{gathered}",
    cost=r"O(L (l + c L/l) (d_k + d_v))",
    kind="attention",
    reference=fixed_attention,
    module=FixedAttention,
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
    refuses={
        "block": (0, -1, 2.0, True, None),
        "summary": (0, -1, 41, 1.5, True, None),
        "part": ("strided", "", None, 1),
    },
    chapter="notebooks/long/02_patterns",
)

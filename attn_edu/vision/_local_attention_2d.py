r"""Local attention in two dimensions: a rectangle of queries asks itself and the pixels above and beside it.

.. math:: y_p = \sum_{n \in M_p,\; t(n) \le t(p)} w_{pn}\, v_n

Source: Parmar et al. (2018), section 3.3, *2D local attention*. Query blocks of :math:`h_q \times w_q` pixels do not
overlap. The memory block :math:`M_p` of pixel p is its query block, :math:`h_m` more rows above, and :math:`w_m` more
columns on the left and on the right. Blocks are generated in reading order and so are the pixels within each: that
order is :math:`t`.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_flag, check_width
from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

from ._local_attention_1d import spread

PATTERN = "query: * H W d_k, key: * H W d_k, value: * H W d_v"


def block_order(height: int, width: int, block: tuple[int, int]) -> Int[np.ndarray, "H W"]:
    """Say when each pixel is generated: block by block in reading order, and so within each block.

    Parameters
    ----------
    height, width : int
        H and W of the image.
    block : (int, int)
        h_q and w_q. Blocks at the lower and right edge may be smaller.

    Returns
    -------
    order : (H, W) int
        0 for the pixel that comes first, H·W − 1 for the last.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer or too small.

    Examples
    --------
    >>> block_order(3, 5, block=(2, 2))
    array([[ 0,  1,  4,  5,  8],
           [ 2,  3,  6,  7,  9],
           [10, 11, 12, 13, 14]])
    """
    check_width("height", height, least=0)
    check_width("width", width, least=0)
    check_pair("block", block, 1)
    r, c = np.indices((height, width)).reshape(2, -1)
    order = np.empty(height * width, dtype=int)
    order[np.lexsort((c, r, c // block[1], r // block[0]))] = np.arange(height * width)  # the last key counts most
    return order.reshape(height, width)


def memory_2d(
    height: int, width: int, *, block: tuple[int, int], memory: tuple[int, int], causal: bool = True
) -> Bool[np.ndarray, "HW HW"]:
    """Say which pixels each pixel sees.

    Parameters
    ----------
    height, width : int
        H and W of the image.
    block : (int, int)
        h_q and w_q, rows and columns of a query block.
    memory : (int, int)
        h_m and w_m, rows above and columns on either side that its memory block adds.
    causal : bool
        If True, only pixels generated up to the query's own; if False, all of its memory block.

    Returns
    -------
    allowed : (H·W, H·W) bool
        True where query i sees key j; pixels are numbered in reading order.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer or too small, or `causal` is not a bool.

    Examples
    --------
    Blocks of 2×2 and one row and column more. What the pixel in row 2, column 1 of a 4×4 image sees, counted from 0:

    >>> memory_2d(4, 4, block=(2, 2), memory=(1, 1))[2 * 4 + 1].reshape(4, 4).astype(int)
    array([[0, 0, 0, 0],
           [1, 1, 1, 0],
           [1, 1, 0, 0],
           [0, 0, 0, 0]])
    """
    check_options(block, memory, causal)
    order = block_order(height, width, block).ravel()
    r, c = np.indices((height, width)).reshape(2, -1)
    top, left = (r // block[0] * block[0])[:, None], (c // block[1] * block[1])[:, None]  # of each query's block
    rows = (top - memory[0] <= r) & (r < top + block[0])
    columns = (left - memory[1] <= c) & (c < left + block[1] + memory[1])
    return rows & columns & (order <= order[:, None] if causal else True)


def local_attention_2d(
    query: Float[np.ndarray, "*batch H W d_k"],
    key: Float[np.ndarray, "*batch H W d_k"],
    value: Float[np.ndarray, "*batch H W d_v"],
    *,
    block: tuple[int, int],
    memory: tuple[int, int],
    causal: bool = True,
) -> tuple[Float[np.ndarray, "*batch H W d_v"], Float[np.ndarray, "*batch HW HW"]]:
    """Attend within memory blocks of an image: the query's own block, and pixels above and beside it.

    Parameters
    ----------
    query, key, value : (..., H, W, d_k), (..., H, W, d_k), (..., H, W, d_v)
        Q, K and V at each pixel.
    block : (int, int)
        h_q and w_q, rows and columns of a query block. Blocks at the lower and right edge may be smaller.
    memory : (int, int)
        h_m and w_m, rows above and columns on either side that its memory block adds.
    causal : bool
        If True, a query sees no pixel that `block_order` puts after its own; it does see its own. If False, it sees all
        of its memory block.

    Returns
    -------
    output : (..., H, W, d_v)
        One weighted average of values per pixel.
    weights : (..., H·W, H·W)
        The attention weights, pixels in reading order; exactly 0 wherever the query does not see.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or a number of `block` or `memory` is too small.

    References
    ----------
    Parmar et al. (2018), section 3.3.

    Examples
    --------
    An image of 2×2 pixels in blocks of one column: the left column comes first. The upper right pixel sees the whole
    left column and itself. Its scores are 0, 0 and ln 2, its weights 1/4, 1/4 and 1/2:

    >>> key = np.array([[[0.0], [np.log(2.0)]], [[0.0], [9.0]]])
    >>> value = np.array([[[4.0], [6.0]], [[8.0], [70.0]]])
    >>> output, weights = local_attention_2d(np.ones((2, 2, 1)), key, value, block=(2, 1), memory=(0, 1))
    >>> weights[1]
    array([0.25, 0.5 , 0.25, 0.  ])
    >>> output[0, 1]  # 1/4 · 4 + 1/4 · 8 + 1/2 · 6
    array([6.])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value)
    height, width = query.shape[-3:-1]
    allowed = memory_2d(height, width, block=block, memory=memory, causal=causal)
    q, k, v = (x.reshape(*x.shape[:-3], height * width, x.shape[-1]) for x in (query, key, value))
    output, weights = scaled_dot_product(q, k, v, attn_mask=allowed)
    return output.reshape(value.shape), weights


def check_pair(name: str, pair: Any, least: int) -> None:
    """Check that an option is a pair of integers of at least so much."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"{name}: wanted a tuple of two integers, got {pair!r}")
    for number in pair:
        check_width(name, number, least)


def check_options(block: Any, memory: Any, causal: Any) -> None:
    """Check the options; both forms do."""
    check_pair("block", block, 1)
    check_pair("memory", memory, 0)
    check_flag("causal", causal)


class LocalAttention2d(nn.Module):
    """`local_attention_2d` as a PyTorch module; it has no parameters.

    Each query block is multiplied with its memory block alone. Time and memory grow with the number of pixels times
    (h_q + h_m)(w_q + 2w_m); only if weights are asked for is a matrix of all pixels by all pixels made.

    Parameters
    ----------
    block, memory : (int, int)
        h_q and w_q, h_m and w_m, see `local_attention_2d`.
    causal : bool
        If True, a query sees no pixel that is generated after its own.

    Raises
    ------
    TypeError, ValueError
        If `block` is not a tuple of two integers of at least 1, `memory` not one of two of at least 0, or `causal` not
        a bool.

    Examples
    --------
    >>> key = torch.tensor([[[0.0], [0.6931472]], [[0.0], [9.0]]])
    >>> value = torch.tensor([[[4.0], [6.0]], [[8.0], [70.0]]])
    >>> LocalAttention2d(block=(2, 1), memory=(0, 1))(torch.ones(2, 2, 1), key, value)[0][0, 1]
    tensor([6.])
    """

    def __init__(self, block: tuple[int, int], memory: tuple[int, int], causal: bool = True) -> None:
        super().__init__()
        check_options(block, memory, causal)
        self.block, self.memory, self.causal = block, memory, causal

    def forward(
        self,
        query: Float[Tensor, "*batch H W d_k"],
        key: Float[Tensor, "*batch H W d_k"],
        value: Float[Tensor, "*batch H W d_v"],
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch H W d_v"], Float[Tensor, "*batch HW HW"] | None]:
        """Return the output (..., H, W, d_v), and the weights (..., H·W, H·W) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value)
        batch, (height, width), (h_q, w_q) = query.shape[:-3], query.shape[-3:-1], self.block
        q, k, v = (x.reshape(math.prod(batch), height, width, x.shape[-1]) for x in (query, key, value))
        down, across = max(1, math.ceil(height / h_q)), max(1, math.ceil(width / w_q))
        h_m, w_m = min(self.memory[0], (down - 1) * h_q), min(self.memory[1], (across - 1) * w_q)
        below, beside = down * h_q - height, across * w_q - width
        sizes = {"down": down, "across": across, "r": h_q, "c": w_q}

        def memories(x: Tensor) -> Tensor:  # a copy of the memory block for each query block
            x = F.pad(x, (0, 0, w_m, beside + w_m, h_m, below))
            x = x.unfold(1, h_m + h_q, h_q).unfold(2, w_q + 2 * w_m, w_q)
            return rearrange(x, "b down across d r c -> b (down across) (r c) d")

        def whole(x: Tensor) -> Tensor:  # the query blocks, put together again
            x = rearrange(x, "b (down across) (r c) d -> b (down r) (across c) d", **sizes)
            return x[:, :height, :width]

        q = F.pad(q, (0, 0, 0, beside, 0, below))
        q = rearrange(q, "b (down r) (across c) d -> b (down across) (r c) d", **sizes)
        places, allowed = self.sees((height, width), (down, across), (h_m, w_m), query.device)
        context, weights = ScaledDotProduct()(q, memories(k), memories(v), allowed, need_weights)
        if weights is not None:
            count = height * width
            weights = whole(spread(weights, places, count)).reshape(*batch, count, count)
        return whole(context).reshape(value.shape), weights

    def sees(
        self, size: tuple[int, int], blocks: tuple[int, int], memory: tuple[int, int], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return the pixel at each place of each memory block (H·W outside), and which of them each query sees."""
        (height, width), (down, across), (h_m, w_m), (h_q, w_q) = size, blocks, memory, self.block
        top, left = torch.arange(down, device=device) * h_q, torch.arange(across, device=device) * w_q
        rows = top[:, None] + torch.arange(-h_m, h_q, device=device)
        columns = left[:, None] + torch.arange(-w_m, w_q + w_m, device=device)
        r, c = rows[:, None, :, None], columns[None, :, None, :]  # down, across, row, column of the memory
        inside = ((r >= 0) & (r < height) & (c >= 0) & (c < width)).flatten(0, 1).flatten(1)[:, None]
        places = (r * width + c).flatten(0, 1).flatten(1)[:, None].where(inside, height * width)
        if not self.causal:
            return places, inside
        # Pixels of other blocks come before if their block does; those of the same block in reading order.
        step = (r // h_q * across + c // w_q) * h_q * w_q + r % h_q * w_q + c % w_q  # grows with the order
        step = step.flatten(0, 1)
        own = step[:, h_m:, w_m : w_m + w_q].flatten(1)
        return places, inside & (step.flatten(1)[:, None] <= own[:, :, None])


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw blocks that do not divide the image, single pixels, a memory that holds all, and one without order."""
    image = (*sizes.batch, sizes.L, sizes.S)
    widths = {"query": sizes.d_k, "key": sizes.d_k, "value": sizes.d_v}
    arrays = {name: rng.normal(size=(*image, width)) for name, width in widths.items()}
    return {
        "blocks": Example(arrays, options={"block": (2, 3), "memory": (1, 2)}),
        "sliding": Example(arrays, options={"block": (1, 1), "memory": (2, 1)}),
        "all before": Example(arrays, options={"block": (3, 2), "memory": (40, 40)}),
        "both ways": Example(arrays, options={"block": (2, 2), "memory": (1, 1), "causal": False}),
    }


def recompose(weights: np.ndarray, value: np.ndarray, **_: np.ndarray) -> np.ndarray:
    """Rebuild the output from the weights: pixels in reading order."""
    flat = value.reshape(*weights.shape[:-1], value.shape[-1])
    return (weights @ flat).reshape(value.shape)


MECHANISM = Mechanism(
    title="Local attention, 2-D",
    citation="parmar2018image",
    equation=r"\begin{gathered} \operatorname{softmax}_{n \in M_p,\, t(n) \le t(p)}\!"
    r"\left(\frac{q_p \cdot k_n}{\sqrt{d_k}}\right) \\ "
    r"M_p: \text{ its block and} \\ h_m \text{ rows above, } w_m \text{ columns beside} \end{gathered}",
    cost=r"O(H W (h_q + h_m)(w_q + 2 w_m)(d_k + d_v))",
    kind="attention",
    reference=local_attention_2d,
    module=LocalAttention2d,
    examples=examples,
    recompose=recompose,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative linear_in_values",
        fails="equivariant_to_query_order invariant_to_key_order",
        does_not_apply={
            "causal_when_asked": "it is causal unless told otherwise, in the order of its blocks",
            "largest_on_diagonal": "queries and keys may come from different inputs",
        },
    ),
    refuses={
        "block": ((0, 1), (1,), 3, (2, 2.0), [2, 2], None),
        "memory": ((-1, 0), (0, 1, 2), 0, (1.5, 0), None),
        "causal": (1, "yes", None),
    },
    chapter="notebooks/vision/04_local_attention",
)

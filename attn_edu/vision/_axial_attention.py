r"""Axial attention: attend within each line of an array along one axis, then along the next.

.. math:: \text{stacked: } Y = A_2(A_1(X)), \qquad \text{summed: } Y = A_1(X) + A_2(X)

:math:`A_a` is multi-head self-attention along axis a, with projections of its own; the other axes are batch axes to it.
Source: Ho et al. (2019), section 3.1, who stack such layers. Common code adds up the outputs of all axes instead.
"""

import math
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_divides, check_flag, check_width
from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * d, W_Q: n d hd_k, W_K: n d hd_k, W_V: n d hd_v, W_O: n hd_v d"


def axial_attention(
    x: Float[np.ndarray, "*axes d"],
    *,
    W_Q: Float[np.ndarray, "n d hd_k"],
    W_K: Float[np.ndarray, "n d hd_k"],
    W_V: Float[np.ndarray, "n d hd_v"],
    W_O: Float[np.ndarray, "n hd_v d"],
    heads: int,
    along: tuple[int, ...],
    summed: bool = False,
) -> tuple[Float[np.ndarray, "*axes d"], tuple[Float[np.ndarray, "..."], ...]]:
    """Attend along one axis at a time, with h heads and projections of its own for each.

    Parameters
    ----------
    x : (..., d)
        An array of inputs of width d, with any axes before it; an image is (..., H, W, d).
    W_Q, W_K : (n, d, h·d_k)
        Projections to queries and keys, one matrix for each of the n entries of `along`.
    W_V : (n, d, h·d_v)
        Projections to values.
    W_O : (n, h·d_v, d)
        Output projections.
    heads : int
        h.
    along : tuple of n int
        Which axis each layer attends along, counted from the end: -2 is within the rows of an image, -3 within its
        columns.
    summed : bool
        If False, each layer reads the output of the one before. If True, each reads x, and the outputs are added.

    Returns
    -------
    output : (..., d)
        In the shape of x.
    weights : tuple of n arrays
        For each layer (..., h, n_a, n_a), where n_a is the length of its axis and the dots are the other axes.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, x has no such axis, or `heads` does not divide a width.

    References
    ----------
    Ho et al. (2019), section 3.1.

    Examples
    --------
    Two rows of two pixels, with one number each. Within rows, scores are ln 3 times the product of both: pixel 1 beside
    pixel 0 has the weights 3/4 and 1/4, all other pairs are even. Within columns the query is 0, so all are even:

    >>> x = np.array([[[0.0], [1.0]], [[1.0], [1.0]]])
    >>> ones = np.ones((2, 1, 1))
    >>> W_Q = np.array([[[np.log(3.0)]], [[0.0]]])
    >>> output, (rows, columns) = axial_attention(x, W_Q=W_Q, W_K=ones, W_V=ones, W_O=ones, heads=1, along=(-2, -3))
    >>> rows[0, 0]  # after it: 1/2 and 3/4 above 1 and 1
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])
    >>> output[..., 0]
    array([[0.75 , 0.875],
           [0.75 , 0.875]])
    """
    check_axes(np.ndarray, heads, along, summed, x=x, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)
    outputs, maps = [x], []
    for n, axis in enumerate(along):
        lines = np.moveaxis(x if summed else outputs[-1], axis, -2)
        q, k, v = (rearrange(lines @ W[n], "... i (h d) -> ... h i d", h=heads) for W in (W_Q, W_K, W_V))
        context, weights = scaled_dot_product(q, k, v)
        outputs.append(np.moveaxis(rearrange(context, "... h i d -> ... i (h d)") @ W_O[n], -2, axis))
        maps.append(weights)
    return np.sum(outputs[1:], axis=0) if summed else outputs[-1], tuple(maps)


def check_along(along: Any) -> None:
    """Check that the axes are counted from the end, and that the last, which holds the features, is none of them."""
    if not isinstance(along, tuple) or not all(isinstance(axis, int) and not isinstance(axis, bool) for axis in along):
        raise TypeError(f"along: wanted a tuple of integers, got {along!r}")
    if not along or max(along) > -2:
        raise ValueError(f"along: wanted one or more axes, each -2 or less, got {along}")


def check_axes(kind: Any, heads: Any, along: Any, summed: Any, **arrays: Any) -> None:
    """Check all arguments; both forms do."""
    check_along(along)
    check_flag("summed", summed)
    check_arrays(kind, PATTERN, **arrays)
    check_divides("heads", heads, W_Q=arrays["W_Q"].shape[2], W_V=arrays["W_V"].shape[2])
    if len(arrays["W_Q"]) != len(along):
        raise ValueError(f"W_Q: wanted a matrix for each axis in along = {along}, got {len(arrays['W_Q'])}")
    if arrays["x"].ndim < -min(along):
        raise ValueError(f"x: wanted the axes along = {along} and features, got shape {tuple(arrays['x'].shape)}")


class AxialAttention(nn.Module):
    """`axial_attention` as a PyTorch module with parameters W_Q, W_K, W_V and W_O.

    No axis is ever moved. Seen from the axis that is attended along, what lies before it is a batch, and what lies
    after it can be taken for heads: then each line is a view into memory, and the fused kernel reads it where it is.

    Parameters
    ----------
    d_model : int
        Width d of inputs and outputs.
    heads : int
        h; each head has queries, keys and values of width d/h.
    along : tuple of int
        See `axial_attention`; the default is within rows, then within columns.
    summed : bool
        If True, add up what the axes give; if False, let each read the output of the one before.

    Raises
    ------
    TypeError, ValueError
        If `d_model` is not an integer of at least 1, `heads` does not divide it, an axis is not an integer of at most
        -2, or `summed` is not a bool.

    Examples
    --------
    >>> layer, ones = AxialAttention(d_model=1, heads=1), torch.ones(2, 1, 1)
    >>> W_Q = torch.tensor([[[1.0986123]], [[0.0]]])
    >>> _ = layer.load_state_dict({"W_Q": W_Q, "W_K": ones, "W_V": ones, "W_O": ones})
    >>> layer(torch.tensor([[[0.0], [1.0]], [[1.0], [1.0]]]))[0][..., 0].detach()
    tensor([[0.7500, 0.8750],
            [0.7500, 0.8750]])
    """

    def __init__(self, d_model: int, heads: int, along: tuple[int, ...] = (-2, -3), summed: bool = False) -> None:
        super().__init__()
        check_width("d_model", d_model)
        check_divides("heads", heads, d_model=d_model)
        check_along(along)
        check_flag("summed", summed)
        self.heads, self.along, self.summed = heads, along, summed
        self.attend = ScaledDotProduct()
        self.W_Q, self.W_K, self.W_V, self.W_O = (
            nn.Parameter(torch.empty(len(along), d_model, d_model)) for _ in range(4)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every matrix anew, Glorot-uniform."""
        for weight in self.parameters():
            for matrix in weight:
                nn.init.xavier_uniform_(matrix)

    def forward(
        self, x: Float[Tensor, "*axes d"], need_weights: bool = True
    ) -> tuple[Float[Tensor, "*axes d"], tuple[Float[Tensor, "..."], ...] | None]:
        """Return the output in the shape of x, and the weights of each axis if `need_weights`, else None."""
        W_Q, W_K, W_V, W_O = self.W_Q, self.W_K, self.W_V, self.W_O
        check_axes(Tensor, self.heads, self.along, self.summed, x=x, W_Q=W_Q, W_K=W_K, W_V=W_V, W_O=W_O)
        output, maps = x, []
        layers = zip(self.along, *(W.unbind() for W in (W_Q, W_K, W_V, W_O)), strict=True)
        for n, (axis, W_q, W_k, W_v, W_o) in enumerate(layers):
            read = x if self.summed else output
            context, weights = self.attend_along(axis, read @ W_q, read @ W_k, read @ W_v, need_weights)
            output = output + context @ W_o if self.summed and n else context @ W_o
            maps += [] if weights is None else [weights]
        return output, tuple(maps) if need_weights else None

    def attend_along(
        self, axis: int, query: Tensor, key: Tensor, value: Tensor, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Attend along one axis of what is projected already; return the joined heads, and the weights or None."""
        before, length, after = query.shape[:axis], query.shape[axis], query.shape[axis + 1 : -1]
        shape = (math.prod(before), length, math.prod(after) * self.heads, query.shape[-1] // self.heads)
        q, k, v = (x.reshape(shape).transpose(1, 2) for x in (query, key, value))
        context, weights = self.attend(q, k, v, None, need_weights)
        if weights is not None:
            weights = weights.reshape(*before, *after, self.heads, length, length)
        return context.transpose(1, 2).reshape(query.shape), weights


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw a sequence, images whose axes are stacked and summed, and an array of three axes."""
    width = sizes.h * sizes.d

    def draw(axes: tuple[int, ...], along: tuple[int, ...], **options: bool) -> Example:
        x = rng.normal(size=(*sizes.batch, *axes, width))
        shape = (len(along), width, width)
        parameters = {W: rng.normal(size=shape) / math.sqrt(width) for W in ("W_Q", "W_K", "W_V", "W_O")}
        return Example({"x": x}, parameters, {"heads": sizes.h, "along": along, **options}, {"d_model": width})

    return {
        "one axis": draw((sizes.L,), (-2,)),
        "stacked": draw((sizes.S, sizes.L), (-2, -3)),
        "summed": draw((sizes.S, sizes.L), (-3, -2), summed=True),
        "three axes": draw((2, sizes.L, sizes.S), (-3, -4, -2)),
    }


def recompose(
    weights: np.ndarray | tuple[np.ndarray, ...],
    x: np.ndarray,
    W_V: np.ndarray,
    W_O: np.ndarray,
    along: tuple[int, ...],
    summed: bool = False,
    **_: np.ndarray,
) -> np.ndarray:
    """Rebuild the output axis by axis and head by head: weights times values times the head's rows of W_O."""
    made = [x]
    for axis, maps, wide_V, wide_O in zip(along, [weights] if len(along) == 1 else weights, W_V, W_O, strict=True):
        lines = np.moveaxis(x if summed else made[-1], axis, -2)
        parts = zip(np.split(wide_V, maps.shape[-3], axis=1), np.split(wide_O, maps.shape[-3]), strict=True)
        out = [maps[..., n, :, :] @ (lines @ w_v) @ w_o for n, (w_v, w_o) in enumerate(parts)]
        made.append(np.moveaxis(np.sum(out, axis=0), -2, axis))
    return np.sum(made[1:], axis=0) if summed else made[-1]


MECHANISM = Mechanism(
    title="Axial attention",
    citation="ho2019axial",
    equation=r"\begin{gathered} \text{stacked: } A_2(A_1(X)) \\ \text{summed: } A_1(X) + A_2(X) \end{gathered}",
    cost=r"O(H W (H + W)\, d + H W d^2)",
    kind="attention",
    reference=axial_attention,
    module=AxialAttention,
    examples=examples,
    recompose=recompose,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative equivariant_to_query_order",
        fails="largest_on_diagonal",
        does_not_apply={
            "invariant_to_key_order": "keys and values come from the same input as the queries",
            "linear_in_values": "values come from the same input as queries and keys",
            "causal_when_asked": "pixels have no first and last; the paper's masked layers are others",
        },
    ),
    refuses={
        "along": ((), (-1, -2), (2,), [-2], -2, (-2.0,)),
        "summed": (1, "yes", None),
        "heads": (0, 4, 2.0, "two"),
        "d_model": (0, 2.5),
    },
    chapter="notebooks/vision/03_axial_attention",
)

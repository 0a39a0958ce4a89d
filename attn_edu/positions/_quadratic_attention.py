r"""Quadratic attention: each head looks at one offset in an image, the more exclusively the larger its α.

.. math:: w^{(n)}_{ij} = \operatorname{softmax}_j\bigl(-\alpha_n \lVert (j - i) - \Delta_n \rVert^2\bigr), \qquad
          y_i = \sum_n \sum_j w^{(n)}_{ij}\, x_j W^V_n W^O_n

Here i and j are pixels, pairs of row and column. Neither queries nor keys read the image, so the weights depend on
where pixels stand and on nothing else.

Source: Cordonnier, Loukas and Jaggi (2020), the quadratic encoding of section 3. With :math:`\delta = j - i` the paper
multiplies :math:`v = -\alpha(1, -2\Delta_1, -2\Delta_2)` by :math:`r_\delta = (\lVert\delta\rVert^2, \delta_1,
\delta_2)`. That is the score above plus :math:`\alpha\lVert\Delta\rVert^2`, a constant that the softmax drops.
"""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu import np_ops
from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * H W d, alpha: h, centres: h axes, W_V: d hd_v, W_O: hd_v d_out"


def _check(kind: type, **arrays: Any) -> None:
    check_arrays(kind, PATTERN, **arrays)
    heads, width = arrays["alpha"].shape[0], arrays["W_V"].shape[1]
    if arrays["centres"].shape[1] != 2:
        raise ValueError(f"centres: wanted shape (h, 2), rows and columns, got {tuple(arrays['centres'].shape)}")
    if heads == 0 or width % heads:
        raise ValueError(f"W_V: wanted as many columns for each of {heads} heads, as in alpha, got {width} columns")


def quadratic_attention(
    x: Float[np.ndarray, "*batch H W d"],
    *,
    alpha: Float[np.ndarray, "h"],
    centres: Float[np.ndarray, "h 2"],
    W_V: Float[np.ndarray, "d hd_v"],
    W_O: Float[np.ndarray, "hd_v d_out"],
) -> tuple[Float[np.ndarray, "*batch H W d_out"], Float[np.ndarray, "h H*W H*W"]]:
    """Average the pixels around a fixed offset from each pixel, once per head, and project the joined heads.

    Parameters
    ----------
    x : (..., H, W, d)
        Image of H rows and W columns, d features a pixel.
    alpha : (h,)
        How sharply each head looks: at 0 it averages the whole image, as α grows it picks the one nearest pixel.
    centres : (h, 2)
        Δ, the offset in rows and columns that each head looks at.
    W_V : (d, h·d_v)
        Projection to the values of all heads, side by side.
    W_O : (h·d_v, d_out)
        Output projection.

    Returns
    -------
    output : (..., H, W, d_out)
        The joined heads times W_O.
    weights : (h, H·W, H·W)
        One matrix per head, pixels row by row; without batch axes, since no image enters.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or the heads do not divide the columns of W_V.

    References
    ----------
    Cordonnier, Loukas and Jaggi (2020), section 3.

    Examples
    --------
    Two pixels side by side, α = ln 3, and a head that looks one to the right. From the left pixel the squared distances
    to that place are 1 and 0, so the weights are as 1/3 to 1. From the right one, which has no right neighbour, they
    are 4 and 1, and the weights as 1/81 to 1/3, or 1 to 27:

    >>> output, weights = quadratic_attention(
    ...     np.array([[[28.0], [0.0]]]), alpha=np.log([3.0]), centres=np.array([[0.0, 1.0]]),
    ...     W_V=np.ones((1, 1)), W_O=np.ones((1, 1)),
    ... )
    >>> np.round(weights * 28)
    array([[[ 7., 21.],
            [ 1., 27.]]])
    >>> output.round(12)
    array([[[7.],
            [1.]]])
    """
    _check(np.ndarray, x=x, alpha=alpha, centres=centres, W_V=W_V, W_O=W_O)
    pixels = np.argwhere(np.ones(x.shape[-3:-1]))  # (H·W, 2), row by row
    offsets = pixels - pixels[:, None]  # j − i at [i, j]
    distances = ((offsets - centres[:, None, None]) ** 2).sum(-1)
    scores = -alpha[:, None, None] * distances  # (h, H·W, H·W)
    weights = np_ops.masked_softmax(scores, np.ones(scores.shape, dtype=bool))
    values = rearrange(x @ W_V, "... row column (h d) -> ... h (row column) d", h=len(alpha))
    joined = rearrange(weights @ values, "... h pixel d -> ... pixel (h d)")
    return (joined @ W_O).reshape(*x.shape[:-1], W_O.shape[1]), weights


class QuadraticAttention(nn.Module):
    """`quadratic_attention` as a PyTorch module with parameters alpha, centres, W_V and W_O.

    A squared distance is one of rows plus one of columns, so a head's weights are a product of two softmaxes, H × H and
    W × W. With ``need_weights=False`` no array of size H·W × H·W is made.

    Parameters
    ----------
    d_model : int
        Width d of the pixels and of the output.
    heads : int
        h.
    d_v : int
        Width of each head's values; d_model if the heads are to express any convolution.

    Raises
    ------
    TypeError, ValueError
        If `d_model`, `heads` or `d_v` is not an integer of at least 1.

    Examples
    --------
    >>> layer, one = QuadraticAttention(d_model=1, heads=1, d_v=1), torch.ones(1, 1)
    >>> state = {"alpha": torch.tensor([3.0]).log(), "centres": torch.tensor([[0.0, 1.0]]), "W_V": one, "W_O": one}
    >>> _ = layer.load_state_dict(state)
    >>> layer(torch.tensor([[[28.0], [0.0]]]))[0].detach()
    tensor([[[7.0000],
             [1.0000]]])
    """

    def __init__(self, d_model: int, heads: int, d_v: int) -> None:
        super().__init__()
        check_width("d_model", d_model)
        check_width("heads", heads)
        check_width("d_v", d_v)
        self.alpha = nn.Parameter(torch.empty(heads))
        self.centres = nn.Parameter(torch.empty(heads, 2))
        self.W_V = nn.Parameter(torch.empty(d_model, heads * d_v))
        self.W_O = nn.Parameter(torch.empty(heads * d_v, d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set α to 1, draw the centres from a standard normal and the projections Glorot-uniform."""
        nn.init.ones_(self.alpha)
        nn.init.normal_(self.centres)
        nn.init.xavier_uniform_(self.W_V)
        nn.init.xavier_uniform_(self.W_O)

    def along(self, axis: int, length: int) -> Float[Tensor, "h length length"]:
        """Weights of rows alone (axis 0) or of columns alone (axis 1), in at least single precision."""
        precise = torch.promote_types(self.alpha.dtype, torch.float32)
        place = torch.arange(length, device=self.alpha.device, dtype=precise)
        offset = place - place[:, None] - self.centres[:, axis, None, None].to(precise)
        return (-self.alpha[:, None, None].to(precise) * offset**2).softmax(-1)

    def forward(
        self, x: Float[Tensor, "*batch H W d"], need_weights: bool = True
    ) -> tuple[Float[Tensor, "*batch H W d"], Float[Tensor, "h H*W H*W"] | None]:
        """Return the output (..., H, W, d), and the weights (h, H·W, H·W) if `need_weights`, else None."""
        _check(Tensor, x=x, alpha=self.alpha, centres=self.centres, W_V=self.W_V, W_O=self.W_O)
        rows, columns = self.along(0, x.shape[-3]), self.along(1, x.shape[-2])
        values = rearrange(x @ self.W_V, "... row column (h d) -> ... h row column d", h=len(self.alpha))
        if need_weights:
            weights = torch.einsum("hac,hbd->habcd", rows, columns).flatten(3).flatten(1, 2).to(x.dtype)
            context = (weights @ values.flatten(-3, -2)).unflatten(-2, x.shape[-3:-1])
        else:
            weights = None
            context = torch.einsum("hbd,...hcdv->...hcbv", columns.to(x.dtype), values)
            context = torch.einsum("hac,...hcbv->...habv", rows.to(x.dtype), context)
        return rearrange(context, "... h row column d -> ... row column (h d)") @ self.W_O, weights


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw an image of L rows and S columns, and heads that look about one pixel away."""
    parameters = {
        "alpha": rng.uniform(0.2, 1.0, size=sizes.h),
        "centres": rng.normal(size=(sizes.h, 2)),
        "W_V": rng.normal(size=(sizes.d, sizes.h * sizes.d_v)),
        "W_O": rng.normal(size=(sizes.h * sizes.d_v, sizes.d)),
    }
    x = rng.normal(size=(*sizes.batch, sizes.L, sizes.S, sizes.d))
    return {"plain": Example({"x": x}, parameters, {}, {"d_model": sizes.d, "heads": sizes.h, "d_v": sizes.d_v})}


def recompose(weights: np.ndarray, x: np.ndarray, W_V: np.ndarray, W_O: np.ndarray, **_: np.ndarray) -> np.ndarray:
    """Rebuild the output head by head: each head's weights times its values times its rows of W_O."""
    pixels = x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2], x.shape[-1])
    parts = zip(weights, np.split(W_V, len(weights), axis=1), np.split(W_O, len(weights)), strict=True)
    output = sum(w @ (pixels @ w_v) @ w_o for w, w_v, w_o in parts)
    return output.reshape(*x.shape[:-1], W_O.shape[1])


MECHANISM = Mechanism(
    title="Quadratic attention",
    citation="cordonnier2020relationship",
    equation=r"\begin{gathered} y_i = \sum_n \sum_j w^{(n)}_{ij}\, x_j W^V_n W^O_n \\ "
    r"w^{(n)}_{ij} = \operatorname{softmax}_j\bigl(-\alpha_n \lVert (j - i) - \Delta_n \rVert^2\bigr) \end{gathered}",
    cost=r"O(H W (H + W)\, h d_v + H W h\, d\, d_v)",
    kind="attention",
    reference=quadratic_attention,
    module=QuadraticAttention,
    examples=examples,
    recompose=recompose,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative",
        fails="equivariant_to_query_order largest_on_diagonal",
        does_not_apply={
            "invariant_to_key_order": "the keys are the pixels themselves",
            "causal_when_asked": "an image has no order in time",
            "linear_in_values": "the values come from x, in which the layer is linear",
        },
    ),
    refuses={"d_model": (0, 2.5), "heads": (0, 2.0, "two"), "d_v": (0, None)},
    chapter="notebooks/foundations/09_neighbours",
)

"""The few pieces that PyTorch modules share."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from attn_edu.checks import check_mask


def may_attend(
    attn_mask: Bool[Tensor, "..."] | None, causal: bool, shape: tuple[int, ...], device: torch.device
) -> Bool[Tensor, "..."] | None:
    """Say for every query which keys it may attend to, or None where it may attend to all.

    Parameters
    ----------
    attn_mask : bool tensor that broadcasts to `shape`, or None
        True where query i may attend to key j.
    causal : bool
        If True, query i may attend to keys j ≤ i only, besides what the mask says.
    shape : tuple of int
        Shape of the attention weights, ``(*batch, L, S)``.
    device : torch.device
        Where the mask must be.

    Returns
    -------
    allowed : bool tensor that broadcasts to that shape, with at least its last two axes, or None

    Raises
    ------
    TypeError, ValueError
        If the mask is not boolean, does not broadcast, or is on another device.

    Examples
    --------
    >>> may_attend(torch.tensor([True, False, True]), True, (3, 3), torch.device("cpu")).int().tolist()
    [[1, 0, 0], [1, 0, 0], [1, 0, 1]]
    """
    allowed = None
    if attn_mask is not None:
        check_mask(Tensor, attn_mask, shape)
        if attn_mask.device != device:
            raise ValueError(f"attn_mask: wanted device {device}, got {attn_mask.device}")
        allowed = attn_mask.reshape(1, -1) if attn_mask.ndim < 2 else attn_mask
    if causal:
        earlier = torch.ones(shape[-2:], dtype=torch.bool, device=device).tril()
        allowed = earlier if allowed is None else allowed & earlier
    return allowed


def masked_softmax(scores: Float[Tensor, "*shape"], allowed: Bool[Tensor, "..."] | None) -> Float[Tensor, "*shape"]:
    """Softmax over the last axis, among the allowed entries only, in at least single precision.

    Parameters
    ----------
    scores : (..., L, S)
        Logits.
    allowed : bool tensor that broadcasts to them, or None
        True where a weight may differ from zero; None allows all.

    Returns
    -------
    weights : (..., L, S)
        Rows sum to one; a row with nothing allowed is all zeros, and passes back a gradient of zero.

    Examples
    --------
    >>> allowed = torch.tensor([[True, True, False], [False, False, False]])
    >>> masked_softmax(torch.tensor([[0.0, 3.0, 9.0], [1.0, 2.0, 3.0]]).log1p(), allowed)
    tensor([[0.2000, 0.8000, 0.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    dtype = torch.float64 if scores.dtype == torch.float64 else torch.float32
    if allowed is None:
        return scores.softmax(-1, dtype=dtype).to(scores.dtype)
    # The lowest finite number rather than -inf: the softmax of a row of -inf is NaN.
    lowest = torch.finfo(dtype).min
    weights = scores.to(dtype).masked_fill(~allowed, lowest).softmax(-1)
    return weights.masked_fill(~allowed, 0).to(scores.dtype)


def fused_attention(
    query: Float[Tensor, "*batch L d_k"],
    key: Float[Tensor, "*batch S d_k"],
    value: Float[Tensor, "*batch S d_v"],
    attn_mask: Bool[Tensor, "..."] | None,
    causal: bool,
    scale: float,
    bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch L d_v"]:
    """Softmax attention by PyTorch's fused kernel, which need not store the L×S weights.

    Parameters
    ----------
    query, key, value : (..., L, d_k), (..., S, d_k), (..., S, d_v)
        Already checked.
    attn_mask : bool tensor that broadcasts to (..., L, S), or None
        True where query i may attend to key j.
    causal : bool
        If True, query i may attend to keys j ≤ i only, besides what the mask says.
    scale : float
        Factor on the dot products.
    bias : tensor with at least two axes that broadcasts to (..., L, S), optional
        Added to the scaled dot products.

    Returns
    -------
    output : (..., L, d_v)

    Examples
    --------
    Two keys of equal score: the output is the mean of their values.

    >>> one, values = torch.ones(1, 1), torch.tensor([[2.0], [4.0]])
    >>> fused_attention(one, one.expand(2, 1), values, None, False, 1.0)
    tensor([[3.]])
    """
    alone = causal and attn_mask is None and bias is None  # the kernel takes causal order or a mask, not both
    batch, shape = query.shape[:-2], (*query.shape[:-1], key.shape[-2])
    mask = may_attend(attn_mask, causal and not alone, shape, query.device)
    if mask is not None:  # as numbers: PyTorch would write a mask of booleans out for every batch element
        bias = torch.where(mask, query.new_zeros(()) if bias is None else bias, float("-inf"))
    # With other than four axes, and on a CPU with values of another width than the keys, PyTorch takes its explicit
    # path, which stores the square. So make it four, and widen the narrower with zeros, which change no sum.
    width, d_v = max(key.shape[-1], value.shape[-1]), value.shape[-1]
    outer, inner = math.prod(batch[:-1]), math.prod(batch[-1:])

    def widened(x: Tensor) -> Tensor:
        wide = F.pad(x, (0, width - x.shape[-1])) if x.shape[-1] < width else x
        return wide.reshape(outer, inner, x.shape[-2], width)

    query, key, value = widened(query), widened(key), widened(value)
    if bias is not None and bias.ndim == 3:
        bias = bias[None]  # four axes here too
    elif bias is not None and bias.ndim > 3:
        bias = bias.expand(*batch, *bias.shape[-2:]).reshape(outer, inner, *bias.shape[-2:])
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, is_causal=alone, scale=scale)
    return output[..., :d_v].reshape(*batch, shape[-2], d_v)

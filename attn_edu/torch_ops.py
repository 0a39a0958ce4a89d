"""The few pieces that PyTorch modules share."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from attn_edu._blocked_attention import LOG_2, BlockedAttention
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


def blocked_attention(
    query: Float[Tensor, "*blocks c d_k"],
    key: Float[Tensor, "*blocks m d_k"],
    value: Float[Tensor, "*blocks m d_v"],
    bias: Float[Tensor, "..."] | None,
    scale: float,
) -> tuple[Float[Tensor, "*blocks c d_v"], Float[Tensor, "*blocks c"]]:
    r"""Softmax attention within blocks: c queries meet m keys; also say how much there was to attend to.

    .. math:: o_i = \sum_j e^{s_{ij} - \ell_i} v_j, \qquad \ell_i = \log \sum_j e^{s_{ij}}, \qquad
              s_{ij} = \text{scale} \cdot q_i \cdot k_j + b_{ij}

    A few blocks are scored at a time, and scored again on the way back: no more than `HELD` scores exist at once.
    Source of both ideas: Dao et al. (2022), section 3.1. Blocks may overlap in memory, as views of one array do.

    Parameters
    ----------
    query, key, value : (..., c, d_k), (..., m, d_k), (..., m, d_v)
        Already checked. The axes before the last two are the blocks; what neighbours share is not copied.
    bias : tensor that broadcasts to (..., c, m), or None
        b, a constant: it gets no gradient. ``-inf`` where a query may not attend.
    scale : float
        Factor on the dot products.

    Returns
    -------
    output : (..., c, d_v)
    log_sum_exp : (..., c), in single precision at least
        What `combine` needs to join results over several sets of keys. A row with nothing allowed has output 0 and
        ``-inf`` here.

    References
    ----------
    Dao et al. (2022), FlashAttention.

    Examples
    --------
    Scores 0 and ln 3, so weights 1/4 and 3/4, and exponentials that sum to 4:

    >>> key, value = torch.tensor([[0.0], [1.0986123]]), torch.tensor([[8.0], [4.0]])
    >>> output, log_sum_exp = blocked_attention(torch.ones(1, 1), key, value, None, 1.0)
    >>> output, log_sum_exp.exp()
    (tensor([[5.]]), tensor([4.]))
    """
    blocks, c = query.shape[:-2], query.shape[-2]
    outer, inner = math.prod(blocks[:-1]), math.prod(blocks[-1:])
    flat = [x.reshape(outer, inner, *x.shape[-2:]) for x in (query, key, value)]
    if bias is not None:
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        bias = (bias.detach().to(dtype) / LOG_2).expand(*blocks, c, key.shape[-2])
        bias = bias.reshape(outer, inner, *bias.shape[-2:])
    output, log_sum_exp = BlockedAttention.apply(*flat, bias, scale)
    return output.reshape(*blocks, c, value.shape[-1]), log_sum_exp.reshape(*blocks, c)


def combine(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    r"""Join what attention gave over several sets of keys that share none, as if it had been one set.

    .. math:: \ell_i = \log \sum_p e^{\ell_i^{(p)}}, \qquad o_i = \sum_p e^{\ell_i^{(p)} - \ell_i}\, o_i^{(p)}

    Parameters
    ----------
    parts : sequence of (output, log_sum_exp)
        Outputs (..., L, d_v) and their log-sum-exps (..., L), as `blocked_attention` returns them.

    Returns
    -------
    output, log_sum_exp : of the same shapes

    Examples
    --------
    Exponentials that sum to 1 and 3 give the two outputs the weights 1/4 and 3/4:

    >>> parts = [(torch.tensor([[8.0]]), torch.tensor([0.0])), (torch.tensor([[4.0]]), torch.tensor([3.0]).log())]
    >>> output, log_sum_exp = combine(parts)
    >>> output, log_sum_exp.exp()
    (tensor([[5.]]), tensor([4.]))
    """
    sums = torch.stack([log_sum_exp for _, log_sum_exp in parts])
    empty = (sums == -math.inf).all(0)  # nothing to attend to in any part
    total = sums.masked_fill(empty, 0).logsumexp(0)
    shares = (sums - total).exp().unsqueeze(-1)  # of an empty row: 0
    output = sum(share.to(part.dtype) * part for share, (part, _) in zip(shares, parts, strict=True))
    return torch.as_tensor(output), total.masked_fill(empty, -math.inf)

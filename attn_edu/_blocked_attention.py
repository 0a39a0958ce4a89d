"""Attention within blocks, a few blocks at a time, made again on the way back: what other files like this stand on."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class ByDevice(dict[str, int]):
    """A number for each kind of device, by ``device.type``; kinds without an entry are accelerators.

    Examples
    --------
    >>> held = ByDevice(cpu=1, accelerator=9)
    >>> held["cpu"], held["cuda"], held["mps"]
    (1, 9, 9)
    """

    def __missing__(self, kind: str) -> int:
        return self["accelerator"]


HELD = ByDevice(cpu=2**18, accelerator=2**26)  # scores that `BlockedAttention` holds at a time
LOG_2 = math.log(2)
NOWHERE = -1e29  # below every score


def slabs(shape: torch.Size, keys: int, held: int) -> Iterator[tuple[slice, slice]]:
    """Cut queries (outer, inner, c, d_k), c in a block, into slabs of at most `held` scores, or of one block."""
    outer, inner, c, _ = shape
    blocks = max(held // max(c * keys, 1), 1)
    many, few = max(min(blocks // max(inner, 1), outer), 1), max(min(blocks, inner), 1)
    for first in range(0, outer, many):
        for start in range(0, inner, few):
            yield slice(first, min(first + many, outer)), slice(start, min(start + few, inner))


def scored(query: Tensor, key: Tensor, bias: Tensor | None, scale: float | Tensor) -> Tensor:
    """Return scores in units of log 2, in single precision at least: a power of two is quicker than one of e.

    A bias comes in these units too; one of small integers is 0 where a query may attend.
    """
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    scores = (query.to(dtype) @ key.to(dtype).mT).mul_(scale / LOG_2)
    if bias is None:
        return scores
    return scores.add_(bias, alpha=10 * NOWHERE) if bias.dtype == torch.uint8 else scores.add_(bias)


def attend(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Attend in every block of a slab; return output and log-sum-exp."""
    powers = scored(query, key, bias, scale)
    if not powers.shape[-1]:
        return value.new_zeros(*query.shape[:-1], value.shape[-1]), powers.new_full(query.shape[:-1], -math.inf)
    top = powers.amax(-1, keepdim=True).clamp_(min=NOWHERE)
    total = powers.sub_(top).exp2_().sum(-1, keepdim=True)
    output = (powers @ value.to(powers.dtype)).div_(total.masked_fill(total == 0, 1))
    return output.to(value.dtype), total.log2_().add_(top).mul_(LOG_2).squeeze(-1)


def attend_back(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float | Tensor, log_sum_exp: Tensor,
    grad: Tensor, shift: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the gradients of query, key and value in every block of a slab.

    The derivative of score s_ij is w_ij (g_i · v_j − shift_i), where w are weights made again from the log-sum-exp and
    shift_i = g_i · o_i less the gradient of the log-sum-exp.
    """
    weights = scored(query, key, bias, scale)
    weights.sub_((log_sum_exp / LOG_2).clamp_(min=NOWHERE).unsqueeze(-1)).exp2_()
    grad = grad.to(weights.dtype)
    d_value = weights.mT @ grad
    back = (grad @ value.to(grad.dtype).mT).sub_(shift.unsqueeze(-1)).mul_(weights).mul_(scale)
    return back @ key.to(back.dtype), back.mT @ query.to(back.dtype), d_value


class BlockedAttention(torch.autograd.Function):
    """`torch_ops.blocked_attention` on blocks with two axes, and a bias for each that is in units of log 2."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Go through the slabs."""
        output = value.new_empty(*query.shape[:-1], value.shape[-1])
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        log_sum_exp = query.new_empty(query.shape[:-1], dtype=dtype)
        for at in slabs(query.shape, key.shape[2], HELD[query.device.type]):
            b = None if bias is None else bias[at]
            output[at], log_sum_exp[at] = attend(query[at], key[at], value[at], b, scale)
        ctx.save_for_backward(query, key, value, bias, output, log_sum_exp)
        ctx.scale = scale
        return output, log_sum_exp

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_sum: Tensor) -> tuple[Tensor | None, ...]:
        """Go through the slabs again."""
        query, key, value, bias, output, log_sum_exp = ctx.saved_tensors
        shift = (grad.to(grad_sum.dtype) * output).sum(-1).sub_(grad_sum)
        grads = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (query, key, value)]
        for at in slabs(query.shape, key.shape[2], HELD[query.device.type]):
            b = None if bias is None else bias[at]
            parts = attend_back(query[at], key[at], value[at], b, ctx.scale, log_sum_exp[at], grad[at], shift[at])
            for whole, part in zip(grads, parts, strict=True):
                whole[at] = part
        return *grads, None, None

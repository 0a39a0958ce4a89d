"""Attention whose heads mix their maps, a few queries at a time, made again on the way back.

It is what `ReAttention` runs when nobody asks for its maps.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_edu._blocked_attention import ByDevice

HELD = ByDevice(cpu=2**20, accelerator=2**26)  # entries of one array of maps that exist at a time


class MixedAttention(torch.autograd.Function):
    """Return ``(gain * N + bias) @ value`` for mixed maps N, as `re_attention` defines them, never holding N whole.

    Four arrays of the size of a block serve all blocks in turn, so nothing large is allocated twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Float[Tensor, "n h L d_k"],
        key: Float[Tensor, "n h S d_k"],
        value: Float[Tensor, "n h S d_v"],
        Theta: Float[Tensor, "h h"],
        gain: Float[Tensor, " h"],
        bias: Float[Tensor, " h"],
        eps: float | None,
    ) -> Float[Tensor, "n h L d_v"]:
        """Return the output. With `eps`, N is divided by its root mean square over heads; None leaves it alone."""
        ctx.save_for_backward(query, key, value, Theta, gain, bias)
        ctx.eps = eps
        output = value.new_empty(*query.shape[:-1], value.shape[-1])
        for items, rows, (mixed, maps, *_) in blocks(query, key):
            remake(query[items, :, rows], key[items], Theta, eps, mixed, maps)
            output[items, :, rows] = mixed @ value[items]
        return output.mul_(gain[:, None, None]).add_(bias[:, None, None] * value.sum(-2, keepdim=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "n h L d_v"]) -> tuple[Tensor | None, ...]:
        """Make every block again, and go back through it from the output to the scores."""
        query, key, value, Theta, gain, bias = ctx.saved_tensors
        d_query, d_key = torch.empty_like(query), torch.zeros_like(key)
        summed = grad.sum(-2, keepdim=True)  # every value got the bias from every query
        d_value = (bias[:, None, None] * summed).expand_as(value).clone()
        d_bias = (summed * value.sum(-2, keepdim=True)).sum((0, 2, 3))
        d_gain, d_Theta = torch.zeros_like(gain), torch.zeros_like(Theta)
        for items, rows, (mixed, maps, back, spare) in blocks(query, key):
            d_output, q, k = grad[items, :, rows], query[items, :, rows], key[items]
            inverse = remake(q, k, Theta, ctx.eps, mixed, maps)
            d_value[items] += mixed.mT @ (d_output * gain[:, None, None])
            torch.matmul(d_output, value[items].mT, out=back)  # of gain * N
            torch.mul(back, mixed, out=spare)
            d_gain += spare.sum((0, 2, 3))
            back.mul_(gain[:, None, None])
            if inverse is not None:  # of N = M / root mean square of M
                along = torch.einsum("g,ngij->nij", gain / len(gain), spare).unsqueeze(1)
                back.addcmul_(mixed, along, value=-1).mul_(inverse)
            d_Theta += (maps.flatten(2) @ back.flatten(2).mT).sum(0)
            torch.matmul(Theta, back.flatten(2), out=mixed.flatten(2))  # of the maps before they were mixed
            torch.mul(mixed, maps, out=spare)
            spare.addcmul_(maps, spare.sum(-1, keepdim=True), value=-1)  # of the scores
            d_query[items, :, rows] = spare @ k
            d_key[items] += spare.mT @ q
        return d_query, d_key, d_value, d_Theta, d_gain, d_bias, None


class CentredProducts(torch.autograd.Function):
    """Return for every two heads the sum over all entries of the product of their maps, less 1/S each: (h, h)."""

    @staticmethod
    def forward(ctx: Any, query: Float[Tensor, "n h L d_k"], key: Float[Tensor, "n h S d_k"]) -> Float[Tensor, "h h"]:
        """Sum over blocks."""
        ctx.save_for_backward(query, key)
        total = query.new_zeros(query.shape[1], query.shape[1])
        for items, rows, (scores, maps, *_) in blocks(query, key):
            torch.matmul(query[items, :, rows], key[items].mT, out=scores)
            centred = torch.softmax(scores, -1, out=maps).sub_(1 / max(key.shape[-2], 1)).flatten(2)
            total += (centred @ centred.mT).sum(0)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "h h"]) -> tuple[Tensor, Tensor]:
        """Make every block again. A constant added to a map's gradient does nothing: its rows sum to one."""
        query, key = ctx.saved_tensors
        d_query, d_key = torch.empty_like(query), torch.zeros_like(key)
        for items, rows, (back, maps, spare, _) in blocks(query, key):
            q, k = query[items, :, rows], key[items]
            torch.softmax(torch.matmul(q, k.mT, out=back), -1, out=maps)
            torch.matmul(grad + grad.mT, maps.flatten(2), out=back.flatten(2))
            torch.mul(back, maps, out=spare)
            spare.addcmul_(maps, spare.sum(-1, keepdim=True), value=-1)
            d_query[items, :, rows] = spare @ k
            d_key[items] += spare.mT @ q
        return d_query, d_key


def blocks(query: Tensor, key: Tensor) -> Iterator[tuple[slice, slice, tuple[Tensor, ...]]]:
    """Yield slices of the batch and of the queries, and four arrays (items, h, rows, S) to work in."""
    (n, h, L, _), S = query.shape, key.shape[-2]
    held = HELD[query.device.type] // max(h * S, 1)  # queries
    rows = min(max(held, 1), L)
    items = min(max(held // max(L, 1), 1), n)
    space = query.new_empty(4, items * h * rows * S)
    for first in range(0, n, max(items, 1)):
        for row in range(0, L, max(rows, 1)):
            a, b = min(items, n - first), min(rows, L - row)
            parts = space[:, : a * h * b * S].unflatten(1, (a, h, b, S))
            yield slice(first, first + a), slice(row, row + b), tuple(parts)


def remake(query: Tensor, key: Tensor, Theta: Tensor, eps: float | None, mixed: Tensor, maps: Tensor) -> Tensor | None:
    """Fill `maps` with softmaxed scores and `mixed` with N; return what N was multiplied by, if it was."""
    torch.matmul(query, key.mT, out=mixed)
    torch.softmax(mixed, -1, out=maps)
    torch.matmul(Theta.mT, maps.flatten(2), out=mixed.flatten(2))
    if eps is None:
        return None
    inverse = torch.einsum("ngij,ngij->nij", mixed, mixed).div_(mixed.shape[1]).add_(eps).rsqrt_().unsqueeze(1)
    mixed.mul_(inverse)
    return inverse

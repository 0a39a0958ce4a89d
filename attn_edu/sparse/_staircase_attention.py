"""Attention to a run of keys that moves along, a chunk of queries at a time, made again on the way back.

It is what the patterns of this family run when nobody asks for their weights.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_edu._blocked_attention import ByDevice, attend, attend_back

CHUNK = ByDevice(cpu=64, accelerator=512)  # queries that are scored together
HELD = ByDevice(cpu=2**18, accelerator=2**26)  # scores that exist at a time


def staircase_attention(
    query: Float[Tensor, "n L d_k"],
    key: Float[Tensor, "n S d_k"],
    value: Float[Tensor, "n S d_v"],
    first: Int[Tensor, " L"],
    end: Int[Tensor, " L"],
    scale: float,
) -> tuple[Float[Tensor, "n L d_v"], Float[Tensor, "n L"]]:
    """Attend from query i to the keys from ``first[i]`` up to, not including, ``end[i]``.

    Neither bound ever falls from one query to the next, so the allowed part of the L×S scores is a staircase. A chunk
    of queries is scored together with all keys that some of them see, and again on the way back; no other score is
    made.

    Parameters
    ----------
    query, key, value : (n, L, d_k), (n, S, d_k), (n, S, d_v)
        Already checked; n counts batch elements and heads.
    first, end : (L,) int
        On the CPU, from 0 to S. A query with ``first[i] >= end[i]`` sees nothing.
    scale : float
        Factor on the dot products.

    Returns
    -------
    output : (n, L, d_v)
    log_sum_exp : (n, L), in single precision at least
        For `torch_ops.combine`. A query that sees nothing has output 0 and ``-inf`` here.

    Examples
    --------
    Query 0 sees key 0; query 1 sees both, with scores 0 and ln 3:

    >>> key, value = torch.tensor([[[0.0], [1.0986123]]]), torch.tensor([[[8.0], [4.0]]])
    >>> first, end = torch.tensor([0, 0]), torch.tensor([1, 2])
    >>> output, log_sum_exp = staircase_attention(torch.ones(1, 2, 1), key, value, first, end, 1.0)
    >>> output, log_sum_exp.exp()
    (tensor([[[8.],
             [5.]]]), tensor([[1., 4.]]))
    """
    return _Staircase.apply(query, key, value, first, end, scale)


def flat(x: Float[Tensor, "*batch L d"]) -> Float[Tensor, "n L d"]:
    """Make one axis of all batch axes."""
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def by_residue(x: Float[Tensor, "n L d"], step: int) -> Float[Tensor, "n padded d"]:
    """Lay places 0, step, 2·step, … side by side, then 1, step + 1, …; fill all runs up to one length with zeros."""
    if step == 1:
        return x
    rows = math.ceil(x.shape[1] / step)
    return F.pad(x, (0, 0, 0, rows * step - x.shape[1])).unflatten(1, (rows, step)).transpose(1, 2).flatten(1, 2)


def from_residues(x: Float[Tensor, "n padded *d"], step: int, length: int) -> Float[Tensor, "n L *d"]:
    """Undo `by_residue`."""
    return x if step == 1 else x.unflatten(1, (step, x.shape[1] // step)).transpose(1, 2).flatten(1, 2)[:, :length]


def residue_bounds(length: int, step: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    """Return the bounds of windows within each run that `by_residue` makes."""
    rows = math.ceil(length / step)
    start = torch.arange(step)[:, None] * rows
    stop = start + (length - torch.arange(step)[:, None] + step - 1) // step  # where its filling begins
    i = start + torch.arange(rows)
    first = torch.maximum(i - before, start)
    end = torch.minimum(i + after + 1, stop)
    return torch.minimum(first, stop).flatten(), torch.maximum(end, start).flatten()


def pieces(
    query: Tensor, first: Tensor, end: Tensor
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice], Tensor]]:
    """Yield chunks: where their queries are, where the keys that they see, and a bias (query, key)."""
    chunk, held = CHUNK[query.device.type], HELD[query.device.type]
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    steps, bias = None, torch.empty(0)
    for start in range(0, len(first), chunk):
        rows = slice(start, start + chunk)
        low, high = int(first[start]), int(end[rows][-1])
        if low >= high:
            continue  # nobody sees anything
        bounds = torch.stack([first[rows], end[rows]]) - low
        if steps is None or not torch.equal(steps, bounds):  # most chunks are alike
            steps, j = bounds, torch.arange(high - low)
            seen = (bounds[0][:, None] <= j) & (j < bounds[1][:, None])
            bias = torch.zeros((), dtype=dtype).where(seen, -math.inf).to(query.device)
        many = max(held // bias.numel(), 1)
        for n in range(0, len(query), many):
            yield (slice(n, n + many), rows), (slice(n, n + many), slice(low, high)), bias


class _Staircase(torch.autograd.Function):
    """`staircase_attention`."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, first: Tensor, end: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Go along the stairs."""
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        output = value.new_zeros(*query.shape[:2], value.shape[-1])
        log_sum_exp = query.new_full(query.shape[:2], -math.inf, dtype=dtype)
        for rows, keys, bias in pieces(query, first, end):
            output[rows], log_sum_exp[rows] = attend(query[rows], key[keys], value[keys], bias, scale)
        ctx.save_for_backward(query, key, value, first, end, output, log_sum_exp)
        ctx.scale = scale
        return output, log_sum_exp

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_sum: Tensor) -> tuple[Tensor | None, ...]:
        """Make each chunk's weights again, and go back through them to the scores."""
        query, key, value, first, end, output, log_sum_exp = ctx.saved_tensors
        shift = (grad.to(grad_sum.dtype) * output).sum(-1).sub_(grad_sum)
        d_query = torch.zeros_like(query)
        d_key, d_value = (torch.zeros_like(x, dtype=grad_sum.dtype) for x in (key, value))
        for rows, keys, bias in pieces(query, first, end):
            d_query[rows], for_key, for_value = attend_back(
                query[rows], key[keys], value[keys], bias, ctx.scale, log_sum_exp[rows], grad[rows], shift[rows]
            )
            d_key[keys] += for_key
            d_value[keys] += for_value
        return d_query, d_key.to(key.dtype), d_value.to(value.dtype), None, None, None

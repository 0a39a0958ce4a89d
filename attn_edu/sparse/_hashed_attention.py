"""Attention within sorted chunks, a few chunks at a time, made again on the way back.

It is what `LshAttention` runs when nobody asks for its weights. Every pair of query and key has one score, in whichever
rounds they meet. So the rounds share one softmax, and a pair that an earlier round has seen is hidden in the later
ones: the same sum as counting it N times with log N subtracted.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_edu._blocked_attention import NOWHERE, ByDevice, attend, attend_back, slabs

ROWS = ByDevice(cpu=2**12, accelerator=2**20)  # rows of the batch that are worked on at a time
HELD = ByDevice(cpu=2**17, accelerator=2**26)  # and scores


class Plan(NamedTuple):
    """Where the rounds put every row: what hashing and sorting decide. P is L, filled up to whole chunks."""

    order: Int[Tensor, "n r P"]  # the row at each sorted place; L for a place that is filled up
    place: Int[Tensor, "n r L"]  # the sorted place of each row
    code: Int[Tensor, "n r L"]  # differs by 0 or 1 where the query may meet the key: one bucket, chunk or chunk before


def make_plan(buckets: Int[Tensor, "n r L"], chunk: int) -> Plan:
    """Sort by bucket, in each by position, and cut into chunks."""
    length, count = buckets.shape[-1], math.ceil(buckets.shape[-1] / chunk)
    order = buckets.sort(stable=True).indices
    place = torch.empty_like(order).scatter_(-1, order, torch.arange(length, device=order.device).expand_as(order))
    code = buckets * (count + 2) + place // chunk
    return Plan(F.pad(order, (0, count * chunk - length), value=length), place, code.to(torch.int32))


def take(x: Float[Tensor, "n L *d"], rows: Int[Tensor, "n P"]) -> Float[Tensor, "n P *d"]:
    """Gather rows of each item."""
    first = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    return x.reshape(-1, *x.shape[2:]).index_select(0, (rows + first).flatten()).unflatten(0, rows.shape)


class Sorted:
    """Some items of the batch as round r sorts them: chunks of queries, and with each the chunk before it."""

    def __init__(self, plan: Plan, items: slice, r: int, chunk: int) -> None:
        self.items, self.chunk = items, chunk
        rows, self.place = plan.order[items, r], plan.place[items, r]
        known = rows.clamp(max=self.place.shape[1] - 1)
        self.rows = torch.cat([known[:, :chunk], known], 1)  # before the first chunk anything may stand: it is hidden
        codes = F.pad(plan.code[items, : r + 1], (0, 1), value=-9).gather(2, rows[:, None].expand(-1, r + 1, -1))
        self.asks = codes.unflatten(-1, (-1, chunk))[..., None]  # a filled-up place has code -9 as a query
        codes = codes.masked_fill(codes == -9, -99)  # and another as a key
        self.meets = F.pad(codes, (chunk, 0), value=-99).unfold(-1, 2 * chunk, chunk)[..., None, :]

    def hidden(self, at: tuple[slice, slice], never: Int[Tensor, "c m"]) -> UInt8[Tensor, "g C c m"]:
        """Return 0 where a query meets a key in this round, and did not in an earlier one; elsewhere a number."""
        items, blocks = at
        *earlier, now = zip(self.asks[items].unbind(1), self.meets[items].unbind(1), strict=True)

        def differ(asks: Tensor, meets: Tensor, out: Tensor | None) -> Tensor:  # 1 where the two do not meet
            return torch.sub(asks[:, blocks], meets[:, blocks], out=out).bitwise_and_(-2).abs_().clamp_(max=1)

        hidden = differ(*now, None).add_(never * (len(earlier) + 1) + len(earlier))
        space = torch.empty_like(hidden) if earlier else None
        for before in earlier:
            hidden -= differ(*before, space)  # those that met stay hidden
        return hidden.to(torch.uint8)

    def both(self, x: Float[Tensor, "n L d"]) -> tuple[Float[Tensor, "g C c d"], Float[Tensor, "g C m d"]]:
        """Return the chunks, and views of each after the one before it."""
        x = take(x[self.items], self.rows)
        return x[:, self.chunk :].unflatten(1, (-1, self.chunk)), x.unfold(1, 2 * self.chunk, self.chunk).mT

    def chunks(self, x: Float[Tensor, "n L *d"]) -> Float[Tensor, "g C c *d"]:
        """Return the chunks alone."""
        return take(x[self.items], self.rows[:, self.chunk :]).unflatten(1, (-1, self.chunk))

    def undo(self, x: Float[Tensor, "g C c *d"]) -> Float[Tensor, "g L *d"]:
        """Put everything back to where it stood."""
        return take(x.flatten(1, 2), self.place)


class HashedAttention(torch.autograd.Function):
    """Attention of shared queries and keys within sorted chunks, all rounds in one softmax."""

    @staticmethod
    def forward(
        ctx: Any,
        shared: Float[Tensor, "n L d_k"],
        value: Float[Tensor, "n L d_v"],
        plan: Plan,
        chunk: int,
        causal: bool,
        scale: float,
    ) -> Float[Tensor, "n L d_v"]:
        """Go through the rounds, and keep what they have given so far with its log-sum-exp."""
        scales = scale * one_over(shared.norm(dim=-1, keepdim=True))  # a key has length 1
        output = torch.zeros_like(value)
        total = output.new_full(output.shape[:-1], -math.inf)
        masks = []
        own = torch.arange(chunk, device=shared.device)[:, None] + chunk
        other = torch.arange(2 * chunk, device=shared.device)
        never = (other >= own if causal else other == own).to(torch.int32)  # within a bucket, sorted is in order
        for items, r in turns(plan):
            sort = Sorted(plan, items, r, chunk)
            (query, key), (_, values), (_, along) = (sort.both(x) for x in (shared, value, scales))
            part, sums = query.new_empty(*query.shape[:-1], value.shape[-1]), query.new_empty(query.shape[:-1])
            for at in slabs(query.shape, 2 * chunk, HELD[query.device.type]):
                masks.append(sort.hidden(at, never))
                part[at], sums[at] = attend(query[at], key[at], values[at], masks[-1], along.mT[at])
            part, sums = sort.undo(part), sort.undo(sums)
            both = torch.logaddexp(total[items], sums)
            safe = both.clamp(min=NOWHERE)
            output[items] *= (total[items] - safe).exp_().unsqueeze(-1)
            output[items] += part.mul_((sums - safe).exp_().unsqueeze(-1))
            total[items] = both
        ctx.save_for_backward(shared, value, scales, output, total, *plan, *masks)
        ctx.chunk, ctx.scale = chunk, scale
        return output.where((total > -math.inf).unsqueeze(-1), value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "n L d_v"]) -> tuple[Tensor | None, ...]:
        """Go through the rounds again; the softmax over all of them is known by now."""
        shared, value, scales, output, total, order, place, code, *masks = ctx.saved_tensors
        plan, chunk, masks = Plan(order, place, code), ctx.chunk, iter(masks)
        shift = (grad * output).sum(-1)
        d_query, d_key, d_value = (torch.zeros_like(x) for x in (shared, shared, value))
        for items, r in turns(plan):
            sort = Sorted(plan, items, r, chunk)
            (query, key), (_, values), (_, along) = (sort.both(x) for x in (shared, value, scales))
            pull, sums, shifts = (sort.chunks(x) for x in (grad, total, shift))
            back = torch.empty_like(query)
            backs = [query.new_empty(len(query), query.shape[1] + 1, chunk, x.shape[-1]) for x in (key, values)]
            for at in slabs(query.shape, 2 * chunk, HELD[query.device.type]):
                back[at], *parts = attend_back(
                    query[at], key[at], values[at], next(masks), along.mT[at], sums[at], pull[at], shifts[at]
                )
                after = slice(at[1].start + 1, at[1].stop + 1)
                for whole, part in zip(backs, parts, strict=True):  # a chunk is met by itself, then by the next
                    whole[at[0], after] = part[..., chunk:, :]
                    whole[at] += part[..., :chunk, :]
            d_query[items] += sort.undo(back)
            d_key[items] += sort.undo(backs[0][:, 1:])  # what stands before the first chunk is nothing
            d_value[items] += sort.undo(backs[1][:, 1:])
        d_value += grad.masked_fill((total > -math.inf).unsqueeze(-1), 0)
        unit = shared * (scales / ctx.scale)  # of a key's gradient only what turns it counts
        d_query += d_key.sub_(unit * (unit * d_key).sum(-1, keepdim=True))
        return d_query, d_value, None, None, None, None


def one_over(x: Tensor) -> Tensor:
    """Return 1/x, and 0 where x is 0."""
    return x.reciprocal().masked_fill_(x == 0, 0)


def turns(plan: Plan) -> Iterator[tuple[slice, int]]:
    """Cut the batch into slices of a few rows in all, and go through the rounds with each."""
    items, rounds, length = plan.place.shape
    step = max(ROWS[plan.place.device.type] // max(length, 1), 1)
    return ((slice(n, n + step), r) for n in range(0, items * bool(length), step) for r in range(rounds))

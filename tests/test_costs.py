"""Costs: the formulas beside counted products and numbers moved."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from attn_edu import costs
from attn_edu.core import FeedForward, MultiHead


@pytest.mark.parametrize(("length", "width", "heads"), [(1, 2, 1), (7, 6, 3), (40, 10, 5)])
def test_operations_are_counted(length, width, heads):
    def counted(module, *inputs):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(*inputs)
        return counter.get_total_flops() // 2

    x = torch.zeros(length, width)
    wanted = costs.operations(length, width)
    assert counted(MultiHead(width, heads), x, x, x) == wanted["projections"] + wanted["pairs"]
    assert counted(FeedForward(width, 4 * width), x) == wanted["feed_forward"]


@pytest.mark.parametrize(("length", "width", "heads", "tile"), [(5, 6, 2, 2), (6, 4, 1, 3), (3, 2, 2, 8), (1, 1, 1, 1)])
def test_bytes_are_counted_number_by_number(length, width, heads, tile):
    """Walk through both ways of computing attention and note every array that is held, read or written."""
    d_k = width // heads
    maps, reads = 0, 0
    for _ in range(heads):
        maps += length * length
        reads += 2 * length * d_k + length * length  # scores: read Q and K, write
        reads += 2 * length * length  # softmax: read, write
        reads += length * length + 2 * length * d_k  # sums: read W and V, write Y
    sides = [min(tile, length - start) for start in range(0, length, tile)]
    tiled, kept = 0, 0
    for _ in range(heads):
        for rows in sides:
            tiled += 2 * rows * d_k  # Q and Y
            tiled += sum(2 * columns * d_k for columns in sides)  # K and V
            kept += rows
    held = max(sides) ** 2 + kept
    assert costs.held_bytes(length, heads, 4, tile) == {"maps": 4 * maps, "tiles": 4 * held}
    assert costs.moved_bytes(length, width, heads, 4, tile) == {"maps": 4 * reads, "tiles": 4 * tiled}
    assert costs.held_bytes(length, heads, 2, tile) == {"maps": 2 * maps, "tiles": 2 * held}


BAD = {
    "zero": (ValueError, "length: wanted an integer of at least 1, got 0", lambda: costs.operations(0, 2)),
    "half": (TypeError, "width: wanted an integer, got float", lambda: costs.operations(2, 0.5)),
    "flag": (TypeError, "heads: wanted an integer, got bool", lambda: costs.held_bytes(2, True)),
    "tile": (ValueError, "tile: wanted an integer of at least 1, got -1", lambda: costs.moved_bytes(2, 2, tile=-1)),
}


@pytest.mark.parametrize(("error", "message", "call"), BAD.values(), ids=BAD)
def test_formulas_refuse(unhooked, error, message, call):
    with pytest.raises(error, match=message):
        call()

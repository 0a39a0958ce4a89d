"""Time re-attention beside the same written plainly, with all maps held, and beside plain fused attention.

    python benchmarks/re_attention.py --lengths 1024 4096

Eight heads of width 64, one image, float32, forward and backward, one thread, candidates taking turns, under both
allocators. Peak memory is what one pass adds in a process of its own.
"""

import argparse
import math
import statistics
from functools import partial

import torch
import torch.nn.functional as F
from measuring import Step, arguments, machine, measure, peak_bytes, positive, save, under_each_allocator
from torch import Tensor

from attn_edu.heads import ReAttention

HEADS, WIDTH = 8, 64
NAMES = ("plain, LayerNorm", "ours, LayerNorm", "plain, BatchNorm", "ours, BatchNorm", "fused, no mixing")


def candidate(name: str, length: int, check: bool = True) -> Step:
    """Return one forward and backward pass; `check` that the plain form computes the same."""
    torch.manual_seed(0)
    inputs = [torch.randn(1, HEADS, length, WIDTH, requires_grad=True) for _ in range(3)]
    layer = ReAttention(HEADS, norm="batch" if "Batch" in name else "layer")
    norm = torch.nn.BatchNorm2d(HEADS) if "Batch" in name else torch.nn.LayerNorm(HEADS)

    def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        maps = (query @ key.mT / math.sqrt(WIDTH)).softmax(-1)
        maps = (layer.Theta.mT @ maps.flatten(-2)).unflatten(-1, maps.shape[-2:])
        maps = norm(maps) if "Batch" in name else norm(maps.movedim(1, -1)).movedim(-1, 1)
        return maps @ value

    def step() -> None:
        if name.startswith("plain"):
            output = plain(*inputs)
        elif name.startswith("ours"):
            output = layer(*inputs, need_weights=False)[0]
        else:
            output = F.scaled_dot_product_attention(inputs[0], inputs[1], inputs[2])
        output.sum().backward()

    if check and name.startswith("plain"):  # equal work, or no comparison
        torch.testing.assert_close(plain(*inputs), layer(*inputs, need_weights=False)[0], rtol=1e-3, atol=1e-4)
    return step


def run(options: argparse.Namespace, allocator: str) -> None:
    """Time each candidate at all lengths, and write the results."""
    torch.set_num_threads(1)
    rows = []
    for length in options.lengths:
        seconds = measure({name: candidate(name, length) for name in NAMES}, options.repeats)
        peaks = {
            name: peak_bytes(partial(candidate, name, 64), partial(candidate, name, length, False)) for name in NAMES
        }
        for name, times in seconds.items():
            rows.append({"name": name, "length": length, "seconds": times, "peak_bytes": peaks[name]})
            plain = name.replace("ours", "plain")
            ratio = statistics.median(times) / statistics.median(seconds[plain])
            start = f"{length:6d}  {name:18s} {statistics.median(times):7.2f} s  {ratio:5.2f} × plain"
            own, base = peaks[name], peaks[plain]
            print(f"{start}  {own / 1e6:7.0f} MB  {own / base:5.2f} × plain" if own and base else start, flush=True)
    save(options.out, "re-attention", allocator, {"machine": machine(), "rows": rows})


def main() -> None:
    """Run the benchmark and write DATE-re-attention-ALLOCATOR.json."""
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--lengths", type=positive, nargs="+", default=[1024, 4096])
    options = parser.parse_args()
    under_each_allocator(partial(run, options), options.allocator)


if __name__ == "__main__":
    main()

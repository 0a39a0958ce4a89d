"""Time local attention of images beside fused causal full attention, as the image grows.

    python benchmarks/local.py

Eight heads of width 64, one image, float32, forward and backward, one thread, candidates taking turns, under both
allocators.
"""

import argparse
import statistics
from functools import partial

import torch
import torch.nn.functional as F
from measuring import Step, arguments, machine, measure, positive, save, under_each_allocator

from attn_edu.vision import LocalAttention1d, LocalAttention2d

LINE, PLANE = LocalAttention1d(128, 128), LocalAttention2d((8, 16), (4, 8))


def candidates(side: int) -> dict[str, Step]:
    """Return one forward and backward pass of each."""
    image = torch.randn(1, 8, side, side, 64, requires_grad=True)
    line = image.flatten(2, 3).detach().requires_grad_()
    steps = {
        "1-D, 128 + 128": lambda: LINE(line, line, line, need_weights=False)[0].sum().backward(),
        "2-D, 8 × 16 + (4, 8)": lambda: PLANE(image, image, image, need_weights=False)[0].sum().backward(),
    }
    if side <= 64:  # beyond, full attention takes minutes
        steps["fused causal full"] = lambda: (
            F.scaled_dot_product_attention(line, line, line, is_causal=True).sum().backward()
        )
    return steps


def run(options: argparse.Namespace, allocator: str) -> None:
    """Time each candidate at all sides, and write the results."""
    torch.set_num_threads(1)
    rows = []
    for side in options.sides:
        for name, times in measure(candidates(side), options.repeats).items():
            rows.append({"name": name, "pixels": side * side, "seconds": times})
            print(f"{side * side:6d} pixels  {name:22s} {1e3 * statistics.median(times):8.0f} ms", flush=True)
    save(options.out, "local", allocator, {"machine": machine(), "rows": rows})


def main() -> None:
    """Run the benchmark and write DATE-local-ALLOCATOR.json."""
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--sides", type=positive, nargs="+", default=[32, 64, 128])
    options = parser.parse_args()
    under_each_allocator(partial(run, options), options.allocator)


if __name__ == "__main__":
    main()

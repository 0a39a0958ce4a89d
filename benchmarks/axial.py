"""Time axial attention beside the public package axial-attention and beside full attention, layer and core.

    python benchmarks/axial.py --sides 64 128

Square images of width 512, 8 heads, float32, forward and backward, one thread, candidates taking turns; seconds are
those of the process, so that neighbours on the machine count less. Both axial layers add up columns and rows and get
the same weights; the bias of the package's output is taken out, since ours has none. "core" is all but the projections:
each side starts from queries, keys and values that are there already, in the layout in which it would have them.
"products" are the layer's matrix products alone, 8 forward and 16 backward, which both sides share.

The package is timed if it is installed: pip install axial-attention. Run the script a second time under
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=20000000000 MALLOC_TOP_PAD_=67108864: the default allocator hands large
blocks back to the system at every step, which costs most where most is allocated.
"""

import argparse
import importlib.metadata
import json
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from run import machine
from torch import Tensor, nn

from attn_edu.core import MultiHead
from attn_edu.vision import AxialAttention

HEADS, WIDTH = 8, 512
ALONG = (-3, -2)  # the package's order


def package(ours: AxialAttention) -> Any:
    """Return the package's layer with our weights, or None where the package is missing."""
    try:
        from axial_attention import AxialAttention as Package
    except ImportError:
        return None
    theirs = Package(dim=WIDTH, num_dimensions=2, heads=HEADS, dim_index=-1, sum_axial_out=True)
    with torch.no_grad():
        for n, part in enumerate(theirs.axial_attentions):
            part.fn.to_out.bias = None
            part.fn.to_q.weight.copy_(ours.W_Q[n].T)
            part.fn.to_kv.weight.copy_(torch.cat([ours.W_K[n].T, ours.W_V[n].T]))
            part.fn.to_out.weight.copy_(ours.W_O[n].T)
    return theirs


class Ready(nn.Module):
    """Stand in for a projection whose result is there already."""

    def __init__(self, result: Tensor) -> None:
        super().__init__()
        self.result = nn.Parameter(result)

    def forward(self, _: Tensor) -> Tensor:
        """Return the result."""
        return self.result


def layers(side: int, full: bool) -> dict[str, Callable[[], None]]:
    """Return one forward and backward pass of each whole layer."""
    torch.manual_seed(0)
    ours = AxialAttention(WIDTH, HEADS, ALONG, summed=True)
    theirs = package(ours)
    image = torch.randn(1, side, side, WIDTH, requires_grad=True)
    pixels, matrix = torch.randn(side * side, WIDTH), torch.randn(WIDTH, WIDTH)
    plain = MultiHead(WIDTH, HEADS)
    flat = torch.randn(1, side * side, WIDTH, requires_grad=True)
    if theirs is not None:  # equal work, or no comparison
        torch.testing.assert_close(ours(image, need_weights=False)[0], theirs(image), rtol=1e-4, atol=1e-5)

    def products() -> None:
        for _ in range(8):  # Q, K, V and output of two axes
            made = pixels @ matrix
            made @ matrix.T  # the gradient of what is projected
            pixels.T @ made  # the gradient of the matrix

    steps = {"ours, layer": lambda: ours(image, need_weights=False)[0].sum().backward(), "products": products}
    if theirs is not None:
        steps["package, layer"] = lambda: theirs(image).sum().backward()
    if full:
        steps["full attention, layer"] = lambda: plain(flat, flat, flat, need_weights=False)[0].sum().backward()
    return steps


def cores(side: int) -> dict[str, Callable[[], None]]:
    """Return one forward and backward pass of each side without its projections."""
    torch.manual_seed(0)
    ours = AxialAttention(WIDTH, HEADS, ALONG, summed=True)
    ready = torch.randn(2, 3, 1, side, side, WIDTH)  # of each axis: queries, keys, values
    parts = [[x.clone().requires_grad_() for x in axis] for axis in ready]
    cotangent = torch.randn(1, side, side, WIDTH)

    def attend() -> Tensor:
        columns, rows = (
            ours.attend_along(axis, q, k, v, False)[0] for axis, (q, k, v) in zip(ALONG, parts, strict=True)
        )
        return columns + rows

    steps = {"ours, core": lambda: attend().backward(cotangent)}
    theirs = package(ours)
    if theirs is not None:
        image = torch.zeros(1, side, side, WIDTH, requires_grad=True)  # moved about, though not projected
        for part, axis in zip(theirs.axial_attentions, ready, strict=True):
            q, k, v = (x.permute(part.permutation).reshape(side, side, WIDTH).contiguous() for x in axis)
            part.fn.to_q, part.fn.to_kv, part.fn.to_out = Ready(q), Ready(torch.cat([k, v], -1)), nn.Identity()
        torch.testing.assert_close(attend(), theirs(image), rtol=1e-4, atol=1e-5)
        steps["package, core"] = lambda: theirs(image).backward(cotangent)
    return steps


def measure(steps: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Return the process's seconds of each repeat, the candidates taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if repeat:  # the first turn warms up
                seconds[name].append(time.process_time() - start)
    return seconds


def main() -> None:
    """Run the benchmark and write benchmarks/results/DATE-axial-ALLOCATOR.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--full", type=int, default=64, help="largest side at which full attention is timed too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts, rows = machine(torch.device("cpu")), []
    try:
        facts["axial-attention"] = importlib.metadata.version("axial-attention")
    except importlib.metadata.PackageNotFoundError:
        print("the package is not timed; to install it: pip install axial-attention")
    for side in options.sides:
        seconds = measure(layers(side, side <= options.full), options.repeats)
        seconds |= measure(cores(side), options.repeats)
        for name, times in seconds.items():
            rows.append({"name": name, "side": side, "process_seconds": times})
            base = seconds.get(f"package, {name.split()[-1]}")
            ratio = f"{statistics.median(times) / statistics.median(base):5.2f} × package" if base else ""
            print(f"{side:4d} × {side:<4d} {name:22s} {statistics.median(times):7.3f} s  {ratio}", flush=True)
    allocator = "default" if facts["allocator"] == "default" else "tuned"
    out = Path(__file__).parent / "results" / f"{date.today()}-axial-{allocator}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"date": str(date.today()), "machine": facts, "rows": rows}, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()

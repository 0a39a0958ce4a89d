"""Time axial attention beside the public package axial-attention and beside full attention, layer and core.

    python benchmarks/axial.py --sides 64 128

Square images of width 512, 8 heads, float32, forward and backward, one thread, candidates taking turns, under both
allocators. Both axial layers add up columns and rows and get the same weights; the bias of the package's output is
taken out, since ours has none. "core" is all but the projections:
each side starts from queries, keys and values that are there already, in the layout in which it would have them.
"products" are the layer's matrix products alone, 8 forward and 16 backward, which both sides share.

The package is timed if it is installed: pip install -r benchmarks/requirements.txt.
"""

import argparse
import statistics
from functools import partial
from typing import Any

import torch
from measuring import Step, arguments, machine, measure, positive, save, under_each_allocator
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


def layers(side: int, full: bool) -> dict[str, Step]:
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


def cores(side: int) -> dict[str, Step]:
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


def run(options: argparse.Namespace, allocator: str) -> None:
    """Time layers and cores at all sides, and write the results."""
    torch.set_num_threads(1)
    if package(AxialAttention(WIDTH, HEADS, ALONG)) is None:
        print("the package is not timed; to install it: pip install -r benchmarks/requirements.txt")
    rows: list[dict[str, Any]] = []
    for side in options.sides:
        seconds = measure(layers(side, side <= options.full), options.repeats)
        seconds |= measure(cores(side), options.repeats)
        for name, times in seconds.items():
            rows.append({"name": name, "side": side, "seconds": times})
            base = seconds.get(f"package, {name.split()[-1]}")
            ratio = f"{statistics.median(times) / statistics.median(base):5.2f} × package" if base else ""
            print(f"{side:4d} × {side:<4d} {name:22s} {statistics.median(times):7.3f} s  {ratio}", flush=True)
    save(options.out, "axial", allocator, {"machine": machine(packages=["axial-attention"]), "rows": rows})


def main() -> None:
    """Run the benchmark and write DATE-axial-ALLOCATOR.json."""
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--sides", type=positive, nargs="+", default=[64, 128])
    parser.add_argument("--full", type=int, default=64, help="largest side at which full attention is timed too")
    options = parser.parse_args()
    under_each_allocator(partial(run, options), options.allocator)


if __name__ == "__main__":
    main()

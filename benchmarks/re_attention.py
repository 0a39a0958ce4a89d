"""Time re-attention beside the same written plainly, with all maps held, and beside plain fused attention.

    python benchmarks/re_attention.py --lengths 1024 4096

Eight heads of width 64, one image, float32, forward and backward, one thread, candidates taking turns. Peak memory is
that of a fresh process for each candidate, less what the imports took. Run it a second time under MALLOC_MMAP_MAX_=0
MALLOC_TRIM_THRESHOLD_=20000000000 MALLOC_TOP_PAD_=67108864: the default allocator hands large blocks back to the
system at every step, which costs the plain form most.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from run import machine, measure
from torch import Tensor

from attn_edu.heads import ReAttention

HEADS, WIDTH = 8, 64
NAMES = ("plain, LayerNorm", "ours, LayerNorm", "plain, BatchNorm", "ours, BatchNorm", "fused, no mixing")


def candidate(name: str, length: int, check: bool = True) -> Callable[[], None]:
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


def peak(name: str, length: int) -> float:
    """Return the peak memory of one pass in a fresh process, in MB, less that of the imports."""
    call = f"from re_attention import *; print(memory({name!r}, {length}))"
    return float(subprocess.check_output([sys.executable, "-c", call], cwd=Path(__file__).parent, text=True))


def high_water() -> int:
    """Return this process's peak memory in KB; getrusage would count the parent's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def memory(name: str, length: int) -> float:
    """Run one pass in this process and return what it added to the peak, in MB."""
    torch.set_num_threads(1)
    candidate(name, 64)()
    before = high_water()
    candidate(name, length, check=False)()
    return (high_water() - before) / 1024


def main() -> None:
    """Run the benchmark and write benchmarks/results/DATE-re-attention-ALLOCATOR.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts, rows = machine(torch.device("cpu")), []
    for length in options.lengths:
        seconds = measure({name: candidate(name, length) for name in NAMES}, options.repeats, torch.device("cpu"))
        for name, times in seconds.items():
            rows.append({"name": name, "length": length, "seconds": times, "peak_MB": peak(name, length)})
            base = next(r for r in rows if r["length"] == length and r["name"] == name.replace("ours", "plain"))
            time_ratio = statistics.median(times) / statistics.median(base["seconds"])
            memory_ratio = rows[-1]["peak_MB"] / base["peak_MB"]
            print(
                f"{length:6d}  {name:18s} {statistics.median(times):7.2f} s  {rows[-1]['peak_MB']:7.0f} MB"
                f"  {time_ratio:5.2f} and {memory_ratio:5.2f} × plain",
                flush=True,
            )
    allocator = "default" if facts["allocator"] == "default" else "tuned"
    out = Path(__file__).parent / "results" / f"{date.today()}-re-attention-{allocator}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"date": str(date.today()), "machine": facts, "rows": rows}, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()

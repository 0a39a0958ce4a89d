"""Time local attention of images beside fused causal full attention, as the image grows.

    python benchmarks/local_attention.py

Eight heads of width 64, one image, float32, forward and backward, one thread, candidates taking turns.
"""

import json
import statistics
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from run import machine, measure

from attn_edu.vision import LocalAttention1d, LocalAttention2d

LINE, PLANE = LocalAttention1d(128, 128), LocalAttention2d((8, 16), (4, 8))


def candidates(side: int) -> dict[str, Callable[[], None]]:
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


def main() -> None:
    """Run the benchmark and write benchmarks/results/DATE-local-ALLOCATOR.json."""
    torch.set_num_threads(1)
    facts, rows = machine(torch.device("cpu")), []
    for side in (32, 64, 128):
        for name, times in measure(candidates(side), 3, torch.device("cpu")).items():
            rows.append({"name": name, "pixels": side * side, "seconds": times})
            print(f"{side * side:6d} pixels  {name:22s} {1e3 * statistics.median(times):8.0f} ms", flush=True)
    allocator = "default" if facts["allocator"] == "default" else "tuned"
    out = Path(__file__).parent / "results" / f"{date.today()}-local-{allocator}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"date": str(date.today()), "machine": facts, "rows": rows}, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()

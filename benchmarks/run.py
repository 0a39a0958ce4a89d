"""Time every mechanism of the catalogue as the sequence grows, beside PyTorch's fused attention and public packages.

    python benchmarks/run.py

Eight heads of width 64, one sequence, float32, no weights asked for; forward and backward, one thread, candidates
taking turns, under both allocators. Times are displayed and stored, never asserted. Each row of the results holds the
`name` of a candidate, the `length`, the `seconds` of each repeat, the `ratio` of their median to that of fused full
attention at the same length, and `peak_bytes`, what one pass adds in a process of its own. A candidate that would take
too long or too much memory, as its shorter lengths foretell, has null instead, and says `why`.

Public packages are timed if they are installed: pip install -r benchmarks/requirements.txt. Before that they are
compared with what they should compute, except LSH attention, which draws its own rotations.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from measuring import KilledError, Step, arguments, machine, measure, peak_bytes, save, under_each_allocator
from torch import Tensor
from tqdm import tqdm

from attn_edu.catalogue import find, mechanisms
from attn_edu.mechanism import Example, Mechanism, Sizes

HEADS, WIDTH, WINDOW, CHUNK = 8, 64, 128, 64
ENOUGH = 1.0  # seconds of a candidate at one length after which three repeats do
LENGTHS = {"cpu": [1024, 2048, 4096, 8192, 16384], "cuda": [1024, 2048, 4096, 8192, 16384, 32768, 65536]}
DRAWN = (11, 13)  # lengths L and S of examples, unlike any other size: where they stand, the real ones go
WARM = 256  # length of the pass that goes before the one whose memory is measured
FUSED = "F.scaled_dot_product_attention"
Make = Callable[[int, torch.device], Step]


@dataclass(frozen=True)
class Use:
    """One way to use a mechanism on a sequence.

    Parameters
    ----------
    options : callable
        Keywords of the constructor at a length, over those of the example.
    case : str
        The example whose inputs and options to take; the first without a mask if empty.
    image : bool
        Whether the sequence is an image, as square as its length allows, in rows.
    """

    options: Callable[[int], dict[str, Any]] = lambda _: {}
    case: str = ""
    image: bool = False


def near_root(length: int) -> int:
    """Return √length, or the power of two above it."""
    return 1 << (length.bit_length() // 2)


def sides(length: int) -> tuple[int, int]:
    """Return rows and columns of an image of that many pixels, as square as it can be."""
    rows = next(n for n in range(math.isqrt(length), 0, -1) if length % n == 0)
    return rows, length // rows


def lsh(rounds: int) -> Use:
    """Return LSH attention with as many buckets as the public package takes, in two factors if they are many."""

    def options(n: int) -> dict[str, Any]:
        buckets = max(n // CHUNK, 2)
        factor = near_root(buckets)
        factors = (factor, buckets // factor) if buckets >= 16 else (buckets,)
        return {"rounds": rounds, "buckets": factors, "chunk": CHUNK}

    return Use(options)


WINDOWS = {"before": WINDOW, "after": WINDOW}
HIDDEN = ("additive", "concat", "location_sensitive", "soft_attention", "relaxed_attention")  # a network for each pair
# Options one would use, by mechanism and variant; those that are not here are timed as their first example has them.
OPTIONS: dict[str, dict[str, Use]] = {
    **{name: {"": Use(lambda _: {"width": WIDTH})} for name in HIDDEN},
    "location": {"": Use(lambda n: {"places": n})},
    "relative_attention": {"": Use(lambda _: {"clip": 16})},
    "local_attention_1d": {"": Use(lambda _: {"block": WINDOW, "memory": WINDOW})},
    "local_attention_2d": {"": Use(lambda _: {"block": (8, 16), "memory": (4, 8)}, image=True)},
    "axial_attention": {"": Use(case="summed", image=True)},
    "strided_attention": {"": Use(lambda n: {"stride": near_root(n), "part": "both"})},
    "fixed_attention": {"": Use(lambda n: {"block": near_root(n), "summary": min(8, near_root(n)), "part": "both"})},
    "sliding_window_attention": {"": Use(lambda _: {**WINDOWS, "dilation": 1})},
    "global_window_attention": {"": Use(lambda _: {**WINDOWS, "at": (0,)})},
    "lsh_attention": {"4 rounds": lsh(4), "8 rounds": lsh(8)},
}
LEFT_OUT = {"quadratic_attention": "its weights depend on places alone, in an image"}
A_PIECE = "a piece: no query meets a key"


@cache
def leaf(name: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return standard normal numbers; candidates that take the same share them."""
    return torch.randn(shape, device=device, requires_grad=True)


def pass_of(forward: Callable[[], Tensor], leaves: list[Tensor]) -> Step:
    """Return one forward and backward pass, with the output as the gradient that comes back."""

    def step() -> None:
        output = forward()
        torch.autograd.grad(output, leaves, output.detach(), allow_unused=True)

    return step


def on_heads(attend: Callable[[Tensor, Tensor, Tensor], Tensor], length: int, device: torch.device) -> Step:
    """Return one pass of a function of queries, keys and values."""
    q, k, v = (leaf(name, (1, HEADS, length, WIDTH), device) for name in ("query", "key", "value"))
    return pass_of(lambda: attend(q, k, v), [q, k, v])


def unfused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention as its equation is written."""
    return (q @ k.mT / math.sqrt(WIDTH)).softmax(-1) @ v


def projected(length: int, device: torch.device) -> Step:
    """Return one pass of fused attention with projections: what an exact multi-head layer cannot do without."""
    x = leaf("x", (1, length, HEADS * WIDTH), device)
    matrices = [leaf(name, (HEADS * WIDTH, HEADS * WIDTH), device) for name in ("W_Q", "W_K", "W_V", "W_O")]

    def forward() -> Tensor:
        q, k, v = ((x @ W).unflatten(-1, (HEADS, WIDTH)).transpose(1, 2) for W in matrices[:3])
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2) @ matrices[3]

    return pass_of(forward, [x, *matrices])


def plain_example(record: Mechanism, use: Use = Use(), batch: tuple[int, ...] = (1,)) -> Example | None:
    """Return the example of the case, or the first into which nothing but floats goes, with the lengths `DRAWN`."""
    sizes = Sizes(batch, *DRAWN, h=HEADS, d=WIDTH, d_k=WIDTH, d_v=WIDTH)
    examples = record.examples(np.random.default_rng(0), sizes)
    chosen = [examples[use.case]] if use.case else examples.values()
    return next((e for e in chosen if all(x.dtype.kind == "f" for x in e.inputs.values())), None)


def ours(record: Mechanism, use: Use, length: int, device: torch.device) -> Step:
    """Return one pass of a mechanism of the catalogue."""
    example = plain_example(record, use)
    assert example is not None, record.name
    if "heads" not in {**example.options, **example.widths}:  # heads are then one more axis of the batch
        example = plain_example(record, use, (1, HEADS)) or example
    module = record.module(**{**example.options, **example.widths, **use.options(length)}).to(device)
    axes = dict(zip(DRAWN, sides(length) if use.image else (length, length), strict=True))
    shapes = {name: tuple(axes.get(n, n) for n in array.shape) for name, array in example.inputs.items()}
    inputs = {name: leaf(name, shape, device) for name, shape in shapes.items()}
    extra = {"need_weights": False} if record.kind == "attention" else {}

    def forward() -> Tensor:
        result = module(**inputs, **extra)
        output: Tensor = result[0] if isinstance(result, tuple) else result
        return output

    return pass_of(forward, [*inputs.values(), *module.parameters()])


def package_local(length: int, device: torch.device) -> Step:
    """Return one pass of the package's local attention, with a window as wide as ours."""
    from local_attention import LocalAttention

    return on_heads(LocalAttention(WINDOW, look_forward=1, exact_windowsize=True, autopad=True), length, device)


def package_lsh(rounds: int, length: int, device: torch.device) -> Step:
    """Return one pass of the package's LSH attention; it takes heads as the batch."""
    from reformer_pytorch import LSHAttention

    layer = LSHAttention(bucket_size=min(CHUNK, length // 2), n_hashes=rounds)
    shared, v = (leaf(name, (1, HEADS, length, WIDTH), device) for name in ("shared", "value"))
    return pass_of(lambda: layer(shared.flatten(0, 1), v.flatten(0, 1))[0], [shared, v])


def package_axial(length: int, device: torch.device) -> Step:
    """Return one pass of the package's axial attention on an image, its axes added up."""
    from axial_attention import AxialAttention

    layer = AxialAttention(dim=HEADS * WIDTH, num_dimensions=2, heads=HEADS, dim_index=-1, sum_axial_out=True)
    x = leaf("x", (1, *sides(length), HEADS * WIDTH), device)
    layer.to(device)
    return pass_of(lambda: layer(x), [x, *layer.parameters()])


PLAIN: dict[str, Make] = {
    FUSED: partial(on_heads, F.scaled_dot_product_attention),
    f"{FUSED}, causal": partial(on_heads, partial(F.scaled_dot_product_attention, is_causal=True)),
    f"{FUSED}, projected": projected,
    "unfused": partial(on_heads, unfused),
}
PACKAGES: dict[str, dict[str, Make]] = {
    "local-attention": {"local-attention": package_local},
    "reformer-pytorch": {f"reformer-pytorch, {rounds} rounds": partial(package_lsh, rounds) for rounds in (4, 8)},
    "axial-attention": {"axial-attention": package_axial},
}


def make(label: str, length: int, device: torch.device) -> Step:
    """Return one pass of a candidate, by its label."""
    name, _, variant = label.partition(", ")
    if name in PACKAGES:
        return PACKAGES[name][label](length, device)
    if label in PLAIN:
        return PLAIN[label](length, device)
    return ours(find(name), OPTIONS.get(name, {"": Use()})[variant], length, device)


def candidates() -> tuple[list[str], dict[str, str]]:
    """Return the labels of all candidates, and what is left out and why."""
    labels, left_out = list(PLAIN), dict(LEFT_OUT)
    for record in mechanisms():
        if record.kind == "piece":
            left_out[record.name] = A_PIECE
        elif plain_example(record) is None:
            left_out[record.name] = "no example of it takes floats alone"
        elif record.name not in left_out:
            variants = OPTIONS.get(record.name, {"": Use()})
            labels += [", ".join(filter(None, (record.name, variant))) for variant in variants]
    for name, passes in PACKAGES.items():
        try:
            import_module(name.replace("-", "_"))
            labels += passes
        except ImportError as error:
            left_out[name] = str(error)
    return labels, left_out


def check_packages(found: Sequence[str]) -> None:
    """Compare packages with what they should compute: equal work, or no comparison. LSH draws its own rotations."""
    if "local-attention" in found:
        from local_attention import LocalAttention

        layer = LocalAttention(WINDOW, look_forward=1, exact_windowsize=True, autopad=True)
        q, k, v = torch.randn(3, 1, 2, 4 * WINDOW, WIDTH)
        far = torch.arange(4 * WINDOW)[:, None] - torch.arange(4 * WINDOW)
        wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=far.abs() <= WINDOW)
        torch.testing.assert_close(layer(q, k, v), wanted, rtol=1e-4, atol=1e-5)
    if "axial-attention" in found:
        from axial import ALONG, package

        from attn_edu.vision import AxialAttention

        summed = AxialAttention(HEADS * WIDTH, HEADS, ALONG, summed=True)
        image = torch.randn(1, 5, 7, HEADS * WIDTH)
        torch.testing.assert_close(package(summed)(image), summed(image)[0], rtol=1e-4, atol=1e-5)


def foretold(seen: list[tuple[int, float]], length: int) -> float:
    """Continue what was seen at shorter lengths: as it grew, or as the square of the length where one alone is known.

    The growth is held between the length and its square.
    """
    if not seen:
        return 0.0
    (n, last), power = seen[-1], 2.0
    if len(seen) > 1 and seen[-2][1] > 0 and last > 0:
        power = math.log(last / seen[-2][1]) / math.log(n / seen[-2][0])
    return last * (length / n) ** min(max(power, 1.0), 2.0)


def free_bytes(device: torch.device) -> float:
    """Return the memory that is free, or infinity where the system does not tell."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return math.inf
    return 1024.0 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])


def peak(label: str, length: int, step: Step, device: torch.device) -> int | None:
    """Return by how much one pass raises the memory in use."""
    if device.type == "cpu":
        return peak_bytes(partial(make, label, WARM, device), partial(make, label, length, device))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return torch.cuda.max_memory_allocated() - before


def at_length(
    found: Sequence[str], length: int, before: list[dict[str, Any]], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Return the row of each candidate at one length; `before` are the rows of shorter ones."""
    device = torch.device(options.device)
    rows: dict[str, dict[str, Any]] = {}
    steps: dict[str, Step] = {}
    for label in tqdm(found, desc=f"{length:,} tokens, memory", leave=False, disable=None):
        row = {"name": label, "length": length, "seconds": None, "ratio": None, "peak_bytes": None}
        own = [old for old in before if old["name"] == label and old["seconds"]]
        seconds = foretold([(old["length"], statistics.median(old["seconds"])) for old in own], length)
        size = foretold([(old["length"], old["peak_bytes"]) for old in own if old["peak_bytes"]], length)
        compared = label.split(",")[0] in (FUSED, *PACKAGES)  # timed however long it takes
        rows[label] = row
        if seconds > options.limit and not compared:
            row["why"] = f"{seconds:.0f} s a pass foretold, more than {options.limit:g}"
        elif size > free_bytes(device) / 2:
            row["why"] = f"{size / 1e9:.0f} GB foretold, more than half of what is free"
        else:
            try:
                step = make(label, length, device)
                row["peak_bytes"] = peak(label, length, step, device)
                steps[label] = step
            except (torch.OutOfMemoryError, KilledError):
                row["why"] = "out of memory"
            except Exception as error:
                error.add_note(f"The candidate is {label!r}, the length {length}.")
                raise
    times = measure(steps, options.repeats, device, enough=ENOUGH, title=f"{length:,} tokens")
    for label, seconds_taken in times.items():
        rows[label]["seconds"] = seconds_taken
        if FUSED in times:
            rows[label]["ratio"] = round(statistics.median(seconds_taken) / statistics.median(times[FUSED]), 4)
    return list(rows.values())


def line(row: Mapping[str, Any]) -> str:
    """Return what is displayed of a row."""
    start = f"{row['length']:6,d}  {row['name']:38s} "
    if not row["seconds"]:
        return start + row["why"]
    ratio = f"{row['ratio']:6.2f} × fused" if row["ratio"] else ""
    memory = f"{row['peak_bytes'] / 1e6:7.0f} MB" if row["peak_bytes"] is not None else ""
    return f"{start}{1e3 * statistics.median(row['seconds']):9.1f} ms {ratio} {memory}"


def run(options: argparse.Namespace, allocator: str) -> None:
    """Time all candidates at all lengths, and write the results."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found, left_out = candidates()
    check_packages(found)
    if options.only:
        found = [label for label in found if label == FUSED or label.split(",")[0] in options.only]
    for name in PACKAGES:
        if name in left_out:
            print(f"{name} is not timed ({left_out[name]}); to install it: pip install -r benchmarks/requirements.txt")
    print(f"{allocator} allocator", flush=True)
    rows: list[dict[str, Any]] = []
    for length in options.lengths:
        leaf.cache_clear()
        new = at_length(found, length, rows, options)
        print(*map(line, new), sep="\n", flush=True)
        rows += new
    device = torch.device(options.device)
    shape = {"batch": 1, "heads": HEADS, "width": WIDTH, "dtype": "float32"}
    name = "sequences" if device.type == "cpu" else f"sequences-{device.type}"
    result = {**shape, "left_out": left_out, "machine": machine(device, PACKAGES), "rows": rows}
    save(options.out, name, allocator, result)


def above_zero(text: str) -> float:
    """Read an argument that is a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number > 0:
        raise argparse.ArgumentTypeError(f"wanted a number above 0, got {text!r}")
    return number


def power_of_two(text: str) -> int:
    """Read an argument that is a power of two from 16."""
    if not text.isdigit() or int(text) < 16 or int(text) & (int(text) - 1):
        raise argparse.ArgumentTypeError(f"wanted a power of two from 16, got {text!r}")
    return int(text)


def main() -> None:
    """Run the benchmark and write DATE-sequences-ALLOCATOR.json."""
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--lengths", type=power_of_two, nargs="+", help="powers of two; all up to 16,384 if left out")
    parser.add_argument("--only", nargs="+", help="candidates beside fused attention; all if left out")
    parser.add_argument("--limit", type=above_zero, default=4.0, help="seconds a pass may take (default: %(default)s)")
    parser.add_argument("--device", choices=LENGTHS, default="cpu")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: wanted cpu, since PyTorch finds no GPU, got 'cuda'")
    names = dict.fromkeys(label.split(",")[0] for label in candidates()[0])
    unknown = [name for name in options.only or () if name not in names]
    if unknown:
        parser.error(f"--only: wanted some of {', '.join(names)}, got {', '.join(unknown)}")
    options.lengths = sorted(set(options.lengths or LENGTHS[options.device]))
    if options.device == "cuda":  # the GPU's memory is PyTorch's own to keep
        options.allocator = options.allocator or "default"
    under_each_allocator(partial(run, options), options.allocator)


if __name__ == "__main__":
    main()

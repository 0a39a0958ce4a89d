"""Fill the page of benchmarks from the raw results that travel with the package; no number on it is typed.

Each `<!-- name -->` in `book/benchmarks.md` stands for what a function of `parts` returns. A cell that holds two
numbers has the one of the default allocator first, then that of the tuned one.
"""

import os
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from book_pages import exported, table
from sphinx.application import Sphinx

PAGE = "book/benchmarks"
ALLOCATORS = ("default", "tuned")
FUSED = "F.scaled_dot_product_attention"
PAIRS = {  # ours, and what a user would otherwise pick
    "sliding_window_attention": "local-attention",
    "lsh_attention, 4 rounds": "reformer-pytorch, 4 rounds",
    "lsh_attention, 8 rounds": "reformer-pytorch, 8 rounds",
    "axial_attention": "axial-attention",
}
DRAWN = {
    FUSED: "fused",
    "axial_attention": "axial, ours",
    "lsh_attention, 4 rounds": "LSH, ours",
    "reformer-pytorch, 4 rounds": "LSH, package",
    "sliding_window_attention": "window, ours",
    "local-attention": "window, package",
}
# The power of the length with which operations grow, where it is not 2, with the options of benchmarks/run.py; two
# where projections grow with one and pairs with the other.
POWERS = {
    f"{FUSED}, projected": "1 and 2",
    "self_attention": "1 and 2",
    "multi_head": "1 and 2",
    "narrow_multi_head": "1 and 2",
    "local_m": "1",
    "local_p": "1",
    "axial_attention": "1 and 1.5",
    "local_attention_1d": "1",
    "local_attention_2d": "1",
    "strided_attention": "1.5",
    "fixed_attention": "1.5",
    "sliding_window_attention": "1",
    "global_window_attention": "1",
    "lsh_attention": "1",
}
SCRIPTS = {
    "sequences": "run",
    "origins": "run",
    "projected": "run",
    "axial": "axial",
    "local": "local",
    "re-attention": "re_attention",
}

Results = Mapping[str, Mapping[str, Any]]  # of a benchmark, by allocator
Line = Mapping[int, float]  # what was measured, by length
Aim = tuple[str, tuple[float, float], Sequence[Sequence[float | None]]]  # for each allocator: at most, and found


def both(name: str) -> Results:
    """Return the newest results of a benchmark under each allocator."""
    from attn_edu import measured

    return {allocator: measured.results(name, allocator) for allocator in ALLOCATORS}


def lines(result: Mapping[str, Any], of: str = "seconds") -> dict[str, dict[int, float]]:
    """Return medians by candidate and size; the oldest results call two of their columns otherwise."""
    found: dict[str, dict[int, float]] = {}
    for row in result["rows"]:
        size = next(row[key] for key in ("length", "pixels", "side") if key in row)
        numbers = {
            "seconds": row.get("seconds", row.get("process_seconds")),
            "peak_bytes": row["peak_MB"] if "peak_MB" in row else row.get("peak_bytes"),
        }[of]
        found.setdefault(row["name"], {})
        if numbers:
            found[row["name"]][size] = float(np.median(numbers))
    return found


def ratio(line: Line, base: Line, size: int) -> float | None:
    """Return how many times the other one candidate takes, or None where one of them was not measured."""
    return line[size] / base[size] if size in line and size in base else None


def exponent(line: Line, lengths: Sequence[int]) -> float | None:
    """Return the slope of the line that fits best, log against log, or None if it would stand on less than three."""
    if len(lengths) < 3:
        return None
    return float(np.polyfit(np.log(lengths), np.log([line[length] for length in lengths]), 1)[0])


def longest(*sides: Line) -> list[int]:
    """Return the lengths over which growth is told: the longest three that all sides have."""
    return sorted(set.intersection(*map(set, sides)))[-3:]


def cell(*numbers: float | None) -> str:
    """Write one number for each allocator, or a dash where it is missing."""
    return "\u00a0/\u00a0".join("–" if number is None else f"{number:.2f}" for number in numbers)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in the catalogue's dress, or say that this run has nothing for it."""
    told = list(rows)
    return table(head, told, "mechanisms claims") if told else "*This run has nothing to compare here.*"


def label(name: str) -> str:
    """Return what the page calls a candidate, with a link to the reference where it is ours."""
    from attn_edu.catalogue import mechanisms

    first, _, variant = name.partition(", ")
    record = next((record for record in mechanisms() if record.name == first), None)
    if record is None:
        known = {FUSED: "fused", "unfused": "unfused, as the equation is written"}
        return known.get(first, f"`{first}`") + (variant and f", {variant}")
    return f"{{py:class}}`{record.title} <{exported(record.module, record.family)}>`" + (variant and f", {variant}")


def family(name: str) -> str:
    """Return the family in whose table a candidate stands: its own, or that of its twin among ours."""
    from attn_edu.catalogue import find

    if name.split(",")[0] in (FUSED, "unfused"):
        return "core"
    twins = {package: ours for ours, package in PAIRS.items()}
    return find(twins.get(name, name).split(",")[0]).family


def versions(machine: Mapping[str, Any]) -> str:
    """Return the versions among a machine's facts."""
    known = ("processor", "cores", "threads", "device", "clock", "allocator")
    return ", ".join(f"{name} {version}" for name, version in machine.items() if name not in known)


def machines(names: Iterable[str]) -> str:
    """Say when, on what and with which versions each file of results was taken."""

    def place(m: Mapping[str, Any]) -> str:
        return f"{m['processor']}; {m['cores']} cores, threads used: {m['threads']}; {m['device']}"

    told = []
    for name in names:
        found = both(name).values()
        facts = [(result["date"], place(result["machine"]), versions(result["machine"])) for result in found]
        said = "; ".join(" and ".join(dict.fromkeys(fact)) for fact in zip(*facts, strict=True))
        told.append(f"- `{name}`, from `benchmarks/{SCRIPTS[name]}.py`: {said}.")
    return "\n".join(told)


def repeats(names: Iterable[str]) -> str:
    """Return how many repeats a median stands on, fewest and most."""
    counts = {
        len(times)
        for name in names
        for result in both(name).values()
        for row in result["rows"]
        if (times := row.get("seconds", row.get("process_seconds")))
    }
    return f"{min(counts)} to {max(counts)}"


def families(results: Results) -> str:
    """Write for each family the time of each candidate as a multiple of fused attention at the same length."""
    found = [lines(results[allocator]) for allocator in ALLOCATORS]
    lengths = sorted(found[0][FUSED])
    parts = []
    members: dict[str, list[str]] = {}
    for name in found[0]:
        members.setdefault(family(name), []).append(name)
    for title, names in members.items():
        ours = [name for name in names if name not in PAIRS.values()]
        ordered = [each for name in ours for each in (name, PAIRS.get(name)) if each in names]
        rows = [
            [label(name), *(cell(*(ratio(side[name], side[FUSED], n) for side in found)) for n in lengths)]
            for name in ordered
            if name != FUSED
        ]
        if rows:
            parts += [f"### `attn_edu.{title}`", grid(["Candidate", *(f"{n:,}" for n in lengths)], rows)]
    return "\n\n".join(parts)


def packages(results: Results, of: str) -> str:
    """Write ours as a multiple of the public package at the same length."""
    found = [lines(results[allocator], of) for allocator in ALLOCATORS]
    lengths = sorted(found[0][FUSED])
    rows = [
        [
            f"{label(ours)}, beside {label(package)}",
            *(cell(*(ratio(side[ours], side[package], n) for side in found)) for n in lengths),
        ]
        for ours, package in PAIRS.items()
        if all(package in side for side in found)
    ]
    return grid(["Ours, and the package", *(f"{n:,}" for n in lengths)], rows)


def power(name: str) -> str:
    """Return the power that theory gives for a candidate."""
    ours = {package: mine for mine, package in PAIRS.items()}.get(name, name)
    return POWERS.get(ours, POWERS.get(ours.split(",")[0], "2"))


def growth(*runs: Results) -> str:
    """Write the exponents of time and memory beside that of the operations, of each candidate from the first run."""
    rows: dict[str, list[str]] = {}
    for results in runs:
        times = [lines(results[allocator]) for allocator in ALLOCATORS]
        sizes = [lines(results[allocator], "peak_bytes") for allocator in ALLOCATORS]
        for name in times[0]:
            at = longest(*(side[name] for side in (*times, *sizes)))
            if len(at) == 3 and name not in rows:
                found = [cell(*(exponent(side[name], at) for side in of)) for of in (times, sizes)]
                rows[name] = [label(name), f"{at[0]:,}–{at[-1]:,}", power(name), *found]
    return grid(["Candidate", "Tokens", "Theory", "Time", "Peak memory"], rows.values())


def handing_back(results: Results, length: int = 4096) -> str:
    """Write how much longer each candidate takes with the default allocator than with the tuned one."""
    default, tuned = (lines(results[allocator]) for allocator in ALLOCATORS)
    names = [FUSED, "unfused", *(name for pair in PAIRS.items() for name in pair)]
    found = [(name, ratio(default[name], tuned[name], length)) for name in names if name in default and name in tuned]
    return grid(["Candidate", f"default over tuned, {length:,} tokens"], ([label(name), cell(x)] for name, x in found))


def layers(results: Results) -> str:
    """Write axial attention as a multiple of the package: the whole layer, and what is left without projections."""
    found = [lines(results[allocator]) for allocator in ALLOCATORS]
    sides = sorted(found[0]["ours, layer"])
    compared = {
        "ours, whole layer": ("ours, layer", "package, layer"),
        "ours, without projections": ("ours, core", "package, core"),
        "the products that both share, beside the package's whole layer": ("products", "package, layer"),
        "ours, whole layer, beside full attention's": ("ours, layer", "full attention, layer"),
    }
    rows = [
        [text, *(cell(*(ratio(side.get(a, {}), side.get(b, {}), n) for side in found)) for n in sides)]
        for text, (a, b) in compared.items()
    ]
    return grid(["Candidate", *(f"{n} × {n}" for n in sides)], rows)


def images(results: Results) -> str:
    """Write local attention of images as a multiple of fused causal attention."""
    found = [lines(results[allocator]) for allocator in ALLOCATORS]
    sizes = sorted({n for line in found[0].values() for n in line})
    rows = [
        [name, *(cell(*(ratio(side[name], side["fused causal full"], n) for side in found)) for n in sizes)]
        for name in found[0]
        if name != "fused causal full"
    ]
    return grid(["Query block and memory", *(f"{n:,} pixels" for n in sizes)], rows)


def mixing(results: Results) -> str:
    """Write re-attention as a multiple of the same written plainly, in time and in memory."""
    times = [lines(results[allocator]) for allocator in ALLOCATORS]
    sizes = [lines(results[allocator], "peak_bytes") for allocator in ALLOCATORS]
    rows = [
        [
            f"{norm}, {n:,} tokens",
            *(cell(*(ratio(s[f"ours, {norm}"], s[base], n) for s in found)) for found, base in of),
        ]
        for norm in ("LayerNorm", "BatchNorm")
        for of in [((times, f"plain, {norm}"), (sizes, f"plain, {norm}"), (times, "fused, no mixing"))]
        for n in sorted(times[0][f"ours, {norm}"])
    ]
    return grid(["Norm", "Time beside plain", "Peak memory beside plain", "Time beside fused"], rows)


def with_projections() -> str:
    """Write multi-head attention as a multiple of fused attention with the same projections."""
    base = f"{FUSED}, projected"
    name = "sequences" if all(base in lines(result) for result in both("sequences").values()) else "projected"
    found = [lines(result) for result in both(name).values()]
    lengths = sorted(found[0]["multi_head"])
    row = [cell(*(ratio(side["multi_head"], side[base], n) for side in found)) for n in lengths]
    return grid(["Candidate", *(f"{n:,}" for n in lengths)], [[label("multi_head"), *row]])


def aims() -> list[Aim]:
    """Return what was aimed at, at most how much under each allocator, and what was found."""
    runs, axial, mixed = both("sequences"), both("axial"), both("re-attention")
    times, layer = ([lines(each[a]) for a in ALLOCATORS] for each in (runs, axial))
    mixed_of = {of: [lines(mixed[a], of) for a in ALLOCATORS] for of in ("seconds", "peak_bytes")}
    hashed, window = "lsh_attention, 4 rounds", "sliding_window_attention"
    grown = {
        name: [[exponent(side.get(name, {}), longest(*(s.get(name, {}) for s in times)))] for side in times]
        for name in (hashed, window)
    }

    def each(found: Sequence[Mapping[str, Line]], a: str, b: str, sizes: Sequence[int]) -> list[list[float | None]]:
        return [[ratio(side.get(a, {}), side.get(b, {}), n) for n in sizes] for side in found]

    told: list[Aim] = [
        ("LSH, 4 rounds, beside fused attention, 4,096 tokens", (0.4, 0.25), each(times, hashed, FUSED, [4096])),
        (
            "LSH, 4 rounds, beside its package, 4,096 and 8,192 and 16,384 tokens",
            (0.6, 0.6),
            each(times, hashed, PAIRS[hashed], [4096, 8192, 16384]),
        ),
        ("LSH, 4 rounds: exponent", (1.12, 1.12), grown[hashed]),
        ("sliding window: exponent", (1.05, 1.05), grown[window]),
        (
            "axial, whole layer, beside its package, 64 × 64 and 128 × 128",
            (0.7, 0.7),
            each(layer, "ours, layer", "package, layer", [64, 128]),
        ),
    ]
    for norm in ("LayerNorm", "BatchNorm"):
        for words, of, most in (("time", "seconds", 0.7), ("peak memory", "peak_bytes", 0.25)):
            pair = (f"ours, {norm}", f"plain, {norm}")
            told.append(
                (f"re-attention, {norm}, 4,096 tokens: {words}", (most, most), each(mixed_of[of], *pair, [4096]))
            )
    return told


def aimed() -> str:
    """Write the aims, and for each whether every number keeps it."""
    rows = []
    for text, most, found in aims():
        kept = [
            "–" if None in numbers else "yes" if max(x for x in numbers if x is not None) <= limit else "**no**"
            for limit, numbers in zip(most, found, strict=True)
        ]
        rows.append(
            [
                text,
                cell(*most) if len(set(most)) > 1 else cell(most[0]),
                " / ".join(", ".join(map(cell, numbers)) for numbers in found),
                "\u00a0/\u00a0".join(kept),
            ]
        )
    return grid(["What", "At most", "Found", "Met"], rows)


def untimed(*runs: Results) -> str:
    """Name the mechanisms without a number, by reason."""
    from attn_edu.catalogue import mechanisms

    names = {name.split(",")[0] for results in runs for name in lines(results["default"])}
    out = {name: why for results in runs for name, why in results["default"]["left_out"].items()}
    reasons: dict[str, list[str]] = {}
    for record in mechanisms():
        if record.name not in names:
            why = out.get(record.name, "it came to the package after this run")
            reasons.setdefault(why, []).append(record.title)
    return "\n".join(f"- **{why[0].upper()}{why[1:]}.** {', '.join(titles)}." for why, titles in reasons.items())


def gpu() -> str:
    """Write the table of a GPU, or say that there is none."""
    from attn_edu import measured

    try:
        result = measured.results("sequences-cuda")
    except ValueError:
        return (
            "**No GPU could be had, so nothing on this page was timed on one.** What holds on a CPU need not hold "
            "there: a GPU favours other sizes of blocks, and its allocator is PyTorch's own. The scripts run there "
            "(below), and the table would then stand here."
        )
    found = lines(result)
    lengths = sorted(found[FUSED])
    rows = [[label(name), *(cell(ratio(found[name], found[FUSED], n)) for n in lengths)] for name in found]
    told = f"{result['machine']['device']}, {result['date']}; {versions(result['machine'])}."
    return f"{told}\n\n{grid(['Candidate', *(f'{n:,}' for n in lengths)], rows)}"


def spread(results: Results) -> str:
    """Return, in per cent, how far the furthest repeat of a candidate lies from its median: the middle one of all."""
    far = [
        max(abs(x / statistics.median(row["seconds"]) - 1) for x in row["seconds"])
        for result in results.values()
        for row in result["rows"]
        if row["seconds"]
    ]
    return f"{100 * statistics.median(far):.0f}"


def picture(allocator: str, result: Mapping[str, Any], folder: Path, source: Path) -> str:
    """Draw time against length, and return the figure that shows it."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from attn_edu import plotting

    found = lines(result)
    shown = {name: text for name, text in DRAWN.items() if name in found}
    m = result["machine"]
    note = f"{m['processor']}; threads used: {m['threads']}\nPyTorch {m['torch']}; {result['date']}"
    with plotting.style(), plt.rc_context({"svg.hashsalt": "attn_edu", "svg.fonttype": "none"}):
        drawing, axes = plt.subplots(figsize=(4.6, 3.9))
        plotting.growth(result["rows"], shown, "seconds", axes, note)
        engine = drawing.get_layout_engine()
        if engine is not None:
            engine.set(h_pad=0.12)  # type: ignore[call-arg]
        axes.set_title(f"time, {allocator} allocator", loc="left", fontsize=11, pad=18)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"benchmark-{allocator}.svg"
        drawing.savefig(path, metadata={"Date": None})
        plt.close(drawing)
    path.write_text(path.read_text().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif"))
    last = max(found[FUSED])
    ends = "; ".join(f"{text} {found[name][last]:.2f} s" for name, text in shown.items() if last in found[name])
    alt = (
        f"Time against tokens, both on logarithmic axes, under the {allocator} allocator, a line for each candidate "
        f"and two dotted guides that rise as the length and as its square. At {last:,} tokens: {ends}."
    )
    said = {
        "default": "Forward and backward, with the default allocator: medians of processor time. Only fused attention "
        "runs along the steeper guide. Where a package and ours do the same work, the package's line lies higher.",
        "tuned": "The same with the tuned allocator. The packages' lines have come down most.",
    }[allocator]
    where = os.path.relpath(path, source)
    return f"```{{figure}} /{where}\n:alt: {alt}\n:class: dark-light\n:name: benchmark-{allocator}\n\n{said}\n```"


def parts(folder: Path, source: Path) -> dict[str, Callable[[], str]]:
    """Return what each marker of the page stands for; pictures go to `folder`."""
    runs, origins = both("sequences"), both("origins")
    return {
        "aims": aimed,
        "axial": partial(layers, both("axial")),
        "families": partial(families, runs),
        "gpu": gpu,
        "growth": partial(growth, runs, origins),
        "handing-back": partial(handing_back, runs),
        "images": partial(images, both("local")),
        "machines": partial(machines, SCRIPTS),
        "memory": partial(packages, runs, "peak_bytes"),
        "mixing": partial(mixing, both("re-attention")),
        "origins": partial(families, origins),
        "packages": partial(packages, runs, "seconds"),
        "picture-default": partial(picture, "default", runs["default"], folder, source),
        "picture-tuned": partial(picture, "tuned", runs["tuned"], folder, source),
        "projected": with_projections,
        "repeats": partial(repeats, SCRIPTS),
        "spread": partial(spread, runs),
        "untimed": partial(untimed, runs, origins),
    }


def page(text: str, folder: Path, source: Path) -> str:
    """Put the numbers in the place of their markers; one that is unknown, or that is missing, is an error."""
    known = parts(folder, source)
    asked = re.findall(r"<!-- ([a-z-]+) -->", text)
    if set(asked) != set(known):
        raise ValueError(
            f"{PAGE}: wanted the markers {', '.join(sorted(known))}; "
            f"unknown: {', '.join(set(asked) - set(known)) or 'none'}; "
            f"missing: {', '.join(set(known) - set(asked)) or 'none'}"
        )
    return re.sub(r"<!-- ([a-z-]+) -->", lambda found: known[found[1]](), text)


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Fill the page when it is read."""
    if docname == PAGE:
        source[0] = page(source[0], Path(app.doctreedir) / "benchmarks", Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Matplotlib pictures in the book's one style: pale card, role colours, rows are queries and columns are keys."""

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from . import colours
from .checks import check_flag, check_is, check_positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD = "#fbfaf7"
_NUMBERED = 12  # up to so many rows and columns, each cell carries its number


@contextmanager
def style() -> Iterator[None]:
    """Draw in the book's style inside a ``with`` block.

    Colours cycle through query, key and value. The pale card stays pale on a dark page, so every tone is legible.

    Yields
    ------
    None

    Raises
    ------
    ImportError
        If matplotlib is missing; the message says how to install it.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> with style():
    ...     plt.rcParams["axes.facecolor"]
    '#fbfaf7'
    """
    plt = _pyplot()
    wanted = {
        "axes.edgecolor": "#57606a",
        "axes.facecolor": CARD,
        "axes.labelsize": 11,
        "axes.prop_cycle": plt.cycler(color=list(colours.LIGHT.values()), linestyle=["-", "--", ":"]),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 12,
        "figure.constrained_layout.use": True,
        "figure.dpi": 100,
        "figure.facecolor": CARD,
        "figure.figsize": (5.6, 3.4),
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "legend.frameon": False,
        "lines.linewidth": 2,
    }
    with plt.rc_context(wanted):
        yield


def heatmap(
    weights: Any,
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    ax: "Axes | None" = None,
    title: str | None = None,
    bar: bool = False,
) -> "Axes":
    """Draw weights as a picture: a row for each query, a column for each key, darker where the weight is larger.

    Up to 12 × 12 every cell carries its number, so that nothing is told by tone alone.

    Parameters
    ----------
    weights : (L, S)
        Array or tensor; row i holds the weights of query i.
    queries : L texts, optional
        Labels of the rows; numbers if left out.
    keys : S texts, optional
        Labels of the columns.
    ax
        Where to draw; a new figure if left out.
    title
        Line above the picture.
    bar
        Whether to draw a scale beside it.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    TypeError
        If the weights are not real numbers, `ax` is no axes, the title no text or `bar` no bool.
    ValueError
        If they are not two-dimensional, empty or not finite, or if the labels do not match.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> ax = heatmap([[0.9, 0.1], [0.25, 0.75]], queries=["the", "cat"], keys=["the", "cat"])
    >>> [cell.get_text() for cell in ax.texts]
    ['0.90', '0.10', '0.25', '0.75']
    """
    values = _weights(weights)
    rows = _labels("queries", queries, values.shape[0])
    columns = _labels("keys", keys, values.shape[1])
    check_is("title", title, str | None, "a text")
    check_flag("bar", bar)
    plt = _pyplot()
    _check_ax(ax)
    from matplotlib.colors import LinearSegmentedColormap

    low, high = min(0.0, float(values.min())), max(1.0, float(values.max()))
    tones = LinearSegmentedColormap.from_list("weights", [CARD, "#3b4a63", "#0f1729"])
    with style():
        if ax is None:
            wide, tall = (min(1.6 + 0.55 * n, 9.0) for n in values.shape[::-1])
            ax = plt.subplots(figsize=(wide, tall))[1]
        image = ax.imshow(values, cmap=tones, vmin=low, vmax=high)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.set_xticks(range(len(columns)), columns, rotation=0 if _short(columns) else 90, color=colours.KEY)
        ax.set_yticks(range(len(rows)), rows, color=colours.QUERY)
        ax.set_xlabel("key", color=colours.KEY)
        ax.set_ylabel("query", color=colours.QUERY)
        if title is not None:
            ax.set_title(title)
        if max(values.shape) <= _NUMBERED:
            for (row, column), value in np.ndenumerate(values):
                ink = "white" if _luminance(tuple(image.to_rgba(value)[:3])) < 0.179 else "black"
                ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=9)
        if bar:
            ax.figure.colorbar(image, ax=ax, shrink=0.8)
    return ax


def _weights(weights: Any, name: str = "weights", wanted: str = "(L, S), a row for each query") -> np.ndarray:
    if hasattr(weights, "detach"):
        weights = weights.detach().cpu().double()
    try:
        values = np.asarray(weights)
    except ValueError:
        raise ValueError(f"{name}: wanted shape {wanted}, got rows of different lengths") from None
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name}: wanted real numbers, got dtype {values.dtype}")
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{name}: wanted shape {wanted}, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: wanted finite numbers, got nan or inf")
    return values.astype(float)


def _check_ax(ax: Any) -> None:
    from matplotlib.axes import Axes

    check_is("ax", ax, Axes | None, "matplotlib's Axes")


def _labels(name: str, labels: Sequence[str] | None, count: int, owner: str = "weights") -> list[str]:
    if labels is None:
        return [str(number + 1) for number in range(count)]
    if isinstance(labels, str):
        raise TypeError(f"{name}: wanted a list of {count} labels, got the text {labels!r}")
    check_is(name, labels, Sequence | np.ndarray, f"a list of {count} labels")
    if len(labels) != count:
        raise ValueError(f"{name}: wanted {count} labels as in {owner}, got {len(labels)}")
    return [str(label) for label in labels]


def _luminance(rgb: Sequence[float]) -> float:
    """Relative luminance; below 0.179 white has more contrast than black, and either way at least 4.5."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def _short(labels: list[str]) -> bool:
    return max(map(len, labels)) <= 5


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("attn_edu.plotting draws with matplotlib: pip install matplotlib") from error
    if "ipykernel" in sys.modules:  # a notebook then holds crisp pictures, the same on every run
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        plt.rcParams["svg.hashsalt"] = "attn_edu"
        set_matplotlib_formats("svg", metadata={"Date": None})
    return plt


def products(
    chains: Sequence[tuple[Mapping[str, Any], str]], rows: Sequence[str] | None = None, cell: float = 0.42
) -> "Axes":
    """Draw matrix products, one under the other, every number and every shape visible.

    Parameters
    ----------
    chains : sequence of (matrices, role)
        Each chain is a product: ``matrices`` maps names to arrays of shape (rows, columns), the last of them the
        result; names such as ``W_Q`` are set as :math:`W^Q`. ``role`` is ``query``, ``key`` or ``value`` and colours
        the result.
    rows : texts, optional
        Labels of the rows of the first matrix of each chain, and of its result.
    cell
        Side of a cell in inches.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    TypeError
        If chains are not pairs of matrices by name and a role, or `cell` is no number.
    ValueError
        If there is no chain, an array is not two-dimensional, a role is unknown, a chain is too short, its last matrix
        is not the product of the others, the labels do not match, or `cell` is not above 0.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> ax = products([({"X": np.eye(2), "W_Q": np.ones((2, 1)), "Q": np.ones((2, 1))}, "query")])
    >>> [text.get_text() for text in ax.texts if "×" in text.get_text()]
    ['2 × 2', '2 × 1', '2 × 1']
    """
    check_is("chains", chains, Sequence, "a list of products")
    for chain in chains:
        if not (isinstance(chain, Sequence) and len(chain) == 2 and isinstance(chain[0], Mapping)):
            raise TypeError(f"chains: wanted pairs of matrices by name and a role, got {type(chain).__name__}")
    if not chains:
        raise ValueError("chains: wanted at least one, got none")
    check_positive("cell", cell)
    arrays = [[_weights(m, name, "(rows, columns)") for name, m in matrices.items()] for matrices, _ in chains]
    for (matrices, role), factors in zip(chains, arrays, strict=True):
        if len(factors) < 3:
            raise ValueError(f"chains: wanted two factors and their product at least, got {', '.join(matrices)}")
        if role not in colours.LIGHT:
            raise ValueError(f"role: wanted one of {', '.join(colours.LIGHT)}, got {role!r}")
        shapes = [array.shape for array in factors]
        fits = all(left[1] == right[0] for left, right in pairwise(shapes[:-1]))
        if not fits or shapes[-1] != (shapes[0][0], shapes[-2][1]):
            raise ValueError(f"chains: wanted matrices and their product, got shapes {', '.join(map(str, shapes))}")
        if not np.allclose(np.linalg.multi_dot(factors[:-1]), factors[-1]):
            *names, product = matrices
            raise ValueError(f"{product}: wanted the product of {', '.join(names)}, got other numbers")
    labels = None if rows is None else _labels("rows", rows, arrays[0][0].shape[0], next(iter(chains[0][0])))
    margin = 0.0 if labels is None else 0.24 * max(map(len, labels)) + 0.3
    wide = margin + max(sum(array.shape[1] + 1.3 for array in factors) for factors in arrays)
    tall = sum(max(array.shape[0] for array in factors) + 1.9 for factors in arrays)
    plt = _pyplot()
    with style():
        ax = plt.subplots(figsize=(wide * cell, tall * cell))[1]
        ax.set(xlim=(0, wide), ylim=(tall, 0), aspect="equal")
        ax.axis("off")
        top = 0.9
        for (matrices, role), factors in zip(chains, arrays, strict=True):
            height, left = max(array.shape[0] for array in factors), margin
            for number, (name, array) in enumerate(zip(matrices, factors, strict=True)):
                last = number == len(factors) - 1
                ink = colours.LIGHT[role] if number else "#24292f"
                start = top + (height - array.shape[0]) / 2
                head, _, tail = name.partition("_")
                ax.text(
                    left + array.shape[1] / 2, start - 0.2, f"${head}^{{{tail}}}$", ha="center", va="bottom", color=ink
                )
                size = f"{array.shape[0]} × {array.shape[1]}"
                ax.text(
                    left + array.shape[1] / 2, start + array.shape[0] + 0.15, size, ha="center", va="top", fontsize=7.5
                )
                strongest = max(float(np.abs(array).max()), 1e-12)
                for (row, column), entry in np.ndenumerate(array):
                    place = (left + column, start + row)
                    tone = (0.28 * abs(entry) / strongest) if number else 0.1 * abs(entry) / strongest
                    ax.add_patch(plt.Rectangle(place, 1, 1, facecolor=ink, alpha=tone, edgecolor="none"))
                    ax.add_patch(plt.Rectangle(place, 1, 1, fill=False, edgecolor=ink, linewidth=0.8))
                    ax.text(place[0] + 0.5, place[1] + 0.52, _brief(entry), ha="center", va="center", fontsize=7.5)
                if labels is not None and number == 0:
                    for row, label in enumerate(labels):
                        ax.text(left - 0.2, start + row + 0.52, label, ha="right", va="center", fontsize=8)
                left += array.shape[1]
                if not last:
                    sign = "=" if number == len(factors) - 2 else "·"
                    ax.text(left + 0.65, top + height / 2, sign, ha="center", va="center", fontsize=12)
                left += 1.3
            top += height + 1.9
    return ax


def _brief(number: float) -> str:
    return f"{number + 0.0:.2f}".rstrip("0").rstrip(".").replace("-0", "0" if abs(number) < 0.005 else "-0")


_LINES = (
    ("#24292f", "o"), ("#0550ae", "s"), ("#b3202c", "^"), ("#bf3989", "D"), ("#1b7c83", "v"), ("#6e7781", "P")
)  # fmt: skip


def growth(
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    of: str = "seconds",
    ax: "Axes | None" = None,
    note: str | None = None,
) -> "Axes":
    """Draw measured numbers against length, both on logarithmic scales, with guides of slopes 1 and 2.

    Each line bears its name at its end, and marks of its own.

    Parameters
    ----------
    rows : sequence of mappings
        Results as benchmarks keep them: ``name``, ``length``, and what was measured, a number, a list of repeats
        (their median is drawn) or None (left out).
    names : mapping
        Which lines to draw, at most six: the names in the rows, and what to write at the end of each line.
    of
        Which measurement: ``"seconds"`` or ``"peak_bytes"``.
    ax
        Where to draw; a new figure if left out.
    note
        Small print under the axis, such as the machine.

    Returns
    -------
    matplotlib.axes.Axes
        Where it was drawn.

    Raises
    ------
    TypeError
        If the rows are not mappings, the names no mapping, `ax` is no axes or the note no text.
    ValueError
        If a row lacks its name or its length, a name has no numbers in the rows, there are none or too many, or the
        measurement is unknown.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> rows = [{"name": "full", "length": L, "seconds": [1e-9 * L**2] * 3} for L in (1024, 2048)]
    >>> ax = growth(rows, {"full": "full attention"})
    >>> [text.get_text() for text in ax.texts]
    ['∝ L', '∝ L²', 'full attention']
    """
    units = {"seconds": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")), "peak_bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))}
    if not isinstance(of, str) or of not in units:
        raise ValueError(f"of: wanted one of {', '.join(units)}, got {of!r}")
    check_is("names", names, Mapping, "a mapping of names in the rows to what to write")
    check_is("note", note, str | None, "a text")
    check_is("rows", rows, Sequence, "a list of results")
    for row in rows:
        check_is("rows", row, Mapping, "a mapping for each result")
        if lacks := {"name", "length"} - row.keys():
            raise ValueError(f"rows: wanted name and length in each, got one without {min(lacks)}")
    if not 1 <= len(names) <= len(_LINES):
        raise ValueError(f"names: wanted 1 to {len(_LINES)} lines, got {len(names)}")
    lines: dict[str, dict[int, float]] = {}
    for name, label in names.items():
        taken = {row["length"]: row.get(of) for row in rows if row["name"] == name}
        lines[label] = {length: float(np.median(x)) for length, x in sorted(taken.items()) if x}
        if not lines[label]:
            raise ValueError(f"names: wanted names with {of} in the rows, got {name!r}")
    lengths = sorted({length for line in lines.values() for length in line})
    heights = [y for line in lines.values() for y in line.values()]

    def said(y: Any, _: Any = None) -> str:
        size, unit = next((size, unit) for size, unit in (*units[of], units[of][-1]) if y >= size * 0.999)
        return f"{y / size:g} {unit}"

    plt = _pyplot()
    _check_ax(ax)
    with style():
        if ax is None:
            ax = plt.subplots(figsize=(5.0, 3.8))[1]
        ax.set(xscale="log", yscale="log")
        labels = []  # at the right edge: height, text, ink
        for power, text in ((1, "∝ L"), (2, "∝ L²")):
            guide = [min(heights) / 2 * (length / lengths[0]) ** power for length in (lengths[0], lengths[-1])]
            ax.plot([lengths[0], lengths[-1]], guide, color="#8c959f", linestyle=":", linewidth=1.2)
            labels.append((guide[1], text, "#57606a"))
        for (label, line), (ink, mark) in zip(lines.items(), _LINES, strict=False):
            x, y = list(line), list(line.values())
            ax.plot(x, y, color=ink, marker=mark, markersize=5, linestyle="-", linewidth=1.6)
            if x[-1] == lengths[-1]:
                labels.append((y[-1], label, ink))
            else:
                ax.annotate(label, (x[-1], y[-1]), (0, 8), textcoords="offset points", ha="center", color=ink)
        apart = np.log(2 * max(heights) / min(heights)) / 13
        labels.sort()
        places = np.log([height for height, _, _ in labels])
        for _ in range(100):  # push neighbours apart, each by half
            short = np.maximum(apart - np.diff(places), 0) / 2
            places[1:] += short
            places[:-1] -= short
        for place, (_, label, ink) in zip(places, labels, strict=True):
            ax.annotate(label, (lengths[-1], np.exp(place)), (8, 0), textcoords="offset points", va="center", color=ink)
        ax.set_xticks(lengths, [f"{length:,}" for length in lengths], fontsize=9)
        ax.minorticks_off()
        ax.yaxis.set_major_formatter(said)
        small = [] if note is None else [part for line in note.splitlines() for part in textwrap.wrap(line, 54)]
        ax.set_xlabel("\n".join(["tokens", *small]), fontsize=9)
        ax.set_title({"seconds": "time", "peak_bytes": "memory at the peak"}[of], loc="left", fontsize=11, pad=18)
    return ax

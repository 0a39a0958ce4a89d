"""A calculator: what a Transformer block multiplies, and what its attention holds and moves, for sizes you choose."""

import html
from decimal import ROUND_HALF_UP, Context

from attn_edu.costs import TILE, held_bytes, moved_bytes, operations

from ._checks import check_caption
from ._figure import Figure

LENGTHS = sorted(n for k in range(21) for n in (2**k, 3 * 2**k) if 64 <= n <= 2**20)
WIDTHS = [n for n in LENGTHS if n <= 2**14]
MOST_HEADS = 64
NUMBERS = (4, 2)  # bytes of a number: float32, bfloat16
PARTS = {"projections": "projections", "pairs": "scores and sums", "feed_forward": "feed-forward"}


def three(x: int | float) -> str:
    """Write a number with three significant digits, ties away from zero as browsers have it."""
    return f"{float(Context(prec=3, rounding=ROUND_HALF_UP).create_decimal(x)):,g}"


def count(n: int | float) -> str:
    """Write a large number in words."""
    for size, name in ((1e18, "quintillion"), (1e15, "quadrillion"), (1e12, "trillion"), (1e9, "billion")):
        if n >= size:
            return f"{three(n / size)} {name}"
    return f"{three(n / 1e6)} million"


def size(n: int | float) -> str:
    """Write a number of bytes in KiB, MiB, … of 1,024 each."""
    names = ("KiB", "MiB", "GiB", "TiB", "PiB")
    power = min(max((int(n).bit_length() - 1) // 10, 1), len(names))
    return f"{three(n / 1024**power)} {names[power - 1]}"


class CostCalculator(Figure):
    """Sliders for length, width and heads; bars for operations, and dots for the bytes held and moved.

    Parameters
    ----------
    length : int
        Tokens: from 64 to 1,048,576, a power of two or three times one.
    width : int
        Features of a token: from 64 to 16,384, likewise.
    heads : int
        Up to 64, likewise; it must divide the width.
    number : {4, 2}
        Bytes of a number.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a number is out of range.

    Examples
    --------
    At six times the width, pairs cost as much as everything else: 2L²d = 12Ld².

    >>> figure = CostCalculator(length=384, width=64, heads=2)
    >>> figure.operations
    {'projections': 6291456, 'pairs': 18874368, 'feed_forward': 12582912}
    >>> figure.held
    {'maps': 1179648, 'tiles': 68608}
    """

    name = "cost_calculator"
    readings = ("operations", "held", "moved")

    def __init__(
        self, length: int = 16_384, width: int = 512, heads: int = 8, number: int = 4, *, caption: str | None = None
    ) -> None:
        given = {"length": length, "width": width, "heads": heads, "number": number}
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name}: wanted an integer, got {type(value).__name__}")
        for name, allowed in (("length", LENGTHS), ("width", WIDTHS)):
            if given[name] not in allowed:
                raise ValueError(
                    f"{name}: wanted {allowed[0]} to {allowed[-1]:,}, a power of two or three times one, "
                    f"got {given[name]}"
                )
        if heads not in heads_of(width):
            raise ValueError(f"heads: wanted one of {', '.join(map(str, heads_of(width)))}, got {heads}")
        if number not in NUMBERS:
            raise ValueError(f"number: wanted 4 or 2 bytes, got {number}")
        check_caption(caption)
        self.state = {**given, "caption": caption}

    @property
    def operations(self) -> dict[str, int]:
        """Multiplications of a block: projections, pairs, feed-forward."""
        return operations(self.state["length"], self.state["width"])

    @property
    def held(self) -> dict[str, int]:
        """Bytes that a layer holds beside its inputs and output: as maps, by tiles."""
        return held_bytes(self.state["length"], self.state["heads"], self.state["number"])

    @property
    def moved(self) -> dict[str, int]:
        """Bytes that a layer moves: with maps, by tiles."""
        state = self.state
        return moved_bytes(state["length"], state["width"], state["heads"], state["number"])

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, parts = self.state, self.operations
        total = sum(parts.values())
        maps = "The map of its head takes" if state["heads"] == 1 else f"The maps of its {state['heads']} heads take"
        return (
            f"At {state['length']:,} tokens a block of width {state['width']:,} multiplies {count(total)} times, "
            f"{percent(parts['pairs'] / total)} of it for pairs of tokens. {maps} {size(self.held['maps'])}; "
            f"tiles of {TILE} × {TILE} need {size(self.held['tiles'])}. Attention moves {size(self.moved['maps'])} "
            f"with maps, {size(self.moved['tiles'])} by tiles."
        )

    def table(self) -> str:
        """Write the three bills as an HTML table."""
        parts = self.operations
        total = sum(parts.values())
        rows = [(f"multiplications: {PARTS[name]}", f"{n:,}", percent(n / total)) for name, n in parts.items()]
        rows += [(f"bytes held: {name}", f"{n:,}", size(n)) for name, n in self.held.items()]
        rows += [(f"bytes moved: {name}", f"{n:,}", size(n)) for name, n in self.moved.items()]
        body = "\n".join(f'<tr><th scope="row">{a}</th><td>{b}</td><td>{c}</td></tr>' for a, b, c in rows)
        caption = html.escape(self.state["caption"] or "What a block of these sizes costs.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="What a block costs">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">what</th><th scope="col">number</th><th scope="col">in short</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def heads_of(width: int) -> list[int]:
    """Return the numbers of heads on offer for a width."""
    return [h for h in sorted({1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64}) if width % h == 0 and h <= MOST_HEADS]


def percent(part: int | float) -> str:
    """Write a share in per cent, and say so where it would round to nothing or to all."""
    if 0 < part < 0.005:
        return "under 1%"
    if 0.995 <= part < 1:
        return "over 99%"
    return f"{int(100 * part + 0.5)}%"

"""Sparse patterns: which keys each query sees, how many pairs that is, and how far a few layers reach."""

import html
from typing import Any

import numpy as np

from attn_edu.checks import check_choice, check_flag
from attn_edu.sparse import (
    fixed_pattern,
    global_pattern,
    layers_to_reach,
    reach,
    strided_pattern,
    window_pattern,
)

from ._checks import check_caption, check_integer
from ._figure import Figure

LONGEST = 48  # places; more would be too fine for a phone
DEEPEST = 12  # layers
NAMES = {
    "window": "Sliding window",
    "dilated": "Dilated window",
    "strided": "Strided",
    "fixed": "Fixed",
    "global": "Global and window",
}


class PatternReach(Figure):
    """Two squares of queries and keys: what a layer's pattern lets each query see, and what several layers reach.

    The reader picks a pattern, its numbers, how many layers there are and a query.

    Parameters
    ----------
    length : int
        L, places in the sequence.
    pattern : {"window", "dilated", "strided", "fixed", "global"}
        Which pattern is shown first.
    window : int
        Places on each side of a query that a window has; before it alone, if causal.
    dilation : int
        Distance from one place of a dilated window to the next.
    stride : int
        l, the stride, or the length of a block.
    summary : int
        c, places at the end of a block that sum it up; at most `stride`.
    places : int
        Global places, the first of the sequence.
    causal : bool
        Whether windows look back only. Strided and fixed patterns always do, global places never.
    in_turn : bool
        Whether layers take the two parts of a strided or fixed pattern in turn, the local part first, or each both.
    layers : int
        n, how many layers.
    query : int
        The place that asks, counted from 0.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a number is out of range, or `pattern` is none of the five.

    Examples
    --------
    Four places, and a causal window of one place before: 1 + 2 + 2 + 2 pairs, and from the last to the first place it
    takes three layers. Two layers reach place 1.

    >>> figure = PatternReach(4, window=1, layers=2, query=3)
    >>> figure.pairs, figure.needed
    ([7], 3)
    >>> figure.reached.astype(int)[3]
    array([0, 1, 1, 1])
    """

    name = "pattern_reach"
    readings = ("patterns", "pairs", "reached", "needed")

    def __init__(
        self,
        length: int = 36,
        *,
        pattern: str = "window",
        window: int = 6,
        dilation: int = 2,
        stride: int = 6,
        summary: int = 1,
        places: int = 1,
        causal: bool = True,
        in_turn: bool = True,
        layers: int = 1,
        query: int = 0,
        caption: str | None = None,
    ) -> None:
        check_choice("pattern", pattern, tuple(NAMES))
        check_flag("causal", causal)
        check_flag("in_turn", in_turn)
        numbers: dict[str, Any] = {"length": (length, 2, LONGEST), "layers": (layers, 1, DEEPEST)}
        for name, value in {"window": window, "dilation": dilation, "stride": stride}.items():
            numbers[name] = (value, 1, LONGEST)
        numbers |= {"summary": (summary, 1, stride), "places": (places, 1, length), "query": (query, 0, 0)}
        for name, (value, least, most) in numbers.items():
            check_integer(name, value)
            most = length - 1 if name == "query" else most
            if not least <= value <= most:
                raise ValueError(f"{name}: wanted {least} to {most}, got {value}")
        check_caption(caption)
        self.state = {name: int(value) for name, (value, *_) in numbers.items()}
        self.state |= {"pattern": pattern, "causal": causal, "in_turn": in_turn, "caption": caption}

    @property
    def patterns(self) -> list[np.ndarray]:
        """Which keys (columns) each query (rows) sees, (L, L); one array, or two that layers take in turn."""
        state = self.state
        kind, length, stride = state["pattern"], state["length"], state["stride"]
        parts = ("local", kind) if state["in_turn"] else ("both",)
        if kind == "strided":
            return [strided_pattern(length, stride=stride, part=part) for part in parts]
        if kind == "fixed":
            return [fixed_pattern(length, block=stride, summary=state["summary"], part=part) for part in parts]
        window = {"before": state["window"], "after": state["window"]}
        if kind == "global":
            return [global_pattern(length, **window, at=tuple(range(state["places"])))]
        if state["causal"]:
            window["after"] = 0
        return [window_pattern(length, **window, dilation=state["dilation"] if kind == "dilated" else 1)]

    @property
    def pairs(self) -> list[int]:
        """How many pairs of query and key a layer scores; one number for each of the patterns."""
        return [int(pattern.sum()) for pattern in self.patterns]

    @property
    def reached(self) -> np.ndarray:
        """Which inputs (columns) each output (rows) depends on after all layers, (L, L)."""
        return reach(self.patterns, self.state["layers"])

    @property
    def needed(self) -> int | None:
        """Layers until every output depends on every input, or on every earlier one; None if no number is enough."""
        return layers_to_reach(self.patterns)

    @property
    def _full(self) -> int:
        """Pairs of full attention, causal where the pattern is."""
        length, ahead = self.state["length"], any(np.triu(pattern, 1).any() for pattern in self.patterns)
        return length**2 if ahead else length * (length + 1) // 2

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, pairs, full, needed = self.state, self.pairs, self._full, self.needed
        kind, layers, query = state["pattern"], state["layers"], state["query"]
        # Rounded by whole numbers, so that the page rounds alike.
        shares = " and ".join(f"{(2000 * count + full) // (2 * full) / 10:.1f} %" for count in pairs)
        counts = " and ".join(f"{count:,}" for count in pairs)
        turn = "Layers in turn score" if len(pairs) > 1 else "Each layer scores"
        whole = full < state["length"] ** 2
        able = query + 1 if whole else state["length"]
        deep = f"{layers} layer{'s' * (layers > 1)}"
        end = (
            "No number of layers reaches all."
            if needed is None
            else f"Every place reaches {'all before it' if whole else 'all'} after {needed} layer{'s' * (needed > 1)}."
        )
        return (
            f"{NAMES[kind]}. {turn} {counts} of {full:,} pairs ({shares}). After {deep} query {query} "
            f"reaches {self.reached[query].sum()} of {able} place{'s' * (able > 1)}. {end}"
        )

    def table(self) -> str:
        """Write how many pairs, and what the query reaches after one to six layers, as an HTML table."""
        query, patterns = self.state["query"], self.patterns
        rows = []
        for n in range(1, max(6, self.state["layers"]) + 1):
            seen = reach(patterns, n)[query]
            pairs = self.pairs[(n - 1) % len(patterns)]
            listed = " ".join(str(j) for j in np.flatnonzero(seen))
            rows.append(f'<tr><th scope="row">{n}</th><td>{pairs}</td><td>{seen.sum()}</td><td>{listed}</td></tr>')
        caption = html.escape(self.state["caption"] or "What the query reaches.")
        body = "\n".join(rows)
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="What the query reaches">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">layer</th><th scope="col">pairs scored</th><th scope="col">query {query} reaches</th>
<th scope="col">places</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""

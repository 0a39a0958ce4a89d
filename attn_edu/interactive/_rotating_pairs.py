"""Rotating pairs: rotary positions as arrows that turn, and the score that only their offset decides."""

import html
from typing import Any

import numpy as np

from attn_edu.checks import check_flag, check_positive
from attn_edu.positions import rotary

from ._checks import check_caption, check_count, check_vector
from ._figure import ChartFigure
from ._texts import number

WIDEST = 8  # numbers in a query: four pairs
LONGEST = 128  # positions


class RotatingPairs(ChartFigure):
    """A query and a key turned by their positions, pair after pair, and the dot product that results.

    Numbers 2c and 2c + 1 of a vector, counted from 0, are a point in a plane of their own. At position p it is turned
    by p·θ_c, where θ_c = ``base**(-2c / d)``. The reader slides the two positions, one by one or together, and sees
    what each pair contributes to the score, and the score at every offset j − i.

    Parameters
    ----------
    query, key : (d,)
        The vectors before they are turned; d is even, at most 8.
    base : float
        Of the angles.
    positions : int
        How many there are to slide over, 2 to 128, counted from 0.
    query_position, key_position : int
        i and j, the positions at first.
    together : bool
        If True, begin with the positions tied, so that both move by the same amount.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, the width is odd or above 8, or a number is not finite or out of range.

    Examples
    --------
    One pair. The query (1, 0) at position 1 is turned by one radian, the key (0, 2) at 0 not at all, so the score is
    2 sin 1 = 1.683. At positions 4 and 3 it is the same:

    >>> figure = RotatingPairs([1, 0], [0, 2], query_position=1, key_position=0)
    >>> round(figure.score, 3)
    1.683
    >>> round(RotatingPairs([1, 0], [0, 2], query_position=4, key_position=3).score, 3)
    1.683
    """

    name = "rotating_pairs"
    readings = ("turned_query", "turned_key", "parts", "score", "curve")

    def __init__(
        self,
        query: Any,
        key: Any,
        *,
        base: float = 10_000.0,
        positions: int = 32,
        query_position: int = 0,
        key_position: int = 0,
        together: bool = False,
        caption: str | None = None,
    ) -> None:
        query, key = check_vector("query", query), check_vector("key", key)
        if len(query) % 2 or len(query) > WIDEST:
            raise ValueError(f"query: wanted an even number of numbers, at most {WIDEST}, got {len(query)}")
        if len(key) != len(query):
            raise ValueError(f"key: wanted {len(query)} numbers as in query, got {len(key)}")
        check_positive("base", base)
        positions = check_count("positions", positions, 2, LONGEST)
        query_position = check_count("query_position", query_position, 0, positions - 1)
        key_position = check_count("key_position", key_position, 0, positions - 1)
        check_flag("together", together)
        check_caption(caption)
        self.state = {
            "query": query,
            "key": key,
            "base": float(base),
            "positions": positions,
            "query_position": query_position,
            "key_position": key_position,
            "together": together,
            "caption": caption,
        }
        with np.errstate(all="ignore"):
            finite = np.isfinite(self.curve).all() and np.isfinite(np.linalg.norm(query) * np.linalg.norm(key))
        if not finite:
            raise ValueError("query, key, base: wanted finite angles and scores, got an overflow")

    @property
    def angles(self) -> np.ndarray:
        """The angle by which each pair turns from one place to the next, in radians, (d/2,)."""
        d = len(self.state["query"])
        return self.state["base"] ** (-np.arange(0, d, 2) / d)

    def _turned(self, name: str) -> np.ndarray:
        """Return one of the vectors as it is at every position, (positions, d)."""
        return rotary(np.tile(self.state[name], (self.state["positions"], 1)), base=self.state["base"])

    @property
    def turned_query(self) -> np.ndarray:
        """The query as its position turns it, (d,)."""
        return self._turned("query")[self.state["query_position"]]

    @property
    def turned_key(self) -> np.ndarray:
        """The key as its position turns it, (d,)."""
        return self._turned("key")[self.state["key_position"]]

    @property
    def parts(self) -> np.ndarray:
        """What each pair contributes to the score, (d/2,)."""
        return (self.turned_query * self.turned_key).reshape(-1, 2).sum(axis=1)

    @property
    def score(self) -> float:
        """The dot product of the turned vectors."""
        return float(self.parts.sum())

    @property
    def curve(self) -> np.ndarray:
        """The score at each offset j − i from 1 − positions to positions − 1."""
        before = self._turned("query")[:0:-1] @ self.state["key"]
        return np.concatenate([before, self._turned("key") @ self.state["query"]])

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state = self.state
        i, j = state["query_position"], state["key_position"]
        pairs = f"{len(self.parts)} pair" + ("" if len(self.parts) == 1 else "s")
        return (
            f"A query at position {i} and a key at position {j}, turned by rotary positions in {pairs}, "
            f"base {state['base']:.6g}. Their score is {number(self.score)}, as for every two positions with "
            f"offset {j - i}."
        ).replace("-", "−")

    def table(self) -> str:
        """Write the angles and the contributions as an HTML table."""
        degrees = np.degrees(self.angles)
        turned = (degrees * self.state["query_position"], degrees * self.state["key_position"])
        body = "\n".join(
            f'<tr><th scope="row">pair {c}</th><td>{each:.2f}°</td><td>{by_i:.1f}°</td><td>{by_j:.1f}°</td>'
            f"<td>{number(part)}</td></tr>"
            for c, (each, by_i, by_j, part) in enumerate(zip(degrees, *turned, self.parts, strict=True), start=1)
        )
        caption = html.escape(self.state["caption"] or "Each pair turns by its own angle.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Pairs and their contributions">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">pair</th><th scope="col">a place</th><th scope="col">query turned</th>\
<th scope="col">key turned</th><th scope="col">contribution</th></tr></thead>
<tbody>
{body}
<tr><th scope="row">score</th><td></td><td></td><td></td><td>{number(self.score)}</td></tr>
</tbody>
</table>
</div>"""

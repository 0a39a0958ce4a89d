"""Similarity of positions: how alike the vectors of every two places are."""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np

from attn_edu.checks import check_positive
from attn_edu.positions import sinusoidal_positions

from ._checks import check_caption, check_count, check_matrix, check_tokens
from ._figure import ChartFigure
from ._texts import number

LONGEST = 64  # positions; more are too small to see on a phone
WIDEST = 512  # numbers in a sinusoidal position
MOST = 4  # tables beside the sinusoidal one
SINUSOIDAL = "sinusoidal"


class PositionSimilarity(ChartFigure):
    """A heat map of how alike every two positions are, and one of its rows as a curve over the offset.

    Similarity is the cosine: the dot product of two positions' vectors divided by the lengths of both. For sinusoidal
    positions both lengths are √(d/2), so it is the dot product divided by d/2. The reader slides the position whose
    row is shown, the width d and the base, and switches to other tables of positions, where there are any.

    Parameters
    ----------
    length : int
        L, how many positions, 3 to 64, counted from 0.
    d_model : int
        d, the width of the sinusoidal positions, even.
    base : float
        Of the sinusoidal angles: pair c of position p holds sin and cos of ``p / base**(2c / d)``.
    tables : dict of str to (L, d_table), optional
        Other vectors to compare with, by name, such as learned ones. Each may have a width of its own.
    table : str
        What is shown first, ``"sinusoidal"`` or one of the names in `tables`.
    position : int, optional
        i, the row shown first; a quarter of the way if not given.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a number is out of range or not finite, a table does not have `length` rows or has a row of zeros, or a
        name is blank, taken or unknown.

    Examples
    --------
    With d = 2 there is one pair, (sin p, cos p), so positions 0 and 2 have the dot product cos 2 = −0.416:

    >>> figure = PositionSimilarity(3, 2)
    >>> figure.similarity[0].round(3).tolist()
    [1.0, 0.54, -0.416]
    >>> PositionSimilarity(3, tables={"t": [[1, 0], [3, 4], [0, 2]]}, table="t").similarity[1].tolist()
    [0.6, 1.0, 0.8]
    """

    name = "position_similarity"
    readings = ("similarity",)

    def __init__(
        self,
        length: int = 32,
        d_model: int = 32,
        base: float = 10_000.0,
        *,
        tables: Mapping[str, Any] | None = None,
        table: str = SINUSOIDAL,
        position: int | None = None,
        caption: str | None = None,
    ) -> None:
        length = check_count("length", length, 3, LONGEST)
        d_model = check_count("d_model", d_model, 2, WIDEST)
        if d_model % 2:
            raise ValueError(f"d_model: wanted an even number, got {d_model}")
        check_positive("base", base)
        checked = _check_tables(tables, length)
        if not isinstance(table, str):
            raise TypeError(f"table: wanted a str, got {type(table).__name__}")
        if table not in (SINUSOIDAL, *checked):
            raise ValueError(f"table: wanted one of {', '.join([SINUSOIDAL, *checked])}, got {table}")
        position = check_count("position", length // 4 if position is None else position, 0, length - 1)
        check_caption(caption)
        self.state = {
            "length": length,
            "d_model": d_model,
            "base": float(base),
            "tables": checked,
            "table": table,
            "position": position,
            "caption": caption,
        }
        if not np.isfinite(self.similarity).all():
            raise ValueError("base, tables: wanted finite dot products above 0, got an overflow or underflow")

    @property
    def vectors(self) -> np.ndarray:
        """The vectors compared, a row for each position, (L, d)."""
        state = self.state
        if state["table"] != SINUSOIDAL:
            return np.array(state["tables"][state["table"]])
        return sinusoidal_positions(np.zeros((state["length"], state["d_model"])), base=state["base"])

    @property
    def similarity(self) -> np.ndarray:
        """Cosine of every two positions, (L, L)."""
        with np.errstate(all="ignore"):
            vectors = self.vectors
            products = vectors @ vectors.T
            lengths = np.sqrt(np.diag(products))
            return products / (lengths[:, None] * lengths)

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, similarity = self.state, self.similarity
        i, row = state["position"], similarity[state["position"]]
        how = f"{len(row)} {state['table']} positions of width {self.vectors.shape[1]}"
        if state["table"] == SINUSOIDAL:
            how += f", base {state['base']:.6g}"
        near = " and ".join(f"to {j} {number(row[j])}" for j in (i - 1, i + 1) if 0 <= j < len(row))
        places = np.arange(len(row))
        even = np.allclose(similarity, similarity[0][np.abs(places[:, None] - places)], rtol=0, atol=1e-9)
        found = "Only the distance counts" if even else "The distance alone does not decide"
        return f"How alike every two of {how} are. Position {i} is similar {near}. {found}."

    def table(self) -> str:
        """Write the row of the chosen position as an HTML table."""
        i = self.state["position"]
        row = self.similarity[i]
        caption = html.escape(self.state["caption"] or "")
        head = "".join(f'<th scope="col">{_offset(j - i)}</th>' for j in range(len(row)))
        cells = "".join(f"<td>{number(x)}</td>" for x in row)
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Similarity by offset">
<table>
<caption>Similarity of position {i} to the others. {caption}</caption>
<thead><tr><th scope="col">offset</th>{head}</tr></thead>
<tbody>
<tr><th scope="row">similarity</th>{cells}</tr>
</tbody>
</table>
</div>"""


def _check_tables(tables: Any, length: int) -> dict[str, list[list[float]]]:
    """Check tables of vectors by name, and return copies as lists.

    Examples
    --------
    >>> _check_tables({"learned": [[1.0], [0.0]]}, 2)
    Traceback (most recent call last):
    ValueError: tables: wanted rows that are not all 0, got one at 1 in 'learned'
    """
    if tables is None:
        return {}
    if not isinstance(tables, Mapping):
        raise TypeError(f"tables: wanted a dict of names and arrays, got {type(tables).__name__}")
    if not tables:
        return {}
    if len(tables) > MOST:
        raise ValueError(f"tables: wanted at most {MOST}, got {len(tables)}")
    checked = {}
    for name, rows in zip(check_tokens("tables", list(tables)), tables.values(), strict=True):
        if name == SINUSOIDAL:
            raise ValueError(f"tables: wanted names other than {SINUSOIDAL}, which is always there")
        rows = check_matrix(f"tables[{name!r}]", rows, "(L, d)", {"L": (length, "length")})
        if (empty := ~rows.any(axis=1)).any():
            raise ValueError(f"tables: wanted rows that are not all 0, got one at {int(empty.argmax())} in {name!r}")
        checked[name] = rows.tolist()
    return checked


def _offset(offset: int) -> str:
    """Write an offset with its sign.

    Examples
    --------
    >>> _offset(-3), _offset(0), _offset(3)
    ('−3', '0', '+3')
    """
    return f"{offset:+d}".replace("-", "−") if offset else "0"

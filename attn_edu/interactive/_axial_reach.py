"""How far axial layers see: the pixels that reach one output after one, two and three layers, stacked and summed."""

import html
from typing import Any

import numpy as np

from ._checks import check_caption, check_integer
from ._figure import Figure

WIDEST = 9  # rows and columns; more would be too small to touch on a phone
DEEPEST = 3  # layers


class AxialReach(Figure):
    """Two boards on which the reader picks an output and a number of layers, and sees which inputs reach it.

    On the left the layers are stacked, along rows, columns and rows again. On the right each layer is the sum of both.
    The number on a pixel is that of the ways from it to the output: in every layer one step along a row or a column,
    where staying is a step too. Residual connections are left out.

    Parameters
    ----------
    rows, columns : int
        Size of the image, in pixels.
    layers : int
        How many layers there are at first, from 1 to 3.
    row, column : int
        The output chosen first, counted from 1.
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
    The output is the left of three pixels in the upper row. One layer along rows brings each of them once; one summed
    layer brings the column as well, and the output's own pixel by both ways:

    >>> reach = AxialReach(2, 3, row=1, column=1)
    >>> reach.stacked
    array([[1, 1, 1],
           [0, 0, 0]])
    >>> reach.summed
    array([[2, 1, 1],
           [1, 0, 0]])
    """

    name = "axial_reach"
    readings = ("stacked", "summed")

    def __init__(
        self,
        rows: int = 7,
        columns: int = 7,
        *,
        layers: int = 1,
        row: int = 3,
        column: int = 5,
        caption: str | None = None,
    ) -> None:
        numbers: dict[str, Any] = {"rows": rows, "columns": columns, "layers": layers, "row": row, "column": column}
        for name, value in numbers.items():
            check_integer(name, value)
        most = {"rows": WIDEST, "columns": WIDEST, "layers": DEEPEST, "row": rows, "column": columns}
        for name, value in numbers.items():
            if not 1 <= value <= most[name]:
                raise ValueError(f"{name}: wanted 1 to {most[name]}, got {value}")
        check_caption(caption)
        self.state = {**{name: int(value) for name, value in numbers.items()}, "caption": caption}

    def _links(self) -> tuple[np.ndarray, np.ndarray]:
        """Say which pixels, in reading order, share a row, and which share a column."""
        rows, columns = self.state["rows"], self.state["columns"]
        same_row = np.kron(np.eye(rows, dtype=int), np.ones((columns, columns), dtype=int))
        return same_row, np.kron(np.ones((rows, rows), dtype=int), np.eye(columns, dtype=int))

    def _chosen(self, paths: np.ndarray) -> np.ndarray:
        rows, columns = self.state["rows"], self.state["columns"]
        return paths[(self.state["row"] - 1) * columns + self.state["column"] - 1].reshape(rows, columns)

    @property
    def stacked(self) -> np.ndarray:
        """Ways from each pixel to the chosen output through stacked layers, (rows, columns)."""
        same_row, same_column = self._links()
        paths = np.eye(len(same_row), dtype=int)
        for layer in range(self.state["layers"]):
            paths = (same_column if layer % 2 else same_row) @ paths
        return self._chosen(paths)

    @property
    def summed(self) -> np.ndarray:
        """Ways from each pixel to the chosen output through summed layers, (rows, columns)."""
        return self._chosen(np.linalg.matrix_power(sum(self._links()), self.state["layers"]))

    def _order(self) -> str:
        return ", ".join(["row", "column", "row"][: self.state["layers"]])

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state = self.state
        total = state["rows"] * state["columns"]
        count = f"{state['layers']} layer{'s' * (state['layers'] > 1)}"
        return (
            f"The output at row {state['row']}, column {state['column']} after {count}: "
            f"stacked ({self._order()}) it sees {np.count_nonzero(self.stacked)} of {total} pixels, "
            f"summed {np.count_nonzero(self.summed)}."
        )

    def table(self) -> str:
        """Write both counts of ways as an HTML table."""
        state = self.state
        heads = "".join(f'<th scope="col">column {c + 1}</th>' for c in range(state["columns"]))
        body = "\n".join(
            f'<tr><th scope="row">row {r + 1}</th>'
            + "".join(f"<td>{a} | {b}</td>" for a, b in zip(*pair, strict=True))
            + "</tr>"
            for r, pair in enumerate(zip(self.stacked, self.summed, strict=True))
        )
        caption = html.escape(state["caption"] or "Ways from each pixel to the output.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Ways to the output">
<table>
<caption>{caption} In each cell: ways through stacked layers | through summed layers.</caption>
<thead><tr><th scope="col">pixels</th>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""

"""A weighted sum in the plane: inputs to drag, importances to slide, and the output that they make."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._checks import check_caption, check_matrix, check_tokens, check_vector
from ._figure import Figure
from ._texts import count, distinct, pair

LARGEST = 8  # inputs; more are too many to drag
MOST = 10  # the largest importance that a slider can show


class WeightedSumPlane(Figure):
    """Input points in the plane and their weighted sum y = Σ_j w_j x_j.

    Each input has an importance from 0 to 10. Divided by their sum, the importances are the weights. The reader drags
    the inputs or moves them with the arrow keys, and slides the importances.

    Parameters
    ----------
    points : (S, 2)
        The inputs x_j, a row for each.
    importance : (S,), optional
        How much each input counts, from 0 to 10, not all 0; all 1 if not given.
    labels : sequence of S str, optional
        Names of the inputs; x1, x2, … if not given.
    limits : (low, high), optional
        Ends of both axes; the smallest whole numbers around all points if not given.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or lengths do not fit, a number is not finite or out of range, a label is blank, or there are more
        than 8 points.

    Examples
    --------
    Importances 2, 1, 1 add up to 4, so the weights are 1/2, 1/4, 1/4, and
    1/2·(0, 4) + 1/4·(4, 0) + 1/4·(8, 4) = (3, 3):

    >>> plane = WeightedSumPlane([[0, 4], [4, 0], [8, 4]], importance=[2, 1, 1])
    >>> plane.weights
    array([0.5 , 0.25, 0.25])
    >>> plane.output
    array([3., 3.])
    """

    name = "weighted_sum_plane"
    readings = ("weights", "output")

    def __init__(
        self,
        points: Any,
        importance: Any = None,
        *,
        labels: Sequence[str] | None = None,
        limits: Any = None,
        caption: str | None = None,
    ) -> None:
        points = check_matrix("points", points, "(S, 2)", {})
        if points.shape[1] != 2:
            raise ValueError(f"points: wanted shape (S, 2), got {points.shape}")
        if not 1 <= len(points) <= LARGEST:
            raise ValueError(f"points: wanted 1 to {LARGEST} points, got {len(points)}")
        importance = np.ones(len(points)) if importance is None else check_vector("importance", importance)
        if len(importance) != len(points):
            raise ValueError(f"importance: wanted {len(points)} numbers as in points, got {len(importance)}")
        if importance.min() < 0 or importance.max() > MOST:
            raise ValueError(f"importance: wanted numbers from 0 to {MOST}, got {importance.tolist()}")
        if not importance.any():
            raise ValueError("importance: wanted at least one above 0, got only zeros")
        labels = [f"x{j}" for j in range(1, len(points) + 1)] if labels is None else check_tokens("labels", labels)
        if len(labels) != len(points):
            raise ValueError(f"labels: wanted {len(points)} names as in points, got {len(labels)}")
        if limits is None:
            low, high = np.floor(points.min()), np.ceil(points.max())
            limits = [low, high] if low < high else [low - 1, high + 1]
        limits = check_vector("limits", limits)
        if len(limits) != 2 or not limits[0] < limits[1]:
            raise ValueError(f"limits: wanted two numbers, the lower first, got {limits.tolist()}")
        if points.min() < limits[0] or points.max() > limits[1]:
            wanted = f"from {limits[0]:g} to {limits[1]:g}, the limits"
            raise ValueError(f"points: wanted coordinates {wanted}, got {points.min():g} to {points.max():g}")
        check_caption(caption)
        self.state = {
            "points": points,
            "importance": importance,
            "labels": labels,
            "limits": limits,
            "caption": caption,
        }

    @property
    def weights(self) -> np.ndarray:
        """Weights, (S,): the importances divided by their sum."""
        return self.state["importance"] / self.state["importance"].sum()

    @property
    def output(self) -> np.ndarray:
        """The weighted sum of the points, (2,)."""
        return self.weights @ self.state["points"]

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        names = distinct(self.state["labels"])
        terms = " + ".join(f"{weight:.2f} × {name}" for weight, name in zip(self.weights, names, strict=True) if weight)
        return (
            f"{count(len(names), 'input point', 'input points')} in the plane and their weighted sum: "
            f"output {pair(self.output)} = {terms}."
        )

    def table(self) -> str:
        """Write points and weights as an HTML table."""
        rows = zip(distinct(self.state["labels"]), self.state["points"], self.weights, strict=True)
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(name)}</th><td>{pair(point)}</td><td>{weight:.2f}</td>'
            f"<td>{pair(weight * point)}</td></tr>"
            for name, point, weight in rows
        )
        caption = html.escape(self.state["caption"] or "Inputs, their weights, and the sum of weight × input.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Weighted sum">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">input</th><th scope="col">point</th><th scope="col">weight</th>\
<th scope="col">weight × point</th></tr></thead>
<tbody>
{body}
<tr><th scope="row">output</th><td>{pair(self.output)}</td><td>1.00</td><td>{pair(self.output)}</td></tr>
</tbody>
</table>
</div>"""

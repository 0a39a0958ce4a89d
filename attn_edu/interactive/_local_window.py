"""One row of local attention: a place to look at, a window around it, and what the Gaussian takes away."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_flag, check_width
from attn_edu.np_ops import masked_softmax

from ._checks import check_caption, check_tokens, check_vector
from ._figure import Figure
from ._texts import number

LARGEST = 14  # places; more do not fit a phone


class LocalWindow(Figure):
    """The weights of one query over S places, for a window and a Gaussian that the reader moves.

    The softmax runs over the places at most D from p. With the Gaussian, of standard deviation D/2, each weight is
    then multiplied by it, as in `local_p`; without it and with a whole p the row is that of `local_m`.

    Parameters
    ----------
    scores : (S,)
        Scores of the places.
    p : float
        The place that is looked at, from 0 to S.
    D : int
        Half of the window's width.
    gaussian : bool
        Whether the Gaussian follows the softmax.
    labels : sequence of S str, optional
        What stands at the places; their numbers if not given.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If lengths do not fit, a number is not finite or out of range, a name is blank, or there are more than 14
        places.

    Examples
    --------
    Places 1 and 2 are in the window, with weights 1/4 and 3/4; both are 1/2 from p, where the Gaussian is exp(−1/2):

    >>> row = LocalWindow([9, 0, np.log(3)], p=1.5, D=1)
    >>> row.softmax, row.weights.round(4)
    (array([0.  , 0.25, 0.75]), array([0.    , 0.1516, 0.4549]))
    """

    name = "local_window"
    readings = ("softmax", "weights")

    def __init__(
        self,
        scores: Any,
        *,
        p: int | float,
        D: int,
        gaussian: bool = True,
        labels: Sequence[str] | None = None,
        caption: str | None = None,
    ) -> None:
        scores = check_vector("scores", scores)
        S = len(scores)
        if not 1 <= S <= LARGEST:
            raise ValueError(f"scores: wanted 1 to {LARGEST} places, got {S}")
        if isinstance(p, bool) or not isinstance(p, int | float | np.integer | np.floating):
            raise TypeError(f"p: wanted a number, got {type(p).__name__}")
        if not 0 <= p <= S:
            raise ValueError(f"p: wanted a number from 0 to {S}, got {p}")
        check_width("D", D)
        if S < D:
            raise ValueError(f"D: wanted at most the number of places, {S}, got {D}")
        check_flag("gaussian", gaussian)
        labels = check_tokens("labels", [str(s) for s in range(S)] if labels is None else labels)
        if len(labels) != S:
            raise ValueError(f"labels: wanted {S} names as in scores, got {len(labels)}")
        check_caption(caption)
        self.state = {
            "scores": scores,
            "p": float(p),
            "D": D,
            "gaussian": gaussian,
            "labels": labels,
            "caption": caption,
        }

    @property
    def offset(self) -> np.ndarray:
        """How far each place is from p, (S,)."""
        return np.arange(len(self.state["scores"])) - self.state["p"]

    @property
    def softmax(self) -> np.ndarray:
        """The softmax in the window, (S,)."""
        return masked_softmax(self.state["scores"], np.abs(self.offset) <= self.state["D"])

    @property
    def bell(self) -> np.ndarray:
        """The Gaussian at each place, (S,); ones where it is switched off."""
        part = self.offset / self.state["D"]
        return np.exp(-2 * part**2) if self.state["gaussian"] else np.ones_like(part)

    @property
    def weights(self) -> np.ndarray:
        """The weights of the places, (S,)."""
        return self.softmax * self.bell

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, weights = self.state, self.weights
        seen = np.flatnonzero(np.abs(self.offset) <= state["D"])
        which = f"place {seen[0]}" if len(seen) == 1 else f"{len(seen)} places, {seen[0]} to {seen[-1]}"
        taken = f"the Gaussian took {1 - weights.sum():.2f}" if state["gaussian"] else "there is no Gaussian"
        return (
            f"Looking at {state['p']:.1f} with D = {state['D']}: {which}, in the window. "
            f"The weights sum to {weights.sum():.2f}; {taken}."
        )

    def table(self) -> str:
        """Write places, scores, softmax, Gaussian and weights as an HTML table."""
        state = self.state
        columns = zip(state["labels"], state["scores"], self.softmax, self.bell, self.weights, strict=True)
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(label)}</th>'
            + "".join(f"<td>{number(x)}</td>" for x in numbers)
            + "</tr>"
            for label, *numbers in columns
        )
        head = "".join(
            f'<th scope="col">{name}</th>' for name in ("place", "score", "softmax in the window", "Gaussian", "weight")
        )
        caption = html.escape(state["caption"] or "One row of local attention.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Local attention">
<table>
<caption>{caption}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""

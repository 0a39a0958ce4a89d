"""The soft dictionary in the plane: a query to move, a temperature to turn, and the answer that they make."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_flag, check_positive
from attn_edu.core import soft_dictionary

from ._checks import check_caption, check_matrix, check_tokens, check_vector
from ._figure import Figure
from ._texts import distinct, number, pair

LARGEST = 8  # entries; more crowd the plane


class SoftLookup(Figure):
    """Keys in the plane, a query among them, and the average of the values that the query looks up.

    The weights are softmax(q·k / T), as in `soft_dictionary`. The reader drags the query, or moves it by arrow keys,
    turns the temperature T, and switches to a hard lookup, which takes the value of the best key alone. Keys that tie
    for best share the weight.

    Parameters
    ----------
    key : (S, 2)
        The labels as points, a row for each entry.
    value : (S,)
        What the entries hold, a number each.
    labels : sequence of S str
        Names of the entries.
    query : (2,)
        What is looked up.
    temperature : float
        T, by which the scores are divided before the softmax.
    hard : bool
        If True, begin with the hard lookup.
    features : sequence of two str
        Names of the two axes.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or lengths do not fit, a number is not finite or out of range, a name is blank, or there are more
        than 8 entries.

    Examples
    --------
    The scores are ln 6, ln 3 and 0, the exponentials 6, 3 and 1, and 0.6 · 10 + 0.3 · 20 + 0.1 · 90 = 21:

    >>> keys = [[np.log(6), 0], [np.log(3), 1], [0, 1]]
    >>> lookup = SoftLookup(keys, [10, 20, 90], ["cats", "lions", "roads"], query=[1, 0])
    >>> lookup.weights
    array([0.6, 0.3, 0.1])
    >>> round(lookup.output, 6)
    21.0
    >>> SoftLookup(keys, [10, 20, 90], ["cats", "lions", "roads"], query=[1, 0], hard=True).output
    10.0
    """

    name = "soft_lookup"
    styles = ("theme.css", "weighted_sum_plane.css")
    readings = ("weights", "output")

    def __init__(
        self,
        key: Any,
        value: Any,
        labels: Sequence[str],
        *,
        query: Any,
        temperature: float = 1.0,
        hard: bool = False,
        features: Sequence[str] = ("first feature", "second feature"),
        caption: str | None = None,
    ) -> None:
        key = check_matrix("key", key, "(S, 2)", {})
        if key.shape[1] != 2:
            raise ValueError(f"key: wanted shape (S, 2), got {key.shape}")
        if not 1 <= len(key) <= LARGEST:
            raise ValueError(f"key: wanted 1 to {LARGEST} entries, got {len(key)}")
        value, labels = check_vector("value", value), check_tokens("labels", labels)
        for name, entries in (("value", value), ("labels", labels)):
            if len(entries) != len(key):
                raise ValueError(f"{name}: wanted {len(key)} entries as in key, got {len(entries)}")
        query = check_vector("query", query)
        if len(query) != 2:
            raise ValueError(f"query: wanted shape (2,), got {query.shape}")
        check_positive("temperature", temperature)
        check_flag("hard", hard)
        features = check_tokens("features", features)
        if len(features) != 2:
            raise ValueError(f"features: wanted two names, got {len(features)}")
        check_caption(caption)
        self.state = {
            "key": key,
            "value": value,
            "labels": labels,
            "query": query,
            "temperature": float(temperature),
            "hard": hard,
            "features": features,
            "caption": caption,
        }
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(self.weights).all() and np.isfinite(self.output)
        if not finite:
            raise ValueError("key, query, value, temperature: wanted finite scores q·k / T, got an overflow")

    @property
    def weights(self) -> np.ndarray:
        """Weights of the entries, (S,)."""
        state = self.state
        if state["hard"]:
            scores = state["key"] @ state["query"]
            best = scores == scores.max()
            return best / best.sum()
        arrays = state["query"][None], state["key"], state["value"][:, None]
        return soft_dictionary(*arrays, temperature=state["temperature"])[1][0]

    @property
    def output(self) -> float:
        """The answer: the values averaged with the weights."""
        return float(self.weights @ self.state["value"])

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, names, weights = self.state, distinct(self.state["labels"]), self.weights
        order = [j for j in np.argsort(-weights, kind="stable") if weights[j]]
        parts = ", ".join(f"{names[j]} {weights[j]:.2f}" for j in order)
        how = "A hard lookup" if state["hard"] else f"A soft lookup at temperature {state['temperature']:.3g}"
        return f"{how}: the query {pair(state['query'])} finds {number(self.output)}. Weights: {parts}."

    def table(self) -> str:
        """Write keys, scores, weights and values as an HTML table."""
        state = self.state
        rows = zip(distinct(state["labels"]), state["key"], state["key"] @ state["query"], self.weights, strict=True)
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(name)}</th><td>{pair(key)}</td><td>{number(score)}</td>'
            f"<td>{weight:.2f}</td><td>{number(value)}</td></tr>"
            for (name, key, score, weight), value in zip(rows, state["value"], strict=True)
        )
        caption = html.escape(state["caption"] or "Entries, their scores with the query, weights and values.")
        head = "".join(f'<th scope="col">{name}</th>' for name in ("entry", "key", "score", "weight", "value"))
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Soft lookup">
<table>
<caption>{caption}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""

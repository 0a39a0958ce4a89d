"""The attention explorer: every weight of one attention head, and the sum that each query takes."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_flag, check_positive
from attn_edu.core import scaled_dot_product

from ._checks import LARGEST, check_caption, check_integer, check_matrix, check_tokens
from ._figure import Figure
from ._texts import count, distinct


class AttentionExplorer(Figure):
    """A heat map of attention weights, with the weighted sum of the query under the pointer spelled out.

    The weights are softmax(q·k · scale / T). The reader moves the temperature T, switches the causal mask on and
    off, and picks a query by pointer, touch or arrow keys.

    Parameters
    ----------
    tokens : sequence of L str
        Names of the queries, and of the keys if these have none of their own.
    query : (L, d_k)
        Q, a row for each query.
    key : (S, d_k)
        K, a row for each key.
    value : (S, d_v)
        V, a row for each key.
    key_tokens : sequence of S str, optional
        Names of the keys; `tokens` if not given.
    temperature : float
        T, by which the scores are divided before the softmax.
    causal : bool
        If True, query i may attend to keys j ≤ i only; wants L = S.
    scale : float, optional
        Factor on the dot products; 1/√d_k if not given.
    selected : int
        The query shown first, from 0.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or lengths do not fit, a number is not finite or out of range, a token is blank, or there are more
        than 32 queries, keys or columns of values.

    Examples
    --------
    One query (2, 0) and scores 0 and ln 3 once scaled by 1/2, so the weights are 1/4 and 3/4 at T = 1:

    >>> explorer = AttentionExplorer(
    ...     ["it"], [[2, 0]], [[0, 5], [np.log(3), 7]], [[8, 0], [0, 4]], key_tokens=["road", "animal"], scale=0.5
    ... )
    >>> explorer.weights
    array([[0.25, 0.75]])
    >>> explorer.output
    array([[2., 3.]])
    >>> explorer.summary().split('. ')[1]
    'At temperature 1, “it” attends to animal 0.75, road 0.25.'
    """

    name = "attention_explorer"
    readings = ("weights", "output")

    def __init__(
        self,
        tokens: Sequence[str],
        query: Any,
        key: Any,
        value: Any,
        *,
        key_tokens: Sequence[str] | None = None,
        temperature: float = 1.0,
        causal: bool = False,
        scale: float | None = None,
        selected: int = 0,
        caption: str | None = None,
    ) -> None:
        tokens = check_tokens("tokens", tokens)
        query = check_matrix("query", query, "(L, d_k)", {"L": (len(tokens), "tokens")})
        width = {"d_k": (query.shape[1], "query")}
        if key_tokens is None:
            key = check_matrix(
                "key", key, "(S, d_k)", {"S": (len(tokens), "tokens; key_tokens names other keys")} | width
            )
        else:
            key_tokens = check_tokens("key_tokens", key_tokens)
            key = check_matrix("key", key, "(S, d_k)", {"S": (len(key_tokens), "key_tokens")} | width)
        value = check_matrix("value", value, "(S, d_v)", {"S": (len(key), "key")})
        if value.shape[1] > LARGEST:
            raise ValueError(f"value: wanted at most {LARGEST} columns, got {value.shape[1]}")
        check_positive("temperature", temperature)
        if isinstance(causal, np.bool_):
            causal = bool(causal)
        check_flag("causal", causal)
        if causal and len(query) != len(key):
            raise ValueError(f"causal: wanted as many keys as queries, got {len(key)} and {len(query)}")
        if scale is not None:
            check_positive("scale", scale)
            scale = float(scale)
        check_integer("selected", selected)
        if not 0 <= selected < len(tokens):
            raise ValueError(f"selected: wanted 0 to {len(tokens) - 1}, a row of query, got {selected}")
        check_caption(caption)
        self.state = {
            "tokens": tokens,
            "query": query,
            "key": key,
            "value": value,
            "key_tokens": key_tokens,
            "temperature": float(temperature),
            "causal": causal,
            "scale": scale,
            "selected": int(selected),
            "caption": caption,
        }
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(self._attend()[1]).all()
        if not finite:
            raise ValueError("query, key, scale, temperature: wanted finite scores q·k · scale / T, got an overflow")

    def _attend(self) -> tuple[np.ndarray, np.ndarray]:
        state = self.state
        scale = 1 / math.sqrt(state["query"].shape[1]) if state["scale"] is None else state["scale"]
        return scaled_dot_product(
            *(state[name] for name in ("query", "key", "value")),
            causal=state["causal"],
            scale=scale / state["temperature"],
        )

    @property
    def weights(self) -> np.ndarray:
        """Attention weights, (L, S): row i says how query i divides its attention."""
        return self._attend()[1]

    @property
    def output(self) -> np.ndarray:
        """Weighted sums of the values, (L, d_v)."""
        return self._attend()[0]

    def _labels(self) -> tuple[list[str], list[str]]:
        rows = distinct(self.state["tokens"])
        keys = self.state["key_tokens"]
        return rows, rows if keys is None else distinct(keys)

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        rows, columns = self._labels()
        state, weights = self.state, self.weights[self.state["selected"]]
        first = ", ".join(f"{columns[j]} {weights[j]:.2f}" for j in np.argsort(-weights, kind="stable")[:3])
        return (
            f"Heat map of attention weights: {count(len(rows), 'query', 'queries')} in rows, "
            f"{count(len(columns), 'key', 'keys')} in columns"
            f"{', each query attending to no later key' if state['causal'] else ''}. "
            f"At temperature {state['temperature']:.3g}, “{rows[state['selected']]}” attends to {first}."
        )

    def table(self) -> str:
        """Write the weights as an HTML table."""
        rows, columns = self._labels()
        head = "".join(f'<th scope="col" dir="auto">{html.escape(token)}</th>' for token in columns)
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(token)}</th>'
            + "".join(
                "<td>–</td>" if self.state["causal"] and j > i else f"<td>{weight:.2f}</td>"
                for j, weight in enumerate(weights)
            )
            + "</tr>"
            for i, (token, weights) in enumerate(zip(rows, self.weights, strict=True))
        )
        caption = html.escape(self.state["caption"] or "Attention weights: rows are queries, columns are keys.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Attention weights">
<table>
<caption>{caption}</caption>
<thead><tr><td></td>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""

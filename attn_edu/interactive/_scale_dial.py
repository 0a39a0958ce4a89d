"""The scale dial: what the width of the vectors, the divisor √d_k and the temperature do to one row of weights."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_flag, check_positive
from attn_edu.np_ops import masked_softmax

from ._checks import check_caption, check_integer, check_matrix, check_tokens
from ._figure import Figure
from ._texts import distinct, number

LARGEST = 16  # widths or keys; more do not fit a phone


class ScaleDial(Figure):
    """Scores, weights and slopes of one query, for several widths of the vectors.

    A score is a dot product divided by T, and by √d_k too if `divide`. The weights w are the softmax of the scores.
    The slope of a weight is its derivative in its own score, w_j (1 - w_j). The reader slides the width and the
    temperature, and switches the division on and off.

    Parameters
    ----------
    products : (n, S)
        Dot products of the query with S keys, a row for each width.
    widths : sequence of n int
        The widths d_k, each above 0 and above the one before.
    key_tokens : sequence of S str, optional
        Names of the keys; k1, k2, … if not given.
    width : int, optional
        The width shown first, one of `widths`; the last if not given.
    divide : bool
        Whether to divide by √d_k.
    temperature : float
        T, by which the scores are divided as well.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes or lengths do not fit, a number is not finite or out of range, a name is blank, or there are more
        than 16 widths or keys.

    Examples
    --------
    Vectors of width 4 with dot products 2 ln 3 and 0. Divided by 2 they are ln 3 and 0, the exponentials 3 and 1, the
    weights 3/4 and 1/4, and both slopes 3/4 · 1/4 = 3/16:

    >>> dial = ScaleDial([[2 * np.log(3), 0]], [4])
    >>> dial.weights
    array([0.75, 0.25])
    >>> dial.slopes
    array([0.1875, 0.1875])
    """

    name = "scale_dial"
    readings = ("scores", "weights", "slopes")

    def __init__(
        self,
        products: Any,
        widths: Sequence[int],
        *,
        key_tokens: Sequence[str] | None = None,
        width: int | None = None,
        divide: bool = True,
        temperature: float = 1.0,
        caption: str | None = None,
    ) -> None:
        widths = _check_widths(widths)
        products = check_matrix("products", products, "(n, S)", {"n": (len(widths), "widths")})
        S = products.shape[1]
        if S > LARGEST:
            raise ValueError(f"products: wanted at most {LARGEST} keys, got {S}")
        if key_tokens is None:
            key_tokens = [f"k{j}" for j in range(1, S + 1)]
        key_tokens = check_tokens("key_tokens", key_tokens)
        if len(key_tokens) != S:
            raise ValueError(f"key_tokens: wanted {S} names as in products, got {len(key_tokens)}")
        if width is None:
            width = widths[-1]
        check_integer("width", width)
        if width not in widths:
            raise ValueError(f"width: wanted one of widths, {', '.join(map(str, widths))}, got {width}")
        if isinstance(divide, np.bool_):
            divide = bool(divide)
        check_flag("divide", divide)
        check_positive("temperature", temperature)
        check_caption(caption)
        self.state = {
            "products": products,
            "widths": widths,
            "key_tokens": key_tokens,
            "width": int(width),
            "divide": divide,
            "temperature": float(temperature),
            "caption": caption,
        }
        with np.errstate(over="ignore"):
            if not np.isfinite(self.scores).all():
                raise ValueError("products, temperature: wanted finite scores, got an overflow")

    @property
    def scores(self) -> np.ndarray:
        """Scores of the keys at the width shown, (S,)."""
        state = self.state
        divisor = math.sqrt(state["width"]) if state["divide"] else 1.0
        return state["products"][state["widths"].index(state["width"])] / (divisor * state["temperature"])

    @property
    def weights(self) -> np.ndarray:
        """Weights of the keys, (S,): the softmax of the scores."""
        scores = self.scores
        return masked_softmax(scores, np.ones_like(scores, dtype=bool))

    @property
    def slopes(self) -> np.ndarray:
        """Derivative of each weight in its own score, (S,)."""
        return self.weights * (1 - self.weights)

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, weights = self.state, self.weights
        how = "divided by √d_k" if state["divide"] else "not divided"
        if state["temperature"] != 1:
            how += f", temperature {state['temperature']:.3g}"
        best = int(weights.argmax())
        return (
            f"Scores, weights and slopes of {len(weights)} keys at width {state['width']}, {how}. "
            f"{distinct(state['key_tokens'])[best]} has the largest weight, {weights[best]:.2f}. "
            f"The slopes add up to {_brief(self.slopes.sum())}."
        )

    def table(self) -> str:
        """Write scores, weights and slopes as an HTML table."""
        rows = zip(distinct(self.state["key_tokens"]), self.scores, self.weights, self.slopes, strict=True)
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(key)}</th><td>{number(score)}</td><td>{weight:.2f}</td>'
            f"<td>{_brief(slope)}</td></tr>"
            for key, score, weight, slope in rows
        )
        caption = html.escape(self.state["caption"] or "For each key: its score, its weight, and the weight's slope.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Scores, weights and slopes">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">key</th><th scope="col">score</th><th scope="col">weight</th>\
<th scope="col">slope</th></tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def _check_widths(widths: Any) -> list[int]:
    """Check that widths are whole numbers above 0 in rising order, and return them as a list.

    Examples
    --------
    >>> _check_widths([1, 4, 2])
    Traceback (most recent call last):
    ValueError: widths: wanted each above the one before, got 2 after 4
    """
    if isinstance(widths, str | bytes) or not isinstance(widths, Sequence | np.ndarray):
        raise TypeError(f"widths: wanted a sequence of integers, got {type(widths).__name__}")
    if not 1 <= len(widths) <= LARGEST:
        raise ValueError(f"widths: wanted 1 to {LARGEST} widths, got {len(widths)}")
    before = 0
    for width in widths:
        if isinstance(width, bool) or not isinstance(width, int | np.integer):
            raise TypeError(f"widths: wanted integers, got {type(width).__name__}")
        if width <= before:
            raise ValueError(f"widths: wanted each above the one before, got {width} after {before}")
        before = int(width)
    return [int(width) for width in widths]


def _brief(x: float) -> str:
    """Write a slope with three decimals, or by its power of ten where these would be lost.

    Examples
    --------
    >>> _brief(0.1875), _brief(2.2e-7), _brief(0.0)
    ('0.188', '2e−7', '0')
    """
    x = float(x)
    if x >= 0.0005:
        return f"{x:.3f}"
    return f"{x:.0e}".replace("e-0", "e-").replace("-", "−") if x else "0"

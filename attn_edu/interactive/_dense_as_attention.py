"""A dense layer and attention mix the same numbers: fixed lines, and lines that the input draws."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_flag
from attn_edu.core import multi_head

from ._checks import check_caption, check_count, check_matrix, check_tokens, check_vector
from ._figure import Figure
from ._texts import distinct, number

TOKENS, REACH, HEAVIEST, SHARPEST = 5, 2.0, 9.0, 8.0  # more does not fit a phone


class DenseAsAttention(Figure):
    r"""The same tokens mixed by a dense layer across positions, and by attention.

    A token is one number x_i, so that every number can be read. The dense layer gives y_i = Σ_j W_ij x_j. Attention
    gives the same sum with the softmax of sharpness · x_i x_j, over j, for weights. The reader moves the tokens: the
    dense layer's lines stay as they are, those of attention do not.

    In the second mode, there is a head for each place, and head n may look at place n only, from every query. W_V is 1
    in each head, and W_O the transpose of W. Every query then receives all of W x, and query i keeps number i.

    Parameters
    ----------
    x : (N,)
        The tokens, from −2 to 2; N is 2 to 5.
    W : (N, N)
        Weights of the dense layer, a row for each output, from −9 to 9.
    tokens : sequence of N str, optional
        Names of the places; x₁, x₂, … if not given.
    sharpness : float
        Factor on the scores, from 0 to 8.
    one_place : bool
        Whether the second mode is shown.
    selected : int
        The output shown first, from 0.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite or out of range, or a token is blank.

    Examples
    --------
    Tokens 1 and 0. The dense layer takes 2 · 1 + 1 · 0 = 2 and 0. With sharpness ln 3, the scores of the first token
    are ln 3 and 0, its weights 3/4 and 1/4, its output 3/4; the scores of the second are equal, its output is 1/2:

    >>> figure = DenseAsAttention([1, 0], [[2, 1], [0, -1]], sharpness=np.log(3))
    >>> figure.dense
    array([2., 0.])
    >>> figure.output
    array([0.75, 0.5 ])

    With a head for each place, both queries receive what the dense layer gives:

    >>> figure = DenseAsAttention([1, 0], [[2, 1], [0, -1]], one_place=True)
    >>> figure.received
    array([[2., 0.],
           [2., 0.]])
    >>> figure.difference
    array([0., 0.])
    """

    name = "dense_as_attention"
    readings = ("weights", "dense", "received", "output", "difference")

    def __init__(
        self,
        x: Any,
        W: Any,
        tokens: Sequence[str] | None = None,
        *,
        sharpness: float = 1.0,
        one_place: bool = False,
        selected: int = 0,
        caption: str | None = None,
    ) -> None:
        x = check_vector("x", x)
        N = len(x)
        if not 2 <= N <= TOKENS:
            raise ValueError(f"x: wanted 2 to {TOKENS} numbers, got {N}")
        W = check_matrix("W", W, "(N, N)", {"N": (N, "x")})
        for name, numbers, most in (("x", x, REACH), ("W", W, HEAVIEST)):
            if np.abs(numbers).max() > most:
                raise ValueError(
                    f"{name}: wanted numbers from {-most:g} to {most:g}, got one of size {np.abs(numbers).max():g}"
                )
        if tokens is not None:
            tokens = check_tokens("tokens", tokens)
            if len(tokens) != N:
                raise ValueError(f"tokens: wanted {N}, one for each number of x, got {len(tokens)}")
        if isinstance(sharpness, bool) or not isinstance(sharpness, int | float | np.integer | np.floating):
            raise TypeError(f"sharpness: wanted a number, got {type(sharpness).__name__}")
        if not 0 <= sharpness <= SHARPEST:
            raise ValueError(f"sharpness: wanted 0 to {SHARPEST:g}, got {sharpness}")
        check_flag("one_place", one_place)
        check_count("selected", selected, 0, N - 1)
        check_caption(caption)
        self.state = {
            "x": x,
            "W": W,
            "tokens": tokens,
            "sharpness": float(sharpness),
            "one_place": one_place,
            "selected": int(selected),
            "caption": caption,
        }

    def _attend(self) -> tuple[np.ndarray, np.ndarray]:
        column, W, N = self.state["x"][:, None], self.state["W"], len(self.state["x"])
        one = np.ones((1, 1))
        if not self.state["one_place"]:
            W_Q = self.state["sharpness"] * one
            return multi_head(column, column, column, W_Q=W_Q, W_K=one, W_V=one, W_O=one, heads=1)
        ones = np.ones((1, N))
        mask = np.broadcast_to(np.eye(N, dtype=bool)[:, None], (N, N, N))  # head n, every query, place n
        return multi_head(column, column, column, W_Q=ones, W_K=ones, W_V=ones, W_O=W.T, heads=N, attn_mask=mask)

    @property
    def weights(self) -> np.ndarray:
        """Attention weights, (h, N, N): h is N with a head for each place, else 1."""
        return self._attend()[1]

    @property
    def received(self) -> np.ndarray:
        """What each query receives, (N, N) with a head for each place, else (N, 1)."""
        return self._attend()[0]

    @property
    def dense(self) -> np.ndarray:
        """The dense layer's outputs, (N,)."""
        return self.state["W"] @ self.state["x"]

    @property
    def output(self) -> np.ndarray:
        """What each query keeps, (N,)."""
        received = self.received
        return received.diagonal() if self.state["one_place"] else received[:, 0]

    @property
    def difference(self) -> np.ndarray:
        """Attention's outputs less the dense layer's, (N,)."""
        return self.output - self.dense

    def _labels(self) -> list[str]:
        tokens = self.state["tokens"]
        return [f"x{chr(0x2081 + i)}" for i in range(len(self.state["x"]))] if tokens is None else distinct(tokens)

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        N, furthest = len(self.state["x"]), np.abs(self.difference).max()
        if self.state["one_place"]:
            how = f"by a dense layer, and by {N} heads that look at one place each, joined by the dense layer's weights"
        else:
            how = f"by a dense layer, and by attention of sharpness {self.state['sharpness']:.3g}"
        return f"{N} tokens mixed {how}. The outputs differ by at most {furthest:.2f}."

    def table(self) -> str:
        """Write inputs, outputs and their difference as an HTML table."""
        rows = zip(self._labels(), self.state["x"], self.dense, self.output, self.difference, strict=True)
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(token)}</th>'
            + "".join(f"<td>{number(x)}</td>" for x in numbers)
            + "</tr>"
            for token, *numbers in rows
        )
        caption = html.escape(self.state["caption"] or "For each place: its input, and its output by both layers.")
        names = ("place", "input", "dense layer", "attention", "difference")
        head = "".join(f'<th scope="col">{name}</th>' for name in names)
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Inputs and outputs">
<table>
<caption>{caption}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""

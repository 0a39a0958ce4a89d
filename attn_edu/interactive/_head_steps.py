"""The steps of multi-head attention: every matrix of it, with its numbers and its shape."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_divides
from attn_edu.core import multi_head

from ._checks import check_caption, check_count, check_matrix, check_tokens
from ._figure import Figure
from ._texts import count, distinct, number

ROWS, WIDTH, STEPS = 6, 8, 7  # more rows or columns do not fit a page


class HeadSteps(Figure):
    r"""Multi-head self-attention in seven steps: input, project, cut, score, mix, join, output.

    Each step shows the matrices that take part, as grids of numbers with names and shapes. The reader walks through
    the steps and picks a row, or one number in it, to see which rows and columns it is made of.

    Parameters
    ----------
    x : (L, d)
        X, a row for each token; L ≤ 6 and d ≤ 8.
    W_Q, W_K, W_V : (d, d)
        Projections to the queries, keys and values of all heads, side by side.
    W_O : (d, d)
        Output projection.
    heads : int
        h, a divisor of d; each head has width d_k = d/h.
    tokens : sequence of L str, optional
        Names of the rows; x₁, x₂, … if not given.
    step : int
        The step shown first, from 1 to 7.
    selected : int
        The row shown first, from 0.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite or out of range, `heads` does not divide d, a token is blank, or
        there are more than 6 rows or 8 columns.

    Examples
    --------
    Two heads of width 1. Row 1 is (0, 0): its scores are 0, its weights 1/2 in both heads. Row 2 is (1, 1). In head 1
    its key is 1 and row 1's is 0, so the weights are softmax(0, 1) = (0.27, 0.73); in head 2 the key is −1:

    >>> figure = HeadSteps([[0, 0], [1, 1]], np.eye(2), np.diag([1, -1]), np.eye(2), [[1, 0], [1, 0]], heads=2)
    >>> figure.weights.round(2)
    array([[[0.5 , 0.5 ],
            [0.27, 0.73]],
    <BLANKLINE>
           [[0.5 , 0.5 ],
            [0.73, 0.27]]])

    The mixtures of row 2 are 0.73 and 0.27, and W_O adds them up:

    >>> figure.output.round(2)
    array([[1., 0.],
           [1., 0.]])
    """

    name = "head_steps"
    readings = ("weights", "output")

    def __init__(
        self,
        x: Any,
        W_Q: Any,
        W_K: Any,
        W_V: Any,
        W_O: Any,
        heads: int,
        tokens: Sequence[str] | None = None,
        *,
        step: int = 1,
        selected: int = 0,
        caption: str | None = None,
    ) -> None:
        x = check_matrix("x", x, "(L, d)", {})
        rows, d = x.shape
        if not 1 <= rows <= ROWS or d > WIDTH:
            raise ValueError(f"x: wanted 1 to {ROWS} rows and at most {WIDTH} columns, got shape {x.shape}")
        weights = {
            name: check_matrix(name, W, "(d, d)", {"d": (d, "x")})
            for name, W in (("W_Q", W_Q), ("W_K", W_K), ("W_V", W_V), ("W_O", W_O))
        }
        check_divides("heads", heads, d=d)
        if tokens is not None:
            tokens = check_tokens("tokens", tokens)
            if len(tokens) != rows:
                raise ValueError(f"tokens: wanted {rows}, one for each row of x, got {len(tokens)}")
        for name, value, low, high in (("step", step, 1, STEPS), ("selected", selected, 0, rows - 1)):
            check_count(name, value, low, high)
        check_caption(caption)
        self.state = {
            "x": x,
            **weights,
            "heads": heads,
            "tokens": tokens,
            "step": int(step),
            "selected": int(selected),
            "caption": caption,
        }
        with np.errstate(over="ignore", invalid="ignore"):
            finite = all(np.isfinite(result).all() for result in self._attend())
        if not finite:
            raise ValueError("x, W_Q, W_K, W_V, W_O: wanted finite products, got an overflow")

    def _attend(self) -> tuple[np.ndarray, np.ndarray]:
        state = self.state
        options = {name: state[name] for name in ("W_Q", "W_K", "W_V", "W_O", "heads")}
        return multi_head(state["x"], state["x"], state["x"], **options)

    @property
    def weights(self) -> np.ndarray:
        """Attention weights, (h, L, L): one matrix per head."""
        return self._attend()[1]

    @property
    def output(self) -> np.ndarray:
        """Y, (L, d): the joined heads times W_O."""
        return self._attend()[0]

    def _labels(self) -> list[str]:
        tokens = self.state["tokens"]
        return [f"x{chr(0x2081 + i)}" for i in range(len(self.state["x"]))] if tokens is None else distinct(tokens)

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        (rows, d), heads = self.state["x"].shape, self.state["heads"]
        return (
            f"Multi-head attention of {count(rows, 'row', 'rows')} in {STEPS} steps, with the shape of every matrix: "
            f"{count(heads, 'head', 'heads')} of width {d // heads} cut from width {d}, joined again to width {d}."
        )

    def _shapes(self) -> list[tuple[str, str]]:
        """Return, for each step, its name and its matrices with their shapes."""
        (rows, d), heads = self.state["x"].shape, self.state["heads"]
        width = d // heads
        n = "_n, " + ("n = 1" if heads == 1 else f"n = 1 to {heads}")
        whole, piece, square, turn = f"{rows} × {d}", f"{rows} × {width}", f"{rows} × {rows}", f"{width} × {rows}"
        return [
            ("Input", f"X: {whole}"),
            ("Project", f"X: {whole}; W^Q, W^K, W^V: {d} × {d} each; Q, K, V: {whole} each"),
            ("Cut", f"Q, K, V: {whole} each; Q_n, K_n, V{n}: {piece} each"),
            ("Score", f"Q_n: {piece}; K_nᵀ: {turn}; scores S_n and weights A_n: {square} each"),
            ("Mix", f"A_n: {square}; V_n: {piece}; H_n: {piece}"),
            ("Join", f"H_n: {piece} each; H: {rows} × {heads}·{width} = {whole}"),
            ("Output", f"H: {whole}; W^O: {d} × {d}; Y: {whole}"),
        ]

    def table(self) -> str:
        """Write the shapes of all steps, and the output, as HTML tables."""
        shapes = "\n".join(
            f'<tr><th scope="row">{n} {name}</th><td>{text}</td></tr>'
            for n, (name, text) in enumerate(self._shapes(), 1)
        )
        output = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(token)}</th>'
            + "".join(f"<td>{number(y)}</td>" for y in row)
            + "</tr>"
            for token, row in zip(self._labels(), self.output, strict=True)
        )
        caption = html.escape(self.state["caption"] or "The steps and their matrices, rows × columns.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Shapes in each step">
<table>
<caption>{caption}</caption>
<tbody>
{shapes}
</tbody>
</table>
</div>
<div class="attn-scroll" tabindex="0" role="region" aria-label="Output">
<table>
<caption>The output Y.</caption>
<tbody>
{output}
</tbody>
</table>
</div>"""

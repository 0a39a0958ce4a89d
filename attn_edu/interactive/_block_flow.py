"""Data flowing through one block of a Transformer: every number of every step."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_divides, check_flag
from attn_edu.core import feed_forward, layer_norm, multi_head

from ._checks import check_caption, check_count, check_matrix, check_tokens
from ._figure import Figure
from ._texts import number

ROWS, WIDTH, HIDDEN = 8, 8, 32  # more do not fit a page
STAGES = (
    "input",
    "queries",
    "scores",
    "weights",
    "context",
    "sum_1",
    "norm_1",
    "hidden",
    "active",
    "fed",
    "sum_2",
    "norm_2",
)
ALONE = ("b_1", "b_2", "gain_1", "bias_1", "gain_2", "bias_2")


class BlockFlow(Figure):
    r"""An encoder block step by step, on a sentence in which the reader can replace words.

    The stages are those of ``attn_edu.models.EncoderBlock.steps``: ``queries`` shows queries, keys and values,
    ``context`` the joined heads and what W_O makes of them. The reader walks through them, follows one token or one
    number, replaces words and sees which rows change, puts the norms before or after, and hides later tokens.

    Parameters
    ----------
    tokens : sequence of L str
        The sentence, words of `words`; L ≤ 8.
    words : sequence of V str
        The vocabulary, V ≤ 32.
    vectors : (V, d)
        A vector for each word; d ≤ 8.
    positions : (L, d)
        What is added to the vector at each place.
    W_Q, W_K, W_V, W_O : (d, d)
        Projections of the attention; head n has the n-th block of d/h columns, and of rows of W_O.
    W_1, b_1, W_2, b_2 : (d, m), (m,), (m, d), (d,)
        The feed-forward network with m ≤ 32 hidden features.
    gain_1, bias_1, gain_2, bias_2 : (d,)
        Of the two layer normalisations; ε is 1e-5.
    heads : int
        h, a divisor of d.
    norm_first : bool
        If False, normalise each sum; if True, the input of attention and of the feed-forward network.
    causal : bool
        If True, token i attends to tokens j ≤ i only.
    stage : str
        The stage shown first, one of input, queries, scores, weights, context, sum_1, norm_1, hidden, active, fed,
        sum_2, norm_2.
    selected : int
        The token followed first, from 0.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite or out of range, a token is not among the words, or there are
        more tokens, words or features than fit.

    Examples
    --------
    Attention adds nothing here, since W_V is 0. The sum (1, 3) has mean 2 and deviation 1, so the first norm makes
    (−1, 1) of it. The hidden feature is −1 + 1 + 2 = 2; W_2 writes (6, 0), the sum is (5, 1), and the second norm
    makes (1, −1) of it:

    >>> zero, eye = np.zeros((2, 2)), np.eye(2)
    >>> norms = {"gain_1": [1, 1], "bias_1": [0, 0], "gain_2": [1, 1], "bias_2": [0, 0]}
    >>> figure = BlockFlow(
    ...     ["it"], ["it"], [[1, 2]], [[0, 1]], W_Q=eye, W_K=eye, W_V=zero, W_O=eye,
    ...     W_1=[[1], [1]], b_1=[2], W_2=[[3, 0]], b_2=[0, 0], **norms, heads=1,
    ... )
    >>> figure.output.round(3)
    array([[ 1., -1.]])
    """

    name = "block_flow"
    readings = ("weights", "output")

    def __init__(
        self,
        tokens: Sequence[str],
        words: Sequence[str],
        vectors: Any,
        positions: Any,
        *,
        W_Q: Any,
        W_K: Any,
        W_V: Any,
        W_O: Any,
        W_1: Any,
        b_1: Any,
        W_2: Any,
        b_2: Any,
        gain_1: Any,
        bias_1: Any,
        gain_2: Any,
        bias_2: Any,
        heads: int,
        norm_first: bool = False,
        causal: bool = False,
        stage: str = "input",
        selected: int = 0,
        caption: str | None = None,
    ) -> None:
        words, tokens = check_tokens("words", words), check_tokens("tokens", tokens)
        if len(tokens) > ROWS:
            raise ValueError(f"tokens: wanted 1 to {ROWS}, got {len(tokens)}")
        if len(set(words)) < len(words):
            raise ValueError("words: wanted each word once, got one twice")
        if unknown := [token for token in tokens if token not in words]:
            raise ValueError(f"tokens: wanted words of the vocabulary, got {unknown[0]!r}")
        vectors = check_matrix("vectors", vectors, "(V, d)", {"V": (len(words), "words")})
        d = vectors.shape[1]
        if d > WIDTH:
            raise ValueError(f"vectors: wanted at most {WIDTH} columns, got {d}")
        wide = {"d": (d, "vectors")}
        positions = check_matrix("positions", positions, "(L, d)", {"L": (len(tokens), "tokens")} | wide)
        matrices = {
            name: check_matrix(name, W, "(d, d)", wide)
            for name, W in (("W_Q", W_Q), ("W_K", W_K), ("W_V", W_V), ("W_O", W_O))
        }
        W_1 = check_matrix("W_1", W_1, "(d, m)", wide)
        m = W_1.shape[1]
        if m > HIDDEN:
            raise ValueError(f"W_1: wanted at most {HIDDEN} columns, got {m}")
        matrices |= {"W_1": W_1, "W_2": check_matrix("W_2", W_2, "(m, d)", {"m": (m, "W_1")} | wide)}
        given = dict(zip(ALONE, (b_1, b_2, gain_1, bias_1, gain_2, bias_2), strict=True))
        single = {
            name: _check_vector(name, vector, m if name == "b_1" else d, "W_1" if name == "b_1" else "vectors")
            for name, vector in given.items()
        }
        check_divides("heads", heads, d=d)
        check_flag("norm_first", norm_first)
        check_flag("causal", causal)
        if not isinstance(stage, str):
            raise TypeError(f"stage: wanted a str, got {type(stage).__name__}")
        if stage not in STAGES:
            raise ValueError(f"stage: wanted one of {', '.join(STAGES)}, got {stage!r}")
        check_count("selected", selected, 0, len(tokens) - 1)
        check_caption(caption)
        self.state = {
            "tokens": tokens,
            "words": words,
            "vectors": vectors,
            "positions": positions,
            **matrices,
            **single,
            "heads": heads,
            "norm_first": norm_first,
            "causal": causal,
            "stage": stage,
            "selected": int(selected),
            "caption": caption,
        }
        with np.errstate(over="ignore", invalid="ignore"):
            finite = all(np.isfinite(result).all() for result in self._flow())
        if not finite:
            raise ValueError("vectors, positions, W_…: wanted finite products, got an overflow")

    def _flow(self) -> tuple[np.ndarray, np.ndarray]:
        s, weights = self.state, np.empty(0)

        def norm(x: np.ndarray, n: int) -> np.ndarray:
            return layer_norm(x, gain=s[f"gain_{n}"], bias=s[f"bias_{n}"])

        def attend(x: np.ndarray) -> np.ndarray:
            nonlocal weights
            matrices = {name: s[name] for name in ("W_Q", "W_K", "W_V", "W_O")}
            y, weights = multi_head(x, x, x, **matrices, heads=s["heads"], causal=s["causal"])
            return y

        def feed(x: np.ndarray) -> np.ndarray:
            return feed_forward(x, **{name: s[name] for name in ("W_1", "b_1", "W_2", "b_2")})

        x = s["vectors"][[s["words"].index(token) for token in s["tokens"]]] + s["positions"]
        for n, layer in ((1, attend), (2, feed)):
            x = x + layer(norm(x, n)) if s["norm_first"] else norm(x + layer(x), n)
        return x, weights

    @property
    def weights(self) -> np.ndarray:
        """Attention weights, (h, L, L): one matrix per head."""
        return self._flow()[1]

    @property
    def output(self) -> np.ndarray:
        """What leaves the block, (L, d)."""
        return self._flow()[0]

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        s = self.state
        rows, (d, m) = len(s["tokens"]), s["W_1"].shape
        heads = f"{s['heads']} head{'s' * (s['heads'] > 1)}"
        order = "before each layer" if s["norm_first"] else "after each addition"
        return (
            f"One Transformer block, step by step, on “{' '.join(s['tokens'])}”: {rows} tokens of width {d}, {heads}, "
            f"{m} hidden features, normalised {order}{', no token seeing a later one' * s['causal']}."
        )

    def table(self) -> str:
        """Write input and output as HTML tables."""
        s = self.state
        x = s["vectors"][[s["words"].index(token) for token in s["tokens"]]] + s["positions"]

        def one(title: str, rows: np.ndarray) -> str:
            body = "\n".join(
                f'<tr><th scope="row" dir="auto">{html.escape(token)}</th>'
                + "".join(f"<td>{number(y)}</td>" for y in row)
                + "</tr>"
                for token, row in zip(s["tokens"], rows, strict=True)
            )
            return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="{title}">
<table>
<caption>{title} of the block.</caption>
<tbody>
{body}
</tbody>
</table>
</div>"""

        caption = f"<p>{html.escape(s['caption'])}</p>\n" if s["caption"] else ""
        return caption + one("Input", x) + "\n" + one("Output", self.output)


def _check_vector(name: str, vector: Any, length: int, like: str) -> np.ndarray:
    """Return a vector of real finite numbers."""
    row = np.asarray(vector)
    if row.ndim != 1:
        raise ValueError(f"{name}: wanted shape ({length},), as wide as {like}, got {row.shape}")
    if len(row) != length:
        raise ValueError(f"{name}: wanted {length} numbers, as wide as {like}, got {len(row)}")
    return check_matrix(name, row[None], f"(1, {length})", {})[0]

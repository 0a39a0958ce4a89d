"""Tape reader: a network reads word by word, and each word on its tape is shaded by how much it is read."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._checks import SLACK, check_caption, check_count, check_matrix, check_tokens
from ._figure import Figure

MOST = 24  # words; more would leave the screen of a phone


class TapeReader(Figure):
    """A text as a network with a memory tape reads it: the word at hand, and the memories shaded by their weights.

    The reader steps through the text.

    Parameters
    ----------
    words : sequence of str
        The text, L words.
    weights : (L, L)
        Row t holds the weights that the network gives to words before t when it reads word t: zero on and above the
        diagonal, and each row sums to 1, but for rows of zeros (the first is one).
    reading : int
        The word at hand first, counted from 0.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If sizes differ, a weight is where none can be or a row does not sum to 1, or `reading` is out of range.

    Examples
    --------
    >>> figure = TapeReader(["dogs", "cat", "bark"], [[0, 0, 0], [1, 0, 0], [0.75, 0.25, 0]], reading=2)
    >>> figure.most, figure.summary()
    (0, 'Reading “bark”, word 3 of 3. Most read: “dogs”, word 1, with 75%.')
    """

    name = "tape_reader"
    readings = ("most",)

    def __init__(self, words: Sequence[str], weights: Any, *, reading: int = 0, caption: str | None = None) -> None:
        words = check_tokens("words", words)
        if len(words) > MOST:
            raise ValueError(f"words: wanted at most {MOST}, got {len(words)}")
        weights = check_matrix("weights", weights, "(L, L)", {"L": (len(words), "words")})
        if weights.shape[1] != len(words):
            raise ValueError(f"weights: wanted shape (L, L) with L = {len(words)} as in words, got {weights.shape}")
        if weights.min() < 0 or np.triu(weights).any():
            raise ValueError("weights: wanted none below 0, and 0 on and above the diagonal, got others")
        sums = weights.sum(1)
        if (np.abs(sums - 1) > SLACK)[sums != 0].any():
            raise ValueError(f"weights: wanted rows that sum to 1, up to {SLACK} after rounding, got others")
        check_count("reading", reading, 0, len(words) - 1)
        check_caption(caption)
        self.state = {"words": words, "weights": weights, "reading": int(reading), "caption": caption}

    @property
    def most(self) -> int | None:
        """The place that is read most, the first of several; None where nothing is read."""
        row = self.state["weights"][self.state["reading"]]
        return int(row.argmax()) if row.any() else None

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        words, t, most = self.state["words"], self.state["reading"], self.most
        start = f"Reading “{words[t]}”, word {t + 1} of {len(words)}. "
        if most is None:
            return start + "Nothing on the tape is read."
        share = int(100 * self.state["weights"][t, most] + 0.5)
        return start + f"Most read: “{words[most]}”, word {most + 1}, with {share}%."

    def table(self) -> str:
        """Write all weights as an HTML table, a row for each word as it is read."""
        words, weights = self.state["words"], self.state["weights"]
        head = "".join(f'<th scope="col">{html.escape(word)}</th>' for word in words)
        body = "\n".join(
            f'<tr><th scope="row">{html.escape(word)}</th>'
            + "".join(f"<td>{int(100 * w + 0.5)}</td>" if i < t else "<td></td>" for i, w in enumerate(row))
            + "</tr>"
            for t, (word, row) in enumerate(zip(words, weights, strict=True))
        )
        caption = html.escape(self.state["caption"] or "Per cent of each reading (row) that goes to each memory.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Weights of the memories">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">reading</th>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""

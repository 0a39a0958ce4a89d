"""Translation and alignment: two sentences, and the attention weights between their words, read in both orders."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from attn_edu.checks import check_choice, check_flag

from ._checks import SLACK, check_caption, check_integer, check_matrix, check_tokens
from ._figure import Figure
from ._texts import distinct

MOST = 6  # pairs of sentences; more do not fit a row of buttons on a phone
PARTS = 10_000  # weights are kept in ten-thousandths, so that sums are exact


class TranslationAlignment(Figure):
    """A source sentence and its translation with lines between their words, as thick as the weights.

    The reader picks a word of either sentence. A word of the translation shows its row, how it divides its attention
    over the source: that sums to 1. A word of the source shows its column, what each word of the translation took
    from it: that need not. The true alignment, where it is known, can be drawn beside.

    Parameters
    ----------
    sources : sequence of sequences of S str
        Sentences to translate, each a sequence of words. Lengths may differ.
    targets : sequence of sequences of L str
        Their translations.
    weights : sequence of (L, S)
        For each pair: row i says how target word i divides its attention over the source. Rows sum to 1, up to 0.02
        for weights that were rounded. They are kept to four decimals.
    alignments : sequence of (L, S), optional
        For each pair: which source words (columns) each target word (rows) truly depends on. A row may be empty.
    example : int
        The pair shown first, from 0.
    side : {"target", "source"}
        The sentence of the word chosen first.
    word : int
        The place of that word in its sentence, from 0.
    truth : bool
        Whether the true alignment is drawn at first.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If lengths or shapes do not fit, weights are negative or rows do not sum to 1, an alignment holds other numbers
        than 0 and 1, a number is out of range, or there are more than 6 pairs or 32 words.

    Examples
    --------
    *Noir* looks at *black* with 0.7 and at *cat* with 0.3; *chat* at *cat* with 0.9. So *cat* has given 0.9 + 0.3:

    >>> weights = [[0.1, 0.9], [0.7, 0.3]]
    >>> figure = TranslationAlignment(
    ...     [["black", "cat"]], [["chat", "noir"]], [weights], [[[0, 1], [1, 0]]], side="source", word=1
    ... )
    >>> figure.shares, float(figure.total), figure.agreement
    (array([0.9, 0.3]), 1.2, (2, 2))
    """

    name = "translation_alignment"
    readings = ("shares", "total", "agreement")

    def __init__(
        self,
        sources: Any,
        targets: Any,
        weights: Any,
        alignments: Any = None,
        *,
        example: int = 0,
        side: str = "target",
        word: int = 0,
        truth: bool = False,
        caption: str | None = None,
    ) -> None:
        sources, targets = _check_sentences("sources", sources), _check_sentences("targets", targets)
        given = {"targets": targets, "weights": weights, "alignments": alignments}
        for name, value in given.items():
            if value is None and name == "alignments":
                continue
            if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
                raise TypeError(f"{name}: wanted a sequence, one item for each pair, got {type(value).__name__}")
            if len(value) != len(sources):
                raise ValueError(f"{name}: wanted {len(sources)}, as many as sources, got {len(value)}")
        kept, truths = [], []
        for n, (source, target) in enumerate(zip(sources, targets, strict=True)):
            sizes = {"L": (len(target), f"targets[{n}]"), "S": (len(source), f"sources[{n}]")}
            matrix = check_matrix(f"weights[{n}]", weights[n], "(L, S)", sizes)
            if matrix.min() < 0 or np.abs(matrix.sum(1) - 1).max() > SLACK:
                raise ValueError(f"weights[{n}]: wanted rows that sum to 1, up to {SLACK} after rounding, got others")
            kept.append((np.rint(matrix * PARTS) / PARTS).tolist())
            if alignments is not None:
                true = np.asarray(alignments[n])
                true = check_matrix(f"alignments[{n}]", true * 1 if true.dtype == bool else true, "(L, S)", sizes)
                if not np.isin(true, (0, 1)).all():
                    raise ValueError(f"alignments[{n}]: wanted 0 or 1 for each pair of words, got other numbers")
                truths.append(true.astype(int).tolist())
        check_choice("side", side, ("target", "source"))
        if isinstance(truth, np.bool_):
            truth = bool(truth)
        check_flag("truth", truth)
        for name, number in {"example": example, "word": word}.items():
            check_integer(name, number)
            count = len(sources) if name == "example" else len((targets if side == "target" else sources)[example])
            if not 0 <= number < count:
                raise ValueError(f"{name}: wanted 0 to {count - 1}, got {number}")
        check_caption(caption)
        self.state = {
            "sources": sources,
            "targets": targets,
            "weights": kept,
            "alignments": truths if alignments is not None else None,
            "example": int(example),
            "side": side,
            "word": int(word),
            "truth": truth,
            "caption": caption,
        }

    def _seen(self, name: str) -> np.ndarray:
        """Return the chosen word's row or column of the weights or of the alignment."""
        matrix, word = np.array(self.state[name][self.state["example"]]), self.state["word"]
        return matrix[word] if self.state["side"] == "target" else matrix[:, word]

    @property
    def shares(self) -> np.ndarray:
        """The weights between the chosen word and each word of the other sentence, (S,) or (L,)."""
        return self._seen("weights")

    @property
    def total(self) -> float:
        """Their sum: 1 for a word of the translation, anything from 0 to L for a word of the source."""
        return int(np.rint(self.shares * PARTS).sum()) / PARTS

    @property
    def agreement(self) -> tuple[int, int] | None:
        """How many target words have their largest weight on a true source word, and how many have a true one."""
        state = self.state
        if state["alignments"] is None:
            return None
        rows = zip(state["weights"][state["example"]], state["alignments"][state["example"]], strict=True)
        hits = [true[int(np.argmax(row))] for row, true in rows if any(true)]
        return sum(hits), len(hits)

    def _words(self) -> tuple[list[str], list[str]]:
        """Return the words of the chosen word's sentence and those of the other, told apart."""
        source, target = (distinct(self.state[name][self.state["example"]]) for name in ("sources", "targets"))
        return (target, source) if self.state["side"] == "target" else (source, target)

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, shares = self.state, np.rint(self.shares * PARTS).astype(int)
        own, other = self._words()
        order = np.argsort(-shares, kind="stable")
        first = ", ".join(f"{other[j]} {_hundredths(shares[j])}" for j in order[:3])
        left = _hundredths(shares[order[3:]].sum())
        rest = f"; {len(order) - 3} other word{'s' * (len(order) > 4)} {left}" if len(order) > 3 else ""
        word = f"“{own[state['word']]}”"
        whole = _hundredths(shares.sum())
        if state["side"] == "target":
            said = f"The target word {word} looks at {first}{rest}. A row: the weights sum to {whole}."
            verb = f"{word} comes from"
        else:
            said = f"The source word {word} is looked at by {first}{rest}. A column: the weights sum to {whole}, "
            said += "which need not be 1."
            verb = f"{word} goes into"
        if self.agreement is None or not state["truth"]:
            return said
        true = [other[j] for j in np.flatnonzero(self._seen("alignments"))]
        named = " and ".join(true) if true else "no word"
        hits, of = self.agreement
        return f"{said} In truth {verb} {named}. Largest weight on a true word: {hits} of {of} target words."

    def table(self) -> str:
        """Write the weights of the chosen pair as an HTML table."""
        state, n = self.state, self.state["example"]
        source, target = (distinct(state[name][n]) for name in ("sources", "targets"))
        truths = state["alignments"][n] if state["alignments"] else [[0] * len(source)] * len(target)
        head = "".join(f'<th scope="col" dir="auto">{html.escape(word)}</th>' for word in source)
        body = "\n".join(
            f'<tr><th scope="row" dir="auto">{html.escape(word)}</th>'
            + "".join(f"<td>{w:.2f}{'*' * t}</td>" for w, t in zip(row, true, strict=True))
            + "</tr>"
            for word, row, true in zip(target, state["weights"][n], truths, strict=True)
        )
        caption = html.escape(state["caption"] or "Attention weights: target words in rows, source words in columns.")
        star = " A star marks the true alignment." if state["alignments"] else ""
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Attention weights">
<table>
<caption>{caption}{star}</caption>
<thead><tr><th scope="col">word</th>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def _hundredths(parts: Any) -> str:
    """Write ten-thousandths with two decimals; half goes up, as the page does it."""
    return f"{(int(parts) + 50) // 100 / 100:.2f}"


def _check_sentences(name: str, sentences: Any) -> list[list[str]]:
    if isinstance(sentences, str | bytes) or not isinstance(sentences, Sequence | np.ndarray):
        raise TypeError(f"{name}: wanted a sequence of sentences, got {type(sentences).__name__}")
    if not 1 <= len(sentences) <= MOST:
        raise ValueError(f"{name}: wanted 1 to {MOST} sentences, got {len(sentences)}")
    return [check_tokens(f"{name}[{n}]", sentence) for n, sentence in enumerate(sentences)]

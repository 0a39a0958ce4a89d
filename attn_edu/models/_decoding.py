"""Greedy decoding and beam search, over any function from prefixes to the log-probabilities of the next word."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from attn_edu.checks import check_is, check_width

NextLogProbs = Callable[[np.ndarray], np.ndarray]


class Hypothesis(NamedTuple):
    """A sentence, or the beginning of one, and its log-probability.

    Parameters
    ----------
    tokens : tuple of int
        The words after the start; the end, if it came, is the last.
    log_prob : float
        The sum of their log-probabilities.
    """

    tokens: tuple[int, ...]
    log_prob: float


def greedy(next_log_probs: NextLogProbs, start: int, end: int, max_length: int) -> Hypothesis:
    """Write the likeliest next word, again and again.

    Parameters
    ----------
    next_log_probs : callable
        ``next_log_probs(prefixes)`` takes b prefixes of t tokens, an integer array (b, t) that begins with `start`,
        and returns the log-probabilities of the next token, (b, V).
    start, end : int
        The token that every prefix begins with, and the one that ends a sentence.
    max_length : int
        The most words to write, the end included.

    Returns
    -------
    hypothesis : Hypothesis
        Words and log-probability. Of equally likely words the first in the vocabulary is taken.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer of at least 0 (`max_length`: 1), or the function returns anything but
        log-probabilities in that shape.

    Examples
    --------
    Words 2 and 3, start 0, end 1. After the start, word 2 has probability 0.6 and word 3 has 0.4. After 2 each of
    2, 3 and the end has 1/3; after 3 the end has 0.9. Greedy takes 2, then the first of three equals, the end, with
    probability 0.6 · 1/3 = 0.2:

    >>> def table(prefixes):
    ...     rows = {0: [0, 0, 0.6, 0.4], 2: [0, 1 / 3, 1 / 3, 1 / 3], 3: [0, 0.9, 0.1, 0]}
    ...     with np.errstate(divide="ignore"):
    ...         return np.log([rows[last] for last in prefixes[:, -1]])
    >>> tokens, log_prob = greedy(table, start=0, end=1, max_length=3)
    >>> tokens, round(float(np.exp(log_prob)), 6)
    ((2, 1), 0.2)
    """
    _check(next_log_probs, start, end, max_length)
    tokens, total = [start], 0.0
    for _ in range(max_length):
        (row,) = _ask(next_log_probs, np.array([tokens]))
        tokens.append(int(row.argmax()))
        total += float(row[tokens[-1]])
        if tokens[-1] == end:
            break
    return Hypothesis(tuple(tokens[1:]), total)


def beam_search(next_log_probs: NextLogProbs, start: int, end: int, max_length: int, *, beams: int) -> list[Hypothesis]:
    """Keep the likeliest few of all one word longer prefixes, again and again.

    A hypothesis that ends is set aside, and its place in the beam stays empty: b beams give at most b hypotheses.
    Log-probabilities are compared as they are, not divided by the length.

    Parameters
    ----------
    next_log_probs, start, end, max_length
        As in `greedy`.
    beams : int
        b, how many hypotheses are kept.

    Returns
    -------
    hypotheses : list of Hypothesis
        The likeliest first. Those that `max_length` stopped are among them, after their equals that ended. Of equally
        likely prefixes the first comes from the likelier beam, then from the word that is earlier in the vocabulary.

    Raises
    ------
    TypeError, ValueError
        As in `greedy`, and if `beams` is not an integer of at least 1.

    Examples
    --------
    The table of `greedy`, with two beams. They keep 2 (0.6) and 3 (0.4). One word longer, 2 makes three prefixes of
    0.2 and 3 makes 0.36 with the end. So greedy's sentence comes second:

    >>> def table(prefixes):
    ...     rows = {0: [0, 0, 0.6, 0.4], 2: [0, 1 / 3, 1 / 3, 1 / 3], 3: [0, 0.9, 0.1, 0]}
    ...     with np.errstate(divide="ignore"):
    ...         return np.log([rows[last] for last in prefixes[:, -1]])
    >>> for tokens, log_prob in beam_search(table, start=0, end=1, max_length=3, beams=2):
    ...     print(tokens, round(float(np.exp(log_prob)), 6))
    (3, 1) 0.36
    (2, 1) 0.2
    """
    _check(next_log_probs, start, end, max_length)
    check_width("beams", beams)
    ended: list[Hypothesis] = []
    alive, totals = np.array([[start]]), np.zeros(1)
    for _ in range(max_length):
        scores = totals[:, None] + _ask(next_log_probs, alive)
        best = np.argsort(-scores, axis=None, kind="stable")[: beams - len(ended)]
        rows, words = np.unravel_index(best[scores.flat[best] > -np.inf], scores.shape)
        longer, totals, over = np.column_stack((alive[rows], words)), scores[rows, words], words == end
        ended += _hypotheses(longer[over], totals[over])
        alive, totals = longer[~over], totals[~over]
        if not len(alive):
            break
    return sorted(ended + _hypotheses(alive, totals), key=lambda hypothesis: -hypothesis.log_prob)


def _hypotheses(prefixes: Int[np.ndarray, "b t"], totals: Float[np.ndarray, " b"]) -> list[Hypothesis]:
    return [Hypothesis(tuple(row[1:]), total) for row, total in zip(prefixes.tolist(), totals.tolist(), strict=True)]


def _check(next_log_probs: NextLogProbs, start: int, end: int, max_length: int) -> None:
    check_is("next_log_probs", next_log_probs, Callable, "a function of prefixes")
    check_width("start", start, least=0)
    check_width("end", end, least=0)
    check_width("max_length", max_length)


def _ask(next_log_probs: NextLogProbs, prefixes: Int[np.ndarray, "b t"]) -> Float[np.ndarray, "b V"]:
    given = next_log_probs(prefixes)
    try:
        rows = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"next_log_probs: wanted an array of numbers from it, got {type(given).__name__}") from None
    if rows.ndim != 2 or len(rows) != len(prefixes):
        raise ValueError(f"next_log_probs: wanted an array of shape ({len(prefixes)}, V), got {rows.shape}")
    totals = np.exp(rows).sum(1)
    if not np.allclose(totals, 1, atol=1e-3):  # a NaN is not close to 1 either
        raise ValueError(f"next_log_probs: wanted rows whose exponentials sum to 1, got sums {totals}")
    return rows

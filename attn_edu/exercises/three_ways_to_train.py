"""Exercises of the chapter *Three ways to train it*."""

import numpy as np

from attn_edu.tasks import END, MASK, PAD, START, tiny_language

from ._check import Exercise, expect_close, expect_function

_rng = np.random.default_rng(11)


def _shift(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return ids[:, :-1], ids[:, 1:]


def _hide(ids: np.ndarray, chosen: np.ndarray, draw: np.ndarray, others: np.ndarray) -> np.ndarray:
    hidden = np.where(draw < 0.8, MASK, np.where(draw < 0.9, others, ids))
    return np.where(chosen, hidden, ids)


def _extend(totals: np.ndarray, log_probs: np.ndarray, b: int) -> tuple[np.ndarray, np.ndarray]:
    best = np.argsort(-(totals[:, None] + log_probs), axis=None)[:b]
    row, word = np.unravel_index(best, log_probs.shape)
    return row, word


def _hide_case(count: int) -> tuple[np.ndarray, ...]:
    ids, _ = tiny_language(count, _rng)
    chosen = (ids > MASK) & (_rng.random(ids.shape) < 0.6)
    return ids, chosen, _rng.random(ids.shape), _rng.integers(MASK + 1, 33, ids.shape)


# On the edges: 0.8 is no longer a mask, 0.9 no longer another word.
_EDGES = (
    np.array([[START, 7, 8, 9, END]]),
    np.full((1, 5), True),
    np.array([[0.5, 0.8, 0.9, 0, 1]]),
    np.full((1, 5), 6),
)


def _extend_case(b: int, words: int, keep: int) -> tuple[np.ndarray, np.ndarray, int]:
    chances = _rng.dirichlet(np.ones(words), size=b)
    return np.log(np.sort(_rng.random(b))[::-1]), np.log(chances), keep


shift = Exercise(
    "What the decoder reads, and the word wanted at each place.",
    lambda answer: expect_function(
        answer,
        _shift,
        (np.array([[START, 7, 8, 9, END]]),),
        (np.array([[START, 5, 6, END, PAD], [START, 9, 9, 9, END]]),),
    ),
    (
        "Place 0 reads `<start>`. Which word should it predict?",
        "The wanted words are the sentence without its first word.",
    ),
)

cache = Exercise(
    "Bytes kept for 2,048 tokens by a decoder of 96 blocks and width 12,288, two bytes a number.",
    lambda answer: expect_close(answer, 2.0 * 96 * 2048 * 12288 * 2, "the count", rtol=0),
    (
        "Of each token, each block keeps one key and one value for every head.",
        "All heads together are as wide as the model: a token's keys have 12,288 entries in a block.",
        "blocks · tokens · (keys and values) · width · bytes.",
    ),
)

hide = Exercise(
    "BERT's masking: of the chosen words 80% become MASK, 10% a random word, 10% stay.",
    lambda answer: expect_function(answer, _hide, _hide_case(3), _hide_case(20), _EDGES),
    (
        "Words that were not chosen stay, whatever was drawn for them.",
        "Where a word was chosen: MASK if draw < 0.8, else the word of others if draw < 0.9, else the word itself.",
        "`np.where(condition, this, that)` can stand inside another `np.where`.",
    ),
)

extend = Exercise(
    "Rows and words of the b best prefixes that are one word longer, best first.",
    lambda answer: expect_function(
        answer,
        _extend,
        (np.log([0.6, 0.4]), np.log([[0.4, 0.3, 0.3], [0.9, 0.05, 0.05]]), 2),
        _extend_case(3, 7, 3),
        _extend_case(2, 5, 4),
        _extend_case(4, 3, 1),
        _extend_case(40, 33, 600),  # so many that a partition is not sorted by chance
    ),
    (
        "The total of a longer prefix is its row's total plus the word's log-probability: a (b, V) array.",
        "All entries compete, also two of one row. `np.argsort(-scores, axis=None)` sorts the flattened array.",
        "`np.unravel_index(places, scores.shape)` turns places in the flattened array into rows and columns.",
    ),
)

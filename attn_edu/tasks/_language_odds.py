"""What the grammar of the tiny language knows of its words, exactly: no model can do better."""

from functools import cache

import numpy as np
from jaxtyping import Float, Int

from attn_edu.checks import check_words

from ._language import ENGLISH, MASK, START, tables, words


def next_word_log_probs(ids: Int[np.ndarray, "N T"]) -> Float[np.ndarray, "N T V"]:
    """Say what the grammar of the toy English knows of each next word: no model can do better on its sentences.

    Parameters
    ----------
    ids : (N, T)
        Sentences or prefixes, from START on.

    Returns
    -------
    log_probs : (N, T, V)
        At place t, of every word to be the next after the first t + 1: aligned with a decoder's logits.

    Raises
    ------
    TypeError
        If `ids` are no array of integers.
    ValueError
        If they have another shape or a number that is no word's, or if a row is not the beginning of a sentence.

    Examples
    --------
    After *a*, an adjective comes with probability 0.25, and *old* is 0.3 of them:

    >>> np.exp(next_word_log_probs(np.array([[START, ENGLISH.index("a")]]))[0, 1, ENGLISH.index("old")]).round(6)
    np.float64(0.075)
    """
    chance, _ = tables()
    states = _forward(ids)[:, 1:]
    _refuse_unknown(ids, states.sum(-1), "the beginning of a sentence")
    with np.errstate(divide="ignore"):
        return np.log(states @ chance) - np.log(states.sum(-1, keepdims=True))


def masked_word_log_probs(ids: Int[np.ndarray, "N T"]) -> Float[np.ndarray, "N T V"]:
    """Say what the grammar of the toy English knows of each word from all others, those behind a MASK left open.

    Parameters
    ----------
    ids : (N, T)
        Whole sentences, some words masked.

    Returns
    -------
    log_probs : (N, T, V)
        At place t, of every word to stand there, whatever stands there now: aligned with an encoder's logits.

    Raises
    ------
    TypeError
        If `ids` are no array of integers.
    ValueError
        If they have another shape or a number that is no word's, or if a row fits no sentence.

    Examples
    --------
    In *the <mask> sees a dog*, 0.3 of the nouns are *dog*; *dogs* would want *see*, and *old* a noun after it:

    >>> sentence = "<start> the <mask> sees a dog <end>".split()
    >>> log_probs = masked_word_log_probs(np.array([[ENGLISH.index(word) for word in sentence]]))
    >>> np.exp(log_probs[0, 2, [ENGLISH.index(word) for word in ("dog", "dogs", "old")]]).round(6)
    array([0.3, 0. , 0. ])
    """
    forward, steps = _forward(ids), _steps()
    backward = np.ones((*ids.shape, steps.shape[1]))  # of each state after place t, the chance of what follows
    for t in range(ids.shape[1] - 2, -1, -1):
        backward[:, t] = np.einsum("nst,nt->ns", steps[ids[:, t + 1]], backward[:, t + 1])
    joint = np.stack([((forward[:, :-1] @ step) * backward).sum(-1) for step in steps], -1)
    joint[..., MASK] = 0  # which stands for any word and is none
    total = joint.sum(-1, keepdims=True)
    _refuse_unknown(ids, total[..., 0], "a sentence")
    with np.errstate(divide="ignore"):
        return np.log(joint) - np.log(total)


def sentence_log_probs(ids: Int[np.ndarray, "N T"]) -> Float[np.ndarray, " N"]:
    """Return the probability that the grammar of the toy English gives each sentence or prefix, as a logarithm.

    Parameters
    ----------
    ids : (N, T)
        From START on, perhaps with MASK, which may be any word.

    Returns
    -------
    log_probs : (N,)
        −∞ for what the grammar does not allow.

    Raises
    ------
    TypeError, ValueError
        If `ids` are no array of integers, have another shape or a number that is no word's.

    Examples
    --------
    *a dog* begins a sentence with probability 0.32 · 0.75 · 0.3; *two dog* never does:

    >>> ids = np.array([[START, ENGLISH.index("a"), 11], [START, ENGLISH.index("two"), 11]])
    >>> np.exp(sentence_log_probs(ids))
    array([0.072, 0.   ])
    """
    with np.errstate(divide="ignore"):
        return np.log(_forward(ids)[:, -1].sum(-1))


def grammar_entropy() -> float:
    """Return the entropy of the toy English in nats per word, the end of a sentence counted as one.

    No model's mean loss on next words is lower in the long run.

    Returns
    -------
    entropy : float

    Examples
    --------
    >>> round(grammar_entropy(), 4)
    1.4689
    """
    chance, leads = tables()
    live = chance[1:-1]  # without the first state and the last, where nothing is left to guess
    arrive = np.zeros((len(live), len(chance)))
    for state, row in enumerate(live):
        np.add.at(arrive[state], leads[state + 1], row)
    begin = np.eye(len(chance))[leads[0, START]][1:-1]
    visits = np.linalg.solve(np.eye(len(live)) - arrive[:, 1:-1].T, begin)
    nats = -(live * np.log(np.where(live > 0, live, 1))).sum(1)
    return float(visits @ nats / visits.sum())


@cache
def _steps() -> Float[np.ndarray, "V states states"]:
    """For each word, the chance to go with it from one state to another; MASK stands for any word."""
    chance, leads = tables()
    steps = chance.T[:, :, None] * np.eye(len(chance))[leads.T]
    steps[MASK] = steps[MASK + 1 :].sum(0)
    return steps


def _forward(ids: Int[np.ndarray, "N T"]) -> Float[np.ndarray, "N T+1 states"]:
    """Before each place and after the last: of each state, the chance to have come there by these words."""
    check_words(np.ndarray, "ids", ids, len(ENGLISH), "(N, T)")
    steps = _steps()
    states = [np.tile(np.eye(steps.shape[1])[0], (len(ids), 1))]
    for column in ids.T:
        states.append(np.einsum("ns,nst->nt", states[-1], steps[column]))
    return np.stack(states, 1)


def _refuse_unknown(ids: Int[np.ndarray, "N T"], chances: Float[np.ndarray, "N T"], wanted: str) -> None:
    wrong = (chances == 0).any(1)
    if wrong.any():
        raise ValueError(f"ids: wanted {wanted} that the grammar allows, got {words(ids[wrong][0], ENGLISH)!r}")

"""Which of two marked tokens came first, among others that do not matter."""

import numpy as np
from jaxtyping import Int

from attn_edu.checks import check_rng, check_width


def which_came_first(
    rng: np.random.Generator, count: int, length: int, fillers: int = 8
) -> tuple[Int[np.ndarray, "N L"], Int[np.ndarray, "N"]]:
    """Draw sequences that hold token 0 once, token 1 once, and fillers; ask whether 0 stands before 1.

    All pairs of different places are equally likely for the two, so distances are not: neighbours come most often.
    Fillers are independent and say nothing about the answer. Swap tokens 0 and 1, or read a sequence from its end,
    and you have a sequence just as likely with the other answer.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draws come from.
    count : int
        N, how many sequences.
    length : int
        L, at least 2.
    fillers : int
        How many kinds of filler there are; they are the tokens 2 to fillers + 1.

    Returns
    -------
    tokens : (N, L)
        Integers from 0 to fillers + 1.
    answer : (N,)
        1 where token 0 stands before token 1, else 0.

    Raises
    ------
    TypeError
        If `rng` is not a generator or a number not an integer.
    ValueError
        If `count` or `fillers` is below 1, or `length` below 2.

    Examples
    --------
    Two places leave none for a filler, so a sequence is (0, 1), with answer 1, or (1, 0), with answer 0:

    >>> tokens, answer = which_came_first(np.random.default_rng(0), 4, 2)
    >>> bool((tokens[:, 1] == answer).all() and (tokens[:, 0] == 1 - answer).all())
    True
    """
    check_rng(rng)
    for name, number, least in (("count", count, 1), ("length", length, 2), ("fillers", fillers, 1)):
        check_width(name, number, least)
    tokens = rng.integers(2, fillers + 2, size=(count, length))
    zero, one = rng.integers(length, size=count), rng.integers(length - 1, size=count)
    one += one >= zero  # the places other than that of token 0
    tokens[np.arange(count), zero], tokens[np.arange(count), one] = 0, 1
    return tokens, (zero < one).astype(tokens.dtype)

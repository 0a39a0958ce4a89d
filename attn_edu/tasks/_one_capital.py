"""One capital letter to be remembered, wherever in the past it stood."""

import numpy as np
from jaxtyping import Int

from attn_edu.checks import check_rng, check_width


def one_capital(
    rng: np.random.Generator, count: int, length: int, letters: int
) -> tuple[Int[np.ndarray, "N L"], Int[np.ndarray, "N"]]:
    """Draw lines of letters in which a single one, anywhere, is a capital; from there on every place must say which.

    All letters are drawn independently, so a place that knows nothing of the capital's place can only guess.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draws come from.
    count : int
        N, how many lines.
    length : int
        L, places in a line.
    letters : int
        How many letters there are, at least 2.

    Returns
    -------
    lines : (N, L)
        Small letters from 0 to `letters` − 1; the capital is its letter plus `letters`.
    places : (N,)
        Where the capital stands. The answer from there on is ``lines[n, places[n]] - letters``.

    Raises
    ------
    TypeError
        If `rng` is not a generator or a number not an integer.
    ValueError
        If `count` or `length` is below 1 or `letters` below 2.

    Examples
    --------
    The line a a C b, written with 0 for a and 5 for C. Places 2 and 3 must say c, which is 5 − 3 = 2:

    >>> one_capital(np.random.default_rng(11), 1, 4, 3)
    (array([[0, 0, 5, 1]]), array([2]))
    """
    check_rng(rng)
    check_width("count", count)
    check_width("length", length)
    check_width("letters", letters, least=2)
    lines = rng.integers(letters, size=(count, length))
    places = rng.integers(length, size=count)
    lines[np.arange(count), places] += letters
    return lines, places

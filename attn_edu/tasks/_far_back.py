"""Two tasks whose answer may lie anywhere in the past: a capital to be remembered, and colours to be looked up."""

import numpy as np
from jaxtyping import Int

from attn_edu.checks import check_width


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


def colour_of(
    rng: np.random.Generator, count: int, length: int
) -> tuple[Int[np.ndarray, "N L 3"], Int[np.ndarray, "N L"], Int[np.ndarray, "N L"]]:
    """Draw lines of different letters in two colours; at every place ask for the colour of one that has come.

    Which letter will be asked for is settled at the place that asks, and nothing tells it in advance.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draws come from.
    count : int
        N, how many lines.
    length : int
        L, places in a line, and letters in the alphabet.

    Returns
    -------
    lines : (N, L, 3)
        At each place its letter, 0 to L − 1 and each once in a line; its colour, 0 or 1; and the letter it asks for.
    colours : (N, L)
        The answers: the colour of the letter asked for.
    back : (N, L)
        How many places back it stands, 0 to all that there are, each equally likely.

    Raises
    ------
    TypeError
        If `rng` is not a generator or a number not an integer.
    ValueError
        If `count` or `length` is below 1.

    Examples
    --------
    Letters 1, 2 and 0 in the colours 0, 1 and 0. Place 0 asks for its own, places 1 and 2 for the one before theirs:

    >>> lines, colours, back = colour_of(np.random.default_rng(5), 1, 3)
    >>> lines[0]
    array([[1, 0, 1],
           [2, 1, 1],
           [0, 0, 2]])
    >>> colours, back
    (array([[0, 0, 1]]), array([[0, 1, 1]]))
    """
    check_rng(rng)
    check_width("count", count)
    check_width("length", length)
    letters = rng.permuted(np.tile(np.arange(length), (count, 1)), axis=1)
    colours = rng.integers(2, size=(count, length))
    back = rng.integers(np.arange(1, length + 1), size=(count, length))
    at = np.arange(length) - back
    asked = np.take_along_axis(letters, at, axis=1)
    return np.stack([letters, colours, asked], axis=2), np.take_along_axis(colours, at, axis=1), back


def check_rng(rng: object) -> None:
    """Check the generator; both tasks do."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: wanted a numpy.random.Generator, got {type(rng).__name__}")

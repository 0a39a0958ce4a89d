"""The colour of a letter to be looked up, wherever in the past it stood."""

import numpy as np
from jaxtyping import Int

from attn_edu.checks import check_rng, check_width


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

"""Say it again: 0 w 0 w, a task that needs attention over half the sequence."""

import numpy as np
from jaxtyping import Int

from attn_edu.checks import check_rng, check_width


def duplication(rng: np.random.Generator, count: int, length: int, symbols: int) -> Int[np.ndarray, "N length"]:
    """Draw words w of random symbols, and write each twice with a 0 before it: 0 w 0 w.

    In the first half nothing can be predicted. From the second 0 on everything can: the symbol after place t stands at
    place t + 1 − length / 2.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draws come from.
    count : int
        N, how many sequences.
    length : int
        Places in a sequence; even, at least 4. Each w has length / 2 − 1 symbols.
    symbols : int
        How many symbols there are, at least 2: 1, 2, …, each as likely in each place.

    Returns
    -------
    sequences : (N, length)

    Raises
    ------
    TypeError
        If `rng` is not a generator or a number not an integer.
    ValueError
        If a number is too small, or `length` is odd.

    References
    ----------
    Kitaev et al. (2020), section 2.1, with length 1,024 and 127 symbols.

    Examples
    --------
    >>> duplication(np.random.default_rng(0), 2, length=8, symbols=9)
    array([[0, 8, 6, 5, 0, 8, 6, 5],
           [0, 3, 3, 1, 0, 3, 3, 1]])
    """
    check_rng(rng)
    check_width("count", count)
    check_width("length", length, least=4)
    check_width("symbols", symbols, least=2)
    if length % 2:
        raise ValueError(f"length: wanted an even number, got {length}")
    half = np.zeros((count, length // 2), dtype=int)
    half[:, 1:] = rng.integers(1, symbols + 1, size=(count, length // 2 - 1))
    return np.concatenate([half, half], axis=1)

"""Which rooks attack each square: a task on generated boards for which every square needs its row and its column."""

import numpy as np
from jaxtyping import Int

from attn_edu.checks import check_rng, check_width


def two_rooks(
    rng: np.random.Generator, count: int, side: int
) -> tuple[Int[np.ndarray, "N side side"], Int[np.ndarray, "N side side"]]:
    """Draw boards with one rook in each row and each column; ask every square which colours attack it.

    Each empty square has one rook in its row and another in its column. Each rook is white or black, independently of
    all others, so a square's row says nothing about its column, and the other rooks nothing about either.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draws come from.
    count : int
        N, how many boards.
    side : int
        Rows and columns of a board, at least 2.

    Returns
    -------
    boards : (N, side, side)
        0 for an empty square, 1 for a white rook, 2 for a black one.
    answer : (N, side, side)
        2 if the rook in the square's row is black, plus 1 if the rook in its column is; 0 to 3. Where a rook stands it
        is both.

    Raises
    ------
    TypeError
        If `rng` is not a generator or a number not an integer.
    ValueError
        If `count` is below 1 or `side` below 2.

    Examples
    --------
    A white rook stands below a square that has a black one beside it: the answer there is 2. The other empty square has
    white beside it and black above, so 1:

    >>> boards, answer = two_rooks(np.random.default_rng(5), 1, 2)
    >>> boards[0]
    array([[0, 2],
           [1, 0]])
    >>> answer[0]
    array([[2, 3],
           [0, 1]])
    """
    check_rng(rng)
    check_width("count", count)
    check_width("side", side, least=2)
    place = rng.permuted(np.tile(np.arange(side), (count, 1)), axis=1)  # the column of the rook in each row
    black = rng.integers(2, size=(count, side))
    boards = np.zeros((count, side, side), dtype=int)
    np.put_along_axis(boards, place[:, :, None], 1 + black[:, :, None], axis=2)
    in_row = boards.max(axis=2, keepdims=True) - 1
    in_column = boards.max(axis=1, keepdims=True) - 1
    return boards, 2 * in_row + in_column

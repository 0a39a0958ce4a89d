"""What attention costs: formulas for operations, for bytes held, and for bytes moved.

An *operation* is one multiplication with the addition that follows it (PyTorch's counter calls that two). Softmax,
norms, biases and residual sums are left out: they do not multiply matrices. All counts are for one sequence.
"""

from attn_edu.checks import check_width

TILE = 128  # queries, and keys, that meet at a time


def _check(**sizes: int) -> None:
    for name, size in sizes.items():
        check_width(name, size)


def operations(length: int, width: int) -> dict[str, int]:
    r"""Count the multiplications of one Transformer block, forward.

    .. math:: 4 L d^2, \qquad 2 L^2 d, \qquad 8 L d^2

    Four projections of width d; scores and weighted sums over all pairs; a feed-forward network with 4d hidden
    features. The number of heads does not enter, since their widths sum to d.

    Parameters
    ----------
    length : int
        L, tokens.
    width : int
        d, features of a token.

    Returns
    -------
    dict
        Counts under ``"projections"``, ``"pairs"`` and ``"feed_forward"``.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1.

    References
    ----------
    Vaswani et al. (2017), Attention is all you need, for the shapes.

    Examples
    --------
    Three tokens of width 2: 4 · 3 · 4, 2 · 9 · 2 and 8 · 3 · 4.

    >>> operations(3, 2)
    {'projections': 48, 'pairs': 36, 'feed_forward': 96}
    """
    _check(length=length, width=width)
    return {
        "projections": 4 * length * width**2,
        "pairs": 2 * length**2 * width,
        "feed_forward": 8 * length * width**2,
    }


def held_bytes(length: int, heads: int = 1, number: int = 4, tile: int = TILE) -> dict[str, int]:
    r"""Count the bytes that one layer of attention holds beside its inputs and its output.

    .. math:: h L^2, \qquad b^2 + h L

    Numbers, that is; times the bytes of a number. Without tiles all maps are there at once (scores that the softmax
    overwrites). With tiles there are the scores of one tile of b queries and b keys, and one log-sum-exp for each
    query and head. Two running numbers for each of b queries are left out.

    Parameters
    ----------
    length : int
        L, tokens.
    heads : int
        h.
    number : int
        Bytes of a number: 4 in float32, 2 in bfloat16.
    tile : int
        b; no longer than the sequence.

    Returns
    -------
    dict
        Bytes under ``"maps"`` and ``"tiles"``.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1.

    Examples
    --------
    Two heads, five tokens, tiles of 2 × 2: 2 · 25 numbers, and 4 + 10, four bytes each.

    >>> held_bytes(5, heads=2, tile=2)
    {'maps': 200, 'tiles': 56}
    """
    _check(length=length, heads=heads, number=number, tile=tile)
    side = min(tile, length)
    return {"maps": heads * length**2 * number, "tiles": (side**2 + heads * length) * number}


def moved_bytes(length: int, width: int, heads: int = 1, number: int = 4, tile: int = TILE) -> dict[str, int]:
    r"""Count the bytes that go to and from the large memory while one layer attends, projections aside.

    .. math:: 4 L d + 4 h L^2, \qquad 2 L d + 2 L d \lceil L / b \rceil

    Numbers, that is. Without tiles three steps read their inputs and write their outputs: scores, softmax, weighted
    sums. With tiles queries are read once and outputs written once, and every tile of b queries reads all keys and
    all values; scores stay in the small memory.

    Parameters
    ----------
    length : int
        L, tokens.
    width : int
        d, the widths of all heads together.
    heads : int
        h.
    number : int
        Bytes of a number.
    tile : int
        b.

    Returns
    -------
    dict
        Bytes under ``"maps"`` and ``"tiles"``.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1.

    References
    ----------
    Dao et al. (2022), FlashAttention, for the order of both counts.

    Examples
    --------
    One head, five tokens of width 3, tiles of 2: 60 + 100 numbers, and 30 + 30 · 3, four bytes each.

    >>> moved_bytes(5, 3, tile=2)
    {'maps': 640, 'tiles': 480}
    """
    _check(length=length, width=width, heads=heads, number=number, tile=tile)
    once = 2 * length * width
    rounds = -(-length // tile)  # rounded up
    return {"maps": (2 * once + 4 * heads * length**2) * number, "tiles": (once + once * rounds) * number}

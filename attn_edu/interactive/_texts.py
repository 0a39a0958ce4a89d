"""How figures write names and numbers where no script runs; ``kit.js`` writes them so where one does."""

from collections import Counter
from collections.abc import Iterable


def count(number: int, one: str, many: str) -> str:
    """Write a number with its noun."""
    return f"{number} {one if number == 1 else many}"


def distinct(tokens: list[str]) -> list[str]:
    """Number the tokens that occur more than once by their places in the sequence, from 1.

    Examples
    --------
    >>> distinct(["a", "rose", "is", "a"])
    ['a (1)', 'rose', 'is', 'a (4)']
    """
    often = Counter(tokens)
    return [f"{token} ({i})" if often[token] > 1 else token for i, token in enumerate(tokens, 1)]


def number(x: int | float, places: int = 2) -> str:
    """Write a number with so many decimals and a true minus, which no zero has.

    Examples
    --------
    >>> number(-0.5), number(-0.001), number(-1.5, 4)
    ('−0.50', '0.00', '−1.5000')
    """
    return f"{round(float(x), places) + 0.0:.{places}f}".replace("-", "−")


def pair(point: Iterable[float]) -> str:
    """Write a point.

    Examples
    --------
    >>> pair([3.0, -0.25])
    '(3.00, −0.25)'
    """
    return f"({', '.join(map(number, point))})"

"""Judge attention over few places: the right numbers, and no L×L matrix on the way to them."""

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._check import expect_function

Case = tuple[Any, ...]  # Q, K, V and a whole number


def sequences(rng: np.random.Generator, *sizes: tuple[int, int, int, int]) -> list[Case]:
    """Draw queries, keys and values for each of several (L, d_k, d_v, number); the number comes after them."""
    return [
        (*(rng.normal(size=(length, width)) for width in (d_k, d_k, d_v)), number) for length, d_k, d_v, number in sizes
    ]


def expect_nothing_square(answer: Any, wanted: Callable[..., Any], cases: Sequence[Case], long: Case) -> str | None:
    """Compare a function with the right one; then watch how much memory it takes for a long sequence.

    Examples
    --------
    >>> cases = sequences(np.random.default_rng(0), (3, 2, 2, 1), (2048, 2, 2, 1))
    >>> expect_nothing_square(lambda q, k, v, n: q @ (k.T @ v), lambda q, k, v, n: q @ k.T @ v, cases[:1], cases[1])
    >>> expect_nothing_square(lambda q, k, v, n: q @ k.T @ v, lambda q, k, v, n: q @ k.T @ v, cases[:1], cases[1])
    'the numbers are right, but for 2,048 places it took 32 MiB: it makes an L×L matrix'
    """
    fault = expect_function(answer, wanted, *cases)
    if fault:
        return fault
    tracemalloc.start()
    try:
        answer(*long)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    length = len(long[0])
    if most > length**2 / 2:  # half of what a mask of L×L booleans takes
        return (
            f"the numbers are right, but for {length:,} places it took {most / 2**20:.0f} MiB: it makes an L×L matrix"
        )
    return None

"""What the arguments of figures are checked with. What mechanisms check theirs with is in `attn_edu.checks`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

LARGEST = 32  # tokens; more are too small to read
SLACK = 0.02  # by how much a row of rounded weights may miss 1


def check_tokens(name: str, tokens: Any) -> list[str]:
    """Check a sequence of names and return it as a list.

    Parameters
    ----------
    name : str
        The argument's name.
    tokens : Any
        The argument as it came.

    Returns
    -------
    list of str
        The names.

    Raises
    ------
    TypeError
        If it is not a sequence of strings, or itself one string.
    ValueError
        If there are none or more than 32, or one is blank.
    """
    if isinstance(tokens, str | bytes) or not isinstance(tokens, Sequence | np.ndarray):
        raise TypeError(f"{name}: wanted a sequence of str, got {type(tokens).__name__}")
    if not 1 <= len(tokens) <= LARGEST:
        raise ValueError(f"{name}: wanted 1 to {LARGEST} tokens, got {len(tokens)}")
    for i, token in enumerate(tokens):
        if not isinstance(token, str):
            raise TypeError(f"{name}: wanted a sequence of str, got {type(token).__name__} at {i}")
        if not token.strip():
            raise ValueError(
                f"{name}: wanted something to read in each token, such as ␣ for a space, got {token!r} at {i}"
            )
    return [str(token) for token in tokens]


def check_matrix(name: str, matrix: Any, wanted: str, sizes: dict[str, tuple[int, str]]) -> np.ndarray:
    """Check a matrix of finite numbers and return a read-only copy in float64.

    Parameters
    ----------
    name : str
        The argument's name.
    matrix : Any
        The argument as it came.
    wanted : str
        Its shape in symbols, such as ``(S, d_k)``.
    sizes : dict
        For symbols already known: their size, and where it is from.

    Returns
    -------
    (rows, columns) array
        A copy that cannot be written to.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If it is not a matrix, a size does not fit, or a number is not finite.

    Examples
    --------
    >>> check_matrix("value", [[1, 2]], "(S, d_v)", {"S": (3, "key")})
    Traceback (most recent call last):
    ValueError: value: wanted shape (S, d_v) with S = 3 as in key, got (1, 2)
    """
    try:
        array = np.asarray(matrix)
    except ValueError:
        raise ValueError(f"{name}: wanted shape {wanted}, got rows of different lengths") from None
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: wanted an array of real numbers, got {type(matrix).__name__} of dtype {array.dtype}")
    if array.ndim != 2 or array.shape[1] < 1:
        raise ValueError(f"{name}: wanted shape {wanted}, got {array.shape}")
    for symbol, size in zip(wanted.strip("()").split(", "), array.shape, strict=True):
        known, owner = sizes.get(symbol, (size, ""))
        if size != known:
            raise ValueError(f"{name}: wanted shape {wanted} with {symbol} = {known} as in {owner}, got {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        i, j = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"{name}: wanted finite numbers, got {array[i, j]} at [{i}, {j}]")
    array.setflags(write=False)
    return array


def check_vector(name: str, vector: Any) -> np.ndarray:
    """Check a vector of finite numbers and return a read-only copy in float64.

    Parameters
    ----------
    name : str
        The argument's name.
    vector : Any
        The argument as it came.

    Returns
    -------
    (numbers,) array
        A copy that cannot be written to.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If it is not a vector, is empty, or a number is not finite.

    Examples
    --------
    >>> check_vector("importance", [[1.0]])
    Traceback (most recent call last):
    ValueError: importance: wanted a vector, got shape (1, 1)
    """
    try:
        array = np.asarray(vector)
    except ValueError:
        raise ValueError(f"{name}: wanted a vector, got rows of different lengths") from None
    if array.dtype.kind not in "fiu" or not array.ndim:
        raise TypeError(f"{name}: wanted a vector of real numbers, got {type(vector).__name__} of dtype {array.dtype}")
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name}: wanted a vector, got shape {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: wanted finite numbers, got {array.tolist()}")
    array.setflags(write=False)
    return array


def check_array(name: str, array: Any, axes: int, wanted: str) -> np.ndarray:
    """Check an array of finite numbers with so many axes and return a read-only copy in float64.

    Examples
    --------
    >>> check_array("images", np.ones((2, 2)), 3, "(N, side, side)")
    Traceback (most recent call last):
    ValueError: images: wanted shape (N, side, side), got (2, 2)
    """
    try:
        array = np.asarray(array)
    except ValueError:
        raise ValueError(f"{name}: wanted shape {wanted}, got parts of different lengths") from None
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: wanted an array of real numbers, got dtype {array.dtype}")
    if array.ndim != axes or array.size == 0:
        raise ValueError(f"{name}: wanted shape {wanted}, got {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: wanted finite numbers, got {array[~np.isfinite(array)][0]}")
    array.setflags(write=False)
    return array


def check_sums(name: str, weights: np.ndarray) -> None:
    """Check that the last axis of an array holds weights that sum to 1, up to rounding.

    Parameters
    ----------
    name : str
        The argument's name.
    weights : array
        What `check_array` has returned.

    Raises
    ------
    ValueError
        If a weight is below 0, or a sum misses 1 by more than 0.02.

    Examples
    --------
    >>> check_sums("maps", np.array([[0.5, 0.4]]))
    Traceback (most recent call last):
    ValueError: maps: wanted rows of weights that sum to 1, up to 0.02 after rounding, got others
    """
    if weights.min() < 0 or np.abs(weights.sum(-1) - 1).max() > SLACK:
        raise ValueError(f"{name}: wanted rows of weights that sum to 1, up to {SLACK} after rounding, got others")


def check_integer(name: str, number: Any) -> None:
    """Check that an argument is an integer, Python's or NumPy's.

    Parameters
    ----------
    name : str
        The argument's name.
    number : Any
        The argument as it came.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> check_integer("selected", 1.0)
    Traceback (most recent call last):
    TypeError: selected: wanted an integer, got float
    """
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise TypeError(f"{name}: wanted an integer, got {type(number).__name__}")


def check_count(name: str, number: Any, low: int, high: int) -> int:
    """Check that an argument is an integer between two bounds, and return it.

    Parameters
    ----------
    name : str
        The argument's name.
    number : Any
        The argument as it came.
    low, high : int
        The bounds, both allowed.

    Returns
    -------
    int
        The number.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is out of bounds.

    Examples
    --------
    >>> check_count("length", 2, 3, 64)
    Traceback (most recent call last):
    ValueError: length: wanted 3 to 64, got 2
    """
    check_integer(name, number)
    if not low <= number <= high:
        raise ValueError(f"{name}: wanted {low} to {high}, got {number}")
    return int(number)


def check_between(name: str, number: Any, low: int | float, high: int | float) -> None:
    """Check that an argument is a number between two bounds.

    Parameters
    ----------
    name : str
        The argument's name.
    number : Any
        The argument as it came.
    low, high : int or float
        The bounds, both allowed.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is out of bounds.

    Examples
    --------
    >>> check_between("mixing", 1.5, 0, 1)
    Traceback (most recent call last):
    ValueError: mixing: wanted 0 to 1, got 1.5
    """
    if isinstance(number, bool) or not isinstance(number, int | float | np.number):
        raise TypeError(f"{name}: wanted a number, got {type(number).__name__}")
    if not low <= number <= high:
        raise ValueError(f"{name}: wanted {low} to {high}, got {number}")


def check_caption(caption: Any) -> None:
    """Check that a figure's caption is a text, or none.

    Parameters
    ----------
    caption : Any
        The argument as it came.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> check_caption(1)
    Traceback (most recent call last):
    TypeError: caption: wanted a str, got int
    """
    if not isinstance(caption, str | None):
        raise TypeError(f"caption: wanted a str, got {type(caption).__name__}")

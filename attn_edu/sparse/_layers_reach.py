"""What layers of a sparse pattern reach together: a query sees what its keys have seen."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from attn_edu.checks import check_width

Pattern = Bool[np.ndarray, "L L"]


def reach(pattern: Pattern | Sequence[Pattern], layers: int) -> Bool[np.ndarray, "L L"]:
    r"""Say which inputs each output depends on after several layers.

    .. math:: R_0 = I, \qquad R_n = R_{n-1} \lor A_n R_{n-1}

    A is the pattern and the product one of truth values: output i of layer n sees all that its keys have seen. The
    first term is the residual connection, by which every place keeps what it had.

    Parameters
    ----------
    pattern : (L, L) bool, or a sequence of such arrays
        A, True where query i sees key j. Layers take several patterns in turn, the first layer the first.
    layers : int
        n, how many layers there are.

    Returns
    -------
    reached : (L, L) bool
        True where output i depends on input j, by a path of n steps or fewer.

    Raises
    ------
    TypeError, ValueError
        If a pattern is not a square array of booleans, patterns differ in size, there is none, or `layers` is not an
        integer of at least 0.

    References
    ----------
    Child et al. (2019), section 4.2: a path through p patterns in turn.

    Examples
    --------
    Each place sees itself and the one before it; two layers carry a message two places:

    >>> pattern = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=bool)
    >>> reach(pattern, 2).astype(int)
    array([[1, 0, 0, 0],
           [1, 1, 0, 0],
           [1, 1, 1, 0],
           [0, 1, 1, 1]])
    """
    patterns = check_patterns(pattern)
    check_width("layers", layers, least=0)
    reached = np.eye(len(patterns[0]), dtype=bool)
    for layer in range(layers):
        reached = one_more(patterns[layer % len(patterns)], reached)
    return reached


def layers_to_reach(pattern: Pattern | Sequence[Pattern]) -> int | None:
    """Count the layers until every output depends on every input that could ever come to it.

    That is every input, or, where no pattern looks ahead, every input up to the output's own place.

    Parameters
    ----------
    pattern : (L, L) bool, or a sequence of such arrays
        True where query i sees key j. Layers take several patterns in turn, the first layer the first.

    Returns
    -------
    layers : int or None
        The least number of layers; None if no number is enough.

    Raises
    ------
    TypeError, ValueError
        If a pattern is not a square array of booleans, patterns differ in size, or there is none.

    Examples
    --------
    From place 3 to place 0 it is three steps of one, or a step of one and a step of two:

    >>> one_back = np.eye(4, dtype=bool) | np.eye(4, k=-1, dtype=bool)
    >>> two_back = np.eye(4, dtype=bool) | np.eye(4, k=-2, dtype=bool)
    >>> layers_to_reach(one_back), layers_to_reach([one_back, two_back])
    (3, 2)

    By steps of two, place 1 and place 0 never meet:

    >>> layers_to_reach(two_back) is None
    True
    """
    patterns = check_patterns(pattern)
    reached = np.eye(len(patterns[0]), dtype=bool)
    wanted = np.ones_like(reached)
    if not any(np.triu(each, 1).any() for each in patterns):
        wanted = np.tril(wanted)
    layers = idle = 0  # idle: how many layers in a row have changed nothing
    while not np.array_equal(reached & wanted, wanted):
        before, reached = reached, one_more(patterns[layers % len(patterns)], reached)
        layers += 1
        idle = idle + 1 if np.array_equal(before, reached) else 0
        if idle == len(patterns):
            return None
    return layers


def one_more(pattern: Pattern, reached: Pattern) -> Pattern:
    """Put one layer on top. Numbers in place of booleans, because NumPy multiplies those much faster."""
    return reached | (pattern.astype(np.float32) @ reached.astype(np.float32) > 0)


def check_patterns(pattern: Pattern | Sequence[Pattern]) -> list[Pattern]:
    """Check one pattern or several of one size; return a list."""
    patterns = [pattern] if isinstance(pattern, np.ndarray) else pattern
    if not isinstance(patterns, list | tuple):
        raise TypeError(f"pattern: wanted a NumPy array or a list of them, got {type(patterns).__name__}")
    if not patterns:
        raise ValueError("pattern: wanted at least one, got an empty list")
    for each in patterns:
        if not isinstance(each, np.ndarray):
            raise TypeError(f"pattern: wanted a NumPy array, got {type(each).__name__}")
        if each.dtype != np.bool_:
            raise TypeError(f"pattern: wanted booleans, got dtype {each.dtype}")
        if each.ndim != 2 or each.shape[0] != each.shape[1]:
            raise ValueError(f"pattern: wanted shape (L, L), got {each.shape}")
        if each.shape != patterns[0].shape:
            raise ValueError(f"pattern: wanted shape {patterns[0].shape} as the first has, got {each.shape}")
    return list(patterns)

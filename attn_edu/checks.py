"""Checks of arguments, shared by both forms: they read shapes and types and compute nothing."""

import math
from typing import Any

import numpy as np
import torch

KINDS = {np.ndarray: "a NumPy array", torch.Tensor: "a torch.Tensor"}


def check_arrays(kind: Any, pattern: str, **arrays: Any) -> None:
    """Check types, shapes, dtypes and devices against one line that states them.

    Parameters
    ----------
    kind : type
        ``numpy.ndarray`` or ``torch.Tensor``.
    pattern : str
        For each argument its axes, ``*`` for the batch axes: ``"query: * L d_k, key: * S d_k"``.
        An axis of the same name has the same size everywhere, and the batch axes are the same everywhere.
        ``h*d_v`` is the product of two sizes named before, ``d_q+d_k`` the sum.
    **arrays
        The arguments, by name.

    Raises
    ------
    TypeError
        If an argument is not such an array, does not hold floating-point numbers, or differs in dtype from the first.
    ValueError
        If a shape does not fit, or a device differs from the first's.

    Examples
    --------
    >>> check_arrays(np.ndarray, "query: L d_k, key: S d_k", query=np.ones((2, 3)), key=np.ones((5, 4)))
    Traceback (most recent call last):
    ValueError: key: wanted shape (S, d_k) with d_k = 3 as in query, got (5, 4)
    """
    known: dict[str, tuple[Any, str]] = {}
    for part in pattern.split(","):
        name, axes = part.split(":")[0].strip(), part.split(":")[1].split()
        array = arrays[name]
        if not isinstance(array, kind):
            raise TypeError(f"{name}: wanted {KINDS[kind]}, got {type(array).__name__}")
        floating = array.is_floating_point() if isinstance(array, torch.Tensor) else array.dtype.kind == "f"
        if not floating:
            raise TypeError(f"{name}: wanted floating-point numbers, got dtype {array.dtype}")
        shape, wanted = tuple(array.shape), f"({', '.join(axes)})"
        batch = axes[0] == "*"
        named = axes[1:] if batch else axes
        if len(shape) < len(named) or (len(shape) > len(named) and not batch):
            raise ValueError(f"{name}: wanted shape {wanted}, got {shape}")
        sizes: list[tuple[str, Any]] = list(zip(named, shape[len(shape) - len(named) :], strict=True))
        if batch:
            sizes.append(("*", shape[: len(shape) - len(named)]))
        for axis, size in sizes:
            if "*" in axis[1:] or "+" in axis:  # a product or a sum of sizes known by now
                parts = [known[part] for part in axis.replace("+", "*").split("*")]
                first = (sum if "+" in axis else math.prod)(part[0] for part in parts)
                owner = " and ".join(dict.fromkeys(part[1] for part in parts))
            else:
                first, owner = known.setdefault(axis, (size, name))
            if size != first:
                raise ValueError(f"{name}: wanted shape {wanted} with {axis} = {first} as in {owner}, got {shape}")
        dtype, owner = known.setdefault("dtype", (array.dtype, name))
        if isinstance(array, torch.Tensor):
            if array.dtype != dtype and not torch.is_autocast_enabled(array.device.type):
                raise TypeError(f"{name}: wanted dtype {dtype} as in {owner}, got {array.dtype}")
            device, owner = known.setdefault("device", (array.device, name))
            if array.device != device:
                raise ValueError(f"{name}: wanted device {device} as in {owner}, got {array.device}")


def check_mask(kind: Any, attn_mask: Any, shape: tuple[int, ...], name: str = "attn_mask") -> None:
    """Check that a mask is boolean and broadcasts to the weights.

    Parameters
    ----------
    kind : type
        ``numpy.ndarray`` or ``torch.Tensor``.
    attn_mask : array
        The argument as it came.
    shape : tuple of int
        Shape of the attention weights, ``(*batch, L, S)``.
    name : str
        The argument's name.

    Raises
    ------
    TypeError
        If it is no such array, or not boolean.
    ValueError
        If it does not broadcast to the weights.

    Examples
    --------
    >>> check_mask(np.ndarray, np.ones((2, 4), dtype=bool), (2, 3))
    Traceback (most recent call last):
    ValueError: attn_mask: wanted a shape that broadcasts to (2, 3), got (2, 4)
    """
    if not isinstance(attn_mask, kind):
        raise TypeError(f"{name}: wanted {KINDS[kind]}, got {type(attn_mask).__name__}")
    if attn_mask.dtype not in (np.bool_, torch.bool):
        raise TypeError(f"{name}: wanted booleans, True = may attend, got dtype {attn_mask.dtype}")
    try:
        fits = np.broadcast_shapes(tuple(attn_mask.shape), shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: wanted a shape that broadcasts to {tuple(shape)}, got {tuple(attn_mask.shape)}")


def check_number(name: str, number: Any) -> None:
    """Check that an option is a real number.

    Parameters
    ----------
    name : str
        The option's name.
    number : Any
        The option as it came.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> check_number("share", "half")
    Traceback (most recent call last):
    TypeError: share: wanted a number, got str
    """
    if isinstance(number, bool) or not isinstance(number, int | float | np.floating | np.integer):
        raise TypeError(f"{name}: wanted a number, got {type(number).__name__}")


def check_positive(name: str, number: Any) -> None:
    """Check that an option is a finite number above zero.

    Parameters
    ----------
    name : str
        The option's name.
    number : Any
        The option as it came.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is zero, negative, infinite or not a number.

    Examples
    --------
    >>> check_positive("temperature", 0.0)
    Traceback (most recent call last):
    ValueError: temperature: wanted a finite number above 0, got 0.0
    """
    check_number(name, number)
    if not 0 < number < float("inf"):
        raise ValueError(f"{name}: wanted a finite number above 0, got {number}")


def check_flag(name: str, flag: Any) -> None:
    """Check that an option is True or False.

    Parameters
    ----------
    name : str
        The option's name.
    flag : Any
        The option as it came.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> check_flag("causal", "yes")
    Traceback (most recent call last):
    TypeError: causal: wanted True or False, got 'yes'
    """
    if not isinstance(flag, bool):
        raise TypeError(f"{name}: wanted True or False, got {flag!r}")


def check_choice(name: str, choice: Any, choices: tuple[str, ...]) -> None:
    """Check that an option is one of a few words.

    Parameters
    ----------
    name : str
        The option's name.
    choice : Any
        The option as it came.
    choices : tuple of str
        What it may be.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> check_choice("norm", "batchnorm", ("layer", "batch"))
    Traceback (most recent call last):
    ValueError: norm: wanted one of 'layer', 'batch', got 'batchnorm'
    """
    if not isinstance(choice, str) or choice not in choices:
        raise ValueError(f"{name}: wanted one of {', '.join(map(repr, choices))}, got {choice!r}")


def check_width(name: str, width: Any, least: int = 1) -> None:
    """Check that a constructor's width is an integer of at least 1.

    Parameters
    ----------
    name : str
        The argument's name.
    width : Any
        The argument as it came.
    least : int
        The least that it may be.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is below the least.

    Examples
    --------
    >>> check_width("d_model", 0)
    Traceback (most recent call last):
    ValueError: d_model: wanted an integer of at least 1, got 0
    """
    if isinstance(width, bool) or not isinstance(width, int):
        raise TypeError(f"{name}: wanted an integer, got {type(width).__name__}")
    if width < least:
        raise ValueError(f"{name}: wanted an integer of at least {least}, got {width}")


def check_divides(name: str, parts: Any, **widths: int) -> None:
    """Check that a number of parts, such as heads, divides every width.

    Parameters
    ----------
    name : str
        The argument's name.
    parts : Any
        The argument as it came.
    **widths
        The widths to be divided, by name.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is below 1 or does not divide a width.

    Examples
    --------
    >>> check_divides("heads", 4, d_model=6)
    Traceback (most recent call last):
    ValueError: heads: wanted a divisor of d_model = 6, got 4
    """
    check_width(name, parts)
    for width, size in widths.items():
        if size % parts:
            raise ValueError(f"{name}: wanted a divisor of {width} = {size}, got {parts}")


def check_rng(rng: Any) -> None:
    """Check that a source of randomness is NumPy's generator.

    Parameters
    ----------
    rng : Any
        The argument as it came.

    Raises
    ------
    TypeError
        If it is not.

    Examples
    --------
    >>> check_rng(0)
    Traceback (most recent call last):
    TypeError: rng: wanted a numpy.random.Generator, got int
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng: wanted a numpy.random.Generator, got {type(rng).__name__}")


def check_is(name: str, thing: Any, kind: Any, wanted: str) -> None:
    """Check that an argument is of a kind.

    Parameters
    ----------
    name : str
        The argument's name.
    thing : Any
        The argument as it came.
    kind : type
        What it must be an instance of.
    wanted : str
        What to call that.

    Raises
    ------
    TypeError
        If it is not.

    Examples
    --------
    >>> check_is("title", 10, str, "a text")
    Traceback (most recent call last):
    TypeError: title: wanted a text, got int
    """
    if not isinstance(thing, kind):
        got = type(thing).__name__
        if wanted.endswith(f".{got}"):  # another library's of the same name
            got = f"{type(thing).__module__.partition('.')[0]}.{got}"
        raise TypeError(f"{name}: wanted {wanted}, got {got}")


def check_truths(kind: Any, name: str, truths: Any, shape: tuple[int, ...]) -> None:
    """Check that an array of booleans has a shape.

    Parameters
    ----------
    kind : type
        ``numpy.ndarray`` or ``torch.Tensor``.
    name : str
        The argument's name.
    truths : Any
        The argument as it came.
    shape : tuple of int
        The shape that is wanted.

    Raises
    ------
    TypeError
        If it is no such array, or not boolean.
    ValueError
        If it has another shape.

    Examples
    --------
    >>> check_truths(np.ndarray, "counted", np.array([True]), (2,))
    Traceback (most recent call last):
    ValueError: counted: wanted shape (2,), got (1,)
    """
    if not isinstance(truths, kind) or truths.dtype not in (np.bool_, torch.bool):
        got = f"dtype {truths.dtype}" if isinstance(truths, kind) else type(truths).__name__
        raise TypeError(f"{name}: wanted {KINDS[kind]} of booleans, got {got}")
    if tuple(truths.shape) != tuple(shape):
        raise ValueError(f"{name}: wanted shape {tuple(shape)}, got {tuple(truths.shape)}")


def check_word(name: str, word: Any, words: int) -> None:
    """Check that an argument is the number of a word in a vocabulary.

    Parameters
    ----------
    name : str
        The argument's name.
    word : Any
        The argument as it came.
    words : int
        How many words there are.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is not that of a word.

    Examples
    --------
    >>> check_word("end", 29, 29)
    Traceback (most recent call last):
    ValueError: end: wanted 0 to 28, got 29
    """
    check_width(name, word, least=0)
    if word >= words:
        raise ValueError(f"{name}: wanted 0 to {words - 1}, got {word}")


def check_words(kind: Any, name: str, ids: Any, words: int, axes: str = "(..., L)", some: bool = False) -> None:
    """Check that an array holds numbers of words in a vocabulary.

    Parameters
    ----------
    kind : type
        ``numpy.ndarray`` or ``torch.Tensor``.
    name : str
        The argument's name.
    ids : Any
        The argument as it came.
    words : int
        How many words there are.
    axes : str
        The shape that is wanted; ``...`` stands for any axes.
    some : bool
        If True, there must be at least one word in a row.

    Raises
    ------
    TypeError
        If it is no such array, or does not hold integers.
    ValueError
        If it has other axes, or a number is not that of a word.

    Examples
    --------
    >>> check_words(np.ndarray, "ids", np.array([[1, 29]]), 29)
    Traceback (most recent call last):
    ValueError: ids: wanted 0 to 28, got 1 to 29
    """
    if not isinstance(ids, kind) or str(ids.dtype).removeprefix("torch.").rstrip("0123456789") not in ("int", "uint"):
        got = f"dtype {ids.dtype}" if isinstance(ids, kind) else type(ids).__name__
        raise TypeError(f"{name}: wanted {KINDS[kind]} of integers, got {got}")
    least = axes.count(",") + 1 - ("..." in axes)
    if ids.ndim < least or (ids.ndim > least and "..." not in axes):
        raise ValueError(f"{name}: wanted shape {axes}, got {tuple(ids.shape)}")
    if some and not ids.shape[-1]:
        raise ValueError(f"{name}: wanted at least one word in a row, got none")
    if math.prod(ids.shape) and not 0 <= int(ids.min()) <= int(ids.max()) < words:
        raise ValueError(f"{name}: wanted 0 to {words - 1}, got {int(ids.min())} to {int(ids.max())}")

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


def check_mask(kind: Any, attn_mask: Any, shape: tuple[int, ...]) -> None:
    """Check that a mask is boolean and broadcasts to the weights.

    Parameters
    ----------
    kind : type
        ``numpy.ndarray`` or ``torch.Tensor``.
    attn_mask : array
        The argument as it came.
    shape : tuple of int
        Shape of the attention weights, ``(*batch, L, S)``.

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
        raise TypeError(f"attn_mask: wanted {KINDS[kind]}, got {type(attn_mask).__name__}")
    if attn_mask.dtype not in (np.bool_, torch.bool):
        raise TypeError(f"attn_mask: wanted booleans, True = may attend, got dtype {attn_mask.dtype}")
    try:
        fits = np.broadcast_shapes(tuple(attn_mask.shape), shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"attn_mask: wanted a shape that broadcasts to {shape}, got {tuple(attn_mask.shape)}")


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
    if isinstance(number, bool) or not isinstance(number, int | float | np.floating | np.integer):
        raise TypeError(f"{name}: wanted a number, got {type(number).__name__}")
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

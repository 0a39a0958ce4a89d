"""The record that every mechanism's file ends with: what it is, where it comes from, how to try it, what it claims.

The tests, the catalogue page, the API page and the benchmark read nothing but these records.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import nn

from attn_edu.checks import check_is, check_rng, check_width

Kind = Literal["attention", "gate", "recurrent", "sampled", "piece"]

RETURNS: dict[Kind, tuple[str, ...]] = {
    "attention": ("output", "weights"),
    "gate": ("output", "gate"),
    "recurrent": ("output", "weights", "state"),
    "sampled": ("output", "weights", "log_prob"),
    "piece": ("output",),
}


@dataclass(frozen=True)
class Sizes:
    """The sizes an example is drawn in. Distinct primes, so that a swapped or forgotten axis shows.

    Parameters
    ----------
    batch : tuple of int
        Leading axes.
    L, S : int
        Number of queries and of keys.
    h : int
        Number of heads.
    d, d_k, d_v : int
        Width of the inputs (of a head's part of them, where there are heads), of queries and keys, and of values.
    """

    batch: tuple[int, ...] = (2,)
    L: int = 5
    S: int = 7
    h: int = 3
    d: int = 11
    d_k: int = 13
    d_v: int = 19


@dataclass(frozen=True)
class Example:
    """One call of a mechanism, for the NumPy function and the PyTorch module alike.

    Parameters
    ----------
    inputs : mapping of str to array
        Arguments of the function and of ``forward``. Floats are differentiated; booleans are masks.
        The names say the roles: ``x`` for self-attention, ``shared`` for what is query and key at once, else
        ``query``, ``key``, ``value``; ``attn_mask``.
    parameters : mapping of str to array
        Keywords of the function, and the ``state_dict`` of the module. None may be left at a trivial value.
    options : mapping of str to Any
        Keywords of the function and of the module's constructor.
    widths : mapping of str to int
        Keywords of the constructor alone: the function reads widths off its arrays.
    training : bool, optional
        Where training and evaluation differ: the keyword ``training`` of the function, and the module's mode.
    """

    inputs: Mapping[str, np.ndarray]
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)
    training: bool | None = None


@dataclass(frozen=True)
class Claim:
    """What a mechanism says of one property: it holds, it fails, or it does not apply (and why)."""

    verdict: Literal["holds", "fails", "does not apply"]
    reason: str = ""


def claims(holds: str = "", fails: str = "", does_not_apply: Mapping[str, str] | None = None) -> dict[str, Claim]:
    """Write a mechanism's claims down, each property once.

    Parameters
    ----------
    holds, fails : str
        Names of properties, separated by spaces. *Holds*: in every example. *Fails*: in at least one.
    does_not_apply : mapping of str to str
        Names of properties that have no meaning here, each with the reason in a few words.

    Returns
    -------
    properties : dict of str to Claim

    Raises
    ------
    TypeError
        If names are no text, or the reasons no mapping.

    Examples
    --------
    >>> claims(holds="rows_sum_to_one", does_not_apply={"causal_when_asked": "no order"})["causal_when_asked"]
    Claim(verdict='does not apply', reason='no order')
    """
    check_is("holds", holds, str, "a text of names")
    check_is("fails", fails, str, "a text of names")
    check_is("does_not_apply", does_not_apply, Mapping | None, "a mapping of names to reasons")
    return (
        {name: Claim("holds") for name in holds.split()}
        | {name: Claim("fails") for name in fails.split()}
        | {name: Claim("does not apply", reason) for name, reason in (does_not_apply or {}).items()}
    )


@dataclass(frozen=True)
class Mechanism:
    """A mechanism: its definition, the form one would ship, and what is claimed of both.

    Parameters
    ----------
    title : str
        What people call it.
    citation : str
        Key in ``references.bib`` of the paper that states it.
    equation : str
        LaTeX, without dollar signs.
    cost : str
        Operations, as LaTeX, in the symbols of `Sizes`.
    kind : str
        What is returned; see ``RETURNS``.
    reference : callable
        The NumPy function, the definition.
    module : type
        The PyTorch module, the fast form.
    examples : callable
        ``examples(rng, sizes)`` returns a dict of named `Example` objects that together use every option.
    recompose : callable or None
        ``recompose(weights, **inputs, **parameters)`` rebuilds the output from the weights: it states what
        ``weights[..., i, j]`` multiplies. Options that it names are passed too. Required of the kind ``attention``.
    properties : mapping of str to Claim
        One claim for every predicate in `attn_edu.properties`.
    refuses : mapping of str to tuple
        For each option, values that must raise an error which names the option.
    chapter : str
        The chapter that teaches it, as a path without its ending.
    """

    title: str
    citation: str
    equation: str
    cost: str
    kind: Kind
    reference: Callable[..., Any]
    module: type[nn.Module]
    examples: Callable[[np.random.Generator, Sizes], dict[str, Example]]
    properties: Mapping[str, Claim]
    chapter: str
    recompose: Callable[..., np.ndarray] | None = None
    refuses: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the NumPy function."""
        return self.reference.__name__

    @property
    def family(self) -> str:
        """Name of the subpackage that holds the mechanism's file."""
        return self.reference.__module__.split(".")[-2]


def draw_mask(rng: np.random.Generator, queries: int, keys: int) -> np.ndarray:
    """Draw a mask with True where a query may attend; with several queries, the second may attend to nothing.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    queries, keys : int
        Numbers of rows and columns.

    Returns
    -------
    mask : (queries, keys) bool
        Every row but the second has at least one True, where there are keys.

    Raises
    ------
    TypeError, ValueError
        If `rng` is no generator, or a number not an integer of at least 0.
    """
    check_rng(rng)
    check_width("queries", queries, least=0)
    check_width("keys", keys, least=0)
    mask = rng.random((queries, keys)) < 0.6
    if keys:
        mask[np.arange(queries), rng.integers(keys, size=queries)] = True
    mask[1:2] = False
    return mask


def draw_query_key_value(rng: np.random.Generator, sizes: Sizes) -> dict[str, np.ndarray]:
    """Draw standard normal queries, keys and values.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    sizes : Sizes
        Their shapes.

    Returns
    -------
    inputs : dict
        ``query`` of shape (..., L, d_k), ``key`` (..., S, d_k) and ``value`` (..., S, d_v).

    Raises
    ------
    TypeError
        If `rng` is no generator, or `sizes` no `Sizes`.
    """
    check_rng(rng)
    check_is("sizes", sizes, Sizes, "a Sizes")
    shapes = {"query": (sizes.L, sizes.d_k), "key": (sizes.S, sizes.d_k), "value": (sizes.S, sizes.d_v)}
    return {name: rng.normal(size=sizes.batch + shape) for name, shape in shapes.items()}

r"""Learned positions: a table with one trained vector for every place, added to whatever stands there.

.. math:: y_t = x_t + p_t

Source: Gehring et al. (2017), section 3.1; Vaswani et al. (2017), section 3.5, tried them beside sinusoids.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * L d, P: places d"
NO_WEIGHTS = "it has no weights"


def learned_positions(
    x: Float[np.ndarray, "*batch L d"], *, P: Float[np.ndarray, "places d"]
) -> Float[np.ndarray, "*batch L d"]:
    """Add the table's first L rows to the inputs.

    Parameters
    ----------
    x : (..., L, d)
        Inputs, in order.
    P : (places, d)
        One vector for each place, of which the first L are used.

    Returns
    -------
    output : (..., L, d)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or there are more inputs than places.

    References
    ----------
    Gehring et al. (2017), section 3.1.

    Examples
    --------
    The same input twice, and a table with three places, of which two are used:

    >>> learned_positions(np.array([[1.0, 2.0], [1.0, 2.0]]), P=np.array([[0.0, 0.5], [3.0, 0.0], [9.0, 9.0]]))
    array([[1. , 2.5],
           [4. , 2. ]])
    """
    check_arrays(np.ndarray, PATTERN, x=x, P=P)
    check_places(x.shape[-2], len(P))
    return x + P[: x.shape[-2]]


def check_places(length: int, places: int) -> None:
    """Check that there is a row in the table for every input."""
    if length > places:
        raise ValueError(f"x: wanted at most as many inputs as P has places, {places}, got {length}")


class LearnedPositions(nn.Module):
    """`learned_positions` as a PyTorch module with the parameter P.

    Parameters
    ----------
    max_length : int
        Number of places in the table.
    d_model : int
        Width d.

    Raises
    ------
    TypeError, ValueError
        If a width is not an integer of at least 1.

    Examples
    --------
    >>> layer = LearnedPositions(max_length=3, d_model=2)
    >>> _ = layer.load_state_dict({"P": torch.tensor([[0.0, 0.5], [3.0, 0.0], [9.0, 9.0]])})
    >>> layer(torch.tensor([[1.0, 2.0], [1.0, 2.0]])).detach()
    tensor([[1.0000, 2.5000],
            [4.0000, 2.0000]])
    """

    def __init__(self, max_length: int, d_model: int) -> None:
        super().__init__()
        check_width("max_length", max_length)
        check_width("d_model", d_model)
        self.P = nn.Parameter(torch.empty(max_length, d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew, with standard deviation 0.1."""
        nn.init.normal_(self.P, std=0.1)

    def forward(self, x: Float[Tensor, "*batch L d"]) -> Float[Tensor, "*batch L d"]:
        """Return the inputs (..., L, d) with their places' vectors added."""
        check_arrays(Tensor, PATTERN, x=x, P=self.P)
        check_places(x.shape[-2], len(self.P))
        return x + self.P[: x.shape[-2]]


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw a table that just fits, and one with places to spare."""
    x = rng.normal(size=(*sizes.batch, sizes.L, sizes.d))
    tables = {"full": rng.normal(size=(max(1, sizes.L), sizes.d)), "longer": rng.normal(size=(sizes.L + 2, sizes.d))}
    return {
        name: Example({"x": x}, {"P": P}, widths={"max_length": len(P), "d_model": sizes.d})
        for name, P in tables.items()
    }


MECHANISM = Mechanism(
    title="Learned positions",
    citation="gehring2017convolutional",
    equation="y_t = x_t + p_t",
    cost=r"O(L d)",
    kind="piece",
    reference=learned_positions,
    module=LearnedPositions,
    examples=examples,
    properties=claims(
        fails="equivariant_to_query_order",
        does_not_apply={
            "rows_sum_to_one": NO_WEIGHTS,
            "weights_not_negative": NO_WEIGHTS,
            "largest_on_diagonal": NO_WEIGHTS,
            "invariant_to_key_order": "it has no keys",
            "linear_in_values": "it has no values",
            "causal_when_asked": "inputs do not meet",
        },
    ),
    refuses={"max_length": (0, 2.5), "d_model": (0, "two")},
    chapter="notebooks/foundations/08_order",
)

r"""Rotary positions (RoPE): turn each pair of features by an angle that grows with the position.

.. math:: \begin{pmatrix} y_{t,2c} \\ y_{t,2c+1} \end{pmatrix} =
          \begin{pmatrix} \cos t\theta_c & -\sin t\theta_c \\ \sin t\theta_c & \cos t\theta_c \end{pmatrix}
          \begin{pmatrix} x_{t,2c} \\ x_{t,2c+1} \end{pmatrix}, \qquad \theta_c = 10000^{-2c/d}

Turn queries and keys so, and not values: a rotated query times a rotated key depends on their positions through the
difference alone. Source: Su et al. (2024), section 3.2.2, whose pairs are neighbouring features, as here; much public
code pairs feature c with feature c + d/2 instead, which is the same up to an order of the columns.
"""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_positive, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

from ._sinusoidal_positions import clocks

PATTERN = "x: * L d"
NO_WEIGHTS = "it has no weights"


def rotary(
    x: Float[np.ndarray, "*batch L d"], *, base: float = 10_000.0, start: int = 0
) -> Float[np.ndarray, "*batch L d"]:
    """Turn every pair of neighbouring features by the position times the pair's frequency.

    Parameters
    ----------
    x : (..., L, d)
        Queries or keys, in order; d is even.
    base : float
        Pair c turns by ``base ** (-2c/d)`` a step.
    start : int
        Position of the first row.

    Returns
    -------
    output : (..., L, d)
        As long as x, row by row.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, d is odd, `base` is not above 0 or `start` below 0.

    References
    ----------
    Su et al. (2024), section 3.2.2.

    Examples
    --------
    With d = 4 and base (2/π)² the second pair turns by π/2 a step. Its vector (3, 0) goes to (0, 3), then to (−3, 0).
    The first pair holds (0, 0), which no turn changes:

    >>> x = np.tile([0.0, 0.0, 3.0, 0.0], (3, 1))
    >>> rotary(x, base=(2 / np.pi) ** 2).round(3) + 0.0
    array([[ 0.,  0.,  3.,  0.],
           [ 0.,  0.,  0.,  3.],
           [ 0.,  0., -3.,  0.]])
    """
    check_arrays(np.ndarray, PATTERN, x=x)
    check_even(x.shape[-1])
    check_positive("base", base)
    check_width("start", start, least=0)
    length, d = x.shape[-2:]
    angle = (start + np.arange(length))[:, None] * base ** (-np.arange(0, d, 2) / d)
    turns = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).astype(x.dtype)
    pairs = rearrange(x, "... l (c i) -> ... l c i", i=2)
    return rearrange(np.einsum("oilc,...lci->...lco", turns, pairs), "... l c o -> ... l (c o)")


def check_even(width: int) -> None:
    """Check that features can be paired."""
    if width % 2:
        raise ValueError(f"x: wanted an even width, to pair its features, got {width}")


class Rotary(nn.Module):
    """`rotary` as a PyTorch module; it has no parameters.

    Parameters
    ----------
    base : float
        Pair c turns by ``base ** (-2c/d)`` a step.

    Raises
    ------
    TypeError, ValueError
        If `base` is not a number above 0.

    Examples
    --------
    Position 0 does not turn; position 1 turns the only pair by 1 radian, (1, 0) to (cos 1, sin 1):

    >>> Rotary()(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """

    def __init__(self, base: float = 10_000.0) -> None:
        super().__init__()
        check_positive("base", base)
        self.base = base

    def forward(self, x: Float[Tensor, "*batch L d"], start: int = 0) -> Float[Tensor, "*batch L d"]:
        """Return the rotated rows (..., L, d); the first stands at position `start`."""
        check_arrays(Tensor, PATTERN, x=x)
        check_even(x.shape[-1])
        check_width("start", start, least=0)
        sin, cos = clocks(start, x.shape[-2], x.shape[-1], self.base, x).to(x.dtype).unbind(-1)  # (L, d/2) each
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw d pairs of features, with the paper's base and another."""
    x = rng.normal(size=(*sizes.batch, sizes.L, 2 * sizes.d))
    return {"plain": Example({"x": x}), "base": Example({"x": x}, options={"base": 37.0})}


MECHANISM = Mechanism(
    title="Rotary positions (RoPE)",
    citation="su2024roformer",
    equation=r"\begin{gathered} y_{t,c} = R(t\,\theta_c)\, x_{t,c} \\ \theta_c = 10000^{-2c/d} \end{gathered}",
    cost=r"O(L d)",
    kind="piece",
    reference=rotary,
    module=Rotary,
    examples=examples,
    properties=claims(
        fails="equivariant_to_query_order",
        does_not_apply={
            "rows_sum_to_one": NO_WEIGHTS,
            "weights_not_negative": NO_WEIGHTS,
            "largest_on_diagonal": NO_WEIGHTS,
            "invariant_to_key_order": "it turns queries or keys, and compares none",
            "linear_in_values": "it has no values",
            "causal_when_asked": "inputs do not meet",
        },
    ),
    refuses={"base": (0, -1.0, "ten", True)},
    chapter="notebooks/foundations/08_order",
)

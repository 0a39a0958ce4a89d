r"""Sinusoidal positions: every place gets the readings of d/2 clocks, each slower than the one before.

.. math:: y_t = x_t + p_t, \qquad
          p_{t, 2c} = \sin\frac{t}{10000^{2c/d}}, \qquad
          p_{t, 2c+1} = \cos\frac{t}{10000^{2c/d}}

Source: Vaswani et al. (2017), section 3.5. Positions t count from 0. Their first code put all sines before all
cosines, which is the same table with its columns in another order but for an exponent with d − 2 in place of d.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_positive, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * L d"
NO_WEIGHTS = "it has no weights"


def sinusoidal_positions(
    x: Float[np.ndarray, "*batch L d"], *, base: float = 10_000.0, start: int = 0, rate: float = 1.0
) -> Float[np.ndarray, "*batch L d"]:
    """Add sines and cosines of the position, at falling frequencies.

    Parameters
    ----------
    x : (..., L, d)
        Inputs, in order. Zeros return the table itself.
    base : float
        The slowest clock is slower than the fastest by nearly this factor.
    start : int
        Position of the first input.
    rate : float
        How fast all clocks run: positions count `rate` each. Ping et al. (2018) give queries and keys rates of their
        own, see `attn_edu.scores.deep_voice`.

    Returns
    -------
    output : (..., L, d)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, `base` or `rate` is not above 0, or `start` below 0.

    References
    ----------
    Vaswani et al. (2017), section 3.5.

    Examples
    --------
    With d = 4 and base (2/π)² the second frequency is π/2, a quarter of a turn a step. The first is 1, so position 1
    reads sin 1 and cos 1:

    >>> sinusoidal_positions(np.zeros((3, 4)), base=(2 / np.pi) ** 2).round(3) + 0.0
    array([[ 0.   ,  1.   ,  0.   ,  1.   ],
           [ 0.841,  0.54 ,  1.   ,  0.   ],
           [ 0.909, -0.416,  0.   , -1.   ]])
    """
    check_arrays(np.ndarray, PATTERN, x=x)
    check_positive("base", base)
    check_positive("rate", rate)
    check_width("start", start, least=0)
    length, d = x.shape[-2:]
    position, column = rate * (start + np.arange(length))[:, None], np.arange(d)
    angle = position / base ** ((column - column % 2) / d)
    return x + np.where(column % 2 == 0, np.sin(angle), np.cos(angle)).astype(x.dtype)


class SinusoidalPositions(nn.Module):
    """`sinusoidal_positions` as a PyTorch module; it has no parameters.

    Parameters
    ----------
    base : float
        The slowest clock is slower than the fastest by nearly this factor.
    rate : float
        How fast all clocks run.

    Raises
    ------
    TypeError, ValueError
        If `base` or `rate` is not a number above 0.

    Examples
    --------
    >>> SinusoidalPositions()(torch.zeros(2, 2))
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """

    def __init__(self, base: float = 10_000.0, rate: float = 1.0) -> None:
        super().__init__()
        check_positive("base", base)
        check_positive("rate", rate)
        self.base, self.rate = base, rate

    def forward(self, x: Float[Tensor, "*batch L d"], start: int = 0) -> Float[Tensor, "*batch L d"]:
        """Return the inputs (..., L, d) with their positions added; the first stands at `start`."""
        check_arrays(Tensor, PATTERN, x=x)
        check_width("start", start, least=0)
        table = clocks(start, x.shape[-2], x.shape[-1], self.base, x, self.rate).flatten(-2)
        return x + table[:, : x.shape[-1]].to(x.dtype)


def clocks(
    start: int, length: int, width: int, base: float, like: Tensor, rate: float = 1.0
) -> Float[Tensor, "L half 2"]:
    """Return sine and cosine of every position's angles, in at least single precision."""
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    position = torch.arange(start, start + length, device=like.device, dtype=dtype) * rate
    column = torch.arange(0, width, 2, device=like.device, dtype=dtype)
    angle = torch.outer(position, torch.exp(column * (-math.log(base) / max(width, 1))))
    return torch.stack((angle.sin(), angle.cos()), -1)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw an odd and an even width, and another base."""
    x = rng.normal(size=(*sizes.batch, sizes.L, sizes.d))
    even = rng.normal(size=(*sizes.batch, sizes.L, 2 * sizes.d))
    return {
        "odd": Example({"x": x}),
        "even": Example({"x": even}),
        "base": Example({"x": x}, options={"base": 37.0}),
        "rate": Example({"x": x}, options={"rate": 1.3}),
    }


MECHANISM = Mechanism(
    title="Sinusoidal positions",
    citation="vaswani2017attention",
    equation=r"\begin{aligned} y_t &= x_t + p_t \\ p_{t,2c} &= \sin(t / 10000^{2c/d}) \\ "
    r"p_{t,2c+1} &= \cos(t / 10000^{2c/d}) \end{aligned}",
    cost=r"O(L d)",
    kind="piece",
    reference=sinusoidal_positions,
    module=SinusoidalPositions,
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
    refuses={"base": (0, -1.0, "ten", True), "rate": (0, -1.0, "fast", True)},
    chapter="notebooks/foundations/08_order",
)

r"""Layer normalisation: each token's features are brought to mean 0 and variance 1, then stretched and moved.

.. math:: y = g \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b, \qquad
          \mu = \frac{1}{d} \sum_{m=1}^d x_m, \qquad \sigma^2 = \frac{1}{d} \sum_{m=1}^d (x_m - \mu)^2

Source: Ba, Kiros and Hinton (2016): the mean and deviation over one layer's features are their equation 3, gain and
bias stand in equation 4. They have no :math:`\varepsilon`, which keeps equal features from a division by zero.
"""

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn, ones, zeros

from attn_edu.checks import check_arrays, check_positive, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * d, gain: d, bias: d"


def layer_norm(
    x: Float[np.ndarray, "*batch d"],
    *,
    gain: Float[np.ndarray, "d"],
    bias: Float[np.ndarray, "d"],
    eps: float = 1e-5,
) -> Float[np.ndarray, "*batch d"]:
    """Bring the features of each token to mean 0 and variance 1; then stretch and move each feature.

    Parameters
    ----------
    x : (..., d)
        Tokens, each with d features. Each is treated alone, with statistics of its own.
    gain, bias : (d,), (d,)
        Factor and summand of each feature, the same for all tokens: g and b.
    eps : float
        Added to the variance: ε.

    Returns
    -------
    output : (..., d)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or `eps` is not above 0.

    References
    ----------
    Ba, Kiros and Hinton (2016), equations 3 and 4.

    Examples
    --------
    The features 1 and 5 have mean 3 and variance 4. With eps = 5 the root is √9 = 3, so they become −2/3 and 2/3; the
    gains 3 and 6 and the biases 0 and 1 make −2 and 5 of them:

    >>> layer_norm(np.array([[1.0, 5.0]]), gain=np.array([3.0, 6.0]), bias=np.array([0.0, 1.0]), eps=5.0)
    array([[-2.,  5.]])
    """
    check_arrays(np.ndarray, PATTERN, x=x, gain=gain, bias=bias)
    check_positive("eps", eps)
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return gain * centred / np.sqrt(variance + eps) + bias


class LayerNorm(nn.Module):
    """`layer_norm` as a PyTorch module with parameters gain and bias; `nn.LayerNorm` calls them weight and bias.

    Parameters
    ----------
    d_model : int
        Number of features d.
    eps : float
        Added to the variance.

    Raises
    ------
    TypeError, ValueError
        If `d_model` is not an integer of at least 1, or `eps` is not a number above 0.

    Examples
    --------
    Mean 3 and variance 4, and an eps of 5, as above; a fresh layer has gains 1 and biases 0:

    >>> import torch
    >>> LayerNorm(d_model=2, eps=5.0)(torch.tensor([[1.0, 5.0]])).detach()
    tensor([[-0.6667,  0.6667]])
    """

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        check_width("d_model", d_model)
        check_positive("eps", eps)
        self.eps = eps
        self.gain = nn.Parameter(ones(d_model))
        self.bias = nn.Parameter(zeros(d_model))

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Return the normalised tokens (..., d)."""
        check_arrays(Tensor, PATTERN, x=x, gain=self.gain, bias=self.bias)
        return F.layer_norm(x, self.gain.shape, self.gain, self.bias, self.eps)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use."""
    inputs = {"x": rng.normal(size=(*sizes.batch, sizes.L, sizes.d))}
    parameters = {name: rng.normal(size=sizes.d) for name in ("gain", "bias")}
    return {
        "plain": Example(inputs, parameters, widths={"d_model": sizes.d}),
        "large eps": Example(inputs, parameters, options={"eps": 0.3}, widths={"d_model": sizes.d}),
    }


MECHANISM = Mechanism(
    title="Layer normalisation",
    citation="ba2016layer",
    equation=r"g \odot \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b",
    cost=r"O(L d)",
    kind="piece",
    reference=layer_norm,
    module=LayerNorm,
    examples=examples,
    properties=claims(
        holds="equivariant_to_query_order",
        does_not_apply={
            "rows_sum_to_one": "there are no weights",
            "weights_not_negative": "there are no weights",
            "invariant_to_key_order": "there are no keys",
            "causal_when_asked": "each token is treated alone",
            "linear_in_values": "there are no values",
            "largest_on_diagonal": "there are no weights",
        },
    ),
    refuses={"eps": (0.0, -1e-5, float("nan"), "small", True), "d_model": (0, 2.5)},
    chapter="notebooks/foundations/10_the_block",
)

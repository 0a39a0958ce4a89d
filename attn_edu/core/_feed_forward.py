r"""The position-wise feed-forward network: two linear maps with a ReLU between them, the same for every token.

.. math:: \operatorname{FFN}(x) = \max(0,\, x W_1 + b_1)\, W_2 + b_2

Source: Vaswani et al. (2017), section 3.3, equation 2.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * d, W_1: d d_hidden, b_1: d_hidden, W_2: d_hidden d_out, b_2: d_out"


def feed_forward(
    x: Float[np.ndarray, "*batch d"],
    *,
    W_1: Float[np.ndarray, "d d_hidden"],
    b_1: Float[np.ndarray, "d_hidden"],
    W_2: Float[np.ndarray, "d_hidden d_out"],
    b_2: Float[np.ndarray, "d_out"],
) -> Float[np.ndarray, "*batch d_out"]:
    """Map each token to hidden features, set the negative ones to zero, and map back.

    Parameters
    ----------
    x : (..., d)
        Tokens, each treated alone.
    W_1, b_1 : (d, d_hidden), (d_hidden,)
        First map and its bias.
    W_2, b_2 : (d_hidden, d_out), (d_out,)
        Second map and its bias. In the paper d_out = d and d_hidden = 4d.

    Returns
    -------
    output : (..., d_out)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape.

    References
    ----------
    Vaswani et al. (2017), section 3.3, equation 2.

    Examples
    --------
    The token (2, 1) has hidden features 2 − 1 = 1, 1 − 2 = −1 and 2 + 1 − 1 = 2. The second becomes 0; the output is
    10 · 1 + 100 · 0 + 1 · 2 + 5 = 17:

    >>> W_1, b_1 = np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]), np.array([0.0, 0.0, -1.0])
    >>> W_2, b_2 = np.array([[10.0], [100.0], [1.0]]), np.array([5.0])
    >>> feed_forward(np.array([[2.0, 1.0]]), W_1=W_1, b_1=b_1, W_2=W_2, b_2=b_2)
    array([[17.]])
    """
    check_arrays(np.ndarray, PATTERN, x=x, W_1=W_1, b_1=b_1, W_2=W_2, b_2=b_2)
    hidden = np.einsum("...d,dh->...h", x, W_1) + b_1
    return np.einsum("...h,ho->...o", np.where(hidden > 0, hidden, 0), W_2) + b_2


class FeedForward(nn.Module):
    """`feed_forward` as a PyTorch module with parameters W_1, b_1, W_2 and b_2.

    Parameters
    ----------
    d_model : int
        Width d of the tokens, coming and going.
    d_hidden : int
        Number of hidden features.

    Raises
    ------
    TypeError, ValueError
        If a width is not an integer of at least 1.

    Examples
    --------
    Hidden features 3, −3 and 1 after the first map; without the negative one, 3 + 1 and 2 · 3:

    >>> layer = FeedForward(d_model=2, d_hidden=3)
    >>> W_1 = torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> W_2 = torch.tensor([[1.0, 2.0], [50.0, 50.0], [1.0, 0.0]])
    >>> _ = layer.load_state_dict({"W_1": W_1, "b_1": torch.zeros(3), "W_2": W_2, "b_2": torch.zeros(2)})
    >>> layer(torch.tensor([[3.0, 1.0]])).detach()
    tensor([[4., 6.]])
    """

    def __init__(self, d_model: int, d_hidden: int) -> None:
        super().__init__()
        check_width("d_model", d_model)
        check_width("d_hidden", d_hidden)
        self.W_1 = nn.Parameter(torch.empty(d_model, d_hidden))
        self.b_1 = nn.Parameter(torch.empty(d_hidden))
        self.W_2 = nn.Parameter(torch.empty(d_hidden, d_model))
        self.b_2 = nn.Parameter(torch.empty(d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the matrices anew, Glorot-uniform, and set the biases to zero."""
        for parameter in self.parameters():
            nn.init.xavier_uniform_(parameter) if parameter.ndim == 2 else nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Return the new tokens (..., d)."""
        check_arrays(Tensor, PATTERN, x=x, W_1=self.W_1, b_1=self.b_1, W_2=self.W_2, b_2=self.b_2)
        return torch.relu(x @ self.W_1 + self.b_1) @ self.W_2 + self.b_2


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw tokens none of whose hidden features is within 0.001 of the kink of the ReLU."""
    d, d_hidden = sizes.d, sizes.d_v
    shapes = {"W_1": (d, d_hidden), "b_1": (d_hidden,), "W_2": (d_hidden, d), "b_2": (d,)}
    while True:
        x = rng.normal(size=(*sizes.batch, sizes.L, d))
        parameters = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        if np.abs(x @ parameters["W_1"] + parameters["b_1"]).min(initial=1.0) > 1e-3:
            return {"plain": Example({"x": x}, parameters, widths={"d_model": d, "d_hidden": d_hidden})}


MECHANISM = Mechanism(
    title="Position-wise feed-forward network",
    citation="vaswani2017attention",
    equation=r"\max(0,\, x W_1 + b_1)\, W_2 + b_2",
    cost=r"O(L d\, d_{\text{hidden}})",
    kind="piece",
    reference=feed_forward,
    module=FeedForward,
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
    refuses={"d_model": (0, 2.5), "d_hidden": (0, "wide")},
    chapter="notebooks/foundations/10_the_block",
)

r"""Content-based addressing: the score is the cosine of the angle between query and key, times a sharpness.

.. math:: s_{ij} = \beta_i\, \frac{q_i \cdot k_j}{\lVert q_i \rVert\, \lVert k_j \rVert}, \qquad
          y_i = \sum_j \operatorname{softmax}(s_i)_j\, v_j

Source: Graves, Wayne and Danihelka (2014), equations 5 and 6. There key and value are both a row of the memory, and
the controller emits the query and its :math:`\beta`.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays
from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value

PATTERN = "query: * L d_k, key: * S d_k, value: * S d_v, beta: * L"


def cosine(
    query: Float[np.ndarray, "*batch L d_k"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    beta: Float[np.ndarray, "*batch L"],
    *,
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average the values, weighted by the softmax of cosines; the lengths of queries and keys do not count.

    Parameters
    ----------
    query : (..., L, d_k)
        What asks, one row per output wanted.
    key : (..., S, d_k)
        What is asked, of the same width. A row of zeros, like a query of zeros, has cosine 0 with all.
    value : (..., S, d_v)
        What is averaged. In the paper the same as `key`.
    beta : (..., L)
        Each query's sharpness, above 0 in the paper: cosines lie between −1 and 1, so that two weights differ at most
        by the factor exp(2β).
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query i may attend to key j. A row without any True gives zero weights and a zero output.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values per query.
    weights : (..., L, S)
        The attention weights; row i belongs to query i.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape.

    References
    ----------
    Graves, Wayne and Danihelka (2014), equations 5 and 6.

    Examples
    --------
    The query points along the first key and at a right angle to the second: cosines 1 and 0. With β = ln 3 the
    weights are 3/4 and 1/4, whatever the lengths:

    >>> key, beta = np.array([[2.0, 0.0], [0.0, 7.0]]), np.array([np.log(3.0)])
    >>> output, weights = cosine(np.array([[5.0, 0.0]]), key, np.array([[8.0], [4.0]]), beta)
    >>> weights
    array([[0.75, 0.25]])
    >>> output
    array([[7.]])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, beta=beta)
    lengths = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (query, key)]
    q, k = (x / np.where(length == 0, 1, length) for x, length in zip((query, key), lengths, strict=True))
    return scaled_dot_product(q * beta[..., None], k, value, attn_mask=attn_mask, scale=1.0)


class Cosine(nn.Module):
    """`cosine` as a PyTorch module; it has no parameters.

    Examples
    --------
    >>> key, beta = torch.tensor([[2.0, 0.0], [0.0, 7.0]]), torch.tensor([3.0]).log()
    >>> Cosine()(torch.tensor([[5.0, 0.0]]), key, torch.tensor([[8.0], [4.0]]), beta)[1]
    tensor([[0.7500, 0.2500]])
    """

    def __init__(self) -> None:
        super().__init__()
        self.attend = ScaledDotProduct(scale=1.0)

    def forward(
        self,
        query: Float[Tensor, "*batch L d_k"],
        key: Float[Tensor, "*batch S d_k"],
        value: Float[Tensor, "*batch S d_v"],
        beta: Float[Tensor, "*batch L"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, beta=beta)
        q, k = unit(query) * beta.unsqueeze(-1), unit(key)
        output, weights = self.attend(q, k, value, attn_mask, need_weights)
        return output, weights


def unit(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    """Divide each row by its length; a row of zeros stays as it is."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.masked_fill(length == 0, 1)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use."""
    inputs = draw_query_key_value(rng, sizes) | {"beta": rng.uniform(1, 4, size=(*sizes.batch, sizes.L))}
    return {
        "plain": Example(inputs),
        "masked": Example({**inputs, "attn_mask": draw_mask(rng, sizes.L, sizes.S)}),
    }


MECHANISM = Mechanism(
    title="Content-based (cosine) attention",
    citation="graves2014neural",
    equation=r"s_{ij} = \beta_i\, \frac{q_i \cdot k_j}{\lVert q_i \rVert\, \lVert k_j \rVert}",
    cost=r"O(L S (d_k + d_v))",
    kind="attention",
    reference=cosine,
    module=Cosine,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative equivariant_to_query_order invariant_to_key_order linear_in_values",
        does_not_apply={
            "causal_when_asked": "queries and keys are two sequences",
            "largest_on_diagonal": "queries and keys are two sequences",
        },
    ),
    chapter="notebooks/origins/03_seven_scores",
)

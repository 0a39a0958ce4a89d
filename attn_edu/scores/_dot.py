r"""Dot-product attention: the score is the dot product itself, undivided.

.. math:: s_{ij} = q_i \cdot k_j, \qquad y_i = \sum_j \operatorname{softmax}(s_i)_j\, v_j

Source: Luong et al. (2015), section 3.1, *dot*.
"""

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value


def dot(
    query: Float[np.ndarray, "*batch L d_k"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average the values, weighted by the softmax of the dot products of queries and keys.

    Parameters
    ----------
    query : (..., L, d_k)
        What asks, one row per output wanted.
    key : (..., S, d_k)
        What is asked, of the same width.
    value : (..., S, d_v)
        What is averaged. In the paper the same as `key`.
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
    Luong et al. (2015), section 3.1.

    Examples
    --------
    The query (2, 0) has dot products ln 3 and 0 with the keys, so the weights are 3/4 and 1/4:

    >>> key = np.array([[np.log(3.0) / 2, 5.0], [0.0, 7.0]])
    >>> dot(np.array([[2.0, 0.0]]), key, np.array([[8.0], [4.0]]))
    (array([[7.]]), array([[0.75, 0.25]]))
    """
    return scaled_dot_product(query, key, value, attn_mask=attn_mask, scale=1.0)


class Dot(nn.Module):
    """`dot` as a PyTorch module; it has no parameters.

    Examples
    --------
    >>> import torch
    >>> key = torch.tensor([[0.5493061, 5.0], [0.0, 7.0]])
    >>> Dot()(torch.tensor([[2.0, 0.0]]), key, torch.tensor([[8.0], [4.0]]))[1]
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
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        output, weights = self.attend(query, key, value, attn_mask, need_weights)
        return output, weights


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use."""
    inputs = draw_query_key_value(rng, sizes)
    return {
        "plain": Example(inputs),
        "masked": Example({**inputs, "attn_mask": draw_mask(rng, sizes.L, sizes.S)}),
    }


MECHANISM = Mechanism(
    title="Dot-product attention",
    citation="luong2015effective",
    equation=r"s_{ij} = q_i \cdot k_j",
    cost=r"O(L S (d_k + d_v))",
    kind="attention",
    reference=dot,
    module=Dot,
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

r"""General attention, also called multiplicative or bilinear: a matrix stands between query and key.

.. math:: s_{ij} = q_i^\top W_a\, k_j, \qquad y_i = \sum_j \operatorname{softmax}(s_i)_j\, v_j

Source: Luong et al. (2015), section 3.1, *general*.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_width
from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value

PATTERN = "query: * L d_q, key: * S d_k, value: * S d_v, W_a: d_q d_k"


def general(
    query: Float[np.ndarray, "*batch L d_q"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    W_a: Float[np.ndarray, "d_q d_k"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average the values, weighted by the softmax of dot products in which a matrix translates the query.

    Parameters
    ----------
    query : (..., L, d_q)
        What asks, one row per output wanted.
    key : (..., S, d_k)
        What is asked; its width need not be the query's.
    value : (..., S, d_v)
        What is averaged. In the paper the same as `key`.
    W_a : (d_q, d_k)
        What each query feature is worth for each key feature. The identity makes it `dot`.
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
    W_a pairs the query's first feature with the key's second. Query (2, 0) scores ln 3 and 0:

    >>> key = np.array([[5.0, np.log(3.0) / 2], [7.0, 0.0]])
    >>> W_a = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> general(np.array([[2.0, 0.0]]), key, np.array([[8.0], [4.0]]), W_a=W_a)
    (array([[7.]]), array([[0.75, 0.25]]))
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, W_a=W_a)
    return scaled_dot_product(query @ W_a, key, value, attn_mask=attn_mask, scale=1.0)


class General(nn.Module):
    """`general` as a PyTorch module with parameter W_a.

    Parameters
    ----------
    d_query, d_key : int
        Widths of queries and keys.

    Raises
    ------
    TypeError, ValueError
        If `d_query` or `d_key` is not an integer of at least 1.

    Examples
    --------
    >>> layer = General(d_query=2, d_key=2)
    >>> _ = layer.load_state_dict({"W_a": torch.tensor([[0.0, 1.0], [1.0, 0.0]])})
    >>> key = torch.tensor([[5.0, 0.5493061], [7.0, 0.0]])
    >>> layer(torch.tensor([[2.0, 0.0]]), key, torch.tensor([[8.0], [4.0]]))[1].detach()
    tensor([[0.7500, 0.2500]])
    """

    def __init__(self, d_query: int, d_key: int) -> None:
        super().__init__()
        check_width("d_query", d_query)
        check_width("d_key", d_key)
        self.attend = ScaledDotProduct(scale=1.0)
        self.W_a = nn.Parameter(torch.empty(d_query, d_key))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W_a anew, Glorot-uniform."""
        nn.init.xavier_uniform_(self.W_a)

    def forward(
        self,
        query: Float[Tensor, "*batch L d_q"],
        key: Float[Tensor, "*batch S d_k"],
        value: Float[Tensor, "*batch S d_v"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, W_a=self.W_a)
        output, weights = self.attend(query @ self.W_a, key, value, attn_mask, need_weights)
        return output, weights


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use, with keys of width d."""
    inputs = draw_query_key_value(rng, sizes) | {"key": rng.normal(size=(*sizes.batch, sizes.S, sizes.d))}
    parameters = {"W_a": rng.normal(size=(sizes.d_k, sizes.d)) / 4}
    widths = {"d_query": sizes.d_k, "d_key": sizes.d}
    return {
        "plain": Example(inputs, parameters, {}, widths),
        "masked": Example({**inputs, "attn_mask": draw_mask(rng, sizes.L, sizes.S)}, parameters, {}, widths),
    }


MECHANISM = Mechanism(
    title="General (multiplicative) attention",
    citation="luong2015effective",
    equation=r"s_{ij} = q_i^\top W_a\, k_j",
    cost=r"O(L S (d_k + d_v) + L\, d_q d_k)",
    kind="attention",
    reference=general,
    module=General,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative equivariant_to_query_order invariant_to_key_order linear_in_values",
        does_not_apply={
            "causal_when_asked": "queries and keys are two sequences",
            "largest_on_diagonal": "queries and keys are two sequences",
        },
    ),
    refuses={"d_query": (0, 2.5), "d_key": (0, "two")},
    chapter="notebooks/origins/03_seven_scores",
)

r"""Location-based attention: the query alone says which places it wants, whatever stands there.

.. math:: y_i = \sum_j \operatorname{softmax}(W_a q_i)_j\, v_j

Source: Luong et al. (2015), section 3.1, equation 8. Row j of :math:`W_a` acts as the key of place j: one that is
learned and never reads the input. Their sentences vary in length; of a longer :math:`W_a` the first S rows serve.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_width
from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value

PATTERN = "query: * L d_q, value: * S d_v, W_a: places d_q"


def location(
    query: Float[np.ndarray, "*batch L d_q"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    W_a: Float[np.ndarray, "places d_q"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average the values, with weights that a linear layer and a softmax make of the query.

    Parameters
    ----------
    query : (..., L, d_q)
        What asks, one row per output wanted.
    value : (..., S, d_v)
        What is averaged. The weights do not depend on it.
    W_a : (places, d_q)
        One row for each place that the longest sequence may have.
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query i may attend to place j. A row without any True gives zero weights and a zero output.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values per query.
    weights : (..., L, S)
        The attention weights; row i belongs to query i.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or there are more values than rows of `W_a`.

    References
    ----------
    Luong et al. (2015), section 3.1, equation 8.

    Examples
    --------
    The query 1 scores ln 3 for the first place, 0 for the second and 9 for a third, which this sequence lacks:

    >>> W_a = np.array([[np.log(3.0)], [0.0], [9.0]])
    >>> output, weights = location(np.ones((1, 1)), np.array([[8.0], [4.0]]), W_a=W_a)
    >>> weights
    array([[0.75, 0.25]])
    >>> output
    array([[7.]])
    """
    check_arrays(np.ndarray, PATTERN, query=query, value=value, W_a=W_a)
    check_places(value.shape[-2], W_a.shape[0])
    keys = np.broadcast_to(W_a[: value.shape[-2]], (*value.shape[:-1], W_a.shape[-1]))
    return scaled_dot_product(query, keys, value, attn_mask=attn_mask, scale=1.0)


def check_places(values: int, places: int) -> None:
    """Raise a ValueError if a sequence has more places than W_a knows."""
    if values > places:
        raise ValueError(f"value: wanted at most {places} rows, as many as W_a has, got {values}")


class Location(nn.Module):
    """`location` as a PyTorch module with parameter W_a.

    Parameters
    ----------
    d_query : int
        Width of queries.
    places : int
        Length of the longest sequence.

    Raises
    ------
    TypeError, ValueError
        If `d_query` or `places` is not an integer of at least 1.

    Examples
    --------
    >>> layer = Location(d_query=1, places=3)
    >>> _ = layer.load_state_dict({"W_a": torch.tensor([[1.0986123], [0.0], [9.0]])})
    >>> layer(torch.ones(1, 1), torch.tensor([[8.0], [4.0]]))[1].detach()
    tensor([[0.7500, 0.2500]])
    """

    def __init__(self, d_query: int, places: int) -> None:
        super().__init__()
        check_width("d_query", d_query)
        check_width("places", places)
        self.attend = ScaledDotProduct(scale=1.0)
        self.W_a = nn.Parameter(torch.empty(places, d_query))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W_a anew, Glorot-uniform."""
        nn.init.xavier_uniform_(self.W_a)

    def forward(
        self,
        query: Float[Tensor, "*batch L d_q"],
        value: Float[Tensor, "*batch S d_v"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, value=value, W_a=self.W_a)
        check_places(value.shape[-2], self.W_a.shape[0])
        keys = self.W_a[: value.shape[-2]].expand(*value.shape[:-1], -1)
        output, weights = self.attend(query, keys, value, attn_mask, need_weights)
        return output, weights


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use, with h places more than the sequence has."""
    drawn = draw_query_key_value(rng, sizes)
    inputs = {name: drawn[name] for name in ("query", "value")}
    places = sizes.S + sizes.h
    parameters = {"W_a": rng.normal(size=(places, sizes.d_k)) / 2}
    widths = {"d_query": sizes.d_k, "places": places}
    return {
        "plain": Example(inputs, parameters, {}, widths),
        "masked": Example({**inputs, "attn_mask": draw_mask(rng, sizes.L, sizes.S)}, parameters, {}, widths),
    }


MECHANISM = Mechanism(
    title="Location-based attention",
    citation="luong2015effective",
    equation=r"\operatorname{softmax}(W_a q_i)",
    cost=r"O(L S (d_k + d_v))",
    kind="attention",
    reference=location,
    module=Location,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative equivariant_to_query_order linear_in_values",
        does_not_apply={
            "invariant_to_key_order": "the input makes no keys",
            "causal_when_asked": "queries and values are two sequences",
            "largest_on_diagonal": "queries and values are two sequences",
        },
    ),
    refuses={"d_query": (0, 2.5), "places": (0, "two")},
    chapter="notebooks/origins/03_seven_scores",
)

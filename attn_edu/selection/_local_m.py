r"""Local attention with monotonic alignment, local-m: the t-th query looks at the keys around place t.

.. math:: c_t = \sum_{s=t-D}^{t+D} a_t(s)\, v_s, \qquad
          a_t(s) = \frac{\exp(h_t^\top W_a \bar h_s)}{\sum_{s'=t-D}^{t+D} \exp(h_t^\top W_a \bar h_{s'})}

Source: Luong, Pham and Manning (2015), section 3.2 and equation 7, with the score *general*; W_a = I makes it *dot*.
What of a window lies outside the sentence is ignored. There is no Gaussian, and no 1/√d.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops
from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask
from attn_edu.scores import general

from ._attend_near import attend_near

PATTERN = "query: * L d_query, key: * S d_key, value: * S d_v, W_a: d_query d_key"


def local_m(
    query: Float[np.ndarray, "*batch L d_query"],
    key: Float[np.ndarray, "*batch S d_key"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    W_a: Float[np.ndarray, "d_query d_key"],
    D: int,
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Attend from the t-th query to the 2D + 1 keys around the t-th.

    Parameters
    ----------
    query : (..., L, d_query)
        One row h_t for each place of the target.
    key : (..., S, d_key)
        One row for each place of the source.
    value : (..., S, d_v)
        What those places contribute; in the paper values are the keys themselves.
    W_a : (d_query, d_key)
        The score's matrix; with the identity it is the dot product.
    D : int
        Half of the window's width: query t sees the keys from t − D to t + D.
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query t may attend to key s, besides the window.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values per query. A query more than D places after the last key sees nothing and
        gets zeros.
    weights : (..., L, S)
        The attention weights, exactly 0 outside the window.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or `D` is not an integer of at least 1.

    References
    ----------
    Luong, Pham and Manning (2015), section 3.2.

    Examples
    --------
    The third query sees keys 1, 2 and 3, and not the first. Scores 0, ln 3 and 0 make weights 1/5, 3/5 and 1/5, and
    the output is 1/5 · 10 + 3/5 · 5 = 5:

    >>> key, value = np.array([[9.0], [0.0], [np.log(3.0) / 2], [0.0]]), np.array([[70.0], [10.0], [5.0], [0.0]])
    >>> output, weights = local_m(np.ones((3, 1)), key, value, W_a=np.array([[2.0]]), D=1)
    >>> weights[2], output[2]
    (array([0. , 0.2, 0.6, 0.2]), array([5.]))
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, W_a=W_a)
    check_width("D", D)
    t, s = np.arange(query.shape[-2])[:, None], np.arange(key.shape[-2])
    allowed = np_ops.may_attend(attn_mask, False, (*query.shape[:-1], key.shape[-2]))
    return general(query, key, value, W_a=W_a, attn_mask=allowed & (t - D <= s) & (s <= t + D))


class LocalM(nn.Module):
    """`local_m` as a PyTorch module with the parameter W_a.

    Without weights, each query meets the keys of its window alone.

    Parameters
    ----------
    d_query, d_key : int
        Widths of queries and keys.
    D : int
        Half of the window's width.

    Raises
    ------
    TypeError, ValueError
        If one of them is not an integer of at least 1.

    Examples
    --------
    >>> layer = LocalM(1, 1, D=1)
    >>> _ = layer.load_state_dict({"W_a": torch.tensor([[2.0]])})
    >>> key = torch.tensor([[9.0], [0.0], [0.5493061], [0.0]])
    >>> layer(torch.ones(3, 1), key, torch.tensor([[70.0], [10.0], [5.0], [0.0]]))[0][2].detach()
    tensor([5.])
    """

    def __init__(self, d_query: int, d_key: int, D: int) -> None:
        super().__init__()
        check_width("d_query", d_query)
        check_width("d_key", d_key)
        check_width("D", D)
        self.D = D
        self.W_a = nn.Parameter(torch.empty(d_query, d_key))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the matrix anew, Glorot-uniform."""
        nn.init.xavier_uniform_(self.W_a)

    def forward(
        self,
        query: Float[Tensor, "*batch L d_query"],
        key: Float[Tensor, "*batch S d_key"],
        value: Float[Tensor, "*batch S d_v"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, W_a=self.W_a)
        t = torch.arange(query.shape[-2], device=query.device, dtype=torch.float32)
        return attend_near(query @ self.W_a, key, value, t.expand(query.shape[:-1]), self.D, attn_mask, need_weights)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw a narrow window, one with a mask, and one that holds all."""
    shapes = {"query": (sizes.L, sizes.d), "key": (sizes.S, sizes.d_k), "value": (sizes.S, sizes.d_v)}
    inputs = {name: rng.normal(size=sizes.batch + shape) for name, shape in shapes.items()}
    parameters = {"W_a": rng.normal(size=(sizes.d, sizes.d_k)) / 3}
    mask = draw_mask(rng, sizes.L, sizes.S)
    widths = {"d_query": sizes.d, "d_key": sizes.d_k}
    return {
        "narrow": Example(inputs, parameters, {"D": 2}, widths),
        "masked": Example({**inputs, "attn_mask": mask}, parameters, {"D": 1}, widths),
        "wide": Example(inputs, parameters, {"D": 40}, widths),
    }


MECHANISM = Mechanism(
    title="Local attention, monotonic (local-m)",
    citation="luong2015effective",
    equation=r"\begin{gathered} \operatorname{softmax}_{s \in N_t}(h_t^\top W_a \bar h_s) \\ "
    r"N_t = \{ s : t - D \le s \le t + D \} \end{gathered}",
    cost=r"O(L (2D + 1) (d_k + d_v) + L d d_k)",
    kind="attention",
    reference=local_m,
    module=LocalM,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative linear_in_values",
        fails="equivariant_to_query_order invariant_to_key_order",
        does_not_apply={
            "causal_when_asked": "the source is all there before the first query",
            "largest_on_diagonal": "queries and keys come from different sequences",
        },
    ),
    refuses={"D": (0, -1, 2.0, True, None), "d_query": (0, 2.5), "d_key": (-1, "3")},
    chapter="notebooks/origins/04_somewhere",
)

r"""Local attention with predictive alignment, local-p: each query says where to look, and looks around that place.

.. math:: p_t = S \cdot \sigma(v_p^\top \tanh(W_p h_t)), \qquad
          a_t(s) = \operatorname{align}(h_t, \bar h_s)\, \exp\!\left(-\frac{(s - p_t)^2}{2 (D/2)^2}\right)

Source: Luong, Pham and Manning (2015), section 3.2, equations 9 and 10. Here σ is the sigmoid, and *align* their
equation 7, the softmax of the score *general*, among the s with :math:`|s - p_t| \le D`. The Gaussian comes after
the softmax and nothing is normalised again: a row sums to less than one. Our places s are 0 to S − 1.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops
from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask

from ._attend_near import attend_near

PATTERN = "query: * L d_query, key: * S d_key, value: * S d_v, W_a: d_query d_key, W_p: n d_query, v_p: n"


def local_p(
    query: Float[np.ndarray, "*batch L d_query"],
    key: Float[np.ndarray, "*batch S d_key"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    W_a: Float[np.ndarray, "d_query d_key"],
    W_p: Float[np.ndarray, "n d_query"],
    v_p: Float[np.ndarray, " n"],
    D: int,
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Attend to the keys at most D from a place that the query predicts, the nearer the more.

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
    W_p, v_p : (n, d_query), (n,)
        The small network that predicts p_t, a real number from 0 to S.
    D : int
        Half of the window's width; the Gaussian's standard deviation is D/2.
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query t may attend to key s, besides the window. It hides keys and shortens nothing: S stays the
        number of rows of `key`, padding included, so sentences of different lengths belong in different calls.

    Returns
    -------
    output : (..., L, d_v)
        One weighted sum of values per query.
    weights : (..., L, S)
        The attention weights, exactly 0 outside the window. A row sums to less than one.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or `D` is not an integer of at least 1.

    Notes
    -----
    Unless p_t is a whole number, 2D places lie in the window, where the paper speaks of vectors of 2D + 1. Counted
    from 0, as here, S is one place after the last key; counted from 1, 0 is one place before the first. So the middle
    of the range is half a place after or before the middle of the keys, which v_p and W_p can make up for.

    References
    ----------
    Luong, Pham and Manning (2015), section 3.2.

    Examples
    --------
    W_p finds 0 in the query, so p = 3/2, the middle of [0, 3]. With D = 1 keys 1 and 2 are in the window, their scores
    are 0 and ln 3, and the softmax gives 1/4 and 3/4. Both are 1/2 from p, where the Gaussian of standard deviation
    1/2 is exp(−1/2); so the output is (1/4 · 8 + 3/4 · 4) exp(−1/2) = 5 · 0.6065:

    >>> key, value = np.array([[9.0], [0.0], [np.log(3.0)]]), np.array([[70.0], [8.0], [4.0]])
    >>> output, weights = local_p(
    ...     np.array([[1.0, 0.0]]), key, value, W_a=np.array([[1.0], [0.0]]), W_p=np.array([[0.0, 1.0]]),
    ...     v_p=np.ones(1), D=1,
    ... )
    >>> weights.round(4), output.round(4)
    (array([[0.    , 0.1516, 0.4549]]), array([[3.0327]]))
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, W_a=W_a, W_p=W_p, v_p=v_p)
    check_width("D", D)
    scores = np.einsum("...td,de,...se->...ts", query, W_a, key)
    p = key.shape[-2] / (1 + np.exp(-np.tanh(query @ W_p.T) @ v_p))
    offset = np.arange(key.shape[-2]) - p[..., None]  # s − p_t
    allowed = np_ops.may_attend(attn_mask, False, scores.shape) & (np.abs(offset) <= D)
    weights = np_ops.masked_softmax(scores, allowed) * np.exp(-(offset**2) / (2 * (D / 2) ** 2))
    return np.einsum("...ts,...sd->...td", weights, value), weights


class LocalP(nn.Module):
    """`local_p` as a PyTorch module with parameters W_a, W_p and v_p.

    Without weights, each query meets the keys of its window alone. The window's place has no gradient; the Gaussian's
    has, and trains W_p and v_p.

    Parameters
    ----------
    d_query, d_key : int
        Widths of queries and keys.
    width : int
        n, the width of the network that predicts the place.
    D : int
        Half of the window's width.

    Raises
    ------
    TypeError, ValueError
        If one of them is not an integer of at least 1.

    Examples
    --------
    >>> layer = LocalP(2, 1, width=1, D=1)
    >>> state = {"W_a": torch.eye(2)[:, :1], "W_p": torch.eye(2)[1:], "v_p": torch.ones(1)}
    >>> _ = layer.load_state_dict(state)
    >>> key = torch.tensor([[9.0], [0.0], [1.0986123]])
    >>> layer(torch.eye(2)[:1], key, torch.tensor([[70.0], [8.0], [4.0]]))[0].detach()
    tensor([[3.0327]])
    """

    def __init__(self, d_query: int, d_key: int, width: int, D: int) -> None:
        super().__init__()
        check_width("d_query", d_query)
        check_width("d_key", d_key)
        check_width("width", width)
        check_width("D", D)
        self.D = D
        self.W_a = nn.Parameter(torch.empty(d_query, d_key))
        self.W_p = nn.Parameter(torch.empty(width, d_query))
        self.v_p = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the matrices anew, Glorot-uniform, and the vector from ±1/√n."""
        nn.init.xavier_uniform_(self.W_a)
        nn.init.xavier_uniform_(self.W_p)
        bound = len(self.v_p) ** -0.5
        nn.init.uniform_(self.v_p, -bound, bound)

    def centre(self, query: Float[Tensor, "*batch L d_query"], keys: int) -> Float[Tensor, "*batch L"]:
        """Return p (..., L), the place among so many keys that each query looks at, in single precision at least."""
        check_arrays(Tensor, "query: * L d_query, W_p: n d_query", query=query, W_p=self.W_p)
        check_width("keys", keys, least=0)
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        hidden = torch.tanh(query.to(dtype) @ self.W_p.to(dtype).mT)
        return keys * torch.sigmoid(hidden @ self.v_p.to(dtype))

    def forward(
        self,
        query: Float[Tensor, "*batch L d_query"],
        key: Float[Tensor, "*batch S d_key"],
        value: Float[Tensor, "*batch S d_v"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        W_a, W_p, v_p = self.W_a, self.W_p, self.v_p
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, W_a=W_a, W_p=W_p, v_p=v_p)
        p = self.centre(query, key.shape[-2])
        return attend_near(query @ W_a, key, value, p, self.D, attn_mask, need_weights, sigma=self.D / 2)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw a narrow window, one with a mask, and one that holds all, with no key on the edge of a window.

    A query whose place is within 0.02 of a whole number is drawn again: there a key enters or leaves the window.
    """
    shapes = {"key": (sizes.S, sizes.d_k), "value": (sizes.S, sizes.d_v)}
    inputs = {name: rng.normal(size=sizes.batch + shape) for name, shape in shapes.items()}
    matrices = {"W_a": (sizes.d, sizes.d_k), "W_p": (sizes.h, sizes.d), "v_p": (sizes.h,)}
    parameters = {name: rng.normal(size=shape) / (1 if name == "v_p" else 3) for name, shape in matrices.items()}
    query = rng.normal(size=(*sizes.batch, sizes.L, sizes.d))
    for _ in range(100):
        p = sizes.S / (1 + np.exp(-np.tanh(query @ parameters["W_p"].T) @ parameters["v_p"]))
        edge = (np.abs(p - p.round()) < 0.02) & (sizes.S > 0)
        query = np.where(edge[..., None], rng.normal(size=query.shape), query)
    inputs = {"query": query, **inputs}
    mask = draw_mask(rng, sizes.L, sizes.S)
    widths = {"d_query": sizes.d, "d_key": sizes.d_k, "width": sizes.h}
    return {
        "narrow": Example(inputs, parameters, {"D": 2}, widths),
        "masked": Example({**inputs, "attn_mask": mask}, parameters, {"D": 1}, widths),
        "wide": Example(inputs, parameters, {"D": 40}, widths),
    }


MECHANISM = Mechanism(
    title="Local attention, predictive (local-p)",
    citation="luong2015effective",
    equation=r"\begin{gathered} \operatorname{softmax}_{|s - p_t| \le D}(h_t^\top W_a \bar h_s)\; "
    r"e^{-(s - p_t)^2 / 2 (D/2)^2} \\ p_t = S \cdot \sigma(v_p^\top \tanh(W_p h_t)) \end{gathered}",
    cost=r"O(L (2D + 1) (d_k + d_v) + L d d_k + L d n)",
    kind="attention",
    reference=local_p,
    module=LocalP,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="weights_not_negative equivariant_to_query_order linear_in_values",
        fails="rows_sum_to_one invariant_to_key_order",
        does_not_apply={
            "causal_when_asked": "the source is all there before the first query",
            "largest_on_diagonal": "queries and keys come from different sequences",
        },
    ),
    refuses={"D": (0, -1, 2.0, True, None), "d_query": (0, 2.5), "d_key": (-1, "3"), "width": (0, 1.5)},
    chapter="notebooks/origins/04_somewhere",
)

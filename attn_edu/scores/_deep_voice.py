r"""Deep Voice 3's attention block: queries and keys carry positions that advance at rates of their own.

.. math:: \begin{gathered}
          A = \operatorname{softmax}\bigl((Q + P^{\omega_q}) W^Q\, ((K + P^{\omega_k}) W^K)^\top\bigr), \qquad
          Y = A\, V W^V\, W^O \\
          P^{\omega}_{t,2c} = \sin\frac{\omega t}{10000^{2c/d}}, \qquad
          P^{\omega}_{t,2c+1} = \cos\frac{\omega t}{10000^{2c/d}}
          \end{gathered}

Source: Ping et al. (2018), section 3.6. Speech has more frames than text has letters; with :math:`\omega_q = 1` and
:math:`\omega_k` the number of frames for each letter, a frame and the letter that it speaks get the same position. Left
out here: biases, the dropout on A, and the window that keeps synthesis moving forward.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_positive, check_width
from attn_edu.core import ScaledDotProduct, scaled_dot_product
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask
from attn_edu.positions import SinusoidalPositions, sinusoidal_positions

PATTERN = "query: * L d, key: * S d, value: * S d_value, W_Q: d n, W_K: d n, W_V: d_value d_v, W_O: d_v d_out"


def deep_voice(
    query: Float[np.ndarray, "*batch L d"],
    key: Float[np.ndarray, "*batch S d"],
    value: Float[np.ndarray, "*batch S d_value"],
    *,
    W_Q: Float[np.ndarray, "d n"],
    W_K: Float[np.ndarray, "d n"],
    W_V: Float[np.ndarray, "d_value d_v"],
    W_O: Float[np.ndarray, "d_v d_out"],
    query_rate: float = 1.0,
    key_rate: float = 1.0,
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_out"], Float[np.ndarray, "*batch L S"]]:
    """Attend by the dot products of projected queries and keys, after adding positions at two rates.

    Parameters
    ----------
    query : (..., L, d)
        The decoder's states, in order: one for each frame of speech.
    key, value : (..., S, d), (..., S, d_value)
        What the encoder made of the text, in order: one for each letter.
    W_Q, W_K : (d, n)
        Projections of query and key. With equal ones, like positions attract each other from the start.
    W_V, W_O : (d_value, d_v), (d_v, d_out)
        Projections of values, and of their averages.
    query_rate, key_rate : float
        ω_q and ω_k: how far the position advances from one query to the next, and from one key to the next.
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query i may attend to key j. A row without any True gives zero weights and a zero output.

    Returns
    -------
    output : (..., L, d_out)
        One projected average of values per query.
    weights : (..., L, S)
        The attention weights; row i belongs to query i.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or a rate is not above 0.

    References
    ----------
    Ping et al. (2018), section 3.6.

    Examples
    --------
    Empty queries and keys of width 2, so that positions t read (sin t, cos t), and equal projections by √ln 3 each.
    Rates 1 and π: the query stands at 0 and the keys at 0 and π, the scores are ln 3 · cos 0 and ln 3 · cos π, that
    is ln 3 and −ln 3. So the weights stand 9 to 1, and the output is 0.9 · 10 = 9:

    >>> same = np.sqrt(np.log(3.0)) * np.eye(2)
    >>> output, weights = deep_voice(
    ...     np.zeros((1, 2)), np.zeros((2, 2)), np.array([[10.0], [0.0]]), W_Q=same, W_K=same, W_V=np.ones((1, 1)),
    ...     W_O=np.ones((1, 1)), key_rate=np.pi,
    ... )
    >>> weights
    array([[0.9, 0.1]])
    >>> output
    array([[9.]])
    """
    arrays = {"query": query, "key": key, "value": value, "W_Q": W_Q, "W_K": W_K, "W_V": W_V, "W_O": W_O}
    check_arrays(np.ndarray, PATTERN, **arrays)
    check_positive("query_rate", query_rate)
    check_positive("key_rate", key_rate)
    q = sinusoidal_positions(query, rate=query_rate) @ W_Q
    k = sinusoidal_positions(key, rate=key_rate) @ W_K
    context, weights = scaled_dot_product(q, k, value @ W_V, attn_mask=attn_mask, scale=1.0)
    return context @ W_O, weights


class DeepVoice(nn.Module):
    """`deep_voice` as a PyTorch module with parameters W_Q, W_K, W_V and W_O.

    Parameters
    ----------
    d_model : int
        Width of queries, keys, values and output.
    width : int
        n, the width of projected queries, keys and values.
    query_rate, key_rate : float
        ω_q and ω_k.

    Raises
    ------
    TypeError, ValueError
        If `d_model` or `width` is not an integer of at least 1, or `query_rate` or `key_rate` not above 0.

    Examples
    --------
    >>> layer = DeepVoice(d_model=2, width=2, key_rate=3.1415927)
    >>> same, eye = 1.0986123**0.5 * torch.eye(2), torch.eye(2)
    >>> _ = layer.load_state_dict({"W_Q": same, "W_K": same, "W_V": eye, "W_O": eye})
    >>> layer(torch.zeros(1, 2), torch.zeros(2, 2), torch.zeros(2, 2))[1].detach()
    tensor([[0.9000, 0.1000]])
    """

    def __init__(self, d_model: int, width: int, query_rate: float = 1.0, key_rate: float = 1.0) -> None:
        super().__init__()
        check_width("d_model", d_model)
        check_width("width", width)
        check_positive("query_rate", query_rate)
        check_positive("key_rate", key_rate)
        self.place_query = SinusoidalPositions(rate=query_rate)
        self.place_key = SinusoidalPositions(rate=key_rate)
        self.attend = ScaledDotProduct(scale=1.0)
        self.W_Q = nn.Parameter(torch.empty(d_model, width))
        self.W_K = nn.Parameter(torch.empty(d_model, width))
        self.W_V = nn.Parameter(torch.empty(d_model, width))
        self.W_O = nn.Parameter(torch.empty(width, d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections anew, Glorot-uniform; W_K starts equal to W_Q, as in the paper."""
        for weight in (self.W_Q, self.W_V, self.W_O):
            nn.init.xavier_uniform_(weight)
        with torch.no_grad():
            self.W_K.copy_(self.W_Q)

    def forward(
        self,
        query: Float[Tensor, "*batch L d"],
        key: Float[Tensor, "*batch S d"],
        value: Float[Tensor, "*batch S d"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d), and the weights (..., L, S) if `need_weights`, else None."""
        arrays = {"query": query, "key": key, "value": value}
        check_arrays(Tensor, PATTERN, **arrays, W_Q=self.W_Q, W_K=self.W_K, W_V=self.W_V, W_O=self.W_O)
        q, k = self.place_query(query) @ self.W_Q, self.place_key(key) @ self.W_K
        context, weights = self.attend(q, k, value @ self.W_V, attn_mask, need_weights)
        return context @ self.W_O, weights


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use."""
    d, n = sizes.d, sizes.d_k
    inputs = {
        "query": rng.normal(size=(*sizes.batch, sizes.L, d)),
        "key": rng.normal(size=(*sizes.batch, sizes.S, d)),
        "value": rng.normal(size=(*sizes.batch, sizes.S, d)),
    }
    parameters = {name: rng.normal(size=(d, n)) / 3 for name in ("W_Q", "W_K", "W_V")}
    parameters["W_O"] = rng.normal(size=(n, d)) / 3
    widths = {"d_model": d, "width": n}
    return {
        "plain": Example(inputs, parameters, {}, widths),
        "rates": Example(inputs, parameters, {"query_rate": 0.8, "key_rate": 1.7}, widths),
        "masked": Example({**inputs, "attn_mask": draw_mask(rng, sizes.L, sizes.S)}, parameters, {}, widths),
    }


MECHANISM = Mechanism(
    title="Deep Voice 3 attention block",
    citation="ping2018deep",
    equation=r"\begin{gathered} \operatorname{softmax}(Q' K'^\top)\, V W^V W^O \\ Q' = (Q + P^{\omega_q}) W^Q, \quad "
    r"K' = (K + P^{\omega_k}) W^K \end{gathered}",
    cost=r"O(L S n + (L + S)\, d n)",
    kind="attention",
    reference=deep_voice,
    module=DeepVoice,
    examples=examples,
    recompose=lambda weights, value, W_V, W_O, **_: weights @ (value @ W_V) @ W_O,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative linear_in_values",
        fails="equivariant_to_query_order invariant_to_key_order",
        does_not_apply={
            "causal_when_asked": "queries and keys are two sequences",
            "largest_on_diagonal": "queries and keys are two sequences",
        },
    ),
    refuses={
        "d_model": (0, 2.5),
        "width": (0, None),
        "query_rate": (0, -1.0, "fast", True),
        "key_rate": (0, float("inf"), "fast"),
    },
    chapter="notebooks/origins/03_seven_scores",
)

r"""Reversible residuals: two streams take turns, and each layer's inputs can be computed from its outputs.

.. math:: Y_1 = X_1 + F(X_2), \quad Y_2 = X_2 + G(Y_1); \qquad X_2 = Y_2 - G(Y_1), \quad X_1 = Y_1 - F(X_2)

Source: Gomez et al. (2017), section 3; with attention as F and a feed-forward network as G, Kitaev et al. (2020),
section 3. There F and G contain a layer normalisation too, left out here; `ReversibleStack` takes any F and G.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_flag, check_width
from attn_edu.core import feed_forward, self_attention
from attn_edu.mechanism import Example, Mechanism, Sizes, claims
from attn_edu.torch_ops import fused_attention

from ._reversible_stack import run

PARAMETERS = "W_Q: d d_k, W_K: d d_k, W_V: d d, W_1: d d_hidden, b_1: d_hidden, W_2: d_hidden d, b_2: d"


def reversible_residual(
    x: Float[np.ndarray, "*batch L dd"],
    *,
    W_Q: Float[np.ndarray, "d d_k"],
    W_K: Float[np.ndarray, "d d_k"],
    W_V: Float[np.ndarray, "d d"],
    W_1: Float[np.ndarray, "d d_hidden"],
    b_1: Float[np.ndarray, "d_hidden"],
    W_2: Float[np.ndarray, "d_hidden d"],
    b_2: Float[np.ndarray, "d"],
    causal: bool = False,
) -> Float[np.ndarray, "*batch L dd"]:
    """Add attention over the second stream to the first; then a feed-forward network of that sum to the second.

    Parameters
    ----------
    x : (..., L, 2d)
        X_1 and X_2, side by side.
    W_Q, W_K, W_V : (d, d_k), (d, d_k), (d, d)
        Projections of F, self-attention with one head.
    W_1, b_1, W_2, b_2 : (d, d_hidden), (d_hidden,), (d_hidden, d), (d,)
        Matrices and biases of G, a feed-forward network.
    causal : bool
        If True, position i may attend to positions j ≤ i only.

    Returns
    -------
    output : (..., L, 2d)
        Y_1 and Y_2, side by side.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape.

    References
    ----------
    Gomez et al. (2017), section 3; Kitaev et al. (2020), section 3.

    Examples
    --------
    One token attends to itself alone: F(X_2) is 3 X_2. From 5 and 2, Y_1 is 5 + 6 = 11; G(11) is half of 11 − 1, and
    Y_2 is 2 + 5 = 7. Back: 7 − 5 = 2, then 11 − 6 = 5.

    >>> one = np.ones((1, 1))
    >>> weights = {"W_Q": one, "W_K": one, "W_V": 3 * one, "W_1": one, "b_1": -one[0]}
    >>> weights |= {"W_2": one / 2, "b_2": np.zeros(1)}
    >>> reversible_residual(np.array([[5.0, 2.0]]), **weights)
    array([[11.,  7.]])
    >>> reversible_inverse(np.array([[11.0, 7.0]]), **weights)
    array([[5., 2.]])
    """
    _check(np.ndarray, "x", x=x, W_Q=W_Q, W_K=W_K, W_V=W_V, W_1=W_1, b_1=b_1, W_2=W_2, b_2=b_2)
    x_1, x_2 = np.split(x, 2, axis=-1)
    y_1 = x_1 + self_attention(x_2, W_Q=W_Q, W_K=W_K, W_V=W_V, causal=causal)[0]
    y_2 = x_2 + feed_forward(y_1, W_1=W_1, b_1=b_1, W_2=W_2, b_2=b_2)
    return np.concatenate([y_1, y_2], axis=-1)


def reversible_inverse(
    y: Float[np.ndarray, "*batch L dd"],
    *,
    W_Q: Float[np.ndarray, "d d_k"],
    W_K: Float[np.ndarray, "d d_k"],
    W_V: Float[np.ndarray, "d d"],
    W_1: Float[np.ndarray, "d d_hidden"],
    b_1: Float[np.ndarray, "d_hidden"],
    W_2: Float[np.ndarray, "d_hidden d"],
    b_2: Float[np.ndarray, "d"],
    causal: bool = False,
) -> Float[np.ndarray, "*batch L dd"]:
    """Find the input that `reversible_residual` with the same parameters made `y` of. Neither F nor G is inverted.

    Parameters
    ----------
    y : (..., L, 2d)
        Y_1 and Y_2, side by side.
    W_Q, W_K, W_V, W_1, b_1, W_2, b_2, causal
        As there.

    Returns
    -------
    x : (..., L, 2d)
        X_1 and X_2, side by side.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape.

    Examples
    --------
    With W_V = 0 and W_2 = 0 the layer adds nothing to the first stream and b_2 to the second:

    >>> one, none = np.ones((1, 1)), np.zeros((1, 1))
    >>> weights = {"W_Q": one, "W_K": one, "W_V": none, "W_1": one, "b_1": none[0], "W_2": none, "b_2": one[0]}
    >>> reversible_inverse(np.array([[4.0, 9.0]]), **weights)
    array([[4., 8.]])
    """
    _check(np.ndarray, "y", y=y, W_Q=W_Q, W_K=W_K, W_V=W_V, W_1=W_1, b_1=b_1, W_2=W_2, b_2=b_2)
    y_1, y_2 = np.split(y, 2, axis=-1)
    x_2 = y_2 - feed_forward(y_1, W_1=W_1, b_1=b_1, W_2=W_2, b_2=b_2)
    x_1 = y_1 - self_attention(x_2, W_Q=W_Q, W_K=W_K, W_V=W_V, causal=causal)[0]
    return np.concatenate([x_1, x_2], axis=-1)


def _check(kind: Any, name: str, **arrays: Any) -> None:
    check_arrays(kind, PARAMETERS + f", {name}: * L 2d", **arrays)
    if arrays[name].shape[-1] != 2 * len(arrays["W_Q"]):
        wanted = f"(*, L, 2d) with d = {len(arrays['W_Q'])} as in W_Q"
        raise ValueError(f"{name}: wanted shape {wanted}, got {tuple(arrays[name].shape)}")


class ReversibleResidual(nn.Module):
    """`reversible_residual` as a PyTorch module that keeps its output alone, as `ReversibleStack` does.

    Parameters
    ----------
    d_model, d_k, d_hidden : int
        Width d of each stream, width of queries and keys, number of hidden features.
    causal : bool
        If True, position i may attend to positions j ≤ i only.

    Raises
    ------
    TypeError, ValueError
        If a width is not an integer of at least 1, or `causal` is not a bool.

    Examples
    --------
    A token alone: 5 + 3 · 2 = 11, then 2 + (11 − 1) / 2 = 7.

    >>> layer, one = ReversibleResidual(d_model=1, d_k=1, d_hidden=1), torch.ones(1, 1)
    >>> state = {"W_Q": one, "W_K": one, "W_V": 3 * one, "W_1": one, "b_1": -one[0], "W_2": one / 2, "b_2": 0 * one[0]}
    >>> _ = layer.load_state_dict(state)
    >>> layer(torch.tensor([[5.0, 2.0]])).detach()
    tensor([[11.,  7.]])
    """

    def __init__(self, d_model: int, d_k: int, d_hidden: int, causal: bool = False) -> None:
        super().__init__()
        for name, width in (("d_model", d_model), ("d_k", d_k), ("d_hidden", d_hidden)):
            check_width(name, width)
        check_flag("causal", causal)
        self.causal = causal
        self.W_Q, self.W_K = (nn.Parameter(torch.empty(d_model, d_k)) for _ in range(2))
        self.W_V = nn.Parameter(torch.empty(d_model, d_model))
        self.W_1, self.b_1 = nn.Parameter(torch.empty(d_model, d_hidden)), nn.Parameter(torch.empty(d_hidden))
        self.W_2, self.b_2 = nn.Parameter(torch.empty(d_hidden, d_model)), nn.Parameter(torch.empty(d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the matrices anew, Glorot-uniform, and set the biases to zero."""
        for parameter in self.parameters():
            nn.init.xavier_uniform_(parameter) if parameter.ndim == 2 else nn.init.zeros_(parameter)

    def attend(self, x: Float[Tensor, "*batch L d"]) -> Float[Tensor, "*batch L d"]:
        """F: self-attention with one head."""
        query, key, value = x @ self.W_Q, x @ self.W_K, x @ self.W_V
        return fused_attention(query, key, value, None, self.causal, 1 / math.sqrt(self.W_K.shape[-1]))

    def feed(self, x: Float[Tensor, "*batch L d"]) -> Float[Tensor, "*batch L d"]:
        """G: a feed-forward network."""
        return torch.relu(x @ self.W_1 + self.b_1) @ self.W_2 + self.b_2

    def forward(self, x: Float[Tensor, "*batch L dd"]) -> Float[Tensor, "*batch L dd"]:
        """Return Y_1 and Y_2 (..., L, 2d), side by side as X_1 and X_2 are in `x`."""
        _check(Tensor, "x", x=x, **dict(self.named_parameters()))
        of_F, of_G = (self.W_Q, self.W_K, self.W_V), (self.W_1, self.b_1, self.W_2, self.b_2)
        return run(x, [(self.attend, of_F), (self.feed, of_G)], store=False)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use; no hidden feature of G is within 0.001 of the kink of its ReLU."""
    d, d_hidden = sizes.d, sizes.d_v
    widths = {"d_model": d, "d_k": sizes.d_k, "d_hidden": d_hidden}
    shapes: dict[str, tuple[int, ...]] = {"W_Q": (d, sizes.d_k), "W_K": (d, sizes.d_k), "W_V": (d, d)}
    shapes |= {"W_1": (d, d_hidden), "b_1": (d_hidden,), "W_2": (d_hidden, d), "b_2": (d,)}
    drawn = {}
    for name, causal in (("plain", False), ("causal", True)):
        least = 0.0
        while least < 1e-3:
            x = rng.normal(size=(*sizes.batch, sizes.L, 2 * d))
            p = {name: rng.normal(size=shape) for name, shape in shapes.items()}
            y_1 = reversible_residual(x, **p, causal=causal)[..., :d]
            least = np.abs(y_1 @ p["W_1"] + p["b_1"]).min(initial=1.0)
        drawn[name] = Example({"x": x}, p, {"causal": True} if causal else {}, widths)
    return drawn


MECHANISM = Mechanism(
    title="Reversible residual layer",
    citation="kitaev2020reformer",
    equation=r"Y_1 = X_1 + F(X_2), \quad Y_2 = X_2 + G(Y_1)",
    cost=r"O(L^2 d + L d^2)",
    kind="piece",
    reference=reversible_residual,
    module=ReversibleResidual,
    examples=examples,
    properties=claims(
        holds="equivariant_to_query_order causal_when_asked",
        does_not_apply={
            "rows_sum_to_one": "it returns no weights",
            "weights_not_negative": "it returns no weights",
            "invariant_to_key_order": "its keys are its queries",
            "linear_in_values": "its values are its keys",
            "largest_on_diagonal": "it returns no weights",
        },
    ),
    refuses={"causal": (1, "yes"), "d_model": (0, 2.5), "d_k": (0, "wide"), "d_hidden": (0, None)},
    chapter="notebooks/long/04_reformer",
)

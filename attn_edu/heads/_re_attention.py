r"""Re-attention: mix the attention maps across heads, normalise, and only then take the weighted sums.

.. math:: \operatorname{Norm}\!\left(
          \Theta^\top \operatorname{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right)
          \right) V

Source: Zhou et al. (2021), equation 3. Θ is h×h and learned: the new map of head g is the sum over heads n of
:math:`\Theta_{ng}` times the map of head n. In the authors' code Norm is a BatchNorm with one mean and variance per
head; much public code has a LayerNorm over the heads of each entry. After either, rows no longer sum to one.
"""

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu import np_ops
from attn_edu.checks import check_arrays, check_choice, check_positive, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_query_key_value

from ._mixed_attention import CentredProducts, MixedAttention

PATTERN = "query: * h L d_k, key: * h S d_k, value: * h S d_v, Theta: h h"
Norm = Literal["layer", "batch", "none"]
NORMS = ("layer", "batch", "none")


def re_attention(
    query: Float[np.ndarray, "*batch h L d_k"],
    key: Float[np.ndarray, "*batch h S d_k"],
    value: Float[np.ndarray, "*batch h S d_v"],
    *,
    Theta: Float[np.ndarray, "h h"],
    gain: Float[np.ndarray, " h"] | None = None,
    bias: Float[np.ndarray, " h"] | None = None,
    running_mean: Float[np.ndarray, " h"] | None = None,
    running_var: Float[np.ndarray, " h"] | None = None,
    norm: Norm = "layer",
    eps: float = 1e-5,
    training: bool = True,
) -> tuple[Float[np.ndarray, "*batch h L d_v"], Float[np.ndarray, "*batch h L S"]]:
    """Attend in every head, mix the maps across heads, normalise them, and apply them to the values.

    Parameters
    ----------
    query, key, value : (..., h, L, d_k), (..., h, S, d_k), (..., h, S, d_v)
        Q, K and V of all heads.
    Theta : (h, h)
        What head n's map (row) gives to head g's new map (column).
    gain, bias : (h,), optional
        Applied after the norm, per head; 1 and 0 if not given.
    running_mean, running_var : (h,), optional
        Statistics that a BatchNorm keeps from training, used if `training` is False.
    norm : {"layer", "batch", "none"}
        "layer": over the heads of each entry (i, j). "batch": for each head over all its entries, batch included.
    eps : float
        Added to the variance.
    training : bool
        Whether "batch" takes its statistics from these maps, or those it is given.

    Returns
    -------
    output : (..., h, L, d_v)
        The new maps times the values.
    weights : (..., h, L, S)
        The new maps.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or `norm` is none of the three.

    References
    ----------
    Zhou et al. (2021), equation 3.

    Examples
    --------
    Two heads of one query and two keys, scores (0, ln 3) and (0, 0): their maps are (1/4, 3/4) and (1/2, 1/2). Θ turns
    the second into their difference and keeps the first:

    >>> query, key = np.ones((2, 1, 1)), np.array([[[0.0], [np.log(3.0)]], [[0.0], [0.0]]])
    >>> value = np.array([[[8.0], [0.0]], [[8.0], [0.0]]])
    >>> output, weights = re_attention(query, key, value, Theta=np.array([[1.0, 1.0], [0.0, -1.0]]), norm="none")
    >>> weights
    array([[[ 0.25,  0.75]],
    <BLANKLINE>
           [[-0.25,  0.25]]])
    >>> output.ravel()
    array([ 2., -2.])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, Theta=Theta)
    for name, array in (("gain", gain), ("bias", bias), ("running_mean", running_mean), ("running_var", running_var)):
        if array is not None:
            check_arrays(np.ndarray, f"Theta: h g, {name}: h", **{"Theta": Theta, name: array})
    check_choice("norm", norm, NORMS)
    check_positive("eps", eps)
    scores = np.einsum("...id,...jd->...ij", query, key) / math.sqrt(query.shape[-1])
    maps = np_ops.masked_softmax(scores, np.ones(scores.shape, dtype=bool))
    maps = np.einsum("ng,...nij->...gij", Theta, maps)
    if norm != "none":
        others = tuple(axis for axis in range(maps.ndim) if axis != maps.ndim - 3)
        axes = others if norm == "batch" else (-3,)
        if norm == "batch" and not training:
            if running_mean is None or running_var is None:
                raise ValueError("running_mean, running_var: wanted both where training is False, got None")
            mean, var = running_mean[:, None, None], running_var[:, None, None]
        else:
            count = max(1, math.prod(maps.shape[axis] for axis in axes))
            mean = maps.sum(axes, keepdims=True) / count
            var = np.square(maps - mean).sum(axes, keepdims=True) / count
        maps = (maps - mean) / np.sqrt(var + eps)
        maps = maps * (1 if gain is None else gain[:, None, None]) + (0 if bias is None else bias[:, None, None])
    return np.einsum("...ij,...jd->...id", maps, value), maps


class ReAttention(nn.Module):
    """`re_attention` as a PyTorch module with parameters Theta, gain and bias.

    Without weights the maps are made for a block of queries at a time, and made again on the way back, so that they
    are never all held. A BatchNorm takes two passes over the blocks in training. Theta begins as the identity with a
    little noise, since with equal rows the heads would stay alike.

    Parameters
    ----------
    heads : int
        h.
    norm : {"layer", "batch", "none"}
        See `re_attention`. "batch" keeps running_mean and running_var, with a momentum of 0.1, for evaluation.
    eps : float
        Added to the variance.

    Raises
    ------
    TypeError, ValueError
        If `heads` is not an integer of at least 1, `norm` none of the three, or `eps` not above 0.

    Examples
    --------
    >>> layer = ReAttention(heads=2, norm="none")
    >>> _ = layer.load_state_dict({"Theta": torch.tensor([[1.0, 1.0], [0.0, -1.0]])})
    >>> key = torch.tensor([[[0.0], [1.0986123]], [[0.0], [0.0]]])
    >>> layer(torch.ones(2, 1, 1), key, torch.tensor([[8.0], [0.0]]).expand(2, 2, 1))[0].flatten().detach()
    tensor([ 2., -2.])
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, heads: int, norm: Norm = "layer", eps: float = 1e-5) -> None:
        super().__init__()
        check_width("heads", heads)
        check_choice("norm", norm, NORMS)
        check_positive("eps", eps)
        self.norm, self.eps = norm, eps
        self.Theta = nn.Parameter(torch.empty(heads, heads))
        if norm != "none":
            self.gain, self.bias = nn.Parameter(torch.ones(heads)), nn.Parameter(torch.zeros(heads))
        if norm == "batch":
            self.register_buffer("running_mean", torch.zeros(heads))
            self.register_buffer("running_var", torch.ones(heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set Theta to the identity and noise of standard deviation 0.1."""
        nn.init.normal_(self.Theta, std=0.1)
        with torch.no_grad():
            self.Theta.diagonal().add_(1)

    def forward(
        self,
        query: Float[Tensor, "*batch h L d_k"],
        key: Float[Tensor, "*batch h S d_k"],
        value: Float[Tensor, "*batch h S d_v"],
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch h L d_v"], Float[Tensor, "*batch h L S"] | None]:
        """Return the output (..., h, L, d_v), and the new maps (..., h, L, S) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, Theta=self.Theta)
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        Theta, q, k, v = (x.to(dtype) for x in (self.Theta, query / math.sqrt(query.shape[-1]), key, value))
        scale, shift = torch.ones_like(Theta[0]), torch.zeros_like(Theta[0])
        if self.norm == "layer":
            Theta = Theta - Theta.mean(1, keepdim=True)  # so that mixed maps have mean 0 over heads
            scale, shift = self.gain.to(dtype), self.bias.to(dtype)
        elif self.norm == "batch":
            scale, shift = self.batch_norm(Theta, q, k)
        eps = self.eps if self.norm == "layer" else None
        if not need_weights:
            flat = (x.reshape(math.prod(x.shape[:-3]), *x.shape[-3:]) for x in (q, k, v))
            output = MixedAttention.apply(*flat, Theta, scale, shift, eps)
            return output.reshape(*query.shape[:-1], value.shape[-1]).to(value.dtype), None
        maps = (Theta.mT @ (q @ k.mT).softmax(-1).flatten(-2)).unflatten(-1, (q.shape[-2], k.shape[-2]))
        if eps is not None:
            maps = maps * torch.rsqrt(maps.square().mean(-3, keepdim=True) + eps)
        maps = (maps * scale[:, None, None] + shift[:, None, None]).to(value.dtype)
        return maps @ value, maps

    def batch_norm(self, Theta: Tensor, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the BatchNorm multiplies by and adds, and in training keep its running statistics up.

        A map's rows sum to one, so the mean of head g's mixed map is the sum of Theta's column g over S. Its variance
        follows from the products of the centred maps, an h×h matrix that is summed block by block.
        """
        if self.training:
            count = query[..., 0, :, 0].numel() * key.shape[-2]
            mean = Theta.sum(0) / max(key.shape[-2], 1)
            flat = (x.reshape(math.prod(x.shape[:-3]), *x.shape[-3:]) for x in (query, key))
            var = torch.einsum("ng,nm,mg->g", Theta, CentredProducts.apply(*flat), Theta) / max(count, 1)
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), 0.1)
                self.running_var.lerp_((var * count / max(count - 1, 1)).to(self.running_var.dtype), 0.1)
        else:
            mean, var = self.running_mean.to(Theta.dtype), self.running_var.to(Theta.dtype)
        scale = self.gain.to(Theta.dtype) * torch.rsqrt(var + self.eps)
        return scale, self.bias.to(Theta.dtype) - mean * scale


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each norm, BatchNorm in training and in evaluation."""
    heads = Sizes((*sizes.batch, sizes.h), sizes.L, sizes.S, sizes.h, sizes.d, sizes.d_k, sizes.d_v)
    arrays = draw_query_key_value(rng, heads)
    mixing = {"Theta": rng.normal(size=(sizes.h, sizes.h))}
    normed = {**mixing, "gain": rng.uniform(0.5, 2, size=sizes.h), "bias": rng.normal(size=sizes.h)}
    kept = {"running_mean": rng.normal(size=sizes.h), "running_var": rng.uniform(0.5, 2, size=sizes.h)}
    widths = {"heads": sizes.h}
    return {
        "layer": Example(arrays, normed, widths=widths),
        "none": Example(arrays, mixing, {"norm": "none"}, widths),
        "batch": Example(arrays, {**normed, **kept}, {"norm": "batch"}, widths, training=True),
        "evaluated": Example(arrays, {**normed, **kept}, {"norm": "batch"}, widths, training=False),
    }


def recompose(weights: np.ndarray, value: np.ndarray, **_: np.ndarray) -> np.ndarray:
    """Rebuild the output from the new maps: the weighted sum of the values."""
    return weights @ value


MECHANISM = Mechanism(
    title="Re-attention",
    citation="zhou2021deepvit",
    equation=r"\operatorname{Norm}\!\left(\Theta^\top \operatorname{softmax}\!\left("
    r"\frac{QK^\top}{\sqrt{d_k}}\right)\right) V",
    cost=r"O(h L S (d_k + d_v + h))",
    kind="attention",
    reference=re_attention,
    module=ReAttention,
    examples=examples,
    recompose=recompose,
    properties=claims(
        holds="equivariant_to_query_order invariant_to_key_order linear_in_values",
        fails="rows_sum_to_one weights_not_negative",
        does_not_apply={
            "largest_on_diagonal": "queries and keys may come from different places",
            "causal_when_asked": "it was made for images, which have no order",
        },
    ),
    refuses={"heads": (0, 1.5), "norm": ("batchnorm", None, 1), "eps": (0, -1.0, "small")},
    chapter="notebooks/vision/02_attention_collapse",
)

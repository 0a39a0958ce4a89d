r"""Attention with linear biases (ALiBi): every step of distance costs a score a fixed amount, each head its own.

.. math:: w_{n,ij} = \operatorname{softmax}_j\!\left(\frac{q_{n,i} \cdot k_{n,j}}{\sqrt{d_k}} - m_n\, |i - j|\right),
          \qquad m_n = 2^{-8n/h}

Source: Press et al. (2022), section 3. The paper's models are causal, so its distance is i − j. For models that look
both ways its first author starts from the two-sided |i − j| (issue 5 of the paper's repository). The slopes m are fixed
before training. The paper states them as a geometric sequence; its code takes another one where h is no power of two.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays, check_flag, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value

PATTERN = "query: * h L d_k, key: * h S d_k, value: * h S d_v, slopes: h"


def alibi(
    query: Float[np.ndarray, "*batch h L d_k"],
    key: Float[np.ndarray, "*batch h S d_k"],
    value: Float[np.ndarray, "*batch h S d_v"],
    *,
    slopes: Float[np.ndarray, " h"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
    causal: bool = False,
) -> tuple[Float[np.ndarray, "*batch h L d_v"], Float[np.ndarray, "*batch h L S"]]:
    """Attend by scaled dot products less a head's slope times the distance.

    Parameters
    ----------
    query, key, value : (..., h, L, d_k), (..., h, S, d_k), (..., h, S, d_v)
        Q, K and V of all heads. Query i and key j stand at positions i and j.
    slopes : (h,)
        m, what a step of distance costs in each head.
    attn_mask : bool array that broadcasts to (..., h, L, S), optional
        True where query i may attend to key j.
    causal : bool
        If True, query i may attend to keys j ≤ i only, besides what the mask says.

    Returns
    -------
    output : (..., h, L, d_v)
        One weighted average of values per head and query.
    weights : (..., h, L, S)
        The attention weights.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape.

    References
    ----------
    Press et al. (2022), section 3.

    Examples
    --------
    Scores of zero, slope ln 2, three keys. Query 0 is 0, 1 and 2 steps away: exponentials 1, 1/2 and 1/4, weights 4/7,
    2/7 and 1/7, and with values 7, 0 and 14 the output is 4 + 2 = 6:

    >>> none, value = np.zeros((1, 3, 1)), np.array([[[7.0], [0.0], [14.0]]])
    >>> output, weights = alibi(none, none, value, slopes=np.log([2.0]))
    >>> weights[0, 0] * 7
    array([4., 2., 1.])
    >>> output[0, 0]
    array([6.])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, slopes=slopes)
    scores = np.einsum("...id,...jd->...ij", query, key) / math.sqrt(query.shape[-1])
    i, j = np.arange(query.shape[-2]), np.arange(key.shape[-2])
    scores = scores - slopes[:, None, None] * np.abs(i[:, None] - j)
    weights = np_ops.masked_softmax(scores, np_ops.may_attend(attn_mask, causal, scores.shape))
    return np.einsum("...ij,...jd->...id", weights, value), weights


class Alibi(nn.Module):
    """`alibi` as a PyTorch module with the buffer slopes, which is not trained.

    Parameters
    ----------
    heads : int
        h; head n of 1 to h has the slope 2^(−8n/h).
    causal : bool
        If True, query i may attend to keys j ≤ i only.

    Raises
    ------
    TypeError, ValueError
        If `heads` is not an integer of at least 1 or `causal` not a bool.

    Examples
    --------
    >>> layer = Alibi(heads=4)
    >>> layer.slopes
    tensor([0.2500, 0.0625, 0.0156, 0.0039])
    >>> none, value = torch.zeros(4, 3, 1), torch.tensor([7.0, 0.0, 14.0]).expand(4, 3)[..., None]
    >>> _ = layer.slopes.fill_(math.log(2))
    >>> layer(none, none, value)[0][0, 0]
    tensor([6.])
    """

    slopes: Tensor

    def __init__(self, heads: int, causal: bool = False) -> None:
        super().__init__()
        check_width("heads", heads)
        check_flag("causal", causal)
        self.causal = causal
        self.register_buffer("slopes", torch.exp2(-8 * torch.arange(1, heads + 1) / heads))

    def forward(
        self,
        query: Float[Tensor, "*batch h L d_k"],
        key: Float[Tensor, "*batch h S d_k"],
        value: Float[Tensor, "*batch h S d_v"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch h L d_v"], Float[Tensor, "*batch h L S"] | None]:
        """Return the output (..., h, L, d_v), and the weights (..., h, L, S) if `need_weights`, else None."""
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, slopes=self.slopes)
        scale = 1 / math.sqrt(query.shape[-1])
        i, j = (torch.arange(x.shape[-2], device=query.device) for x in (query, key))
        bias = -self.slopes[:, None, None] * (i[:, None] - j).abs()  # (h, L, S): one for the whole batch
        if not need_weights:
            return torch_ops.fused_attention(query, key, value, attn_mask, self.causal, scale, bias), None
        scores = (query * scale) @ key.mT + bias
        allowed = torch_ops.may_attend(attn_mask, self.causal, scores.shape, query.device)
        weights = torch_ops.masked_softmax(scores, allowed)
        return weights @ value, weights


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use."""
    heads = Sizes((*sizes.batch, sizes.h), sizes.L, sizes.S, sizes.h, sizes.d, sizes.d_k, sizes.d_v)
    arrays = draw_query_key_value(rng, heads)
    parameters = {"slopes": rng.uniform(0.1, 1.0, size=sizes.h)}
    mask, widths = draw_mask(rng, sizes.L, sizes.S), {"heads": sizes.h}
    return {
        "plain": Example(arrays, parameters, widths=widths),
        "causal": Example(arrays, parameters, {"causal": True}, widths),
        "masked": Example({**arrays, "attn_mask": mask}, parameters, widths=widths),
    }


def recompose(weights: np.ndarray, value: np.ndarray, **_: np.ndarray) -> np.ndarray:
    """Rebuild the output from the weights: the weighted sum of the values."""
    return weights @ value


MECHANISM = Mechanism(
    title="Attention with linear biases (ALiBi)",
    citation="press2022train",
    equation=r"\operatorname{softmax}_j\!\left(\frac{q_i \cdot k_j}{\sqrt{d_k}} - m\, |i - j|\right)",
    cost=r"O(L S (d_k + d_v))",
    kind="attention",
    reference=alibi,
    module=Alibi,
    examples=examples,
    recompose=recompose,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative causal_when_asked linear_in_values",
        fails="equivariant_to_query_order invariant_to_key_order",
        does_not_apply={"largest_on_diagonal": "queries and keys may come from different places"},
    ),
    refuses={"causal": (1, "yes", None), "heads": (0, 2.0, "two")},
    chapter="notebooks/foundations/08_order",
)

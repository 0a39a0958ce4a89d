r"""Relative positions: a learned vector for every offset, beside the key and beside the value.

.. math:: e_{ij} = \frac{q_i \cdot (k_j + a^K_{r})}{\sqrt{d_k}}, \qquad
          y_i = \sum_j w_{ij}\, (v_j + a^V_{r}), \qquad r = \operatorname{clip}(j - i,\, -k,\, k)

Source: Shaw et al. (2018), equations 3 and 4, and the clipping of their section 3.2. The table's first row belongs to
offset −k. The same tables serve all heads here; the paper's base model learns its own for each layer and head.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays, check_flag, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value

PATTERN = "query: * L d_k, key: * S d_k, value: * S d_v, a_K: offsets d_k, a_V: offsets d_v"


def relative_attention(
    query: Float[np.ndarray, "*batch L d_k"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    a_K: Float[np.ndarray, "offsets d_k"],
    a_V: Float[np.ndarray, "offsets d_v"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
    causal: bool = False,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Attend with a vector for the offset added to every key and every value.

    Parameters
    ----------
    query, key, value : (..., L, d_k), (..., S, d_k), (..., S, d_v)
        Q, K and V. Query i and key j stand at positions i and j.
    a_K, a_V : (2k + 1, d_k), (2k + 1, d_v)
        What offsets −k to k add to a key and to a value. Larger offsets take the nearest row.
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query i may attend to key j.
    causal : bool
        If True, query i may attend to keys j ≤ i only, besides what the mask says.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values, offsets added, per query.
    weights : (..., L, S)
        The attention weights.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or there is an even number of offsets.

    References
    ----------
    Shaw et al. (2018), equations 3 and 4.

    Examples
    --------
    k = 1, keys of zero, queries 1, and a_K = (0, 0, ln 3) for the offsets −1, 0 and 1. So query 0 of two gives weights
    1/4 and 3/4. The values are 8 and 0, and a_V adds 4 at offset 1: the output is 8/4 + 3/4 · 4 = 5:

    >>> a_K, a_V = np.array([[0.0], [0.0], [np.log(3.0)]]), np.array([[0.0], [0.0], [4.0]])
    >>> value = np.array([[8.0], [0.0]])
    >>> output, weights = relative_attention(np.ones((2, 1)), np.zeros((2, 1)), value, a_K=a_K, a_V=a_V)
    >>> weights[0], output[0]
    (array([0.25, 0.75]), array([5.]))
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, a_K=a_K, a_V=a_V)
    check_odd(len(a_K))
    k = len(a_K) // 2
    row = np.clip(np.arange(key.shape[-2]) - np.arange(query.shape[-2])[:, None], -k, k) + k
    moved_keys, moved_values = key[..., None, :, :] + a_K[row], value[..., None, :, :] + a_V[row]
    scores = np.einsum("...id,...ijd->...ij", query, moved_keys) / math.sqrt(query.shape[-1])
    weights = np_ops.masked_softmax(scores, np_ops.may_attend(attn_mask, causal, scores.shape))
    return np.einsum("...ij,...ijd->...id", weights, moved_values), weights


def check_odd(offsets: int) -> None:
    """Check that a table of offsets runs from −k to k."""
    if offsets % 2 == 0:
        raise ValueError(f"a_K, a_V: wanted an odd number of rows, for the offsets −k to k, got {offsets}")


class RelativeAttention(nn.Module):
    """`relative_attention` as a PyTorch module with parameters a_K and a_V.

    The vectors of the offsets are never laid out for every pair: queries meet the 2k + 1 rows of a_K in one product,
    and the weights are summed by offset before they meet a_V. Both paths hold the L×S scores, since the sums need
    the weights.

    Parameters
    ----------
    d_k, d_v : int
        Widths of keys and values.
    clip : int
        k, the largest offset with a vector of its own.
    causal : bool
        If True, query i may attend to keys j ≤ i only.

    Raises
    ------
    TypeError, ValueError
        If a width is not an integer of at least 1, or `causal` is not a bool.

    Examples
    --------
    >>> layer = RelativeAttention(d_k=1, d_v=1, clip=1)
    >>> a_K, a_V = torch.tensor([[0.0], [0.0], [1.0986123]]), torch.tensor([[0.0], [0.0], [4.0]])
    >>> _ = layer.load_state_dict({"a_K": a_K, "a_V": a_V})
    >>> layer(torch.ones(2, 1), torch.zeros(2, 1), torch.tensor([[8.0], [0.0]]))[0][0].detach()
    tensor([5.])
    """

    def __init__(self, d_k: int, d_v: int, clip: int, causal: bool = False) -> None:
        super().__init__()
        for name, width in (("d_k", d_k), ("d_v", d_v), ("clip", clip)):
            check_width(name, width)
        check_flag("causal", causal)
        self.causal = causal
        self.a_K = nn.Parameter(torch.empty(2 * clip + 1, d_k))
        self.a_V = nn.Parameter(torch.empty(2 * clip + 1, d_v))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both tables anew, Glorot-uniform."""
        for table in self.parameters():
            nn.init.xavier_uniform_(table)

    def forward(
        self,
        query: Float[Tensor, "*batch L d_k"],
        key: Float[Tensor, "*batch S d_k"],
        value: Float[Tensor, "*batch S d_v"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        a_K, a_V = self.a_K, self.a_V
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, a_K=a_K, a_V=a_V)
        k, device = len(a_K) // 2, query.device
        i, j = (torch.arange(x.shape[-2], device=device) for x in (query, key))
        row = (j - i[:, None]).clamp(-k, k) + k  # (L, S)
        query = query / math.sqrt(query.shape[-1])
        scores = query @ key.mT  # (..., L, S)
        row = row.expand(scores.shape)
        scores = scores + (query @ a_K.mT).gather(-1, row)
        weights = torch_ops.masked_softmax(scores, torch_ops.may_attend(attn_mask, self.causal, scores.shape, device))
        exact = weights.double() if weights.dtype == torch.float64 else weights.float()
        by_offset = exact.new_zeros(*scores.shape[:-1], len(a_K)).scatter_add(-1, row, exact).to(weights.dtype)
        return weights @ value + by_offset @ a_V, weights if need_weights else None


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use, with offsets clipped at 2."""
    arrays = draw_query_key_value(rng, sizes)
    parameters = {"a_K": rng.normal(size=(5, sizes.d_k)), "a_V": rng.normal(size=(5, sizes.d_v))}
    mask, widths = draw_mask(rng, sizes.L, sizes.S), {"d_k": sizes.d_k, "d_v": sizes.d_v, "clip": 2}
    return {
        "plain": Example(arrays, parameters, widths=widths),
        "causal": Example(arrays, parameters, {"causal": True}, widths),
        "masked": Example({**arrays, "attn_mask": mask}, parameters, widths=widths),
    }


def recompose(weights: np.ndarray, value: np.ndarray, a_V: np.ndarray, **_: np.ndarray) -> np.ndarray:
    """Rebuild the output pair by pair: each weight times the value and its offset's vector."""
    k = len(a_V) // 2
    output = weights @ value
    for i, j in np.ndindex(weights.shape[-2:]):
        output[..., i, :] += weights[..., i, j, None] * a_V[min(max(j - i, -k), k) + k]
    return output


MECHANISM = Mechanism(
    title="Relative positions",
    citation="shaw2018relative",
    equation=r"\begin{aligned} e_{ij} &= q_i \cdot (k_j + a^K_r) / \sqrt{d_k} \\ "
    r"y_i &= \textstyle\sum_j w_{ij}\, (v_j + a^V_r) \\ r &= \operatorname{clip}(j - i, -k, k) \end{aligned}",
    cost=r"O(L S (d_k + d_v))",
    kind="attention",
    reference=relative_attention,
    module=RelativeAttention,
    examples=examples,
    recompose=recompose,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative causal_when_asked",
        fails="equivariant_to_query_order invariant_to_key_order linear_in_values",
        does_not_apply={"largest_on_diagonal": "queries and keys may come from different places"},
    ),
    refuses={"causal": (1, "yes", None), "d_k": (0, 2.5), "d_v": (0, 2.5), "clip": (0, "two", 1.5)},
    chapter="notebooks/foundations/08_order",
)

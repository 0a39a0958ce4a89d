r"""Location-sensitive attention: the score also sees where the step before looked.

.. math:: f_i = F * \alpha_{i-1}, \qquad
          e_{ij} = w^\top \tanh(W q_i + V k_j + U f_{ij} + b), \qquad \alpha_i = \operatorname{softmax}(e_i)

Source: Chorowski et al. (2015), equations 8 and 9. There the query is the recurrent state :math:`s_{i-1}`, and key and
value are both the annotation :math:`h_j`. With U = 0 and b = 0 it is `additive`.
"""

import math

import numpy as np
import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims, draw_mask, draw_query_key_value

from ._additive import attend_in_slabs

PATTERN = (
    "query: * L d_q, key: * S d_k, value: * S d_v, previous: * L S, "
    "W: n d_q, V: n d_k, U: n filters, F: filters r, w: n, b: n"
)


def location_sensitive(
    query: Float[np.ndarray, "*batch L d_q"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    previous: Float[np.ndarray, "*batch L S"],
    *,
    W: Float[np.ndarray, "n d_q"],
    V: Float[np.ndarray, "n d_k"],
    U: Float[np.ndarray, "n filters"],
    F: Float[np.ndarray, "filters r"],
    w: Float[np.ndarray, "n"],
    b: Float[np.ndarray, "n"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average the values, weighted by a network that sees query, key and the last weights around the key's place.

    Parameters
    ----------
    query : (..., L, d_q)
        What asks, one row per output wanted. A decoder asks once a step, so that L = 1.
    key : (..., S, d_k)
        What is asked.
    value : (..., S, d_v)
        What is averaged. In the paper the same as `key`.
    previous : (..., L, S)
        For each query the attention weights of the step before it. Tacotron 2 passes the sum over all steps before.
    W, V : (n, d_q), (n, d_k)
        From query and key to n hidden units. As in the paper they multiply columns.
    U : (n, filters)
        From the filters' readings to the hidden units.
    F : (filters, r)
        Filters that slide along `previous`; r is odd, and the middle entry meets the key's own place. They slide as
        drawn, not turned round, and meet zeros beyond the ends.
    w, b : (n,), (n,)
        From the hidden units to one score, and their bias.
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
        If an argument has the wrong type, dtype or shape, or the filters' width r is even.

    References
    ----------
    Chorowski et al. (2015), equations 8 and 9; Shen et al. (2018) for Tacotron 2.

    Examples
    --------
    Three keys alike, and the step before looked at the first. The filter (1, 0, 0) reads what stands one place to the
    left, so it reads 0, 1, 0: the second key scores ln 2 and the others 0. The weights are 1/4, 1/2, 1/4:

    >>> zero, one = np.zeros((1, 1)), np.ones((1, 1))
    >>> output, weights = location_sensitive(
    ...     zero, np.zeros((3, 1)), np.array([[4.0], [8.0], [0.0]]), np.array([[1.0, 0.0, 0.0]]), W=one, V=one, U=one,
    ...     F=np.array([[1.0, 0.0, 0.0]]), w=np.array([np.log(2.0) / np.tanh(1.0)]), b=np.zeros(1),
    ... )
    >>> weights
    array([[0.25, 0.5 , 0.25]])
    >>> output
    array([[5.]])
    """
    arrays = {"query": query, "key": key, "value": value, "previous": previous}
    check_arrays(np.ndarray, PATTERN, **arrays, W=W, V=V, U=U, F=F, w=w, b=b)
    check_odd(F.shape[1])
    half, places = F.shape[1] // 2, key.shape[-2]
    padded = np.pad(previous, [(0, 0)] * (previous.ndim - 1) + [(half, half)])
    readings = sum(padded[..., m : m + places, None] * F[:, m] for m in range(F.shape[1]))
    hidden = np.tanh((query @ W.T)[..., :, None, :] + (key @ V.T)[..., None, :, :] + readings @ U.T + b)
    scores = hidden @ w
    weights = np_ops.masked_softmax(scores, np_ops.may_attend(attn_mask, False, scores.shape))
    return np.einsum("...ij,...jd->...id", weights, value), weights


def check_odd(width: int) -> None:
    """Raise a ValueError if a filter has no middle."""
    if width % 2 == 0:
        raise ValueError(f"F: wanted filters of odd width, so that one entry is the middle, got {width}")


class LocationSensitive(nn.Module):
    """`location_sensitive` as a PyTorch module with parameters W, V, U, F, w and b.

    Parameters
    ----------
    d_query, d_key : int
        Widths of queries and keys.
    width : int
        n, the number of hidden units.
    filters, kernel_size : int
        Number of filters, and their width r, which is odd.

    Raises
    ------
    TypeError, ValueError
        If `d_query`, `d_key`, `width`, `filters` or `kernel_size` is not an integer of at least 1, or `kernel_size`
        is even.

    Examples
    --------
    >>> layer = LocationSensitive(d_query=1, d_key=1, width=1, filters=1, kernel_size=3)
    >>> one, zero = torch.ones(1, 1), torch.zeros(1)
    >>> w = torch.tensor([0.6931472 / 0.7615942])
    >>> F = torch.tensor([[1.0, 0.0, 0.0]])
    >>> _ = layer.load_state_dict({"W": one, "V": one, "U": one, "F": F, "w": w, "b": zero})
    >>> keys, previous = torch.zeros(3, 1), torch.tensor([[1.0, 0.0, 0.0]])
    >>> layer(torch.zeros(1, 1), keys, torch.tensor([[4.0], [8.0], [0.0]]), previous)[1].detach()
    tensor([[0.2500, 0.5000, 0.2500]])
    """

    def __init__(self, d_query: int, d_key: int, width: int, filters: int, kernel_size: int) -> None:
        super().__init__()
        sizes = {"d_query": d_query, "d_key": d_key, "width": width, "filters": filters, "kernel_size": kernel_size}
        for name, size in sizes.items():
            check_width(name, size)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: wanted an odd number, got {kernel_size}")
        self.W = nn.Parameter(torch.empty(width, d_query))
        self.V = nn.Parameter(torch.empty(width, d_key))
        self.U = nn.Parameter(torch.empty(width, filters))
        self.F = nn.Parameter(torch.empty(filters, kernel_size))
        self.w = nn.Parameter(torch.empty(width))
        self.b = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the matrices anew, Glorot-uniform, and w uniformly from ±1/√n; b starts at 0."""
        for matrix in (self.W, self.V, self.U, self.F):
            nn.init.xavier_uniform_(matrix)
        bound = 1 / math.sqrt(len(self.w))
        nn.init.uniform_(self.w, -bound, bound)
        nn.init.zeros_(self.b)

    def forward(
        self,
        query: Float[Tensor, "*batch L d_q"],
        key: Float[Tensor, "*batch S d_k"],
        value: Float[Tensor, "*batch S d_v"],
        previous: Float[Tensor, "*batch L S"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        arrays = {"query": query, "key": key, "value": value, "previous": previous}
        matrices = {"W": self.W, "V": self.V, "U": self.U, "F": self.F, "w": self.w, "b": self.b}
        check_arrays(Tensor, PATTERN, **arrays, **matrices)
        keys, places = (key @ self.V.mT + self.b).unsqueeze(-3), key.shape[-2]

        def attend(query: Tensor, previous: Tensor, allowed: Tensor | None) -> tuple[Tensor, Tensor]:
            lines = previous.reshape(math.prod(previous.shape[:-1]), 1, places)
            if lines.numel():
                readings = nnf.conv1d(lines, self.F.unsqueeze(1), padding=self.F.shape[1] // 2).mT
            else:
                readings = lines.mT.expand(-1, -1, len(self.F))
            seen = (readings @ self.U.mT).reshape(*previous.shape, len(self.U))
            hidden = query.unsqueeze(-2) + keys + seen
            weights = torch_ops.masked_softmax(hidden.tanh() @ self.w, allowed)
            return weights @ value, weights

        allowed = torch_ops.may_attend(attn_mask, False, previous.shape, query.device)
        return attend_in_slabs(attend, (query @ self.W.mT, previous), allowed, places, need_weights)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use, with h·d hidden units, h filters 5 places wide, and keys of width d."""
    inputs = draw_query_key_value(rng, sizes) | {"key": rng.normal(size=(*sizes.batch, sizes.S, sizes.d))}
    inputs["previous"] = rng.normal(size=(*sizes.batch, sizes.L, sizes.S))
    n = sizes.h * sizes.d
    shapes = {"W": (n, sizes.d_k), "V": (n, sizes.d), "U": (n, sizes.h), "F": (sizes.h, 5), "w": (n,), "b": (n,)}
    parameters = {name: rng.normal(size=shape) / 2 for name, shape in shapes.items()}
    widths = {"d_query": sizes.d_k, "d_key": sizes.d, "width": n, "filters": sizes.h, "kernel_size": 5}
    return {
        "plain": Example(inputs, parameters, {}, widths),
        "masked": Example({**inputs, "attn_mask": draw_mask(rng, sizes.L, sizes.S)}, parameters, {}, widths),
    }


MECHANISM = Mechanism(
    title="Location-sensitive attention",
    citation="chorowski2015attention",
    equation=r"\begin{gathered} f_i = F * \alpha_{i-1} \\ "
    r"e_{ij} = w^\top \tanh(W q_i + V k_j + U f_{ij} + b) \end{gathered}",
    cost=r"O(L S (f r + f n + d_v) + (L + S)\, d n)",
    kind="attention",
    reference=location_sensitive,
    module=LocationSensitive,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative equivariant_to_query_order linear_in_values",
        fails="invariant_to_key_order",
        does_not_apply={
            "causal_when_asked": "queries and keys are two sequences",
            "largest_on_diagonal": "queries and keys are two sequences",
        },
    ),
    refuses={
        "d_query": (0, 2.5),
        "d_key": (0, "two"),
        "width": (0, None),
        "filters": (0, 1.5),
        "kernel_size": (0, 4, "three"),
    },
    chapter="notebooks/origins/03_seven_scores",
)

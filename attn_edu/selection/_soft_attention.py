r"""Soft attention: an average over every place, and a gate that says how much of it is wanted.

.. math:: y_i = \beta_i \sum_j \alpha_{ij}\, v_j, \qquad
          \alpha_i = \operatorname{softmax}_j\, v_a^\top \tanh(W_a q_i + U_a k_j), \qquad
          \beta_i = \sigma(w_\beta^\top q_i + b_\beta)

Source: Xu et al. (2015), equations 4 and 5 and section 4.2; section 4.2.1 for the gate and the penalty below. The
query is the decoder's state :math:`h_{t-1}`; key and value are both the annotation :math:`a_i` of a place in the
image. The paper leaves the scores to a multilayer perceptron and the gate to a function :math:`f_\beta`; the tanh and
the single row are the authors' code.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays, check_truths, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims
from attn_edu.scores._additive import additive_scores, attend_additively
from attn_edu.scores._additive import examples as additive_examples

PATTERN = "query: * L d_q, key: * S d_k, value: * S d_v, W_a: n d_q, U_a: n d_k, v_a: n, w_beta: d_q, b_beta: one"


def soft_attention(
    query: Float[np.ndarray, "*batch L d_q"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    *,
    W_a: Float[np.ndarray, "n d_q"],
    U_a: Float[np.ndarray, "n d_k"],
    v_a: Float[np.ndarray, "n"],
    w_beta: Float[np.ndarray, "d_q"],
    b_beta: Float[np.ndarray, "1"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average all values with weights of a small network, and scale the average by a gate that the query sets.

    Parameters
    ----------
    query : (..., L, d_q)
        What asks: the decoder's states, one for each word.
    key, value : (..., S, d_k), (..., S, d_v)
        What is asked: S places. In the paper key and value are the same.
    W_a, U_a : (n, d_q), (n, d_k)
        From query and key to n hidden units. They multiply columns.
    v_a : (n,)
        From the hidden units to one score.
    w_beta, b_beta : (d_q,), (1,)
        From the query to the gate β = σ(w_β · q + b_β), a number between 0 and 1.
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query i may attend to key j. A row without any True gives zero weights and a zero output.

    Returns
    -------
    output : (..., L, d_v)
        β times one weighted average of values per query.
    weights : (..., L, S)
        The attention weights α, before the gate: rows sum to one.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape.

    References
    ----------
    Xu et al. (2015), equations 4 and 5, sections 4.2 and 4.2.1.

    Examples
    --------
    One hidden unit, and v_a = ln 3 / tanh 1. Query 1 meets keys 0 and −1: the scores are ln 3 and 0, the weights 3/4
    and 1/4, the average 3/4 · 8 + 1/4 · 4 = 7. The gate is σ(ln 3) = 3/4, the output 3/4 · 7 = 5.25:

    >>> one, v_a = np.ones((1, 1)), np.array([np.log(3.0) / np.tanh(1.0)])
    >>> output, weights = soft_attention(
    ...     one, np.array([[0.0], [-1.0]]), np.array([[8.0], [4.0]]), W_a=one, U_a=one, v_a=v_a,
    ...     w_beta=np.array([np.log(3.0)]), b_beta=np.zeros(1),
    ... )
    >>> weights
    array([[0.75, 0.25]])
    >>> output
    array([[5.25]])
    """
    arrays = {"query": query, "key": key, "value": value, "W_a": W_a, "U_a": U_a, "v_a": v_a}
    check_arrays(np.ndarray, PATTERN, **arrays, w_beta=w_beta, b_beta=b_beta)
    check_one(b_beta)
    scores = additive_scores(query, key, W_a, U_a, v_a)
    weights = np_ops.masked_softmax(scores, np_ops.may_attend(attn_mask, False, scores.shape))
    return _gate(query, w_beta, b_beta) * np.einsum("...ij,...jd->...id", weights, value), weights


def _gate(query: np.ndarray, w_beta: np.ndarray, b_beta: np.ndarray) -> np.ndarray:
    """Return β as a column. This form of the logistic function, (1 + tanh(x/2))/2, overflows nowhere."""
    return (1 + np.tanh((query @ w_beta + b_beta) / 2))[..., None] / 2


def check_one(b_beta: Any) -> None:
    """Check that the gate has one bias."""
    if b_beta.shape != (1,):
        raise ValueError(f"b_beta: wanted shape (1,), got {tuple(b_beta.shape)}")


class SoftAttention(nn.Module):
    """`soft_attention` as a PyTorch module with parameters W_a, U_a, v_a, w_beta and b_beta.

    The hidden layer is made for a slab of queries at a time, as in `attn_edu.scores.Additive`.

    Parameters
    ----------
    d_query, d_key : int
        Widths of queries and keys.
    width : int
        n, the number of hidden units.

    Raises
    ------
    TypeError, ValueError
        If `d_query`, `d_key` or `width` is not an integer of at least 1.

    Examples
    --------
    >>> layer = SoftAttention(d_query=1, d_key=1, width=1)
    >>> one, ln3 = torch.ones(1, 1), torch.tensor([1.0986123])
    >>> gate = {"w_beta": ln3, "b_beta": torch.zeros(1)}
    >>> _ = layer.load_state_dict({"W_a": one, "U_a": one, "v_a": ln3 / 0.7615942, **gate})
    >>> layer(one, torch.tensor([[0.0], [-1.0]]), torch.tensor([[8.0], [4.0]]))[0].detach()
    tensor([[5.2500]])
    """

    def __init__(self, d_query: int, d_key: int, width: int) -> None:
        super().__init__()
        check_width("d_query", d_query)
        check_width("d_key", d_key)
        check_width("width", width)
        self.W_a = nn.Parameter(torch.empty(width, d_query))
        self.U_a = nn.Parameter(torch.empty(width, d_key))
        self.v_a = nn.Parameter(torch.empty(width))
        self.w_beta = nn.Parameter(torch.empty(d_query))
        self.b_beta = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the matrices anew, Glorot-uniform, the vectors uniformly from ±1/√length; the bias is 0."""
        for matrix in (self.W_a, self.U_a):
            nn.init.xavier_uniform_(matrix)
        for vector in (self.v_a, self.w_beta):
            bound = 1 / math.sqrt(len(vector))
            nn.init.uniform_(vector, -bound, bound)
        nn.init.zeros_(self.b_beta)

    def forward(
        self,
        query: Float[Tensor, "*batch L d_q"],
        key: Float[Tensor, "*batch S d_k"],
        value: Float[Tensor, "*batch S d_v"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        W_a, U_a, v_a, w_beta, b_beta = self.W_a, self.U_a, self.v_a, self.w_beta, self.b_beta
        arrays = {"query": query, "key": key, "value": value, "W_a": W_a, "U_a": U_a, "v_a": v_a}
        check_arrays(Tensor, PATTERN, **arrays, w_beta=w_beta, b_beta=b_beta)
        check_one(b_beta)
        shape = (*query.shape[:-1], key.shape[-2])
        allowed = torch_ops.may_attend(attn_mask, False, shape, query.device)
        average, weights = attend_additively(query @ W_a.mT, key @ U_a.mT, value, v_a, allowed, need_weights)
        gate = (query @ w_beta + b_beta).sigmoid()  # (..., L)
        return gate.unsqueeze(-1) * average, weights


def doubly_stochastic_penalty(weights: Any, counted: Any = None) -> Any:
    r"""Say how far each place's total weight is from one: :math:`\sum_j (1 - \sum_i \alpha_{ij})^2`.

    Softmax makes every row of the weights sum to one. This penalty, times a factor λ of one's own, is added to the
    loss and asks the same of the columns: over a caption, all places shall be looked at alike. It takes NumPy arrays
    and tensors.

    Parameters
    ----------
    weights : (..., L, S)
        The attention weights of L words over S places.
    counted : (..., L), optional
        True for the words that count; padding does not.

    Returns
    -------
    penalty : (...)
        One number for each caption.

    Raises
    ------
    TypeError, ValueError
        If the weights are no array or tensor of floating-point numbers in this shape, or `counted` none of booleans.

    References
    ----------
    Xu et al. (2015), section 4.2.1.

    Examples
    --------
    Two words and three places. The columns sum to 1.5, 0.5 and 0, so the penalty is 0.25 + 0.25 + 1:

    >>> weights = np.array([[0.75, 0.25, 0.0], [0.75, 0.25, 0.0]])
    >>> doubly_stochastic_penalty(weights)
    np.float64(1.5)

    If the second word is padding, the columns sum to 0.75, 0.25 and 0:

    >>> doubly_stochastic_penalty(weights, np.array([True, False]))
    np.float64(1.625)
    """
    kind = Tensor if isinstance(weights, Tensor) else np.ndarray
    check_arrays(kind, "weights: * L S", weights=weights)
    if counted is not None:
        check_truths(kind, "counted", counted, weights.shape[:-1])
        weights = weights * counted[..., None]
    return ((1 - weights.sum(-2)) ** 2).sum(-1)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use: additive attention's, and a gate."""
    gate = {"w_beta": rng.normal(size=sizes.d_k) / 2, "b_beta": rng.normal(size=1)}
    return {
        name: replace(example, parameters={**example.parameters, **gate})
        for name, example in additive_examples(rng, sizes).items()
    }


def recompose(
    weights: np.ndarray, query: np.ndarray, value: np.ndarray, w_beta: np.ndarray, b_beta: np.ndarray, **_: np.ndarray
) -> np.ndarray:
    """Rebuild the output: the weights times the values, and then the gate."""
    return _gate(query, w_beta, b_beta) * (weights @ value)


MECHANISM = Mechanism(
    title="Soft attention with a gate",
    citation="xu2015show",
    equation=r"\begin{gathered} \beta_i \textstyle\sum_j \alpha_{ij}\, v_j \\ "
    r"\beta_i = \sigma(w_\beta^\top q_i + b_\beta) \end{gathered}",
    cost=r"O(L S (n + d_v) + (L + S)\, d n)",
    kind="attention",
    reference=soft_attention,
    module=SoftAttention,
    examples=examples,
    recompose=recompose,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative equivariant_to_query_order invariant_to_key_order linear_in_values",
        does_not_apply={
            "causal_when_asked": "queries are words, keys are places",
            "largest_on_diagonal": "queries are words, keys are places",
        },
    ),
    refuses={"d_query": (0, 2.5), "d_key": (0, "two"), "width": (0, None)},
    chapter="notebooks/origins/05_soft_or_hard",
)

r"""Hard attention: the weights are probabilities, and one place alone is looked at.

.. math:: y_i = \sum_j s_{ij}\, v_j, \qquad p(s_{ij} = 1) = \alpha_{ij}, \qquad
          \alpha_i = \operatorname{softmax}_j\, v_a^\top \tanh(W_a q_i + U_a k_j)

:math:`s_i` is one-hot: 1 at the place that query i looks at. Which one that is has been drawn before and comes in as
`choice`; nothing here is random. The choice has no gradient, but the logarithm of its probability does, and with
:math:`\nabla \mathbb{E}[f] = \mathbb{E}[\nabla f + f\, \nabla \log p(s)]` that is enough to learn where to look.

Source: Xu et al. (2015), equations 4 and 5 and section 4.1, for the gradient too. The paper leaves the scores to a
multilayer perceptron; the tanh is the authors' code.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import KINDS, check_arrays, check_is, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims
from attn_edu.scores._additive import PATTERN, additive_scores
from attn_edu.scores._additive import examples as additive_examples


def hard_attention(
    query: Float[np.ndarray, "*batch L d_q"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    choice: Integer[np.ndarray, "*batch L"],
    *,
    W_a: Float[np.ndarray, "n d_q"],
    U_a: Float[np.ndarray, "n d_k"],
    v_a: Float[np.ndarray, "n"],
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"], Float[np.ndarray, "*batch L"]]:
    """Return the value at one place for each query, and the probability that it would be chosen.

    Parameters
    ----------
    query : (..., L, d_q)
        What asks: the decoder's states, one for each word.
    key, value : (..., S, d_k), (..., S, d_v)
        What is asked: S places. In the paper key and value are the same.
    choice : (..., L) integers
        The place, from 0 to S − 1, that each query looks at.
    W_a, U_a : (n, d_q), (n, d_k)
        From query and key to n hidden units. They multiply columns.
    v_a : (n,)
        From the hidden units to one score.
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query i may look at place j. A query that may look nowhere makes no choice: what stands in `choice`
        is ignored, and its output, weights and log-probability are 0.

    Returns
    -------
    output : (..., L, d_v)
        The chosen place's value.
    weights : (..., L, S)
        α, the probability of every place; rows sum to one.
    log_prob : (..., L)
        The logarithm of the chosen place's probability.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or a choice is no place or one that the mask forbids.

    References
    ----------
    Xu et al. (2015), equations 4 and 5, section 4.1.

    Examples
    --------
    One hidden unit, and v_a = ln 3 / tanh 1. Query 1 meets keys 0 and −1: the scores are ln 3 and 0, the probabilities
    3/4 and 1/4. It looks at place 1, so the output is that value, 4, and the log-probability is ln 1/4 = −1.386:

    >>> one, v_a = np.ones((1, 1)), np.array([np.log(3.0) / np.tanh(1.0)])
    >>> output, weights, log_prob = hard_attention(
    ...     one, np.array([[0.0], [-1.0]]), np.array([[8.0], [4.0]]), np.array([1]), W_a=one, U_a=one, v_a=v_a
    ... )
    >>> output
    array([[4.]])
    >>> weights
    array([[0.75, 0.25]])
    >>> log_prob.round(3)
    array([-1.386])
    """
    check_arrays(np.ndarray, PATTERN, query=query, key=key, value=value, W_a=W_a, U_a=U_a, v_a=v_a)
    check_places(np.ndarray, choice, query, key.shape[-2])
    scores = additive_scores(query, key, W_a, U_a, v_a)
    allowed = np_ops.may_attend(attn_mask, False, scores.shape)
    weights = np_ops.masked_softmax(scores, allowed)
    some, s = allowed.any(-1), choice[..., None] == np.arange(scores.shape[-1])  # (..., L) and (..., L, S)
    check_allowed((s & allowed).any(-1) | ~some)
    output = np.einsum("...ij,...jd->...id", (s & allowed).astype(value.dtype), value)
    # log α = score − log Σ exp(scores), with the row's largest score taken out of the sum
    scores = np.where(allowed, scores, -np.inf)
    top = np.where(some, scores.max(-1, initial=-np.inf), 0)
    total = np.where(some, np.exp(scores - top[..., None]).sum(-1), 1)
    return output, weights, np.where(some, scores.sum(-1, where=s) - top - np.log(total), 0)


def check_places(kind: Any, choice: Any, query: Any, places: int) -> None:
    """Check that there is one integer a query, and that each is a place; both forms do."""
    if not isinstance(choice, kind):
        raise TypeError(f"choice: wanted {KINDS[kind]}, got {type(choice).__name__}")
    tensor = isinstance(choice, Tensor)
    mixed = choice.dtype == torch.bool or choice.is_floating_point() or choice.is_complex() if tensor else None
    if mixed if tensor else choice.dtype.kind not in "iu":
        raise TypeError(f"choice: wanted integers, got dtype {choice.dtype}")
    if choice.shape != query.shape[:-1]:
        wanted = tuple(query.shape[:-1])
        raise ValueError(f"choice: wanted shape {wanted}, one place a query, got {tuple(choice.shape)}")
    if tensor and choice.device != query.device:
        raise ValueError(f"choice: wanted device {query.device} as in query, got {choice.device}")
    outside = (choice < 0) | (choice >= places)
    if outside.any():
        raise ValueError(f"choice: wanted places from 0 to {places - 1}, got {choice[outside][0]}")


def check_allowed(fine: Any) -> None:
    """Refuse a choice that the mask forbids: it cannot have been drawn, and the logarithm of 0 would spoil a loss."""
    if not fine.all():
        raise ValueError("choice: wanted places that attn_mask allows, got one that it forbids")


class HardAttention(nn.Module):
    """`hard_attention` as a PyTorch module with parameters W_a, U_a and v_a.

    The value is read at the chosen place alone; no sum over places is made of it.

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
    >>> layer = HardAttention(d_query=1, d_key=1, width=1)
    >>> one, v_a = torch.ones(1, 1), torch.tensor([1.0986123 / 0.7615942])
    >>> _ = layer.load_state_dict({"W_a": one, "U_a": one, "v_a": v_a})
    >>> key, value, choice = torch.tensor([[0.0], [-1.0]]), torch.tensor([[8.0], [4.0]]), torch.tensor([1])
    >>> output, weights, log_prob = layer(one, key, value, choice)
    >>> output, log_prob.detach()
    (tensor([[4.]]), tensor([-1.3863]))
    """

    def __init__(self, d_query: int, d_key: int, width: int) -> None:
        super().__init__()
        check_width("d_query", d_query)
        check_width("d_key", d_key)
        check_width("width", width)
        self.W_a = nn.Parameter(torch.empty(width, d_query))
        self.U_a = nn.Parameter(torch.empty(width, d_key))
        self.v_a = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W_a and U_a anew, Glorot-uniform, and v_a uniformly from ±1/√n."""
        nn.init.xavier_uniform_(self.W_a)
        nn.init.xavier_uniform_(self.U_a)
        bound = 1 / math.sqrt(len(self.v_a))
        nn.init.uniform_(self.v_a, -bound, bound)

    def probabilities(
        self,
        query: Float[Tensor, "*batch L d_q"],
        key: Float[Tensor, "*batch S d_k"],
        attn_mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "*batch L S"]:
        """Return α alone, (..., L, S): what `draw_choice` draws the choice from."""
        return self._log(query, key, attn_mask)[1]

    def _log(self, query: Tensor, key: Tensor, attn_mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return log α in at least single precision, α, and who may look where."""
        W_a, U_a, v_a = self.W_a, self.U_a, self.v_a
        check_arrays(Tensor, PATTERN, query=query, key=key, value=key, W_a=W_a, U_a=U_a, v_a=v_a)
        scores = ((query @ W_a.mT).unsqueeze(-2) + (key @ U_a.mT).unsqueeze(-3)).tanh() @ v_a
        allowed = torch_ops.may_attend(attn_mask, False, scores.shape, query.device)
        exact = scores if scores.dtype == torch.float64 else scores.float()
        if allowed is None:
            logs = exact.log_softmax(-1)
            return logs, logs.exp().to(scores.dtype), None
        allowed = allowed.expand(scores.shape)
        logs = exact.masked_fill(~allowed, torch.finfo(exact.dtype).min).log_softmax(-1)
        return logs, logs.exp().masked_fill(~allowed, 0).to(scores.dtype), allowed

    def forward(
        self,
        query: Float[Tensor, "*batch L d_q"],
        key: Float[Tensor, "*batch S d_k"],
        value: Float[Tensor, "*batch S d_v"],
        choice: Integer[Tensor, "*batch L"],
        attn_mask: Bool[Tensor, "..."] | None = None,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"], Float[Tensor, "*batch L"]]:
        """Return the output (..., L, d_v), the probabilities (..., L, S) and the choices' logarithms (..., L)."""
        W_a, U_a, v_a = self.W_a, self.U_a, self.v_a
        check_arrays(Tensor, PATTERN, query=query, key=key, value=value, W_a=W_a, U_a=U_a, v_a=v_a)
        check_places(Tensor, choice, query, key.shape[-2])
        logs, weights, allowed = self._log(query, key, attn_mask)
        place = choice.long().unsqueeze(-1)  # (..., L, 1)
        output = value.gather(-2, place.expand(*place.shape[:-1], value.shape[-1]))
        log_prob = logs.gather(-1, place).squeeze(-1).to(weights.dtype)
        if allowed is None:
            return output, weights, log_prob
        none = ~allowed.any(-1)
        check_allowed(allowed.gather(-1, place).squeeze(-1) | none)
        return output.masked_fill(none.unsqueeze(-1), 0), weights, log_prob.masked_fill(none, 0)


def draw_choice(
    weights: Float[Tensor, "*batch L S"], generator: torch.Generator | None = None
) -> Integer[Tensor, "*batch L"]:
    """Draw a place for every query, place j with probability ``weights[..., j]``.

    Divided by a random number from an exponential distribution, the largest weight is at place j with just that
    probability; a place of weight 0 is never drawn.

    Parameters
    ----------
    weights : (..., L, S)
        Probabilities; a row of zeros gives place 0, which `hard_attention` ignores.
    generator : torch.Generator, optional
        Source of randomness; PyTorch's own if not given.

    Returns
    -------
    choice : (..., L) int64

    Raises
    ------
    TypeError, ValueError
        If the weights are no tensor of floating-point numbers in this shape, or `generator` is none of PyTorch's.

    Examples
    --------
    >>> draw_choice(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    tensor([2, 0])
    """
    check_arrays(Tensor, "weights: * L S", weights=weights)
    check_is("generator", generator, torch.Generator | None, "a torch.Generator")
    waits = torch.empty_like(weights, memory_format=torch.contiguous_format).exponential_(generator=generator)
    return (weights.detach() / waits).argmax(-1)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use: additive attention's, and for every query a place that it may look at."""
    drawn = {}
    for name, example in additive_examples(rng, sizes).items():
        allowed = np.broadcast_to(example.inputs.get("attn_mask", True), (*sizes.batch, sizes.L, sizes.S))
        choice = np.where(allowed, rng.random(allowed.shape), -1).argmax(-1)
        drawn[name] = replace(example, inputs={**example.inputs, "choice": choice})
    return drawn


MECHANISM = Mechanism(
    title="Hard attention",
    citation="xu2015show",
    equation=r"\begin{gathered} \textstyle\sum_j s_{ij}\, v_j \\ p(s_{ij} = 1) = \alpha_{ij} \end{gathered}",
    cost=r"O(L S n + (L + S)\, d n + L d_v)",
    kind="sampled",
    reference=hard_attention,
    module=HardAttention,
    examples=examples,
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

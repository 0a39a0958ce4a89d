r"""Relaxed attention: noise picks a place, and a temperature keeps the pick soft enough to have a gradient.

.. math:: y_i = \sum_j w_{ij}\, v_j, \qquad
          w_i = \operatorname{softmax}_j\!\left(\frac{e_{ij} + g_{ij}}{\tau}\right), \qquad
          e_{ij} = v_a^\top \tanh(W_a q_i + U_a k_j)

With noise g from the standard Gumbel distribution, the place where e + g is largest is j with probability
:math:`\operatorname{softmax}(e_i)_j`: it is hard attention's choice. As τ goes to 0 the weights become that one-hot
choice. The noise comes in as an argument; nothing here is random.

Source: Jang et al. (2017), section 2, and Maddison et al. (2017), who found the same distribution at the same time and
call it *concrete*; the scores are those of Xu et al. (2015).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import np_ops, torch_ops
from attn_edu.checks import check_arrays, check_is, check_positive, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims
from attn_edu.scores._additive import additive_scores, attend_in_slabs
from attn_edu.scores._additive import examples as additive_examples

PATTERN = "query: * L d_q, key: * S d_k, value: * S d_v, noise: * L S, W_a: n d_q, U_a: n d_k, v_a: n"


def relaxed_attention(
    query: Float[np.ndarray, "*batch L d_q"],
    key: Float[np.ndarray, "*batch S d_k"],
    value: Float[np.ndarray, "*batch S d_v"],
    noise: Float[np.ndarray, "*batch L S"],
    *,
    W_a: Float[np.ndarray, "n d_q"],
    U_a: Float[np.ndarray, "n d_k"],
    v_a: Float[np.ndarray, "n"],
    temperature: float,
    attn_mask: Bool[np.ndarray, "..."] | None = None,
) -> tuple[Float[np.ndarray, "*batch L d_v"], Float[np.ndarray, "*batch L S"]]:
    """Average the values, weighted by the softmax of noisy scores at a temperature.

    Parameters
    ----------
    query : (..., L, d_q)
        What asks: the decoder's states, one for each word.
    key, value : (..., S, d_k), (..., S, d_v)
        What is asked: S places.
    noise : (..., L, S)
        g, one number for each query and place, drawn from the standard Gumbel distribution. With zeros the mechanism
        is additive attention at that temperature.
    W_a, U_a : (n, d_q), (n, d_k)
        From query and key to n hidden units. They multiply columns.
    v_a : (n,)
        From the hidden units to one score.
    temperature : float
        τ: the smaller, the nearer to a choice of one place.
    attn_mask : bool array that broadcasts to (..., L, S), optional
        True where query i may look at place j. A row without any True gives zero weights and a zero output.

    Returns
    -------
    output : (..., L, d_v)
        One weighted average of values per query.
    weights : (..., L, S)
        The relaxed choice; rows sum to one.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or the temperature is not above 0.

    References
    ----------
    Jang et al. (2017), section 2; Maddison et al. (2017).

    Examples
    --------
    One hidden unit, and v_a = ln 3 / tanh 1. Query 1 meets keys 0 and −1, so the scores are ln 3 and 0. Noise 0 and
    ln 6 makes them ln 3 and ln 6: place 1 wins this draw though place 0 is likelier. At temperature 1 the weights are
    as 3 to 6, at temperature 1/2 as 9 to 36, 1/5 and 4/5, and the output is 1/5 · 8 + 4/5 · 4 = 4.8:

    >>> one, v_a = np.ones((1, 1)), np.array([np.log(3.0) / np.tanh(1.0)])
    >>> output, weights = relaxed_attention(
    ...     one, np.array([[0.0], [-1.0]]), np.array([[8.0], [4.0]]), np.array([[0.0, np.log(6.0)]]),
    ...     W_a=one, U_a=one, v_a=v_a, temperature=0.5,
    ... )
    >>> weights
    array([[0.2, 0.8]])
    >>> output
    array([[4.8]])
    """
    arrays = {"query": query, "key": key, "value": value, "noise": noise}
    check_arrays(np.ndarray, PATTERN, **arrays, W_a=W_a, U_a=U_a, v_a=v_a)
    check_positive("temperature", temperature)
    scores = (additive_scores(query, key, W_a, U_a, v_a) + noise) / temperature
    weights = np_ops.masked_softmax(scores, np_ops.may_attend(attn_mask, False, scores.shape))
    return np.einsum("...ij,...jd->...id", weights, value), weights


class RelaxedAttention(nn.Module):
    """`relaxed_attention` as a PyTorch module with parameters W_a, U_a and v_a.

    Parameters
    ----------
    d_query, d_key : int
        Widths of queries and keys.
    width : int
        n, the number of hidden units.
    temperature : float
        τ; may be set anew between calls, to cool it while training.

    Raises
    ------
    TypeError, ValueError
        If `d_query`, `d_key` or `width` is not an integer of at least 1, or `temperature` not a number above 0.

    Examples
    --------
    >>> layer = RelaxedAttention(d_query=1, d_key=1, width=1, temperature=0.5)
    >>> one, v_a = torch.ones(1, 1), torch.tensor([1.0986123 / 0.7615942])
    >>> _ = layer.load_state_dict({"W_a": one, "U_a": one, "v_a": v_a})
    >>> key, value = torch.tensor([[0.0], [-1.0]]), torch.tensor([[8.0], [4.0]])
    >>> layer(one, key, value, torch.tensor([[0.0, 1.7917595]]))[0].detach()
    tensor([[4.8000]])
    """

    def __init__(self, d_query: int, d_key: int, width: int, temperature: float) -> None:
        super().__init__()
        check_width("d_query", d_query)
        check_width("d_key", d_key)
        check_width("width", width)
        check_positive("temperature", temperature)
        self.temperature = temperature
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

    def forward(
        self,
        query: Float[Tensor, "*batch L d_q"],
        key: Float[Tensor, "*batch S d_k"],
        value: Float[Tensor, "*batch S d_v"],
        noise: Float[Tensor, "*batch L S"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_v"], Float[Tensor, "*batch L S"] | None]:
        """Return the output (..., L, d_v), and the weights (..., L, S) if `need_weights`, else None."""
        W_a, U_a, v_a = self.W_a, self.U_a, self.v_a
        arrays = {"query": query, "key": key, "value": value, "noise": noise}
        check_arrays(Tensor, PATTERN, **arrays, W_a=W_a, U_a=U_a, v_a=v_a)
        keys = (key @ U_a.mT).unsqueeze(-3)

        def attend(query: Tensor, noise: Tensor, allowed: Tensor | None) -> tuple[Tensor, Tensor]:
            scores = (query.unsqueeze(-2) + keys).tanh() @ v_a
            weights = torch_ops.masked_softmax((scores + noise) / self.temperature, allowed)
            return weights @ value, weights

        allowed = torch_ops.may_attend(attn_mask, False, noise.shape, query.device)
        return attend_in_slabs(attend, (query @ W_a.mT, noise), allowed, key.shape[-2], need_weights)


def gumbel_noise(
    shape: Sequence[int],
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Draw from the standard Gumbel distribution: minus the logarithm of an exponentially distributed number.

    Parameters
    ----------
    shape : sequence of int
        Shape of the noise, ``(*batch, L, S)``.
    generator : torch.Generator, optional
        Source of randomness; PyTorch's own if not given.
    dtype, device : optional
        As for ``torch.empty``.

    Returns
    -------
    noise : tensor of that shape

    Raises
    ------
    TypeError, ValueError
        If `shape` is no sequence of integers of at least 0, `generator` none of PyTorch's, or `dtype` not one of
        floating-point numbers.

    Examples
    --------
    Its mean is Euler's constant, 0.577…:

    >>> noise = gumbel_noise((100_000,), torch.Generator().manual_seed(0))
    >>> abs(noise.mean().item() - 0.577) < 0.02
    True
    """
    check_is("shape", shape, Sequence, "a sequence of integers")
    for size in shape:
        check_width("shape", size, least=0)
    check_is("generator", generator, torch.Generator | None, "a torch.Generator")
    check_is("dtype", dtype, torch.dtype | None, "a torch.dtype")
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"dtype: wanted one of floating-point numbers, got {dtype}")
    return -torch.empty(tuple(shape), dtype=dtype, device=device).exponential_(generator=generator).log()


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use: additive attention's, noise, and a temperature."""
    noise = rng.gumbel(size=(*sizes.batch, sizes.L, sizes.S))
    return {
        name: replace(example, inputs={**example.inputs, "noise": noise}, options={"temperature": 0.7})
        for name, example in additive_examples(rng, sizes).items()
    }


MECHANISM = Mechanism(
    title="Relaxed hard attention",
    citation="jang2017categorical",
    equation=r"\operatorname{softmax}_j\!\left(\frac{e_{ij} + g_{ij}}{\tau}\right)",
    cost=r"O(L S (n + d_v) + (L + S)\, d n)",
    kind="attention",
    reference=relaxed_attention,
    module=RelaxedAttention,
    examples=examples,
    recompose=lambda weights, value, **_: weights @ value,
    properties=claims(
        holds="rows_sum_to_one weights_not_negative equivariant_to_query_order invariant_to_key_order linear_in_values",
        does_not_apply={
            "causal_when_asked": "queries are words, keys are places",
            "largest_on_diagonal": "queries are words, keys are places",
        },
    ),
    refuses={
        "d_query": (0, 2.5),
        "d_key": (0, "two"),
        "width": (0, None),
        "temperature": (0.0, -0.5, float("inf"), "warm", True),
    },
    chapter="notebooks/origins/05_soft_or_hard",
)

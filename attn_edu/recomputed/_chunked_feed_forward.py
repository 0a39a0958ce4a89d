r"""The feed-forward network in chunks: few tokens have hidden features at a time, forward and back.

.. math:: Y = \begin{bmatrix} \operatorname{FFN}(X^{(1)}) \\ \vdots \\ \operatorname{FFN}(X^{(c)}) \end{bmatrix}

Source: Kitaev et al. (2020), section 3. There the c chunks are of one length; here that length is given, and the last
chunk may be shorter.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from attn_edu.checks import check_arrays, check_width
from attn_edu.core import feed_forward
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * d, W_1: d d_hidden, b_1: d_hidden, W_2: d_hidden d_out, b_2: d_out"


def chunked_feed_forward(
    x: Float[np.ndarray, "*batch d"],
    *,
    W_1: Float[np.ndarray, "d d_hidden"],
    b_1: Float[np.ndarray, "d_hidden"],
    W_2: Float[np.ndarray, "d_hidden d_out"],
    b_2: Float[np.ndarray, "d_out"],
    chunk: int,
) -> Float[np.ndarray, "*batch d_out"]:
    """Send a chunk of tokens after another through the same feed-forward network.

    Parameters
    ----------
    x : (..., d)
        Tokens. Each is treated alone, so it does not matter which share a chunk.
    W_1, b_1, W_2, b_2 : (d, d_hidden), (d_hidden,), (d_hidden, d_out), (d_out,)
        As in `feed_forward`.
    chunk : int
        Tokens in a chunk, over all batch axes; the last chunk may have fewer. Never more than chunk · d_hidden hidden
        features exist at a time.

    Returns
    -------
    output : (..., d_out)
        What `feed_forward` returns.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or `chunk` is not an integer of at least 1.

    References
    ----------
    Kitaev et al. (2020), section 3.

    Examples
    --------
    Three tokens, two at a time: 5 · max(0, x − 1) + 2 for each.

    >>> one = np.ones((1, 1))
    >>> x, weights = np.array([[0.0], [2.0], [3.0]]), {"W_1": one, "b_1": -one[0], "W_2": 5 * one, "b_2": 2 * one[0]}
    >>> chunked_feed_forward(x, **weights, chunk=2)
    array([[ 2.],
           [ 7.],
           [12.]])
    """
    check_arrays(np.ndarray, PATTERN, x=x, W_1=W_1, b_1=b_1, W_2=W_2, b_2=b_2)
    check_width("chunk", chunk)
    tokens = x.reshape(-1, x.shape[-1])
    output = np.empty((len(tokens), len(b_2)), dtype=x.dtype)
    for start in range(0, len(tokens), chunk):
        few = slice(start, start + chunk)
        output[few] = feed_forward(tokens[few], W_1=W_1, b_1=b_1, W_2=W_2, b_2=b_2)
    return output.reshape(*x.shape[:-1], len(b_2))


class InChunks(torch.autograd.Function):
    """The network on tokens (N, d); hidden features are not kept, but computed again for each chunk."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, W_1: Tensor, b_1: Tensor, W_2: Tensor, b_2: Tensor, chunk: int) -> Tensor:
        """Go through the chunks."""
        ctx.save_for_backward(x, W_1, b_1, W_2)
        ctx.chunk = chunk
        output = x.new_empty(len(x), W_2.shape[-1])
        for tokens, part in zip(x.split(chunk), output.split(chunk), strict=True):
            hidden = torch.addmm(b_1, tokens, W_1).relu_()
            torch.addmm(b_2, hidden, W_2, out=part)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Go through them again. Sums over tokens are kept in single precision at least."""
        x, W_1, b_1, W_2 = ctx.saved_tensors
        dtype = torch.promote_types(x.dtype, torch.float32)
        d_x, d_W_1, d_b_1, d_W_2 = torch.empty_like(x), *(torch.zeros_like(t, dtype=dtype) for t in (W_1, b_1, W_2))
        for tokens, g, d_tokens in zip(*(t.split(ctx.chunk) for t in (x, grad, d_x)), strict=True):
            hidden = torch.addmm(b_1, tokens, W_1).relu_()
            d_W_2 += hidden.mT @ g
            d_hidden = (g @ W_2.mT).masked_fill_(hidden == 0, 0)
            d_W_1 += tokens.mT @ d_hidden
            d_b_1 += d_hidden.sum(0)
            torch.mm(d_hidden, W_1.mT, out=d_tokens)
        d_b_2 = grad.sum(0)
        return d_x, d_W_1.to(x.dtype), d_b_1.to(x.dtype), d_W_2.to(x.dtype), d_b_2, None


class ChunkedFeedForward(nn.Module):
    """`chunked_feed_forward` as a PyTorch module with the parameters of `FeedForward`; it keeps only its input.

    Parameters
    ----------
    d_model, d_hidden : int
        Width d of the tokens, coming and going, and number of hidden features.
    chunk : int
        Tokens that have hidden features at a time.

    Raises
    ------
    TypeError, ValueError
        If a number is not an integer of at least 1.

    Examples
    --------
    >>> layer, one = ChunkedFeedForward(d_model=1, d_hidden=1, chunk=2), torch.ones(1, 1)
    >>> _ = layer.load_state_dict({"W_1": one, "b_1": -one[0], "W_2": 5 * one, "b_2": 2 * one[0]})
    >>> layer(torch.tensor([[0.0], [2.0], [3.0]])).detach()
    tensor([[ 2.],
            [ 7.],
            [12.]])
    """

    def __init__(self, d_model: int, d_hidden: int, chunk: int) -> None:
        super().__init__()
        for name, width in (("d_model", d_model), ("d_hidden", d_hidden), ("chunk", chunk)):
            check_width(name, width)
        self.chunk = chunk
        self.W_1, self.b_1 = nn.Parameter(torch.empty(d_model, d_hidden)), nn.Parameter(torch.empty(d_hidden))
        self.W_2, self.b_2 = nn.Parameter(torch.empty(d_hidden, d_model)), nn.Parameter(torch.empty(d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the matrices anew, Glorot-uniform, and set the biases to zero."""
        for parameter in self.parameters():
            nn.init.xavier_uniform_(parameter) if parameter.ndim == 2 else nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Return the new tokens (..., d)."""
        check_arrays(Tensor, PATTERN, x=x, W_1=self.W_1, b_1=self.b_1, W_2=self.W_2, b_2=self.b_2)
        tokens = x.reshape(-1, x.shape[-1])
        output: Tensor = InChunks.apply(tokens, self.W_1, self.b_1, self.W_2, self.b_2, self.chunk)
        return output.reshape(x.shape)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw tokens none of whose hidden features is within 0.001 of the kink of the ReLU."""
    d, d_hidden = sizes.d, sizes.d_v
    shapes = {"W_1": (d, d_hidden), "b_1": (d_hidden,), "W_2": (d_hidden, d), "b_2": (d,)}
    drawn = {}
    for name, chunk in (("chunks of three", 3), ("one chunk", 10**6)):
        least = 0.0
        while least < 1e-3:
            x = rng.normal(size=(*sizes.batch, sizes.L, d))
            parameters = {name: rng.normal(size=shape) for name, shape in shapes.items()}
            least = np.abs(x @ parameters["W_1"] + parameters["b_1"]).min(initial=1.0)
        drawn[name] = Example({"x": x}, parameters, {"chunk": chunk}, {"d_model": d, "d_hidden": d_hidden})
    return drawn


MECHANISM = Mechanism(
    title="Chunked feed-forward network",
    citation="kitaev2020reformer",
    equation=r"Y = [\operatorname{FFN}(X^{(1)}); \ldots; \operatorname{FFN}(X^{(c)})]",
    cost=r"O(L d\, d_{\text{hidden}})",
    kind="piece",
    reference=chunked_feed_forward,
    module=ChunkedFeedForward,
    examples=examples,
    properties=claims(
        holds="equivariant_to_query_order",
        does_not_apply={
            "rows_sum_to_one": "there are no weights",
            "weights_not_negative": "there are no weights",
            "invariant_to_key_order": "there are no keys",
            "causal_when_asked": "each token is treated alone",
            "linear_in_values": "there are no values",
            "largest_on_diagonal": "there are no weights",
        },
    ),
    refuses={"chunk": (0, 2.5), "d_model": (0, 2.5), "d_hidden": (0, "wide")},
    chapter="notebooks/long/04_reformer",
)

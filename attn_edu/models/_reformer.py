"""The Reformer as a language model: hashed attention, reversible residuals, a feed-forward network in chunks.

Source: Kitaev et al. (2020). As there, queries are keys, normalisation stands inside F and G, and both streams start as
the same tokens; unlike there nothing is dropped, and positions are one learned table. Every layer hashes, as in the
authors' settings for imagenet64; in those for enwik8 only one in four does. At the end, as in their code, the streams
are laid side by side, normalised and read by one linear layer.

Going back, a layer's inputs differ by rounding from those on the way there, and once in a great while a vector would
fall into another bucket. So the buckets are kept: an integer for each token, head and round.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_divides, check_width, check_words
from attn_edu.core import LayerNorm
from attn_edu.positions import LearnedPositions
from attn_edu.recomputed import ChunkedFeedForward, ReversibleStack
from attn_edu.sparse import LshAttention

from ._block import join, split


class LshHeads(nn.Module):
    """Heads of `LshAttention`: one projection W_S makes queries and keys, W_V values, W_O mixes what the heads say.

    Parameters
    ----------
    d_model, heads : int
        Width of the tokens, and number of heads that share it.
    rounds, buckets, chunk, causal
        As in `LshAttention`, for each head. All heads hash with the same rotations.

    Raises
    ------
    TypeError, ValueError
        If a number is no integer or too small, `heads` does not divide d_model, or as in `LshAttention`.

    Examples
    --------
    >>> layer = LshHeads(d_model=6, heads=2, rounds=1, buckets=(4,), chunk=4)
    >>> layer(torch.randn(5, 9, 6)).shape
    torch.Size([5, 9, 6])
    """

    def __init__(
        self, d_model: int, heads: int, rounds: int, buckets: tuple[int, ...], chunk: int, causal: bool = False
    ) -> None:
        super().__init__()
        check_width("d_model", d_model)
        check_divides("heads", heads, d_model=d_model)
        self.heads = heads
        self.attend = LshAttention(d_model // heads, rounds, buckets, chunk, causal)
        self.W_S, self.W_V, self.W_O = (nn.Parameter(torch.empty(d_model, d_model)) for _ in range(3))
        for weight in self.parameters():
            nn.init.xavier_uniform_(weight)

    def forward(
        self, x: Float[Tensor, "*batch L d"], bucket: Int[Tensor, "*batch heads r L"] | None = None
    ) -> Float[Tensor, "*batch L d"]:
        """Return the new tokens (..., L, d), by the buckets that `decide` returned, if they are given."""
        return self.decide(x, bucket)[0]

    def decide(
        self, x: Float[Tensor, "*batch L d"], bucket: Int[Tensor, "*batch heads r L"] | None = None
    ) -> tuple[Float[Tensor, "*batch L d"], Int[Tensor, "*batch heads r L"]]:
        """Return the new tokens, and the bucket of each token in each head and round."""
        check_arrays(Tensor, "x: * L d, W_S: d d", x=x, W_S=self.W_S)
        shared, value = split(x @ self.W_S, self.heads), split(x @ self.W_V, self.heads)
        bucket = self.attend.hash(shared).to(torch.int32) if bucket is None else bucket
        return join(self.attend(shared, value, need_weights=False, bucket=bucket)[0]) @ self.W_O, bucket


class _Normed(nn.Sequential):
    """A normalisation and `LshHeads`, which keeps to the buckets that it is told."""

    def forward(self, x: Tensor, bucket: Tensor | None = None) -> Tensor:
        tokens: Tensor = self[1](self[0](x), bucket)
        return tokens

    def decide(self, x: Tensor) -> tuple[Tensor, Tensor]:
        heads = self[1]
        assert isinstance(heads, LshHeads)
        return heads.decide(self[0](x))


class Reformer(nn.Module):
    """A language model: at each place, logits for the next word.

    Parameters
    ----------
    vocabulary, max_length : int
        Number of words, and of places for which there is a position.
    d_model, heads, d_hidden, layers : int
        Width of each stream, heads of its attention, hidden features of its feed-forward networks, number of layers.
    rounds : int
        How often each layer hashes.
    buckets : tuple of int
        Into how many buckets, a number or its factors, see `angular_hash`.
    chunk : int
        Positions in a chunk of LSH attention.
    tokens_at_a_time : int
        Tokens, over the whole batch, that have hidden features at a time.
    store : bool
        As in `ReversibleStack`: if True, keep what any other model keeps.

    Raises
    ------
    TypeError, ValueError
        If a number is no integer or too small, `heads` does not divide d_model, or as in the parts.

    Examples
    --------
    >>> model = Reformer(
    ...     vocabulary=10, max_length=16, d_model=6, heads=2, d_hidden=24, layers=3,
    ...     rounds=2, buckets=(4,), chunk=4, tokens_at_a_time=8,
    ... )
    >>> model(torch.zeros(5, 9, dtype=torch.long)).shape
    torch.Size([5, 9, 10])
    """

    def __init__(
        self,
        vocabulary: int,
        max_length: int,
        d_model: int,
        heads: int,
        d_hidden: int,
        layers: int,
        rounds: int,
        buckets: tuple[int, ...],
        chunk: int,
        tokens_at_a_time: int,
        store: bool = False,
    ) -> None:
        super().__init__()
        widths = {"vocabulary": vocabulary, "max_length": max_length, "d_model": d_model, "layers": layers}
        for name, width in {**widths, "tokens_at_a_time": tokens_at_a_time}.items():
            check_width(name, width)
        self.table = nn.Parameter(torch.randn(vocabulary, d_model))
        self.positions = LearnedPositions(max_length, d_model)
        nn.init.normal_(self.positions.P)  # as large as words: places must find each other too
        pairs = [
            (
                _Normed(LayerNorm(d_model), LshHeads(d_model, heads, rounds, buckets, chunk, causal=True)),
                nn.Sequential(LayerNorm(d_model), ChunkedFeedForward(d_model, d_hidden, tokens_at_a_time)),
            )
            for _ in range(layers)
        ]
        self.stack = ReversibleStack(pairs, store)
        self.norm = LayerNorm(2 * d_model)
        self.head = nn.Linear(2 * d_model, vocabulary)

    def forward(self, tokens: Int[Tensor, "*batch L"]) -> Float[Tensor, "*batch L vocabulary"]:
        """Return the logits of every place. It attends to earlier ones, but see the notes of `lsh_attention`."""
        check_words(Tensor, "tokens", tokens, len(self.table))
        if tokens.shape[-1] > len(self.positions.P):
            raise ValueError(f"tokens: wanted at most {len(self.positions.P)} in a row, got {tokens.shape[-1]}")
        x = self.positions(F.embedding(tokens, self.table))
        logits: Tensor = self.head(self.norm(self.stack(torch.cat((x, x), -1))))
        return logits

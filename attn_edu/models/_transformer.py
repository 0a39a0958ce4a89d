"""Three models made of the Transformer's blocks: an encoder, a decoder, and both with cross-attention between them.

Source: Vaswani et al. (2017), sections 3.1 to 3.5. As in the paper, embeddings are multiplied by √d, and the matrix of
embeddings also makes the logits; but source and target, with two vocabularies, have one each.

``present`` is True at tokens and False at padding, which comes at the end.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_flag, check_is, check_truths, check_width, check_word, check_words
from attn_edu.core import LayerNorm
from attn_edu.positions import SinusoidalPositions

from ._block import Cache, DecoderBlock, EncoderBlock

Tokens = Int[Tensor, "*batch L"]
Present = Bool[Tensor, "*batch L"]
Maps = list[Tensor] | None


class Embedding(nn.Module):
    """A vector for each word of the vocabulary, times √d, plus its position; the same vectors make the logits.

    Parameters
    ----------
    vocabulary, d_model : int
        Number of words and width of their vectors.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1.

    Examples
    --------
    At position 0 the clocks say (0, 1), and √4 doubles the vector:

    >>> embedding = Embedding(vocabulary=3, d_model=4)
    >>> _ = nn.init.ones_(embedding.table)
    >>> embedding(torch.tensor([2])).detach()
    tensor([[2., 3., 2., 3.]])
    """

    def __init__(self, vocabulary: int, d_model: int) -> None:
        super().__init__()
        check_width("vocabulary", vocabulary)
        check_width("d_model", d_model)
        self.table = nn.Parameter(torch.randn(vocabulary, d_model) / math.sqrt(d_model))
        self.positions = SinusoidalPositions()

    def forward(self, tokens: Tokens, start: int = 0) -> Float[Tensor, "*batch L d_model"]:
        """Return the vectors of the tokens, the first of which stands at position `start`."""
        words, d_model = self.table.shape
        check_words(Tensor, "tokens", tokens, words)
        check_width("start", start, least=0)
        return self.positions(F.embedding(tokens, self.table) * math.sqrt(d_model), start)

    def logits(self, x: Float[Tensor, "*batch L d_model"]) -> Float[Tensor, "*batch L vocabulary"]:
        """Return the dot product of each token with each word's vector."""
        return x @ self.table.T


def attend_to(present: Any, tokens: Tensor) -> Tensor | None:
    """Turn a mask of the tokens that are there, (..., L), into one for all heads and queries, (..., 1, 1, L)."""
    if present is None:
        return None
    check_truths(Tensor, "present", present, tokens.shape)
    return present[..., None, None, :]


def check_batch(name: str, batch: torch.Size, owner: str, wanted: torch.Size) -> None:
    """Check that there are as many of one thing as of another."""
    if batch != wanted:
        raise ValueError(f"{name}: wanted the batch axes {tuple(wanted)} as in {owner}, got {tuple(batch)}")


def earlier(length: int, cache: Cache | None, device: torch.device) -> Bool[Tensor, "L S"]:
    """Allow each new token itself and all before it, those in the cache too."""
    seen = 0 if cache is None else cache.length
    return torch.ones(length, seen + length, dtype=torch.bool, device=device).tril(seen)


class Encoder(nn.Module):
    """Every token sees every other; at each place, logits for the word that belongs there. BERT is of this shape.

    Parameters
    ----------
    vocabulary, d_model, heads, d_hidden : int
        Number of words, width of the tokens, number of heads, number of hidden features.
    blocks : int
        How many `EncoderBlock` follow one another.
    norm_first : bool
        As in `EncoderBlock`; if True, one more layer normalisation comes after the last block.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1, `heads` does not divide d_model, or `norm_first` is not a bool.

    Examples
    --------
    >>> logits, maps = Encoder(vocabulary=10, d_model=4, heads=2, d_hidden=8, blocks=3)(torch.tensor([[5, 2, 7]]))
    >>> logits.shape, len(maps), maps[0].shape
    (torch.Size([1, 3, 10]), 3, torch.Size([1, 2, 3, 3]))
    """

    def __init__(
        self, vocabulary: int, d_model: int, heads: int, d_hidden: int, blocks: int, norm_first: bool = False
    ) -> None:
        super().__init__()
        check_width("blocks", blocks)
        self.embedding = Embedding(vocabulary, d_model)
        self.blocks = nn.ModuleList(EncoderBlock(d_model, heads, d_hidden, norm_first) for _ in range(blocks))
        self.norm = LayerNorm(d_model) if norm_first else nn.Identity()

    def encode(
        self,
        tokens: Tokens,
        present: Present | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L d_model"], Maps]:
        """Return the last block's tokens, and each block's weights (..., h, L, L) if `need_weights`, else None."""
        x, maps = self.embedding(tokens), []
        mask = attend_to(present, tokens)
        for block in self.blocks:
            x, weights = block(x, mask, need_weights)
            maps.append(weights)
        return self.norm(x), maps if need_weights else None

    def forward(
        self,
        tokens: Tokens,
        present: Present | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L vocabulary"], Maps]:
        """Return the logits of every place, and the maps as `encode` does."""
        x, maps = self.encode(tokens, present, need_weights)
        return self.embedding.logits(x), maps


class Decoder(nn.Module):
    """Every token sees itself and those before it; at each place, logits for the next word. GPT is of this shape.

    There is no cross-attention, so its blocks are an encoder's with a causal mask. Padding at the end needs no mask
    of its own: no token sees a later one.

    Parameters
    ----------
    vocabulary, d_model, heads, d_hidden, blocks, norm_first
        As in `Encoder`.

    Raises
    ------
    TypeError, ValueError
        As there.

    Examples
    --------
    What follows does not change what is said of the first token:

    >>> model = Decoder(vocabulary=10, d_model=4, heads=2, d_hidden=8, blocks=3)
    >>> one, other = model(torch.tensor([5, 2, 7]))[0], model(torch.tensor([5, 9, 9]))[0]
    >>> torch.equal(one[0], other[0]), torch.equal(one[1], other[1])
    (True, False)
    """

    def __init__(
        self, vocabulary: int, d_model: int, heads: int, d_hidden: int, blocks: int, norm_first: bool = False
    ) -> None:
        super().__init__()
        check_width("blocks", blocks)
        self.embedding = Embedding(vocabulary, d_model)
        self.blocks = nn.ModuleList(EncoderBlock(d_model, heads, d_hidden, norm_first) for _ in range(blocks))
        self.norm = LayerNorm(d_model) if norm_first else nn.Identity()

    def forward(
        self, tokens: Tokens, cache: Cache | None = None, need_weights: bool = True
    ) -> tuple[Float[Tensor, "*batch L vocabulary"], Maps]:
        """Return the logits of every place, and each block's weights (..., h, L, S) if `need_weights`, else None.

        With a cache, the tokens continue those that it has seen; it takes them up.
        """
        check_is("cache", cache, Cache | None, "a Cache")
        x, maps = self.embedding(tokens, 0 if cache is None else cache.length), []
        mask = earlier(tokens.shape[-1], cache, tokens.device)
        for block in self.blocks:
            x, weights = block(x, mask, need_weights, cache)
            maps.append(weights)
        if cache is not None:
            cache.length += tokens.shape[-1]
        return self.embedding.logits(self.norm(x)), maps if need_weights else None

    @torch.no_grad()
    def next_log_probs(self, prefixes: Int[np.ndarray, "b t"]) -> Float[np.ndarray, "b vocabulary"]:
        """Return the log-probability of each word after each of b prefixes, for `greedy` and `beam_search`."""
        check_words(np.ndarray, "prefixes", prefixes, len(self.embedding.table), "(b, t)", some=True)
        tokens = torch.as_tensor(prefixes, device=self.embedding.table.device)
        return self(tokens, need_weights=False)[0][:, -1].double().log_softmax(-1).cpu().numpy()

    def multiplications(self, length: int, cached: bool) -> int:
        """Count the multiplications in matrix products when `length` tokens are decoded one after another.

        Step t has t tokens; with a cache only the last of them goes through the blocks, without one all do. A token
        costs 4d² in the projections of each attention, 2td with its t keys and values, 2d·d_hidden in each
        feed-forward network, and d times the vocabulary at the end.
        """
        check_width("length", length)
        check_flag("cached", cached)
        words, d = self.embedding.table.shape
        block: Any = self.blocks[0]
        once = len(self.blocks) * (4 * d * d + 2 * d * len(block.feed_forward.b_1)) + words * d
        return sum((1 if cached else t) * (once + len(self.blocks) * 2 * t * d) for t in range(1, length + 1))


class EncoderDecoder(nn.Module):
    """An encoder reads the source; a decoder writes the target word by word, with cross-attention to the encoder.

    Parameters
    ----------
    source_vocabulary, target_vocabulary : int
        Numbers of words.
    d_model, heads, d_hidden, blocks, norm_first
        As in `Encoder`; the decoder has as many blocks as the encoder.

    Raises
    ------
    TypeError, ValueError
        As in `Encoder`.

    Examples
    --------
    >>> model = EncoderDecoder(10, 12, d_model=4, heads=2, d_hidden=8, blocks=3)
    >>> logits, maps = model(torch.tensor([[5, 2, 7]]), torch.tensor([[1, 11]]))
    >>> logits.shape, {name: tuple(layers[0].shape) for name, layers in maps.items()}
    (torch.Size([1, 2, 12]), {'encoder': (1, 2, 3, 3), 'decoder': (1, 2, 2, 2), 'cross': (1, 2, 2, 3)})
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        d_model: int,
        heads: int,
        d_hidden: int,
        blocks: int,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        check_width("source_vocabulary", source_vocabulary)
        check_width("target_vocabulary", target_vocabulary)
        self.encoder = Encoder(source_vocabulary, d_model, heads, d_hidden, blocks, norm_first)
        self.embedding = Embedding(target_vocabulary, d_model)
        self.blocks = nn.ModuleList(DecoderBlock(d_model, heads, d_hidden, norm_first) for _ in range(blocks))
        self.norm = LayerNorm(d_model) if norm_first else nn.Identity()

    def decode(
        self,
        target: Tokens,
        memory: Float[Tensor, "*batch S d_model"],
        present: Bool[Tensor, "*batch S"] | None = None,
        cache: Cache | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L vocabulary"], dict[str, list[Tensor]] | None]:
        """Return logits for the word after each target token, and the maps if `need_weights`, else None.

        `memory` is what ``encoder.encode`` returned, `present` says which source tokens are there. With a cache, the
        target continues what it has seen, and the memory is projected once.
        """
        check_words(Tensor, "target", target, len(self.embedding.table))
        check_arrays(Tensor, "memory: * S d_model, table: V d_model", memory=memory, table=self.embedding.table)
        check_is("cache", cache, Cache | None, "a Cache")
        check_batch("memory", memory.shape[:-2], "target", target.shape[:-1])
        x = self.embedding(target, 0 if cache is None else cache.length)
        mask, memory_mask = earlier(target.shape[-1], cache, target.device), attend_to(present, memory[..., 0])
        maps: dict[str, list[Tensor]] = {"decoder": [], "cross": []}
        for block in self.blocks:
            x, weights, cross = block(x, memory, mask, memory_mask, need_weights, cache)
            maps["decoder"].append(weights)
            maps["cross"].append(cross)
        if cache is not None:
            cache.length += target.shape[-1]
        return self.embedding.logits(self.norm(x)), maps if need_weights else None

    def forward(
        self,
        source: Int[Tensor, "*batch S"],
        target: Tokens,
        present: Bool[Tensor, "*batch S"] | None = None,
        need_weights: bool = True,
    ) -> tuple[Float[Tensor, "*batch L vocabulary"], dict[str, list[Tensor]] | None]:
        """Return logits for the word after each target token, and the maps if `need_weights`, else None.

        The maps are one tensor a block, under ``encoder`` (..., h, S, S), ``decoder`` (..., h, L, L) and ``cross``
        (..., h, L, S). `present` says which source tokens are there.
        """
        check_words(Tensor, "source", source, len(self.encoder.embedding.table))
        check_words(Tensor, "target", target, len(self.embedding.table))
        check_batch("target", target.shape[:-1], "source", source.shape[:-1])
        memory, seen = self.encoder.encode(source, present, need_weights)
        logits, maps = self.decode(target, memory, present, None, need_weights)
        return logits, None if maps is None or seen is None else {"encoder": seen, **maps}

    @torch.no_grad()
    def next_log_probs(
        self, source: Int[np.ndarray, " S"], prefixes: Int[np.ndarray, "b t"]
    ) -> Float[np.ndarray, "b vocabulary"]:
        """Return the log-probability of each word after each of b prefixes of one source's translation.

        Bind the source with `functools.partial` for `greedy` and `beam_search`. It has no padding.
        """
        check_words(np.ndarray, "source", source, len(self.encoder.embedding.table), "(S)")
        check_words(np.ndarray, "prefixes", prefixes, len(self.embedding.table), "(b, t)", some=True)
        sources = torch.as_tensor(source, device=self.embedding.table.device).expand(len(prefixes), -1)
        logits, _ = self(sources, torch.as_tensor(prefixes, device=sources.device), need_weights=False)
        return logits[:, -1].double().log_softmax(-1).cpu().numpy()

    @torch.no_grad()
    def translate(
        self,
        source: Int[Tensor, "N S"],
        present: Bool[Tensor, "N S"] | None = None,
        *,
        start: int,
        end: int,
        pad: int,
        max_length: int,
    ) -> Int[Tensor, "N max_length"]:
        """Write the likeliest next word until all sentences have ended, many sentences at a time, with a cache.

        Each row begins with `start`; what follows its `end` is `pad`.
        """
        check_words(Tensor, "source", source, len(self.encoder.embedding.table), "(N, S)")
        check_word("start", start, len(self.embedding.table))
        check_width("end", end, least=0)  # with one that is no word, no sentence ends
        check_word("pad", pad, len(self.embedding.table))
        check_width("max_length", max_length)
        memory, _ = self.encoder.encode(source, present, need_weights=False)
        written, cache = source.new_full((len(source), max_length), pad), Cache()
        written[:, 0], done = start, torch.zeros(len(source), dtype=torch.bool, device=source.device)
        for t in range(1, max_length):
            logits, _ = self.decode(written[:, t - 1 : t], memory, present, cache, need_weights=False)
            written[:, t] = logits[:, -1].argmax(-1).masked_fill(done, pad)
            done = done | (written[:, t] == end)
            if done.all():
                break
        return written

"""The two blocks of a Transformer, and what they keep while decoding.

Source: Vaswani et al. (2017), sections 3.1 to 3.3. As in its equations, the projections of attention have no biases;
unlike there, nothing is dropped in training. The paper normalises after each residual connection; `norm_first` does it
before each layer.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_edu import torch_ops
from attn_edu.checks import check_arrays, check_flag, check_is, check_mask
from attn_edu.core import FeedForward, LayerNorm, MultiHead


def split(x: Float[Tensor, "*batch L hd"], heads: int) -> Float[Tensor, "*batch {heads} L d"]:
    """Give each head its block of features."""
    return rearrange(x, "... l (h d) -> ... h l d", h=heads)


def join(x: Float[Tensor, "*batch h L d"]) -> Float[Tensor, "*batch L hd"]:
    """Put the heads' features side by side again."""
    return rearrange(x, "... h l d -> ... l (h d)")


class Cache:
    """What decoding keeps from one call to the next: how many tokens it saw, and each attention's keys and values.

    Examples
    --------
    The last of three tokens alone, with the keys and values of the two before, gives what all three give:

    >>> from attn_edu.models import Decoder
    >>> model, tokens, cache = Decoder(5, 4, 2, 8, 2), torch.tensor([[1, 3, 4]]), Cache()
    >>> _ = model(tokens[:, :2], cache=cache)
    >>> last, _ = model(tokens[:, 2:], cache=cache)
    >>> torch.allclose(last, model(tokens)[0][:, 2:], atol=1e-6), cache.length
    (True, 3)
    """

    def __init__(self) -> None:
        self.length = 0
        self.kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def attend(
        self, layer: MultiHead, x: Tensor, source: Tensor, attn_mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Do what `layer` does. Of self-attention, project the new tokens only; of cross-attention, the source once."""
        kept = self.kept.get(layer)
        if x is source or kept is None:
            k, v = split(source @ layer.W_K, layer.heads), split(source @ layer.W_V, layer.heads)
            kept = (k, v) if kept is None else (torch.cat((kept[0], k), -2), torch.cat((kept[1], v), -2))
        context, weights = layer.attend(split(x @ layer.W_Q, layer.heads), *kept, attn_mask, need_weights)
        self.kept[layer] = kept  # only now: the mask may have been refused
        return join(context) @ layer.W_O, weights


def attend(
    layer: MultiHead, x: Tensor, source: Tensor, attn_mask: Tensor | None, need_weights: bool, cache: Cache | None
) -> tuple[Tensor, Tensor | None]:
    """Ask `source` with the queries of `x`."""
    if cache is None:
        return layer(x, source, source, attn_mask, need_weights)
    return cache.attend(layer, x, source, attn_mask, need_weights)


class EncoderBlock(nn.Module):
    """Self-attention, then a feed-forward network, each with a residual connection and layer normalisation.

    Parameters
    ----------
    d_model, heads, d_hidden : int
        Width of the tokens, number of heads, number of hidden features of the feed-forward network.
    norm_first : bool
        If False, normalise each sum, ``norm(x + layer(x))``, as in the paper; if True, each layer's input,
        ``x + layer(norm(x))``.

    Raises
    ------
    TypeError, ValueError
        If a width is not an integer of at least 1, `heads` does not divide d_model, or `norm_first` is not a bool; when
        called, if an input has the wrong type, dtype or shape, or `cache` is no `Cache`.

    Examples
    --------
    With the norms first and nothing coming out of either layer, the residual connections pass the input on:

    >>> block = EncoderBlock(d_model=4, heads=2, d_hidden=8, norm_first=True)
    >>> _ = nn.init.zeros_(block.attention.W_O), nn.init.zeros_(block.feed_forward.W_2)
    >>> block(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))[0].detach()
    tensor([[1., 2., 3., 4.]])
    """

    def __init__(self, d_model: int, heads: int, d_hidden: int, norm_first: bool = False) -> None:
        super().__init__()
        check_flag("norm_first", norm_first)
        self.norm_first = norm_first
        self.attention = MultiHead(d_model, heads)
        self.feed_forward = FeedForward(d_model, d_hidden)
        self.norm_1, self.norm_2 = LayerNorm(d_model), LayerNorm(d_model)

    def forward(
        self,
        x: Float[Tensor, "*batch L d_model"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
        cache: Cache | None = None,
    ) -> tuple[Float[Tensor, "*batch L d_model"], Float[Tensor, "*batch h L S"] | None]:
        """Return the new tokens, and the weights (..., h, L, S) if `need_weights`, else None.

        With a cache, the tokens continue those that it has seen, and S counts them all.
        """
        check_arrays(Tensor, "x: * L d_model, W_Q: d_model d_model", x=x, W_Q=self.attention.W_Q)
        check_is("cache", cache, Cache | None, "a Cache")
        y = self.norm_1(x) if self.norm_first else x
        y, weights = attend(self.attention, y, y, attn_mask, need_weights, cache)
        x = x + y if self.norm_first else self.norm_1(x + y)
        y = self.feed_forward(self.norm_2(x) if self.norm_first else x)
        return x + y if self.norm_first else self.norm_2(x + y), weights

    def steps(
        self, x: Float[Tensor, "*batch L d_model"], attn_mask: Bool[Tensor, "..."] | None = None
    ) -> dict[str, Tensor]:
        """Compute the same, and return every number on the way, in order.

        Returns
        -------
        steps : dict
            ``input``; ``queries``, ``keys``, ``values`` (..., h, L, d/h); ``scores`` (scaled, not yet masked) and
            ``weights`` (..., h, L, L); ``context``, the joined heads; ``attended``, that times W_O; ``sum_1``;
            ``hidden``, ``active`` (..., L, d_hidden), before and after the ReLU; ``fed``; ``sum_2``; ``output``.
            ``norm_1`` and ``norm_2`` follow the sums, or come before queries and hidden if the norms are first.
        """
        check_arrays(Tensor, "x: * L d_model, W_Q: d_model d_model", x=x, W_Q=self.attention.W_Q)
        layer, network, y = self.attention, self.feed_forward, x
        matrices = {"queries": layer.W_Q, "keys": layer.W_K, "values": layer.W_V}
        s = {"input": x}
        if self.norm_first:
            y = s["norm_1"] = self.norm_1(x)
        s |= {n: split(y @ W, layer.heads) for n, W in matrices.items()}
        s["scores"] = s["queries"] @ s["keys"].mT / math.sqrt(s["queries"].shape[-1])
        allowed = torch_ops.may_attend(attn_mask, False, s["scores"].shape, x.device)
        s["weights"] = torch_ops.masked_softmax(s["scores"], allowed)
        s["context"] = join(s["weights"] @ s["values"])
        s["attended"] = s["context"] @ layer.W_O
        x = s["sum_1"] = x + s["attended"]
        if not self.norm_first:
            x = s["norm_1"] = self.norm_1(x)
        y = x
        if self.norm_first:
            y = s["norm_2"] = self.norm_2(x)
        s["hidden"] = y @ network.W_1 + network.b_1
        s["active"] = torch.relu(s["hidden"])
        s["fed"] = s["active"] @ network.W_2 + network.b_2
        x = s["sum_2"] = x + s["fed"]
        if not self.norm_first:
            x = s["norm_2"] = self.norm_2(x)
        s["output"] = x
        return s


class DecoderBlock(nn.Module):
    """Self-attention, cross-attention to an encoder's output, and a feed-forward network; residuals and norms as above.

    Parameters
    ----------
    d_model, heads, d_hidden, norm_first
        As in `EncoderBlock`.

    Raises
    ------
    TypeError, ValueError
        As there.

    Examples
    --------
    Two tokens ask a memory of three:

    >>> block = DecoderBlock(d_model=4, heads=2, d_hidden=8)
    >>> x, weights, cross = block(torch.randn(2, 4), torch.randn(3, 4))
    >>> x.shape, weights.shape, cross.shape
    (torch.Size([2, 4]), torch.Size([2, 2, 2]), torch.Size([2, 2, 3]))
    """

    def __init__(self, d_model: int, heads: int, d_hidden: int, norm_first: bool = False) -> None:
        super().__init__()
        check_flag("norm_first", norm_first)
        self.norm_first = norm_first
        self.attention, self.cross = MultiHead(d_model, heads), MultiHead(d_model, heads)
        self.feed_forward = FeedForward(d_model, d_hidden)
        self.norm_1, self.norm_2, self.norm_3 = LayerNorm(d_model), LayerNorm(d_model), LayerNorm(d_model)

    def forward(
        self,
        x: Float[Tensor, "*batch L d_model"],
        memory: Float[Tensor, "*batch M d_model"],
        attn_mask: Bool[Tensor, "..."] | None = None,
        memory_mask: Bool[Tensor, "..."] | None = None,
        need_weights: bool = True,
        cache: Cache | None = None,
    ) -> tuple[
        Float[Tensor, "*batch L d_model"], Float[Tensor, "*batch h L S"] | None, Float[Tensor, "*batch h L M"] | None
    ]:
        """Return the new tokens, and the weights of self- and cross-attention if `need_weights`, else None twice."""
        pattern = "x: * L d_model, memory: * M d_model, W_Q: d_model d_model"
        check_arrays(Tensor, pattern, x=x, memory=memory, W_Q=self.attention.W_Q)
        check_is("cache", cache, Cache | None, "a Cache")
        if memory_mask is not None:
            shape = (*x.shape[:-2], self.cross.heads, x.shape[-2], memory.shape[-2])
            check_mask(Tensor, memory_mask, shape, name="memory_mask")
        y = self.norm_1(x) if self.norm_first else x
        y, weights = attend(self.attention, y, y, attn_mask, need_weights, cache)
        x = x + y if self.norm_first else self.norm_1(x + y)
        y = self.norm_2(x) if self.norm_first else x
        y, cross = attend(self.cross, y, memory, memory_mask, need_weights, cache)
        x = x + y if self.norm_first else self.norm_2(x + y)
        y = self.feed_forward(self.norm_3(x) if self.norm_first else x)
        return x + y if self.norm_first else self.norm_3(x + y), weights, cross

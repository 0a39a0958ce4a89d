"""A recurrent encoder and decoder, with one vector between them or with attention."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_edu.checks import check_flag, check_is, check_width, check_word, check_words
from attn_edu.scores import Additive
from attn_edu.scores._additive import attend_additively

Source = Int[Tensor, "N S"]
Target = Int[Tensor, "N T"]
States = Float[Tensor, "N S states"]


Ask = Callable[[Tensor], tuple[Tensor, Tensor | None]]


class Seq2Seq(nn.Module):
    r"""An encoder of gated recurrent units reads the source; a decoder of such units writes the target word by word.

    Without attention, the decoder has one vector for the whole source, the encoder's last state, which enters every
    step, as in Cho et al. (2014). With attention the encoder reads in both directions; before each step the decoder's
    state asks all the encoder's states, and what it gets enters the step, in the order of Bahdanau et al. (2015):

    .. math::
        c_i = \textstyle\sum_j \alpha_{ij} h_j \text{ with } \alpha_i \text{ from } s_{i-1}, \qquad
        s_i = \operatorname{GRU}(s_{i-1}, [E y_{i-1}, c_i]), \qquad
        \text{logits}_i = W_o [s_i, c_i, E y_{i-1}] + b_o

    Two things differ from the papers: the unit is PyTorch's, whose reset gate acts after the matrix, and the words are
    read off by one linear layer rather than by a maxout layer and another.

    Parameters
    ----------
    source_words, target_words : int
        Numbers of words. In both, word 0 is padding, after the end of a sentence.
    width : int
        Size of an embedding and of a state. With both directions the encoder's states have 2 · width numbers.
    attention : nn.Module, optional
        Called as ``attention(query, key, value, attn_mask=..., need_weights=...)`` with a query of `width` numbers and
        keys and values of 2 · width (width, if not `both`); returns the output, as wide as a value, and the weights.
    both : bool, optional
        If True, the encoder reads in both directions. If not given, it does so if there is attention.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1, `attention` no module or `both` no bool.

    Examples
    --------
    Two sentences of 3 and 2 words; what stands in the place of the missing word changes nothing:

    >>> model = Seq2Seq(source_words=10, target_words=12, width=4)
    >>> logits, weights = model(torch.tensor([[5, 9, 2], [7, 2, 0]]), torch.tensor([[1, 11, 5], [1, 6, 2]]))
    >>> logits.shape, weights
    (torch.Size([2, 3, 12]), None)
    >>> alone, _ = model(torch.tensor([[7, 2]]), torch.tensor([[1, 6, 2]]))
    >>> torch.allclose(alone[0], logits[1], atol=1e-6)
    True
    """

    def __init__(
        self,
        source_words: int,
        target_words: int,
        width: int,
        attention: nn.Module | None = None,
        both: bool | None = None,
    ) -> None:
        super().__init__()
        check_width("source_words", source_words)
        check_width("target_words", target_words)
        check_width("width", width)
        check_is("attention", attention, nn.Module | None, "an nn.Module")
        if both is None:
            both = attention is not None
        check_flag("both", both)
        states = 2 * width if both else width
        self.source_embedding = nn.Embedding(source_words, width)
        self.target_embedding = nn.Embedding(target_words, width)
        self.forwards = nn.GRU(width, width, batch_first=True)
        self.backwards = nn.GRU(width, width, batch_first=True) if both else None
        self.attention = attention
        self.first_state = nn.Linear(width, width)
        self.decoder = nn.GRU(width + states, width, batch_first=True)
        self.readout = nn.Linear(width + states + width, target_words)

    def encode(self, source: Source) -> tuple[States, Float[Tensor, "N states"]]:
        """Return the encoder's states, one a place, and its last state; at places of padding the states are 0.

        With both directions a state is the forward one and then the backward one, and the last states are those of
        the last word and of the first.
        """
        check_words(Tensor, "source", source, self.source_embedding.num_embeddings, "(N, S)", some=True)
        present = source != 0
        wrong = ~present[:, 0] | (present[:, 1:] > present[:, :-1]).any(1)
        if wrong.any():
            got = source[wrong][0].tolist()
            raise ValueError(f"source: wanted in each row words, at least one, and then padding, which is 0, got {got}")
        lengths = present.sum(-1, keepdim=True)
        read = self.forwards(self.source_embedding(source))[0]  # where no state knows of later places
        last = read[torch.arange(len(source), device=source.device), lengths[:, 0] - 1]
        if self.backwards is not None:
            places = torch.arange(source.shape[-1], device=source.device)
            mirrored = (lengths - 1 - places) % source.shape[-1]  # each sentence turned round within its length
            back = self.backwards(self.source_embedding(source.gather(1, mirrored)))[0]
            back = back.gather(1, mirrored[..., None].expand_as(back))
            read, last = torch.cat((read, back), -1), torch.cat((last, back[:, 0]), -1)
        return read * present[..., None], last

    def begin(self, last: Float[Tensor, "N states"]) -> Float[Tensor, "N width"]:
        """Return the decoder's state before its first word, s_0 = tanh(W h + b).

        h is the encoder's last state; with both directions the one that reads backwards, which ends at the first word.
        """
        return self.first_state(last[:, -self.first_state.in_features :]).tanh()

    def asking(
        self, states: States, last: Float[Tensor, "N states"], present: Bool[Tensor, "N S"], need_weights: bool = True
    ) -> Ask:
        """Return what gives a context (N, states), and the weights (N, S) or None, for a decoder's state (N, width).

        Without attention that is the encoder's last state, whoever asks. What does not depend on who asks is done
        here, once: the keys of additive attention are projected.
        """
        attention, allowed = self.attention, present[:, None]
        if attention is None:
            return lambda state: (last, None)
        if isinstance(attention, Additive):
            keys = states @ attention.U_a.mT

            def attend(query: Tensor) -> tuple[Tensor, Tensor | None]:
                return attend_additively(query @ attention.W_a.mT, keys, states, attention.v_a, allowed, need_weights)
        else:

            def attend(query: Tensor) -> tuple[Tensor, Tensor | None]:
                return attention(query, states, states, attn_mask=allowed, need_weights=need_weights)

        def ask(state: Tensor) -> tuple[Tensor, Tensor | None]:
            context, weights = attend(state[:, None])
            return context[:, 0], None if weights is None else weights[:, 0]

        return ask

    def forward(
        self, source: Source, target: Target, need_weights: bool = True
    ) -> tuple[Float[Tensor, "N T target_words"], Float[Tensor, "N T S"] | None]:
        """Return logits for the word after each target word, which are all given, and the weights, if there are any.

        To be given the right words, whatever one would have written, is called teacher forcing.
        """
        check_words(Tensor, "target", target, self.target_embedding.num_embeddings, "(N, T)", some=True)
        states, last = self.encode(source)
        if len(target) != len(source):
            raise ValueError(f"target: wanted {len(source)} rows as in source, got {len(target)}")
        embedded, state, weights = self.target_embedding(target), self.begin(last), None
        if self.attention is None:  # then all inputs are known before the first step
            contexts = last[:, None].expand(-1, target.shape[1], -1)
            read = self.decoder(torch.cat((embedded, contexts), -1), state[None])[0]
        else:
            ask = self.asking(states, last, source != 0, need_weights)
            asked, moved = [], []
            for word in embedded.unbind(1):
                asked.append(ask(state))
                state = self.move(word, asked[-1][0], state)
                moved.append(state)
            read, contexts = torch.stack(moved, 1), torch.stack([context for context, _ in asked], 1)
            weights = _stack([row for _, row in asked])
        return self.readout(torch.cat((read, contexts, embedded), -1)), weights

    def move(
        self, embedded: Float[Tensor, "N width"], context: Float[Tensor, "N states"], state: Float[Tensor, "N width"]
    ) -> Float[Tensor, "N width"]:
        """Return the decoder's next state s_i, from E y_{i-1}, c_i and s_{i-1}."""
        return torch.gru_cell(torch.cat((embedded, context), -1), state, *self.decoder.all_weights[0])

    @torch.no_grad()
    def greedy(
        self, source: Source, limit: int, *, start: int = 1, end: int = 2, need_weights: bool = True
    ) -> tuple[Int[Tensor, "N limit"], Float[Tensor, "N limit S"] | None]:
        """Write the likeliest next word until the end, at most `limit` words, and read each before the next.

        Returns the words without their start, 0 after an end, and the weights with which they were written, if there
        are any, 0 after an end as well.
        """
        check_width("limit", limit)
        check_word("start", start, self.target_embedding.num_embeddings)
        check_width("end", end, least=0)  # with one that is no word, no sentence ends
        states, last = self.encode(source)
        ask, state = self.asking(states, last, source != 0, need_weights), self.begin(last)
        word, over = torch.full_like(source[:, 0], start), torch.zeros_like(source[:, 0], dtype=torch.bool)
        written, maps = [], []
        for _ in range(limit):
            embedded = self.target_embedding(word)
            context, weights = ask(state)
            state = self.move(embedded, context, state)
            word = self.readout(torch.cat((state, context, embedded), -1)).argmax(-1).masked_fill(over, 0)
            written.append(word)
            maps.append(None if weights is None else weights * ~over[:, None])
            over = over | (word == end)
        return torch.stack(written, 1), _stack(maps)


def _stack(maps: list[Float[Tensor, "N S"] | None]) -> Float[Tensor, "N T S"] | None:
    rows = [weights for weights in maps if weights is not None]
    return torch.stack(rows, 1) if rows else None

"""A captioner: a decoder that writes a sentence about an image, and looks at the image's cells before every word.

Source: Xu et al. (2015), section 3.1 and equations 4 to 7; section 4.1 for images at which hard attention does not look
but averages. Unlike in the paper the features come from a small network that is trained along with the rest, not from a
convolutional network trained before on other images; they carry a learned vector for their place; and the decoder is a
GRU, not an LSTM.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_divides, check_is, check_truths, check_width, check_word, check_words
from attn_edu.positions import LearnedPositions
from attn_edu.selection import HardAttention, RelaxedAttention
from attn_edu.vision import PatchEmbedding

State = Float[Tensor, "N width"]
Places = Float[Tensor, "N S width"]
Look = tuple[State, Float[Tensor, "N S"], Float[Tensor, "N"] | None]


class Captioner(nn.Module):
    r"""A GRU that writes word t from the word before, its state, and what it sees of the image.

    .. math::
        \hat z_t \text{ from } h_{t-1} \text{ and the places } a_1 \dots a_S, \qquad
        h_t = \operatorname{GRU}(h_{t-1}, [E y_{t-1}, \hat z_t]), \qquad
        \text{logits}_t = L_o\, (E y_{t-1} + L_h h_t + L_z \hat z_t)

    A place's vector is :math:`a_i = W_2 \max(0, W_1 x_i + b_1) + b_2 + p_i` for the pixels x_i of its cell; the first
    state is tanh of a linear map of their mean.

    Parameters
    ----------
    side, cell : int
        Side of the square images and of their cells, in pixels; there are S = (side/cell)² places.
    words : int
        Number of words.
    width : int
        Size of an embedding, of a state and of a place's vector.
    attention : nn.Module
        `SoftAttention`, `HardAttention`, `RelaxedAttention`, or any module that is called with query, key and value of
        `width` numbers and returns the output and the weights. What hard and relaxed attention need of chance comes in
        as an argument; here nothing is random.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1, `cell` does not divide `side`, or `attention` is no module.

    Examples
    --------
    Two images of 3 × 3 cells, two words each:

    >>> from attn_edu.selection import HardAttention, gumbel_noise
    >>> model = Captioner(side=6, cell=2, words=10, width=4, attention=HardAttention(4, 4, 4))
    >>> images, captions = torch.rand(2, 6, 6, 3), torch.tensor([[1, 5], [1, 7]])
    >>> logits, weights, log_prob = model(images, captions, gumbel_noise((2, 2, 9)))
    >>> logits.shape, weights.shape, log_prob.shape
    (torch.Size([2, 2, 10]), torch.Size([2, 2, 9]), torch.Size([2, 2]))
    """

    def __init__(self, side: int, cell: int, words: int, width: int, attention: nn.Module) -> None:
        super().__init__()
        check_width("side", side)
        check_divides("cell", cell, side=side)
        check_width("words", words)
        check_width("width", width)
        check_is("attention", attention, nn.Module, "an nn.Module")
        self.side = side
        self.cells = PatchEmbedding(cell, 3, 2 * width)
        self.features = nn.Linear(2 * width, width)
        self.places = LearnedPositions((side // cell) ** 2, width)
        self.embedding = nn.Embedding(words, width)
        self.first_state = nn.Linear(width, width)
        self.attention = attention
        self.decoder = nn.GRUCell(2 * width, width)
        self.L_h = nn.Linear(width, width, bias=False)
        self.L_z = nn.Linear(width, width, bias=False)
        self.L_o = nn.Linear(width, words)

    def start(self, images: Float[Tensor, "N side side 3"]) -> tuple[Places, State]:
        """Return the places' vectors, row by row, and the decoder's state before its first word."""
        check_arrays(Tensor, "images: N H W c", images=images)
        if images.shape[3] != 3:
            raise ValueError(f"images: wanted shape (N, H, W, 3), got {tuple(images.shape)}")
        if images.shape[1:3] != (self.side, self.side):
            raise ValueError(f"images: wanted {self.side} × {self.side} pixels, got {tuple(images.shape[1:3])}")
        places = self.places(self.features(self.cells(images).relu()))
        return places, self.first_state(places.mean(-2)).tanh()

    def look(
        self,
        state: State,
        places: Places,
        noise: Float[Tensor, "N S"] | None = None,
        averaged: Bool[Tensor, " N"] | None = None,
    ) -> Look:
        """Return what a state sees, the weights, and with hard attention the log-probability of its choice, else None.

        Hard attention looks where log α + noise is largest, which with Gumbel noise is a draw from α; without noise
        where α is largest. Where `averaged` it does not choose: it sees the mean weighted by α, and the log-probability
        is 0. Relaxed attention adds the noise; none is noise 0.
        """
        query, attention = state[:, None], self.attention
        if isinstance(attention, HardAttention):
            with torch.no_grad():
                chances = attention.probabilities(query, places)[:, 0]
                choice = (chances if noise is None else chances.log() + noise).argmax(-1, keepdim=True)
            context, weights, log_prob = (out[:, 0] for out in attention(query, places, places, choice))
            if averaged is not None:
                mean = (weights[:, None] @ places)[:, 0]
                context, log_prob = mean.where(averaged[:, None], context), log_prob.masked_fill(averaged, 0)
            return context, weights, log_prob
        if isinstance(attention, RelaxedAttention):
            if noise is None:
                noise = places.new_zeros(places.shape[:2])
            context, weights = attention(query, places, places, noise[:, None])
        else:
            context, weights = attention(query, places, places)
        return context[:, 0], weights[:, 0], None

    def say(self, word: Int[Tensor, " N"], state: State, context: State) -> tuple[Float[Tensor, "N words"], State]:
        """Return logits for the word after this one, and the decoder's next state."""
        embedded = self.embedding(word)
        state = self.decoder(torch.cat((embedded, context), -1), state)
        return self.L_o(embedded + self.L_h(state) + self.L_z(context)), state

    def forward(
        self,
        images: Float[Tensor, "N side side 3"],
        captions: Int[Tensor, "N T"],
        noise: Float[Tensor, "N T S"] | None = None,
        averaged: Bool[Tensor, " N"] | None = None,
    ) -> tuple[Float[Tensor, "N T words"], Float[Tensor, "N T S"], Float[Tensor, "N T"] | None]:
        """Return logits for the word after each word, which are all given, the weights, and log-probabilities or None.

        `noise` and `averaged` are as in `look`; an averaged image is so at every word.
        """
        places, state = self.start(images)
        check_words(Tensor, "captions", captions, self.embedding.num_embeddings, "(N, T)", some=True)
        if len(captions) != len(images):
            raise ValueError(f"captions: wanted {len(images)} rows as in images, got {len(captions)}")
        if noise is not None:
            check_arrays(Tensor, "noise: N T S", noise=noise)
            wanted = (*captions.shape, places.shape[1])
            if noise.shape != wanted:
                raise ValueError(f"noise: wanted shape {wanted}, got {tuple(noise.shape)}")
        if averaged is not None:
            check_truths(Tensor, "averaged", averaged, (len(images),))
        logits, looks = [], []
        for t, word in enumerate(captions.unbind(1)):
            looks.append(self.look(state, places, None if noise is None else noise[:, t], averaged))
            said, state = self.say(word, state, looks[-1][0])
            logits.append(said)
        return torch.stack(logits, 1), *_stacked(looks)

    @torch.no_grad()
    def greedy(
        self, images: Float[Tensor, "N side side 3"], limit: int, *, start: int = 1, end: int = 2
    ) -> tuple[Int[Tensor, "N limit"], Float[Tensor, "N limit S"]]:
        """Write the likeliest next word until the end, at most `limit` words; nothing is drawn.

        Returns the words without their start, 0 after an end, and the weights with which they were written.
        """
        check_width("limit", limit)
        check_word("start", start, self.embedding.num_embeddings)
        check_width("end", end, least=0)  # with one that is no word, no sentence ends
        places, state = self.start(images)
        word = torch.full((len(images),), start, device=images.device)
        over, written, looks = torch.zeros_like(word, dtype=torch.bool), [], []
        for _ in range(limit):
            looks.append(self.look(state, places))
            logits, state = self.say(word, state, looks[-1][0])
            word = logits.argmax(-1).masked_fill(over, 0)
            written.append(word)
            over = over | (word == end)
        return torch.stack(written, 1), _stacked(looks)[0]


def _stacked(looks: list[Look]) -> tuple[Tensor, Tensor | None]:
    """Join weights and log-probabilities along the words."""
    log_probs = [log_prob for _, _, log_prob in looks if log_prob is not None]
    return torch.stack([weights for _, weights, _ in looks], 1), torch.stack(log_probs, 1) if log_probs else None

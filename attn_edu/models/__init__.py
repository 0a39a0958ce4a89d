"""Models assembled from mechanisms. PyTorch's own layers with the same weights are what they are tested against."""

from ._block import Cache as Cache, DecoderBlock as DecoderBlock, EncoderBlock as EncoderBlock
from ._transformer import (
    Embedding as Embedding,
    Encoder as Encoder,
    Decoder as Decoder,
    EncoderDecoder as EncoderDecoder,
)
from ._decoding import Hypothesis as Hypothesis, beam_search as beam_search, greedy as greedy
from ._vit import ViT as ViT
from ._reformer import LshHeads as LshHeads, Reformer as Reformer
from ._seq2seq import Seq2Seq as Seq2Seq
from ._captioner import Captioner as Captioner

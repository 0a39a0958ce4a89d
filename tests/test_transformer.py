"""The Transformer's blocks and models against PyTorch's own layers with the same weights, and their cache."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from theirs import close, compare, drawn, give, norm_pairs, turned
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from attn_edu.core import MultiHead, multi_head
from attn_edu.models import (
    Cache,
    Decoder,
    DecoderBlock,
    Embedding,
    Encoder,
    EncoderBlock,
    EncoderDecoder,
    greedy,
)

D, HEADS, HIDDEN, WORDS, OTHER_WORDS = 12, 3, 17, 13, 19
START, END, PAD = 1, 2, 0
NORM_FIRST = pytest.mark.parametrize("norm_first", [False, True])


@pytest.fixture(autouse=True)
def double():
    """Everything in double precision, with parameters that are neither zero nor one."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def padded(*lengths):
    """A mask of rows that have these lengths."""
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


# What PyTorch calls our parameters: ours, theirs, and the rows of theirs.


def attention_pairs(ours, theirs):
    d = ours.W_Q.shape[0]
    for n, name in enumerate("QKV"):
        yield getattr(ours, f"W_{name}"), theirs.in_proj_weight, slice(n * d, (n + 1) * d)
    yield ours.W_O, theirs.out_proj.weight, slice(None)


def pairs(ours, theirs):
    yield from attention_pairs(ours.attention, theirs.self_attn)
    if isinstance(ours, DecoderBlock):
        yield from attention_pairs(ours.cross, theirs.multihead_attn)
    network = ours.feed_forward
    yield network.W_1, theirs.linear1.weight, slice(None)
    yield network.b_1, theirs.linear1.bias, slice(None)
    yield network.W_2, theirs.linear2.weight, slice(None)
    yield network.b_2, theirs.linear2.bias, slice(None)
    for n in (1, 2, 3):
        if hasattr(ours, f"norm_{n}"):
            yield from norm_pairs(getattr(ours, f"norm_{n}"), getattr(theirs, f"norm{n}"))


OPTIONS = {"dim_feedforward": HIDDEN, "dropout": 0.0, "batch_first": True}


# Blocks.


@NORM_FIRST
@pytest.mark.parametrize("mask", ["none", "padding", "causal"])
@pytest.mark.parametrize("need_weights", [True, False])
def test_encoder_block_is_pytorchs(norm_first, mask, need_weights):
    ours = drawn(EncoderBlock(D, HEADS, HIDDEN, norm_first))
    theirs = nn.TransformerEncoderLayer(D, HEADS, norm_first=norm_first, **OPTIONS)
    give(pairs(ours, theirs), theirs)
    present = padded(7, 4)
    ours_mask, drop = {
        "none": (None, {}),
        "padding": (present[:, None, None], {"src_key_padding_mask": ~present}),
        "causal": (torch.ones(7, 7).tril().bool(), {"src_mask": ~torch.ones(7, 7).tril().bool()}),
    }[mask]
    compare(
        ours,
        theirs,
        pairs(ours, theirs),
        [torch.randn(2, 7, D)],
        lambda f, x: f(x, ours_mask, need_weights)[0],
        lambda f, x: f(x, **drop),
        present if mask == "padding" else slice(None),
    )


@NORM_FIRST
@pytest.mark.parametrize("need_weights", [True, False])
def test_decoder_block_is_pytorchs(norm_first, need_weights):
    ours = drawn(DecoderBlock(D, HEADS, HIDDEN, norm_first))
    theirs = nn.TransformerDecoderLayer(D, HEADS, norm_first=norm_first, **OPTIONS)
    give(pairs(ours, theirs), theirs)
    present, causal = padded(7, 4), torch.ones(5, 5).tril().bool()
    compare(
        ours,
        theirs,
        pairs(ours, theirs),
        [torch.randn(2, 5, D), torch.randn(2, 7, D)],
        lambda f, x, memory: f(x, memory, causal, present[:, None, None], need_weights)[0],
        lambda f, x, memory: f(x, memory, tgt_mask=~causal, memory_key_padding_mask=~present),
    )


@NORM_FIRST
@pytest.mark.parametrize("masked", [False, True])
def test_steps_are_forwards(norm_first, masked):
    block, x = drawn(EncoderBlock(D, HEADS, HIDDEN, norm_first)), torch.randn(2, 7, D)
    mask = padded(7, 4)[:, None, None] if masked else None
    steps, (output, weights) = block.steps(x, mask), block(x, mask)
    close(steps["output"], output, tolerance=1e-12)
    close(steps["weights"], weights, tolerance=1e-12)
    close(steps["attended"], block.attention(*[steps["norm_1"] if norm_first else x] * 3, mask)[0])
    close(steps["fed"], block.feed_forward(steps["norm_2" if norm_first else "norm_1"]))
    close(steps["sum_1"], x + steps["attended"])
    assert (steps["active"] == steps["hidden"].clamp(min=0)).all() and (steps["hidden"] < 0).any()
    assert steps["scores"].shape == (2, HEADS, 7, 7) and steps["queries"].shape == (2, HEADS, 7, D // HEADS)
    assert next(iter(steps)) == "input" and list(steps)[-1] == "output"
    before = ("norm_1", "queries") if norm_first else ("sum_1", "norm_1")
    assert list(steps).index(before[0]) + 1 == list(steps).index(before[1])
    assert len(steps) == 16


# Models.


def stack(ours, kind, blocks, norm_first):
    """`nn.TransformerEncoder` or `nn.TransformerDecoder` with our blocks' weights, and the pairs."""
    layer, whole = {
        "encoder": (nn.TransformerEncoderLayer, nn.TransformerEncoder),
        "decoder": (nn.TransformerDecoderLayer, nn.TransformerDecoder),
    }[kind]
    plain = {"enable_nested_tensor": False} if kind == "encoder" else {}
    norm = nn.LayerNorm(D) if norm_first else None
    theirs = whole(layer(D, HEADS, norm_first=norm_first, **OPTIONS), len(blocks), norm, **plain)
    all_pairs = [pair for a, b in zip(blocks, theirs.layers, strict=True) for pair in pairs(a, b)]
    if norm_first:
        all_pairs += norm_pairs(ours.norm, theirs.norm)
    return give(all_pairs, theirs), all_pairs


def embedded(embedding, tokens):
    """The vectors by the paper's words: rows times √d, plus sines and cosines."""
    angle = np.arange(tokens.shape[1])[:, None] / 10_000 ** (2 * (np.arange(D) // 2) / D)
    clocks = np.where(np.arange(D) % 2 == 0, np.sin(angle), np.cos(angle))
    return embedding.table[tokens] * D**0.5 + torch.from_numpy(clocks)


@NORM_FIRST
def test_encoder_is_pytorchs(norm_first):
    ours = drawn(Encoder(WORDS, D, HEADS, HIDDEN, 3, norm_first))
    theirs, _ = stack(ours, "encoder", ours.blocks, norm_first)
    tokens, present = torch.randint(WORDS, (2, 7)), padded(7, 4)
    wanted = theirs(embedded(ours.embedding, tokens), src_key_padding_mask=~present)
    close(ours.encode(tokens, present)[0][present], wanted[present])
    for need_weights in (True, False):
        logits, maps = ours(tokens, present, need_weights)
        close(logits[present], (wanted @ ours.embedding.table.T)[present])
        assert (maps is not None) == need_weights


@NORM_FIRST
def test_decoder_is_pytorchs(norm_first):
    ours = drawn(Decoder(WORDS, D, HEADS, HIDDEN, 3, norm_first))
    theirs, _ = stack(ours, "encoder", ours.blocks, norm_first)
    tokens = torch.randint(WORDS, (2, 7))
    drop = nn.Transformer.generate_square_subsequent_mask(7)
    wanted = theirs(embedded(ours.embedding, tokens), mask=drop) @ ours.embedding.table.T
    for need_weights in (True, False):
        close(ours(tokens, need_weights=need_weights)[0], wanted)


@NORM_FIRST
def test_encoder_decoder_is_pytorchs(norm_first):
    """`nn.Transformer`, whole: logits, and the gradient of every parameter, the shared embeddings included."""
    ours = drawn(EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 2, norm_first))
    encoder, encoder_pairs = stack(ours.encoder, "encoder", ours.encoder.blocks, norm_first)
    decoder, decoder_pairs = stack(ours, "decoder", ours.blocks, norm_first)
    theirs = nn.Transformer(D, HEADS, custom_encoder=encoder, custom_decoder=decoder, batch_first=True)
    give([*encoder_pairs, *decoder_pairs], theirs)  # building nn.Transformer drew them anew
    source, target = torch.randint(WORDS, (2, 7)), torch.randint(OTHER_WORDS, (2, 5))
    present, later = padded(7, 4), nn.Transformer.generate_square_subsequent_mask(5)
    tables = [ours.encoder.embedding.table, ours.embedding.table]

    def call_theirs():
        vectors = embedded(ours.encoder.embedding, source), embedded(ours.embedding, target)
        hidden = {"src_key_padding_mask": ~present, "memory_key_padding_mask": ~present}
        return theirs(*vectors, tgt_mask=later, **hidden) @ ours.embedding.table.T

    sides = []
    for call in (lambda: ours(source, target, present)[0], call_theirs):
        ours.zero_grad()
        output = call()
        (output * torch.linspace(-1, 2, output.numel()).reshape(output.shape)).sum().backward()
        sides.append((output, [table.grad.clone() for table in tables]))
        if len(sides) == 1:
            own = [parameter.grad.clone() for parameter, _, _ in (*encoder_pairs, *decoder_pairs)]
    close(sides[0][0], sides[1][0], "logits")
    for a, b in zip(sides[0][1], sides[1][1], strict=True):
        close(a, b, "gradient of the embeddings", 1e-9)
    for gradient, (_, other, which) in zip(own, (*encoder_pairs, *decoder_pairs), strict=True):
        close(gradient, turned(other.grad[which]), "gradient", 1e-9)
    close(ours(source, target, present, need_weights=False)[0], sides[0][0], "fused")


def test_maps_are_each_blocks():
    model = drawn(EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 2))
    source, target, present = torch.randint(WORDS, (2, 7)), torch.randint(OTHER_WORDS, (2, 5)), padded(7, 4)
    _, maps = model(source, target, present)
    shapes = {"encoder": (2, HEADS, 7, 7), "decoder": (2, HEADS, 5, 5), "cross": (2, HEADS, 5, 7)}
    assert {name: [tuple(m.shape) for m in layers] for name, layers in maps.items()} == {
        name: [shape] * 2 for name, shape in shapes.items()
    }
    for layers in maps.values():
        for weights in layers:
            close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert not torch.allclose(maps["cross"][0], maps["cross"][1])
    assert all((maps[name][n][1, :, :, 4:] == 0).all() for name in ("encoder", "cross") for n in (0, 1))
    assert all((weights.triu(1) == 0).all() for weights in maps["decoder"])


# Masks. The checks stand apart, so that they can be seen to fail.


def encoder_ignores_padding(model):
    tokens, present = torch.randint(3, WORDS, (2, 7)), padded(7, 4)
    other = torch.where(present, tokens, (tokens + 1) % WORDS)
    assert torch.equal(model(tokens, present)[0][present], model(other, present)[0][present]), "padding was read"
    alone = model(tokens[1:, :4])[0]
    close(model(tokens, present)[0][1:, :4], alone, "a sentence beside a longer one")


def translator_ignores_padding(model):
    source, target, present = torch.randint(3, WORDS, (2, 7)), torch.randint(OTHER_WORDS, (2, 5)), padded(7, 4)
    other = torch.where(present, source, (source + 1) % WORDS)
    assert torch.equal(model(source, target, present)[0], model(other, target, present)[0]), "padding was read"


def decoder_sees_no_later_token(model, call):
    tokens = torch.randint(WORDS, (2, 7))
    before = call(model, tokens)
    for place in range(1, 7):
        other = tokens.clone()
        other[:, place:] = (other[:, place:] + 1) % WORDS
        after = call(model, other)
        assert torch.equal(after[:, :place], before[:, :place]), "a later token was read"
        assert not torch.allclose(after[:, place:], before[:, place:])


def forget_mask(block, *places):
    """Plant a fault: the block no longer passes on the arguments at these places."""
    forward = block.forward
    block.forward = lambda *given: forward(*[None if n in places else value for n, value in enumerate(given)])


def translated(model, target):
    return model(torch.arange(5).expand(2, 5), target)[0]


@NORM_FIRST
def test_padding_and_later_tokens_change_nothing(norm_first):
    encoder_ignores_padding(drawn(Encoder(WORDS, D, HEADS, HIDDEN, 3, norm_first)))
    translator_ignores_padding(drawn(EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 2, norm_first)))
    decoder_sees_no_later_token(drawn(Decoder(WORDS, D, HEADS, HIDDEN, 3, norm_first)), lambda m, x: m(x)[0])
    decoder_sees_no_later_token(drawn(EncoderDecoder(WORDS, WORDS, D, HEADS, HIDDEN, 2, norm_first)), translated)


@pytest.mark.parametrize("block", [0, 1, 2])
def test_mask_dropped_in_one_block_is_caught(block):
    """The classic fault: the mask reaches the first block and not the next."""
    model = drawn(Encoder(WORDS, D, HEADS, HIDDEN, 3))
    forget_mask(model.blocks[block], 1)
    with pytest.raises(AssertionError, match=r"padding was read|beside a longer"):
        encoder_ignores_padding(model)
    model = drawn(Decoder(WORDS, D, HEADS, HIDDEN, 3))
    forget_mask(model.blocks[block], 1)
    with pytest.raises(AssertionError, match="later token"):
        decoder_sees_no_later_token(model, lambda m, x: m(x)[0])


@pytest.mark.parametrize("block", [0, 1])
def test_memory_mask_dropped_in_one_block_is_caught(block):
    model = drawn(EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 2))
    forget_mask(model.blocks[block], 3)
    with pytest.raises(AssertionError, match="padding was read"):
        translator_ignores_padding(model)
    model = drawn(EncoderDecoder(WORDS, WORDS, D, HEADS, HIDDEN, 2))
    forget_mask(model.blocks[block], 2)
    with pytest.raises(AssertionError, match="later token"):
        decoder_sees_no_later_token(model, translated)


def test_a_sentence_of_padding_alone_stays_finite():
    model = drawn(EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 2))
    present = torch.tensor([[True] * 4, [False] * 4])
    for need_weights in (True, False):
        logits, _ = model(
            torch.zeros(2, 4, dtype=torch.long), torch.ones(2, 3, dtype=torch.long), present, need_weights
        )
        logits.sum().backward()
        assert torch.isfinite(logits).all()
        assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


# The cache.


@NORM_FIRST
@pytest.mark.parametrize("pieces", [[1] * 7, [3, 1, 1, 2], [7]])
@pytest.mark.parametrize("need_weights", [True, False])
def test_cached_decoding_gives_equal_outputs(norm_first, pieces, need_weights):
    decoder = drawn(Decoder(WORDS, D, HEADS, HIDDEN, 3, norm_first))
    tokens, cache, got = torch.randint(WORDS, (2, 7)), Cache(), []
    for piece in tokens.split(pieces, 1):
        logits, maps = decoder(piece, cache, need_weights)
        got.append(logits)
        assert not need_weights or maps[0].shape == (2, HEADS, piece.shape[1], cache.length)
    close(torch.cat(got, 1), decoder(tokens)[0], "decoder")

    model = drawn(EncoderDecoder(OTHER_WORDS, WORDS, D, HEADS, HIDDEN, 2, norm_first))
    source, present, cache, got = torch.randint(OTHER_WORDS, (2, 6)), padded(6, 4), Cache(), []
    memory, _ = model.encoder.encode(source, present)
    for n, piece in enumerate(tokens.split(pieces, 1)):
        once = memory if n == 0 else torch.full_like(memory, torch.nan)  # its keys and values are kept
        got.append(model.decode(piece, once, present, cache, need_weights)[0])
    close(torch.cat(got, 1), model(source, tokens, present)[0], "encoder and decoder")
    assert cache.length == 7 and len(cache.kept) == 4


def test_cache_passes_gradients():
    model, tokens, cache = drawn(Decoder(WORDS, D, HEADS, HIDDEN, 2)), torch.randint(WORDS, (2, 4)), Cache()
    torch.cat([model(tokens[:, t : t + 1], cache)[0] for t in range(4)], 1).square().sum().backward()
    got = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model(tokens)[0].square().sum().backward()
    for gradient, parameter in zip(got, model.parameters(), strict=True):
        close(gradient, parameter.grad, tolerance=1e-9)


def decode(model, length, cached):
    """Decode `length` tokens one after another, as a model would that writes."""
    tokens, cache = torch.randint(WORDS, (1, length)), Cache()
    for t in range(length):
        if cached:
            model(tokens[:, t : t + 1], cache)
        else:
            model(tokens[:, : t + 1])


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("length", [1, 5, 11])
def test_multiplications_are_those_that_pytorch_counts(cached, length):
    model = Decoder(WORDS, D, HEADS, HIDDEN, 3)
    with FlopCounterMode(display=False) as counter:
        decode(model, length, cached)
    assert counter.get_total_flops() == 2 * model.multiplications(length, cached)


def test_tokens_that_pass_through_a_block():
    """n with a cache, n(n + 1)/2 without; and the cache holds a key and a value of each token, block and head."""
    model, rows = Decoder(WORDS, D, HEADS, HIDDEN, 3), []
    model.blocks[1].feed_forward.register_forward_hook(lambda _, given, __: rows.append(given[0].shape[-2]))
    decode(model, 11, cached=True)
    assert rows == [1] * 11
    rows.clear()
    decode(model, 11, cached=False)
    assert rows == list(range(1, 12)) and sum(rows) == 66
    cache = Cache()
    model(torch.randint(WORDS, (1, 11)), cache)
    assert sum(kept.numel() for pair in cache.kept.values() for kept in pair) == 2 * 3 * 11 * D


def test_a_cache_that_forgets_is_caught(monkeypatch):
    def forget(self, layer, x, source, attn_mask, need_weights):
        self.kept.clear()
        return layer(x, source, source, None, need_weights)

    monkeypatch.setattr(Cache, "attend", forget)
    with pytest.raises(AssertionError, match="decoder"):
        test_cached_decoding_gives_equal_outputs(False, [1] * 7, False)


def test_a_position_that_does_not_move_is_caught(monkeypatch):
    forward = Embedding.forward
    monkeypatch.setattr(Embedding, "forward", lambda self, tokens, start=0: forward(self, tokens))
    with pytest.raises(AssertionError, match="decoder"):
        test_cached_decoding_gives_equal_outputs(False, [1] * 7, True)


# Writing.


def test_next_log_probs_are_the_last_logits():
    model = drawn(Decoder(WORDS, D, HEADS, HIDDEN, 2))
    prefixes = np.random.default_rng(0).integers(WORDS, size=(3, 4))
    got = model.next_log_probs(prefixes)
    wanted = model(torch.from_numpy(prefixes))[0][:, -1].log_softmax(-1)
    assert_allclose(got, wanted.detach().numpy(), rtol=1e-12)
    assert_allclose(np.exp(got).sum(-1), 1)
    model = drawn(EncoderDecoder(OTHER_WORDS, WORDS, D, HEADS, HIDDEN, 2))
    source = np.array([3, 8, 4])
    wanted = model(torch.from_numpy(source).expand(3, -1), torch.from_numpy(prefixes))[0][:, -1].log_softmax(-1)
    assert_allclose(model.next_log_probs(source, prefixes), wanted.detach().numpy(), rtol=1e-12)


def test_translating_many_is_greedy_for_each():
    model = drawn(EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 1))
    source, present = torch.randint(3, WORDS, (4, 7)), padded(7, 4, 2, 6)
    endless = model.translate(source, present, start=START, end=OTHER_WORDS, pad=PAD, max_length=6)
    end = int(endless[0, 3])  # so that some sentences end early
    got = model.translate(source, present, start=START, end=end, pad=PAD, max_length=6)
    assert (got[:, 0] == START).all() and got.shape == (4, 6)
    for row, tokens, there in zip(got, source, present, strict=True):
        alone = greedy(partial(model.next_log_probs, tokens[there].numpy()), START, end, 5).tokens
        assert row[1:].tolist() == [*alone, *[PAD] * (5 - len(alone))]
    assert end in got[0, :4] and not torch.equal(got, endless)


# Sizes, seeds, refusals.


def test_numbers_of_parameters():
    block = 4 * D * D + 2 * D * HIDDEN + HIDDEN + D + 4 * D
    cross = 4 * D * D + 2 * D
    count = {
        "encoder": sum(p.numel() for p in Encoder(WORDS, D, HEADS, HIDDEN, 3).parameters()),
        "norm first": sum(p.numel() for p in Decoder(WORDS, D, HEADS, HIDDEN, 3, norm_first=True).parameters()),
        "both": sum(p.numel() for p in EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 3).parameters()),
    }
    assert count["encoder"] == WORDS * D + 3 * block
    assert count["norm first"] == WORDS * D + 3 * block + 2 * D
    assert count["both"] == (WORDS + OTHER_WORDS) * D + 3 * (2 * block + cross)


def test_same_seed_same_model_and_a_state_survives():
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 2, norm_first=True))
    other = drawn(EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 2, norm_first=True))
    source, target = torch.randint(WORDS, (2, 7)), torch.randint(OTHER_WORDS, (2, 5))
    assert torch.equal(models[0](source, target)[0], models[1](source, target)[0])
    assert not torch.equal(models[0](source, target)[0], other(source, target)[0])
    other.load_state_dict(models[0].state_dict())
    assert torch.equal(models[0](source, target)[0], other.eval()(source, target)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device found")
@NORM_FIRST
def test_on_cuda(norm_first):
    model = drawn(EncoderDecoder(WORDS, OTHER_WORDS, D, HEADS, HIDDEN, 2, norm_first))
    source, target, present = torch.randint(WORDS, (2, 7)), torch.randint(OTHER_WORDS, (2, 5)), padded(7, 4)
    words = {"start": START, "end": END, "pad": PAD, "max_length": 9}
    wanted, translation = model(source, target, present)[0], model.translate(source, present, **words)
    model.cuda()
    moved = source.cuda(), target.cuda(), present.cuda()
    for need_weights in (True, False):
        close(model(*moved, need_weights)[0].cpu(), wanted, tolerance=1e-9)
    assert torch.equal(model.translate(moved[0], moved[2], **words).cpu(), translation)
    assert model.next_log_probs(source[0].numpy(), target.numpy()).shape == (2, OTHER_WORDS)


TOKENS = torch.zeros(2, 3, dtype=torch.long)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: EncoderBlock(12, 5, 8), ValueError, "heads: wanted a divisor of d_model = 12, got 5"),
        (lambda: EncoderBlock(12, 3, 8, 1), TypeError, "norm_first: wanted True or False, got 1"),
        (lambda: DecoderBlock(12, 3, 8, "yes"), TypeError, "norm_first: wanted True or False, got 'yes'"),
        (lambda: DecoderBlock(12, 3, 0), ValueError, "d_hidden: wanted an integer of at least 1, got 0"),
        (lambda: Embedding(0, 4), ValueError, "vocabulary: wanted an integer of at least 1, got 0"),
        (lambda: Encoder(5, 4, 2, 8, 0), ValueError, "blocks: wanted an integer of at least 1, got 0"),
        (lambda: Decoder(5, 4, 2, 8, 1.0), TypeError, "blocks: wanted an integer, got float"),
        (lambda: Encoder(5, 4, 2, 8, 1)(TOKENS + 5), ValueError, "tokens: wanted 0 to 4, got 5 to 5"),
        (lambda: Encoder(5, 4, 2, 8, 1)(TOKENS - 1), ValueError, "tokens: wanted 0 to 4, got -1 to -1"),
        (
            lambda: Encoder(5, 4, 2, 8, 1)(TOKENS.double()),
            TypeError,
            "tokens: wanted a torch.Tensor of integers, got dtype torch.f",
        ),
        (lambda: Encoder(5, 4, 2, 8, 1)([[1]]), TypeError, "tokens: wanted a torch.Tensor of integers, got list"),
        (lambda: Encoder(5, 4, 2, 8, 1)(TOKENS[0, 0]), ValueError, r"tokens: wanted shape \(..., L\), got \(\)"),
        (
            lambda: Encoder(5, 4, 2, 8, 1)(TOKENS, TOKENS),
            TypeError,
            "present: wanted a torch.Tensor of booleans, got dtype torch.i",
        ),
        (
            lambda: Encoder(5, 4, 2, 8, 1)(TOKENS, TOKENS[:1] == 0),
            ValueError,
            r"present: wanted shape \(2, 3\), got \(1, 3\)",
        ),
        (
            lambda: EncoderDecoder(5, 5, 4, 2, 8, 1)(TOKENS, TOKENS, TOKENS[:, :2] == 0),
            ValueError,
            r"present: wanted shape \(2, 3\), got \(2, 2\)",
        ),
        (lambda: EncoderBlock(12, 3, 8).steps(torch.zeros(2, 11)), ValueError, "wanted shape .* got"),
        (
            lambda: Decoder(5, 4, 2, 8, 1).multiplications(0, True),
            ValueError,
            "length: wanted an integer of at least 1",
        ),
        (lambda: Decoder(5, 4, 2, 8, 1).multiplications(3, 1), TypeError, "cached: wanted True or False, got 1"),
    ],
)
def test_refuses(unhooked, call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_multi_head_inside_is_the_books():
    assert isinstance(EncoderBlock(D, HEADS, HIDDEN).attention, MultiHead)


@pytest.mark.parametrize(("heads", "width"), [(3, "W_Q = 4"), (4, "W_V = 6")])
def test_heads_divide_the_keys_width_and_the_values(heads, width):
    x, narrow, wide = np.ones((2, 6)), np.ones((6, 4)), np.ones((6, 6))
    with pytest.raises(ValueError, match=f"heads: wanted a divisor of {width}, got {heads}"):
        multi_head(x, x, x, W_Q=narrow, W_K=narrow, W_V=wide, W_O=wide, heads=heads)

"""The Reformer beside its equations, with the NumPy definitions for its parts; and the three savings at once."""

import numpy as np
import pytest
import torch
from contract import shapes_checked
from kept import kept_bytes
from numpy.testing import assert_allclose
from torch import nn

from attn_edu.core import feed_forward, layer_norm
from attn_edu.memory import Largest
from attn_edu.models import LshHeads, Reformer
from attn_edu.sparse import LshAttention, lsh_attention

SIZES = {"vocabulary": 7, "max_length": 512, "d_model": 6, "heads": 2, "d_hidden": 13, "layers": 3}
HASH = {"rounds": 2, "buckets": (4,), "chunk": 3, "tokens_at_a_time": 5}


def build(**changes):
    torch.manual_seed(0)
    model = Reformer(**SIZES | HASH | changes).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture
def tokens():
    return torch.from_numpy(np.random.default_rng(1).integers(7, size=(2, 11)))


def by_hand(model, tokens):
    """Compute the logits in NumPy."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    x = state["table"][tokens] + state["positions.P"][: tokens.shape[-1]]
    x_1, x_2 = x, x

    def take(prefix):
        return {n.removeprefix(prefix + "."): a for n, a in state.items() if n.startswith(prefix + ".")}

    def heads(x):
        return np.stack(np.split(x, SIZES["heads"], axis=-1), axis=-3)

    for layer in range(SIZES["layers"]):
        norm, part = take(f"stack.parts.{2 * layer}.0"), take(f"stack.parts.{2 * layer}.1")
        y = layer_norm(x_2, **norm)
        context, _ = lsh_attention(
            heads(y @ part["W_S"]),
            heads(y @ part["W_V"]),
            rotations=part["attend.rotations"],
            buckets=HASH["buckets"],
            chunk=HASH["chunk"],
            causal=True,
        )
        x_1 = x_1 + np.concatenate(np.moveaxis(context, -3, 0), axis=-1) @ part["W_O"]
        norm, part = take(f"stack.parts.{2 * layer + 1}.0"), take(f"stack.parts.{2 * layer + 1}.1")
        x_2 = x_2 + feed_forward(layer_norm(x_1, **norm), **part)
    both = layer_norm(np.concatenate([x_1, x_2], axis=-1), **take("norm"))
    return both @ state["head.weight"].T + state["head.bias"]


def test_it_is_its_equations(tokens):
    model = build()
    assert_allclose(model(tokens).detach(), by_hand(model, tokens), rtol=1e-10, atol=1e-12)
    assert_allclose(model(tokens[0]).detach(), by_hand(model, tokens)[0], rtol=1e-10, atol=1e-12)


def test_nothing_is_lost_by_keeping_less(tokens):
    results = []
    for store in (False, True):
        model = build(store=store)
        logits = model(tokens)
        logits.logsumexp(-1).sum().backward()
        results.append([logits.detach(), *(parameter.grad for parameter in model.parameters())])
    for a, b in zip(*results, strict=True):
        assert b.abs().max() > 1e-6
        assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def test_of_a_layer_it_keeps_the_buckets_alone():
    tokens = torch.zeros(2, 32, dtype=torch.long)
    found = {}
    for layers in (2, 4, 8):
        for store in (False, True):
            model = build(layers=layers, store=store)
            found[store, layers] = kept_bytes(lambda model=model: model(tokens), model.parameters())[0]
    buckets = 2 * SIZES["heads"] * model.stack.parts[0][1].attend.rotations.shape[0] * 32 * 4  # of a layer, in bytes
    assert found[False, 8] - found[False, 4] == 2 * (found[False, 4] - found[False, 2]) == 4 * buckets
    assert found[False, 2] < found[True, 2]
    assert found[True, 8] - found[True, 4] == 2 * (found[True, 4] - found[True, 2])


def test_neither_maps_nor_hidden_features_are_ever_whole():
    tokens = torch.zeros(1, 512, dtype=torch.long)
    model = build(chunk=8, d_hidden=96)
    with Largest() as watch:
        model(tokens).sum().backward()
    assert watch.elements < 512 * 96 < 512 * 512 * 2


def test_only_earlier_words_count(tokens):
    """With one chunk for all, no border can move: then what follows changes nothing."""
    model = build(chunk=40)
    other = tokens.clone()
    other[:, 6:] = (tokens[:, 6:] + 1) % 7
    before, after = model(tokens).detach(), model(other).detach()
    assert_allclose(before[:, :6], after[:, :6], atol=1e-12)
    assert (before[:, 6:] - after[:, 6:]).abs().min(-1).values.max() > 1e-3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"layers": 0}, ValueError, "layers: wanted an integer of at least 1, got 0"),
        ({"heads": 4}, ValueError, "heads: wanted a divisor of d_model = 6, got 4"),
        ({"buckets": (3,)}, ValueError, "buckets: wanted even numbers"),
        ({"tokens_at_a_time": 0}, ValueError, "tokens_at_a_time: wanted an integer of at least 1, got 0"),
        ({"store": 1}, TypeError, "store: wanted True or False, got 1"),
    ],
)
def test_it_refuses(unhooked, change, error, message):
    with pytest.raises(error, match=message):
        Reformer(**SIZES | HASH | change)
    with pytest.raises(ValueError, match="tokens: wanted 0 to 6, got 0 to 9"):
        build()(torch.tensor([0, 9]))
    with pytest.raises(ValueError, match=r"W_S: wanted shape \(d, d\) with d = 5 as in x, got \(6, 6\)"):
        LshHeads(6, 2, 1, (4,), 3)(torch.zeros(4, 5))


def test_a_layer_hashes_once(monkeypatch):
    """Going back, inputs are off by rounding: a second hash could put a vector elsewhere."""
    calls = []
    hash_once = LshAttention.hash
    monkeypatch.setattr(LshAttention, "hash", lambda self, x: calls.append(1) or hash_once(self, x))
    for store in (True, False):
        torch.manual_seed(0)
        model = Reformer(10, 16, 6, 2, 24, 3, 2, (4,), 4, 8, store=store)
        model(torch.arange(16)[None] % 10).square().sum().backward()
    assert len(calls) == 2 * 3


def test_buckets_of_the_wrong_shape_are_refused():
    layer = LshAttention(4, 2, (4,), 3)
    x = torch.randn(2, 5, 4)
    for bucket in (torch.zeros(2, 2, 6, dtype=torch.long), torch.zeros(2, 2, 5)):
        match = r"bucket: wanted integers of shape \(2, 2, 5\), got"
        with shapes_checked(False), pytest.raises(ValueError, match=match):
            layer(x, x, bucket=bucket)
    for need_weights in (True, False):
        given, _ = layer(x, x, need_weights, layer.hash(x))
        assert torch.equal(given, layer(x, x, need_weights)[0])

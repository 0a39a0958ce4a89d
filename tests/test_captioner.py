"""The captioner beside its equations, with the NumPy definitions for its looks."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from attn_edu.models import Captioner
from attn_edu.selection import (
    HardAttention,
    RelaxedAttention,
    SoftAttention,
    gumbel_noise,
    hard_attention,
    relaxed_attention,
    soft_attention,
)

SIDE, CELL, WORDS, WIDTH, HIDDEN = 6, 2, 11, 5, 7
N, T, S = 4, 3, 9
KINDS = {
    "soft": lambda: SoftAttention(WIDTH, WIDTH, HIDDEN),
    "hard": lambda: HardAttention(WIDTH, WIDTH, HIDDEN),
    "relaxed": lambda: RelaxedAttention(WIDTH, WIDTH, HIDDEN, temperature=0.7),
}


def build(kind):
    torch.manual_seed(0)
    model = Captioner(SIDE, CELL, WORDS, WIDTH, KINDS[kind]()).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture
def inputs():
    rng = np.random.default_rng(1)
    images, noise = rng.random((N, SIDE, SIDE, 3)), rng.gumbel(size=(N, T, S))
    return tuple(map(torch.from_numpy, (images, rng.integers(WORDS, size=(N, T)), noise)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(model, kind, images, captions, noise, averaged):
    """Compute logits, weights and log-probabilities in NumPy."""
    p = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    own = {name[len("attention.") :]: array for name, array in p.items() if name.startswith("attention.")}
    pixels = [
        images[:, row : row + CELL, column : column + CELL].reshape(N, -1)
        for row in range(0, SIDE, CELL)
        for column in range(0, SIDE, CELL)
    ]
    hidden = np.maximum(np.stack(pixels, 1) @ p["cells.W"] + p["cells.b"], 0)
    a = hidden @ p["features.weight"].T + p["features.bias"] + p["places.P"]
    h = np.tanh(a.mean(1) @ p["first_state.weight"].T + p["first_state.bias"])
    out = [], [], []
    for t in range(T):
        query = h[:, None]
        if kind == "soft":
            context, weights = soft_attention(query, a, a, **own)
            log_prob = None
        elif kind == "relaxed":
            context, weights = relaxed_attention(query, a, a, noise[:, [t]], temperature=0.7, **own)
            log_prob = None
        else:
            alpha = hard_attention(query, a, a, np.zeros((N, 1), int), **own)[1]
            choice = (np.log(alpha) + noise[:, [t]]).argmax(-1)
            context, weights, log_prob = hard_attention(query, a, a, choice, **own)
            context = np.where(averaged[:, None, None], alpha @ a, context)
            log_prob = np.where(averaged[:, None], 0, log_prob)
        z, word = context[:, 0], p["embedding.weight"][captions[:, t]]
        gates_x = np.concatenate([word, z], -1) @ p["decoder.weight_ih"].T + p["decoder.bias_ih"]
        gates_h = h @ p["decoder.weight_hh"].T + p["decoder.bias_hh"]
        (r_x, u_x, n_x), (r_h, u_h, n_h) = (np.split(gates, 3, -1) for gates in (gates_x, gates_h))
        update, new = sigmoid(u_x + u_h), np.tanh(n_x + sigmoid(r_x + r_h) * n_h)
        h = (1 - update) * new + update * h
        deep = word + h @ p["L_h.weight"].T + z @ p["L_z.weight"].T
        out[0].append(deep @ p["L_o.weight"].T + p["L_o.bias"])
        out[1].append(weights[:, 0])
        out[2].append(None if log_prob is None else log_prob[:, 0])
    return tuple(None if part[0] is None else np.stack(part, 1) for part in out)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_its_equations(kind, inputs):
    model, averaged = build(kind), torch.tensor([True, False, False, True])
    with torch.no_grad():
        got = model(*inputs, averaged if kind == "hard" else None)
    wanted = by_hand(model, kind, *(x.numpy() for x in (*inputs, averaged)))
    for one, other in zip(got, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_later_words_change_nothing_before(kind, inputs):
    model, (images, captions, noise) = build(kind), inputs
    changed = captions.clone()
    changed[:, 1] = (captions[:, 1] + 1) % WORDS
    one, other = model(images, captions, noise)[0], model(images, changed, noise)[0]
    assert_allclose(one[:, 0].detach(), other[:, 0].detach())
    assert (one[:, 1:] - other[:, 1:]).abs().min() > 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind, inputs):
    model = build(kind)
    logits, _, log_prob = model(*inputs)
    (logits.square().sum() + (log_prob.sum() if kind == "hard" else 0)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_without_log_probabilities_hard_attention_learns_nothing_of_where(inputs):
    model = build("hard")
    model(*inputs)[0].square().sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.attention.parameters())


def test_noise_draws_from_the_weights(inputs):
    model, count = build("hard"), 40_000
    with torch.no_grad():
        places, state = (x[:1].expand(count, *x.shape[1:]) for x in model.start(inputs[0]))
        noise = gumbel_noise((count, S), torch.Generator().manual_seed(0), torch.float64)
        context, weights, log_prob = model.look(state, places, noise)
    chosen = (context[:, None] == places).all(-1).double()
    assert (chosen.sum(-1) == 1).all()
    assert_allclose(chosen.mean(0), weights[0], atol=0.01)
    assert_allclose(log_prob, (chosen * weights.log()).sum(-1))


def test_without_noise_hard_attention_looks_where_the_weight_is_largest(inputs):
    model = build("hard")
    with torch.no_grad():
        places, state = model.start(inputs[0])
        context, weights, _ = model.look(state, places)
    assert_allclose(context, places[torch.arange(N), weights.argmax(-1)])


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_reads_what_it_writes(kind, inputs):
    model = build(kind)
    written, weights = model.greedy(inputs[0], 6, start=1, end=2)
    assert written.shape == (N, 6) and weights.shape == (N, 6, S)
    read = torch.cat((torch.ones(N, 1, dtype=torch.long), written[:, :-1]), 1)
    with torch.no_grad():
        logits, again, _ = model(inputs[0], read)
    for row, said, one, other in zip(written, logits.argmax(-1), weights, again, strict=True):
        ends = (row == 2).nonzero()
        last = int(ends[0]) + 1 if len(ends) else 6
        assert row[:last].tolist() == said[:last].tolist() and not row[last:].any()
        assert_allclose(one[:last], other[:last])
    everything = [model.greedy(inputs[0], 6, end=word)[0] for word in written[0].unique().tolist()]
    assert any((rows[0] == 0).any() for rows in everything)  # some word, if it were the end, would end it


def test_any_module_of_query_key_and_value_will_do(inputs):
    class Even(nn.Module):
        def forward(self, query, key, value):
            weights = torch.full((len(query), 1, S), 1 / S, dtype=query.dtype)
            return weights @ value, weights

    model = Captioner(SIDE, CELL, WORDS, WIDTH, Even()).double()
    logits, weights, log_prob = model(*inputs)
    assert logits.shape == (N, T, WORDS) and log_prob is None
    assert_allclose(weights, 1 / S)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"side": 0}, ValueError, "side: wanted an integer of at least 1, got 0"),
        ({"cell": 4}, ValueError, "cell: wanted a divisor of side = 6, got 4"),
        ({"words": 2.0}, TypeError, "words: wanted an integer, got float"),
        ({"width": 0}, ValueError, "width: wanted an integer of at least 1, got 0"),
        ({"attention": "soft"}, TypeError, "attention: wanted an nn.Module, got str"),
    ],
)
@pytest.mark.usefixtures("unhooked")
def test_it_refuses(change, error, message):
    with pytest.raises(error, match=message):
        Captioner(**{"side": SIDE, "cell": CELL, "words": WORDS, "width": WIDTH, "attention": KINDS["soft"]()} | change)


@pytest.mark.usefixtures("unhooked")
def test_it_refuses_images_of_another_size(inputs):
    with pytest.raises(ValueError, match="images: wanted 6 × 6 pixels, got \\(4, 6\\)"):
        build("soft")(inputs[0][:, :4], inputs[1])
    with pytest.raises(ValueError, match="limit: wanted an integer of at least 1, got 0"):
        build("soft").greedy(inputs[0], 0)

"""The recurrent encoder–decoder: worked by hand, blind to padding, the same whether forced or free."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from attn_edu.models import Seq2Seq
from attn_edu.scores import Additive


class Blind(nn.Module):
    """Attention that gives every place that it may see the same weight."""

    def forward(self, query, key, value, attn_mask=None, need_weights=True):
        weights = attn_mask.to(value.dtype) / attn_mask.sum(-1, keepdim=True)
        return weights @ value, weights if need_weights else None


def make(kind, both=None, dtype=torch.float64):
    torch.manual_seed(0)
    width = 5
    states = width * (2 if both or (both is None and kind != "none") else 1)
    attention = {"none": None, "additive": Additive(width, states, 3), "blind": Blind()}[kind]
    return Seq2Seq(11, 13, width, attention=attention, both=both).to(dtype)


SOURCE = torch.tensor([[4, 7, 9, 2, 0, 0], [5, 10, 4, 8, 6, 2], [3, 2, 0, 0, 0, 0]])
TARGET = torch.tensor([[1, 4, 9, 12], [1, 3, 3, 5], [1, 11, 2, 0]])
KINDS = pytest.mark.parametrize(
    ("kind", "both"), [("none", None), ("none", True), ("additive", None), ("additive", False), ("blind", None)]
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def unit(gru, x, h):
    """One step of the gated recurrent unit, from its equations."""
    W_i, W_h, b_i, b_h = (
        getattr(gru, f"{name}_l0").detach().numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    (ir, iz, i_n), (hr, hz, hn) = np.split(W_i @ x + b_i, 3), np.split(W_h @ h + b_h, 3)
    r, z = sigmoid(ir + hr), sigmoid(iz + hz)
    n = np.tanh(i_n + r * hn)
    return (1 - z) * n + z * h


def by_hand(model, source, target):
    """Logits and weights of one sentence without padding, by loops over the equations."""

    def linear(layer, x):
        return layer.weight.detach().numpy() @ x + layer.bias.detach().numpy()

    words = model.source_embedding.weight.detach().numpy()[source]
    ahead, h = [], np.zeros(5)
    for x in words:
        ahead.append(h := unit(model.forwards, x, h))
    states = np.array(ahead)
    last = states[-1]
    s = np.tanh(linear(model.first_state, last))
    if model.backwards is not None:
        behind, h = [], np.zeros(5)
        for x in words[::-1]:
            behind.append(h := unit(model.backwards, x, h))
        states = np.concatenate((states, np.array(behind[::-1])), 1)
        last, s = np.concatenate((last, h)), np.tanh(linear(model.first_state, h))
    logits, maps = [], []
    for y in model.target_embedding.weight.detach().numpy()[target]:
        if model.attention is None:
            c = last
        else:
            if isinstance(model.attention, Additive):
                W, U, v = (p.detach().numpy() for p in (model.attention.W_a, model.attention.U_a, model.attention.v_a))
                e = np.array([v @ np.tanh(W @ s + U @ h) for h in states])  # s is still that of the step before
            else:
                e = np.zeros(len(states))
            maps.append(np.exp(e) / np.exp(e).sum())
            c = maps[-1] @ states
        s = unit(model.decoder, np.concatenate((y, c)), s)
        logits.append(linear(model.readout, np.concatenate((s, c, y))))
    return np.array(logits), np.array(maps) if maps else None


@KINDS
def test_equals_the_equations_in_a_loop(kind, both):
    model = make(kind, both)
    logits, weights = model(SOURCE, TARGET)
    for n, length in enumerate((4, 6, 2)):
        expected, rows = by_hand(model, SOURCE[n, :length].numpy(), TARGET[n].numpy())
        np.testing.assert_allclose(logits[n].detach(), expected, atol=1e-12)
        if rows is not None:
            np.testing.assert_allclose(weights[n, :, :length].detach(), rows, atol=1e-12)
            assert (weights[n, :, length:] == 0).all()
    assert (weights is None) == (kind == "none")


def test_one_number_worked_by_hand():
    """Width 1, all biases and most weights 0: z = 1/2 everywhere, so a state is the mean of the old one and tanh x."""
    model = Seq2Seq(4, 3, 1).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.source_embedding.weight[2], model.source_embedding.weight[3] = 1.0, -2.0
        model.forwards.weight_ih_l0[2] = 1.0  # the candidate is tanh x
        model.first_state.weight.fill_(1.0)
        model.decoder.weight_ih_l0[2, 1] = 1.0  # the candidate is tanh c
        model.readout.weight[1] = torch.tensor([1.0, 0.0, 0.0])
        model.readout.weight[2] = torch.tensor([0.0, 1.0, 0.0])
    states, last = model.encode(torch.tensor([[2, 3]]))
    h1 = np.tanh(1) / 2
    h2 = (np.tanh(-2) + h1) / 2
    np.testing.assert_allclose(states[0, :, 0].detach(), [h1, h2])
    assert last.item() == states[0, 1, 0].item()
    s0 = np.tanh(h2)
    s1 = (np.tanh(h2) + s0) / 2
    s2 = (np.tanh(h2) + s1) / 2
    logits, _ = model(torch.tensor([[2, 3]]), torch.tensor([[1, 0]]))
    np.testing.assert_allclose(logits[0].detach(), [[0, s1, h2], [0, s2, h2]])


@pytest.mark.parametrize("both", [False, True])
def test_encoder_equals_packed_sequences(both):
    model = make("none", both)
    packed = nn.GRU(5, 5, batch_first=True, bidirectional=both).double()
    parts = {"": model.forwards, "_reverse": model.backwards} if both else {"": model.forwards}
    packed.load_state_dict({f"{k}{ending}": v for ending, gru in parts.items() for k, v in gru.state_dict().items()})
    lengths = (SOURCE > 0).sum(1)
    sequence = pack_padded_sequence(model.source_embedding(SOURCE), lengths, batch_first=True, enforce_sorted=False)
    read, end = packed(sequence)
    states, last = model.encode(SOURCE)
    torch.testing.assert_close(states, pad_packed_sequence(read, batch_first=True)[0])
    torch.testing.assert_close(last, torch.cat(tuple(end), -1))


def same_with_padding(model):
    """Are a sentence's results the same, alone and among longer ones?"""
    logits, weights = model(SOURCE, TARGET)
    greedy, _ = model.greedy(SOURCE, 7)
    for n, length in enumerate((4, 6, 2)):
        alone, row = model(SOURCE[n : n + 1, :length], TARGET[n : n + 1])
        free, _ = model.greedy(SOURCE[n : n + 1, :length], 7)
        close = torch.allclose(alone[0], logits[n], atol=1e-12) and torch.equal(free[0], greedy[n])
        if weights is not None:
            close = close and torch.allclose(row[0], weights[n, :, :length], atol=1e-12)
        if not close:
            return False
    return True


@KINDS
def test_padding_changes_nothing(kind, both):
    model = make(kind, both)
    assert same_with_padding(model)
    with torch.no_grad():
        model.source_embedding.weight[0] += 100
    assert same_with_padding(model)


def test_padding_faults_are_seen(monkeypatch):
    """A last state that is the last column's, a backward reader that begins in the padding, and no mask."""
    model = make("none")
    encode = model.encode
    monkeypatch.setattr(
        model, "encode", lambda source: (encode(source)[0], model.forwards(model.source_embedding(source))[0][:, -1])
    )
    assert not same_with_padding(model)
    model = make("additive")
    states = model.encode(SOURCE)[0]

    def turned(source):
        ahead = model.forwards(model.source_embedding(source))[0]
        back = model.backwards(model.source_embedding(source).flip(1))[0].flip(1)
        return torch.cat((ahead, back), -1), torch.cat((ahead[:, -1], back[:, 0]), -1)

    monkeypatch.setattr(model, "encode", turned)
    assert not torch.allclose(turned(SOURCE)[0][0, :4], states[0, :4]) and not same_with_padding(model)
    model = make("additive")
    asking = model.asking
    monkeypatch.setattr(model, "asking", lambda s, last, present, need: asking(s, last, torch.ones_like(present), need))
    assert not same_with_padding(model)


def free_is_forced(model):
    words, weights = model.greedy(SOURCE, 9)
    fed = torch.cat((torch.ones(3, 1, dtype=torch.long), words[:, :-1]), 1)
    logits, forced = model(SOURCE, fed)
    for n in range(3):
        ended = (words[n] == 2).nonzero()
        upto = int(ended[0]) + 1 if len(ended) else 9
        if not torch.equal(logits[n, :upto].argmax(-1), words[n, :upto]) or (words[n, upto:] != 0).any():
            return False
        if weights is not None:
            torch.testing.assert_close(weights[n, :upto], forced[n, :upto])
            assert (weights[n, upto:] == 0).all()
    return True


@KINDS
@pytest.mark.parametrize("seed", range(4))
def test_greedy_equals_teacher_forcing_on_its_own_words(kind, both, seed):
    model = make(kind, both)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-1.5, 1.5)
        model.readout.bias[2] += 1.5  # sentences that end, at different places
    assert free_is_forced(model)


def test_greedy_ends():
    model = make("additive")
    with torch.no_grad():
        model.readout.bias[2] += 100
    words, weights = model.greedy(SOURCE, 4)
    assert words.tolist() == [[2, 0, 0, 0]] * 3
    assert (weights[:, 1:] == 0).all() and torch.allclose(weights[:, 0].sum(-1), torch.ones(3, dtype=torch.float64))
    assert (
        model.greedy(SOURCE, 4, need_weights=False)[1] is None and model(SOURCE, TARGET, need_weights=False)[1] is None
    )
    assert model.greedy(SOURCE, 4, end=5)[0].tolist() == [[2] * 4] * 3


def test_a_fault_in_the_order_is_seen():
    """The context is asked for by s_{i-1}; asked for by s_i, it would be another."""
    model = make("additive")
    logits, _ = model(SOURCE, TARGET)
    states, last = model.encode(SOURCE)
    ask = model.asking(states, last, SOURCE > 0)
    y, s = model.target_embedding(TARGET[:, 0]), model.begin(last)
    right = ask(s)[0]
    late = ask(model.move(y, right, s))[0]

    def say(c):
        return model.readout(torch.cat((model.move(y, c, s), c, y), -1))

    torch.testing.assert_close(say(right), logits[:, 0])
    assert not torch.allclose(say(late), logits[:, 0], atol=1e-6)


def test_the_fast_way_equals_the_module_itself():
    """Additive attention is projected once; behind a wrapper it is called as any other module."""

    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *arguments, **named):
            return self.inner(*arguments, **named)

    fast = make("additive")
    slow = copy.deepcopy(fast)
    slow.attention = Wrapped(slow.attention)
    for ours, theirs in zip(fast(SOURCE, TARGET), slow(SOURCE, TARGET), strict=True):
        torch.testing.assert_close(ours, theirs)
    fast(SOURCE, TARGET)[0].square().sum().backward()
    slow(SOURCE, TARGET)[0].square().sum().backward()
    for ours, theirs in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@KINDS
def test_every_parameter_learns(kind, both):
    model = make(kind, both)
    logits, _ = model(SOURCE, TARGET)
    nn.functional.cross_entropy(logits.flatten(0, 1), TARGET.roll(-1, 1).flatten(), ignore_index=0).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert (model.source_embedding.weight.grad[0] == 0).all()  # padding of the source is not read


def test_later_target_words_do_not_matter():
    model = make("additive")
    other = TARGET.clone()
    other[:, 2:] = 7
    torch.testing.assert_close(model(SOURCE, TARGET)[0][:, :2], model(SOURCE, other)[0][:, :2])
    assert not torch.allclose(model(SOURCE, TARGET)[0][:, 2:], model(SOURCE, other)[0][:, 2:])


def test_refuses(unhooked):
    with pytest.raises(ValueError, match="width: wanted an integer of at least 1, got 0"):
        Seq2Seq(3, 3, 0)
    with pytest.raises(TypeError, match="source_words: wanted an integer, got float"):
        Seq2Seq(3.0, 3, 2)
    with pytest.raises(ValueError, match="target_words: wanted an integer of at least 1, got -1"):
        Seq2Seq(3, -1, 2)
    with pytest.raises(TypeError, match=r"attention: wanted an nn.Module, got str"):
        Seq2Seq(3, 3, 2, attention="additive")
    with pytest.raises(TypeError, match="both: wanted True or False, got 1"):
        Seq2Seq(3, 3, 2, both=1)
    with pytest.raises(ValueError, match="source: wanted in each row words, at least one, and then padding"):
        make("none")(torch.tensor([[4, 0, 5]]), torch.tensor([[1]]))
    with pytest.raises(ValueError, match="source: wanted in each row words, at least one, and then padding"):
        make("none")(torch.tensor([[0, 0]]), torch.tensor([[1]]))
    with pytest.raises(ValueError, match="limit: wanted an integer of at least 1, got 0"):
        make("none").greedy(SOURCE, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@KINDS
def test_cuda(kind, both):
    model = make(kind, both)
    here = model(SOURCE, TARGET)[0]
    there = model.cuda()(SOURCE.cuda(), TARGET.cuda())[0]
    torch.testing.assert_close(there.cpu(), here)

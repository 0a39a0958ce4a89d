"""Memory-networks: limits in which they are an LSTM, first steps by hand, and the slips of well-known code."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from attn_edu.catalogue import find
from attn_edu.mechanism import Sizes
from attn_edu.recurrent import LSTMN, LSTMNDeepFusion, lstmn, lstmn_deep_fusion
from attn_edu.scores import Additive


def drawn(name="lstmn", case="plain", length=6, seed=0):
    return find(name).examples(np.random.default_rng(seed), Sizes(L=length))[case]


def module_of(example, cls=LSTMN):
    layer = cls(**example.widths).double()
    layer.load_state_dict({name: torch.tensor(array) for name, array in example.parameters.items()})
    return layer


def tensors(example):
    return {name: torch.tensor(array) for name, array in example.inputs.items()}


def sigma(z):
    return 1 / (1 + np.exp(-z))


def cell(W, b, h, c, x, order=(0, 1, 2, 3)):
    """An LSTM's cell from its equations; `order` says where the blocks of i, f, o and the candidate stand."""
    blocks = np.split(np.concatenate([h, x]) @ W.T + b, 4)
    i, f, o, candidate = (blocks[n] for n in order)
    c = sigma(f) * c + sigma(i) * np.tanh(candidate)
    return sigma(o) * np.tanh(c), c


def test_first_steps():
    """The first place reads nothing; the second reads the first whole, whatever the scores; the third mixes."""
    example = drawn(length=3)
    x, p = example.inputs["x"][0], example.parameters
    output, weights, state = lstmn(x, **p)
    nothing = np.zeros(11)
    h1, c1 = cell(p["W"], p["b"], nothing, nothing, x[0])
    h2, c2 = cell(p["W"], p["b"], h1, c1, x[1])
    scores = [p["v"] @ np.tanh(p["W_h"] @ h + p["W_x"] @ x[2] + p["W_ht"] @ h1) for h in (h1, h2)]
    first = sigma(scores[0] - scores[1])
    read = first * h1 + (1 - first) * h2
    h3, c3 = cell(p["W"], p["b"], read, first * c1 + (1 - first) * c2, x[2])
    assert_allclose(weights, [[0, 0, 0], [1, 0, 0], [first, 1 - first, 0]])
    assert_allclose(output, [h1, h2, h3])
    assert_allclose(state, [[h1, c1, nothing], [h2, c2, h1], [h3, c3, read]])


def same_lstm(p, d, d_in):
    """PyTorch's LSTM with the same weights: its blocks are i, f, candidate, o."""
    lstm = nn.LSTM(d_in, d, batch_first=True).double()
    order = np.r_[0 : 2 * d, 3 * d : 4 * d, 2 * d : 3 * d]
    weights = {
        "weight_ih_l0": p["W"][order, d:],
        "weight_hh_l0": p["W"][order, :d],
        "bias_ih_l0": p["b"][order],
        "bias_hh_l0": np.zeros(4 * d),
    }
    lstm.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    return lstm


def test_a_memory_of_one_slot_is_an_lstm():
    """Where each place may read the last slot only, nothing is left of the attention: PyTorch's LSTM comes out."""
    example = drawn()
    x = torch.tensor(example.inputs["x"])
    last = torch.tensor(np.eye(6, k=-1, dtype=bool))
    with torch.no_grad():
        expected, (_, c) = same_lstm(example.parameters, 11, 13)(x)
        output, weights, state = module_of(example)(x, attn_mask=last)
    assert_allclose(output, expected, atol=1e-12)
    assert_allclose(state[:, -1, 1], c[0], atol=1e-12)
    assert torch.equal(weights, last.double().expand(2, 6, 6))
    numbers, _, _ = lstmn(x.numpy(), **example.parameters, attn_mask=last.numpy())
    assert_allclose(numbers, expected, atol=1e-12)
    free, _, _ = lstmn(x.numpy(), **example.parameters)
    assert_allclose(free[:, :2], expected[:, :2], atol=1e-12)  # with one slot or none there is no choice
    assert abs(free - expected.numpy())[:, 2:].max() > 1e-3


def test_a_score_that_falls_on_the_last_slot_is_an_lstm():
    """The limit without a mask: a clock in the first feature of h, and a score so steep that the last slot wins."""
    rng = np.random.default_rng(3)
    d, d_in, length = 4, 3, 5
    W, b = rng.normal(size=(4 * d, d + d_in)), rng.normal(size=4 * d)
    W[[0, d, 2 * d, 3 * d]] = 0
    b[[0, d, 2 * d, 3 * d]] = [-1, 50, 50, 50]  # c of the clock grows by σ(−1) a step, and so does h = tanh(c)
    p = {
        "W": W,
        "b": b,
        "W_h": np.eye(1, d),
        "W_x": np.zeros((1, d_in)),
        "W_ht": np.zeros((1, d)),
        "v": np.full(1, 1e4),
    }
    x = rng.normal(size=(2, length, d_in))
    output, weights, _ = lstmn(x, **p)
    assert_allclose(weights, np.broadcast_to(np.eye(length, k=-1), weights.shape), atol=1e-12)
    with torch.no_grad():
        assert_allclose(output, same_lstm(p, d, d_in)(torch.tensor(x))[0], atol=1e-10)


def test_equal_scores_read_the_mean():
    example = drawn()
    _, weights, state = lstmn(**example.inputs, **{**example.parameters, "v": np.zeros(3)})
    assert_allclose(weights[:, 4, :4], 0.25)
    assert_allclose(state[:, 4, 2], state[:, :4, 0].mean(axis=1))


@pytest.mark.parametrize("name", ["lstmn", "lstmn_deep_fusion"])
def test_no_place_sees_a_later_one(name):
    example = drawn(name)
    mechanism = find(name)
    later = {**example.inputs, "x": example.inputs["x"].copy()}
    later["x"][:, 4:] += 1
    one, two = (mechanism.reference(**inputs, **example.parameters)[0] for inputs in (example.inputs, later))
    assert np.array_equal(one[:, :4], two[:, :4])
    assert not np.allclose(one[:, 4:], two[:, 4:])


def slipped(x, W_h, W_x, W_ht, v, W, b, slip):
    """The definition once more, place by place, with one of the slips of well-known code."""
    h, c, read = [], [], [np.zeros(len(b) // 4)]
    for t, now in enumerate(x):
        scores = []
        for i in range(t):
            asked = x[i] if slip == "x of the slot" else now
            summary = read[i + 1] if slip == "summary of the slot" else read[-1]
            summary = 0 * summary if slip == "no summary" else summary
            scores.append(v @ np.tanh(W_h @ h[i] + W_x @ asked + W_ht @ summary))
        tapes = [(np.zeros(len(b) // 4),) * 2] if slip == "a slot of zeros" else []
        if slip == "a slot of zeros":
            scores.insert(0, v @ np.tanh(W_x @ now + W_ht @ read[-1]))
        tapes += list(zip(h, c, strict=True))
        s = np.exp(scores) / np.sum(np.exp(scores))
        h_tilde, c_tilde = (
            sum((w * tape[n] for w, tape in zip(s, tapes, strict=True)), np.zeros(len(b) // 4)) for n in (0, 1)
        )
        order = (0, 1, 3, 2) if slip == "PyTorch's order of gates" else (0, 1, 2, 3)
        new = cell(W, b, h_tilde, c_tilde, now, order)
        h.append(new[0]), c.append(new[1]), read.append(h_tilde)
    return np.array(h)


SLIPS = ["x of the slot", "summary of the slot", "no summary", "a slot of zeros", "PyTorch's order of gates"]


@pytest.mark.parametrize("slip", [None, *SLIPS])
def test_slips_of_well_known_code(slip):
    """Without a slip the loop is the definition; each slip gives another output, so none of them hides in it."""
    example = drawn()
    output, _, _ = lstmn(**example.inputs, **example.parameters)
    other = slipped(example.inputs["x"][0], **example.parameters, slip=slip)
    assert np.allclose(output[0], other, atol=1e-12) == (slip is None)


def test_deep_fusion_by_hand():
    """The first step: nothing of its own to read, one softmax over the source, and three terms in the memory."""
    example = drawn("lstmn_deep_fusion", length=1)
    p, d = example.parameters, 11
    x, key, value = (example.inputs[name][0] for name in ("x", "key", "value"))
    _, (own, source), state = lstmn_deep_fusion(x, key, value, **p)
    scores = np.tanh(key @ p["U_h"].T + p["U_x"] @ x[0]) @ p["u"]
    weights = np.exp(scores) / np.exp(scores).sum()
    assert own.tolist() == [[0]]
    assert_allclose(source[0], weights)
    i, _, o, candidate = np.split(np.concatenate([np.zeros(d), x[0]]) @ p["W"].T + p["b"], 4)
    r = np.concatenate([weights @ key, x[0]]) @ p["W_r"].T + p["b_r"]
    c = sigma(r) * (weights @ value) + sigma(i) * np.tanh(candidate)
    assert_allclose(state[0], [sigma(o) * np.tanh(c), c, np.zeros(d), weights @ key])


def test_deep_fusion_with_the_gate_shut_is_an_lstmn():
    example = drawn("lstmn_deep_fusion")
    p = {**example.parameters, "W_r": np.zeros((11, 24)), "b_r": np.full(11, -800.0)}
    output, (own, _), state = lstmn_deep_fusion(**example.inputs, **p)
    alone = lstmn(example.inputs["x"], **{name: p[name] for name in ("W_h", "W_x", "W_ht", "v", "W", "b")})
    for a, b in zip((output, own, state[..., :3, :]), alone, strict=True):
        assert_allclose(a, b, atol=1e-12)


def test_deep_fusion_stores_the_source_and_reads_it_again():
    """What the gate lets in at one step is on the tape: it reaches later outputs with the gate of those steps shut."""
    example = drawn("lstmn_deep_fusion")
    p = {**example.parameters, "b_r": np.full(11, -800.0)}
    p["W_r"] = np.concatenate([np.zeros((11, 11)), np.full((11, 13), 0.0)], axis=1)
    p["W_r"][:, 11] = 1600.0  # open where the first feature of x is 1
    x = example.inputs["x"].copy()
    x[..., 0] = 0
    x[:, 0, 0] = 1
    moved = example.inputs["value"] + 1
    one, two = (
        lstmn_deep_fusion(x, example.inputs["key"], value, **p)[0] for value in (example.inputs["value"], moved)
    )
    assert abs(one - two)[:, 1:].max(axis=(0, 2)).min() > 1e-3


def test_shallow_fusion_is_an_attention_beside_an_lstmn():
    """Shallow fusion needs no mechanism: the decoder's hidden states ask the encoder's, and the tape knows nothing."""
    torch.manual_seed(0)
    decoder, attend = LSTMN(5, 7).double(), Additive(7, 7, 3).double()
    x, source = torch.randn(2, 4, 5).double(), torch.randn(2, 6, 7).double()
    hidden, own, _ = decoder(x)
    context, weights = attend(hidden, source, source)
    assert context.shape == (2, 4, 7) and weights.shape == (2, 4, 6)
    assert_allclose(weights.detach() @ source, context.detach(), atol=1e-12)
    moved, _ = attend(hidden, source + 1, source + 1)
    assert not torch.allclose(moved, context)
    assert torch.equal(decoder(x)[1], own)


def test_refusals(unhooked):
    layer = LSTMN(2, 3)
    with pytest.raises(ValueError, match="state: wanted"):
        layer.step(torch.ones(1, 2), torch.ones(1, 4, 2, 3))
    with pytest.raises(ValueError, match="state: wanted"):
        LSTMNDeepFusion(2, 3).step(torch.ones(1, 2), torch.ones(1, 5, 3), torch.ones(1, 5, 3), torch.ones(1, 4, 3, 3))
    p = dict(drawn().parameters)
    with pytest.raises(ValueError, match=r"W: wanted shape \(4·d, d \+ d_in\) with d = 11 and d_in = 13"):
        lstmn(np.ones((5, 13)), **{**p, "W": np.ones((44, 23))})
    example = drawn("lstmn_deep_fusion")
    p = dict(example.parameters)
    with pytest.raises(ValueError, match=r"W: wanted shape \(4·d, d \+ d_in\)"):
        lstmn_deep_fusion(**example.inputs, **{**p, "W": p["W"][:33], "b": p["b"][:33]})

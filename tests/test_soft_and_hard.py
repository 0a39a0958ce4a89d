"""Soft, hard and relaxed attention: their limits, hard attention's gradient by enumeration, and planted faults."""

import itertools

import numpy as np
import pytest
import torch

from attn_edu import selection
from attn_edu.scores import Additive, additive
from attn_edu.selection import (
    HardAttention,
    RelaxedAttention,
    SoftAttention,
    doubly_stochastic_penalty,
    draw_choice,
    gumbel_noise,
    hard_attention,
    relaxed_attention,
    soft_attention,
)

L, S, D_Q, D_K, D_V, N = 2, 3, 4, 5, 6, 7


def arrays(seed=0, **shapes):
    rng = np.random.default_rng(seed)
    inputs = {"query": (L, D_Q), "key": (S, D_K), "value": (S, D_V)}
    parameters = {"W_a": (N, D_Q), "U_a": (N, D_K), "v_a": (N,)}
    return [{name: rng.normal(size=shape) for name, shape in part.items()} for part in (inputs, parameters)]


def built(kind, parameters, **options):
    module = kind(D_Q, D_K, N, **options).double()
    missing = module.load_state_dict({n: torch.from_numpy(a) for n, a in parameters.items()}, strict=False)
    assert not missing.unexpected_keys
    return module


def tensors(inputs, gradient=False):
    return {name: torch.from_numpy(array.copy()).requires_grad_(gradient) for name, array in inputs.items()}


# Soft.


def test_an_open_gate_is_additive_attention():
    inputs, parameters = arrays()
    gated = soft_attention(**inputs, **parameters, w_beta=np.zeros(D_Q), b_beta=np.full(1, 40.0))
    for a, b in zip(gated, additive(**inputs, **parameters), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    soft, plain = built(SoftAttention, parameters), built(Additive, parameters)
    torch.nn.init.zeros_(soft.w_beta)
    torch.nn.init.constant_(soft.b_beta, 40.0)
    torch.testing.assert_close(soft(**tensors(inputs)), plain(**tensors(inputs)))


def test_the_gate_is_one_number_a_query_and_leaves_the_weights_alone():
    inputs, parameters = arrays()
    w_beta = np.array([3.0, 0.0, -1.0, 0.5])
    output, weights = soft_attention(**inputs, **parameters, w_beta=w_beta, b_beta=np.array([0.25]))
    average, plain = additive(**inputs, **parameters)
    np.testing.assert_array_equal(weights, plain)
    gate = 1 / (1 + np.exp(-(inputs["query"] @ w_beta + 0.25)))
    np.testing.assert_allclose(output / average, np.repeat(gate[:, None], D_V, 1), rtol=1e-12)


def test_doubly_stochastic_penalty_is_zero_for_a_doubly_stochastic_matrix():
    assert doubly_stochastic_penalty(np.eye(4)[[2, 0, 3, 1]]) == 0
    assert doubly_stochastic_penalty(np.full((4, 4), 0.25)) == 0
    weights = torch.rand(2, 5, 3, dtype=torch.float64).softmax(-1).requires_grad_()
    penalty = doubly_stochastic_penalty(weights)
    np.testing.assert_allclose(penalty.detach(), doubly_stochastic_penalty(weights.detach().numpy()))
    penalty.sum().backward()
    wanted = -2 * (1 - weights.detach().sum(-2, keepdim=True)).expand(2, 5, 3)
    torch.testing.assert_close(weights.grad, wanted)
    counted = torch.tensor([[True, True, True, False, False]]).expand(2, 5)
    torch.testing.assert_close(doubly_stochastic_penalty(weights, counted), doubly_stochastic_penalty(weights[:, :3]))


# Hard.


def test_the_expected_output_of_hard_attention_is_soft_attention():
    inputs, parameters = arrays()
    expected = np.zeros((L, D_V))
    for choice in itertools.product(range(S), repeat=L):
        output, weights, log_prob = hard_attention(**inputs, choice=np.array(choice), **parameters)
        np.testing.assert_array_equal(output, inputs["value"][list(choice)])
        np.testing.assert_allclose(np.exp(log_prob), weights[np.arange(L), list(choice)], rtol=1e-13)
        expected += np.exp(log_prob.sum()) * output
    np.testing.assert_allclose(expected, weights @ inputs["value"], rtol=1e-12)


def bend(output):
    """A loss that is not linear in what was read, nor a sum over the queries: else soft attention would do."""
    return (output.cumsum(-2).tanh() ** 2).sum() + output.prod(-2).sum()


def surrogate(loss, log_prob, weights, baseline):
    """What is differentiated for one draw: the loss, and the log-probability times how bad the draw was."""
    return loss + (loss.detach() - baseline) * log_prob.sum()


def expected_gradients(mask=None, baseline=0.0, surrogate=surrogate):
    """Return the gradients of the expected loss: exact, and as the mean over all draws; and the draws' variance."""
    inputs, parameters = arrays(3)
    module, leaves = built(HardAttention, parameters), tensors(inputs, gradient=True)
    wanted = [*leaves.values(), *module.parameters()]
    attn_mask = None if mask is None else torch.from_numpy(mask)
    allowed = np.ones((L, S), bool) if mask is None else mask
    exact, draws, chances = 0.0, [], []
    for choice in itertools.product(*[np.flatnonzero(row) if row.any() else [0] for row in allowed]):
        output, weights, log_prob = module(**leaves, choice=torch.tensor(choice), attn_mask=attn_mask)
        loss = bend(output)
        exact = exact + log_prob.sum().exp() * loss
        one = surrogate(loss, log_prob, weights, baseline)
        grads = torch.autograd.grad(one, wanted, allow_unused=True, retain_graph=True)
        draws.append(torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten()
                                for p, g in zip(wanted, grads, strict=True)]))  # fmt: skip
        chances.append(log_prob.sum().exp().detach())
    chances, draws = torch.stack(chances), torch.stack(draws)
    assert abs(chances.sum() - 1) < 1e-12
    exact = torch.cat([gradient.flatten() for gradient in torch.autograd.grad(exact, wanted)])
    mean = chances @ draws
    return exact, mean, float(chances @ ((draws - mean) ** 2).sum(-1))


MASK = np.array([[True, False, True], [False, False, False]])


@pytest.mark.parametrize("mask", [None, MASK[:1].repeat(2, 0), MASK], ids=["all", "some", "an empty row"])
@pytest.mark.parametrize("baseline", [0.0, 0.7, -30.0])
def test_the_mean_over_all_draws_is_the_exact_gradient(mask, baseline):
    exact, mean, _ = expected_gradients(mask, baseline)
    assert exact.abs().max() > 0.1
    torch.testing.assert_close(mean, exact, rtol=1e-10, atol=1e-12)


def test_the_exact_gradient_is_that_of_the_numpy_function():
    inputs, parameters = arrays(3)

    def expectation(W_a):
        total = 0.0
        for choice in itertools.product(range(S), repeat=L):
            given = {**parameters, "W_a": W_a}
            output, _, log_prob = hard_attention(**inputs, choice=np.array(choice), **given)
            total += np.exp(log_prob.sum()) * (np.sum(np.tanh(output.cumsum(-2)) ** 2) + output.prod(-2).sum())
        return total

    exact = expected_gradients()[0]
    start = sum(array.size for array in inputs.values())
    exact = exact[start : start + N * D_Q].reshape(N, D_Q)
    for place in np.ndindex(N, D_Q):
        ends = []
        for sign in (1, -1):
            W_a = parameters["W_a"].copy()
            W_a[place] += sign * 1e-5
            ends.append(expectation(W_a))
        assert abs((ends[0] - ends[1]) / 2e-5 - exact[place]) < 1e-8


WRONG = {
    "the probability for its logarithm": lambda loss, log_prob, weights, b: (
        loss + (loss.detach() - b) * log_prob.exp().sum()
    ),
    "the path through the choice forgotten": lambda loss, log_prob, weights, b: loss,
    "the path through the value forgotten": lambda loss, log_prob, weights, b: (
        (loss.detach() - b) * log_prob.sum() + 0 * loss
    ),
    "the sign turned": lambda loss, log_prob, weights, b: loss - (loss.detach() - b) * log_prob.sum(),
    "one word only": lambda loss, log_prob, weights, b: loss + (loss.detach() - b) * log_prob[0],
    "the largest weight for the drawn one": lambda loss, log_prob, weights, b: (
        loss + (loss.detach() - b) * weights.amax(-1).log().sum()
    ),
    "a loss with its slope in the factor": lambda loss, log_prob, weights, b: loss + (loss - b) * log_prob.sum(),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_estimator_is_seen(wrong):
    exact, mean, _ = expected_gradients(surrogate=wrong)
    assert not torch.allclose(mean, exact, rtol=1e-3, atol=1e-3)


def test_a_baseline_changes_the_variance_and_not_the_mean():
    near, far = expected_gradients(baseline=1.0), expected_gradients(baseline=300.0)
    torch.testing.assert_close(near[1], far[1], rtol=1e-9, atol=1e-11)
    assert far[2] > 20 * near[2]


def test_score_function_is_one_hot_minus_alpha():
    """The gradient of log α at the choice, by the scores, which are v_a where unit j hears key j alone."""
    scores = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    layer = HardAttention(1, 3, 3).double()
    hidden = {"W_a": torch.zeros(3, 1), "U_a": torch.eye(3) * 40, "v_a": scores}  # tanh 40 = 1: key j has score v_a[j]
    layer.load_state_dict(hidden)
    key = torch.eye(3, dtype=torch.float64)
    query = torch.ones(1, 1, dtype=torch.float64)
    for choice in range(3):
        layer.zero_grad()
        _, weights, log_prob = layer(query, key, key, torch.tensor([choice]))
        torch.testing.assert_close(weights[0], scores.softmax(0))
        log_prob.sum().backward()
        torch.testing.assert_close(layer.v_a.grad, torch.eye(3)[choice].double() - scores.softmax(0))


def test_a_query_that_may_look_nowhere_chooses_nothing():
    inputs, parameters = arrays()
    for choice in ([0, 0], [2, 2]):
        output, weights, log_prob = hard_attention(
            **inputs, choice=np.array(choice), **parameters, attn_mask=np.array([[True] * 3, [False] * 3])
        )
        assert not output[1].any() and not weights[1].any() and log_prob[1] == 0
        assert weights[0].sum() == pytest.approx(1) and log_prob[0] < 0


def test_where_nobody_asks_there_need_be_nothing_to_choose():
    inputs, parameters = arrays()
    inputs, choice = {name: array[:0] for name, array in inputs.items()}, np.zeros(0, dtype=int)
    module = built(HardAttention, parameters)
    for results in (
        hard_attention(**inputs, choice=choice, **parameters),
        module(**tensors(inputs), choice=torch.from_numpy(choice)),
    ):
        assert [tuple(result.shape) for result in results] == [(0, D_V), (0, 0), (0,)]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
def test_any_integers_will_do(dtype):
    inputs, parameters = arrays()
    choice = np.array([2, 0], dtype=dtype)
    wanted = hard_attention(**inputs, choice=choice, **parameters)
    got = built(HardAttention, parameters)(**tensors(inputs), choice=torch.from_numpy(choice))
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a.detach(), b, rtol=1e-12)


REFUSED = {
    "forbidden": ([1, 0], ValueError, "choice: wanted places that attn_mask allows, got one that it forbids"),
    "below": ([-1, 0], ValueError, "choice: wanted places from 0 to 2, got -1"),
    "beyond": ([0, 3], ValueError, "choice: wanted places from 0 to 2, got 3"),
    "fractions": ([0.0, 2.0], TypeError, "choice: wanted integers, got dtype"),
    "truths": ([True, False], TypeError, "choice: wanted integers, got dtype"),
    "one for both": ([0], ValueError, r"choice: wanted shape \(2,\), one place a query, got \(1,\)"),
}


@pytest.mark.parametrize(("choice", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(unhooked, choice, error, message):
    inputs, parameters = arrays()
    mask = np.array([[True, False, True]] * 2)
    with pytest.raises(error, match=message):
        hard_attention(**inputs, choice=np.array(choice), **parameters, attn_mask=mask)
    module = built(HardAttention, parameters)
    with pytest.raises(error, match=message):
        module(**tensors(inputs), choice=torch.tensor(choice), attn_mask=torch.from_numpy(mask))


def test_choices_are_drawn_with_their_probabilities():
    weights = torch.tensor([[0.5, 0.0, 0.2, 0.3], [0.0, 0.0, 0.0, 1.0]])
    drawn = draw_choice(weights.expand(40_000, 2, 4), torch.Generator().manual_seed(0))
    shares = torch.nn.functional.one_hot(drawn, 4).double().mean(0)
    assert (shares - weights).abs().max() < 0.01 and shares[0, 1] == 0 and shares[1, 3] == 1
    again = draw_choice(weights.expand(40_000, 2, 4), torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)


def test_what_is_drawn_from_is_what_comes_back():
    inputs, parameters = arrays()
    module, given = built(HardAttention, parameters), tensors(inputs)
    mask = torch.from_numpy(MASK)
    before = module.probabilities(given["query"], given["key"], mask)
    choice = draw_choice(before, torch.Generator().manual_seed(1))
    torch.testing.assert_close(module(**given, choice=choice, attn_mask=mask)[1], before, rtol=0, atol=0)


# Relaxed.


def test_relaxed_attention_without_noise_is_additive_attention():
    inputs, parameters = arrays()
    relaxed = relaxed_attention(**inputs, noise=np.zeros((L, S)), **parameters, temperature=1.0)
    for a, b in zip(relaxed, additive(**inputs, **parameters), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_relaxed_attention_becomes_hard_as_the_temperature_falls():
    inputs, parameters = arrays()
    noise = np.random.default_rng(5).gumbel(size=(L, S))
    alpha = additive(**inputs, **parameters)[1]
    choice = (np.log(alpha) + noise).argmax(-1)
    wanted = hard_attention(**inputs, choice=choice, **parameters)[0]
    gaps = [
        np.abs(relaxed_attention(**inputs, noise=noise, **parameters, temperature=t)[0] - wanted).max()
        for t in (1.0, 0.3, 0.1, 0.003)
    ]
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 0.1 and gaps[-1] < 1e-8


def test_the_largest_noisy_score_is_a_draw():
    inputs, parameters = arrays()
    module = built(RelaxedAttention, parameters, temperature=1e-3)
    given = tensors(inputs)
    noise = gumbel_noise((20_000, L, S), torch.Generator().manual_seed(0), dtype=torch.float64)
    many = {name: tensor.expand(20_000, *tensor.shape) for name, tensor in given.items()}
    with torch.no_grad():
        shares = module(**many, noise=noise)[1].round().mean(0)
        alpha = built(HardAttention, parameters).probabilities(given["query"], given["key"])
    assert (shares - alpha).abs().max() < 0.015


def test_gumbel_noise_has_its_mean_and_spread():
    noise = gumbel_noise((200_000,), torch.Generator().manual_seed(0), dtype=torch.float64)
    assert abs(noise.mean() - np.euler_gamma) < 0.01 and abs(noise.var() - np.pi**2 / 6) < 0.03
    assert torch.isfinite(noise).all()


def test_helpers_are_exported():
    for name in ("doubly_stochastic_penalty", "draw_choice", "gumbel_noise"):
        assert hasattr(selection, name)

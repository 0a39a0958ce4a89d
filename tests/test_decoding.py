"""Greedy decoding and beam search on tables: by hand, against exhaustive search, and what they refuse."""

from itertools import product

import numpy as np
import pytest

import attn_edu.models._decoding as decoding
from attn_edu.models import Hypothesis, beam_search, greedy

START, END = 0, 1


def table(seed, words=4, zeros=0.0):
    """A random distribution after every prefix, the same whenever it is asked."""

    def next_log_probs(prefixes):
        rows = []
        for prefix in prefixes.tolist():
            assert prefix[0] == START and END not in prefix, "asked to continue what has ended"
            rng = np.random.default_rng([seed, *prefix])
            row = rng.random(words) * (rng.random(words) >= zeros)
            row[END] += 0.1
            rows.append(row / row.sum())
        with np.errstate(divide="ignore"):
            return np.log(rows)

    return next_log_probs


def everything(next_log_probs, max_length, words=4):
    """Every sentence that ends, or is as long as it may be, with its log-probability; the likeliest first."""
    found = {}
    for tokens in product(range(words), repeat=max_length):
        tokens = tokens[: tokens.index(END) + 1] if END in tokens else tokens
        prefixes = [(START, *tokens[:t]) for t in range(len(tokens))]
        with np.errstate(divide="ignore"):
            steps = [next_log_probs(np.array([p]))[0, w] for p, w in zip(prefixes, tokens, strict=True)]
        found[tokens] = sum(steps)
    return sorted(((log_prob, tokens) for tokens, log_prob in found.items() if log_prob > -np.inf), reverse=True)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("zeros", [0.0, 0.4])
def test_a_wide_beam_finds_everything(seed, zeros):
    ask = table(seed, zeros=zeros)
    wanted = everything(ask, 4)
    got = beam_search(ask, START, END, 4, beams=4**4)
    assert [h.tokens for h in got] == [tokens for _, tokens in wanted]
    np.testing.assert_allclose([h.log_prob for h in got], [log_prob for log_prob, _ in wanted], rtol=1e-12)
    assert np.exp([h.log_prob for h in got]).sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(8))
def test_one_beam_is_greedy(seed):
    ask = table(seed, zeros=0.3)
    (only,) = beam_search(ask, START, END, 6, beams=1)
    wanted = greedy(ask, START, END, 6)
    assert only.tokens == wanted.tokens and only.log_prob == pytest.approx(wanted.log_prob)


def test_greedy_takes_the_likeliest_step():
    ask = table(3)
    tokens, log_prob = greedy(ask, START, END, 6)
    prefix, total = [START], 0.0
    for token in tokens:
        (row,) = ask(np.array([prefix]))
        assert token == row.argmax()
        prefix.append(token)
        total += row[token]
    assert log_prob == pytest.approx(total)
    assert tokens[-1] == END or len(tokens) == 6


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_beams_are_the_best_of_all_one_word_longer(beams, seed):
    """The same search with plain lists."""
    ask = table(seed)
    alive, ended = [((), 0.0)], []
    for _ in range(5):
        longer = []
        for tokens, total in alive:
            (row,) = ask(np.array([[START, *tokens]]))
            longer += [((*tokens, w), total + row[w]) for w in range(4)]
        kept = sorted(longer, key=lambda pair: -pair[1])[: beams - len(ended)]
        ended += [pair for pair in kept if pair[0][-1] == END]
        alive = [pair for pair in kept if pair[0][-1] != END]
    wanted = sorted(ended + alive, key=lambda pair: -pair[1])
    got = beam_search(ask, START, END, 5, beams=beams)
    assert [h.tokens for h in got] == [tokens for tokens, _ in wanted] and len(got) <= beams
    np.testing.assert_allclose([h.log_prob for h in got], [total for _, total in wanted])


def by_hand(rows):
    with np.errstate(divide="ignore"):
        logs = {prefix: np.log(row) for prefix, row in rows.items()}
    return lambda prefixes: np.array([logs[tuple(prefix[1:])] for prefix in prefixes.tolist()])


GARDEN_PATH = {  # 2 looks better, but nothing likely follows it
    (): [0, 0, 0.6, 0.4],
    (2,): [0, 1 / 3, 1 / 3, 1 / 3],
    (3,): [0, 0.9, 0.1, 0],
    (2, 2): [0, 1, 0, 0],
    (2, 3): [0, 1, 0, 0],
    (3, 2): [0, 1, 0, 0],
}


def test_greedy_and_beam_differ():
    ask = by_hand(GARDEN_PATH)
    assert greedy(ask, START, END, 3).tokens == (2, END)
    assert np.exp(greedy(ask, START, END, 3).log_prob) == pytest.approx(0.2)
    first, second = beam_search(ask, START, END, 3, beams=2)
    assert first.tokens == (3, END) and np.exp(first.log_prob) == pytest.approx(0.36)
    assert second.tokens == (2, END) and np.exp(second.log_prob) == pytest.approx(0.2)
    assert everything(ask_anything(ask), 3)[0][1] == (3, END)


def ask_anything(ask):
    """Allow prefixes that the table does not know, since nothing leads there."""

    def next_log_probs(prefixes):
        try:
            return ask(prefixes)
        except KeyError:
            return np.log(np.full((len(prefixes), 4), 0.25))

    return next_log_probs


def test_ties_go_to_the_first_word_of_the_likelier_prefix():
    equal = by_hand({(): [0, 0, 0.5, 0.5], (2,): [0, 0.5, 0.5, 0], (3,): [0, 0.5, 0.5, 0]})
    assert greedy(equal, START, END, 2).tokens == (2, END)
    assert [h.tokens for h in beam_search(equal, START, END, 2, beams=3)] == [(2, END), (3, END), (2, 2)]


def test_what_max_length_stops_is_returned_without_an_end():
    ask = by_hand({(): [0, 0.1, 0.9, 0], (2,): [0, 0.1, 0.9, 0]})
    assert greedy(ask, START, END, 2).tokens == (2, 2)
    assert [h.tokens for h in beam_search(ask, START, END, 2, beams=2)] == [(2, 2), (END,)]
    assert greedy(ask, START, END, 1) == Hypothesis((2,), pytest.approx(np.log(0.9)))


def test_impossible_words_are_never_kept():
    sure = by_hand({(): [0, 0, 0, 1.0], (3,): [0, 1.0, 0, 0]})
    assert beam_search(sure, START, END, 5, beams=4) == [Hypothesis((3, END), 0.0)]


def test_each_call_asks_for_prefixes_of_one_length():
    asked, ask = [], table(1)

    def watched(prefixes):
        asked.append(prefixes.shape)
        return ask(prefixes)

    beam_search(watched, START, END, 5, beams=3)
    assert [t for _, t in asked] == list(range(1, len(asked) + 1)) and max(b for b, _ in asked) <= 3
    assert asked[0] == (1, 1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"start": -1}, ValueError, "start: wanted an integer of at least 0, got -1"),
        ({"end": 1.0}, TypeError, "end: wanted an integer, got float"),
        ({"max_length": 0}, ValueError, "max_length: wanted an integer of at least 1, got 0"),
        ({"beams": 0}, ValueError, "beams: wanted an integer of at least 1, got 0"),
        ({"beams": True}, TypeError, "beams: wanted an integer, got bool"),
        (
            {"next_log_probs": lambda prefixes: np.zeros(4)},
            ValueError,
            r"next_log_probs: wanted an array of shape \(1, V\), got \(4,\)",
        ),
        (
            {"next_log_probs": lambda prefixes: np.log(np.full((2, 4), 0.25))},
            ValueError,
            r"next_log_probs: wanted an array of shape \(1, V\), got \(2, 4\)",
        ),
        (
            {"next_log_probs": lambda prefixes: np.full((1, 4), 0.25)},
            ValueError,
            "next_log_probs: wanted rows whose exponentials sum to 1, got sums",
        ),
        (
            {"next_log_probs": lambda prefixes: np.full((1, 4), np.nan)},
            ValueError,
            "next_log_probs: wanted rows whose exponentials sum to 1, got sums",
        ),
    ],
)
def test_refuses(unhooked, change, error, message):
    arguments = {"next_log_probs": table(0), "start": START, "end": END, "max_length": 3, "beams": 2, **change}
    with pytest.raises(error, match=message):
        beam_search(**arguments)
    del arguments["beams"]
    if "beams" not in change:
        with pytest.raises(error, match=message):
            greedy(**arguments)


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        ("totals[:, None] + _ask", "_ask", lambda: test_beams_are_the_best_of_all_one_word_longer(3, 0)),
        ("beams - len(ended)", "beams", lambda: test_beams_are_the_best_of_all_one_word_longer(2, 0)),
        ("-scores", "scores", lambda: test_beams_are_the_best_of_all_one_word_longer(2, 1)),
        ("longer[~over], totals[~over]", "longer, totals", lambda: test_a_wide_beam_finds_everything(0, 0.0)),
    ],
)
def test_planted_faults_are_caught(monkeypatch, old, new, check):
    with open(decoding.__file__) as file:
        source = file.read()
    assert old in source, f"no longer has {old!r}: plant this fault anew"
    names = dict(vars(decoding))
    exec(compile(source.replace(old, new), decoding.__file__, "exec"), names)
    monkeypatch.setitem(globals(), "beam_search", names["beam_search"])
    with pytest.raises(AssertionError):
        check()

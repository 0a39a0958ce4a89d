"""The task of repeating a word: what it draws, and what it refuses."""

import numpy as np
import pytest

from attn_edu.tasks import duplication


@pytest.mark.parametrize(("length", "symbols"), [(4, 2), (10, 3), (64, 31)])
def test_a_zero_and_a_word_twice(length, symbols):
    drawn = duplication(np.random.default_rng(0), 500, length, symbols)
    half = length // 2
    assert drawn.shape == (500, length) and drawn.dtype.kind == "i"
    for row in drawn:
        assert row[0] == row[half] == 0
        assert (row[1:half] == row[half + 1 :]).all() and row[1:half].min() >= 1
        for place in range(half, length - 1):  # what the docstring says of the next symbol
            assert row[place + 1] == row[place + 1 - half]


def test_symbols_are_equally_likely_everywhere():
    words = duplication(np.random.default_rng(1), 20_000, 8, 5)[:, 1:4]
    for place in words.T:
        assert abs(np.bincount(place, minlength=6)[1:] / 20_000 - 0.2).max() < 0.015
    pairs = np.bincount(words[:, 0] * 6 + words[:, 1], minlength=36).reshape(6, 6)[1:, 1:]
    assert abs(pairs / 20_000 - 0.04).max() < 0.006  # one symbol says nothing about the next


def test_same_seed_same_draw():
    one, two, other = (duplication(np.random.default_rng(seed), 3, 12, 9) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rng": 0}, TypeError, "rng: wanted a numpy.random.Generator, got int"),
        ({"count": 0}, ValueError, "count: wanted an integer of at least 1, got 0"),
        ({"length": 2}, ValueError, "length: wanted an integer of at least 4, got 2"),
        ({"length": 7}, ValueError, "length: wanted an even number, got 7"),
        ({"length": 8.0}, TypeError, "length: wanted an integer, got float"),
        ({"symbols": 1}, ValueError, "symbols: wanted an integer of at least 2, got 1"),
    ],
)
def test_it_refuses(unhooked, change, error, message):
    with pytest.raises(error, match=message):
        duplication(**{"rng": np.random.default_rng(0), "count": 3, "length": 8, "symbols": 5} | change)

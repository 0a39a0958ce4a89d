"""The task of the one capital letter: what it draws, and that nothing gives the answer away."""

import numpy as np
import pytest

from attn_edu.tasks import one_capital


@pytest.mark.parametrize(("length", "letters"), [(1, 2), (5, 2), (64, 8)])
def test_one_capital_a_line(length, letters):
    lines, places = one_capital(np.random.default_rng(0), 200, length, letters)
    assert lines.shape == (200, length) and places.shape == (200,)
    assert lines.min() >= 0 and lines.max() < 2 * letters
    for line, place in zip(lines, places, strict=True):
        assert [place] == [at for at, letter in enumerate(line) if letter >= letters]


def test_capitals_stand_anywhere_and_nothing_tells_which():
    lines, places = one_capital(np.random.default_rng(0), 40_000, 8, 4)
    assert abs(np.bincount(places, minlength=8) / 40_000 - 1 / 8).max() < 0.01
    answers = lines[np.arange(40_000), places] - 4
    assert abs(np.bincount(answers, minlength=4) / 40_000 - 1 / 4).max() < 0.01
    beside = lines[np.arange(40_000), (places + 1) % 8]
    table = np.histogram2d(answers, beside, bins=(range(5), range(5)))[0] / 40_000
    assert abs(table - 1 / 16).max() < 0.005


def test_same_seed_same_draw():
    first, again, other = (one_capital(np.random.default_rng(seed), 3, 9, 4) for seed in (3, 3, 4))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rng": 0}, TypeError, "rng: wanted a numpy.random.Generator, got int"),
        ({"count": 0}, ValueError, "count: wanted an integer of at least 1, got 0"),
        ({"length": 2.0}, TypeError, "length: wanted an integer, got float"),
        ({"letters": 1}, ValueError, "letters: wanted an integer of at least 2, got 1"),
    ],
)
def test_refuses(unhooked, change, error, message):
    with pytest.raises(error, match=message):
        one_capital(**{"rng": np.random.default_rng(0), "count": 3, "length": 5, "letters": 4} | change)

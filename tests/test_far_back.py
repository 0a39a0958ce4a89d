"""The tasks of the chapter on patterns: what they draw, and that nothing gives an answer away."""

import jaxtyping
import numpy as np
import pytest

from attn_edu.tasks import colour_of, one_capital


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


@pytest.mark.parametrize("length", [1, 2, 64])
def test_colour_of_is_answered_right(length):
    lines, colours, back = colour_of(np.random.default_rng(1), 30, length)
    assert lines.shape == (30, length, 3) and colours.shape == back.shape == (30, length)
    for line, answers, far in zip(lines, colours, back, strict=True):
        assert sorted(line[:, 0]) == list(range(length))
        seen = {}
        for place, (letter, colour, asked) in enumerate(line):
            seen[letter] = (colour, place)
            assert seen[asked] == (answers[place], place - far[place])


def test_every_distance_comes_alike_and_colours_are_fair():
    lines, colours, back = colour_of(np.random.default_rng(2), 40_000, 4)
    assert abs(np.bincount(back[:, 3], minlength=4) / 40_000 - 1 / 4).max() < 0.01
    assert not back[:, 0].any()
    assert abs(lines[..., 1].mean() - 1 / 2) < 0.01
    own = lines[:, 3, 1] == colours[:, 3]  # the colour at hand helps only if it is the one asked for
    assert abs(own[back[:, 3] > 0].mean() - 1 / 2) < 0.01


def test_same_seed_same_draw():
    for task, sizes in ((one_capital, (3, 9, 4)), (colour_of, (3, 9))):
        first, again, other = (task(np.random.default_rng(seed), *sizes) for seed in (3, 3, 4))
        for one, two in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, two)
        assert (first[0] != other[0]).any()


@pytest.mark.parametrize(
    ("task", "change", "error", "message"),
    [
        (one_capital, {"rng": 0}, TypeError, "rng: wanted a numpy.random.Generator, got int"),
        (one_capital, {"count": 0}, ValueError, "count: wanted an integer of at least 1, got 0"),
        (one_capital, {"length": 2.0}, TypeError, "length: wanted an integer, got float"),
        (one_capital, {"letters": 1}, ValueError, "letters: wanted an integer of at least 2, got 1"),
        (colour_of, {"rng": None}, TypeError, "rng: wanted a numpy.random.Generator, got NoneType"),
        (colour_of, {"count": True}, TypeError, "count: wanted an integer, got bool"),
        (colour_of, {"length": 0}, ValueError, "length: wanted an integer of at least 1, got 0"),
    ],
)
def test_they_refuse(task, change, error, message):
    sizes = {"count": 3, "length": 5} | ({"letters": 4} if task is one_capital else {})
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)  # let our own checks speak
    try:
        with pytest.raises(error, match=message):
            task(**{"rng": np.random.default_rng(0)} | sizes | change)
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)

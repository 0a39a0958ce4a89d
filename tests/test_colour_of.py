"""The task of a letter's colour: what it draws, and that nothing gives an answer away."""

import numpy as np
import pytest

from attn_edu.tasks import colour_of


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
    first, again, other = (colour_of(np.random.default_rng(seed), 3, 9) for seed in (3, 3, 4))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rng": None}, TypeError, "rng: wanted a numpy.random.Generator, got NoneType"),
        ({"count": True}, TypeError, "count: wanted an integer, got bool"),
        ({"length": 0}, ValueError, "length: wanted an integer of at least 1, got 0"),
    ],
)
def test_refuses(unhooked, change, error, message):
    with pytest.raises(error, match=message):
        colour_of(**{"rng": np.random.default_rng(0), "count": 3, "length": 5} | change)

"""The task of the chapter on order: what it draws, and that order is all that decides."""

import numpy as np
import pytest

from attn_edu.tasks import which_came_first


def draw(count=4000, length=7, fillers=3, seed=0):
    return which_came_first(np.random.default_rng(seed), count, length, fillers)


@pytest.mark.parametrize(("length", "fillers"), [(2, 1), (5, 3), (16, 8)])
def test_both_marks_once_and_the_right_answer(length, fillers):
    tokens, answer = draw(300, length, fillers)
    assert tokens.shape == (300, length) and answer.shape == (300,)
    assert tokens.min() == 0 and tokens.max() <= fillers + 1
    assert ((tokens == 0).sum(1) == 1).all() and ((tokens == 1).sum(1) == 1).all()
    for row, right in zip(tokens.tolist(), answer.tolist(), strict=True):
        assert right == (row.index(0) < row.index(1))


def test_every_pair_of_places_is_as_likely():
    tokens, answer = draw(42_000)
    places = np.zeros((7, 7), int)
    np.add.at(places, ((tokens == 0).argmax(1), (tokens == 1).argmax(1)), 1)
    assert (np.diag(places) == 0).all()
    apart = places[~np.eye(7, dtype=bool)]
    assert apart.min() > 850 and apart.max() < 1150  # 1,000 each, with a standard deviation of 31
    assert abs(answer.mean() - 0.5) < 0.01


def test_fillers_are_all_used_and_say_nothing():
    tokens, answer = draw(20_000)
    for filler in (2, 3, 4):
        counts = (tokens == filler).sum(1)
        assert abs(counts.mean() - 5 / 3) < 0.05
        assert abs(counts[answer == 1].mean() - counts[answer == 0].mean()) < 0.06


def test_swapped_and_mirrored_sequences_have_the_other_answer():
    tokens, answer = draw(200)
    swapped = np.where(tokens < 2, 1 - tokens, tokens)
    for other in (swapped, tokens[:, ::-1]):
        assert (((other == 0).argmax(1) < (other == 1).argmax(1)) == 1 - answer).all()
        assert (np.sort(other, axis=1) == np.sort(tokens, axis=1)).all()  # so no bag of tokens tells


def test_same_seed_same_draw():
    for one, two in zip(draw(seed=3), draw(seed=3), strict=True):
        np.testing.assert_array_equal(one, two)
    assert (draw(seed=3)[0] != draw(seed=4)[0]).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rng": 0}, TypeError, "rng: wanted a numpy.random.Generator, got int"),
        ({"count": 0}, ValueError, "count: wanted an integer of at least 1, got 0"),
        ({"length": 1}, ValueError, "length: wanted an integer of at least 2, got 1"),
        ({"length": 4.0}, TypeError, "length: wanted an integer, got float"),
        ({"fillers": 0}, ValueError, "fillers: wanted an integer of at least 1, got 0"),
        ({"fillers": True}, TypeError, "fillers: wanted an integer, got bool"),
    ],
)
def test_it_refuses(unhooked, change, error, message):
    arguments = {"rng": np.random.default_rng(0), "count": 3, "length": 4, "fillers": 2} | change
    with pytest.raises(error, match=message):
        which_came_first(**arguments)

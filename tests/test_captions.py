"""The task of the chapter on soft and hard attention: pictures, their captions, and which cell a word is about."""

import numpy as np
import pytest

from attn_edu.tasks import CAPTION_WORDS, END, PAD, START, captions, words
from attn_edu.tasks._captions import COLOURS, SHAPES


def draw(count=300, seed=0, **options):
    return captions(np.random.default_rng(seed), count, **{"noise": 0.0} | options)


def read(picture):
    """Say what a picture without noise shows, cell by cell: no line of the task's."""
    side, found = len(picture) // 5, []
    for cell in range(side**2):
        row, column = cell // side * 5, cell % side * 5
        pixels = picture[row : row + 5, column : column + 5]
        inked = (pixels < 0.999).any(-1)
        if inked.any():
            ink = pixels[inked]
            colour = min(COLOURS, key=lambda name: np.abs(ink - COLOURS[name]).sum())
            assert np.array_equal(ink, np.tile(COLOURS[colour], (len(ink), 1)))
            drawn = " ".join("".join(".#"[int(pixel)] for pixel in line) for line in inked)
            found.append((cell, colour, next(name for name, shape in SHAPES.items() if shape == drawn)))
    return found


@pytest.mark.parametrize("side", [2, 3, 4])
def test_caption_and_places_say_what_the_picture_shows(side):
    images, texts, places = draw(100, side=side)
    assert images.shape == (100, 5 * side, 5 * side, 3) and texts.shape == places.shape == (100, 8)
    seen = set()
    for picture, text, place in zip(images, texts, places, strict=True):
        (here, colour, shape), (there, other_colour, other_shape) = read(picture)  # in reading order
        relation = ["left", "of"] if here // side == there // side else ["above"]
        wanted = [colour, shape, *relation, other_colour, other_shape]
        assert words(text, CAPTION_WORDS).split() == wanted
        none = [-1] * len(relation)
        assert place.tolist() == [-1, here, here, *none, there, there, -1, -1][:8]
        assert text[0] == START and text[len(wanted) + 1] == END and (text[len(wanted) + 2 :] == PAD).all()
        seen |= {colour, shape, *relation}
    assert seen == {*COLOURS, *SHAPES, "left", "of", "above"} == set(CAPTION_WORDS[3:])


def scenes(texts, places):
    return {(*text, *place) for text, place in zip(texts.tolist(), places.tolist(), strict=True)}


def test_held_out_scenes_are_not_among_the_others():
    _, *shown = draw(20_000, seed=1, side=3)
    _, *hidden = draw(2_000, seed=2, side=3, held_out=True)
    assert not scenes(*shown) & scenes(*hidden)
    assert len(scenes(*shown)) > 6_000  # of 9,216, less one in eleven
    everything = scenes(*shown) | scenes(*draw(20_000, seed=3, side=3)[1:])
    hidden_in_all = scenes(*draw(20_000, seed=4, side=3, held_out=True)[1:])
    assert 0.07 < len(hidden_in_all) / (len(hidden_in_all) + len(everything)) < 0.12


def test_everything_comes_about_alike():
    _, texts, places = draw(20_000, side=3)
    for kind in (COLOURS, SHAPES):
        numbers = [CAPTION_WORDS.index(word) for word in kind]
        counts = np.array([(texts == number).sum() for number in numbers])
        assert np.abs(counts / counts.sum() - 0.25).max() < 0.02
    assert np.abs(np.bincount(places[places >= 0]) / (places >= 0).sum() - 1 / 9).max() < 0.02


def test_noise_changes_pixels_alone():
    clean, noisy = draw(50), draw(50, noise=0.1)
    assert np.array_equal(clean[1], noisy[1]) and np.array_equal(clean[2], noisy[2])
    difference = noisy[0] - clean[0]
    assert noisy[0].min() >= 0 and noisy[0].max() <= 1
    inner = (clean[0] > 0.35) & (clean[0] < 0.65)  # where nothing is cut off
    assert abs(difference[inner].std() - 0.1) < 0.005


def test_same_seed_same_draw():
    for one, two in zip(draw(seed=3, noise=0.1), draw(seed=3, noise=0.1), strict=True):
        np.testing.assert_array_equal(one, two)
    assert (draw(seed=3)[1] != draw(seed=4)[1]).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rng": 0}, TypeError, "rng: wanted a numpy.random.Generator, got int"),
        ({"count": 0}, ValueError, "count: wanted an integer of at least 1, got 0"),
        ({"side": 1}, ValueError, "side: wanted an integer of at least 2, got 1"),
        ({"side": 4.0}, TypeError, "side: wanted an integer, got float"),
        ({"noise": -0.1}, ValueError, "noise: wanted a finite number of at least 0, got -0.1"),
        ({"held_out": 1}, TypeError, "held_out: wanted True or False, got 1"),
    ],
)
@pytest.mark.usefixtures("unhooked")
def test_it_refuses(change, error, message):
    with pytest.raises(error, match=message):
        captions(**{"rng": np.random.default_rng(0), "count": 3} | change)

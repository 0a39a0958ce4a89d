"""One row of local attention: what the figure refuses, what it writes, and its arithmetic against NumPy."""

import json

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, Outline, closed, slide

from attn_edu.interactive import LocalWindow
from attn_edu.selection import local_m, local_p

SCORES = np.array([0, 1, -0.3, 0.2, 0.6, 0.1, 0.7, -0.2, 0.9, 0.3, 2, 1.5])


def make(scores=SCORES, p=5.3, D=4, **options):
    return LocalWindow(scores, p=p, D=D, **options)


REFUSED = {
    "scores matrix": (ValueError, "scores: wanted a vector", {"scores": np.ones((2, 2))}),
    "scores words": (TypeError, "scores: wanted a vector of real numbers", {"scores": ["a", "b"]}),
    "scores infinite": (ValueError, "scores: wanted finite numbers", {"scores": [1, np.inf], "p": 1, "D": 1}),
    "scores many": (ValueError, "scores: wanted 1 to 14 places, got 15", {"scores": np.ones(15)}),
    "p word": (TypeError, "p: wanted a number, got str", {"p": "5"}),
    "p flag": (TypeError, "p: wanted a number, got bool", {"p": True}),
    "p before": (ValueError, "p: wanted a number from 0 to 12, got -0.1", {"p": -0.1}),
    "p nan": (ValueError, "p: wanted a number from 0 to 12, got nan", {"p": float("nan")}),
    "D zero": (ValueError, "D: wanted an integer of at least 1, got 0", {"D": 0}),
    "D half": (TypeError, "D: wanted an integer, got float", {"D": 1.5}),
    "D wide": (ValueError, "D: wanted at most the number of places, 12, got 13", {"D": 13}),
    "gaussian": (TypeError, "gaussian: wanted True or False, got 1", {"gaussian": 1}),
    "labels few": (ValueError, "labels: wanted 12 names as in scores, got 2", {"labels": ["a", "b"]}),
    "labels blank": (ValueError, "labels: wanted something to read", {"labels": [" "] * 12}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def reference(scores, p, D, gaussian):
    """Return the row as the package's functions make it; a place p comes from v_p = logit(p / S) / tanh 1."""
    key, one = scores[:, None], np.ones((1, 1))
    if not gaussian:
        assert p == int(p)
        return local_m(np.ones((len(scores), 1)), key, key, W_a=one, D=D)[1][int(p)]
    v_p = np.log(p / (len(scores) - p)) / np.tanh(1)
    return local_p(one, key, key, W_a=one, W_p=one, v_p=np.array([v_p]), D=D)[1][0]


def test_readings_are_the_references():
    for p, D in ((5.3, 4), (0.4, 1), (11.9, 2), (6.1, 12)):
        np.testing.assert_allclose(make(p=p, D=D).weights, reference(SCORES, p, D, True), rtol=1e-9)
    for p, D in ((0, 1), (6, 2), (11, 4)):
        np.testing.assert_allclose(make(p=p, D=D, gaussian=False).weights, reference(SCORES, p, D, False), rtol=1e-9)


def test_keeps_its_own_copy():
    scores = SCORES.copy()
    figure = make(scores)
    scores[:] = 9
    np.testing.assert_array_equal(figure.state["scores"], SCORES)


def test_text_alternatives():
    figure = make()
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "Looking at 5.3 with D = 4: 8 places, 2 to 9, in the window. The weights sum to 0.61; the Gaussian took 0.39."
    )
    assert make([1.0], p=1, D=1, gaussian=False).summary() == (
        "Looking at 1.0 with D = 1: place 0, in the window. The weights sum to 1.00; there is no Gaussian."
    )
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 13
    assert "<td>−0.30</td><td>0.06</td><td>0.26</td><td>0.02</td>" in figure.table()


def test_texts_are_escaped():
    closed(make(np.zeros(9), p=3, D=2, labels=NASTY)._repr_html_())


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.p = 6.0
    widget.gaussian = False
    np.testing.assert_allclose(widget.weights, reference(SCORES, 6, 4, False), rtol=1e-9)
    with pytest.raises(traitlets.TraitError, match="p: wanted"):
        widget.p = 13


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-lw").nth(n)


def agree(page, figure, n=0):
    """Compare the page with the figure's definition in the state that the page is in; return that state."""
    data = {name: json.loads(x) for name, x in figure_of(page, n).evaluate("figure => ({...figure.dataset})").items()}
    state = {"p": data["p"], "D": data["d"], "gaussian": data["gaussian"]}
    again = LocalWindow(**figure.state | state)
    np.testing.assert_allclose(data["softmax"], again.softmax, rtol=0, atol=1e-12)
    np.testing.assert_allclose(data["weights"], again.weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(data["total"], again.weights.sum(), rtol=0, atol=1e-12)
    S = len(again.weights)
    if state["gaussian"] and 0 < state["p"] < S:  # the definition itself
        wanted = reference(again.state["scores"], **state)
        np.testing.assert_allclose(data["weights"], wanted, rtol=0, atol=1e-9)
    # What is drawn: bars in parts of the chart, and the window's and the needle's places.
    for part, values in (("i", again.softmax), ("b", again.weights)):
        heights = (
            figure_of(page, n)
            .locator(f".attn-lw-row {part}")
            .evaluate_all("all => all.map(node => parseFloat(node.style.height))")
        )
        np.testing.assert_allclose(heights, 100 * values / (1.3 * again.softmax.max()), atol=1e-3)
    left, width = (
        figure_of(page, n)
        .locator(".attn-lw-window")
        .evaluate("node => [node.style.left, node.style.width].map(parseFloat)")
    )
    ends = np.clip(np.array([-1, 1]) * state["D"] + state["p"] + 0.5, 0, S) * 100 / S
    np.testing.assert_allclose([left, left + width], ends, atol=1e-3)
    needle = figure_of(page, n).locator(".attn-lw-needle").evaluate("node => parseFloat(node.style.left)")
    np.testing.assert_allclose(needle, min(state["p"] + 0.5, S) * 100 / S, atol=1e-3)
    sentence = figure_of(page, n).locator("[aria-live=polite]").inner_text()
    assert sentence == again.summary()
    return state


CASES = {
    "bell": make(),
    "window": make(p=6, D=2, gaussian=False),
    "one": make([3.0], p=0.5, D=1),
    "steep": make(300 * SCORES, p=7.7, D=6),
    "words": make([0.5, -1, 2], p=1.5, D=1, labels=["the", "old", "cat"]),
}


@pytest.mark.browser
@pytest.mark.parametrize("figure", CASES.values(), ids=CASES)
def test_arithmetic(show, figure):
    page = show(figure).page
    first = {name: figure.state[name] for name in ("p", "D", "gaussian")}
    assert agree(page, figure) == first
    S = len(figure.state["scores"])
    for p in (0, 0.1 * (S // 2) * 10 + 0.3, S):
        slide(figure_of(page), "Place p", p)
        assert agree(page, figure)["p"] == pytest.approx(p)
    slide(figure_of(page), "D", 1)
    assert agree(page, figure)["D"] == 1
    box = figure_of(page).get_by_label("Gaussian")
    box.set_checked(not box.is_checked())
    assert agree(page, figure)["gaussian"] is not figure.state["gaussian"]
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


FAULTS = {
    "a narrower window": ("Math.abs(s - p) <= D", "Math.abs(s - p) < D - 0.5"),
    "a window to the left": ("Math.abs(s - p) <= D", "p - s <= D && s <= p"),
    "sign": ("Math.exp(-2 *", "Math.exp(2 *"),
    "a deviation of D": ("Math.exp(-2 *", "Math.exp(-0.5 *"),
    "no square": ("/ D) ** 2", "/ D) ** 1"),
    "everywhere": (".filter((s) => Math.abs(s - p) <= D)", ""),
    "normalised": (
        "const total = sumOf(weights)",
        "weights.forEach((w, s) => (weights[s] = w / 0.9)); const total = sumOf(weights)",
    ),
    "needle": ("across(p)}%", "across(p + 0.5)}%"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figure = make()
    content = figure._repr_html_()
    assert content.count(right) == 1
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(page, figure)


@pytest.mark.browser
def test_keyboard_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    figure_of(page).get_by_role("slider", name="Place p").press("ArrowRight")
    assert agree(page, figure)["p"] == 5.4
    figure_of(page).get_by_role("slider", name="D", exact=True).press("ArrowLeft")
    assert agree(page, figure)["D"] == 3
    figure_of(page).get_by_label("Gaussian").tap()
    assert agree(page, figure)["gaussian"] is False


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure, other = make(), make(p=6, D=2, gaussian=False)
    page = show(figure, other).page
    slide(figure_of(page), "Place p", 9)
    assert agree(page, figure)["p"] == 9 and agree(page, other, 1)["p"] == 6


@pytest.mark.browser
def test_nasty_names(show):
    visited = show(make(np.zeros(9), p=3, D=2, labels=NASTY))
    texts = figure_of(visited.page).locator(".attn-lw-row bdi").evaluate_all("all => all.map(n => n.textContent)")
    assert texts == NASTY
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Slide."), make(p=6, D=2, gaussian=False), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(make(np.linspace(0, 1, 14), p=5, caption="Slide."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, button:visible, input[type=range]").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-controls, .attn-lw-chart, .attn-lw-sum")]
      .map(node => node.getBoundingClientRect()).map(box => [box.x, box.y, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for p, D in ((0, 1), (14, 6), (7, 6), (3.3, 2)):
        slide(figure_of(page), "Place p", p)
        slide(figure_of(page), "D", D)
        assert figure_of(page).evaluate(boxes) == before

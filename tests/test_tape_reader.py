"""Tape reader: what the figure refuses, what it writes, and its shades in a browser against the weights."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, Outline, slide

from attn_edu.interactive import TapeReader

WORDS = ["cat", "dogs", "bee", ".", "bark", "-", "meow", "-s"]


def lower(size, seed=0):
    weights = np.tril(np.random.default_rng(seed).random((size, size)) ** 4, -1)
    return weights / np.where(weights.any(1, keepdims=True), weights.sum(1, keepdims=True), 1)


WEIGHTS = lower(8).round(3)


def make(**options):
    return TapeReader(**{"words": WORDS, "weights": WEIGHTS, "reading": 4} | options)


def put(row, column, value):
    weights = WEIGHTS.copy()
    weights[row, column] = value
    return weights


# What it refuses.

REFUSED = {
    "words text": (TypeError, "words: wanted", {"words": "cat"}),
    "words many": (ValueError, "words: wanted at most 24, got 25", {"words": ["w"] * 25, "weights": lower(25)}),
    "words fewer": (ValueError, "weights: wanted shape", {"words": WORDS[:7]}),
    "weights oblong": (ValueError, r"weights: wanted shape \(L, L\)", {"weights": WEIGHTS[:, :7]}),
    "weights ahead": (ValueError, "on and above the diagonal", {"weights": put(2, 3, 0.1)}),
    "weights on itself": (ValueError, "on and above the diagonal", {"weights": put(2, 2, 0.1)}),
    "weights negative": (ValueError, "wanted none below 0", {"weights": put(2, 1, -0.1)}),
    "weights short": (ValueError, "rows that sum to 1", {"weights": WEIGHTS / 2}),
    "reading late": (ValueError, "reading: wanted 0 to 7, got 8", {"reading": 8}),
    "reading early": (ValueError, "reading: wanted 0 to 7, got -1", {"reading": -1}),
    "reading half": (TypeError, "reading: wanted an integer, got float", {"reading": 1.0}),
    "reading flag": (TypeError, "reading: wanted an integer, got bool", {"reading": True}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


# What it writes.


def test_text_alternatives():
    figure = make(words=["a", "b", "c"], weights=[[0, 0, 0], [1, 0, 0], [0.625, 0.375, 0]], reading=2, caption="Step.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() == "Reading “c”, word 3 of 3. Most read: “a”, word 1, with 63%."
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 4
    assert re.findall(r"<td>(.*?)</td>", figure.table()) == ["", "", "", "100", "", "", "63", "38", ""]
    assert make(reading=0).summary() == "Reading “cat”, word 1 of 8. Nothing on the tape is read."
    assert make(reading=0).most is None


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(reading=6)
    assert widget.most == make(reading=6).most
    widget.set_state({"reading": 0})  # as a message from the browser does
    assert widget.most is None
    with pytest.raises(traitlets.TraitError, match="reading: wanted"):
        widget.reading = 8


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-tr").nth(n)


def agree(page, figure, n=0):
    """Compare the page with the weights in the state that the page is in; return the place that is read."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    t = json.loads(data["state"])["reading"]
    words, row = figure.state["words"], figure.state["weights"][t]
    most = max(range(t), key=lambda i: row[i]) if t and max(row[:t]) else None
    assert json.loads(data["row"]) == row[:t].tolist() and json.loads(data["most"]) == most
    drawn = figure_of(page, n).evaluate(
        """figure => [...figure.querySelectorAll("li")].map(node => ({
          kinds: [...node.classList].map(name => name.slice(8)).sort(), word: node.querySelector("bdi").textContent,
          shade: parseFloat(node.style.getPropertyValue("--shade")), share: node.querySelector("small").textContent,
          now: node.getAttribute("aria-current")}))"""
    )
    assert [one["word"] for one in drawn] == words
    for i, one in enumerate(drawn):
        kinds = ["now" if i == t else "past" if i < t else "later"]
        kinds += ["most"] * (i == most) + ["dark"] * bool(i < t and row[i] > 0.621)
        shares = {"now": "reading", "later": "later", "past": f"{int(100 * row[i] + 0.5)}%"}
        assert one["kinds"] == sorted(kinds), i
        assert one["share"] == shares[kinds[0]] and one["now"] == ("step" if i == t else None), i
        np.testing.assert_allclose(one["shade"], 100 * row[i] if i < t else 0, rtol=1e-4, atol=1e-4)
    again = type(figure)(**{**figure.state, "reading": t})
    assert again.most == most
    assert figure_of(page, n).locator("[aria-live=polite]").inner_text() == again.summary()
    assert figure_of(page, n).get_by_role("button", name="Back").is_disabled() == (t == 0)
    assert figure_of(page, n).get_by_role("button", name="Next").is_disabled() == (t == len(words) - 1)
    return t


CASES = {
    "eight words": {},
    "one word": {"words": ["a"], "weights": [[0]], "reading": 0},
    "nothing read": {"weights": np.zeros((8, 8))},
    "long": {"words": [f"w{n}" for n in range(24)], "weights": lower(24, 1), "reading": 23},
    "sharp": {"weights": np.eye(8, k=-1), "reading": 7},
    "nasty": {"words": NASTY[:8]},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_step(show, case):
    figure = make(**case)
    page = show(figure).page
    assert agree(page, figure) == figure.state["reading"]
    slide(figure_of(page), "word", 0)
    for t in range(len(figure.state["words"])):
        assert agree(page, figure) == t
        if t + 1 < len(figure.state["words"]):
            figure_of(page).get_by_role("button", name="Next").click()
    if len(figure.state["words"]) > 1:
        figure_of(page).get_by_role("button", name="Back").click()
        assert agree(page, figure) == len(figure.state["words"]) - 2
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == figure.state["reading"]


FAULTS = {
    "another row": ("weights[reading];", "weights[Math.max(reading - 1, 0)];"),
    "a column": ("const row = weights[reading];", "const row = weights.map((r) => r[reading]);"),
    "rounded down": ("Math.floor(100 * w + 0.5)", "Math.floor(100 * w)"),
    "the last of the most": ("row.indexOf(top)", "row.lastIndexOf(top)"),
    "itself on the tape": ("row.slice(0, reading)", "row.slice(0, reading + 1)"),
    "shades squared": ("100 * row[i] : 0}%", "100 * row[i] ** 2 : 0}%"),
    "relative shades": ("100 * row[i] : 0}%", "(100 * row[i]) / top : 0}%"),
    "dark too early": ("row[i] > TURN", "row[i] > 0.3"),
    "the word at hand as a memory": ('i < reading ? "attn-tr-past"', 'i < reading - 1 ? "attn-tr-past"'),
    "places from 0": ("word ${most + 1}", "word ${most}"),
    "never at the start": ("back.disabled = reading === 0", "back.disabled = false"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    halves = np.zeros((8, 8))
    halves[1:, 0], halves[3, :2], halves[5, :2] = 1, 0.5, (0.505, 0.495)
    figures = [make(reading=6), make(weights=halves, reading=3), make(weights=halves, reading=5), make(reading=0)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == len(figures)
    page = show(content=content.replace(right, wrong)).page
    page.set_default_timeout(2000)
    with pytest.raises(AssertionError):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_keyboard(show):
    figure = make()
    page = show(figure).page
    page.keyboard.press("Tab")  # back
    page.keyboard.press("Enter")
    assert agree(page, figure) == 3
    page.keyboard.press("Tab")  # next
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    assert agree(page, figure) == 5
    page.keyboard.press("Tab")  # slider
    for key, place in (("ArrowRight", 6), ("End", 7), ("ArrowLeft", 6), ("Home", 0)):
        page.keyboard.press(key)
        assert agree(page, figure) == place
    page.keyboard.press("Tab")  # reset
    page.keyboard.press("Enter")
    assert agree(page, figure) == 4


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    for place in (7, 2, 0):
        figure_of(page).locator("li").nth(place).tap()
        assert agree(page, figure) == place


@pytest.mark.browser
def test_what_is_read(show):
    page = show(make(caption="Step.")).page
    slider = figure_of(page).get_by_role("slider")
    assert slider.get_attribute("aria-valuetext") == "5, bark"
    assert figure_of(page).get_by_role("listitem").count() == 8
    assert figure_of(page).get_by_text("Step.").is_visible()


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    figure_of(page).get_by_role("button", name="Next").click()
    assert (agree(page, figure), agree(page, figure, 1)) == (5, 4)


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Step."), make(reading=0), make(reading=7), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    figure = make(caption="Step.")
    visited = show(figure, size=size)
    page = visited.page
    assert visited.overflow() == 0
    boxes = """figure => [figure, ...figure.querySelectorAll("li, button, .attn-sentence, .attn-caption")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    targets = page.locator("label:visible, button:visible, li").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    for place in (0, 7):
        slide(figure_of(page), "word", place)
        assert figure_of(page).evaluate(boxes) == before

"""The score dial: what it refuses, what it writes, and its five scores in a browser against the package's."""

import json
import math

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, Outline

from attn_edu.interactive import ScoreDial
from attn_edu.interactive._score_dial import SCORES

KEYS = [[0.9, 0.45], [2.4, 1.2], [-1.0, 2.0], [0.4, -2.2]]


def make(**options):
    return ScoreDial(**{"key": KEYS} | options)


def by_hand(state):
    """The weights, score by score and key by key, without the package."""
    (a, b), beta, stretch = state["query"], state["beta"], state["stretch"]
    turn = math.radians(state["turn"])
    found = []
    for name in SCORES:
        row = []
        for x, y in state["key"]:
            if name == "additive":
                sides = [(a - x) * math.cos(t) + (b - y) * math.sin(t) for t in (0, math.pi / 3, 2 * math.pi / 3)]
                score = sum(math.tanh(2 * s + 1) - math.tanh(2 * s - 1) for s in sides)
            elif name == "general":
                u = stretch * x
                score = a * (u * math.cos(turn) - y * math.sin(turn)) + b * (u * math.sin(turn) + y * math.cos(turn))
            else:
                lengths = math.hypot(a, b) * math.hypot(x, y)
                divisor = {"dot": 1, "scaled dot": math.sqrt(2), "cosine": (lengths or 1) / (beta or 1)}[name]
                score = (a * x + b * y) / divisor * (beta > 0 or name != "cosine")
            row.append(math.exp(score))
        found.append([e / sum(row) for e in row])
    return np.array(found)


# What it refuses.

REFUSED = {
    "keys wide": (ValueError, r"key: wanted shape \(S, 2\), got \(1, 3\)", {"key": [[1, 2, 3]]}),
    "keys many": (ValueError, "key: wanted 1 to 6, got 7", {"key": np.ones((7, 2))}),
    "keys none": (ValueError, "key: wanted 1 to 6, got 0", {"key": np.ones((0, 2))}),
    "keys zero": (ValueError, r"key: wanted a direction, got \(0, 0\) at 1", {"key": [[1, 0], [0, 0]]}),
    "keys far": (ValueError, "key: wanted numbers from -3 to 3", {"key": [[3.5, 0]]}),
    "keys words": (TypeError, "key: wanted an array", {"key": [["a", "b"]]}),
    "names": (ValueError, "names: wanted 4 as in key, got 1", {"names": ["A"]}),
    "names blank": (ValueError, "names: wanted something to read", {"names": ["A", " ", "C", "D"]}),
    "query": (ValueError, "query: wanted 2 numbers, got 3", {"query": [1, 2, 3]}),
    "query far": (ValueError, "query: wanted numbers from -3 to 3", {"query": [0, -4]}),
    "beta": (ValueError, "beta: wanted 0 to 20, got 21", {"beta": 21}),
    "beta word": (TypeError, "beta: wanted a number, got str", {"beta": "sharp"}),
    "turn": (ValueError, "turn: wanted -180 to 180, got 200", {"turn": 200}),
    "turn nan": (ValueError, "turn: wanted -180 to 180, got nan", {"turn": float("nan")}),
    "stretch": (ValueError, "stretch: wanted 0 to 3, got -1", {"stretch": -1}),
    "stretch flag": (TypeError, "stretch: wanted a number, got bool", {"stretch": True}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


CASES = {
    "four": {"turn": 35, "stretch": 1.7, "beta": 7.5},
    "one key": {"key": [[1.0, -2.0]]},
    "no query": {"query": [0, 0]},
    "flat": {"beta": 0, "stretch": 0, "turn": -180},
    "six": {"key": np.random.default_rng(0).uniform(-3, 3, (6, 2)), "query": [-3, 3], "beta": 20},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_readings(case):
    np.testing.assert_allclose(make(**case).weights, by_hand(make(**case).state), rtol=0, atol=1e-12)


def test_what_each_score_cares_about():
    one, double = make(query=[1.2, 0.5]), make(query=[2.4, 1.0])
    dot, scaled, cosine, general, additive = (
        abs(a - b).max() for a, b in zip(one.weights, double.weights, strict=True)
    )
    assert cosine < 1e-12 and min(dot, scaled, general, additive) > 0.01
    np.testing.assert_allclose(one.weights[0], one.weights[3], atol=1e-12)
    far = ScoreDial([[2, 2], [3, 2], [2, 3]], query=[-3, -3]).weights[-1]
    np.testing.assert_allclose(far, 1 / 3, atol=0.02)


# What it writes.


def test_text_alternatives():
    figure = make(key=[[1, 0], [2, 0]], query=[math.log(3), 0], caption="Move it.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "2 keys in the plane and a query at (1.10, 0.00). β is 4; W_a multiplies a key's first feature by 1 and turns "
        "it by 0 degrees. Most weight: dot B 0.75, scaled dot B 0.68, cosine A, B 0.50, general B 0.75, "
        "additive A 0.89."
    )
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 6


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(turn=90, beta=2.0)
    np.testing.assert_array_equal(widget.weights, make(turn=90, beta=2.0).weights)
    with pytest.raises(traitlets.TraitError, match="query: wanted"):
        widget.query = [5, 0]


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-score-dial").nth(n)


DRAWN = """figure => ({
  heights: [...figure.querySelectorAll(".attn-score-cell b")].map(bar => parseFloat(bar.style.height)),
  texts: [...figure.querySelectorAll(".attn-score-cell span")].map(text => text.textContent),
  arrow: figure.querySelector(".attn-score-arrow").getAttribute("d"),
  ghost: figure.querySelector(".attn-score-ghost").getAttribute("d"),
  hidden: figure.querySelector(".attn-score-ghost").style.display,
  place: ["left", "top"].map(side => parseFloat(figure.querySelector(".attn-score-handle").style[side])),
  sliders: [...figure.querySelectorAll("input[type=range]")].map(input => Number(input.value)),
  sentence: figure.querySelector(".attn-sentence").textContent,
})"""


def agree(page, figure, n=0):
    """Compare the page with the package in the state that the page is in; return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    again = type(figure)(**{**figure.state, **moved})
    wanted = again.weights
    np.testing.assert_allclose(json.loads(data["weights"]), wanted, rtol=0, atol=1e-12, err_msg="weights")
    np.testing.assert_allclose(wanted, by_hand(again.state), rtol=0, atol=1e-12)
    drawn = figure_of(page, n).evaluate(DRAWN)
    np.testing.assert_allclose(drawn["heights"], 100 * wanted.ravel(), rtol=0, atol=1e-3, err_msg="bars")
    np.testing.assert_allclose([float(text) for text in drawn["texts"]], wanted.ravel(), rtol=0, atol=0.00501)
    query = again.state["query"]
    for name, ends in (("arrow", query), ("ghost", again.W_a.T @ query)):
        end = [float(part) for part in drawn[name].split("L")[1].split()]
        np.testing.assert_allclose(end, ends * [1, -1], rtol=0, atol=1e-12, err_msg=name)
    assert (drawn["hidden"] == "none") == bool(np.allclose(again.W_a.T @ query, query, atol=1e-9))
    np.testing.assert_allclose(drawn["place"], 50 + query / 6 * [100, -100], rtol=0, atol=1e-3, err_msg="handle")
    assert drawn["sliders"] == [moved[name] for name in ("beta", "turn", "stretch")]
    for score, row in zip(SCORES, wanted, strict=True):
        assert f"{score} " in drawn["sentence"] and f" {row.max():.2f}" in drawn["sentence"]
    return moved


def slide(page, label, value, n=0):
    figure_of(page, n).get_by_label(label).evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", str(value)
    )


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_arithmetic(show, case):
    figure = make(**case)
    page = show(figure).page
    first = agree(page, figure)
    assert first == {name: np.asarray(figure.state[name]).tolist() for name in first}
    for label, name, values in (
        ("β of the cosine", "beta", (0, 2.5, 20)),
        ("turns", "turn", (-180, 35, 90)),
        ("stretches", "stretch", (0, 0.7, 3)),
    ):
        for value in values:
            slide(page, label, value)
            assert agree(page, figure)[name] == value
    handle = figure_of(page).get_by_role("slider", name="Query")
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "Shift+ArrowDown"):
        handle.press(key)
        agree(page, figure)
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


FAULTS = {
    "not scaled": ("dot(q, k) / Math.sqrt(2)", "dot(q, k) / 2"),
    "cosine of the key alone": ("(length(q) * length(k))", "length(k)"),
    "no beta": ("(beta * dot(q, k))", "dot(q, k)"),
    "turned the other way": ("[[c * stretch, -s], [s * stretch, c]]", "[[c * stretch, s], [-s * stretch, c]]"),
    "stretched after the turn": ("[[c * stretch, -s], [s * stretch, c]]", "[[c * stretch, -s * stretch], [s, c]]"),
    "query and key swapped": ("dot(q, apply(W, k))", "dot(k, apply(W, q))"),
    "ghost untransposed": ("[W[0][c], W[1][c]]", "W[c]"),
    "steeper": ("Math.tanh(2 * x + 1)", "Math.tanh(3 * x + 1)"),
    "no bias": ("Math.tanh(2 * x + 1) - Math.tanh(2 * x - 1)", "Math.tanh(2 * x) - Math.tanh(2 * x - 1)"),
    "two directions": ("(2 * Math.PI) / 3]", "Math.PI / 3]"),
    "temperature": ("softmax(row, 1)", "softmax(row, 2)"),
    "bars": ("${100 * weights[n][j]}%", "${100 * weights[0][j]}%"),
    "handle": ("(LIMIT - y) / (2 * LIMIT)", "(LIMIT + y) / (2 * LIMIT)"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figure = make(turn=35, stretch=1.7, beta=7.5)
    content = figure._repr_html_()
    assert content.count(right) == 1
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(page, figure)


@pytest.mark.browser
def test_doubling_and_halving(show):
    figure = make(query=[1.0, -0.5])
    page = show(figure).page
    view = figure_of(page)
    double, half = (view.get_by_role("button", name=name) for name in ("query × 2", "query ÷ 2"))
    double.click()
    assert agree(page, figure)["query"] == [2, -1] and double.get_attribute("aria-disabled") == "true"
    double.click(force=True)
    assert agree(page, figure)["query"] == [2, -1], "twice as long would not fit"
    half.click()
    half.click()
    assert agree(page, figure)["query"] == [0.5, -0.25] and double.get_attribute("aria-disabled") == "false"


@pytest.mark.browser
def test_what_is_read(show):
    figure = make(key=[[1, 0], [2, 0]], query=[1.0, 0.0], caption="Move it.")
    page = show(figure).page
    view = figure_of(page)
    assert view.locator("[aria-live=polite]").inner_text() == (
        "Query of length 1.00. Most weight: dot B 0.73, scaled dot B 0.67, cosine A, B 0.50, general B 0.73, "
        "additive A 0.92."
    )
    handle = view.get_by_role("slider", name="Query")
    assert handle.get_attribute("aria-valuetext") == "query at (1.00, 0.00)"
    slide(page, "turns", -90)
    assert view.get_by_label("turns").get_attribute("aria-valuetext") == "−90°"
    assert view.get_by_text("dashed").is_visible() and view.get_by_text("Move it.").is_visible()
    assert view.get_by_role("columnheader").all_inner_texts() == ["score", "A", "B"]


@pytest.mark.browser
def test_drag_and_touch(show):
    figure = make()
    for options in ({}, {"size": PHONE, "has_touch": True, "is_mobile": True}):
        page = show(figure, **options).page
        box = figure_of(page).locator(".attn-score-plot").bounding_box()
        at = figure_of(page).locator(".attn-score-handle").bounding_box()
        page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 6, box["y"] + box["height"] / 2, steps=3)
        np.testing.assert_allclose(agree(page, figure)["query"], [-2, 0], atol=0.06)
        page.mouse.move(box["x"] - 90, box["y"] - 90, steps=3)
        page.mouse.up()
        assert agree(page, figure)["query"] == [-3, 3]
        figure_of(page).get_by_role("button", name="query ÷ 2").click()
        assert agree(page, figure)["query"] == [-1.5, 1.5]


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    slide(page, "turns", 40)
    assert agree(page, figure)["turn"] == 40 and agree(page, figure, 1) == before


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    figures = make(caption="<i>&lt;", names=[*NASTY[:2], NASTY[3], "a"]), make(turn=50, query=[2, 2])
    assert show(*figures, dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 700, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(make(key=np.random.default_rng(0).uniform(-3, 3, (6, 2)), caption="Move it."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("button:visible, input[type=range], .attn-score-handle").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-score-rows, .attn-score-plot, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for label, value in (("β", 0), ("turns", -135), ("stretches", 2.3), ("β", 12.5)):
        slide(page, label, value)
        assert figure_of(page).evaluate(boxes) == before, (label, value)

"""The soft lookup in the plane: what it refuses, what it writes, and its arithmetic in a browser against NumPy."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline, closed

from attn_edu import colours
from attn_edu.core import soft_dictionary
from attn_edu.interactive import SoftLookup

KEYS = np.array([[np.log(6), 0.0], [np.log(3), 1.0], [0.0, 1.0]])
VALUES, LABELS = [10.0, 20.0, 90.0], ["cats", "lions", "roads"]


def make(key=KEYS, value=VALUES, labels=LABELS, query=(1.0, 0.0), **options):
    return SoftLookup(key, value, labels, query=query, **options)


def crowd(seed=4, S=7, **options):
    rng = np.random.default_rng(seed)
    keys = 3.7 * rng.normal(size=(S, 2))
    return make(keys, 50 * rng.normal(size=S), [f"k{j}" for j in range(S)], query=[-1.3, 2.9], **options)


# What it refuses.

REFUSED = {
    "keys three columns": (ValueError, r"key: wanted shape \(S, 2\), got \(3, 3\)", {"key": np.ones((3, 3))}),
    "keys a vector": (ValueError, r"key: wanted shape \(S, 2\), got \(2,\)", {"key": [1.0, 2.0]}),
    "keys words": (TypeError, "key: wanted an array of real numbers", {"key": [["a", "b"]]}),
    "keys nan": (ValueError, r"key: wanted finite numbers, got nan at \[0, 1\]", {"key": [[1, np.nan]]}),
    "keys none": (ValueError, "key: wanted 1 to 8 entries, got 0", {"key": np.ones((0, 2))}),
    "keys nine": (ValueError, "key: wanted 1 to 8 entries, got 9", {"key": np.ones((9, 2))}),
    "values few": (ValueError, "value: wanted 3 entries as in key, got 2", {"value": [1, 2]}),
    "values matrix": (ValueError, "value: wanted a vector", {"value": np.ones((3, 1))}),
    "values word": (TypeError, "value: wanted a vector of real numbers", {"value": ["a", "b", "c"]}),
    "values infinite": (ValueError, "value: wanted finite numbers", {"value": [1, 2, np.inf]}),
    "labels many": (ValueError, "labels: wanted 3 entries as in key, got 4", {"labels": list("abcd")}),
    "labels one string": (TypeError, "labels: wanted a sequence of str, got str", {"labels": "abc"}),
    "labels blank": (ValueError, "labels: wanted something to read", {"labels": ["a", " ", "c"]}),
    "query three": (ValueError, r"query: wanted shape \(2,\), got \(3,\)", {"query": [1, 2, 3]}),
    "query matrix": (ValueError, "query: wanted a vector", {"query": [[1, 2]]}),
    "query missing": (TypeError, "query: wanted a vector of real numbers, got NoneType", {"query": None}),
    "temperature zero": (ValueError, "temperature: wanted a finite number above 0, got 0", {"temperature": 0}),
    "temperature word": (TypeError, "temperature: wanted a number, got str", {"temperature": "warm"}),
    "hard": (TypeError, "hard: wanted True or False, got 'yes'", {"hard": "yes"}),
    "features three": (ValueError, "features: wanted two names, got 3", {"features": ["a", "b", "c"]}),
    "features blank": (ValueError, "features: wanted something to read", {"features": ["a", ""]}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
    "overflow": (ValueError, "wanted finite scores", {"key": KEYS * 1e200, "query": [1e200, 0]}),
}


def test_readings_are_the_reference():
    lookup = crowd(temperature=2.7)
    state = lookup.state
    arrays = state["query"][None], state["key"], state["value"][:, None]
    output, weights = soft_dictionary(*arrays, temperature=2.7)
    np.testing.assert_array_equal(lookup.weights, weights[0])
    assert lookup.output == pytest.approx(output[0, 0], rel=1e-14)
    hard = crowd(hard=True)
    cold = soft_dictionary(*arrays, temperature=1e-3)
    np.testing.assert_allclose(hard.weights, cold[1][0], atol=1e-12)
    assert hard.output == pytest.approx(cold[0][0, 0])


def test_the_case_worked_by_hand():
    np.testing.assert_allclose(make().weights, [0.6, 0.3, 0.1], rtol=1e-14)
    assert make().output == pytest.approx(21)
    np.testing.assert_array_equal(make(query=[0, 2], hard=True).weights, [0, 0.5, 0.5])  # a tie
    assert make(query=[0, 2], hard=True).output == 55


def test_keeps_its_own_copy():
    keys, query = KEYS.copy(), np.ones(2)
    lookup = make(keys, query=query)
    keys[0], query[0] = 9, 9
    np.testing.assert_array_equal(lookup.state["key"], KEYS)
    assert lookup.state["query"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        lookup.state["query"][0] = 9


# What it writes.


def test_text_alternatives():
    lookup = make(labels=["a", "b", "a"])
    outline = Outline(lookup._repr_html_())
    assert lookup.summary() in outline.text and lookup.summary() in repr(lookup)
    assert lookup.summary() == (
        "A soft lookup at temperature 1: the query (1.00, 0.00) finds 21.00. Weights: a (1) 0.60, b 0.30, a (3) 0.10."
    )
    assert (
        make(hard=True).summary().startswith("A hard lookup: the query (1.00, 0.00) finds 10.00. Weights: cats 1.00.")
    )
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 4
    assert "<td>(1.10, 1.00)</td><td>1.10</td><td>0.30</td><td>20.00</td>" in lookup.table()
    assert "−90.00" in make(value=[1, 2, -90]).table()


def test_texts_are_escaped():
    rng = np.random.default_rng(0)
    closed(make(rng.normal(size=(8, 2)), rng.normal(size=8), NASTY[:8], features=NASTY[:2])._repr_html_())


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.query = [0.0, 2.0]
    widget.hard = True
    assert widget.output == 55
    widget.set_state({"query": [1, 0], "hard": False, "temperature": 2})  # as a message from the browser does
    np.testing.assert_array_equal(widget.weights, make(temperature=2.0).weights)
    for bad in ({"query": [1]}, {"temperature": 0}, {"value": [1.0]}, {"key": np.ones((3, 3))}):
        with pytest.raises(traitlets.TraitError, match=r"\w: wanted"):
            widget.update(**bad)
    np.testing.assert_array_equal(widget.weights, make(temperature=2.0).weights)


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-lookup").nth(n)


def handle(page, n=0):
    return figure_of(page, n).locator(".attn-handle")


def agree(page, lookup, n=0):
    """Compare the numbers on the page with NumPy's, in the state that the page is in, and return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    shown = {name: np.array(json.loads(data[name]), dtype=float) for name in ("query", "scores", "weights", "output")}
    moved = {"temperature": float(data["temperature"]), "hard": data["hard"] == "true"}
    again = SoftLookup(**lookup.state | moved | {"query": shown["query"]})
    keys, values = again.state["key"], again.state["value"]
    scores = keys @ shown["query"]
    np.testing.assert_allclose(shown["scores"], scores, rtol=0, atol=1e-12 * max(1, np.abs(scores).max()))
    np.testing.assert_allclose(shown["weights"], again.weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(shown["output"], again.output, rtol=0, atol=1e-12 * max(1, np.abs(values).max()))
    if not moved["hard"]:  # the definition itself
        output, weights = soft_dictionary(shown["query"][None], keys, values[:, None], temperature=moved["temperature"])
        np.testing.assert_allclose(shown["weights"], weights[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(shown["output"], output[0, 0], rtol=0, atol=1e-12 * np.abs(values).max())
    # What is drawn: the query's handle, and each key's foot on the query's line, in parts of the plane.
    reach = float(handle(page, n).get_attribute("aria-valuemax"))

    def place(point):
        return np.array([0.5 + point[0] / (2 * reach), 0.5 - point[1] / (2 * reach)])

    at = handle(page, n).evaluate("node => [node.style.left, node.style.top].map(parseFloat)")
    np.testing.assert_allclose(np.array(at) / 100, place(shown["query"]), atol=1e-5)
    ends = (
        figure_of(page, n)
        .locator(".attn-drops line")
        .evaluate_all(
            'lines => lines.map((line) => ["x1", "y1", "x2", "y2"].map((name) => Number(line.getAttribute(name))))'
        )
    )
    length = np.linalg.norm(shown["query"])
    for key, end in zip(keys, ends, strict=True):
        foot = key @ shown["query"] * shown["query"] / length**2 if length else key
        np.testing.assert_allclose(end, [*place(key), *place(foot)], atol=1e-9)
    return shown | moved


CASES = {
    "cabinet": make(),
    "crowd": crowd(temperature=0.7),
    "one": make([[0.0, 0.0]], [3.0], ["x"], query=(0.0, 0.0)),
    "steep": make(300 * KEYS, query=(40.0, -7.0)),
    "tiny": make(0.01 * KEYS, [-1e-3, 2e-3, 0.0], query=(0.3, 0.2)),
    "hard": make(query=(0.0, 1.0), hard=True),
}


@pytest.mark.browser
@pytest.mark.parametrize("lookup", CASES.values(), ids=CASES)
def test_arithmetic(show, lookup):
    page = show(lookup).page
    shown = agree(page, lookup)
    np.testing.assert_array_equal(shown["query"], lookup.state["query"])
    assert (shown["temperature"], shown["hard"]) == (lookup.state["temperature"], lookup.state["hard"])
    handle(page).focus()
    for keys in (["ArrowUp"] * 3, ["ArrowLeft"] * 30, ["Shift+ArrowDown"] * 4, ["ArrowRight"] * 60):
        for key in keys:
            page.keyboard.press(key)
        agree(page, lookup)
    slider = figure_of(page).locator("[type=range]")
    for press, temperature in (("Home", 0.1), ("End", 10)):
        if figure_of(page).get_by_label("Hard lookup").is_checked():
            figure_of(page).get_by_label("Hard lookup").uncheck()
        slider.press(press)
        assert agree(page, lookup)["temperature"] == temperature
        figure_of(page).get_by_label("Hard lookup").check()
        assert agree(page, lookup)["hard"] and slider.is_disabled()


FAULTS = {
    "temperature forgotten": ("softmax(scores, temperature)", "softmax(scores, 1)"),
    "hard is soft": ("hard ? best", "false ? best"),
    "ties not shared": ("one / ties", "one"),
    "sum of keys": ("output: dot(weights, value)", "output: dot(weights, scores)"),
    "not the dot product": (
        "key.map((k) => dot(query, k))",
        "key.map((k) => k[0] * query[0] - k[1] * query[1])",
    ),
    "distance": (
        "key.map((k) => dot(query, k))",
        "key.map((k) => -Math.hypot(query[0] - k[0], query[1] - k[1]))",
    ),
    "foot on the axis": ("const along = dot(key, unit)", "const along = key[0]"),
    "upside down": ("0.5 - y / (2 * reach)", "0.5 + y / (2 * reach)"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    lookups = [crowd(temperature=0.4), make(query=(0.0, 1.0), hard=True)]
    content = "\n".join(lookup._repr_html_() for lookup in lookups)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, lookup in enumerate(lookups):
            agree(page, lookup, n)


@pytest.mark.browser
def test_what_is_read(show):
    page = show(make(features=("furry", "large"), caption="Move it.")).page
    figure = figure_of(page)
    assert figure.locator("[role=row]").nth(1).inner_text().split() == ["cats", "1.79", "0.60", "10.0"]
    assert figure.locator(".attn-formula").inner_text() == "0.60·10.0 + 0.30·20.0 + 0.10·90.0 = 21.0"
    sentence = figure.locator("[aria-live=polite]")
    assert sentence.inner_text() == "The query (1.00, 0.00) finds 21.0: cats 0.60, lions 0.30, roads 0.10."
    for text in ("furry →", "large →", "Move it."):
        assert figure.get_by_text(text, exact=True).is_visible()
    assert figure.locator(".attn-scale i").evaluate("node => parseFloat(node.style.left)") == pytest.approx(13.75)
    assert figure.locator(".attn-scale span").all_inner_texts() == ["10", "20", "90"]
    assert handle(page).get_attribute("aria-valuetext") == "query at (1.00, 0.00), answer 21.0"
    figure.get_by_label("Hard lookup").check()
    assert sentence.inner_text() == "The query (1.00, 0.00) finds 10.0, the value of the best key, cats."
    handle(page).focus()
    for key in ["ArrowUp"] * 5 + ["ArrowLeft"] * 5:  # to (0, 1), which lions and roads match alike
        page.keyboard.press(key)
    assert sentence.inner_text() == "The query (0.00, 1.00) finds 55.0: 2 keys tie for best and share the weight."


@pytest.mark.browser
def test_mouse(show):
    lookup = make()
    page = show(lookup).page
    box = figure_of(page).locator(".attn-plot").bounding_box()
    grip = handle(page).bounding_box()
    x, y = grip["x"] + grip["width"] / 2 + 3, grip["y"] + grip["height"] / 2 - 2  # not quite in the middle
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - box["width"] / 4, y - box["height"] / 4, steps=5)
    np.testing.assert_allclose(agree(page, lookup)["query"], [0, 1], atol=0.041)
    page.mouse.move(x, y - 3 * box["height"])
    assert agree(page, lookup)["query"][1] == 2, "it stays in the plane"
    page.mouse.up()
    page.mouse.move(x, y)
    assert agree(page, lookup)["query"][1] == 2, "and lies still once let go"
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.75 * box["height"])
    np.testing.assert_allclose(agree(page, lookup)["query"], [-1, -1], atol=0.041)


@pytest.mark.browser
def test_touch(show):
    lookup = make()
    page = show(lookup, size=PHONE, has_touch=True, is_mobile=True).page
    box = figure_of(page).locator(".attn-plot").bounding_box()
    page.touchscreen.tap(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    np.testing.assert_allclose(agree(page, lookup)["query"], [-1, 1], atol=0.041)
    grip = handle(page).bounding_box()
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        points = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (x, y))
    for part in (0.1, 0.3, 0.5):
        touch("touchMove", (x + part * box["width"], y + part * box["height"]))
    touch("touchEnd")
    np.testing.assert_allclose(agree(page, lookup)["query"], [1, -1], atol=0.041)


@pytest.mark.browser
def test_keyboard_and_reset(show):
    lookup = make(temperature=2.0)
    page = show(lookup).page
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    page.keyboard.press(" ")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowLeft")
    shown = agree(page, lookup)
    np.testing.assert_allclose(shown["query"], [0.96, -0.2], atol=1e-12)
    assert (shown["temperature"], shown["hard"]) == (0.1, True)
    page.keyboard.press("Control+ArrowLeft")
    np.testing.assert_array_equal(agree(page, lookup)["query"], shown["query"])
    figure_of(page).get_by_role("button", name="Reset").click()
    shown = agree(page, lookup)
    assert (shown["query"].tolist(), shown["temperature"], shown["hard"]) == ([1, 0], 2, False)


@pytest.mark.browser
def test_copies_are_independent(show):
    lookup, other = make(), crowd()
    page = show(lookup, lookup, other).page
    handle(page, 1).press("ArrowUp")
    figure_of(page, 2).get_by_label("Hard lookup").check()
    shown = [agree(page, each, n) for n, each in enumerate((lookup, lookup, other))]
    assert [each["query"].tolist() for each in shown[:2]] == [[1, 0], [1, 0.2]]
    assert [each["hard"] for each in shown] == [False, False, True]


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    visited = show(make(), html=html, body=body, dark=prefers_dark)
    figure = figure_of(visited.page)
    roles = {"light": colours.LIGHT, "dark": colours.DARK}[scheme]
    for role, part in (("query", ".attn-handle bdi"), ("key", ".attn-point bdi"), ("value", ".attn-value")):
        colour = figure.locator(part).first.evaluate("node => getComputedStyle(node).color")
        assert "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)) == roles[role]
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible_in_every_state(show, dark):
    visited = show(make(), crowd(), dark=dark)
    handle(visited.page).press("ArrowUp")
    assert visited.violations() == []
    figure_of(visited.page).get_by_label("Hard lookup").check()
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 800, "height": 600}, WIDE])
def test_fits(show, size):
    long = make(labels=["incomprehensibilities", "b", "c"], value=[-1234.5, 2e7, 3.0], features=("weight", "height"))
    visited = show(make(), crowd(), long, size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-handle, .attn-controls :is(label, button, input[type=range])").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).map((box) => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    for n in range(2):
        edges = figure_of(page, n).evaluate(
            """figure => { const box = figure.getBoundingClientRect();
              const parts = [...figure.querySelectorAll("span, bdi, input, button, .attn-bar")];
              const boxes = parts.map((part) => part.getBoundingClientRect());
              const [left, right] = [Math.min(...boxes.map((b) => b.left)), Math.max(...boxes.map((b) => b.right))];
              return [left - box.left, box.right - right];
            }"""
        )
        assert min(edges) >= 0

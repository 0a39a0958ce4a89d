"""The weighted sum in the plane: what it refuses, what it writes, and its arithmetic in a browser against NumPy."""

import json

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline, closed
from scipy.spatial import ConvexHull

from attn_edu.interactive import WeightedSumPlane

POINTS = [[1.0, 4.0], [3.0, 1.0], [8.0, 2.0], [6.0, 7.0]]


def make(points=POINTS, importance=(2, 1, 1, 0), **options):
    return WeightedSumPlane(points, importance, **{"limits": [0, 10]} | options)


# What it refuses.

REFUSED = {
    "points three columns": (ValueError, r"points: wanted shape \(S, 2\), got \(4, 3\)", {"points": np.ones((4, 3))}),
    "points a vector": (ValueError, r"points: wanted shape \(S, 2\), got \(2,\)", {"points": [1.0, 2.0]}),
    "points ragged": (ValueError, "points: .* different lengths", {"points": [[1, 2], [3]]}),
    "points words": (TypeError, "points: wanted an array of real numbers", {"points": [["a", "b"]]}),
    "points nan": (ValueError, r"points: wanted finite numbers, got nan at \[0, 1\]", {"points": [[1, np.nan]]}),
    "points none": (ValueError, "points: wanted 1 to 8 points, got 0", {"points": np.ones((0, 2))}),
    "points nine": (ValueError, "points: wanted 1 to 8 points, got 9", {"points": np.ones((9, 2))}),
    "points outside": (ValueError, "points: wanted coordinates from 0 to 5, the limits", {"limits": [0, 5]}),
    "importance length": (ValueError, "importance: wanted 4 numbers as in points, got 2", {"importance": [1, 2]}),
    "importance matrix": (ValueError, r"importance: wanted a vector, got shape \(1, 4\)", {"importance": [[1] * 4]}),
    "importance number": (TypeError, "importance: wanted a vector of real numbers, got int", {"importance": 1}),
    "importance word": (TypeError, "importance: wanted a vector of real numbers", {"importance": ["a"] * 4}),
    "importance ragged": (ValueError, "importance: .* different lengths", {"importance": [[1, 2], [3]]}),
    "importance negative": (ValueError, "importance: wanted numbers from 0 to 10", {"importance": [1, -1, 1, 1]}),
    "importance large": (ValueError, "importance: wanted numbers from 0 to 10", {"importance": [1, 11, 1, 1]}),
    "importance zero": (ValueError, "importance: wanted at least one above 0", {"importance": [0] * 4}),
    "importance infinite": (ValueError, "importance: wanted finite numbers", {"importance": [1, np.inf, 1, 1]}),
    "labels length": (ValueError, "labels: wanted 4 names as in points, got 1", {"labels": ["a"]}),
    "labels one string": (TypeError, "labels: wanted a sequence of str, got str", {"labels": "abcd"}),
    "labels blank": (ValueError, "labels: wanted something to read", {"labels": ["a", "b", " ", "d"]}),
    "limits reversed": (ValueError, "limits: wanted two numbers, the lower first", {"limits": [10, 0]}),
    "limits three": (ValueError, "limits: wanted two numbers", {"limits": [0, 5, 10]}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def test_defaults():
    plane = WeightedSumPlane([[0.5, 4], [3, -1.5]])
    assert plane.state["limits"].tolist() == [-2, 4] and plane.state["labels"] == ["x1", "x2"]
    np.testing.assert_array_equal(plane.weights, [0.5, 0.5])
    assert WeightedSumPlane([[2, 2]]).state["limits"].tolist() == [1, 3]


def test_keeps_its_own_copy():
    points, importance = np.array(POINTS), np.ones(4)
    plane = WeightedSumPlane(points, importance)
    points[0], importance[0] = 9, 9
    assert plane.state["points"].tolist() == POINTS and plane.state["importance"].tolist() == [1] * 4
    with pytest.raises(ValueError, match="read-only"):
        plane.state["points"][0] = 9


# What it writes.


def test_text_alternatives():
    plane = make(labels=["a", "b", "a", "c"])
    outline = Outline(plane._repr_html_())
    assert plane.summary() in outline.text and plane.summary() in repr(plane)
    assert plane.summary().endswith("output (3.25, 2.75) = 0.50 × a (1) + 0.25 × b + 0.25 × a (3).")
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 6
    assert "(−1.00, 0.00)" in WeightedSumPlane([[-1, -0.0001]]).table()


def test_texts_are_escaped():
    closed(make(np.ones((8, 2)), None, labels=NASTY[:8])._repr_html_())


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.importance = [0, 0, 0, 3]
    np.testing.assert_array_equal(widget.output, POINTS[3])
    widget.set_state({"points": [[0, 0], [1, 1], [2, 2], [4, 5]]})  # as a message from the browser does
    np.testing.assert_array_equal(widget.output, [4, 5])
    for bad in ({"importance": [0] * 4}, {"points": np.ones((2, 2))}, {"points": np.full((4, 2), 11.0)}):
        with pytest.raises(traitlets.TraitError, match=r"\w: wanted"):
            widget.update(**bad)
    np.testing.assert_array_equal(widget.output, [4, 5])


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-plane").nth(n)


def handle(page, j, n=0):
    return figure_of(page, n).locator(".attn-handle").nth(j)


def slider(page, j, n=0):
    return figure_of(page, n).locator("[type=range]").nth(j)


def agree(page, plane, n=0):
    """Compare the numbers on the page with NumPy's, in the state that the page is in, and return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    shown = {name: np.array(json.loads(data[name])) for name in ("points", "weights", "output", "hull")}
    importance = [float(text) for text in figure_of(page, n).locator(".attn-amount").all_inner_texts()]
    again = WeightedSumPlane(**plane.state | {"points": shown["points"], "importance": importance})
    np.testing.assert_allclose(shown["weights"], again.weights, rtol=0, atol=1e-14)
    np.testing.assert_allclose(shown["output"], again.output, rtol=0, atol=1e-12)
    # What is drawn: the output's mark and the ends of the lines, in parts of the axes.
    low, high = again.state["limits"]

    def place(point):
        return (point[..., 0] - low) / (high - low), (high - point[..., 1]) / (high - low)

    mark = figure_of(page, n).locator(".attn-output").evaluate("n => [n.style.left, n.style.top].map(parseFloat)")
    np.testing.assert_allclose(mark, 100 * np.array(place(again.output)), atol=1e-3)
    read = """all => all.map(
      n => [...["x1", "y1", "x2", "y2"].map(a => +n.getAttribute(a)), parseFloat(n.style.strokeWidth)])"""
    drawn = np.array(figure_of(page, n).locator(".attn-spokes line").evaluate_all(read)).T
    np.testing.assert_allclose(drawn[:2], place(again.state["points"]), atol=1e-9)
    np.testing.assert_allclose(drawn[2:4].T, np.tile(place(again.output), (len(importance), 1)), atol=1e-9)
    np.testing.assert_allclose(drawn[4], 10 * again.weights, atol=1e-3)
    return again


CASES = {
    "four": {},
    "one": {"points": [[2.0, 3.0]], "importance": [3]},
    "two": {"points": [[2.0, 3.0], [7.5, 3.0]], "importance": [3, 10]},
    "eight": {"points": np.random.default_rng(0).uniform(-3, 3, (8, 2)), "importance": range(8), "limits": [-3, 3.5]},
    "thirds": {"points": np.array(POINTS) / 3, "importance": [1, 2, 3, 0.5], "limits": None},
    "one place": {"points": [[2.0, 3.0]] * 3, "importance": [1, 2, 4]},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_arithmetic(show, case):
    plane = make(**case)
    page = show(plane).page
    again = agree(page, plane)
    np.testing.assert_array_equal(again.state["points"], plane.state["points"])
    for j in range(len(plane.state["points"])):
        slider(page, j).focus()
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        assert agree(page, plane).state["importance"][j] == 9.5


FAULTS = {
    "not normalised": ("(a) => a / total", "(a) => a"),
    "mean of all": ("sum + weights[j] * x[c]", "sum + x[c] / points.length"),
    "axes swapped": ("weights[j] * x[c]", "weights[j] * x[1 - c]"),
    "first coordinate twice": ("weights[j] * x[c]", "weights[j] * x[0]"),
    "upside down": ("(high - y) / (high - low)", "(y - low) / (high - low)"),
    "output stays": ("put(output, y)", "put(output, state.points[0])"),
    "thickness by importance": ("10 * weights[j]}px", "10 * state.importance[j]}px"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    content = make()._repr_html_()
    assert content.count(right) == 1
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(page, make())


@pytest.mark.browser
@pytest.mark.parametrize("seed", range(4))
def test_hull(show, seed):
    points = np.random.default_rng(seed).uniform(0, 10, (8, 2))
    page = show(make(points=points, importance=[1] * 8)).page
    drawn = json.loads(figure_of(page).get_attribute("data-hull"))
    assert sorted(drawn) == sorted(points[ConvexHull(points).vertices].tolist())


@pytest.mark.browser
def test_hull_of_a_line_and_of_a_point(show):
    line = [[1.0, 1.0], [5.0, 5.0], [3.0, 3.0]]
    page = show(make(points=line, importance=[1] * 3), make(points=[[1.0, 1.0]], importance=[1])).page
    assert json.loads(figure_of(page).get_attribute("data-hull")) == [[1, 1], [5, 5]]
    assert json.loads(figure_of(page, 1).get_attribute("data-hull")) in ([], [[1, 1]])


@pytest.mark.browser
def test_what_is_read(show):
    page = show(make(labels=["the", "black", "cat", "sat"], caption="Drag.")).page
    figure = figure_of(page)
    assert figure.locator(".attn-formula").inner_text() == (
        "0.50·(1.00, 4.00) + 0.25·(3.00, 1.00) + 0.25·(8.00, 2.00) + 0.00·(6.00, 7.00) = (3.25, 2.75)"
    )
    assert figure.locator(".attn-line > span:last-child").all_inner_texts()[1:] == ["0.50", "0.25", "0.25", "0.00"]
    sentence = figure.locator("[aria-live=polite]")
    assert sentence.inner_text() == "The output is (3.25, 2.75). The output is an average of 3 inputs."
    slider(page, 0).fill("0")
    assert sentence.inner_text().endswith("Only black and cat have weight: the output lies on the line between them.")
    slider(page, 1).fill("0")
    assert sentence.inner_text() == "The output is (8.00, 2.00). All the weight is on cat, so the output copies it."
    slider(page, 2).fill("0")
    assert sentence.inner_text().startswith("All importances 0 would leave nothing")
    assert slider(page, 2).input_value() == "1"
    for j in range(4):
        slider(page, j).fill("4")
    assert sentence.inner_text().endswith("All weights are equal: the output is the plain mean.")
    assert slider(page, 3).get_attribute("aria-valuetext") == "importance 4.00, weight 0.25"
    assert figure.get_by_text("Drag.").is_visible()


def drag(page, j, right, down):
    handle(page, j).scroll_into_view_if_needed()
    box = handle(page, j).bounding_box()
    x, y = box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2 - 3  # not quite the middle: it must not jump
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right / 2, y + down / 2)
    page.mouse.move(x + right, y + down)
    page.mouse.up()


@pytest.mark.browser
def test_drag(show):
    plane = make()
    page = show(plane).page
    width = figure_of(page).locator(".attn-plot").bounding_box()["width"]
    drag(page, 0, 0.2 * width, -0.1 * width)
    moved = agree(page, plane).state["points"]
    np.testing.assert_allclose(moved[0], [3, 5], atol=0.11)
    np.testing.assert_array_equal(moved[1:], POINTS[1:])
    assert page.evaluate("document.activeElement.classList.contains('attn-handle')")
    drag(page, 2, 5 * width, 5 * width)
    np.testing.assert_array_equal(agree(page, plane).state["points"][2], [10, 0])
    page.mouse.move(0, 0)
    np.testing.assert_array_equal(agree(page, plane).state["points"][2], [10, 0])


@pytest.mark.browser
def test_touch_drags_and_does_not_scroll(show):
    plane = make()
    page = show(plane, size=PHONE, has_touch=True, is_mobile=True).page
    box = handle(page, 3).bounding_box()
    x, y = box["x"] + 16, box["y"] + 16
    touch = page.context.new_cdp_session(page)
    for kind, at in (
        ("touchStart", [(x, y)]),
        ("touchMove", [(x, y + 40)]),
        ("touchMove", [(x, y + 80)]),
        ("touchEnd", []),
    ):
        points = [{"x": left, "y": top} for left, top in at]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    width = figure_of(page).locator(".attn-plot").bounding_box()["width"]
    np.testing.assert_allclose(agree(page, plane).state["points"][3], [6, 7 - 800 / width], atol=0.11)
    assert page.evaluate("scrollY") == 0


@pytest.mark.browser
def test_arrow_keys(show):
    plane = make()
    page = show(plane).page
    page.keyboard.press("Tab")
    moves = [
        ("ArrowRight", [1.5, 4]),
        ("ArrowUp", [1.5, 4.5]),
        ("Shift+ArrowDown", [1.5, 4.4]),
        ("ArrowLeft", [1, 4.4]),
    ]
    for key, place in moves:
        page.keyboard.press(key)
        np.testing.assert_allclose(agree(page, plane).state["points"][0], place, atol=1e-9)
    assert handle(page, 0).get_attribute("aria-valuetext") == "x1 at (1.00, 4.40)"
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert agree(page, plane).state["points"][0].tolist() == [0, 4.4]
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "range", "four handles, then the first slider"


@pytest.mark.browser
@pytest.mark.parametrize(("limits", "step"), [((-2, 10), 0.1), ((-0.3, 0.7), 0.01), ((0, 700), 5), ((0, 20), 0.2)])
def test_steps_are_round(show, limits, step):
    plane = WeightedSumPlane([[limits[0], 0.0]], limits=limits)
    page = show(plane).page
    handle(page, 0).focus()
    page.keyboard.press("Shift+ArrowUp")
    np.testing.assert_allclose(agree(page, plane).state["points"], [[limits[0], step]], atol=1e-12)
    page.keyboard.press("ArrowRight")
    right = limits[0] + round((limits[1] - limits[0]) / 20 / step) * step
    np.testing.assert_allclose(agree(page, plane).state["points"], [[right, step]], atol=1e-12)


@pytest.mark.browser
def test_reset_and_copies(show):
    plane = make()
    page = show(plane, plane).page
    drag(page, 0, 50, 50)
    slider(page, 1).fill("9")
    assert agree(page, plane).state["points"].tolist() != POINTS
    assert agree(page, plane, 1).state["points"].tolist() == POINTS
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, plane).state["points"].tolist() == POINTS
    assert agree(page, plane).state["importance"].tolist() == [2, 1, 1, 0]


@pytest.mark.browser
def test_nasty_labels(show):
    visited = show(make(points=[[j, j] for j in range(8)], importance=[1] * 8, labels=NASTY[:8]))
    assert (
        figure_of(visited.page).locator(".attn-handle bdi").evaluate_all("all => all.map(n => n.textContent)")
        == NASTY[:8]
    )
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    visited = show(
        make(labels=["the", "black", "cat", "sat"], caption="Drag."), make(points=[[1, 1]], importance=[1]), dark=dark
    )
    assert visited.violations() == []
    slider(visited.page, 0).fill("0")
    slider(visited.page, 1).fill("0")
    handle(visited.page, 1).focus()
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    visited = show(make(), html=html, body=body, dark=prefers_dark)
    fill = figure_of(visited.page).locator(".attn-output i").evaluate("node => getComputedStyle(node).backgroundColor")
    assert fill == {"light": "rgb(8, 48, 107)", "dark": "rgb(105, 176, 255)"}[scheme]


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 800, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    eight = make(points=[[j, 9 - j] for j in range(8)], importance=[1] * 8, labels=["incomprehensible"] * 8)
    visited = show(make(labels=["the", "black", "cat", "sat"]), eight, size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-handle, .attn-plane :is(button, input)").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-plot, .attn-line, .attn-formula, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for j, amount in ((0, 10), (3, 10), (0, 0), (1, 0), (2, 0), (3, 0)):
        slider(page, j).fill(str(amount))
        assert figure_of(page).evaluate(boxes) == before
    if size["width"] > 320:
        handle(page, 0).focus()
        for _ in range(20):
            page.keyboard.press("ArrowRight")
        assert figure_of(page).evaluate(boxes) == before


@pytest.mark.browser
def test_motion(show):
    page = show(make(), dark=True).page
    bar = figure_of(page).locator(".attn-bar b").first
    assert bar.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"
    page.emulate_media(reduced_motion="no-preference")
    assert bar.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0.12s"

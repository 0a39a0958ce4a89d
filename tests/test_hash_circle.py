"""The hash on a circle: what it refuses, what it writes, and buckets, order and sets in a browser against NumPy."""

import json
import math
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import Outline, slide

from attn_edu.interactive._hash_circle import HashCircle

ANGLES = [21.3, 203.3, 118.3, 35.3, 308.3, 190.3, 7.3, 130.3, 293.3, 217.3, 50.3]


def make(**options):
    return HashCircle(**{"angles": ANGLES, "turn": 20, "query": 9} | options)


def by_hand(state):
    """Buckets, order and sets, point by point: the nearest direction, no arrays, no help from the package."""
    count, step = len(state["angles"]), 360 / state["buckets"]

    def far(a, b):
        return abs((a - b + 180) % 360 - 180)

    hashed = [
        min(range(state["buckets"]), key=lambda b: far(angle, state["turn"] + step * b)) for angle in state["angles"]
    ]
    order = sorted(range(count), key=lambda i: (hashed[i], i))
    met = []
    for i in range(count):
        row = [0] * count
        for j in range(count):
            back = order.index(i) // state["chunk"] - order.index(j) // state["chunk"]
            row[j] = int(i != j and hashed[i] == hashed[j] and back in (0, 1) and (j < i or not state["causal"]))
        if not any(row):
            row[i] = 1
        met.append(row)
    return {"hashed": hashed, "order": order, "met": met}


# What it refuses.

REFUSED = {
    "angles square": (ValueError, "angles: wanted", {"angles": np.ones((2, 2))}),
    "angles words": (TypeError, "angles: wanted", {"angles": ["a", "b"]}),
    "angles one": (ValueError, "angles: wanted 2 to 12, got 1", {"angles": [1.0]}),
    "angles many": (ValueError, "angles: wanted 2 to 12, got 13", {"angles": range(13)}),
    "buckets": (ValueError, "buckets: wanted 2 to 8, got 10", {"buckets": 10}),
    "buckets odd": (ValueError, "buckets: wanted an even number, got 3", {"buckets": 3}),
    "chunk": (ValueError, "chunk: wanted 2 to 11, got 1", {"chunk": 1}),
    "chunk half": (TypeError, "chunk: wanted an integer, got float", {"chunk": 2.5}),
    "turn": (ValueError, "turn: wanted 0 to 359, got 360", {"turn": 360}),
    "query": (ValueError, "query: wanted 0 to 10, got 11", {"query": 11}),
    "causal": (TypeError, "causal: wanted True or False, got 1", {"causal": 1}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


@pytest.mark.parametrize("changed", [{}, {"causal": False}, {"buckets": 8, "chunk": 2}, {"buckets": 2, "turn": 200}])
def test_readings(changed):
    figure = make(**changed)
    for name, wanted in by_hand(figure.state).items():
        np.testing.assert_array_equal(getattr(figure, name), wanted, err_msg=name)


# What it writes.


def test_text_alternatives():
    figure = make(angles=[10.0, 100, 350, 20], chunk=2, turn=0, query=3, caption="Turn.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "4 points on a circle in 4 buckets, turned by 0 degrees, sorted and cut into chunks of 2. Point 4 is in bucket "
        "A and may attend to 1, 3. All points together meet 3 others, of 6."
    )
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 5
    assert re.findall(r"<td>(.*?)</td>", figure.table())[-3:] == ["A", "2", "1, 3"]
    assert "may attend to itself." in make(query=0).summary()


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(turn=77, chunk=3)
    np.testing.assert_array_equal(widget.met, make(turn=77, chunk=3).met)
    widget.set_state({"causal": False})  # as a message from the browser does
    np.testing.assert_array_equal(widget.met, make(turn=77, chunk=3, causal=False).met)
    with pytest.raises(traitlets.TraitError, match="query: wanted"):
        widget.query = 11


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-hc").nth(n)


DRAWN = """figure => ({
  sorted: [...figure.querySelectorAll(".attn-hc-line")].map(line => [...line.children].map(tile =>
    [Number(tile.querySelector("b").textContent), tile.querySelector("span").textContent,
      tile.className.split("-").at(-1)])),
  dots: [...figure.querySelectorAll(".attn-hc-dot")].map(dot => dot.getAttribute("class").split("-").at(-1)),
  links: [...figure.querySelectorAll(".attn-hc-link")].map(link => link.style.display !== "none"),
  turns: [...figure.querySelectorAll("g:has(> .attn-hc-sector)")].map(g => g.transform.baseVal[0].angle),
  threads: [...figure.querySelectorAll(".attn-hc-thread")].map(line => line.x2.baseVal.value - 0.5),
  chunks: [...figure.querySelectorAll(".attn-hc-bars i")].map(bar => [parseInt(bar.style.gridColumnEnd.slice(5)) ||
    parseInt(bar.style.gridColumnStart.slice(5)), bar.className !== ""]),
  total: figure.querySelector(".attn-hc-total").textContent,
  sentence: figure.querySelector(".attn-sentence").textContent,
})"""


def agree(page, figure, n=0):
    """Compare the page with what is found by hand in the state that the page is in; return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    again = type(figure)(**{**figure.state, **moved})
    state, wanted = again.state, by_hand(again.state)
    for name, values in wanted.items():
        np.testing.assert_array_equal(json.loads(data[name]), values, err_msg=name)
        np.testing.assert_array_equal(getattr(again, name), values, err_msg=name)
    hashed, order, met = wanted.values()
    count, query, chunk = len(hashed), state["query"], state["chunk"]

    def kind(j):
        if j == query:
            return "query"
        if hashed[j] != hashed[query]:
            return "other"
        return "seen" if met[query][j] else "late" if state["causal"] and j > query else "out"

    drawn = figure_of(page, n).evaluate(DRAWN)
    for line, points in zip(drawn["sorted"], (range(count), order), strict=True):
        assert line == [[j + 1, chr(65 + hashed[j]), kind(j)] for j in points]
    assert drawn["dots"] == [kind(j) for j in range(count)]
    assert drawn["links"] == [kind(j) == "seen" for j in range(count)]
    assert drawn["threads"] == [order.index(j) for j in range(count)]
    steps = [-(state["turn"] + 360 / state["buckets"] * b) for b in range(state["buckets"])]
    np.testing.assert_allclose(drawn["turns"], steps, rtol=1e-6)
    own = order.index(query) // chunk
    sizes = [min(chunk, count - chunk * c) for c in range(math.ceil(count / chunk))]
    assert drawn["chunks"] == [[size, c in (own, own - 1)] for c, size in enumerate(sizes)]
    pairs = sum(met[i][j] for i in range(count) for j in range(count) if i != j)
    full = count * (count - 1) // (2 if state["causal"] else 1)
    assert (json.loads(data["pairs"]), json.loads(data["full"])) == (pairs, full)
    assert drawn["total"] == f"Pairs met by all points: {pairs} of {full}."
    keys = [str(j + 1) for j in range(count) if met[query][j] and j != query]
    said = f"may attend to {', '.join(keys) if keys else 'itself alone'}."
    assert said in drawn["sentence"] and f"is in bucket {chr(65 + hashed[query])}" in drawn["sentence"]
    return moved


CASES = {
    "eleven": {},
    "two buckets": {"buckets": 2, "chunk": 3},
    "eight buckets": {"buckets": 8, "chunk": 2},
    "all before and after": {"causal": False, "chunk": 5},
    "two points": {"angles": [10.3, 200.3], "query": 0, "chunk": 2},
    "beyond a turn": {"angles": [-30.3, 400.3, 725.3, 99.3], "query": 3},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_buckets_order_and_sets(show, case):
    figure = make(**case)
    page = show(figure).page
    first = agree(page, figure)
    assert first == {name: figure.state[name] for name in first}
    for label, values in (("turn", (0, 47, 133, 359)), ("chunk", (2, 4)), ("query", (0, 1))):
        for value in values:
            slide(figure_of(page), label, value)
            agree(page, figure)
    figure_of(page).get_by_label("only points before it").click()
    assert agree(page, figure)["causal"] != first["causal"]
    for _ in range(5):
        figure_of(page).get_by_role("button", name="Spin").click()
        agree(page, figure)
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


FAULTS = {
    "the smallest": ("both.indexOf(Math.max(...both))", "both.indexOf(Math.min(...both))"),
    "no opposites": ("[...turned, ...turned.map((t) => -t)]", "[...turned, ...turned]"),
    "order in a bucket": ("buckets[i] - buckets[j] || i - j", "buckets[i] - buckets[j] || j - i"),
    "itself": ("i !== j && mine === other", "mine === other"),
    "across buckets": ("i !== j && mine === other", "i !== j"),
    "no look back": ("(back === 0 || back === 1)", "back === 0"),
    "look ahead": ("(back === 0 || back === 1)", "(back === 0 || back === -1)"),
    "two back": ("(back === 0 || back === 1)", "back >= 0 && back < 3"),
    "not causal": ("(!causal || j < i)", "true"),
    "chunks of one more": ("Math.floor(place[i] / chunk)", "Math.floor(place[i] / (chunk + 1))"),
    "chunks unsorted": ("Math.floor(place[i] / chunk)", "Math.floor(i / chunk)"),
    "empty rows": ("row.some(Boolean) ? row : row.map((_, j) => j === i)", "row"),
    "turned the other way": ("rotate(${-angle})", "rotate(${angle})"),
    "half of the turn": ("(360 / buckets) * c)", "(180 / buckets) * c)"),
    "threads to nowhere": ("x2: place[i] + 0.5", "x2: order[i] + 0.5"),
    "pairs with themselves": ("row.filter((m, j) => m && i !== j)", "row.filter(Boolean)"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(), make(chunk=2, causal=False, turn=77), make(buckets=2, chunk=2, query=10, turn=301)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) >= 3, right
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_keyboard(show):
    figure = make()
    page = show(figure).page
    focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    found = []
    for _ in range(6):
        page.keyboard.press("Tab")
        found.append(page.evaluate(focused))
        if found[-1] in ("turn", "chunk", "query"):
            page.keyboard.press("ArrowRight")
            agree(page, figure)
    assert found[0] == "Spin" and found[3:] == ["turn", "chunk", "query"]
    assert agree(page, figure) == {"turn": 21, "chunk": 5, "query": 10, "causal": True}
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # reset
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert agree(page, figure) == {"turn": 20, "chunk": 4, "query": 9, "causal": False}


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    for point in (2, 10, 0):
        figure_of(page).locator(".attn-hc-dot").nth(point).tap()
        assert agree(page, figure)["query"] == point
    figure_of(page).locator(".attn-hc-line").nth(1).locator(".attn-hc-tile").nth(5).tap()
    moved = agree(page, figure)
    assert moved["query"] == by_hand(figure.state)["order"][5]


@pytest.mark.browser
def test_spins_where_motion_is_welcome(show):
    figure = make()
    page = show(figure).page
    page.emulate_media(reduced_motion="no-preference")
    page.reload()
    figure_of(page).get_by_role("button", name="Spin").click()
    page.wait_for_timeout(1300)
    turned = agree(page, figure)["turn"]
    assert turned != 20
    page.wait_for_timeout(200)
    assert agree(page, figure)["turn"] == turned


@pytest.mark.browser
def test_what_is_read(show):
    figure = make(chunk=2, turn=301, query=0, causal=False, caption="Turn.")
    page = show(figure).page
    sentence = figure_of(page).locator("[aria-live=polite]")
    assert sentence.inner_text() == (
        "Point 1 is in bucket B and looks in chunks 1 and 2. It may attend to 4. "
        "Out of reach in the same bucket: 7, 11."
    )
    assert figure_of(page).locator(".attn-hc-wheel").get_attribute("aria-label").startswith("11 points on a circle.")
    assert figure_of(page).get_by_text("Turn.").is_visible()


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    slide(figure_of(page), "turn", 100)
    assert agree(page, figure)["turn"] == 100 and agree(page, figure, 1) == before


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Turn."), make(buckets=8, chunk=2), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(make(angles=[*ANGLES, 104.3], caption="Turn."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, button:visible").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-hc-wheel, .attn-hc-rows, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for chunk in (2, 5, 12):
        slide(figure_of(page), "chunk", chunk)
        for turn in (0, 90, 200, 305):
            slide(figure_of(page), "turn", turn)
            assert figure_of(page).evaluate(boxes) == before

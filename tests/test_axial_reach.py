"""Axial reach: what it refuses, what it writes, and its ways in a browser against ways that are walked one by one."""

import itertools
import json
import re

import numpy as np
import pytest
import torch
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline

from attn_edu.interactive import AxialReach
from attn_edu.vision import AxialAttention


def make(**options):
    return AxialReach(**options)


def walk(rows, columns, layers, row, column):
    """Count the ways to one output by walking them all: (stacked, summed)."""
    counts = np.zeros((2, rows, columns), dtype=int)
    steps = {"row": columns, "column": rows}
    orders = itertools.product(*[["row", "column"]] * layers)
    for order in orders:
        for stops in itertools.product(*[range(steps[axis]) for axis in reversed(order)]):
            place = [row - 1, column - 1]
            for axis, stop in zip(reversed(order), stops, strict=True):  # from the output backwards
                place[axis == "row"] = stop
            counts[1][tuple(place)] += 1
            if order == ("row", "column", "row")[:layers]:
                counts[0][tuple(place)] += 1
    return counts


# What it refuses.

REFUSED = {
    "rows": (ValueError, "rows: wanted 1 to 9, got 10", {"rows": 10}),
    "rows none": (ValueError, "rows: wanted 1 to 9, got 0", {"rows": 0}),
    "columns": (TypeError, "columns: wanted an integer, got float", {"columns": 7.0}),
    "layers": (ValueError, "layers: wanted 1 to 3, got 4", {"layers": 4}),
    "layers flag": (TypeError, "layers: wanted an integer, got bool", {"layers": True}),
    "row": (ValueError, "row: wanted 1 to 5, got 6", {"rows": 5, "row": 6}),
    "row zero": (ValueError, "row: wanted 1 to 7, got 0", {"row": 0}),
    "column": (ValueError, "column: wanted 1 to 4, got 5", {"columns": 4, "column": 5}),
    "column word": (TypeError, "column: wanted an integer, got str", {"column": "a"}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("place", [(1, 1), (3, 2), (4, 5)])
def test_readings_are_the_ways_walked(layers, place):
    figure = AxialReach(4, 5, layers=layers, row=place[0], column=place[1])
    stacked, summed = walk(4, 5, layers, *place)
    np.testing.assert_array_equal(figure.stacked, stacked)
    np.testing.assert_array_equal(figure.summed, summed)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_what_it_lights_is_what_layers_see(layers):
    figure = AxialReach(4, 5, layers=layers, row=2, column=3)
    torch.manual_seed(0)
    stacked = [AxialAttention(6, 2, ((-2, -3, -2)[:layers]))]
    summed = [AxialAttention(6, 2, summed=True) for _ in range(layers)]
    for stack, ways in ((stacked, figure.stacked), (summed, figure.summed)):
        x = torch.randn(4, 5, 6, dtype=torch.float64, requires_grad=True)
        y = x
        for layer in stack:
            y = layer.double()(y)[0]
        (slope,) = torch.autograd.grad(y[1, 2].sum(), x)
        np.testing.assert_array_equal((slope != 0).any(-1), ways > 0)


# What it writes.


def test_text_alternatives():
    figure = AxialReach(2, 3, layers=2, row=1, column=1, caption="Tap.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "The output at row 1, column 1 after 2 layers: stacked (row, column) it sees 6 of 6 pixels, summed 6."
    )
    assert (
        "after 1 layer: stacked (row) it sees 3 of 6 pixels, summed 4." in AxialReach(2, 3, row=1, column=1).summary()
    )
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 3 and outline.tags.count("td") == 6
    assert '<th scope="row">row 1</th><td>1 | 7</td><td>1 | 5</td>' in figure.table()


def test_widget_follows_python(unhooked):
    widget = AxialReach().widget()
    widget.update(layers=2, row=5)
    np.testing.assert_array_equal(widget.summed, AxialReach(layers=2, row=5).summed)
    widget.set_state({"column": 1, "layers": 3})  # as a message from the browser does
    np.testing.assert_array_equal(widget.stacked, AxialReach(layers=3, row=5, column=1).stacked)
    with pytest.raises(traitlets.TraitError, match="row: wanted"):
        widget.row = 8
    widget.update(row=1, rows=2, columns=3)
    assert widget.summed.shape == (2, 3)


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-reach").nth(n)


def radio(page, name, n=0):
    return figure_of(page, n).get_by_role("radio", name=name, exact=True)


def agree(page, figure, n=0):
    """Compare the page with ways walked one by one, in the state that the page is in; return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    rows, columns = figure.state["rows"], figure.state["columns"]
    wanted = walk(rows, columns, **moved)
    for place, name in enumerate(("stacked", "summed")):
        ways = wanted[place]
        np.testing.assert_allclose(json.loads(data[name]), ways, rtol=0, atol=0, err_msg=name)
        read = (
            figure_of(page, n)
            .locator(".attn-reach-grid")
            .nth(place)
            .evaluate(
                """grid => [...grid.querySelectorAll(".attn-reach-line")].map(line => [...line.children].map(cell => [
                  Number(cell.textContent), Number(cell.classList.contains("attn-reach-seen")),
                  Number(cell.classList.contains("attn-reach-here"))]))"""
            )
        )
        shown = np.array(read)
        np.testing.assert_allclose(shown[..., 0], ways, rtol=0, atol=0, err_msg="numbers")
        np.testing.assert_allclose(shown[..., 1], ways > 0, rtol=0, atol=0, err_msg="shade")
        here = np.zeros((rows, columns))
        here[moved["row"] - 1, moved["column"] - 1] = 1
        np.testing.assert_allclose(shown[..., 2], here, rtol=0, atol=0, err_msg="frame")
        title = figure_of(page, n).locator(".attn-reach-title").nth(place).inner_text()
        count = int(re.search(r"sees (\d+) of", title)[1])
        np.testing.assert_allclose(count, (ways > 0).sum(), rtol=0, atol=0, err_msg="title")
    return moved


CASES = {
    "square": (7, 7, {}),
    "wide": (2, 9, {"row": 2, "column": 9}),
    "tall": (9, 3, {"row": 4, "column": 1}),
    "one row": (1, 5, {"row": 1}),
    "one pixel": (1, 1, {"row": 1, "column": 1}),
    "three layers": (4, 5, {"layers": 3}),
}


@pytest.mark.browser
@pytest.mark.parametrize(("rows", "columns", "options"), CASES.values(), ids=CASES)
def test_arithmetic(show, rows, columns, options):
    figure = AxialReach(rows, columns, **options)
    page = show(figure).page
    first = {name: figure.state[name] for name in ("layers", "row", "column")}
    assert agree(page, figure) == first
    for layers in (3, 1, 2):
        radio(page, str(layers)).check()
        assert agree(page, figure)["layers"] == layers
    figure_of(page).get_by_role("gridcell").last.click()
    assert agree(page, figure) == {"layers": 2, "row": rows, "column": columns}
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


FAULTS = {
    "rows for columns": ('const ORDER = ["row", "column", "row"]', 'const ORDER = ["column", "row", "column"]'),
    "the first layer only": ("order.reduceRight((ways, axis) => along[axis](ways), output)", "along.row(output)"),
    "summed like stacked": ("order.reduce((ways) => both(ways), output)", "stacked"),
    "a summed layer less": ("order.reduce((ways) => both(ways), output)", "order.slice(0, 2).reduce(both, output)"),
    "its own once": ("n + columns[r][c]", "Math.max(n, columns[r][c])"),
    "not the whole row": ("row.map(() => sumOf(row))",
                          "row.map((_, c) => row.slice(0, c + 1).reduce((a, b) => a + b))"),
    "not the whole column": ("ways.reduce((sum, other) => sum + other[c], 0)",
                             "ways.slice(1).reduce((sum, other) => sum + other[c], 0)"),
    "the output elsewhere": ("Number(r === row - 1 && c === column - 1)", "Number(r === row && c === column - 1)"),
    "all lit": ('"attn-reach-seen", count > 0', '"attn-reach-seen", true'),
    "frame elsewhere": ('"attn-reach-here", here', '"attn-reach-here", r === row && c === column - 1'),
    "ways for pixels": ("filter((n) => n > 0).length", "reduce((a, b) => a + b)"),
}  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [AxialReach(4, 5, layers=3, row=2), AxialReach(4, 5, row=2, column=3)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_keyboard(show):
    figure = AxialReach(3, 4, row=2, column=2)
    page = show(figure).page
    for _ in range(3):  # layers, reset, grid
        page.keyboard.press("Tab")
    moves = [("ArrowRight", (2, 3)), ("ArrowDown", (3, 3)), ("ArrowDown", (3, 3)), ("ArrowLeft", (3, 2))]
    moves += [
        ("ArrowLeft", (3, 1)),
        ("ArrowLeft", (3, 1)),
        ("ArrowUp", (2, 1)),
        ("ArrowUp", (1, 1)),
        ("ArrowUp", (1, 1)),
    ]
    for key, place in moves:
        page.keyboard.press(key)
        moved = agree(page, figure)
        assert (moved["row"], moved["column"]) == place, key
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused) == "row 1, column 1: 1 stacked, 2 summed"
    assert figure_of(page).locator("[tabindex='0']").count() == 1
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert agree(page, figure)["layers"] == 2


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = AxialReach(9, 9)
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    for panel in (0, 1):
        grid = figure_of(page).locator(".attn-reach-grid").nth(panel)
        for place in (0, 40, 80):
            grid.locator(".attn-reach-cell").nth(place).tap()
            moved = agree(page, figure)
            assert (moved["row"], moved["column"]) == (place // 9 + 1, place % 9 + 1)
    figure_of(page).locator("label", has_text="3").tap()
    assert agree(page, figure)["layers"] == 3


@pytest.mark.browser
def test_what_is_read(show):
    page = show(AxialReach(2, 3, layers=2, row=1, column=1, caption="Tap.")).page
    figure = figure_of(page)
    assert figure.locator("[aria-live=polite]").inner_text() == (
        "The output at row 1, column 1 after 2 layers: stacked (row, column) it sees 6 of 6 pixels, summed 6."
    )
    label = figure.get_by_role("img").get_attribute("aria-label")
    assert label == "Ways through summed layers: row 1: 7 5 5; row 2: 4 2 2"
    assert figure.get_by_text("Tap.").is_visible()
    assert figure.locator(".attn-reach-title").first.inner_text() == "Stacked (row, column): sees 6 of 6"
    radio(page, "1").check()
    assert figure.locator("[aria-live=polite]").inner_text().endswith("stacked (row) it sees 3 of 6 pixels, summed 4.")


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = AxialReach()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    radio(page, "3").check()
    figure_of(page).get_by_role("gridcell").first.click()
    assert agree(page, figure) == {"layers": 3, "row": 1, "column": 1} and agree(page, figure, 1) == before


@pytest.mark.browser
def test_nasty_caption(show):
    for caption in NASTY[:3]:
        visited = show(AxialReach(caption=caption))
        assert figure_of(visited.page).locator(".attn-caption").inner_text() == caption


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(AxialReach(caption="Tap."), AxialReach(9, 9, layers=3), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(AxialReach(), html=html, body=body, dark=prefers_dark).page
    lit = page.locator(".attn-reach-seen").first.evaluate("node => getComputedStyle(node).backgroundColor")
    assert lit == {"light": "rgb(185, 211, 243)", "dark": "rgb(40, 80, 127)"}[scheme]


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
@pytest.mark.parametrize("columns", [7, 9])
def test_fits_and_nothing_shifts(show, size, columns):
    visited = show(AxialReach(7, columns, caption="Tap."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, button:visible, .attn-reach-cell").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    wide = "all => all.every(n => n.scrollWidth <= n.clientWidth)"
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-controls, .attn-reach-grid, .attn-reach-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for place in (0, 17, 48):
        figure_of(page).get_by_role("gridcell").nth(place).click()
        for layers in "132":
            radio(page, layers).check()
            assert figure_of(page).evaluate(boxes) == before
            assert page.locator(".attn-reach-cell").evaluate_all(wide)

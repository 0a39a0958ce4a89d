"""Memory blocks: what the figure refuses, what it writes, and its order and masks in a browser against NumPy."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import Outline, slide

from attn_edu.interactive import MemoryBlocks

IMAGE = np.random.default_rng(0).random((7, 5)).round(2)
SIZES = {"l_q": 4, "l_m": 3, "h_q": 2, "w_q": 3, "h_m": 1, "w_m": 2}


def make(**options):
    return MemoryBlocks(**{"image": IMAGE, "pixel": 17} | SIZES | options)


def by_hand(state):
    """Order, query block, memory block and what is seen, pixel by pixel: no arrays, no help from the package."""
    height, width = len(state["image"]), len(state["image"][0])
    pixels = [(r, c) for r in range(height) for c in range(width)]
    order, t = {}, 0
    tall, wide = (state["h_q"], state["w_q"]) if state["dimensions"] == 2 else (1, width)
    for top in range(0, height, tall):
        for left in range(0, width, wide):
            for r in range(top, min(top + tall, height)):
                for c in range(left, min(left + wide, width)):
                    order[r, c], t = t, t + 1

    def block(p, q, above, beside):
        if state["dimensions"] == 1:
            start = pixels.index(p) // state["l_q"] * state["l_q"]
            return start - above <= pixels.index(q) < start + state["l_q"]
        top, left = p[0] // state["h_q"] * state["h_q"], p[1] // state["w_q"] * state["w_q"]
        return top - above <= q[0] < top + state["h_q"] and left - beside <= q[1] < left + state["w_q"] + beside

    far = (state["l_m"], 0) if state["dimensions"] == 1 else (state["h_m"], state["w_m"])
    sees = [[block(p, q, *far) and order[q] <= order[p] for q in pixels] for p in pixels]
    asks = pixels[state["pixel"]]
    return {
        "order": [order[q] for q in pixels],
        "block": [block(asks, q, 0, 0) for q in pixels],
        "memory": [block(asks, q, *far) for q in pixels],
        "sees": sees[state["pixel"]],
        "all": [sum(row) for row in sees],
    }, sees


# What it refuses.

REFUSED = {
    "image flat": (ValueError, r"image: wanted shape \(H, W\), got \(5,\)", {"image": IMAGE[0]}),
    "image large": (ValueError, "image: wanted at most 12 × 12 pixels, got 13 × 2", {"image": np.ones((13, 2))}),
    "image bright": (ValueError, "image: wanted numbers from 0 to 1, got .* to 2", {"image": IMAGE * 0 + 2}),
    "image words": (TypeError, "image: wanted an array of real numbers", {"image": [["a"]]}),
    "dimensions": (ValueError, "dimensions: wanted 1 to 2, got 3", {"dimensions": 3}),
    "pixel": (ValueError, "pixel: wanted 0 to 34, got 35", {"pixel": 35}),
    "pixel half": (TypeError, "pixel: wanted an integer, got float", {"pixel": 1.0}),
    "pixel flag": (TypeError, "pixel: wanted an integer, got bool", {"pixel": True}),
    "l_q": (ValueError, "l_q: wanted 1 to 35, got 0", {"l_q": 0}),
    "l_m": (ValueError, "l_m: wanted 0 to 35, got -1", {"l_m": -1}),
    "h_q": (ValueError, "h_q: wanted 1 to 7, got 8", {"h_q": 8}),
    "w_q": (ValueError, "w_q: wanted 1 to 5, got 6", {"w_q": 6}),
    "h_m": (ValueError, "h_m: wanted 0 to 7, got 8", {"h_m": 8}),
    "w_m": (TypeError, "w_m: wanted an integer, got str", {"w_m": "2"}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


@pytest.mark.parametrize("dimensions", [1, 2])
def test_readings(dimensions):
    figure = make(dimensions=dimensions)
    wanted, sees = by_hand(figure.state)
    assert figure.order.ravel().tolist() == wanted["order"]
    assert figure.sees.tolist() == sees


# What it writes.


def test_text_alternatives():
    figure = make(image=np.zeros((2, 2)), pixel=3, l_q=1, l_m=1, h_q=1, w_q=1, h_m=1, w_m=0, caption="Tap.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "Local attention in two dimensions: the pixel in row 2, column 2 is number 4 of 4. Of the 2 pixels in its "
        "memory block it sees 2, its own place included. All pixels together see 6; in full causal attention 10."
    )
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 3 and outline.tags.count("td") == 4
    assert re.findall(r"<td>(.*?)</td>", figure.table()) == ["1 not seen", "2 seen", "3 not seen", "4 asks"]
    both = make(image=np.zeros((2, 2)), pixel=0, h_q=2, w_q=1, h_m=0, w_m=1, l_q=1, l_m=0)
    assert re.findall(r"<td>(.*?)</td>", both.table()) == ["1 asks", "3 masked", "2 masked", "4 masked"]
    assert "in one dimension" in make(dimensions=1).summary()


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(pixel=5, h_q=3)
    np.testing.assert_array_equal(widget.sees, make(pixel=5, h_q=3).sees)
    widget.set_state({"dimensions": 1})  # as a message from the browser does
    np.testing.assert_array_equal(widget.order.ravel(), np.arange(35))
    with pytest.raises(traitlets.TraitError, match="pixel: wanted"):
        widget.pixel = 35


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-mb").nth(n)


def agree(page, figure, n=0):
    """Compare the page with what is counted by hand in the state that the page is in; return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    again = type(figure)(**{**figure.state, **moved})
    wanted, sees = by_hand(again.state)
    assert sees == again.sees.tolist() and wanted["order"] == again.order.ravel().tolist()
    for name, values in wanted.items():
        np.testing.assert_array_equal(json.loads(data[name]), np.array(values, dtype=int), err_msg=name)
    # What is drawn: the kinds of pixels, their numbers, ink and outline.
    drawn = figure_of(page, n).evaluate(
        """figure => [...figure.querySelectorAll(".attn-mb-cell")].map(node => ({
          kinds: [...node.classList].map(name => name.slice(8)),
          number: Number(node.querySelector("span").textContent),
          ink: node.querySelector("i").hidden ? null : Number(node.querySelector("i").style.getPropertyValue("--ink")),
          outline: ["top", "right", "bottom", "left"].map(side => node.style.getPropertyValue("--" + side) === "3px"),
          selected: node.getAttribute("aria-selected") === "true"}))"""
    )
    height, width = again.state["image"].shape
    now = wanted["order"][moved["pixel"]]
    block = np.pad(np.reshape(wanted["block"], (height, width)), 1)
    for i, (cell, ink) in enumerate(zip(drawn, again.state["image"].ravel(), strict=True)):
        late = wanted["order"][i] > now
        kind = ("masked" if wanted["memory"][i] else "later") if late else "seen" if wanted["sees"][i] else "made"
        kinds = {"cell", kind} | ({"query"} if i == moved["pixel"] else set())
        r, c = i // width + 1, i % width + 1
        around = [block[r - 1, c], block[r, c + 1], block[r + 1, c], block[r, c - 1]]
        what = {
            "kinds": sorted(kinds),
            "number": wanted["order"][i] + 1,
            "ink": ink if wanted["order"][i] < now else None,
            "outline": [bool(block[r, c] and not other) for other in around],
            "selected": i == moved["pixel"],
        }
        cell["kinds"] = sorted(cell["kinds"])
        assert cell == what, f"pixel {i}"
    total, full = sum(wanted["all"]), len(drawn) * (len(drawn) + 1) // 2
    text = figure_of(page, n).locator(".attn-mb-total").inner_text().strip()
    assert text == f"All pixels together see {total:,}. Full causal attention: {full:,}."
    part = figure_of(page, n).locator(".attn-mb-bar i").evaluate("bar => parseFloat(bar.style.width)")
    np.testing.assert_allclose(part, 100 * total / full, rtol=1e-4)
    return moved


CASES = {
    "oblong": {},
    "one pixel": {"image": np.ones((1, 1)), "pixel": 0, **dict.fromkeys(("l_q", "h_q", "w_q"), 1), "l_m": 0, "h_m": 0}
    | {"w_m": 0},
    "a row": {"image": np.ones((1, 9)), "pixel": 4, "h_q": 1, "h_m": 0},
    "all": {"h_m": 7, "w_m": 5, "l_m": 35, "pixel": 34},
    "largest": {"image": np.random.default_rng(1).random((12, 12)), "pixel": 77, "h_q": 5, "w_q": 7},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_order_and_masks(show, case):
    figure = make(**case)
    page = show(figure).page
    first = agree(page, figure)
    assert first == {name: figure.state[name] for name in first}
    for form, labels in (("1-D", ("block", "memory before")),
                         ("2-D", ("block rows", "block columns", "memory above", "memory beside"))):  # fmt: skip
        figure_of(page).get_by_role("radio", name=form).check()
        agree(page, figure)
        for label in labels:
            slide(figure_of(page), label, 2)
            agree(page, figure)
        figure_of(page).get_by_role("button", name="Earlier").click()
        agree(page, figure)
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


FAULTS = {
    "not causal": ("m && order[i] <= order[p]", "m && true"),
    "blind to itself": ("m && order[i] <= order[p]", "m && order[i] < order[p]"),
    "reading order": ("m && order[i] <= order[p]", "m && i <= p"),
    "memory off by one": ("within(start - l_m)", "within(start - l_m + 1)"),
    "a sliding window": ("Math.floor(p / l_q) * l_q", "p"),
    "no memory on the right": ("c < left + w_q + beside", "c < left + w_q"),
    "memory below": ("r < top + h_q", "r < top + h_q + above"),
    "rows for columns": ("within(h_m, w_m)", "within(w_m, h_m)"),
    "columns of blocks first": (
        "[Math.floor(r / tall), Math.floor(c / wide), r % tall, c % wide]",
        "[Math.floor(c / wide), Math.floor(r / tall), r % tall, c % wide]",
    ),
    "columns within blocks first": ("r % tall, c % wide]", "c % wide, r % tall]"),
    "the future drawn": ("dot.hidden = order[i] >= order[pixel]", "dot.hidden = order[i] > order[pixel]"),
    "outline of the memory": ("const out = (row, column) => block[i]", "const out = (row, column) => memory[i]"),
    "full without its diagonal": ("(order.length + 1)) / 2", "(order.length - 1)) / 2"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(dimensions=1), make(pixel=18)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_keyboard(show):
    figure = make()
    page = show(figure).page
    for _ in range(9):  # form, earlier, later, reset, four sliders, grid
        page.keyboard.press("Tab")
    moves = [("ArrowRight", 18), ("ArrowDown", 23), ("ArrowLeft", 22), ("ArrowUp", 17), ("ArrowLeft", 16)]
    moves += [("ArrowLeft", 15), ("ArrowLeft", 15), *[("ArrowUp", n) for n in (10, 5, 0, 0)]]
    for key, pixel in moves:
        page.keyboard.press(key)
        assert agree(page, figure)["pixel"] == pixel, key
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused) == "row 1, column 1, number 1: asks"
    page.keyboard.press("Shift+Tab")  # memory beside
    page.keyboard.press("ArrowRight")
    assert agree(page, figure)["w_m"] == 3
    for _ in range(5):
        page.keyboard.press("Shift+Tab")  # later
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert agree(page, figure)["pixel"] == 5  # in blocks of 2 × 3 the fourth is below the first


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    for pixel in (34, 3, 0):
        figure_of(page).get_by_role("gridcell").nth(pixel).tap()
        assert agree(page, figure)["pixel"] == pixel
    figure_of(page).locator("label", has_text="1-D").tap()
    assert agree(page, figure)["dimensions"] == 1


@pytest.mark.browser
def test_what_is_read(show):
    page = show(make(caption="Tap.")).page
    figure = figure_of(page)
    sentence = figure.locator("[aria-live=polite]")
    assert sentence.inner_text() == (
        "The pixel in row 4, column 3 is number 16 of 35. Of the 15 in its memory block it sees 11, "
        "its own place included."
    )
    cell = figure.get_by_role("gridcell")
    assert cell.nth(16).get_attribute("aria-label") == "row 4, column 2, number 15: seen, in the query block"
    assert cell.nth(18).get_attribute("aria-label") == "row 4, column 4, number 19: in the memory block, but later"
    assert cell.nth(34).get_attribute("aria-label") == "row 7, column 5, number 35: later"
    assert figure.get_by_text("Tap.").is_visible()


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    figure_of(page).get_by_role("radio", name="1-D").check()
    slide(figure_of(page), "memory before", 9)
    assert agree(page, figure)["l_m"] == 9 and agree(page, figure, 1) == before


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Tap."), make(dimensions=1, pixel=9), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    image = np.random.default_rng(2).random((12, 12)) if size == WIDE else np.ones((8, 8))
    visited = show(make(image=image, caption="Tap."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, button:visible, .attn-mb-cell").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-mb-sliders, .attn-mb-grid, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for pixel in (0, 7, image.size - 1):
        figure_of(page).get_by_role("gridcell").nth(pixel).click()
        for form in ("1-D", "2-D"):
            figure_of(page).get_by_role("radio", name=form).check()
            assert figure_of(page).evaluate(boxes) == before

"""The cost calculator: what it reads off the formulas, and its arithmetic in a browser."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import Outline, slide

from attn_edu import costs
from attn_edu.interactive import CostCalculator
from attn_edu.interactive._cost_calculator import LENGTHS, WIDTHS, count, heads_of, percent, size

SIZES = {"length": 768, "width": 192, "heads": 6, "number": 2}


def make(**options):
    return CostCalculator(**SIZES | options)


# What it refuses.

REFUSED = {
    "length short": (ValueError, "length: wanted 64 to 1,048,576, a power of two or three times one", {"length": 48}),
    "length between": (ValueError, "length: .* got 1000", {"length": 1000}),
    "length text": (TypeError, "length: wanted an integer, got str", {"length": "64"}),
    "width large": (ValueError, "width: wanted 64 to 16,384", {"width": 32768}),
    "width flag": (TypeError, "width: wanted an integer, got bool", {"width": True}),
    "heads": (ValueError, "heads: wanted one of 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, got 5", {"heads": 5}),
    "heads of no width": (ValueError, "heads: wanted one of 1, 2, 4, 8, 16, 32, 64, got 3", {"width": 64, "heads": 3}),
    "number": (ValueError, "number: wanted 4 or 2 bytes, got 8", {"number": 8}),
    "number half": (TypeError, "number: wanted an integer, got float", {"number": 4.0}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def test_readings():
    figure = make()
    assert figure.operations == costs.operations(768, 192)
    assert figure.held == costs.held_bytes(768, 6, 2) and figure.moved == costs.moved_bytes(768, 192, 6, 2)


def test_numbers_in_words():
    assert [count(n) for n in (524_288, 1e9, 2.748e11, 3.3e16, 6.75e18)] == [
        "0.524 million", "1 billion", "275 billion", "33 quadrillion", "6.75 quintillion"
    ]  # fmt: skip
    assert [size(n) for n in (512, 1024, 1_048_575, 2**36, 2**40 * 1023, 2**55)] == [
        "0.5 KiB", "1 KiB", "1,020 KiB", "64 GiB", "1,020 TiB", "32 PiB"
    ]  # fmt: skip
    assert size(1125 * 2**30 // 1000 * 8) == "9 GiB" and count(1.125e9) == "1.13 billion"
    assert [percent(x) for x in (0, 0.001, 0.125, 0.5, 0.9951, 1)] == [
        "0%",
        "under 1%",
        "13%",
        "50%",
        "over 99%",
        "100%",
    ]


# What it writes.


def test_text_alternatives():
    figure = CostCalculator(length=384, width=64, heads=2, caption="Move <this>.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "At 384 tokens a block of width 64 multiplies 37.7 million times, 50% of it for pairs of tokens. The maps of "
        "its 2 heads take 1.13 MiB; tiles of 128 × 128 need 67 KiB. Attention moves 4.88 MiB with maps, 768 KiB by "
        "tiles."
    )
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 8 and outline.tags.count("td") == 14
    cells = re.findall(r"<td>(.*?)</td>", figure.table())
    assert cells[:6] == ["6,291,456", "17%", "18,874,368", "50%", "12,582,912", "33%"]
    assert "The map of its head takes" in make(heads=1).summary()


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(length=96, heads=1)
    assert widget.held == costs.held_bytes(96, 1, 2)
    widget.set_state({"number": 4})  # as a message from the browser does
    assert widget.held == costs.held_bytes(96, 1, 4)
    with pytest.raises(traitlets.TraitError, match="heads: wanted"):
        widget.heads = 5


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-cc").nth(n)


def agree(page, figure, n=0):
    """Compare the page with Python's formulas in the state that the page is in; return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    again = type(figure)(**moved)
    for name in ("operations", "held", "moved"):
        # JSON writes the shortest digits that give the same number back: compare as floats.
        assert json.loads(data[name], parse_int=float) == getattr(again, name), name
    assert figure_of(page, n).locator("[aria-live=polite]").inner_text() == again.summary()
    # What is drawn: parts of the bar, places of the dots, what stands beside them, where the sliders are.
    drawn = figure_of(page, n).evaluate(
        """figure => ({
          parts: [...figure.querySelectorAll(".attn-cc-part")].map(node => parseFloat(node.style.width)),
          dots: [...figure.querySelectorAll(".attn-cc-dot")].map(node => parseFloat(node.style.left)),
          said: [...figure.querySelectorAll("li .attn-cc-said")].map(node => node.textContent),
          read: [...figure.querySelectorAll(".attn-cc-read")].map(node => node.textContent),
          spoken: [...figure.querySelectorAll("input[type=range]")].map(node => node.getAttribute("aria-valuetext")),
          at: [...figure.querySelectorAll("input[type=range]")].map(node => [Number(node.value), Number(node.max)]),
          bytes: [...figure.querySelectorAll("input[type=radio]")].findIndex(node => node.checked)})"""
    )
    parts = np.array(list(again.operations.values()))
    np.testing.assert_allclose(drawn["parts"], 100 * parts / parts.sum(), rtol=1e-3, atol=1e-3)
    amounts = [*again.held.values(), *again.moved.values()]
    np.testing.assert_allclose(drawn["dots"], [100 * (np.log2(n) - 10) / 42 for n in amounts], rtol=1e-4)
    shares = [f"{count(n)}, {percent(n / parts.sum())}" for n in parts.tolist()]
    assert drawn["said"] == shares + [size(n) for n in amounts]
    values = [moved[name] for name in ("length", "width", "heads")]
    assert drawn["read"] == drawn["spoken"] == [f"{value:,}" for value in values]
    choices = [LENGTHS, WIDTHS, heads_of(moved["width"])]
    assert drawn["at"] == [[c.index(value), len(c) - 1] for c, value in zip(choices, values, strict=True)]
    assert drawn["bytes"] == (4, 2).index(moved["number"])
    return moved


@pytest.mark.browser
def test_arithmetic(show):
    figure = make()
    page = show(figure).page
    assert agree(page, figure) == SIZES
    rng = np.random.default_rng(0)
    for label, choices in (("tokens", LENGTHS), ("width", WIDTHS)):
        for value in range(len(choices)):
            slide(figure_of(page), label, value)
            moved = agree(page, figure)
            slide(figure_of(page), "heads", int(rng.integers(len(heads_of(moved["width"])))))
            agree(page, figure)
    figure_of(page).get_by_role("radio", name="4 bytes").check()
    largest = agree(page, figure)
    assert (largest["length"], largest["width"], largest["number"]) == (2**20, 2**14, 4)
    slide(figure_of(page), "heads", 99)
    assert agree(page, figure)["heads"] == 64
    dots = figure_of(page).locator(".attn-cc-dot").evaluate_all("all => all.map(node => parseFloat(node.style.left))")
    assert min(dots) > 0 and max(dots) < 100
    slide(figure_of(page), "width", 1)  # 96, which 64 does not divide
    assert agree(page, figure)["heads"] == 48
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == SIZES


FAULTS = {
    "three projections": ("projections: 4 * L * d * d", "projections: 3 * L * d * d"),
    "scores alone": ("pairs: 2 * L * L * d", "pairs: L * L * d"),
    "a wide network": ("feed_forward: 8 * L * d * d", "feed_forward: 16 * L * d * d"),
    "one map for all heads": ("maps: h * L * L * bytes", "maps: L * L * bytes"),
    "tiles longer than the sequence": ("const side = Math.min(TILE, L)", "const side = TILE"),
    "no log-sum-exp": ("(side * side + h * L) * bytes", "side * side * bytes"),
    "softmax for nothing": ("4 * h * L * L) * bytes", "2 * h * L * L) * bytes"),
    "half a tile lost": ("Math.ceil(L / TILE)", "Math.floor(L / TILE)"),
    "decimal prefixes": ("n / 1024 ** power", "n / 1000 ** power"),
    "parts of the largest": ("(100 * n) / total}%`", "(100 * n) / Math.max(...Object.values(costs.operations))}%`"),
    "dots by length": ("(Math.log2(n) - 10)", "(Math.log2(n) - 9)"),
    "heads that do not divide": ("filter((h) => h <= 64 && width % h === 0)", "filter((h) => h <= 64 && h <= width)"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(), make(length=64, width=64, heads=4, number=4), make(length=192)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == 3
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_keyboard(show):
    figure = make()
    page = show(figure).page
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert agree(page, figure)["length"] == 1024
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")  # width 128: six heads do not divide it
    moved = agree(page, figure)
    assert (moved["width"], moved["heads"]) == (128, 4)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert agree(page, figure)["heads"] == 8
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert agree(page, figure)["number"] == 4
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert agree(page, figure) == SIZES


@pytest.mark.browser
def test_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    figure_of(page).locator("label", has_text="4 bytes").tap()
    assert agree(page, figure)["number"] == 4
    figure_of(page).get_by_label("tokens", exact=True).tap(position={"x": 1, "y": 14})
    assert agree(page, figure)["length"] == 64


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    slide(figure_of(page), "tokens", 3)
    figure_of(page).get_by_role("radio", name="4 bytes").check()
    assert agree(page, figure)["length"] == 192 and agree(page, figure, 1) == before


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Move."), make(heads=1, number=4), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(make(caption="Move."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, button:visible").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll("ul, .attn-cc-bar, .attn-cc-track, .attn-cc-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for label, value in (("tokens", 0), ("width", 0), ("tokens", 28), ("width", 16), ("heads", 6), ("tokens", 15)):
        slide(figure_of(page), label, value)
        assert figure_of(page).evaluate(boxes) == before, (label, value)
        ends = (
            figure_of(page)
            .locator("li > *, .attn-cc-scale span:visible")
            .evaluate_all("all => all.map(node => node.getBoundingClientRect()).map(box => [box.left, box.right])")
        )
        left, right = figure_of(page).evaluate(
            "node => [node.getBoundingClientRect().left, node.getBoundingClientRect().right]"
        )
        assert min(a for a, _ in ends) >= left and max(b for _, b in ends) <= right

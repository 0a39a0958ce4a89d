"""Costs: the formulas against counted products, the measured curves, and the calculator's arithmetic in a browser."""

import itertools
import json
import re

import numpy as np
import pytest
import torch
import traitlets
from browser import PHONE, WIDE
from figures import Outline, slide
from torch.utils.flop_counter import FlopCounterMode

from attn_edu import costs, plotting
from attn_edu.core import FeedForward, MultiHead
from attn_edu.interactive import CostCalculator
from attn_edu.interactive._cost_calculator import LENGTHS, WIDTHS, count, heads_of, percent, size

SIZES = {"length": 768, "width": 192, "heads": 6, "number": 2}


def make(**options):
    return CostCalculator(**SIZES | options)


# The formulas.


@pytest.mark.parametrize(("length", "width", "heads"), [(1, 2, 1), (7, 6, 3), (40, 10, 5)])
def test_operations_are_counted(length, width, heads):
    def counted(module, *inputs):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(*inputs)
        return counter.get_total_flops() // 2

    x = torch.zeros(length, width)
    wanted = costs.operations(length, width)
    assert counted(MultiHead(width, heads), x, x, x) == wanted["projections"] + wanted["pairs"]
    assert counted(FeedForward(width, 4 * width), x) == wanted["feed_forward"]


@pytest.mark.parametrize(("length", "width", "heads", "tile"), [(5, 6, 2, 2), (6, 4, 1, 3), (3, 2, 2, 8), (1, 1, 1, 1)])
def test_bytes_are_counted_number_by_number(length, width, heads, tile):
    """Walk through both ways of computing attention and note every array that is held, read or written."""
    d_k = width // heads
    maps, reads = 0, 0
    for _ in range(heads):
        maps += length * length
        reads += 2 * length * d_k + length * length  # scores: read Q and K, write
        reads += 2 * length * length  # softmax: read, write
        reads += length * length + 2 * length * d_k  # sums: read W and V, write Y
    sides = [min(tile, length - start) for start in range(0, length, tile)]
    tiled, kept = 0, 0
    for _ in range(heads):
        for rows in sides:
            tiled += 2 * rows * d_k  # Q and Y
            tiled += sum(2 * columns * d_k for columns in sides)  # K and V
            kept += rows
    held = max(sides) ** 2 + kept
    assert costs.held_bytes(length, heads, 4, tile) == {"maps": 4 * maps, "tiles": 4 * held}
    assert costs.moved_bytes(length, width, heads, 4, tile) == {"maps": 4 * reads, "tiles": 4 * tiled}
    assert costs.held_bytes(length, heads, 2, tile) == {"maps": 2 * maps, "tiles": 2 * held}


BAD = {
    "zero": (ValueError, "length: wanted at least 1, got 0", lambda: costs.operations(0, 2)),
    "half": (TypeError, "width: wanted an integer, got float", lambda: costs.operations(2, 0.5)),
    "flag": (TypeError, "heads: wanted an integer, got bool", lambda: costs.held_bytes(2, True)),
    "tile": (ValueError, "tile: wanted at least 1, got -1", lambda: costs.moved_bytes(2, 2, tile=-1)),
}


@pytest.mark.parametrize(("error", "message", "call"), BAD.values(), ids=BAD)
def test_formulas_refuse(unhooked, error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_largest_tensor_sees_all_results_and_backward():
    x = torch.ones(3, 4, requires_grad=True)
    assert costs.largest_tensor(lambda: None) == 0
    assert costs.largest_tensor(lambda: x.sum(0)) == 4
    assert costs.largest_tensor(lambda: x.max(dim=1)) == 3  # a tuple
    y = x.sum()
    assert costs.largest_tensor(y.backward) == 12


# The measured curves.

ROWS = [
    {"name": name, "length": length, "seconds": seconds, "peak_bytes": held}
    for name, length, seconds, held in (
        ("full", 1024, [0.1, 9.0, 0.2], 4e6),
        ("full", 2048, [0.8, 0.8, 0.7], 16e6),
        ("full", 4096, None, None),
        ("window", 4096, [0.4, 0.4, 0.4], 4e6),
        ("window", 1024, [0.1, 0.1, 0.1], 1e6),
        ("nothing", 1024, None, None),
    )
]


def test_growth_draws_medians_in_order_and_names_the_lines():
    ax = plotting.growth(ROWS, {"full": "all pairs", "window": "near pairs"}, note="One thread.")
    drawn = [line.get_xydata().tolist() for line in ax.lines if line.get_linestyle() == "-"]
    assert drawn == [[[1024, 0.2], [2048, 0.8]], [[1024, 0.1], [4096, 0.4]]]
    guides = [line.get_xydata().tolist() for line in ax.lines if line.get_linestyle() == ":"]
    assert guides == [[[1024, 0.05], [4096, 0.2]], [[1024, 0.05], [4096, 0.8]]]
    assert sorted(text.get_text() for text in ax.texts) == ["all pairs", "near pairs", "∝ L", "∝ L²"]
    assert ax.get_xlabel() == "tokens\nOne thread."
    assert ax.yaxis.get_major_formatter()(0.1) == "100 ms" and ax.yaxis.get_major_formatter()(20) == "20 s"
    memory = plotting.growth(ROWS, {"full": "all pairs"}, "peak_bytes")
    assert memory.lines[-1].get_ydata().tolist() == [4e6, 16e6]
    assert memory.yaxis.get_major_formatter()(1e9) == "1 GB"


def test_growth_keeps_names_apart():
    rows = [{"name": name, "length": n, "seconds": [1e-3 * n]} for name in "abc" for n in (1024, 4096)]
    ax = plotting.growth(rows, {"a": "a", "b": "b", "c": "c"})
    ax.figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("names: 'nothing' has no seconds in the rows", {"names": {"nothing": "x"}}),
        ("names: 'other' has no seconds in the rows", {"names": {"other": "x"}}),
        ("names: wanted 1 to 6 lines, got 0", {"names": {}}),
        ("of: wanted one of seconds, peak_bytes, got 'watts'", {"names": {"full": "x"}, "of": "watts"}),
    ],
)
def test_growth_refuses(message, options):
    with pytest.raises(ValueError, match=message):
        plotting.growth(ROWS, **options)


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
def test_table_stays_where_no_script_runs(show):
    page = show(make(), java_script_enabled=False).page
    assert page.get_by_role("row").nth(1).inner_text().startswith("multiplications: projections\t113,246,208\t")


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

"""The scale dial: what it refuses, what it writes, and its arithmetic in a browser against NumPy."""

import json

import numpy as np
import pytest
import torch
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline, closed

from attn_edu.core import scaled_dot_product
from attn_edu.interactive import ScaleDial

WIDTHS = [2**n for n in range(11)]
rng = np.random.default_rng(0)
QUERY, KEY = rng.normal(size=1024), rng.normal(size=(8, 1024))
PRODUCTS = np.array([KEY[:, :width] @ QUERY[:width] for width in WIDTHS])


def make(products=PRODUCTS, widths=WIDTHS, **options):
    return ScaleDial(products, widths, **options)


# What it refuses.

REFUSED = {
    "products rows": (ValueError, r"products: wanted shape \(n, S\) with n = 11 as in widths", {"products": [[1.0]]}),
    "products a vector": (ValueError, r"products: wanted shape \(n, S\), got \(11,\)", {"products": np.ones(11)}),
    "products words": (TypeError, "products: wanted an array of real numbers", {"products": [["a"]] * 11}),
    "products nan": (ValueError, r"products: wanted finite numbers, got nan", {"products": np.full((11, 2), np.nan)}),
    "products many": (ValueError, "products: wanted at most 16 keys, got 17", {"products": np.ones((11, 17))}),
    "widths text": (TypeError, "widths: wanted a sequence of integers, got str", {"widths": "12"}),
    "widths number": (TypeError, "widths: wanted a sequence of integers, got int", {"widths": 4}),
    "widths half": (TypeError, "widths: wanted integers, got float", {"widths": [1, 2.0]}),
    "widths flag": (TypeError, "widths: wanted integers, got bool", {"widths": [True]}),
    "widths none": (ValueError, "widths: wanted 1 to 16 widths, got 0", {"widths": []}),
    "widths many": (ValueError, "widths: wanted 1 to 16 widths, got 17", {"widths": range(1, 18)}),
    "widths zero": (ValueError, "widths: wanted each above the one before, got 0 after 0", {"widths": [0, 1]}),
    "widths falling": (ValueError, "widths: .* got 2 after 4", {"widths": [1, 4, 2]}),
    "key_tokens length": (ValueError, "key_tokens: wanted 8 names as in products, got 1", {"key_tokens": ["a"]}),
    "key_tokens text": (TypeError, "key_tokens: wanted a sequence of str, got str", {"key_tokens": "abcdefgh"}),
    "key_tokens blank": (ValueError, "key_tokens: wanted something to read", {"key_tokens": [" "] * 8}),
    "width": (ValueError, "width: wanted one of widths, 1, 2, .* got 3", {"width": 3}),
    "width half": (TypeError, "width: wanted an integer, got float", {"width": 2.0}),
    "width flag": (TypeError, "width: wanted an integer, got bool", {"width": True}),
    "divide": (TypeError, "divide: wanted True or False, got 1", {"divide": 1}),
    "temperature": (ValueError, "temperature: wanted a finite number above 0", {"temperature": 0}),
    "temperature text": (TypeError, "temperature: wanted a number, got str", {"temperature": "hot"}),
    "overflow": (ValueError, "products, temperature: wanted finite scores", {"temperature": 1e-307, "divide": False}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def test_keeps_its_own_copy():
    products = PRODUCTS.copy()
    dial = make(products)
    products[:] = 9
    np.testing.assert_array_equal(dial.state["products"], PRODUCTS)
    with pytest.raises(ValueError, match="read-only"):
        dial.state["products"][0] = 9


@pytest.mark.parametrize("width", [1, 8, 1024])
@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 8.0])
def test_readings_are_the_reference(width, divide, temperature):
    dial = make(width=width, divide=divide, temperature=temperature)
    query, key = QUERY[None, :width], KEY[:, :width]
    scale = (width**-0.5 if divide else 1) / temperature
    _, weights = scaled_dot_product(query, key, np.eye(8), scale=scale)
    np.testing.assert_allclose(dial.weights, weights[0], rtol=0, atol=1e-14)
    # The slopes are the diagonal of the softmax's Jacobian.
    jacobian = torch.autograd.functional.jacobian(lambda s: s.softmax(0), torch.tensor(dial.scores))
    np.testing.assert_allclose(dial.slopes, jacobian.diagonal(), rtol=0, atol=1e-14)


# What it writes.


def test_text_alternatives():
    dial = make(width=64, key_tokens=["a", "b", "a", "c", "d", "e", "f", "g"])
    outline = Outline(dial._repr_html_())
    assert dial.summary() in outline.text and dial.summary() in repr(dial)
    assert dial.summary() == (
        "Scores, weights and slopes of 8 keys at width 64, divided by √d_k. "
        "b has the largest weight, 0.42. The slopes add up to 0.755."
    )
    far = make(divide=False, temperature=0.5)
    assert "not divided, temperature 0.5" in far.summary()
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 9
    assert '<th scope="row" dir="auto">a (3)</th>' in dial.table()
    assert "<td>−20.70</td><td>0.00</td><td>7e−16</td>" in make(width=64, divide=False).table()


def test_texts_are_escaped():
    closed(make(key_tokens=NASTY[:8])._repr_html_())


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.divide = False
    widget.set_state({"width": 64, "temperature": 8})  # as a message from the browser does
    np.testing.assert_allclose(widget.weights, make(width=64).weights, rtol=1e-13)
    before = widget.slopes
    for bad in (
        {"width": 65},
        {"temperature": 0},
        {"key_tokens": ["a"]},
        {"divide": "no"},
        {"products": np.ones((2, 2))},
    ):
        with pytest.raises(traitlets.TraitError, match=r"\w: wanted"):
            widget.update(**bad)
    np.testing.assert_array_equal(widget.slopes, before)
    widget.update(products=[[1.0, 2.0]], widths=[9], width=9, key_tokens=["a", "b"], temperature=1.0, divide=True)
    np.testing.assert_allclose(widget.scores, [1 / 3, 2 / 3])


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-dial").nth(n)


def slider(page, place, n=0):
    return figure_of(page, n).locator("[type=range]").nth(place)


def box(page, n=0):
    return figure_of(page, n).locator("[type=checkbox]")


def agree(page, dial, n=0):
    """Compare the numbers on the page with NumPy's, in the state that the page is in, and return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    again = ScaleDial(**dial.state | moved | {"temperature": float(moved["temperature"])})
    np.testing.assert_allclose(json.loads(data["scores"]), again.scores, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(json.loads(data["weights"]), again.weights, rtol=0, atol=1e-14)
    np.testing.assert_allclose(json.loads(data["slopes"]), again.slopes, rtol=0, atol=1e-14)
    np.testing.assert_allclose(json.loads(data["total"]), again.slopes.sum(), rtol=0, atol=1e-14)
    # What is drawn: the dots' places and the bars' lengths, in percent.
    left = figure_of(page, n).locator(".attn-axis b").evaluate_all("all => all.map(b => parseFloat(b.style.left))")
    reach = np.arcsinh(max(1, np.abs(again.state["products"]).max()))
    place = 50 + 50 * np.clip(np.arcsinh(again.scores) / reach, -1, 1)
    np.testing.assert_allclose(left, place, atol=1e-3)
    wide = figure_of(page, n).locator(".attn-bar b").evaluate_all("all => all.map(b => parseFloat(b.style.width))")
    np.testing.assert_allclose(wide[::2], 100 * again.weights, atol=1e-3)
    np.testing.assert_allclose(wide[1::2], 400 * again.slopes, atol=1e-3)
    # The controls show the state.
    assert int(slider(page, 0, n).input_value()) == again.state["widths"].index(again.state["width"])
    assert box(page, n).is_checked() == again.state["divide"]
    return again.state


CASES = {
    "notebook": {"width": 64},
    "one key": {"products": [[3.0]], "widths": [5]},
    "sixteen keys": {"products": np.random.default_rng(1).normal(size=(16, 16)) * 9, "widths": range(3, 19)},
    "equal": {"products": np.ones((2, 4)), "widths": [2, 3], "divide": False},
    "huge": {"products": [[1e300, -1e300], [1e-300, 5.0]], "widths": [7, 90], "temperature": 0.3},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_arithmetic(show, case):
    dial = make(**case)
    page = show(dial).page
    state = agree(page, dial)
    assert all(state[name] == dial.state[name] for name in ("width", "divide", "temperature"))
    for key in ("Home", "ArrowRight", "End"):
        slider(page, 0).focus()
        page.keyboard.press(key)
        agree(page, dial)
        box(page).focus()
        page.keyboard.press(" ")
        agree(page, dial)
        slider(page, 1).focus()
        page.keyboard.press(key)
        agree(page, dial)
    assert agree(page, dial)["temperature"] == 32 and agree(page, dial)["width"] == list(dial.state["widths"])[-1]


FAULTS = {
    "no root": ("(divide ? Math.sqrt(width) : 1)", "(divide ? width : 1)"),
    "always divided": ("(divide ? Math.sqrt(width) : 1)", "Math.sqrt(width)"),
    "never divided": ("(divide ? Math.sqrt(width) : 1)", "1"),
    "number of keys": ("Math.sqrt(width)", "Math.sqrt(products[0].length)"),
    "cold for hot": (" : 1) * temperature;", " : 1) / temperature;"),
    "first width": ("products[widths.indexOf(width)]", "products[0]"),
    "softmax twice": ("softmax(scores, 1)", "softmax(softmax(scores, 1), 1)"),
    "slope off the diagonal": ("w * (1 - w)", "w * w"),
    "slope of the largest": ("weights.map((w) => w * (1 - w))", "weights.map(() => weights[0] * (1 - weights[0]))"),
    "bars too long": ("${400 * slopes[j]}%", "${100 * slopes[j]}%"),
    "linear axis": ("Math.asinh(score) / Math.asinh(reach)", "score / reach"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    dials = [make(width=64, temperature=2.0), make(width=32, divide=False)]
    content = "\n".join(dial._repr_html_() for dial in dials)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, dial in enumerate(dials):
            agree(page, dial, n)


@pytest.mark.browser
def test_what_is_read(show):
    dial = make(width=64, caption="Slide.")
    page = show(dial).page
    figure = figure_of(page)
    lines = figure.locator(".attn-line").all_inner_texts()
    assert lines[2].split() == ["k2", "1.77", "0.42", "0.244"]
    sentence = figure.locator("[aria-live=polite]")
    assert sentence.inner_text() == (
        "Width 64, dot products divided by 8. k2 has 0.42 of the weight. The slopes add up to 0.755."
    )
    assert figure.get_by_role("slider", name="width dk").get_attribute("aria-valuetext") == "64"
    box(page).focus()
    page.keyboard.press(" ")
    assert sentence.inner_text() == (
        "Width 64, dot products not divided. k2 has 1.00 of the weight. The slopes add up to 0.001. "
        "Hardly any score can still move the weights."
    )
    assert figure.locator(".attn-line").nth(1).inner_text().split() == ["k1", "−20.7", "0.00", "7e−16"]
    for _ in range(6):  # T = 8: the same divisor by another knob
        slider(page, 1).focus()
        page.keyboard.press("ArrowRight")
    assert sentence.inner_text().startswith("Width 64, dot products divided by 8. k2 has 0.42 of the weight.")
    assert slider(page, 1).get_attribute("aria-valuetext") == "8"
    page.keyboard.press("End")
    box(page).focus()
    page.keyboard.press(" ")
    assert sentence.inner_text().endswith("The weights are nearly those of a plain mean.")
    assert figure.get_by_text("Slide.").is_visible()


@pytest.mark.browser
def test_pointer_and_touch(show):
    dial = make(width=64)
    page = show(dial, size=PHONE, has_touch=True, is_mobile=True).page
    figure_of(page).get_by_text("divide by").tap()
    assert agree(page, dial)["divide"] is False
    area = slider(page, 0).bounding_box()
    page.touchscreen.tap(area["x"] + area["width"] - 8, area["y"] + area["height"] / 2)
    assert agree(page, dial)["width"] == 1024


@pytest.mark.browser
def test_reset_and_copies(show):
    dial = make(width=64)
    page = show(dial, dial).page
    slider(page, 0).fill("2")
    slider(page, 1).fill("-6")
    box(page).click()
    assert [agree(page, dial)[name] for name in ("width", "temperature", "divide")] == [4, 0.125, False]
    assert agree(page, dial, 1)["width"] == 64
    figure_of(page).get_by_role("button", name="Reset").click()
    assert [agree(page, dial)[name] for name in ("width", "temperature", "divide")] == [64, 1, True]


@pytest.mark.browser
def test_nasty_keys(show):
    visited = show(make(key_tokens=NASTY[:8]))
    texts = (
        figure_of(visited.page).locator(".attn-line > .attn-key bdi").evaluate_all("all => all.map(n => n.textContent)")
    )
    assert texts == NASTY[:8]
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    visited = show(make(width=64, caption="Slide."), make(divide=False), dark=dark)
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(make(), html=html, body=body, dark=prefers_dark).page
    fill = figure_of(page).locator(".attn-axis b").first.evaluate("node => getComputedStyle(node).backgroundColor")
    assert fill == {"light": "rgb(8, 48, 107)", "dark": "rgb(105, 176, 255)"}[scheme]


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 800, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(make(width=64, caption="Slide."), make(key_tokens=["incomprehensible"] * 8), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-controls :is(label, button, input[type=range])").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    # The scale stands over the axis, and no text leaves its cell.
    edges = (
        figure_of(page)
        .locator(".attn-axis")
        .evaluate_all(
            "all => all.map(n => n.getBoundingClientRect()).map(box => [Math.round(box.left), Math.round(box.right)])"
        )
    )
    assert np.ptp(edges, axis=0).max() <= 1
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-line, .attn-bar, .attn-axis, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for _ in range(2):
        for place in range(11):
            slider(page, 0).fill(str(place))
            spill = (
                figure_of(page)
                .locator(".attn-cell span")
                .evaluate_all("all => Math.max(...all.map(n => n.scrollWidth - n.clientWidth))")
            )
            assert spill <= 0
            assert figure_of(page).evaluate(boxes) == before
        box(page).click()


@pytest.mark.browser
def test_motion(show):
    page = show(make(), dark=True).page
    bar = figure_of(page).locator(".attn-bar b").first
    assert bar.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"
    page.emulate_media(reduced_motion="no-preference")
    assert bar.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0.16s"

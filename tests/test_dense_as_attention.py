"""A dense layer beside attention: what the figure refuses, what it writes, and its numbers and lines against NumPy."""

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline, closed

from attn_edu.core import multi_head
from attn_edu.interactive import DenseAsAttention

X = [1.2, -0.8, 0.5, 1.6]
W = [[0.6, -0.3, 0.2, 0.5], [0.1, 0.8, -0.4, 0.2], [-0.5, 0.2, 0.7, 0.1], [0.3, 0.3, -0.2, -0.6]]
TOKENS = ["the", "cat", "sat", "down"]


def make(**changed):
    return DenseAsAttention(**{"x": X, "W": W, "tokens": TOKENS} | changed)


def drawn(N, seed, **options):
    rng = np.random.default_rng(seed)
    return DenseAsAttention(rng.uniform(-2, 2, size=N), 3 * rng.normal(size=(N, N)).clip(-3, 3), **options)


# What it refuses.

REFUSED = {
    "x matrix": (ValueError, r"x: wanted a vector, got shape \(1, 4\)", {"x": [X]}),
    "x words": (TypeError, "x: wanted a vector of real numbers", {"x": ["a", "b"]}),
    "x missing": (TypeError, "x: wanted a vector of real numbers", {"x": None}),
    "x one": (ValueError, "x: wanted 2 to 5 numbers, got 1", {"x": [1.0]}),
    "x six": (ValueError, "x: wanted 2 to 5 numbers, got 6", {"x": [1.0] * 6}),
    "x far": (ValueError, "x: wanted numbers from -2 to 2, got one of size 2.5", {"x": [0, 0, 0, -2.5]}),
    "x nan": (ValueError, "x: wanted finite numbers", {"x": [0, 0, 0, np.nan]}),
    "W oblong": (ValueError, r"W: wanted shape \(N, N\) with N = 4 as in x, got \(4, 3\)", {"W": np.ones((4, 3))}),
    "W small": (ValueError, r"W: wanted shape \(N, N\) with N = 4 as in x, got \(3, 3\)", {"W": np.ones((3, 3))}),
    "W a vector": (ValueError, r"W: wanted shape \(N, N\), got \(4,\)", {"W": X}),
    "W heavy": (ValueError, "W: wanted numbers from -9 to 9, got one of size 10", {"W": 10 * np.eye(4)}),
    "W infinite": (ValueError, "W: wanted finite numbers", {"W": np.full((4, 4), np.inf)}),
    "tokens length": (ValueError, "tokens: wanted 4, one for each number of x, got 2", {"tokens": ["a", "b"]}),
    "tokens text": (TypeError, "tokens: wanted a sequence of str, got str", {"tokens": "abcd"}),
    "tokens blank": (ValueError, "tokens: wanted something to read", {"tokens": ["a", "b", "c", " "]}),
    "sharpness negative": (ValueError, "sharpness: wanted 0 to 8, got -1", {"sharpness": -1}),
    "sharpness far": (ValueError, "sharpness: wanted 0 to 8, got 9", {"sharpness": 9}),
    "sharpness nan": (ValueError, "sharpness: wanted 0 to 8, got nan", {"sharpness": float("nan")}),
    "sharpness text": (TypeError, "sharpness: wanted a number, got str", {"sharpness": "high"}),
    "sharpness flag": (TypeError, "sharpness: wanted a number, got bool", {"sharpness": True}),
    "one_place": (TypeError, "one_place: wanted True or False, got 1", {"one_place": 1}),
    "selected": (ValueError, "selected: wanted 0 to 3, got 4", {"selected": 4}),
    "selected half": (TypeError, "selected: wanted an integer, got float", {"selected": 1.0}),
    "selected flag": (TypeError, "selected: wanted an integer, got bool", {"selected": True}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def test_keeps_its_own_copy():
    x = np.array(X)
    figure = make(x=x)
    x[:] = 0
    np.testing.assert_array_equal(figure.state["x"], X)
    with pytest.raises(ValueError, match="read-only"):
        figure.state["x"][0] = 0


@pytest.mark.parametrize("sharpness", [0.0, 0.5, 8.0])
def test_attention_is_pytorchs(sharpness):
    figure = make(sharpness=sharpness)
    x = torch.tensor(X, dtype=torch.float64)[:, None]
    output = F.scaled_dot_product_attention(sharpness * x, x, x, scale=1.0)
    np.testing.assert_allclose(figure.output, output[:, 0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(figure.difference, output[:, 0].numpy() - np.array(W) @ X, rtol=0, atol=1e-14)


@pytest.mark.parametrize("N", [2, 3, 5])
@pytest.mark.parametrize("d", [1, 3])
def test_a_head_for_each_place_is_any_dense_layer(N, d):
    """Also for tokens of width d: heads of width d, and W_O = Wᵀ ⊗ I."""
    rng = np.random.default_rng(N)
    x, dense = rng.uniform(-2, 2, size=(N, d)), rng.normal(size=(N, N))
    mask = np.broadcast_to(np.eye(N, dtype=bool)[:, None], (N, N, N))
    anything, wide = rng.normal(size=(d, N)), np.tile(np.eye(d), N)
    W_O = np.kron(dense.T, np.eye(d))
    received, weights = multi_head(x, x, x, W_Q=anything, W_K=anything, W_V=wide, W_O=W_O, heads=N, attn_mask=mask)
    np.testing.assert_allclose(received, np.tile((dense @ x).ravel(), (N, 1)), rtol=0, atol=1e-14)
    if d == 1:
        figure = DenseAsAttention(x[:, 0], dense, one_place=True)
        np.testing.assert_array_equal(figure.weights, weights)
        np.testing.assert_allclose(figure.received, received, rtol=0, atol=1e-14)
        np.testing.assert_allclose(figure.difference, 0, rtol=0, atol=1e-14)


# What it writes.


def test_text_alternatives():
    outline = Outline(make(caption="Look.")._repr_html_())
    assert make().summary() in outline.text and make().summary() in repr(make())
    assert make().summary() == (
        "4 tokens mixed by a dense layer, and by attention of sharpness 1. The outputs differ by at most 2.28."
    )
    assert (
        make(one_place=True)
        .summary()
        .endswith("joined by the dense layer's weights. The outputs differ by at most 0.00.")
    )
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 5
    row = '<th scope="row" dir="auto">cat</th><td>−0.80</td><td>−0.40</td><td>−0.09</td><td>0.31</td>'
    assert row in make().table()
    assert '<th scope="row" dir="auto">x₁</th>' in make(tokens=None).table()


def test_texts_are_escaped():
    outline = closed(make(tokens=NASTY[:4])._repr_html_())
    state = re.search(r"const state = (\{.*\});\n", outline.scripts[0])[1]
    assert json.loads(state)["tokens"] == NASTY[:4]


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.set_state({"x": [0.1, 0.2, 0.3, 0.4], "sharpness": 4})  # as a message from the browser does
    again = make(x=[0.1, 0.2, 0.3, 0.4], sharpness=4.0)
    np.testing.assert_array_equal(widget.output, again.output)
    widget.one_place = True
    assert widget.weights.shape == (4, 4, 4)
    for bad in ({"x": [9, 9, 9, 9]}, {"W": np.eye(3)}, {"sharpness": 100}, {"selected": 4}, {"tokens": ["a"]}):
        with pytest.raises(traitlets.TraitError, match=r"\w: wanted"):
            widget.update(**bad)
    assert np.array_equal(widget.x, [0.1, 0.2, 0.3, 0.4])


# In a browser.

READ = """(figure) => {
  const lines = (side) => [...figure.querySelectorAll(`.attn-${side} g`)]
    .sort((a, b) => a.dataset.output - b.dataset.output)
    .map((group) => [...group.children].map((line) =>
      [line.style.getPropertyValue("--size"), line.matches(".attn-minus") ? -1 : 1, line.getAttribute("d")]));
  const squares = [...figure.querySelectorAll(".attn-half")].map((half) =>
    [...half.querySelectorAll(".attn-line")].map((line) =>
      [...line.querySelectorAll(".attn-cell")].map((cell) => cell.textContent)).filter((line) => line.length));
  return {...figure.dataset, left: lines("left"), right: lines("right"), squares,
    heads: [...figure.querySelectorAll(".attn-head")].map((head) =>
      [...head.children].map((one) => one.matches(".attn-one")))};
}"""


def figure_of(page, n=0):
    return page.locator(".attn-dense").nth(n)


def text(x):
    return f"{round(x, 2) + 0.0:.2f}".replace("-", "−")


def close(texts, numbers):
    """Compare what is read, two decimals or one where it is large, with numbers."""
    read = np.vectorize(lambda text: float(text.replace("−", "-")))(texts)
    np.testing.assert_allclose(read, numbers, rtol=0.0051, atol=0.0051)


def agree(page, figure, n=0):
    """Compare numbers, lines and squares on the page with NumPy's, in the state that the page is in."""
    view = figure_of(page, n)
    shown = view.evaluate(READ)
    state = json.loads(shown["state"])
    again = DenseAsAttention(**figure.state | state | {"sharpness": float(state["sharpness"])})
    for name in ("weights", "dense", "received", "output", "difference"):
        np.testing.assert_allclose(json.loads(shown[name]), getattr(again, name), rtol=0, atol=1e-12, err_msg=name)
    W, N = again.state["W"], len(state["x"])
    most = max(1, np.abs(W).max())
    right = W if state["one_place"] else again.weights[0]
    for side, wanted, start, end in (("left", W, 100, 0), ("right", right, 60 if state["one_place"] else 0, 100)):
        size = np.array([[float(line[0]) * line[1] for line in row] for row in shown[side]])
        np.testing.assert_allclose(size, wanted / most, rtol=0, atol=1e-6, err_msg=f"lines {side}")
        for i, row in enumerate(shown[side]):
            for j, (_, _, d) in enumerate(row):
                assert d.startswith(f"M{start},{j + 0.5} ") and d.endswith(f" {end},{i + 0.5}"), (side, i, j, d)
    close(shown["squares"][0], W)
    close(shown["squares"][1], again.received if state["one_place"] else again.weights[0])
    if state["one_place"]:
        np.testing.assert_array_equal(shown["heads"], np.eye(N, dtype=bool))
    close(view.locator(".attn-end b").all_inner_texts(), np.stack([again.dense, again.output], axis=1).ravel())
    sliders = view.locator("input[type=range]").evaluate_all("all => all.map(one => Number(one.value))")
    np.testing.assert_allclose(sliders[1:], state["x"], rtol=0, atol=0.051)
    assert view.locator("[role=radiogroup] input").nth(int(state["one_place"])).is_checked()
    return state


CASES = {
    "notebook": make(),
    "places": make(one_place=True, selected=3),
    "two": drawn(2, 1, sharpness=3.3),
    "five": drawn(5, 2, sharpness=8.0, selected=4),
    "five places": drawn(5, 3, one_place=True),
    "flat": make(sharpness=0.0),
    "zeros": make(x=[0, 0, 0, 0], W=np.zeros((4, 4))),
}


@pytest.mark.browser
def test_arithmetic(show):
    page = show(*CASES.values()).page
    for n, figure in enumerate(CASES.values()):
        assert agree(page, figure, n)["selected"] == figure.state["selected"]


@pytest.mark.browser
def test_the_dense_lines_stay(show):
    figure = make()
    page = show(figure).page
    view = figure_of(page)
    before = view.evaluate(READ)
    view.get_by_role("slider", name="Input cat").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    after = view.evaluate(READ)
    np.testing.assert_allclose(agree(page, figure)["x"], [1.2, -0.5, 0.5, 1.6])
    assert after["left"] == before["left"] and after["right"] != before["right"]
    assert after["dense"] != before["dense"]
    view.get_by_role("radio", name="a head for each place").check()
    before = view.evaluate(READ)
    view.get_by_role("slider", name="Input cat").press("ArrowRight")
    after = view.evaluate(READ)
    assert [after[side] == before[side] for side in ("left", "right", "heads")] == [True] * 3
    assert set(np.ravel(json.loads(after["difference"]))) == {0}


FAULTS = {
    "W transposed": (
        "const dense = W.map((row) => dot(row, x))",
        "const dense = W.map((_, i) => dot(W.map((r) => r[i]), x))",
    ),
    "softmax of sharp sums": ("sharpness * q * k", "sharpness * (q + k)"),
    "no sharpness": ("sharpness * q * k", "q * k"),
    "temperature for sharpness": (
        "softmax(x.map((k) => sharpness * q * k), 1)",
        "softmax(x.map((k) => q * k), sharpness || 1)",
    ),
    "own slice always the first": ("row[one_place ? i : 0]", "row[0]"),
    "W_O not transposed": ("W.map((row) => dot(row, joined))", "W.map((_, i) => dot(W.map((r) => r[i]), joined))"),
    "difference turned": ("y - dense[i]", "dense[i] - y"),
    "lines swapped": ("stroke(row.lines[0][j], w,", "stroke(row.lines[0][j], W[j][i],"),
    "sign of a line lost": ('node.classList.toggle("attn-minus", weight < 0)', "void 0"),
    "rounded": ("JSON.stringify(value)", "JSON.stringify(value, (_, x) => (x.toFixed ? Number(x.toFixed(6)) : x))"),
}
FAULTS["heads mixed with queries"] = (
    "x.map((_, n) => x.map(() => x.map((_, j) => Number(j === n))))",
    "x.map(() => x.map((_, n) => x.map((_, j) => Number(j === n))))",
)


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(sharpness=2.0), make(one_place=True)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_what_is_read(show):
    figure = make(selected=1, caption="Look.")
    page = show(figure).page
    view = figure_of(page)
    sums = [each.replace("\u00a0", " ") for each in view.locator(".attn-sum span").all_inner_texts()]
    assert sums == [
        "at cat: 0.10 · 1.20 + 0.80 · (−0.80) − 0.40 · 0.50 + 0.20 · 1.60 = −0.40",
        "at cat: 0.12 · 1.20 + 0.59 · (−0.80) + 0.21 · 0.50 + 0.09 · 1.60 = −0.09",
    ]
    assert view.locator(".attn-end").nth(3).inner_text().split("\n") == ["−0.09", "Δ 0.31"]
    sentence = view.locator("[aria-live=polite]")
    assert sentence.inner_text() == (
        "Move an input: the lines on the left stay, those on the right follow. "
        "Largest difference Δ from the dense layer: 2.28."
    )
    view.get_by_role("radio", name="a head for each place").press(" ")
    assert sentence.inner_text() == (
        "Head n looks at place n alone, whatever stands there and whoever asks. Every query receives the same 4 "
        "numbers; cat keeps number 2. Largest difference Δ: 0.00."
    )
    assert view.get_by_role("slider", name="sharpness").is_disabled()
    assert view.locator(".attn-kept").all_inner_texts() == [text(y) for y in figure.dense]
    assert view.get_by_role("button", name="attention, output cat: −0.40, 0.00 from the dense layer").is_visible()
    view.get_by_role("radio", name="attention").press(" ")
    view.get_by_role("slider", name="sharpness").press("Home")
    assert sentence.inner_text().startswith("At sharpness 0 every weight is 1/4, whatever the input.")
    assert view.get_by_text("Look.").is_visible()


@pytest.mark.browser
def test_keyboard(show):
    figure = make()
    page = show(figure).page
    for key, name, wanted in (
        ("Tab", "one_place", False),
        ("ArrowRight", "one_place", True),
        ("ArrowLeft", "one_place", False),
        ("Tab", "sharpness", 1),
        ("End", "sharpness", 8),
        ("Tab", "sharpness", 8),
        ("Tab", "selected", 0),
        ("Tab", "x", X),
        ("Home", "x", [-2, *X[1:]]),
        ("Tab", "selected", 0),
        ("Tab", "selected", 0),
        ("Enter", "selected", 1),
    ):
        page.keyboard.press(key)
        assert agree(page, figure)[name] == wanted, (key, name)


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    figure_of(page).get_by_role("radio", name="a head for each place").tap()
    assert agree(page, figure)["one_place"] is True
    figure_of(page).locator(".attn-end").nth(5).tap()
    assert agree(page, figure)["selected"] == 2
    area = figure_of(page).get_by_role("slider", name="Input down").bounding_box()
    page.touchscreen.tap(area["x"] + 9, area["y"] + area["height"] / 2)
    assert agree(page, figure)["x"][3] < -1.5


@pytest.mark.browser
def test_reset_and_copies(show):
    figure = make()
    page = show(figure, figure).page
    view = figure_of(page)
    view.get_by_role("slider", name="sharpness").fill("5")
    view.get_by_role("slider", name="Input the").fill("-1")
    view.get_by_role("radio", name="a head for each place").check()
    changed = agree(page, figure)
    assert changed == {"x": [-1, *X[1:]], "sharpness": 5, "one_place": True, "selected": 0}
    assert agree(page, figure, 1)["one_place"] is False and agree(page, figure, 1)["x"] == X
    view.get_by_role("button", name="Reset").click()
    assert agree(page, figure) == {"x": X, "sharpness": 1, "one_place": False, "selected": 0}


@pytest.mark.browser
def test_nasty_tokens(show):
    visited = show(*(make(tokens=NASTY[n : n + 4], one_place=n == 5) for n in (0, 5)))
    for n in (0, 1):
        names = figure_of(visited.page, n).locator(".attn-name bdi").evaluate_all("all => all.map(n => n.textContent)")
        assert names == NASTY[5 * n : 5 * n + 4]
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    visited = show(make(caption="Look."), make(one_place=True), drawn(5, 4), dark=dark)
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(make(), html=html, body=body, dark=prefers_dark).page
    line = figure_of(page).locator(".attn-right g path").first.evaluate("node => getComputedStyle(node).stroke")
    assert line == {"light": "rgb(8, 48, 107)", "dark": "rgb(105, 176, 255)"}[scheme]


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 700, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    long = ["incomprehensible", "一个很长的词语", "x", "y", "incomprehensible"]
    figures = [make(caption="Look."), drawn(5, 5, tokens=long, sharpness=3.0), make(tokens=long[:4])]
    visited = show(*figures, size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-live :is(.attn-controls label, button, input[type=range])").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-stage > *, [role=table], p:not(.attn-title)")]
      .filter(node => !node.hidden)
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    spill = """figure => Math.max(...[...figure.querySelectorAll(".attn-cell, .attn-end, .attn-input > span + span")]
      .map(node => node.scrollWidth - node.clientWidth))"""
    for n in range(3):
        view = figure_of(page, n)
        before = view.evaluate(boxes)
        for places in (False, True):
            view.get_by_role("radio").nth(int(places)).check()
            for value in ("-2", "0", "2"):
                view.locator(".attn-input input").first.fill(value)
                view.locator(".attn-end").nth(2 if value == "0" else 1).click()
                assert view.evaluate(boxes) == before, (n, places, value)
                assert view.evaluate(spill) <= 0, (n, places, value)

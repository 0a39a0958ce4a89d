"""The steps of multi-head attention: what the figure refuses, what it writes, and every matrix against NumPy."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import HOSTS, NASTY, Outline, closed

from attn_edu.core import multi_head
from attn_edu.interactive import HeadSteps

TOKENS = ["the", "animal", "road", "it"]
NAMES = ("W_Q", "W_K", "W_V", "W_O")


def drawn(L=4, d=4, heads=2, seed=0, spread=1.0, **options):
    rng = np.random.default_rng(seed)
    x = spread * rng.normal(size=(L, d))
    return HeadSteps(x, **{name: rng.normal(size=(d, d)) for name in NAMES}, heads=heads, **options)


def make(**changed):
    """Four tokens, two heads that swap rows, and numbers that can be followed by hand."""
    x = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    W_Q = [[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [3, 0, 0, -1]]
    W_O = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, -1]]
    arguments = {"x": x, "W_Q": W_Q, "W_K": np.eye(4), "W_V": np.eye(4), "W_O": W_O, "heads": 2, "tokens": TOKENS}
    return HeadSteps(**arguments | changed)


# What it refuses.

REFUSED = {
    "x a vector": (ValueError, r"x: wanted shape \(L, d\), got \(4,\)", {"x": np.ones(4)}),
    "x words": (TypeError, "x: wanted an array of real numbers", {"x": [["a"] * 4] * 4}),
    "x nan": (ValueError, r"x: wanted finite numbers, got nan at \[0, 0\]", {"x": np.full((4, 4), np.nan)}),
    "x seven rows": (
        ValueError,
        r"x: wanted 1 to 6 rows and at most 8 columns, got shape \(7, 4\)",
        {"x": [[0] * 4] * 7},
    ),
    "x nine columns": (ValueError, r"x: wanted .* at most 8 columns, got shape \(4, 9\)", {"x": np.ones((4, 9))}),
    "x empty": (ValueError, r"x: wanted 1 to 6 rows .* got shape \(0, 4\)", {"x": np.ones((0, 4))}),
    "heads three": (ValueError, "heads: wanted a divisor of d = 4, got 3", {"heads": 3}),
    "heads zero": (ValueError, "heads: wanted an integer of at least 1, got 0", {"heads": 0}),
    "heads half": (TypeError, "heads: wanted an integer, got float", {"heads": 2.0}),
    "tokens length": (ValueError, "tokens: wanted 4, one for each row of x, got 2", {"tokens": ["a", "b"]}),
    "tokens one string": (TypeError, "tokens: wanted a sequence of str, got str", {"tokens": "abcd"}),
    "step beyond": (ValueError, "step: wanted 1 to 7, got 8", {"step": 8}),
    "step flag": (TypeError, "step: wanted an integer, got bool", {"step": True}),
    "selected beyond": (ValueError, "selected: wanted 0 to 3, got 4", {"selected": 4}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
    "overflow": (ValueError, "wanted finite products, got an overflow", {"x": np.full((4, 4), 1e200)}),
    **{
        f"{name} shape": (
            ValueError,
            rf"{name}: wanted shape \(d, d\) with d = 4 as in x, got \(4, 3\)",
            {name: np.ones((4, 3))},
        )
        for name in NAMES
    },
    **{f"{name} infinite": (ValueError, f"{name}: wanted finite", {name: np.full((4, 4), np.inf)}) for name in NAMES},
    **{f"{name} missing": (TypeError, f"{name}: wanted an array", {name: None}) for name in NAMES},
}


def test_readings_are_the_reference():
    figure = drawn(L=5, d=6, heads=3)
    x = figure.state["x"]
    output, weights = multi_head(x, x, x, **{name: figure.state[name] for name in (*NAMES, "heads")})
    np.testing.assert_array_equal(figure.weights, weights)
    np.testing.assert_array_equal(figure.output, output)


# What it writes.


def test_texts_are_escaped():
    outline = closed(make(tokens=[*NASTY[:2], "a", "a"])._repr_html_())
    state = re.search(r"const state = (\{.*\});\n", outline.scripts[0])[1]
    assert json.loads(state)["tokens"] == [*NASTY[:2], "a", "a"]


def test_text_alternatives():
    figure = make()
    text = Outline(figure._repr_html_()).text
    assert figure.summary() in text
    assert "2 heads of width 2 cut from width 4, joined again to width 4" in figure.summary()
    assert "Q_n: 4 × 2; K_nᵀ: 2 × 4; scores S_n and weights A_n: 4 × 4 each" in text
    assert "H: 4 × 2·2 = 4 × 4" in text
    assert f"{figure.output[3, 3]:.2f}".replace("-", "−") in text


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.heads = 4
    widget.step = 7
    np.testing.assert_array_equal(widget.weights, make(heads=4).weights)
    with pytest.raises(traitlets.TraitError, match="heads: wanted a divisor"):
        widget.heads = 3
    assert widget.heads == 4 and widget.step == 7


# In a browser.

READ = """(figure) => [...figure.querySelectorAll(".attn-panel")].map((panel) =>
  [...panel.querySelectorAll("[data-matrix]")].map((table) => [table.dataset.matrix,
    [...table.querySelectorAll(".attn-line")].map((line) =>
      [...line.querySelectorAll("[data-value]")].map((cell) => Number(cell.dataset.value))
    ).filter((line) => line.length)]))"""


def figure_of(page, n=0):
    return page.locator(".attn-steps").nth(n)


def wanted(figure):
    """Name every matrix of every step, in the order of the page, with its numbers by NumPy alone."""
    state, h = figure.state, figure.state["heads"]
    heads = range(1, h + 1)
    X, width = state["x"], state["x"].shape[1] // h
    all_ = {name: X @ state[f"W_{name}"] for name in "QKV"}
    cut = {f"{name}_{n}": all_[name][:, (n - 1) * width : n * width] for name in "QKV" for n in heads}
    for n in heads:
        cut[f"K_{n}^T"] = cut[f"K_{n}"].T
        cut[f"S_{n}"] = cut[f"Q_{n}"] @ cut[f"K_{n}"].T / np.sqrt(width)
        cut[f"A_{n}"] = figure.weights[n - 1]
        cut[f"H_{n}"] = cut[f"A_{n}"] @ cut[f"V_{n}"]
    joined = np.concatenate([cut[f"H_{n}"] for n in heads], axis=1)
    numbers = {"X": X, **all_, **cut, "H": joined, "Y": figure.output}
    numbers |= {f"W^{name}": state[f"W_{name}"] for name in "QKVO"}
    steps = [
        ["X"],
        ["X", *(each for name in "QKV" for each in (f"W^{name}", name))],
        [each for name in "QKV" for each in (name, *(f"{name}_{n}" for n in heads))],
        [each for n in heads for each in (f"Q_{n}", f"K_{n}^T", f"S_{n}", f"A_{n}")],
        [each for n in heads for each in (f"A_{n}", f"V_{n}", f"H_{n}")],
        [*(f"H_{n}" for n in heads), "H"],
        ["H", "W^O", "Y"],
    ]
    return [[(name, numbers[name]) for name in step] for step in steps]


def agree(page, figure, n=0):
    """Compare every number on the page, in all steps, with NumPy's."""
    shown = figure_of(page, n).evaluate(READ)
    for step, (here, there) in enumerate(zip(shown, wanted(figure), strict=True), 1):
        assert [name for name, _ in here] == [name for name, _ in there], step
        for (name, numbers), (_, right) in zip(here, there, strict=True):
            size = max(1, np.abs(right).max())
            np.testing.assert_allclose(np.array(numbers), right, rtol=0, atol=1e-12 * size, err_msg=f"{step}: {name}")


CASES = {
    "by hand": make(),
    "one": drawn(1, 1, 1),
    "one head": drawn(3, 5, 1, seed=1),
    "as many heads as columns": drawn(2, 7, 7, seed=2),
    "most": drawn(6, 8, 4, seed=3, spread=5.0),
}


@pytest.mark.browser
def test_arithmetic(show):
    page = show(*CASES.values()).page
    for n, figure in enumerate(CASES.values()):
        agree(page, figure, n)


FAULTS = {
    "blocks interleaved": ("row.slice((n - 1) * width, n * width)", "row.filter((_, c) => c % heads === n - 1)"),
    "no division": ("row.map((s) => s / Math.sqrt(width))", "row.map((s) => s)"),
    "divided by the full width": ("s / Math.sqrt(width)", "s / Math.sqrt(x[0].length)"),
    "divided without root": ("s / Math.sqrt(width)", "s / width"),
    "softmax down the columns": (
        "all[`S_${n}`].map((row) => softmax(row, 1))",
        "turned(turned(all[`S_${n}`]).map((row) => softmax(row, 1)))",
    ),
    "rows of W_O permuted": ("times(all.H, W_O)", "times(all.H, [...W_O.slice(width), ...W_O.slice(0, width)])"),
    "heads joined backwards": ("ns.flatMap(", "[...ns].reverse().flatMap("),
    "keys not turned": ("turned(all[`K_${n}`])", "all[`K_${n}`]"),
    "values of another head": ("times(all[`A_${n}`], all[`V_${n}`])", "times(all[`A_${n}`], all.V_1)"),
    "W transposed": ("times(x, all[`W^${name}`])", "times(x, turned(all[`W^${name}`]))"),
    "rounded": ('"data-value": x,', '"data-value": x.toFixed(9),'),
}


@pytest.mark.browser
def test_arithmetic_can_fail(show):
    """Each fault in a copy of its own, all copies on one page."""
    figure = drawn(3, 6, 2, seed=5)
    content = figure._repr_html_()
    for right, _ in FAULTS.values():
        assert content.count(right) == 1, right
    page = show(content="\n".join(content.replace(*fault) for fault in FAULTS.values()) + content).page
    for n, name in enumerate(FAULTS):
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            agree(page, figure, n)
            pytest.fail(f"not seen: {name}")
    agree(page, figure, len(FAULTS))


@pytest.mark.browser
def test_what_is_read(show):
    figure = make(step=7, selected=3, caption="All of it.")
    view = figure_of(show(figure).page)
    cells = view.locator(".attn-panel:nth-child(7) [data-matrix=Y] .attn-cell")
    assert cells.all_inner_texts() == [f"{y:.2f}".replace("-", "−") for y in figure.output.ravel()]
    assert view.locator(".attn-text").inner_text().startswith("H (4 × 4) · WO (4 × 4) = Y (4 × 4). Each head")
    assert (
        view.locator(".attn-sentence")
        .inner_text()
        .replace("\u00a0", " ")
        .startswith("The row “it” of H, all heads in it")
    )
    assert view.get_by_text("All of it.").is_visible()
    shapes = [None, "4 × 4", "4 × 4", "4 × 2", "4 × 4", "4 × 2", "4 × 4", "4 × 4"]
    assert view.locator(".attn-tabs small").all_inner_texts() == shapes[1:]
    names = view.locator(".attn-panel:nth-child(4) [data-matrix]").evaluate_all(
        "all => all.map((one) => one.ariaLabel)"
    )
    assert names[:4] == ["Q 1, 4 × 2", "K 1 transposed, 2 × 4", "S 1, 4 × 4", "A 1, 4 × 4"]
    assert view.locator(".attn-panel:nth-child(6) [data-matrix=H]").get_attribute("aria-label") == "H, 4 × 2·2"
    # Numbers that meet in a product are marked, and are the same.
    meet = view.locator(".attn-panel:nth-child(5) u").all_text_contents()
    assert meet == ["4"] * 4
    heads = view.locator(".attn-panel:nth-child(2) [data-matrix=Q] .attn-bracket").all_text_contents()
    assert heads == ["head 1", "head 2"]


def marked(view):
    return view.evaluate(
        """(figure) => Object.fromEntries([...figure.querySelectorAll(".attn-panel:not(.attn-away) [data-matrix]")].map(
          (table) => [table.dataset.matrix, {
            row: [...table.querySelectorAll("[data-row]")].findIndex((one) => one.matches(".attn-on")),
            column: Number(table.querySelector(".attn-used")?.dataset.column ?? -1),
            all: table.matches(".attn-all"),
            cell: Number(table.querySelector(".attn-number")?.dataset.column ?? -1)}]))"""
    )


@pytest.mark.browser
def test_walk_by_keyboard(show):
    figure = make(selected=2)
    page = show(figure).page
    view = figure_of(page)
    page.keyboard.press("Tab")
    for step in range(2, 8):
        page.keyboard.press("ArrowRight")
        assert view.get_attribute("data-step") == str(step)
    for key, step in (("Tab", "7"), ("Enter", "6"), ("Tab", "6"), ("Enter", "7"), ("Enter", "7"), ("Tab", "7")):
        page.keyboard.press(key)
        assert view.get_attribute("data-step") == step, key
    page.keyboard.press("ArrowDown")
    assert view.get_attribute("data-selected") == "3"
    page.keyboard.press("Tab")
    off = {"row": -1, "column": -1, "all": False, "cell": -1}
    assert marked(view) == {"H": off | {"row": 3}, "W^O": off | {"all": True}, "Y": off | {"row": 3}}
    for key in ("ArrowUp", "ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert marked(view) == {"H": off | {"row": 2}, "W^O": off | {"column": 2}, "Y": off | {"row": 2, "cell": 2}}
    h, y = wanted(figure)[6][0][1][2], figure.output[2, 2]
    sums = " + ".join(f"{a:.2f} · {b:.2f}" for a, b in zip(h, figure.state["W_O"][:, 2], strict=True))
    assert view.locator(".attn-sentence").inner_text().replace("\u00a0", " ") == f"Y[road, 3] = {sums} = {y:.2f}"
    for key in ("ArrowLeft",) * 4:
        page.keyboard.press(key)
    assert view.locator(".attn-sentence").inner_text().replace("\u00a0", " ").startswith("The row “road”")


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    for options in ({}, {"size": PHONE, "has_touch": True, "is_mobile": True}):
        page = show(figure, **options).page
        view = figure_of(page)
        for _ in range(3):
            view.get_by_role("button", name="Next").click()
        panel = view.locator(".attn-panel:nth-child(4)")
        cell = panel.locator("[data-matrix=A_2] .attn-cell").nth(4 * 3 + 1)
        cell.tap() if options else cell.hover()
        assert view.get_attribute("data-selected") == "3"
        scores = wanted(figure)[3][6][1][3]
        powers = [f"exp {x:.2f}".replace("-", "−").replace("−0.00", "0.00") for x in scores]
        sentence = f"A2[it, animal] = {powers[1]} ÷ ({' + '.join(powers)}) = {figure.weights[1, 3, 1]:.2f}"
        assert view.locator(".attn-sentence").inner_text().replace("\u00a0", " ") == sentence
        assert marked(view)["S_2"]["cell"] == marked(view)["A_2"]["cell"] == 1
        label = panel.locator("[data-matrix=Q_1] .attn-label bdi", has_text="road")
        label.tap() if options else label.hover()
        assert [each["row"] for each in marked(view).values()] == [2, -1, 2, 2] * 2
        # A number of a piece is a number of the whole, and the other way round.
        view.get_by_role("radio", name="3 Cut").check(force=True)
        cell = view.locator(".attn-panel:nth-child(3) [data-matrix=K_2] .attn-cell").nth(2)
        cell.tap() if options else cell.hover()
        assert (
            view.locator(".attn-sentence").inner_text().replace("\u00a0", " ") == "K2[animal, 1] = K[animal, 3] = 0.00"
        )
        view.get_by_role("radio", name="6 Join").check(force=True)
        cell = view.locator(".attn-panel:nth-child(6) [data-matrix=H] .attn-cell").nth(3)
        cell.tap() if options else cell.hover()
        assert (
            view.locator(".attn-sentence").inner_text().replace("\u00a0", " ").startswith("H[the, 4] = H2[the, 2] = ")
        )


@pytest.mark.browser
def test_copies_are_independent(show):
    figure = make()
    page = show(figure, figure).page
    figure_of(page, 1).get_by_role("button", name="Next").click()
    assert [figure_of(page, n).get_attribute("data-step") for n in range(2)] == ["1", "2"]
    assert page.locator(".attn-tabs input:checked").count() == 2


@pytest.mark.browser
@pytest.mark.parametrize(("host", "steps"), [("book light", (1, 2, 4, 7)), ("book dark", (3, 4, 5, 6))])
def test_accessible(show, host, steps):
    html, body, prefers_dark, _ = HOSTS[host]
    visited = show(make(tokens=NASTY[3:7]), html=html, body=body, dark=prefers_dark)
    view = figure_of(visited.page)
    for step in steps:
        view.locator(".attn-tabs input").nth(step - 1).check(force=True)
        if step in (3, 4, 7):
            view.locator(".attn-stage").press("ArrowRight")
        assert visited.violations() == [], step


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    long = drawn(6, 8, 4, spread=9.0, tokens=["incomprehensibilities"] * 6)
    visited = show(make(), long, drawn(6, 8, 8), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-steps :is(button, select, .attn-tabs label, .attn-line[data-row])").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).map((box) => Math.min(box.width, box.height))"
    )
    assert np.min(targets) >= 24
    boxes = """(figure) => [figure, ...figure.querySelectorAll(".attn-stage, .attn-sentence, button, .attn-equation")]
      .map((node) => node.getBoundingClientRect())
      .map((box) => [box.x, box.y, box.width, box.height].map(Math.round))"""
    # Step by step, asking about the last number of each step.
    walk = """(figure, boxes) => {
      const read = eval(boxes);
      const [, next] = figure.querySelectorAll("button");
      return [...figure.querySelectorAll(".attn-panel")].map((panel, n) => {
        if (n) next.click();
        const before = read(figure);
        const said = figure.querySelector(".attn-sentence").textContent;
        const last = [...panel.querySelectorAll(".attn-cell")].at(-1);
        last.dispatchEvent(new PointerEvent("pointermove", { bubbles: true }));
        return [before, read(figure), said, figure.querySelector(".attn-sentence").textContent];
      });
    }"""
    for n in range(3):
        seen = figure_of(page, n).evaluate(walk, boxes)
        assert all(each[0] == each[1] == seen[0][0] for each in seen)
        assert all(each[2] != each[3] for each in seen)
    wide = figure_of(page).locator(".attn-stage").evaluate("node => node.scrollWidth - node.clientWidth")
    assert wide == 0 or size["width"] < 390

"""Similarity of positions: what it refuses, what it writes, and its arithmetic in a browser against NumPy."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline, closed

from attn_edu.interactive import PositionSimilarity
from attn_edu.positions import sinusoidal_positions

rng = np.random.default_rng(0)
TABLES = {"learned": rng.normal(size=(32, 16)).cumsum(axis=0).round(3), "random": rng.normal(size=(32, 8)).round(3)}


def make(*arguments, **options):
    return PositionSimilarity(*arguments, **{"tables": TABLES} | options)


def cosines(rows):
    """Return the cosine of every two rows, one by one."""
    return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in rows] for a in rows])


# What it refuses.

REFUSED = {
    "length short": (ValueError, "length: wanted 3 to 64, got 2", {"length": 2, "tables": None}),
    "length long": (ValueError, "length: wanted 3 to 64, got 65", {"length": 65, "tables": None}),
    "length half": (TypeError, "length: wanted an integer, got float", {"length": 8.0}),
    "length flag": (TypeError, "length: wanted an integer, got bool", {"length": True}),
    "d_model odd": (ValueError, "d_model: wanted an even number, got 7", {"d_model": 7}),
    "d_model none": (ValueError, "d_model: wanted 2 to 512, got 0", {"d_model": 0}),
    "d_model wide": (ValueError, "d_model: wanted 2 to 512, got 514", {"d_model": 514}),
    "d_model text": (TypeError, "d_model: wanted an integer, got str", {"d_model": "8"}),
    "base": (ValueError, "base: wanted a finite number above 0, got 0", {"base": 0}),
    "base text": (TypeError, "base: wanted a number, got str", {"base": "big"}),
    "tables list": (TypeError, "tables: wanted a dict of names and arrays, got list", {"tables": [TABLES["random"]]}),
    "tables rows": (ValueError, r"tables\['a'\]: .* L = 32 as in length, got \(3, 3\)", {"tables": {"a": np.eye(3)}}),
    "tables vector": (ValueError, r"tables\['a'\]: wanted shape \(L, d\), got \(32,\)", {"tables": {"a": np.ones(32)}}),
    "tables zero": (ValueError, "tables: .* not all 0, got one at 0 in 'a'", {"tables": {"a": np.zeros((32, 2))}}),
    "tables nan": (ValueError, r"tables\['a'\]: wanted finite", {"tables": {"a": np.full((32, 2), np.nan)}}),
    "tables many": (ValueError, "tables: wanted at most 4, got 5", {"tables": dict.fromkeys("abcde", np.eye(32))}),
    "tables taken": (ValueError, "tables: wanted names other than sin", {"tables": {"sinusoidal": np.eye(32)}}),
    "tables blank": (ValueError, "tables: wanted something to read", {"tables": {" ": np.eye(32)}}),
    "tables number": (TypeError, "tables: wanted a sequence of str, got int at 0", {"tables": {3: np.eye(32)}}),
    "tables overflow": (
        ValueError,
        "base, tables: wanted finite dot products",
        {"tables": {"a": np.full((32, 2), 1e200)}, "table": "a"},
    ),
    "table": (ValueError, "table: wanted one of sinusoidal, learned, random, got none", {"table": "none"}),
    "table number": (TypeError, "table: wanted a str, got int", {"table": 0}),
    "position": (ValueError, "position: wanted 0 to 31, got 32", {"position": 32}),
    "position half": (TypeError, "position: wanted an integer, got float", {"position": 1.0}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def test_keeps_its_own_copy():
    table = TABLES["random"].copy()
    figure = make(tables={"random": table}, table="random")
    table[:] = 9
    np.testing.assert_array_equal(figure.vectors, TABLES["random"])
    figure.vectors[:] = 9
    np.testing.assert_array_equal(figure.vectors, TABLES["random"])


@pytest.mark.parametrize("d", [2, 6, 32])
@pytest.mark.parametrize("base", [1.0, 37.0, 10_000.0])
def test_readings_are_the_formula(d, base):
    figure = make(d_model=d, base=base)
    angles = [[p / base ** (2 * c / d) for c in range(d // 2)] for p in range(32)]
    wanted = np.array([[number for a in row for number in (np.sin(a), np.cos(a))] for row in angles])
    np.testing.assert_allclose(figure.vectors, wanted, rtol=0, atol=1e-13)
    np.testing.assert_allclose(figure.similarity, cosines(wanted), rtol=0, atol=1e-13)
    # It is the mean over the pairs of cos((i - j) / base^(2c / d)), so the sign of the offset is lost.
    mean = np.mean([[np.cos(k / base ** (2 * c / d)) for c in range(d // 2)] for k in range(32)], axis=1)
    places = np.arange(32)
    np.testing.assert_allclose(figure.similarity, mean[abs(places[:, None] - places)], rtol=0, atol=1e-13)
    for name, table in TABLES.items():
        np.testing.assert_allclose(make(table=name).similarity, cosines(table), rtol=0, atol=1e-13)


# What it writes.


def test_text_alternatives():
    figure = make(8, 2, 100.0, tables=None, position=3, caption="Slide.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "How alike every two of 8 sinusoidal positions of width 2, base 100 are. "
        "Position 3 is similar to 2 0.54 and to 4 0.54. Only the distance counts."
    )
    assert make(table="random", position=0).summary().endswith("The distance alone does not decide.")
    assert "similar to 30 " in make(position=31).summary()
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 2 and outline.tags.count("td") == 8
    assert '<th scope="col">−3</th>' in figure.table() and '<th scope="col">+4</th>' in figure.table()
    assert "<td>−0.99</td><td>−0.42</td><td>0.54</td><td>1.00</td>" in figure.table()


def test_texts_are_escaped():
    closed(make(8, tables={name: rng.normal(size=(8, 2)) for name in NASTY[:4]})._repr_html_())


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.base = 10
    widget.set_state({"position": 20, "d_model": 4})  # as a message from the browser does
    np.testing.assert_allclose(widget.similarity, make(d_model=4, base=10.0).similarity)
    for bad in ({"position": 32}, {"base": 0}, {"table": "none"}, {"tables": {"a": [[1.0]]}}, {"d_model": 3}):
        with pytest.raises(traitlets.TraitError, match=": wanted"):
            widget.update(**bad)
    widget.table = "random"
    np.testing.assert_allclose(widget.similarity, cosines(TABLES["random"]))


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-possim").nth(n)


def slider(page, place, n=0):
    return figure_of(page, n).locator("[type=range]").nth(place)


def numbers_of(path):
    """Return the points that a path visits, (points, 2)."""
    return np.array([[float(x) for x in pair.split()] for pair in re.findall(r"[ML]([^MLh]+)", path)])


def agree(page, figure, n=0):
    """Compare the numbers on the page with NumPy's, in the state that the page is in, and return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    state = figure.state | moved
    if moved["table"] == "sinusoidal":
        rows = sinusoidal_positions(np.zeros((state["length"], moved["d_model"])), base=float(moved["base"]))
    else:
        rows = np.array(state["tables"][moved["table"]])
    wanted, i, length = cosines(rows), moved["position"], state["length"]
    np.testing.assert_allclose(json.loads(data["similarity"]), wanted, rtol=0, atol=1e-13)
    np.testing.assert_allclose(json.loads(data["row"]), wanted[i], rtol=0, atol=1e-13)
    np.testing.assert_allclose(json.loads(data["products"]), rows @ rows[i], rtol=1e-13, atol=1e-13)
    # What is drawn: colours, the row's frame, the curve and the dots of all rows.
    fills = figure_of(page, n).locator(".attn-map g[shape-rendering] rect")
    styles = fills.evaluate_all("all => all.map(one => one.style.fill)")
    drawn = [
        (-1 if "minus" in style else 1) * float((re.search(r"([\d.e-]+)%", style) or [0, 100])[1]) for style in styles
    ]
    np.testing.assert_allclose(drawn, 100 * wanted.ravel(), rtol=0, atol=1e-3)
    frame = figure_of(page, n).locator(".attn-row").evaluate("one => [one.style.top, one.style.height].map(parseFloat)")
    np.testing.assert_allclose(frame, [100 * i / length, 100 / length], atol=1e-3)
    places = np.arange(length)
    curve = np.stack([(places - i + length - 0.5) / (2 * length - 1), (1.08 - wanted[i]) / 2.16], axis=-1)
    for name in ("curve", "points"):
        path = figure_of(page, n).locator(f".attn-{name}").get_attribute("d")
        np.testing.assert_allclose(numbers_of(path), curve, rtol=0, atol=1e-12)
    offsets = (places[None] - places[:, None] + length - 0.5) / (2 * length - 1)
    everything = np.stack([offsets, (1.08 - wanted) / 2.16], axis=-1).reshape(-1, 2)
    path = figure_of(page, n).locator(".attn-all").get_attribute("d")
    np.testing.assert_allclose(numbers_of(path), everything, rtol=0, atol=1e-12)
    # The controls show the state.
    assert int(slider(page, 0, n).input_value()) == i
    assert slider(page, 1, n).is_disabled() == slider(page, 2, n).is_disabled() == (moved["table"] != "sinusoidal")
    return moved


CASES = {
    "notebook": {},
    "tiny": {"length": 3, "d_model": 2, "base": 1.0, "tables": None},
    "long": {"length": 64, "d_model": 128, "base": 37.5, "tables": None},
    "other bases": {"d_model": 6, "base": 1e6, "position": 31},
    "random": {"table": "random", "position": 0},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_arithmetic(show, case):
    figure = make(**case)
    page = show(figure).page
    assert agree(page, figure) == {name: figure.state[name] for name in ("d_model", "base", "table", "position")}
    if figure.state["table"] != "sinusoidal":
        figure_of(page).get_by_role("radio", name="sinusoidal").check()
    for place, name in enumerate(("position", "d_model", "base")):
        for key in ("Home", "ArrowRight", "End", "ArrowLeft"):
            slider(page, place).focus()
            page.keyboard.press(key)
            state = agree(page, figure)
            if key == "Home":
                assert state[name] == {"position": 0, "d_model": 2, "base": 1}[name]
    assert (state["base"], state["d_model"], state["position"]) == (5000, 126, figure.state["length"] - 2)


FAULTS = {
    "exponent by feature": ("(2 * Math.floor(i / 2)) / d", "i / d"),
    "exponent halved": ("(2 * Math.floor(i / 2)) / d", "Math.floor(i / 2) / d"),
    "cosine twice as fast": ("Math.cos(angle(p, i))", "Math.cos(2 * angle(p, i))"),
    "from one": ("({ length }, (_, p) => row(p))", "({ length }, (_, p) => row(2 * p))"),
    "not divided": ("x / (lengths[i] * lengths[j])", "x / lengths.length"),
    "divided once": ("x / (lengths[i] * lengths[j])", "x / (lengths[i] * lengths[i])"),
    "no root": ("Math.sqrt(products[i][i])", "products[i][i]"),
    "offset turned": ("row.map((x, j) => [j - position, x])", "row.map((x, j) => [position - j, x])"),
    "map transposed": ("Math.floor(n / length)][n % length]", "n % length][Math.floor(n / length)] * 0.99"),
    "sign lost": ('${x < 0 ? "minus" : "full"}', "full"),
    "wrong row": ("(100 * position) / length", "(100 * (position + 1)) / length"),
    "other table": (": tables[table])", ": Object.values(tables)[0])"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(base=10.0), make(table="random", position=3)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_what_is_read(show):
    page = show(make(caption="Slide.", base=10.0)).page
    figure = figure_of(page)
    sentence = figure.locator("[aria-live=polite]")
    assert sentence.inner_text() == (
        "p8·p8 = 16.0; p8·p9 = 14.1, similarity 0.88; p8·p7 = 14.1, similarity 0.88. "
        "Only the distance counts, so before and after look the same. It stops falling at distance 5."
    )
    assert figure.get_by_role("slider", name="position i").get_attribute("aria-valuetext") == "8"
    assert figure.get_by_role("slider", name="base").get_attribute("aria-valuetext") == "10"
    assert figure.get_attribute("data-even") == "true"
    slider(page, 2).fill("0")  # base 1: every pair turns by one radian, and 2π is about 6 and 19 about 3 · 2π
    assert sentence.inner_text().endswith("Positions 19 apart are nearly the same.")
    slider(page, 0).fill("0")
    assert "p0·p1" in sentence.inner_text() and "p0·p-1" not in sentence.inner_text()
    figure.get_by_role("radio", name="random").check()
    assert figure.get_attribute("data-even") == "false"
    assert sentence.inner_text().endswith("Here the distance alone does not decide.")
    assert slider(page, 1).get_attribute("aria-valuetext") == "8"
    label = figure.locator(".attn-plot").get_attribute("aria-label")
    assert label.startswith("Similarity to position 0: 0: 1.00, 1: ")
    assert figure.get_by_text("Slide.").is_visible()


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    figure_of(page).get_by_text("learned").tap()
    assert agree(page, figure)["table"] == "learned"
    # A tap on the map takes the row under the finger.
    for row in (0, 13, 31):
        box = figure_of(page).locator(".attn-map").bounding_box()
        page.touchscreen.tap(box["x"] + 40, box["y"] + box["height"] * (row + 0.5) / 32)
        assert agree(page, figure)["position"] == row
    area = slider(page, 0).bounding_box()
    page.touchscreen.tap(area["x"] + 8, area["y"] + area["height"] / 2)
    assert agree(page, figure)["position"] == 0


@pytest.mark.browser
def test_reset_and_copies(show):
    figure = make()
    page = show(figure, figure).page
    first = agree(page, figure)
    slider(page, 0).fill("30")
    slider(page, 1).fill("4")
    slider(page, 2).fill("3")
    assert agree(page, figure) == {"position": 30, "d_model": 4, "base": 10, "table": "sinusoidal"}
    figure_of(page).get_by_role("radio", name="random").check()
    assert agree(page, figure, 1) == first
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


@pytest.mark.browser
def test_nasty_names(show):
    names = [NASTY[0], NASTY[3], NASTY[6], NASTY[2]]
    figure = make(tables=dict.fromkeys(names, TABLES["random"]), table=names[0], caption="<i>&lt;")
    visited = show(figure)
    texts = figure_of(visited.page).locator(".attn-choices bdi").evaluate_all("all => all.map(n => n.textContent)")
    assert texts == ["sinusoidal", *names]
    assert figure_of(visited.page).locator(".attn-caption").inner_text() == "<i>&lt;"
    assert visited.violations() == []
    agree(visited.page, figure)


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    visited = show(make(caption="Slide."), make(table="random"), make(tables=None), dark=dark)
    assert visited.violations() == []
    assert not figure_of(visited.page, 2).locator(".attn-choices").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(make(tables=None), html=html, body=body, dark=prefers_dark).page
    stroke = figure_of(page).locator(".attn-curve").evaluate("node => getComputedStyle(node).stroke")
    assert stroke == {"light": "rgb(8, 48, 107)", "dark": "rgb(105, 176, 255)"}[scheme]


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(make(caption="Slide."), make(64, tables=None), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, button:visible, input[type=range]").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-controls, .attn-map, .attn-plot, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    square = before[2]
    assert abs(square[2] - square[3]) <= 1
    for table in ("sinusoidal", "learned", "random"):
        figure_of(page).get_by_role("radio", name=table).check()
        for place, value in ((0, 0), (0, 31), (0, 20), (1, 2), (2, 0), (2, 4), (1, 128)):
            if slider(page, place).is_enabled():
                slider(page, place).fill(str(value))
                assert figure_of(page).evaluate(boxes) == before
    # The numbers at the axes stay inside the figure.
    inside = figure_of(page).evaluate(
        """figure => { const all = figure.getBoundingClientRect();
        return [...figure.querySelectorAll(".attn-ticks span")].map(n => n.getBoundingClientRect())
        .every(box => box.left >= all.left && box.right <= all.right); }"""
    )
    assert inside

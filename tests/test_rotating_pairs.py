"""Rotating pairs: what they refuse, what they write, and their arithmetic in a browser against NumPy."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import SCHEMES, Outline

from attn_edu import colours
from attn_edu.interactive import RotatingPairs
from attn_edu.positions import rotary

QUERY, KEY = np.array([1.0, 0.4, 0.6, -0.5]), np.array([0.5, 0.9, 0.9, 0.2])
rng = np.random.default_rng(0)


def make(query=QUERY, key=KEY, **options):
    return RotatingPairs(query, key, **{"base": 100.0, "query_position": 3, "key_position": 7} | options)


def by_matrices(vector, position, base):
    """Turn each pair by its rotation matrix."""
    d = len(vector)
    turned = []
    for c in range(d // 2):
        a = position / base ** (2 * c / d)
        turned.extend(np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ vector[2 * c : 2 * c + 2])
    return np.array(turned)


# What they refuse.

REFUSED = {
    "query odd": (ValueError, "query: wanted an even number of numbers, at most 8, got 3", {"query": np.ones(3)}),
    "query wide": (ValueError, "query: wanted an even .* got 10", {"query": np.ones(10)}),
    "query matrix": (ValueError, r"query: wanted a vector, got shape \(1, 2\)", {"query": np.ones((1, 2))}),
    "query words": (TypeError, "query: wanted a vector of real numbers", {"query": ["a", "b"]}),
    "query nan": (ValueError, "query: wanted finite numbers", {"query": [np.nan, 1, 1, 1]}),
    "key length": (ValueError, "key: wanted 4 numbers as in query, got 2", {"key": np.ones(2)}),
    "key missing": (TypeError, "key: wanted a vector of real numbers, got NoneType", {"key": None}),
    "base": (ValueError, "base: wanted a finite number above 0, got -1", {"base": -1}),
    "base text": (TypeError, "base: wanted a number, got str", {"base": "big"}),
    "positions one": (ValueError, "positions: wanted 2 to 128, got 1", {"positions": 1}),
    "positions many": (ValueError, "positions: wanted 2 to 128, got 129", {"positions": 129}),
    "positions half": (TypeError, "positions: wanted an integer, got float", {"positions": 8.0}),
    "query_position": (ValueError, "query_position: wanted 0 to 31, got 32", {"query_position": 32}),
    "query_position flag": (TypeError, "query_position: wanted an integer, got bool", {"query_position": True}),
    "key_position": (ValueError, "key_position: wanted 0 to 31, got -1", {"key_position": -1}),
    "together": (TypeError, "together: wanted True or False, got 1", {"together": 1}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
    "overflow": (
        ValueError,
        "query, key, base: wanted finite angles and scores",
        {"query": QUERY * 1e200, "key": KEY * 1e200},
    ),
}


def test_keeps_its_own_copy():
    query = QUERY.copy()
    figure = make(query)
    query[:] = 9
    np.testing.assert_array_equal(figure.state["query"], QUERY)
    with pytest.raises(ValueError, match="read-only"):
        figure.state["query"][0] = 9


@pytest.mark.parametrize("d", [2, 4, 8])
@pytest.mark.parametrize("base", [1.0, 37.0, 10_000.0])
def test_readings_are_the_formula(d, base):
    query, key = rng.normal(size=(2, d))
    figure = make(query, key, base=base, query_position=9, key_position=2)
    np.testing.assert_allclose(figure.turned_query, by_matrices(query, 9, base), rtol=0, atol=1e-13)
    np.testing.assert_allclose(figure.turned_key, by_matrices(key, 2, base), rtol=0, atol=1e-13)
    products = by_matrices(query, 9, base) * by_matrices(key, 2, base)
    np.testing.assert_allclose(figure.parts, products.reshape(-1, 2).sum(axis=1), rtol=0, atol=1e-13)
    np.testing.assert_allclose(figure.score, products.sum(), rtol=0, atol=1e-13)
    # Only the offset counts, with its sign.
    curve = [query @ by_matrices(key, offset, base) for offset in range(-31, 32)]
    np.testing.assert_allclose(figure.curve, curve, rtol=0, atol=1e-13)
    np.testing.assert_allclose(figure.score, figure.curve[31 - 7], rtol=0, atol=1e-13)
    assert np.abs(figure.curve - figure.curve[::-1]).max() > 0.01


# What they write.


def test_text_alternatives():
    figure = make(caption="Slide.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "A query at position 3 and a key at position 7, turned by rotary positions in 2 pairs, base 100. "
        "Their score is 0.15, as for every two positions with offset 4."
    )
    assert "in 1 pair, base 100. " in make([1.0, 0], [0.0, 1]).summary()
    assert make(key_position=0).summary().endswith("offset −3.")
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 4
    row = "<td>57.30°</td><td>171.9°</td><td>401.1°</td><td>−0.03</td>"
    assert f'<tr><th scope="row">pair 1</th>{row}</tr>' in figure.table()


def test_widget_follows_python(unhooked):
    widget = make().widget()
    score = widget.score
    widget.set_state({"query_position": 13, "key_position": 17})  # as a message from the browser does
    np.testing.assert_allclose(widget.score, score, rtol=0, atol=1e-13)
    for bad in ({"query_position": 32}, {"positions": 5}, {"base": 0}, {"key": [1.0]}, {"together": "no"}):
        with pytest.raises(traitlets.TraitError, match=": wanted"):
            widget.update(**bad)
    widget.update(query=[1.0, 0.0], key=[0.0, 2.0], query_position=1, key_position=0)
    np.testing.assert_allclose(widget.score, 2 * np.sin(1))


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-rotary").nth(n)


def slider(page, place, n=0):
    return figure_of(page, n).locator("[type=range]").nth(place)


def box(page, n=0):
    return figure_of(page, n).locator("[type=checkbox]")


def points_of(page, n, name):
    """Return the points that a path in the plot visits, (points, 2)."""
    path = figure_of(page, n).locator(f".attn-{name}").get_attribute("d")
    return np.array([[float(x) for x in pair.split()] for pair in re.findall(r"[ML]([^MLh]+)", path)])


def agree(page, figure, n=0):
    """Compare the numbers on the page with NumPy's, in the state that the page is in, and return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    at_m, at_n = moved["query_position"], moved["key_position"]
    query, key, base, positions = (figure.state[name] for name in ("query", "key", "base", "positions"))
    d, last = len(query), positions - 1
    turned = [rotary(vector[None], base=base, start=start)[0] for vector, start in ((query, at_m), (key, at_n))]
    parts = (turned[0] * turned[1]).reshape(-1, 2).sum(axis=1)
    size = np.linalg.norm(query) * np.linalg.norm(key)
    curve = [
        (rotary(query[None], base=base, start=max(0, -k)) @ rotary(key[None], base=base, start=max(0, k)).T).item()
        for k in range(-last, last + 1)
    ]
    wanted = {"angles": base ** (-2 * np.arange(d // 2) / d), "turnedQuery": turned[0], "turnedKey": turned[1]}
    wanted |= {"parts": parts, "score": parts.sum(), "curve": curve}
    for name, numbers in wanted.items():
        np.testing.assert_allclose(json.loads(data[name]), numbers, rtol=1e-13, atol=1e-13 * size, err_msg=name)
    # What is drawn. Arrows: as they are at position 0, and then turned, against the clock.
    most = max(np.hypot(*pair) for pair in np.concatenate([query, key]).reshape(-1, 2)) or 1
    for role, vector, position in (("query", query, at_m), ("key", key, at_n)):
        arrows = (
            figure_of(page, n)
            .locator(f"g.attn-{role}")
            .evaluate_all("all => all.map(g => [g.style.transform, g.querySelector('.attn-head')?.getAttribute('d')])")
        )
        assert len(arrows) == d // 2
        for c, (transform, head) in enumerate(arrows):
            turn = float(re.fullmatch(r"rotate\(([-\d.e]+)rad\)", transform)[1])
            np.testing.assert_allclose(turn, -position * wanted["angles"][c], rtol=1e-4, atol=1e-4)
            if head:
                tip = [float(x) for x in re.match(r"M(\S+) ([^L]+)L", head).groups()]
                np.testing.assert_allclose(tip, vector[2 * c : 2 * c + 2] / most * [1, -1], rtol=0, atol=1e-12)
    # The sector between the arrows ends where the key points.
    for c, path in enumerate(
        figure_of(page, n).locator(".attn-wedge").evaluate_all("all => all.map(one => one.getAttribute('d'))")
    ):
        if path:
            x, y = (float(x) for x in re.search(r"A\S+ \S+ 0 0 [01] (\S+) (\S+)Z", path).groups())
            ends = np.arctan2(-y, x) + at_m * wanted["angles"][c]
            pointed = turned[1][2 * c : 2 * c + 2] / np.hypot(*key[2 * c : 2 * c + 2])
            np.testing.assert_allclose([np.cos(ends), np.sin(ends)], pointed, rtol=0, atol=1e-9)
    # Bars, and the curve with its mark; the reach of its axis is the largest number on it.
    most = max(np.hypot(*query[c : c + 2]) * np.hypot(*key[c : c + 2]) for c in range(0, d, 2)) or 1
    bars = figure_of(page, n).locator(".attn-bar b")
    spans = bars.evaluate_all("all => all.map(b => [parseFloat(b.style.left), parseFloat(b.style.width)])")
    bounds = [[50 + 50 * min(0, x) / most, 50 * abs(x) / most] for x in parts]
    np.testing.assert_allclose(spans, bounds, rtol=0, atol=1e-3)
    ticks = figure_of(page, n).locator(".attn-up").all_inner_texts()
    reach = 1.06 * max(float(text.replace("−", "-")) for text in ticks)
    assert np.abs(curve).max() <= reach

    def place(k, y):
        return [(k + last + 0.5) / (2 * last + 1), (reach - y) / (2 * reach)]

    drawn = [place(k, y) for k, y in zip(range(-last, last + 1), curve, strict=True)]
    np.testing.assert_allclose(points_of(page, n, "points"), drawn, rtol=0, atol=1e-12)
    np.testing.assert_allclose(points_of(page, n, "curve")[::8], drawn, rtol=0, atol=1e-12)
    marker = (
        figure_of(page, n)
        .locator(".attn-marker")
        .evaluate("one => [parseFloat(one.style.left), parseFloat(one.style.top)]")
    )
    np.testing.assert_allclose(marker, 100 * np.array(place(at_n - at_m, parts.sum())), rtol=0, atol=1e-3)
    # The controls show the state.
    assert [int(slider(page, place, n).input_value()) for place in (0, 1)] == [at_m, at_n]
    assert box(page, n).is_checked() == moved["together"]
    return moved


CASES = {
    "notebook": {},
    "one pair": {"query": [1.0, 0], "key": [0.0, 2], "positions": 8},
    "four pairs": {"query": rng.normal(size=8), "key": 30 * rng.normal(size=8), "base": 10_000.0, "positions": 128},
    "three pairs, one empty": {"query": [1.0, 0, 0, 0, -2, 1], "key": [0, 1.0, 1, 1, 0, 0], "base": 0.5},
    "nothing": {"query": np.zeros(2), "key": np.zeros(2)},
    "opposite": {"query": [0.001, 0], "key": [-0.001, 0], "base": 7.0, "key_position": 3},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_arithmetic(show, case):
    figure = make(**{name: np.array(one) if name in ("query", "key") else one for name, one in case.items()})
    page = show(figure).page
    assert agree(page, figure) == {name: figure.state[name] for name in ("query_position", "key_position", "together")}
    last = figure.state["positions"] - 1
    for place, name in enumerate(("query_position", "key_position")):
        for key, at in (("Home", 0), ("ArrowRight", 1), ("End", last), ("ArrowLeft", last - 1)):
            slider(page, place).focus()
            page.keyboard.press(key)
            assert agree(page, figure)[name] == at


@pytest.mark.browser
def test_moved_together_the_score_stays(show):
    figure = make()
    page = show(figure).page
    box(page).focus()
    page.keyboard.press(" ")
    for place, key, wanted in (
        (0, "ArrowRight", [4, 8]),
        (1, "ArrowRight", [5, 9]),
        (0, "End", [27, 31]),  # as far as both have a place
        (1, "End", [27, 31]),
        (1, "ArrowLeft", [26, 30]),
        (1, "Home", [0, 4]),
    ):
        slider(page, place).focus()
        page.keyboard.press(key)
        state = agree(page, figure)
        assert [state["query_position"], state["key_position"]] == wanted and state["together"]
        score = float(figure_of(page).get_attribute("data-score"))
        np.testing.assert_allclose(score, figure.score, rtol=0, atol=1e-13)
    box(page).click()
    slider(page, 1).fill("10")
    state = agree(page, figure)
    assert state == {"query_position": 0, "key_position": 10, "together": False}
    assert abs(float(figure_of(page).get_attribute("data-score")) - figure.score) > 0.1


FAULTS = {
    "turned the other way": ("(i % 2 ? 1 : -1)", "(i % 2 ? -1 : 1)"),
    "no turn but a mirror": ("(i % 2 ? 1 : -1)", "1"),
    "exponent halved": ("(-2 * c) / query.length", "-c / query.length"),
    "exponent positive": ("(-2 * c) / query.length", "(2 * c) / query.length"),
    "halves for pairs": ("angles[i >> 1]", "angles[i % angles.length]"),
    "key not turned": ("turn(key, n, angles)", "key"),
    "key at m": ("turn(key, n, angles)", "turn(key, m, angles)"),
    "from one": ("turn(query, m, angles)", "turn(query, m + 1, angles)"),
    "one product": (" + turnedQuery[2 * c + 1] * turnedKey[2 * c + 1]", ""),
    "arrows with the clock": ("rotate(${-position", "rotate(${position"),
    "arrows upside down": ("-(a * Math.sin(angle)", "(a * Math.sin(angle)"),
    "arrows at one speed": ("* angles[c]}rad", "* angles[0]}rad"),
    "curve turned": ("at(n - last))", "at(last - n))"),
    "mark turned": ("plot.at(n - m, now.score)", "plot.at(m - n, now.score)"),
    "sector": ("rim(query.angle + gap)", "rim(query.angle - gap)"),
    "bar to the right": ("(50 * Math.min(0, parts[c])) / most", "0"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figure = make()
    content = figure._repr_html_()
    assert content.count(right) == 1
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(page, figure)


@pytest.mark.browser
def test_what_is_read(show):
    page = show(make(caption="Slide.")).page
    figure = figure_of(page)
    sentence = figure.locator("[aria-live=polite]")
    assert sentence.inner_text() == (
        "Positions 3 and 7: the key stands 4 places after the query, score 0.15. "
        "Before it by as much, the score would be −0.46."
    )
    assert figure.locator(".attn-sum").inner_text() == "score −0.03 + 0.18 = 0.15"
    assert figure.locator(".attn-title").all_inner_texts() == ["pair 1: 57.3° a place", "pair 2: 5.73° a place"]
    assert figure.locator(".attn-part").all_inner_texts() == ["q·k here −0.03", "q·k here 0.18"]
    assert figure.get_by_role("slider", name="query at i").get_attribute("aria-valuetext") == "3"
    slider(page, 1).fill("2")
    assert sentence.inner_text().startswith("Positions 3 and 2: the key stands 1 place before the query, score ")
    assert "After it by as much, " in sentence.inner_text()
    slider(page, 1).fill("3")
    assert sentence.inner_text() == (
        "Positions 3 and 3: query and key in one place, score 1.30. "
        "Both have turned alike, which leaves the plain dot product."
    )
    box(page).click()
    assert sentence.inner_text().endswith("Moved together, both turn by the same angles and the score stays.")
    slider(page, 0).fill("20")
    assert figure.locator(".attn-sum").inner_text() == "score 0.86 + 0.44 = 1.30"
    assert figure.get_by_role("img", name="Pair 1: from query to key 39.1 degrees").is_visible()
    assert figure.get_by_text("Slide.").is_visible()


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    figure_of(page).get_by_text("Move both together").tap()
    assert agree(page, figure)["together"] is True
    area = slider(page, 0).bounding_box()
    page.touchscreen.tap(area["x"] + area["width"] - 8, area["y"] + area["height"] / 2)
    state = agree(page, figure)
    assert [state["query_position"], state["key_position"]] == [27, 31]


@pytest.mark.browser
def test_reset_and_copies(show):
    figure = make()
    page = show(figure, figure).page
    first = agree(page, figure)
    slider(page, 0).fill("30")
    slider(page, 1).fill("4")
    box(page).click()
    assert agree(page, figure) == {"query_position": 30, "key_position": 4, "together": True}
    assert agree(page, figure, 1) == first
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    visited = show(make(caption="Slide."), make(np.ones(2), np.ones(2), together=True), dark=dark)
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(make(), html=html, body=body, dark=prefers_dark).page
    roles = {"light": colours.LIGHT, "dark": colours.DARK}[scheme]
    for role in ("query", "key"):
        for selector, what in ((f"label .attn-{role}", "color"), (f"g.attn-{role} .attn-shaft", "stroke")):
            node = figure_of(page).locator(selector).first
            colour = node.evaluate(f"node => getComputedStyle(node).{what}")
            assert "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)) == roles[role]


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    four = make(rng.normal(size=8), rng.normal(size=8))
    visited = show(make(caption="Slide."), four, size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-controls :is(label, button, input[type=range])").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(
        ".attn-controls, .attn-wheel, .attn-plot, .attn-part, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    for n in (0, 1):
        before = figure_of(page, n).evaluate(boxes)
        for _ in range(2):
            for place, value in ((0, 0), (0, 31), (1, 2), (1, 31), (0, 20), (1, 20)):
                slider(page, place, n).fill(str(value))
                assert figure_of(page, n).evaluate(boxes) == before
            box(page, n).click()


@pytest.mark.browser
def test_motion(show):
    page = show(make(), dark=True).page
    arrow = figure_of(page).locator(".attn-turning").first
    assert arrow.evaluate("one => getComputedStyle(one).transitionDuration") == "0s"
    page.emulate_media(reduced_motion="no-preference")
    assert arrow.evaluate("one => getComputedStyle(one).transitionDuration") == "0.18s"

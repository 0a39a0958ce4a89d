"""Movies and users: what the figure refuses, what it writes, and its arithmetic in a browser against NumPy."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import HOSTS, NASTY, Outline, closed

from attn_edu.interactive import MoviesAndUsers

USERS = ["Ada", "Ben", "Cleo"]
FILMS = ["Ferry on Fire", "Two Umbrellas", "Wrong Goose", "Grey Tuesday"]
FEATURES = ["action", "romance", "comedy"]
TASTES = [[-1, 0.5, 0.5], [1, -0.5, 0.5], [0, 0.1, 0.2]]
CONTENTS = [[1, -0.5, -0.5], [-1, 1, 0], [0, -0.5, 1], [-1, -0.5, -1]]


def make(**options):
    names = {"users": USERS, "films": FILMS, "features": FEATURES}
    return MoviesAndUsers(**names | {"preferences": TASTES, "contents": CONTENTS} | options)


def drawn(L, S, d, seed=0, **options):
    rng = np.random.default_rng(seed)
    names = {"users": [f"u{i}" for i in range(L)], "films": [f"f{j}" for j in range(S)]}
    numbers = {"preferences": rng.uniform(-1, 1, (L, d)), "contents": rng.uniform(-1, 1, (S, d))}
    return make(**names, features=[f"c{f}" for f in range(d)], **numbers, **options)


# What it refuses.

REFUSED = {
    "users length": (ValueError, "preferences: wanted .* L = 1 as in users", {"users": ["Ada"]}),
    "users one string": (TypeError, "users: wanted a sequence of str, got str", {"users": "Ada"}),
    "users nine": (ValueError, "users: wanted at most 8, got 9", {"users": ["a"] * 9}),
    "films length": (ValueError, "contents: wanted .* S = 1 as in films", {"films": ["a"]}),
    "films blank": (ValueError, "films: wanted something to read", {"films": ["a", "b", " ", "d"]}),
    "films nine": (ValueError, "films: wanted at most 8, got 9", {"films": ["a"] * 9}),
    "features length": (ValueError, "preferences: wanted .* d = 2 as in features", {"features": ["a", "b"]}),
    "features nine": (ValueError, "features: wanted at most 8, got 9", {"features": ["a"] * 9}),
    "preferences a vector": (ValueError, r"preferences: wanted shape \(L, d\)", {"preferences": [1.0, 0.0, 1.0]}),
    "preferences words": (TypeError, "preferences: wanted an array of real", {"preferences": [["a"] * 3] * 3}),
    "preferences nan": (ValueError, "preferences: wanted finite numbers", {"preferences": [[np.nan] * 3] * 3}),
    "preferences large": (
        ValueError,
        r"preferences: wanted numbers from -1 to 1, got 1.5 at \[2, 0\]",
        {"preferences": [*TASTES[:2], [1.5, 0, 0]]},
    ),
    "contents width": (ValueError, "contents: wanted .* d = 3 as in features", {"contents": np.zeros((4, 2))}),
    "contents small": (
        ValueError,
        r"contents: wanted numbers from -1 to 1, got -2 at \[0, 1\]",
        {"contents": [[0, -2, 0], *CONTENTS[1:]]},
    ),
    "user beyond": (ValueError, "user: wanted 0 to 2, one of users, got 3", {"user": 3}),
    "user half": (TypeError, "user: wanted an integer, got float", {"user": 0.5}),
    "film beyond": (ValueError, "film: wanted 0 to 3, one of films, got 4", {"film": 4}),
    "film negative": (ValueError, "film: .* got -1", {"film": -1}),
    "film flag": (TypeError, "film: wanted an integer, got bool", {"film": True}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def test_readings_by_hand():
    """A user who cares for action alone, and films whose action makes exponentials of 1/2, 1 and 5/2."""
    action = [[-np.log(2), 1, 0], [0, -1, 1], [np.log(2.5), 0, 0]]
    figure = make(users=["Al"], films=["a", "b", "c"], preferences=[[1, 0, 0]], contents=action)
    np.testing.assert_allclose(figure.scores, [[-np.log(2), 0, np.log(2.5)]])
    np.testing.assert_allclose(figure.weights, [[1 / 8, 2 / 8, 5 / 8]])
    np.testing.assert_allclose(figure.ideal[0, 1:], [1 / 8 - 2 / 8, 2 / 8])


# What it writes.


def test_texts_are_escaped():
    outline = closed(make(films=[*NASTY[:2], "a", "a"])._repr_html_())
    state = re.search(r"const state = (\{.*\});\n", outline.scripts[0])[1]
    assert json.loads(state)["films"] == [*NASTY[:2], "a", "a"]


def test_text_alternatives():
    figure = make()
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text
    assert figure.summary() == (
        "3 users, 4 films and the scores between them. “Ada” gives most weight to Two Umbrellas 0.62, "
        "Wrong Goose 0.18, Grey Tuesday 0.18. Ideal film: action −0.76, romance 0.42, comedy −0.02."
    )
    for cell in ("−1.50 → 0.03", "1.50 → 0.62", "0.75 → 0.40", "−0.44"):
        assert cell in outline.text
    assert outline.tags.count("th") == 4 + 3 + 3


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.user = 1
    tastes = np.array(TASTES)
    tastes[1] = [-1, -1, -1]
    widget.preferences = tastes
    again = make(preferences=tastes)
    for name in ("scores", "weights", "ideal"):
        np.testing.assert_array_equal(getattr(widget, name), getattr(again, name))
    with pytest.raises(traitlets.TraitError, match="user: wanted 0 to 2"):
        widget.user = 3
    assert widget.user == 1


# In a browser.

READ = """(figure) => {
  const rows = [...figure.querySelectorAll(".attn-scores .attn-row")].slice(1);
  const read = (name) => rows.map((row) => [...row.querySelectorAll(".attn-cell")].map((cell) => cell.dataset[name]));
  const list = (name) => [...figure.querySelectorAll(`[data-${name}]`)].map((node) => node.dataset[name]);
  const { preferences, user, film } = figure.dataset;
  return {
    scores: read("score"), weights: read("weight"), part: list("part"), ideal: list("ideal"),
    preferences: JSON.parse(preferences), user: Number(user), film: Number(film),
  };
}"""


def figure_of(page, n=0):
    return page.locator(".attn-movies").nth(n)


def agree(page, figure, n=0):
    """Compare the numbers on the page with NumPy's, in the state that the page is in, and return that state."""
    shown = figure_of(page, n).evaluate(READ)
    state = {name: shown[name] for name in ("preferences", "user", "film")}
    again = type(figure)(**{**figure.state, **state})
    parts = again.state["preferences"][state["user"]] * again.state["contents"][state["film"]]
    wanted = {"scores": again.scores, "weights": again.weights, "part": parts, "ideal": again.ideal[state["user"]]}
    for name, numbers in wanted.items():
        np.testing.assert_allclose(np.array(shown[name], float), numbers, rtol=0, atol=1e-12)
    return state


def slide(page, feature, *keys, n=0):
    figure_of(page, n).locator("[type=range]").nth(feature).focus()
    for key in keys:
        page.keyboard.press(key)


CASES = {
    "the book's": make(user=1, film=2),
    "one": drawn(1, 1, 1),
    "primes": drawn(2, 7, 5, seed=3, user=1, film=6),
    "most": drawn(8, 8, 8, seed=4, user=7, film=0),
}


@pytest.mark.browser
@pytest.mark.parametrize("figure", CASES.values(), ids=CASES)
def test_arithmetic(show, figure):
    page = show(figure).page
    state = agree(page, figure)
    np.testing.assert_array_equal(state["preferences"], figure.state["preferences"])
    assert (state["user"], state["film"]) == (figure.state["user"], figure.state["film"])
    slide(page, 0, "Home")
    slide(page, len(figure.state["features"]) - 1, "End", "ArrowLeft", "ArrowLeft")
    moved = agree(page, figure)["preferences"][state["user"]]
    assert moved[-1] == 0.8 and (len(moved) == 1 or moved[0] == -1)


FAULTS = {
    "no exponential": ("Math.exp((x - max) / temperature)", "(x - max + 9)"),
    "not normalised": ("x / sum)", "x)"),
    "axes swapped": ("contents.map((film) => dot(taste, film))", "contents.map((film) => dot(taste, contents[0]))"),
    "signs lost": ("sum + x * b[i]", "sum + Math.abs(x * b[i])"),
    "plain mean": ("dot(row, contents.map((film) => film[f]))", "dot(row.map(() => 0.25), contents.map((c) => c[f]))"),
    "ideal of another user": ("dataset.ideal = ideal[user][f]", "dataset.ideal = ideal[0][f]"),
    "part of another film": ("contents[film][f]]", "contents[0][f]]"),
    "part without sign": ("dataset.part = taste * content", "dataset.part = Math.abs(taste * content)"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figure = make(user=1, film=3)
    content = figure._repr_html_()
    assert content.count(right) == 1
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(page, figure)


@pytest.mark.browser
def test_what_is_read(show):
    figure = make(film=3, caption="Two dislikes agree.")
    page = show(figure).page
    view = figure_of(page)
    texts = view.locator(".attn-scores .attn-cell").all_inner_texts()
    assert texts[:4] == ["−1.50", "1.50", "0.25", "0.25"]
    assert view.locator(".attn-product").all_inner_texts() == ["−1.00 × −1.00", "0.50 × −0.50", "0.50 × −1.00"]
    assert view.locator("[data-part]").all_inner_texts() == ["1.00", "−0.25", "−0.50"]
    assert view.locator(".attn-reason strong").inner_text() == "0.25"
    assert view.locator(".attn-weight span").all_inner_texts() == ["0.03", "0.62", "0.18", "0.18"]
    sentence = view.locator("[aria-live=polite]").inner_text()
    assert sentence == (
        "Ada and Grey Tuesday: score 0.25, weight 0.18. Ideal film: action −0.76, romance 0.42, comedy −0.02."
    )
    assert view.get_by_text("Two dislikes agree.").is_visible()
    bars = view.locator(".attn-bar b").evaluate_all("bars => bars.map((bar) => parseFloat(bar.style.width))")
    np.testing.assert_allclose(bars, 100 * figure.weights[0], atol=1e-3)
    # The bar of a contribution starts in the middle and goes right if positive, left if not.
    sides = view.locator(".attn-balance").evaluate_all(
        """all => all.map((one) => {
          const [box, bar] = [one, one.firstChild].map((node) => node.getBoundingClientRect());
          return [bar.left - box.left, bar.right - box.left].map((x) => (2 * x) / box.width - 1);
        })"""
    )
    np.testing.assert_allclose(sides, [[0, 1], [-0.25, 0], [-0.5, 0]], atol=0.02)
    slider = view.get_by_label("Taste of Ada for action")
    assert slider.get_attribute("aria-valuetext") == "−1.00"


@pytest.mark.browser
def test_pick_by_keyboard(show):
    figure = make(user=1, film=1)
    page = show(figure).page
    page.keyboard.press("Tab")
    moves = [
        ("ArrowRight", (1, 2)),
        ("ArrowDown", (2, 2)),
        ("ArrowDown", (2, 2)),
        ("ArrowLeft", (2, 1)),
        ("ArrowUp", (1, 1)),
        ("ArrowUp", (0, 1)),
        ("ArrowUp", (0, 1)),
    ]
    for key, place in moves:
        page.keyboard.press(key)
        state = agree(page, figure)
        assert (state["user"], state["film"]) == place, key
        assert page.evaluate("document.activeElement.checked")
    page.keyboard.press("Enter")
    assert page.url.endswith(".html"), "the form is not sent"
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert agree(page, figure)["preferences"][0][0] == 1


@pytest.mark.browser
def test_pointer_touch_and_reset(show):
    figure = make(film=3)
    for options in ({}, {"size": PHONE, "has_touch": True, "is_mobile": True}):
        page = show(figure, **options).page
        cell = figure_of(page).locator(".attn-scores .attn-cell").nth(4 * 2 + 1)
        cell.tap() if options else cell.click()
        assert [agree(page, figure)[name] for name in ("user", "film")] == [2, 1]
        slide(page, 1, "End")
        assert agree(page, figure)["preferences"] == [*TASTES[:2], [0, 1, 0.2]]
        figure_of(page).get_by_role("button", name="Reset").click()
        assert agree(page, figure) == {"preferences": TASTES, "user": 0, "film": 3}


@pytest.mark.browser
def test_copies_are_independent(show):
    figure = make()
    page = show(figure, figure).page
    figure_of(page, 1).locator(".attn-scores .attn-cell").nth(6).click()
    slide(page, 0, "End", n=1)
    first, second = agree(page, figure, 0), agree(page, figure, 1)
    assert first == {"preferences": TASTES, "user": 0, "film": 0}
    assert (second["user"], second["film"], second["preferences"][1][0]) == (1, 2, 1)
    assert page.locator(".attn-scores input:checked").count() == 2


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), HOSTS.values(), ids=HOSTS)
def test_accessible_on_every_page(show, html, body, prefers_dark, scheme):
    visited = show(make(film=3), html=html, body=body, dark=prefers_dark)
    assert visited.violations() == []
    slide(visited.page, 0, "End")
    figure_of(visited.page).locator(".attn-scores .attn-cell").nth(7).click()
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 700, "height": 600}, WIDE])
def test_fits(show, size):
    long = make(users=["Bartholomew"] * 3, films=["Incomprehensible"] * 4)
    visited = show(make(film=3), long, drawn(8, 8, 8), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-scores input, .attn-movies :is(button, [type=range])").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).map((box) => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    for n in range(3):
        right = figure_of(page, n).evaluate("figure => figure.getBoundingClientRect().right")
        inside = (
            figure_of(page, n)
            .locator(".attn-reason *, .attn-mix *, .attn-sentence")
            .evaluate_all("all => Math.max(...all.map((one) => one.getBoundingClientRect().right))")
        )
        assert inside <= right

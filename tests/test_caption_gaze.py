"""Caption and gaze: what the figure refuses, what it writes, and pixels, veils and sums in a browser."""

import json

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline, closed

from attn_edu.interactive import CaptionGaze

CAPTIONS = [["red", "square", "above", "red", "ring"], ["a", "cross"], ["blue", "ring", "left", "of", "it", "<end>"]]


def draw(captions=CAPTIONS, shape=(8, 12), grid=(4, 3), names=("soft", "hard"), seed=0):
    """Draw images, and weights that are sharper by every name."""
    rng = np.random.default_rng(seed)
    cells = grid[0] * grid[1]
    return {
        "images": rng.random((len(captions), *shape, 3)),
        "captions": captions,
        "weights": {
            name: [rng.dirichlet(np.full(cells, 0.4 / (n + 1)), len(words)) for words in captions]
            for n, name in enumerate(names)
        },
        "grid": grid,
    }


DRAWN = draw()


def make(**options):
    return CaptionGaze(**DRAWN | {"word": 1} | options)


def weights(change):
    """Return the drawn weights with another array for the soft view of image 1."""
    soft = DRAWN["weights"]["soft"]
    return {"weights": {"soft": [soft[0], change(soft[1]), soft[2]]}}


# What it refuses.

REFUSED = {
    "images grey": (ValueError, r"images: wanted shape \(N, H, W, 3\), got \(3, 8, 12\)",
                    {"images": DRAWN["images"][..., 0]}),
    "images with alpha": (ValueError, r"images: wanted shape \(N, H, W, 3\), got", {"images": np.ones((3, 8, 12, 4))}),
    "images many": (ValueError, "images: wanted up to 6 of up to 48 × 48", {"images": np.ones((7, 8, 12, 3))}),
    "images large": (ValueError, "images: wanted up to 6 of up to 48 × 48", {"images": np.ones((3, 8, 60, 3))}),
    "images bright": (ValueError, "images: wanted numbers from 0 to 1, got 2 to 2",
                      {"images": np.full((3, 8, 12, 3), 2)}),
    "images nan": (ValueError, "images: wanted finite numbers, got nan", {"images": DRAWN["images"] * np.nan}),
    "images words": (TypeError, "images: wanted an array of real numbers", {"images": [[[["a"]]]]}),
    "captions fewer": (ValueError, "captions: wanted 3 as in images, got 2", {"captions": CAPTIONS[:2]}),
    "captions one text": (TypeError, "captions: wanted a sequence, one item", {"captions": "red square"}),
    "captions texts": (TypeError, r"captions\[0\]: wanted a sequence of str, got str", {"captions": ["a", "b", "c"]}),
    "captions blank": (ValueError, r"captions\[1\]: wanted something",
                       {"captions": [CAPTIONS[0], ["", "b"], CAPTIONS[2]]}),
    "weights list": (TypeError, "weights: wanted a mapping", {"weights": DRAWN["weights"]["soft"]}),
    "weights none": (ValueError, "weights: wanted 1 to 32", {"weights": {}}),
    "weights number": (TypeError, "weights: wanted a sequence of str, got int", {"weights": {1: []}}),
    "weights many": (ValueError, "weights: wanted up to 4 names, got 5",
                     {"weights": dict.fromkeys("abcde", DRAWN["weights"]["soft"])}),
    "weights fewer": (ValueError, r"weights\['soft'\]: wanted 3 as in images, got 2",
                      {"weights": {"soft": DRAWN["weights"]["soft"][:2]}}),
    "weights rows": (ValueError, r"weights\['soft'\]\[1\]: wanted .* T = 2 as in captions\[1\]",
                     weights(lambda w: w[:1])),
    "weights columns": (ValueError, r"weights\['soft'\]\[1\]: wanted .* cells = 12 as in grid",
                        weights(lambda w: w[:, :11])),
    "weights negative": (ValueError, r"\[1\]: wanted rows of weights from 0 that sum to 1", weights(lambda w: w - 0.1)),
    "weights scores": (ValueError, r"\[1\]: wanted rows of weights from 0 that sum to 1", weights(lambda w: 2 * w)),
    "weights nan": (ValueError, r"\[1\]: wanted finite numbers", weights(lambda w: w * np.nan)),
    "grid one": (TypeError, "grid: wanted a pair of integers", {"grid": 4}),
    "grid three": (TypeError, "grid: wanted a pair of integers", {"grid": (4, 3, 3)}),
    "grid fractions": (TypeError, "grid: wanted a pair of integers", {"grid": (4.0, 3.0)}),
    "grid rows": (ValueError, "grid: wanted 1 to 8 rows that divide 8 pixels, got 3", {"grid": (3, 4)}),
    "grid columns": (ValueError, "grid: wanted 1 to 8 columns that divide 12 pixels, got 12", {"grid": (1, 12)}),
    "image": (ValueError, "image: wanted 0 to 2, got 3", {"image": 3}),
    "image flag": (TypeError, "image: wanted an integer, got bool", {"image": True}),
    "word": (ValueError, "word: wanted 0 to 2, got 3", {"image": 1, "word": 3}),
    "word half": (TypeError, "word: wanted an integer, got float", {"word": 1.0}),
    "view": (ValueError, "view: wanted one of soft, hard, got 'relaxed'", {"view": "relaxed"}),
    "view number": (TypeError, "view: wanted a str, got int", {"view": 0}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}  # fmt: skip


def test_keeps_its_own_copy():
    given = draw()
    figure = CaptionGaze(**given)
    wanted = figure.gaze.copy()
    given["weights"]["soft"][0][:] = 0
    given["images"][:] = 0
    figure.gaze[:] = 9
    np.testing.assert_array_equal(figure.gaze, wanted)
    assert figure.state["images"].max() > 0.9


@pytest.mark.parametrize("view", ["soft", "hard"])
def test_readings(view):
    for image, words in enumerate(CAPTIONS):
        given = DRAWN["weights"][view][image]
        total = sum(make(image=image, word=n, view=view).gaze for n in range(len(words)))
        for n in range(len(words)):
            figure = make(image=image, word=n, view=view)
            np.testing.assert_allclose(figure.gaze, given[n].reshape(4, 3), rtol=0, atol=5.001e-5)
            np.testing.assert_allclose(figure.total, total, rtol=0, atol=1e-13)
        np.testing.assert_array_equal(make(image=image, word=len(words), view=view).gaze, figure.total)


def test_rows_may_sum_to_less_than_one():
    assert make(**weights(lambda w: 0.5 * w), image=1).gaze.sum() == pytest.approx(0.5, abs=1e-3)


# What it writes.

SMALL = {
    "images": np.ones((1, 2, 4, 3)),
    "captions": [["ring", "cross"]],
    "weights": {"soft": [[[0.2, 0.8], [0.9, 0.1]]], "hard": [[[0, 1], [1, 0]]]},
    "grid": (1, 2),
}


def test_text_alternatives():
    figure = CaptionGaze(**SMALL, caption="Tap a word.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == "Image 1, “ring cross”. soft: “ring” looks most at row 1, column 2, with weight 0.80."
    assert CaptionGaze(**SMALL, word=2).summary().endswith(
        "soft: all words together look most at row 1, column 1, with weight 1.10."
    )  # fmt: skip
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 4 and outline.tags.count("td") == 6
    row = '<th scope="row">cross</th><td>row 1, column 1 (0.90)</td><td>row 1, column 1 (1.00)</td>'
    assert row in figure.table() and '<th scope="row">all words together</th>' in figure.table()


def test_texts_are_escaped():
    given = draw([NASTY, NASTY[:2]], names=NASTY[:4])
    closed(CaptionGaze(**given, view=NASTY[3])._repr_html_())


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(image=2, word=6)
    np.testing.assert_array_equal(widget.gaze, make(image=2, word=6).total)
    widget.set_state({"view": "hard"})  # as a message from the browser does
    np.testing.assert_array_equal(widget.total, make(image=2, view="hard").total)
    with pytest.raises(traitlets.TraitError, match="word: wanted"):
        widget.word = 7
    other = draw([["x"]], (4, 4), (2, 2), ("relaxed",), seed=1)
    widget.update(**other, image=0, word=0, view="relaxed")
    np.testing.assert_array_equal(widget.gaze, CaptionGaze(**other).gaze)


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-gaze").nth(n)


def word(page, n, figure=0):
    return figure_of(page, figure).locator(".attn-gaze-word").nth(n)


def radio(page, group, name, n=0):
    return figure_of(page, n).get_by_role("radiogroup", name=group).get_by_role("radio", name=name, exact=True)


READ = """figure => {
  const canvas = figure.querySelector("canvas");
  const style = (node, name) => Number(getComputedStyle(node).getPropertyValue(name));
  return {
    pixels: [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data],
    width: canvas.width,
    cells: [...figure.querySelectorAll(".attn-gaze-cell")].map((cell) => [
      style(cell, "--dark"), cell.textContent === "" ? 0 : Number(cell.textContent),
      Number(cell.classList.contains("attn-gaze-most"))]),
    minis: [...figure.querySelectorAll(".attn-gaze-mini")].map((mini) =>
      [...mini.children].map((cell) => style(cell, "--weight"))),
    pressed: [...figure.querySelectorAll(".attn-gaze-word")].map((node) => node.ariaPressed),
    stops: [...figure.querySelectorAll(".attn-gaze-word")].map((node) => node.tabIndex),
    said: figure.querySelector("[aria-live]").textContent,
    label: figure.querySelector("[role=img]").ariaLabel,
  };
}"""


def agree(page, figure, n=0):
    """Compare the page with NumPy in the state that the page is in; return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    again = type(figure)(**{**figure.state, **moved})
    seen = figure_of(page, n).evaluate(READ)
    maps = np.array(figure.state["weights"][moved["view"]][moved["image"]])
    rows = [*maps, sum(maps)]
    row, total = rows[moved["word"]], rows[-1]
    for name, wanted, reading in (("gaze", row, again.gaze), ("total", total, again.total)):
        np.testing.assert_allclose(json.loads(data[name]), wanted, rtol=0, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(reading.ravel(), wanted, rtol=0, atol=1e-12, err_msg=name)
    pixels = np.array(seen["pixels"]).reshape(-1, seen["width"], 4)
    np.testing.assert_allclose(pixels[..., :3], 255 * figure.state["images"][moved["image"]], rtol=0, atol=0.51,
                               err_msg="pixels")  # fmt: skip
    cells = np.array(seen["cells"])
    np.testing.assert_allclose(cells[:, 0], 1 - np.sqrt(row.clip(0, 1)), rtol=0, atol=1e-5, err_msg="veil")
    np.testing.assert_allclose(cells[:, 1], np.where(row < 0.005, 0, row), rtol=0, atol=0.0050001, err_msg="numbers")
    np.testing.assert_allclose(cells[:, 2], np.arange(len(row)) == row.argmax(), rtol=0, atol=0, err_msg="frame")
    np.testing.assert_allclose(seen["minis"], np.clip(rows, 0, 1), rtol=0, atol=1e-5, err_msg="minis")
    chosen = np.arange(len(rows)) == moved["word"]
    np.testing.assert_allclose([each == "true" for each in seen["pressed"]], chosen, rtol=0, atol=0, err_msg="pressed")
    np.testing.assert_allclose(seen["stops"], chosen - 1.0, rtol=0, atol=0, err_msg="stops")
    # The sentence gives the largest weight, and all that it gives adds up.
    r, c = divmod(row.argmax(), figure.state["grid"][1])
    assert f"in row {r + 1}, column {c + 1}" in seen["said"]
    told = [float(x) for x in seen["said"].split(": ")[-1].replace(";", "").strip(".").split() if "." in x]
    np.testing.assert_allclose(sum(told), row.sum(), rtol=0.005, atol=0.02, err_msg="sentence")
    read = [float(x) for x in seen["label"].split("row by row: ")[1].replace(";", "").split()]
    np.testing.assert_allclose(read, row, rtol=0, atol=0.0050001, err_msg="label")
    return moved


CASES = {
    "three images": DRAWN | {"word": 3},
    "one cell": draw([["a", "b"]], (5, 5), (1, 1)),
    "a word": draw([["a"]], (4, 6), (2, 3), ("only",)),
    "many": draw([[f"w{n}" for n in range(32)]] * 6, (48, 48), (8, 8), ("a", "b", "c", "d")) | {"view": "c"},
    "wide": draw([["a", "b", "c"]], (4, 40), (1, 8)),
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_arithmetic(show, case):
    figure = CaptionGaze(**case)
    page = show(figure).page
    first = {name: figure.state[name] for name in ("image", "word", "view")}
    assert agree(page, figure) == first
    views, count = list(figure.state["weights"]), len(figure.state["images"])
    for n in {0, len(figure.state["captions"][0])}:
        word(page, n).click()
        assert agree(page, figure)["word"] == n
    if len(views) > 1:
        radio(page, "Weights", views[-1]).check()
        assert agree(page, figure)["view"] == views[-1]
    if count > 1:
        radio(page, "Image", str(count)).check()
        assert agree(page, figure) == {"image": count - 1, "word": 0, "view": views[-1]}


FAULTS = {
    "a word later": ("n < map.length ? map[n]", "n < map.length ? map[(n + 1) % map.length]"),
    "total less one": ("map.reduce((sum, row) => sum + row[j], 0)",
                       "map.slice(1).reduce((sum, row) => sum + row[j], 0)"),
    "total as a mean": ("map.reduce((sum, row) => sum + row[j], 0)",
                        "map.reduce((sum, row) => sum + row[j] / map.length, 0)"),
    "smallest framed": ("row.indexOf(Math.max(...row))", "row.indexOf(Math.min(...row))"),
    "another's weights": ("const map = weights[view][image];", "const map = Object.values(weights)[1][image];"),
    "veil turned": ('"--dark", 1 - Math.sqrt(clamp(row[j], 0, 1))', '"--dark", Math.sqrt(clamp(row[j], 0, 1))'),
    "no root": ('"--dark", 1 - Math.sqrt(clamp(row[j], 0, 1))', '"--dark", 1 - clamp(row[j], 0, 1)'),
    "minis all alike": ("const own = gaze(map, m);", "const own = row;"),
    "small weights rounded up": ("row[j] < SEEN", "row[j] < -SEEN - 0 * row[j] || row[j] > 0.5"),
    "pixels upside down": ("pixels.flat()", "pixels.slice().reverse().flat()"),
    "colours turned": ("rgb.map((x) => Math.round(255 * x))", "rgb.map((x) => Math.round(255 * x)).reverse()"),
    "rest too small": ("rest.reduce((sum, j) => sum + row[j], 0)", "rest.slice(1).reduce((sum, j) => sum + row[j], 0)"),
    "label of another word": ("const all = row.map(", "const all = map[0].map("),
}  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(word=2), make(word=5)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_hovering_is_enough(show):
    figure = make()
    page = show(figure).page
    for n in (0, 5, 3):
        word(page, n).hover()
        assert agree(page, figure)["word"] == n


@pytest.mark.browser
def test_keyboard(show):
    figure = make()
    page = show(figure).page
    for _ in range(3):  # image, weights, words
        page.keyboard.press("Tab")
    moves = [("ArrowRight", 2), ("ArrowDown", 3), ("ArrowLeft", 2), ("ArrowUp", 1), ("End", 5), ("ArrowRight", 5)]
    moves += [("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1)]
    for key, n in moves:
        page.keyboard.press(key)
        assert agree(page, figure)["word"] == n, key
        assert page.evaluate("document.activeElement.ariaPressed") == "true"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert agree(page, figure)["view"] == "hard"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert agree(page, figure) == {"image": 1, "word": 0, "view": "hard"}


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    for n in (5, 0, 3):
        word(page, n).tap()
        assert agree(page, figure)["word"] == n
    figure_of(page).locator("label", has_text="hard").tap()
    assert agree(page, figure)["view"] == "hard"
    figure_of(page).locator("label", has_text="2").tap()
    assert agree(page, figure)["image"] == 1


@pytest.mark.browser
def test_what_is_read(show):
    page = show(CaptionGaze(**SMALL, caption="Tap a word."), make()).page
    figure = figure_of(page)
    said = figure.locator("[aria-live=polite]")
    assert said.inner_text() == "soft, “ring”: 0.80 in row 1, column 2; 0.20 in row 1, column 1."
    label = figure.get_by_role("img").get_attribute("aria-label")
    assert label == "Image 1: ring cross. Weights, row by row: 0.20 0.80"
    assert figure.get_by_text("Tap a word.").is_visible()
    figure.get_by_role("button", name="All words together").click()
    assert said.inner_text() == "soft, all words together: 1.10 in row 1, column 1; 0.90 in row 1, column 2."
    radio(page, "Weights", "hard").check()
    word(page, 1).click()
    assert said.inner_text() == "hard, “cross”: 1.00 in row 1, column 1; the other cell 0.00."
    word(page, 3, 1).click()
    assert figure_of(page, 1).locator("[aria-live]").inner_text().startswith("soft, “red (4)”: ")


@pytest.mark.browser
def test_one_image_and_one_view_need_no_switch(show):
    page = show(CaptionGaze(**CASES["a word"])).page
    assert not figure_of(page).locator(".attn-controls").is_visible()


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    radio(page, "Image", "3").check()
    word(page, 4).click()
    assert agree(page, figure)["word"] == 4 and agree(page, figure, 1) == before


@pytest.mark.browser
def test_nasty_words(show):
    figure = CaptionGaze(**draw([NASTY], names=NASTY[:3]), caption="<i>&lt;")
    visited = show(figure)
    texts = figure_of(visited.page).locator(".attn-gaze-word > bdi").evaluate_all("all => all.map(n => n.textContent)")
    assert texts == NASTY
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Tap."), CaptionGaze(**CASES["many"]), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(make(), html=html, body=body, dark=prefers_dark).page
    ink = word(page, 0).evaluate("node => getComputedStyle(node).color")
    assert ink == {"light": "rgb(28, 33, 40)", "dark": "rgb(231, 234, 238)"}[scheme]


@pytest.mark.browser
def test_prints_the_small_maps(show):
    page = show(make(), dark=True).page
    page.emulate_media(media="print")
    assert all(each.is_visible() for each in figure_of(page).locator(".attn-gaze-mini").all())


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(make(caption="Tap."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, .attn-gaze-word").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-controls, .attn-gaze-cell, .attn-gaze-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for view in ("hard", "soft"):
        radio(page, "Weights", view).check()
        for n in (5, 0, 3):
            word(page, n).click()
            assert figure_of(page).evaluate(boxes) == before

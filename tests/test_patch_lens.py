"""The patch lens: what it refuses, what it writes, and its rollout in a browser against NumPy."""

import json

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline, closed

from attn_edu.interactive import PatchLens


def draw(count=3, layers=3, heads=2, wide=4, size=2, seed=0):
    """Draw images, and maps whose weights are rounded as a notebook would round them."""
    rng = np.random.default_rng(seed)
    weights = np.exp(2 * rng.normal(size=(count, layers, heads, 1 + wide**2, 1 + wide**2)))
    return rng.random((count, wide * size, wide * size)).round(2), (weights / weights.sum(-1, keepdims=True)).round(3)


IMAGES, MAPS = draw()
LABELS = ["three", "four", "seven"]


def make(**options):
    return PatchLens(**{"images": IMAGES, "maps": MAPS, "labels": LABELS} | options)


def product(maps, image, layers):
    """Return the rollout, path by path: every token at every layer in between, one sum at a time."""
    rolled = np.eye(maps.shape[-1])
    for layer in range(layers):
        step = sum(maps[image, layer]) / maps.shape[2]
        rolled = np.array([[sum(0.5 * (row + (i == np.arange(len(row)))) * rolled[:, j]) for j in range(len(row))]
                           for i, row in enumerate(step)])  # fmt: skip
    return rolled


# What it refuses.

REFUSED = {
    "images flat": (ValueError, r"images: wanted shape \(N, side, side\), got \(8, 8\)", {"images": IMAGES[0]}),
    "images oblong": (ValueError, r"images: wanted .* got \(3, 8, 4\)", {"images": IMAGES[:, :, :4]}),
    "images many": (ValueError, "images: wanted 1 to 6, got 7", {"images": np.ones((7, 8, 8))}),
    "images bright": (ValueError, "images: wanted numbers from 0 to 1, got .* to 2", {"images": IMAGES * 0 + 2}),
    "images nan": (ValueError, "images: wanted finite numbers, got nan", {"images": IMAGES * np.nan}),
    "images words": (TypeError, "images: wanted an array of real numbers", {"images": [[["a"]]]}),
    "images ragged": (ValueError, "images: .* different lengths", {"images": [[[1.0], [1.0, 2.0]]]}),
    "images cut": (ValueError, "images: wanted a side that 4 patches divide, got 6", {"images": np.ones((3, 6, 6))}),
    "maps fewer": (ValueError, r"maps: wanted .* N = 3, got \(2, 3, 2, 17, 17\)", {"maps": MAPS[:2]}),
    "maps four axes": (ValueError, r"maps: wanted shape \(N, layers, h, T, T\)", {"maps": MAPS[0]}),
    "maps cut": (ValueError, "maps: wanted T = 1 \\+ g²", {"maps": MAPS[..., :16]}),
    "maps no class": (ValueError, "maps: wanted T = 1 \\+ g²", {"maps": MAPS[..., 1:, 1:]}),
    "maps deep": (ValueError, "maps: wanted 1 to 12 layers", {"maps": np.repeat(MAPS[:, :1], 13, 1)}),
    "maps scores": (ValueError, "maps: wanted rows of weights that sum to 1", {"maps": 2 * MAPS}),
    "maps negative": (ValueError, "maps: wanted rows of weights", {"maps": np.eye(17) * 2 - 1 / 17 + 0 * MAPS}),
    "labels": (ValueError, "labels: wanted 3 as in images, got 2", {"labels": LABELS[:2]}),
    "labels blank": (ValueError, "labels: wanted something to read", {"labels": ["a", " ", "b"]}),
    "labels numbers": (TypeError, "labels: wanted a sequence of str", {"labels": [3, 4, 7]}),
    "image": (ValueError, "image: wanted 0 to 2, got 3", {"image": 3}),
    "layer": (ValueError, "layer: wanted 1 to 3, got 0", {"layer": 0}),
    "head": (ValueError, "head: wanted 0 to 2, got 3", {"head": 3}),
    "head flag": (TypeError, "head: wanted an integer, got bool", {"head": True}),
    "token": (ValueError, "token: wanted 0 to 16, got 17", {"token": 17}),
    "token half": (TypeError, "token: wanted an integer, got float", {"token": 1.0}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def test_keeps_its_own_copy():
    maps = MAPS.copy()
    figure = make(maps=maps)
    maps[:] = 0
    figure.weights[:] = 9
    np.testing.assert_array_equal(figure.weights, MAPS[0, 0, 0])


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_readings(layer):
    for image in range(3):
        figure = make(image=image, layer=layer, head=2)
        np.testing.assert_array_equal(figure.weights, MAPS[image, layer - 1, 1])
        np.testing.assert_allclose(make(image=image, layer=layer, head=0).weights, MAPS[image, layer - 1].mean(0))
        np.testing.assert_allclose(figure.rollout, product(MAPS, image, layer), rtol=0, atol=1e-13)
        assert abs(figure.rollout.sum(-1) - 1).max() < 0.02


# What it writes.


def test_text_alternatives():
    maps = np.zeros((1, 2, 1, 5, 5))
    maps[..., 3] = 1
    figure = make(images=np.ones((1, 2, 2)), maps=maps, labels=["x"], layer=2, token=2, caption="Tap.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "Image “x”: in layer 2, head 1, the patch at row 1, column 2 looks most at row 2, column 1, with weight 1.00. "
        "Its rollout is largest at row 2, column 1, 0.75."
    )
    assert "the mean of all heads, the class token looks most" in make(head=0).summary()
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 6 and outline.tags.count("td") == 10
    assert '<th scope="row">row 1, column 2</th><td>0.00</td><td>0.25</td>' in figure.table()
    assert '<th scope="row">class token</th>' in figure.table()


def test_texts_are_escaped():
    closed(make(labels=NASTY[:3])._repr_html_())


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(layer=3, token=5)
    np.testing.assert_allclose(widget.rollout, make(layer=3).rollout)
    widget.set_state({"image": 2, "head": 0})  # as a message from the browser does
    np.testing.assert_allclose(widget.weights, make(image=2, layer=3, head=0).weights)
    with pytest.raises(traitlets.TraitError, match="token: wanted"):
        widget.token = 17
    images, maps = draw(2, 1, 1, 2, 3)
    widget.update(images=images, maps=maps, labels=["a", "b"], image=1, layer=1, head=1, token=4)
    np.testing.assert_array_equal(widget.weights, maps[1, 0, 0])


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-lens").nth(n)


def radio(page, group, name, n=0):
    return figure_of(page, n).get_by_role("radiogroup", name=group).get_by_role("radio", name=name, exact=True)


def agree(page, figure, n=0):
    """Compare the page with NumPy in the state that the page is in; return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    again = type(figure)(**{**figure.state, **moved})
    token = moved["token"]
    wanted = {"weights": again.weights, "rollout": product(figure.state["maps"], moved["image"], moved["layer"])}
    for name, array in wanted.items():
        np.testing.assert_allclose(json.loads(data[name]), array, rtol=0, atol=1e-12, err_msg=name)
    # What is drawn: the numbers in hundredths, the shades, the frame, the ink.
    for place, array in enumerate(wanted.values()):
        grid = figure_of(page, n).locator(".attn-grid").nth(place)
        read = grid.evaluate(
            """grid => [...grid.querySelectorAll(".attn-patch, .attn-class")].map(node => [
              Number(node.querySelector("b").textContent),
              Number(getComputedStyle(node.querySelector(".attn-shade")).getPropertyValue("--weight")),
              Number(node.classList.contains("attn-here"))])"""
        )
        shown = np.array(read, dtype=float)
        np.testing.assert_allclose(shown[:, 0], 100 * array[token], rtol=0, atol=0.5001, err_msg="numbers")
        np.testing.assert_allclose(shown[:, 1], np.sqrt(array[token]), rtol=0, atol=1e-5, err_msg="shades")
        np.testing.assert_allclose(shown[:, 2], np.arange(len(array)) == token, rtol=0, atol=0, err_msg="frame")
        ink = grid.evaluate(
            """grid => [...grid.querySelectorAll(".attn-patch")].map(node =>
              [...node.querySelectorAll("i")].map(i => Number(i.style.getPropertyValue("--ink"))))"""
        )
        image = figure.state["images"][moved["image"]]
        wide = round(len(ink) ** 0.5)
        size = len(image) // wide
        patches = image.reshape(wide, size, wide, size).transpose(0, 2, 1, 3).reshape(wide**2, size**2)
        np.testing.assert_allclose(ink, patches, rtol=0, atol=1e-12, err_msg="ink")
    return moved


CASES = {
    "digits": {"layer": 2, "token": 6},
    "one patch": dict(zip(("images", "maps"), draw(2, 2, 1, 1, 3), strict=True)) | {"labels": ["a", "b"]},
    "many": dict(zip(("images", "maps"), draw(1, 12, 12, 6, 1), strict=True)) | {"labels": ["a"], "token": 36},
    "coarse": dict(zip(("images", "maps"), draw(2, 2, 3, 3, 4), strict=True)) | {"labels": ["a", "b"], "head": 0},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_arithmetic(show, case):
    figure = make(**case)
    page = show(figure).page
    first = {name: figure.state[name] for name in ("image", "layer", "head", "token")}
    assert agree(page, figure) == first
    layers, heads = figure.state["maps"].shape[1:3]
    for layer in {1, layers}:
        radio(page, "Layer", str(layer)).check()
        assert agree(page, figure)["layer"] == layer
    for head in {1, heads}:
        radio(page, "Head", str(head)).check()
        assert agree(page, figure)["head"] == head
    radio(page, "Head", "mean").check()
    assert agree(page, figure)["head"] == 0
    radio(page, "Image", figure.state["labels"][-1]).check()
    assert agree(page, figure)["image"] == len(figure.state["labels"]) - 1
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


FAULTS = {
    "no residual": ("(a + (i === j)) / 2", "a"),
    "not halved": ("(a + (i === j)) / 2", "a + (i === j)"),
    "order turned": ("step.map((row) => before[0].map((_, j) => dot(row, before.map((r) => r[j]))))",
                     "before.map((row) => step[0].map((_, j) => dot(row, step.map((r) => r[j]))))"),
    "transposed": ("sum + A[i][j]", "sum + A[j][i]"),
    "one head only": ("sum + A[i][j], 0)", "sum + heads[0][i][j], 0)"),
    "a layer less": ("layers.slice(0, layer)", "layers.slice(0, Math.max(1, layer - 1))"),
    "all layers": ("layers.slice(0, layer)", "layers"),
    "head off by one": ("layers[layer - 1][head - 1] :", "layers[layer - 1][head % layers[0].length] :"),
    "column for row": ("[weights[token], rollout[token]]", "[weights.map((r) => r[token]), rollout[token]]"),
    "no root": ('"--weight", Math.sqrt(clamp(row[j], 0, 1))', '"--weight", clamp(row[j], 0, 1)'),
    "pixels transposed": ("Math.floor(p / size)][left + (p % size)]", "(p % size)][left + Math.floor(p / size)]"),
    "frame elsewhere": ('"attn-here", j === token', '"attn-here", j === token + 1'),
}  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(layer=3, token=6), make(layer=2, head=0, token=0)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_keyboard(show):
    figure = make(token=6)
    page = show(figure).page
    page.keyboard.press("Tab")  # image, layer, head, reset, grid
    for _ in range(4):
        page.keyboard.press("Tab")
    moves = [("ArrowRight", 7), ("ArrowDown", 11), ("ArrowLeft", 10), ("ArrowUp", 6), ("ArrowUp", 2), ("ArrowLeft", 1)]
    moves += [("ArrowLeft", 1), ("ArrowUp", 0), ("ArrowUp", 0), ("ArrowLeft", 0), ("ArrowDown", 1), ("ArrowUp", 0)]
    moves += [("ArrowRight", 1), *[("ArrowDown", n) for n in (5, 9, 13, 13)]]
    for key, token in moves:
        page.keyboard.press(key)
        assert agree(page, figure)["token"] == token, key
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused).startswith("row 4, column 1: weight ")
    assert figure_of(page).locator("[tabindex='0']").count() == 1
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert agree(page, figure)["token"] == 6


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    for panel in (0, 1):
        grid = figure_of(page).locator(".attn-grid").nth(panel)
        for token in (16, 3, 0):
            grid.locator(".attn-patch, .attn-class").nth(token).tap()
            assert agree(page, figure)["token"] == token
    figure_of(page).locator("label", has_text="mean").tap()
    assert agree(page, figure)["head"] == 0


@pytest.mark.browser
def test_what_is_read(show):
    maps = np.zeros((1, 2, 1, 5, 5))
    maps[..., 3] = 1
    page = show(make(images=np.ones((1, 2, 2)), maps=maps, labels=["x"], layer=2, token=2, caption="Tap.")).page
    figure = figure_of(page)
    assert figure.locator("[aria-live=polite]").inner_text() == (
        "Image x. The patch at row 1, column 2 looks most at row 2, column 1 (1.00) and class token (0.00). "
        "Its rollout is largest at row 2, column 1 (0.75) and row 1, column 2 (0.25)."
    )
    cell = figure.get_by_role("gridcell").nth(3)
    assert cell.get_attribute("aria-label") == "row 2, column 1: weight 1.00, rollout 0.75"
    label = figure.get_by_role("img").get_attribute("aria-label")
    assert label.startswith("Rollout of the patch at row 1, column 2: class token 0.00; row 1, column 1 0.00; ")
    assert figure.get_by_text("Tap.").is_visible()
    figure.get_by_role("gridcell").first.click()
    assert figure.locator("[aria-live=polite]").inner_text().startswith("Image x. The class token looks most at ")


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    radio(page, "Layer", "3").check()
    radio(page, "Image", "seven").check()
    assert agree(page, figure)["image"] == 2 and agree(page, figure, 1) == before


@pytest.mark.browser
def test_nasty_names(show):
    figure = make(labels=[NASTY[0], NASTY[3], NASTY[6]], caption="<i>&lt;")
    visited = show(figure)
    texts = figure_of(visited.page).locator(".attn-choice bdi").evaluate_all("all => all.map(n => n.textContent)")
    assert texts == figure.state["labels"]
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Tap."), make(layer=3, head=0, token=9), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(make(), html=html, body=body, dark=prefers_dark).page
    paper = figure_of(page).locator(".attn-patch").first.evaluate("node => getComputedStyle(node).backgroundColor")
    assert paper == "rgb(251, 250, 247)", "paper stays paper"


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(make(caption="Tap."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, button:visible, .attn-patch, .attn-class").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-controls, .attn-grid, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for token in (0, 7, 16):
        figure_of(page).get_by_role("gridcell").nth(token).click()
        for layer in "13":
            radio(page, "Layer", layer).check()
            assert figure_of(page).evaluate(boxes) == before

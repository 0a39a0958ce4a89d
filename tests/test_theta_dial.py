"""The theta dial: what it refuses, what it writes, and its arithmetic in a browser against NumPy."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline, closed

from attn_edu.heads import re_attention
from attn_edu.interactive import ThetaDial


def draw(heads=3, tokens=5, seed=0):
    """Draw the maps of two layers, and a Θ for each."""
    rng = np.random.default_rng(seed)
    weights = np.exp(2 * rng.normal(size=(2, heads, tokens, tokens)))
    return weights / weights.sum(-1, keepdims=True), rng.normal(size=(2, heads, heads))


MAPS, THETA = draw()


def make(**options):
    return ThetaDial(**{"maps": MAPS, "Theta": THETA} | options)


def reference(maps, Theta, mixing, norm):
    """Return the new maps as `re_attention` makes them, from queries and keys whose softmax the maps are."""
    heads, tokens = maps.shape[1:3]
    key = np.broadcast_to(np.eye(tokens) * tokens**0.5, (heads, tokens, tokens))
    turned = (1 - mixing) * np.eye(heads) + mixing * Theta
    layers = zip(np.log(maps), turned, strict=True)
    return np.stack([re_attention(scores, key, key, Theta=each, norm=norm)[1] for scores, each in layers])


def cosines(maps, centre):
    """Return the mean cosine of columns, one pair at a time."""
    if centre:
        maps = [[A - A.mean() for A in layer] for layer in maps]
    found = []
    for A, B in zip(*maps, strict=True):
        for a, b in zip(A.T, B.T, strict=True):
            lengths = np.linalg.norm(a) * np.linalg.norm(b)
            found.append(a @ b / lengths if lengths > 1e-12 else 0)
    return np.mean(found)


# What it refuses.

REFUSED = {
    "maps three axes": (ValueError, r"maps: wanted shape \(2, h, T, T\), got \(3, 5, 5\)", {"maps": MAPS[0]}),
    "maps one layer": (ValueError, r"maps: wanted shape \(2, h, T, T\), got \(1, 3, 5, 5\)", {"maps": MAPS[:1]}),
    "maps oblong": (ValueError, r"maps: wanted shape \(2, h, T, T\), got \(2, 3, 4, 5\)", {"maps": MAPS[:, :, :4]}),
    "maps many heads": (ValueError, "maps: wanted at most 4 heads and 20 tokens, got 5 and 2", {"maps": draw(5, 2)[0]}),
    "maps large": (ValueError, "maps: wanted at most 4 heads and 20 tokens, got 1 and 21", {"maps": draw(1, 21)[0]}),
    "maps scores": (ValueError, "maps: wanted rows of weights that sum to 1", {"maps": 2 * MAPS}),
    "maps negative": (ValueError, "maps: wanted rows of weights", {"maps": 0 * MAPS + 2 * np.eye(5) - 0.2}),
    "maps words": (TypeError, "maps: wanted an array of real numbers", {"maps": [[[["a"]]]]}),
    "maps nan": (ValueError, "maps: wanted finite numbers, got nan", {"maps": MAPS * np.nan}),
    "Theta one": (ValueError, r"Theta: wanted shape \(2, h, h\), got \(3, 3\)", {"Theta": THETA[0]}),
    "Theta heads": (ValueError, r"Theta: wanted .* h = 3 as in maps, got \(2, 2, 2\)", {"Theta": THETA[:, :2, :2]}),
    "Theta infinite": (ValueError, "Theta: wanted finite numbers, got -?inf", {"Theta": THETA * np.inf}),
    "mixing": (ValueError, "mixing: wanted 0 to 1, got 1.5", {"mixing": 1.5}),
    "mixing nan": (ValueError, "mixing: wanted 0 to 1, got nan", {"mixing": np.nan}),
    "mixing flag": (TypeError, "mixing: wanted a number, got bool", {"mixing": True}),
    "norm": (ValueError, "norm: wanted one of 'none', 'layer', 'batch', got 'batchnorm'", {"norm": "batchnorm"}),
    "layers": (ValueError, "layers: wanted 2 names as in maps, got 1", {"layers": ["a"]}),
    "layers blank": (ValueError, "layers: wanted something to read", {"layers": ["a", " "]}),
    "layers numbers": (TypeError, "layers: wanted a sequence of str", {"layers": [11, 12]}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def test_keeps_its_own_copy():
    maps = MAPS.copy()
    figure = make(maps=maps)
    maps[:] = 0
    np.testing.assert_array_equal(figure.new_maps, MAPS)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("mixing", [0.0, 0.3, 1.0])
def test_readings_are_the_reference(mixing, norm):
    figure = make(mixing=mixing, norm=norm)
    wanted = reference(MAPS, THETA, mixing, norm)
    np.testing.assert_allclose(figure.new_maps, wanted, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(figure.row_sums, wanted.sum(-1), atol=1e-9)
    np.testing.assert_allclose(figure.similarity, cosines(wanted, False), atol=1e-9)
    np.testing.assert_allclose(figure.centred, cosines(wanted, True), atol=1e-9)


def test_maps_without_a_direction():
    """Uniform maps are nothing once centred, and one head's maps are nothing after a layer norm."""
    flat = make(maps=np.full((2, 1, 3, 3), 1 / 3), Theta=np.ones((2, 1, 1)))
    assert (flat.similarity, flat.centred) == (pytest.approx(1), 0)
    for norm in ("layer", "batch"):
        normed = make(maps=np.full((2, 1, 3, 3), 1 / 3), Theta=np.ones((2, 1, 1)), norm=norm)
        assert (normed.similarity, normed.centred) == (0, 0)


# What it writes.


def test_text_alternatives():
    figure = make(norm="batch", mixing=0.5, layers=["layer 11", "layer 12"], caption="Turn.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert re.fullmatch(
        r"Attention maps of layer 11 and layer 12, 3 heads each, Θ 50% of the way, then a batch norm\. "
        r"Similarity −?0\.\d\d, centred −?0\.\d\d\. Rows sum to 0\.00; \d\d% of the entries are negative\.",
        figure.summary(),
    )
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 7 and outline.tags.count("td") == 18
    plain = make()
    assert "without a norm" in plain.summary() and "Rows sum to 1.00; 0% of" in plain.summary()
    assert '<th scope="row" dir="auto">layer 2, head 3</th><td>' in plain.table()
    assert plain.table().count("<td>1.00</td><td>0%</td></tr>") == 6


def test_texts_are_escaped():
    closed(make(layers=NASTY[:2])._repr_html_())


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.mixing = 0.5
    widget.set_state({"norm": "layer"})  # as a message from the browser does
    np.testing.assert_allclose(widget.new_maps, make(mixing=0.5, norm="layer").new_maps)
    with pytest.raises(traitlets.TraitError, match="norm: wanted"):
        widget.norm = "l2"
    maps, Theta = draw(3, 2, seed=1)
    widget.update(maps=maps, Theta=Theta, mixing=1, norm="none", layers=["a", "b"])
    np.testing.assert_allclose(widget.similarity, cosines(reference(maps, Theta, 1, "none"), False))


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-theta").nth(n)


def radio(page, name, n=0):
    return figure_of(page, n).get_by_role("radio", name=name, exact=True)


def slider(page, n=0):
    return figure_of(page, n).get_by_role("slider")


def agree(page, figure, n=0):
    """Compare the page with `re_attention` in the state that the page is in; return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    maps, Theta = figure.state["maps"], figure.state["Theta"]
    wanted = reference(maps, Theta, **moved)
    np.testing.assert_allclose(json.loads(data["maps"]), wanted, rtol=1e-8, atol=1e-9, err_msg="maps")
    np.testing.assert_allclose(json.loads(data["sums"]), wanted.sum(-1), rtol=1e-8, atol=1e-8, err_msg="sums")
    for name, centre in (("similarity", False), ("centred", True)):
        np.testing.assert_allclose(float(data[name]), cosines(wanted, centre), rtol=0, atol=1e-8, err_msg=name)
    # What is drawn: the shades and signs of the cells, Θ's numbers, the marks on the two lines.
    cells = figure_of(page, n).evaluate(
        """figure => [...figure.querySelectorAll(".attn-theta-map i")].map(cell =>
          Number(cell.style.getPropertyValue("--part")) * (cell.classList.contains("attn-theta-minus") ? -1 : 1))"""
    )
    shades = wanted.ravel() / max(1e-9, np.abs(wanted).max())
    np.testing.assert_allclose(cells, shades, rtol=0, atol=1e-6, err_msg="shades")
    texts = figure_of(page, n).locator(".attn-theta-matrix span").all_inner_texts()
    turned = (1 - moved["mixing"]) * np.eye(Theta.shape[-1]) + moved["mixing"] * Theta
    read = [float(text.replace("−", "-")) for text in texts]
    np.testing.assert_allclose(read, turned.ravel(), rtol=0, atol=0.0051, err_msg="Theta")
    marks = (
        figure_of(page, n).locator(".attn-theta-axis b").evaluate_all("all => all.map(b => parseFloat(b.style.left))")
    )
    both = [50 + 50 * cosines(wanted, centre) for centre in (False, True)]
    np.testing.assert_allclose(marks, both, rtol=0, atol=1e-3, err_msg="marks")
    assert int(slider(page, n).input_value()) == round(100 * moved["mixing"])
    assert radio(page, moved["norm"], n).is_checked()
    return moved


CASES = {
    "three heads": {"mixing": 0.4, "norm": "batch"},
    "one head": dict(zip(("maps", "Theta"), draw(1, 4), strict=True)) | {"norm": "batch"},
    "many": dict(zip(("maps", "Theta"), draw(4, 17, seed=2), strict=True)),
    "two tokens": dict(zip(("maps", "Theta"), draw(2, 2, seed=3), strict=True)) | {"mixing": 1.0, "norm": "layer"},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_arithmetic(show, case):
    figure = make(**case)
    page = show(figure).page
    first = {name: figure.state[name] for name in ("mixing", "norm")}
    assert agree(page, figure) == first
    for norm in ("layer", "batch", "none"):
        if norm != "layer" or figure.state["maps"].shape[1] > 1:  # one head's layer norm is rounding alone
            radio(page, norm).check()
            assert agree(page, figure)["norm"] == norm
    for key, mixing in (("Home", 0), ("ArrowRight", 0.01), ("End", 1), ("ArrowLeft", 0.99)):
        slider(page).focus()
        page.keyboard.press(key)
        assert agree(page, figure)["mixing"] == mixing
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


FAULTS = {
    "transposed": ("(n === g) + t * Theta[n][g]", "(n === g) + t * Theta[g][n]"),
    "no identity": ("(1 - t) * (n === g) + t", "t"),
    "identity stays": ("const part = (n, g) => (1 - t) *", "const part = (n, g) => 1 *"),
    "keys turned": ("part(n, g) * map[i][j]", "part(n, g) * map[j][i]"),
    "no root": ("deviation = Math.sqrt(average(", "deviation = ((x) => x)(average("),
    "eps": ("** 2)) + 1e-5", "** 2)) + 1e-2"),
    "not centred": ("(x) => (x - mean) / deviation", "(x) => x / deviation"),
    "norm of rows": ("row.map(standard(map.flat()))", "row.map(standard(row))"),
    "norms swapped": ('norm === "batch"', 'norm === "layer"'),
    "rows for columns": ("map.map((row) => row[j]);", "map[j];"),
    "not divided": ("dot(a, b) / (p * q)", "dot(a, b)"),
    "first layer twice": ("column(two[g], j)", "column(one[g], j)"),
    "centred is not": ("row.map((x) => x - mean)", "row.map((x) => x)"),
    "sums of columns": ("map.map((row) => sumOf(row))",
                        "map.map((_, j) => map.reduce((a, row) => a + row[j], 0))"),
    "one Theta": ("reattend(A, Theta[l], mixing, norm)", "reattend(A, Theta[0], mixing, norm)"),
    "shades": ('"--part", Math.abs(x) / most', '"--part", Math.abs(x)'),
    "signs": ('x < 0 ? "attn-theta-minus" : ""', '""'),
    "marks": ("${50 + 50 * value}%", "${100 * value}%"),
}  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(mixing=0.4), make(mixing=0.7, norm="batch"), make(mixing=0.7, norm="layer")]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == 3
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_what_is_read(show):
    stripes = np.zeros((2, 1, 2, 2))
    stripes[0, ..., 0] = stripes[1, ..., 1] = 1
    figure = make(maps=stripes, Theta=[[[1]], [[-1]]], layers=["11", "12"], caption="Turn.")
    page = show(figure).page
    slider(page).fill("100")
    sentence = figure_of(page).locator("[aria-live=polite]")
    assert sentence.inner_text() == (
        "Θ 100% of the way, no norm. Similarity of 11 and 12: 0.00, centred 1.00. "
        "Rows sum to −1.00 to 1.00; 25% of the entries are negative."
    )
    labels = figure_of(page).get_by_role("img").evaluate_all("all => all.map(n => n.getAttribute('aria-label'))")
    assert labels == [
        "11, head 1: entries 0.00 to 1.00, rows sum to 1.00",
        "Θ of 11: 1.00",
        "12, head 1: entries −1.00 to 0.00, rows sum to −1.00",
        "Θ of 12: −1.00",
    ]
    assert slider(page).get_attribute("aria-valuetext") == "100% of the way from the identity"
    radio(page, "batch").check()
    assert "batch norm. " in sentence.inner_text() and "Rows sum to 0.00; 50%" in sentence.inner_text()
    assert figure_of(page).get_by_text("Turn.").is_visible()


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    figure_of(page).locator("label", has_text="layer").tap()
    assert agree(page, figure)["norm"] == "layer"
    area = slider(page).bounding_box()
    page.touchscreen.tap(area["x"] + area["width"] - 8, area["y"] + area["height"] / 2)
    assert agree(page, figure)["mixing"] == 1


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    radio(page, "batch").check()
    slider(page).fill("60")
    assert agree(page, figure) == {"mixing": 0.6, "norm": "batch"} and agree(page, figure, 1) == before


@pytest.mark.browser
def test_nasty_names(show):
    figure = make(layers=[NASTY[0], NASTY[3]], caption="<i>&lt;")
    visited = show(figure)
    texts = figure_of(visited.page).locator(".attn-theta-title bdi").evaluate_all("all => all.map(n => n.textContent)")
    assert texts == figure.state["layers"]
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Turn."), make(norm="layer", mixing=0.6), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(make(), html=html, body=body, dark=prefers_dark).page
    fill = figure_of(page).locator(".attn-theta-axis b").first.evaluate("b => getComputedStyle(b).backgroundColor")
    assert fill == {"light": "rgb(8, 48, 107)", "dark": "rgb(105, 176, 255)"}[scheme]


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    maps, Theta = draw(4, 17, seed=2)
    visited = show(make(maps=maps, Theta=10 * Theta, caption="Turn."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, button:visible, input[type=range]").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-controls, .attn-theta-map, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for norm in ("none", "layer", "batch"):
        radio(page, norm).check()
        for place in (0, 37, 100):
            slider(page).fill(str(place))
            assert figure_of(page).evaluate(boxes) == before
            spill = (
                figure_of(page)
                .locator(".attn-theta-sums, .attn-theta-matrix span")
                .evaluate_all("all => Math.max(...all.map(n => n.scrollWidth - n.clientWidth))")
            )
            assert spill <= 0


@pytest.mark.browser
def test_motion(show):
    page = show(make(), dark=True).page
    mark = figure_of(page).locator(".attn-theta-axis b").first
    assert mark.evaluate("b => getComputedStyle(b).transitionDuration") == "0s"
    page.emulate_media(reduced_motion="no-preference")
    assert mark.evaluate("b => getComputedStyle(b).transitionDuration") == "0.12s"

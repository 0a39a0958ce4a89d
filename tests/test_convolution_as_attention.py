"""A convolution as attention: what the figure refuses, what it writes, and its numbers against NumPy and PyTorch."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import traitlets
from browser import PHONE, WIDE
from figures import SCHEMES, Outline

from attn_edu.core import multi_head
from attn_edu.interactive import ConvolutionAsAttention

IMAGE = [
    [1, 1, 1, 5, 5, 5],
    [1, 1, 2, 6, 5, 5],
    [1, 1, 2, 7, 6, 5],
    [0, 1, 1, 7, 6, 6],
    [0, 0, 1, 6, 6, 6],
    [0, 0, 1, 5, 6, 6],
]
KERNEL = [[-1, 0, 2], [-2, 0.5, 2], [-1, 0, 1]]
OFFSETS = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]


def make(**changed):
    return ConvolutionAsAttention(**{"image": IMAGE, "kernel": KERNEL} | changed)


def drawn(H, W, seed, **options):
    rng = np.random.default_rng(seed)
    return ConvolutionAsAttention(9 * rng.normal(size=(H, W)), rng.normal(size=(3, 3)), **options)


# What it refuses.

REFUSED = {
    "image vector": (ValueError, r"image: wanted shape \(H, W\), got \(6,\)", {"image": IMAGE[0]}),
    "image words": (TypeError, "image: wanted an array of real numbers", {"image": [["a", "b"]] * 2}),
    "image thin": (
        ValueError,
        r"image: wanted 2 to 8 rows and columns, got shape \(6, 1\)",
        {"image": np.ones((6, 1))},
    ),
    "image large": (
        ValueError,
        r"image: wanted 2 to 8 rows and columns, got shape \(9, 2\)",
        {"image": np.ones((9, 2))},
    ),
    "image bright": (
        ValueError,
        "image: wanted numbers from -99 to 99, got one of size 100",
        {"image": np.eye(2) * -100},
    ),
    "image nan": (ValueError, "image: wanted finite numbers", {"image": np.full((2, 2), np.nan)}),
    "kernel shape": (ValueError, r"kernel: wanted shape \(3, 3\), got \(5, 5\)", {"kernel": np.ones((5, 5))}),
    "kernel missing": (TypeError, "kernel: wanted an array of real numbers", {"kernel": None}),
    "kernel large": (
        ValueError,
        "kernel: wanted numbers from -99 to 99, got one of size 99.5",
        {"kernel": np.full((3, 3), 99.5)},
    ),
    "row": (ValueError, "row: wanted 0 to 5, got 6", {"row": 6}),
    "column": (ValueError, "column: wanted 0 to 5, got -1", {"column": -1}),
    "column half": (TypeError, "column: wanted an integer, got float", {"column": 1.0}),
    "head": (ValueError, "head: wanted 0 to 9, got 10", {"head": 10}),
    "head flag": (TypeError, "head: wanted an integer, got bool", {"head": True}),
    "mask": (TypeError, "mask: wanted True or False, got 1", {"mask": 1}),
    "alpha zero": (ValueError, "alpha: wanted a finite number above 0", {"alpha": 0}),
    "alpha large": (ValueError, "alpha: wanted at most 1000, got 1001", {"alpha": 1001}),
    "alpha text": (TypeError, "alpha: wanted a number, got str", {"alpha": "high"}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


def test_keeps_its_own_copy():
    image = np.array(IMAGE, dtype=float)
    figure = make(image=image)
    image[:] = 0
    np.testing.assert_array_equal(figure.state["image"], IMAGE)
    with pytest.raises(ValueError, match="read-only"):
        figure.state["image"][0, 0] = 0


def conv2d(figure, mode):
    image, kernel = (torch.tensor(figure.state[name])[None, None] for name in ("image", "kernel"))
    return F.conv2d(F.pad(image, (1, 1, 1, 1), mode=mode), kernel)[0, 0].numpy()


@pytest.mark.parametrize("size", [(2, 2), (2, 7), (5, 3), (8, 8)])
def test_readings_are_pytorchs_convolutions(size):
    figure = drawn(*size, seed=1)
    np.testing.assert_allclose(figure.zero_padded, conv2d(figure, "constant"), rtol=0, atol=1e-12)
    np.testing.assert_allclose(figure.replicate_padded, conv2d(figure, "replicate"), rtol=0, atol=1e-12)
    np.testing.assert_allclose(figure.output, figure.zero_padded, rtol=0, atol=1e-12)
    sharp = drawn(*size, seed=1, mask=False, alpha=100.0)
    np.testing.assert_allclose(sharp.output, figure.replicate_padded, rtol=0, atol=1e-12)


def test_the_mask_is_multi_heads():
    """Width 1, and one mask a head; a row of an offset outside is empty."""
    figure = drawn(4, 5, seed=2)
    index = np.arange(20).reshape(4, 5)
    mask = np.zeros((9, 20, 20), dtype=bool)
    for n, (a, b) in enumerate(OFFSETS):
        for r in range(4):
            for c in range(5):
                if 0 <= r + a < 4 and 0 <= c + b < 5:
                    mask[n, index[r, c], index[r + a, c + b]] = True
    ones, pixels = np.ones((1, 9)), figure.state["image"].reshape(20, 1)
    W_O = figure.state["kernel"].reshape(9, 1)
    output, weights = multi_head(pixels, pixels, pixels, W_Q=ones, W_K=ones, W_V=ones, W_O=W_O, heads=9, attn_mask=mask)
    np.testing.assert_array_equal(figure.weights, weights)
    np.testing.assert_allclose(figure.output.ravel(), output[:, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0625, 1.0, 16.0])
def test_the_softmax_is_the_quadratic_encoding(alpha):
    """As products of a vector and an encoding of the offset, as in the paper; constants fall out of the softmax."""
    figure = drawn(3, 4, seed=3, mask=False, alpha=alpha)
    places = np.array([(r, c) for r in range(3) for c in range(4)])
    step = places[None] - places[:, None]
    encoding = np.concatenate([(step**2).sum(-1, keepdims=True), step], axis=-1)
    for n, (a, b) in enumerate(OFFSETS):
        scores = encoding @ (-alpha * np.array([1, -2 * a, -2 * b]))
        np.testing.assert_allclose(figure.weights[n], torch.tensor(scores).softmax(-1), rtol=0, atol=1e-12)


# What it writes.


def test_text_alternatives():
    figure = make(row=0, column=0, caption="Nine.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "Nine heads look at the neighbours of a pixel, one-hot by a mask. At row 1, column 1: convolution, "
        "zeros around the image: 3.50; convolution, border repeated: 1.50; attention, nine heads: 3.50."
    )
    assert "a softmax with α = 0.5." in make(mask=False, alpha=0.5).summary()
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 13
    assert '<th scope="row">head 1, above left</th><td>−1.00</td><td>0.00</td><td>0.00</td>' in figure.table()
    assert '<th scope="row">head 6, right</th><td>2.00</td><td>1.00</td><td>2.00</td>' in figure.table()


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.set_state({"row": 3, "mask": False, "alpha": 4})  # as a message from the browser does
    np.testing.assert_array_equal(widget.output, make(mask=False, alpha=4.0).output)
    for bad in ({"row": 6}, {"head": 10}, {"alpha": 0}, {"mask": "no"}, {"kernel": np.eye(2)}):
        with pytest.raises(traitlets.TraitError, match=r"\w: wanted"):
            widget.update(**bad)
    assert widget.row == 3 and widget.alpha == 4


# In a browser.

READ = """(figure) => ({...figure.dataset,
  frames: [...figure.querySelectorAll(".attn-pixel")].map((cell) =>
    (cell.matches(".attn-minus") ? -1 : 1) * cell.style.getPropertyValue("--size") ** 2),
  maps: [...figure.querySelectorAll(".attn-map")].map((map) =>
    [...map.children].map((mark) => mark.style.getPropertyValue("--size") ** 2)),
  here: [...figure.querySelectorAll("[aria-selected=true]")].map((cell) =>
    [...figure.querySelectorAll(".attn-pixel")].indexOf(cell)),
  ghosts: [...figure.querySelectorAll(".attn-ghost")].map((ghost) => ghost.hidden ? null :
    [ghost.style.gridRowStart - 2, ghost.style.gridColumnStart - 2]),
  empty: [...figure.querySelectorAll(".attn-tile:not(.attn-every)")].map((tile) => tile.matches(".attn-empty"))})"""


def figure_of(page, n=0):
    return page.locator(".attn-conv").nth(n)


def text(x):
    size = abs(x)
    return f"{round(x, 2) + 0.0:.{2 if size < 9.995 else 1}f}".replace("-", "−")


def agree(page, figure, n=0):
    """Compare numbers, colours and places on the page with NumPy's, in the state that the page is in."""
    view = figure_of(page, n)
    shown = view.evaluate(READ)
    state = json.loads(shown["state"])
    again = ConvolutionAsAttention(**figure.state | state | {"alpha": float(state["alpha"])})
    image, kernel = again.state["image"], again.state["kernel"].ravel()
    (H, W), at = image.shape, (state["row"], state["column"])
    i = state["row"] * W + state["column"]
    heads = again.weights[:, i]
    seen = heads @ image.ravel()
    wanted = {
        "heads": heads,
        "seen": seen,
        "products": kernel * seen,
        "effect": kernel @ heads,
        "output": again.output[at],
        "zero": again.zero_padded[at],
        "replicate": again.replicate_padded[at],
    }
    for name, numbers in wanted.items():
        np.testing.assert_allclose(json.loads(shown[name]), numbers, rtol=0, atol=1e-11, err_msg=name)
    frames = heads[state["head"] - 1] if state["head"] else kernel @ heads / (np.abs(kernel).max() or 1)
    np.testing.assert_allclose(shown["frames"], frames.clip(-1, 1), rtol=0, atol=1e-5, err_msg="frames")
    np.testing.assert_allclose(shown["maps"], heads, rtol=0, atol=1e-5, err_msg="maps")
    assert shown["here"] == [i]
    targets = [[at[0] + a, at[1] + b] for a, b in OFFSETS]
    outside = [not (0 <= r < H and 0 <= c < W) for r, c in targets]
    chosen = [state["head"] in (0, n) for n in range(1, 10)]
    ghosts = [place if out and on else None for place, out, on in zip(targets, outside, chosen, strict=True)]
    assert shown["ghosts"] == ghosts
    assert shown["empty"] == [state["mask"] and out for out in outside]
    results = [wanted[name] for name in ("output", "zero", "replicate")]
    assert view.locator(".attn-result b").all_inner_texts() == [text(y) for y in results]
    same = view.locator(".attn-result").evaluate_all("all => all.map(one => one.matches('.attn-same'))")
    assert same == [abs(y - results[0]) < 0.005 for y in results]
    assert view.get_by_role("radiogroup").nth(1).get_by_role("radio").nth(state["head"]).is_checked()
    return state


CASES = {
    "inside": make(row=2, column=3),
    "corner": make(),
    "head outside": make(row=5, column=5, head=9),
    "softmax": make(row=1, column=5, mask=False, alpha=0.7),
    "one head of a softmax": make(row=0, column=3, mask=False, alpha=16.0, head=2),
    "smallest": drawn(2, 2, 4, row=1, mask=False, alpha=0.0625),
    "oblong": drawn(8, 3, 5, row=7, column=1),
    "wide": drawn(3, 8, 6, row=2, column=7, mask=False, alpha=1000.0),
    "zeros": make(image=np.zeros((3, 3)), kernel=np.zeros((3, 3))),
    "pile": make(kernel=np.ones((3, 3)), mask=False, alpha=9.0),
}


@pytest.mark.browser
def test_arithmetic(show):
    page = show(*CASES.values()).page
    for n, figure in enumerate(CASES.values()):
        state = agree(page, figure, n)
        assert state == {name: figure.state[name] for name in ("row", "column", "head", "mask", "alpha")}


@pytest.mark.browser
def test_every_pixel_and_head(show):
    figure = drawn(3, 4, 7, mask=False, alpha=2.0)
    page = show(figure).page
    view = figure_of(page)
    for i in range(12):
        view.get_by_role("gridcell").nth(i).click()
        view.get_by_role("radiogroup").nth(1).get_by_role("radio").nth(i % 10).check()
        for name in ("one-hot (mask)", "softmax"):
            view.get_by_role("radio", name=name).check()
            state = agree(page, figure)
            assert 4 * state["row"] + state["column"] == i and state["head"] == i % 10


FAULTS = {
    "kernel flipped": ("(x, n) => parts[n] * x", "(x, n) => parts[8 - n] * x"),
    "offsets turned": ("- row - a) ** 2", "- row + a) ** 2"),
    "rows and columns swapped": ("[-1, 0, 1].map((b) => [a, b])", "[-1, 0, 1].map((b) => [b, a])"),
    "width for height": ("Math.floor(j / width) - row", "Math.floor(j / (last + 1)) - row"),
    "distance not squared": ("-alpha * square", "-alpha * Math.sqrt(square)"),
    "temperature for alpha": ("-alpha * square", "-square / alpha"),
    "mask ignored": ("return mask ?", "return !mask ?"),
    "wraps around": ("Number(square === 0)", "Number(square % 3 === 0)"),
    "zeros for the border": ("padded((r, c) => image[clamp(r, 0, last)][clamp(c, 0, width - 1)])", "padded(() => 0)"),
    "border for zeros": ("padded(() => 0)", "padded((r, c) => image[clamp(r, 0, last)][clamp(c, 0, width - 1)])"),
    "reflected": ("[clamp(r, 0, last)]", "[clamp(Math.abs(r), 0, last)]"),
    "effect without kernel": (
        "dot(parts, heads.map((weights) => weights[j]))",
        "sumOf(heads.map((weights) => weights[j]))",
    ),
    "sign of a frame lost": ('node.classList.toggle("attn-minus", weight < 0)', "void 0"),
    "linear colours": ("Math.sqrt(Math.min(1, Math.abs(weight) / most))", "Math.min(1, Math.abs(weight) / most)"),
    "rounded": (
        "JSON.stringify(all[name])",
        "JSON.stringify(all[name], (_, x) => (x.toFixed ? Number(x.toFixed(6)) : x))",
    ),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    """The numbers are odd enough for each fault to show, at one of two borders."""
    figures = [drawn(3, 4, 8, row=0, column=3), drawn(4, 3, 9, row=3, column=1, mask=False, alpha=0.5)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_what_is_read(show):
    figure = make(row=2, column=2, caption="Nine.")
    page = show(figure).page
    view = figure_of(page)
    tile = view.locator(".attn-tile").nth(3)
    assert tile.inner_text().split() == ["head", "3", "2", "·", "6", "=", "12"]
    sentence = view.locator("[aria-live=polite]")
    assert sentence.inner_text() == "Every head finds its pixel: all three numbers agree."
    assert view.locator(".attn-result small").all_inner_texts() == ["", "the same", "the same"]
    view.get_by_role("gridcell", name="row 1, column 1: 1, weight 0.00").click()
    assert sentence.inner_text() == (
        "5 of the nine look outside. Their rows of weights are empty and give 0, as zeros outside would."
    )
    assert view.locator(".attn-result small").all_inner_texts() == ["", "the same", "off by 2.00"]
    assert view.locator(".attn-ghost:visible").all_inner_texts() == ["0"] * 5
    view.get_by_role("radio", name="head 3, looks above right").check()
    assert sentence.inner_text() == (
        "Head 3 looks above right, outside the image: its row of weights is empty, and it gives 0."
    )
    assert (
        view.locator(".attn-legend").inner_text() == "Frames: weights of head 3. Purple: the chosen pixel, the query."
    )
    view.get_by_role("radio", name="softmax").check()
    assert sentence.inner_text() == (
        "Head 3 looks above right, outside the image. Its largest weight is 0.54, at row 1, column 2."
    )
    view.get_by_role("radio", name="all nine").check()
    assert sentence.inner_text() == "The heads blur: the largest weight of each is between 0.32 and 0.91."
    view.get_by_role("slider").press("End")
    assert sentence.inner_text().startswith("Each head has all but a hundredth on one pixel. The 5 that look outside")
    assert view.locator(".attn-result small").all_inner_texts() == ["", "off by 2.00", "the same"]
    assert view.locator(".attn-ghost:visible").all_inner_texts() == [""] * 5
    assert view.get_by_role("slider").get_attribute("aria-valuetext") == "16"
    assert view.get_by_text("Nine.").is_visible()


@pytest.mark.browser
def test_keyboard(show):
    figure = make()
    page = show(figure).page
    for key, name, wanted in (
        ("Tab", "mask", True),
        ("ArrowRight", "mask", False),
        ("Tab", "alpha", 1),
        ("ArrowRight", "alpha", 2**0.5),
        ("Home", "alpha", 0.0625),
        ("Tab", "row", 0),
        ("Tab", "row", 0),
        ("ArrowUp", "row", 0),
        ("ArrowDown", "row", 1),
        ("ArrowRight", "column", 1),
        ("ArrowDown", "row", 2),
        ("ArrowLeft", "column", 0),
        ("ArrowLeft", "column", 0),
        ("Tab", "head", 0),
        ("ArrowRight", "head", 1),
        ("ArrowDown", "head", 2),
        ("ArrowLeft", "head", 1),
    ):
        page.keyboard.press(key)
        assert agree(page, figure)[name] == wanted, (key, name)
    assert agree(page, figure)["row"] == 2


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    figure_of(page).get_by_role("gridcell").nth(17).tap()
    assert [agree(page, figure)[name] for name in ("row", "column")] == [2, 5]
    figure_of(page).get_by_role("radio", name="head 6").tap()
    assert agree(page, figure)["head"] == 6
    figure_of(page).get_by_role("radio", name="softmax").tap()
    area = figure_of(page).get_by_role("slider").bounding_box()
    page.touchscreen.tap(area["x"] + area["width"] - 8, area["y"] + area["height"] / 2)
    assert agree(page, figure)["alpha"] == 16


@pytest.mark.browser
def test_reset_and_copies(show):
    figure = make(row=1, column=2)
    page = show(figure, figure).page
    view = figure_of(page)
    view.get_by_role("gridcell").nth(35).click()
    view.get_by_role("radio", name="softmax").check()
    view.get_by_role("radio", name="head 9").check()
    view.get_by_role("slider").fill("3")
    assert agree(page, figure) == {"row": 5, "column": 5, "head": 9, "mask": False, "alpha": 2**1.5}
    first = {"row": 1, "column": 2, "head": 0, "mask": True, "alpha": 1}
    assert agree(page, figure, 1) == first
    view.get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    visited = show(make(caption="Nine."), drawn(8, 8, 10, mask=False, head=5), drawn(4, 4, 11), dark=dark)
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(make(), html=html, body=body, dark=prefers_dark).page
    line = figure_of(page).locator("[aria-selected=true]").evaluate("node => getComputedStyle(node).outlineColor")
    assert line == {"light": "rgb(124, 58, 237)", "dark": "rgb(196, 167, 255)"}[scheme]


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 700, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    figures = [make(caption="Nine."), drawn(8, 8, 12)]
    visited = show(*figures, size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-live :is(label, button, [role=gridcell])").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll("[role=gridcell], label, .attn-map, .attn-result, p")]
      .filter(node => !node.hidden).map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    spill = """figure => Math.max(...[...figure.querySelectorAll(".attn-pixel span, .attn-tile, .attn-result")]
      .map(node => node.scrollWidth - node.clientWidth))"""
    for n in range(2):
        view = figure_of(page, n)
        before = view.evaluate(boxes)
        for mode in ("one-hot (mask)", "softmax"):
            view.get_by_role("radio", name=mode).check()
            for alpha, cell, head in ((-8, 0, 1), (0, 5, 0), (8, 20, 3), (8, -1, 0), (2, -1, 9)):
                if mode == "softmax":
                    view.get_by_role("slider").fill(str(alpha))
                view.get_by_role("gridcell").nth(cell).click()
                view.get_by_role("radiogroup").nth(1).get_by_role("radio").nth(head).check()
                assert view.evaluate(boxes) == before, (n, mode, alpha, cell, head)
                assert view.evaluate(spill) <= 0, (n, mode, alpha, cell, head)

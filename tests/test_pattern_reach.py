"""Pattern reach: what the figure refuses, what it writes, and its masks and steps in a browser, walked one by one."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import SCHEMES, Outline, slide

from attn_edu.interactive import PatternReach

SMALL = {"length": 13, "window": 3, "dilation": 2, "stride": 4, "summary": 2, "places": 2, "layers": 2, "query": 10}


def make(**options):
    return PatternReach(**SMALL | options)


def keys(state, n):
    """The keys of every query in layer n (from 0), listed place by place: no arrays, no help from the package."""
    length, kind, l = state["length"], state["pattern"], state["stride"]
    listed = []
    for i in range(length):
        behind = range(i + 1)
        if kind in ("window", "dilated"):
            step = state["dilation"] if kind == "dilated" else 1
            places = [i + step * m for m in range(-state["window"], (0 if state["causal"] else state["window"]) + 1)]
        elif kind == "global":
            places = list(range(i - state["window"], i + state["window"] + 1)) + list(range(state["places"]))
            places = list(range(length)) if i < state["places"] else places
        else:
            if kind == "strided":
                near, far = [j for j in behind if i - j <= l], list(range(i, -1, -l))
            else:
                near = [j for j in behind if j // l == i // l]
                far = [j for j in behind if j % l in range(l - state["summary"], l)]
            places = near + far if not state["in_turn"] else far if n % 2 else near
        listed.append({j for j in places if 0 <= j < length})
    return listed


def by_hand(state):
    """Walk from every output down through the layers: masks, steps, and layers needed."""
    length = state["length"]
    two = state["pattern"] in ("strided", "fixed") and state["in_turn"]
    layers = [keys(state, n) for n in range(1 + two)]
    masks = [[[int(j in row) for j in range(length)] for row in layer] for layer in layers]

    def reached(n):
        found = []
        for i in range(length):
            at = {i}
            for k in reversed(range(n)):
                at = at | {j for place in at for j in layers[k % len(layers)][place]}
            found.append(at)
        return found

    steps = [[None] * length for _ in range(length)]
    for n in reversed(range(state["layers"] + 1)):
        for i, places in enumerate(reached(n)):
            for j in places:
                steps[i][j] = n
    ahead = any(j > i for layer in layers for i, row in enumerate(layer) for j in row)
    wanted = [set(range(length if ahead else i + 1)) for i in range(length)]
    needed = next(
        (n for n in range(2 * length + 2) if all(a >= b for a, b in zip(reached(n), wanted, strict=True))), None
    )
    full = length * length if ahead else sum(len(row) for row in wanted)
    return {
        "masks": masks,
        "steps": steps,
        "needed": needed,
        "pairs": [sum(map(sum, mask)) for mask in masks],
        "full": full,
    }


# What it refuses.

REFUSED = {
    "length": (ValueError, "length: wanted 2 to 48, got 49", {"length": 49}),
    "length half": (TypeError, "length: wanted an integer, got float", {"length": 8.0}),
    "pattern": (ValueError, "pattern: wanted one of 'window', .*, got 'random'", {"pattern": "random"}),
    "window": (ValueError, "window: wanted 1 to 48, got 0", {"window": 0}),
    "dilation": (ValueError, "dilation: wanted 1 to 48, got 49", {"dilation": 49}),
    "stride": (TypeError, "stride: wanted an integer, got str", {"stride": "4"}),
    "summary": (ValueError, "summary: wanted 1 to 4, got 5", {"summary": 5}),
    "places": (ValueError, "places: wanted 1 to 13, got 14", {"places": 14}),
    "causal": (TypeError, "causal: wanted True or False, got 1", {"causal": 1}),
    "in_turn": (TypeError, "in_turn: wanted True or False, got None", {"in_turn": None}),
    "layers": (ValueError, "layers: wanted 1 to 12, got 13", {"layers": 13}),
    "layers flag": (TypeError, "layers: wanted an integer, got bool", {"layers": True}),
    "query": (ValueError, "query: wanted 0 to 12, got 13", {"query": 13}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


KINDS = {
    "window": {"pattern": "window"},
    "window both ways": {"pattern": "window", "causal": False},
    "dilated": {"pattern": "dilated"},
    "dilated both ways": {"pattern": "dilated", "causal": False},
    "strided": {"pattern": "strided"},
    "strided merged": {"pattern": "strided", "in_turn": False},
    "fixed": {"pattern": "fixed"},
    "fixed merged": {"pattern": "fixed", "in_turn": False},
    "global": {"pattern": "global"},
}


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_readings_are_what_is_walked(kind, layers):
    figure = make(layers=layers, **kind)
    wanted = by_hand(figure.state)
    assert [pattern.astype(int).tolist() for pattern in figure.patterns] == wanted["masks"]
    assert figure.pairs == wanted["pairs"] and figure.needed == wanted["needed"]
    assert figure.reached.tolist() == [[step is not None for step in row] for row in wanted["steps"]]


# What it writes.


def test_text_alternatives():
    figure = PatternReach(8, pattern="strided", stride=2, summary=1, layers=2, query=5, caption="Tap.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert figure.summary() == (
        "Strided. Layers in turn score 21 and 20 of 36 pairs (58.3 % and 55.6 %). After 2 layers query 5 reaches "
        "6 of 6 places. Every place reaches all before it after 2 layers."
    )
    never = make(pattern="dilated", layers=1, query=0).summary()
    assert "Each layer scores" in never and "reaches 1 of 1 place. No number" in never
    both = make(pattern="global", layers=1).summary()
    assert "of 169 pairs" in both and both.endswith("Every place reaches all after 2 layers.")
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 7 and outline.tags.count("td") == 18
    assert '<th scope="row">1</th><td>21</td><td>3</td><td>3 4 5</td>' in figure.table()


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(pattern="fixed", summary=1, layers=3)
    np.testing.assert_array_equal(widget.reached, make(pattern="fixed", summary=1, layers=3).reached)
    widget.set_state({"pattern": "dilated"})  # as a message from the browser does
    assert widget.needed is None and widget.pairs == make(pattern="dilated").pairs
    with pytest.raises(traitlets.TraitError, match="summary: wanted"):
        widget.summary = 9


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-pr").nth(n)


def squares(paths, length):
    """Turn paths of squares into lists of (row, column)."""
    return [
        sorted((int(float(y)), int(float(x))) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h", path)) for path in paths
    ]


def agree(page, figure, n=0):
    """Compare the page with what is walked by hand in the state that the page is in; return that state."""
    shown = figure_of(page, n)
    data = shown.evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    again = type(figure)(**{**figure.state, **moved})
    wanted, length = by_hand(again.state), again.state["length"]
    for name, values in wanted.items():
        assert json.loads(data[name]) == values, name
    # What is drawn: the squares of both pictures, the frame, titles and the sentence.
    drawn = shown.evaluate(
        """figure => [...figure.querySelectorAll("svg")].map(svg => ({
          paths: [...svg.querySelectorAll("g path")].map(path => path.getAttribute("d")),
          shades: [...svg.querySelectorAll("g path")].map(path => Number(path.getAttribute("fill-opacity"))),
          ground: svg.querySelector("path").getAttribute("d"),
          row: Number(svg.querySelector("rect").getAttribute("y")),
          box: svg.getAttribute("viewBox")}))"""
    )
    assert squares(drawn[0]["paths"], length) == [list(map(tuple, np.argwhere(mask))) for mask in wanted["masks"]]
    steps = np.array([[-1 if s is None else max(s, 1) for s in row] for row in wanted["steps"]])
    levels = [list(map(tuple, np.argwhere(steps == k + 1))) for k in range(moved["layers"])]
    assert squares(drawn[1]["paths"], length) == levels
    assert drawn[1]["shades"] == sorted(drawn[1]["shades"], reverse=True)
    stairs = wanted["full"] < length**2
    for picture in drawn:
        assert picture["row"] == moved["query"] and picture["box"] == f"0 0 {length} {length}"
        assert picture["ground"].startswith(f"M0 0H{1 if stairs else length}V1")
    titles = shown.locator(".attn-pr-title").all_inner_texts()
    sentence = shown.locator("[aria-live=polite]").inner_text()
    assert sentence == again.summary()
    seen = int((steps[moved["query"]] >= 0).sum())
    assert titles[0] == "Scored: " + " and ".join(f"{c:,}" for c in wanted["pairs"]) + f" of {wanted['full']:,}"
    assert titles[1].split(": ")[1] == f"{seen} of {moved['query'] + 1 if stairs else length}"
    assert f"reaches {seen} of" in sentence
    return moved


def radio(page, name, n=0):
    return figure_of(page, n).get_by_role("radio", name=name, exact=True)


@pytest.mark.browser
@pytest.mark.parametrize("length", [2, 13, 48])
def test_patterns_and_reach(show, length):
    sizes = {"window": 1, "dilation": 2, "stride": 2} if length == 2 else {"window": 5, "stride": 7}
    figure = make(**sizes | {"length": length, "query": length - 1})
    page = show(figure).page
    first = agree(page, figure)
    assert first == {name: figure.state[name] for name in first}
    labels = {"window": ["window"], "dilated": ["window", "dilation"], "strided": ["stride l"]}
    labels |= {"fixed": ["block l", "summary c"], "global": ["window", "global places"]}
    for kind, sliders in labels.items():
        radio(page, kind).check()
        agree(page, figure)
        visible = page.locator("input[type=range]:visible").evaluate_all("all => all.map(n => n.ariaLabel)")
        assert visible == [*sliders, "layers", "query"]
        box = figure_of(page).locator("input[type=checkbox]:visible")
        assert box.count() == (kind != "global")
        if kind != "global":
            box.click()
            agree(page, figure)
            box.click()
        for label, value in zip([*sliders, "layers"], (2, 1, 4), strict=False):
            slide(figure_of(page), label, value)
            agree(page, figure)
    slide(figure_of(page), "query", 0)
    assert agree(page, figure)["query"] == 0
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


FAULTS = {
    "a window too wide": ("Math.abs(i - j) <= window;", "Math.abs(i - j) <= window + 1;"),
    "looking ahead": ("near(i, j) && !(causal && j > i)", "near(i, j) && true"),
    "a dilated window too short": ("Math.abs(i - j) <= window * dilation", "Math.abs(i - j) < window * dilation"),
    "no gaps": ("(i - j) % dilation === 0 &&", "true &&"),
    "not symmetric": ("i < places || j < places", "j < places"),
    "the released code's window": ("i - j <= stride,", "i - j < stride,"),
    "strides from the first place": ("(i - j) % stride === 0]", "j % stride === 0]"),
    "blocks as windows": ("block(i) === block(j)", "i - j < stride"),
    "a summary too long": ("j % stride >= stride - summary", "j % stride >= stride - summary - 1"),
    "the parts swapped": ("[mask(local), mask(far)]", "[mask(far), mask(local)]"),
    "one part only": ("local(i, j) || far(i, j)", "local(i, j)"),
    "no residual": (": bits), below[i]));", ": bits), 0n));"),
    "a layer too few": ("k <= n; k++", "k < n; k++"),
    "always the first part": ("masks[n % masks.length]", "masks[0]"),
    "patience too short": ("idle === masks.length", "idle === 1"),
    "all, though causal": ("ahead(masks) ? length : i + 1", "length"),
    "full without its diagonal": ("(length * (length + 1)) / 2", "(length * (length - 1)) / 2"),
    "rounded down": ("(2000 * count + full)", "(2000 * count)"),
    "frame below": ('row.setAttribute("y", query)', 'row.setAttribute("y", query + 1)'),
    "transposed": ("`M${j + edge} ${i + edge}h", "`M${i + edge} ${j + edge}h"),
}  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(**kind) for kind in KINDS.values()]
    figures.append(make(length=7, pattern="fixed", stride=5, summary=1, layers=1, query=6, window=6))
    figures.append(make(pattern="fixed", stride=1, summary=1))
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == len(figures)
    page = show(content=content.replace(right, wrong)).page
    page.set_default_timeout(2000)
    with pytest.raises(AssertionError):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_keyboard(show):
    figure = make(pattern="dilated", query=2)
    page = show(figure).page
    for _ in range(4):  # pattern, causal, reset, window
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert agree(page, figure)["window"] == 4
    for name, value in (("dilation", 3), ("layers", 3), ("query", 3)):
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowUp")
        assert agree(page, figure)[name] == value
    page.keyboard.press("Home")
    assert agree(page, figure)["query"] == 0
    for _ in range(6):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert agree(page, figure)["pattern"] == "strided"


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make(length=48, query=0)
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    for place, panel in ((0, 0), (23, 1), (47, 0)):
        picture = figure_of(page).locator("svg").nth(panel)
        picture.scroll_into_view_if_needed()
        side = picture.bounding_box()["height"]
        picture.tap(position={"x": side / 3, "y": side * (place + 0.5) / 48})
        assert agree(page, figure)["query"] == place
    figure_of(page).locator("label", has_text="fixed").tap()
    assert agree(page, figure)["pattern"] == "fixed"


@pytest.mark.browser
def test_a_summary_stays_within_its_block(show):
    figure = make(pattern="fixed", summary=4)
    page = show(figure).page
    slide(figure_of(page), "block l", 3)
    moved = agree(page, figure)
    assert (moved["stride"], moved["summary"]) == (3, 3)


@pytest.mark.browser
def test_what_is_read(show):
    page = show(PatternReach(8, pattern="strided", stride=3, layers=1, query=6, caption="Tap.")).page
    labels = figure_of(page).get_by_role("img").evaluate_all("all => all.map(node => node.getAttribute('aria-label'))")
    assert labels == [
        "Pattern. Query 6 sees the places 3 4 5 6; in the next layer 0 3 6.",
        "Reach. Query 6 reaches the places 3 4 5 6.",
    ]
    assert figure_of(page).get_by_text("Tap.").is_visible()
    assert "squares in odd layers" in figure_of(page).locator(".attn-pr-legend").inner_text()


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    radio(page, "global").check()
    slide(figure_of(page), "layers", 3)
    assert agree(page, figure)["layers"] == 3 and agree(page, figure, 1) == before


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Tap."), make(pattern="fixed"), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    page = show(make(), html=html, body=body, dark=prefers_dark).page
    fill = figure_of(page).locator(".attn-pr-part-1").evaluate("node => getComputedStyle(node).fill")
    assert fill == {"light": "rgb(224, 160, 74)", "dark": "rgb(183, 131, 47)"}[scheme]


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(PatternReach(caption="Tap."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-pr-sliders, svg, .attn-pr-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for kind in ("dilated", "strided", "fixed", "window"):
        radio(page, kind).check()
        targets = page.locator("label:visible, button:visible").evaluate_all(
            "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
        )
        assert np.min(targets) >= 24
        wide = "all => all.every(n => n.scrollWidth <= n.clientWidth)"
        assert page.locator(".attn-choice label").evaluate_all(wide)
        for layers in (1, 12):
            slide(figure_of(page), "layers", layers)
            assert figure_of(page).evaluate(boxes) == before

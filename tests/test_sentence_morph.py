"""The sentence and its other reading: what it refuses and writes, and its arithmetic in a browser against NumPy."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, SCHEMES, Outline, closed

from attn_edu import colours
from attn_edu.core import multi_head
from attn_edu.interactive import SentenceMorph

WORDS = ["Susan", "gave", "roses", "to", "Mary"]
SWAP = [4, 1, 2, 3, 0]
MATRICES = ("W_Q", "W_K", "W_V", "W_O")


def make(tokens=WORDS, order=SWAP, seed=0, d=4, d_k=4, d_v=4, d_out=4, positions=True, **options):
    rng = np.random.default_rng(seed)
    x, places = rng.normal(size=(2, len(tokens), d))
    matrices = {
        name: rng.normal(size=size)
        for name, size in zip(MATRICES, ((d, d_k), (d, d_k), (d, d_v), (d_v, d_out)), strict=True)
    }
    if positions is not False:
        options["positions"] = places if positions is True else positions
    return SentenceMorph(tokens, options.pop("x", x), order, **matrices | options)


def odd(**options):
    """Widths that differ, an order that is no swap, and a repeated word."""
    tokens = ["a", "rose", "is", "a", "rose", "is"]
    return make(tokens, [3, 5, 0, 1, 2, 4], seed=5, d=5, d_k=6, d_v=12, d_out=3, selected=4, **options)


# What it refuses.

BAD_X = np.ones((5, 4))
BAD_X[2, 1] = np.nan
REFUSED = {
    "tokens one": (ValueError, "tokens: wanted 2 to 8 words, got 1", {"tokens": ["a"], "order": [0]}),
    "tokens nine": (
        ValueError,
        "tokens: wanted 2 to 8 words, got 9",
        {"tokens": list("abcdefghi"), "order": list(range(9))},
    ),
    "tokens text": (TypeError, "tokens: wanted a sequence of str, got str", {"tokens": "abcde"}),
    "x short": (ValueError, r"x: wanted shape \(L, d\) with L = 5 as in tokens", {"x": np.ones((4, 4))}),
    "x nan": (ValueError, r"x: wanted finite numbers, got nan at \[2, 1\]", {"x": BAD_X}),
    "order twice": (
        ValueError,
        r"order: wanted each of 0 to 4 once, got \[0, 1, 2, 3, 3\]",
        {"order": [0, 1, 2, 3, 3]},
    ),
    "order short": (ValueError, "order: wanted each of 0 to 4 once", {"order": [1, 0]}),
    "order halves": (TypeError, "order: wanted a sequence of 5 integers, got float", {"order": [0, 1, 2, 3, 4.0]}),
    "order text": (TypeError, "order: wanted a sequence of 5 integers, got str", {"order": "41230"}),
    "W_Q rows": (ValueError, r"W_Q: wanted shape \(d, h·d_k\) with d = 4 as in x", {"W_Q": np.ones((3, 4))}),
    "W_K width": (ValueError, r"W_K: wanted .* with h·d_k = 4 as in W_Q, got \(4, 2\)", {"W_K": np.ones((4, 2))}),
    "W_V rows": (ValueError, r"W_V: wanted .* with d = 4 as in x, got \(3, 4\)", {"W_V": np.ones((3, 4))}),
    "W_O rows": (ValueError, r"W_O: wanted .* with h·d_v = 4 as in W_V, got \(3, 4\)", {"W_O": np.ones((3, 4))}),
    "W_O wide": (ValueError, "W_O: columns: wanted at most 8, got 9", {"W_O": np.ones((4, 9))}),
    "heads three": (ValueError, "heads", {"heads": 3}),
    "heads none": (ValueError, "heads", {"heads": 0}),
    "heads word": (TypeError, "heads", {"heads": "two"}),
    "positions": (
        ValueError,
        r"positions: wanted shape \(L, d\) with L = 5 as in tokens",
        {"positions": np.ones((3, 4))},
    ),
    "selected": (ValueError, "selected: wanted 0 to 4, a word, got 5", {"selected": 5}),
    "selected half": (TypeError, "selected: wanted an integer, got float", {"selected": 0.5}),
    "swapped": (TypeError, "swapped: wanted True or False, got 1", {"swapped": 1}),
    "placed": (TypeError, "placed: wanted True or False, got 'yes'", {"placed": "yes"}),
    "placed nowhere": (
        ValueError,
        "placed: wanted False where there are no positions",
        {"placed": True, "positions": None},
    ),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
    "overflow": (ValueError, "wanted finite outputs, got an overflow", {"x": np.full((5, 4), 1e200)}),
}


# What it says.


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_only_positions_tell_the_readings_apart(heads):
    for selected in range(5):
        outputs = make(heads=heads, selected=selected).outputs
        np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-12, atol=1e-14)
        outputs = make(heads=heads, selected=selected, placed=True).outputs
        assert np.abs(outputs[0] - outputs[1]).max() > 0.05


def test_readings_are_the_reference():
    morph = odd(heads=3, placed=True)
    state = morph.state
    words = state["x"][state["order"]] + state["positions"]
    output, weights = multi_head(words, words, words, **{name: state[name] for name in MATRICES}, heads=3)
    np.testing.assert_array_equal(morph.outputs[1], output[5])  # word 4 stands last
    for word, place in enumerate([2, 3, 4, 0, 5, 1]):
        np.testing.assert_array_equal(morph.weights[1][:, word], weights[:, 5, place])


def test_keeps_its_own_copy():
    x = np.ones((5, 4))
    morph = make(x=x)
    x[0] = 9
    assert morph.state["x"][0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        morph.state["x"][0] = 9


def test_text_alternatives():
    morph = make(selected=1, heads=2, caption="See.")
    outline = Outline(morph._repr_html_())
    assert morph.summary() in outline.text and morph.summary() in repr(morph)
    assert morph.summary() == (
        "Two readings, “Susan gave roses to Mary” and “Mary gave roses to Susan”. "
        "With 2 heads, without positions, the output of “gave” is the same in both."
    )
    gap = np.abs(np.subtract(*make(selected=1, placed=True).outputs)).max()
    text = f"With 1 head, with positions added, the output of “gave” differs by up to {gap:.4f}."
    assert text in make(selected=1, placed=True).summary()
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 3
    assert f"<td>{morph.outputs[0, 0]:.4f}</td>".replace("-", "−") in morph.table()


def test_texts_are_escaped():
    closed(make(NASTY[:5])._repr_html_())


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.heads = 4
    widget.update(placed=True, selected=2)
    np.testing.assert_array_equal(widget.outputs, make(heads=4, placed=True, selected=2).outputs)
    for bad in ({"heads": 3}, {"order": [0]}, {"selected": 9}):
        with pytest.raises(traitlets.TraitError, match=r"\w: wanted|heads"):
            widget.update(**bad)
    np.testing.assert_array_equal(widget.weights, make(heads=4, placed=True, selected=2).weights)


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-morph").nth(n)


def swap(page, n=0):
    figure_of(page, n).get_by_role("button", name="Other reading").click()


def agree(page, morph, n=0):
    """Compare the numbers on the page with NumPy's, in the state that the page is in, and return that state."""
    figure = figure_of(page, n)
    data = figure.evaluate("figure => ({...figure.dataset})")
    moved = {name: json.loads(data[name]) for name in ("heads", "selected", "swapped", "placed")}
    again = SentenceMorph(**morph.state | moved)
    size = max(1, np.abs(again.outputs).max())
    np.testing.assert_allclose(json.loads(data["outputs"]), again.outputs, rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(json.loads(data["weights"]), again.weights, rtol=0, atol=1e-12)
    # What is drawn: each word at its place, with its weights in the reading shown.
    L = len(morph.state["tokens"])
    order = morph.state["order"] if moved["swapped"] else list(range(L))
    assert json.loads(data["order"]) == order
    cards = figure.locator(".attn-card").evaluate_all(
        """cards => cards.map((card) => [parseFloat(card.style.left), card.querySelector("bdi").textContent,
          [...card.querySelectorAll("i")].map((bar) => bar.textContent),
          [...card.querySelectorAll("i b")].map((bar) => parseFloat(bar.style.width))])"""
    )
    shown = again.weights[int(moved["swapped"])]
    for place, (left, token, texts, widths) in enumerate(cards):
        assert token == morph.state["tokens"][order[place]]
        np.testing.assert_allclose(left, 100 * place / L, atol=1e-3)
        np.testing.assert_allclose(np.array(texts, dtype=float), shown[:, order[place]], atol=0.005001)
        np.testing.assert_allclose(widths, 100 * shown[:, order[place]], atol=1e-3)
    cells = figure.locator("[role=cell]").all_inner_texts()
    written = np.array([float(cell.replace("−", "-")) for cell in cells]).reshape(again.outputs.shape)
    np.testing.assert_allclose(written, again.outputs, rtol=0, atol=0.5001e-4)
    return moved


CASES = {
    "roses": make(selected=1),
    "odd": odd(heads=2, swapped=True),
    "steep": make(seed=2, x=30 * np.random.default_rng(1).normal(size=(5, 4))),
    "two words": make(["a", "b"], [1, 0], d=1, d_k=1, d_v=1, d_out=1, positions=False),
    "placed": make(seed=3, heads=4, placed=True, selected=4),
}


@pytest.mark.browser
@pytest.mark.parametrize("morph", CASES.values(), ids=CASES)
def test_arithmetic(show, morph):
    page = show(morph).page
    shown = agree(page, morph)
    assert all(shown[name] == morph.state[name] for name in shown)
    figure = figure_of(page)
    for radio in figure.get_by_role("radio").all():
        radio.check()
        agree(page, morph)
        swap(page)
        agree(page, morph)
        if morph.state["positions"] is not None:
            figure.get_by_label("Add positions").click()
            agree(page, morph)
        figure.locator(".attn-card").last.click()
        agree(page, morph)


FAULTS = {
    "wrong scale": ("const width = query.length / heads", "const width = query.length"),
    "no scale": ("Math.sqrt(width))", "1)"),
    "heads not cut": ("row.slice(n * width, (n + 1) * width)", "row"),
    "first values only": ("c = n * part; c < (n + 1) * part", "c = 0; c < part"),
    "positions travel with words": ("state.positions[p][c]", "state.positions[word][c]"),
    "weights not returned": ("row[order.indexOf(word)]", "row[word]"),
    "wrong query": ("attendFrom(words, order.indexOf(state.selected), state)", "attendFrom(words, 0, state)"),
    "no output projection": ("output: rowTimes(joined, W_O)", "output: joined.slice(0, W_O[0].length)"),
    "keys are queries": (
        "const keys = words.map((row) => rowTimes(row, W_K))",
        "const keys = words.map((row) => rowTimes(row, W_Q))",
    ),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    morph = odd(heads=3, placed=True, swapped=True)
    content = morph._repr_html_()
    assert content.count(right) == 1
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises((AssertionError, ValueError)):
        agree(page, morph)


@pytest.mark.browser
def test_what_is_read(show):
    page = show(make(selected=1, caption="Swap.")).page
    figure = figure_of(page)
    sentence = figure.locator("[aria-live=polite]")
    same = "the output of gave is the same in both readings."
    assert sentence.inner_text() == f"“Susan gave roses to Mary”, 1 head, without positions: {same}"
    rows = figure.get_by_role("row")
    assert rows.nth(0).get_by_role("cell").all_inner_texts() == rows.nth(1).get_by_role("cell").all_inner_texts()
    assert rows.nth(0).get_by_role("rowheader").inner_text() == "▸ Susan gave roses to Mary"
    swap(page)
    figure.get_by_role("radio", name="4").check()
    assert sentence.inner_text() == f"“Mary gave roses to Susan”, 4 heads, without positions: {same}"
    assert rows.nth(1).get_by_role("rowheader").inner_text() == "▸ Mary gave roses to Susan"
    figure.get_by_label("Add positions").check()
    assert re.search(r"with positions: the output of gave differs by up to \d\.\d{4} between", sentence.inner_text())
    figure.get_by_role("button", name="Mary, place 1").click()
    assert "the output of Mary differs" in sentence.inner_text()
    assert figure.locator("[aria-pressed=true]").inner_text().startswith("Mary")
    assert figure.get_by_text("Swap.", exact=True).is_visible()


@pytest.mark.browser
def test_keyboard_and_reset(show):
    morph = make(selected=1)
    page = show(morph).page
    for key in ("Tab", "Enter", "Tab", "ArrowRight", "ArrowRight", "Tab", " ", "Tab", "Tab", " "):
        page.keyboard.press(key)
    assert agree(page, morph) == {"heads": 4, "selected": 4, "swapped": True, "placed": True}
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, morph) == {"heads": 1, "selected": 1, "swapped": False, "placed": False}


@pytest.mark.browser
def test_touch(show):
    morph = make(selected=1)
    page = show(morph, size=PHONE, has_touch=True, is_mobile=True).page
    figure_of(page).get_by_role("button", name="Other reading").tap()
    figure_of(page).get_by_role("button", name="Mary").tap()
    assert agree(page, morph) == {"heads": 1, "selected": 4, "swapped": True, "placed": False}


@pytest.mark.browser
def test_words_travel(show):
    """With motion, two words are between their places for a while; without, they are there at once."""
    page = show(make(selected=1)).page
    running = "document.getAnimations().length"
    swap(page)
    assert page.evaluate(running) == 0
    page.emulate_media(reduced_motion="no-preference")
    swap(page)
    assert page.evaluate(running) == 2
    page.wait_for_function(f"{running} === 0")
    agree(page, make(selected=1))


@pytest.mark.browser
def test_copies_are_independent(show):
    morph, other = make(), odd()
    page = show(morph, morph, other).page
    figure_of(page, 1).get_by_role("radio", name="4").check()
    swap(page, 2)
    shown = [agree(page, each, n) for n, each in enumerate((morph, morph, other))]
    assert [each["heads"] for each in shown] == [1, 4, 1]
    assert [each["swapped"] for each in shown] == [False, False, True]
    assert figure_of(page, 0).get_by_role("radio", name="1").is_checked()


@pytest.mark.browser
def test_nasty_tokens(show):
    morph = make(NASTY[:5], caption="<i>&lt;")
    visited = show(morph)
    agree(visited.page, morph)
    assert figure_of(visited.page).locator(".attn-caption").inner_text() == "<i>&lt;"
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), SCHEMES.values(), ids=SCHEMES)
def test_colours_follow_the_scheme(show, html, body, prefers_dark, scheme):
    visited = show(make(), html=html, body=body, dark=prefers_dark)
    roles = {"light": colours.LIGHT, "dark": colours.DARK}[scheme]
    chosen = figure_of(visited.page).locator("[aria-pressed=true] bdi")
    colour = chosen.evaluate("node => getComputedStyle(node).color")
    assert "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)) == roles["query"]
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible_in_every_state(show, dark):
    visited = show(make(), odd(heads=6), dark=dark)
    swap(visited.page)
    figure_of(visited.page).get_by_label("Add positions").check()
    figure_of(visited.page).get_by_role("radio", name="4").check()
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 800, "height": 600}, WIDE])
def test_fits(show, size):
    long = make(["incomprehensibilities", "b", "c"], [2, 0, 1], d_out=8, selected=0)
    visited = show(make(heads=4), odd(heads=6), long, size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-card, .attn-controls :is(label, button)").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).map((box) => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    for n in range(2):
        edges = figure_of(page, n).evaluate(
            """figure => { const box = figure.getBoundingClientRect();
              const parts = [...figure.querySelectorAll("span, bdi, input, button")];
              const boxes = parts.map((part) => part.getBoundingClientRect());
              const [left, right] = [Math.min(...boxes.map((b) => b.left)), Math.max(...boxes.map((b) => b.right))];
              return [left - box.left, box.right - right];
            }"""
        )
        assert min(edges) >= 0
    # No number is cut off where eight stand in a row on a wide page, or four on a phone.
    cut = (
        figure_of(page)
        .locator("[role=cell]")
        .evaluate_all("all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).length")
    )
    assert cut == 0


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, WIDE])
def test_nothing_shifts(show, size):
    page = show(make(selected=1), size=size).page
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-places, .attn-line, .attn-sentence")]
      .map((node) => node.getBoundingClientRect()).map((box) => [box.x, box.y, box.width].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for radio in figure_of(page).get_by_role("radio").all():
        radio.check()
        swap(page)
        figure_of(page).get_by_label("Add positions").click()
        page.evaluate("scrollTo(0, 0)")
        assert figure_of(page).evaluate(boxes) == before

"""One block, step by step: what the figure refuses, what it writes, and every number against the PyTorch block."""

import json
import re

import numpy as np
import pytest
import torch
import traitlets
from browser import PHONE, WIDE
from figures import HOSTS, NASTY, Outline, closed

from attn_edu.interactive import BlockFlow
from attn_edu.interactive._block_flow import STAGES
from attn_edu.models import EncoderBlock

WORDS = ["the", "two", "dog", "cats", "sees", "near"]
TOKENS = ["the", "dog", "sees", "two", "cats"]
SQUARE, FLAT = ("W_Q", "W_K", "W_V", "W_O"), ("b_2", "gain_1", "bias_1", "gain_2", "bias_2")


def parts(d=4, m=6, V=6, L=5, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    draw = {"vectors": (V, d), "positions": (L, d), "W_1": (d, m), "b_1": (m,), "W_2": (m, d)}
    draw |= dict.fromkeys(SQUARE, (d, d)) | dict.fromkeys(FLAT, (d,))
    return {name: spread * rng.normal(size=shape) for name, shape in draw.items()}


def make(tokens=TOKENS, words=WORDS, heads=2, d=4, m=6, seed=0, spread=1.0, **changed):
    given = parts(d, m, len(words), len(tokens), seed, spread)
    return BlockFlow(**given | {"tokens": tokens, "words": words, "heads": heads} | changed)


def wanted(figure):
    """Every number of every stage, by PyTorch's block in float64: lists of matrices in the order of the page."""
    s = figure.state
    d, m = s["W_1"].shape
    block = EncoderBlock(d, s["heads"], m, s["norm_first"]).double()
    names = {f"attention.{name}": s[name] for name in SQUARE}
    names |= {f"feed_forward.{name}": s[name] for name in ("W_1", "b_1", "W_2", "b_2")}
    names |= {f"norm_{n}.{name}": s[f"{name}_{n}"] for n in (1, 2) for name in ("gain", "bias")}
    block.load_state_dict({name: torch.tensor(np.array(value)) for name, value in names.items()})
    x = s["vectors"][[s["words"].index(token) for token in s["tokens"]]] + s["positions"]
    mask = torch.ones(len(x), len(x), dtype=torch.bool).tril() if s["causal"] else None
    with torch.no_grad():
        steps = {name: value.numpy() for name, value in block.steps(torch.tensor(x), mask).items()}

    def joined(name):
        return np.concatenate(list(steps[name]), axis=-1)

    shown = {name: [steps[name]] for name in STAGES if name in steps}
    shown |= {"scores": list(steps["scores"]), "weights": list(steps["weights"])}
    shown |= {"queries": [joined("queries"), joined("keys"), joined("values")]}
    shown |= {"context": [steps["context"], steps["attended"]]}
    order = [name for name in steps if name in STAGES]
    return {name: shown[name] for name in order}, steps["output"]


# What it refuses.

REFUSED = {
    "tokens nine": (ValueError, "tokens: wanted 1 to 8, got 9", {"tokens": ["the"] * 9}),
    "tokens unknown": (ValueError, "tokens: wanted words of the vocabulary, got 'fox'", {"tokens": ["fox"] * 5}),
    "tokens one string": (TypeError, "tokens: wanted a sequence of str, got str", {"tokens": "the"}),
    "words twice": (ValueError, "words: wanted each word once", {"words": [*WORDS[:5], "the"]}),
    "vectors rows": (ValueError, "vectors: .* V = 6 as in words", {"vectors": np.ones((5, 4))}),
    "vectors wide": (ValueError, "vectors: wanted at most 8 columns, got 9", {"vectors": np.ones((6, 9))}),
    "positions rows": (ValueError, "positions: .* L = 5 as in tokens", {"positions": np.ones((4, 4))}),
    "W_1 rows": (ValueError, "W_1: .* d = 4 as in vectors", {"W_1": np.ones((3, 6))}),
    "W_1 wide": (ValueError, "W_1: wanted at most 32 columns, got 33", {"W_1": np.ones((4, 33))}),
    "W_2 rows": (ValueError, "W_2: .* m = 6 as in W_1", {"W_2": np.ones((5, 4))}),
    "b_1 long": (ValueError, "b_1: wanted 6 numbers, as wide as W_1, got 7", {"b_1": np.ones(7)}),
    "b_2 matrix": (ValueError, r"b_2: wanted shape \(4,\), as wide as vectors, got \(1, 4\)", {"b_2": np.ones((1, 4))}),
    "gain_1 words": (TypeError, "gain_1: wanted an array of real numbers", {"gain_1": ["a"] * 4}),
    "bias_1 long": (ValueError, "bias_1: wanted 4 numbers, as wide as vectors, got 5", {"bias_1": np.ones(5)}),
    "gain_2 words": (TypeError, "gain_2: wanted an array of real numbers", {"gain_2": ["a"] * 4}),
    "bias_2 nan": (ValueError, "bias_2: wanted finite numbers", {"bias_2": np.full(4, np.nan)}),
    "heads": (ValueError, "heads: wanted a divisor of d = 4, got 3", {"heads": 3}),
    "norm_first": (TypeError, "norm_first: wanted True or False", {"norm_first": "yes"}),
    "causal": (TypeError, "causal: wanted True or False", {"causal": 1}),
    "stage": (ValueError, "stage: wanted one of input, queries, .* got 'keys'", {"stage": "keys"}),
    "stage number": (TypeError, "stage: wanted a str, got int", {"stage": 3}),
    "selected": (ValueError, "selected: wanted 0 to 4, got 5", {"selected": 5}),
    "selected flag": (TypeError, "selected: wanted an integer, got bool", {"selected": True}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
    "overflow": (ValueError, "wanted finite products, got an overflow", {"W_1": np.full((4, 6), 1e308)}),
    **{
        f"{name} shape": (ValueError, rf"{name}: .* d = 4 as in vectors, got \(4, 3\)", {name: np.ones((4, 3))})
        for name in SQUARE
    },
}


@pytest.mark.parametrize(("error", "message", "changed"), REFUSED.values(), ids=REFUSED)
def test_refuses(unhooked, error, message, changed):
    given = parts() | {"tokens": TOKENS, "words": WORDS, "heads": 2} | changed
    with pytest.raises(error, match=message) as caught:
        BlockFlow(**given)
    assert type(caught.value) is error


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_readings_are_the_block(norm_first, causal):
    figure = make(norm_first=norm_first, causal=causal)
    steps, output = wanted(figure)
    np.testing.assert_allclose(figure.weights, np.stack(steps["weights"]), atol=1e-12)
    np.testing.assert_allclose(figure.output, output, atol=1e-12)


# What it writes.


def test_texts_are_escaped():
    tokens = [*NASTY[:2], "a", "a", "b"]
    outline = closed(make(words=[*NASTY[:2], *"abcd"], tokens=tokens)._repr_html_())
    state = re.search(r"const state = (\{.*\});\n", outline.scripts[0])[1]
    assert json.loads(state)["tokens"] == tokens


def test_text_alternatives():
    figure = make(norm_first=True, causal=True, caption="Look.")
    text = Outline(figure._repr_html_()).text
    assert figure.summary() in text and "Look." in text
    assert "“the dog sees two cats”: 5 tokens of width 4, 2 heads, 6 hidden features" in figure.summary()
    assert "normalised before each layer, no token seeing a later one" in figure.summary()
    assert "normalised after each addition." in make().summary()
    assert f"{figure.output[3, 3]:.2f}".replace("-", "−") in text


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.norm_first = True
    widget.stage = "fed"
    np.testing.assert_array_equal(widget.output, make(norm_first=True).output)
    with pytest.raises(traitlets.TraitError, match="stage: wanted one of"):
        widget.stage = "end"
    assert widget.stage == "fed"


# In a browser.

READ = """(figure) => [...figure.querySelectorAll(".attn-flow-tab input")].map((radio) => {
  radio.click();
  const cells = [...figure.querySelectorAll("[data-value]")].map((cell) => cell.dataset);
  return [figure.dataset.stage, cells.map((at) => [at.matrix, at.row, at.column, at.value].map(Number))];
})"""


def figure_of(page, n=0):
    return page.locator(".attn-flow").nth(n)


def agree(page, figure, n=0):
    """Compare every number on the page, in all stages, with PyTorch's."""
    shown, (steps, _) = figure_of(page, n).evaluate(READ), wanted(figure)
    assert [name for name, _ in shown] == list(steps)
    for name, cells in shown:
        right = {(k, *at): x for k, matrix in enumerate(steps[name]) for at, x in np.ndenumerate(matrix)}
        found = {tuple(map(int, place)): value for *place, value in cells}
        assert set(found) == set(right), name
        values = np.array([[found[place], right[place]] for place in right])
        np.testing.assert_allclose(*values.T, rtol=1e-11, atol=1e-11, err_msg=name)


CASES = {
    "after": make(),
    "before": make(norm_first=True, seed=1),
    "causal": make(causal=True, seed=2),
    "causal, before": make(causal=True, norm_first=True, heads=4, seed=3),
    "one": make(tokens=["the"], words=["the"], heads=1, d=1, m=1, seed=4),
    "most": make(tokens=[*TOKENS, *WORDS[:3]], heads=4, d=8, m=32, seed=5, spread=2.0),
}


@pytest.mark.browser
def test_arithmetic(show):
    page = show(*CASES.values()).page
    for n, figure in enumerate(CASES.values()):
        agree(page, figure, n)


FAULTS = {
    "not scaled": (" / Math.sqrt(width)", ""),
    "scaled by the full width": ("Math.sqrt(width)", "Math.sqrt(2 * width)"),
    "queries and keys swapped": ("s.queries.map((q) => s.keys.map((k)", "s.keys.map((q) => s.queries.map((k)"),
    "keys for values": ("[s.weights[n][i]], s.values", "[s.weights[n][i]], s.keys"),
    "one head for both": ("[s.weights[n][i]]", "[s.weights[0][i]]"),
    "no residual at attention": ("s.sum_1 = plus(x, s.attended)", "s.sum_1 = plus(s.attended, s.attended)"),
    "residual from before the first norm": ("s.sum_2 = plus(x, s.fed)", "s.sum_2 = plus(s.sum_1, s.fed)"),
    "no epsilon": ("variance + 1e-5", "variance"),
    "variance over one less": ("(x - mean) ** 2, 0) / row.length", "(x - mean) ** 2, 0) / (row.length - 1)"),
    "gain and bias swapped": ("(x, gain, bias) =>", "(x, bias, gain) =>"),
    "first norm twice": (
        "s.norm_2 = normed(x, state.gain_2, state.bias_2);\nreturn",
        "s.norm_2 = normed(x, state.gain_1, state.bias_1);\nreturn",
    ),
    "no ReLU": ("Math.max(0, h)", "h"),
    "no bias": ("h + state.b_1[c]", "h"),
    "W_O left out": ("times(s.context, state.W_O)", "s.context"),
    "place of another": ("x + positions[i][c]", "x + positions[0][c]"),
    "rounded": ('"data-value": x,', '"data-value": x.toFixed(9),'),
}


@pytest.mark.browser
def test_arithmetic_can_fail(show):
    """Each fault in a copy of its own, all copies on one page."""
    figure = make(seed=6)
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
def test_the_future_unhidden_is_seen(show):
    figure = make(causal=True, norm_first=True)
    for right, wrong in (
        ("seen = causal ? i + 1 : row.length", "seen = row.length"),
        ("seen = causal ? i + 1", "seen = causal ? i + 2"),
        ("y = s.norm_2 = normed(x, state.gain_2, state.bias_2)", "s.norm_2 = normed(x, state.gain_2, state.bias_2)"),
    ):
        content = figure._repr_html_()
        assert content.count(right) == 1
        page = show(content=content.replace(right, wrong)).page
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            agree(page, figure)


def sentence(view):
    return view.locator(".attn-flow-sentence").inner_text()


def text(x):
    return f"{round(float(x), 2) + 0.0:.{2 if abs(x) < 9.995 else 1}f}".replace("-", "−")


@pytest.mark.browser
def test_replaced_words_norms_and_mask(show):
    page = show(make(stage="norm_1", selected=4)).page
    view = figure_of(page)
    moved = view.locator(".attn-flow-moved")
    assert moved.inner_text() == "Replace a word to see which rows change here."
    assert view.get_by_role("button", name="Undo").is_disabled()
    view.get_by_label("Replace by").select_option("dog")
    agree(page, make(tokens=[*TOKENS[:4], "dog"]))
    for stage, rows in (("queries", "dog (5)"), ("context", "the, dog (2), sees, two, dog (5)")):
        view.locator(f"[data-tab={stage}] input").check(force=True)
        assert moved.inner_text() == f"Changed since the first sentence (dotted): {rows}."
    view.get_by_label("causal mask").check()
    view.locator("[data-tab=sum_2] input").check(force=True)
    assert moved.inner_text().endswith("(dotted): dog (5).")
    agree(page, make(tokens=[*TOKENS[:4], "dog"], causal=True))
    view.get_by_role("radio", name="norm before").check(force=True)
    agree(page, make(tokens=[*TOKENS[:4], "dog"], causal=True, norm_first=True))
    view.get_by_role("button", name="Undo").click()
    agree(page, make(causal=True, norm_first=True))


@pytest.mark.browser
def test_walk_by_keyboard(show):
    figure = make(selected=1)
    steps, _ = wanted(figure)
    page = show(figure).page
    view = figure_of(page)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert view.get_attribute("data-selected") == "2"
    view.get_by_role("button", name="Next").focus()
    for name in list(steps)[1:]:
        page.keyboard.press("Enter")
        assert view.get_attribute("data-stage") == name
    page.keyboard.press("Enter")
    assert view.get_attribute("data-stage") == "norm_2"
    assert "12 of 12" in view.locator(".attn-flow-text").inner_text()
    page.keyboard.press("Tab")  # the norms
    page.keyboard.press("ArrowRight")
    assert view.get_attribute("data-order").startswith("input norm_1 queries")
    page.keyboard.press("ArrowLeft")
    assert view.get_attribute("data-order").startswith("input queries")
    page.keyboard.press("Tab")  # the mask
    page.keyboard.press("Tab")  # the steps
    page.keyboard.press("ArrowLeft")
    assert view.get_attribute("data-stage") == "sum_2"
    view.locator(".attn-flow-stage").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    a, b, x = (steps[name][0][1, 1] for name in ("norm_1", "fed", "sum_2"))
    assert sentence(view) == f"“dog”, number 2: {text(a)}, plus {text(b)} from the network, is {text(x)}."


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make(stage="weights")
    steps, _ = wanted(figure)
    for options in ({}, {"size": PHONE, "has_touch": True, "is_mobile": True}):
        view = figure_of(show(figure, **options).page)
        cell = view.locator("[data-matrix='1'][data-row='3'][data-column='1']")
        cell.tap() if options else cell.hover()
        assert view.get_attribute("data-selected") == "3"
        powers = [f"exp {text(x)}" for x in steps["scores"][1][3]]
        right = f"{powers[1]} ÷ ({' + '.join(powers)}) = {text(steps['weights'][1][3, 1])}."
        assert sentence(view) == f"Head 2: “two” gives “dog” {right}"
        view.locator("[data-tab=norm_1]").click()
        row = steps["sum_1"][0][3]
        assert sentence(view).startswith(f"“two” had mean {text(row.mean())} and deviation {text(row.std())}.")
        assert sentence(view).endswith(f"= {text(steps['norm_1'][0][3, 1])}.")
        for stage in STAGES:
            view.locator(f"[data-tab={stage}] input").check(force=True)
            shown = text(steps[stage][0][3, 1])
            assert re.search(rf" {re.escape(shown)}\.( Of its|$)", sentence(view)), stage


@pytest.mark.browser
def test_copies_are_independent(show):
    page = show(make(), make()).page
    figure_of(page, 1).get_by_role("button", name="Next").click()
    assert [figure_of(page, n).get_attribute("data-stage") for n in range(2)] == ["input", "queries"]
    assert page.locator(".attn-flow-tab input:checked").count() == 2


@pytest.mark.browser
@pytest.mark.parametrize("host", ["book light", "book dark"])
def test_accessible(show, host):
    html, body, prefers_dark, _ = HOSTS[host]
    words = [*NASTY[3:7], "a", "b"]
    visited = show(make(words=words, tokens=words[:5], m=16), html=html, body=body, dark=prefers_dark)
    view = figure_of(visited.page)
    view.get_by_label("Replace by").select_option("b")
    for stage in ("queries", "scores", "weights", "active", "norm_2"):
        view.locator(f"[data-tab={stage}] input").check(force=True)
        assert visited.violations() == [], stage


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, WIDE])
def test_fits(show, size):
    most = make(tokens=["incomprehensibilities"] * 8, words=["incomprehensibilities"], d=8, m=32, heads=4, spread=9.0)
    visited = show(make(), most, size=size)
    page = visited.page
    for n in range(2):
        places = set()
        for stage in STAGES:
            figure_of(page, n).locator(f"[data-tab={stage}] input").check(force=True)
            assert visited.overflow() == 0, stage
            places.add(figure_of(page, n).locator(".attn-flow-map").bounding_box()["height"])
            wide = (
                figure_of(page, n).locator(".attn-flow-stage").evaluate("node => node.scrollWidth - node.clientWidth")
            )
            assert wide == 0 or size["width"] < 390, stage
        assert len(places) == 1
    targets = page.locator(".attn-flow :is(button, select, .attn-flow-tab, [data-value])").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).map((box) => Math.min(box.width, box.height))"
    )
    assert np.min(targets) >= 24

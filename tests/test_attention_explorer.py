"""The attention explorer: what it refuses, what it writes, and its arithmetic in a real browser against NumPy."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import HOSTS, NASTY, PAGE, Outline, closed

from attn_edu import colours
from attn_edu.core import scaled_dot_product
from attn_edu.interactive import AttentionExplorer
from attn_edu.interactive._figure import source

WORDS = ["The", "animal", "didn't", "cross", "the", "road", "because", "it", "was", "too", "tired"]


def make(seed=0, L=5, S=5, d_k=3, d_v=2, spread=1.0, **options):
    rng = np.random.default_rng(seed)
    tokens = [f"q{i}" for i in range(L)]
    if L != S:
        options["key_tokens"] = [f"k{j}" for j in range(S)]
    query, key, value = (rng.normal(size=size) for size in ((L, d_k), (S, d_k), (S, d_v)))
    return AttentionExplorer(tokens, spread * query, key, value, **options)


def sentence_figure():
    rng = np.random.default_rng(3)
    query, key, value = (rng.normal(size=(len(WORDS), width)) for width in (8, 8, 4))
    return AttentionExplorer(WORDS, query, key, value, selected=7, caption="“it” looks back.")


# What it refuses.

Q, K, V = np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 5))
REFUSED = {
    "tokens too few": (ValueError, "query: wanted .* L = 1 as in tokens", {"tokens": ["a"]}),
    "tokens too many": (ValueError, "query: wanted .* L = 3 as in tokens", {"tokens": ["a", "b", "c"]}),
    "tokens one string": (TypeError, "tokens: wanted a sequence of str, got str", {"tokens": "ab"}),
    "tokens numbers": (TypeError, "tokens: wanted .* got int at 1", {"tokens": ["a", 1]}),
    "tokens none": (ValueError, "tokens: wanted 1 to 32", {"tokens": []}),
    "tokens blank": (ValueError, "tokens: wanted something to read .* at 0", {"tokens": [" ", "b"]}),
    "tokens missing": (TypeError, "tokens: .* NoneType", {"tokens": None}),
    "tokens beyond 32": (ValueError, "tokens: wanted 1 to 32 tokens, got 33", {"tokens": ["a"] * 33}),
    "key_tokens missing": (ValueError, "key: .* key_tokens", {"key": np.ones((4, 3)), "value": np.ones((4, 5))}),
    "key_tokens": (ValueError, "key: wanted .* S = 1 as in key_tokens", {"key_tokens": ["a"]}),
    "query a vector": (ValueError, r"query: wanted shape \(L, d_k\), got \(2,\)", {"query": np.ones(2)}),
    "query three axes": (ValueError, "query: wanted shape", {"query": np.ones((1, 2, 3))}),
    "query empty": (ValueError, r"query: wanted shape \(L, d_k\), got \(2, 0\)", {"query": np.ones((2, 0))}),
    "query ragged": (ValueError, "query: .* different lengths", {"query": [[1.0, 2.0], [1.0]]}),
    "query words": (TypeError, "query: wanted an array of real numbers", {"query": [["a"], ["b"]]}),
    "query complex": (TypeError, "query: .* complex128", {"query": 1j * Q}),
    "query missing": (TypeError, "query: .* NoneType", {"query": None}),
    "query nan": (ValueError, r"query: wanted finite numbers, got nan at \[0, 0\]", {"query": Q * np.nan}),
    "key width": (ValueError, "key: wanted .* d_k = 3 as in query", {"key": np.ones((2, 4))}),
    "key infinite": (ValueError, "key: wanted finite numbers, got inf", {"key": Q * np.inf}),
    "value rows": (ValueError, "value: wanted .* S = 2 as in key", {"value": np.ones((3, 5))}),
    "value beyond 32": (ValueError, "value: wanted at most 32 columns, got 33", {"value": np.ones((2, 33))}),
    "temperature zero": (ValueError, "temperature: wanted a finite number above 0, got 0", {"temperature": 0}),
    "temperature negative": (ValueError, "temperature: .* got -1", {"temperature": -1.0}),
    "temperature nan": (ValueError, "temperature: .* got nan", {"temperature": float("nan")}),
    "temperature infinite": (ValueError, "temperature: .* got inf", {"temperature": float("inf")}),
    "temperature word": (TypeError, "temperature: wanted a number, got str", {"temperature": "hot"}),
    "causal word": (TypeError, "causal: wanted True or False, got 'yes'", {"causal": "yes"}),
    "scale": (ValueError, "scale: wanted a finite number above 0", {"scale": -2.0}),
    "selected beyond": (ValueError, "selected: wanted 0 to 1, a row of query, got 2", {"selected": 2}),
    "selected negative": (ValueError, "selected: .* got -1", {"selected": -1}),
    "selected half": (TypeError, "selected: wanted an integer, got float", {"selected": 0.5}),
    "selected flag": (TypeError, "selected: wanted an integer, got bool", {"selected": True}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
    "overflow": (ValueError, "finite scores", {"query": Q * 1e200, "key": K * 1e200}),
    "causal oblong": (
        ValueError,
        "causal: wanted as many keys as queries, got 3 and 2",
        {"causal": True, "key": np.ones((3, 3)), "value": np.ones((3, 5)), "key_tokens": ["a", "b", "c"]},
    ),
}


@pytest.mark.parametrize(("error", "message", "changed"), REFUSED.values(), ids=REFUSED)
def test_refuses(unhooked, error, message, changed):
    arguments = {"tokens": ["a", "b"], "query": Q, "key": K, "value": V} | changed
    with pytest.raises(error, match=message) as caught:
        AttentionExplorer(**arguments)
    assert type(caught.value) is error


def test_keeps_its_own_copy():
    query = np.ones((2, 3))
    explorer = AttentionExplorer(["a", "b"], query, K, V)
    query[0] = 9
    assert (explorer.state["query"] == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        explorer.state["query"][0] = 9


@pytest.mark.parametrize("options", [{}, {"temperature": 0.3}, {"causal": True}, {"scale": 2.0, "temperature": 5.0}])
def test_readings_are_the_reference(options):
    explorer = make(d_k=7, **options)
    query, key, value = (explorer.state[name] for name in ("query", "key", "value"))
    scale = options.get("scale", 7**-0.5) / options.get("temperature", 1.0)
    output, weights = scaled_dot_product(query, key, value, causal=options.get("causal", False), scale=scale)
    np.testing.assert_allclose(explorer.weights, weights, rtol=0, atol=1e-14)
    np.testing.assert_allclose(explorer.output, output, rtol=0, atol=1e-14)


# What it writes.


def test_html_is_the_same_in_every_run():
    code = "import test_attention_explorer as t; print(t.sentence_figure()._repr_html_())"
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.path.dirname(__file__)}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    html = sentence_figure()._repr_html_()
    assert html == sentence_figure()._repr_html_()
    assert other.stdout.rstrip("\n") == html.rstrip("\n")
    assert html != make()._repr_html_()


def test_tokens_are_escaped():
    rng = np.random.default_rng(0)
    arrays = (rng.normal(size=(len(NASTY), 3)) for _ in range(3))
    outline = closed(AttentionExplorer(NASTY, *arrays)._repr_html_())
    for token in NASTY:
        assert token in outline.text
    state = re.search(r"const state = (\{.*\});\n", outline.scripts[0])[1]
    assert json.loads(state)["tokens"] == NASTY


def test_text_alternatives():
    explorer = AttentionExplorer(["b", "a", "b"], np.eye(3), 9 * np.eye(3), np.eye(3), selected=1, causal=True)
    outline = Outline(explorer._repr_html_())
    assert explorer.summary() in outline.text
    assert "3 queries in rows, 3 keys in columns" in explorer.summary()
    assert "“a” attends to a 0.99, b (1) 0.01" in explorer.summary()
    assert outline.tags.count("th") == 6 and outline.tags.count("caption") == 1
    assert explorer.summary() in repr(explorer)


def test_role_colours_are_those_of_the_book():
    theme = source("theme.css")
    for role in ("query", "key", "value"):
        assert f"--attn-{role}: light-dark({colours.LIGHT[role]}, {colours.DARK[role]});" in theme


# Without and with anywidget.


def test_needs_no_widget_library():
    code = """
import sys, importlib.abc
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("anywidget", "ipywidgets", "IPython", "traitlets", "matplotlib"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from attn_edu.interactive import AttentionExplorer
explorer = AttentionExplorer(["a"], [[1]], [[1]], [[1]])
assert "<table>" in explorer._repr_html_()
try:
    explorer.widget()
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install anywidget" in run.stdout


def test_widget_follows_python(unhooked):
    explorer = make(L=3, S=3, temperature=2.0)
    widget = explorer.widget()
    np.testing.assert_array_equal(widget.weights, explorer.weights)
    widget.temperature = 0.5
    widget.causal = True
    again = make(L=3, S=3, temperature=0.5, causal=True)
    np.testing.assert_array_equal(widget.weights, again.weights)
    np.testing.assert_array_equal(widget.output, again.output)
    assert explorer.state["temperature"] == 2.0, "the figure it came from stays as it was"
    widget.set_state({"temperature": 2, "causal": False, "selected": 1})  # as a message from the browser does
    np.testing.assert_array_equal(widget.weights, explorer.weights)
    with pytest.raises(ValueError, match="temperature: wanted"):
        widget.set_state({"temperature": 0})
    assert widget.temperature == 2.0 and widget.selected == 1
    widget.query = (2 * again.state["query"]).tolist()
    np.testing.assert_allclose(widget.query, 2 * again.state["query"])
    state = widget.get_state()
    assert json.loads(json.dumps({name: state[name] for name in explorer.state}))["query"] == widget.query.tolist()


def test_widget_refuses_and_keeps_its_state(unhooked):
    widget = make(L=3, S=3).widget()
    before = {name: getattr(widget, name) for name in make().state}
    bad = {
        "tokens": ["a"],
        "query": np.ones((2, 3)),
        "key": np.ones((3, 2)),
        "value": np.full((3, 2), np.nan),
        "temperature": 0,
        "causal": "no",
        "scale": -1.0,
        "selected": 3,
        "caption": 1,
        "key_tokens": ["a", "b"],
    }
    assert bad.keys() == before.keys()
    for name, value in bad.items():
        with pytest.raises(traitlets.TraitError, match=r"\w: "):
            setattr(widget, name, value)
        with pytest.raises(ValueError, match=r"\w: "):
            widget.update(**{name: value})
    with pytest.raises(TypeError, match=r"update: wanted names among tokens, .* got temprature"):
        widget.update(temprature=2.0)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(widget, name), value)


def test_widget_takes_other_sizes_at_once():
    widget = make(L=3, S=3).widget()
    sent = []
    widget.send_state = lambda key=None: sent.append(key)
    widget.update(tokens=["a", "b"], query=np.ones((2, 5)), key=np.ones((2, 5)), value=np.ones((2, 1)))
    np.testing.assert_array_equal(widget.weights, np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match="query: wanted"):
        widget.update(tokens=["a", "b", "c"], temperature=3.0)
    assert widget.tokens == ["a", "b"] and widget.temperature == 1.0


# In a browser.

READ = """(figure) => {
  const rows = [...figure.querySelectorAll(".attn-row")].slice(1);
  const read = (name) => rows.map((row) => [...row.querySelectorAll(".attn-cell")].map((cell) => cell.dataset[name]));
  return {
    weights: read("weight"), scores: read("score"),
    output: [...figure.querySelectorAll("[data-output]")].map((cell) => cell.dataset.output),
    temperature: Number(figure.dataset.temperature),
    causal: figure.querySelector("[type=checkbox]").checked,
    selected: rows.findIndex((row) => row.getAttribute("aria-selected") === "true"),
  };
}"""


def figure_of(page, n=0):
    return page.locator(".attn-explorer").nth(n)


def numbers(page, n=0):
    read = figure_of(page, n).evaluate(READ)
    arrays = {name: np.array(read[name], dtype=float) for name in ("weights", "scores", "output")}
    return read | arrays | {"temperature": float(read["temperature"])}


def agree(page, explorer, n=0):
    """Compare the numbers on the page with NumPy's, in the state that the page is in, and return them."""
    shown = numbers(page, n)
    moved = {name: shown[name] for name in ("temperature", "causal", "selected")}
    again = AttentionExplorer(**{**explorer.state, **moved})
    state = again.state
    scale = state["scale"] or state["query"].shape[1] ** -0.5
    scores = np.einsum("id,jd->ij", state["query"], state["key"]) * scale
    size = max(1, np.abs(scores).max())
    np.testing.assert_allclose(shown["scores"], scores, rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(shown["weights"], again.weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(shown["output"], again.output[state["selected"]], rtol=0, atol=1e-12)
    return shown


def press(page, control, *keys, n=0):
    figure_of(page, n).locator(f"[type={control}]").focus()
    for key in keys:
        page.keyboard.press(key)


CASES = {
    "square": {"L": 5, "S": 5},
    "oblong": {"L": 5, "S": 7, "d_k": 3, "d_v": 2, "selected": 4},
    "one": {"L": 1, "S": 1, "d_k": 1, "d_v": 1},
    "scaled": {"L": 3, "S": 3, "d_k": 11, "d_v": 13, "scale": 0.7, "selected": 2},
    "steep": {"L": 3, "S": 3, "spread": 100.0, "temperature": 3.7, "causal": True},
    "huge": {"L": 3, "S": 3, "spread": 1e4},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_arithmetic(show, case):
    explorer = make(seed=11, **case)
    page = show(explorer).page
    shown = agree(page, explorer)
    assert shown["temperature"] == explorer.state["temperature"] and shown["causal"] == explorer.state["causal"]
    assert shown["selected"] == explorer.state["selected"]
    causal = {shown["causal"]}
    moves = [(["Home"], 0.1), (["ArrowRight"] * 3, 0.141), (["PageUp"] * 2, None), (["End"], 10)]
    for keys, temperature in moves:
        press(page, "range", *keys)
        assert temperature in (None, agree(page, explorer)["temperature"])
        if case["L"] == case["S"]:
            press(page, "checkbox", " ")
            causal.add(agree(page, explorer)["causal"])
    assert len(causal) == 1 + (case["L"] == case["S"])


FAULTS = {
    "no maximum subtracted": ("Math.exp((x - max)", "Math.exp((x)"),
    "axes swapped": ("query.map((q) => key.map((k)", "key.map((k) => query.map((q)"),
    "temperature forgotten": ("(x - max) / temperature", "(x - max)"),
    "temperature multiplied": ("(x - max) / temperature", "(x - max) * temperature"),
    "causal sees one ahead": ("j <= i;", "j <= i + 1;"),
    "causal backwards": ("j <= i;", "j >= i;"),
    "width of the values": ("Math.sqrt(query[0].length)", "Math.sqrt(value[0].length)"),
    "scale without root": ("1 / Math.sqrt(query[0].length)", "1 / query[0].length"),
    "not normalised": ("x / sum)", "x)"),
    "first output always": ("dataset.output = output[i][c]", "dataset.output = output[0][c]"),
    "values of one key": ("value.map((v) => v[c])", "value.map(() => value[0][c])"),
    "mask dropped": ("!causal || j <= i", "true"),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    explorers = [
        make(seed=11, spread=9.0, temperature=0.4, selected=3, causal=True),
        make(seed=12, spread=1e4),
    ]
    content = "\n".join(explorer._repr_html_() for explorer in explorers)
    assert content.count(right) == 2
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        for n, explorer in enumerate(explorers):
            agree(page, explorer, n)


@pytest.mark.browser
def test_what_is_read(show):
    explorer = sentence_figure()
    page = show(explorer).page
    figure = figure_of(page)
    weights, output = explorer.weights[7], explorer.output[7]
    row = figure.locator(".attn-row[aria-selected=true] .attn-cell")
    assert row.all_inner_texts() == [f"{weight:.2f}".removeprefix("0") for weight in weights]
    assert figure.locator("[data-output]").all_inner_texts() == [f"{x:.2f}".replace("-", "−") for x in output]
    assert figure.locator(".attn-weight span").all_inner_texts() == [f"{weight:.2f}" for weight in weights]
    bars = figure.locator(".attn-bar b").evaluate_all("bars => bars.map((bar) => parseFloat(bar.style.width))")
    np.testing.assert_allclose(bars, 100 * weights, atol=1e-3)
    first, second, third = (f"{WORDS[j]} {weights[j]:.2f}" for j in np.argsort(-weights)[:3])
    sentence = figure.locator("[aria-live=polite]").inner_text()
    assert sentence.startswith(f"“it” attends to {first}, {second}, {third}; 8 other keys share")
    assert figure.get_by_text("“it” looks back.").is_visible()
    heads = figure.locator("[role=columnheader] bdi").all_inner_texts()
    assert heads == figure.locator(".attn-map [role=rowheader] bdi").all_inner_texts() == WORDS
    # Solid is weight × value on the scale of the values, so the solid bars of all keys add up to the output's.
    solid = """(strips) => strips.map((strip) => [...strip.children].map(
        (bar) => (bar.className ? -1 : 1) * parseFloat(bar.lastChild.style.height)))"""
    drawn = np.array(figure.locator(".attn-strip").evaluate_all(solid))
    np.testing.assert_allclose(drawn[:-1].sum(0), drawn[-1], atol=1e-3)
    np.testing.assert_allclose(drawn[-1], 50 * output / np.abs(explorer.state["value"]).max(), atol=1e-3)


@pytest.mark.browser
def test_masked_cells_are_empty(show):
    page = show(make(causal=True, selected=1)).page
    cells = figure_of(page).locator(".attn-cell")
    for i in range(5):
        for j in range(5):
            cell = cells.nth(5 * i + j)
            assert (cell.get_attribute("aria-label") == "masked") == (j > i)
            assert (cell.text_content() == "") == (j > i)
            hatched = "repeating" in cell.evaluate("cell => getComputedStyle(cell).backgroundImage")
            assert hatched == (j > i)
    assert figure_of(page).get_by_text("masked").is_visible()
    press(page, "checkbox", " ")
    assert not figure_of(page).get_by_text("masked").is_visible()


@pytest.mark.browser
def test_pointer(show):
    explorer = make()
    page = show(explorer).page
    cells = figure_of(page).locator(".attn-cell")
    for row, column in ((2, 3), (4, 0), (0, 4)):
        cells.nth(5 * row + column).hover()
        assert agree(page, explorer)["selected"] == row
        assert figure_of(page).locator(".attn-term.attn-on").inner_text().startswith(f"q{column}")
    figure_of(page).locator(".attn-map [role=rowheader]").nth(3).hover()
    assert agree(page, explorer)["selected"] == 3
    figure_of(page).locator(".attn-term[data-column='1']").hover()
    assert figure_of(page).locator(".attn-head.attn-on").inner_text() == "q1"
    assert agree(page, explorer)["selected"] == 3


@pytest.mark.browser
def test_touch(show):
    explorer = make()
    page = show(explorer, size=PHONE, has_touch=True, is_mobile=True).page
    for row in (3, 1):
        figure_of(page).locator(".attn-cell").nth(5 * row).tap()
        assert agree(page, explorer)["selected"] == row


@pytest.mark.browser
def test_arrow_keys(show):
    explorer = make(selected=1)
    page = show(explorer).page
    press(page, "range")
    for _ in range(3):  # the checkbox, the button, the grid
        page.keyboard.press("Tab")
    at = "[document.activeElement.dataset.row, document.activeElement.dataset.column].map(Number)"
    assert page.evaluate(at) == [1, 0]
    moves = [
        ("ArrowDown", [2, 0]),
        ("ArrowRight", [2, 1]),
        ("End", [2, 4]),
        ("ArrowRight", [2, 4]),
        ("ArrowUp", [1, 4]),
        ("Home", [1, 0]),
        ("ArrowLeft", [1, 0]),
        ("Control+End", [4, 4]),
        ("ArrowDown", [4, 4]),
        ("Control+Home", [0, 0]),
        ("ArrowUp", [0, 0]),
    ]
    for key, place in moves:
        page.keyboard.press(key)
        assert page.evaluate(at) == place, key
        assert agree(page, explorer)["selected"] == place[0]
        assert figure_of(page).locator(".attn-map [tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("!document.activeElement.closest('.attn-map')"), "one Tab leaves the grid"


@pytest.mark.browser
def test_reset(show):
    explorer = make(temperature=2.0, selected=2, causal=True)
    page = show(explorer).page
    before = numbers(page)
    press(page, "range", "Home")
    press(page, "checkbox", " ")
    figure_of(page).locator(".attn-cell").nth(0).hover()
    assert numbers(page)["temperature"] == 0.1 and not numbers(page)["causal"]
    figure_of(page).get_by_role("button", name="Reset").click()
    assert str(numbers(page)) == str(before)


@pytest.mark.browser
def test_copies_are_independent(show):
    explorer, other = make(), make(seed=5, L=3, S=3)
    page = show(explorer, explorer, other).page
    assert page.locator(".attn-explorer").count() == 3
    press(page, "range", "Home", n=1)
    press(page, "checkbox", " ", n=2)
    shown = [agree(page, each, n) for n, each in enumerate((explorer, explorer, other))]
    assert [each["temperature"] for each in shown] == [1, 0.1, 1]
    assert [each["causal"] for each in shown] == [False, False, True]


@pytest.mark.browser
def test_script_may_run_before_its_markup(show):
    explorer = make()
    markup, script = explorer._repr_html_().split('<script type="module">')
    late = f"<script type='module'>setTimeout(() => document.body.innerHTML = {json.dumps(markup)}, 300)</script>"
    page = show(content='<script type="module">' + script + late).page
    page.wait_for_selector(".attn-explorer")
    agree(page, explorer)


@pytest.mark.browser
def test_table_stays_where_no_script_runs(show):
    page = show(sentence_figure(), java_script_enabled=False).page
    assert page.get_by_role("table").is_visible()
    assert page.get_by_role("row").nth(8).inner_text().split()[:3] == [
        "it",
        *(f"{weight:.2f}" for weight in sentence_figure().weights[7][:2]),
    ]
    page = show(sentence_figure()).page
    assert not page.locator(".attn-static").is_visible()


@pytest.mark.browser
def test_table_stays_where_the_script_fails(visit, tmp_path):
    path = tmp_path / "page.html"
    html = (
        make()._repr_html_().replace("function render(", "function render() { throw Error('planned'); }\nfunction _(")
    )
    path.write_text(PAGE.format(html="", body="", content=html), encoding="utf-8")
    visited = visit()
    assert visited.open(path.as_uri()).locator(".attn-static").is_visible()
    assert visited.errors == ["planned"]


@pytest.mark.browser
def test_nasty_tokens(show):
    rng = np.random.default_rng(0)
    explorer = AttentionExplorer(NASTY, *(rng.normal(size=(len(NASTY), 3)) for _ in range(3)), caption="<i>&lt;")
    visited = show(explorer)
    texts = (
        figure_of(visited.page)
        .locator(".attn-map [role=rowheader] bdi")
        .evaluate_all("all => all.map((one) => one.textContent)")
    )
    assert texts == NASTY
    assert figure_of(visited.page).locator(".attn-caption").inner_text() == "<i>&lt;"
    assert visited.violations() == []
    agree(visited.page, explorer)


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), HOSTS.values(), ids=HOSTS)
def test_theme_follows_the_host(show, html, body, prefers_dark, scheme):
    """The page's own mark counts; the reader's preference only where there is none."""
    visited = show(sentence_figure(), html=html, body=body, dark=prefers_dark)
    figure = figure_of(visited.page)
    roles = {"light": colours.LIGHT, "dark": colours.DARK}[scheme]
    for role in ("query", "key"):
        colour = figure.locator(f".attn-corner .attn-{role}").evaluate("node => getComputedStyle(node).color")
        assert "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour)) == roles[role]
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible_in_every_state(show, dark):
    visited = show(sentence_figure(), make(L=2, S=7, d_v=11), dark=dark)
    page = visited.page
    press(page, "checkbox", " ")
    press(page, "range", *["ArrowLeft"] * 8)
    figure_of(page).locator(".attn-cell").nth(11 * 5 + 4).hover()
    assert visited.violations() == []
    press(page, "range", "Home")
    assert visited.violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_numbers_are_legible_on_every_weight(show, dark):
    """Set each cell to a weight, by hand, and compare the two colours as the screen shows them."""
    page = show(make(L=2, S=2), dark=dark).page
    turn = re.search(r"weight > ([\d.]+)", source("attention_explorer.js"))[1]
    contrasts = (
        figure_of(page)
        .locator(".attn-cell")
        .first.evaluate(
            """(cell, turn) => {
          const canvas = new OffscreenCanvas(1, 1).getContext("2d");
          const luminance = (colour) => {
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((x) => x / 255)
              .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          return Array.from({ length: 1001 }, (_, n) => {
            cell.style.setProperty("--weight", n / 1000);
            cell.classList.toggle("attn-deep", n / 1000 > turn);
            const { color, backgroundColor } = getComputedStyle(cell);
            const [low, high] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
            return [(high + 0.05) / (low + 0.05), luminance(backgroundColor)];
          });
        }""",
            float(turn),
        )
    )
    contrasts = np.array(contrasts)
    assert contrasts[:, 0].min() >= 4.5
    steps = np.diff(contrasts[::20, 1])
    assert (steps > 0).all() if dark else (steps < 0).all(), "more weight is always further from the page"


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 800, "height": 600}, WIDE])
def test_fits(show, size):
    rng = np.random.default_rng(0)
    long = AttentionExplorer(["incomprehensibilities"] * 16, *(rng.normal(size=(16, 32)) for _ in range(3)))
    visited = show(sentence_figure(), long, make(L=2, S=3), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-cell, .attn-controls :is(label, button, input[type=range])").evaluate_all(
        """all => all.filter((one) => !one.hidden).map((one) => one.getBoundingClientRect())
          .map((box) => [box.width, box.height])"""
    )
    assert np.min(targets) >= 24
    # Only the map and the sum may scroll within the figure, and the sentence's need not on a phone.
    scrolls = (
        figure_of(page)
        .locator("*")
        .evaluate_all(
            """all => all.filter((one) => getComputedStyle(one).overflowX === "auto")
              .map((one) => one.scrollWidth - one.clientWidth)"""
        )
    )
    assert len(scrolls) == 2 and (scrolls == [0, 0] or size["width"] < 390)
    right = figure_of(page, 1).evaluate("figure => figure.getBoundingClientRect().right")
    inside = (
        figure_of(page, 1)
        .locator(".attn-sum, .attn-sentence, .attn-controls *")
        .evaluate_all("all => Math.max(...all.map((one) => one.getBoundingClientRect().right))")
    )
    assert inside <= right


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, WIDE])
def test_nothing_shifts(show, size):
    page = show(sentence_figure(), size=size).page
    boxes = """(figure) => [figure, ...figure.querySelectorAll(".attn-cell, .attn-term, .attn-sentence")]
      .map((node) => node.getBoundingClientRect())
      .map((box) => [box.x, box.y, box.width, box.height].map(Math.round))"""
    press(page, "range", "Home", *["ArrowRight"] * 20)
    before = figure_of(page).evaluate(boxes)
    scroll = page.evaluate("[scrollX, scrollY]")
    for row in range(0, 11, 2):
        figure_of(page).locator(".attn-cell").nth(11 * row).dispatch_event("pointermove")
        assert numbers(page)["selected"] == row
        for key in ("Home", "End"):
            press(page, "range", key)
            press(page, "checkbox", " ")
            page.evaluate("([x, y]) => scrollTo(x, y)", scroll)
            assert figure_of(page).evaluate(boxes) == before


@pytest.mark.browser
def test_print_shows_the_state(show):
    page = show(make(), dark=True).page
    press(page, "range", "Home")
    page.emulate_media(media="print")
    figure = figure_of(page)
    assert figure.evaluate("figure => getComputedStyle(figure).colorScheme") == "light"
    assert not figure.get_by_role("button").is_visible() and not figure.locator("input").first.is_visible()
    assert figure.locator(".attn-map").is_visible() and figure.get_by_text("0.10", exact=True).first.is_visible()
    assert not page.locator(".attn-static").is_visible()


@pytest.mark.browser
def test_motion(show):
    page = show(make()).page
    duration = "bar => getComputedStyle(bar).transitionDuration"
    bar = figure_of(page).locator(".attn-bar b").first
    assert bar.evaluate(duration) == "0s"
    page.emulate_media(reduced_motion="no-preference")
    assert bar.evaluate(duration) == "0.12s"

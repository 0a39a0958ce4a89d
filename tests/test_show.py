"""The display of a mechanism: what it holds, and that it is legible wherever it is read."""

import ast
import html
import inspect
import re
import subprocess
import sys

import jaxtyping
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from contrast import contrast

from attn_edu import core
from attn_edu import show as showing
from attn_edu._page import DARK_PAGE, themed
from attn_edu.catalogue import mechanisms
from attn_edu.exercises import Result, _check
from attn_edu.exercises._check import UNANSWERED

pytest_plugins = ["browser"]

RECORDS = mechanisms()


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def shown_in_a_notebook(monkeypatch, thing):
    """Return the two outputs that a notebook receives."""
    import IPython
    import IPython.display

    outputs = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: outputs.append(bundle))
    showing.show(thing)
    return outputs


def without_docstrings(code):
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) and len(node.body) > 1:
            del node.body[0]
    return ast.dump(tree)


# --------------------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_mechanism_is_shown_from_its_source(record, monkeypatch):
    equation, listing = shown_in_a_notebook(monkeypatch, record)
    assert equation["text/latex"] == f"$$\n{record.equation}\n$$"
    panels = re.findall(r"<pre>(.*?)</pre>", listing["text/html"], re.S)
    assert len(panels) == 2
    for panel, thing in zip(panels, (record.reference, record.module), strict=True):
        text = html.unescape(re.sub(r"<[^>]*>", "", panel))
        assert text == showing.source(thing)
        assert without_docstrings(text) == without_docstrings(inspect.getsource(thing))
        assert '"""' not in text
    assert listing["text/plain"].startswith("# NumPy\n")


def test_a_function_its_module_an_instance_and_the_record_show_the_same(monkeypatch):
    [record] = [record for record in RECORDS if record.name == "scaled_dot_product"]
    things = [record, core.scaled_dot_product, core.ScaledDotProduct, core.ScaledDotProduct()]
    first, *others = [shown_in_a_notebook(monkeypatch, thing) for thing in things]
    assert all(other == first for other in others)


def test_a_plain_interpreter_prints(capsys):
    showing.show(core.scaled_dot_product)
    printed = capsys.readouterr().out
    assert "# NumPy\ndef scaled_dot_product(" in printed
    assert "# PyTorch\nclass ScaledDotProduct(" in printed


@pytest.mark.parametrize("thing", [None, 3, "scaled_dot_product", len, np, torch.nn.Linear(2, 2), torch.nn.Module])
def test_what_is_no_mechanism_is_refused(thing, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match=r"mechanism: wanted one of core\.weighted_sum, .*scaled_dot_product.*got \w+"):
        showing.show(thing)


SAMPLE = '''
import functools

def decorate(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper

@decorate
def sample(a,  # first
           b="""not a
    docstring"""):
    r"""Docstring, "quoted".

    Long.
    """

    # a comment below it
    def inner():
        """Inner docstring."""
        return 1  # kept

    return   inner()

class Only:
    """Only a docstring."""

class Methods:
    """Docstring."""
    def one(self):
        "One line."
        x = 1; return x

    def two(self): "Kept, there is nothing else."

    def three(self):
        "On the line"; return 3
'''

EXPECTED = '''\
@decorate
def sample(a,  # first
           b="""not a
    docstring"""):
    # a comment below it
    def inner():
        return 1  # kept

    return   inner()'''


def test_docstrings_go_and_the_rest_stays(tmp_path, monkeypatch):
    (tmp_path / "sample_module.py").write_text(SAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    import sample_module

    assert showing.source(sample_module.sample) == EXPECTED
    assert showing.source(sample_module.Only) == 'class Only:\n    """Only a docstring."""'
    methods = showing.source(sample_module.Methods)
    assert methods.startswith("class Methods:\n    def one(self):\n        x = 1; return x\n")
    assert 'def two(self): "Kept, there is nothing else."' in methods
    assert '"On the line"; return 3' in methods
    with pytest.raises(TypeError):
        showing.source(len)


# -------------------------------------------------------------------------------------------------- the page


def test_tabs_are_native_labelled_and_stable(monkeypatch):
    once, again = (shown_in_a_notebook(monkeypatch, core.SelfAttention)[1]["text/html"] for _ in range(2))
    assert once == again
    assert once.count("<form ") == 1  # the group of the radio buttons, so that two on a page do not meet
    assert re.findall(r"<label><input type=\"radio\" name=\"form\"( checked)?>(\w+)</label>", once) == [
        (" checked", "NumPy"),
        ("", "PyTorch"),
    ]
    assert not re.search(r"\bid=|<script|https?://", once)


def test_without_pygments_the_source_is_escaped(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygments", None)
    assert showing._highlighted("a < b & c") == "a &lt; b &amp; c"


@pytest.mark.parametrize("page", ["light", "dark"])
def test_every_token_is_legible(page):
    tones = showing.COLOURS[page]
    for name, tone in tones.items():
        if name not in ("card", "edge"):
            assert contrast(tone, tones["card"]) >= 4.5, name
    assert contrast(tones["edge"], tones["card"]) >= 3
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_styles_stay_inside_their_output():
    for scope, style in (("attn-show", showing._STYLE), ("attn-check", _check._STYLE)):
        bare = re.sub(r"@media print\{(.*)\}\s*$", r"\1", style.strip(), flags=re.S)
        for selectors in re.findall(r"([^{}]+)\{[^{}]*\}", bare):
            for selector in re.sub(re.escape(DARK_PAGE), "", selectors).split(","):
                assert selector.strip().startswith((f".{scope}", f".text_html:has(>.{scope})")), selector


def test_every_colour_has_a_counterpart():
    with pytest.raises(ValueError, match=r"dark: wanted the colours \['a'\], got \['b'\]"):
        themed("x", {"a": "#000"}, {"b": "#fff"})


PAGES = {
    "light": ("", ""),
    "book, dark": (' data-theme="dark"', ""),
    "Colab, dark": (' theme="dark"', ""),
    "JupyterLab, dark": ("", ' data-jp-theme-light="false"'),
}


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_outputs_in_a_browser(name, visit, monkeypatch):
    things = (core.scaled_dot_product, core.scaled_dot_product)  # twice, to see that the tabs do not meet
    outputs = [shown_in_a_notebook(monkeypatch, thing)[1]["text/html"] for thing in things]
    outputs += [
        Result(passed, message, "Hint 1 of 1: look at `w`.")._repr_html_()
        for passed, message in ((True, "Right"), (False, "Wrong"), (False, UNANSWERED))
    ]
    root, body = PAGES[name]
    main = "".join(f'<div class="text_html">{output}</div>' for output in outputs)
    view = visit(size={"width": 390, "height": 844})
    page = view.page
    page.set_content(
        f'<!doctype html><html lang="en"{root}><head><title>Outputs</title></head>'
        f"<body{body}><main><h1>Outputs</h1>{main}</main></body></html>"
    )
    tones = showing.COLOURS["light" if name == "light" else "dark"]
    card = page.locator(".attn-show").first.evaluate("e => getComputedStyle(e).backgroundColor")
    assert card == "rgb({}, {}, {})".format(*bytes.fromhex(tones["card"][1:]))
    panels = [page.locator(".attn-show").nth(i).locator("> div:visible") for i in (0, 1)]
    page.locator(".attn-show input").first.focus()
    page.keyboard.press("ArrowRight")
    assert [panel.get_attribute("aria-label") for panel in panels] == ["PyTorch source", "NumPy source"]
    assert not view.violations()
    assert view.overflow() == 0  # long lines scroll inside
    assert not view.errors + view.foreign


def test_neither_ipython_nor_matplotlib_is_imported_before_it_is_needed():
    code = (
        "import sys, attn_edu.plotting, attn_edu.show; print({'IPython', 'matplotlib', 'pygments'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

"""Show a mechanism from its installed source: equation, NumPy function, PyTorch module.

What a page shows is what runs: nothing is pasted. The tabs are two radio buttons and a stylesheet, so they work in
the built book, JupyterLab and Colab, without a script and from the keyboard.
"""

import ast
import html
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from typing import Any

from torch import nn

from ._page import themed
from .catalogue import mechanisms
from .mechanism import Mechanism

COLOURS = {
    "light": {
        "ink": "#1f2328",
        "card": "#f7f7f5",
        "edge": "#6e7781",
        "keyword": "#0a4a9e",
        "comment": "#57606a",
        "string": "#9a1f4b",
        "number": "#0b5c7a",
    },
    "dark": {
        "ink": "#e6e6e6",
        "card": "#1c1f26",
        "edge": "#9aa4b0",
        "keyword": "#82bdff",
        "comment": "#a3adb8",
        "string": "#ff9db4",
        "number": "#7fd4ee",
    },
}

# Pygments marks a token with a short class; its first letter tells the kind: keyword, comment, string, number.
_STYLE = (
    themed("attn-show", COLOURS["light"], COLOURS["dark"])
    + """
.attn-show{background:var(--card);color:var(--ink);border:1px solid var(--edge);border-radius:.25rem;margin:0}
.attn-show fieldset{border:0;margin:0;padding:.4rem .9rem;min-width:0}
.attn-show legend{float:left;margin:0 1rem 0 0;padding:0;font-size:1em;width:auto;color:inherit}
.attn-show label{display:inline-block;margin:0 1rem 0 0;cursor:pointer;color:inherit}
.attn-show label:has(:checked){font-weight:bold;text-decoration:underline;text-underline-offset:.3em}
.attn-show input{accent-color:var(--keyword);margin:0 .3rem 0 0}
.attn-show>div{border-top:1px solid var(--edge);overflow-x:auto}
.attn-show pre{background:none;color:inherit;border:0;border-radius:0;box-shadow:none;margin:0;padding:.7rem .9rem;
width:max-content;max-width:none;overflow:visible;white-space:pre;font-size:.85em;line-height:1.5}
.attn-show pre span{background:none;color:inherit}
.attn-show pre [class^=k],.attn-show pre .ow{color:var(--keyword)}
.attn-show pre [class^=c]{color:var(--comment);font-style:italic}
.attn-show pre [class^=s]{color:var(--string)}
.attn-show pre [class^=m]{color:var(--number)}
.attn-show pre .nf,.attn-show pre .nc{font-weight:bold}
.attn-show:has(label:nth-of-type(1) :checked)>div:nth-of-type(2),
.attn-show:has(label:nth-of-type(2) :checked)>div:nth-of-type(1){display:none}
@media print{.attn-show>div{display:block!important}}
"""
)


_MARKED = 'k|c|s|m|(?:ow|nf|nc)"'  # classes that the style above knows; other marks would be two thirds of a listing


def show(mechanism: Mechanism | Callable[..., Any] | nn.Module) -> None:
    r"""Display a mechanism's equation, NumPy function and PyTorch module, read from the installed source.

    Docstrings are left out, comments stay. A notebook shows the equation typeset and the sources in tabs; a plain
    interpreter prints them.

    Parameters
    ----------
    mechanism
        A record of the catalogue, its NumPy function, its PyTorch class or an instance of that.

    Raises
    ------
    TypeError
        If it is none of these; the message names what can be shown.

    Examples
    --------
    >>> from attn_edu import core
    >>> show(core.weighted_sum)  # doctest: +ELLIPSIS
    y_i = \sum_j ...# NumPy...def weighted_sum(...# PyTorch...class WeightedSum(nn.Module):...
    """
    record = _record(mechanism)
    forms = {"NumPy": source(record.reference), "PyTorch": source(record.module)}
    listing = "\n\n".join(f"# {name}\n{code}" for name, code in forms.items())
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            equation = f"$$\n{record.equation}\n$$"
            display({"text/latex": equation, "text/plain": record.equation}, raw=True)
            display({"text/html": _tabs(record.title, forms), "text/plain": listing}, raw=True)
            return
    print(f"{record.equation}\n\n{listing}")


def source(thing: Callable[..., Any]) -> str:
    """Return the source of a function or class without docstrings; comments and layout stay.

    Parameters
    ----------
    thing
        A function or class that stands in a file.

    Returns
    -------
    str
        Its text, from the first decorator on, without a line break at the end.

    Raises
    ------
    TypeError
        If it is anything else, or was not written in a file of Python.

    Examples
    --------
    >>> print(source(themed).splitlines()[0])
    def themed(scope: str, light: Mapping[str, str], dark: Mapping[str, str]) -> str:
    """
    try:
        text = textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    except (TypeError, OSError):
        got = getattr(thing, "__name__", type(thing).__name__)
        raise TypeError(f"thing: wanted a function or class that stands in a file of Python, got {got}") from None
    lines = text.splitlines()
    gone: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        first = node.body[0]
        if ast.get_docstring(node, clean=False) is None or len(node.body) == 1:
            continue  # a body must keep one statement
        last = first.end_lineno or first.lineno
        if node.body[1].lineno > last:
            gone.update(range(first.lineno, last + 1))
            if not lines[last].strip():  # the empty line below
                gone.add(last + 1)
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in gone)


def _record(thing: Any) -> Mechanism:
    if isinstance(thing, Mechanism):
        return thing
    records = mechanisms()
    for record in records:
        if thing is record.reference or thing is record.module or type(thing) is record.module:
            return record
    known = ", ".join(f"{record.family}.{record.name}" for record in records)
    name = getattr(thing, "__name__", type(thing).__name__)
    raise TypeError(f"mechanism: wanted one of {known}, its PyTorch module or its record, got {name}")


def _tabs(title: str, forms: dict[str, str]) -> str:
    # The form gives the radio buttons a group of their own, so one mechanism can stand on a page twice.
    labels = "".join(
        f'<label><input type="radio" name="form"{" checked" if not place else ""}>{name}</label>'
        for place, name in enumerate(forms)
    )
    # What scrolls is a div: the book's theme takes the tab stop from a pre that is hidden when the page opens.
    panels = "".join(
        f'<div tabindex="0" role="group" aria-label="{name} source"><pre>{_highlighted(code)}</pre></div>'
        for name, code in forms.items()
    )
    legend = f"<legend>{html.escape(title)}</legend>"
    style = f"<style>{_STYLE}</style>"
    return f'<form class="attn-show" method="dialog">{style}<fieldset>{legend}{labels}</fieldset>{panels}</form>'


def _highlighted(code: str) -> str:
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ImportError:
        return html.escape(code)
    marked = highlight(code, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip("\n")
    return re.sub(rf'<span class="(?!{_MARKED})\w+">([^<]*)</span>', r"\1", marked)

"""What every figure is made of: a state, a script that draws it, and a table for where no script runs.

A figure is a pair of files, ``name.js`` and ``name.css``, and a class here that checks its state. The script is
an ES module with the one export that anywidget asks for, ``export default { render({ model, el }) }``. Put in a
page with a few lines that play the model, it needs no kernel; given to anywidget, Python sees each change.
"""

import functools
import hashlib
import html
import inspect
import json
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

HERE = Path(__file__).parent

# The page's side of anywidget's protocol. A host may run a script before its markup is in the page, hence `start`.
PLAYER = re.sub(
    "(?m)^ +",
    "",
    """\
{
  const state = %(state)s;
  const divided = (x, over) => (x.map ? x.map((y) => divided(y, over)) : x / over);
  for (const [name, x] of Object.entries(state)) if (x?.over) state[name] = divided(x.whole, x.over);
  const listeners = {};
  const model = {
    get: (name) => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      for (const tell of [...(listeners["change:" + name] ?? [])]) tell();
    },
    on: (event, tell) => void (listeners[event] ??= new Set()).add(tell),
    off: (event, tell) => void listeners[event]?.delete(tell),
    save_changes() {},
  };
  const start = (tries) => {
    const host = document.querySelector('[data-attn-figure="%(key)s"]:not([data-attn-taken])');
    if (!host) return tries && setTimeout(start, 50, tries - 1);
    host.setAttribute("data-attn-taken", "");
    figure.render({ model, el: host.querySelector(".attn-live") });
    host.querySelector(".attn-static").hidden = true;
  };
  start(200);
}
""",
)


def plain(value: Any, _widget: Any = None) -> Any:
    """Turn arrays into nested lists, which JSON knows; anything else stays what it is.

    Parameters
    ----------
    value : Any
        A part of a figure's state.

    Returns
    -------
    Any
        What JSON can hold.

    Examples
    --------
    >>> plain(np.eye(2))
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return value.tolist() if isinstance(value, np.ndarray) else value


def shorter(value: Any) -> Any:
    """Turn arrays into what JSON knows; a large one of rounded numbers into whole hundredths or thousandths.

    The page divides them, which gives the very numbers back: both are the double nearest to the decimal fraction.

    Parameters
    ----------
    value : Any
        A part of a figure's state.

    Returns
    -------
    Any
        What JSON can hold.

    Examples
    --------
    >>> shorter(np.full(3, 0.125))
    [0.125, 0.125, 0.125]
    >>> shorter(np.full((1, 99), 0.25))["over"], shorter(np.full((1, 99), 0.25))["whole"][0][:3]
    (100, [25, 25, 25])
    """
    if isinstance(value, np.ndarray) and value.size >= 64 and value.dtype.kind == "f":
        for over in (100, 1000):
            whole = np.rint(value * over)
            if np.array_equal(whole / over, value):
                return {"over": over, "whole": whole.astype(int).tolist()}
    return plain(value)


def script_json(state: dict[str, Any]) -> str:
    r"""Write a state as JSON that can stand inside a script element.

    Parameters
    ----------
    state : dict
        Names and what they hold: arrays, and what JSON knows.

    Returns
    -------
    str
        JSON in ASCII without ``<``, so that nothing in it ends the script or opens a comment.

    Raises
    ------
    ValueError
        If a number is infinite or not a number.

    Examples
    --------
    >>> print(script_json({"token": "</script>"}))
    {"token":"\u003c/script>"}
    """
    parts = {name: shorter(value) for name, value in state.items()}
    return json.dumps(parts, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


@functools.cache
def source(file: str) -> str:
    """Read one of the files beside this one."""
    return (HERE / file).read_text(encoding="utf-8")


def lean(file: str) -> str:
    """Return a script or a style as a page carries it: without comments, indentation and empty lines.

    What stands on one line stays on one. No text may run over several, nor hold ``//`` after a space.

    Parameters
    ----------
    file : str
        A file beside this one.

    Returns
    -------
    str
        What it says to a browser.

    Examples
    --------
    >>> print(lean("theme.css")[:36])
    .attn-figure {
    color-scheme: light d
    """
    comment = r"/\*.*?\*/" if file.endswith(".css") else r"(?m)^\s*//.*$|\s//[^\n\"'`]*$"
    bare = re.sub(comment, "", source(file), flags=re.S if file.endswith(".css") else 0)
    return "".join(f"{line}\n" for line in map(str.strip, bare.splitlines()) if line)


class Figure:
    """A figure that works without a kernel, and with one on request.

    A subclass sets `name` and `readings`, checks its arguments in ``__init__``, stores them in `state` under the
    names of the parameters, and writes `summary` and `table`. Since the names are the same, a state is checked by
    building a figure from it; a live widget does just that whenever Python changes one of its traits.

    Attributes
    ----------
    name : str
        The files ``name.js`` and ``name.css`` draw the figure.
    readings : tuple of str
        Properties that a live widget passes on.
    scripts, styles : tuple of str
        The files before its own, shared with other figures.
    state : dict
        The checked arguments, by name: arrays, and what JSON knows.
    """

    name: ClassVar[str]
    readings: ClassVar[tuple[str, ...]] = ()
    scripts: ClassVar[tuple[str, ...]] = ("kit.js",)
    styles: ClassVar[tuple[str, ...]] = ("theme.css",)
    state: dict[str, Any]

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        raise NotImplementedError

    def table(self) -> str:
        """Write the HTML shown where no script runs."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary()}>"

    def _repr_html_(self) -> str:
        module = "".join(map(lean, (*self.scripts, f"{self.name}.js")))
        if module.count("export default {") != 1 or "</script" in module or "<!--" in module:
            raise ValueError(f"{self.name}.js: wanted one 'export default {{' and no '</script' or '<!--'")
        script = module.replace("export default {", "const figure = {")
        # One element for each file, so that a page with several figures may keep what they share once.
        styles = "".join(f"<style>\n{lean(file)}</style>\n" for file in (*self.styles, f"{self.name}.css"))
        content = f"""\
{styles}<figure class="attn-figure attn-static">
<p>{html.escape(self.summary())}</p>
{self.table()}
</figure>
<div class="attn-live"></div>
"""
        state = script_json(self.state)
        key = hashlib.sha256("\0".join([script, PLAYER, content, state]).encode()).hexdigest()[:16]
        # Classes keep MathJax away from tokens, the data attribute JupyterLab's shortcuts from the arrow keys.
        return f"""\
<div class="attn-host tex2jax_ignore mathjax_ignore" data-attn-name="{self.name}" data-attn-figure="{key}"
  data-lm-suppress-shortcuts="true">
{content}</div>
<script type="module">
{script}
{PLAYER % {"state": state, "key": key}}</script>
"""

    def widget(self) -> Any:
        """Return the figure as a live widget, for a notebook with a running kernel.

        Its traits bear the names of the figure's parameters. What Python sets, the view shows; what the reader
        moves, Python sees. ``update(**traits)`` sets several at once, and a bad value raises and changes nothing.

        Returns
        -------
        anywidget.AnyWidget
            One that starts from this figure's state.

        Raises
        ------
        ImportError
            If anywidget is not installed.
        """
        kind: Any = type(self)
        return widget_class(kind)(**self.state)


class ChartFigure(Figure):
    """A figure whose script uses ``chart.js``, axes and sliders, as well as ``kit.js``."""

    scripts: ClassVar[tuple[str, ...]] = ("kit.js", "chart.js")
    styles: ClassVar[tuple[str, ...]] = ("theme.css", "chart.css")


@functools.cache
def widget_class(figure: Any) -> type:
    """Make the anywidget class that shows a kind of figure.

    Parameters
    ----------
    figure : type
        A subclass of `Figure`.

    Returns
    -------
    type
        A subclass of ``anywidget.AnyWidget``.

    Raises
    ------
    ImportError
        If anywidget is not installed.
    """
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise ImportError("a live widget needs anywidget; to install it: pip install anywidget") from error

    class BadState(traitlets.TraitError, ValueError):
        """A trait was set to something that the figure cannot show."""

    def state(widget: Any) -> dict[str, Any]:
        return {name: getattr(widget, name) for name in names}

    def validate(widget: Any, proposal: Any) -> Any:
        try:
            return figure(**{**state(widget), proposal.trait.name: proposal.value}).state[proposal.trait.name]
        except (TypeError, ValueError) as error:
            raise BadState(str(error)) from None

    def reading(name: str) -> property:
        return property(lambda widget: getattr(figure(**state(widget)), name), doc=getattr(figure, name).__doc__)

    def update(widget: Any, **traits: Any) -> None:
        if unknown := traits.keys() - names:
            raise TypeError(f"update: wanted names among {', '.join(names)}, got {', '.join(sorted(unknown))}")
        with widget.hold_sync(), widget.hold_trait_notifications():
            for name, value in traits.items():
                setattr(widget, name, value)

    names = tuple(inspect.signature(figure).parameters)
    members: dict[str, Any] = {name: traitlets.Any().tag(sync=True, to_json=plain) for name in names}
    members |= {name: reading(name) for name in figure.readings}
    members |= {
        "__doc__": figure.__doc__,
        "__module__": figure.__module__,
        "_esm": "".join(map(source, (*figure.scripts, f"{figure.name}.js"))),
        "_css": "".join(map(source, (*figure.styles, f"{figure.name}.css"))),
        "_validate_state": traitlets.validate(*names)(validate),
        "update": update,
    }
    return type(f"{figure.__name__}Widget", (anywidget.AnyWidget,), members)

"""Keep what several outputs of a page share once on it: their styles, and the script that all figures begin with.

In a notebook every output brings its own, since it may be the only one shown. On a page the first serves all.
"""

import re
from typing import Any

from sphinx.application import Sphinx


def once(html: str) -> str:
    """Leave out style elements that the page has already."""
    seen: set[str] = set()

    def keep(found: re.Match[str]) -> str:
        known = found[1] in seen
        seen.add(found[1])
        return "" if known else found[0]

    return re.sub(r"<style>(.*?)</style>\n?", keep, html, flags=re.S)


def together(html: str, shared: str, player: str) -> str:
    """Make one script of a page's figures; an error in one stops no other.

    Each begins with `shared` and ends with `player`, which differs in nothing but a state and a key: on the page it is
    a function of both.
    """
    pattern = re.compile(rf'<script type="module">\n{re.escape(shared)}(.*?)</script>\n?', re.S)
    if len(blocks := pattern.findall(html)) < 2:
        return html
    head, middle, tail = map(re.escape, re.split(r"%\(state\)s|%\(key\)s", player))
    parts = (re.sub(f"{head}(.*){middle}(.*){tail}", r'play(figure, \1, "\2");\n', block) for block in blocks)
    body = re.sub(r" *const state = %\(state\)s;\n", "", player).replace("%(key)s", "' + key + '")
    play = f"const play = (figure, state, key) => {body.rstrip()};\n"
    tried = "".join(f"try {{\n{part}}} catch (error) {{\nreportError(error);\n}}\n" for part in parts)
    return f'{pattern.sub("", html)}<script type="module">\n{shared}{play}{tried}</script>\n'


def lighten(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if "body" not in context:
        return
    context["body"] = once(context["body"])
    if "data-attn-figure" in context["body"]:
        from attn_edu.interactive._figure import PLAYER, lean

        context["body"] = together(context["body"], lean("kit.js"), PLAYER)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

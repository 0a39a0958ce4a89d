"""Keep each style that outputs carry once on a page.

In a notebook every output brings its own style, since it may be the only one shown. On a page the first serves all.
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


def lighten(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if "body" in context:
        context["body"] = once(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

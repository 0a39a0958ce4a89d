"""Give errata and figures of the chapters an address, lead the errata page to them, and gather the figures.

A paragraph or box that says *Erratum E12* gets the anchor ``erratum-e12``, the cell of a figure ``figure-<name>``.
On `book/errata.md` a link to a chapter then leads to the very place. On `book/gallery.md` each element
``<div data-figure="name"></div>`` is replaced by the figure as its chapter shows it.
"""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

logger = logging.getLogger(__name__)

ERRATA, GALLERY = "book/errata", "book/gallery"
WANTED = re.compile(r'<div data-figure="(\w+)"></div>')
TABLE = re.compile(r'(<figure class="attn-figure attn-static">\n<p>[^<]*</p>\n).*?(</figure>)', re.S)
NAMED = re.compile(r'data-attn-name="(\w+)"')


def raw_figures(doctree: nodes.document) -> Iterator[tuple[nodes.raw, str]]:
    """Yield each figure's HTML with its name."""
    for node in doctree.findall(nodes.raw):
        if found := NAMED.search(node.astext()):
            yield node, found[1]


def address(app: Sphinx, doctree: nodes.document) -> None:
    """Give anchors to the errata and the figures of a page that was just read."""
    if not app.env.docname.startswith("notebooks/"):
        return
    taken: set[str] = set()

    def name(node: nodes.Element, anchor: str) -> None:
        if anchor not in taken:
            taken.add(anchor)
            node["ids"].append(anchor)

    for paragraph in doctree.findall(nodes.paragraph):
        for found in re.findall(r"\b[Ee]rrat(?:um|a) (E\d+(?:, E\d+)*)", paragraph.astext()):
            box = paragraph.parent if isinstance(paragraph.parent, nodes.block_quote) else paragraph
            for number in found.split(", "):
                name(box, f"erratum-{number.lower()}")
    for node, figure in raw_figures(doctree):
        cell = node.parent
        while cell.parent is not None and cell.get("nb_element") != "cell_code":
            cell = cell.parent
        name(cell, f"figure-{figure}")


def anchors(env: BuildEnvironment, docname: str) -> set[str]:
    """Return the anchors that `address` gave on a page."""
    return {
        anchor
        for node in env.get_doctree(docname).findall(nodes.Element)
        for anchor in node.get("ids", ())
        if anchor.startswith(("erratum-", "figure-"))
    }


def lead_to_errata(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let each row's links to chapters lead to where these speak of the erratum; there must be one."""
    if docname != ERRATA:
        return
    pages = {app.builder.get_relative_uri(docname, page): page for page in app.env.found_docs if "/" in page}
    for row in doctree.findall(nodes.row):
        if not (found := re.match(r"E\d+", row.astext().strip())):
            continue
        anchor = f"erratum-{found[0].lower()}"
        links = [link for link in row.findall(nodes.reference) if link.get("refuri") in pages]
        there = [link for link in links if anchor in anchors(app.env, pages[link["refuri"]])]
        for link in there:
            link["refuri"] += f"#{anchor}"
        if not there:
            logger.warning("no chapter of the row speaks of erratum %s", found[0], location=docname)


def lead_to_figures(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let the link before each figure of the gallery lead to the figure in its chapter."""
    if docname != GALLERY:
        return
    link = None
    for node in doctree.findall(lambda node: isinstance(node, (nodes.reference, nodes.raw))):
        if isinstance(node, nodes.reference):
            link = node
        elif (found := WANTED.search(node.astext())) and link is not None:
            link["refuri"] += f"#figure-{found[1]}"
            link = None


def gathered(env: BuildEnvironment) -> dict[str, str]:
    """Return the HTML of every figure in the chapters, by name; the first one of each.

    The table for readers without scripts stays in the chapter: here it would make the page a tenth heavier.
    """
    found: dict[str, str] = {}
    for docname in sorted(env.found_docs):
        if docname.startswith("notebooks/"):
            for node, name in raw_figures(env.get_doctree(docname)):
                found.setdefault(name, TABLE.sub(r"\1\2", node.astext()))
    return found


def hang(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the figures into the gallery."""
    if page != GALLERY:
        return
    figures = gathered(app.env)
    wanted = WANTED.findall(context["body"])
    for name in sorted(figures.keys() - set(wanted)):
        logger.warning("the figure %s of a chapter is not shown", name, location=page)
    for name in wanted:
        if name not in figures:
            logger.warning("no chapter shows the figure %s", name, location=page)
    context["body"] = WANTED.sub(lambda found: figures.get(found[1], ""), context["body"])


def follow(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Read the two pages again when a chapter has changed."""
    if not any(page.startswith("notebooks/") for page in added | changed | removed):
        return []
    return [page for page in (ERRATA, GALLERY) if page in env.found_docs]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", address)
    app.connect("doctree-resolved", lead_to_errata)
    app.connect("doctree-resolved", lead_to_figures)
    app.connect("html-page-context", hang, priority=400)  # before styles are thinned out, see book_styles
    app.connect("env-get-outdated", follow)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

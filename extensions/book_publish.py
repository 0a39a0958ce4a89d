"""Say what each page is about to those who find or share it, and help those who come by a wrong address.

Every page gets a description (its first paragraph; a chapter's is its promise) and what a preview of a link shows.
A page `404.html` works wherever a site shows it, and `sitemap.xml` lists the pages. The address of the site is
`html: baseurl` in `_config.yml`.
"""

import re
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from docutils import nodes
from sphinx.application import Sphinx

PREVIEW = (
    "social.png",
    1200,
    630,
    "Attention, from a weighted sum up: y_i is the sum of w_ij x_j, beside a grid of weights",
)
LENGTH = 200
OTHERS = {
    "404": ("No page at this address", "This page was not found; the book has others."),
    "genindex": ("Index", "Every function, class and method of the package attn_edu, by name."),
    "search": ("Search", "Search the book for a word: its chapters, its reference and its code."),
}
LOST = """
<h1>No page at this address</h1>
<p>A link was mistyped, or the page has moved. The weights of this book are elsewhere:</p>
<ul>
<li><a href="index.html">The front page</a>, with a map of all chapters</li>
<li><a href="search.html">Search</a></li>
<li><a href="book/glossary.html">Glossary</a>, <a href="book/notation.html">notation</a> and
<a href="book/catalogue.html">catalogue</a></li>
</ul>
"""


def bare(html: str) -> str:
    """Return the text of a title."""
    return unescape(re.sub(r"<[^>]+>", "", html))


def plain(node: nodes.Node) -> str:
    """Return a node's text without notes, and citations and equations as they can stand in a line."""
    if isinstance(node, nodes.math | nodes.math_block):
        text = re.sub(r"\\(?:text|mathrm|mathbf|sqrt)\b|\\[,;!]|[{}]", "", node.astext())
        return re.sub(r"\\([a-zA-Z]+)", r"\1", text)
    if isinstance(node, nodes.Text):
        return str(node)
    return "".join(plain(child) for child in node.children)


def shortened(text: str) -> str:
    """Cut a text to what a list of results shows: whole sentences, or else whole words."""
    text = " ".join(text.split())
    if len(text) <= LENGTH:
        return text
    ends = [found.end(1) for found in re.finditer(r"([.?!])(?= )", text[: LENGTH + 1])]
    return text[: ends[-1]] if ends and ends[-1] > LENGTH // 3 else text[:LENGTH].rsplit(" ", 1)[0].rstrip(",;:") + " …"


def description(doctree: nodes.document | None) -> str:
    """Return the first paragraph of a page's own text, shortened; an empty text if there is none."""
    for section in doctree.findall(nodes.section) if doctree is not None else ():
        for child in section.children:
            if isinstance(child, nodes.paragraph) and (text := shortened(plain(child))):
                return text
    return ""


def describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Write a page's description and preview into its head."""
    book = app.config.html_title
    title, text = OTHERS.get(page, ("", "")) if doctree is None else (bare(context["title"]), description(doctree))
    title, text = title or book, text or f"{title or page}: a page of the book “{book}”."
    tags = [f'<meta name="description" content="{escape(text)}"/>']
    if base := app.config.html_baseurl:
        image, width, height, alt = PREVIEW
        shown = {
            "og:type": "website" if page == app.config.root_doc else "article",
            "og:site_name": book,
            "og:title": title,
            "og:description": text,
            "og:url": urljoin(base, "" if page == app.config.root_doc else app.builder.get_target_uri(page)),
            "og:image": urljoin(base, f"_static/{image}"),
            "og:image:width": str(width),
            "og:image:height": str(height),
            "og:image:alt": alt,
        }
        tags += [f'<meta property="{name}" content="{escape(value)}"/>' for name, value in shown.items()]
        tags.append('<meta name="twitter:card" content="summary_large_image"/>')
    context["metatags"] = context.get("metatags", "") + "\n    " + "\n    ".join(tags)


def lost_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Add the page for wrong addresses."""
    yield "404", {"title": OTHERS["404"][0], "body": LOST}, "page.html"


def anchored(html: str, base: str) -> str:
    """Let a page's links, scripts and styles begin at the root of the site: it is shown at any depth."""
    html = re.sub(r'\b(href|src|action|data-content_root)="(?![a-z]+:|[#/])(?:\./)?', rf'\1="{base}', html)
    return html.replace(f'href="{base}#"', 'href="#"')


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Give the page for wrong addresses its links, and write the list of pages."""
    if exception or app.builder.name != "html":
        return
    lost, out = Path(app.outdir) / "404.html", Path(app.outdir)
    lost.write_text(anchored(lost.read_text(encoding="utf8"), urlsplit(app.config.html_baseurl).path or "/"), "utf8")
    if base := app.config.html_baseurl:
        pages = sorted(app.env.found_docs)
        addresses = [
            urljoin(base, "" if page == app.config.root_doc else app.builder.get_target_uri(page)) for page in pages
        ]
        lines = "\n".join(f"<url><loc>{escape(address)}</loc></url>" for address in addresses)
        (out / "sitemap.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{lines}\n</urlset>\n',
            "utf8",
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-collect-pages", lost_page)
    app.connect("html-page-context", describe)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

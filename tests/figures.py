"""What the tests of figures share: pages that hosts put them in, texts that hurt, and hands that move them."""

import re
from html.parser import HTMLParser

import pytest

NASTY = ["</script><b>x", "<!--", "a \"quo'te", "שלום", "&amp;", "$x$ \\(y\\)", "\u202eabc", "a\u2028b", "深度"]
PAGE = """<!doctype html>
<html lang="en"{html}><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Figures</title></head><body{body}><main><h1>Figures</h1>{content}</main></body></html>
"""
# How each host marks a page, and the colours that its figures then have.
HOSTS = {
    "book light": (' data-theme="light"', "", True, "light"),
    "book dark": (' data-theme="dark"', "", False, "dark"),
    "lab light": ("", ' data-jp-theme-light="true"', True, "light"),
    "lab dark": ("", ' data-jp-theme-light="false"', False, "dark"),
    "colab light": (' theme="light"', "", True, "light"),
    "colab dark": (' theme="dark"', "", False, "dark"),
    "plain light": ("", "", False, "light"),
    "plain dark": ("", "", True, "dark"),
}
# Two of them, enough for a colour of one figure: that all are followed, tests/test_figures.py proves of each figure.
SCHEMES = {name: HOSTS[name] for name in ("book light", "book dark")}


class Outline(HTMLParser):
    """Collect tags, attributes and the text of scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.scripts, self.text = [], [], [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_comment(self, data):
        self.tags.append("comment")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts.append(data)
        self.text += data


def closed(html):
    """Return the outline of a figure's HTML that asks for nothing from outside and lets nothing out of its texts."""
    outline = Outline(html)
    foreign = re.findall(r"https?:[^\"]*|@import|url\(|\beval\b|\bimport\b|Blob|innerHTML", html)
    assert set(foreign) <= {"http://www.w3.org/2000/svg"}, "but for SVG's name, which nobody fetches"
    assert not [name for name, _ in outline.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert not [name for name, _ in outline.attributes if name == "id"], "ids would clash when shown twice"
    assert not {"b", "i", "comment"} & set(outline.tags)
    assert outline.tags.count("script") == 1 == html.count("</script>") == len(outline.scripts)
    assert "export" not in outline.scripts[0]
    assert ("data-lm-suppress-shortcuts", "true") in outline.attributes
    return outline


@pytest.fixture
def show(visit, tmp_path):
    """Open a page with figures from the disk; return the visit. Errors and foreign requests fail the test."""
    opened = []

    def show(*figures, html="", body="", content=None, **options):
        content = "\n".join(figure._repr_html_() for figure in figures) if content is None else content
        path = tmp_path / f"page{len(opened)}.html"
        path.write_text(PAGE.format(html=html, body=body, content=content), encoding="utf-8")
        opened.append(visit(**options))
        opened[-1].open(path.as_uri(), whole=True)
        return opened[-1]

    yield show
    for each in opened:
        assert each.errors == [] and each.foreign == []


def slide(figure, label, value):
    """Move a figure's slider of this name to a value."""
    figure.get_by_role("slider", name=label, exact=True).evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", str(value)
    )

"""Every page of the built book in a browser: light and dark, wide and as narrow as a phone, offline."""

import os
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from browser import CITATIONS, PHONE, WIDE, Visit
from building import toc_pages

from attn_edu import colours

pytest_plugins = ["browser", "building"]
pytestmark = [pytest.mark.browser, pytest.mark.build]

PAGES = [*toc_pages(), "genindex", "search"]
SAMPLE = ["index", "book/catalogue", "book/gallery", "notebooks/foundations/07_many_heads", "genindex"]
MANY_SIDED = PAGES if os.environ.get("ATTN_AUDIT") == "all" else SAMPLE


def faults(visit: Visit) -> list[str]:
    """List what is wrong with the open page at its present width."""
    page = visit.page
    found = visit.errors + [f"asks another host: {url}" for url in visit.foreign]
    if visit.overflow() > 0:
        found.append(f"scrolls sideways by {visit.overflow()} pixels")
    wanted, typeset = page.locator(".math:not(mjx-container *)").count(), page.locator("mjx-container").count()
    if typeset < wanted:
        found.append(f"{typeset} of {wanted} equations are typeset")
    found += page.locator("mjx-merror, [data-mjx-error]").all_text_contents()
    cites = page.locator(".citation-list, [role=doc-biblioentry], div.citation").count()
    return found + visit.violations(*(CITATIONS if cites else ()))


@pytest.mark.parametrize("name", PAGES)
def test_page(built_book: Path, serve: Callable[[Path], str], visit: Callable[..., Visit], name: str) -> None:
    """Light and wide, then dark and narrow; a few pages in all four views, and in `make audit` every page."""
    seen = visit()
    page = seen.open(f"{serve(built_book)}/{name}.html")
    for dark, size in product((False, True), (WIDE, PHONE)) if name in MANY_SIDED else ((False, WIDE), (True, PHONE)):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.wait_for_timeout(600)  # the theme looks again a moment after a change of size
        assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
        assert faults(seen) == [], f"{'dark' if dark else 'light'}, {size['width']} wide"


def test_search_works_offline(built_book: Path, serve: Callable[[Path], str], visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open(f"{serve(built_book)}/search.html?q=temperature")
    page.wait_for_selector("#search-results li a")
    assert any("notation" in link.get_attribute("href") for link in page.locator("#search-results li a").all())
    assert faults(seen) == []


def test_pages_open_from_the_disk(built_book: Path, visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open((built_book / "index.html").as_uri())
    assert page.locator("mjx-container").count() > 0
    assert page.evaluate("document.fonts.check('16px MJXTEX-I')")
    assert (seen.errors, seen.foreign) == ([], [])


@pytest.mark.parametrize(("dark", "tones"), [(False, colours.LIGHT), (True, colours.DARK)], ids=["light", "dark"])
def test_roles_keep_their_colours_in_equations(
    built_book: Path, serve: Callable[[Path], str], visit: Callable[..., Visit], dark: bool, tones: dict[str, str]
) -> None:
    page = visit(dark=dark).open(f"{serve(built_book)}/index.html")
    shown = page.locator("mjx-mstyle[style*=color]").evaluate_all(
        "all => all.map(each => getComputedStyle(each).color)"
    )
    wanted = {"rgb({}, {}, {})".format(*bytes.fromhex(tone[1:])) for tone in tones.values()}
    assert set(shown) == wanted


def test_colab_opens_the_edition_of_the_page(built_book: Path) -> None:
    for chapter in (page for page in toc_pages() if page.startswith("notebooks/")):
        start = "https://colab.research.google.com/github/attn-edu/attn-edu/blob/v"
        links = re.findall(rf'<a href="{start}([^"]*)"', (built_book / f"{chapter}.html").read_text())
        assert any(link.endswith(f"/{chapter}.ipynb") for link in links), chapter


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<img alt='' src='https://example.org/x.png'>", "asks another host"),
        ("<script>console.error('planted')</script>", "planted"),
        ("<script>throw new Error('planted')</script>", "planted"),
        ("<script src='gone.js'></script>", "404"),
        ("<img src='data:,'>", "image-alt"),
        ("<p style='color: #999; background: #aaa'>pale</p>", "color-contrast"),
        ("<table style='width: 600px'><tr><td>wide</td></tr></table>", "scrolls sideways"),
        ("<span class='math'>x</span>", "0 of 1 equations"),
        ("<mjx-merror>planted</mjx-merror>", "planted"),
    ],
)
def test_planted_faults_are_found(
    tmp_path: Path, serve: Callable[[Path], str], visit: Callable[..., Visit], body: str, complaint: str
) -> None:
    head = "<!doctype html><html lang='en'><title>t</title><link rel='icon' href='data:,'>"
    (tmp_path / "index.html").write_text(f"{head}<main><h1>t</h1>{body}</main></html>")
    seen = visit(size=PHONE)
    seen.open(serve(tmp_path))
    assert complaint in " ".join(faults(seen))

"""The book as one file, and on paper: nothing is fetched, links stay inside, figures live, answers are printed."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import Visit
from bs4 import BeautifulSoup
from building import ROOT, build, small_book

sys.path.append(str(ROOT / "extensions"))
import book_single
from book_chromium import find_chromium

pytest_plugins = ["browser", "building"]
pytestmark = [pytest.mark.browser, pytest.mark.build]

FIGURE = """\
from attn_edu.interactive import TapeReader
TapeReader(["dogs", "cat", "bark"], [[0, 0, 0], [1, 0, 0], [0.75, 0.25, 0]], reading=1)"""
ANSWER = "# Same\n\n$$\n\\sum_j w_{ij} x_j\n$$\n\n<details><summary>Solution</summary>\n\nForty-two.\n\n</details>"
PICTURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, folder / "extensions" / "book_single.py", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of two pages and a gallery with the same figure again, as one file and printed; return the folder."""
    if find_chromium() is None:
        pytest.skip("no Chromium found")
    folder = small_book(tmp_path_factory.mktemp("single"), FIGURE, ANSWER, PICTURE)
    (folder / "attn_edu" / "__init__.py").unlink()  # the figure is one of the package that is installed
    (folder / "attn_edu").rmdir()
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nparts:\n- caption: One\n  chapters:\n  - file: book/one\n"
        "- numbered: 1\n  chapters:\n  - file: notebooks/page\n- caption: Other\n  chapters:\n  - file: book/gallery\n"
    )
    (folder / "index.md").write_text("# Front\n\n$w_{ij}$ is in [](notebooks/page).\n\n## Same\n")
    (folder / "book").mkdir()
    (folder / "book/one.md").write_text("# Part I: One\n\nBack to [the front](../index).\n")
    (folder / "book/gallery.md").write_text(
        '# Gallery\n\nFrom [](../notebooks/page)\n\n<div data-figure="tape_reader"></div>\n'
    )
    built = build(folder, "-W", "--keep-going")
    assert built.returncode == 0, built.stdout
    result = make(folder)
    assert result.returncode == 0, result.stderr
    single = folder / "_build" / "single"
    assert sorted(path.name for path in single.iterdir()) == ["attention.html", "attention.pdf"]
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        f"file://{single}/attention.{kind}" for kind in ("html", "pdf")
    ]
    return single


def test_nothing_in_the_file_is_elsewhere(made: Path) -> None:
    soup = BeautifulSoup((made / "attention.html").read_text(), "html.parser")
    for each in soup.find_all(src=True):
        assert each["src"].startswith("data:"), each["src"][:80]
    for each in soup.find_all("link"):
        assert each["href"].startswith("data:"), each["href"]
    for sheet in soup.find_all("style"):
        assert not re.search(r"@import|url\((?![\"']?data:)", sheet.get_text())
    names = [each["id"] for each in soup.find_all(id=True)]
    assert len(names) == len(set(names)), "two elements have one address"
    assert {"index/same", "notebooks/page/same"} <= set(names)
    links = [each["href"] for each in soup.select("a[href]") if not each["href"].startswith("https:")]
    assert {"#index", "#notebooks/page", "#notebooks/page/figure-tape_reader"} <= set(links)
    assert [link for link in links if link[0] != "#" or (link[1:] and link[1:] not in names)] == []


def test_figures_and_equations_work_from_the_disk(made: Path, visit: Callable[..., Visit]) -> None:
    seen = visit(dark=True)
    asked: list[str] = []
    seen.page.on("request", lambda request: asked.append(request.url))
    page = seen.open((made / "attention.html").as_uri())
    assert [address for address in asked if not address.startswith("data:")] == [page.url]
    assert page.locator("mjx-container").count() == 2
    fonts = page.evaluate("document.fonts.ready.then((fonts) => [...fonts].map((font) => [font.family, font.status]))")
    assert ["MJXTEX-I", "loaded"] in fonts and "error" not in {status for _, status in fonts}
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    figures = page.locator(".attn-live > figure")
    assert figures.count() == 2
    for n, before, after in ((0, "cat", "bark"), (1, "cat", "bark")):
        said = figures.nth(n).locator("[aria-live]")
        assert before in said.inner_text()
        figures.nth(n).get_by_role("button", name="Next").click()
        assert after in said.inner_text()
    assert page.locator("img").evaluate_all("images => images.every((image) => image.naturalWidth > 0)")
    page.get_by_role("navigation", name="Contents").get_by_role("link", name="1. Page").click()
    assert page.evaluate("decodeURIComponent(location.hash)") == "#notebooks/page"
    answer = page.get_by_text("Forty-two")
    assert not answer.is_visible()
    page.emulate_media(media="print")
    assert answer.is_visible(), "on paper answers are open"
    assert not page.get_by_role("button", name=re.compile("Next|Copy")).first.is_visible()
    assert seen.errors == [] and seen.foreign == []


def test_the_pdf_is_a_book(made: Path) -> None:
    pdf = (made / "attention.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and b"/StructTreeRoot" in pdf
    titles = [title.decode() for title in re.findall(rb"/Title \(((?:[^()\\]|\\.)*)\)", pdf)]
    assert {"Contents", "Front", "Part I: One", "1. Page", "Same", "Gallery"} <= set(titles)
    starts = book_single.page_starts(pdf)
    pages = ["index", "book/one", "notebooks/page", "book/gallery"]
    numbers = [starts[page] for page in pages]
    assert numbers[0] == 3, "after the title and the contents"
    assert numbers == sorted(set(numbers)), "each begins on a page of its own"
    told = re.findall(r'<a href="#([\w/]+)" data-page="(\d+)">', (made / "attention.html").read_text())
    assert told == [(page, str(starts[page])) for page in pages[1:]]


@pytest.mark.parametrize(
    ("variables", "message"),
    [({"CHROMIUM": "", "PATH": ""}, "which was not found"), ({"CHROMIUM": sys.executable}, "did not print the book")],
)
def test_without_chromium_nothing_changes(made: Path, variables: dict[str, str], message: str) -> None:
    before = {path: path.read_bytes() for path in made.iterdir()}
    result = make(made.parents[1], **variables)
    assert result.returncode == 1 and message in result.stderr and "Traceback" not in result.stderr
    assert {path: path.read_bytes() for path in made.iterdir()} == before
    assert make(made.parents[1], "--ready", **variables).returncode == (1 if "PATH" in variables else 0)


def test_a_link_to_no_page_is_told(made: Path, tmp_path: Path) -> None:
    site = made.parent / "html"
    soup = BeautifulSoup('<article class="bd-article"><a href="../book/lost.html#a">x</a></article>', "html.parser")
    with pytest.raises(book_single.Missing, match=r"notebooks/page: book/lost\.html is not a page"):
        book_single.article(site, "notebooks/page", soup, ["index", "notebooks/page"], False)

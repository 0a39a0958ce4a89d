"""The built site as others meet it: found, shared, below a path, from the disk, under a strict policy, and light."""

import base64
import functools
import hashlib
import http.server
import json
import re
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from browser import Quiet, Visit
from building import ROOT, build, small_book, toc_pages
from sphinx.errors import ExtensionError

sys.path.append(str(ROOT / "extensions"))
import book_pages
import book_publish
import book_theme

pytest_plugins = ["browser", "building"]
pytestmark = pytest.mark.build

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
BASE = CONFIG["html"]["baseurl"]
CHAPTER, GALLERY = "notebooks/foundations/03_queries_keys_values", "book/gallery"
OTHERS = ["404", "genindex", "search"]


def pages(site: Path) -> dict[str, str]:
    """Read every page of the site by its name."""
    return {
        path.relative_to(site).with_suffix("").as_posix(): path.read_text()
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }


def meta(html: str, name: str) -> list[str]:
    return [unescape(text) for text in re.findall(rf'<meta (?:name|property)="{name}" content="([^"]*)"', html)]


# What a page says of itself


def test_every_page_has_a_description_of_its_own(built_book: Path) -> None:
    told: dict[str, str] = {}
    for page, html in pages(built_book).items():
        [text] = meta(html, "description")
        assert 25 <= len(text) <= book_publish.LENGTH + 2, (page, text)
        assert not re.search(r"[\\${}<>\n]", text), (page, text)
        assert text not in told, (page, told[text])
        told[text] = page
    assert len(told) > len(toc_pages())


def test_a_chapter_is_described_by_its_promise(built_book: Path) -> None:
    chapters = [page for page in toc_pages() if page.startswith("notebooks/")]
    for page in chapters:
        cell = json.loads((ROOT / f"{page}.ipynb").read_text())["cells"][0]
        promise = re.sub(r"[*_`$]|\{cite:\w\}", "", "".join(cell["source"]).split("\n\n")[1])
        [text] = meta((built_book / f"{page}.html").read_text(), "description")
        assert text[:12] == " ".join(promise.split())[:12], page


def test_every_page_has_a_preview(built_book: Path) -> None:
    for page, html in pages(built_book).items():
        for name in ("og:title", "og:type", "og:site_name", "og:image:alt", "twitter:card"):
            assert len(meta(html, name)) == 1 and meta(html, name)[0], (page, name)
        assert meta(html, "og:description") == meta(html, "description")
        assert meta(html, "og:url") == [BASE if page == "index" else f"{BASE}{page}.html"]
        [image] = meta(html, "og:image")
        picture = (built_book / image.removeprefix(BASE)).read_bytes()
        assert picture[:8] == b"\x89PNG\r\n\x1a\n" and len(picture) < 100_000
        sizes = [str(size) for size in struct.unpack(">II", picture[16:24])]
        assert sizes == meta(html, "og:image:width") + meta(html, "og:image:height") == ["1200", "630"]


def test_the_site_is_that_of_the_repository() -> None:
    owner, name = urlsplit(CONFIG["repository"]["url"]).path.strip("/").split("/")
    assert f"https://{owner}.github.io/{name}/" == BASE


def test_the_map_of_the_site_lists_every_page(built_book: Path) -> None:
    listed = re.findall("<loc>(.*?)</loc>", (built_book / "sitemap.xml").read_text())
    assert sorted(listed) == sorted(BASE if page == "index" else f"{BASE}{page}.html" for page in toc_pages())


def test_descriptions_are_cut_between_sentences_or_words() -> None:
    assert book_publish.shortened("One  two.\nThree") == "One two. Three"
    assert book_publish.shortened("a" * 90 + ". " + "b" * 90 + ". " + "c" * 90) == "a" * 90 + ". " + "b" * 90 + "."
    cut = book_publish.shortened("word, " * 60)
    assert cut.endswith("word …") and len(cut) <= book_publish.LENGTH + 2


# The site at its place


class Host(Quiet):
    """Serve a folder below a path as a site does: with its page for wrong addresses, and with a policy."""

    below = urlsplit(BASE).path
    policy: Callable[[Path], str] | None = None

    def translate_path(self, path: str) -> str:
        inside = urlsplit(path).path
        if not inside.startswith(self.below):
            return str(Path(self.directory) / "outside")
        return super().translate_path("/" + inside.removeprefix(self.below))

    def send_error(self, code: int, *_: Any) -> None:
        body = (Path(self.directory) / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        if self.policy and (file := Path(self.translate_path(self.path))).suffix == ".html":
            self.send_header("Content-Security-Policy", type(self).policy(file))  # type: ignore[misc]
        super().end_headers()


@pytest.fixture
def host() -> Iterator[Callable[..., str]]:
    """Return a function that serves a folder below the site's path and returns its address."""
    with ExitStack() as stack:

        def start(folder: Path, policy: Callable[[Path], str] | None = None) -> str:
            kind = type("Host", (Host,), {"policy": staticmethod(policy) if policy else None})
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(kind, directory=str(folder)))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}{Host.below}"

        yield start


def working(page: Any) -> dict[str, int]:
    """Count a page's equations and figures, and of them those that are set and that run."""
    return page.evaluate(
        """() => {
          const count = (where) => document.querySelectorAll(where).length;
          return {
            equations: count(".math:not(mjx-container *)"), set: count("mjx-container"),
            figures: count("[data-attn-figure]"), running: count("[data-attn-figure] .attn-live > *"),
          };
        }"""
    )


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", CHAPTER, "book/api/core"])
def test_pages_work_below_a_path(
    built_book: Path, host: Callable[..., str], visit: Callable[..., Visit], name: str
) -> None:
    seen = visit()
    count = working(seen.open(f"{host(built_book)}{name}.html"))
    assert (seen.errors, seen.foreign) == ([], [])
    assert count["set"] >= count["equations"] > 0 and count["running"] >= count["figures"]


@pytest.mark.browser
def test_search_works_below_a_path(built_book: Path, host: Callable[..., str], visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open(f"{host(built_book)}{CHAPTER}.html")
    page.locator(".search-button-field").click()
    page.locator("#pst-search-dialog input").fill("temperature")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    page.locator("#search-results li a").first.click()
    page.wait_for_load_state("networkidle")
    assert "temperature" in page.locator("article").inner_text().lower()
    assert urlsplit(page.url).path.startswith(Host.below) and (seen.errors, seen.foreign) == ([], [])


@pytest.mark.browser
@pytest.mark.parametrize("name", [CHAPTER, GALLERY])
def test_figures_and_equations_work_from_the_disk(built_book: Path, visit: Callable[..., Visit], name: str) -> None:
    seen = visit()
    count = working(seen.open((built_book / f"{name}.html").as_uri()))
    assert (seen.errors, seen.foreign) == ([], [])
    assert count["set"] >= count["equations"] and count["running"] >= count["figures"] > 0


@pytest.mark.browser
def test_search_works_from_the_disk(built_book: Path, visit: Callable[..., Visit]) -> None:
    seen = visit()
    page = seen.open((built_book / "search.html").as_uri() + "?q=temperature")
    page.wait_for_selector("#search-results li a")
    assert (seen.errors, seen.foreign) == ([], [])


@pytest.mark.browser
@pytest.mark.parametrize("address", ["gone.html", "notebooks/foundations/no/such/page"])
def test_a_wrong_address_leads_back_into_the_book(
    built_book: Path, host: Callable[..., str], visit: Callable[..., Visit], address: str
) -> None:
    seen = visit()
    start = host(built_book)
    page = seen.open(start + address)
    assert page.locator("article h1").inner_text().startswith("No page")
    # The browser tells of the address itself, and of nothing that the page asks for.
    assert all("404" in each for each in seen.errors) and len(seen.errors) == 2, seen.errors
    assert f"404 {start}{address}" in seen.errors and seen.foreign == []
    assert page.evaluate("getComputedStyle(document.querySelector('.bd-sidebar-primary')).position") == "sticky"
    links = page.locator("article a").evaluate_all("all => all.map(each => each.href)")
    links += page.locator(".bd-links a").evaluate_all("all => all.map(each => each.href)")
    assert len(links) > 20
    for link in links:
        assert (built_book / urlsplit(link).path.removeprefix(Host.below)).is_file(), link
    page.locator("article a").first.click()
    page.wait_for_load_state("networkidle")
    assert page.url == f"{start}index.html"


def test_links_of_the_lost_page_begin_at_the_root_of_the_site() -> None:
    html = '<html data-content_root="./"><a href="a.html"><a href="#x"><a href="/y"><img src="./b.png"><a href="https://z">'
    assert book_publish.anchored(html, "/s/") == (
        '<html data-content_root="/s/"><a href="/s/a.html"><a href="#x"><a href="/y">'
        '<img src="/s/b.png"><a href="https://z">'
    )


# A policy that knows every script


def inline(html: str, tag: str) -> list[str]:
    """Return the contents of a page's inline scripts or styles."""
    return re.findall(rf"<{tag}(?![^>]*\ssrc=)[^>]*>(.*?)</{tag}>", html, re.S)


def hashes(texts: list[str]) -> str:
    return " ".join(
        sorted({f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts})
    )


def policy(file: Path, styles: str = "'unsafe-inline'") -> str:
    scripts = hashes(inline(file.read_text(), "script")) if file.exists() else ""
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' {styles}; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def strict(file: Path) -> str:
    return policy(file, hashes(inline(file.read_text(), "style")) if file.exists() else "")


def violations(page: Any) -> list[list[str]]:
    return page.evaluate("window.violations")


def watch_policy(seen: Visit) -> None:
    seen.page.add_init_script(
        """window.violations = [];
        addEventListener("securitypolicyviolation",
          (event) => violations.push([event.effectiveDirective, event.blockedURI, event.sample]));"""
    )


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", CHAPTER, GALLERY, "book/api/core", "search"])
def test_no_script_needs_more_than_its_hash(
    built_book: Path, host: Callable[..., str], visit: Callable[..., Visit], name: str
) -> None:
    """Styles are another matter: see the next test."""
    seen = visit()
    watch_policy(seen)
    page = seen.open(f"{host(built_book, policy)}{name}.html{'?q=query' if name == 'search' else ''}")
    count = working(page)
    assert (violations(page), seen.errors) == ([], [])
    assert count["set"] >= count["equations"] and count["running"] >= count["figures"]
    page.locator(".theme-switch-button").first.click()
    assert page.evaluate("document.documentElement.dataset.mode") in ("light", "dark")
    assert (violations(page), seen.errors) == ([], [])


@pytest.mark.browser
def test_only_styles_would_need_unsafe_inline(
    built_book: Path, host: Callable[..., str], visit: Callable[..., Visit]
) -> None:
    """MathJax writes a style sheet into the page, and equations, Sphinx and figures write style attributes."""
    seen = visit()
    watch_policy(seen)
    page = seen.open(f"{host(built_book, strict)}{CHAPTER}.html")
    assert {each[0] for each in violations(page)} == {"style-src-elem", "style-src-attr"}


@pytest.mark.browser
@pytest.mark.parametrize(
    ("planted", "complaint"),
    [
        ('<button id="b" onclick="document.title = 1">b</button>', "script-src-attr"),
        ("<script>document.body.append(document.createElement('script'));</script><script>eval('1')</script>", "eval"),
        ('<script src="https://example.org/x.js"></script>', "script-src-elem"),
    ],
)
def test_what_a_policy_forbids_is_noticed(
    tmp_path: Path, host: Callable[..., str], visit: Callable[..., Visit], planted: str, complaint: str
) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html><link rel=icon href='data:,'><p>p</p>{planted}")
    seen = visit()
    watch_policy(seen)
    page = seen.open(f"{host(tmp_path, policy)}index.html")
    if page.locator("#b").count():
        page.locator("#b").click()
    assert complaint in json.dumps(violations(page))


def handlers(html: str) -> list[str]:
    without = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.S)
    return re.findall(r"<[^>]*\s(on[a-z]+)\s*=\s*[\"']|href=[\"'](javascript:)", without)


def test_no_page_has_inline_handlers(built_book: Path) -> None:
    assert handlers("<b onclick='x'>") and handlers('<a href="javascript:x">') and not handlers("<b on='x'>on=1")
    assert {page: found for page, html in pages(built_book).items() if (found := handlers(html))} == {}


def test_few_inline_scripts_are_left(built_book: Path) -> None:
    """One sets light or dark before anything is drawn; each other one is a figure's, or the search page's."""
    for page, html in pages(built_book).items():
        head, body = html.split("</head>", 1)
        [theme] = inline(head, "script")
        assert "dataset.theme" in theme, page
        figures = [each for each in inline(body, "script") if "attn-live" in each or "data-attn-figure" in each]
        others = [each for each in inline(body, "script") if each not in figures]
        assert len(others) == (page == "search"), page  # the theme's, which puts the cursor into the field


@pytest.mark.browser
def test_the_buttons_that_had_handlers_still_act(
    built_book: Path, host: Callable[..., str], visit: Callable[..., Visit]
) -> None:
    seen = visit()
    seen.page.add_init_script(
        """window.done = [];
        window.print = () => done.push("print");
        Element.prototype.requestFullscreen = () => done.push("fullscreen");"""
    )
    page = seen.open(f"{host(built_book)}{CHAPTER}.html")
    page.locator(".btn-fullscreen-button").click()
    page.locator(".dropdown-download-buttons .dropdown-toggle").click()
    page.locator(".btn-download-pdf-button").click()
    assert page.evaluate("done") == ["fullscreen", "print"]


# Icons, scripts and bytes


def test_every_icon_is_drawn(built_book: Path) -> None:
    wanted = {
        "arrow-up bars magnifying-glass sun moon circle-half-stroke rocket github download expand list file lightbulb"
    }
    html = (built_book / f"{CHAPTER}.html").read_text()
    found = set(re.findall(r'<svg class="svg-inline--fa (?:theme-switch )?fa-([\w-]+)', html))
    assert set(" ".join(wanted).split()) <= found
    for page, text in pages(built_book).items():
        assert not re.search(r'<(?:i|span) class="[^"]*\bfa[bsr]?[ -]', text), page
        assert text.count('<svg class="svg-inline--fa') == len(
            re.findall(r'<svg class="svg-inline--fa[^>]*>(?:<title>[^<]+</title>)?<path fill="currentColor" d="M', text)
        )
    assert not (built_book / "_static/scripts/fontawesome.js").exists()


def test_an_icon_keeps_its_classes_and_its_title() -> None:
    html = '<i class="theme-switch fa-solid fa-sun   fa-lg" data-mode="light" title="Light"></i>'
    found = book_theme.ICON.sub(book_theme.drawn, html)
    assert found.startswith(
        '<svg class="svg-inline--fa theme-switch fa-sun fa-lg" data-mode="light" aria-hidden="true" viewBox="0 0 512 '
    )
    assert "<title>Light</title><path" in found and found.endswith('"/></svg>')
    assert book_theme.ICON.sub(book_theme.drawn, '<i class="family">x</i>') == '<i class="family">x</i>'
    with pytest.raises(ExtensionError, match=r"'fas fa-rocked': wanted the name of one icon of the theme, got \[\]"):
        book_theme.ICON.sub(book_theme.drawn, '<i class="fas fa-rocked"></i>')
    assert book_theme.drawings()["fas"]["sun"] != book_theme.drawings()["far"]["sun"]
    assert "github" in book_theme.drawings()["fab"]


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_icons_are_seen(built_book: Path, host: Callable[..., str], visit: Callable[..., Visit], dark: bool) -> None:
    page = visit(dark=dark).open(f"{host(built_book)}{CHAPTER}.html")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for where in (".primary-toggle", ".dropdown-launch-buttons", ".dropdown-source-buttons", ".btn-fullscreen-button"):
        icon = page.locator(f"{where} svg").first
        assert 12 < icon.bounding_box()["height"] < 30
        assert icon.evaluate("each => getComputedStyle(each).color") != ground
    shown = page.locator(".theme-switch-button svg:visible")
    assert shown.count() == 1 and shown.get_attribute("data-mode") == "auto"


def test_no_script_holds_up_a_page_and_no_page_but_one_loads_the_index(built_book: Path) -> None:
    for page, html in pages(built_book).items():
        scripts = re.findall(r"<script\b[^>]*\bsrc=[^>]*>", html)
        assert scripts and all(re.search(r"\b(defer|async)\b", each) for each in scripts), page
        assert ("searchindex.js" in html) == (page == "search"), page


def test_what_unfolds_the_menu_has_a_name(built_book: Path) -> None:
    for page, html in pages(built_book).items():
        assert '<summary aria-label="Pages below API reference">' in html, page
        assert not re.search(r"<summary><(?:span|svg)", html), page


@pytest.mark.parametrize(
    ("file", "used", "unused"),
    [
        ("sphinx-design.min.css", "sd-card x", "asd-card"),
        ("design-tabs.js", "x sd-tab-set", "sd-card"),
        ("togglebutton.js", "tag toggle", "sidebar-toggle dropdown-toggle"),
        ("togglebutton.css", "admonition tip dropdown", "admonition tip"),
    ],
)
def test_a_file_is_loaded_where_it_serves(file: str, used: str, unused: str) -> None:
    tag = f'<link href="_static/{file}?v=1"/>' if file.endswith("css") else f'<script src="_static/{file}"></script>'
    for body, there in ((used, True), (unused, False)):
        html = f'<head>{tag}<link href="book.css"/></head><body><p class="{body}"></p></body>'
        found, settings = book_theme.lean(html, "page")
        assert (file in found, "book.css" in found, settings) == (there, True, "")


@pytest.mark.browser
def test_a_chapter_asks_for_little_beside_itself(
    built_book: Path, host: Callable[..., str], visit: Callable[..., Visit]
) -> None:
    """Before icons and search were taken out it was 4.4 MB in 40 requests, with 3.0 MB beside MathJax."""
    seen = visit()
    wire = seen.page.context.new_cdp_session(seen.page)
    wire.send("Network.enable")
    asked: dict[str, str] = {}
    sizes: dict[str, float] = {}
    wire.on("Network.responseReceived", lambda event: asked.update({event["requestId"]: event["response"]["url"]}))
    wire.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    seen.open(f"{host(built_book)}{CHAPTER}.html")
    taken = {url: sizes[key] for key, url in asked.items() if url.startswith("http")}
    math = sum(size for url, size in taken.items() if "/mathjax/" in url)
    assert sum(taken.values()) - math < 1_000_000, taken
    assert sum(taken.values()) < 1_900_000 and len(taken) <= 34, taken
    assert not any("webfonts" in url for url in taken), "an icon is drawn by a font"


def test_no_page_is_heavy(built_book: Path) -> None:
    """The gallery holds every figure of the book, each with its numbers."""
    sizes = {page: len(html.encode()) for page, html in pages(built_book).items()}
    assert {page: size for page, size in sizes.items() if size >= (500_000 if page == GALLERY else 300_000)} == {}


# The reference has a page for each family and group


def test_every_family_has_its_page() -> None:
    generated = [page for page in book_pages.written() if page.startswith("book/api")]
    listed = [page for page in toc_pages() if page.startswith("book/api")]
    assert sorted(generated) == sorted(listed)
    assert all(book_pages.MARKER in (ROOT / f"{page}.md").read_text() for page in listed)


def test_a_page_of_the_reference_that_is_missing_or_left_over_fails_the_build(tmp_path: Path) -> None:
    small_book(tmp_path, "1 + 1")
    (tmp_path / "attn_edu/__init__.py").write_text("")
    (tmp_path / "extensions/book_pages.py").write_text(
        (tmp_path / "extensions/book_pages.py")
        .read_text()
        .replace(
            "    app.generated_pages = written()",
            "    app.generated_pages = {'book/api': 'A', 'book/api/new': '# New'}",
        )
    )
    (tmp_path / "book/api").mkdir(parents=True)
    (tmp_path / "book/api.md").write_text(f"# API\n\n{book_pages.MARKER}\n")
    toc = (tmp_path / "_toc.yml").read_text() + "- file: book/api\n  sections:\n"
    (tmp_path / "book/api/old.md").write_text(book_pages.MARKER)
    (tmp_path / "_toc.yml").write_text(f"{toc}  - file: book/api/old\n")
    result = build(tmp_path)
    assert result.returncode and "the page book/api/new is missing: write book/api/new.md" in result.stdout
    assert "in _toc.yml, in the sections of book/api, the line '- file: book/api/new'" in result.stdout
    (tmp_path / "book/api/new.md").write_text(book_pages.MARKER)
    (tmp_path / "_toc.yml").write_text(f"{toc}  - file: book/api/old\n  - file: book/api/new\n")
    result = build(tmp_path)
    assert result.returncode and "remove book/api/old.md and its line in _toc.yml" in result.stdout


# What a server does


def workflow(name: str) -> dict[Any, Any]:
    return yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", ["publish", "weekly"])
def test_workflows_use_pinned_actions_and_our_commands(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    for step in steps(name):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]), step
        else:
            made = re.fullmatch(r"make (\w+)", step["run"])
            assert made and made[1] in targets, step
    assert workflow(name)["permissions"] == {"contents": "read"}
    assert [step["with"]["python-version"] for step in steps(name) if "setup-python" in step.get("uses", "")] == [
        "3.11"
    ]


def test_what_is_published_was_built_and_tested_first() -> None:
    jobs = workflow("publish")["jobs"]
    done = [step.get("run") or step["uses"].split("@")[0] for step in jobs["build"]["steps"]]
    assert done[2:] == ["make book", "make test", "actions/upload-pages-artifact"]
    assert jobs["build"]["steps"][-1]["with"]["path"] == "_build/html"
    assert jobs["publish"]["needs"] == "build" and jobs["publish"]["permissions"].keys() == {"pages", "id-token"}
    assert workflow("publish")[True]["push"] == {"tags": ["v*"]}, "pages link to the notebooks of a tag"


def test_notebooks_are_audited_every_week() -> None:
    [when] = workflow("weekly")[True]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", when["cron"])
    assert [step["run"] for step in steps("weekly") if "run" in step] == ["make audit"]

"""Make one file of the built pages, and print it as a PDF: ``python extensions/book_single.py`` after `make book`.

`_build/single/attention.html` holds the pages of `_build/html` in the order of the menu, with their styles, scripts,
fonts and pictures. Every address begins with the name of its page, so that no two are the same, and a link to a page
leads to its place in the file. Chromium prints this file twice: the first time tells on which page each chapter begins.
"""

import mimetypes
import re
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import yaml
from book_chromium import FLAGS, NAMES, find_chromium
from book_styles import once
from bs4 import BeautifulSoup

BOOK = Path(__file__).resolve().parents[1]
PRINTING = [
    "--no-pdf-header-footer",
    "--generate-pdf-document-outline",
    "--virtual-time-budget=10000",  # let what the page has begun come to its end
]
NO_CHROMIUM = f"""\
The PDF is printed by Chromium or Chrome, which was not found: looked for {", ".join(NAMES)}.
Install one (on Debian: apt-get install chromium), or name its program: CHROMIUM=/path/to/chrome make pdf"""
LONG = 30  # lines of code; a longer cell may go on on the next page
# What moves the theme's own bars and dialogs, which are not in the file.
THEIRS = re.compile(r"/(?:bootstrap|pydata-sphinx-theme|sphinx-book-theme|doctools|sphinx_highlight)\.js")
# Until the reader's wish is known the page is light, and paper always is.
THEME = """\
const dark = matchMedia("(prefers-color-scheme: dark)");
const shine = (print) => (document.documentElement.dataset.theme = dark.matches && !print ? "dark" : "light");
dark.addEventListener("change", () => shine(false));
addEventListener("beforeprint", () => shine(true));
addEventListener("afterprint", () => shine(false));
shine(false);
"""


class Missing(Exception):
    """What was wanted and is not there; the message says what to do."""


def read(path: Path) -> Any:
    return BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")


def inside(page: str, link: str) -> tuple[str, str]:
    """Return the file and the anchor to which a link on a page leads, from the root of the site."""
    parts = urlsplit(urljoin(f"/{page}.html", link))
    return unquote(parts.path).lstrip("/"), unquote(parts.fragment)


def data(path: Path) -> str:
    """Return a file as an address that holds it."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{b64encode(path.read_bytes()).decode()}"


def style(path: Path) -> str:
    """Return a style sheet with what it points to; the icons' font is left out, since pages draw their icons."""
    text = path.read_text(encoding="utf8")
    text = re.sub(r"@font-face\s*\{[^}]*/fontawesome/[^}]*\}", "", text)
    text = re.sub(r'@import "([^"]+)";', lambda found: style(path.parent / found[1]), text)

    def hold(found: re.Match[str]) -> str:
        return f"url({data(path.parent / found[1])})"

    return re.sub(r"url\([\"']?(?!data:|#)([^)\"'?]+)[^)]*\)", hold, text)


def script(path: Path) -> str:
    """Return a script as it can stand inside a page; MathJax's with its fonts."""
    fonts = path.parent / "output/chtml/fonts/woff-v2"
    text = re.sub(r"%%URL%%/(MathJax_[\w-]+\.woff)", lambda found: data(fonts / found[1]), path.read_text("utf8"))
    return text.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def ordered(site: Path) -> list[str]:
    """Return the names of the pages, in the order of the menu."""
    links = read(site / "index.html").select("nav.bd-links a[href]")
    return list(dict.fromkeys(["index", *(inside("index", link["href"])[0].removesuffix(".html") for link in links)]))


def lead(page: str, part: Any, pages: list[str]) -> Iterator[str]:
    """Let links lead to places in the file; yield those that cannot."""
    for link in part.select("a[href]"):
        if not urlsplit(link["href"]).scheme:
            file, anchor = inside(page, link["href"])
            target = file.removesuffix(".html")
            link["href"] = f"#{target}/{anchor}" if anchor else f"#{target}"
            if target not in pages:
                yield f"{page}: {file} is not a page of the book"


def article(site: Path, page: str, soup: Any, pages: list[str], deeper: bool) -> Any:
    """Return what a page says, ready to stand beside other pages."""
    part = soup.select_one("article.bd-article")
    if bad := list(lead(page, part, pages)):
        raise Missing("\n".join(bad))
    for each in part.select("[id]"):
        each["id"] = f"{page}/{each['id']}"
    for each in part.find_all(True):
        for name in ("for", "aria-labelledby", "aria-describedby", "aria-controls", "headers"):
            if name in each.attrs:
                words = each[name] if isinstance(each[name], list) else each[name].split()
                each[name] = " ".join(f"{page}/{word}" for word in words)
    for image in part.select("img[src]"):
        if not image["src"].startswith("data:"):
            image["src"] = data(site / inside(page, image["src"])[0])
        image.attrs.pop("loading", None)  # nothing is to be fetched, and paper does not scroll
    # The outline of the PDF follows the levels: chapters stand below their part.
    for heading in part.find_all(re.compile("^h[1-5]$")) if deeper else ():
        heading["aria-level"] = str(int(heading.name[1]) + 1)
    for code in part.select("pre"):
        if code.get_text().count("\n") > LONG:
            code["class"] = "long"
    part["id"] = page
    return part


def contents(soup: Any, pages: list[str], starts: dict[str, int]) -> tuple[str, set[str]]:
    """Return the table of contents, with page numbers where they are known, and the pages below another."""
    nav = soup.select_one("nav.bd-links")
    list(lead("index", nav, pages))
    lines, deeper, heading, opener = [], set(), "", ""
    for each in nav.select("p.caption, a.reference"):
        text = each.get_text(" ", strip=True)
        if each.name == "p":
            heading, opener = text, ""
            continue
        page = each["href"][1:]
        kind = "page"
        if heading:  # the first below a heading: it opens the part, or the part has no page of its own
            kind = "part" if text.endswith(heading) else "page"
            if kind == "part":
                opener = page
            else:
                lines.append(f'<p class="part">{escape(heading)}</p>')
            heading = ""
        below = each.find_parent("li") and "toctree-l1" not in each.find_parent("li")["class"]
        if below or (opener and page != opener):
            deeper.add(page)
        kind = "below" if below else kind
        number = f' data-page="{starts[page]}"' if page in starts else ""
        lines.append(f'<p class="{kind}"><a href="#{escape(page)}"{number}><span>{escape(text)}</span></a></p>')
    title = "\n".join(lines)
    return (
        f'<nav class="book-contents" aria-label="Contents">\n<h1 id="contents">Contents</h1>\n{title}\n</nav>',
        deeper,
    )


def cover(site: Path, config: dict[str, Any]) -> str:
    """Return the title page."""
    logo = site / "_static" / "logo.svg"
    address = config.get("html", {}).get("baseurl", "")
    edition = config.get("repository", {}).get("branch", "")
    lines = [
        f'<img src="{data(logo)}" alt="">' if logo.exists() else "",
        f'<p class="title">{escape(config["title"])}</p>',
        f"<p>{escape(config['author'])}</p>",
        f"<p>Edition {escape(edition)}, {escape(config['copyright'])}</p>" if edition else "",
        f'<p><a href="{escape(address)}">{escape(address)}</a></p>' if address else "",
        f"<p>{escape(config.get('html', {}).get('extra_footer', ''))}</p>",
    ]
    return '<header class="book-cover">\n' + "\n".join(filter(None, lines)) + "\n</header>"


def single(site: Path, config: dict[str, Any], starts: dict[str, int]) -> str:
    """Return the whole book as one page; `starts` says on which page of paper each of its pages begins."""
    pages = ordered(site)
    soups = {page: read(site / f"{page}.html") for page in pages}
    listed, deeper = contents(read(site / "index.html"), pages, starts)
    styles: dict[str, None] = {}
    scripts: list[str] = []
    for page, soup in soups.items():
        styles |= {inside(page, link["href"])[0]: None for link in soup.select('head link[rel="stylesheet"]')}
        files = [inside(page, each["src"])[0] for each in soup.select("head script[src]")]
        if not any("mathjax/" in file for file in scripts):  # the page with equations has all the others have
            scripts = [file for file in files if not THEIRS.search(file)]
    body = [str(article(site, page, soup, pages, page in deeper)) for page, soup in soups.items()]
    sheets = [style(site / file) for file in styles] + [style(Path(__file__).with_suffix(".css"))]
    html = f"""\
<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(config["title"])}</title>
<link rel="icon" href="data:,">
<script>
{THEME}</script>
{"".join(f"<style>{chr(10)}{sheet}</style>{chr(10)}" for sheet in sheets)}</head>
<body>
<div class="bd-container"><div class="bd-container__inner bd-page-width">
{cover(site, config)}
{listed}
<main class="bd-main"><div class="bd-content"><div class="bd-article-container">
{chr(10).join(body)}
</div></div></main>
</div></div>
{"".join(f"<script>{chr(10)}{script(site / file)}</script>{chr(10)}" for file in scripts)}</body>
</html>
"""
    return once(html)


def print_pdf(chromium: str, html: Path, pdf: Path) -> None:
    """Let Chromium print a page."""
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, *FLAGS, *PRINTING, f"--user-data-dir={profile}", f"--print-to-pdf={pdf}", html.as_uri()]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode or not pdf.exists():
        raise Missing(f"{chromium} did not print the book:\n{result.stdout[-2000:]}")


def page_starts(pdf: bytes) -> dict[str, int]:
    """Return the page of each place that a link of the PDF leads to."""
    numbers = {int(number): n for n, number in enumerate(re.findall(rb"(?m)^(\d+) 0 obj\s*<</Type /Page\s", pdf), 1)}
    places = {}
    for name, number in re.findall(rb"/([^\s/\[]+) \[(\d+) 0 R /XYZ ", pdf):
        text = re.sub(rb"#([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), name).decode("utf8")
        places[unquote(text)] = numbers[int(number)]
    return places


def make(site: Path, config: dict[str, Any], target: Path) -> None:
    """Write both files; neither is touched before both are whole."""
    chromium = find_chromium() or ""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        html, pdf = Path(folder, "attention.html"), Path(folder, "attention.pdf")
        starts: dict[str, int] = {}
        for _ in range(2):
            html.write_text(single(site, config, starts), encoding="utf8")
            print_pdf(chromium, html, pdf)
            starts = page_starts(pdf.read_bytes())
        for made in (html, pdf):
            made.replace(target / made.name)


def main(arguments: list[str]) -> int:
    site = BOOK / "_build" / "html"
    target = BOOK / "_build" / "single"
    try:
        if find_chromium() is None:
            raise Missing(NO_CHROMIUM)
        if "--ready" in arguments:  # asked before a build that may take long
            return 0
        if not (site / "index.html").exists():
            raise Missing("There is no book yet. Run: make book")
        make(site, yaml.safe_load((BOOK / "_config.yml").read_text()), target)
    except Missing as error:
        print(error, file=sys.stderr)
        return 1
    for file in (target / "attention.html", target / "attention.pdf"):
        print(f"file://{file} ({file.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every chapter, figure and erratum stands on each page that has to name it. No build is needed to say so.

A rule takes the text of a page and yields what to mend there, with the page's name. Each is broken once below.
"""

import html
import re
from pathlib import PurePath

import chapters
import pytest
from building import toc_pages
from chapters import ROOT

from attn_edu import interactive

PATHS = [path.removesuffix(".ipynb") for path in chapters.paths()]
CHAPTERS = [page for page in toc_pages() if page.startswith("notebooks/")]
PARTS = list(dict.fromkeys(PurePath(page).parts[1] for page in CHAPTERS))
FIGURES = {kind.name: kind for kind in vars(interactive).values() if isinstance(kind, type) and hasattr(kind, "name")}


def text(page):
    return (ROOT / page).read_text()


def notebook(page):
    return chapters.chapter(f"{page}.ipynb")


def title(page):
    return notebook(page).notebook.cells[0].source.partition("\n")[0].removeprefix("# ")


def same(place, there, wanted, as_line=str):
    """Yield what a page lacks, what it has too much and, when all are there, the first that is out of order."""
    lacking = [one for one in wanted if one not in there]
    more = [one for one in dict.fromkeys(there) if one not in wanted or there.count(one) > 1]
    yield from (f"{place}: to add {as_line(one)}" for one in lacking)
    yield from (f"{place}: {one} stands twice, or there is none of that name; take it out" for one in more)
    if not lacking and not more:
        moved = [(one, other) for one, other in zip(there, wanted, strict=True) if one != other]
        yield from (f"{place}: wanted {other} before {one}, as in the book" for one, other in moved[:1])


def contents(toc):
    """The table of contents has every chapter that is there."""
    listed = re.findall(r"file: (notebooks/\S+)", toc)
    yield from same("_toc.yml", sorted(listed), PATHS, lambda page: f"'- file: {page}'")


def front_map(front):
    """The front page's map leads to every chapter, by its title."""
    links = dict(re.findall(r'<a href="(notebooks/[^"]+)\.html">(.*?)</a>', front))
    line = '<li><a href="{0}.html">{1}</a></li>'
    linked = re.findall(r'href="(notebooks/[^"]+)\.html"', front)
    yield from same("index.md, the map", linked, CHAPTERS, lambda page: line.format(page, title(page)))
    for page, shown in links.items():
        if page in CHAPTERS and html.unescape(shown) != title(page):
            yield f"index.md, the map: {page} has the title {title(page)!r}, not {shown!r}"


def opener(part, page):
    """The part's first page has a row for each of its chapters."""
    rows = re.findall(rf"^\| \[\]\(\.\./(notebooks/{part}/[^)]+)\)", page, re.M)
    wanted = [page for page in CHAPTERS if page.startswith(f"notebooks/{part}/")]
    line = "'| [](../{0}) | its question |'"
    yield from same(f"book/{part}.md, the table", rows, wanted, line.format)


def timeline(page):
    """The timeline is in order, each entry has its paper, and every chapter but the first part's has an entry."""
    years = re.findall(r"^(\d{4})$", page, re.M)
    if years != sorted(set(years), key=int) or years[0] != "2014":
        yield f"book/timeline.md: wanted every year once, in order, from 2014 on, found {', '.join(years)}"
    for entry in re.findall(r"^: (.*?)(?=^: |^\d{4}$|^```)", page, re.M | re.S):
        if "{cite:p}`" not in entry:
            yield f"book/timeline.md: an entry without {{cite:p}}`its paper`: {entry}"
        if ("](../notebooks/" in entry) == ("*Still to come*" in entry):
            yield f"book/timeline.md: wanted a link to a chapter or *Still to come*, and not both: {entry}"
    linked = set(re.findall(r"\(\.\./(notebooks/[^)]+)\)", page))
    for chapter in CHAPTERS:
        if not chapter.startswith(f"notebooks/{PARTS[0]}/") and chapter not in linked:
            yield f"book/timeline.md: no entry leads to {chapter}; add one with its paper"
    yield from (f"book/timeline.md: there is no {page}; take the link out" for page in sorted(linked - {*CHAPTERS}))


def errata(page):
    """The errata have a row for each that a chapter shows, and the row names the chapter."""
    rows = page.splitlines()
    for chapter in CHAPTERS:
        for number in re.findall(r"\*\*Erratum (E\d+)\.", notebook(chapter).markdown()):
            if not any(f"**{number}.**" in row and f"/{PurePath(chapter).name})" in row for row in rows):
                yield f"book/errata.md: wanted a row '| **{number}.** …' that ends in [](../{chapter})"


def gallery(page):
    """Each figure is shown once, in the order of the book, and below a link to a chapter that makes it."""
    shown = re.findall(r'\]\(\.\./(notebooks/\S+)\)\n\n<div data-figure="(\w+)"></div>', page)
    line = "a link to its chapter, an empty line, and '<div data-figure=\"{0}\"></div>'"
    yield from same("book/gallery.md", sorted(name for _, name in shown), sorted(FIGURES), line.format)
    order = [page for page, _ in shown]
    if order != sorted(order, key=CHAPTERS.index):
        yield f"book/gallery.md: wanted the figures in the order of their chapters, found {', '.join(order)}"
    for chapter, name in shown:
        made = [cell for cell in notebook(chapter).code() if f"{FIGURES[name].__name__}(" in cell.source]
        if not made:
            yield f"book/gallery.md: {name} stands under {chapter}, which does not make it"


RULES = {
    "_toc.yml": contents,
    "index.md": front_map,
    "book/timeline.md": timeline,
    "book/errata.md": errata,
    "book/gallery.md": gallery,
}


@pytest.mark.whole_book
@pytest.mark.parametrize("page", RULES)
def test_page_names_what_is_there(page):
    faults = list(RULES[page](text(page)))
    assert not faults, "\n".join(faults)


@pytest.mark.whole_book
@pytest.mark.parametrize("part", PARTS)
def test_part_opens_with_its_chapters(part):
    assert (ROOT / f"book/{part}.md").exists(), f"wanted book/{part}.md, which opens the part, and its line in _toc.yml"
    faults = list(opener(part, text(f"book/{part}.md")))
    assert not faults, "\n".join(faults)


def of_long(page):
    return opener("long", page)


HASHING = "notebooks/long/03_hashing"


@pytest.mark.parametrize(
    ("rule", "page", "old", "new", "message"),
    [
        (contents, "_toc.yml", f"- file: {HASHING}\n", "", f"_toc.yml: to add '- file: {HASHING}'"),
        (contents, "_toc.yml", HASHING, f"{HASHING}s", f"_toc.yml: {HASHING}s stands twice, or there is none"),
        (front_map, "index.md", HASHING, f"{HASHING}s", f'to add <li><a href="{HASHING}.html">Near by hash</a></li>'),
        (front_map, "index.md", ">Near by hash<", ">Hashing<", "has the title 'Near by hash', not 'Hashing'"),
        (front_map, "index.md", "long/01_costs", "long/02_patterns", "02_patterns stands twice"),
        (timeline, "book/timeline.md", "2016\n", "2013\n", "wanted every year once, in order"),
        (timeline, "book/timeline.md", " {cite:p}`graves2014neural`", "", "an entry without {cite:p}"),
        (
            timeline,
            "book/timeline.md",
            "[](../notebooks/origins/05_soft_or_hard)",
            "",
            "no entry leads to notebooks/o",
        ),
        (timeline, "book/timeline.md", HASHING, f"{HASHING}s", f"there is no {HASHING}s; take the link out"),
        (timeline, "book/timeline.md", "*Still to come*", "", "wanted a link to a chapter or *Still to come*"),
        (errata, "book/errata.md", "**E5.**", "**E.**", "wanted a row '| **E5.** …' that ends in [](../notebooks/"),
        (gallery, "book/gallery.md", 'data-figure="soft_lookup"', "", "book/gallery.md: to add a link to its chapter"),
        (gallery, "book/gallery.md", "/08_order", "/02_similarity_and_softmax", "which does not make it"),
        (gallery, "book/gallery.md", "/08_order", "/02_similarity_and_softmax", "in the order of their chapters"),
        (
            lambda page: opener("long", page),
            "book/long.md",
            HASHING,
            "",
            f"to add '| [](../{HASHING}) | its question |'",
        ),
        (of_long, "book/long.md", HASHING, "", f"to add '| [](../{HASHING}) | its question |'"),
        (of_long, "book/long.md", "", "", "wanted notebooks/long/01_costs before"),
    ],
)
def test_what_a_page_lacks_is_told(rule, page, old, new, message):
    kept = text(page)
    if old:
        assert old in kept
        broken = kept.replace(old, new)
    else:  # two rows change places
        broken = kept.replace("long/01_costs)", "X").replace("long/02_patterns)", "long/01_costs)")
        broken = broken.replace("X", "long/02_patterns)")
    assert message in "\n".join(rule(broken))

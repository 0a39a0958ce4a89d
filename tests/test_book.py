"""The book builds strictly, its cache is true, its pages hold together."""

import functools
import os
import re
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from building import ROOT, build, small_book, toc_pages, write_notebook
from pybtex.database import parse_file
from pygments import highlight
from pygments.lexers import PythonLexer

from attn_edu import colours
from attn_edu.catalogue import mechanisms
from attn_edu.properties import PROPERTIES

sys.path.append(str(ROOT / "extensions"))
import book_chapter
import book_code
import book_execute
import book_pages
import book_references
import book_styles

pytest_plugins = ["browser", "building"]
pytestmark = pytest.mark.build

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


# The build


def test_strict_build_is_clean(strict_build: tuple[Path, list[str]]) -> None:
    assert strict_build[1] == []


def test_every_page_is_built(built_book: Path) -> None:
    assert [page for page in toc_pages() if not (built_book / f"{page}.html").exists()] == []


def test_failing_cell_fails_the_build_every_time(tmp_path: Path) -> None:
    small_book(tmp_path, "1 / 0")
    for _ in range(2):
        result = build(tmp_path)
        assert result.returncode != 0
        assert "ZeroDivisionError" in result.stdout


def test_notebooks_elsewhere_are_left_alone(tmp_path: Path) -> None:
    small_book(tmp_path, "1 + 1")
    for folder in (".venv/share", "env/share", "_build/old", "tests", "notebooks/.ipynb_checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
        write_notebook(tmp_path / folder / "stray.ipynb", "# Stray", "1 / 0")
    result = build(tmp_path, "-W")
    assert result.returncode == 0, result.stdout


def test_warning_fails_a_strict_build_every_time(tmp_path: Path) -> None:
    small_book(tmp_path, "1 + 1")
    with (tmp_path / "index.md").open("a") as page:
        page.write("\n[](nowhere.md)\n")
    for _ in range(2):
        result = build(tmp_path, "-W", "--keep-going")
        assert result.returncode != 0
        assert "nowhere" in result.stdout


def test_notebooks_run_again_when_the_package_changes_and_only_then(tmp_path: Path) -> None:
    cell = "import os, attn_edu\nopen(os.environ['RUNS'], 'a').write('x')\nprint('value', attn_edu.VALUE)"
    small_book(tmp_path, cell)
    runs, page = tmp_path / "runs", tmp_path / "_build/html/notebooks/page.html"

    def built() -> str:
        result = build(tmp_path, "-W", RUNS=str(runs))
        assert result.returncode == 0, result.stdout
        return result.stdout

    built()
    assert runs.read_text() == "x" and "value 1" in page.read_text()

    assert "0 added, 0 changed, 0 removed" in built()
    assert runs.read_text() == "x"

    with (tmp_path / "index.md").open("a") as front:
        front.write("\nOne more line.\n")
    assert "0 added, 1 changed, 0 removed" in built()
    assert runs.read_text() == "x"

    (tmp_path / "attn_edu" / "__init__.py").write_text("VALUE = 2\n")
    built()
    assert runs.read_text() == "xx" and "value 2" in page.read_text()

    (tmp_path / "attn_edu" / "figure.js").write_text("export default 1;\n")
    built()
    assert runs.read_text() == "xxx"

    with (tmp_path / "constraints.txt").open("a") as pins:
        pins.write("# another\n")
    built()
    assert runs.read_text() == "xxxx"
    assert len(list((tmp_path / "_build/.jupyter_cache").iterdir())) == 1


def test_notebooks_run_side_by_side(tmp_path: Path) -> None:
    if book_execute.cores() < 2:
        pytest.skip("one core runs one notebook at a time")
    # Each waits for the other: one after the other, the first would wait in vain.
    meet = (
        "import pathlib, time\npathlib.Path('{0}').touch()\n"
        "late = time.time() + 100\nwhile not pathlib.Path('{1}').exists():\n"
        "    assert time.time() < late, 'nobody came'\n    time.sleep(0.1)\n"
    )
    small_book(tmp_path, meet.format("a", "b"))
    write_notebook(tmp_path / "notebooks" / "other.ipynb", "# Other", meet.format("b", "a"))
    with (tmp_path / "_toc.yml").open("a") as toc:
        toc.write("- file: notebooks/other\n")
    result = build(tmp_path, "-W")
    assert result.returncode == 0, result.stdout
    assert re.search(r"executing notebooks.*100%.*notebooks/(page|other) \(\d+ s\)", result.stdout)


def test_the_slowest_notebook_runs_first() -> None:
    assert book_execute.slowest_first(["a", "b", "c", "new"], {"a": 5, "b": 70, "c": 6}) == ["new", "b", "c", "a"]


def test_every_notebook_that_fails_is_named(tmp_path: Path) -> None:
    small_book(tmp_path, "1 / 0")
    write_notebook(tmp_path / "notebooks" / "other.ipynb", "# Other", "int('two')")
    with (tmp_path / "_toc.yml").open("a") as toc:
        toc.write("- file: notebooks/other\n")
    result = build(tmp_path)
    assert result.returncode != 0
    assert "2 of 2 notebooks failed: notebooks/other, notebooks/page" in result.stdout
    assert "ZeroDivisionError" in result.stdout and "invalid literal for int()" in result.stdout


def test_what_a_broken_off_build_left_is_not_trusted(tmp_path: Path) -> None:
    cell = "import os\nopen(os.environ['RUNS'], 'a').write('{0}')\nprint('out' + 'put')"
    small_book(tmp_path, cell.format(0))
    for n in (1, 2, 3):
        write_notebook(tmp_path / f"notebooks/page{n}.ipynb", f"# Page {n}", cell.format(n))
        with (tmp_path / "_toc.yml").open("a") as toc:
            toc.write(f"- file: notebooks/page{n}\n")
    runs, page = tmp_path / "runs", tmp_path / "_build/html/notebooks/page.html"

    def built() -> tuple[str, str]:
        runs.write_text("")
        result = build(tmp_path, "-W", RUNS=str(runs))
        assert result.returncode == 0, result.stdout
        return re.sub(r"\?v=\w+", "", page.read_text()), "".join(sorted(runs.read_text()))

    whole, ran = built()
    assert ran == "0123"
    # As if the power had failed: a page and three of four executed notebooks cut off, and no end of the build.
    page.write_text(whole[:1000])
    kept = {
        re.findall(r"write\('(.)'\)", path.read_text())[0]: path
        for path in (tmp_path / "_build/.jupyter_cache").glob("*/executed/*/base.ipynb")
    }
    kept["1"].write_text(kept["1"].read_text()[:-200])
    kept["2"].unlink()
    kept["3"].unlink()
    kept["3"].parent.rmdir()
    (tmp_path / "_build/.doctrees/unfinished").touch()
    assert built() == (whole, "123")


def test_a_build_that_is_killed_is_done_again(tmp_path: Path) -> None:
    wait = "while not pathlib.Path('go').exists():\n    time.sleep(0.1)"
    small_book(tmp_path, f"import pathlib, time\npathlib.Path('started').touch()\n{wait}")
    going = subprocess.Popen(
        [Path(sys.executable).with_name("jupyter-book"), "build", tmp_path], env={**os.environ, "PYTHONPATH": tmp_path}
    )
    while not (tmp_path / "notebooks/started").exists():
        assert going.poll() is None
        time.sleep(0.1)
    going.kill()
    going.wait()
    assert (tmp_path / "_build/.doctrees/unfinished").exists()
    (tmp_path / "notebooks/go").touch()
    assert build(tmp_path, "-W").returncode == 0
    assert not (tmp_path / "_build/.doctrees/unfinished").exists()


def test_one_chapter_says_at_its_end_where_it_is_or_what_failed(tmp_path: Path) -> None:
    small_book(tmp_path, "# One\n\nIt is so {cite:p}`vaswani2017attention`, says [](../index.md).", "1 + 1")
    write_notebook(tmp_path / "notebooks/bad.ipynb", "# Bad", "1 / 0")
    script = [sys.executable, str(tmp_path / "extensions/book_chapter.py")]

    def said(path: str) -> list[str]:
        done = subprocess.run([*script, path], cwd=tmp_path, capture_output=True, text=True, check=False)
        return book_chapter.COLOURS.sub("", done.stdout).splitlines()

    first, warned, last = said("notebooks/page.ipynb")
    assert first == "Running notebooks/page.ipynb"
    assert warned.startswith('notebooks/page.ipynb, cell 2, line 3: WARNING: could not find bibtex key "vaswani2017')
    assert last == f"file://{tmp_path}/_build/chapter/_build/html/notebooks/page.html"
    assert Path(last.removeprefix("file://")).exists()
    lines = said("notebooks/bad.ipynb")
    assert lines[1:4] == ["This cell failed:", "------------------", "1 / 0"] and len(lines) < 20
    assert lines[-3:] == [
        "ZeroDivisionError: division by zero",
        "",
        "No page was made of notebooks/bad.ipynb. All that was said: _build/chapter/log.txt",
    ]
    # Without a cell that failed, the end of the log.
    assert book_chapter.failure("one\nThere is no such theme.\n") == "one\nThere is no such theme."


# The pages


class Page(HTMLParser):
    """The anchors of a page, and what it refers to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.ids.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values and values.get("rel") != "canonical":
            self.loads.append(values["href"])
        elif tag in {"script", "img", "iframe", "source", "video", "audio", "embed"} and "src" in values:
            self.loads.append(values["src"])


@functools.cache
def read_pages(site: Path) -> dict[Path, Page]:
    """Read all pages but that for wrong addresses, whose links begin at the root of the site (see test_publish)."""
    found = (path for path in site.rglob("*.html") if "_static" not in path.parts and path.name != "404.html")
    return {path.resolve(): Page(path) for path in found}


def broken(site: Path) -> Iterator[str]:
    """Yield every reference to a file or an anchor of the site that is not there."""
    pages = read_pages(site)
    for path, page in pages.items():
        for reference in page.links + page.loads:
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].ids):
                yield f"{path.name}: {reference}"


def foreign(site: Path) -> Iterator[str]:
    """Yield everything a page would load from another host."""
    for path, page in read_pages(site).items():
        yield from (f"{path.name}: {reference}" for reference in page.loads if urlsplit(reference).netloc)


def test_links_and_images_resolve(built_book: Path) -> None:
    assert list(broken(built_book)) == []


def test_nothing_is_loaded_from_another_host(built_book: Path) -> None:
    assert list(foreign(built_book)) == []


def test_planted_references_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="#here">fine</a><a href="#gone">x</a><a href="no.html">x</a><img src="no.png">'
        '<a href="https://example.org/">fine</a><script src="https://example.org/x.js"></script>'
    )
    assert list(broken(tmp_path)) == ["a.html: #gone", "a.html: no.html", "a.html: no.png"]
    assert list(foreign(tmp_path)) == ["a.html: https://example.org/x.js"]


@pytest.mark.parametrize("record", mechanisms(), ids=lambda record: record.name)
def test_mechanism_is_in_catalogue_and_reference(built_book: Path, record) -> None:
    reference = read_pages(built_book)[(built_book / f"book/api/{record.family}.html").resolve()]
    catalogue = read_pages(built_book)[(built_book / "book/catalogue.html").resolve()]
    names = [f"attn_edu.{record.family}.{form.__name__}" for form in (record.reference, record.module)]
    assert reference.ids.issuperset(names)
    assert f"../../{record.chapter}.html" in reference.links
    assert f"api/{record.family}.html#{names[1]}" in catalogue.links
    assert f"../{record.chapter}.html" in catalogue.links
    assert record.chapter in toc_pages()


def test_new_mechanism_needs_no_edit_of_the_pages() -> None:
    def plain_mean() -> None: ...

    class PlainMean: ...

    new = SimpleNamespace(
        title="Plain mean",
        family="core",
        citation="someone2030",
        equation=r"\frac{|x|}{S}",
        cost="O(S)",
        kind="attention",
        reference=plain_mean,
        module=PlainMean,
        chapter="notebooks/foundations/99_mean",
        properties={
            "rows_sum_to_one": SimpleNamespace(verdict="holds", reason=""),
            "linear_in_values": SimpleNamespace(verdict="does not apply", reason="there are no values"),
        },
    )
    text = book_pages.catalogue_page([*mechanisms(), new], PROPERTIES)
    for part in ("Plain mean", "attn_edu.core.PlainMean", new.equation, new.cost, "someone2030", "99_mean"):
        assert part in text
    assert "Plain mean: linear in values does not apply, because there are no values" in text
    text = book_pages.api_pages([new, *mechanisms()])["book/api/core"]
    for part in ("autofunction:: attn_edu.core.plain_mean", "autoclass:: attn_edu.core.PlainMean", "someone2030"):
        assert part in text


def test_missing_helper_module_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="gone"):
        book_pages.group_page("Gone", {"attn_edu.gone": "Gone"})


def test_every_public_module_is_in_the_reference() -> None:
    """A module that readers import is documented, or named here as one that they do not."""
    inner = {"checks", "colours"}
    package = ROOT / "attn_edu"
    modules = {path.stem for path in package.glob("[!_]*.py")}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    families = {record.family for record in mechanisms()}
    documented = {module for _, modules in book_pages.GROUPS.values() for module in modules}
    assert {f"attn_edu.{name}" for name in (modules | folders) - inner - families} == documented


# What is said in two places


def test_stylesheet_has_the_colours_of_the_package() -> None:
    css = (ROOT / "static/book.css").read_text()
    light = css[css.index(":root") : css.index("html[data-theme")]
    dark = css[css.index("html[data-theme") :]
    for block, tones in ((light, colours.LIGHT), (dark, colours.DARK)):
        found = {role: re.search(rf"--attn-{role}: (#\w+);", block) for role in tones}
        assert {role: match and match[1] for role, match in found.items()} == tones
    for role, tone in colours.LIGHT.items():
        rgb = ", ".join(str(int(tone[i : i + 2], 16)) for i in (1, 3, 5))
        assert f'[style*="rgb({rgb})"] {{ color: var(--attn-{role})' in css


def test_repository_is_the_same_everywhere() -> None:
    url = PROJECT["urls"]["Source"]
    assert CONFIG["repository"]["url"] == url
    assert CONFIG["repository"]["branch"] == f"v{PROJECT['version']}"
    path = urlsplit(url).path
    for page in ("README.md", "book/how-to-use.md", "notebooks/foundations/03_queries_keys_values.ipynb"):
        named = set(re.findall(r"github(?:\.com)?(/[\w-]+/[\w-]+)", (ROOT / page).read_text()))
        assert named == {path}, page


def pins(path: Path) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    split = [line.split("==") for line in lines if "==" in line]
    return {name.lower().replace("_", "-"): version for name, version in split}


def test_pins_are_exact_and_agree() -> None:
    direct = pins(ROOT / "requirements.txt")
    locked = pins(ROOT / "constraints.txt")
    assert direct["torch"] == "2.13.0"
    for name, version in {**direct, **pins(ROOT / "tests/requirements.txt")}.items():
        assert locked.get(name) == version, name
    lines = (ROOT / "requirements.txt").read_text().split("\n")
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted[0] == "-c constraints.txt" and wanted[-1] == "-e ."
    assert all("==" in line for line in wanted[1:-1])
    assert "+" not in "".join(locked.values())


def test_the_books_style_leaves_figures_alone() -> None:
    """A class of the front page's map once had the name of a figure's, and laid its rows out in two columns."""
    css = (ROOT / "static/book.css").read_text().replace(":not(.attn-figure *)", "")
    own = set(re.findall(r"\.([a-z]+-[\w-]+)", css))
    figures = "".join(path.read_text() for path in (ROOT / "attn_edu/interactive").glob("*.[cj]s*"))
    shared = {name for name in own if name in set(re.findall(r"[\w-]+", figures))}
    assert shared <= {"attn-query", "attn-key", "attn-value"}, shared


def test_pictures_say_what_they_show(built_book: Path) -> None:
    """Without alt text in a cell's metadata the page would read out the name of a file, or nothing."""
    for page in toc_pages():
        text = (built_book / f"{page}.html").read_text()
        for picture in re.findall(r"<img[^>]*_images/[^>]*>", text):
            alt = re.search(r'alt="([^"]*)"', picture)
            assert alt and len(alt[1]) > 20 and "_images/" not in alt[1], f"{page}: {picture}"


def test_pages_are_light(built_book: Path) -> None:
    """What is ours beside the theme and MathJax.

    HTML, data and scripts 150 KB in the median, 250 KB with pictures, and no page 500 KB with pictures.
    """
    own = sum((built_book / "_static" / name).stat().st_size for name in ("book.css", "book.js"))
    sizes, with_pictures = {}, {}
    for page in toc_pages():
        path = built_book / f"{page}.html"
        text = path.read_text()
        images = {(path.parent / name).resolve() for name in re.findall(r'<img[^>]+src="([^":]+)"', text)}
        sizes[page] = own + len(text.encode())
        with_pictures[page] = sizes[page] + sum(image.stat().st_size for image in images)
    assert max(with_pictures.values()) <= 500_000, with_pictures
    assert statistics.median(sizes.values()) <= 150_000, sizes
    assert statistics.median(with_pictures.values()) <= 250_000, with_pictures


def test_code_keeps_the_colours_that_differ(built_book: Path) -> None:
    """Marks are left out only where both styles give them the colour of the text around them."""
    css = (built_book / "_static/pygments.css").read_text()
    page = (built_book / "notebooks/foundations/01_why_attend.html").read_text()
    for theme in ("light", "dark"):
        start = rf'html\[data-theme="{theme}"\] \.highlight '
        text = re.search(start + r"\{[^}]*\bcolor: (#\w+)", css)
        for mark in ("n", "p", "w"):
            found = re.search(start + rf"\.{mark} " + r"\{ color: (#\w+) \}", css)
            assert text and found and text[1].lower() == found[1].lower(), (theme, mark)
    marks = set(re.findall(r"<i class=(\w+)>", page))
    assert {"k", "o"} <= marks and not {"n", "p", "w"} & marks
    assert "<i class=o>=</i>" in page and "<i class=o>.</i>" not in page, "a dot is read as part of a name"


def test_marked_code_reads_as_it_was_written() -> None:
    code = 'def f(x: float) -> str:\n    """Say <b>&amp;."""\n    return f"{x.real:.2f} < 1"  # 2 > 1\n'
    html = highlight(code, PythonLexer(), book_code.FewerMarks())
    outline = HTMLParser()
    text: list[str] = []
    outline.handle_data = text.append  # type: ignore[method-assign]
    outline.feed(html)
    assert "".join(text).strip("\n") == code.strip("\n")
    assert html.count("<i class=") == html.count("</i>") > 5 and html.count("<span") == html.count("</span>") == 1


def test_styles_stand_once_on_a_page() -> None:
    html = "<style>a</style>\n1<style>b</style>2<style>a</style>\n3<style>b </style>"
    assert book_styles.once(html) == "<style>a</style>\n1<style>b</style>23<style>b </style>"


def test_built_pages_have_each_style_once(built_book: Path) -> None:
    styles = re.findall(r"<style>.*?</style>", (built_book / "notebooks/long/03_hashing.html").read_text(), re.S)
    assert len(styles) == len(set(styles)) > 5


def test_figures_of_a_page_share_one_script() -> None:
    player = "{\n  const state = %(state)s;\n  start('%(key)s', state);\n}\n"
    one, other = (
        f'<script type="module">\nkit();\n{name}();\n{player % {"state": state, "key": name * 3}}</script>\n'
        for name, state in (("a", '{"x":"\\u003c\\\\n"}'), ("b", "{}"))
    )
    assert book_styles.together(f"1{one}2", "kit();\n", player) == f"1{one}2"
    assert book_styles.together(f"1{one}2{other}3<script>x</script>", "kit();\n", player) == (
        '123<script>x</script><script type="module">\nkit();\n'
        "const play = (figure, state, key) => {\n  start('' + key + '', state);\n};\n"
        'try {\na();\nplay(figure, {"x":"\\u003c\\\\n"}, "aaa");\n} catch (error) {\nreportError(error);\n}\n'
        'try {\nb();\nplay(figure, {}, "bbb");\n} catch (error) {\nreportError(error);\n}\n</script>\n'
    )


def test_the_gallery_shows_every_figure(built_book: Path) -> None:
    """Each below a link to the place in its chapter where it stands."""
    page = (built_book / "book/gallery.html").read_text()
    names = re.findall(r'data-figure="(\w+)"', (ROOT / "book/gallery.md").read_text())
    assert re.findall(r'data-attn-name="(\w+)"', page) == names
    assert re.findall(r'href="\.\./notebooks/\S+#figure-(\w+)"', page) == names
    assert page.count('<script type="module">') == 1


def test_every_erratum_leads_to_where_a_chapter_shows_it(built_book: Path) -> None:
    rows = re.findall(r"<strong>(E\d+)\.</strong>(.*?)</tr>", (built_book / "book/errata.html").read_text(), re.S)
    assert len(rows) > 30
    for number, row in rows:
        assert re.search(rf'href="\.\./notebooks/\S+\.html#erratum-{number.lower()}"', row), number


def test_an_erratum_or_a_figure_in_the_wrong_place_is_warned_of(tmp_path: Path) -> None:
    shown = """from IPython.display import HTML\nHTML('<p data-attn-name="seen">S</p>')"""
    small_book(tmp_path, "# One\n\n> **Erratum E1.** It is so.", shown, shown.replace("seen", "hidden"))
    with (tmp_path / "_toc.yml").open("a") as toc:
        toc.write("- file: book/errata\n- file: book/gallery\n")
    (tmp_path / "book").mkdir()
    row = "| **E{0}.** a | [](../notebooks/page) |\n"
    (tmp_path / "book/errata.md").write_text("# E\n\n| a | b |\n|---|---|\n" + row.format(1) + row.format(2))
    (tmp_path / "book/gallery.md").write_text('# G\n\n<div data-figure="seen"></div>\n<div data-figure="lost"></div>\n')
    result = build(tmp_path)
    for warning in (
        "no chapter of the row speaks of erratum E2",
        "the figure hidden of a chapter is not shown",
        "no chapter shows the figure lost",
    ):
        assert warning in result.stdout
    assert "erratum E1" not in result.stdout and "figure seen" not in result.stdout
    html = tmp_path / "_build/html"
    assert 'href="../notebooks/page.html#erratum-e1"' in (html / "book/errata.html").read_text()
    assert '<p data-attn-name="seen">S</p>' in (html / "book/gallery.html").read_text()
    assert list(broken(html)) == []
    # A chapter that changes is followed.
    write_notebook(tmp_path / "notebooks/page.ipynb", "# One\n\n> **Errata E1, E2.** So.", shown.replace("S<", "T<"))
    assert "no chapter of the row" not in build(tmp_path).stdout
    assert '<p data-attn-name="seen">T</p>' in (html / "book/gallery.html").read_text()


def test_two_works_of_one_author_and_year_are_told_apart_in_a_list() -> None:
    """The build does not warn of equal labels, for they may stand on different pages; within one they get a letter."""
    entries = parse_file(ROOT / "references.bib").entries
    style = book_references.AuthorYear()
    assert list(style.format_labels([entries["ba2016fast"], entries["ba2016layer"]])) == [
        "Ba et al., 2016a",
        "Ba et al., 2016b",
    ]

"""The recipes of CONTRIBUTING.md name what is there."""

import re
import subprocess
import sys
import tomllib

import chapters
import pytest
import test_notebooks
import yaml
from chapters import ROOT

from attn_edu.catalogue import mechanisms

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PAGES = {name: (ROOT / name).read_text() for name in ("CONTRIBUTING.md", "README.md", "book/how-to-use.md", "Makefile")}


def false_commands(pages, targets, paths, names):
    """Yield the commands of make that name no target, not exactly one chapter, or no mechanism."""
    for page, text in pages.items():
        for target in sorted({*re.findall(r"(?:`|^(?:\$ )?)make ([a-z]+)", text, re.M)} - targets):
            yield f"{page}: there is no make {target}"
        for part in re.findall(r"make (?:chapter|rules) C=([\w/.-]+)", text):
            named = [path for path in paths if part in path]
            if len(named) != 1:
                yield f"{page}: C={part} should name one chapter; it names {len(named)}: {', '.join(named)}"
        for name in re.findall(r"make check M=([\w.]+)", text):
            if name.rpartition(".")[2] not in names:
                yield f"{page}: there is no mechanism {name}"


def test_every_command_can_be_given():
    targets = set(re.findall(r"^([a-z]+):", PAGES["Makefile"], re.M))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", TEXT, re.M))
    assert named >= {"book", "test", "check", "rules", "chapter", "hooks"}
    faults = list(false_commands(PAGES, targets, chapters.paths(), {record.name for record in mechanisms()}))
    assert not faults, "\n".join(faults)


def test_a_command_that_cannot_be_given_is_found():
    pages = {"a.md": "`make brew` it\n`make chapter C=03`\n$ make rules C=long/99\n$ make check M=core.dto\n"}
    paths = ["notebooks/a/03_x.ipynb", "notebooks/b/03_y.ipynb"]
    assert list(false_commands(pages, {"chapter", "rules", "check"}, paths, {"dot"})) == [
        "a.md: there is no make brew",
        "a.md: C=03 should name one chapter; it names 2: notebooks/a/03_x.ipynb, notebooks/b/03_y.ipynb",
        "a.md: C=long/99 should name one chapter; it names 0: ",
        "a.md: there is no mechanism core.dto",
    ]


def test_the_rules_of_one_chapter_are_chosen():
    """`make rules` runs each rule on that chapter and no other, and what is quick to say of all together."""
    path, *others = chapters.paths()
    files = [f"tests/test_{name}.py" for name in ("notebooks", "exercises", "contents", "bibliography")]
    options = ["--collect-only", "-q", "-n0", "-p", "no:cacheprovider", "--chapter", path]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = re.findall(r"^tests/\w+\.py::(\w+)", done.stdout, re.M)
    assert names.count("test_rule") == len(test_notebooks.RULES)
    assert names.count("test_stubs_fail_and_solutions_pass") == 1
    assert {"test_no_sentence_stands_in_two_chapters", "test_page_names_what_is_there", "test_entry_is_whole"} <= {
        *names
    }
    assert not [other for other in others if other in done.stdout]
    assert not {name for name in names if "is_told" in name or "a_bad_" in name}, "planted faults take time"


def test_the_map_of_the_tree_is_the_tree():
    tree = re.search(r"^## The tree\n\n```\n(.*?)^```", TEXT, re.M | re.S)[1]
    named = re.findall(r"^([\w./]+)/ ", tree, re.M)
    assert [name for name in named if not (ROOT / name).is_dir()] == []
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "attn_edu").glob("*/__init__.py")}
    families = {f"attn_edu/{record.family}" for record in mechanisms()}
    missing = packages - families - {*named}
    assert not missing, f"CONTRIBUTING.md, the tree: to add {', '.join(sorted(missing))}"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w./]+/[\w./]+\.\w+|[\w]+\.(?:bib|yml|js|css))`", TEXT))))
def test_every_file_named_exists(path):
    found = (ROOT / path).exists() or (ROOT / "attn_edu/interactive" / path).exists()
    assert found, path


def test_the_colours_of_the_recipe_are_the_books():
    from attn_edu import colours

    assert re.findall(r"\\color\{(#\w+)\}", TEXT) == list(colours.LIGHT.values())


def test_citation_agrees_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"] == chapters.VERSION
    assert citation["repository-code"] == chapters.REPOSITORY == project["urls"]["Source"]
    assert citation["title"] == chapters.CONFIG["title"]


def test_changelog_has_this_version():
    assert f"## {chapters.VERSION}" in (ROOT / "CHANGELOG.md").read_text()

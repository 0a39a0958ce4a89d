"""Copies of the book, and builds of them, for the tests."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).parents[1]


def copy_tree(target: Path) -> Path:
    """Copy what git has or would add, and nothing that was built."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def build(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run jupyter-book on a folder; the folder's own package comes first."""
    return subprocess.run(
        [Path(sys.executable).with_name("jupyter-book"), "build", folder, *arguments],
        env={**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def files_below(folder: Path) -> set[str]:
    """List the files in a folder, but for what was built and what Python compiled."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != "_build" and "__pycache__" not in path.parts}


def strict_files(folder: Path) -> tuple[set[str], set[str], set[str]]:
    """Return the files of the whole book before its build and after it, and those in the home folder it had."""
    before = set(json.loads(folder.with_name("whole-book-before.json").read_text()))
    return before, files_below(folder), files_below(folder.with_name("whole-book-home"))


def write_notebook(path: Path, *cells: str) -> None:
    """Write a notebook: cells that start with ``#`` are Markdown, the others code."""
    written: list[dict[str, Any]] = []
    for n, source in enumerate(cells):
        cell = {"id": f"cell-{n}", "metadata": {}, "source": source}
        if source.startswith("#"):
            written.append({"cell_type": "markdown", **cell})
        else:
            written.append({"cell_type": "code", "outputs": [], "execution_count": None, **cell})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path.write_text(json.dumps({"cells": written, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


def small_book(folder: Path, *cells: str) -> Path:
    """Make a book of a front page and one notebook, with this book's settings and a package of one line."""
    shutil.copytree(ROOT / "extensions", folder / "extensions", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "static", folder / "static")
    for name in ("_config.yml", "references.bib", "requirements.txt", "constraints.txt"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / "attn_edu").mkdir()
    (folder / "attn_edu" / "__init__.py").write_text("VALUE = 1\n")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n- file: notebooks/page\n")
    (folder / "index.md").write_text("# Front\n\n$w_{ij}$\n")
    (folder / "notebooks").mkdir()
    write_notebook(folder / "notebooks" / "page.ipynb", "# Page", *cells)
    return folder


def toc_pages(folder: Path = ROOT) -> list[str]:
    """List the pages that the table of contents names."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (node[key] for key in ("root", "file") if key in node)
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    return list(walk(yaml.safe_load((folder / "_toc.yml").read_text())))


@pytest.fixture(scope="session")
def strict_build(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Build the whole book once, strict, from a clean copy; return the folder of pages, and what went wrong.

    Workers that run tests side by side share the build: the first makes it, the others wait.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, report = shared / "whole-book", shared / "whole-book.json"
    with FileLock(shared / "whole-book.lock"):
        if not report.exists():
            before = files_below(copy_tree(folder))
            folder.with_name("whole-book-before.json").write_text(json.dumps(sorted(before)))
            home = folder.with_name("whole-book-home")
            home.mkdir()
            result = build(folder, "-W", "--keep-going", HOME=str(home))
            lines = result.stdout.splitlines()
            telling = [line for line in lines if re.search(r"WARNING: |ERROR|Error", line)] or lines[-30:]
            report.write_text(json.dumps(telling if result.returncode else []))
    return folder / "_build" / "html", json.loads(report.read_text())


@pytest.fixture(scope="session")
def built_book(strict_build: tuple[Path, list[str]]) -> Path:
    """Return the folder of the built pages, if there are any; whether the build was clean is a test of its own."""
    if not (strict_build[0] / "index.html").exists():
        pytest.fail(f"the book was not built: {strict_build[1][-1]}")
    return strict_build[0]

"""A notebook that runs twice says the same twice, and the book's build leaves nothing beside `_build`."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from building import ROOT, strict_files
from jupyter_cache import get_cache
from jupyter_cache.executors.utils import single_nb_execution

pytest_plugins = ["building"]
pytestmark = pytest.mark.build

# One with a figure and pictures, one that trains, one with random inputs; each takes seconds.
SAMPLE = ("03_queries_keys_values", "04_learning_the_weights", "09_neighbours")


def said(notebook):
    """Return what each cell shows, by id: text but for progress and times, and pictures."""
    shown = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        parts = shown[cell.id] = []
        for output in cell.outputs:
            if output.output_type == "stream":
                text = output.text if output.name == "stdout" else ""
                parts.append(re.sub(r"\d[\d.,]* ?(s|ms|µs)\b", "time", text))
            else:
                parts.append(dict(output.get("data", {})))
        texts = "".join(part for part in parts if isinstance(part, str))
        shown[cell.id] = [texts, *(part for part in parts if not isinstance(part, str))]
    return shown


def run(notebook, folder):
    """Run a notebook in a Python of its own."""
    result = single_nb_execution(notebook, cwd=str(folder), timeout=300, allow_errors=False)
    assert result.err is None, result.exc_string
    return notebook


@pytest.mark.parametrize("name", SAMPLE)
def test_two_builds_say_the_same(built_book: Path, tmp_path: Path, name: str) -> None:
    """The book's build ran it with other notebooks at its side, this test runs it alone."""
    path = ROOT / f"notebooks/foundations/{name}.ipynb"
    (cache,) = (built_book.parent / ".jupyter_cache").iterdir()
    kept = get_cache(cache)
    built = kept.merge_match_into_notebook(nbformat.read(path, as_version=4))[1]
    again = said(run(nbformat.read(path, as_version=4), tmp_path))
    assert said(built) == again
    assert sum(map(bool, again.values())) > 10, "what is compared should not be nothing"


def test_a_difference_is_seen(tmp_path: Path) -> None:
    def notebook(cell):
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell, id="cell")])
        return said(run(made, tmp_path))

    assert notebook("import os; print(os.urandom(4))") != notebook("import os; print(os.urandom(4))")
    assert notebook("{'a', 'b', 'c', 'd', 'e', 'f'}") != notebook("{'a', 'b', 'c', 'd', 'e', 'f', 'g'}")
    assert notebook("print('12 s and 0.5 ms')") == notebook("print('9 s and 1.25 ms')") == {"cell": ["time and time\n"]}
    late = "import sys; print('told', file=sys.stderr); print('said')"
    assert notebook(late) == notebook("print('said')")


def test_the_build_leaves_nothing_beside_its_folder(strict_build: tuple[Path, list[str]]) -> None:
    """No notebook writes into the book, and none leaves a file in the home folder but the caches of libraries."""
    before, after, home = strict_files(strict_build[0].parents[1])
    assert sorted(after - before) == []
    assert {name.split(os.sep)[0] for name in home} <= {".cache", ".config", ".ipython", ".jupyter", ".local"}

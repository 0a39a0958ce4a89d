"""Every chapter in a runtime like Colab's: nothing installed, an empty folder, the package from its repository.

What is *committed* is tested: git finds a clone of HEAD under the repository's public address. By default every
chapter's set-up and imports run, and whole the quickest chapter of each part and what the last commit changed;
with ``ATTN_AUDIT=all`` every chapter runs whole.
"""

import ast
import json
import os
import subprocess

import nbformat
import pytest
from chapters import REPOSITORY, VERSION, plain_code, tags
from runtimes import clean_environment, clone, layer, packages, run, versions

pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return the clone, and the variables with which git finds it."""
    folder = tmp_path_factory.mktemp("published") / "clone"
    return folder, clone(folder)


def committed(folder):
    return sorted(path.relative_to(folder).as_posix() for path in (folder / "notebooks").rglob("*.ipynb"))


def quickest_of_each_part(paths, seconds):
    """Return a chapter of each part; one of which no time is known may be slow."""
    parts = {}
    for path in sorted(paths, key=lambda path: seconds.get(path.removesuffix(".ipynb"), float("inf"))):
        parts.setdefault(path.rsplit("/", 1)[0], path)
    return set(parts.values())


def changed(folder):
    """Return the notebooks that the last commit touched."""
    if subprocess.run(["git", "rev-parse", "-q", "--verify", "HEAD~1"], cwd=folder, capture_output=True).returncode:
        return set(committed(folder))
    names = run(["git", "diff", "--name-only", "HEAD~1", "HEAD", "--", "notebooks"], cwd=folder).split("\n")
    return set(names) & set(committed(folder))


def whole(folder):
    """Return the notebooks that run whole."""
    paths = committed(folder)
    if os.environ.get("ATTN_AUDIT") == "all":
        return paths
    seconds = json.loads((folder / "notebooks" / "seconds.json").read_text())
    return sorted(quickest_of_each_part(paths, seconds) | changed(folder))


def imports_of(source):
    """Return the import statements that stand at the top level of a cell."""
    tree = ast.parse(plain_code(source))
    return "\n".join(ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))


def set_up_and_imports(notebooks):
    """Return one notebook: the set-up cell of the first, and the imports of all."""
    cells = [cell for cell in notebooks[0].cells if "remove-cell" in tags(cell)]
    assert len(cells) == 1, "wanted one set-up cell"
    for notebook in notebooks:
        sources = [imports_of(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
        cells += [nbformat.v4.new_code_cell(source) for source in sources if source]
    return nbformat.v4.new_notebook(cells=cells, metadata=notebooks[0].metadata)


def start(notebook, folder, variables):
    """Run a notebook in a fresh runtime and say what the runtime was like afterwards."""
    python = layer(folder / "layer")
    before = versions(python)
    assert not list(packages(folder / "layer").glob("attn_edu*"))
    work = folder / "content"
    work.mkdir()
    nbformat.write(notebook, folder / "in.ipynb")
    run(
        [python, "-m", "papermill", "--kernel", "python3", folder / "in.ipynb", folder / "out.ipynb"],
        cwd=work,
        env=clean_environment(**variables, PYTHONDONTWRITEBYTECODE="1"),
    )
    assert versions(python) == before, "the set-up cell moved what the runtime had"
    assert not list(work.iterdir()), f"the notebook wrote {[path.name for path in work.iterdir()]}"
    return python


def installed_from(folder):
    """Return where pip says attn_edu came from."""
    records = list(packages(folder / "layer").glob("attn_edu-*.dist-info/direct_url.json"))
    assert len(records) == 1, "the set-up cell did not install attn_edu"
    return json.loads(records[0].read_text())


@pytest.fixture(scope="module")
def runtime(published, tmp_path_factory):
    """Return an interpreter in which the set-up cell and every import cell have run."""
    clone_folder, variables = published
    folder = tmp_path_factory.mktemp("runtime")
    paths = committed(clone_folder)
    assert paths, "no notebook is committed"
    notebooks = [nbformat.read(clone_folder / path, as_version=4) for path in paths]
    return start(set_up_and_imports(notebooks), folder, variables), folder


def test_set_up_installs_this_edition_and_every_import_works(published, runtime):
    origin = installed_from(runtime[1])
    assert origin["url"] == REPOSITORY
    assert origin["vcs_info"]["requested_revision"] == f"v{VERSION}"
    assert origin["vcs_info"]["commit_id"] == run(["git", "rev-parse", f"v{VERSION}^{{}}"], cwd=published[0]).strip()


def test_chosen_chapters_run_whole(published, tmp_path):
    chosen = whole(published[0])
    assert chosen
    for number, path in enumerate(chosen):
        folder = tmp_path / str(number)
        folder.mkdir()
        start(nbformat.read(published[0] / path, as_version=4), folder, published[1])
        installed_from(folder)


def test_a_figure_is_a_live_widget_there(runtime, tmp_path):
    code = """
import ipywidgets, numpy as np
from attn_edu.interactive import AttentionExplorer
assert ipywidgets.__version__ == "7.7.1"
rng = np.random.default_rng(0)
widget = AttentionExplorer(["a", "b", "c"], *rng.normal(size=(3, 3, 2))).widget()
before = np.array(widget.weights)
widget.temperature = 0.25
after = np.array(widget.weights)
assert before.shape == after.shape == (3, 3)
np.testing.assert_allclose(after.sum(-1), 1, atol=1e-6)
assert (after.max(-1) > before.max(-1) + 1e-3).all()
"""
    run([runtime[0], "-c", code], cwd=tmp_path, env=clean_environment())


# ---------------------------------------------------------------------------------------- the machinery itself


def notebook(*sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "p"}})


def test_a_failing_cell_is_found_and_the_package_does_not_shine_through(tmp_path):
    with pytest.raises(AssertionError, match="No module named 'attn_edu'"):
        start(notebook("import attn_edu"), tmp_path, {})
    with pytest.raises(AssertionError, match="did not install attn_edu"):
        installed_from(tmp_path)


def test_a_file_left_behind_is_found(tmp_path):
    with pytest.raises(AssertionError, match=r"the notebook wrote \['left.txt'\]"):
        start(notebook("open('left.txt', 'w').close()"), tmp_path, {})


def test_a_moved_version_is_found(tmp_path):
    moves = (
        "import pathlib, sysconfig\n"
        "folder = pathlib.Path(sysconfig.get_path('purelib'), 'numpy-9.dist-info')\n"
        "folder.mkdir()\n"
        "_ = (folder / 'METADATA').write_text('Metadata-Version: 2.1\\nName: numpy\\nVersion: 9\\n')"
    )
    with pytest.raises(AssertionError, match="moved what the runtime had"):
        start(notebook(moves), tmp_path, {})


def test_what_is_chosen():
    paths, seconds = ["n/a/01.ipynb", "n/a/02.ipynb", "n/a/03.ipynb", "n/b/07.ipynb"], {"n/a/01": 9, "n/a/03": 5}
    assert quickest_of_each_part(paths, seconds) == {"n/a/03.ipynb", "n/b/07.ipynb"}
    assert imports_of("%pip install x\nimport a\nfrom b import c as d\nx = 1\n") == "import a\nfrom b import c as d"

"""The package as others get it: what the wheel holds, what it asks for, and that it works without the extras."""

import compileall
import email
import re
import shutil
import subprocess
import zipfile

import pytest
from chapters import ROOT, VERSION
from runtimes import clean_environment, layer, packages, run, versions

pytestmark = [pytest.mark.build, pytest.mark.xdist_group("colab")]  # one process makes the runtime

EXTRAS = ("matplotlib", "ipywidgets", "anywidget", "IPython", "sklearn", "tqdm", "pygments", "scipy")
BLOCK = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build a wheel from a copy of the checkout and install it over Colab's packages; return both."""
    folder = tmp_path_factory.mktemp("install")
    copy = folder / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    for name in ("attn_edu", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    python = layer(folder / "layer")
    before = versions(python)
    run([python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, copy], env=clean_environment())
    [wheel] = folder.glob("*.whl")
    run([python, "-m", "pip", "install", "-q", wheel], env=clean_environment())
    assert versions(python) == before, "installing the package moved what was there"
    return wheel, python, packages(folder / "layer")


def in_the_package(*endings):
    found = [path for path in (ROOT / "attn_edu").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix() for path in found if path.name.endswith(endings)}


def upper_bounds(requirements):
    """Return the requirements that an extra does not switch on and that say more than 'at least'."""
    needed = [line for line in requirements if "extra ==" not in line]
    return [line for line in needed if not re.fullmatch(r"[\w-]+>=[\d.]+", line)]


def test_the_wheel_holds_the_package_and_nothing_else(installed):
    names = set(zipfile.ZipFile(installed[0]).namelist())
    scripts, numbers = in_the_package(".js", ".css"), in_the_package(".json")
    assert scripts, "no figure's script was found in the checkout"
    assert numbers, "no results of a benchmark were found in the checkout"
    assert in_the_package(".py", "py.typed") | scripts | numbers <= names
    outside = {name for name in names if not name.startswith(("attn_edu/", f"attn_edu-{VERSION}.dist-info/"))}
    assert not outside
    assert not [name for name in names if re.search(r"(^|/)(tests?|test_\w+)(/|\.py)", name)]


def test_it_asks_for_no_upper_bound(installed):
    wheel = zipfile.ZipFile(installed[0])
    metadata = email.message_from_bytes(wheel.read(f"attn_edu-{VERSION}.dist-info/METADATA"))
    requirements = metadata.get_all("Requires-Dist")
    assert {re.split(r"\W", line)[0] for line in requirements if "extra" not in line} == {
        "einops",
        "jaxtyping",
        "numpy",
        "torch",
    }
    assert upper_bounds(requirements) == []
    assert metadata["Version"] == VERSION
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("MIT", ">=3.11")


def test_an_upper_bound_is_found():
    bad = ["numpy<3,>=2", "torch==2.11", "torch~=2.11", "einops"]
    assert upper_bounds(["numpy>=2.0", 'tqdm<5; extra == "tasks"', *bad]) == bad


def test_it_works_without_the_extras(installed, tmp_path):
    # A source listing and a card of an exercise must also do without; a plot must say what to install.
    code = f"""{BLOCK}
import numpy as np
import attn_edu, attn_edu.catalogue, attn_edu.exercises, attn_edu.interactive, attn_edu.plotting, attn_edu.show
assert attn_edu.__file__.startswith({str(installed[2])!r}), attn_edu.__file__
assert attn_edu.__version__ == {VERSION!r}
from attn_edu import core
output, weights = core.scaled_dot_product(*(np.eye(2) for _ in range(3)))
assert output.shape == weights.shape == (2, 2)
attn_edu.show.show(core.scaled_dot_product)
assert attn_edu.exercises.expect_close(1, 1) is None
assert "<" in attn_edu.interactive.AttentionExplorer(["a"], *np.ones((3, 1, 2)))._repr_html_()
assert "def" in attn_edu.show._highlighted("def f(): 1 < 2")
assert not set({EXTRAS}) & set(sys.modules)
try:
    attn_edu.plotting.heatmap(np.eye(2))
except ImportError as error:
    assert "pip install matplotlib" in str(error)
else:
    raise AssertionError("heatmap drew without matplotlib")
"""
    shown = run([installed[1], "-c", code], cwd=tmp_path, env=clean_environment())
    assert "def scaled_dot_product(" in shown
    assert "class ScaledDotProduct(" in shown


def test_an_extra_is_really_out_of_reach(installed, tmp_path):
    with pytest.raises(AssertionError, match="No module named 'matplotlib'"):
        run([installed[1], "-c", BLOCK + "import matplotlib"], cwd=tmp_path, env=clean_environment())
    run([installed[1], "-c", "import matplotlib"], cwd=tmp_path, env=clean_environment())


def test_every_file_compiles(installed):
    assert compileall.compile_dir(installed[2] / "attn_edu", quiet=1, force=True)


def works(python):
    return python and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


@pytest.mark.parametrize("name", ["python3.12", "python3.13", "python3.14"])
def test_newer_interpreters_read_every_file(installed, name, tmp_path):
    # Where such an interpreter is not found there is nothing to try.
    python = shutil.which(name)
    if works(python):
        shutil.copytree(installed[2] / "attn_edu", tmp_path / "attn_edu")
        run([python, "-W", "error", "-m", "compileall", "-q", "-f", tmp_path / "attn_edu"])

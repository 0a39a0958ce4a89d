"""The package as others get it: what the wheel holds, what it asks for, and that it works without the extras."""

import compileall
import email
import re
import shutil
import sys
import zipfile

import numpy as np
import pytest
from chapters import ROOT, VERSION
from runtimes import NEWER, clean_environment, layer, newer_pythons, packages, run, versions, without_torch

pytestmark = pytest.mark.build

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
def wheel(tmp_path_factory):
    """Build a wheel from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    for name in ("attn_edu", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, copy], env=clean_environment())
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel over Colab's packages; return it, the interpreter and where its packages lie."""
    folder = tmp_path_factory.mktemp("install")
    python = layer(folder / "layer")
    before = versions(python)
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


NEWER_HERE = list(newer_pythons()) or [None]


@pytest.fixture(scope="module", params=NEWER_HERE)
def newer(request, wheel, tmp_path_factory):
    """Install the wheel for a newer interpreter, without PyTorch; return the interpreter and where the package lies."""
    if request.param is None:
        pytest.skip(f"no newer Python found: looked for {', '.join(NEWER)} on the PATH and in ~/.pyenv/versions")
    folder = tmp_path_factory.mktemp(request.param)
    python = layer(folder, without_torch(newer_pythons()[request.param]))
    run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], env=clean_environment())
    return python, packages(folder) / "attn_edu"


def compile_with(python, place):
    """Compile a file, or all in a folder; any warning is an error."""
    run([python, "-W", "error", "-m", "compileall", "-q", "-f", place], env=clean_environment())


def numbers(python, folder, **environment):
    """Run the worked examples there, any warning an error, and return what each definition gives."""
    command = [python, "-W", "error", ROOT / "tests" / "numpy_side.py", folder / "numbers.npz"]
    run(command, cwd=folder, env=clean_environment(PYTHONDONTWRITEBYTECODE="1", **environment))
    with np.load(folder / "numbers.npz") as found:
        return dict(found)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Return what each definition gives in this interpreter, with the versions that are pinned."""
    return numbers(sys.executable, tmp_path_factory.mktemp("ours"), PYTHONPATH=str(ROOT))


def agree(found, ours):
    assert set(found) == set(ours)
    for name, array in ours.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12, atol=1e-12, err_msg=name)


def test_a_newer_python_reads_every_file(newer):
    compile_with(*newer)


def test_a_newer_python_computes_the_same(newer, ours, tmp_path):
    agree(numbers(newer[0], tmp_path), ours)


FAULTS = {
    "a character that is escaped for nothing": (
        "np_ops.py",
        "import numpy as np",
        r'import numpy as np; "\d"',
        "invalid escape",
    ),
    "a module that Python no longer has": (
        "np_ops.py",
        "import numpy as np",
        "import numpy as np, distutils",
        "distutils",
    ),
    "a name that NumPy no longer has": ("np_ops.py", "np.exp(", "np.row_stack and np.exp(", "row_stack"),
    "what NumPy warns of": ("np_ops.py", "total = ", "powers.shape = powers.shape; total = ", "has been deprecated"),
    "a worked example that prints otherwise": ("costs.py", "'projections': 48", "'projections': 49", "operations"),
    "a definition that says otherwise": ("np_ops.py", "powers / ", "(1 + 1e-11) * powers / ", "Mismatched elements"),
}


@pytest.mark.parametrize("newer", NEWER_HERE[:1], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_on_a_newer_python_is_caught(newer, ours, fault, tmp_path):
    file, old, new, told = FAULTS[fault]
    shutil.copytree(newer[1], tmp_path / "attn_edu")
    source = (tmp_path / "attn_edu" / file).read_text()
    assert old in source, f"{file} no longer has {old!r}: plant this fault anew"
    (tmp_path / "attn_edu" / file).write_text(source.replace(old, new))
    with pytest.raises(AssertionError, match=told):
        compile_with(newer[0], tmp_path / "attn_edu" / file)
        agree(numbers(newer[0], tmp_path, PYTHONPATH=str(tmp_path)), ours)


def test_a_newer_python_is_found_in_both_places(tmp_path):
    def python(place, status):
        place.parent.mkdir(parents=True)
        place.write_text(f"#!/bin/sh\nexit {status}\n")
        place.chmod(0o755)
        return place

    on_path = python(tmp_path / "bin" / "python3.12", 0)
    of_pyenv = python(tmp_path / ".pyenv" / "versions" / "3.13.0" / "bin" / "python3.13", 0)
    python(tmp_path / ".pyenv" / "versions" / "3.14.0" / "bin" / "python3.14", 1)  # one that does not run
    python(tmp_path / ".pyenv" / "versions" / "3.11.7" / "bin" / "python3.11", 0)
    assert newer_pythons(tmp_path, str(tmp_path / "bin")) == {"python3.12": on_path, "python3.13": of_pyenv}

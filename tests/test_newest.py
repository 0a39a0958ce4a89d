"""The script behind `make newest`: what it asks for, what it shows, what it reports."""

import importlib.metadata
import subprocess
import sys

import einops
import newest
import pytest
from chapters import ROOT
from packaging.requirements import Requirement
from runtimes import lend


def test_everything_may_move_but_torch():
    pinned = newest.pins("requirements.txt", "tests/requirements.txt")
    asked = [Requirement(line) for line in newest.wanted(pinned)]
    assert {one.name for one in asked} == set(pinned)
    assert {one.name: str(one.specifier) for one in asked if str(one.specifier)} == {
        "torch": f"=={pinned['torch']}",
        "jupyter-book": "<2",
    }
    assert newest.pins("constraints.txt").keys() > pinned.keys()


def test_a_package_is_lent_whole_and_only_at_its_pin(tmp_path):
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    version = importlib.metadata.version("einops")
    with pytest.raises(SystemExit, match=f"einops: wanted 0.1 in .*, found {version}; bring it up to date first"):
        lend("einops", "0.1", tmp_path)
    lend("einops", version, tmp_path)
    assert {path.name for path in packages.iterdir()} == {"einops", f"einops-{version}.dist-info"}
    assert (packages / "einops" / "__init__.py").samefile(einops.__file__)


def test_the_table_holds_what_differs():
    pinned = {"numpy": "2.4.6", "torch": "2.13.0", "old": "1.0"}
    shown = newest.table(pinned, {"numpy": "2.5.5", "torch": "2.13.0+cpu", "new": "3.0", "pip": "26"}, {"numpy"})
    assert shown.split("\n") == [
        "   name   pinned  newest",
        "   new    –       3.0",
        "*  numpy  2.4.6   2.5.5",
        "   old    1.0     –",
        "3 differ from 3 pins; a star: one of our own files names it",
    ]


def test_a_warning_has_an_owner():
    assert newest.owner("/x/lib/python3.11/site-packages/numpy/core.py") == "numpy"
    assert newest.owner("/x/lib/python3.11/site-packages/six.py") == "six"
    assert newest.owner(str(ROOT / "attn_edu" / "costs.py")) == "attn_edu (ours)"
    assert newest.owner(subprocess.__file__) == "Python"


def test_the_report_holds_failures_errors_and_warnings(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import subprocess, warnings, pytest\n"
        "def test_good(): warnings.warn('old', DeprecationWarning)\n"
        "def test_bad(): assert False\n"
        "def test_gone(nothing): pass\n"
        "def test_later(): pytest.skip('why')\n"
    )
    (tmp_path / "test_broken.py").write_text("1 / 0\n")
    command = [sys.executable, ROOT / "tests" / "newest.py", "--inside", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--continue-on-collection-errors", "--rootdir", tmp_path, tmp_path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    report = done.stdout[done.stdout.index("On the newest versions:") :].split("\n")
    assert sorted(report[0].split(": ")[1].split(", ")) == ["1 failed", "1 passed", "1 skipped", "2 error"]
    assert sorted(report[1:4]) == [
        "  error: test_broken.py",
        "  error: test_it.py::test_gone",
        "  failed: test_it.py::test_bad",
    ]
    assert report[4].startswith("1 warnings in the tests' own processes")
    assert report[5].split() == ["1", "DeprecationWarning", str(tmp_path / "test_it.py")]

"""Environments made once and kept, each with a fresh layer on top for each use: Colab's, and newer interpreters'."""

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

from chapters import REPOSITORY, ROOT, VERSION
from filelock import FileLock

PINS = ROOT / "tests" / "colab.txt"
NEWER = ("python3.12", "python3.13", "python3.14")
WATCHED = ("numpy", "torch", "matplotlib", "ipywidgets", "ipython")


def run(command, **options):
    """Run a command; an AssertionError shows what it wrote if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def packages(folder):
    """Return the folder in which a virtual environment keeps its packages."""
    [found] = folder.glob("lib/python3*/site-packages")
    return found


def clean_environment(**more):
    """Return this process's variables without those that would let the checkout shine through."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "JUPYTER_PATH", "MPLBACKEND")
    return {name: value for name, value in os.environ.items() if name not in hidden} | more


def lend(name, version, folder):
    """Link the files of a package of this environment into another of the same interpreter.

    Parameters
    ----------
    name, version : str
        The package, and the version that is wanted there.
    folder : Path
        The other environment.

    Raises
    ------
    SystemExit
        If this environment has another version.
    """
    package = importlib.metadata.distribution(name)
    if package.version.partition("+")[0] != version:  # else pip would take the link for its own, and empty it
        raise SystemExit(
            f"{name}: wanted {version} in {sys.prefix}, found {package.version}; bring it up to date first"
        )
    for top in {Path(file).parts[0] for file in package.files or ()} - {".."}:
        (packages(folder) / top).symlink_to(package.locate_file(top).resolve())


def kept(kind, requirements, python=sys.executable, lent=()):
    """Return a virtual environment with these packages; it is made when it is missing, and never changed.

    Parameters
    ----------
    kind : str
        What it is for: the folder in ``_build``.
    requirements : str
        The lines of a requirements file.
    python : path
        The interpreter.
    lent : sequence of str
        Packages, pinned there, that this environment has in the same version: they are linked, not installed.

    Returns
    -------
    Path
        Its folder. Of several processes that ask at once, one makes it and the others wait.
    """
    edition = run([python, "-c", "import sys; sys.stdout.write(sys.version)"], env=clean_environment())
    folder = ROOT / "_build" / kind / hashlib.sha256((requirements + edition).encode()).hexdigest()[:12]
    fresh = folder.with_suffix(".fresh")  # what a broken-off run left here is not taken for the whole
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            shutil.rmtree(fresh, ignore_errors=True)
            run([python, "-m", "venv", fresh], env=clean_environment())
            (fresh / "requirements.txt").write_text(requirements)
            for name in lent:
                lend(name, re.search(rf"^{name}==(\S+)", requirements, re.M)[1], fresh)
            pip = [fresh / "bin" / "python", "-m", "pip", "install", "-q"]
            run([*pip, "-r", fresh / "requirements.txt"], env=clean_environment())
            fresh.rename(folder)
    return folder


def colab():
    """Return Colab's packages, as colab.txt pins them; PyTorch, which is large and the tests' own, is lent."""
    return kept("colab", PINS.read_text(), lent=["torch"])


def without_torch(python):
    """Return what the package asks for but PyTorch, which is large: the newest that its bounds and `python` allow."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return kept("newer", "\n".join(line for line in asked if not line.startswith("torch")), python)


@cache
def newer_pythons(home=None, path=None):
    """Find an interpreter of each newer minor version, pyenv's or one on the path, that can make an environment.

    Parameters
    ----------
    home : Path, optional
        Where ``.pyenv/versions`` may be; the user's folder if not given.
    path : str, optional
        Folders to look in, as the variable PATH has them, which it is if not given.

    Returns
    -------
    dict of str to Path
        Interpreters by name, such as ``python3.13``; those that are not found or do not run are left out.
    """
    found = {}
    for name in NEWER:
        own = sorted((home or Path.home()).glob(f".pyenv/versions/{name.removeprefix('python')}*/bin/{name}"))
        for python in filter(None, [shutil.which(name, path=path), *own]):
            if subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True).returncode == 0:
                found[name] = Path(python)
    return found


def layer(folder, base=None):
    """Make a virtual environment that sees a kept one's packages; what is installed goes into the layer alone.

    Parameters
    ----------
    folder : Path
        Where it goes.
    base : Path, optional
        The environment below; Colab's if not given.

    Returns
    -------
    Path
        Its interpreter. What the one below has, such as ``pip``, runs as its module.
    """
    base = base or colab()
    run([base / "bin" / "python", "-m", "venv", "--without-pip", folder], env=clean_environment())
    (packages(folder) / "below.pth").write_text(f"{packages(base)}\n")
    return folder / "bin" / "python"


def versions(python):
    """Return the versions of the packages that an installation must not move."""
    code = f"from importlib.metadata import version as v; print(*[n + '==' + v(n) for n in {WATCHED}])"
    return run([python, "-c", code], env=clean_environment()).split()


def clone(folder):
    """Clone what is committed, and tag it with this edition unless it is released already.

    Returns
    -------
    dict of str to str
        Variables with which git finds the clone under the repository's public address.
    """
    top = run(["git", "rev-parse", "--show-toplevel"], cwd=ROOT).strip()
    run(["git", "clone", "-q", "--no-hardlinks", top, folder])
    if not run(["git", "tag", "--list", f"v{VERSION}"], cwd=folder):
        run(["git", "tag", f"v{VERSION}"], cwd=folder)
    count = int(os.environ.get("GIT_CONFIG_COUNT", 0))
    return {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": f"url.{folder.as_uri()}.insteadOf",
        f"GIT_CONFIG_VALUE_{count}": REPOSITORY,
    }

"""Run the tests on the newest versions that our bounds allow, and say what came of it: `make newest`.

The two files of exact pins are read without their versions; jupyter-book stays below 2, as the book is written for its
first edition, and torch stays at its pin. The environment is _build/newest, made anew each time; torch, of which the
version does not move, is lent by the environment that runs this, not fetched again. Arguments go to pytest.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections import Counter
from pathlib import Path

from runtimes import lend

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "_build" / "newest"
FIXED = ("torch",)
BELOW = {"jupyter-book": "2"}
TOOLS = {"pip", "setuptools", "wheel", "attn-edu"}  # which no pin names
PIN = re.compile(r"^([\w.-]+)==([\w.!+-]+)", re.M)


def plain(name):
    """Write a package's name as all indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(*paths):
    """Return the exact versions that these files state, by name."""
    return {plain(name): version for path in paths for name, version in PIN.findall((ROOT / path).read_text())}


def wanted(pinned):
    """Write each pin as what may be installed in its place."""
    lines = []
    for name, version in pinned.items():
        if name in FIXED:
            lines.append(f"{name}=={version}")
        else:
            lines.append(name + (f"<{BELOW[name]}" if name in BELOW else ""))
    return lines


def make():
    """Make the environment and return its interpreter and the versions in it, by name."""
    pinned = pins("requirements.txt", "tests/requirements.txt")
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=True)
    for name in FIXED:
        lend(name, pinned[name], FOLDER)
    python = FOLDER / "bin" / "python"
    (FOLDER / "wanted.txt").write_text("\n".join(wanted(pinned)) + "\n")
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "--upgrade", "pip"], check=True)
    subprocess.run([*pip, "install", "-q", "-r", FOLDER / "wanted.txt", "-e", ROOT], check=True)
    listed = subprocess.run([*pip, "list", "--format=json"], check=True, capture_output=True, text=True)
    return python, {plain(row["name"]): row["version"] for row in json.loads(listed.stdout)}


def table(pinned, newest, direct):
    """Show what differs, name · pinned · newest; a star is on what our own files name."""
    rows = [("", "name", "pinned", "newest")]
    for name in sorted((pinned.keys() | newest.keys()) - TOOLS):
        before, after = pinned.get(name, "–"), newest.get(name, "–")
        if before.partition("+")[0] != after.partition("+")[0]:
            rows.append(("*" if name in direct else "", name, before, after))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, f"{len(rows) - 1} differ from {len(pinned)} pins; a star: one of our own files names it"])


def owner(filename):
    """Say whose code a file is: a package's name, ours, or Python's."""
    parts = Path(filename).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    if Path(filename).is_relative_to(ROOT):
        return Path(filename).relative_to(ROOT).parts[0] + " (ours)"
    return "Python" if filename.startswith(sys.base_prefix) else filename


class Report:
    """What pytest tells us on the way: how each test ended, and each warning with the file that it points to."""

    def __init__(self):
        self.ends, self.names, self.warnings = Counter(), {"failed": [], "error": []}, Counter()

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            end = "error" if report.failed and report.when != "call" else report.outcome
            self.ends[end] += 1
            self.names.get(end, []).append(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.ends["error"] += 1
            self.names["error"].append(report.nodeid)

    def pytest_warning_recorded(self, warning_message):
        self.warnings[warning_message.category.__name__, owner(warning_message.filename)] += 1

    def text(self):
        lines = [
            "On the newest versions: " + (", ".join(f"{n} {end}" for end, n in self.ends.items()) or "no test ran")
        ]
        lines += [f"  {end}: {name}" for end, names in self.names.items() for name in names]
        lines += [f"{sum(self.warnings.values())} warnings in the tests' own processes, not in kernels and builds"]
        lines += [f"  {n:5} {category:28} {package}" for (category, package), n in self.warnings.most_common()]
        return "\n".join(lines)


def inside(arguments):
    """Run pytest in this very environment and end with the report."""
    import pytest

    report = Report()
    status = pytest.main(arguments, plugins=[report])
    print("\n" + report.text())
    return int(status)


def main(arguments):
    """Make the environment, show what is newer, and run pytest in it."""
    python, newest = make()
    direct = pins("requirements.txt", "tests/requirements.txt")
    print(table(pins("constraints.txt"), newest, direct), flush=True)
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])  # a test calls ruff and the like by name
    return subprocess.run(
        [python, __file__, "--inside", *arguments], cwd=ROOT, env={**os.environ, "PATH": path}
    ).returncode


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(inside(given[1:]) if given[:1] == ["--inside"] else main(given))

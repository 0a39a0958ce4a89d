"""Build one chapter, and say in a few lines what came of it: ``python extensions/book_chapter.py notebooks/….ipynb``.

All that jupyter-book prints goes to `_build/chapter/log.txt`. From there the failing cell is shown, or what the page
itself lacks, and last the page's address. Links to pages that were not built are left to `make book`.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("_build/chapter")
FAILED = "An error occurred while executing the following cell:"
COLOURS = re.compile(r"\x1b\[[\d;]*m")


def failure(log: str) -> str:
    """Return the cell that failed and its error, or the end of a log that tells of no cell."""
    _, found, rest = log.partition(FAILED)
    if not found:
        return "\n".join(log.rstrip().splitlines()[-30:])
    cell = re.split(r"^\d+ of \d+ notebooks? failed", rest, maxsplit=1, flags=re.M)[0]
    return f"This cell failed:{cell.rstrip()}"


def warnings(log: str) -> Iterator[str]:
    """Yield what was warned of but the missing pages, with the cell and the line in it for MyST's number of both."""
    for line in COLOURS.sub("", log).splitlines():
        if not re.search(r"WARNING|ERROR", line) or re.search(r"\[myst\.xref_missing\]", line):
            continue
        line = re.sub(r"^.*?(notebooks/\S+?\.ipynb)", r"\1", line)
        place = re.search(r"\.ipynb:(\d+)(\d{4}):", line)
        if place:
            line = line.replace(place[0], f".ipynb, cell {place[1]}, line {int(place[2]) - 1}:")
        if "could not find bibtex key" in line:
            line += " — is it in references.bib, and has the chapter its ## References cell?"
        yield line


def build(path: str) -> int:
    """Build the chapter of this path alone; return the exit code."""
    name = path.removesuffix(".ipynb")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "_toc.yml").write_text(f"format: jb-book\nroot: {name}\n")
    seconds = Path("notebooks/seconds.json")
    known = json.loads(seconds.read_text()).get(name) if seconds.exists() else None
    print(f"Running {path}" + (f" ({known:.0f} s the last time)" if known else ""), flush=True)
    tool = str(Path(sys.executable).with_name("jupyter-book"))
    options = ["--toc", str(FOLDER / "_toc.yml"), "--path-output", str(FOLDER), "-q"]
    result = subprocess.run(
        [tool, "build", ".", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    (FOLDER / "log.txt").write_text(result.stdout)
    if result.returncode:
        print(failure(result.stdout), f"\nNo page was made of {path}. All that was said: {FOLDER}/log.txt", sep="\n")
        return 1
    for line in warnings(result.stdout):
        print(line)
    print(f"file://{(FOLDER / '_build/html' / name).resolve()}.html")
    return 0


if __name__ == "__main__":
    sys.exit(build(sys.argv[1]))

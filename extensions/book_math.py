"""Serve MathJax with the book, so that equations need no network, and of MathJax only what equations need."""

import shutil
from importlib.metadata import files
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

SCRIPT = "mathjax.js"
FONTS = "output/chtml/fonts/woff-v2"
# MathJax's own files that hold all of them have the menu and some forty packages too: 1.3 MB where these are 0.8.
PARTS = (
    "core",
    "input/tex",
    "input/tex/extensions/color",
    "output/chtml",
    "output/chtml/fonts/tex",
    "a11y/assistive-mml",
)
THERE = 'MathJax.loader.preLoad("core", "input/tex", "[tex]/color", "output/chtml", "a11y/assistive-mml");\n'


def mathjax() -> dict[str, Path]:
    """Return where MathJax's files are, by their names there."""
    names = {file.as_posix().partition("/static/mathjax/")[2]: file for file in files("sphinx-mathjax-offline") or []}
    return {name: Path(str(file.locate())) for name, file in names.items() if name}


def point_to_copy(app: Sphinx, config: Config) -> None:
    config.mathjax_path = f"mathjax/{SCRIPT}"
    config.mathjax3_config = {"loader": {"load": []}, "tex": {"packages": {"[+]": ["color"]}}}


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Write the one script and copy the fonts that it asks for."""
    if exception or app.builder.format != "html":
        return
    target, there = Path(app.outdir) / "_static" / "mathjax", mathjax()
    target.mkdir(parents=True, exist_ok=True)
    start, *parts = (there[f"{name}.js"].read_text("utf-8") for name in ("startup", *PARTS))
    (target / SCRIPT).write_text("\n".join([start, THERE, *parts]), "utf-8")
    for name in there:
        if name.startswith(FONTS):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(there[name], target / name)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", point_to_copy)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

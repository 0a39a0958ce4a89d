"""Write the catalogue and the API reference from the records that every mechanism carries.

`book/catalogue.md` and each page of the API reference hold a marker line, which is replaced when Sphinx reads the page:
`book/api.md` leads to `book/api/<family>.md` for each family and to a page for each group of other modules.
The pages follow the package because a change in it makes Sphinx read every page again (see `book_cache`).
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from itertools import groupby
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

MARKER = "<!-- generated -->"

# A page of the API reference beside those of the families: its title, and the modules that a reader calls.
# A missing module fails the build.
GROUPS = {
    "models": ("Models", {"attn_edu.models": "Models"}),
    "figures": ("Figures and plots", {"attn_edu.interactive": "Figures to play with", "attn_edu.plotting": "Plots"}),
    "learning": (
        "Tasks, exercises and costs",
        {
            "attn_edu.show": "Show a mechanism",
            "attn_edu.exercises": "Exercises",
            "attn_edu.tasks": "Small tasks and training",
            "attn_edu.costs": "What attention costs",
            "attn_edu.memory": "What a call takes in memory",
            "attn_edu.measured": "Raw results of benchmarks",
        },
    ),
    "records": (
        "Records and shared pieces",
        {
            "attn_edu.catalogue": "Find a mechanism",
            "attn_edu.mechanism": "The record of a mechanism",
            "attn_edu.properties": "Properties that a mechanism may claim",
            "attn_edu.np_ops": "Shared pieces in NumPy",
            "attn_edu.torch_ops": "Shared pieces in PyTorch",
        },
    ),
}


def by_family(mechanisms: Iterable[Any]) -> Iterable[tuple[str, list[Any]]]:
    for family, members in groupby(mechanisms, key=lambda mechanism: mechanism.family):
        yield family, list(members)


def exported(thing: Any, family: str) -> str:
    """Return the name under which a family exports a function or class."""
    return f"attn_edu.{family}.{thing.__name__}"


def summary(thing: Any) -> str:
    """Return the first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def public(module: str) -> Iterator[tuple[str, str]]:
    """Yield the functions and classes that a module defines or a package exports."""
    for name, thing in vars(import_module(module)).items():
        home = str(getattr(thing, "__module__", ""))
        own = home == module or home.startswith(f"{module}._")
        if own and not name.startswith("_") and (inspect.isfunction(thing) or inspect.isclass(thing)):
            yield ("class" if inspect.isclass(thing) else "function"), f"{module}.{name}"


def autodoc(entry: tuple[str, str]) -> str:
    """Return the block that documents a function, or a class with its methods."""
    members = "\n   :members:" if entry[0] == "class" else ""
    return f"```{{eval-rst}}\n.. auto{entry[0]}:: {entry[1]}{members}\n```"


def table(head: Iterable[str], rows: Iterable[Iterable[str]], name: str) -> str:
    """Write a table in which every cell may hold an equation, with its vertical bars."""
    lines = [":::{list-table}", ":header-rows: 1", f":class: {name}", ""]
    for row in (head, *rows):
        for n, cell in enumerate(row):
            lines.append(f"{'*' if n == 0 else ' '} - " + cell.replace("\n", "\n    "))
    return "\n".join([*lines, ":::"])


def label(property_name: str) -> str:
    """Turn the name of a predicate into words."""
    return property_name.replace("_", " ")


def catalogue_page(mechanisms: Iterable[Any], properties: Mapping[str, Callable[..., Any]]) -> str:
    """Return the catalogue in MyST: for each family what its mechanisms compute, cost and claim."""
    parts = ["## Properties", "Each row below says of each of these whether it *holds*, *fails* or *does not apply*."]
    for name, predicate in properties.items():
        parts.append(f"**{label(name).capitalize()}.** {summary(predicate)}")
    for family, members in by_family(mechanisms):
        parts += [f"## `attn_edu.{family}`", f"[Signatures and examples](api/{family})"]
        parts.append(
            table(
                ["Mechanism", "Equation", "Operations", "Kind"],
                (
                    [
                        f"{{py:class}}`{m.title} <{exported(m.module, family)}>`\n\n"
                        f"{{cite:t}}`{m.citation}`\n\n{{doc}}`/{m.chapter}`",
                        f"${m.equation}$",
                        f"${m.cost}$",
                        m.kind,
                    ]
                    for m in members
                ),
                "mechanisms",
            )
        )
        names = [name for name in properties if any(name in m.properties for m in members)]
        parts.append(
            table(
                ["Claims", *map(label, names)],
                (
                    [m.title, *(m.properties[name].verdict if name in m.properties else "–" for name in names)]
                    for m in members
                ),
                "claims",
            )
        )
        reasons = [
            f"- {m.title}: {label(name)} {claim.verdict}, because {claim.reason}"
            for m in members
            for name, claim in m.properties.items()
            if claim.reason
        ]
        if reasons:
            parts.append("\n".join(["The reasons:", "", *reasons]))
    return "\n\n".join(parts)


def family_page(family: str, members: Iterable[Any]) -> str:
    """Return the API reference of one family in MyST."""
    parts = [f"# `attn_edu.{family}`", summary(import_module(f"attn_edu.{family}"))]
    for m in members:
        parts += [
            f"## {m.title}",
            f"$$\n{m.equation}\n$$",
            f"Source: {{cite:t}}`{m.citation}`. Chapter: {{doc}}`/{m.chapter}`.",
            autodoc(("function", exported(m.reference, family))),
            autodoc(("class", exported(m.module, family))),
        ]
    return "\n\n".join(parts)


def group_page(title: str, modules: Mapping[str, str]) -> str:
    """Return the API reference of modules that serve the mechanisms, in MyST."""
    parts = [f"# {title}"]
    for module, heading in modules.items():
        parts += [f"## {heading}"] if heading != title else []
        parts += [f"`{module}`: {summary(import_module(module))}", *map(autodoc, public(module))]
    return "\n\n".join(parts)


def api_pages(mechanisms: Iterable[Any]) -> dict[str, str]:
    """Return the pages of the API reference by name: the first, `book/api`, lists the others."""
    families = dict(by_family(mechanisms))
    pages = {f"book/api/{family}": family_page(family, members) for family, members in families.items()}
    lines = [
        f"- [](api/{family}): {summary(import_module(f'attn_edu.{family}'))} *{', '.join(m.title for m in members)}.*"
        for family, members in families.items()
    ]
    others = []
    for name, (title, modules) in GROUPS.items():
        pages[f"book/api/{name}"] = group_page(title, modules)
        others.append(f"- [](api/{name}): {', '.join(f'`{module}`' for module in modules)}.")
    parts = ["## Mechanisms, by family", "\n".join(lines), "## Everything else", "\n".join(others)]
    return {"book/api": "\n\n".join(parts), **pages}


def written() -> dict[str, str]:
    """Return the text of each generated page."""
    from attn_edu.catalogue import mechanisms
    from attn_edu.properties import PROPERTIES

    return {"book/catalogue": catalogue_page(mechanisms(), PROPERTIES), **api_pages(mechanisms())}


def missing(pages: Iterable[str], found: Iterable[str]) -> str:
    """Say which generated pages have no file or no place in the table of contents, and how to give it."""
    absent = sorted(set(pages) - set(found))
    return "\n".join(
        f"the page {page} is missing: write {page}.md, which holds the line {MARKER}, "
        f"and in _toc.yml, in the sections of book/api, the line '- file: {page}'"
        for page in absent
    )


def prepare(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Make the pages' text, if the book has them, and see that each has its place."""
    if "book/api" not in env.found_docs:
        return
    app.generated_pages = written()  # type: ignore[attr-defined]
    if complaint := missing(app.generated_pages, env.found_docs):  # type: ignore[attr-defined]
        raise ExtensionError(complaint)


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the marker of the page being read."""
    if docname not in ("book/catalogue", "book/api") and not docname.startswith("book/api/"):
        return
    text = getattr(app, "generated_pages", {}).get(docname)
    if text is None:
        raise ExtensionError(
            f"{docname}: wanted the page of a family or of a group (GROUPS in extensions/book_pages.py); "
            f"remove {docname}.md and its line in _toc.yml"
        )
    before, marker, after = source[0].partition(MARKER)
    if not marker:
        raise ExtensionError(f"{docname}: wanted a line {MARKER}")
    source[0] = before + text + after


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-before-read-docs", prepare)
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

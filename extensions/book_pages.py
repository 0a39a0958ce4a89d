"""Write the catalogue and the API reference from the records that every mechanism carries.

`book/catalogue.md`, `book/api.md` and `book/tools.md` each hold a marker line, which is replaced when Sphinx reads
the page. The pages follow the package because a change in it makes Sphinx read every page again (see `book_cache`).
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from itertools import groupby
from typing import Any

from sphinx.application import Sphinx

# Modules that a reader calls, beside the mechanisms. A missing one fails the build.
HELPERS = {
    "attn_edu.models": "Models",
    "attn_edu.show": "Show a mechanism",
    "attn_edu.interactive": "Figures to play with",
    "attn_edu.plotting": "Plots",
    "attn_edu.exercises": "Exercises",
    "attn_edu.costs": "What attention costs",
    "attn_edu.measured": "Raw results of benchmarks",
    "attn_edu.tasks": "Small tasks and training",
    "attn_edu.catalogue": "Find a mechanism",
    "attn_edu.mechanism": "The record of a mechanism",
    "attn_edu.properties": "Properties that a mechanism may claim",
    "attn_edu.np_ops": "Shared pieces in NumPy",
    "attn_edu.torch_ops": "Shared pieces in PyTorch",
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
        parts.append(f"## `attn_edu.{family}`")
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


def api_page(mechanisms: Iterable[Any]) -> str:
    """Return the API reference of the mechanisms in MyST, by family."""
    parts = []
    for family, members in by_family(mechanisms):
        parts.append(f"## `attn_edu.{family}`")
        for m in members:
            parts += [
                f"### {m.title}",
                f"$$\n{m.equation}\n$$",
                f"Source: {{cite:t}}`{m.citation}`. Chapter: {{doc}}`/{m.chapter}`.",
                autodoc(("function", exported(m.reference, family))),
                autodoc(("class", exported(m.module, family))),
            ]
    return "\n\n".join(parts)


def tools_page(helpers: Mapping[str, str]) -> str:
    """Return the API reference of the modules that serve the mechanisms, in MyST."""
    parts = []
    for module, title in helpers.items():
        parts += [f"## {title}", f"`{module}`: {summary(import_module(module))}", *map(autodoc, public(module))]
    return "\n\n".join(parts)


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the marker of the page being read."""
    if docname not in ("book/catalogue", "book/api", "book/tools"):
        return
    from attn_edu.catalogue import mechanisms
    from attn_edu.properties import PROPERTIES

    if docname == "book/catalogue":
        text = catalogue_page(mechanisms(), PROPERTIES)
    else:
        text = api_page(mechanisms()) if docname == "book/api" else tools_page(HELPERS)
    before, marker, after = source[0].partition("<!-- generated -->")
    if not marker:
        raise ValueError(f"{docname}: wanted a line <!-- generated -->")
    source[0] = before + text + after


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

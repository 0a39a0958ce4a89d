"""Keep out of the pages what the theme brings and no page of this book uses, and let no script hold up a page.

- Icons: of the 2,000 in the theme's script of 1.5 MB, a page gets the fifteen that stand on it, as the drawings that
  the script would put there.
- The search index is loaded by the search page alone, since no other page searches as one types.
- Tabs, grids and toggles bring styles and scripts, which only a page with one of them loads.
- sphinx-thebe, which Jupyter Book always loads: its script throws an error on every page without a live kernel.
- What unfolds a part of the menu gets a name for those who do not see its icon.
- Inline settings that are the same on every page become a file, and inline handlers go to `static/book.js`, so that
  a site may forbid inline scripts whose hashes it does not know.
"""

import re
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

SETS = {"fas": "fas", "fa-solid": "fas", "far": "far", "fa-regular": "far", "fab": "fab", "fa-brands": "fab"}
ICON = re.compile(r'<(i|span) class="([^"]*\bfa[bsr]?[ -][^"]*)"([^>]*)></\1>')
SEARCH = re.compile(r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>')
INLINE = re.compile(r"\s*<script>(.*?)</script>", re.S)
# What a file serves: pages that have nothing like it do without the file.
SERVES = {
    "sphinx-design.min.css": re.compile(r'class="[^"]*(?<![\w-])sd-'),
    "design-tabs.js": re.compile(r'class="[^"]*(?<![\w-])sd-tab'),
    "togglebutton.css": re.compile(r'class="[^"]*((?<![\w-])toggle(?![\w-])|\badmonition\b[^"]*\bdropdown\b)'),
}
SERVES["togglebutton.js"] = SERVES["togglebutton.css"]
BRANCH = re.compile(
    r">([^<>]+)</a>(<details[^>]*>)<summary>"
)  # of the menu: a title, and what folds the pages below it
HANDLERS = {'onclick="window.print()"': 'data-click="print"', 'onclick="toggleFullScreen()"': 'data-click="fullscreen"'}


def silence_thebe(app: Sphinx, config: Config) -> None:
    app.registry.css_files[:] = [each for each in app.registry.css_files if each[0] != "sphinx-thebe.css"]
    for listeners in app.events.listeners.values():
        listeners[:] = [each for each in listeners if not each.handler.__module__.startswith("sphinx_thebe")]


@cache
def drawings() -> dict[str, dict[str, tuple[str, str, str]]]:
    """Read width, height and path of each icon of each set from the theme's own script."""
    theme = find_spec("pydata_sphinx_theme")
    if theme is None or theme.origin is None:
        raise ExtensionError("pydata_sphinx_theme is not installed. Run: pip install -r requirements.txt")
    folder = Path(theme.origin).parent / "theme" / "pydata_sphinx_theme" / "static" / "scripts"
    found: dict[str, dict[str, tuple[str, str, str]]] = {}
    begin = 0
    script = (folder / "fontawesome.js").read_text(encoding="utf8")
    # Each set is a table, and behind it stands the call that gives it its name.
    for end in re.finditer(r'\("(fa[bsr])",\w+\)', script):
        table = re.finditer(
            r'[{,]"?([\w-]+)"?:\[(\d+),(\d+),\[[^\]]*\],"[0-9a-f]+","([^"]+)"\]', script[begin : end.start()]
        )
        found.setdefault(end[1], {each[1]: (each[2], each[3], each[4]) for each in table})
        begin = end.end()
    return found


def drawn(found: re.Match[str]) -> str:
    """Replace an empty element that has the classes of an icon by the icon."""
    classes, attributes = found[2].split(), found[3]
    group = next((SETS[each] for each in classes if each in SETS), None)
    if group is None:
        return found[0]
    icons = drawings().get(group, {})
    names = [each[3:] for each in classes if each.startswith("fa-") and each[3:] in icons]
    if len(names) != 1:
        raise ExtensionError(f"icon {found[2]!r}: wanted the name of one icon of the theme, got {names}")
    width, height, path = icons[names[0]]
    title = re.search(r'\s*title="([^"]*)"', attributes)
    if title:
        attributes = attributes.replace(title[0], "")
    kept = " ".join(each for each in classes if each not in SETS)
    return (
        f'<svg class="svg-inline--fa {kept}"{attributes} aria-hidden="true" viewBox="0 0 {width} {height}">'
        f"{f'<title>{title[1]}</title>' if title else ''}"
        f'<path fill="currentColor" d="{path}"/></svg>'
    )


def lean(html: str, page: str) -> tuple[str, str]:
    """Return a page without what it does not need, and the settings that it now asks for as a file."""
    html = ICON.sub(drawn, html)
    html = BRANCH.sub(r'>\1</a>\2<summary aria-label="Pages below \1">', html)
    html = re.sub(r'\s*<script defer src="[^"]*fontawesome\.js[^"]*"></script>', "", html)
    for handler, mark in HANDLERS.items():
        html = html.replace(handler, mark)
    head, body = html.split("</head>", 1)
    if page != "search":
        head = SEARCH.sub("", head)
    for file, use in SERVES.items():
        if not use.search(body):
            head = re.sub(rf"\s*<(?:link|script)\b[^>]*/{re.escape(file)}[^>]*>(?:</script>)?", "", head)
    # The name of the page is asked for by a menu of versions, which this book does not have.
    inline = [text for text in INLINE.findall(head) if not text.startswith("DOCUMENTATION_OPTIONS.pagename")]
    settings = "".join(f"{text.strip().removesuffix(';')};\n" for text in dict.fromkeys(inline))
    if settings:
        root = re.search(r'data-content_root="([^"]*)"', head)
        tag = f'<script src="{root[1] if root else ""}_static/{name(settings)}"></script>'
        # They stand behind the first of Sphinx's scripts, to which one of them adds.
        first = head.index("</script>", head.index("documentation_options.js")) + len("</script>")
        head = INLINE.sub("", head[:first]) + f"\n    {tag}" + INLINE.sub("", head[first:])
    # All wait until the page is read, and then run in their order.
    head = re.sub(r"<script (?=[^>]*\bsrc=)(?![^>]*\b(?:defer|async|type=))", "<script defer ", head)
    return f"{head}</head>{body}", settings


def name(settings: str) -> str:
    """Return the name of the file of these settings."""
    return f"settings-{sha256(settings.encode()).hexdigest()[:8]}.js"


def intercept(app: Sphinx) -> None:
    """Let every page pass through `lean` on its way to the disk."""
    templates = getattr(app.builder, "templates", None)
    if app.builder.format != "html" or templates is None:
        return
    render = templates.render

    def render_lean(template: str, context: dict[str, Any]) -> str:
        html = render(template, context)
        if "</head>" not in html:
            return html
        html, settings = lean(html, context["pagename"])
        if settings:
            file = Path(app.outdir) / "_static" / name(settings)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(settings, encoding="utf8")
        return html

    templates.render = render_lean


def thin_out(app: Sphinx, exception: Exception | None) -> None:
    """Take from the copied files of the theme the icons that the pages draw themselves, and the sources' maps."""
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    (static / "scripts" / "fontawesome.js").unlink(missing_ok=True)
    for folder in ("scripts", "styles"):
        for map_file in (static / folder).glob("*.map"):
            map_file.unlink()
        for file in (static / folder).glob("*.[cj]s*"):
            before = file.read_text(encoding="utf8")
            text = re.sub(r"\n(?://|/\*)# sourceMappingURL=.*", "", before)
            text = re.sub(r'(?:\.fa-[\w-]+:before,?)+\{content:"[^"]*"\}', "", text) if file.suffix == ".css" else text
            if text != before:
                file.write_text(text, encoding="utf8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", silence_thebe)
    app.connect("builder-inited", intercept)
    app.connect("build-finished", thin_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""What every figure must do, whatever it shows. What only one of them does stands in a file of its own."""

import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from figures import HOSTS, closed

from attn_edu import interactive
from attn_edu.interactive._figure import PLAYER, Figure, lean, script_json, shorter, source

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "extensions"))
import book_styles  # noqa: E402

FIGURES = {
    thing.name: thing
    for thing in vars(interactive).values()
    if isinstance(thing, type) and issubclass(thing, Figure) and hasattr(thing, "name")
}
# The tests of each figure: a file `test_<name>.py` with `make(**options)`, `REFUSED`, what the figure refuses, and
# `FAULTS`, which its own tests plant in its script and catch.
MODULES = {name: import_module(f"test_{name}") for name in FIGURES if (HERE / f"test_{name}.py").exists()}
SHOWN = [name for name, module in MODULES.items() if hasattr(module, "make")]
REFUSED = {
    f"{name}: {case}": (module.make, *parts)
    for name, module in MODULES.items()
    if not hasattr(module, "test_refuses")  # where a bad case cannot be had by changing one argument of `make`
    for case, parts in getattr(module, "REFUSED", {}).items()
}
LARGE = {"block_flow": 34, "head_steps": 32}  # KB: two that show every matrix on the way
GROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}


def make(name, **options):
    """Return a figure as its own tests make it."""
    return MODULES[name].make(**options)


def drawn(page):
    """Return the name and the place of each figure in a page that shows them all."""
    return zip(SHOWN, page.locator(".attn-live > .attn-figure").all(), strict=True)


def files(kind):
    """Return the scripts and styles that a figure's page carries."""
    return (*kind.scripts, f"{kind.name}.js", *kind.styles, f"{kind.name}.css")


def root(name):
    """Return the class that a figure's script gives to what it draws."""
    found = re.search(r'"attn-figure ([\w -]+)"', source(f"{name}.js"))
    if not found:
        pytest.fail(f'{name}.js: wanted make("figure", "attn-figure attn-…", …), with a class of its own')
    return f".{found[1].split()[-1]}"


def strays(css, root):
    """Return the selectors that could match outside a figure."""
    bare = re.sub(r"/\*.*?\*/|@(media|container) [^{]*\{", "", css, flags=re.S)
    parts = [p for selector in re.findall(r"([^{};]+)\{", bare) for p in re.split(r",(?![^(]*\))", selector)]
    assert parts
    return [part.strip() for part in parts if root not in part]


def test_there_is_a_figure_for_every_script():
    scripts = {path.name for path in Path(interactive.__file__).parent.glob("*.js")}
    missing = sorted(scripts - {file for kind in FIGURES.values() for file in files(kind)})
    to_export = "a subclass of Figure with name = the script's"
    assert not missing, f"attn_edu/interactive/__init__.py: to export {to_export}, for each of {', '.join(missing)}"
    assert len(FIGURES) >= 20


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_tested(name):
    wanted = {
        "make": f"make(**options), which returns a {FIGURES[name].__name__}",
        "REFUSED": "REFUSED, what it refuses",
        "FAULTS": "FAULTS, planted in its script and caught",
    }
    missing = [text for part, text in wanted.items() if not getattr(MODULES.get(name), part, None)]
    assert not missing, f"tests/test_{name}.py: to add {'; '.join(missing)}"
    assert type(make(name)) is FIGURES[name]


@pytest.mark.parametrize(("make", "error", "message", "changed"), REFUSED.values(), ids=REFUSED)
def test_refuses(unhooked, make, error, message, changed):
    with pytest.raises(error, match=message) as caught:
        make(**changed)
    assert type(caught.value) is error


@pytest.mark.parametrize("name", FIGURES)
def test_styles_stay_inside(name):
    found = strays(source(f"{name}.css"), root(name))
    assert not found, f"{name}.css: wanted {root(name)} in every selector, so that no other is changed, found {found}"


@pytest.mark.parametrize("file", ["theme.css", "chart.css"])
def test_shared_styles_stay_inside(file):
    found = strays(source(file), ".attn-")
    assert not found, f"{file}: wanted .attn- in every selector, found {found}"


def test_a_stray_style_is_seen():
    assert strays(".attn-x a, b { color: red } @media print { .attn-x, i { top: 0 } }", ".attn-x") == ["b", "i"]


@pytest.mark.parametrize("name", SHOWN)
def test_html_needs_nothing_else_and_is_escaped(name):
    caption = "</style></script>&<i>"
    shown = caption in closed(make(name, caption=caption)._repr_html_()).text
    assert shown, f"attn_edu/interactive/_{name}.py: wanted caption= in table(), through html.escape"


@pytest.mark.parametrize("name", SHOWN)
def test_same_state_same_page(name):
    html = make(name)._repr_html_()
    assert html == make(name)._repr_html_() != make(name, caption="Another state.")._repr_html_()


def test_large_rounded_arrays_are_written_in_whole_parts():
    maps = np.random.default_rng(0).dirichlet(np.ones(17), size=(2, 2, 2, 17))
    for over, digits in ((100, 2), (1000, 3)):
        rounded = maps.round(digits)
        written = shorter(rounded)
        assert written["over"] == over and (np.array(written["whole"]) / over == rounded).all()
    assert shorter(maps) == maps.tolist() and shorter(maps[0, 0, 0, 0].round(3)) == maps[0, 0, 0, 0].round(3).tolist()


@pytest.mark.browser
def test_all_play_from_the_one_script_of_a_page(show):
    """As the book's pages carry them, see `extensions/book_styles.py`."""
    each = "\n".join(make(name)._repr_html_() for name in SHOWN)
    content = book_styles.together(book_styles.once(each), lean("kit.js"), PLAYER)
    assert len(content) < 0.75 * len(each) and content.count("<script") == content.count("const play = ") == 1
    page = show(content=content).page
    assert len(list(drawn(page))) == len(SHOWN)
    assert not [table for table in page.locator(".attn-static").all() if table.is_visible()]


@pytest.mark.browser
@pytest.mark.parametrize("digits", [2, 3])
def test_whole_parts_are_read_back_exactly(show, digits):
    maps = np.random.default_rng(0).normal(size=(3, 500)).round(digits)
    player = PLAYER % {"state": script_json({"maps": maps, "part": maps[0, :3]}), "key": "k"}
    page = show(
        content='<div data-attn-figure="k"><p class="attn-static"></p><p class="attn-live"></p></div>'
        '<script type="module">const figure = { render: ({ model }) => (window.seen = model.get) };\n'
        f"{player}</script>"
    ).page
    assert page.evaluate("[seen('maps'), seen('part')]") == [maps.tolist(), maps[0, :3].tolist()]


@pytest.mark.parametrize("name", SHOWN)
def test_html_is_small(name):
    figure = make(name)
    html, state = len(figure._repr_html_().encode()), len(script_json(figure.state))
    assert html - state < 1024 * LARGE.get(name, 28), "without what it shows"
    assert html < 64 * 1024, "with it"


@pytest.mark.parametrize("file", sorted({file for kind in FIGURES.values() for file in files(kind)}))
def test_a_page_carries_no_comments_and_no_indentation(file):
    kept, text = lean(file), source(file)
    assert not re.search(r"^\s|\n\s|/\*|(^|\n)//", kept)
    assert not [line for line in text.splitlines() if line.count("`") % 2], "a text over several lines would change"
    # What is left out begins as a comment does, and what is kept has the order that it had.
    lines = iter(text.splitlines())
    for line in kept.splitlines():
        whole = next(each.strip() for each in lines if each.strip().startswith(line))
        assert not (rest := whole[len(line) :].strip()) or rest.startswith(("//", "/*")), whole


def test_comments_are_told_from_addresses_and_texts(monkeypatch):
    script = '// a\n  const a = "http://b";  // c\n\n  const d = " // e";\n  f(); // "g" is kept\n'
    monkeypatch.setattr("attn_edu.interactive._figure.source", {"a.js": script, "a.css": "/* a\n*/ b { }\n"}.get)
    assert lean("a.js") == 'const a = "http://b";\nconst d = " // e";\nf(); // "g" is kept\n'
    assert lean("a.css") == "b { }\n"


@pytest.mark.browser
@pytest.mark.parametrize(("html", "body", "prefers_dark", "scheme"), HOSTS.values(), ids=HOSTS)
def test_theme_follows_the_host(show, html, body, prefers_dark, scheme):
    page = show(*map(make, SHOWN), html=html, body=body, dark=prefers_dark).page
    for name, figure in drawn(page):
        assert figure.evaluate("node => getComputedStyle(node).backgroundColor") == GROUND[scheme], name


@pytest.mark.browser
def test_table_stays_where_no_script_runs(show):
    page = show(*map(make, SHOWN), java_script_enabled=False).page
    tables = page.locator(".attn-static").all()
    assert len(tables) == len(SHOWN) and all(each.get_by_role("table").first.is_visible() for each in tables)
    page = show(*map(make, SHOWN)).page
    assert not [each for each in page.locator(".attn-static").all() if each.is_visible()]


@pytest.mark.browser
def test_prints_light_and_without_controls(show):
    page = show(*map(make, SHOWN), dark=True).page
    seen = """node => [...node.querySelectorAll("*")].filter(one => !one.closest(".attn-controls, [type=range]"))
      .filter(one => one.checkVisibility({ visibilityProperty: true })).length"""
    before = {name: figure.evaluate(seen) for name, figure in drawn(page)}
    page.emulate_media(media="print")
    for name, figure in drawn(page):
        assert figure.evaluate("node => getComputedStyle(node).colorScheme") == "light", name
        assert not [one for one in figure.locator(".attn-controls :is(button, [type=range])").all() if one.is_visible()]
        assert figure.evaluate(seen) == before[name] > 0, name


# What a control is, and what tells that it was used: all that the figure holds, and the values of its inputs.
CONTROLS = ":is(button, input, select, textarea, summary, [tabindex]):not([tabindex='-1'], :disabled)"
STATE = """figure => figure.innerHTML + JSON.stringify([...figure.querySelectorAll("input, select")]
  .map(input => [input.value, input.checked]))"""
TO_REACH = """(nodes) => nodes.map((node, n) => [n, node]).filter(([n, node]) => node.checkVisibility()
  && (node.type !== "radio" || node.checked)).map(([n]) => n)"""
RING = """([node]) => (node = document.activeElement, [node, node.closest("label"), node.parentElement])
  .some(node => node && getComputedStyle(node).outlineStyle !== "none")"""
# The focus stays in the figure, unless its control is switched off, such as a step beyond the last.
HOLDS = "control => control.disabled || control.closest('figure')?.contains(document.activeElement)"


def said_of(control):
    """Return the beginning of a control's HTML."""
    return control.evaluate("node => node.outerHTML")[:200]


@pytest.mark.browser
@pytest.mark.parametrize("name", SHOWN)
def test_works_by_keyboard_alone(show, name):
    """Tab reaches every control and shows where it is, some key makes each do something, and that is said."""
    page = show(make(name)).page
    figure = page.locator(".attn-live > .attn-figure")
    controls = figure.locator(CONTROLS)
    wanted, start = controls.evaluate_all(TO_REACH), figure.locator("[aria-live]").all_inner_texts()
    reached = []
    for _ in range(len(wanted) + 1):
        page.keyboard.press("Tab")
        reached.append(controls.evaluate_all("nodes => nodes.indexOf(document.activeElement)"))
        assert reached[-1] == -1 or controls.evaluate_all(RING), f"{reached}: where the focus is cannot be seen"
    assert reached == [*wanted, -1]
    handles, idle, said = [controls.nth(n).element_handle() for n in wanted], [], False

    def now(k):  # another control may have put a new one in its place
        if not handles[k].evaluate("node => node.isConnected"):
            handles[k] = controls.nth(controls.evaluate_all(TO_REACH)[k]).element_handle()
        return handles[k]

    def press(control, key):
        control.evaluate("node => node.focus()")
        page.keyboard.press(key)

    def answers(control):
        before = figure.evaluate(STATE)
        for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "Enter", "Space"):
            press(control, key)
            if figure.evaluate(STATE) != before:
                assert control.evaluate(HOLDS), f"{name}.js: {key} took the focus from {said_of(control)}"
                return True
        return False

    for k in range(len(handles)):
        if not answers(now(k)):
            idle.append(k)
        said = said or figure.locator("[aria-live]").all_inner_texts() != start
    for k in idle:  # what is on, at its end or resets has nothing to do until another control was used
        for other in range(len(handles)):
            if other != k:
                press(now(other), "Space")
                press(now(other), "ArrowRight")
                if answers(now(k)):
                    break
        else:
            pytest.fail(f"{name}.js: no key does anything to {said_of(now(k))}")
    assert said


@pytest.mark.browser
def test_nothing_moves_by_itself_where_motion_is_reduced(show):
    page = show(*map(make, SHOWN)).page
    for _, figure in drawn(page):
        for control in figure.locator("button, input").all():
            if control.is_visible() and control.is_enabled():
                control.evaluate("node => { node.click(); node.dispatchEvent(new Event('input', { bubbles: true })); }")
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.browser
def test_is_told_to_those_who_cannot_see_it(show):
    """A figure has a name, a sentence that is read out as it changes, and no picture without words."""
    page = show(*map(make, SHOWN)).page
    for name, figure in drawn(page):
        assert figure.evaluate("node => node.tagName") == "FIGURE", name
        live = figure.locator("[aria-live=polite]")
        assert any(len(text.split()) > 3 for text in live.all_inner_texts()), name
        mute = figure.locator("svg:not([aria-hidden=true]):not([role=img][aria-label])").evaluate_all(
            "nodes => nodes.filter(node => !node.closest('[role=img][aria-label], [aria-hidden=true]')).length"
        )
        assert mute == 0, name

"""The rules of notebooks: what git may hold, what Colab can show, what every chapter has.

A rule takes a chapter and yields what breaks it. Each is tried on a small bad notebook below.
"""

import ast
import itertools
import re
import subprocess

import chapters
import nbformat
import pytest
from chapters import ROOT, SETUP, VERSION, Chapter, plain_code, tags

from attn_edu import colours, interactive, plotting

FENCE = re.compile(r"^(`{3,}|~{3,}|:{3,}).*?^\1[`~:]*\s*$", re.S | re.M)
PROMISE = re.compile(r"^.*\b\d+ minutes\b.*\b(?:easy|medium|hard)\b.*\b[Bb]uilds on\b.*$", re.M)
DRAWS = ("growth", "heatmap", "products", "style")  # what attn_edu.plotting draws with
MATH = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.S)


def prose(markdown):
    """Return markdown without code, equations, tags, link targets and citation roles."""
    text = FENCE.sub("\n\n", markdown)
    text = MATH.sub(" x ", text)
    text = re.sub(r"\{cite:[pt]\}`[^`]*`", "", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"<[^>\n]*>", " ", text)


def headings(chapter):
    return re.findall(r"^(#+) +(.*\S)", FENCE.sub("", chapter.markdown()), re.M)


# -------------------------------------------------------------------------------------------- what git holds


def outputs_are_stripped(chapter):
    for cell in chapter.cells("code"):
        if cell.outputs or cell.execution_count is not None or "execution" in cell.metadata:
            yield f"a cell holds outputs or a count; run nbstripout --keep-id {chapter.path}: {cell.source[:60]}"


def cells_have_ids_of_their_own(chapter):
    ids = [cell.get("id") for cell in chapter.notebook.cells]
    if None in ids:
        yield "a cell has no id (save as nbformat 4.5 or newer)"
    for twice in {one for one in ids if ids.count(one) > 1} - {None}:
        yield f"two cells have the id {twice}"


def kernel_is_python3(chapter):
    kernel = chapter.notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield f"kernelspec.name is {kernel}, wanted python3"


# -------------------------------------------------------------------------------- the opening and the set-up


def opens_with_title_promise_and_colab_link(chapter):
    first = chapter.notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell must be markdown and begin with '# ' and the title"
    titles = [text for level, text in headings(chapter) if level == "#"]
    if len(titles) != 1:
        yield f"wanted one '# ' title, found {titles}"
    if not PROMISE.search(first.source):
        yield "no line of the first cell says '… 15 minutes … easy|medium|hard … builds on …'"
    links = re.findall(r"\]\((https://colab[^)]*)\)", chapter.markdown())
    if links != [chapters.colab_link(chapter.path)]:
        yield f"wanted one Colab link, to {chapters.colab_link(chapter.path)}, found {links}"


def has_the_one_set_up_cell(chapter):
    code = chapter.cells("code")
    places = [place for place, cell in enumerate(code) if "remove-cell" in tags(cell)]
    if places != [0]:
        yield f"wanted the tag remove-cell on the first code cell alone, found it on code cells {places}"
    elif code[0].source.strip() != SETUP.strip():
        yield f"the set-up cell differs from tests/chapters.py; its source must be:\n{SETUP}"
    for cell in chapter.code():
        if re.search(r"\bpip\b.*\binstall\b", cell.source):
            yield f"only the set-up cell may install: {cell.source[:60]}"


# ------------------------------------------------------------------------------------ what Colab cannot show


def markdown_reads_well_raw(chapter):
    text = chapter.markdown()
    for directive in re.findall(r"^\s*[`:~]{3,}\s*\{([^}]+)\}", text, re.M):
        if directive != "bibliography":
            yield f"the directive {{{directive}}} shows literally in Colab"
    for role in re.findall(r"\{([\w:+-]+)\}`", text):
        if role not in ("cite:p", "cite:t"):
            yield f"the role {{{role}}} shows literally in Colab"
    for target in re.findall(r"^\([\w:-]+\)=", text, re.M):
        yield f"the target {target} shows literally in Colab"


def equations_use_role_colours(chapter):
    for colour in re.findall(r"\\(?:text)?color\{([^}]*)\}", chapter.markdown()):
        if colour.lower() not in colours.LIGHT.values():
            yield f"the colour {colour} is none of attn_edu.colours.LIGHT, which the stylesheet maps to a dark page"


def nothing_is_fetched_at_run_time(chapter):
    for cell in chapter.code():
        for node in ast.walk(ast.parse(plain_code(cell.source))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search("https?://", node.value):
                yield f"a code cell holds an address: {node.value}"
            names = [getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "module", "") or ""]
            names += [alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
            for name in names:
                if re.match(r"(urllib|requests|httpx|socket|hub)\b|(fetch_|urlopen|urlretrieve|download)", name):
                    yield f"a code cell uses {name}"
        for line in re.findall(r"^\s*!.*", cell.source, re.M):
            yield f"a code cell runs a shell: {line.strip()}"


def pictures_have_alt_text_and_a_caption(chapter):
    for cell in chapter.code():
        body = [
            statement
            for statement in ast.parse(plain_code(cell.source)).body
            if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        ]
        nodes = [node for statement in body for node in ast.walk(statement)]
        draws = any(
            (isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in ("plt", "plotting"))
            or (isinstance(node, ast.Call) and getattr(node.func, "id", "") in DRAWS)
            for node in nodes
        )
        look = cell.metadata.get("mystnb", {})
        if draws and not (look.get("image", {}).get("alt") and look.get("figure", {}).get("caption")):
            wanted = '{"mystnb": {"image": {"alt": "…"}, "figure": {"caption": "…", "name": "…"}}}'
            yield f"a cell that draws wants in its metadata {wanted}: {cell.source[:60]}"


def figures_are_shown(chapter):
    """Only the last expression of a cell is displayed: a figure before it is made and seen by nobody."""
    for cell in chapter.code():
        for statement in ast.parse(plain_code(cell.source)).body[:-1]:
            call = getattr(statement, "value", None) if isinstance(statement, ast.Expr) else None
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in vars(interactive):
                yield f"{call.func.id} is not the last line of its cell: {cell.source[:60]}"


# -------------------------------------------------------------------------------- what every chapter has


def citations_are_in_the_bibliography(chapter):
    known = set(re.findall(r"^@\w+\{([^,\s]+),", (ROOT / "references.bib").read_text(), re.M))
    for keys in re.findall(r"\{cite:[pt]\}`([^`]+)`", chapter.markdown()):
        for key in keys.split(","):
            if key.strip() not in known:
                yield f"{key.strip()} is cited and not in references.bib"


WANTED_LIST = "```{bibliography}\n:filter: docname in docnames\n```"


def lists_its_references_once(chapter):
    lists = re.findall(r"^```\{bibliography\}\n:filter: docname in docnames$", chapter.markdown(), re.M)
    if len(lists) != 1:
        yield f"wanted a last cell '## References' with {WANTED_LIST!r}, found {len(lists)}"


def compares_numpy_with_pytorch(chapter):
    if not any(re.search(r"assert_allclose|testing\.assert_close", cell.source) for cell in chapter.code()):
        yield "no cell compares the NumPy and the PyTorch form with assert_allclose or testing.assert_close"


def has_three_to_five_exercises(chapter):
    count = sum("exercise" in tags(cell) for cell in chapter.code())
    if not 3 <= count <= 5:
        yield f"wanted three to five cells tagged 'exercise', found {count}"


def table_columns_have_words(chapter):
    """An empty header cell, or one with an equation alone, says nothing to a screen reader."""
    for header in re.findall(r"^(\|.*\|)[ ]*\n\|[-:| ]+\|[ ]*$", chapter.markdown(), re.M):
        for cell in header.replace("\\|", "").strip("|").split("|"):
            if not re.search(r"\w", MATH.sub("", cell)):
                yield f"a column of this table has no words in its header: {header}"


def headings_say_what_this_chapter_says(chapter):
    texts = [text.strip() for _, text in headings(chapter)]
    for text in texts:
        if re.match(r"(objectives?|summary|recap|in this chapter|introduction|conclusions?)\b", text, re.I):
            yield f"the heading '{text}' could stand in any chapter"
        if texts.count(text) > 1:
            yield f"the heading '{text}' stands twice"
    for phrase in re.findall(r"in this (?:chapter|notebook),? (?:we|you)\b", chapter.markdown(), re.I):
        yield f"'{phrase}' announces; say it instead"


def has_the_length_of_a_chapter(chapter):
    words = len(re.findall(r"\w+(?:['’-]\w+)*", prose(chapter.markdown())))
    if not 1200 <= words <= 2500:
        yield f"wanted 1,200 to 2,500 words of prose, found {words}"


def has_at_most_three_boxes(chapter):
    text = FENCE.sub("", chapter.markdown())
    quotes = re.findall(r"(?:^>.*\n?)+", text, re.M)
    boxes = len(quotes) + len(re.findall(r"<(?:div|aside)\b[^>]*\bclass=", text))
    if boxes > 3:
        yield f"wanted at most three boxes, found {boxes}"


RULES = [
    outputs_are_stripped,
    cells_have_ids_of_their_own,
    kernel_is_python3,
    opens_with_title_promise_and_colab_link,
    has_the_one_set_up_cell,
    markdown_reads_well_raw,
    equations_use_role_colours,
    nothing_is_fetched_at_run_time,
    pictures_have_alt_text_and_a_caption,
    figures_are_shown,
    citations_are_in_the_bibliography,
    lists_its_references_once,
    compares_numpy_with_pytorch,
    table_columns_have_words,
    has_three_to_five_exercises,
    headings_say_what_this_chapter_says,
    has_the_length_of_a_chapter,
    has_at_most_three_boxes,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", chapters.paths())
def test_rule(path, rule):
    faults = list(rule(chapters.chapter(path)))
    assert not faults, f"{path}:\n" + "\n".join(faults)


# ------------------------------------------------------------------------------------- across the whole book


def sentences(chapter):
    """Return the normalised sentences of eight words or more; table rows, promise and Colab link aside."""
    text = PROMISE.sub("", re.sub(r"^.*colab\.research\.google\.com.*$", "", chapter.markdown(), flags=re.M))
    lines = [line for line in prose(text).splitlines() if not line.lstrip().startswith("|")]
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*#>]|\d+\.)\s)", "\n".join(lines))
    found = set()
    for block in blocks:
        for sentence in re.split(r"(?<=[.?!:;])\s", block):
            words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", sentence.lower())
            if len(words) >= 8:
                found.add(" ".join(words))
    return found


def repeated_sentences(book):
    for one, other in itertools.combinations(book, 2):
        for sentence in sorted(sentences(one) & sentences(other)):
            yield f"{one} and {other}: {sentence}"


def foreign_addresses(texts, repository=chapters.REPOSITORY):
    """Yield every mention of a repository of the package's name that is not this one."""
    for name, text in texts.items():
        for address in re.findall(r"github(?:\.com)?/([\w.-]+/attn[-_]edu)\b", text, re.I):
            if f"https://github.com/{address}" != repository:
                yield f"{name}: {address}, wanted {repository}"


def foreign_versions(texts, version=VERSION):
    """Yield every pinned edition that is not pyproject's."""
    for name, text in texts.items():
        pins = re.findall(r"attn[-_]edu(?:\.git)?@v?([\w.]+\d)|attn[-_]edu/(?:blob|tree|raw)/v?([\w.]+)", text)
        for pin in map("".join, pins):
            if pin != version:
                yield f"{name}: edition {pin}, wanted {version}"


def texts_of_the_book():
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    kinds = (".md", ".ipynb", ".toml", ".yml", ".py", ".txt", ".bib", ".cff", ".html")
    tests = ("tests/",)  # they hold planted faults
    kept = [name for name in names if name.endswith(kinds) and not name.startswith(tests) and (ROOT / name).exists()]
    return {name: (ROOT / name).read_text() for name in kept}


def pictures_of_one_name(book):
    named = {}
    for chapter in book:
        for cell in chapter.code():
            name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
            named.setdefault(name, []).append(str(chapter))
    yield from (f"mystnb.figure.name {name!r}: {', '.join(at)}" for name, at in named.items() if name and len(at) > 1)


def the_whole_book():
    return [chapters.chapter(path) for path in chapters.paths()]


@pytest.mark.whole_book
def test_no_sentence_stands_in_two_chapters():
    faults = list(repeated_sentences(the_whole_book()))
    assert not faults, "wanted each sentence of eight words or more once; say it anew:\n" + "\n".join(faults)


@pytest.mark.whole_book
def test_no_two_pictures_have_one_name():
    faults = list(pictures_of_one_name(the_whole_book()))
    assert not faults, "wanted a name of its own for each picture:\n" + "\n".join(faults)


@pytest.mark.whole_book
def test_the_address_agrees_everywhere():
    faults = list(foreign_addresses(texts_of_the_book()))
    assert not faults, "\n".join(faults)


@pytest.mark.whole_book
def test_the_edition_agrees_everywhere():
    assert chapters.CONFIG["repository"]["branch"] == f"v{VERSION}"
    texts = {name: text for name, text in texts_of_the_book().items() if name != "CHANGELOG.md"}
    faults = list(foreign_versions(texts))
    assert not faults, "\n".join(faults)


def test_there_are_chapters():
    assert chapters.paths()


# -------------------------------------------------------------------------------- every rule can be broken


def good_chapter():
    new = nbformat.v4
    path = "notebooks/part/01_tiny.ipynb"
    opening = (
        "# Two weights\n\nFind the larger of two numbers.\n\n*15 minutes · easy · builds on nothing* · "
        f"[Open in Colab]({chapters.colab_link(path)})"
    )
    filler = "\n\n".join(f"Number {i} comes after number {i - 1} in this rather long list." for i in range(120))
    cells = [
        new.new_markdown_cell(opening),
        new.new_code_cell(SETUP, metadata={"tags": ["remove-cell"]}),
        new.new_code_cell("import matplotlib.pyplot as plt\nfrom attn_edu.plotting import heatmap"),
        new.new_markdown_cell(
            filler + "\n\n## The sum\n\n> A box.\n> Still it.\n\n$$\\color{#7c3aed}q$$\n\n"
            "Vaswani et al. (2017) {cite:p}`vaswani2017attention` write so."
        ),
        new.new_code_cell("heatmap(weights)  # https://example.org is only a comment"),
        new.new_code_cell("np.testing.assert_allclose(a, b)"),
        *[new.new_code_cell("check(exercises.a, b)", metadata={"tags": ["exercise"]}) for _ in range(3)],
        new.new_markdown_cell("## Sources\n\n```{bibliography}\n:filter: docname in docnames\n```"),
    ]
    cells[4].metadata["mystnb"] = {"image": {"alt": "Two tiles"}, "figure": {"caption": "See the darker one."}}
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return Chapter(path, new.new_notebook(cells=cells, metadata=metadata))


def source(place, old, new):
    def change(notebook):
        assert old in notebook.cells[place].source
        notebook.cells[place].source = notebook.cells[place].source.replace(old, new)

    return change


def add(text):
    return lambda notebook: notebook.cells.insert(3, nbformat.v4.new_markdown_cell(text))


def code(text):
    return lambda notebook: notebook.cells.insert(3, nbformat.v4.new_code_cell(text))


def drop(place):
    return lambda notebook: notebook.cells.pop(place)


def meta(place, **changes):
    return lambda notebook: notebook.cells[place].metadata.update(changes)


OPENING = opens_with_title_promise_and_colab_link
BREAKS = [
    (outputs_are_stripped, lambda notebook: notebook.cells[2].update(execution_count=3)),
    (outputs_are_stripped, lambda notebook: notebook.cells[2].outputs.append({})),
    (outputs_are_stripped, meta(2, execution={"iopub.status.busy": "…"})),
    (cells_have_ids_of_their_own, lambda notebook: notebook.cells[2].pop("id")),
    (cells_have_ids_of_their_own, lambda notebook: notebook.cells[2].update(id=notebook.cells[3].id)),
    (kernel_is_python3, lambda notebook: notebook.metadata.kernelspec.update(name="conda-env-x")),
    (kernel_is_python3, lambda notebook: notebook.metadata.pop("kernelspec")),
    (OPENING, lambda notebook: notebook.cells.reverse()),
    (OPENING, add("# Another title")),
    (OPENING, source(0, "15 minutes", "Quick")),
    (OPENING, source(0, "easy", "fun")),
    (OPENING, source(0, "builds on nothing", "")),
    (OPENING, source(0, "/blob/v", "/blob/main-v")),
    (OPENING, source(0, "01_tiny", "02_tiny")),
    (has_the_one_set_up_cell, drop(1)),
    (has_the_one_set_up_cell, source(1, f"v{VERSION}", "main")),
    (has_the_one_set_up_cell, meta(1, tags=["hide-cell"])),
    (has_the_one_set_up_cell, meta(2, tags=["remove-cell"])),
    (has_the_one_set_up_cell, code("!pip install -q torch")),
    (markdown_reads_well_raw, add("```{note}\nText\n```")),
    (markdown_reads_well_raw, add(":::{admonition} Trap\nText\n:::")),
    (markdown_reads_well_raw, add("A {term}`query` asks.")),
    (markdown_reads_well_raw, add("(the-label)=\n## Text")),
    (equations_use_role_colours, add("$\\color{#123456}{q}$")),
    (equations_use_role_colours, add("$\\color{purple} q$")),
    (nothing_is_fetched_at_run_time, code("load('https://example.org/x')")),
    (nothing_is_fetched_at_run_time, code("import urllib.request")),
    (nothing_is_fetched_at_run_time, code("from requests import get")),
    (nothing_is_fetched_at_run_time, code("data = datasets.fetch_openml('mnist')")),
    (nothing_is_fetched_at_run_time, code("if True:\n    !wget x")),
    (nothing_is_fetched_at_run_time, code("model = torch.hub.load('a', 'b')")),
    (pictures_have_alt_text_and_a_caption, code("plt.plot(losses)")),
    (pictures_have_alt_text_and_a_caption, code("for w in ws:\n    heatmap(w)")),
    (pictures_have_alt_text_and_a_caption, code("ax = products(chains)")),
    (pictures_have_alt_text_and_a_caption, meta(4, mystnb={"image": {"alt": "Two tiles"}})),
    (pictures_have_alt_text_and_a_caption, meta(4, mystnb={"figure": {"caption": "See."}})),
    (figures_are_shown, code("WeightedSumPlane(vectors)\nassert True")),
    (citations_are_in_the_bibliography, add("It is so {cite:t}`vaswani2017attention, nobody2020`.")),
    (lists_its_references_once, drop(-1)),
    (lists_its_references_once, source(-1, "\n:filter: docname in docnames", "")),
    (compares_numpy_with_pytorch, source(5, "assert_allclose", "allclose")),
    (table_columns_have_words, add("| | weight |\n|---|---|\n| cat | 0.8 |")),
    (table_columns_have_words, add("| $L$ | weight |\n|---|---|\n| 8 | 0.8 |")),
    (has_three_to_five_exercises, drop(6)),
    (headings_say_what_this_chapter_says, add("## Summary and outlook")),
    (headings_say_what_this_chapter_says, add("### In this chapter")),
    (headings_say_what_this_chapter_says, add("## The sum")),
    (headings_say_what_this_chapter_says, add("In this chapter we will sum.")),
    (has_the_length_of_a_chapter, drop(3)),
    (has_the_length_of_a_chapter, add("word " * 2000)),
    (has_at_most_three_boxes, add("> two\n\nText\n\n> three\n\n<div class='tip'>four</div>")),
]


def broken(change):
    chapter = good_chapter()
    change(chapter.notebook)
    return chapter


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_chapter_breaks_no_rule(rule):
    assert not list(rule(good_chapter()))


@pytest.mark.parametrize(("rule", "change"), BREAKS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_chapter_breaks_the_rule(rule, change):
    assert list(rule(broken(change)))


def test_the_rule_knows_every_function_that_draws():
    public = [name for name, value in vars(plotting).items() if getattr(value, "__module__", "") == plotting.__name__]
    assert sorted(name for name in public if not name.startswith("_")) == sorted(DRAWS)


def test_every_rule_is_seen_to_fail():
    assert {rule for rule, _ in BREAKS} == set(RULES)


def test_a_repeated_sentence_is_found():
    one, other = good_chapter(), good_chapter()
    for chapter in (one, other):
        del chapter.notebook.cells[1:]
        chapter.notebook.cells[0].source = "Text."
    assert not list(repeated_sentences([one, other]))
    bare = "the output is a weighted average of all values"
    one.notebook.cells[
        0
    ].source = f"So *{bare.capitalize()}*.\n\n```python\n# one two three four five six seven eight\n```"
    other.notebook.cells[0].source = "First. - So the **output**\nis a weighted average of all values! | x"
    assert list(repeated_sentences([one, other])) == [f"{one} and {other}: so {bare}"]
    short = "So it is one of seven words."
    one.notebook.cells[0].source = other.notebook.cells[0].source = short
    assert not list(repeated_sentences([one, other]))
    promise = "*15 minutes · easy · builds on the chapter about dot products*"
    one.notebook.cells[0].source = other.notebook.cells[0].source = promise
    assert not list(repeated_sentences([one, other]))
    row = "| a table row may well stand in two chapters or more |"
    one.notebook.cells[0].source = other.notebook.cells[0].source = row
    assert not list(repeated_sentences([one, other]))


def test_two_pictures_of_one_name_are_found():
    one, other = good_chapter(), good_chapter()
    assert not list(pictures_of_one_name([one, other]))
    for chapter in (one, other):
        chapter.notebook.cells[4].metadata["mystnb"]["figure"]["name"] = "tiles"
    assert list(pictures_of_one_name([one, other])) == [f"mystnb.figure.name 'tiles': {one}, {other}"]


def test_a_foreign_address_or_edition_is_found():
    right = {"a.md": f"{chapters.REPOSITORY} git+{chapters.REPOSITORY}@v{VERSION} {chapters.colab_link('x')}"}
    assert not list(foreign_addresses(right))
    assert not list(foreign_versions(right))
    assert list(foreign_addresses({"a.md": "https://github.com/someone/attn-edu"}))
    assert list(foreign_addresses({"a.md": "colab.research.google.com/github/someone/attn-edu/blob"}))
    assert list(foreign_versions({"a.md": "git+https://github.com/attn-edu/attn-edu@v9.9.9"}))
    assert list(foreign_versions({"a.md": "https://github.com/attn-edu/attn-edu/blob/main/x.ipynb"}))

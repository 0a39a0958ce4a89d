"""The engine of the exercises, and every exercise of every chapter: its stub does not pass, its solution does."""

import ast
import copy
import importlib
import re
import symtable
import threading
from dataclasses import dataclass

import chapters
import jaxtyping
import nbformat
import numpy as np
import pytest
import torch
from contrast import contrast
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbclient.util import run_sync

from attn_edu.exercises import Exercise, check, expect_close, expect_equal, expect_function
from attn_edu.exercises._check import COLOURS, UNANSWERED

# ---------------------------------------------------------------------------------------------- the engine


def three():
    return Exercise("Three?", lambda answer: expect_close(answer, 3.0), ("first", "second"))


def test_right_wrong_and_unanswered():
    exercise = three()
    assert check(exercise, 3).passed
    assert check(exercise, torch.tensor(3.0)).passed
    result = check(exercise, 4)
    assert (result.passed, result.message) == (False, "answer is 4, wanted 3")
    result = check(exercise, None)
    assert (result.passed, result.message, result.hint) == (False, UNANSWERED, None)


def test_each_failure_gives_one_hint_more_and_a_stub_spends_none():
    exercise = three()
    assert check(exercise, 1).hint == "Hint 1 of 2: first"
    for blank in (None, ..., (None, None), [None]):
        assert check(exercise, blank).hint is None
    assert check(exercise, 3).hint is None
    assert check(exercise, 1).hint == "Hint 2 of 2: second"
    assert check(exercise, 1).hint == "Hint 2 of 2: second"
    assert check(three(), 1).hint == "Hint 1 of 2: first"
    assert check(Exercise("?", lambda answer: "no"), 1).hint is None


class Hostile:
    """Raises whatever is asked of it."""

    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")

    def _refuse(self, *args):
        raise RuntimeError("refused \ud800 <b>&")

    __eq__ = __bool__ = __repr__ = __str__ = __len__ = __iter__ = __array__ = __float__ = __call__ = _refuse
    __deepcopy__ = __hash__ = __lt__ = __format__ = __index__ = __getitem__ = _refuse


class HostileMessage(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def stops(x):
    raise SystemExit(0)


def recurses(x):
    return recurses(x)


def raises_unprintable(x):
    raise HostileMessage


def shouts(x):
    raise ValueError("x" * 10_000)


NASTY = [
    Hostile(),
    Hostile,
    "three",
    b"three",
    float("nan"),
    float("inf"),
    -np.inf,
    10**400,
    [[1], [2, 3]],
    [],
    {},
    {"a": 3},
    {3},
    object(),
    np.array(["a"]),
    np.array([None, 3], dtype=object),
    np.zeros((0, 3)),
    np.zeros((2, 3, 4)),
    torch.zeros(2, requires_grad=True),
    [torch.zeros(2, requires_grad=True)],
    torch.zeros(2, device="meta"),
    torch.zeros(2, dtype=torch.bfloat16),
    torch.eye(2).to_sparse(),
    3 + 1j,
    True,
    np.ma.masked,
    len,
    np,
    int,
    threading.Lock(),
    (x for x in ()),
    lambda: 3,
    lambda x: None,
    lambda x: lambda: None,
    stops,
    recurses,
    raises_unprintable,
    shouts,
]


JUDGES = {
    "close": lambda answer: expect_close(answer, 3.0),
    "array": lambda answer: expect_close(answer, np.ones((2, 3))),
    "truth": lambda answer: expect_close(answer, np.array([True, False])),
    "word": lambda answer: expect_equal(answer, "keys"),
    "count": lambda answer: expect_equal(answer, 5),
    "yes or no": lambda answer: expect_equal(answer, False),
    "function": lambda answer: expect_function(answer, lambda x: x + 1, (np.ones(3),)),
    "two results": lambda answer: expect_function(answer, lambda x: (x, x), (np.ones(3),)),
    "calls": lambda answer: None if answer(1) == 3 else "wrong",
    "naive": lambda answer: None if answer == 3.0 else "wrong",
    "careless": lambda answer: None if answer.shape[0] == answer[0] else "wrong",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
def test_no_answer_raises(judge):
    for answer in NASTY:
        result = check(Exercise("?", judge, ("hint",)), answer)
        assert not result.passed, type(answer)
        assert result.message
        for shown in (repr(result), result._repr_html_()):
            shown.encode()  # a notebook must be able to store it
            assert len(shown) < 4000


def test_the_learner_reads_what_was_raised():
    result = check(Exercise("?", lambda answer: answer.shape), 3)
    assert result.message == "Looking at this answer raised AttributeError: 'int' object has no attribute 'shape'"
    assert check(Exercise("?", JUDGES["function"]), stops).message.endswith("your function raised SystemExit: 0")
    assert check(Exercise("?", JUDGES["function"]), raises_unprintable).message.endswith("raised HostileMessage")


def test_an_interrupt_passes_through():
    def interrupted(*args):
        raise KeyboardInterrupt

    for judge in (interrupted, lambda answer: expect_function(interrupted, len, ([],))):
        with pytest.raises(KeyboardInterrupt):
            check(Exercise("?", judge), 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: check("three", 3), "exercise: wanted an Exercise, got str"),
        (lambda: check(3, three()), "exercise: wanted an Exercise, got int"),
        (lambda: Exercise("?", "no function"), "judge: wanted a function"),
        (lambda: Exercise("?", len, "hint"), "hints: wanted a tuple of texts"),
        (lambda: Exercise("?", len, (1,)), "hints: wanted a tuple of texts"),
        (lambda: check(Exercise("?", lambda answer: True), 3), "judge: wanted None or a text from it, got bool"),
    ],
)
def test_mistakes_of_ours_raise(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # or the checked signatures speak first
    with pytest.raises(TypeError, match=re.escape(message)):
        make()


def test_expect_function_needs_a_case():
    with pytest.raises(ValueError, match="cases: wanted at least one"):
        expect_function(len, len)


@pytest.mark.parametrize(
    ("answer", "wanted", "message"),
    [
        (3, 3.0, None),
        (3.0000001, 3.0, None),
        ([1, 2], np.array([1.0, 2.0]), None),
        (np.array([True]), [True], None),
        (torch.tensor([1.5], dtype=torch.bfloat16), [1.5], None),
        (np.nan, np.nan, None),
        (3.1, 3.0, "answer is 3.1, wanted 3"),
        (3.0001, 3.0, "answer is 3.0001, wanted 3"),
        (np.nan, 3.0, "answer is nan, wanted 3"),
        ([[1, 2], [3, 9]], [[1, 2], [3, 4]], "answer[1, 1] is 9, wanted 4 (1 of 4 entries differ)"),
        ([3.0], 3.0, "answer is an array of numbers with shape (1,), wanted a single number"),
        (1, True, "answer is a single number, wanted True or False"),
        (True, 1.0, "answer is True or False, wanted a single number"),
        ([1, 0], [True, False], "answer is an array of numbers with shape (2,), wanted an array of True and"),
        ([False], [True], "answer[0] is False, wanted True"),
        ("3", 3.0, "answer is '3' (str), wanted a single number"),
        ([[1], [1, 2]], [1.0], "answer is [[1], [1, 2]] (list), wanted an array of numbers with shape (1,)"),
    ],
)
def test_expect_close(answer, wanted, message):
    said = expect_close(answer, wanted)
    assert said is message or said.startswith(message)


def test_expect_equal():
    assert expect_equal("Keys ", "keys") is None
    assert expect_equal(np.int64(5), 5) is None
    assert expect_equal(5, 6) == "answer is 5, and that is not it"
    assert expect_equal(True, 1) == "answer is True (bool), wanted a number"
    assert expect_equal(1, True) == "answer is 1 (int), wanted True or False"
    assert expect_equal("a", "b", "the first bug") == "the first bug is 'a', and that is not it"


def test_expect_function_compares_every_result_and_names_the_inputs():
    def right(a, b):
        return a @ b, a.sum()

    cases = [(np.eye(2), np.ones((2, 3))), (np.array([[1.0, 2.0]]), np.ones((2, 1)))]
    assert expect_function(right, right, *cases) is None
    said = expect_function(lambda a, b: (a @ b, a.sum() if len(a) == 2 else 0), right, *cases)
    assert said == "For inputs [[1.0, 2.0]] and [[1.0], [1.0]], part 2 of the result of your function is 0, wanted 3"
    assert "is a ndarray, wanted 2 results in a tuple" in expect_function(lambda a, b: a @ b, right, *cases)
    assert "tuple of length 3, wanted 2" in expect_function(lambda a, b: (a, b, a), right, *cases)
    assert "missing 1 required positional argument" in expect_function(lambda a, b, c: a, right, *cases)
    assert expect_function(3, right, *cases) == "your function is 3 (int), wanted a function"
    assert expect_function(lambda a, b: None, right, *cases) == UNANSWERED
    assert "is None, wanted" in expect_function(lambda a, b: (None, 2.0), right, *cases)


def test_a_changed_input_fails_and_the_judges_own_inputs_stay():
    def in_place(x):
        x += 1
        return x

    for inputs in (np.ones(3), torch.ones(3)):
        said = expect_function(in_place, lambda x: x + 1, (inputs,))
        assert said == (
            "For inputs [1.0, 1.0, 1.0], your function returned the right result but changed its input number 1"
        )
        assert inputs.tolist() == [1.0] * 3

    def sorts(x):
        x.sort()
        return x[0]

    assert "changed its input" in expect_function(sorts, min, ([3.0, 1.0],))
    assert expect_function(lambda x: x[0], lambda x: x[0], ([np.nan, 1.0],)) is None

    def masks(x, mask):
        mask[:] = True
        return x

    assert "changed its input number 2" in expect_function(masks, lambda x, mask: x, (np.ones(2), np.zeros(2, bool)))


@pytest.mark.parametrize("page", ["light", "dark"])
def test_every_card_is_legible(page):
    colours = COLOURS[page]
    for kind in ("right", "wrong", "open"):
        assert contrast(colours[f"{kind}-ink"], colours[f"{kind}-card"]) >= 4.5


def test_the_card_says_in_words_what_it_shows_in_colour():
    exercise = Exercise("?", lambda answer: expect_equal(answer, "a<b"), ("Look at `w[0]`, not <i>.",))
    html = check(exercise, "<script>")._repr_html_()
    assert "✗</span> Not yet." in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "<p>Hint 1 of 1: Look at <code>w[0]</code>, not &lt;i&gt;.</p>" in html
    assert "✓</span> Passed." in check(exercise, "a<b")._repr_html_()
    assert "○</span> Open." in check(exercise, None)._repr_html_()
    assert html == check(exercise, "<script>")._repr_html_()  # stable from run to run


# ------------------------------------------------------------------------------- the exercises of a chapter


@dataclass
class Found:
    name: str
    cell: int
    check: str
    solution: str


def checks_in(source):
    tree = ast.parse(chapters.plain_code(source))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return tree, [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "check"]


def find_exercises(notebook):
    """Return the exercises of a notebook; an AssertionError says which cell breaks the convention."""
    found = []
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        tree, calls = checks_in(cell.source)
        where = f"cell {place}"
        if "exercise" not in chapters.tags(cell):
            assert not calls, f"{where} calls check without the tag 'exercise'"
            continue
        assert len(calls) == 1, f"{where} is tagged 'exercise' and calls check {len(calls)} times, wanted once"
        last = tree.body[-1]
        assert isinstance(last, ast.Expr) and last.value is calls[0], f"{where} must end with check(…)"
        first = calls[0].args[0]
        named = isinstance(first, ast.Attribute) and isinstance(first.value, ast.Name) and first.value.id == "exercises"
        assert named and len(calls[0].args) == 2, f"{where}: wanted check(exercises.some_name, answer)"
        prose = []
        for after in notebook.cells[place + 1 :]:
            if after.cell_type != "markdown":
                break
            prose.append(after.source)
        blocks = re.findall(r"<details>\s*<summary>Solution</summary>\n\n(.*?)</details>", "\n\n".join(prose), re.S)
        assert len(blocks) == 1, f"{where} ({first.attr}) has {len(blocks)} folded solutions below it, wanted one"
        code = re.findall(r"^```python\n(.*?)^```$", blocks[0], re.S | re.M)
        assert code, f"the solution of {first.attr} has no python block"
        found.append(Found(first.attr, place, ast.unparse(last.value), "\n".join(code)))
    return found


def solved(notebook):
    """Return what its exercises need of the notebook, each stub asserted to fail, its solution to pass."""
    exercises = {exercise.cell: exercise for exercise in find_exercises(notebook)}
    cells, asked = [], []
    for place, cell in enumerate(copy.deepcopy(notebook.cells)):
        cells.append(cell)
        if place in exercises:
            asked += range(len(cells) - 1, len(cells) + 3)
            it = exercises[place]
            stub = f"_result = {it.check}\nassert not _result.passed, 'the stub of {it.name} passes'"
            solution = (
                f"_result = {it.check}\n"
                f"assert _result.passed, f'the solution of {it.name} does not pass: {{_result.message}}'"
            )
            cells += [nbformat.v4.new_code_cell(source) for source in (stub, it.solution, solution)]
    return needed(nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata), asked)


@pytest.fixture(scope="module")
def execute():
    """Return a function that runs a notebook; all run in one kernel, one after the other, each with no names bound."""
    kernel = AsyncKernelManager(kernel_name="python3")
    run_sync(kernel.start_kernel)()

    def run(notebook):
        cells = [nbformat.v4.new_code_cell("%reset -f"), *notebook.cells]
        client = NotebookClient(nbformat.v4.new_notebook(cells=cells), timeout=300, km=kernel)
        try:
            client.execute()
        finally:
            client.kc.stop_channels()

    yield run
    run_sync(kernel.shutdown_kernel)(now=True)


def names_of(source):
    """Return the names that a cell reads before it binds them, if it does, and those that it binds."""
    read, bound = set(), set()
    for statement in ast.parse(chapters.plain_code(source)).body:
        top = symtable.symtable(ast.unparse(statement), "cell", "exec")
        scopes, used = top.get_children(), {name.get_name() for name in top.get_symbols() if name.is_referenced()}
        while scopes:
            scope = scopes.pop()
            used |= {name.get_name() for name in scope.get_symbols() if name.is_global() and name.is_referenced()}
            scopes += scope.get_children()
        for node in ast.walk(statement):
            if isinstance(node, (ast.AugAssign, ast.For)):
                target = {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
                used = used | target if isinstance(node, ast.AugAssign) else used - target
        read |= used - bound
        bound |= {name.get_name() for name in top.get_symbols() if name.is_assigned() or name.is_imported()}
    return read, bound


def needed(notebook, places):
    """Return the notebook's cells at these places, and those before them that bind what they read: no training more."""
    cells = notebook.cells
    names = {place: names_of(cell.source) for place, cell in enumerate(cells) if cell.cell_type == "code"}
    kept, new = set(), set(places)
    while new:
        place = new.pop()
        kept.add(place)
        for name in names[place][0]:
            binding = [other for other, (_, bound) in names.items() if name in bound and other < max(places)]
            before = [other for other in binding if other < place]
            new |= set(before[-1:] or binding) - kept  # a function may use what is bound only after it
    return nbformat.v4.new_notebook(cells=[cells[place] for place in sorted(kept)], metadata=notebook.metadata)


def exercise_module(notebook):
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    names = re.findall(r"^from attn_edu\.exercises import check, (\w+) as exercises$", code, re.M)
    assert len(names) == 1, "wanted one line 'from attn_edu.exercises import check, some_chapter as exercises'"
    return importlib.import_module(f"attn_edu.exercises.{names[0]}")


def unmatched(asked, written):
    """Yield the exercises that only the cells or only the module has, and those asked twice."""
    yield from (
        f"{name} is written, and no cell ends in check(exercises.{name}, …)" for name in written if name not in asked
    )
    yield from (f"a cell asks exercises.{name}, which is not written" for name in asked if name not in written)
    yield from (f"{asked.count(name)} cells ask exercises.{name}" for name in sorted({*asked}) if asked.count(name) > 1)


def test_an_exercise_without_its_cell_or_a_cell_without_its_exercise_is_found():
    assert list(unmatched(["one", "two"], ["two", "one"])) == []
    assert list(unmatched(["one", "one", "two"], ["one", "three"])) == [
        "three is written, and no cell ends in check(exercises.three, …)",
        "a cell asks exercises.two, which is not written",
        "2 cells ask exercises.one",
    ]


@pytest.mark.parametrize("path", chapters.paths())
def test_every_exercise_of_the_chapter_is_used_once(path):
    notebook = chapters.chapter(path).notebook
    module = exercise_module(notebook)
    written = [name for name, value in vars(module).items() if isinstance(value, Exercise)]
    faults = list(unmatched([found.name for found in find_exercises(notebook)], written))
    assert not faults, f"{path} and {module.__name__.replace('.', '/')}.py:\n" + "\n".join(faults)


@pytest.mark.parametrize("path", chapters.paths())
def test_stubs_fail_and_solutions_pass(path, execute):
    """The book's build runs whole chapters; here only what the exercises stand on runs."""
    execute(solved(chapters.chapter(path).notebook))


# ------------------------------------------------------------------------------------ the machinery itself

BEGIN = """\
import types
from attn_edu.exercises import Exercise, check, expect_close
exercises = types.SimpleNamespace(one=Exercise("One?", lambda answer: expect_close(answer, 1.0)))"""
STUB = "answer = None\ncheck(exercises.one, answer)"
SOLUTION = "<details><summary>Solution</summary>\n\nIt is one.\n\n```python\nanswer = 1\n```\n\n</details>"


def tiny(stub=STUB, solution=SOLUTION, tags=("exercise",)):
    cells = [
        nbformat.v4.new_code_cell(BEGIN),
        nbformat.v4.new_code_cell(stub, metadata={"tags": list(tags)}),
        nbformat.v4.new_markdown_cell(solution),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def test_a_good_notebook_runs_solved(execute):
    assert [(found.name, found.solution) for found in find_exercises(tiny())] == [("one", "answer = 1\n")]
    execute(solved(tiny()))


@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        (tiny(stub=STUB.replace("None", "1.0")), "the stub of one passes"),
        (
            tiny(solution=SOLUTION.replace("= 1", "= 2")),
            "the solution of one does not pass: answer is 2, wanted 1",
        ),
    ],
    ids=["stub passes", "solution fails"],
)
def test_a_bad_exercise_is_found(notebook, message, execute):
    with pytest.raises(CellExecutionError, match=message):
        execute(solved(notebook))


@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        (tiny(tags=()), "calls check without the tag"),
        (tiny(solution="Nothing."), "has 0 folded solutions"),
        (tiny(solution=SOLUTION + "\n\n" + SOLUTION), "has 2 folded solutions"),
        (tiny(solution=SOLUTION.replace("</summary>\n\n", "</summary>\n")), "has 0 folded solutions"),
        (tiny(solution=SOLUTION.replace("python", "text")), "no python block"),
        (tiny(stub="answer = None"), "calls check 0 times"),
        (tiny(stub=STUB + "\nprint(answer)"), r"must end with check\(…\)"),
        (tiny(stub=STUB.replace("exercises.one", "one")), r"wanted check\(exercises.some_name"),
    ],
)
def test_a_broken_convention_is_found(notebook, message):
    with pytest.raises(AssertionError, match=message):
        find_exercises(notebook)


def test_only_what_exercises_need_is_run(execute):
    notebook = tiny(stub="from math import tau\nanswer = None if helper(tau) else x\ncheck(exercises.one, answer)")
    more = ["import numpy as np", "a = 1", "def helper(x):\n    a = base\n    return a + x", "base = 0", "base += 2"]
    more += ["losses = train()", "np.zeros(a)", "x = [base for base in ()]"]
    notebook.cells[1:1] = [nbformat.v4.new_code_cell(source) for source in more]
    run = [cell.source for cell in solved(notebook).cells]
    assert run[: run.index(notebook.cells[-2].source)] == [BEGIN, more[2], more[3], more[4], more[7]]
    execute(solved(notebook))


def test_a_notebook_sees_nothing_of_the_one_before(execute):
    def one(source):
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])

    execute(one("left = 1"))
    execute(one("left = 1\nassert left"))
    with pytest.raises(CellExecutionError, match="name 'left' is not defined"):
        execute(one("left"))

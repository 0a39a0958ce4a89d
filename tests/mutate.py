"""Mutation testing of one family: every small change of its source must be caught by the contract.

    make mutate F=heads

The package is imported once. Each mutant is then tried in a fork of this process, which takes the changed source for
the one file and runs the contract of the mechanisms that stand on it, the slow clauses last, up to the first failure.
What the contract lets through is tried on the file's other examples and on the family's own tests. A mutant that
survives both wants a new assertion, or a reason in ``tests/mutation/explained.json``; a later run lists only the
survivors that have none.

Changed are the definitions, the modules and what the records claim. Left alone are annotations, docstrings, messages,
imports, a record's prose, and the examples, which are the contract's own inputs; and what no result shows: `strict` of
a zip, `device` where there is one, and how much is held at a time, which the contract itself sets to 1 and 60.
"""

import argparse
import ast
import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import accumulate
from pathlib import Path

import hypothesis
import jaxtyping
import libcst as cst
from giving_out import give_out
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_assignment
from tqdm import tqdm

jaxtyping.install_import_hook("attn_edu", "beartype.beartype")

import contract  # noqa: E402
import test_contract  # noqa: E402

import attn_edu  # noqa: E402

PACKAGE, TESTS = Path(attn_edu.__file__).parent, Path(__file__).parent
NOTES = TESTS / "mutation"
PROSE = {"title", "citation", "equation", "cost", "chapter", "does_not_apply", "refuses"}
UNSEEN = {"strict", "device"}
OWN_TESTS = {  # where there are others than one of the family's name
    "sparse": ("sparse", "lsh", "blocked_attention", "bad_inputs"),
    "vision": ("axial", "local_in_images"),
    "core": ("reductions", "transformer"),
    "selection": ("local_in_sentences", "soft_and_hard", "bad_inputs"),
    "recurrent": ("recurrent", "bad_inputs"),
    "positions": ("positions", "convolution"),
    "recomputed": ("recomputed", "bad_inputs"),
}


class Mutants(cst.CSTVisitor):
    """Collect (node, changed node) for everything in a file that is code."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self.left_alone(node):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind) and not (operator is operator_assignment and is_record(node)):
                self.found += [(node, changed) for changed in operator(node) if not is_same(node, changed)]
        if isinstance(node, cst.If):  # an operator has no condition without operators to work on
            self.found.append((node, node.with_changes(test=negated(node.test))))
        if isinstance(node, cst.Expr):  # a call for its effect, left out
            self.found.append((node, cst.Pass()))
        return True

    def left_alone(self, node: cst.CSTNode) -> bool:
        match node:
            case cst.Annotation() | cst.Import() | cst.ImportFrom() | cst.Raise() | cst.Decorator():
                return True
            case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
                return True
            case cst.FunctionDef(name=cst.Name(value="examples")):
                return True
            case cst.Assign(value=cst.Subscript()):  # a name for an annotation
                return not isinstance(node.targets[0].target, cst.Attribute) and cst.Module([]).code_for_node(
                    node.value
                ).startswith(("Literal", "Bool", "Float", "Int"))
            case cst.Call(func=cst.Name(value="len" | "isinstance" | "ByDevice")):
                return True
            case cst.Call(func=cst.Name(value="Mechanism")):
                for argument in node.args:
                    if argument.keyword and argument.keyword.value not in PROSE:
                        argument.value.visit(self)
                return True
            case cst.Arg(keyword=cst.Name(value=name)):
                return name in PROSE | UNSEEN
            case cst.Call(func=cst.Name(value=name)) if name.startswith("check_"):
                first, *rest = node.args
                if isinstance(first.value, cst.SimpleString):  # the name that the message says
                    for operator in (operator for kind, operator in mutation_operators if kind is cst.Call):
                        self.found += [(node, changed) for changed in operator(node)]
                    for argument in rest:
                        argument.visit(self)
                    return True
        return False


def is_record(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Assign) and getattr(node.targets[0].target, "value", None) == "MECHANISM"


def is_same(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """Whether only the letters of an einsum or of a pattern of shapes changed, or an argument that no result shows."""
    if isinstance(node, cst.Call) and isinstance(changed, cst.Call):
        seen = [
            [arg for arg in call.args if not (arg.keyword and arg.keyword.value in UNSEEN)] for call in (node, changed)
        ]
        same = len(seen[0]) == len(seen[1]) and all(a.value.deep_equals(b.value) for a, b in zip(*seen, strict=True))
        return same and node.func.deep_equals(changed.func)
    strings = isinstance(node, cst.SimpleString) and isinstance(changed, cst.SimpleString)
    letters = strings and ("->" in node.value or ": *" in node.value)
    return letters and node.value.lower() == changed.value.lower()


def negated(test: cst.BaseExpression) -> cst.BaseExpression:
    return cst.UnaryOperation(cst.Not(), test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()]))


def mutants(path: Path) -> dict[str, str]:
    """Return the changed sources of a file by what changed, as lines of a diff."""
    source = path.read_text()
    wrapper, visitor = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True), Mutants()
    module, places = wrapper.module, wrapper.resolve(PositionProvider)
    module.visit(visitor)
    lines = source.splitlines(keepends=True)
    starts = [0, *accumulate(map(len, lines))]
    found, kept = {}, ast.dump(ast.parse(source))
    for node, changed in visitor.found:
        first, last = (starts[end.line - 1] + end.column for end in (places[node].start, places[node].end))
        if module.code_for_node(node) == source[first:last]:
            mutant = source[:first] + module.code_for_node(changed) + source[last:]
        else:  # white space or parentheses of its own
            mutant = module.deep_replace(node, changed).code
        with contextlib.suppress(SyntaxError):
            if ast.dump(ast.parse(mutant)) != kept:
                place, change = difference(source.splitlines(), mutant.splitlines())
                found[f"{place}: {change}"] = mutant
    return found


def difference(old: list[str], new: list[str]) -> tuple[int, str]:
    """Return the number of the first line that differs, and the lines that do, as a diff."""
    ahead = next(i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    pairs = zip(reversed(old[ahead:]), reversed(new[ahead:]), strict=False)
    behind = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
    gone, come = old[ahead : len(old) - behind], new[ahead : len(new) - behind]
    return ahead + 1, "\n".join([*("- " + line.strip() for line in gone), *("+ " + line.strip() for line in come)])


@cache
def standing_on(family: str, name: str) -> list[str]:
    """Return the family's modules that import this one, directly or through each other, itself first."""
    prefix = f"attn_edu.{family}."
    found = [prefix + name]
    for module in found:
        for other in sorted(sys.modules):
            if other.startswith(prefix) and other not in found:
                uses = {getattr(value, "__module__", None) for value in vars(sys.modules[other]).values()}
                short = module.rpartition(".")[2]
                if module in uses or f"{short} import" in Path(sys.modules[other].__file__).read_text():
                    found.append(other)
    return found


def steps(name: str) -> Iterator[Callable[[], None]]:
    """Yield the calls that make up the contract of one mechanism, the slow clauses last."""
    record = test_contract.RECORDS[name]
    slow = (contract.bad_inputs, contract.gradients)
    for clause in (*(clause for clause in contract.PER_CASE if clause not in slow), contract.worked_by_hand, *slow):
        for case in contract.examples(record) if clause in contract.PER_CASE else ():
            yield partial(test_contract.test_clause, name, case, clause)
        if clause in contract.PER_RECORD:
            yield partial(clause, record)
    for clause in contract.PER_RECORD:
        if clause is not contract.worked_by_hand:
            yield partial(clause, record)
    yield partial(test_contract.test_whatever_is_drawn, name)


def in_fork(call: Callable[[], int | None], seconds: int) -> str:
    """Say whether a call passes ("survived"), fails ("killed") or takes too much processor time ("timed out")."""
    child = os.fork()
    if not child:
        status = 1
        try:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1), os.dup2(nothing, 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
            held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (held + 2**32, held + 2**32))
            sys.dont_write_bytecode = True
            status = int(bool(call()))
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        return "timed out"
    return "killed" if status else "survived"


def try_contract(path: Path, source: str) -> None:
    family, stem = path.parent.name, path.stem.removeprefix("_")
    modules = standing_on(family, path.stem)
    names = [module.removeprefix("attn_edu.").replace("._", ".") for module in modules]
    names = [name for name in names if name in test_contract.RECORDS]
    names = [f"{family}.{stem}"] if f"{family}.{stem}" in names else names  # its own contract is enough
    give_out(path, source)
    for module in modules:
        del sys.modules[module]
    for name in names:
        module = importlib.import_module(f"attn_edu.{name.replace('.', '._')}")
        test_contract.RECORDS[name] = module.MECHANISM
    for name in names:
        for call in steps(name):
            call()


def own_tests(path: Path, source: str, files: list[str]) -> str:
    """Say what the file's other examples and these tests make of it, in a process that has imported nothing yet.

    In a fork the package would be imported a second time, and its classes would not be those of the first.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".py") as mutant:
        mutant.write(source)
        mutant.flush()
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", "-p", "giving_out", *files],
            cwd=TESTS.parent,
            env=os.environ | {"MUTANT_OF": str(path), "MUTANT": mutant.name, "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_CPU, (120, 125)),
            capture_output=True,
        )
    return "killed" if result.returncode else "survived"


def explained() -> dict[tuple[str, str], str]:
    file = NOTES / "explained.json"
    reasons = json.loads(file.read_text()) if file.exists() else {}
    return {(path, change): reason for reason, files in reasons.items() for path in files for change in files[path]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", help="such as heads")
    parser.add_argument("--again", action="store_true", help="try the last run's survivors only")
    parser.add_argument("--every", type=int, default=1, help="try one mutant in so many: a sample")
    parser.add_argument("--contract-only", action="store_true", help="leave the family's own tests out")
    chosen = parser.parse_args()
    family, stored = chosen.family, NOTES / f"{chosen.family}.json"
    hypothesis.settings.register_profile("mutants", phases=[hypothesis.Phase.generate], database=None)
    hypothesis.settings.load_profile("mutants")  # that it fails is enough; no smaller case is looked for
    if not any(name.startswith(f"{family}.") for name in test_contract.RECORDS):
        sys.exit(f"F: wanted a family of the catalogue, such as core, got {family!r}")
    known, seen = explained(), set()
    files = [TESTS / f"test_{name}.py" for name in OWN_TESTS.get(family, (family,))]
    files = [] if chosen.contract_only else [str(file) for file in files if file.exists()]
    todo = [
        (path, change, source)
        for path in sorted((PACKAGE / family).glob("_[a-z]*.py"))
        for change, source in mutants(path).items()
    ][:: chosen.every]
    scores: dict[str, Counter] = {path.stem.removeprefix("_"): Counter() for path, *_ in todo}
    if chosen.again:
        last = json.loads(stored.read_text())
        scores = {name: Counter(score) for name, score in last["files"].items()}
        left = {(one["file"], one["change"]) for one in last["survivors"]}
        todo = [one for one in todo if (f"{family}/{one[0].name}", one[1].partition(": ")[2]) in left]
        for score in scores.values():
            score["survived"] = 0
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    if files and todo:  # else every mutant would be caught, by nothing
        path = todo[0][0]
        if own_tests(path, path.read_text(), [*{str(path) for path, *_ in todo}, *files]) != "survived":
            sys.exit(f"{family}: its own tests do not pass as the files stand; mend that first")
    survivors, tried, sound = [], 0, set()
    try:
        for path, change, source in (bar := tqdm(todo, desc=family, unit="mutant", mininterval=1)):
            stem = path.stem.removeprefix("_")
            short = f"{family}/{path.name}", change.partition(": ")[2]
            verdict = in_fork(partial(try_contract, path, source), 100)
            sound |= {path} if verdict == "survived" else set()
            if verdict == "survived" and short in known:
                verdict = "explained"
                seen.add(short)
            if verdict == "survived" and files:
                verdict = own_tests(path, source, [str(path), *files])
                verdict = "killed by own tests" if verdict == "killed" else verdict
            scores[stem][verdict] += 1
            tried += 1
            if verdict == "survived":
                survivors.append({"file": short[0], "line": int(change.partition(":")[0]), "change": short[1]})
                bar.write(f"{short[0]}:{change}")
            bar.set_postfix(survivors=len(survivors))
        for path in sorted({path for path, *_ in todo} - sound):  # else every mutant would be caught, by nothing
            if in_fork(partial(try_contract, path, path.read_text()), 100) != "survived":
                sys.exit(f"{path.name}: the contract does not pass as the file stands; mend that first")
    finally:
        if chosen.again:  # what was not come to is still a survivor
            for path, change, _ in todo[tried:]:
                place, _, change = change.partition(": ")
                scores[path.stem.removeprefix("_")]["survived"] += 1
                survivors.append({"file": f"{family}/{path.name}", "line": int(place), "change": change})
        total = sum(scores.values(), Counter())
        share = 1 - total["survived"] / max(1, sum(total.values()) - total["explained"])
        report(scores | {"all": total})
        print(f"{share:.1%} caught of the {sum(total.values()) - total['explained']} that are no equivalents")
        if tried < len(todo):
            print(f"broken off: {tried} of {len(todo)} tried")
        for path, change in sorted(key for key in set(known) - seen if key[0].startswith(f"{family}/")):
            if chosen.every == 1 and not chosen.again and tried == len(todo):
                print(f"explained, but no longer a survivor: {path}\n{change}")
        result = {"caught": round(share, 4), "tried": tried, "of": len(todo), "every": chosen.every}
        result |= {"tried": last["tried"], "of": last["of"], "every": last["every"]} if chosen.again else {}
        result |= {"files": scores, "survivors": survivors}
        stored.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def report(scores: dict[str, Counter]) -> None:
    verdicts = ("killed", "killed by own tests", "timed out", "explained", "survived")
    print(f"{'':24}{'mutants':>9}" + "".join(f"{verdict:>21}" for verdict in verdicts))
    for name, score in scores.items():
        print(f"{name:24}{sum(score.values()):>9}" + "".join(f"{score[verdict]:>21}" for verdict in verdicts))


if __name__ == "__main__":
    main()

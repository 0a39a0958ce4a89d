"""The engine of the exercises: `check` an answer, and never raise because of it.

An exercise holds a *judge*: a function that takes the learner's answer and returns ``None`` when it is right,
or says what came and what was wanted. `expect_close`, `expect_equal` and `expect_function` write most judges
in one line.
"""

import copy
import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .._page import themed
from ..checks import check_is, check_number

UNANSWERED = "Not answered yet"


@dataclass(eq=False)
class Exercise:
    """A question, the judge of its answers, and hints that come one at a time.

    Parameters
    ----------
    question
        What is asked, in one or two sentences.
    judge
        Takes an answer; returns ``None`` if it is right, otherwise a text that says what is wrong.
    hints
        From a nudge to nearly the answer; each failed check shows the next.

    Raises
    ------
    TypeError
        If the question is no text, the judge cannot be called or the hints are not a tuple of texts.

    Examples
    --------
    >>> Exercise("How much is 0.2 + 0.8?", lambda answer: expect_close(answer, 1.0))
    How much is 0.2 + 0.8?
    """

    question: str
    judge: Callable[[Any], str | None]
    hints: tuple[str, ...] = ()
    _failures: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_is("question", self.question, str, "a text")
        check_is("judge", self.judge, Callable, "a function of the answer")
        if not isinstance(self.hints, tuple) or not all(isinstance(hint, str) for hint in self.hints):
            raise TypeError(f"hints: wanted a tuple of texts, got {self.hints!r}")

    def __repr__(self) -> str:
        return self.question


@dataclass(frozen=True)
class Result:
    """What came of a check; a notebook shows it as a small card.

    Parameters
    ----------
    passed
        Whether the answer is right.
    message
        What is wrong with it, or that it is right.
    hint
        The next hint, with its number; ``None`` if there is none to give.

    Examples
    --------
    >>> Result(True, "That is right.", None)
    ✓ Passed: That is right.
    """

    passed: bool
    message: str
    hint: str | None

    def _heading(self) -> tuple[str, str, str]:
        if self.passed:
            return "right", "✓", "Passed"
        return ("open", "○", "Open") if self.message == UNANSWERED else ("wrong", "✗", "Not yet")

    def __repr__(self) -> str:
        _, icon, word = self._heading()
        return f"{icon} {word}: {self.message}" + (f"\n{self.hint}" if self.hint else "")

    def _repr_html_(self) -> str:
        kind, icon, word = self._heading()
        lines = [f'<strong><span aria-hidden="true">{icon}</span> {word}.</strong> {_marked_up(self.message)}']
        lines += [_marked_up(self.hint)] if self.hint else []
        body = "".join(f"<p>{line}</p>" for line in lines)
        style = f"<style>{_STYLE}</style>"
        return f'<div class="attn-check attn-check-{kind}" role="status">{style}{body}</div>'


def check(exercise: Exercise, answer: Any) -> Result:
    """Judge an answer. Whatever the answer is or does, this returns a result.

    Only an interrupt of the kernel passes through. An answer of ``None``, the state of an untouched exercise,
    spends no hint; neither does a function that returns ``None``.

    Parameters
    ----------
    exercise
        One of a chapter's exercises.
    answer
        Anything at all.

    Returns
    -------
    Result
        Whether the answer passed, what is wrong with it, and one hint more than last time.

    Raises
    ------
    TypeError
        If ``exercise`` is not an `Exercise`, or its judge returns something other than a text or ``None``.

    Examples
    --------
    >>> total = Exercise("How much is 0.2 + 0.8?", lambda a: expect_close(a, 1.0), ("Count in tenths.",))
    >>> check(total, None)
    ○ Open: Not answered yet
    >>> check(total, 0.28)
    ✗ Not yet: answer is 0.28, wanted 1
    Hint 1 of 1: Count in tenths.
    >>> check(total, 1).passed
    True
    """
    check_is("exercise", exercise, Exercise, "an Exercise")
    fault: str | None = UNANSWERED
    if not _is_blank(answer):
        try:
            fault = exercise.judge(answer)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: an answer must not end the kernel
            fault = f"Looking at this answer raised {_text(error)}"
        if fault is not None and not isinstance(fault, str):
            raise TypeError(f"judge: wanted None or a text from it, got {type(fault).__name__}")
    if fault is None:
        return Result(True, "That is right.", None)
    if fault == UNANSWERED:
        return Result(False, UNANSWERED, None)
    exercise._failures += 1
    number, total = min(exercise._failures, len(exercise.hints)), len(exercise.hints)
    hint = f"Hint {number} of {total}: {exercise.hints[number - 1]}" if total else None
    return Result(False, _printable(fault), hint)


def expect_close(
    answer: Any, wanted: Any, what: str = "answer", *, rtol: float = 1e-5, atol: float = 1e-6
) -> str | None:
    """Compare numbers, and name the first entry that differs.

    Parameters
    ----------
    answer
        A number, an array, a tensor or nested lists of numbers.
    wanted
        The right numbers, in the right shape. If they are booleans, the answer must be so too.
    what
        How the message calls the answer.
    rtol, atol
        Largest relative and absolute differences allowed.

    Returns
    -------
    str or None
        ``None`` if the numbers agree, otherwise what came and what was wanted.

    Raises
    ------
    TypeError, ValueError
        If what is wanted are not numbers, or `rtol` or `atol` is not a finite number of at least 0.

    Examples
    --------
    >>> expect_close([0.2, 0.3, 0.5], [0.2, 0.5, 0.3], "weights")
    'weights[1] is 0.3, wanted 0.5 (2 of 3 entries differ)'
    >>> expect_close([[1.0], [2.0]], [1.0, 2.0])
    'answer is an array of numbers with shape (2, 1), wanted an array of numbers with shape (2,)'
    """
    _check_tolerances(rtol, atol)
    try:
        right = _as_array(wanted)
    except ValueError:
        raise ValueError(f"wanted: wanted numbers, got rows of different lengths, {_shown(wanted)}") from None
    if right.dtype.kind not in "biufc":
        raise TypeError(f"wanted: wanted numbers, got {_shown(wanted)}")
    try:
        given = _as_array(answer)
    except ValueError:
        return f"{what} is {_shown(answer)}, wanted {_kind(right)}: its rows differ in length"
    if given.dtype.kind not in "biufc":
        return f"{what} is {_shown(answer)}, wanted {_kind(right)}"
    if given.shape != right.shape or (given.dtype.kind == "b") != (right.dtype.kind == "b"):
        return f"{what} is {_kind(given)}, wanted {_kind(right)}"
    wrong = ~np.isclose(given, right, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return None
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    came, due = _two_numbers(given[place], right[place])
    where = f"{what}[{', '.join(map(str, place))}]" if place else what
    count = f" ({wrong.sum()} of {wrong.size} entries differ)" if wrong.size > 1 else ""
    return f"{where} is {came}, wanted {due}{count}"


def expect_equal(answer: Any, wanted: Any, what: str = "answer") -> str | None:
    """Compare a choice, a word or a whole number; spaces around a word and capitals do not matter.

    Parameters
    ----------
    answer
        Anything.
    wanted
        A text, a number or a boolean. A number is not taken for a boolean, or the other way round.
    what
        How the message calls the answer.

    Returns
    -------
    str or None
        ``None`` if they are equal, otherwise what came and, if that is wrong, what kind of answer was wanted.
        The right choice is not told.

    Raises
    ------
    TypeError
        If what is wanted is anything else.

    Examples
    --------
    >>> expect_equal(" Keys", "keys")
    >>> expect_equal("values", "keys")
    "answer is 'values', and that is not it"
    >>> expect_equal(3, "keys")
    'answer is 3 (int), wanted a text'
    """
    check_is("wanted", wanted, str | bool | np.bool_ | int | float | np.number, "a text, a number or a boolean")
    kinds: list[tuple[Any, str]] = [
        (str, "a text"),
        ((bool, np.bool_), "True or False"),
        (object, "a number"),
    ]
    kind, name = next((kind, name) for kind, name in kinds if isinstance(wanted, kind))
    fits = isinstance(answer, kind)
    if kind is object:
        fits = isinstance(answer, (int, float, np.number)) and not isinstance(answer, bool)
    if not fits:
        return f"{what} is {_shown(answer)}, wanted {name}"
    if kind is str:
        answer, wanted = answer.strip().casefold(), wanted.strip().casefold()
    return None if answer == wanted else f"{what} is {_shown(answer, kind=False)}, and that is not it"


def expect_function(
    answer: Any,
    wanted: Callable[..., Any],
    *cases: tuple[Any, ...],
    what: str = "your function",
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> str | None:
    """Call a learner's function beside the right one, and compare what they return.

    Every call gets its own copies of the inputs. A function that changes them fails, even if it returns the
    right thing.

    Parameters
    ----------
    answer
        The learner's function or module.
    wanted
        The right function.
    *cases
        The positional arguments of each call, as a tuple.
    what
        How the message calls the function.
    rtol, atol
        Largest relative and absolute differences allowed.

    Returns
    -------
    str or None
        ``None`` if every case agrees. `UNANSWERED` if the first call returns ``None``, as a stub does.
        Otherwise the inputs of the first case that goes wrong, and what is wrong with it.

    Raises
    ------
    TypeError
        If `wanted` cannot be called, or a case is no tuple.
    ValueError
        If there is no case, or `rtol` or `atol` is not a finite number of at least 0.

    Examples
    --------
    >>> expect_function(lambda a, b: a - b, lambda a, b: a + b, (1.0, 2.0))
    'For inputs 1.0 and 2.0, the result of your function is -1, wanted 3'
    """
    if not cases:
        raise ValueError("cases: wanted at least one, got none")
    check_is("wanted", wanted, Callable, "a function")
    for case in cases:
        check_is("cases", case, tuple, "tuples of arguments")
    _check_tolerances(rtol, atol)
    if not callable(answer):
        return f"{what} is {_shown(answer)}, wanted a function"
    for number, case in enumerate(cases):
        inputs = copy.deepcopy(case)
        start = f"For inputs {' and '.join(map(_brief, case))}, "
        try:
            came = answer(*inputs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return f"{start}{what} raised {_text(error)}"
        due = wanted(*copy.deepcopy(case))
        if _is_blank(came) and number == 0:
            return UNANSWERED
        fault = _compare(came, due, f"the result of {what}", rtol, atol)
        if fault:
            return start + fault
        for place, (after, before) in enumerate(zip(inputs, case, strict=True)):
            if not _same(after, before):
                return f"{start}{what} returned the right result but changed its input number {place + 1}"
    return None


def _check_tolerances(rtol: Any, atol: Any) -> None:
    for name, most in (("rtol", rtol), ("atol", atol)):
        check_number(name, most)
        if not 0 <= most < float("inf"):
            raise ValueError(f"{name}: wanted a finite number of at least 0, got {most}")


def _compare(came: Any, due: Any, what: str, rtol: float, atol: float) -> str | None:
    if not isinstance(due, tuple):
        return expect_close(came, due, what, rtol=rtol, atol=atol)
    if not isinstance(came, (tuple, list)) or len(came) != len(due):
        count = f" of length {len(came)}" if isinstance(came, (tuple, list)) else ""
        return f"{what} is a {type(came).__name__}{count}, wanted {len(due)} results in a tuple"
    faults = (
        _compare(a, b, f"part {part + 1} of {what}", rtol, atol)
        for part, (a, b) in enumerate(zip(came, due, strict=True))
    )
    return next((fault for fault in faults if fault), None)


def _same(after: Any, before: Any) -> bool:
    if isinstance(before, (np.ndarray, torch.Tensor)):
        if tuple(after.shape) != tuple(before.shape):
            return False
        a, b = _as_array(after), _as_array(before)
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    if isinstance(before, torch.nn.Module):
        pairs = zip(after.state_dict().values(), before.state_dict().values(), strict=True)
        return all(_same(a, b) for a, b in pairs)
    if isinstance(before, (tuple, list)):
        return len(after) == len(before) and all(map(_same, after, before))
    if isinstance(before, dict):
        return after.keys() == before.keys() and all(_same(after[key], before[key]) for key in before)
    return after is before or callable(before) or bool(after == before)


def _as_array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    return np.asarray(value)


def _is_blank(answer: Any) -> bool:
    parts = answer if type(answer) in (tuple, list) and answer else (answer,)
    return all(part is None or part is ... for part in parts)


def _two_numbers(came: Any, due: Any) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to tell them apart.

    Examples
    --------
    >>> _two_numbers(0.25, 0.5), _two_numbers(1.00001, 1.0)
    (('0.25', '0.5'), ('1.00001', '1'))
    """
    if isinstance(came, np.bool_):
        return str(came), str(due)
    for digits in range(4, 18):
        texts = f"{came:.{digits}g}", f"{due:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def _kind(array: np.ndarray) -> str:
    truth = array.dtype.kind == "b"
    if array.ndim == 0:
        return "True or False" if truth else "a single number"
    return f"an array of {'True and False' if truth else 'numbers'} with shape {array.shape}"


def _brief(value: Any) -> str:
    if isinstance(value, (np.ndarray, torch.Tensor)):
        array = _as_array(value)
        return str(array.tolist()) if array.size <= 4 else f"an array of shape {array.shape}"
    return _shown(value, kind=False)


def _shown(value: Any, kind: bool = True) -> str:
    name = type(value).__name__
    try:
        text = " ".join(repr(value).split())
    except KeyboardInterrupt:
        raise
    except BaseException:
        return f"an object of type {name}"
    text = text if len(text) <= 80 else text[:77] + "..."
    return f"{text} ({name})" if kind and value is not None else text


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        text = ""
    text = text if len(text) <= 300 else text[:297] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _marked_up(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


COLOURS = {
    "light": {
        "right-ink": "#064e3b",
        "right-card": "#ecfdf5",
        "wrong-ink": "#7c2d12",
        "wrong-card": "#fff4e8",
        "open-ink": "#374151",
        "open-card": "#f1f2f4",
    },
    "dark": {
        "right-ink": "#a7f3d0",
        "right-card": "#0a2b22",
        "wrong-ink": "#fed7aa",
        "wrong-card": "#33200f",
        "open-ink": "#d4d8de",
        "open-card": "#282c33",
    },
}
_KINDS = "".join(
    f".attn-check-{kind}" + "{" + f"color:var(--{kind}-ink);background:var(--{kind}-card)" + "}"
    for kind in ("right", "wrong", "open")
)
_STYLE = (
    themed("attn-check", COLOURS["light"], COLOURS["dark"])
    + _KINDS
    + ".attn-check{border-left:.3rem solid;border-radius:.25rem;padding:.6rem .9rem;margin:.25rem 0;line-height:1.5}"
    + ".attn-check p{margin:0;color:inherit;white-space:pre-line;overflow-wrap:anywhere}"
    + ".attn-check p+p{margin-top:.4rem}"
    + ".attn-check code{color:inherit;background:none;border:0;padding:0}"
)

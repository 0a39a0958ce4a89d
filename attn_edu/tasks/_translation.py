"""Tales in a toy English of any length, and their Sovic: words change places, and agree with words far from them."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Int

from attn_edu.checks import check_rng, check_width
from attn_edu.tasks._language import (
    ADJECTIVES,
    ARTICLES,
    END,
    NOUNS,
    NUMBERS,
    PAD,
    PREPOSITIONS,
    SPECIAL,
    START,
)

TRANSITIVE = {"saw": "rim", "followed": "pul", "heard": "zon", "liked": "ham"}
INTRANSITIVE = {"slept": "dom", "waited": "vek"}
CONJUNCTIONS = {"and": "e", "while": "dum"}
SHORTEST = 3  # an article, a noun and a verb
NOUN_FORMS = tuple((forms, stem) for forms, (_, stem) in NOUNS.items())
CHOICES = {  # of each kind of word, those to draw from, with their stems in Sovic
    "adjective": tuple((word, stem) for word, (_, stem) in ADJECTIVES.items()),
    "preposition": tuple((word, stem) for word, (_, stem) in PREPOSITIONS.items()),
    "transitive": tuple(TRANSITIVE.items()),
    "intransitive": tuple(INTRANSITIVE.items()),
    "conjunction": tuple(CONJUNCTIONS.items()),
}

PAST_ENGLISH = (
    *SPECIAL,
    *ARTICLES,
    *ADJECTIVES,
    *(noun for pair in NOUNS for noun in pair),
    *TRANSITIVE,
    *INTRANSITIVE,
    *PREPOSITIONS,
    *CONJUNCTIONS,
)
PAST_SOVIC = (
    *SPECIAL,
    *("lo", "lon", "la", "lan", "uno", "una", "duon", "duan"),
    *(stem + ending for _, stem in ADJECTIVES.values() for ending in ("o", "on", "a", "an")),
    *(stem + ending for _, stem in NOUNS.values() for ending in ("", "n")),
    *(stem + ending for stem in (*TRANSITIVE.values(), *INTRANSITIVE.values()) for ending in ("it", "int")),
    *(stem for _, stem in PREPOSITIONS.values()),
    *CONJUNCTIONS.values(),
)

# Of a clause: the kind of each English word, their places in the order of the Sovic, and for each place that of the
# noun it agrees with, or its own.
Plan = tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]
T = TypeVar("T")


class Translations(NamedTuple):
    """Pairs of sentences, and where each word of the translation comes from.

    Parameters
    ----------
    source : (N, S)
        Each row the English words, END and then PAD, as numbers: places in PAST_ENGLISH.
    target : (N, T)
        Each row START, the Sovic words, END and then PAD: places in PAST_SOVIC. A decoder reads ``target[:, :-1]``
        and is to say ``target[:, 1:]``.
    alignment : (N, T - 1, S) bool
        Row t belongs to the word ``target[:, t + 1]``: True at the one source word that it translates. END translates
        END; rows of padding are all False.
    agreement : (N, T - 1, S) bool
        True at the noun that gives the word its ending, for articles, adjectives and verbs; no True in other rows.
    """

    source: Int[np.ndarray, "N S"]
    target: Int[np.ndarray, "N T"]
    alignment: Bool[np.ndarray, "N T-1 S"]
    agreement: Bool[np.ndarray, "N T-1 S"]


def translation(rng: np.random.Generator, n: int, *, longest: int = 12, shortest: int = SHORTEST) -> Translations:
    """Draw sentences of a toy English in the past tense, and translate them into Sovic.

    A clause is a subject and a verb, with or without an object: *the dog slept*, *a fox saw two old cats*. The
    subject may have an adjective and a phrase such as *near the bird*, the object an adjective. *and* or *while*
    joins clauses to sentences of any length.

    Sovic keeps the order of the clauses. In each it puts the phrase first, prepositions after their noun, the verb
    last; in each group the noun first, then the adjective, then the article. Both agree with the noun in number (-n)
    and in one of two genders (-o, -a), and the verb agrees with its subject in number (-it, -int), which the English
    verb does not show: *the dogs near a bird saw the fox* has its verb's number in its second word.

    There are as many words in a sentence as in its translation. A length is drawn first, each as likely as another;
    then clauses that fit into it, then their words.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    n : int
        How many sentences.
    longest, shortest : int
        The most and the fewest words of a sentence, without START and END.

    Returns
    -------
    translations : Translations
        `source` (n, longest + 1), `target` (n, longest + 2), `alignment` and `agreement` (n, longest + 1, longest + 1).

    Raises
    ------
    TypeError, ValueError
        If `rng` is no generator, a number is not an integer, or not n ≥ 1 and longest ≥ shortest ≥ 3.

    Examples
    --------
    Word by word the Sovic says *cat the near foxes quiet the slept*:

    >>> from attn_edu.tasks import words
    >>> drawn = translation(np.random.default_rng(353), 1, longest=7, shortest=7)
    >>> words(drawn.source[0], PAST_ENGLISH)
    'the quiet foxes near the cat slept'
    >>> words(drawn.target[0], PAST_SOVIC)
    'mila la apu voron shilon lon domint'

    The first word is a form of *cat*, at place 5; and so on, to END after END. The verb's ending comes from *foxes*,
    at place 2:

    >>> drawn.alignment[0].argmax(-1)
    array([5, 4, 3, 2, 1, 0, 6, 7])
    >>> drawn.agreement[0, 6].argmax()
    np.int64(2)
    """
    check_rng(rng)
    check_width("n", n)
    check_width("shortest", shortest, least=SHORTEST)
    check_width("longest", longest, least=shortest)
    source, target = np.full((n, longest + 1), PAD), np.full((n, longest + 2), PAD)
    alignment = np.zeros((n, longest + 1, longest + 1), dtype=bool)
    agreement = np.zeros_like(alignment)
    target[:, 0] = START
    for row, length in enumerate(rng.integers(shortest, longest, n, endpoint=True).tolist()):
        at = 0
        for kinds, order, governor in _draw_plans(rng, length):
            english, sovic = _draw_words(rng, kinds, governor)
            for place, origin in enumerate(order):
                source[row, at + place] = PAST_ENGLISH.index(english[place])
                target[row, at + place + 1] = PAST_SOVIC.index(sovic[origin])
                alignment[row, at + place, at + origin] = True
                agreement[row, at + place, at + governor[origin]] = governor[origin] != origin
            at += len(kinds)
        source[row, at], target[row, at + 1], alignment[row, at, at] = END, END, True
    return Translations(source, target, alignment, agreement)


@cache
def _plans() -> dict[int, list[Plan]]:
    """The plans of clauses, by length; of length 1, that of a word between two clauses."""
    plans: dict[int, list[Plan]] = {1: [(("conjunction",), (0,), (0,))]}
    bare, full = ("article", "noun"), ("article", "adjective", "noun")
    for subject in (bare, full):
        for phrase in ((), ("preposition", *bare)):
            for thing in ((), bare, full):
                kinds = (*subject, *phrase, "transitive" if thing else "intransitive", *thing)
                verb = len(subject) + len(phrase)
                heads = len(subject) - 1, verb - 1, len(kinds) - 1
                groups = [range(len(subject)), range(len(subject) + 1, verb), range(verb + 1, len(kinds))]
                order = [*reversed(groups[1]), *range(len(subject), len(subject) + bool(phrase))]
                order += [*reversed(groups[0]), *reversed(groups[2]), verb]
                governor = [heads[0] if place == verb else place for place in range(len(kinds))]
                for head, group in zip(heads, groups, strict=True):
                    for place in group:
                        governor[place] = head
                plans.setdefault(len(kinds), []).append((kinds, tuple(order), tuple(governor)))
    return plans


def _draw_plans(rng: np.random.Generator, length: int) -> list[Plan]:
    """Plans of clauses, and between them of the words that join them, that make `length` words."""
    fits = [plan for size in _plans() if size == length or 1 < size < length - SHORTEST for plan in _plans()[size]]
    plan = _pick(rng, fits)
    rest = length - len(plan[0])
    return [plan, *_plans()[1], *_draw_plans(rng, rest - 1)] if rest else [plan]


def _draw_words(rng: np.random.Generator, kinds: Sequence[str], governor: Sequence[int]) -> tuple[list[str], list[str]]:
    """The English words of a clause, and of each its Sovic form."""
    drawn: dict[int, tuple[str, int, tuple[tuple[str, str], str]]] = {}  # for each noun its article, number and forms
    english, sovic = [], []
    for kind, noun in zip(kinds, governor, strict=True):
        if noun not in drawn:
            article = _pick(rng, tuple(ARTICLES))
            drawn[noun] = article, _pick(rng, NUMBERS[article]), _pick(rng, NOUN_FORMS)
        article, number, (forms, stem) = drawn[noun]
        if kind == "noun":
            english.append(forms[number])
            sovic.append(stem + "n" * number)
        elif kind == "article":
            english.append(article)
            sovic.append(ARTICLES[article][1] + stem[-1] + "n" * number)
        else:
            word, form = _pick(rng, CHOICES[kind])
            endings = {"adjective": (stem[-1], stem[-1] + "n"), "preposition": ("", ""), "conjunction": ("", "")}
            english.append(word)
            sovic.append(form + endings.get(kind, ("it", "int"))[number])
    return english, sovic


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]

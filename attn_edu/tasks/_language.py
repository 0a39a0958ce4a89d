"""A tiny language from a written grammar, and a second one that says the same in another order."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from operator import index

import numpy as np
from jaxtyping import Bool, Float, Int

from attn_edu.checks import check_flag, check_is, check_number, check_rng, check_width, check_words

PAD, START, END, MASK = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<mask>")
LENGTH = 11  # of the longest sentence with its start and end

# The grammar: words with their share of all words of their kind, and their stems in Sovic.
ARTICLES = {"the": (0.43, "l"), "a": (0.32, "un"), "two": (0.25, "du")}
NUMBERS = {"the": (0, 1), "a": (0,), "two": (1,)}  # 0 is singular, 1 plural
ADJECTIVES = {"small": (0.3, "pik"), "old": (0.3, "gar"), "red": (0.2, "rud"), "quiet": (0.2, "shil")}
NOUNS = {
    ("dog", "dogs"): (0.3, "bado"),
    ("cat", "cats"): (0.2, "mila"),
    ("bird", "birds"): (0.15, "sira"),
    ("child", "children"): (0.15, "teno"),
    ("fox", "foxes"): (0.1, "voro"),
    ("horse", "horses"): (0.1, "kela"),
}
VERBS = {
    ("sees", "see"): (0.45, "rim"),
    ("follows", "follow"): (0.25, "pul"),
    ("hears", "hear"): (0.2, "zon"),
    ("likes", "like"): (0.1, "ham"),
}
PREPOSITIONS = {"near": (0.6, "apu"), "behind": (0.4, "tek")}
WITH_ADJECTIVE, WITH_PREPOSITION = 0.25, 0.3

ENGLISH = (
    *SPECIAL,
    *ARTICLES,
    *ADJECTIVES,
    *(noun for pair in NOUNS for noun in pair),
    *(verb for pair in VERBS for verb in pair),
    *PREPOSITIONS,
)
SOVIC = (
    *SPECIAL,
    *("lo", "lon", "la", "lan", "uno", "una", "duon", "duan"),
    *(stem + ending for _, stem in ADJECTIVES.values() for ending in ("o", "on", "a", "an")),
    *(stem + ending for _, stem in NOUNS.values() for ending in ("", "n")),
    *(stem + ending for _, stem in VERBS.values() for ending in ("et", "ent")),
    *(stem for _, stem in PREPOSITIONS.values()),
)


def tiny_language(
    count: int, rng: np.random.Generator, held_out: bool = False
) -> tuple[Int[np.ndarray, "{count} T"], Int[np.ndarray, "{count} T"]]:
    """Draw sentences of a toy English, and translate them into Sovic, a language made up for this book.

    A sentence is a subject, a verb and an object: 5 to 9 words. A noun comes with *the*, *a* or *two* and perhaps an
    adjective; the subject may have a phrase with a preposition instead. There is no *an*. The verb agrees with the
    subject, whatever noun stands between them. Sovic puts that phrase before the subject, prepositions after their
    noun, the verb last, and in each group the noun first, then the adjective, then the article; both agree with the
    noun in number (-n) and in one of two genders (-o, -a).

    A fixed rule holds one sentence in eleven out: number times place, summed over its English row, is divisible by
    eleven. So no sentence for training is among those held out, whatever the generators. The rule has nothing to do
    with the grammar; in each part sentences repeat as often as the grammar makes them.

    Parameters
    ----------
    count : int
        How many sentences.
    rng : numpy.random.Generator
        Source of randomness.
    held_out : bool
        If True, draw sentences that are held out; if False, others.

    Returns
    -------
    english, sovic : (count, 11), (count, 11)
        Each row START, the words, END and then PAD, as numbers: places in the vocabularies ENGLISH and SOVIC. The
        special words PAD, START, END and MASK are 0 to 3 in both.

    Raises
    ------
    TypeError, ValueError
        If `count` is not an integer of at least 1, `rng` no generator or `held_out` no bool.

    Examples
    --------
    Word by word the Sovic says *cats the near bird the dogs small two likes*, each word with its endings:

    >>> english, sovic = tiny_language(7, np.random.default_rng(6))
    >>> words(english[1], ENGLISH)
    'the bird near the cats likes two small dogs'
    >>> words(sovic[1], SOVIC)
    'milan lan apu sira la badon pikon duon hamet'
    """
    check_width("count", count)
    check_flag("held_out", held_out)
    check_rng(rng)
    chance, leads = tables()
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < count:
        english, state = np.full((count, LENGTH), START), np.full(count, leads[0, START])
        for t in range(1, LENGTH):
            english[:, t] = (rng.random((count, 1)) > chance[state].cumsum(1)).sum(1)
            state = leads[state, english[:, t]]
        kept.append(english[(english @ np.arange(LENGTH) % 11 == 0) == held_out])
    english = np.concatenate(kept)[:count]
    sovic = np.full((count, LENGTH), PAD)
    for row, sentence in zip(sovic, english, strict=True):
        translated = ["<start>", *_translate(words(sentence, ENGLISH).split()), "<end>"]
        row[: len(translated)] = [SOVIC.index(word) for word in translated]
    return english, sovic


def words(ids: Int[np.ndarray, " T"] | Sequence[int], vocabulary: Sequence[str]) -> str:
    """Write a sentence in words, without its start, its end and padding.

    Parameters
    ----------
    ids : (T,)
        Numbers of words.
    vocabulary : sequence of str
        ENGLISH or SOVIC.

    Returns
    -------
    sentence : str

    Raises
    ------
    TypeError
        If `ids` are not integers in a row, or the vocabulary is no sequence of words.
    ValueError
        If a number is not in the vocabulary.

    Examples
    --------
    >>> words([1, 5, 11, 3, 2, 0], ENGLISH)
    'a dog <mask>'
    """
    check_is("vocabulary", vocabulary, list | tuple, "a list or tuple of words")
    try:
        numbers = [index(i) for i in ids]
    except TypeError:
        raise TypeError(f"ids: wanted integers in a row, got {ids!r}") from None
    wrong = [i for i in numbers if not 0 <= i < len(vocabulary)]
    if wrong:
        raise ValueError(f"ids: wanted 0 to {len(vocabulary) - 1}, got {wrong[0]}")
    return " ".join(vocabulary[i] for i in numbers if i not in (PAD, START, END))


def mask_words(
    ids: Int[np.ndarray, "N T"], rng: np.random.Generator, share: float = 0.15
) -> tuple[Int[np.ndarray, "N T"], Bool[np.ndarray, "N T"]]:
    """Put MASK in the place of some words of each sentence, one at least.

    Parameters
    ----------
    ids : (N, T)
        Sentences of either language, each with at least one word.
    rng : numpy.random.Generator
        Source of randomness.
    share : float
        The chance of each word to be masked.

    Returns
    -------
    masked : (N, T)
        A copy with MASK at the chosen places.
    chosen : (N, T) bool
        True there.

    Raises
    ------
    TypeError
        If `ids` are no array of integers, `rng` no generator or `share` no number.
    ValueError
        If `ids` have another shape, a number that is no word's or a row without words, or `share` is not between 0
        and 1.

    Examples
    --------
    >>> masked, chosen = mask_words(np.array([[1, 5, 11, 2, 0]]), np.random.default_rng(0), share=1.0)
    >>> words(masked[0], ENGLISH), chosen.astype(int)
    ('<mask> <mask>', array([[0, 1, 1, 0, 0]]))
    """
    check_words(np.ndarray, "ids", ids, max(len(ENGLISH), len(SOVIC)), "(N, T)", some=True)
    if not (ids > END).any(1).all():
        raise ValueError("ids: wanted at least one word in each row, got a row with none")
    check_rng(rng)
    check_number("share", share)
    if not 0 <= share <= 1:
        raise ValueError(f"share: wanted a number from 0 to 1, got {share!r}")
    draw = np.where(ids > MASK, rng.random(ids.shape), np.inf)
    chosen = (draw < share) | (draw == draw.min(1, keepdims=True)) & (ids > MASK)
    return np.where(chosen, MASK, ids), chosen


@cache
def tables() -> tuple[Float[np.ndarray, "states V"], Int[np.ndarray, "states V"]]:
    """In every state of the grammar, the chance of each word, and the state that it leads to."""
    rules: dict[str, dict[str, tuple[float, str]]] = defaultdict(dict)

    def noun_group(name: str, then: tuple[str, str], then_with_adjective: tuple[str, str] | None) -> None:
        for article, (share, _) in ARTICLES.items():
            bare, modified = f"{name} {article}", f"{name} {article} adjective"
            rules[name][article] = share, bare
            plain = 1.0
            if then_with_adjective:
                plain -= WITH_ADJECTIVE
                for adjective, (share, _) in ADJECTIVES.items():
                    rules[bare][adjective] = WITH_ADJECTIVE * share, modified
            for number in NUMBERS[article]:
                for nouns, (share, _) in NOUNS.items():
                    share /= len(NUMBERS[article])
                    rules[bare][nouns[number]] = plain * share, then[number]
                    if then_with_adjective:
                        rules[modified][nouns[number]] = share, then_with_adjective[number]

    rules["begin"]["<start>"] = 1, "subject"
    noun_group("subject", ("singular", "plural"), ("singular verb", "plural verb"))
    for number, name in enumerate(("singular", "plural")):
        for verbs, (share, _) in VERBS.items():
            rules[name][verbs[number]] = (1 - WITH_PREPOSITION) * share, "object"
            rules[f"{name} verb"][verbs[number]] = share, "object"
        for preposition, (share, _) in PREPOSITIONS.items():
            rules[name][preposition] = WITH_PREPOSITION * share, f"{name} phrase"
        noun_group(f"{name} phrase", (f"{name} verb", f"{name} verb"), None)
    noun_group("object", ("end", "end"), ("end", "end"))
    rules["end"]["<end>"] = 1, "over"
    rules["over"]["<pad>"] = 1, "over"
    place = {state: n for n, state in enumerate(rules)}
    chance, leads = np.zeros((len(rules), len(ENGLISH))), np.zeros((len(rules), len(ENGLISH)), dtype=int)
    for state, row in rules.items():
        for word, (share, following) in row.items():
            chance[place[state], ENGLISH.index(word)] = share
            leads[place[state], ENGLISH.index(word)] = place[following]
    return chance, leads


def _translate(sentence: list[str]) -> list[str]:
    """Translate a sentence of the toy English, word by word and group by group."""
    forms = {verbs[n]: stem + ("et", "ent")[n] for verbs, (_, stem) in VERBS.items() for n in (0, 1)}
    verb = next(place for place, word in enumerate(sentence) if word in forms)
    subject, thing = sentence[:verb], sentence[verb + 1 :]
    phrase = []
    if len(subject) > 3:
        subject, preposition, thing_near = subject[:2], subject[2], subject[3:]
        phrase = [*_translate_group(thing_near), PREPOSITIONS[preposition][1]]
    return [*phrase, *_translate_group(subject), *_translate_group(thing), forms[sentence[verb]]]


def _translate_group(group: list[str]) -> list[str]:
    article, *adjectives, noun = group
    number, stem = next((nouns.index(noun), stem) for nouns, (_, stem) in NOUNS.items() if noun in nouns)
    ending = stem[-1] + "n" * number
    return [stem + "n" * number, *(ADJECTIVES[a][1] + ending for a in adjectives), ARTICLES[article][1] + ending]

"""Tales in two languages: their grammar, their lengths, which word comes from which, and what agrees with what."""

import numpy as np
import pytest

from attn_edu.tasks import END, PAD, PAST_ENGLISH, PAST_SOVIC, START, translation, words

KIND = {
    **dict.fromkeys(("the", "a", "two"), "article"),
    **dict.fromkeys(("small", "old", "red", "quiet"), "adjective"),
    **dict.fromkeys(("dog", "cat", "bird", "child", "fox", "horse"), "noun"),
    **dict.fromkeys(("dogs", "cats", "birds", "children", "foxes", "horses"), "nouns"),
    **dict.fromkeys(("saw", "followed", "heard", "liked"), "verb"),
    **dict.fromkeys(("slept", "waited"), "alone"),
    **dict.fromkeys(("near", "behind"), "preposition"),
    **dict.fromkeys(("and", "while"), "conjunction"),
}
PAIRS = """the-l a-un two-du small-pik old-gar red-rud quiet-shil near-apu behind-tek and-e while-dum
    dog-bado cat-mila bird-sira child-teno fox-voro horse-kela
    dogs-bado cats-mila birds-sira children-teno foxes-voro horses-kela
    saw-rim followed-pul heard-zon liked-ham slept-dom waited-vek"""
STEM = dict(pair.split("-") for pair in PAIRS.split())


@pytest.fixture(scope="module")
def drawn():
    return translation(np.random.default_rng(0), 2000, longest=30)


def group(english):
    """Read a noun group from the front of a list of words: its Sovic as pairs (English word, ending), and the rest."""
    article, *rest = english
    adjective = [rest.pop(0)] if KIND[rest[0]] == "adjective" else []
    noun, *rest = rest
    many = KIND[noun] == "nouns"
    assert KIND[article] == "article" and KIND[noun] in ("noun", "nouns")
    assert {"the": True, "a": not many, "two": many}[article]
    ending = STEM[noun][-1] + "n" * many
    return [(noun, "n" * many), *((word, ending) for word in adjective), (article, ending)], many, rest


def translate(english):
    """The grammar a second time, read from left to right."""
    subject, many, rest = group(english)
    phrase = []
    if KIND[rest[0]] == "preposition":
        near, _, after = group(rest[1:])
        phrase, rest = [*near, (rest[0], "")], after
    verb, *rest = rest
    thing = []
    if KIND[verb] == "verb":
        thing, _, rest = group(rest)
    else:
        assert KIND[verb] == "alone"
    clause = [*phrase, *subject, *thing, (verb, "int" if many else "it")]
    if not rest:
        return clause
    assert KIND[rest[0]] == "conjunction"
    return [*clause, (rest[0], ""), *translate(rest[1:])]


def test_vocabularies():
    assert len(set(PAST_ENGLISH)) == len(PAST_ENGLISH) == 33 and len(set(PAST_SOVIC)) == len(PAST_SOVIC) == 52 + 4
    assert set(PAST_ENGLISH[4:]) == set(KIND)
    assert [PAST_ENGLISH[i] for i in (PAD, START, END)] == [PAST_SOVIC[i] for i in (PAD, START, END)]


def test_sentences_and_translations_follow_the_grammar(drawn):
    for source, target in zip(drawn.source, drawn.target, strict=True):
        length = int((source > END).sum())
        assert source[length] == END and (source[length + 1 :] == PAD).all() and (source[:length] > END).all()
        assert target[0] == START and target[length + 1] == END and (target[length + 2 :] == PAD).all()
        expected = [STEM[word] + ending for word, ending in translate(words(source, PAST_ENGLISH).split())]
        assert words(target, PAST_SOVIC).split() == expected


def test_alignment_is_a_permutation_and_says_which_stem(drawn):
    for source, target, alignment in zip(drawn.source, drawn.target, drawn.alignment, strict=True):
        n = int((source > 0).sum())
        assert (alignment[:n, :n].sum(0) == 1).all() and (alignment[:n, :n].sum(1) == 1).all() and alignment.sum() == n
        for place, origin in enumerate(alignment[:n].argmax(-1)):
            if source[origin] == END:
                assert target[place + 1] == END and place == n - 1
            else:
                assert PAST_SOVIC[target[place + 1]].startswith(STEM[PAST_ENGLISH[source[origin]]])


def test_agreement_is_with_the_noun_that_gives_the_ending(drawn):
    for source, target, alignment, agreement in zip(*drawn, strict=True):
        for place in range(int((source > END).sum())):
            word, form = PAST_ENGLISH[source[alignment[place].argmax()]], PAST_SOVIC[target[place + 1]]
            nouns = [PAST_ENGLISH[i] for i in source[agreement[place]]]
            assert len(nouns) == (KIND[word] in ("article", "adjective", "verb", "alone"))
            if nouns:
                many = KIND[nouns[0]] == "nouns"
                gendered = STEM[nouns[0]][-1] + "n" * many
                assert form == STEM[word] + (
                    gendered if KIND[word] in ("article", "adjective") else ("it", "int")[many]
                )
    assert not agreement[source == PAD].any()


def test_agreement_reaches_far_and_words_move(drawn):
    """A verb's noun may stand far from it, in both sentences, and what comes first may come last."""
    verbs = np.array([PAST_SOVIC[i].endswith(("it", "int")) for i in drawn.target[:, 1:].ravel()])
    distance = np.where(drawn.agreement.any(-1), np.arange(31) - drawn.agreement.argmax(-1), 0).ravel()[verbs]
    assert distance.max() == 7
    places = np.arange(31)
    moved = np.abs(drawn.alignment.argmax(-1) - places)[drawn.alignment.any(-1)]
    assert (moved > 0).mean() > 0.6 and moved.max() == 5


@pytest.mark.parametrize(("shortest", "longest"), [(3, 3), (4, 4), (3, 12), (29, 30)])
def test_lengths(shortest, longest):
    drawn = translation(np.random.default_rng(1), 400, longest=longest, shortest=shortest)
    lengths = (drawn.source > END).sum(1)
    assert drawn.source.shape == (400, longest + 1) and drawn.target.shape == (400, longest + 2)
    assert drawn.alignment.shape == drawn.agreement.shape == (400, longest + 1, longest + 1)
    assert set(lengths) == set(range(shortest, longest + 1)) and ((drawn.target > END).sum(1) == lengths).all()
    assert np.bincount(lengths)[shortest:].min() > 0.5 * 400 / (longest - shortest + 1)


def test_every_word_is_used(drawn):
    assert set(np.unique(drawn.source)) == {PAD, END, *range(4, 33)}
    assert set(np.unique(drawn.target)) == {PAD, START, END, *range(4, 56)}


def test_same_seed_same_sentences():
    one, same, other = (translation(np.random.default_rng(seed), 20) for seed in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(one, same, strict=True)) and (one.source != other.source).any()


@pytest.mark.parametrize(
    ("arguments", "named", "error", "message"),
    [
        ((0, 3), {}, TypeError, "rng: wanted a numpy.random.Generator, got int"),
        ((np.random.default_rng(0), 0), {}, ValueError, "n: wanted an integer of at least 1, got 0"),
        ((np.random.default_rng(0), 2.0), {}, TypeError, "n: wanted an integer, got float"),
        (
            (np.random.default_rng(0), 1),
            {"shortest": 2},
            ValueError,
            "shortest: wanted an integer of at least 3, got 2",
        ),
        ((np.random.default_rng(0), 1), {"longest": 4, "shortest": 5}, ValueError, "longest: .* at least 5, got 4"),
    ],
)
def test_refuses(unhooked, arguments, named, error, message):
    with pytest.raises(error, match=message):
        translation(*arguments, **named)

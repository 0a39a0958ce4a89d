"""The tiny language: what it draws, how it is translated, what is held out, and what its grammar knows."""

import re

import numpy as np
import pytest

from attn_edu.models import beam_search, greedy
from attn_edu.tasks import (
    END,
    ENGLISH,
    MASK,
    PAD,
    SOVIC,
    START,
    grammar_entropy,
    mask_words,
    masked_word_log_probs,
    next_word_log_probs,
    sentence_log_probs,
    tiny_language,
    words,
)

NOUNS = {
    "dog": "dogs",
    "cat": "cats",
    "bird": "birds",
    "child": "children",
    "fox": "foxes",
    "horse": "horses",
}
VERBS = {"sees": "see", "follows": "follow", "hears": "hear", "likes": "like"}


@pytest.fixture(scope="module")
def drawn():
    return tiny_language(3000, np.random.default_rng(0))


def ids(sentence, vocabulary=ENGLISH):
    return np.array([[vocabulary.index(word) for word in sentence.split()]])


def test_vocabularies():
    assert len(set(ENGLISH)) == len(ENGLISH) == 33 and len(set(SOVIC)) == len(SOVIC) == 50
    assert [ENGLISH[i] for i in (PAD, START, END, MASK)] == ["<pad>", "<start>", "<end>", "<mask>"]
    assert ENGLISH[:4] == SOVIC[:4] and not set(ENGLISH[4:]) & set(SOVIC[4:])


def noun_group(number, adjective):
    nouns = "|".join(NOUNS.values() if number else NOUNS)
    article = "the|two" if number else "the|a"
    return rf"(?:{article}){'(?: (?:small|old|red|quiet))?' if adjective else ''} (?:{nouns})"


ANY = [f"(?:{noun_group(0, adjective)}|{noun_group(1, adjective)})" for adjective in (False, True)]
SENTENCES = [
    re.compile(
        f"(?:{noun_group(number, True)}|{noun_group(number, False)} (?:near|behind) {ANY[0]}) "
        f"(?:{'|'.join(VERBS.values() if number else VERBS)}) {ANY[1]}"
    )
    for number in (0, 1)
]


def test_sentences_follow_the_grammar(drawn):
    for row in drawn[0]:
        length = (row != PAD).sum()
        assert row[0] == START and row[length - 1] == END and (row[length:] == PAD).all()
        assert (row[1 : length - 1] > MASK).all() and 5 <= length - 2 <= 9
        assert any(pattern.fullmatch(words(row, ENGLISH)) for pattern in SENTENCES)


def test_all_words_and_lengths_occur(drawn):
    english, sovic = drawn
    assert set(np.unique(english)) == set(range(33)) - {MASK} and set(np.unique(sovic)) == set(range(50)) - {MASK}
    assert set((english != PAD).sum(1)) == set(range(7, 12))
    np.testing.assert_array_equal((english != PAD).sum(1), (sovic != PAD).sum(1))


@pytest.mark.parametrize(
    ("sentence", "translation"),
    [
        ("the dog sees a cat", "bado lo mila una rimet"),
        ("the dogs see two cats", "badon lon milan duan riment"),
        ("a quiet fox hears the old horses", "voro shilo uno kelan garan lan zonet"),
        ("two red birds follow a small child", "siran rudan duan teno piko uno pulent"),
        ("the child near the birds likes a dog", "siran lan apu teno lo bado uno hamet"),
        ("the children behind a horse like the quiet cat", "kela una tek tenon lon mila shila la hament"),
    ],
)
def test_translations_written_by_hand(sentence, translation):
    from attn_edu.tasks._language import _translate

    assert " ".join(_translate(sentence.split())) == translation
    assert np.isfinite(sentence_log_probs(ids(f"<start> {sentence} <end>")))
    ids(translation, SOVIC)


def test_translation_is_the_translation_of_its_row(drawn):
    """No two sentences share a translation, and the same sentence always has the same one."""
    english, sovic = drawn
    both = np.concatenate(drawn, 1)
    assert len(np.unique(both, axis=0)) == len(np.unique(english, axis=0)) == len(np.unique(sovic, axis=0))
    nouns = {"dog": "bado", "cat": "mila", "bird": "sira", "child": "teno", "fox": "voro", "horse": "kela"}
    for a, b in zip(english[:300], sovic[:300], strict=True):
        wanted = sorted(
            nouns.get(w, nouns.get({p: s for s, p in NOUNS.items()}.get(w)))
            for w in words(a, ENGLISH).split()
            if w in NOUNS or w in NOUNS.values()
        )
        got = sorted(w.removesuffix("n") for w in words(b, SOVIC).split() if w.removesuffix("n") in nouns.values())
        assert got == wanted


def test_shares_are_those_of_the_grammar():
    english, _ = tiny_language(20_000, np.random.default_rng(1))
    first = np.bincount(english[:, 1], minlength=33) / len(english)
    assert first[[ENGLISH.index(word) for word in ("the", "a", "two")]] == pytest.approx([0.43, 0.32, 0.25], abs=0.015)
    has = {word: (english == ENGLISH.index(word)).any(1).mean() for word in ("near", "behind", "sees", "see", "likes")}
    assert has["near"] + has["behind"] == pytest.approx(0.75 * 0.3, abs=0.015)
    assert has["sees"] + has["see"] == pytest.approx(0.45, abs=0.015)


# What is held out.


def test_no_sentence_is_in_both_parts():
    train, _ = tiny_language(5000, np.random.default_rng(2))
    test, _ = tiny_language(1000, np.random.default_rng(2), held_out=True)
    assert not {tuple(row) for row in train} & {tuple(row) for row in test}
    rest = [np.arange(11) @ part.T % 11 for part in (train, test)]
    assert rest[0].all() and not rest[1].any()


def test_what_is_held_out_is_like_the_rest():
    """The rule leaves alone how long sentences are and which words they have, so the grammar's loss is the same."""
    test, _ = tiny_language(4000, np.random.default_rng(3), held_out=True)
    lengths = np.bincount((test != PAD).sum(1) - 2, minlength=10)[5:] / len(test)
    modified, phrase = 0.25, 0.75 * 0.3
    plain = 1 - modified - phrase
    wanted = [
        plain * 0.75,
        modified * 0.75 + plain * 0.25,
        modified * 0.25,
        phrase * 0.75,
        phrase * 0.25,
    ]
    assert lengths == pytest.approx(wanted, abs=0.025)
    first = np.bincount(test[:, 1], minlength=33)[4:7] / len(test)
    assert first == pytest.approx([0.43, 0.32, 0.25], abs=0.025)
    log_probs = np.take_along_axis(next_word_log_probs(test)[:, :-1], test[:, 1:, None], 2)[..., 0]
    assert -log_probs[test[:, 1:] != PAD].mean() == pytest.approx(grammar_entropy(), abs=0.02)


def test_same_generator_same_sentences():
    for one, two in zip(*(tiny_language(50, np.random.default_rng(4)) for _ in range(2)), strict=True):
        np.testing.assert_array_equal(one, two)


# Words and masks.


def test_masks():
    english, _ = tiny_language(2000, np.random.default_rng(5))
    kept = english.copy()
    masked, chosen = mask_words(english, np.random.default_rng(6), share=0.3)
    np.testing.assert_array_equal(english, kept)
    assert (masked[chosen] == MASK).all() and (masked[~chosen] == english[~chosen]).all()
    assert chosen.any(1).all() and (english[chosen] > MASK).all()
    assert chosen[english > MASK].mean() == pytest.approx(0.3 + 0.7 ** (english > MASK).sum(1).mean() / 6.3, abs=0.03)
    single = mask_words(english, np.random.default_rng(7), share=0.0)[1]
    assert (single.sum(1) == 1).all()
    places = np.array([row[english[n] > MASK].argmax() for n, row in enumerate(single)])
    assert np.bincount(places)[:5] / 2000 == pytest.approx(np.full(5, 1 / 6.3), abs=0.04)


def test_words_of_lists_and_arrays():
    assert words([START, 4, 11, END, PAD], ENGLISH) == words(np.array([1, 4, 11, 2, 0]), ENGLISH) == "the dog"


# What the grammar knows.


def test_next_words_add_up_to_the_sentence(drawn):
    english = drawn[0][:200]
    log_probs = next_word_log_probs(english)
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1)
    steps = np.take_along_axis(log_probs[:, :-1], english[:, 1:, None], 2)[..., 0]
    np.testing.assert_allclose(steps.sum(1), sentence_log_probs(english), rtol=1e-12)


def test_probability_of_a_sentence_by_hand():
    """the dogs near a cat see two old birds, choice by choice."""
    subject = 0.43 * 0.75 * (0.3 / 2) * 0.3 * 0.6 * (0.32 * 0.2)
    wanted = subject * 0.45 * 0.25 * 0.25 * 0.3 * 0.15
    (got,) = np.exp(sentence_log_probs(ids("<start> the dogs near a cat see two old birds <end>")))
    assert got == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    "sentence",
    [
        "the dogs near a cat sees two birds",
        "a dogs see a cat",
        "the old dog near a cat sees a cat",
        "the dog near the old cat sees a cat",
        "the dog sees",
        "dog sees a cat",
    ],
)
def test_wrong_sentences_are_impossible(sentence):
    assert sentence_log_probs(ids(f"<start> {sentence} <end>"))[0] == -np.inf


def test_next_word_depends_on_the_subject_across_the_phrase():
    (row,) = np.exp(next_word_log_probs(ids("<start> the dogs near a cat"))[:, -1])
    likely = {ENGLISH[i]: row[i] for i in row.nonzero()[0]}
    assert likely == pytest.approx({"see": 0.45, "follow": 0.25, "hear": 0.2, "like": 0.1})


def test_masked_words_by_trying_every_word(drawn):
    english = drawn[0][:12]
    got = np.exp(masked_word_log_probs(english))
    for t in range(english.shape[1]):
        tried = np.repeat(english[:, None], 33, axis=1)
        tried[:, range(33), t] = range(33)
        chance = np.exp([sentence_log_probs(rows) for rows in tried])
        chance[:, MASK] = 0  # stands for any word
        np.testing.assert_allclose(got[:, t], chance / chance.sum(1, keepdims=True), atol=1e-12)


def test_two_masked_words_by_trying_every_pair():
    sentence = ids("<start> the <mask> near the horses <mask> a dog <end>")
    got = np.exp(masked_word_log_probs(sentence))[0]
    chance = np.zeros((33, 33))
    for first in range(4, 33):
        for second in range(4, 33):
            pair = sentence.copy()
            pair[0, [2, 6]] = first, second
            chance[first, second] = np.exp(sentence_log_probs(pair)[0])
    np.testing.assert_allclose(got[2], chance.sum(1) / chance.sum(), atol=1e-12)
    np.testing.assert_allclose(got[6], chance.sum(0) / chance.sum(), atol=1e-12)
    assert got[2, ENGLISH.index("dog")] == pytest.approx(0.15) and got[2, ENGLISH.index("dogs")] == pytest.approx(0.15)


def test_entropy_from_the_choices():
    def entropy(*shares):
        return -sum(share * np.log(share) for share in shares)

    noun = entropy(0.43, 0.32, 0.25) + 0.43 * np.log(2) + entropy(0.3, 0.2, 0.15, 0.15, 0.1, 0.1)
    adjective = entropy(0.25, 0.75) + 0.25 * entropy(0.3, 0.3, 0.2, 0.2)
    phrase = entropy(0.3, 0.7) + 0.3 * (entropy(0.6, 0.4) + noun)
    nats = 2 * (noun + adjective) + 0.75 * phrase + entropy(0.45, 0.25, 0.2, 0.1)
    tokens = 2 * 2.25 + 0.75 * 0.3 * 3 + 1 + 1
    assert grammar_entropy() == pytest.approx(nats / tokens, rel=1e-12)


def test_the_likeliest_words_do_not_make_the_likeliest_sentence():
    def ask(prefixes):
        return next_word_log_probs(prefixes)[:, -1]

    tokens, log_prob = greedy(ask, START, END, 10)
    assert words(tokens, ENGLISH) == "the dog sees the dog"
    found = beam_search(ask, START, END, 10, beams=2)[0]
    assert words(found.tokens, ENGLISH) == "a dog sees a dog"
    assert np.exp(found.log_prob - log_prob) == pytest.approx((0.32 / (0.43 / 2)) ** 2)
    assert beam_search(ask, START, END, 10, beams=300)[0] == found


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: tiny_language(0, np.random.default_rng(0)),
            ValueError,
            "count: wanted an integer of at least 1, got 0",
        ),
        (lambda: tiny_language(5, 0), TypeError, "rng: wanted a numpy.random.Generator, got int"),
        (lambda: tiny_language(5, np.random.default_rng(0), 1), TypeError, "held_out: wanted True or False, got 1"),
        (lambda: words([33], ENGLISH), ValueError, "ids: wanted 0 to 32, got 33"),
        (lambda: words([-1], ENGLISH), ValueError, "ids: wanted 0 to 32, got -1"),
        (
            lambda: mask_words(np.ones((1, 3), int) * 5, np.random.default_rng(0), 1.5),
            ValueError,
            "share: wanted a number from 0 to 1, got 1.5",
        ),
        (
            lambda: next_word_log_probs(ids("<start> a dogs")),
            ValueError,
            "ids: wanted the beginning of a sentence that the grammar allows, got 'a dogs'",
        ),
        (
            lambda: masked_word_log_probs(ids("<start> a dogs <mask> a cat <end>")),
            ValueError,
            "ids: wanted a sentence that the grammar allows, got 'a dogs <mask> a cat'",
        ),
    ],
)
def test_refuses(unhooked, call, error, message):
    with pytest.raises(error, match=message):
        call()

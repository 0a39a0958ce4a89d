"""Translation and alignment: what the figure refuses, what it writes, and rows, columns and lines in a browser."""

import json
import re
from fractions import Fraction

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import NASTY, Outline, closed

from attn_edu.interactive import TranslationAlignment

SOURCES = [["the", "red", "cat", "sees", "the", "dog"], ["two", "birds", "sing"]]
TARGETS = [["mila", "ruba", "la", "bado", "rimet"], ["siran", "duan", "kantan", "."]]
TRUE = [[[2], [1, 2], [0, 2], [5], [3]], [[1], [0, 1], [2, 1], []]]


def random_weights(seed=0, sharp=0.4):
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.full(len(s), sharp), len(t)) for s, t in zip(SOURCES, TARGETS, strict=True)]


def alignments():
    return [
        [[int(j in row) for j in range(len(source))] for row in rows]
        for source, rows in zip(SOURCES, TRUE, strict=True)
    ]


def make(**options):
    given = {"sources": SOURCES, "targets": TARGETS, "weights": random_weights(), "alignments": alignments()}
    return TranslationAlignment(**given | {"word": 1} | options)


def by_hand(state):
    """Walk along the chosen row or column in exact fractions; read what is to be said from that."""
    n, k, side = state["example"], state["word"], state["side"]
    rows = [[Fraction(str(w)) for w in row] for row in state["weights"][n]]
    numbered = []
    for name in ("sources", "targets"):
        words = state[name][n]
        numbered.append([f"{w} ({i})" if words.count(w) > 1 else w for i, w in enumerate(words, 1)])
    own, other = numbered[::-1] if side == "target" else numbered
    shares = rows[k] if side == "target" else [row[k] for row in rows]
    truths = state["alignments"] and state["alignments"][n]
    agreement = None
    if truths:
        told = [(row, true) for row, true in zip(rows, truths, strict=True) if sum(true)]
        agreement = [sum(true[row.index(max(row))] for row, true in told), len(told)]

    def two(x):
        cents = int(x * 100 + Fraction(1, 2))
        return f"{cents // 100}.{cents % 100:02}"

    ranked = sorted(range(len(shares)), key=lambda m: (-shares[m], m))
    said = ", ".join(f"{other[m]} {two(shares[m])}" for m in ranked[:3])
    if rest := ranked[3:]:
        said += f"; {len(rest)} other word{'s' if len(rest) > 1 else ''} {two(sum(shares[m] for m in rest))}"
    verb, kind = ("looks at", "row") if side == "target" else ("is looked at by", "column")
    said = f"The {side} word “{own[k]}” {verb} {said}. A {kind}: the weights sum to {two(sum(shares))}"
    said += "." if side == "target" else ", which need not be 1."
    true = None
    if state["truth"] and truths:
        true = [bool(x) for x in (truths[k] if side == "target" else [row[k] for row in truths])]
        names = " and ".join(word for word, yes in zip(other, true, strict=True) if yes) or "no word"
        said += f" In truth “{own[k]}” {'comes from' if side == 'target' else 'goes into'} {names}."
        said += f" Largest weight on a true word: {agreement[0]} of {agreement[1]} target words."
    digits = [two(x).removeprefix("0") for x in shares]
    return {
        "shares": [float(x) for x in shares],
        "total": float(sum(shares)),
        "agreement": agreement,
        "sentence": said,
        "digits": digits,
        "sum": f"Σ {two(sum(shares))}",
        "true": true,
        "rows": rows,
        "truths": truths,
    }


# What it refuses.

W = random_weights()
REFUSED = {
    "sources one string": (TypeError, "sources: wanted a sequence of sentences, got str", {"sources": "ab"}),
    "sources words": (TypeError, r"sources\[0\]: wanted a sequence of str, got str", {"sources": ["ab", "cd"]}),
    "sources none": (ValueError, "sources: wanted 1 to 6 sentences, got 0", {"sources": []}),
    "sources many": (ValueError, "sources: wanted 1 to 6 sentences, got 7", {"sources": [["a"]] * 7}),
    "sources blank": (ValueError, r"sources\[1\]: wanted something to read", {"sources": [SOURCES[0], [" "]]}),
    "targets fewer": (ValueError, "targets: wanted 2, as many as sources, got 1", {"targets": TARGETS[:1]}),
    "targets long": (ValueError, r"targets\[1\]: wanted 1 to 32 tokens", {"targets": [TARGETS[0], ["a"] * 33]}),
    "weights none": (TypeError, "weights: wanted a sequence, one item for each pair, got None", {"weights": None}),
    "weights fewer": (ValueError, "weights: wanted 2, as many as sources, got 1", {"weights": W[:1]}),
    "weights turned": (ValueError, r"weights\[0\]: wanted shape \(L, S\) .* got \(6, 5\)", {"weights": [W[0].T, W[1]]}),
    "weights short": (ValueError, r"weights\[1\]: .* S = 3 as in sources\[1\]", {"weights": [W[0], W[1][:, :2]]}),
    "weights columns": (ValueError, r"weights\[0\]: wanted rows that sum to 1", {"weights": [W[0] * 1.1, W[1]]}),
    "weights negative": (ValueError, "wanted rows that sum", {"weights": [W[0], W[1] * [[-1, 1, 1]]]}),
    "weights nan": (ValueError, r"weights\[0\]: wanted finite numbers", {"weights": [W[0] * np.nan, W[1]]}),
    "alignments a number": (TypeError, "alignments: wanted a sequence, .* got int", {"alignments": 1}),
    "alignments fewer": (ValueError, "alignments: wanted 2", {"alignments": alignments()[:1]}),
    "alignments shape": (ValueError, r"alignments\[1\]: wanted shape", {"alignments": [alignments()[0], [[1]]]}),
    "alignments soft": (ValueError, r"alignments\[0\]: wanted 0 or 1", {"alignments": W}),
    "example": (ValueError, "example: wanted 0 to 1, got 2", {"example": 2}),
    "example flag": (TypeError, "example: wanted an integer, got bool", {"example": True}),
    "side": (ValueError, "side: wanted one of 'target', 'source', got 'both'", {"side": "both"}),
    "word": (ValueError, "word: wanted 0 to 4, got 5", {"word": 5}),
    "word of the source": (ValueError, "word: wanted 0 to 2, got 3", {"side": "source", "example": 1, "word": 3}),
    "word half": (TypeError, "word: wanted an integer, got float", {"word": 0.5}),
    "truth": (TypeError, "truth: wanted True or False, got 1", {"truth": 1}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


@pytest.mark.parametrize("truth", [False, True])
@pytest.mark.parametrize("given", [True, False])
def test_readings_are_what_is_walked(truth, given):
    for example, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        for side, words in (("source", source), ("target", target)):
            for word in range(len(words)):
                changed = {} if given else {"alignments": None}
                figure = make(example=example, side=side, word=word, truth=truth, **changed)
                wanted = by_hand(figure.state)
                assert figure.shares.tolist() == wanted["shares"]
                assert figure.total == wanted["total"]
                assert figure.agreement == (tuple(wanted["agreement"]) if given else None)
                assert figure.summary() == wanted["sentence"]


def test_takes_any_arrays_and_keeps_four_decimals():
    lists = make(weights=[w.tolist() for w in W], alignments=[np.array(a, dtype=bool) for a in alignments()])
    assert lists.state == make().state
    np.testing.assert_allclose(lists.state["weights"][0], W[0], atol=5.001e-5)
    assert json.loads(json.dumps(lists.state)) == lists.state


def test_a_half_goes_up_and_sums_are_exact():
    """0.125 is a tie that Python's format rounds down, and ten times 0.1 is not 1 in floating point."""
    tie = TranslationAlignment([["a", "b"]], [["c"]], [[[0.125, 0.875]]])
    assert "b 0.88, a 0.13." in tie.summary()
    ten = TranslationAlignment([["a"] * 10], [["c"]], [np.full((1, 10), 0.1)])
    assert ten.total == 1.0


# What it writes.


def test_text_alternatives():
    figure = make(caption="Tap.", truth=True)
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    assert outline.tags.count("caption") == 1 and outline.tags.count("tr") == 6 and outline.tags.count("td") == 30
    cells = re.findall(r"<td>([\d.]+)(\**)</td>", figure.table())
    np.testing.assert_allclose([float(cell) for cell, _ in cells], W[0].ravel(), atol=0.0051)
    assert [len(star) for _, star in cells] == np.array(alignments()[0]).ravel().tolist()
    assert "*" not in make(alignments=None).table() and "star" not in make(alignments=None).table()


def test_html_needs_nothing_else_and_is_escaped():
    long = [["w" * 9] * 12] * 6
    weights = [np.random.default_rng(1).dirichlet(np.ones(12), 12)] * 6
    html = TranslationAlignment(long, long, weights, [np.eye(12)] * 6, caption="</style></script>&<i>")._repr_html_()
    closed(html)
    assert len(html.encode()) < 48 * 1024 and len(make()._repr_html_().encode()) < 32 * 1024


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(side="source", word=5)
    assert widget.shares.tolist() == make(side="source", word=5).shares.tolist()
    widget.set_state({"word": 2})  # as a message from the browser does
    assert widget.total == make(side="source", word=2).total
    with pytest.raises(traitlets.TraitError, match="word: wanted 0 to 5"):
        widget.word = 6


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-ta").nth(n)


def agree(page, figure, n=0):
    """Compare the page with what is walked by hand in the state that the page is in; return that state."""
    shown = figure_of(page, n)
    data = shown.evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    state = figure.state | moved
    wanted = by_hand(state)
    for name in ("shares", "total", "agreement"):
        assert json.loads(data[name]) == wanted[name], name
    assert shown.locator("[aria-live=polite]").text_content() == wanted["sentence"]
    # The words: their numbers, how blue they are, which is chosen and which are true.
    words = shown.evaluate(
        """figure => [...figure.querySelectorAll("[role=group]")].map(row => [...row.children].map(node => ({
          text: node.querySelector("bdi").textContent, number: node.querySelector("small").textContent,
          weight: Number(node.style.getPropertyValue("--weight")), deep: node.matches(".attn-ta-deep"),
          lit: node.matches(".attn-ta-lit"), true: node.matches(".attn-ta-true"),
          chosen: node.ariaPressed === "true"})))"""
    )
    other = 0 if moved["side"] == "target" else 1
    for side, name in enumerate(("sources", "targets")):
        texts = state[name][moved["example"]]
        for m, (word, text) in enumerate(zip(words[side], texts, strict=True)):
            chosen = side != other and m == moved["word"]
            share = wanted["shares"][m] if side == other else 0
            assert word == {
                "text": text,
                "number": wanted["digits"][m] if side == other else wanted["sum"] if chosen else "",
                "weight": share,
                "deep": share > 0.621,
                "lit": side == other,
                "true": side == other and bool(wanted["true"]) and wanted["true"][m],
                "chosen": chosen,
            }
    # The lines of both pictures: from the middle of a source word to the middle of a target word.
    drawn = shown.evaluate(
        """figure => [...figure.querySelectorAll("svg")].map(svg => [...svg.querySelectorAll("line")].map(line => [
          line.classList[0].slice(8), line.matches(".attn-ta-on"), ...["data-i", "data-j", "x1", "y1", "x2", "y2",
          "stroke-width"].map(name => Number(line.getAttribute(name)))]))"""
    )
    rows = wanted["rows"]
    lines = [("line", i, j, w) for i, row in enumerate(rows) for j, w in enumerate(row) if w >= Fraction(1, 50)]
    if wanted["true"] is not None:
        lines += [("truth", i, j, 0) for i, row in enumerate(wanted["truths"]) for j, yes in enumerate(row) if yes]
    for picture, flipped in zip(drawn, (False, True), strict=True):
        assert len(picture) == len(lines)
        for found, (kind, i, j, weight) in zip(picture, lines, strict=True):
            on = (i if moved["side"] == "target" else j) == moved["word"]
            assert found[:4] == [kind, on, i, j]
            places = [(j + 0.5) / len(rows[0]), 0, (i + 0.5) / len(rows), 1]
            if flipped:
                places = [places[k] for k in (1, 0, 3, 2)]
            np.testing.assert_allclose(found[4:], [*places, float(1 + 9 * weight) if kind == "line" else 0])
    return moved


def word_of(page, side, m, n=0):
    return figure_of(page, n).get_by_role("group", name=f"{side} sentence").locator("button").nth(m)


@pytest.mark.browser
def test_rows_columns_and_lines(show):
    figure = make(weights=random_weights(4, 0.15))
    page = show(figure).page
    assert agree(page, figure) == {"example": 0, "side": "target", "word": 1, "truth": False}
    for example in (0, 1):
        figure_of(page).get_by_role("radio").nth(example).check()
        assert agree(page, figure)["example"] == example
        for _ in range(2):
            for side, words in (("target", TARGETS[example]), ("source", SOURCES[example])):
                for m in range(len(words)):
                    word_of(page, side, m).hover()
                    moved = agree(page, figure)
                    assert (moved["side"], moved["word"]) == (side, m)
            figure_of(page).get_by_role("checkbox").click()


@pytest.mark.browser
def test_without_what_is_not_given(show):
    one = TranslationAlignment(SOURCES[:1], TARGETS[:1], W[:1], truth=True)
    page = show(one).page
    agree(page, one)
    assert not figure_of(page).get_by_role("checkbox").is_visible()
    assert not figure_of(page).get_by_role("radio").first.is_visible()
    assert "Dashed" not in figure_of(page).inner_text()


FAULTS = {
    "a column for a row": ('side === "target" ? matrix[word]', 'side === "source" ? matrix[word]'),
    "the first column": ("matrix.map((row) => row[word])", "matrix.map((row) => row[0])"),
    "rounded down": ("Math.floor((n + 50) / 100)", "Math.floor(n / 100)"),
    "the smallest weight": ("row.indexOf(Math.max(...row))", "row.indexOf(Math.min(...row))"),
    "words without a truth counted": ("truths[i].includes(1)", "true"),
    "any weight agrees": ("truths[i][largest(weights[i])]", "truths[i].includes(1)"),
    "a sum of shares left out": ("const total = sumOf(counts)", "const total = sumOf(counts.slice(1))"),
    "smallest first": ("counts[b] - counts[a]", "counts[a] - counts[b]"),
    "named by the wrong sentence": ("distinct(state[`${other}s`][example])", "distinct(state[`${side}s`][example])"),
    "the truth of a row": ("seen(truths, side, n) : null", 'seen(truths, "target", n) : null'),
    "lines turned": ("[(j + 0.5) / sources, (i + 0.5) / targets]", "[(i + 0.5) / sources, (j + 0.5) / targets]"),
    "lines from the edge": ("(j + 0.5) / sources", "j / sources"),
    "as thick as any": ("1 + 9 * w", "1 + 9"),
    "strong lines of the other sentence": ('(state.side === "target" ? i : j) === state.word', "j === state.word"),
    "faint lines too": ("w < FAINT ? 0 : w", "w"),
    "as blue as any": ('setProperty("--weight", weight)', 'setProperty("--weight", 1)'),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(truth=True), make(side="source", word=4, truth=True), make(example=1, side="source", word=2)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) == len(figures)
    page = show(content=content.replace(right, wrong)).page
    page.set_default_timeout(2000)
    with pytest.raises(AssertionError):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_keyboard(show, size):
    figure = make()
    page = show(figure, size=size).page
    weights = np.array(figure.state["weights"][0])
    on, back, over = ("ArrowDown", "ArrowUp", "ArrowLeft") if size is PHONE else ("ArrowRight", "ArrowLeft", "ArrowUp")
    for _ in range(3):  # the radio buttons, the checkbox, the source where the thickest line leads
        page.keyboard.press("Tab")
    at = ("source", int(weights[1].argmax()))
    assert page.evaluate("document.activeElement.querySelector('bdi').textContent") == SOURCES[0][at[1]]
    page.keyboard.press("Tab")
    at = ("target", int(weights[:, at[1]].argmax()))
    for key, place in [
        (None, at[1]), ("Home", 0), (back, 0), (on, 1), ("End", 4), (on, 4), (back, 3), ("Control+Home", 3),
    ]:  # fmt: skip
        if key:
            page.keyboard.press(key)
        moved = agree(page, figure)
        assert (moved["side"], moved["word"]) == ("target", place), key
        assert figure_of(page).locator("button[tabindex='0']").count() == 2
    page.keyboard.press(over)
    moved = agree(page, figure)
    assert (moved["side"], moved["word"]) == ("source", int(weights[3].argmax()))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("!document.activeElement.closest('.attn-ta')"), "two Tabs leave the sentences"


@pytest.mark.browser
def test_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    for side, m in (("source", 5), ("target", 0), ("source", 0)):
        word_of(page, side, m).tap()
        moved = agree(page, figure)
        assert (moved["side"], moved["word"]) == (side, m)
    figure_of(page).locator("label", has_text="2").tap()
    figure_of(page).locator("label", has_text="true alignment").tap()
    assert agree(page, figure) == {"example": 1, "side": "target", "word": 0, "truth": True}


@pytest.mark.browser
def test_lines_end_at_the_words(show):
    """Whichever way the sentences stand, the picture spans them exactly, so lines meet the middles of words."""
    for size, across in ((WIDE, True), (PHONE, False)):
        page = show(make(), size=size).page
        box = figure_of(page).locator("svg:visible").bounding_box()
        for side, count in (("source", 6), ("target", 5)):
            for m in range(count):
                word = word_of(page, side, m).bounding_box()
                for start, length, here in (("x", "width", across), ("y", "height", not across)):
                    if here:
                        middle = word[start] + word[length] / 2
                        assert abs(middle - box[start] - box[length] * (m + 0.5) / count) < 1
        first, last = word_of(page, "source", 0).bounding_box(), word_of(page, "target", 0).bounding_box()
        edge, size_of = ("y", "height") if across else ("x", "width")
        assert 0 <= box[edge] - first[edge] - first[size_of] < 8
        assert 0 <= last[edge] - box[edge] - box[size_of] < 8


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    word_of(page, "source", 3).click()
    figure_of(page).get_by_role("radio").nth(1).check()
    assert agree(page, figure)["example"] == 1 and agree(page, figure, 1) == before


@pytest.mark.browser
def test_table_stays_where_no_script_runs(show):
    page = show(make(), java_script_enabled=False).page
    assert page.get_by_role("row").nth(1).inner_text().split()[:2] == ["mila", f"{W[0][0, 0]:.2f}"]
    assert not show(make()).page.locator(".attn-static").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible_in_every_state(show, dark):
    visited = show(make(truth=True, caption="Tap."), make(side="source", word=2), dark=dark)
    assert visited.violations() == []
    one_hot = [np.eye(6)[[2, 1, 0, 5, 3]], np.eye(3)[[1, 0, 2, 2]]]
    assert show(make(weights=one_hot, truth=True), dark=dark, size=PHONE).violations() == []


@pytest.mark.browser
def test_nasty_words(show):
    count = len(NASTY)
    figure = TranslationAlignment([NASTY], [NASTY], [np.full((count, count), 1 / count)], caption="<i>&lt;")
    visited = show(figure)
    texts = figure_of(visited.page).get_by_role("group").first.locator("bdi").all_text_contents()
    assert texts == NASTY
    assert figure_of(visited.page).locator(".attn-caption").inner_text() == "<i>&lt;"
    agree(visited.page, figure)


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    words = [f"incomprehensible{n}" for n in range(14)]
    weights = [np.random.default_rng(2).dirichlet(np.ones(14), 14)]
    long = TranslationAlignment([words], [words], weights, [np.eye(14)], truth=True)
    visited = show(make(caption="Tap."), long, size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator(".attn-ta label:visible, .attn-ta button").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-ta-word, svg, .attn-ta-sentence")]
      .map(node => node.getBoundingClientRect()).filter(box => box.width)
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    for n, counts in ((0, (6, 5)), (1, (14, 14))):
        figure_of(page, n).get_by_role("checkbox").set_checked(True)
        before = figure_of(page, n).evaluate(boxes)
        for truth in (True, False):
            figure_of(page, n).get_by_role("checkbox").set_checked(truth)
            for side, count in zip(("source", "target"), counts, strict=True):
                for m in range(0, count, 3):
                    word_of(page, side, m, n).click()
                    assert figure_of(page, n).evaluate(boxes) == before


@pytest.mark.browser
def test_print_keeps_the_state(show):
    page = show(make(truth=True)).page
    page.emulate_media(media="print")
    assert figure_of(page).locator("svg:visible").count() == 1
    assert word_of(page, "target", 1).is_visible() and figure_of(page).locator("[aria-live=polite]").is_visible()

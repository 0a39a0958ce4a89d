"""Rounds of hashing: what the figure refuses, what it writes, and its sets and weights in a browser against NumPy."""

import json
import re

import numpy as np
import pytest
import traitlets
from browser import PHONE, WIDE
from figures import Outline, slide

from attn_edu.interactive._hash_rounds import HashRounds
from attn_edu.sparse import angular_hash, lsh_attention, lsh_meetings

_rng = np.random.default_rng(4)
SHARED, ROTATIONS = _rng.normal(size=(11, 3)).round(3) * 3, _rng.normal(size=(5, 3, 2)).round(3)


def make(**options):
    given = {
        "tokens": list("abcdeabcdef"),
        "shared": SHARED,
        "rotations": ROTATIONS,
        "chunk": 3,
        "rounds": 2,
        "query": 8,
    }
    return HashRounds(**given | options)


def reference(state):
    """Return meetings, weights and what is kept, by the functions of the package."""
    shared, rotations, causal = state["shared"], state["rotations"], state["causal"]
    options = {"buckets": (2 * rotations.shape[-1],), "chunk": state["chunk"], "causal": causal}
    value, count = np.eye(len(shared)), len(shared)

    def lsh(rounds):
        return lsh_attention(shared, value, rotations=rotations[:rounds], **options)[1]

    # Full attention has no function of its own here, so it is written out.
    unit = shared / np.linalg.norm(shared, axis=1)[:, None]
    scores = shared @ unit.T / shared.shape[1] ** 0.5
    full = np.zeros((count, count))
    for i in range(count):
        keys = [j for j in range(count) if (j < i if causal else j != i)] or [i]
        powers = np.exp(scores[i, keys] - scores[i, keys].max())
        full[i, keys] = powers / powers.sum()
    met = lsh_meetings(angular_hash(shared, rotations[: state["rounds"]]), chunk=state["chunk"], causal=causal)
    counts = np.where(np.eye(count, dtype=bool) & ~met.any(1)[:, None], 1, met)
    kept = [(full * (lsh(r + 1) > 0)).sum(1).mean() for r in range(len(rotations))]
    return {"counts": counts, "full": full, "weights": lsh(state["rounds"]), "kept": np.array(kept)}


# What it refuses.

REFUSED = {
    "tokens": (TypeError, "tokens: wanted .* got int at 0", {"tokens": [1] * 11}),
    "tokens many": (ValueError, "tokens: wanted", {"tokens": ["a"] * 33}),
    "tokens one": (ValueError, "tokens: wanted 2 to 32, got 1", {"tokens": ["a"], "shared": SHARED[:1]}),
    "shared rows": (ValueError, "shared: wanted 11 rows as in tokens, got 10", {"shared": SHARED[:10]}),
    "shared flat": (ValueError, r"shared: wanted shape \(L, d_k\)", {"shared": SHARED[0]}),
    "shared zero": (ValueError, "shared: wanted no row of zeros", {"shared": SHARED * 0}),
    "rotations width": (ValueError, "rotations: wanted d_k = 3 as in shared, got 2", {"rotations": ROTATIONS[:, :2]}),
    "rotations flat": (ValueError, "rotations: wanted shape", {"rotations": ROTATIONS[0]}),
    "rotations many": (ValueError, "at most 16 rounds, got 17", {"rotations": np.ones((17, 3, 1))}),
    "chunk": (ValueError, "chunk: wanted 2 to 11, got 12", {"chunk": 12}),
    "rounds": (ValueError, "rounds: wanted 1 to 5, got 0", {"rounds": 0}),
    "rounds half": (TypeError, "rounds: wanted an integer, got float", {"rounds": 1.5}),
    "query": (ValueError, "query: wanted 0 to 10, got -1", {"query": -1}),
    "causal": (TypeError, "causal: wanted True or False", {"causal": "yes"}),
    "caption": (TypeError, "caption: wanted a str, got int", {"caption": 3}),
}


@pytest.mark.parametrize("changed", [{}, {"causal": False}, {"rounds": 5, "chunk": 2}, {"rounds": 1, "chunk": 11}])
def test_readings(changed):
    figure = make(**changed)
    for name, wanted in reference(figure.state).items():
        np.testing.assert_allclose(getattr(figure, name), wanted, rtol=0, atol=1e-14, err_msg=name)


# What it writes.


def test_text_alternatives():
    figure = HashRounds(list("abb"), [[-1.0, 0], [2, 0], [2, 0]], np.array([[[1.0], [0]]]), chunk=2, caption="Slide.")
    outline = Outline(figure._repr_html_())
    assert figure.summary() in outline.text and figure.summary() in repr(figure)
    # Of the second's weight nothing is kept, all of the first's, and of the third's 1 / (1 + exp(-4/√2)) = 0.944.
    assert figure.summary() == (
        "Full attention among 3 places beside LSH attention with 1 round. LSH keeps 1 of 3 pairs, and on these lie "
        "65 per cent of the full map's weight; after 1 round 65 per cent."
    )
    assert re.findall(r"<td>(.*?)</td>", figure.table()) == ["3", "65 %"]
    assert outline.tags.count("caption") == 1


def test_widget_follows_python(unhooked):
    widget = make().widget()
    widget.update(rounds=4, chunk=5)
    np.testing.assert_array_equal(widget.counts, make(rounds=4, chunk=5).counts)
    widget.set_state({"causal": False})  # as a message from the browser does
    np.testing.assert_allclose(widget.kept, make(chunk=5, causal=False).kept)
    with pytest.raises(traitlets.TraitError, match="rounds: wanted"):
        widget.rounds = 6


# In a browser.


def figure_of(page, n=0):
    return page.locator(".attn-hr").nth(n)


DRAWN = """figure => ({
  maps: [...figure.querySelectorAll(".attn-hr-map svg")].map(map =>
    [...map.querySelectorAll("rect:not(.attn-hr-row)")].map(cell => [
      cell.x.baseVal.value - 0.04, cell.y.baseVal.value - 0.04, Number(cell.style.getPropertyValue("--w")),
      Number(cell.getAttribute("class") === "attn-hr-open")])),
  rows: [...figure.querySelectorAll(".attn-hr-row")].map(row => row.y.baseVal.value),
  titles: [...figure.querySelectorAll(".attn-hr-board .attn-hr-title")].map(title => title.textContent),
  bars: [...figure.querySelectorAll(".attn-hr-bar b")].map(bar => Number(bar.style.getPropertyValue("--part"))),
  heights: [...figure.querySelectorAll(".attn-hr-bar b")].map(bar => bar.getBoundingClientRect().height),
  texts: [...figure.querySelectorAll(".attn-hr-bar em")].map(text => Number(text.textContent)),
  now: [...figure.querySelectorAll(".attn-hr-bars i")].findIndex(bar => bar.className === "attn-hr-now"),
  often: figure.querySelectorAll(".attn-choice input")[1].checked,
  sentence: figure.querySelector(".attn-sentence").textContent,
})"""


def agree(page, figure, n=0):
    """Compare the page with the reference in the state that the page is in; return that state."""
    data = figure_of(page, n).evaluate("figure => ({...figure.dataset})")
    moved = json.loads(data["state"])
    state = type(figure)(**{**figure.state, **moved}).state
    wanted = reference(state)
    for name, values in wanted.items():
        np.testing.assert_allclose(json.loads(data[name]), values, rtol=0, atol=1e-13, err_msg=name)
    counts, full, weights, kept = wanted.values()
    count, rounds, query = len(counts), state["rounds"], state["query"]
    pairs, most = np.count_nonzero(counts * (1 - np.eye(count))), count * (count - 1) // (2 if state["causal"] else 1)
    assert (json.loads(data["pairs"]), json.loads(data["most"])) == (pairs, most)

    drawn = figure_of(page, n).evaluate(DRAWN)
    places = np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1).reshape(-1, 2)
    right = counts / rounds if drawn["often"] else weights
    for map_, part, shown in zip(drawn["maps"], (full, right), (full > 0, counts > 0), strict=True):
        cells = np.array(map_)
        np.testing.assert_allclose(cells[:, :2], places, atol=1e-5)
        np.testing.assert_allclose(cells[:, 2], part.ravel(), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(cells[:, 3], shown.ravel())
    assert drawn["rows"] == [query, query] and drawn["now"] == rounds - 1
    plural = "1 round" if rounds == 1 else f"{rounds} rounds"
    assert drawn["titles"] == [f"full attention: {most} pairs", f"LSH, {plural}: {pairs} pairs"]
    np.testing.assert_allclose(drawn["bars"], kept, rtol=1e-5)
    np.testing.assert_allclose(drawn["heights"], kept * (max(drawn["heights"]) / kept.max()), rtol=0.03)
    np.testing.assert_allclose(drawn["texts"], 100 * kept, atol=0.51)
    best = full[query].argmax()
    met = f"have met in {counts[query, best]} of {rounds}," if counts[query, best] else "have not met"
    assert met in drawn["sentence"] or best == query
    assert f"keep {np.floor(100 * kept[rounds - 1] + 0.5):.0f} % of the full map’s weight" in drawn["sentence"]
    return moved


CASES = {
    "eleven": {},
    "all before and after": {"causal": False, "chunk": 5},
    "two places": {"tokens": ["a", "b"], "shared": SHARED[:2], "chunk": 2, "query": 1},
    "one round": {"rotations": ROTATIONS[:1], "rounds": 1},
    "largest": {
        "tokens": [str(n) for n in range(32)],
        "shared": np.random.default_rng(0).normal(size=(32, 5)) * 6,
        "rotations": np.random.default_rng(1).normal(size=(16, 5, 2)),
        "chunk": 8,
    },
    "large scores": {"shared": SHARED * 300},
}


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sets_and_weights(show, case):
    figure = make(**case)
    page = show(figure).page
    first = agree(page, figure)
    assert first == {name: figure.state[name] for name in first}
    for label, values in (("rounds", (1, 99)), ("chunk", (2, 7)), ("query", (0, 5))):
        for value in values:
            slide(figure_of(page), label, value)
            agree(page, figure)
    figure_of(page).get_by_role("radio", name="how often met").check()
    agree(page, figure)
    figure_of(page).get_by_label("only places before it").click()
    assert agree(page, figure)["causal"] != first["causal"]
    figure_of(page).get_by_role("button", name="Reset").click()
    assert agree(page, figure) == first


FAULTS = {
    "the smallest": ("both.indexOf(Math.max(...both))", "both.indexOf(Math.min(...both))"),
    "across buckets": ("i !== j && mine === other", "i !== j"),
    "no look back": ("(back === 0 || back === 1)", "back === 0"),
    "not causal": ("(!causal || j < i)", "true"),
    "keys not of length 1": ("entry / Math.hypot(...x)", "entry"),
    "no root": ("Math.sqrt(q.length)", "1"),
    "the last round alone": ("(counts[i][j] += m)", "(counts[i][j] = Number(m))"),
    "full to itself": ("causal ? j < i : j !== i", "causal ? j <= i : true"),
    "kept of LSH's own": ("sumOf(full.map((row, i) =>", "sumOf(weightsOf(scores, allowed).map((row, i) =>"),
    "one round behind": ("all[rounds - 1]", "all[Math.max(rounds - 2, 0)]"),
    "rows for columns": ("x: j + 0.04, y: i + 0.04", "x: i + 0.04, y: j + 0.04"),
    "pairs with themselves": ("n && i !== j).length", "n).length"),
    "the weakest key": (
        "full[query].indexOf(Math.max(...full[query]))",
        "full[query].indexOf(Math.min(...full[query]))",
    ),
}


@pytest.mark.browser
@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_arithmetic_can_fail(show, right, wrong):
    figures = [make(), make(causal=False, rounds=3, query=2), make(rounds=1, query=4)]
    content = "\n".join(figure._repr_html_() for figure in figures)
    assert content.count(right) >= 3, right
    page = show(content=content.replace(right, wrong)).page
    with pytest.raises(AssertionError):
        for n, figure in enumerate(figures):
            agree(page, figure, n)


@pytest.mark.browser
def test_keyboard(show):
    figure = make()
    page = show(figure).page
    focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    found = []
    for _ in range(6):
        page.keyboard.press("Tab")
        found.append(page.evaluate(focused))
        if found[-1] in ("rounds", "chunk", "query"):
            page.keyboard.press("ArrowRight")
            agree(page, figure)
    assert found[2:] == ["Reset", "rounds", "chunk", "query"]
    assert agree(page, figure) == {"rounds": 3, "chunk": 4, "query": 9, "causal": True}
    for _ in range(4):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert not agree(page, figure)["causal"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert figure_of(page).get_by_role("radio", name="how often met").is_checked()
    agree(page, figure)


@pytest.mark.browser
def test_pointer_and_touch(show):
    figure = make()
    page = show(figure, size=PHONE, has_touch=True, is_mobile=True).page
    box = figure_of(page).locator(".attn-hr-map svg").nth(1).bounding_box()
    for row in (0, 6, 10):
        page.touchscreen.tap(box["x"] + 20, box["y"] + box["height"] * (row + 0.6) / 11.2)
        assert agree(page, figure)["query"] == row
    figure_of(page).locator(".attn-hr-bars i").nth(3).tap()
    assert agree(page, figure)["rounds"] == 4


@pytest.mark.browser
def test_copies_do_not_disturb_each_other(show):
    figure = make()
    page = show(figure, figure).page
    before = agree(page, figure, 1)
    slide(figure_of(page), "rounds", 5)
    figure_of(page).get_by_role("radio", name="how often met").check()
    assert agree(page, figure)["rounds"] == 5 and agree(page, figure, 1) == before


@pytest.mark.browser
def test_table_stays_where_no_script_runs(show):
    figure = make(caption="Slide.")
    page = show(figure, java_script_enabled=False).page
    kept = 100 * figure.kept[0]
    assert page.get_by_role("row").nth(1).inner_text().endswith(f"{kept:.0f} %")
    page = show(figure).page
    assert not page.locator(".attn-static").is_visible()
    assert figure_of(page).get_by_text("Slide.").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_accessible(show, dark):
    assert show(make(caption="Slide."), make(**CASES["largest"]), dark=dark).violations() == []


@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}, {"width": 760, "height": 600}, WIDE])
def test_fits_and_nothing_shifts(show, size):
    visited = show(make(**CASES["largest"], caption="Slide."), size=size)
    page = visited.page
    assert visited.overflow() == 0
    targets = page.locator("label:visible, button:visible").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect()).map(box => [box.width, box.height])"
    )
    assert np.min(targets) >= 24
    boxes = """figure => [figure, ...figure.querySelectorAll(".attn-hr-map, .attn-hr-bars, .attn-sentence")]
      .map(node => node.getBoundingClientRect())
      .map(box => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""
    before = figure_of(page).evaluate(boxes)
    for rounds in (1, 4, 16):
        slide(figure_of(page), "rounds", rounds)
        for query in (0, 11, 31):
            slide(figure_of(page), "query", query)
            assert figure_of(page).evaluate(boxes) == before

"""The pictures: what they draw, that they are legible, and what they refuse."""

import itertools
import re
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from contrast import contrast
from matplotlib.colors import to_hex

from attn_edu import colours, plotting


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("make", [np.asarray, torch.tensor, list])
def test_a_heatmap_draws_the_array_with_its_labels(make):
    weights = [[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]]
    ax = plotting.heatmap(make(weights), queries=["cat", "sat"], keys=["the", "cat", "sat"], title="One head")
    [image] = ax.images
    np.testing.assert_allclose(image.get_array(), weights)
    assert image.get_clim() == (0, 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "sat"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["the", "cat", "sat"]
    assert {label.get_color() for label in ax.get_yticklabels()} == {colours.QUERY}
    assert {label.get_color() for label in ax.get_xticklabels()} == {colours.KEY}
    assert (ax.get_ylabel(), ax.get_xlabel(), ax.get_title()) == ("query", "key", "One head")
    assert to_hex(ax.figure.get_facecolor()) == plotting.CARD
    texts = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in ax.texts}
    assert texts == {(i, j): f"{weights[i][j]:.2f}" for i in range(2) for j in range(3)}


def test_every_number_is_legible():
    ax = plotting.heatmap(np.linspace(0, 1, 144).reshape(12, 12))
    image = ax.images[0]
    for text, value in zip(ax.texts, image.get_array().ravel(), strict=True):
        assert contrast(to_hex(text.get_color()), to_hex(image.to_rgba(value))) >= 4.5
    for tone in (colours.QUERY, colours.KEY):
        assert contrast(tone, plotting.CARD) >= 4.5


def test_a_large_heatmap_has_no_numbers_and_its_scale_on_request():
    assert not plotting.heatmap(np.zeros((13, 2))).texts
    assert len(plotting.heatmap(np.eye(2), bar=True).figure.axes) == 2
    assert len(plotting.heatmap(np.eye(2)).figure.axes) == 1


def test_a_heatmap_draws_where_it_is_told_and_keeps_what_it_was_given():
    weights = np.eye(2)
    before, settings = weights.copy(), dict(plt.rcParams)
    ax = plt.subplots(1, 2)[1][1]
    assert plotting.heatmap(weights, ax=ax) is ax
    np.testing.assert_array_equal(weights, before)
    assert dict(plt.rcParams) == settings
    np.testing.assert_allclose(plotting.heatmap([[-1.0, 2.0]]).images[0].get_clim(), (-1, 2))
    plotting.heatmap(torch.eye(2, dtype=torch.bfloat16, requires_grad=True))
    plotting.heatmap(np.eye(2, dtype=bool))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weights": [["a"]]}, TypeError, "weights: wanted real numbers, got dtype <U1"),
        ({"weights": np.eye(2) * 1j}, TypeError, "weights: wanted real numbers, got dtype complex128"),
        ({"weights": [0.5, 0.5]}, ValueError, "weights: wanted shape (L, S), a row for each query, got (2,)"),
        ({"weights": np.zeros((1, 2, 2))}, ValueError, "got (1, 2, 2)"),
        ({"weights": np.zeros((0, 2))}, ValueError, "got (0, 2)"),
        ({"weights": [[np.nan]]}, ValueError, "weights: wanted finite numbers, got nan or inf"),
        ({"weights": np.eye(2), "queries": ["a"]}, ValueError, "queries: wanted 2 labels as in weights, got 1"),
        ({"weights": np.eye(2), "keys": ["a"] * 3}, ValueError, "keys: wanted 2 labels as in weights, got 3"),
        ({"weights": np.eye(2), "keys": "ab"}, TypeError, "keys: wanted a list of 2 labels, got the text 'ab'"),
    ],
)
def test_a_bad_heatmap_is_refused(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        plotting.heatmap(**arguments)


X, W = np.array([[1.0, 0.0], [2.0, 0.5], [0.0, 3.0]]), np.array([[2.0], [-4.0]])


def test_products_draw_every_number_and_shape():
    ax = plotting.products([({"X": X, "W_Q": W, "Q": X @ W}, "query")], rows=["the", "cat", "sat"])
    texts = [text.get_text() for text in ax.texts]
    assert [text for text in texts if "$" in text] == ["$X^{}$", "$W^{Q}$", "$Q^{}$"]
    assert [text for text in texts if "×" in text] == ["3 × 2", "2 × 1", "3 × 1"]
    numbers = [text for text in texts if re.fullmatch(r"-?[\d.]+", text)]
    assert numbers == ["1", "0", "2", "0.5", "0", "3", "2", "-4", "2", "2", "-12"]
    assert {"the", "cat", "sat", "·", "="} <= set(texts)


@pytest.mark.parametrize(
    ("chain", "rows", "message"),
    [
        (({"X": X, "W_Q": W, "Q": X @ W}, "score"), None, "role: wanted one of query, key, value, got 'score'"),
        (({"X": X, "W_Q": W, "Q": X @ W + 1}, "query"), None, "Q: wanted the product of X, W_Q"),
        (({"X": X, "W_Q": W[:, 0], "Q": X @ W}, "query"), None, "W_Q: wanted shape (rows, columns), got (2,)"),
        (({"X": X, "W_Q": W, "Q": X @ W}, "query"), ["a"], "rows: wanted 3 labels"),
    ],
)
def test_bad_products_are_refused(chain, rows, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        plotting.products([chain], rows=rows)


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plotting.heatmap(np.eye(2))


ROWS = [
    {"name": name, "length": length, "seconds": seconds, "peak_bytes": held}
    for name, length, seconds, held in (
        ("full", 1024, [0.1, 9.0, 0.2], 4e6),
        ("full", 2048, [0.8, 0.8, 0.7], 16e6),
        ("full", 4096, None, None),
        ("window", 4096, [0.4, 0.4, 0.4], 4e6),
        ("window", 1024, [0.1, 0.1, 0.1], 1e6),
        ("nothing", 1024, None, None),
    )
]


def test_growth_draws_medians_in_order_and_names_the_lines():
    ax = plotting.growth(ROWS, {"full": "all pairs", "window": "near pairs"}, note="One thread.")
    drawn = [line.get_xydata().tolist() for line in ax.lines if line.get_linestyle() == "-"]
    assert drawn == [[[1024, 0.2], [2048, 0.8]], [[1024, 0.1], [4096, 0.4]]]
    guides = [line.get_xydata().tolist() for line in ax.lines if line.get_linestyle() == ":"]
    assert guides == [[[1024, 0.05], [4096, 0.2]], [[1024, 0.05], [4096, 0.8]]]
    assert sorted(text.get_text() for text in ax.texts) == ["all pairs", "near pairs", "∝ L", "∝ L²"]
    assert ax.get_xlabel() == "tokens\nOne thread."
    assert ax.yaxis.get_major_formatter()(0.1) == "100 ms" and ax.yaxis.get_major_formatter()(20) == "20 s"
    memory = plotting.growth(ROWS, {"full": "all pairs"}, "peak_bytes")
    assert memory.lines[-1].get_ydata().tolist() == [4e6, 16e6]
    assert memory.yaxis.get_major_formatter()(1e9) == "1 GB"


def test_growth_keeps_names_apart():
    rows = [{"name": name, "length": n, "seconds": [1e-3 * n]} for name in "abc" for n in (1024, 4096)]
    ax = plotting.growth(rows, {"a": "a", "b": "b", "c": "c"})
    ax.figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("names: wanted names with seconds in the rows, got 'nothing'", {"names": {"nothing": "x"}}),
        ("names: wanted names with seconds in the rows, got 'other'", {"names": {"other": "x"}}),
        ("names: wanted 1 to 6 lines, got 0", {"names": {}}),
        ("of: wanted one of seconds, peak_bytes, got 'watts'", {"names": {"full": "x"}, "of": "watts"}),
    ],
)
def test_growth_refuses(message, options):
    with pytest.raises(ValueError, match=message):
        plotting.growth(ROWS, **options)

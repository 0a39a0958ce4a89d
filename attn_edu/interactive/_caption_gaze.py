"""Caption and gaze: an image, the words of its caption, and where each word looked."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._checks import SLACK, check_array, check_caption, check_integer, check_matrix, check_tokens
from ._figure import Figure

MOST = 6  # images; more do not fit a row of buttons on a phone
VIEWS = 4  # maps to switch between
WIDEST = 8  # cells in a row or a column
PIXELS = 48  # pixels in a row or a column
PARTS = 10_000  # weights are kept in ten-thousandths


class CaptionGaze(Figure):
    """An image under a veil that lifts where a word of its caption looked.

    The reader picks an image, whose weights are shown, and a word. After the last word comes Σ, what all words together
    gave each cell. Under each word stands its whole map in small.

    Parameters
    ----------
    images : (N, H, W, 3)
        Red, green and blue, from 0 to 1. They are kept to two decimals.
    captions : sequence of N sequences of str
        The words of each image's caption.
    weights : mapping of str to sequence of N (T, rows · columns)
        By name, such as soft and hard: for each image a row for each word of its caption, with the weights of all
        cells in reading order. No row may exceed a sum of 1, up to 0.02 for weights that were rounded. They are kept
        to four decimals.
    grid : pair of int
        Rows and columns of cells; they divide H and W.
    image : int
        The image shown first, from 0.
    word : int
        The word chosen first, from 0; the number of words stands for all of them together.
    view : str, optional
        Whose weights are shown first: a name among `weights`; the first of them if not given.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If lengths or shapes do not fit, a number is not finite or out of range, or a row of weights exceeds a sum of 1.

    Examples
    --------
    Two cells and two words. The first looks right with 0.7, the second with 0.2; together that is 0.9:

    >>> images, weights = np.ones((1, 2, 4, 3)), {"soft": [[[0.3, 0.7], [0.8, 0.2]]]}
    >>> figure = CaptionGaze(images, [["red", "square"]], weights, (1, 2))
    >>> figure.gaze, figure.total
    (array([[0.3, 0.7]]), array([[1.1, 0.9]]))
    """

    name = "caption_gaze"
    readings = ("gaze", "total")

    def __init__(
        self,
        images: Any,
        captions: Any,
        weights: Any,
        grid: Any,
        *,
        image: int = 0,
        word: int = 0,
        view: str | None = None,
        caption: str | None = None,
    ) -> None:
        images = check_array("images", images, 4, "(N, H, W, 3)")
        count, height, width, colours = images.shape
        if colours != 3:
            raise ValueError(f"images: wanted shape (N, H, W, 3), got {images.shape}")
        if count > MOST or max(height, width) > PIXELS:
            raise ValueError(f"images: wanted up to {MOST} of up to {PIXELS} × {PIXELS} pixels, got {images.shape}")
        if images.min() < 0 or images.max() > 1:
            raise ValueError(f"images: wanted numbers from 0 to 1, got {images.min():g} to {images.max():g}")
        _check_many("captions", captions, count)
        captions = [check_tokens(f"captions[{n}]", words) for n, words in enumerate(captions)]
        rows, columns = _check_grid(grid, height, width)
        if not isinstance(weights, Mapping):
            raise TypeError(f"weights: wanted a mapping of names to weights, got {type(weights).__name__}")
        names = check_tokens("weights", list(weights))
        if len(names) > VIEWS:
            raise ValueError(f"weights: wanted up to {VIEWS} names, got {len(names)}")
        kept = {name: _check_weights(name, weights[name], captions, rows * columns) for name in names}
        view = names[0] if view is None else view
        if not isinstance(view, str):
            raise TypeError(f"view: wanted a str, got {type(view).__name__}")
        if view not in names:
            raise ValueError(f"view: wanted one of {', '.join(names)}, got {view!r}")
        for name, number in {"image": image, "word": word}.items():
            check_integer(name, number)
            most = count - 1 if name == "image" else len(captions[image])
            if not 0 <= number <= most:
                raise ValueError(f"{name}: wanted 0 to {most}, got {number}")
        check_caption(caption)
        self.state = {
            "images": images.round(2),
            "captions": captions,
            "weights": kept,
            "grid": [rows, columns],
            "image": int(image),
            "word": int(word),
            "view": view,
            "caption": caption,
        }

    def _map(self, view: str) -> np.ndarray:
        """Return the weights of the chosen image by one name, (T, cells)."""
        return np.array(self.state["weights"][view][self.state["image"]])

    @property
    def gaze(self) -> np.ndarray:
        """Weights of the chosen word, or of all together, (rows, columns)."""
        state, weights = self.state, self._map(self.state["view"])
        return self.total if state["word"] == len(weights) else weights[state["word"]].reshape(state["grid"])

    @property
    def total(self) -> np.ndarray:
        """The sum of the weights over the words of the caption, (rows, columns)."""
        return self._map(self.state["view"]).sum(0).reshape(self.state["grid"])

    def _place(self, row: np.ndarray) -> str:
        r, c = divmod(int(row.argmax()), self.state["grid"][1])
        return f"row {r + 1}, column {c + 1}"

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state = self.state
        words = state["captions"][state["image"]]
        who = f"“{words[state['word']]}” looks" if state["word"] < len(words) else "all words together look"
        gaze = self.gaze.ravel()
        return (
            f"Image {state['image'] + 1}, “{' '.join(words)}”. {state['view']}: {who} most at {self._place(gaze)}, "
            f"with weight {gaze.max():.2f}."
        )

    def table(self) -> str:
        """Write where each word of the chosen image's caption looks most, as an HTML table."""
        state = self.state
        words = state["captions"][state["image"]]
        maps = {name: self._map(name) for name in state["weights"]}
        sums = [(word, [weights[n] for weights in maps.values()]) for n, word in enumerate(words)]
        sums.append(("all words together", [weights.sum(0) for weights in maps.values()]))
        body = "\n".join(
            f'<tr><th scope="row">{html.escape(word)}</th>'
            + "".join(f"<td>{self._place(row)} ({row.max():.2f})</td>" for row in rows)
            + "</tr>"
            for word, rows in sums
        )
        heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in maps)
        caption = html.escape(state["caption"] or "The cell with the largest weight, and the weight.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Where each word looks most">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">word</th>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def _check_many(name: str, things: Any, count: int) -> None:
    """Check that there is one thing for each image."""
    if isinstance(things, str | bytes) or not isinstance(things, Sequence | np.ndarray):
        raise TypeError(f"{name}: wanted a sequence, one item for each image, got {type(things).__name__}")
    if len(things) != count:
        raise ValueError(f"{name}: wanted {count} as in images, got {len(things)}")


def _check_grid(grid: Any, height: int, width: int) -> tuple[int, int]:
    """Check rows and columns of cells, and that they divide the image."""
    try:
        rows, columns = grid
    except (TypeError, ValueError):
        raise TypeError(f"grid: wanted a pair of integers, rows and columns, got {grid!r}") from None
    for name, cells, pixels in (("rows", rows, height), ("columns", columns, width)):
        if isinstance(cells, bool) or not isinstance(cells, int | np.integer):
            raise TypeError(f"grid: wanted a pair of integers, rows and columns, got {grid!r}")
        if not 1 <= cells <= WIDEST or pixels % cells:
            raise ValueError(f"grid: wanted 1 to {WIDEST} {name} that divide {pixels} pixels, got {cells}")
    return int(rows), int(columns)


def _check_weights(name: str, weights: Any, captions: list[list[str]], cells: int) -> list[list[list[float]]]:
    """Check one name's weights for all images and return them rounded, as lists."""
    _check_many(f"weights[{name!r}]", weights, len(captions))
    kept = []
    for n, words in enumerate(captions):
        label = f"weights[{name!r}][{n}]"
        sizes = {"T": (len(words), f"captions[{n}]"), "cells": (cells, "grid")}
        matrix = check_matrix(label, weights[n], "(T, cells)", sizes)
        if matrix.min() < 0 or matrix.sum(1).max() > 1 + SLACK:
            raise ValueError(f"{label}: wanted rows of weights from 0 that sum to 1 at most, got others")
        kept.append((np.rint(matrix * PARTS) / PARTS).tolist())
    return kept

"""Memory blocks: what a pixel of an image may see in local attention, along the line of pixels or in the plane."""

import html
from typing import Any

import numpy as np

from attn_edu.vision import block_order, memory_1d, memory_2d

from ._checks import check_array, check_caption, check_count
from ._figure import Figure

WIDEST = 12  # pixels in a row or column; more are too small to tap on a phone


class MemoryBlocks(Figure):
    """An image on its way: query block, memory block, and what one pixel sees of what has been generated.

    The reader picks the pixel, turns between one and two dimensions, and changes the sizes of both blocks.

    Parameters
    ----------
    image : (H, W)
        Grey pixels, from 0 for paper to 1 for ink.
    dimensions : {1, 2}
        Whether blocks are cut from the line of pixels in reading order, or from the plane.
    pixel : int
        The pixel that asks first, counted from 0 in reading order.
    l_q, l_m : int
        In one dimension: pixels in a query block, and pixels before it that its memory block adds.
    h_q, w_q : int
        In two: rows and columns of a query block.
    h_m, w_m : int
        Rows above it and columns on either side that its memory block adds.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the image is not a matrix of numbers from 0 to 1, or a number is out of range.

    Examples
    --------
    Four pixels in a row, each with the one before it in memory: 1 + 2 + 2 + 2 pairs of query and key.

    >>> figure = MemoryBlocks(np.zeros((1, 4)), dimensions=1, l_q=1, l_m=1)
    >>> figure.sees.sum(), figure.order
    (np.int64(7), array([[0, 1, 2, 3]]))
    """

    name = "memory_blocks"
    readings = ("order", "sees")

    def __init__(
        self,
        image: Any,
        *,
        dimensions: int = 2,
        pixel: int = 0,
        l_q: int = 1,
        l_m: int = 0,
        h_q: int = 1,
        w_q: int = 1,
        h_m: int = 0,
        w_m: int = 0,
        caption: str | None = None,
    ) -> None:
        image = check_array("image", image, 2, "(H, W)")
        height, width = image.shape
        if max(height, width) > WIDEST:
            raise ValueError(f"image: wanted at most {WIDEST} × {WIDEST} pixels, got {height} × {width}")
        if image.min() < 0 or image.max() > 1:
            raise ValueError(f"image: wanted numbers from 0 to 1, got {image.min():g} to {image.max():g}")
        count = height * width
        given = {"dimensions": (dimensions, 1, 2), "pixel": (pixel, 0, count - 1)}
        given |= {"l_q": (l_q, 1, count), "l_m": (l_m, 0, count), "h_q": (h_q, 1, height), "w_q": (w_q, 1, width)}
        given |= {"h_m": (h_m, 0, height), "w_m": (w_m, 0, width)}
        for name, (value, least, most) in given.items():
            check_count(name, value, least, most)
        check_caption(caption)
        self.state = {"image": image, **{name: int(value) for name, (value, *_) in given.items()}, "caption": caption}

    @property
    def order(self) -> np.ndarray:
        """When each pixel is generated, (H, W), from 0."""
        state, (height, width) = self.state, self.state["image"].shape
        block = (state["h_q"], state["w_q"]) if state["dimensions"] == 2 else (1, width)
        return block_order(height, width, block)

    @property
    def sees(self) -> np.ndarray:
        """Which pixels (columns) each pixel (rows) sees, (H·W, H·W), in reading order."""
        return self._memory(causal=True)

    def _memory(self, causal: bool) -> np.ndarray:
        state, (height, width) = self.state, self.state["image"].shape
        if state["dimensions"] == 1:
            return memory_1d(height * width, block=state["l_q"], memory=state["l_m"], causal=causal)
        block, memory = (state["h_q"], state["w_q"]), (state["h_m"], state["w_m"])
        return memory_2d(height, width, block=block, memory=memory, causal=causal)

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state, width = self.state, self.state["image"].shape[1]
        pixel, count = state["pixel"], state["image"].size
        row, column = divmod(pixel, width)
        sees = self.sees
        held, seen = self._memory(causal=False)[pixel].sum(), sees[pixel].sum()
        form = "one dimension" if state["dimensions"] == 1 else "two dimensions"
        return (
            f"Local attention in {form}: the pixel in row {row + 1}, column {column + 1} is number "
            f"{self.order.flat[pixel] + 1} of {count}. Of the {held} pixels in its memory block it sees {seen}, its "
            f"own place included. All pixels together see {sees.sum():,}; in full causal attention "
            f"{count * (count + 1) // 2:,}."
        )

    def table(self) -> str:
        """Write what the chosen pixel sees as an HTML table in the form of the image."""
        state, order = self.state, self.order.ravel()
        pixel, (height, width) = state["pixel"], state["image"].shape
        sees, held = self.sees[pixel], self._memory(causal=False)[pixel]

        def say(j: int) -> str:
            if j == pixel:
                return "asks"
            if order[j] > order[pixel]:
                return "masked" if held[j] else "later"
            return "seen" if sees[j] else "not seen"

        head = "".join(f'<th scope="col">{c + 1}</th>' for c in range(width))
        body = "\n".join(
            f'<tr><th scope="row">{r + 1}</th>'
            + "".join(f"<td>{order[r * width + c] + 1} {say(r * width + c)}</td>" for c in range(width))
            + "</tr>"
            for r in range(height)
        )
        caption = html.escape(state["caption"] or "Order of the pixels, and what the chosen one sees.")
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Order, and what is seen">
<table>
<caption>{caption}</caption>
<thead><tr><th scope="col">row</th>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""

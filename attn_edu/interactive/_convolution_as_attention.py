"""A 3 × 3 convolution made of nine heads, each of which looks at one neighbour."""

import html
from typing import Any

import numpy as np

from attn_edu.checks import check_flag, check_positive
from attn_edu.core import multi_head
from attn_edu.np_ops import masked_softmax

from ._checks import check_caption, check_count, check_matrix
from ._figure import Figure
from ._texts import number

SIDE, LARGEST, SHARPEST = 8, 99.0, 1000.0  # more pixels or digits do not fit a phone
OFFSETS = np.array([(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)])


class ConvolutionAsAttention(Figure):
    r"""Nine heads on an image: head n looks from pixel i at pixel i + Δ_n, and W_O weighs it by the kernel.

    With a mask, a head sees one pixel, or none if its offset leaves the image: it then gives 0, and the nine together
    are the convolution of an image padded with zeros. With a softmax of the scores −α‖(j − i) − Δ_n‖², a head spreads
    over many pixels, and less so as α grows; at the border, it tends to the nearest pixel inside, and the nine
    together to the convolution of an image whose border is repeated. The kernel is not flipped, as is usual in deep
    learning.

    Parameters
    ----------
    image : (H, W)
        The pixels, 2 to 8 each way, from −99 to 99.
    kernel : (3, 3)
        The weights of the convolution, from −99 to 99; head n, from 1, has the n-th in reading order.
    row, column : int
        The pixel shown first, from 0.
    head : int
        The head shown first, from 1 to 9; 0 shows all together.
    mask : bool
        Whether the weights come from a mask, or else from the softmax.
    alpha : float
        α, above 0 and at most 1000.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, or a number is not finite or out of range.

    Examples
    --------
    A kernel of nine ones adds up what the heads see. From the first of four pixels, four heads see one pixel each, and
    the others nothing: 1 + 2 + 3 + 4 = 10. With the border repeated, 1 counts four times, 2 and 3 twice: 18.

    >>> figure = ConvolutionAsAttention([[1, 2], [3, 4]], np.ones((3, 3)))
    >>> float(figure.output[0, 0]), float(figure.replicate_padded[0, 0])
    (10.0, 18.0)
    >>> figure.weights[:, 0].sum(axis=1)
    array([0., 0., 0., 0., 1., 1., 0., 1., 1.])

    With α = 40, the softmax has all but its last digits on the nearest pixel inside:

    >>> figure = ConvolutionAsAttention([[1, 2], [3, 4]], np.ones((3, 3)), mask=False, alpha=40.0)
    >>> round(float(figure.output[0, 0]), 6)
    18.0
    """

    name = "convolution_as_attention"
    readings = ("weights", "output", "zero_padded", "replicate_padded")

    def __init__(
        self,
        image: Any,
        kernel: Any,
        *,
        row: int = 0,
        column: int = 0,
        head: int = 0,
        mask: bool = True,
        alpha: float = 1.0,
        caption: str | None = None,
    ) -> None:
        image = check_matrix("image", image, "(H, W)", {})
        if not all(2 <= size <= SIDE for size in image.shape):
            raise ValueError(f"image: wanted 2 to {SIDE} rows and columns, got shape {image.shape}")
        kernel = check_matrix("kernel", kernel, "(3, 3)", {})
        if kernel.shape != (3, 3):
            raise ValueError(f"kernel: wanted shape (3, 3), got {kernel.shape}")
        for name, numbers in (("image", image), ("kernel", kernel)):
            if (most := np.abs(numbers).max()) > LARGEST:
                raise ValueError(f"{name}: wanted numbers from {-LARGEST:g} to {LARGEST:g}, got one of size {most:g}")
        most_of = {"row": image.shape[0] - 1, "column": image.shape[1] - 1, "head": len(OFFSETS)}
        for (name, most), value in zip(most_of.items(), (row, column, head), strict=True):
            check_count(name, value, 0, most)
        check_flag("mask", mask)
        check_positive("alpha", alpha)
        if alpha > SHARPEST:
            raise ValueError(f"alpha: wanted at most {SHARPEST:g}, got {alpha}")
        check_caption(caption)
        self.state = {
            "image": image,
            "kernel": kernel,
            "row": int(row),
            "column": int(column),
            "head": int(head),
            "mask": mask,
            "alpha": float(alpha),
            "caption": caption,
        }

    def _places(self) -> np.ndarray:
        """Row and column of each pixel, (L, 2)."""
        return np.argwhere(np.ones_like(self.state["image"], dtype=bool))

    @property
    def weights(self) -> np.ndarray:
        """Attention weights, (9, L, L), the L = H·W pixels in reading order."""
        places = self._places()
        steps = places - places[:, None]  # (L, L, 2): j − i
        squares = ((steps - OFFSETS[:, None, None]) ** 2).sum(axis=-1)
        if self.state["mask"]:
            return (squares == 0).astype(float)
        return masked_softmax(-self.state["alpha"] * squares, np.ones_like(squares, dtype=bool))

    @property
    def output(self) -> np.ndarray:
        """What the nine heads give together, (H, W)."""
        image, kernel = self.state["image"], self.state["kernel"]
        pixels, ones = image.reshape(-1, 1), np.ones((1, 9))
        if self.state["mask"]:
            W = {"W_Q": ones, "W_K": ones, "W_V": ones, "W_O": kernel.reshape(9, 1)}
            output = multi_head(pixels, pixels, pixels, **W, heads=9, attn_mask=self.weights > 0)[0]
        else:
            output = np.einsum("n, nij, jd -> id", kernel.ravel(), self.weights, pixels)
        return output.reshape(image.shape)

    def _convolve(self, mode: Any) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(self.state["image"], 1, mode=mode), (3, 3))
        return np.einsum("rcab, ab -> rc", windows, self.state["kernel"])

    @property
    def zero_padded(self) -> np.ndarray:
        """The convolution of the image with zeros around it, (H, W)."""
        return self._convolve("constant")

    @property
    def replicate_padded(self) -> np.ndarray:
        """The convolution of the image with its border repeated, (H, W)."""
        return self._convolve("edge")

    def _three(self) -> list[tuple[str, float]]:
        at = self.state["row"], self.state["column"]
        return [
            ("convolution, zeros around the image", self.zero_padded[at]),
            ("convolution, border repeated", self.replicate_padded[at]),
            ("attention, nine heads", self.output[at]),
        ]

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state = self.state
        how = "one-hot by a mask" if state["mask"] else f"a softmax with α = {state['alpha']:.3g}"
        numbers = "; ".join(f"{name}: {number(x)}" for name, x in self._three())
        return (
            f"Nine heads look at the neighbours of a pixel, {how}. "
            f"At row {state['row'] + 1}, column {state['column'] + 1}: {numbers}."
        )

    def table(self) -> str:
        """Write the heads at the chosen pixel, and the three numbers, as an HTML table."""
        state = self.state
        i = state["row"] * state["image"].shape[1] + state["column"]
        kernel, seen = state["kernel"].ravel(), self.weights[:, i] @ state["image"].ravel()
        rows = [
            f'<tr><th scope="row">head {n + 1}, {_offset(*OFFSETS[n].tolist())}</th><td>{number(kernel[n])}</td>'
            f"<td>{number(seen[n])}</td><td>{number(kernel[n] * seen[n])}</td></tr>"
            for n in range(9)
        ]
        sums = [f'<tr><th scope="row" colspan="3">{name}</th><td>{number(x)}</td></tr>' for name, x in self._three()]
        body = "\n".join(rows + sums)
        caption = html.escape(state["caption"] or "What each head sees from the chosen pixel, and what comes of it.")
        head = "".join(f'<th scope="col">{name}</th>' for name in ("looks at", "kernel", "sees", "product"))
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Heads and sums">
<table>
<caption>{caption}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""


def _offset(a: int, b: int) -> str:
    """Say where an offset points.

    Examples
    --------
    >>> _offset(-1, 1), _offset(0, -1), _offset(0, 0)
    ('above right', 'left', 'the pixel itself')
    """
    parts = [("above", "", "below")[a + 1], ("left", "", "right")[b + 1]]
    return " ".join(filter(None, parts)) or "the pixel itself"

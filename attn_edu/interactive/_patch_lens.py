"""The patch lens: where a patch of an image looks in one layer and head, and the rollout through the layers so far."""

import html
from typing import Any

import numpy as np

from ._checks import check_array, check_caption, check_count, check_sums, check_tokens
from ._figure import Figure

MOST = 6  # images; more do not fit a row of buttons on a phone
DEEPEST = 12  # layers, and heads
WIDEST = 6  # patches in a row


class PatchLens(Figure):
    r"""Attention drawn over an image: the reader picks the image, the patch that looks, the layer and the head.

    Beside it stands the rollout of Abnar and Zuidema (2020) through all layers up to that one: with :math:`\bar A_l`
    the mean of layer l's heads, the product :math:`(\bar A_l + I)/2 \cdots (\bar A_1 + I)/2`.

    Parameters
    ----------
    images : (N, side, side)
        Grey images, from 0 for paper to 1 for ink.
    maps : (N, layers, h, T, T)
        Attention weights, T = 1 + g²: the class token, then g × g patches in reading order. Each row sums to 1, up to
        0.02 for weights that were rounded.
    labels : sequence of N str
        What each image is called.
    image : int
        The image shown first, from 0.
    layer : int
        The layer shown first, from 1.
    head : int
        The head shown first, from 1; 0 shows the mean of all heads.
    token : int
        Who looks first: 0 is the class token, 1 to g² are the patches.
    caption : str, optional
        A sentence under the figure: what is to be seen.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite or out of range, or rows do not sum to 1.

    Examples
    --------
    One patch, and so two tokens. In layer 1 each looks at itself; in layer 2 the class token looks at the patch alone.
    Half of that is residual, so the rollout gives it 1/2:

    >>> maps = np.array([[[[1, 0], [0, 1]]], [[[0, 1], [0, 1]]]])
    >>> PatchLens(np.ones((1, 2, 2)), maps[None], ["dot"], layer=2).rollout
    array([[0.5, 0.5],
           [0. , 1. ]])
    """

    name = "patch_lens"
    readings = ("weights", "rollout")

    def __init__(
        self,
        images: Any,
        maps: Any,
        labels: Any,
        *,
        image: int = 0,
        layer: int = 1,
        head: int = 1,
        token: int = 0,
        caption: str | None = None,
    ) -> None:
        images = check_array("images", images, 3, "(N, side, side)")
        maps = check_array("maps", maps, 5, "(N, layers, h, T, T)")
        labels = check_tokens("labels", labels)
        if not 1 <= len(images) <= MOST:
            raise ValueError(f"images: wanted 1 to {MOST}, got {len(images)}")
        if len(labels) != len(images):
            raise ValueError(f"labels: wanted {len(images)} as in images, got {len(labels)}")
        if images.shape[1] != images.shape[2]:
            raise ValueError(f"images: wanted shape (N, side, side), got {images.shape}")
        if images.min() < 0 or images.max() > 1:
            raise ValueError(f"images: wanted numbers from 0 to 1, got {images.min():g} to {images.max():g}")
        count, layers, heads, rows, columns = maps.shape
        if count != len(images):
            raise ValueError(f"maps: wanted shape (N, layers, h, T, T) with N = {len(images)}, got {maps.shape}")
        if not (1 <= layers <= DEEPEST and 1 <= heads <= DEEPEST):
            raise ValueError(f"maps: wanted 1 to {DEEPEST} layers and heads, got {layers} and {heads}")
        wide = round((rows - 1) ** 0.5)
        if rows != columns or rows != 1 + wide**2 or not 1 <= wide <= WIDEST:
            raise ValueError(f"maps: wanted T = 1 + g² for g × g patches, g from 1 to {WIDEST}, got {maps.shape}")
        if images.shape[1] % wide:
            raise ValueError(f"images: wanted a side that {wide} patches divide, got {images.shape[1]}")
        check_sums("maps", maps)
        given = {"image": (image, 0, count - 1), "layer": (layer, 1, layers)}
        given |= {"head": (head, 0, heads), "token": (token, 0, rows - 1)}
        for name, (value, least, most) in given.items():
            check_count(name, value, least, most)
        check_caption(caption)
        self.state = {
            "images": images,
            "maps": maps,
            "labels": labels,
            "image": int(image),
            "layer": int(layer),
            "head": int(head),
            "token": int(token),
            "caption": caption,
        }

    @property
    def weights(self) -> np.ndarray:
        """Attention weights of the chosen image, layer and head, (T, T)."""
        state = self.state
        heads = state["maps"][state["image"], state["layer"] - 1]
        return heads[state["head"] - 1].copy() if state["head"] else heads.mean(0)

    @property
    def rollout(self) -> np.ndarray:
        """Rollout of the chosen image through the layers up to the chosen one, (T, T)."""
        state = self.state
        product = np.eye(state["maps"].shape[-1])
        for heads in state["maps"][state["image"], : state["layer"]]:
            product = (heads.mean(0) + np.eye(len(product))) / 2 @ product
        return product

    def _place(self, token: int) -> str:
        wide = round((self.state["maps"].shape[-1] - 1) ** 0.5)
        row, column = divmod(token - 1, wide)
        return f"row {row + 1}, column {column + 1}" if token else "class token"

    def summary(self) -> str:
        """Say in plain text what is to be seen."""
        state = self.state
        who = f"the patch at {self._place(state['token'])}" if state["token"] else "the class token"
        which = f"head {state['head']}" if state["head"] else "the mean of all heads"
        weights, rollout = (matrix[state["token"]] for matrix in (self.weights, self.rollout))
        most, far = int(weights.argmax()), int(rollout.argmax())
        return (
            f"Image “{state['labels'][state['image']]}”: in layer {state['layer']}, {which}, {who} looks most at "
            f"{self._place(most)}, with weight {weights[most]:.2f}. "
            f"Its rollout is largest at {self._place(far)}, {rollout[far]:.2f}."
        )

    def table(self) -> str:
        """Write the chosen token's weights and rollout as an HTML table."""
        state = self.state
        pairs = zip(self.weights[state["token"]], self.rollout[state["token"]], strict=True)
        body = "\n".join(
            f'<tr><th scope="row">{self._place(j)}</th><td>{weight:.2f}</td><td>{rolled:.2f}</td></tr>'
            for j, (weight, rolled) in enumerate(pairs)
        )
        caption = html.escape(state["caption"] or "Where the chosen token looks, and its rollout.")
        head = "".join(f'<th scope="col">{name}</th>' for name in ("looked at", "weight", "rollout"))
        return f"""\
<div class="attn-scroll" tabindex="0" role="region" aria-label="Weights and rollout">
<table>
<caption>{caption}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
</div>"""

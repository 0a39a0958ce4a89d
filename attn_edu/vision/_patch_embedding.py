r"""Patch embedding: cut an image into squares, and multiply the numbers of each square by one and the same matrix.

.. math:: y_i = \operatorname{flatten}(\text{patch}_i)\, W + b

Source: Dosovitskiy et al. (2021), equation 1, where W is called E and there is no b. Patches come in reading order, and
so do the pixels of a patch, each with all its channels. As a convolution: the patch is the kernel's size and its step.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * height width channels, W: numbers d, b: d"
NO_WEIGHTS = "it has no weights"


def patch_embedding(
    x: Float[np.ndarray, "*batch height width channels"],
    *,
    W: Float[np.ndarray, "numbers d"],
    b: Float[np.ndarray, " d"],
    patch: int,
) -> Float[np.ndarray, "*batch patches d"]:
    """Turn each square of pixels into one token.

    Parameters
    ----------
    x : (..., height, width, channels)
        Images. Height and width are multiples of `patch`.
    W : (patch·patch·channels, d)
        One row for each number of a patch: pixels in reading order, the channels of a pixel side by side.
    b : (d,)
        Bias, the same for all patches.
    patch : int
        Side of a patch, in pixels.

    Returns
    -------
    output : (..., height/patch · width/patch, d)
        One token for each patch, in reading order.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or `patch` does not divide height and width.

    References
    ----------
    Dosovitskiy et al. (2021), section 3.1, equation 1.

    Examples
    --------
    An image of 2 × 4 pixels is two patches of 2 × 2, side by side. The left one holds 1, 2 above 5, 6, and W weighs
    these by 1, 10, 100 and 1000:

    >>> x = np.arange(1.0, 9.0).reshape(2, 4, 1)
    >>> patch_embedding(x, W=np.array([[1.0], [10.0], [100.0], [1000.0]]), b=np.zeros(1), patch=2)
    array([[6521.],
           [8743.]])
    """
    check_images(np.ndarray, patch, x=x, W=W, b=b)
    patches = rearrange(x, "... (r p) (c q) k -> ... (r c) (p q k)", p=patch, q=patch)
    return patches @ W + b


def check_images(kind: Any, patch: Any, **arrays: Any) -> None:
    """Check that patches fill the images, and that W has a row for each number of a patch."""
    check_width("patch", patch)
    check_arrays(kind, PATTERN, **arrays)
    height, width, channels = arrays["x"].shape[-3:]
    if height % patch or width % patch:
        raise ValueError(f"x: wanted height and width to be multiples of patch = {patch}, got {height} × {width}")
    if (rows := len(arrays["W"])) != patch * patch * channels:
        wanted = f"patch · patch · channels = {patch * patch * channels}"
        raise ValueError(f"W: wanted {wanted} rows, with the channels of x, got {rows}")


class PatchEmbedding(nn.Module):
    """`patch_embedding` as a PyTorch module with parameters W and b: one strided convolution.

    Parameters
    ----------
    patch : int
        Side of a patch, in pixels: the kernel's size and its step.
    channels : int
        Numbers in a pixel.
    d_model : int
        Width d of the tokens.

    Raises
    ------
    TypeError, ValueError
        If one of them is not an integer of at least 1.

    Examples
    --------
    >>> layer = PatchEmbedding(patch=2, channels=1, d_model=1)
    >>> _ = layer.load_state_dict({"W": torch.tensor([[1.0], [10.0], [100.0], [1000.0]]), "b": torch.zeros(1)})
    >>> layer(torch.arange(1.0, 9.0).reshape(2, 4, 1)).detach()
    tensor([[6521.],
            [8743.]])
    """

    def __init__(self, patch: int, channels: int, d_model: int) -> None:
        super().__init__()
        check_width("patch", patch)
        check_width("channels", channels)
        check_width("d_model", d_model)
        self.patch = patch
        self.W = nn.Parameter(torch.empty(patch * patch * channels, d_model))
        self.b = nn.Parameter(torch.empty(d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W anew, Glorot-uniform, and set b to zero."""
        nn.init.xavier_uniform_(self.W)
        nn.init.zeros_(self.b)

    def forward(self, x: Float[Tensor, "*batch height width channels"]) -> Float[Tensor, "*batch patches d"]:
        """Return one token for each patch (..., patches, d), in reading order."""
        p = self.patch
        check_images(Tensor, p, x=x, W=self.W, b=self.b)
        *batch, height, width, channels = x.shape
        tokens = (height // p) * (width // p)
        if x.numel() == 0:
            return x.new_zeros(*batch, tokens, channels) @ self.W[:channels] + self.b
        kernel = self.W.reshape(p, p, channels, -1).permute(3, 2, 0, 1).contiguous()  # as PyTorch orders them
        images = x.reshape(math.prod(batch), height, width, channels).permute(0, 3, 1, 2)
        return F.conv2d(images, kernel, self.b, stride=p).flatten(2).mT.reshape(*batch, tokens, -1)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw images of p rows of L patches with side p, for p = 2 and 3."""
    made = {}
    for patch in (2, 3):
        x = rng.normal(size=(*sizes.batch, patch * patch, patch * sizes.L, sizes.h))
        parameters = {"W": rng.normal(size=(patch**2 * sizes.h, sizes.d)), "b": rng.normal(size=sizes.d)}
        widths = {"channels": sizes.h, "d_model": sizes.d}
        made[f"side {patch}"] = Example({"x": x}, parameters, {"patch": patch}, widths)
    return made


MECHANISM = Mechanism(
    title="Patch embedding",
    citation="dosovitskiy2021image",
    equation=r"y_i = \operatorname{flatten}(\text{patch}_i)\, W + b",
    cost=r"O(\text{height} \cdot \text{width} \cdot \text{channels} \cdot d)",
    kind="piece",
    reference=patch_embedding,
    module=PatchEmbedding,
    examples=examples,
    properties=claims(
        fails="equivariant_to_query_order",
        does_not_apply={
            "rows_sum_to_one": NO_WEIGHTS,
            "weights_not_negative": NO_WEIGHTS,
            "largest_on_diagonal": NO_WEIGHTS,
            "invariant_to_key_order": "it has no keys",
            "linear_in_values": "it has no values",
            "causal_when_asked": "patches do not meet",
        },
    ),
    refuses={"patch": (0, 2.0, "two"), "channels": (0, 2.5), "d_model": (0, "wide")},
    chapter="notebooks/vision/01_image_patches",
)

"""The Vision Transformer: an encoder whose tokens are the patches of an image, and one token to answer with.

Source: Dosovitskiy et al. (2021), equations 1 to 4. Unlike in the paper there is no dropout, the patch embedding has a
bias, and the feed-forward networks have a ReLU instead of a GELU. The head is one linear layer, as in the paper's
fine-tuning; in its pre-training the head has a hidden layer.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu.checks import check_divides, check_width
from attn_edu.core import LayerNorm
from attn_edu.positions import LearnedPositions
from attn_edu.vision import PatchEmbedding

from ._block import EncoderBlock


class ViT(nn.Module):
    """Patches, a class token before them, learned positions, pre-norm blocks, and a head that reads the class token.

    Parameters
    ----------
    side, patch, channels : int
        Side of the square images and of their patches, in pixels; numbers in a pixel.
    classes : int
        Number of logits.
    d_model, heads, d_hidden, blocks : int
        As in `Encoder`.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1, `patch` does not divide `side`, or `heads` does not divide d_model.

    Examples
    --------
    An image of 4 × 4 pixels in patches of 2 × 2 is four tokens, five with the class token:

    >>> model = ViT(side=4, patch=2, channels=3, classes=10, d_model=8, heads=2, d_hidden=16, blocks=3)
    >>> logits, maps = model(torch.zeros(7, 4, 4, 3))
    >>> logits.shape, len(maps), maps[0].shape
    (torch.Size([7, 10]), 3, torch.Size([7, 2, 5, 5]))
    """

    def __init__(
        self,
        side: int,
        patch: int,
        channels: int,
        classes: int,
        d_model: int,
        heads: int,
        d_hidden: int,
        blocks: int,
    ) -> None:
        super().__init__()
        check_width("side", side)
        check_divides("patch", patch, side=side)
        check_width("classes", classes)
        check_width("blocks", blocks)
        self.side = side
        self.patches = PatchEmbedding(patch, channels, d_model)
        self.class_token = nn.Parameter(0.1 * torch.randn(d_model))
        self.positions = LearnedPositions(1 + (side // patch) ** 2, d_model)
        self.blocks = nn.ModuleList(EncoderBlock(d_model, heads, d_hidden, norm_first=True) for _ in range(blocks))
        self.norm = LayerNorm(d_model)
        self.head = nn.Linear(d_model, classes)

    def encode(
        self, x: Float[Tensor, "*batch side side channels"], need_weights: bool = True
    ) -> tuple[Float[Tensor, "*batch T d_model"], list[Tensor] | None]:
        """Return the last tokens, class token first, and each block's weights (..., h, T, T) if `need_weights`.

        T is 1 + (side/patch)², the class token and all patches.
        """
        patches = self.patches(x)
        if x.shape[-3:-1] != (self.side, self.side):
            raise ValueError(f"x: wanted images of {self.side} × {self.side}, got {x.shape[-3]} × {x.shape[-2]}")
        token = self.class_token.expand(*patches.shape[:-2], 1, -1)
        tokens, maps = self.positions(torch.cat((token, patches), -2)), []
        for block in self.blocks:
            tokens, weights = block(tokens, need_weights=need_weights)
            maps.append(weights)
        return self.norm(tokens), maps if need_weights else None

    def forward(
        self, x: Float[Tensor, "*batch side side channels"], need_weights: bool = True
    ) -> tuple[Float[Tensor, "*batch classes"], list[Tensor] | None]:
        """Return the logits of each image, and the maps as `encode` does."""
        tokens, maps = self.encode(x, need_weights)
        return self.head(tokens[..., 0, :]), maps

"""Attention on images: patches as tokens, one axis at a time, and the pixels near by."""

from ._axial_attention import AxialAttention as AxialAttention, axial_attention as axial_attention
from ._local_attention_1d import (
    LocalAttention1d as LocalAttention1d,
    local_attention_1d as local_attention_1d,
    memory_1d as memory_1d,
)
from ._local_attention_2d import (
    LocalAttention2d as LocalAttention2d,
    block_order as block_order,
    local_attention_2d as local_attention_2d,
    memory_2d as memory_2d,
)
from ._patch_embedding import PatchEmbedding as PatchEmbedding, patch_embedding as patch_embedding

"""Attention on images. The first piece turns an image into tokens."""

from ._patch_embedding import PatchEmbedding as PatchEmbedding, patch_embedding as patch_embedding

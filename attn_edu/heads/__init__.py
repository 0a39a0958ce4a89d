"""What heads do with each other's maps."""

from ._re_attention import ReAttention as ReAttention, re_attention as re_attention

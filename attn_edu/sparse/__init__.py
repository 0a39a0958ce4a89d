"""Attention over few places: chosen before anything is read, or by a hash of what is there."""

from ._sliding_window_attention import (
    SlidingWindowAttention as SlidingWindowAttention,
    sliding_window_attention as sliding_window_attention,
    window_pattern as window_pattern,
)
from ._strided_attention import (
    StridedAttention as StridedAttention,
    strided_attention as strided_attention,
    strided_pattern as strided_pattern,
)
from ._fixed_attention import (
    FixedAttention as FixedAttention,
    fixed_attention as fixed_attention,
    fixed_pattern as fixed_pattern,
)
from ._global_window_attention import (
    GlobalWindowAttention as GlobalWindowAttention,
    global_pattern as global_pattern,
    global_window_attention as global_window_attention,
)
from ._layers_reach import layers_to_reach as layers_to_reach, reach as reach
from ._lsh_attention import (
    angular_hash as angular_hash,
    lsh_attention as lsh_attention,
    lsh_meetings as lsh_meetings,
    LshAttention as LshAttention,
)

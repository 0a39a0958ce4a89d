"""Where to look: everywhere or in a window, softly or at one place."""

from ._local_m import LocalM as LocalM, local_m as local_m
from ._local_p import LocalP as LocalP, local_p as local_p
from ._soft_attention import (
    doubly_stochastic_penalty as doubly_stochastic_penalty,
    soft_attention as soft_attention,
    SoftAttention as SoftAttention,
)
from ._hard_attention import (
    draw_choice as draw_choice,
    hard_attention as hard_attention,
    HardAttention as HardAttention,
)
from ._relaxed_attention import (
    gumbel_noise as gumbel_noise,
    relaxed_attention as relaxed_attention,
    RelaxedAttention as RelaxedAttention,
)

"""What tells attention the order of its inputs: added to them, rotated into them, or put on the scores."""

from ._learned_positions import LearnedPositions as LearnedPositions, learned_positions as learned_positions
from ._sinusoidal_positions import (
    SinusoidalPositions as SinusoidalPositions,
    sinusoidal_positions as sinusoidal_positions,
)
from ._relative_attention import RelativeAttention as RelativeAttention, relative_attention as relative_attention
from ._rotary import Rotary as Rotary, rotary as rotary
from ._alibi import Alibi as Alibi, alibi as alibi
from ._quadratic_attention import (
    QuadraticAttention as QuadraticAttention,
    quadratic_attention as quadratic_attention,
)

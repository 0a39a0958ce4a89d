"""What a model computes again instead of keeping it for the way back: reversible layers, feed-forward in chunks."""

from ._reversible_residual import (
    ReversibleResidual as ReversibleResidual,
    reversible_inverse as reversible_inverse,
    reversible_residual as reversible_residual,
)
from ._reversible_stack import ReversibleStack as ReversibleStack
from ._chunked_feed_forward import (
    ChunkedFeedForward as ChunkedFeedForward,
    chunked_feed_forward as chunked_feed_forward,
)

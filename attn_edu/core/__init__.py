"""From a weighted sum without parameters to multi-head attention."""

from ._weighted_sum import WeightedSum as WeightedSum, weighted_sum as weighted_sum
from ._soft_dictionary import SoftDictionary as SoftDictionary, soft_dictionary as soft_dictionary
from ._scaled_dot_product import (
    ScaledDotProduct as ScaledDotProduct,
    scaled_dot_product as scaled_dot_product,
)
from ._self_attention import SelfAttention as SelfAttention, self_attention as self_attention
from ._multi_head import MultiHead as MultiHead, multi_head as multi_head
from ._narrow_multi_head import NarrowMultiHead as NarrowMultiHead, narrow_multi_head as narrow_multi_head
from ._layer_norm import LayerNorm as LayerNorm, layer_norm as layer_norm
from ._feed_forward import FeedForward as FeedForward, feed_forward as feed_forward

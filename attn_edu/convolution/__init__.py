"""What stands beside attention: layers whose weights between positions are fixed after training."""

from ._causal_convolution import CausalConvolution as CausalConvolution, causal_convolution as causal_convolution

r"""Causal convolution: each output reads its own input and a few earlier ones, at fixed steps, with fixed matrices.

.. math:: y_t = b + \sum_{m=0}^{k-1} x_{t - m r}\, W_m, \qquad x_s = 0 \text{ for } s < 0

Source: van den Oord et al. (2016), section 2.1, causal convolutions with dilation r, there within gated layers; Bai,
Kolter and Koltun (2018), section 3, state the operation by itself.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from attn_edu.checks import check_arrays, check_width
from attn_edu.mechanism import Example, Mechanism, Sizes, claims

PATTERN = "x: * L d, W: k d d_out, b: d_out"


def causal_convolution(
    x: Float[np.ndarray, "*batch L d"],
    *,
    W: Float[np.ndarray, "k d d_out"],
    b: Float[np.ndarray, "d_out"],
    dilation: int = 1,
) -> Float[np.ndarray, "*batch L d_out"]:
    """Add up the present input and earlier ones, each times the matrix of its distance.

    Parameters
    ----------
    x : (..., L, d)
        Sequence. What stands before its first position counts as zero.
    W : (k, d, d_out)
        Kernel: W[m] multiplies the input m·dilation steps back.
    b : (d_out,)
        Bias, added at every position.
    dilation : int
        r, the step between the inputs that one output reads.

    Returns
    -------
    output : (..., L, d_out)
        Position t depends on positions t, t − r, …, t − (k − 1)r.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, dtype or shape, or `dilation` is not an integer of at least 1.

    References
    ----------
    van den Oord et al. (2016), section 2.1; Bai, Kolter and Koltun (2018), section 3.

    Examples
    --------
    With W_0 = 1, W_1 = 10 and dilation 2, each output is its input plus ten times the one two steps back:

    >>> causal_convolution(
    ...     np.array([[1.0], [2.0], [3.0], [4.0]]), W=np.array([[[1.0]], [[10.0]]]), b=np.zeros(1), dilation=2
    ... ).T
    array([[ 1.,  2., 13., 24.]])
    """
    check_arrays(np.ndarray, PATTERN, x=x, W=W, b=b)
    check_width("dilation", dilation)
    length = x.shape[-2]
    output = np.zeros((*x.shape[:-1], W.shape[-1]), x.dtype) + b
    for m, matrix in enumerate(W):
        back = min(m * dilation, length)
        output[..., back:, :] += x[..., : length - back, :] @ matrix
    return output


class CausalConvolution(nn.Module):
    """`causal_convolution` as a PyTorch module with parameters W and b.

    Parameters
    ----------
    d_in, d_out : int
        Widths of the input and of the output.
    kernel_size : int
        k, how many positions an output reads.
    dilation : int
        r, the step between them.

    Raises
    ------
    TypeError, ValueError
        If `d_in`, `d_out`, `kernel_size` or `dilation` is not an integer of at least 1.

    Examples
    --------
    >>> layer = CausalConvolution(d_in=1, d_out=1, kernel_size=2, dilation=2)
    >>> _ = layer.load_state_dict({"W": torch.tensor([[[1.0]], [[10.0]]]), "b": torch.zeros(1)})
    >>> layer(torch.tensor([[1.0], [2.0], [3.0], [4.0]])).detach().T
    tensor([[ 1.,  2., 13., 24.]])
    """

    def __init__(self, d_in: int, d_out: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        check_width("d_in", d_in)
        check_width("d_out", d_out)
        check_width("kernel_size", kernel_size)
        check_width("dilation", dilation)
        self.dilation = dilation
        self.W = nn.Parameter(torch.empty(kernel_size, d_in, d_out))
        self.b = nn.Parameter(torch.empty(d_out))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W and b uniformly from ±1/√(k·d_in), the range of PyTorch's own convolutions."""
        bound = 1 / math.sqrt(self.W.shape[0] * self.W.shape[1])
        nn.init.uniform_(self.W, -bound, bound)
        nn.init.uniform_(self.b, -bound, bound)

    def forward(self, x: Float[Tensor, "*batch L d"]) -> Float[Tensor, "*batch L d_out"]:
        """Return the output, of shape (..., L, d_out)."""
        check_arrays(Tensor, PATTERN, x=x, W=self.W, b=self.b)
        k, d, d_out = self.W.shape
        length = x.shape[-2]
        rows = x.reshape(math.prod(x.shape[:-2]), length, d).mT
        padded = F.pad(rows, ((k - 1) * self.dilation, 0))  # on the left alone: nothing later comes in
        # PyTorch's kernels run from the earliest input to the latest, and put the output's features first.
        kernel = self.W.flip(0).permute(2, 1, 0)
        if rows.numel() == 0:
            return x.new_zeros(*x.shape[:-1], d_out) + self.b
        return F.conv1d(padded, kernel, self.b, dilation=self.dilation).mT.reshape(*x.shape[:-1], d_out)


def examples(rng: np.random.Generator, sizes: Sizes) -> dict[str, Example]:
    """Draw one example of each use, with a kernel h positions wide."""
    x = rng.normal(size=(*sizes.batch, sizes.L, sizes.d))
    parameters = {"W": rng.normal(size=(sizes.h, sizes.d, sizes.d_v)), "b": rng.normal(size=sizes.d_v)}
    widths = {"d_in": sizes.d, "d_out": sizes.d_v, "kernel_size": sizes.h}
    return {
        "plain": Example({"x": x}, parameters, {}, widths),
        "dilated": Example({"x": x}, parameters, {"dilation": 2}, widths),
    }


MECHANISM = Mechanism(
    title="Causal convolution",
    citation="oord2016wavenet",
    equation=r"y_t = b + \sum_{m=0}^{k-1} x_{t - m r}\, W_m",
    cost=r"O(k L d^2)",
    kind="piece",
    reference=causal_convolution,
    module=CausalConvolution,
    examples=examples,
    properties=claims(
        fails="equivariant_to_query_order",
        does_not_apply={
            "rows_sum_to_one": "no weights",
            "weights_not_negative": "no weights",
            "invariant_to_key_order": "no keys",
            "causal_when_asked": "always causal",
            "linear_in_values": "no values apart from x, in which it is affine",
            "largest_on_diagonal": "no weights",
        },
    ),
    refuses={
        "dilation": (0, 1.5, "two"),
        "d_in": (0, 2.5),
        "d_out": (0, None),
        "kernel_size": (0, 3.0),
    },
    chapter="notebooks/foundations/09_neighbours",
)

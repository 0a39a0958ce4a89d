"""The few pieces that NumPy definitions share."""

import numpy as np
from jaxtyping import Bool, Float

from attn_edu.checks import check_arrays, check_flag, check_mask, check_truths


def may_attend(
    attn_mask: Bool[np.ndarray, "..."] | None, causal: bool, shape: tuple[int, ...]
) -> Bool[np.ndarray, "..."]:
    """Say for every query which keys it may attend to.

    Parameters
    ----------
    attn_mask : bool array that broadcasts to `shape`, or None
        True where query i may attend to key j. None allows all.
    causal : bool
        If True, query i may attend to keys j ≤ i only, besides what the mask says.
    shape : tuple of int
        Shape of the attention weights, ``(*batch, L, S)``.

    Returns
    -------
    allowed : bool array of that shape

    Raises
    ------
    TypeError, ValueError
        If the mask is not boolean or does not broadcast, or `causal` is not a bool.

    Examples
    --------
    >>> may_attend(np.array([True, False, True]), True, (3, 3)).astype(int)
    array([[1, 0, 0],
           [1, 0, 0],
           [1, 0, 1]])
    """
    check_flag("causal", causal)
    allowed = np.ones(shape, dtype=bool)
    if attn_mask is not None:
        check_mask(np.ndarray, attn_mask, shape)
        allowed &= attn_mask
    if causal:
        allowed &= np.arange(shape[-1]) <= np.arange(shape[-2])[:, None]
    return allowed


def masked_softmax(
    scores: Float[np.ndarray, "*shape"], allowed: Bool[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    r"""Softmax over the last axis, among the allowed entries only.

    .. math:: w_{ij} = \frac{m_{ij}\, e^{s_{ij} - c_i}}{\sum_n m_{in}\, e^{s_{in} - c_i}},
              \qquad c_i = \max_{n:\, m_{in} = 1} s_{in}

    Subtracting the row's largest score changes nothing and keeps the exponentials from overflowing.

    Parameters
    ----------
    scores : (..., L, S)
        Logits.
    allowed : (..., L, S) bool
        m, True where a weight may differ from zero.

    Returns
    -------
    weights : (..., L, S)
        Rows sum to one; a row with nothing allowed is all zeros.

    Raises
    ------
    TypeError, ValueError
        If the scores are no array of floating-point numbers, or `allowed` none of booleans in the same shape.

    Examples
    --------
    The exponentials of 0 and ln 3 are 1 and 3, so the weights are a quarter and three quarters:

    >>> scores = np.array([[0.0, np.log(3.0), 9.0], [1.0, 2.0, 3.0]])
    >>> allowed = np.array([[True, True, False], [False, False, False]])
    >>> masked_softmax(scores, allowed)
    array([[0.25, 0.75, 0.  ],
           [0.  , 0.  , 0.  ]])
    """
    check_arrays(np.ndarray, "scores: * S", scores=scores)
    check_truths(np.ndarray, "allowed", allowed, scores.shape)
    scores = np.where(allowed, scores, -np.inf)
    top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = powers.sum(axis=-1, keepdims=True)
    return powers / np.where(total == 0, 1, total)

"""Exercises of the chapter *Attention among its neighbours*."""

from typing import Any

import numpy as np

from ._check import UNANSWERED, Exercise, expect_close, expect_function

_rng = np.random.default_rng(0)


def _masks(height: int, width: int, k: int) -> np.ndarray:
    place = np.argwhere(np.ones((height, width)))
    step = np.argwhere(np.ones((k, k))) - k // 2
    return np.all(place - place[:, None] == step[:, None, None], axis=-1)


def _causal(x: np.ndarray, W: np.ndarray, dilation: int) -> np.ndarray:
    output = np.zeros((len(x), W.shape[2]))
    for t in range(len(x)):
        for m in range(len(W)):
            if t - m * dilation >= 0:
                output[t] += x[t - m * dilation] @ W[m]
    return output


def _judge_narrowest(answer: Any) -> str | None:
    if not callable(answer):
        return f"wanted a function of the kernel, got {answer!r}"
    for h, d, d_out in ((9, 3, 2), (9, 2, 5), (4, 3, 3)):
        kernel = _rng.normal(size=(h, d, d_out))
        given = answer(kernel.copy())
        if given is None or (isinstance(given, tuple | list) and all(part is None for part in given)):
            return UNANSWERED
        if not isinstance(given, tuple | list) or len(given) != 2:
            return f"wanted W_V and W_O in a tuple, got {type(given).__name__}"
        W_V, W_O = (np.asarray(part, dtype=float) for part in given)
        width = min(d, d_out)
        shapes = (d, h * width), (h * width, d_out)
        if (W_V.shape, W_O.shape) != shapes:
            return (
                f"For a kernel of shape {kernel.shape}, W_V and W_O have shapes {W_V.shape} and {W_O.shape}, "
                f"wanted {shapes[0]} and {shapes[1]}"
            )
        products = np.stack([v @ o for v, o in zip(np.split(W_V, h, axis=1), np.split(W_O, h), strict=True)])
        fault = expect_close(products, kernel, f"For a kernel of shape {kernel.shape}, the heads' products")
        if fault:
            return fault
    return None


empty_rows = Exercise(
    "Empty rows among the nine masks of a 3 × 3 convolution, for a picture of 32 × 32 pixels.",
    lambda answer: expect_close(answer, 380.0, "the count", rtol=0),
    (
        "On the 5 × 5 heart there were 56. Which heads have an empty row at a corner, and which along an edge?",
        "At a corner five offsets leave the picture, at another edge pixel three.",
        "There are 4 corners and 4 · 30 other edge pixels.",
    ),
)

masks_for = Exercise(
    "The masks of a k × k convolution of any picture.",
    lambda answer: expect_function(answer, _masks, (5, 5, 3), (2, 3, 3), (4, 7, 5), (1, 3, 1)),
    (
        "The cell above builds them for 5 × 5 pixels and k = 3. Where do 5 and 3 hide in it?",
        "The offsets run from −(k − 1)/2 to (k − 1)/2 in both directions: `np.argwhere(np.ones((k, k))) - k // 2`.",
    ),
)

causal = Exercise(
    "A causal convolution in which W[m] multiplies the input m·dilation steps back.",
    lambda answer: expect_function(
        answer,
        _causal,
        (np.array([[1.0], [2.0], [3.0]]), np.array([[[1.0]], [[10.0]]]), 1),
        (_rng.normal(size=(7, 2)), _rng.normal(size=(3, 2, 4)), 2),
        (_rng.normal(size=(4, 3)), _rng.normal(size=(2, 3, 1)), 5),
    ),
    (
        "With inputs 1, 2, 3 and matrices 1 and 10 the second output should be 2 · 1 + 1 · 10.",
        "`padded[0:length]` begins with all the padding. How many steps back does it look?",
        "Matrix m needs the slice that starts (k − 1 − m)·dilation into the padded sequence.",
    ),
)

narrowest = Exercise(
    "Values and output projection of the narrowest heads that make a kernel.",
    _judge_narrowest,
    (
        "Each matrix of the kernel must be a product of a d × m and an m × d' matrix. If m = d, what is the easiest?",
        "If m = d, take the identity for W_V and the kernel for W_O, as above. If m = d', turn it round.",
        "`np.concatenate(kernel, axis=1)` sets h matrices of d × d' side by side.",
    ),
)

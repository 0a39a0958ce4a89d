"""The handwritten digits that come with scikit-learn, split once and for all."""

import numpy as np
from jaxtyping import Float, Int

TESTED = 500  # images; the other 1,297 are there to train on


def digits() -> tuple[
    Float[np.ndarray, "train 8 8 1"], Int[np.ndarray, "train"], Float[np.ndarray, "test 8 8 1"], Int[np.ndarray, "test"]
]:
    """Load 1,797 digits of 8 × 8 grey pixels and set 500 of them apart for testing, always the same ones.

    They lie in scikit-learn itself: nothing is fetched. Pixels run from 0 for paper to 1 for ink, in steps of 1/16.
    Thirteen people wrote them, and the split does not tell the writers apart.

    Returns
    -------
    train_images : (1297, 8, 8, 1)
        In single precision, channels last.
    train_labels : (1297,)
        0 to 9.
    test_images, test_labels : (500, 8, 8, 1), (500,)
        The same, set apart.

    Raises
    ------
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> images, labels, test_images, test_labels = digits()
    >>> images.shape, test_images.shape, float(images.min()), float(images.max())
    ((1297, 8, 8, 1), (500, 8, 8, 1), 0.0, 1.0)
    >>> np.bincount(test_labels).min() >= 40
    np.True_
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits come with scikit-learn; to install it: pip install scikit-learn") from error
    found = load_digits()
    order = np.random.default_rng(2021).permutation(len(found.images))
    images = (found.images[order, :, :, None] / 16).astype(np.float32)
    labels = found.target[order].astype(np.int64)
    return images[TESTED:], labels[TESTED:], images[:TESTED], labels[:TESTED]

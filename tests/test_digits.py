"""The digits: always the same split, every image once, and a plain word where scikit-learn is missing."""

import subprocess
import sys

import numpy as np
from sklearn.datasets import load_digits

from attn_edu.tasks import digits


def test_every_digit_once():
    images, labels, test_images, test_labels = digits()
    found = load_digits()
    pixels = np.concatenate([test_images, images])[..., 0]
    assert pixels.dtype == np.float32 and labels.dtype == test_labels.dtype == np.int64
    rows = np.concatenate([16 * pixels.reshape(1797, 64), np.concatenate([test_labels, labels])[:, None]], axis=1)
    wanted = np.concatenate([found.data, found.target[:, None]], axis=1)
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], wanted[np.lexsort(wanted.T)])


def test_always_the_same_split():
    first, again = digits(), digits()
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first[3][:8].tolist() == load_digits().target[np.random.default_rng(2021).permutation(1797)[:8]].tolist()


def test_says_what_is_missing():
    code = """
import sys
sys.modules["sklearn"] = None
from attn_edu.tasks import digits
try:
    digits()
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install scikit-learn" in run.stdout

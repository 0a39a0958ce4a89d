"""The shared pieces, beside limits and beside each other."""

import math

import numpy as np
import pytest
import torch
from contrast import contrast
from numpy.testing import assert_allclose, assert_array_equal

from attn_edu import checks, colours, np_ops, torch_ops


def test_softmax_twins_agree_and_leave_exact_zeros():
    rng = np.random.default_rng(0)
    scores, allowed = rng.normal(size=(3, 5, 7)) * 50, rng.random((3, 5, 7)) < 0.5
    allowed[1, 2] = False
    ours = np_ops.masked_softmax(scores, allowed)
    twin = torch_ops.masked_softmax(torch.from_numpy(scores), torch.from_numpy(allowed))
    assert_allclose(ours, twin.numpy(), rtol=1e-12)
    assert np.all(ours[~allowed] == 0) and np.all(twin.numpy()[~allowed] == 0)


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 1e300])
def test_softmax_ignores_a_shift_and_never_overflows(shift):
    scores, allowed = np.array([[0.0, math.log(3.0)]]) + shift, np.ones((1, 2), bool)
    wanted = [[0.25, 0.75]] if abs(shift) < 1e5 else [[0.5, 0.5]]  # 1e300 + ln 3 is 1e300
    assert_allclose(np_ops.masked_softmax(scores, allowed), wanted, rtol=1e-10)
    assert_allclose(torch_ops.masked_softmax(torch.from_numpy(scores), torch.from_numpy(allowed)), wanted, rtol=1e-10)


def test_masks_of_both_forms_agree():
    rng = np.random.default_rng(1)
    for mask in (None, rng.random(7) < 0.5, rng.random((5, 7)) < 0.5, rng.random((2, 1, 7)) < 0.5):
        for causal in (False, True):
            ours = np_ops.may_attend(mask, causal, (2, 5, 7))
            tensor = None if mask is None else torch.from_numpy(mask)
            twin = torch_ops.may_attend(tensor, causal, (2, 5, 7), torch.device("cpu"))
            assert twin is not None or ours.all()
            assert_array_equal(ours, True if twin is None else np.broadcast_to(twin.numpy(), ours.shape))


def test_causal_order_by_hand():
    assert_array_equal(np_ops.may_attend(None, True, (2, 3)), [[True, False, False], [True, True, False]])


@pytest.mark.parametrize("number", [0, -1, math.inf, math.nan])
def test_positive_refuses(number):
    with pytest.raises(ValueError, match="scale: wanted a finite number above 0, got"):
        checks.check_positive("scale", number)


def test_one_colour_for_each_role():
    """Query, key and value stay apart, and each is legible (contrast 4.5 and more) on its page."""
    for shades, page in ((colours.LIGHT, "#ffffff"), (colours.DARK, "#14181e")):
        assert list(shades) == ["query", "key", "value"] and len(set(shades.values())) == 3
        for role, shade in shades.items():
            assert contrast(shade, page) >= 4.5, f"{role}: {shade} on {page}"

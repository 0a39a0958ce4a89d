"""The instrument that watches which tensors are made."""

import torch

from attn_edu.memory import largest_tensor


def test_largest_tensor_sees_all_results_and_backward():
    x = torch.ones(3, 4, requires_grad=True)
    assert largest_tensor(lambda: None) == 0
    assert largest_tensor(lambda: x.sum(0)) == 4
    assert largest_tensor(lambda: x.max(dim=1)) == 3  # a tuple
    y = x.sum()
    assert largest_tensor(y.backward) == 12

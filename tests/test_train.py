"""The training loop: it takes the steps it should, shows them, and refuses what cannot be trained."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from attn_edu.tasks import train


def line():
    torch.manual_seed(0)
    return nn.Linear(3, 1, dtype=torch.float64)


def squared(model, x, y):
    return ((model(x) - y) ** 2).mean()


def data(count=40):
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.normal(size=(count, 7, 3)))
    return [(each, each @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64) + 4) for each in x]


def test_steps_are_those_of_gradient_descent():
    model, other = line(), line()
    losses = train(model, data(5), squared, torch.optim.SGD(model.parameters(), lr=0.05), progress=False)
    for (x, y), shown in zip(data(5), losses, strict=True):
        loss = squared(other, x, y)
        assert shown == pytest.approx(loss.item(), rel=1e-12)
        slopes = torch.autograd.grad(loss, list(other.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(other.parameters(), slopes, strict=True):
                parameter -= 0.05 * slope
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-14)


def test_it_learns():
    model = line()
    losses = train(model, data(200), squared, torch.optim.SGD(model.parameters(), lr=0.1))
    assert losses[-1] < 1e-6 * losses[0]
    assert model.bias.item() == pytest.approx(4, abs=1e-3)


def test_progress_bar_counts_the_steps(capfd):
    model = line()
    options = {"loss": squared, "optimizer": torch.optim.SGD(model.parameters(), lr=0.01)}
    train(model, data(6), **options)
    assert "6/6" in capfd.readouterr().err
    train(model, (batch for batch in data(3)), **options)
    assert "3step" in capfd.readouterr().err
    train(model, data(6), **options, progress=False)
    assert capfd.readouterr() == ("", "")


def test_train_refuses():
    model = line()
    sgd = torch.optim.SGD(model.parameters(), lr=1e6)
    with pytest.raises(ValueError, match="batches: wanted at least one, got none"):
        train(model, [], squared, sgd, progress=False)
    with pytest.raises(ValueError, match=r"loss: wanted a tensor with one number, got \(7, 1\)"):
        train(model, data(1), lambda model, x, y: model(x) - y, sgd, progress=False)
    with pytest.raises(ValueError, match="loss: wanted finite numbers, got inf at step"):
        train(model, data(60), squared, sgd, progress=False)


def test_loads_without_tqdm():
    code = """
import sys
sys.modules["tqdm"] = None
from attn_edu.tasks import three_token_lookup, train
import torch
model = torch.nn.Linear(1, 1)
sgd = torch.optim.SGD(model.parameters(), lr=0.1)
loss = lambda model, x: model(x).sum()
train(model, [(torch.ones(1),)], loss, sgd, progress=False)
try:
    train(model, [(torch.ones(1),)], loss, sgd)
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install tqdm" in run.stdout

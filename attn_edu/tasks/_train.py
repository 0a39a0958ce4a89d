"""The training loop of this book."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attn_edu.checks import check_flag, check_is


def train(
    model: nn.Module,
    batches: Iterable[tuple[Any, ...]],
    loss: Callable[..., Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    progress: bool = True,
) -> np.ndarray:
    """Take one step down the slope of the loss for every batch.

    Parameters
    ----------
    model : nn.Module
        What is trained, in place.
    batches : iterable of tuples
        Each is passed to the loss after the model. One with a length gives the progress bar an end.
    loss : callable
        ``loss(model, *batch)`` returns how wrong the model is, a tensor with one number.
    optimizer : torch.optim.Optimizer
        Takes the step, such as ``torch.optim.SGD(model.parameters(), lr=0.1)``.
    progress : bool
        If True, draw a progress bar, which needs tqdm.

    Returns
    -------
    losses : (steps,)
        The loss of each batch before its step.

    Raises
    ------
    ImportError
        If there should be a progress bar and tqdm is missing.
    TypeError
        If an argument is something else than said, or a batch no tuple.
    ValueError
        If there is no batch, the loss is not one number, or it is not finite at the end.

    Examples
    --------
    One parameter at 0 and the loss (θ − 3)². Its slope is 2(θ − 3) = −6, so a step with rate 0.25 leads to 1.5, the
    next to 2.25:

    >>> model = nn.Module()
    >>> model.theta = nn.Parameter(torch.zeros(()))
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.25)
    >>> train(model, [(3.0,), (3.0,)], lambda model, aim: (model.theta - aim) ** 2, sgd, progress=False)
    array([9.  , 2.25])
    >>> model.theta.item()
    2.25
    """
    check_is("model", model, nn.Module, "an nn.Module")
    check_is("batches", batches, Iterable, "tuples, one for each step")
    check_is("loss", loss, Callable, "a function of the model and a batch")
    check_is("optimizer", optimizer, torch.optim.Optimizer, "a torch.optim.Optimizer")
    check_flag("progress", progress)
    if progress:
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise ImportError("the progress bar needs tqdm; to install it: pip install tqdm") from error
        batches = tqdm(batches, unit="step")
    losses = []
    for batch in batches:
        check_is("batches", batch, tuple | list, "tuples, one for each step")
        optimizer.zero_grad()
        wrong = loss(model, *batch)
        if not isinstance(wrong, Tensor) or wrong.numel() != 1:
            shape = tuple(wrong.shape) if isinstance(wrong, Tensor) else type(wrong).__name__
            raise ValueError(f"loss: wanted a tensor with one number, got {shape}")
        wrong.backward()
        optimizer.step()
        losses.append(wrong.detach().reshape(()))  # stays on its device: reading it would wait for the GPU
    if not losses:
        raise ValueError("batches: wanted at least one, got none")
    values = torch.stack(losses).double().cpu().numpy()
    if not np.isfinite(values[-1]):
        first = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"loss: wanted finite numbers, got {values[first]} at step {first}; try a smaller step")
    return values

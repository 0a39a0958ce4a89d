"""Reversible layers with any functions in them: what `ReversibleResidual` runs, and a stack for models."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from attn_edu.checks import check_arrays, check_flag, check_is

Step = tuple[Callable[..., Tensor], Sequence[Tensor]]  # F or G, and the tensors in it that are trained


def decide(function: Callable[..., Tensor], b: Tensor) -> tuple[Tensor, Tensor | None]:
    """Call a function for the first time; return its result, and what it decided if it has a method `decide`."""
    if hasattr(function, "decide"):
        result, decided = function.decide(b)
        return result, decided
    return function(b), None


def forth(x: Tensor, steps: Iterable[Step]) -> tuple[Tensor, list[Tensor | None]]:
    """Take every step (a, b) → (b, a + f(b)): by F from (X_1, X_2) to (X_2, Y_1), by G from there to (Y_1, Y_2).

    Return the streams, and what each function decided.
    """
    (a, b), decisions = x.chunk(2, -1), []
    for function, _ in steps:
        result, decided = decide(function, b)
        if result.shape != b.shape:
            raise ValueError(f"layers: wanted results of shape {tuple(b.shape)}, got {tuple(result.shape)}")
        a, b = b, a + result
        decisions.append(decided)
    return torch.cat((a, b), -1), decisions


def randomness(device: torch.device) -> Tensor:
    """Return the state of the random numbers that functions on this device would draw."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


class Recomputed(torch.autograd.Function):
    """`forth`, of which only the result is kept, and what was decided on the way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: Sequence[Step], *trained: Tensor) -> Tensor:
        """Go forth. Each tensor in the steps that is trained comes once more, for autograd to know of it."""
        state = randomness(x.device)
        y, decisions = forth(x.detach(), steps)
        if not torch.equal(state, randomness(x.device)):
            raise ValueError("layers: wanted none that draws random numbers, as dropout in training does; got one")
        # y and the decisions are new; the others exist anyway, and changes to them are found out.
        ctx.save_for_backward(y, *decisions, *trained)
        ctx.steps, ctx.order, kind = steps, [id(tensor) for tensor in trained], x.device.type
        ctx.cast = {"dtype": torch.get_autocast_dtype(kind), "enabled": torch.is_autocast_enabled(kind)}
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Undo step after step: (b, s) came from (s − f(b), b)."""
        y, *decisions = ctx.saved_tensors[: 1 + len(ctx.steps)]
        (b, s), (d_b, d_s) = y.chunk(2, -1), grad.chunk(2, -1)
        found: dict[int, Tensor] = {}
        for (function, trained), decided in zip(reversed(ctx.steps), reversed(decisions), strict=True):
            with torch.enable_grad(), torch.autocast(y.device.type, **ctx.cast):
                b = b.detach().requires_grad_().view_as(b)  # not a leaf: PyTorch's flop counter fails on those
                result = function(b) if decided is None else function(b, decided)
            if result.requires_grad:
                parts = torch.autograd.grad(result, (b, *trained), d_s.to(result.dtype), allow_unused=True)
                d_b = d_b if parts[0] is None else d_b + parts[0]
                for tensor, part in zip(trained, parts[1:], strict=True):
                    if part is not None:
                        found[id(tensor)] = part + found.get(id(tensor), 0)
            b, s = s - result.detach(), b.detach()
            d_b, d_s = d_s, d_b
        return torch.cat((d_b, d_s), -1), None, *map(found.get, ctx.order)


def run(x: Tensor, steps: Sequence[Step], store: bool) -> Tensor:
    """Take the steps; if `store`, let autograd keep what it will need, else only the last output."""
    if store or not torch.is_grad_enabled():
        return forth(x, steps)[0]
    trained = {id(tensor): tensor for _, tensors in steps for tensor in tensors if tensor.requires_grad}
    return Recomputed.apply(
        x, [(f, [t for t in tensors if t.requires_grad]) for f, tensors in steps], *trained.values()
    )


class ReversibleStack(nn.Module):
    """Reversible layers one after another; going back, each layer's inputs are computed from its outputs.

    Nothing is kept for the backward pass but the last output, however many layers there are. In return each F and G is
    called once more. They must not draw random numbers or change any state, and what is trained in them must be among
    their parameters. The second call gets inputs that differ from the first's by rounding. A function that decides
    something by its input, as a hash does, would decide otherwise once in a while: let it have a method ``decide(x)``
    that returns its result and a tensor of what it decided. That is kept, and comes back as second argument.

    Parameters
    ----------
    layers : sequence of pairs of nn.Module
        F and G of each layer, from tokens (..., L, d) to as many of that width. Modules may come more than once.
    store : bool
        If True, keep what autograd keeps in any other model: the same numbers, with more memory and less work.

    Raises
    ------
    TypeError, ValueError
        If `layers` is not made of pairs of modules, or `store` is not a bool; when called, if a result has another
        shape than its input or a layer draws random numbers.

    Examples
    --------
    F doubles, G triples. From (1, 10): 1 + 20 = 21 and 10 + 63 = 73; in the next layer 21 + 146 = 167 and
    73 + 501 = 574. There and back:

    >>> F, G = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.constant_(F.weight, 2.0), nn.init.constant_(G.weight, 3.0)
    >>> stack = ReversibleStack([(F, G), (F, G)])
    >>> y = stack(torch.tensor([[1.0, 10.0]]))
    >>> y.detach(), stack.inverse(y)
    (tensor([[167., 574.]]), tensor([[ 1., 10.]]))
    """

    def __init__(self, layers: Sequence[tuple[nn.Module, nn.Module]], store: bool = False) -> None:
        super().__init__()
        check_is("layers", layers, Iterable, "pairs of modules")
        for layer in layers:
            if not (isinstance(layer, Sequence) and len(layer) == 2 and all(isinstance(m, nn.Module) for m in layer)):
                raise TypeError(f"layers: wanted pairs of modules, got {layer!r}")
        check_flag("store", store)
        self.parts = nn.ModuleList(part for layer in layers for part in layer)  # F, G, F, G, …
        self.store = store

    def steps(self) -> list[Step]:
        """Return F and G of every layer in order, each with its parameters."""
        return [(part, list(part.parameters())) for part in self.parts]

    def forward(self, x: Float[Tensor, "*batch L dd"]) -> Float[Tensor, "*batch L dd"]:
        """Return the last layer's streams, side by side as in `x`."""
        check_even("x", x)
        return run(x, self.steps(), self.store)

    @torch.no_grad()
    def inverse(self, y: Float[Tensor, "*batch L dd"]) -> Float[Tensor, "*batch L dd"]:
        """Return what the stack would make `y` of, but for rounding."""
        check_even("y", y)
        b, s = y.chunk(2, -1)
        for function, _ in reversed(self.steps()):
            b, s = s - function(b), b
        return torch.cat((b, s), -1)


def check_even(name: str, x: Any) -> None:
    """Check that there are two streams of the same width."""
    check_arrays(Tensor, f"{name}: * L 2d", **{name: x})
    if x.shape[-1] % 2:
        raise ValueError(f"{name}: wanted shape (*, L, 2d), got {tuple(x.shape)}")

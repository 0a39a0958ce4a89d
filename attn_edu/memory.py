"""How large the tensors are that PyTorch makes on the way: an instrument, where `attn_edu.costs` has formulas."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attn_edu.checks import check_is


class Largest(TorchDispatchMode):
    """Watch the tensors that operations make within a ``with``, and keep the size of the largest.

    Attributes
    ----------
    elements : int
        Numbers in that tensor; 0 while none was made.

    Examples
    --------
    >>> with Largest() as watch:
    ...     total = torch.ones(2, 3).sum()
    >>> watch.elements
    6
    """

    elements = 0

    def size(self, made: torch.Tensor) -> int:
        """Say how large a tensor is; another measure may stand here."""
        return made.numel()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation, and look at what it made."""
        made = operation(*args, **(kwargs or {}))
        sizes = [self.size(leaf) for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return made


def largest_tensor(call: Callable[[], Any]) -> int:
    """Run something in PyTorch and return the size of the largest tensor that an operation made on the way.

    What a fused routine uses inside and throws away does not show. Backward passes run in the call are watched too.

    Parameters
    ----------
    call : function without arguments
        What to run.

    Returns
    -------
    elements : int
        Numbers in that tensor; 0 if none was made.

    Raises
    ------
    TypeError
        If `call` cannot be called; what it made, for one, cannot be watched any more.

    Examples
    --------
    A product of 2 × 3 and 3 × 5 makes 10 numbers, and their sum one. The factors were there before.

    >>> a, b = torch.zeros(2, 3), torch.zeros(3, 5)
    >>> largest_tensor(lambda: (a @ b).sum())
    10
    """
    check_is("call", call, Callable, "a function without arguments")
    with Largest() as watch:
        call()
    return watch.elements

"""A stand-in for torch where there is none: enough that the modules can be imported, and nothing that computes.

`install` puts it in torch's place. Every name is there, as a class: it can be a base, an annotation or a dtype, and
raises when called. The two decorators that run while a file is read hand back what they decorate.
"""

import sys
from types import ModuleType

NAMES = (
    "torch",
    "torch.autograd",
    "torch.autograd.function",
    "torch.nn",
    "torch.nn.functional",
    "torch.optim",
    "torch.utils",
    "torch.utils._python_dispatch",
    "torch.utils._pytree",
    "torch.utils.checkpoint",
)


class Refuses(type):
    def __call__(cls, *_, **__):
        raise RuntimeError(
            f"{cls.__module__}.{cls.__name__} was called, and torch is a stand-in here: it cannot compute"
        )


class Pretended(ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, Refuses(name, (), {"__module__": self.__name__}))
        return getattr(self, name)


def same(function):
    return function


def install():
    modules = {name: Pretended(name) for name in NAMES}
    for name, module in modules.items():
        home, _, last = name.rpartition(".")
        if home:
            setattr(modules[home], last, module)
    modules["torch"].no_grad = lambda: same
    modules["torch.autograd.function"].once_differentiable = same
    sys.modules.update(modules)

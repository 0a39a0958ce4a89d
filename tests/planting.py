"""Plant a fault in the shipped source: what a test calls before it wants the fault caught.

A fault replaces one piece of text in one file. That file and the mechanism's are then run anew under names of their
own, so the installed package stays as it is.
"""

import sys
import types
from pathlib import Path

import attn_edu
from attn_edu.catalogue import find

PACKAGE = Path(attn_edu.__file__).parent
MIXED = "heads/_mixed_attention.py"  # which stands between a mechanism and the shared files


def load(path, edits=(), **names):
    """Run a file of the package with its text edited and some of its names replaced."""
    source = (PACKAGE / path).read_text()
    for old, new in edits:
        if old not in source:
            raise LookupError(f"{path} no longer has {old!r}: plant this fault anew")
        source = source.replace(old, new)
    dotted = "attn_edu." + path.removesuffix(".py").replace("/", ".") + "_planted"
    module = types.ModuleType(dotted)
    module.__package__ = dotted.rpartition(".")[0]
    sys.modules[dotted] = module
    exec(compile(source, path, "exec"), module.__dict__)
    module.__dict__.update(names)
    return module


def plant(mechanism, *edits):
    """Return the mechanism's record with (file, old text, new text) edits planted."""
    by_file = {}
    for path, old, new in edits:
        by_file.setdefault(path, []).append((old, new))
    own = f"{find(mechanism).family}/_{mechanism}.py"
    shared = {}
    for path in ("np_ops.py", "torch_ops.py"):
        if path in by_file:
            shared[path.removesuffix(".py")] = load(path, by_file[path])
    if mechanism == "self_attention" and shared:  # it stands on another mechanism's file
        base = load("core/_scaled_dot_product.py", **shared)
        shared = {"scaled_dot_product": base.scaled_dot_product, "ScaledDotProduct": base.ScaledDotProduct}
    if MIXED in by_file:
        shared["MixedAttention"] = load(MIXED, by_file[MIXED]).MixedAttention
    return load(own, by_file.get(own, ()), **shared).MECHANISM

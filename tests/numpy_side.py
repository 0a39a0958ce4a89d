"""What the NumPy definitions say: each worked example by hand, and the numbers of every mechanism's own examples.

As a script it needs no PyTorch: it imports the package's modules beside a stand-in, runs the doctests, and
writes the numbers to a file, so that another interpreter's can be compared.
"""

import doctest
import importlib
import pkgutil
import sys

import numpy as np


def numbers():
    """Return every array that a definition gives for its record's examples, by mechanism, example and place."""
    from attn_edu.catalogue import mechanisms
    from attn_edu.mechanism import Sizes

    found = {}
    for record in mechanisms():
        for case, example in record.examples(np.random.default_rng(0), Sizes()).items():
            mode = {} if example.training is None else {"training": example.training}
            result = record.reference(**example.inputs, **example.parameters, **example.options, **mode)
            results = result if isinstance(result, tuple) else (result,)
            flat = [part for one in results for part in (one if isinstance(one, tuple) else (one,))]
            found |= {f"{record.name}/{case}/{place}": np.asarray(array) for place, array in enumerate(flat)}
    return found


def worked_by_hand():
    """Run the doctests of the definitions and of what they share; say what failed, and how many lines ran."""
    from attn_edu import costs, np_ops
    from attn_edu.catalogue import mechanisms

    finder, runner, report = doctest.DocTestFinder(), doctest.DocTestRunner(verbose=False), []
    functions = [(record.reference, sys.modules[record.reference.__module__]) for record in mechanisms()]
    for thing, module in [(np_ops, np_ops), (costs, costs), *functions]:
        tests = [test for test in finder.find(thing, module=module, globs=vars(module)) if test.examples]
        if not tests:
            report.append(f"{thing.__name__} has no example worked by hand\n")
        for test in tests:
            runner.run(test, out=report.append)
    return "".join(report), runner.tries


def import_all():
    """Import every module but the chapters' exercises, some of which compute with PyTorch as they are read."""
    import attn_edu

    for module in pkgutil.walk_packages(attn_edu.__path__, "attn_edu."):
        if not module.name.startswith("attn_edu.exercises."):
            importlib.import_module(module.name)


if __name__ == "__main__":
    import einops
    import pretend_torch

    einops.rearrange(np.zeros(1), "a -> a")  # before the stand-in: einops would look into it for a tensor's type
    pretend_torch.install()
    import_all()
    failed, tried = worked_by_hand()
    sys.exit(failed) if failed else print(tried)
    np.savez(sys.argv[1], **numbers())

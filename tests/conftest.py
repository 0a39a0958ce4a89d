"""Shapes in signatures are checked in every test; in CI nothing may skip but what needs a GPU or a newer Python."""

import os
from pathlib import Path

import jaxtyping
import pytest

# One thread for each notebook that a test runs: workers would otherwise fight over the cores, ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a machine that runs all tests may do without.
MAY_LACK = ("no CUDA", "no newer Python found")

jaxtyping.install_import_hook("attn_edu", "beartype.beartype")

collect_ignore = ["mutate.py"]  # it imports what `make mutate` installs
pytest_plugins = ["browser", "building", "figures"]


@pytest.fixture
def unhooked():
    """Let our own checks speak, rather than those that the tests put around every call."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


def pytest_addoption(parser):
    parser.addoption("--mechanism", help="run the contract of this mechanism only, such as scaled_dot_product")
    parser.addoption(
        "--chapter", help="run what is tested of this chapter only, and of all together: a notebook's path"
    )


def unknown(name):
    """Say what a mechanism that the catalogue does not have may lack."""
    import attn_edu
    from attn_edu.catalogue import mechanisms

    package = Path(attn_edu.__file__).parent
    for path in package.glob(f"*/_{name}.py"):
        family = path.parent.name
        lines = f"'from ._{name} import …' in attn_edu/{family}/__init__.py"
        if not hasattr(attn_edu, family):
            lines += f", and 'from . import {family} as {family}' in attn_edu/__init__.py"
        return f"attn_edu/{family}/_{name}.py is there, and not in the catalogue; wanted {lines}"
    names = ", ".join(record.name for record in mechanisms())
    return f"there is no attn_edu/<family>/_{name}.py; wanted one of {names}"


def concerns(item, chapter):
    """Whether a test is of this chapter, or of the whole book and quick."""
    path = item.callspec.params.get("path") if hasattr(item, "callspec") else None
    return path == chapter or item.get_closest_marker("whole_book") is not None


def pytest_collection_modifyitems(config, items):
    name, chapter = config.getoption("--mechanism"), config.getoption("--chapter")
    if name:
        kept = [item for item in items if f".{name}-" in item.name or f".{name}]" in item.name]
        if not kept:
            raise pytest.UsageError(f"--mechanism {name}: {unknown(name)}")
        items[:] = kept
    elif chapter:
        items[:] = [item for item in items if concerns(item, chapter)]
    else:
        # One worker builds the book at once; who else needs it comes to that last, when it stands.
        waiting = [item for item in items if "strict_build" in getattr(item, "fixturenames", ())]
        items[:] = [*waiting[:1], *(item for item in items if item not in set(waiting)), *waiting[1:]]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") and not any(lack in str(report.longrepr) for lack in MAY_LACK):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where only {' or '.join(MAY_LACK)} may be a reason: {report.longrepr}"

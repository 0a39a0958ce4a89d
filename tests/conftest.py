"""Shapes in signatures are checked in every test; in CI nothing may skip but what needs a GPU."""

import os

import jaxtyping
import pytest

# One thread for each notebook that a test runs: workers would otherwise fight over the cores, ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

jaxtyping.install_import_hook("attn_edu", "beartype.beartype")

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


def pytest_collection_modifyitems(config, items):
    name = config.getoption("--mechanism")
    if not name:
        # One worker builds the book at once; who else needs it comes to that last, when it stands.
        waiting = [item for item in items if "strict_build" in getattr(item, "fixturenames", ())]
        items[:] = [*waiting[:1], *(item for item in items if item not in set(waiting)), *waiting[1:]]
        return
    kept = [item for item in items if f".{name}-" in item.name or f".{name}]" in item.name]
    if not kept:
        raise pytest.UsageError(f"--mechanism: wanted a mechanism of the catalogue, got {name!r}")
    items[:] = kept


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") and "no CUDA" not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where only CUDA tests may skip: {report.longrepr}"

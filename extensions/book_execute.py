"""Run the notebooks that have to run side by side, the slowest first, before Sphinx reads the pages.

Sphinx reads one page after the other, and myst-nb runs a notebook when its page is read. Here all that are not in the
execution cache run first, one on each core, and then myst-nb finds them there.

``python extensions/book_execute.py`` writes `notebooks/seconds.json` anew: how long each took when it last ran here.
"""

import json
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from jupyter_cache.executors.utils import single_nb_execution
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util.display import status_iterator

SECONDS = "notebooks/seconds.json"
MOST = 8  # notebooks at a time: each has a Python of its own, with PyTorch in it


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slowest_first(notebooks: list[str], seconds: dict[str, float]) -> list[str]:
    """Order notebooks by what they took; one of which nothing is known may be slow, and goes first.

    The last to start should be a short one, for while it runs the other cores have nothing to do.
    """
    return sorted(notebooks, key=lambda name: -seconds.get(name, float("inf")))


def not_in_cache(app: Sphinx, docnames: list[str], cache: JupyterCacheAbstract) -> dict[str, Any]:
    """Read those of the documents that are notebooks without outputs in the cache."""
    found = {}
    for docname in docnames:
        path = Path(app.env.doc2path(docname))
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=4)
            kernel = notebook.metadata.get("kernelspec", {})
            for pattern, alias in app.config.nb_kernel_rgx_aliases.items():  # as myst-nb does: the cache looks at it
                if "name" in kernel and re.fullmatch(pattern, kernel["name"]):
                    kernel["name"] = alias
                    break
            try:
                cache.match_cache_notebook(notebook)
            except KeyError:
                found[docname] = notebook
    return found


def run_ahead(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Run what is not in the cache, and put it there."""
    if app.config.nb_execution_mode != "cache" or not docnames:
        return
    cache = get_cache(app.config.nb_execution_cache_path)
    notebooks = not_in_cache(app, docnames, cache)
    if not notebooks:
        return
    seconds = {}
    with suppress(FileNotFoundError):
        seconds = json.loads((Path(app.srcdir) / SECONDS).read_text())

    def run(docname: str) -> Any:
        folder = Path(env.doc2path(docname)).parent
        return single_nb_execution(
            notebooks[docname],
            cwd=str(folder),
            timeout=app.config.nb_execution_timeout,
            allow_errors=False,
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # it warns of what is so by design
        )

    failed = {}
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the kernels: as many threads as cores, and not that squared
    with ThreadPoolExecutor(min(cores(), MOST)) as pool:
        running: dict[Future[Any], str] = {
            pool.submit(run, docname): docname for docname in slowest_first(list(notebooks), seconds)
        }
        done = status_iterator(
            as_completed(running),
            "executing notebooks... ",
            "purple",
            len(running),
            app.verbosity,
            stringify_func=lambda future: f"{running[future]} ({future.result().time:.0f} s)",
        )
        try:
            for future in done:
                docname, result = running[future], future.result()
                if result.err is not None:
                    failed[docname] = result.exc_string
                    continue
                bundle = CacheBundleIn(
                    notebooks[docname], env.doc2path(docname), data={"execution_seconds": result.time}
                )
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        except BaseException:  # Ctrl-C, say: end the kernels, or the pool would wait for them
            pool.shutdown(wait=False, cancel_futures=True)
            for kernel in psutil.Process().children():
                kernel.kill()
            raise
    if failed:
        told = "\n".join(f"{docname}: a cell failed\n{failed[docname]}" for docname in sorted(failed))
        raise ExtensionError(f"{told}\n{len(failed)} of {len(notebooks)} notebooks failed: {', '.join(sorted(failed))}")


def write_seconds(book: Path) -> str:
    """Write down what each notebook took, as the execution cache of the last build has it."""
    seconds = {}
    for folder in (book / "_build" / ".jupyter_cache").iterdir():
        for record in get_cache(folder).list_cache_records():
            path = Path(record.uri)
            if path.is_relative_to(book):
                name = str(path.relative_to(book).with_suffix(""))
                seconds[name] = round(record.data["execution_seconds"], 1)
    (book / SECONDS).write_text(json.dumps(seconds, indent=1, sort_keys=True) + "\n")
    return f"{SECONDS}: {len(seconds)} notebooks, {sum(seconds.values()):.0f} s in all"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("env-before-read-docs", run_ahead)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    print(write_seconds(Path(__file__).resolve().parents[1]))

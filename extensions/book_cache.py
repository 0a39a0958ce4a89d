"""Keep executed notebooks only as long as the code they ran is the code that is here.

The execution cache compares a notebook with itself alone. This extension puts the cache in a folder named after what
a notebook runs on: the package's files, the pinned versions and the interpreter. When any of them changes, the folder
is another one, and every notebook runs again.
"""

import hashlib
import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.cache.db import NbCacheRecord
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

PINS = ("requirements.txt", "constraints.txt")


def package_folder() -> Path:
    """Return the folder of the `attn_edu` that the notebooks will import."""
    spec = find_spec("attn_edu")
    if spec is None or spec.origin is None:
        raise ExtensionError("attn_edu is not installed. Run: pip install -r requirements.txt")
    return Path(spec.origin).parent


def fingerprint(package: Path, book: Path) -> str:
    """Return a short hash of all that a notebook's outputs depend on, besides the notebook."""
    parts = [path for path in sorted(package.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    parts += [book / name for name in PINS if (book / name).exists()]
    digest = hashlib.sha256(sys.version.encode())
    for path in parts:
        content = path.read_bytes()
        digest.update(
            f"{path.relative_to(package) if package in path.parents else path.name}\0{len(content)}\0".encode()
        )
        digest.update(content)
    return digest.hexdigest()[:16]


def begin(app: Sphinx, config: Config) -> None:
    """Choose the cache, and after a build that did not end well trust nothing that it left half-written."""
    folder = Path(app.srcdir) / "_build" / ".jupyter_cache"
    cache = folder / fingerprint(package_folder(), Path(app.srcdir))
    for stale in folder.glob("*"):
        if stale != cache and stale.is_dir():
            shutil.rmtree(stale)
    # Sphinx sees this value change with the code, so it also reads all pages again, the API reference among them.
    config.nb_execution_cache_path = str(cache)
    drop_broken(cache)
    mark = unfinished(app)
    if mark.exists():
        # Sphinx reads every page again: it says a warning only once, and takes a page that is there for a whole one.
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def unfinished(app: Sphinx) -> Path:
    """Return the file that stands from the beginning of a build to its good end."""
    return Path(app.doctreedir) / "unfinished"


def drop_broken(cache: Path) -> None:
    """Take from the cache what a build that was broken off left half-written there, so that it runs again."""
    if not (cache / "global.db").exists():
        return
    kept = get_cache(cache)
    for record in kept.list_cache_records():
        path = kept._get_notebook_path_cache(record.hashkey)
        try:
            json.loads(path.read_text(encoding="utf8"))
        except (OSError, ValueError):
            NbCacheRecord.remove_record(record.pk, kept.db)
            shutil.rmtree(path.parent, ignore_errors=True)


def end(app: Sphinx, exception: Exception | None) -> None:
    """Let the next build trust this one, if nothing failed and nothing was warned of."""
    if not exception and not app._warncount:
        unfinished(app).unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", begin)
    app.connect("build-finished", end)
    return {"parallel_read_safe": True}

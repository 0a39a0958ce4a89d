"""Raw numbers of the benchmarks, as the scripts in ``benchmarks/`` wrote them, for chapters to draw.

One file, ``DATE-NAME-ALLOCATOR.json``, is one run of a script under one memory allocator: the default one of the
system (glibc), or that one *tuned* to hand nothing back, as ``benchmarks/measuring.py`` sets it.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def results(name: str, allocator: str = "default") -> dict[str, Any]:
    """Return the newest results of a benchmark.

    Parameters
    ----------
    name : str
        What was measured, such as ``"axial"``.
    allocator : str
        ``"default"`` or ``"tuned"``.

    Returns
    -------
    results : dict
        ``date`` (str); ``machine`` (dict: processor, cores, threads, device, versions, allocator); ``rows`` (list of
        dicts), each with the ``name`` of what was timed, its size, and the time of each repeat in seconds.

    Raises
    ------
    ValueError
        If there are none of that name, or none with that allocator; the message lists those there are.

    Examples
    --------
    >>> found = results("axial")
    >>> found["machine"]["threads"], sorted({row["side"] for row in found["rows"]})
    (1, [64, 128])
    """
    newest: dict[str, dict[str, Path]] = {}
    for path in sorted(FOLDER.glob("????-??-??-*-*.json")):  # in the order of their dates
        found, _, under = path.stem[len("2026-01-31-") :].rpartition("-")
        newest.setdefault(found, {})[under] = path
    if not isinstance(name, str) or name not in newest:
        wanted = f"wanted one of {', '.join(sorted(newest))}" if newest else "there are no results"
        raise ValueError(f"name: {wanted}, got {name!r}")
    if not isinstance(allocator, str) or allocator not in newest[name]:
        raise ValueError(f"allocator: wanted one of {', '.join(newest[name])} for {name!r}, got {allocator!r}")
    result: dict[str, Any] = json.loads(newest[name][allocator].read_text(encoding="utf-8"))
    return result

"""What the benchmarks share: two allocators, timing in turns, peak memory, the machine's facts, the file of results.

The default allocator of glibc hands large blocks back to the system and fetches them anew at every step, which costs
most where most is allocated. So every script runs twice, the second time *tuned* to hand nothing back.
"""

import argparse
import ctypes
import importlib.metadata
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from attn_edu.measured import FOLDER

Step = Callable[[], Any]
CPU = torch.device("cpu")

ALLOCATORS: dict[str, dict[str, str]] = {
    "default": {},
    "tuned": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "20000000000",
        "MALLOC_TOP_PAD_": "67108864",
    },
}


def positive(text: str) -> int:
    """Read an argument that is a number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, got {text!r}")
    return int(text)


def arguments(text: str | None, repeats: int) -> argparse.ArgumentParser:
    """Return a parser of the arguments that every script takes; `text` is its docstring."""
    parser = argparse.ArgumentParser(description=(text or "").split("\n")[0])
    parser.add_argument("--repeats", type=positive, default=repeats, help="times each candidate (default: %(default)s)")
    parser.add_argument("--allocator", choices=ALLOCATORS, help="both if left out")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the results (default: %(default)s)")
    return parser


def malloc_settings() -> dict[str, str]:
    """Return the variables that steer this process's allocator."""
    return {name: value for name, value in os.environ.items() if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}


def under_each_allocator(work: Callable[[str], None], chosen: str | None) -> None:
    """Do the work under the chosen allocator, or under both.

    The allocator reads its settings when a process starts; where others are wanted, the script is started again.
    """
    try:
        for name in [chosen] if chosen else ALLOCATORS:
            if chosen and malloc_settings() == ALLOCATORS[chosen]:
                work(name)
                continue
            clean = {key: value for key, value in os.environ.items() if key not in malloc_settings()}
            command = [sys.executable, *sys.argv, "--allocator", name]
            code = subprocess.call(command, env={**clean, **ALLOCATORS[name]})
            if code:
                raise SystemExit(code)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def measure(
    steps: Mapping[str, Step],
    repeats: int,
    device: torch.device = CPU,
    *,
    enough: float = math.inf,
    title: str = "",
) -> dict[str, list[float]]:
    """Return the seconds of each repeat; the candidates take turns, so that what disturbs one disturbs all.

    On a CPU they are the process's own seconds, in which neighbours on the machine count less. The first turn warms up
    and does not count, unless it takes more than `enough` seconds. A candidate that has had three repeats and `enough`
    seconds takes no more turns.
    """
    clock = clock_of(device)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    with tqdm(total=(repeats + 1) * len(steps), desc=title, unit="pass", leave=False, disable=None) as bar:
        for turn in range(repeats + 1):
            for name, step in steps.items():
                if len(seconds[name]) < min(3, repeats) or sum(seconds[name]) < enough:
                    bar.set_postfix_str(name, refresh=False)
                    start = clock()
                    step()
                    if device.type == "cuda":
                        torch.cuda.synchronize()
                    took = clock() - start
                    if turn or took > enough:
                        seconds[name].append(round(took, 9))
                bar.update()
    return seconds


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return the clock that passes on a device are timed with."""
    return time.perf_counter if device.type == "cuda" else time.process_time


def machine(device: torch.device = CPU, packages: Iterable[str] = ()) -> dict[str, Any]:
    """Say what the numbers were taken on; versions of `packages` only where they are installed."""
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "clock": clock_of(device).__name__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "attn-edu": importlib.metadata.version("attn-edu"),
        **versions,
        "allocator": malloc_settings() or "default",
    }


def processor() -> str:
    """Return the processor's name where Linux tells it, else its kind."""
    try:
        named = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        named = None
    return f"{named[1].strip()}, {platform.machine()}" if named else platform.machine()


class KilledError(Exception):
    """The process that measured a candidate's memory was killed, most likely for want of it."""


def peak_bytes(warm: Callable[[], Step], make: Callable[[], Step]) -> int | None:
    """Return by how much one pass raises the memory of a fresh process, or None where this system does not tell.

    What the pass starts from, its inputs and parameters, does not count. `warm` makes a small pass that goes first, so
    that what PyTorch loads once does not count either. The process is forked from one that has imported PyTorch and
    done nothing else. Both arguments are functions of a module, or partial calls of such.
    """
    if not os.access("/proc/self/clear_refs", os.W_OK):
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "tqdm", "attn_edu.catalogue"])
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_report_memory, args=(send, warm, make), daemon=True)
    process.start()
    send.close()
    try:
        added: int = receive.recv()
    except EOFError:
        process.join()
        if process.exitcode == -9:
            raise KilledError from None
        raise RuntimeError(f"a pass failed, with exit code {process.exitcode}; see above") from None
    process.join()
    return added


def _report_memory(
    send: multiprocessing.connection.Connection, warm: Callable[[], Step], make: Callable[[], Step]
) -> None:
    try:
        torch.set_num_threads(1)
        warm()()
        step = make()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)  # what lies about free goes back, or the pass would use it unseen
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        before = _status("VmRSS")
        step()
        send.send(_status("VmHWM") - before)  # getrusage would count the parent's
    except KeyboardInterrupt:
        sys.exit(130)


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    assert found is not None, field
    return 1024 * int(found[1])


def save(folder: Path, name: str, allocator: str, result: Mapping[str, Any]) -> Path:
    """Write ``DATE-name-allocator.json``, with one of the result's `rows` a line, all of it or nothing."""
    today = str(date.today())
    facts = {key: value for key, value in result.items() if key != "rows"}
    head = json.dumps({"date": today, **facts, "rows": []}, indent=1, allow_nan=False)
    lines = ",\n".join("  " + json.dumps(row, allow_nan=False) for row in result["rows"])
    path = folder / f"{today}-{name}-{allocator}.json"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_text(head.removesuffix("[]\n}") + f"[\n{lines}\n ]\n}}\n", encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    print(f"written to {path}")
    return path

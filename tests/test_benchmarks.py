"""The benchmarks run, and keep what they measured; what they measured is no test's business."""

import functools
import inspect
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from importlib import import_module

import pytest
import torch
from chapters import ROOT

from attn_edu import measured
from attn_edu.catalogue import find, mechanisms

sys.path.append(str(ROOT / "extensions"))
import book_benchmarks

BENCHMARKS = ROOT / "benchmarks"
KEPT = sorted(measured.FOLDER.glob("*.json"))
SCRIPTS = ("axial", "local", "re_attention", "run")
ROW = {"name", "length", "seconds", "ratio", "peak_bytes"}


@pytest.fixture
def benchmark(monkeypatch):
    """Return a function that imports a script; their folder is on the path for this test."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def start(script, *arguments, **environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    return subprocess.run(
        [sys.executable, BENCHMARKS / f"{script}.py", *map(str, arguments)],
        env={**clean, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Run it under both allocators, on two mechanisms, at two lengths; the second is foretold to be too long."""
    out = tmp_path_factory.mktemp("results")
    only = ("scaled_dot_product", "local_attention_1d")
    done = start("run", "--lengths", 64, 16, "--repeats", 4, "--only", *only, "--limit", 1e-6, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.stem[len("2026-01-31-") :]: json.loads(path.read_text()) for path in out.iterdir()}, done


def test_one_file_for_each_allocator(tiny, benchmark):
    results, done = tiny
    assert set(results) == {"sequences-default", "sequences-tuned"}, done.stdout
    assert results["sequences-default"]["machine"]["allocator"] == "default"
    assert results["sequences-tuned"]["machine"]["allocator"] == benchmark("measuring").ALLOCATORS["tuned"]
    for result in results.values():
        assert result["machine"]["threads"] == 1
        assert (result["batch"], result["heads"], result["width"], result["dtype"]) == (1, 8, 64, "float32")


def test_rows_hold_times_ratio_and_memory(tiny):
    for result in tiny[0].values():
        rows = {(row["name"], row["length"]): row for row in result["rows"]}
        fused = "F.scaled_dot_product_attention"
        names = {fused, "scaled_dot_product", "local_attention_1d"}
        assert set(rows) == {(name, length) for name in names for length in (16, 64)}
        for row in rows.values():
            assert set(row) - {"why"} == ROW
            assert (row["seconds"] is None) == ("why" in row)
        for name in names:
            row = rows[name, 16]
            assert len(row["seconds"]) == 4 and min(row["seconds"]) > 0
            assert row["peak_bytes"] is None or row["peak_bytes"] >= 0
        assert rows[fused, 16]["ratio"] == rows[fused, 64]["ratio"] == 1
        # What is compared with is timed in any case; the others are not where their shorter length foretells too much.
        assert rows[fused, 64]["seconds"]
        for name in names - {fused}:
            row = rows[name, 64]
            assert row["seconds"] is row["ratio"] is row["peak_bytes"] is None
            assert "foretold" in row["why"]


def test_what_is_left_out_has_a_reason(tiny):
    for result in tiny[0].values():
        names = {record.name for record in mechanisms()}
        reasons = result["left_out"]
        assert set(reasons) <= names | {"local-attention", "reformer-pytorch", "axial-attention"}
        assert "layer_norm" in reasons and "scaled_dot_product" not in reasons
        assert all(reasons.values())


def test_packages_that_are_missing_are_named(tiny):
    for name in ("local-attention", "reformer-pytorch", "axial-attention"):
        installed = name not in tiny[0]["sequences-default"]["left_out"]
        assert installed or f"{name} is not timed" in tiny[1].stdout
    assert "pip install -r benchmarks/requirements.txt" in tiny[1].stdout or installed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "scaled_dot"), r"--only: wanted some of F\.scaled_dot_product_attention, .*, got scaled_dot"),
        (("--lengths", "100"), "--lengths: wanted a power of two from 16, got '100'"),
        (("--lengths", "8"), "--lengths: wanted a power of two from 16, got '8'"),
        (("--repeats", "0"), "--repeats: wanted a whole number from 1, got '0'"),
        (("--limit", "-1"), "--limit: wanted a number above 0, got '-1'"),
        (("--allocator", "jemalloc"), "--allocator: invalid choice: 'jemalloc'.*default.*tuned"),
        (("--device", "tpu"), "--device: invalid choice: 'tpu'.*cpu.*cuda"),
    ],
)
def test_bad_arguments_are_named(benchmark, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        benchmark("run").main()
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err, re.S)


def test_cuda_is_refused_where_there_is_none(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["run.py", "--device", "cuda"])
    with pytest.raises(SystemExit):
        benchmark("run").main()
    assert "--device: wanted cpu, since PyTorch finds no GPU, got 'cuda'" in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_takes_the_common_arguments(benchmark, monkeypatch, capsys, script):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as stop:
        benchmark(script).main()
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--repeats", "--allocator", "--out"))


def test_options_name_mechanisms_and_what_they_take(benchmark, monkeypatch):
    """A slip in the table would otherwise time the example's toy options. Names still to come are passed over."""
    run = benchmark("run")
    for label in run.candidates()[0]:
        name, _, variant = label.partition(", ")
        run.make(label, 64, torch.device("cpu"))()  # location-based attention once had no more places than the example
        if name in run.OPTIONS:
            assert set(run.OPTIONS[name][variant].options(64)) <= takes(name)
    monkeypatch.setitem(run.OPTIONS, "not_there_yet", {"": run.Use(lambda n: {"stride": n})})
    assert "not_there_yet" not in run.candidates()[0]


def takes(name):
    return set(inspect.signature(find(name).module).parameters)


def test_a_sequence_has_the_length_asked_for(benchmark, monkeypatch):
    """Inputs are drawn small and stretched: eight heads of width 64, the length along the right axis."""
    run = benchmark("run")
    seen = {}
    for label in ("scaled_dot_product", "multi_head", "re_attention", "local_attention_1d", "local_attention_2d"):
        shapes = seen.setdefault(label, {})

        def leaf(name, shape, device, shapes=shapes):
            shapes[name] = shape
            return torch.zeros(shape, requires_grad=True)

        monkeypatch.setattr(run, "leaf", leaf)
        run.make(label, 32, torch.device("cpu"))
    assert set(seen["scaled_dot_product"].values()) == {(1, 8, 32, 64)}
    assert set(seen["multi_head"].values()) == {(1, 32, 512)}
    assert set(seen["re_attention"].values()) == {(1, 8, 32, 64)}
    assert set(seen["local_attention_1d"].values()) == {(1, 8, 32, 64)}
    assert set(seen["local_attention_2d"].values()) == {(1, 8, 4, 8, 64)}


@pytest.mark.parametrize(
    ("length", "root", "sides"), [(16, 4, (4, 4)), (32, 8, (4, 8)), (1024, 32, (32, 32)), (2048, 64, (32, 64))]
)
def test_strides_and_images_follow_the_length(benchmark, length, root, sides):
    run = benchmark("run")
    assert (run.near_root(length), run.sides(length)) == (root, sides)


def test_growth_is_foretold(benchmark):
    foretold = benchmark("run").foretold
    assert foretold([], 8) == 0
    assert foretold([(1, 3.0)], 4) == 48  # one length alone: as its square
    assert math.isclose(foretold([(1, 3.0), (2, 6.0)], 8), 24)  # linear so far
    assert math.isclose(foretold([(1, 3.0), (2, 12.0)], 4), 48)  # quadratic so far
    assert foretold([(1, 3.0), (2, 3.0)], 4) == 6  # noise: never less than linear
    assert foretold([(1, 3.0), (2, 300.0)], 4) == 1200  # nor more than quadratic


# What the scripts share


def hold(megabytes):
    """Return a step that fills so much memory and lets it go."""
    return lambda: torch.zeros(megabytes, 250_000).sum()


def fail():
    raise ValueError("planted")


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="this system does not tell peak memory")
def test_peak_memory_is_that_of_the_pass(benchmark):
    """What was held and freed before, here and in the making of the pass, does not count."""
    peak_bytes = benchmark("measuring").peak_bytes
    hold(300)()
    for before, megabytes in ((100, 50), (1, 200)):
        added = peak_bytes(functools.partial(hold, before), functools.partial(hold, megabytes))
        assert added == pytest.approx(1e6 * megabytes, rel=0.1)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="this system does not tell peak memory")
def test_a_pass_that_fails_is_said_so(benchmark):
    with pytest.raises(RuntimeError, match="exit code 1"):
        benchmark("measuring").peak_bytes(functools.partial(hold, 1), fail)


def test_candidates_take_turns(benchmark):
    measuring = benchmark("measuring")
    turns = []
    steps = {"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}
    seconds = measuring.measure(steps, 4)
    assert "".join(turns) == "ab" * 5  # the first turn warms up
    assert {name: len(times) for name, times in seconds.items()} == {"a": 4, "b": 4}
    turns.clear()
    long = {**steps, "a": lambda: turns.append("a") or busy(0.01)}
    assert {name: len(times) for name, times in measuring.measure(long, 5, enough=0.02).items()} == {"a": 3, "b": 5}
    assert "".join(turns) == "ab" * 4 + "b" * 2
    turns.clear()
    assert {name: len(times) for name, times in measuring.measure(long, 5, enough=0.005).items()} == {"a": 3, "b": 5}
    assert "".join(turns) == "ab" * 3 + "b" * 3  # a first turn that takes so long counts


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_results_are_written_whole_or_not_at_all(benchmark, tmp_path, monkeypatch):
    measuring = benchmark("measuring")
    result = {"machine": {"threads": 1}, "rows": [{"name": "a", "seconds": [0.1]}, {"name": "b", "seconds": None}]}
    path = measuring.save(tmp_path, "thing", "default", result)
    written = json.loads(path.read_text())
    assert {key: written[key] for key in result} == result and path.name == f"{written['date']}-thing-default.json"
    assert path.read_text().count('"name"') == sum('"name"' in line for line in path.read_text().splitlines()) == 2

    before = path.read_text()
    with pytest.raises(ValueError, match="JSON"):
        measuring.save(tmp_path, "thing", "default", {**result, "rows": [{"seconds": [math.nan]}]})

    def stopped(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        measuring.save(tmp_path, "thing", "default", {**result, "rows": []})
    assert [file.name for file in tmp_path.iterdir()] == [path.name] and path.read_text() == before


def test_a_stopped_run_leaves_nothing(tmp_path):
    """Ctrl-C goes to the whole group, as from a terminal."""
    process = subprocess.Popen(
        [sys.executable, "-u", BENCHMARKS / "run.py", "--repeats", "1000000", "--only", "unfused", "--out", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background is deaf to it
    )
    for line in process.stdout:
        if "allocator" in line:
            break
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert not list(tmp_path.iterdir())


def test_the_allocator_is_set_for_the_script(benchmark, monkeypatch):
    """In place where the settings are right already; else in a process that has them, and no others."""
    measuring = benchmark("measuring")
    started, worked = [], []

    def call(command, env):
        started.append((command[-1], {key: value for key, value in env.items() if key.startswith("MALLOC_")}))
        return 0

    monkeypatch.setattr(measuring.subprocess, "call", call)
    for name in list(os.environ):
        if name.startswith(("MALLOC_", "GLIBC_TUNABLES")):
            monkeypatch.delenv(name)
    measuring.under_each_allocator(worked.append, None)
    tuned = measuring.ALLOCATORS["tuned"]
    assert worked == [] and started == [("default", {}), ("tuned", tuned)]
    measuring.under_each_allocator(worked.append, "default")
    assert worked == ["default"] and len(started) == 2
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    measuring.under_each_allocator(worked.append, "default")
    assert worked == ["default"] and started[2:] == [("default", {})]
    monkeypatch.setattr(measuring.subprocess, "call", lambda command, env: 3)
    with pytest.raises(SystemExit, match="3"):
        measuring.under_each_allocator(worked.append, None)


# What was kept


def test_the_newest_results_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    for date, name, allocator in [
        ("2026-11-09", "re-attention", "default"),
        ("2026-11-21", "re-attention", "default"),
        ("2026-11-20", "re-attention", "tuned"),
        ("2027-01-01", "attention", "default"),
    ]:
        (tmp_path / f"{date}-{name}-{allocator}.json").write_text(json.dumps({"date": date}))
    assert measured.results("re-attention")["date"] == "2026-11-21"
    assert measured.results("re-attention", "tuned")["date"] == "2026-11-20"
    assert measured.results("attention")["date"] == "2027-01-01"


def test_missing_results_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"name: wanted one of axial, .*local.*, got 'axials'"):
        measured.results("axials")
    with pytest.raises(ValueError, match=r"allocator: wanted one of default, tuned for 'axial', got 'jemalloc'"):
        measured.results("axial", "jemalloc")
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"name: there are no results, got 'axial'"):
        measured.results("axial")


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_kept_results_say_what_they_were_taken_on(path):
    date, name, allocator = re.fullmatch(r"(\d{4}-\d\d-\d\d)-(.+)-(default|tuned)", path.stem).groups()
    result = json.loads(path.read_text())
    machine = result["machine"]
    assert result["date"] == date
    assert measured.results(name, allocator)["date"] >= date
    assert {"processor", "cores", "threads", "device", "python", "torch", "numpy", "allocator"} <= set(machine)
    assert (machine["allocator"] == "default") == (allocator == "default")
    assert result["rows"]
    for row in result["rows"]:
        times = row.get("seconds", row.get("process_seconds"))
        assert row["name"] and (row["why"] if times is None else min(times) > 0)


def test_kept_results_are_light():
    assert KEPT and sum(path.stat().st_size for path in KEPT) < 300_000


def test_requirements_of_the_packages_are_exact():
    lines = [line.split("#")[0].strip() for line in (BENCHMARKS / "requirements.txt").read_text().splitlines()]
    pins = [line for line in lines if line and not line.startswith("-c ")]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in pins), pins
    assert {"axial-attention", "local-attention", "reformer-pytorch"} <= {line.split("==")[0] for line in pins}


def test_no_script_is_named_like_a_package():
    """`import local_attention` must find the package, not a script beside it."""
    packages = {"axial_attention", "local_attention", "reformer_pytorch"}
    assert not packages & {path.stem for path in BENCHMARKS.glob("*.py")}
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == {*SCRIPTS, "measuring"}


# The page of the book


FUSED = "F.scaled_dot_product_attention"
HASHED, PACKAGE = "lsh_attention, 4 rounds", "reformer-pytorch, 4 rounds"
HAND = {  # seconds of repeats at 16, 32 and 64 tokens, and the medians' growth
    FUSED: ([2.0, 1.0, 9.0], [8.0], [32.0]),  # 2, 8, 32: power 2
    HASHED: ([1.0], [2.0, 2.0], [4.0]),  # 1, 2, 4: power 1
    PACKAGE: ([4.0], [16.0, 2.0, 16.0], [64.0]),  # 4, 16, 64: power 2
}


def by_hand(slower=1.0):
    rows = [
        {"name": name, "length": length, "seconds": [slower * x for x in times], "peak_bytes": length}
        for name, repeats in HAND.items()
        for length, times in zip((16, 32, 64), repeats, strict=True)
    ]
    return {"default": {"rows": rows}, "tuned": {"rows": rows}}


def cells(text):
    """Return every row of every table, as the page's source writes it."""
    rows = []
    for line in text.splitlines():
        if line.startswith(("* - ", "  - ")):
            rows += [[]] if line.startswith("*") else []
            rows[-1].append(line[4:].replace("\u00a0", " "))
    return rows


def row(text, start):
    (found,) = [row for row in cells(text) if row[0] == start]
    return found[1:]


def told_by_hand():
    """Say what of three candidates, worked by hand above, is told wrongly."""
    results = by_hand()
    ours, package = (book_benchmarks.label(name) for name in (HASHED, PACKAGE))
    both = [
        (row(book_benchmarks.families(results), ours), ["0.50 / 0.50", "0.25 / 0.25", "0.12 / 0.12"]),
        (row(book_benchmarks.families(results), package), ["2.00 / 2.00"] * 3),
        (
            row(book_benchmarks.packages(results, "seconds"), f"{ours}, beside {package}"),
            ["0.25 / 0.25", "0.12 / 0.12", "0.06 / 0.06"],
        ),
        (row(book_benchmarks.growth(results), ours), ["16–64", "1", "1.00 / 1.00", "1.00 / 1.00"]),
        (row(book_benchmarks.growth(results), "fused"), ["16–64", "2", "2.00 / 2.00", "1.00 / 1.00"]),
    ]
    return [(found, wanted) for found, wanted in both if found != wanted]


def test_page_tells_ratios_and_exponents_worked_by_hand():
    assert told_by_hand() == []


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("ratio", lambda line, base, size: base[size] / line[size]),
        ("ratio", lambda line, base, size: line[size] / base[min(base)]),
        ("exponent", lambda line, lengths: (line[lengths[-1]] - line[lengths[0]]) / (lengths[-1] - lengths[0])),
        ("exponent", lambda line, lengths: math.log(line[lengths[-1]] / line[lengths[0]], 2)),
    ],
)
def test_a_wrong_formula_is_seen(monkeypatch, name, fault):
    monkeypatch.setattr(book_benchmarks, name, fault)
    assert told_by_hand()


def test_the_mean_in_place_of_the_median_is_seen(monkeypatch):
    monkeypatch.setattr(book_benchmarks.np, "median", book_benchmarks.np.mean)
    assert told_by_hand()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return book_benchmarks.page((ROOT / "book/benchmarks.md").read_text(), tmp_path_factory.mktemp("drawn"), ROOT)


def medians(allocator):
    """Read the newest raw file, without the book's code."""
    path = sorted(measured.FOLDER.glob(f"*-sequences-{allocator}.json"))[-1]
    rows = json.loads(path.read_text())["rows"]
    return {(r["name"], r["length"]): statistics.median(r["seconds"]) for r in rows if r["seconds"]}


def slope(points):
    """Return the slope of the best line through log and log, from its definition."""
    x, y = ([math.log(point[i]) for point in points] for i in (0, 1))
    far = [a - statistics.mean(x) for a in x]
    return sum(a * b for a, b in zip(far, y, strict=True)) / sum(a * a for a in far)


def two(numbers):
    return " / ".join("–" if number is None else f"{number:.2f}" for number in numbers)


def untrue(text):
    """List the numbers of the three large tables that the raw files do not give."""
    raw = [medians(allocator) for allocator in ("default", "tuned")]
    lengths, rows, wrong = sorted({n for _, n in raw[0]}), cells(text), []

    def expect(start, wanted):
        if [start, *wanted] not in rows:
            wrong.append([start, *wanted])

    def over(a, b):
        return [
            two([side[a, n] / side[b, n] if {(a, n), (b, n)} <= set(side) else None for side in raw]) for n in lengths
        ]

    for name in sorted({name for name, _ in raw[0]}):
        if name != FUSED:
            expect(book_benchmarks.label(name), over(name, FUSED))
        at = sorted(n for n in lengths if all((name, n) in side for side in raw))[-3:]
        if len(at) == 3:
            grown = two([slope([(n, side[name, n]) for n in at]) for side in raw])
            start = [book_benchmarks.label(name), f"{at[0]:,}–{at[-1]:,}"]
            if not any(row[:2] == start and row[3] == grown for row in rows):
                wrong.append([*start, grown])
    for ours, package in book_benchmarks.PAIRS.items():
        if (package, lengths[0]) in raw[0]:
            expect(f"{book_benchmarks.label(ours)}, beside {book_benchmarks.label(package)}", over(ours, package))
    return wrong


def test_every_number_of_the_page_is_that_of_the_raw_files(page):
    assert untrue(page) == []
    numbers = [n for n, c in enumerate(cells(page)) if len(c) == 6 and re.match(r"\d+\.\d\d / ", c[1])]
    assert len(numbers) > 20


def test_a_wrong_number_on_the_page_is_seen(page):
    lines = page.splitlines()
    first = next(n for n, line in enumerate(lines) if "Sliding-window" in line and "beside" in line) + 1
    exponent = next(n for n, line in enumerate(lines) if line.endswith("4,096–16,384")) + 2
    for number in (first, exponent):
        planted = [line if n != number else re.sub(r"\d\.\d\d", "9.99", line, count=1) for n, line in enumerate(lines)]
        assert planted != lines and untrue("\n".join(planted))


def test_no_result_is_typed_on_the_page():
    text = (ROOT / "book/benchmarks.md").read_text()
    assert re.findall(r"\d\.\d+", text) == ["0.25"]  # what a ratio of so much means


def test_markers_of_the_page_are_known(tmp_path):
    with pytest.raises(ValueError, match=r"unknown: growths; missing: .*growth"):
        book_benchmarks.page("<!-- growths -->", tmp_path, ROOT)


def test_a_run_without_packages_or_of_few_lengths_is_told(tmp_path, monkeypatch):
    for path in measured.FOLDER.glob("*.json"):
        result = json.loads(path.read_text())
        if "-sequences-" in path.stem:
            result["rows"] = [
                row for row in result["rows"] if row["name"] in (FUSED, "multi_head") and row["length"] <= 2048
            ]
        (tmp_path / path.name).write_text(json.dumps(result))
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    text = book_benchmarks.page((ROOT / "book/benchmarks.md").read_text(), tmp_path / "drawn", ROOT)
    assert text.count("*This run has nothing to compare here.*") == 2  # packages, in time and memory
    assert row(text, "sliding window: exponent") == ["1.05", "– / –", "– / –"]


def test_a_gpu_is_told_of_only_where_there_was_one(tmp_path, monkeypatch):
    assert "No GPU could be had" in book_benchmarks.gpu()
    machine = {"device": "Some GPU", "torch": "2.13.0"}
    (tmp_path / "2027-01-01-sequences-cuda-default.json").write_text(
        json.dumps({"date": "2027-01-01", "machine": machine, **by_hand()["default"]})
    )
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    told = book_benchmarks.gpu()
    assert told.startswith("Some GPU, 2027-01-01; torch 2.13.0.") and "No GPU" not in told
    assert row(told, book_benchmarks.label(HASHED)) == ["0.50", "0.25", "0.12"]


def test_an_aim_that_is_missed_is_said_to_be(page, monkeypatch):
    for text, most, found in book_benchmarks.aims():
        kept = [max(numbers) <= limit for limit, numbers in zip(most, found, strict=True)]
        assert row(page, text)[-1] == " / ".join("yes" if each else "**no**" for each in kept)
    monkeypatch.setattr(book_benchmarks, "aims", lambda: [("planted", (0.5, 0.5), [[0.4, 0.51], [0.1, 0.5]])])
    assert row(book_benchmarks.aimed(), "planted") == ["0.50", "0.40, 0.51 / 0.10, 0.50", "**no** / yes"]


def test_theory_follows_the_costs_of_the_records():
    """What is not listed grows with the square: its record's cost holds a product of two lengths."""
    pairs = re.compile(r"L\^2|L S|\) L d")
    for record in mechanisms():
        if record.kind != "piece" and record.name != "quadratic_attention":
            assert (book_benchmarks.power(record.name)[-1] == "2") == bool(pairs.search(record.cost)), record.name
    assert {name.split(",")[0] for name in book_benchmarks.POWERS} <= {FUSED, *(m.name for m in mechanisms())}


def test_pictures_of_the_page_are_light_and_described(page):
    for allocator in ("default", "tuned"):
        path, alt = re.search(rf"figure}} (/\S+-{allocator}\.svg)\n:alt: (.+)", page).groups()
        last = max(length for _, length in medians(allocator))
        assert f"At {last:,} tokens: fused {medians(allocator)[FUSED, last]:.2f} s" in alt
        assert (ROOT / path[1:]).stat().st_size < 25_000


def test_one_command_runs_every_script():
    found = re.search(r"^benchmark:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    assert found, "Makefile: wanted a target benchmark, which book/benchmarks.md tells of"
    recipe = found[1]
    assert "benchmarks/requirements.txt" in recipe
    assert all(re.search(rf"\b{script}\b", recipe) for script in SCRIPTS)
    assert set(book_benchmarks.SCRIPTS.values()) == set(SCRIPTS)
    assert "make benchmark" in (ROOT / "book/benchmarks.md").read_text()

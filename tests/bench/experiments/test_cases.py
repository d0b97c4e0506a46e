"""Cases from end to end at a tiny size: what they write, what is gone on with, and what the report says; never how fast."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike._typing import FloatArray
from lookalike.data.vectors import synthetic
from lookalike.errors import DatasetError, FormatError, InputError
from lookalike_bench import pictures
from lookalike_bench.cases.kinds import CASES
from lookalike_bench.cases.searching import Search
from lookalike_bench.experiments.plan import check_cases
from lookalike_bench.experiments.reporting import write_report
from lookalike_bench.experiments.run import Outcome, run_experiment
from lookalike_bench.experiments.spec import Experiment, load_experiment, read_experiment
from lookalike_bench.experiments.store import FIELDS, read_rows, read_runs
from lookalike_bench.machine import this_machine

from .conftest import SPEC

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "benchmarks"
SEARCH = {"search-nprobe16-k10": (16, 10), "search-nprobe64-k10": (64, 10), "search-nprobe16-k100": (16, 100)}

SIFT = """
[[data]]
name = "sift"
kind = "sift"
rows = 3000
queries = 20
"""

OTHERS = """
[[data]]
name = "wide"
kind = "upstream"
d = 64
rows = 300
queries = 10

[[data]]
name = "features"
kind = "features"
crops = true
rows = 300
queries = 10
"""


def _case(name: str, measure: str, data: str, params: str, more: str = "rounds = 1\nseconds = 0") -> str:
    return f'[[case]]\nname = "{name}"\nmeasure = "{measure}"\ndata = "{data}"\nparams = {{ {params} }}\n{more}\n'


MEMORY = _case("memory-default-ids", "memory", "sift", "nlist = 16, m = 16, own_ids = false")
MEMORY += _case("memory-own-ids", "memory", "sift", "nlist = 16, m = 16, own_ids = true")
KMEANS = _case("kmeans", "kmeans", "sift", "points = 1000, k = 32, iterations = 4")
WIDE = _case("wide", "search", "wide", "nlist = 8, m = 8, nprobe = 4")
EVERY = "".join([
    _case("search-nprobe16-k100", "search", "sift", "nlist = 16, m = 16, nprobe = 16, k = 100"), WIDE,
    _case("features", "search", "features", "nlist = 8, m = 4, nprobe = 4"),
    _case("rerank", "rerank", "sift", "nlist = 16, recall = 0.9, m = 16, fast_scan_m = 16, nprobes = 16, candidates = [20, 1000]"),
    _case("signs", "signs", "sift", "nlist = 16, recall = 0.9, kept = 'sq8', refinements = 'SQ8', fast_scan_m = 16, nprobes = 16, candidates = [20, 1000]"),
    _case("flat", "flat", "sift", "k = 10"), _case("ivfflat", "ivfflat", "sift", "nlist = 16, nprobe = 4"),
    _case("two-threads", "two-threads", "sift", "nlist = 16, m = 16, nprobe = 16"), KMEANS,
    _case("train-add", "train-add", "wide", "nlist = 8, m = 8"),
    _case("add", "add", "sift", "points = 1500, nlist = 16, m = 16"),
    _case("plain", "plain", "sift", "nlist = 16, m = 16, nprobe = 16"), MEMORY,
    _case("first-search", "first-search", "sift", "nlist = 16, m = 16, nprobe = 16"),
])  # fmt: skip


def _made_up(paths: Any, rows: int, queries: int, say: Any) -> tuple[FloatArray, FloatArray]:
    """In place of `pooled_features`, which test_pooled tests: wide enough to be reduced, and quick."""
    return synthetic(rows, queries, 128)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "pooled_features", _made_up)


def _tiny(tmp_path: Path, cases: str, head: str = "") -> Experiment:
    head = head or SIFT + OTHERS * ('"wide"' in cases)
    path = tmp_path / "tiny.toml"
    path.write_text(head + cases, "utf-8")
    return read_experiment(path)


def _run(starter: Path, tmp_path: Path, cases: str, **more: Any) -> Outcome:
    folders = [starter / "photos" / "fish"]
    experiment = _tiny(tmp_path, cases)
    return run_experiment(experiment, tmp_path / "out", tmp_path / "keep", folders, command="the command", **more)


@pytest.mark.slow
def test_every_case_gives_its_rows(starter: Path, tmp_path: Path, small: None) -> None:
    said: list[str] = []
    outcome = _run(starter, tmp_path, EVERY, say=said.append)
    rows = read_rows(outcome.results)
    assert all(row["kind"] == "case" and set(row) == set(FIELDS["case"]) for row in rows)
    assert len({row["key"] for row in rows}) == len(rows) == outcome.total == outcome.measured
    experiment = _tiny(tmp_path, EVERY)
    assert {case.measure for case in experiment.case} == set(CASES)
    machine = this_machine()
    expected = [case.name for case in experiment.case if case.name != "two-threads" or machine.cores > 1]
    assert list(dict.fromkeys(row["case"] for row in rows)) == expected
    assert [row["note"] for row in rows if row["verdict"] == "failed" or row["status"] != "ok"] == []
    assert {row["machine"] for row in rows} == {machine.slug}
    for row in rows:
        if row["agreement"] is not None:
            assert row["agreement"]["is_same"], row
        if row["unit"] == "×":
            assert row["ours"]["median_s"] > 0
            assert row["low"] <= row["high"]
            assert row["value"] == pytest.approx(row["peer"]["median_s"] / row["ours"]["median_s"])
        if row["case"].startswith(("search", "wide", "plain")):
            assert row["agreement"] is not None
            assert row["ours"]["recall"] == pytest.approx(row["peer"]["recall"], abs=0.01)
        if row["case"] in {"rerank", "signs"}:
            assert min(row["ours"]["recall"], row["peer"]["recall"]) > 0.7  # chosen on other queries, five of them
    searched = [(row["threads"], row["mode"]) for row in rows if row["case"] == "search-nprobe16-k100"]
    assert searched == [(n, mode) for n in sorted({1, machine.cores}) for mode in ("batch", "one by one")]
    first = next(row for row in rows if row["case"] == "first-search")
    assert first["ours"]["details"]["import"] > 0.01  # numpy and ours: what measures it has loaded nothing before
    assert any("SIFT" in line for line in said)


def test_what_measures_imports_loads_nothing_itself() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import lookalike_bench.cases.tasks; print('numpy' in sys.modules)"
    )
    folder = Path(pictures.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_one_case_and_data_that_is_kept(
    starter: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = _run(starter, tmp_path, EVERY, only=["memory"])
    rows = read_rows(outcome.results)
    assert [row["case"] for row in rows] == ["memory-default-ids", "memory-own-ids"]
    default, own = (row["value"] for row in rows)
    assert own - default == pytest.approx(4 * default / 24)  # ids of 8 bytes instead of 4 of 24, in whole blocks
    kept = sorted((tmp_path / "keep").rglob("*"))
    assert not any(path.name.startswith(("wide", "pooled")) for path in kept)  # nothing is made that nobody asked for
    monkeypatch.setattr(pictures, "sift_set", None)  # would fail if it were called
    said: list[str] = []
    assert _run(starter, tmp_path, EVERY, only=["memory-own-ids"], say=said.append).measured == 0
    assert said[-1] == "1 runs, 1 of them done already; another --out measures anew"
    assert sorted((tmp_path / "keep").rglob("*")) == kept


def test_kept_data_that_is_damaged_is_made_anew(starter: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert _run(starter, tmp_path, MEMORY).total == 2
        for path in (tmp_path / "keep").rglob("*.npy"):
            path.write_bytes(path.read_bytes()[:-7])
        (tmp_path / "out" / "results.jsonl").unlink()


def test_a_case_that_fails_is_rows_that_say_so_until_it_is_tried_again(
    starter: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Iterator[Any]:
        raise RuntimeError("Error in the peer:\nout of luck")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(Search, "rows", fails)
        for _ in range(2):
            outcome = _run(starter, tmp_path, WIDE + MEMORY)
    rows = read_rows(outcome.results)
    bad = [row for row in rows if row["case"] == "wide"]
    assert len(bad) == 2 * len({1, this_machine().cores})
    assert {(row["status"], row["verdict"], row["note"]) for row in bad} == {
        ("failed", "failed", "failed: out of luck")
    }
    assert [row["case"] for row in rows if row["status"] == "ok"] == ["memory-default-ids", "memory-own-ids"]
    text = write_report(outcome.results, tmp_path / "report")[0].read_text("utf-8")
    assert "**failed**" in text
    assert "out of luck" in text
    assert _run(starter, tmp_path, WIDE + MEMORY, retry=True).measured == len(bad)
    text = write_report(outcome.results, tmp_path / "report")[0].read_text("utf-8")
    assert "failed" not in text


def test_a_case_that_was_stopped_goes_on(starter: Path, tmp_path: Path) -> None:
    """The process is killed once its first row is on disk, and a line is cut off."""
    _tiny(tmp_path, MEMORY + KMEANS)
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "from lookalike_bench.experiments.run import run_experiment; from lookalike_bench.experiments.spec import read_experiment;"
        "run_experiment(read_experiment(Path(sys.argv[2])), Path(sys.argv[3]), Path(sys.argv[4]), [Path(sys.argv[5])])"
    )
    arguments = [
        Path(pictures.__file__).parents[1],
        tmp_path / "tiny.toml",
        tmp_path / "out",
        tmp_path / "keep",
        starter / "photos" / "fish",
    ]
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], start_new_session=True)
    results = tmp_path / "out" / "results.jsonl"
    try:
        while not results.exists() or b"\n" not in results.read_bytes():
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    first = results.read_bytes().split(b"\n")[0] + b"\n"
    results.write_bytes(first + first[:50])
    outcome = _run(starter, tmp_path, MEMORY + KMEANS)
    assert results.read_bytes().startswith(first + b"{")
    rows = read_rows(results)
    assert len(rows) == len({row["key"] for row in rows}) == 2 + len({1, this_machine().cores})
    assert outcome.measured == len(rows) - 1


def test_time_that_is_over_leaves_the_rest_for_later(starter: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert _run(starter, tmp_path, MEMORY, minutes=1e-6, say=said.append).measured == 0
    assert "2 runs are left; the same command goes on" in said[-1]
    (tmp_path / "out" / "results.jsonl").unlink()
    _run(starter, tmp_path, MEMORY, only=["memory-own-ids"])
    _run(starter, tmp_path, MEMORY, minutes=1e-6)
    text = write_report(tmp_path / "out" / "results.jsonl", tmp_path / "report")[0].read_text("utf-8")
    assert text.split("## Not run yet")[1].strip().splitlines()[-1] == "- sift: case memory-default-ids: 1 of 1 rows"


def test_peers_and_cases_in_one_spec(tmp_path: Path) -> None:
    """One file of results, one report."""
    head = SPEC.replace('name = "made-up"', 'name = "sift"') + '[[peer]]\nname = "faiss-flat"\n'
    experiment = _tiny(tmp_path, KMEANS, head=head)
    outcome = run_experiment(experiment, tmp_path / "out", tmp_path / "keep", [])
    kinds = [row["kind"] for row in read_rows(outcome.results)]
    assert kinds == ["peer", *["case"] * len({1, this_machine().cores})]
    paths = write_report(outcome.results, tmp_path / "report")
    assert [path.name for path in paths] == ["report.md", "report.html", "interactive.html"]
    text = paths[0].read_text("utf-8")
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == [
        "Machine and versions", "Side by side", "Metrics", "sift, 1,500 × 64, 1 thread", "What was not measured", "Every setting",
    ]  # fmt: skip
    assert "k-means, 1,000 × 64 → 32, 4 iterations" in text
    assert run_experiment(experiment, tmp_path / "out", tmp_path / "keep", []).measured == 0


PARAMS = "nlist = 8, m = 8, nprobe = 4"


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        (_case("x", "serach", "sift", PARAMS), r"case 'x': measure='serach' is not known; did you mean 'search'"),
        (_case("x", "search", "sift", "nlists = 8"), r"case 'x': params: unknown key 'nlists'; did you mean 'nlist'"),
        (_case("x", "search", "sift", "nlist = 8, m = 8"), r"case 'x': params: nprobe is missing"),
        (_case("x", "search", "sift", 'nlist = "8", m = 8, nprobe = 4'), r"nlist: expected a whole number of at least 0, got '8'"),
        (_case("x", "search", "sift", "nlist = 0, m = 8, nprobe = 4"), r"case 'x' on sift: nlist: expected more than 0, got 0"),
        (_case("x", "search", "sift", "nlist = 9999, m = 8, nprobe = 4"), r"case 'x' on sift: nlist=9999: expected 1 to n=3,000"),
        (_case("x", "search", "sift", "nlist = 8, m = 7, nprobe = 4"), r"m=7 does not divide d=128; the nearest that does is m=8"),
        (_case("x", "search", "sift", f"{PARAMS}, k = 101"), r"k: expected at most 100"),
        (_case("x", "search", "sitf", PARAMS), r"case 'x' wants data 'sitf', which is not there; did you mean 'sift'"),
        (_case("x", "search", "sift", PARAMS) * 2, r"two cases are called 'x'"),
        (_case("x", "search", "sift", PARAMS, "round = 3"), r"case 1: unknown key 'round'; did you mean 'rounds'"),
        (_case("x", "search", "sift", PARAMS, "rounds = 0"), r"case 'x': rounds and most: expected at least 1"),
        (_case("x", "search", "sift", PARAMS, 'target = [{ mode = "bach", aim = 2 }]'), r"mode='bach': expected one of 'batch', 'one by one'"),
        (_case("x", "search", "sift", PARAMS, "target = [{ aims = 2 }]"), r"case 1: target 1: unknown key 'aims'; did you mean 'aim'"),
        (_case("x", "search", "sift", PARAMS, 'target = [{ aim = "2" }]'), r"target 1: aim: expected a number of at least 0, got '2'"),
        ("case = 3\n", r"expected case as \[\[case\]\]"),
    ],
)  # fmt: skip
def test_what_a_case_cannot_say(cases: str, message: str, starter: Path, tmp_path: Path) -> None:
    head = cases + SIFT if cases.startswith("case") else SIFT + cases
    with pytest.raises(InputError, match=message) as raised:
        run_experiment(_tiny(tmp_path, "", head), tmp_path / "out", tmp_path / "keep", [starter / "photos" / "fish"])
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_run(starter: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="no case of tiny is called 'serach'; there are: memory-default-ids, memory-own-ids"
    ):
        _run(starter, tmp_path, MEMORY, only=["serach"])
    (tmp_path / "empty").mkdir()
    experiment = _tiny(tmp_path, MEMORY)
    with pytest.raises(DatasetError, match="no pictures in"):
        run_experiment(experiment, tmp_path / "out", tmp_path / "keep", [tmp_path / "empty"])
    with pytest.raises(InputError, match="pictures: expected one of any, fetched, starter, got 'real'"):
        _tiny(tmp_path, MEMORY, 'pictures = "real"\n' + SIFT)
    with pytest.raises(FormatError, match="nothing was measured"):
        (tmp_path / "results.jsonl").write_text("")
        write_report(tmp_path / "results.jsonl", tmp_path)


def test_the_engine_is_measured_at_its_sizes_against_its_targets() -> None:
    """What the benchmark asked for before it was a spec."""
    engine, quick = load_experiment("engine"), load_experiment("engine-quick")
    targets = {
        f"{case.name}/{target.mode}": (target.at_least, target.aim, target.at_most, target.vbmi_only)
        for case in engine.case
        for target in case.target
    }
    assert targets == {
        "search-nprobe16-k10/batch": (5, 10, None, True),
        "search-nprobe16-k10/one by one": (4, 7, None, True),
        "search-nprobe64-k10/batch": (8, 13, None, True),
        "search-nprobe64-k10/one by one": (5, 8, None, True),
        "search-nprobe16-k100/batch": (None, 5, None, True),
        "search-nprobe16-k100/one by one": (None, 4, None, True),
        "wide/batch": (1.3, 4, None, True),
        "wide/one by one": (1.1, 3, None, True),
        "rerank/batch": (1.2, 2, None, True),
        "rerank/one by one": (1.6, 2.5, None, True),
        "signs-recall90/batch": (None, 3, None, True),
        "signs-recall90/one by one": (None, 5, None, True),
        "signs-recall95/batch": (None, 3, None, True),
        "signs-recall95/one by one": (None, 5, None, True),
        "signs-recall99/batch": (None, 1.5, None, True),
        "signs-recall99/one by one": (None, 1.5, None, True),
        "flat/batch": (None, 1, None, True),
        "flat/one by one": (None, 1.2, None, True),
        "ivfflat/batch": (None, 2, None, True),
        "ivfflat/one by one": (None, 1.5, None, True),
        "two-threads/batch": (1.8, 1.95, None, False),
        "kmeans/plain": (1.2, 6, None, True),
        "kmeans/amx": (4, 6, None, True),
        "train-add/": (2, 5, None, True),
        "add/": (3, 8, None, True),
        "plain/batch": (1, 1.5, None, False),
        "memory-default-ids/": (None, None, 26, False),
        "memory-own-ids/": (None, None, 32, False),
        "first-search/": (None, None, 0.5, False),
    }
    assert [(case.name, case.measure, case.target) for case in quick.case] == [
        (case.name, case.measure, case.target) for case in engine.case
    ]
    data = {
        spec.name: [(d.name, d.kind, d.d, d.rows, d.queries, d.crops) for d in spec.data] for spec in (engine, quick)
    }
    assert data["engine"] == [
        ("sift", "sift", 0, (1_000_000,), 1000, False),
        ("wide", "upstream", 2048, (9144,), 500, False),
        ("features", "features", 0, (9144,), 500, True),
        ("short", "upstream", 128, (9144,), 500, False),
    ]
    assert data["engine-quick"] == [
        ("made-up", "synthetic", 128, (100_000,), 200, False),
        ("wide", "upstream", 512, (600,), 50, False),
        ("features", "features", 0, (600,), 50, True),
        ("short", "upstream", 128, (600,), 50, False),
    ]
    sizes = {"engine": (1024, 100, 500_000, 1024, 500_000), "engine-quick": (256, 20, 50_000, 256, 100_000)}
    slow, fast = (
        {"engine": (3, 20, 9), "engine-quick": (2, 2, 3)},
        {"engine": (9, 10, 51), "engine-quick": (3, 0.5, 51)},
    )
    for spec in (engine, quick):
        nlist, few, points, k, added = sizes[spec.name]
        params = {case.name: case.params for case in spec.case}
        for name, (nprobe, wanted) in SEARCH.items():
            assert params.pop(name) == {"nlist": nlist, "m": 16, "nprobe": nprobe, "k": wanted}
        assert [params.pop(name) for name in ("two-threads", "plain", "first-search")] == 3 * [
            {"nlist": nlist, "m": 16, "nprobe": 16, "k": 10}
        ]
        assert params.pop("wide") == {"nlist": few, "m": 8, "nprobe": 8, "k": 10}
        assert params.pop("features") == {"nlist": few, "m": 64, "nprobe": 8, "k": 10}
        assert params.pop("kmeans") == {"points": points, "k": k, "iterations": 10}
        assert params.pop("train-add") == {"nlist": few, "m": 8}
        assert params.pop("add") == {"points": added, "nlist": nlist, "m": 16}
        for name in ("default", "own"):
            assert params.pop(f"memory-{name}-ids") == {"nlist": nlist, "m": 16, "own_ids": name == "own"}
        rerank = params.pop("rerank")
        assert (rerank["nlist"], rerank["recall"]) == (nlist, 0.9)
        for level in (90, 95, 99):
            signs = params.pop(f"signs-recall{level}")
            assert (signs["nlist"], signs["recall"]) == (nlist, level / 100)
            assert (signs["kept"], signs["refinements"]) == (["sq8", "lvq8"], ["Flat", "SQ8"])
        assert params.pop("flat") == {"k": 10}
        assert params.pop("ivfflat") == {"nlist": nlist, "nprobe": 16, "k": 10}
        assert params == {}
        for case in spec.case:
            if not case.name.startswith(("memory", "first")):
                wanted = slow if case.name in {"kmeans", "train-add", "add"} else fast
                assert (case.rounds, case.seconds, case.most) == wanted[spec.name]
        assert next(case.rounds for case in spec.case if case.name == "first-search") == {"engine": 7}.get(spec.name, 3)
    rerank, small = (check_cases(spec)["rerank"] for spec in (engine, quick))
    assert (rerank.m, rerank.fast_scan_m) == ((16, 32), (32, 64))
    assert rerank.nprobes == (4, 8, 12, 16, 24, 32, 48, 64, 96)
    assert rerank.candidates == (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480)
    assert (small.m, small.fast_scan_m, small.nprobes) == ((16,), (64,), (8, 32))
    assert small.candidates == (20, 40, 80, 160, 320)
    assert (engine.pictures, quick.pictures) == ("fetched", "starter")


def _written(folder: Path, instructions: str, **machine: Any) -> str:
    """The report of one row and one run."""
    about = {
        "cpu": "A CPU", "cores": 4, "instructions": instructions, "has_amx": False, "system": "Linux", "versions": {"numpy": "2"},
        "faiss_build": "AVX2", "blas": ["openblas"], "load": 0.1,
    }  # fmt: skip
    side = {"name": "x", "median_s": 0.5, "per": 1000, "recall": 0.75}
    row = dict.fromkeys(FIELDS["case"]) | {
        "kind": "case", "schema": 3, "key": "k", "status": "ok", "case": "search",
        "title": "search", "mode": "batch", "threads": 1, "dataset": "1,000 vectors", "d": 128, "ours": side,
        "peer": side | {"median_s": 2.0}, "value": 4.0, "low": 3.9, "high": 4.2, "unit": "×", "note": "noted", "verdict": "missed",
        "agreement": {"is_same": True, "different": 0, "queries": 9, "other_cells": 0},
        "target": {"at_least": 5, "aim": 10, "at_most": None, "vbmi_only": True},
    }  # fmt: skip
    run = {"name": "engine", "command": "c", "started": "now", "can_bind": True, "machine": about | machine}
    (folder / "results.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    (folder / "runs.jsonl").write_text(json.dumps(run) + "\n", "utf-8")
    return write_report(folder / "results.jsonl", folder)[0].read_text("utf-8")


def test_the_report_says_what_is_asked_of_whom(tmp_path: Path) -> None:
    cells = "| search | batch | 1 | 500.0 µs | 2000.0 µs | 4.00 × (3.90–4.20) | 0.750 / 0.750 | same | 5 × | 10 × |"
    vbmi = _written(tmp_path, "avx512vbmi")
    assert f"{cells} **missed** |" in vbmi
    assert "in brackets;" not in vbmi
    assert "busy" not in vbmi
    assert "- search, batch, threads 1: noted" in vbmi
    assert len({line.count("|") for line in re.findall(r"^\|.*\|$", vbmi, re.MULTILINE)}) == 1
    avx2 = _written(tmp_path, "avx2", load=2.0)
    assert f"{cells} **(missed)** |" in avx2
    assert "This one runs `avx2`" in avx2
    assert "busy before the run (load 2.0 on 4 cores)" in avx2
    assert "quick run" in load_experiment("engine-quick").description
    (tmp_path / "runs.jsonl").unlink()
    assert f"{cells} **missed** |" in write_report(tmp_path / "results.jsonl", tmp_path)[0].read_text("utf-8")


@pytest.mark.parametrize("folder", sorted((COMMITTED / "engine").glob("*")), ids=lambda folder: folder.name)
def test_committed_results_give_the_report_beside_them(folder: Path, tmp_path: Path) -> None:
    rows = read_rows(folder / "results.jsonl")
    assert len(rows) == (56 if folder.name == "amd-epyc-avx512vbmi" else 36)  # the others are older than five cases
    assert read_runs(folder / "results.jsonl")[0]["name"] == "engine"
    report, page = write_report(folder / "results.jsonl", tmp_path)
    assert report.read_text("utf-8") == (folder / "report.md").read_text("utf-8")
    assert page.read_text("utf-8").count("<tr>") == len(rows) + 1

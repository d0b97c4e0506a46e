"""Running: what is written, resuming, and peers that fail, hang, eat memory or are not there. Never how fast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lookalike.data.vectors import synthetic
from lookalike.errors import DatasetError, FormatError, InputError, VersionError
from lookalike_bench import children, pictures
from lookalike_bench.adapters.faiss import Flat
from lookalike_bench.experiments import run as run_module
from lookalike_bench.experiments.reporting import write_report
from lookalike_bench.experiments.store import FIELDS, opened, read_rows

from .conftest import PEERS, SPEC, run

Write = Callable[..., Path]
FLAT = '[[peer]]\nname = "faiss-flat"\n'


def test_every_line_is_whole(finished: Path) -> None:
    rows = read_rows(finished / "out" / "results.jsonl")
    assert [row["status"] for row in rows] == ["ok"] * 5
    for row in rows:
        assert set(row) == set(FIELDS["peer"])
        assert (row["dataset"], row["n"], row["d"], row["k"], row["threads"]) == ("made-up", 1500, 64, 10, 1)
        assert row["version"]
        assert min(row["build_s"], row["qps"], row["p50_ms"], row["bytes"]) > 0
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["bytes_per_vector"] == pytest.approx(row["bytes"] / 1500, abs=0.01)
        assert 0 <= row["recall_at_10"] <= 1
        assert row["one_recall_at_1"] <= row["one_recall_at_5"] <= row["one_recall_at_10"]
    by = {(row["peer"], *row["params"].values()): row for row in rows}
    for exact in (("faiss-ivfflat", 16, 16), ("sklearn-kd-tree", 30)):
        assert by[exact]["recall_at_10"] == 1
        assert by[exact]["relative_error"] == pytest.approx(0, abs=1e-6)
    assert by["faiss-ivfflat", 16, 1]["recall_at_10"] < 1
    coded = [row for row in rows if row["peer"] == "lookalike-ivfpq"]
    assert all(0 < row["quantization_error"] < 1 for row in coded)
    note = json.loads((finished / "out" / "runs.jsonl").read_text("utf-8"))
    assert note["command"] == "the command"
    assert note["machine"]["cores"] >= 1
    assert str(finished) not in (finished / "out" / "runs.jsonl").read_text("utf-8")  # nobody's business


def test_what_is_done_is_not_done_again(finished: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    whole = (finished / "out" / "results.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    results.write_bytes(b"".join(lines[:1] + lines[2:4]) + lines[4][:40])  # one lost, and one cut off by a kill
    outcome = run(finished / "trial.toml", tmp_path, finished / "keep")
    after = results.read_bytes()
    assert outcome.measured == 2
    assert after.startswith(b"".join(lines[:1] + lines[2:4]))
    assert sorted(row["key"] for row in read_rows(results)) == sorted(json.loads(line)["key"] for line in lines)
    assert run(finished / "trial.toml", tmp_path, finished / "keep").measured == 0
    assert results.read_bytes() == after


def test_a_killed_run_goes_on(finished: Path, tmp_path: Path) -> None:
    """The process is killed once its first result is on disk."""
    code = (
        "from lookalike.cli.bench import find_benchmarks; find_benchmarks();"
        "import sys; from pathlib import Path; from lookalike_bench.experiments.run import run_experiment;"
        "from lookalike_bench.experiments.spec import read_experiment;"
        "run_experiment(read_experiment(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]), [])"
    )
    arguments = [str(finished / "trial.toml"), str(tmp_path), str(finished / "keep")]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], start_new_session=True)
    results = tmp_path / "results.jsonl"
    try:
        while not results.exists() or b"\n" not in results.read_bytes():
            assert process.poll() is None
            time.sleep(0.02)
        with pytest.raises(InputError, match="another run is writing to it"), opened(results):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = results.read_bytes()
    kept = before[: before.rfind(b"\n") + 1]
    run(finished / "trial.toml", tmp_path, finished / "keep")
    assert results.read_bytes().startswith(kept)
    rows = read_rows(results)
    assert len(rows) == len({row["key"] for row in rows}) == 5


def test_a_peer_that_is_not_installed_is_a_row_until_it_is(
    spec: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spec(FLAT)
    with monkeypatch.context() as patch:
        patch.setattr(Flat, "module", "no_such_module")
        for _ in range(2):
            run(path, tmp_path / "out", tmp_path / "keep")
    (row,) = read_rows(tmp_path / "out" / "results.jsonl")
    assert (row["status"], row["reason"], row["qps"]) == ("not installed", "faiss-cpu is not installed", None)
    run(path, tmp_path / "out", tmp_path / "keep")
    assert [r["status"] for r in read_rows(tmp_path / "out" / "results.jsonl")] == ["not installed", "ok"]


def test_runs_of_more_threads_than_there_are_cores_wait_for_another_machine(
    spec: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "cores", lambda: 1)
    path = spec(FLAT + '[[peer]]\nname = "lookalike-flat"\nthreads = [1, 2]\n')
    said: list[str] = []
    run(path, tmp_path / "out", tmp_path / "keep", say=said.append)
    rows = read_rows(tmp_path / "out" / "results.jsonl")
    assert sorted((row["peer"], row["threads"]) for row in rows) == [("faiss-flat", 1), ("lookalike-flat", 1)]
    assert any(
        "1 more are left out: they want more threads than this process may use cores (1)" in line for line in said
    )
    report = write_report(tmp_path / "out" / "results.jsonl", tmp_path / "report")[0].read_text("utf-8")
    assert "made-up, 2 threads: lookalike Flat: 1 of 1 settings" in report.split("## Not run yet")[1]


def test_a_peer_that_fails_is_a_row_and_the_others_run(spec: Write, tmp_path: Path) -> None:
    head = SPEC.replace("d = 64", "d = 60")
    path = spec('[[peer]]\nname = "rabitqlib-ivf"\nbuild = { nlist = 8 }\n' + FLAT, head=head)  # it wants 64 dimensions
    run(path, tmp_path / "out", tmp_path / "keep")
    bad, good = sorted(read_rows(tmp_path / "out" / "results.jsonl"), key=lambda row: row["peer"] == "faiss-flat")
    assert good["status"] == "ok"
    if bad["version"]:
        assert bad["status"] == "failed"
        assert "dimensions in the range" in bad["reason"]
    else:
        assert bad["status"] == "not installed"


@pytest.mark.parametrize(
    ("code", "limits", "status", "reason"),
    [
        ("import time; time.sleep(60)", (0.3, 0), "timeout", "took more than 0.3 s"),
        ("x = b'x' * 300_000_000; import time; time.sleep(60)", (0, 100), "memory", "MB of memory, 100 are allowed"),
        ("import os; os.abort()", (0, 0), "failed", "ended by signal 6"),
        ("raise SystemExit(3)", (0, 0), "failed", "exit code 3"),
        ("raise ValueError('out of luck')", (0, 0), "failed", "ValueError: out of luck"),
        ("import sys; print('x' * 100_000, file=sys.stderr); sys.exit('the end')", (0, 0), "failed", "the end"),
    ],
)
def test_how_runs_end_early(
    code: str, limits: tuple[float, float], status: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker"
    script.write_text(f"#!{sys.executable}\n{code}\n", "utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(children.sys, "executable", str(script))
    with pytest.raises(children.Limits, match=reason) as raised:
        list(children.answers("x", {}, limit_s=limits[0], limit_mb=limits[1]))
    assert raised.value.status == status


def test_results_that_cannot_be_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with pytest.raises(DatasetError, match=r"no results at .*bench run SPEC"):
        read_rows(path)
    for text, kind, message in (
        ('{"schema": 1, "kind": "run"}\n', VersionError, "line 1 is of an older version"),
        ('{"schema": 4}\n', VersionError, r"line 1 is of a newer lookalike \(schema 4, known 3\)"),
        ('{"schema": 2}\n', FormatError, "line 1 is not a whole result: key is missing"),
        ('{"schema": 3}\n', FormatError, "line 1 is not a whole result: kind=None: expected one of peer, case"),
        ('{"schema": 3, "kind": "case"}\n', FormatError, "line 1 is not a whole result: key is missing"),
        ("[" * 100_000 + "\n", FormatError, "line 1 is not a result"),
        ('{"schema": "2"}\n', FormatError, "line 1 is not a result"),
        ("null\n", FormatError, "line 1 is not a result"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(kind, match=message), opened(path):
            pass
        assert path.read_text("utf-8") == text  # not touched


def test_a_line_with_an_unknown_field_is_not_written(tmp_path: Path) -> None:
    with opened(tmp_path / "results.jsonl") as store, pytest.raises(InputError, match="no field is called 'qsp'"):
        store.append("peer", {"qsp": 1})


def test_the_spec_of_the_fixture_is_whole() -> None:
    assert PEERS.count("[[peer]]") == 3


def test_peak_memory_is_that_of_the_build_alone() -> None:
    code = """
import numpy as np
from lookalike.cli.bench import find_benchmarks; find_benchmarks()
from lookalike_bench.experiments import one_run
earlier = np.ones(30_000_000); del earlier
one_run._forget_peak()
before = one_run.peak_memory()
built = np.ones(10_000_000); del built
print(one_run.peak_memory() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 70e6 < float(done.stdout) < 120e6


def test_a_run_stops_when_its_minutes_are_over_and_goes_on(finished: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    lines = (finished / "out" / "results.jsonl").read_bytes().splitlines(keepends=True)
    first = next(line for line in lines if b"faiss-ivfflat" in line)
    results.write_bytes(first)
    said: list[str] = []
    assert run(finished / "trial.toml", tmp_path, finished / "keep", minutes=1e-6, say=said.append).measured == 0
    assert results.read_bytes() == first  # nothing is written of what was not run
    assert "4 runs are left" in said[-1]
    report = write_report(results, tmp_path / "report")[0].read_text("utf-8")
    unrun = report.split("## Not run yet")[1].split("##")[0]
    for line in (
        "made-up, 1 thread: FAISS IVFFlat: 1 of 2 settings",
        "made-up, 1 thread: lookalike IVFPQ: 2 of 2 settings",
        "made-up, 1 thread: scikit-learn kd-tree: 1 of 1 settings",
    ):
        assert line in unrun


def test_the_run_under_way_is_not_counted_when_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "worker"
    script.write_text(f"#!{sys.executable}\nimport time; time.sleep(60)\n", "utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(children.sys, "executable", str(script))
    with pytest.raises(children.Limits, match="the time for all runs is over") as raised:
        list(children.answers("x", {}, limit_s=60, until=time.monotonic() + 0.2))
    assert raised.value.status == "stopped"


def test_without_pictures_others_stand_in_and_a_line_says_so(
    spec: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []

    def made_up(paths: Any, rows: int, queries: int, say: Any) -> Any:
        asked.append((len(paths), rows, queries))
        return synthetic(rows, queries, 32)

    monkeypatch.setattr(pictures, "pooled_features", made_up)
    head = 'repeats = 1\nround_s = 0.02\n[[data]]\nname = "s"\nkind = "sift"\nrows = 900\n[[data]]\nname = "f"\nkind = "features"\n'
    said: list[str] = []
    run(spec(FLAT, head=head), tmp_path / "out", tmp_path / "keep", say=said.append)
    assert sum("the starter pictures and made-up vectors are measured instead" in line for line in said) == 1
    rows = read_rows(tmp_path / "out" / "results.jsonl")
    assert {(row["dataset"], row["n"], row["status"]) for row in rows} == {
        ("made-up-s", 900, "ok"),
        ("starter-f", 1800, "ok"),
    }
    assert asked == [(349, 1800, 87)]

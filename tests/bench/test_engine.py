"""The engine's benchmark from end to end at a tiny size: what it writes, never how fast."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike._typing import FloatArray
from lookalike.data.vectors import synthetic
from lookalike.errors import DatasetError, FormatError, InputError, VersionError
from lookalike_bench import pictures
from lookalike_bench.engine import run
from lookalike_bench.engine.report import engine_report
from lookalike_bench.engine.rows import read_results
from lookalike_bench.engine.run import CASES, Outcome, run_engine
from lookalike_bench.engine.scale import QUICK, TARGETS
from lookalike_bench.measure import Budget

TINY = replace(
    QUICK, name="tiny", vectors=3000, queries=20, synthetic=False, nlist=16, wide_rows=300, wide_queries=10, wide_d=64,
    short_d=16, wide_nlist=8, wide_nprobe=4, features_m=4, kmeans_points=1000, kmeans_k=32, kmeans_iterations=4, add_points=1500,
    refine_fast_scan_m=(16,), refine_nprobes=(16,), refine_candidates=(20, 1000),
    search=Budget(1, 0), slow=Budget(1, 0), processes=1,
)  # fmt: skip


def _made_up(paths: Any, rows: int, queries: int, say: Any) -> tuple[FloatArray, FloatArray]:
    """In place of `pooled_features`, which test_pooled tests: wide enough to be reduced, and quick."""
    return synthetic(rows, queries, 128)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "pooled_features", _made_up)


def _run(starter: Path, tmp_path: Path, *only: str, say: Any = lambda _: None) -> Outcome:
    folders = [starter / "photos" / "fish"]
    return run_engine(TINY, folders, tmp_path / "out", tmp_path / "keep", only=only, command="the command", say=say)


@pytest.mark.slow
def test_every_case_gives_its_rows(starter: Path, tmp_path: Path, small: None) -> None:
    said: list[str] = []
    outcome = _run(starter, tmp_path, say=said.append)
    lines = read_results(outcome.results)
    assert [line["kind"] for line in (lines[0], lines[-1])] == ["run", "end"]
    rows = lines[1:-1]
    assert all(line["kind"] == "row" for line in rows)
    machine = lines[0]["machine"]
    assert outcome.results.name == f"engine-{run.this_machine().slug}-tiny.jsonl"
    expected = {key.rpartition("/")[0] for key in TARGETS} | {"features"}
    if machine["cores"] == 1:
        expected.remove("two-threads")
    assert {row["case"] for row in rows} == expected
    assert [row["note"] for row in rows if row["verdict"] == "failed"] == []
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
        if row["case"] == "rerank":
            assert min(row["ours"]["recall"], row["peer"]["recall"]) >= 0.9
    searched = [(row["threads"], row["mode"]) for row in rows if row["case"] == "search-nprobe16-k100"]
    assert searched == [(n, mode) for n in sorted({1, machine["cores"]}) for mode in ("batch", "one by one")]
    assert outcome.markdown.read_text("utf-8") == outcome.report == engine_report(lines)
    assert any("SIFT" in line for line in said)
    assert not list(outcome.results.parent.glob("*.part"))


def test_a_part_has_files_of_its_own_and_data_is_kept(
    starter: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = _run(starter, tmp_path, "memory")
    assert outcome.results.name.endswith("-tiny-memory.jsonl")
    rows = read_results(outcome.results)[1:-1]
    assert [row["case"] for row in rows] == ["memory-default-ids", "memory-own-ids"]
    default, own = (row["value"] for row in rows)
    assert own - default == pytest.approx(4 * default / 24)  # ids of 8 bytes instead of 4 of 24, in whole blocks
    kept = sorted((tmp_path / "keep").rglob("*"))
    for name in ("pooled_features", "sift_set"):
        monkeypatch.setattr(pictures, name, None)  # would fail if it were called
    _run(starter, tmp_path, "memory")
    assert sorted((tmp_path / "keep").rglob("*")) == kept


def test_kept_data_that_is_damaged_is_made_anew(starter: Path, tmp_path: Path, small: None) -> None:
    _run(starter, tmp_path, "memory")
    for path in (tmp_path / "keep").rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-7])
    assert _run(starter, tmp_path, "memory").results.exists()


def test_a_case_that_fails_is_a_row_that_says_so(
    starter: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> Any:
        raise RuntimeError("Error in the peer:\nout of luck")
        yield

    monkeypatch.setitem(CASES, "wide", fails)
    outcome = _run(starter, tmp_path, "wide", "memory")
    rows = read_results(outcome.results)[1:-1]
    assert [row["case"] for row in rows] == ["wide", "memory-default-ids", "memory-own-ids"]
    assert (rows[0]["verdict"], rows[0]["note"]) == ("failed", "failed: out of luck")
    assert "**failed**" in outcome.report
    assert "out of luck" in outcome.report


def test_what_cannot_be_run(starter: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no case is called 'serach'; there are: search, wide"):
        _run(starter, tmp_path, "serach")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no pictures in"):
        run_engine(TINY, [tmp_path / "empty"], tmp_path / "out", tmp_path / "keep")


def test_results_of_other_versions_and_other_files(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"kind": "run", "schema": 1}\n{"kind": "row", "schema": 1, "cut o')
    assert read_results(path) == [{"kind": "run", "schema": 1}]  # a killed run's last line
    path.write_text('{"kind": "run", "schema": 2}\n')
    with pytest.raises(VersionError, match=r"schema 2, known 1"):
        read_results(path)
    for text in ("[]\n", "nonsense\n", '{"schema": "1"}\n', "[" * 100_000 + "\n"):
        path.write_text('{"kind": "run", "schema": 1}\n' + text)
        with pytest.raises(FormatError, match="line 2 is not a result"):
            read_results(path)
    with pytest.raises(FormatError, match="where they were measured"):
        engine_report([])


def _lines(instructions: str, **machine: Any) -> list[dict[str, Any]]:
    about = {
        "cpu": "A CPU", "cores": 4, "instructions": instructions, "has_amx": False, "system": "Linux", "versions": {"numpy": "2"},
        "faiss_build": "AVX2", "blas": ["openblas"], "load": 0.1,
    }  # fmt: skip
    side = {"name": "x", "median_s": 0.5, "per": 1000, "recall": 0.75}
    row = {
        "kind": "row", "title": "search", "mode": "batch", "threads": 1, "dataset": "1,000 vectors", "d": 128, "ours": side,
        "peer": side | {"median_s": 2.0}, "value": 4.0, "low": 3.9, "high": 4.2, "unit": "×", "note": "noted", "verdict": "missed",
        "agreement": {"is_same": True, "different": 0, "queries": 9, "other_cells": 0},
        "target": {"at_least": 5, "aim": 10, "at_most": False, "vbmi_only": True},
    }  # fmt: skip
    run = {
        "kind": "run",
        "scale": {"name": "full"},
        "command": "c",
        "started": "now",
        "can_bind": True,
        "machine": about | machine,
    }
    return [run, row, {"kind": "end", "seconds": 60}]


def test_the_report_says_what_is_asked_of_whom() -> None:
    cells = "| search | batch | 1 | 500.0 µs | 2000.0 µs | 4.00 × (3.90–4.20) | 0.750 / 0.750 | same | 5 × | 10 × |"
    vbmi = engine_report(_lines("avx512vbmi"))
    assert f"{cells} **missed** |" in vbmi
    assert "in brackets;" not in vbmi
    assert "busy" not in vbmi
    assert "quick run" not in vbmi
    assert "- search, batch, threads 1: noted" in vbmi
    avx2 = engine_report(_lines("avx2", load=2.0))
    assert f"{cells} **(missed)** |" in avx2
    assert "This one runs `avx2`" in avx2
    assert "busy before the run (load 2.0 on 4 cores)" in avx2


def test_a_run_that_did_not_end_has_a_report() -> None:
    assert "not finished" in engine_report(_lines("avx2")[:2])


def test_made_up_vectors_are_the_same_each_time() -> None:
    a, b = (synthetic(500, 10, 16) for _ in range(2))
    assert np.array_equal(a[0], b[0])
    assert np.array_equal(a[1], b[1])
    assert (a[0].shape, a[1].shape) == ((500, 16), (10, 16))


def test_reducing_keeps_the_directions_of_largest_variance() -> None:
    x, xq = synthetic(40, 5, 60)
    few, few_q = pictures.reduced(x, xq, 39)  # all that 40 centred vectors span
    gram = (x - x.mean(axis=0)) @ (x - x.mean(axis=0)).T
    np.testing.assert_allclose(few @ few.T, gram, atol=1e-2 * np.abs(gram).max())
    assert few_q.shape == (5, 39)
    many, _ = pictures.reduced(np.tile(x, (2, 1)), xq, 8)  # by the covariance: the same directions
    np.testing.assert_allclose(np.abs(many[:40]), np.abs(few[:, :8]), atol=1e-2 * np.abs(few).max())
    assert (np.diff(many.var(axis=0)) <= 0).all()
    with pytest.raises(DatasetError, match="at least 41 vectors"):
        pictures.reduced(x, xq, 41)


def test_pictures_are_found_in_an_order_of_their_own(starter: Path, tmp_path: Path) -> None:
    fish, hats = starter / "photos" / "fish", starter / "drawings" / "hat"
    (tmp_path / "notes.txt").write_text("no picture")
    one = pictures.find_pictures([fish, tmp_path, hats])
    assert [name for name, _ in one] == [name for name, _ in pictures.find_pictures([hats, fish])]
    assert len(one) == len(list(fish.iterdir())) + len(list(hats.iterdir()))


def test_the_report_keeps_its_shape() -> None:
    text = engine_report(_lines("avx512vbmi"))
    table = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    assert len({line.count("|") for line in table}) == 1
    assert text.endswith("\n")

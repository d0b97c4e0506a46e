"""What the scale experiment recommends is what a collection takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lookalike.collection.index import choose as tune
from lookalike.errors import FormatError
from lookalike_bench.experiments.advising import advice, table_of, write_scale
from lookalike_bench.experiments.frame import latest, measured
from lookalike_bench.experiments.store import read_rows

from .test_report import row

ROOT = Path(__file__).resolve().parents[3]
SIZES = (10_000, 100_000, 1_000_000)


def ladder(best: dict[int, int], name: str = "sift") -> list[dict[str, object]]:
    """At each size three numbers of lists, of which the one in `best` is cheapest, and a cheaper one of too little recall."""
    rows = []
    for n in SIZES:
        for nlist in (128, 512, 2048):
            for m in (8, 16):
                for nprobe, recall in ((4, 0.9), (16, 0.96)):
                    cost = 100 + 50 * (nlist != best[n]) + (nprobe if recall > 0.95 else -90) + m / 100
                    params = {
                        "nlist": nlist,
                        "m": m,
                        "nbits": 8,
                        "kmeans": "native",
                        "rotation": "",
                        "nprobe": nprobe,
                        "candidates": 100,
                    }
                    rows.append(row("lookalike-ivfpq-reranked", recall, 1e6 / cost, n=n, d=128, dataset=f"{name}-{n}", params=params, when="2026",
                                    machine="m"))  # fmt: skip
    return rows


@pytest.fixture
def untouched() -> object:
    yield tune.scale_table.cache_clear()
    tune.scale_table.cache_clear()


def test_the_cheapest_of_enough_recall_is_advised_and_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untouched: object
) -> None:
    best = {10_000: 128, 100_000: 512, 1_000_000: 2048}
    rows = ladder(best)
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    table, page = tmp_path / "scale.json", tmp_path / "docs" / "scale.md"
    page.parent.mkdir()
    write_scale(tmp_path / "results.jsonl", table, page)
    assert read_rows(page.parent / "scale" / "results.jsonl") == rows
    monkeypatch.setattr(tune, "SCALE", table)
    tune.scale_table.cache_clear()
    text = page.read_text("utf-8")
    for n, nlist in best.items():
        spec = tune.choose_spec(n, 128)
        assert (spec.nlist, spec.m) == (nlist, 8)  # of two codes that cost the same the smaller
        assert tune.choose_spec(n, 1280).m == 64
        assert f"| {n:,} | {nlist:,} |" in text
        assert tune.advised(n).nprobe == 16
    assert tune.choose_spec(16_000_000, 128).nlist == 8192  # beyond the table as the square root
    assert 128 <= tune.choose_spec(30_000, 128).nlist <= 512
    assert "(scale/sift-t1-growth.png)" in text
    assert "| sift: n, 2 √n | 128 lists | 512 lists | 2,048 lists |" in text
    assert "| 10,000, 200 | 116 | 166 | 166 |" in text
    assert (page.parent / "scale" / "sift-t1-growth.png").exists()
    assert str(tmp_path) not in text + table.read_text("utf-8")


def test_too_little_to_advise_on(tmp_path: Path) -> None:
    rows = [r for r in ladder(dict.fromkeys(SIZES, 512)) if r["n"] != 100_000]
    with pytest.raises(FormatError, match="no data set has three sizes"):
        advice(rows)
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    with pytest.raises(FormatError):
        write_scale(tmp_path / "results.jsonl", tmp_path / "scale.json", tmp_path / "scale.md")
    assert not (tmp_path / "scale.json").exists()


def test_the_table_in_the_package_is_that_of_the_committed_results() -> None:
    table = json.loads(tune.SCALE.read_text("utf-8"))
    results = ROOT / table["source"]
    rows = measured(latest(read_rows(results)))
    run = json.loads(results.with_name("runs.jsonl").read_text("utf-8").splitlines()[-1])
    assert table_of(rows, run) == table
    page = (ROOT / "docs/benchmarks/scale.md").read_text("utf-8")
    for entry in table["rows"]:
        assert f"| {entry['n']:,} | {entry['nlist']:,} |" in page

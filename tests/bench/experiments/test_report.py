"""Plots and report: complete, self-contained, and saying nothing that the numbers do not."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lookalike.errors import DatasetError, FormatError
from lookalike_bench.experiments.findings import findings
from lookalike_bench.experiments.frame import by_peer, front, latest, measured, title
from lookalike_bench.experiments.reporting import write_report
from lookalike_bench.experiments.scaling import cheapest, draw_scale, fit, ladders
from lookalike_bench.experiments.store import FIELDS, read_rows
from lookalike_bench.markdown import to_html

RUN: dict[str, Any] = {
    "machine": {"cpu": "a CPU", "cores": 1, "instructions": "AVX2", "system": "a system", "faiss_build": "AVX2", "blas": ["a BLAS"], "versions": {"numpy": "2"}},
    "started": "2026-01-01T00:00:00+00:00", "command": "lookalike bench run x", "k": 10, "repeats": 1, "round_s": 1, "limit_s": 9,
}  # fmt: skip


def row(peer: str, recall: float, qps: float, **more: Any) -> dict[str, Any]:
    family = "lookalike" if peer.startswith("lookalike") else "FAISS" if peer.startswith("faiss") else "graph"
    values = {
        "kind": "peer", "schema": 3, "key": f"{peer}{recall}{qps}{more}", "status": "ok", "reason": "", "peer": peer, "version": "1", "family": family, "dataset": "x",
        "n": 1000, "d": 32, "k": 10, "params": {"p": 1}, "threads": 1, "build_s": 1.0, "build_cpu_s": 1.0, "peak_mb": 1.0, "bytes": 8000,
        "bytes_per_vector": 8.0, "queries": 10, "qps": qps, "cpu_us": 1e6 / qps, "p50_ms": 1e3 / qps, "p95_ms": 2e3 / qps, "p99_ms": 3e3 / qps,
        "recall_at_10": recall, "one_recall_at_1": recall, "one_recall_at_5": recall, "load": 1.0,
    }  # fmt: skip
    return dict.fromkeys(FIELDS["peer"]) | values | more


def test_everything_is_drawn(finished: Path, tmp_path: Path) -> None:
    report, page, interactive = write_report(finished / "out" / "results.jsonl", tmp_path)
    plots = ["recall-speed", "memory-recall", "build-time", "latency", "quantization-error"]
    for name in plots:
        assert (tmp_path / f"made-up-{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / f"made-up-{name}.svg").read_text("utf-8")
    text = report.read_text("utf-8")
    assert all(f"(made-up-{name}.png)" in text for name in plots)
    for words in ("`the command`", "FAISS IVFFlat 1.", "recall@10:", "nprobe 1, 16", "Everything was."):
        assert words in text
    assert str(finished) not in text
    for path in (page, interactive):
        html = path.read_text("utf-8")
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", html)
        assert "import(" not in html
    assert page.read_text("utf-8").count("data:image/png;base64,") == len(plots)
    data = json.loads(re.search(r"const DATA = (.*);\n", interactive.read_text("utf-8"))[1])  # type: ignore[index]
    assert len(data["rows"]) == 5


def test_results_that_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there are no results"):
        write_report(tmp_path / "results.jsonl", tmp_path)
    (tmp_path / "results.jsonl").write_text("")
    with pytest.raises(FormatError, match="nothing was measured"):
        write_report(tmp_path / "results.jsonl", tmp_path)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    name = "</script><b>x"
    lines = [row("faiss-flat", 1.0, 10.0, dataset=name), row("hnswlib", 0.9, 20.0, dataset=name)]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, page, interactive = write_report(tmp_path / "results.jsonl", tmp_path / "out")
    assert interactive.read_text("utf-8").count("</script>") == 1
    assert "<b>x" not in page.read_text("utf-8")
    assert all(re.fullmatch(r"[\w.-]+", path.name) for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("load", "said"), [(1.1, ""), (2.1, "Other work ran on the other cores"), (5.0, "The machine had other work")]
)
def test_the_report_says_what_else_the_machine_did(load: float, said: str, tmp_path: Path) -> None:
    lines = [row("faiss-flat", 1.0, 10.0, load=load), row("hnswlib", 0.9, 20.0, load=load)]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "runs.jsonl").write_text(json.dumps({**RUN, "machine": {**RUN["machine"], "cores": 2}}) + "\n")
    text = write_report(tmp_path / "results.jsonl", tmp_path / "out")[0].read_text("utf-8")
    assert [words in text for words in ("Other work ran on the other cores", "The machine had other work")] == [
        said.startswith("Other"),
        said.startswith("The machine"),
    ]


def test_front_and_latest() -> None:
    rows = [row("a", 0.5, 100), row("a", 0.8, 50), row("a", 0.7, 40), row("a", 0.9, 10), row("a", 0.9, 9)]
    assert [(r["recall_at_10"], r["qps"]) for r in front(rows, lambda r: r["qps"])] == [
        (0.5, 100),
        (0.8, 50),
        (0.9, 10),
    ]
    failed = row("a", 0.5, 100) | {"status": "failed", "recall_at_10": None}
    assert measured(latest([failed, rows[0]])) == [rows[0]]
    assert list(by_peer([row("b", 1, 1), row("lookalike-flat", 1, 1)])) == ["lookalike-flat", "b"]


def test_findings_say_what_holds() -> None:
    ours, peer = (
        row("lookalike-ivfpq", 0.95, 1000, build_s=1.0),
        row("hnswlib", 0.95, 400, build_s=9.0, bytes_per_vector=200.0),
    )
    text = " ".join(findings([ours, peer], busy=False))
    assert "lookalike IVFPQ was quickest in batch: 1,000.0 µs a query" in text
    assert "2.5 times as quick as the next, hnswlib" in text
    assert "smallest index of that recall was lookalike IVFPQ's, 8 bytes" in text
    assert "hnswlib slowest (9.0 s)" in text
    text = " ".join(findings([ours, row("hnswlib", 0.95, 950)], busy=False))
    assert "no difference that this run can tell" in text
    text = " ".join(findings([ours, row("hnswlib", 0.95, 3000), row("usearch", 0.91, 2000)], busy=False))
    assert "The best of ours, lookalike IVFPQ (p 1), came third of 3" in text
    assert "3.0 times the time of the quickest" in text
    assert "processor time a query" in " ".join(findings([ours, peer], busy=True))
    assert "None of ours reached" in " ".join(findings([peer], busy=False))
    assert findings([row("hnswlib", 0.5, 1)], busy=False) == ["No setting of any peer reached recall@10 of 0.9."]


def test_findings_about_rotation_and_kmeans() -> None:
    def coded(error: float, seconds: float, recall: float = 0.95, **params: Any) -> dict[str, Any]:
        full = {"nlist": 8, "m": 8, "nbits": 8, "kmeans": "native", "rotation": "", "nprobe": 4} | params
        return row("lookalike-ivfpq", recall, 100, params=full, quantization_error=error, build_cpu_s=seconds)

    text = " ".join(findings([coded(0.4, 2.0), coded(0.3, 10.0, rotation="opq")], busy=False))
    assert "OPQ lowered the quantization error of our codes of m=8 (-25%), for 5.0 times" in text
    assert "OPQ hardly changed" in " ".join(findings([coded(0.4, 2.0), coded(0.401, 9.0, rotation="opq")], busy=False))
    text = " ".join(
        findings([coded(0.4, s, kmeans=name) for name, s in (("native", 1), ("faiss", 2), ("sklearn", 3))], False)
    )
    assert "native 1.0 s (recall 0.950), faiss 2.0 s (recall 0.950), sklearn 3.0 s" in text


def test_growth_is_fitted_and_carried_on(tmp_path: Path) -> None:
    law = fit([1e3, 1e4, 1e5], [2 * n**1.5 for n in (1e3, 1e4, 1e5)])
    assert law.power == pytest.approx(1.5)
    assert law.at(1e6) == pytest.approx(2e9)
    assert law.worst == pytest.approx(1)
    rows = [
        row("lookalike-ivfpq-reranked", 0.95, 1e6 / (10 + n * 16 / 64 * 8 * 1e-3), n=n, d=128, dataset=f"sift-{n // 1000}k", bytes=300 * n,
            params={"nlist": 64, "m": 16, "nprobe": 8, "candidates": 100}, build_cpu_s=n * 1e-4)
        for n in (1000, 10_000, 100_000)
    ]  # fmt: skip
    assert list(ladders(rows)) == [("sift", 1)]
    assert list(cheapest(rows)) == [1000, 10_000, 100_000]
    text = draw_scale(rows, tmp_path)
    assert "n^1.00 (±0 %)" in text
    assert "beyond 100,000 vectors nothing was measured" in text
    assert "| 1,000,000,000 |" in text
    assert (tmp_path / "sift-t1-growth.png").exists()
    assert draw_scale(rows[:2], tmp_path) == ""


def test_markdown_becomes_a_page() -> None:
    page = to_html(
        "# A <b>\n\ntext `code` **bold**\n\n- one\n- two\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n![c](d.png)\n",
        str.upper,
    )
    for part in (
        "<h1>A &lt;b&gt;</h1>",
        "<code>code</code>",
        "<strong>bold</strong>",
        "<li>two</li>",
        "<td>2</td>",
        '<img src="D.PNG" alt="c">',
    ):
        assert part in page


COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "benchmarks"


@pytest.mark.parametrize("name", ["small", "full"])
def test_the_committed_report_says_what_its_results_say(name: str) -> None:
    """Each number of each paragraph, computed again, without the code that wrote it."""
    folder = COMMITTED / name
    rows = [r for r in latest(read_rows(folder / "results.jsonl")) if r["status"] == "ok"]
    sections = re.split(r"^## (?=.*× \d)", (folder / "report.md").read_text("utf-8"), flags=re.M)[1:]
    assert len(sections) == len({(r["dataset"], r["threads"]) for r in rows}) >= 2
    compared: Counter[str] = Counter()
    for section in sections:
        data, threads = re.match(r"(.+), [\d,]+ × \d+, (\d+) thread", section).groups()  # type: ignore[union-attr]
        here = [r for r in rows if (r["dataset"], r["threads"]) == (data, int(threads)) and r["recall_at_10"] >= 0.9]
        busy = "of processor time a query" in section
        cost = {r["key"]: r["cpu_us"] if busy else 1e6 / r["qps"] for r in here}
        quickest = min(here, key=lambda r: cost[r["key"]])
        said = re.search(r"At recall@10 ≥ 0.9, (.+?) was quickest in batch: ([\d,.]+) µs", section)
        assert said is not None
        assert said[1] == title(quickest["peer"])
        assert said[2] == f"{cost[quickest['key']]:,.1f}"
        ours = min(cost[r["key"]] for r in here if r["family"] == "lookalike")
        if found := re.search(r"with ([\d,.]+) µs, ([\d.]+) times the time of the quickest", section):
            assert found.groups() == (f"{ours:,.1f}", f"{ours / cost[quickest['key']]:.1f}")
            place = len({r["peer"] for r in here if cost[r["key"]] < ours}) + 1
            assert f"of {len({r['peer'] for r in here})} with" in section
            assert re.search(rf"came (first|second|third|{place}th) of", section)
            compared["times"] += 1
        smallest = min(here, key=lambda r: r["bytes_per_vector"])
        assert f"{title(smallest['peer'])}'s, {smallest['bytes_per_vector']:,.0f} bytes a vector" in section
        seconds = "build_cpu_s" if busy else "build_s"
        built = re.findall(r"(?:everything, | and )([^()]+?) (?:was built )?(quickest|slowest) \(([\d.]+) s", section)
        assert [word for _, word, _ in built] in ([], ["quickest", "slowest"])
        for peer, _, value in built:
            mine = min(r[seconds] for r in here if title(r["peer"]) == peer)
            assert float(value) == pytest.approx(mine, abs=0.06)
            compared["built"] += 1
        for text, low in re.findall(r"(native|faiss|sklearn) ([\d.]+) s \(recall", section):
            assert any(
                f"{r['build_cpu_s']:.1f}" == low
                for r in rows
                if r["dataset"] == data and r["params"].get("kmeans") == text
            )
            compared["k-means"] += 1
    assert set(compared) == {"times", "built", "k-means"}, "a sentence that nobody compares"


def test_committed_results_of_an_older_schema_give_the_report_beside_them(tmp_path: Path) -> None:
    folder = COMMITTED / "upstream"
    assert {row["kind"] for row in read_rows(folder / "results.jsonl")} == {"peer"}
    report, page, _ = write_report(folder / "results.jsonl", tmp_path)
    assert report.read_text("utf-8") == (folder / "report.md").read_text("utf-8")
    assert page.read_text("utf-8").count("data:image/png;base64,") == len(list(tmp_path.glob("*.png")))

"""The report of an experiment: plots, one interactive page, Markdown and HTML."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lookalike._files import atomic_write
from lookalike.errors import FormatError
from lookalike_bench.experiments import plots
from lookalike_bench.experiments.findings import findings
from lookalike_bench.experiments.frame import Row, by_peer, datasets, latest, measured, setting, title
from lookalike_bench.experiments.scaling import draw_scale
from lookalike_bench.experiments.side_by_side import side_by_side
from lookalike_bench.experiments.store import read_rows, read_runs
from lookalike_bench.markdown import table, to_html

__all__ = ["write_report"]

_PLOTS: tuple[tuple[str, Any, str], ...] = (
    (
        "recall-speed",
        plots.recall_speed,
        "Recall against queries a second. Each line is a peer's best settings (its Pareto front); the grey band is the front of all.",
    ),
    ("memory-recall", plots.memory_recall, "Memory against recall: the smallest index of each recall."),
    ("build-time", plots.build_times, "Time to build, training included."),
    ("latency", plots.latencies, "Single queries: median, 95th and 99th percentile."),
    (
        "quantization-error",
        plots.error_bytes,
        "Quantization error against size, of indexes that say what their codes stand for.",
    ),
)

_OTHERS = 0.5  # load above a run's own threads that is somebody else's

_METRICS = """\
recall@10: the share of the 10 exact neighbours that are among the first 10 found (an intersection; a vector as near as the tenth counts, so
ties cannot hurt). 1-recall@R: how often *the* nearest is among the first R; it is not recall@R, and always looks better. Relative error:
mean of (found distance ÷ exact distance at the same rank) − 1, distances not squared. Quantization error: mean ‖x − x̂‖² ÷ mean ‖x − mean‖².
Bytes a vector: the whole index as saved, divided by n. Peak memory: how much the process grew while it built. All are defined in
docs/benchmarks/experiments.md."""


def write_report(results: Path, out: Path, say: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Draw and write everything about a file of results.

    Returns
    -------
    list of Path
        The report, the same as a page, and the interactive page, which there is where peers were measured.

    Raises
    ------
    FormatError
        If nothing was measured in it.
    """
    rows = latest(read_rows(results))
    cases, peers = ([row for row in rows if row["kind"] == kind] for kind in ("case", "peer"))
    good = measured(peers)
    if not good and not cases:
        raise FormatError(f"{results}: nothing was measured with 10 neighbours or more; there is nothing to draw")
    run = (read_runs(results) or [{}])[-1]
    out.mkdir(parents=True, exist_ok=True)
    parts = [f"# Experiment: {run.get('name', 'results')}", run.get("description", ""), *_machine(run, peers)]
    if cases:
        parts += side_by_side(cases, run)
    if good:
        parts += ["## Metrics", _METRICS]
        for dataset, threads in datasets(good):
            say(f"drawing {dataset}")
            here = [row for row in good if (row["dataset"], row["threads"]) == (dataset, threads)]
            parts += _dataset(here, run, _draw(here, out))
        scale = draw_scale(good, out)
        parts += ["## Growth", scale] if scale else []
    if peers:
        parts += ["## What was not measured", _failures([row for row in peers if row["status"] != "ok"])]
    unrun = _not_run(run, rows)
    if unrun:
        parts += ["## Not run yet", "The run was stopped, or is under way; the same command goes on with these.", unrun]
    if peers:
        parts += ["## Every setting", _settings(peers)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    pages = {"report.md": text, "report.html": _page(text, out)}
    if good:
        pages["interactive.html"] = interactive(good)
    for name, page in pages.items():
        with atomic_write(out / name) as file:
            file.write(page.encode())
    return [out / name for name in pages]


def _draw(rows: Sequence[Row], out: Path) -> list[tuple[Path, str]]:
    first = rows[0]
    threads = f", {first['threads']} threads" if first["threads"] > 1 else ""
    heading = f"{first['dataset']} ({first['n']:,} × {first['d']}{threads})"
    slug = "".join(c if c.isalnum() else "-" for c in first["dataset"]) + (
        f"-t{first['threads']}" if first["threads"] > 1 else ""
    )
    made = []
    for name, draw, caption in _PLOTS:
        figure = draw(rows, heading)
        if figure is not None:
            made.append((plots.save(figure, out, f"{slug}-{name}")[0], caption))
    return made


def _dataset(rows: Sequence[Row], run: dict[str, Any], pictures: Sequence[tuple[Path, str]]) -> list[str]:
    """What was found on one data set at one number of threads."""
    first, busy = rows[0], _is_busy(rows, run)
    dataset, threads = first["dataset"], first["threads"]
    parts = [f"## {dataset}, {first['n']:,} × {first['d']}, {threads} thread{'s' * (threads > 1)}"]
    about = next((item["about"] for item in run.get("data", []) if item["name"] == dataset), "")
    if about:
        queries = max(row["queries"] for row in rows)
        parts.append(f"{about[:1].upper()}{about[1:]}; {queries:,} queries, fewer for slow peers.")
    if busy:
        parts.append(
            "**The machine had other work meanwhile (see load): findings compare processor time; the plots show the clock's.**"
        )
    elif (load := _load(rows)) >= threads + _OTHERS:
        parts.append(
            f"**Other work ran on the other cores meanwhile (load {load:.1f}): each run had its own cores, but shared memory and caches.**"
        )
    parts.append(" ".join(findings(rows, busy)))
    return [*parts, *(f"![{caption}]({path.name})\n\n{caption}" for path, caption in pictures), _table(rows)]


def _load(rows: Sequence[Row]) -> float:
    """The median; the run itself is in it."""
    loads = sorted(row["load"] for row in rows if row["load"] is not None)
    return loads[len(loads) // 2] if loads else 0.0


def _is_busy(rows: Sequence[Row], run: dict[str, Any]) -> bool:
    return bool(_load(rows) > 1.3 * run.get("machine", {}).get("cores", 1))


def _machine(run: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """The section about where it was measured; `rows` are of peers."""
    machine = run.get("machine")
    lines = []
    if machine:
        lines.append(
            f"- {machine['cpu']}, {machine['cores']} core{'s' * (machine['cores'] != 1)}; our kernels are compiled to {machine['instructions']}; {machine['system']}"
        )
        how = ""
        if rows:
            how = f"; k = {run['k']}, {run['repeats']} rounds or more of about {run['round_s']:g} s, at most {run['limit_s']:g} s a run; each run in a process of its own, bound to as many cores as it has threads"
        lines.append(f"- {run['started']}, `{run['command']}`{how}")
        lines.append(f"- FAISS was built with: {machine['faiss_build']}; {'; '.join(machine['blas'])}")
    loads = [row["load"] for row in rows if row["load"] is not None]
    if loads:
        lines.append(f"- Load before the runs: {min(loads):g} to {max(loads):g}")
    versions = sorted({(row["peer"], row["version"]) for row in rows if row["version"]})
    if versions:
        lines.append("- " + ", ".join(f"{title(peer)} {version}" for peer, version in versions))
    for name, about in run.get("peers", {}).items():
        if about.get("note") and any(row["peer"] == name for row in rows):
            lines.append(f"- {title(name)}: {about['note']}")
    return ["## Machine and versions", "\n".join(lines)] if lines else []


_HEAD = (
    "peer",
    "setting",
    "recall@10",
    "queries/s",
    "p50 ms",
    "p99 ms",
    "bytes/vector",
    "build s",
    "peak MB",
    "relative error",
)


def _table(rows: Sequence[Row]) -> str:
    """Each peer's quickest setting of recall 0.9, or its best recall."""
    lines = []
    chosen = [plots.usable(mine, lambda r: -float(r["qps"]))[0] for mine in by_peer(rows).values()]
    for row in sorted(chosen, key=lambda r: (r["recall_at_10"] < plots.GOOD, -r["qps"])):
        error = "" if row["relative_error"] is None else f"{row['relative_error']:.4f}"
        lines.append((
            title(row["peer"]), setting(row), f"{row['recall_at_10']:.3f}", f"{row['qps']:,.0f}", f"{row['p50_ms']:.3f}",
            f"{row['p99_ms']:.3f}", f"{row['bytes_per_vector']:,.1f}", f"{row['build_s']:.2f}", f"{row['peak_mb']:,.0f}", error,
        ))  # fmt: skip
    return f"Each peer's quickest setting of recall@10 ≥ {plots.GOOD}; where none reaches that, the one of the highest recall.\n\n{table(_HEAD, lines)}"


def _failures(rows: Sequence[Row]) -> str:
    if not rows:
        return "Everything was."
    seen: dict[tuple[str, str, str, str], int] = {}
    for row in rows:
        key = (row["dataset"], row["peer"], row["status"], row["reason"])
        seen[key] = seen.get(key, 0) + 1
    return "\n".join(
        f"- {dataset}: {title(peer)}: {status}: {reason} ({count} setting{'s' * (count > 1)})"
        for (dataset, peer, status, reason), count in seen.items()
    )


def _not_run(run: dict[str, Any], rows: Sequence[Row]) -> str:
    """What the last run wanted and has no row."""
    there = {row["key"] for row in rows}
    left: dict[tuple[str, str], list[int]] = {}
    for item in run.get("planned", []):
        if "case" in item:
            name = f"{item['dataset']}: case {item['case']}", "rows"
        else:
            threads = f"{item['threads']} thread{'s' * (item['threads'] > 1)}"
            name = f"{item['dataset']}, {threads}: {title(item['peer'])}", "settings"
        counts = left.setdefault(name, [0, 0])
        counts[0] += sum(key not in there for key in item["keys"])
        counts[1] += len(item["keys"])
    return "\n".join(
        f"- {name}: {missing} of {total} {what}" for (name, what), (missing, total) in left.items() if missing
    )


def _settings(rows: Sequence[Row]) -> str:
    found: dict[str, dict[str, list[Any]]] = {}
    for row in rows:
        values = found.setdefault(row["peer"], {})
        for name, value in row["params"].items():
            kept = values.setdefault(name, [])
            if value not in kept:
                kept.append(value)
    lines = []
    for peer, values in found.items():
        words = "; ".join(f"{name} {', '.join(str(v) or 'none' for v in kept)}" for name, kept in values.items())
        lines.append(f"- {title(peer)}: {words or 'no parameters'}")
    return "\n".join(lines)


def _page(markdown: str, folder: Path) -> str:
    """The same report as one HTML file, pictures inside."""

    def picture(name: str) -> str:
        data = base64.b64encode((folder / name).read_bytes()).decode()
        return f"data:image/png;base64,{data}"

    return to_html(markdown, picture)


def interactive(rows: Sequence[Row]) -> str:
    """One page that needs nothing else: choose data, axes and peers; point at a result to read it."""
    names = ("peer", "family", "dataset", "threads", "n", "d", "qps", "p50_ms", "p99_ms", "build_s", "bytes_per_vector", "peak_mb",
             "recall_at_10", "one_recall_at_1", "one_recall_at_5", "relative_error", "quantization_error", "cpu_us")  # fmt: skip
    data = [
        {**{name: row[name] for name in names}, "title": title(row["peer"]), "setting": setting(row)} for row in rows
    ]
    template = Path(__file__).with_name("interactive.html").read_text("utf-8")
    text = json.dumps({"rows": data, "colours": plots.COLOURS}, ensure_ascii=True, allow_nan=False)
    return template.replace("/*DATA*/null", text.replace("<", "\\u003c"))

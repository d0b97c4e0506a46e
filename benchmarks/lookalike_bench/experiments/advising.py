"""What to choose at each size, from measurements: `collection/index/scale.json`, which `collection.index.choose` reads, and docs/benchmarks/scale.md."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookalike._files import atomic_write
from lookalike.collection.index import choose as tune
from lookalike.errors import FormatError
from lookalike_bench.experiments.frame import Row, latest, measured
from lookalike_bench.experiments.scaling import draw_scale, ladders
from lookalike_bench.experiments.store import read_rows, read_runs
from lookalike_bench.markdown import table

__all__ = ["advice", "scale_page", "table_of", "write_scale"]

_PEER = "lookalike-ivfpq-reranked"
_FEWEST, _MOST = 0.36, 2.8  # lists for each √n: beyond that a power of two nearby is not near
_ALIKE = 1.25  # costs nearer than that are no difference: one setting measured twice, hours apart, differs by so much

_MODEL = """\
## The model

| | cost | grows with nlist ∝ √n as |
|---|---|---|
| building | n · nlist · d for assignments, n for the codes | n^1.5 |
| a query | nlist · d (coarse) + n · nprobe / nlist · m (codes) + candidates · d (re-ranking) + a constant | √n at a fixed nprobe |
| memory | n · (m + 8) for codes, norm and id, 4 · d · nlist for centroids; float16 vectors 2 · d · n, on disk and mapped | n |

The constants are fitted to the measured settings, none below zero. Beyond the sizes measured it is a calculation on paper, which assumes that codes
stay in memory, that lists stay as even as they were, one machine, and that nprobe grows as n^¼ to hold the recall, which is what is least
sure. 1B vectors of m 64 are 72 GB of codes before the vectors: that is a matter for several machines."""


def advice(rows: Sequence[Row], recall: float = tune.TARGET) -> tuple[str, list[Row]]:
    """Of the first data set in three sizes or more: its name, and our cheapest setting of that recall at each size.

    Costs within a quarter are no difference: then the smaller code, and then the number of lists that is nearest to 2 √n.

    Raises
    ------
    FormatError
        If no data set has three sizes with that recall.
    """
    for (name, _), mine in ladders([row for row in rows if row["peer"] == _PEER]).items():
        found = []
        for n in sorted({row["n"] for row in mine}):
            good = [row for row in mine if row["n"] == n and row["recall_at_10"] >= recall and _usable(row)]
            if not good:
                continue
            least = min(row["cpu_us"] for row in good)
            near = [row for row in good if row["cpu_us"] <= _ALIKE * least]
            found.append(min(near, key=_preference))
        if len(found) >= 3:
            return name, found
    raise FormatError(
        f"no data set has three sizes at which {_PEER} reached recall@10 of {recall}; run more of `bench run scale`"
    )


def _usable(row: Row) -> bool:
    nlist, n = int(row["params"]["nlist"]), int(row["n"])
    return _FEWEST <= nlist / math.sqrt(n) <= _MOST and n >= 16 * nlist


def _preference(row: Row) -> tuple[int, float, float]:
    params = row["params"]
    return params["m"], round(abs(math.log2(params["nlist"] / (2 * math.sqrt(row["n"])))), 6), row["cpu_us"]


def table_of(rows: Sequence[Row], run: dict[str, Any]) -> dict[str, Any]:
    """The contents of `scale.json`."""
    name, best = advice(rows)
    about = {item["name"]: item["about"] for item in run.get("data", [])}
    machine = run.get("machine", {})
    return {
        "about": "nlist, m and nprobe by the number of vectors; between the rows nlist is interpolated, beyond them it grows as the square root",
        "source": "docs/benchmarks/scale/results.jsonl", "command": run.get("command", ""), "machine": machine.get("cpu", best[0]["machine"]),
        "when": max(row["when"] or "" for row in best), "data": about.get(best[-1]["dataset"], name), "recall": tune.TARGET,
        "rows": [{"n": row["n"], "nlist": row["params"]["nlist"], "dims_per_byte": row["d"] / row["params"]["m"],
                  "nprobe": row["params"]["nprobe"]} for row in best],
    }  # fmt: skip


def scale_page(rows: Sequence[Row], run: dict[str, Any], pictures: Path) -> str:
    """docs/benchmarks/scale.md; its plots go into the folder `pictures`, beside it."""
    name, best = advice(rows)
    machine = run.get("machine", {})
    growth = draw_scale(rows, pictures).replace("](", f"]({pictures.name}/")
    head = (
        "n",
        "nlist",
        "nlist ÷ √n",
        "m",
        "nprobe",
        "candidates",
        "recall@10",
        "µs of processor time",
        "bytes a vector",
    )
    lines = []
    for row in best:
        p = row["params"]
        lines.append((
            f"{row['n']:,}", f"{p['nlist']:,}", f"{p['nlist'] / math.sqrt(row['n']):.1f}", str(p["m"]), str(p["nprobe"]),
            str(p["candidates"]), f"{row['recall_at_10']:.3f}", f"{row['cpu_us']:,.0f}", f"{row['bytes_per_vector']:,.0f}",
        ))  # fmt: skip
    parts = [
        "# Scale: what grows how, and what to choose",
        "Made by these, from [results.jsonl](scale/results.jsonl); nothing on this page is written by hand.",
        "```\nlookalike bench run scale\npython tools/build_scale.py benchmarks/results/scale\n```",
        f"{machine.get('cpu', 'Machine unknown')}, one thread, {run.get('started', '')[:10]}. Each peer at its cheapest setting of recall@10 ≥ 0.9.",
        "## What to choose",
        f"On {name} ({best[0]['d']}-d), the cheapest search of ours with recall@10 ≥ {tune.TARGET}; costs within {_ALIKE - 1:.0%} count as equal, "
        "and then the smaller code wins, then the number of lists nearest to 2 √n:",
        table(head, lines),
        "How much the number of lists matters: µs of processor time of the cheapest search of that recall, whatever its m, nprobe and candidates.",
        *(_by_lists(data, mine) for (data, _), mine in ladders([row for row in rows if row["peer"] == _PEER]).items()),
        "`collection/index/choose.py` reads these rows: nlist as the nearest power of two, interpolated between sizes and as √n beyond them, so long as each "
        "list has 16 vectors; m by the dimensions that a byte stands for, 8 to 64; and an eighth of nprobe is where it begins to measure "
        "nprobe and candidates on the collection itself.",
        "## What grows how", growth, _MODEL,
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _by_lists(data: str, rows: Sequence[Row]) -> str:
    """A table of the least cost for each number of lists, at each size of one data set, all of whose rows are ours."""
    least: dict[tuple[int, int], float] = {}
    for row in rows:
        if row["recall_at_10"] >= tune.TARGET:
            key = row["n"], row["params"]["nlist"]
            least[key] = min(least.get(key, math.inf), row["cpu_us"])
    lists = sorted({nlist for _, nlist in least})
    rows_of = [
        [f"{n:,}, {2 * math.sqrt(n):,.0f}", *(f"{least[n, c]:,.0f}" if (n, c) in least else "" for c in lists)]
        for n in sorted({n for n, _ in least})
    ]
    return table([f"{data}: n, 2 √n", *(f"{nlist:,} lists" for nlist in lists)], rows_of)


def write_scale(results: Path, table: Path, page: Path) -> None:
    """Write the table, then the page, its plots and a copy of the results into the folder `scale` beside the page."""
    rows = measured(latest(read_rows(results)))
    notes = results.with_name("runs.jsonl")
    run = (read_runs(results) or [{}])[-1]
    made = table_of(rows, run)
    with atomic_write(table) as file:
        file.write((json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode())
    tune.scale_table.cache_clear()
    folder = page.with_name("scale")
    folder.mkdir(parents=True, exist_ok=True)
    text = scale_page(rows, run, folder)
    for source in (results, notes):
        if source.is_file() and source.parent != folder:
            with atomic_write(folder / source.name) as file:
                file.write(source.read_bytes())
    with atomic_write(page) as file:
        file.write(text.encode())

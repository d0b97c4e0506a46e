"""Running a benchmark: spec in, results and report out."""

from __future__ import annotations

import datetime
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lookalike._files import atomic_write
from lookalike.errors import InputError, LookalikeError
from lookalike_bench.engine import building, processes, reranking, searching
from lookalike_bench.engine.bench import Bench, engine_data
from lookalike_bench.engine.report import engine_report
from lookalike_bench.engine.rows import Row, read_results, write_line
from lookalike_bench.engine.scale import Scale
from lookalike_bench.machine import this_machine

__all__ = ["CASES", "Outcome", "run_engine"]

Case = Callable[[Bench], Iterator[Row]]

CASES: dict[str, Case] = {
    "search": searching.search,
    "wide": searching.wide,
    "features": searching.features,
    "rerank": reranking.rerank,
    "two-threads": searching.two_threads,
    "kmeans": building.kmeans,
    "train-add": building.train_add,
    "add": building.add,
    "plain": processes.plain,
    "memory": processes.memory,
    "first-search": processes.first_search,
}
"""By name, in the order in which they run."""


class Outcome(NamedTuple):
    """What a run left: the report as text, and where both files are."""

    report: str
    markdown: Path
    results: Path


def run_engine(
    scale: Scale,
    folders: Sequence[Path],
    out: Path,
    keep: Path,
    *,
    only: Sequence[str] = (),
    command: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Measure the engine against FAISS and write ``engine-<cpu>-<instructions>.md`` and ``.jsonl``.

    Parameters
    ----------
    scale : Scale
    folders : sequence of Path
        Pictures to make vectors of.
    out : Path
        Where the two files go. Each row is on disk as soon as it is measured, in ``….jsonl.part`` until all are there.
    keep : Path
        Where vectors made of pictures are kept for the next run.
    only : sequence of str
        Names of `CASES`; all by default. Results of a part of them are written to files of their own, so that they
        do not replace those of a whole run.
    command : str
        What was typed, for the report.
    say : callable
        Takes lines of progress.

    Raises
    ------
    InputError
        If a case is not known.
    DatasetError
        If the pictures do not suffice.
    """
    unknown = [name for name in only if name not in CASES]
    if unknown:
        raise InputError(f"no case is called {unknown[0]!r}; there are: {', '.join(CASES)}")
    started, begun = datetime.datetime.now(datetime.UTC), time.perf_counter()
    machine = this_machine()
    say(f"{machine.cpu}, {machine.cores} cores, {machine.instructions}")
    out.mkdir(parents=True, exist_ok=True)
    data = engine_data(scale, folders, keep, say)
    name = "-".join(["engine", machine.slug, *([scale.name] if scale.name != "full" else []), *sorted(set(only))])
    results, part = out / f"{name}.jsonl", out / f"{name}.jsonl.part"
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as work:
        bench = Bench(scale, data, machine, Path(work), say)
        about: dict[str, Any] = {
            "scale": scale.to_dict(), "command": command, "started": started.isoformat(timespec="seconds"),
            "can_bind": bench.threads.can_bind, "machine": machine.to_dict(),
        }  # fmt: skip
        with part.open("wb") as file:
            write_line(file, "run", about)
            for case in only or CASES:
                for row in _rows(bench, case):
                    write_line(file, "row", row.to_dict())
                    say(_progress(row))
            write_line(file, "end", {"seconds": round(time.perf_counter() - begun)})
    report = engine_report(read_results(part))
    part.replace(results)
    markdown = results.with_suffix(".md")
    with atomic_write(markdown) as file:
        file.write(report.encode())
    return Outcome(report, markdown, results)


def _rows(bench: Bench, case: str) -> Iterator[Row]:
    """The rows of a case; if it fails, a row that says so in place of the rest, so that the other cases still run."""
    try:
        yield from CASES[case](bench)
    except (LookalikeError, RuntimeError, MemoryError, OSError, subprocess.SubprocessError) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        data = bench.data.main
        yield data.row(case, case, threads=0, note=f"failed: {reason[0]}")


def _progress(row: Row) -> str:
    value = "" if row.value is None else f"{row.value:.2f} {row.unit} "
    result = "" if row.agreement is None else f", results {row.agreement.words}"
    return f"  {value}{row.verdict}{result} {row.note}".rstrip()

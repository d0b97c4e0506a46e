"""Running cases: rows, each written as soon as it is measured.

Cases run in this process, one after the other, not each in its own as peers do: rivals that take turns have to be in one process, and an
index that several cases search is built once.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lookalike.errors import LookalikeError
from lookalike_bench.cases.base import Bench, Shared, Way
from lookalike_bench.cases.rows import Row
from lookalike_bench.experiments.plan import CaseRun
from lookalike_bench.machine import Machine, Threads

__all__ = ["measure_cases"]

Say = Callable[[str], None]


def measure_cases(
    runs: Sequence[tuple[CaseRun, list[Way]]],
    machine: Machine,
    write: Callable[[str, Row], None],
    say: Say,
    until: float,
) -> None:
    """Measure each case in the ways that are given with it, until the time is over.

    Parameters
    ----------
    write : callable
        Takes the key of a row and the row.
    until : float
        When to stop, of `time.monotonic`; a row under way is finished first.
    """
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as work:
        shared, threads = Shared(Path(work), say), Threads()
        for number, (run, ways) in enumerate(runs, 1):
            if time.monotonic() > until:
                return
            say(f"[{number}/{len(runs)}] {run.spec.name}: {run.data.name}")
            bench = Bench(run.spec, run.case, run.data, shared, machine, threads, say)
            left = list(ways)
            for row in _rows(bench, ways):
                way = left.pop(0)
                write(run.key(way), row)
                say(f"  {way}: {_words(row)}")
                if left and time.monotonic() > until:
                    return


def _rows(bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
    """The rows of a case; if it fails, rows that say so in place of the rest, so that the other cases still run."""
    given = 0
    try:
        for row in bench.case.rows(bench, ways):
            given += 1
            yield row
    except (LookalikeError, RuntimeError, MemoryError, OSError, subprocess.SubprocessError) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        for way in ways[given:]:
            yield bench.row(bench.spec.name, way, note=f"failed: {reason[0]}")


def _words(row: Row) -> str:
    value = "" if row.value is None else f"{row.value:.2f} {row.unit}"
    result = "" if row.agreement is None else f"results {row.agreement.words}"
    return ", ".join(part for part in (value, row.verdict, result, row.note) if part)

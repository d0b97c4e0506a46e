"""``results.jsonl``: one line for each search setting, appended, never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from lookalike._files import try_lock
from lookalike.errors import FormatError, InputError
from lookalike_bench import lines

__all__ = ["FIELDS", "SCHEMA", "Store", "opened", "read_rows"]

SCHEMA = 2  # 1 are the results of `bench run engine`

FIELDS = (
    "schema", "key", "status", "reason", "peer", "version", "family", "dataset", "n", "d", "k", "params", "threads",
    "build_s", "build_cpu_s", "peak_mb", "bytes", "bytes_from", "bytes_per_vector", "quantization_error",
    "queries", "batch_s", "qps", "cpu_us", "singles", "p50_ms", "p95_ms", "p99_ms", "mean_ms",
    "recall_at_1", "recall_at_10", "recall_at_100", "one_recall_at_1", "one_recall_at_5", "one_recall_at_10", "relative_error",
    "machine", "load", "when",
)  # fmt: skip
"""What every line has, null where it was not measured; docs/benchmarks/README.md says what each is."""


class Store:
    """An open file of results; only one process has it at a time."""

    def __init__(self, path: Path, file: BinaryIO, rows: list[dict[str, Any]]) -> None:
        self.path, self._file, self.rows = path, file, rows

    def done(self, installed: Mapping[str, str | None]) -> set[str]:
        """Keys that need no run: measured, failed, or of a peer that is still not there."""
        latest = {row["key"]: row for row in self.rows}
        return {
            key for key, row in latest.items() if row["status"] != "not installed" or not installed.get(row["peer"])
        }

    def append(self, values: Mapping[str, Any]) -> None:
        """Write one line; it is on disk when this returns."""
        row = dict.fromkeys(FIELDS) | {"schema": SCHEMA} | dict(values)
        unknown = set(row) - set(FIELDS)
        if unknown:
            raise InputError(f"results: no field is called {sorted(unknown)[0]!r}")
        lines.append(self._file, row)
        self.rows.append(row)


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """Open results to go on with them. A last line that was cut off by a kill is taken away, nothing else is touched.

    Raises
    ------
    InputError
        If another process is writing to it.
    FormatError, VersionError
        As `read_rows`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if not try_lock(file.fileno()):
            raise InputError(f"{path}: another run is writing to it; wait for it or give another --out")
        rows = read_rows(path)
        file.seek(0)
        text = file.read()
        file.truncate(text.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        yield Store(path, file, rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of results, as `lines.read`, each with every field.

    Raises
    ------
    FormatError
        If a line lacks one.
    """
    rows = lines.read(path, SCHEMA)
    for number, row in enumerate(rows, 1):
        missing = [name for name in FIELDS if name not in row]
        if missing or not all(isinstance(row[name], str) for name in ("key", "status", "peer", "dataset")):
            wanted = missing[0] if missing else "a name"
            raise FormatError(f"{path}: line {number} is not a whole result: {wanted} is missing")
    return rows

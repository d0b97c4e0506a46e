"""``results.jsonl``: one line for each search setting of a peer and for each row of a case, appended, never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from lookalike._files import try_lock
from lookalike.errors import DatasetError, FormatError, InputError, VersionError
from lookalike_bench.cases.rows import Row

__all__ = ["FIELDS", "SCHEMA", "Store", "opened", "read_rows", "read_runs"]

SCHEMA = 3
OLDEST = 2  # its lines have no kind: all are of peers

FIELDS = {
    "peer": (
        "kind", "schema", "key", "status", "reason", "peer", "version", "family", "dataset", "n", "d", "k", "params", "threads",
        "build_s", "build_cpu_s", "peak_mb", "bytes", "bytes_from", "bytes_per_vector", "quantization_error",
        "queries", "batch_s", "qps", "cpu_us", "singles", "p50_ms", "p95_ms", "p99_ms", "mean_ms",
        "recall_at_1", "recall_at_10", "recall_at_100", "one_recall_at_1", "one_recall_at_5", "one_recall_at_10", "relative_error",
        "machine", "load", "when",
    ),
    "case": ("kind", "schema", "key", "status", *(field.name for field in fields(Row)), "verdict", "machine", "load", "when"),
}  # fmt: skip
"""What every line of a kind has, null where it was not measured; docs/benchmarks says what each is."""

_MAX_BYTES = 256 << 20


class Store:
    """An open file of results; only one process has it at a time."""

    def __init__(self, path: Path, file: BinaryIO, rows: list[dict[str, Any]]) -> None:
        self.path, self._file, self.rows = path, file, rows

    def done(self, installed: Mapping[str, str | None], *, retry: bool = False) -> set[str]:
        """Keys that need no run: measured, failed (unless `retry`), or of a peer that is still not there."""
        latest = {row["key"]: row for row in self.rows}.values()
        if retry:
            return {row["key"] for row in latest if row["status"] == "ok"}
        return {row["key"] for row in latest if row["status"] != "not installed" or not installed.get(row["peer"])}

    def append(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write one line; it is on disk when this returns."""
        row = dict.fromkeys(FIELDS[kind]) | {"kind": kind, "schema": SCHEMA} | dict(values)
        unknown = set(row) - set(FIELDS[kind])
        if unknown:
            raise InputError(f"results: no field is called {sorted(unknown)[0]!r}")
        self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
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
    """The lines of a file of results, in order, each with every field of its kind; a last line that was cut off is left out.

    Raises
    ------
    DatasetError
        If there is no such file.
    VersionError
        If another version wrote it, whose lines cannot be read.
    FormatError
        If it is something else, or a line lacks a field.
    """
    if not path.is_file():
        raise DatasetError(f"there are no results at {path}; `lookalike bench run SPEC --out FOLDER` makes them")
    if path.stat().st_size > _MAX_BYTES:
        raise FormatError(f"{path}: expected at most {_MAX_BYTES:,} bytes of results, got {path.stat().st_size:,}")
    return [_parsed(f"{path}: line {n}", line) for n, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1)]


def _parsed(where: str, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("schema"), int):
        raise FormatError(f"{where} is not a result")
    if row["schema"] < OLDEST:
        raise VersionError(
            f"{where} is of an older version (schema {row['schema']}, this is {SCHEMA}); move the file away and measure again"
        )
    if row["schema"] > SCHEMA:
        raise VersionError(f"{where} is of a newer lookalike (schema {row['schema']}, known {SCHEMA})")
    kind = row.setdefault("kind", "peer") if row["schema"] < SCHEMA else row.get("kind")
    if kind not in FIELDS:
        raise FormatError(f"{where} is not a whole result: kind={kind!r}: expected one of {', '.join(FIELDS)}")
    missing = [name for name in FIELDS[kind] if name not in row]
    if missing or not all(isinstance(row[name], str) for name in ("key", "status", kind, "dataset")):
        raise FormatError(f"{where} is not a whole result: {missing[0] if missing else 'a name'} is missing")
    return row


def read_runs(results: Path) -> list[dict[str, Any]]:
    """The lines of the ``runs.jsonl`` beside a file of results, each what one command asked for, and where; none if there is none."""
    try:
        return [json.loads(line) for line in results.with_name("runs.jsonl").read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        return []

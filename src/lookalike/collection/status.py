"""What `lookalike status` tells."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from lookalike.collection.catalog import entries as listing
from lookalike.collection.catalog.file import CATALOG
from lookalike.collection.index.generation import INDEX_FOLDER, read_generation
from lookalike.collection.models import read_card
from lookalike.collection.segments import FOLDER
from lookalike.collection.snapshot import read_segments
from lookalike.collection.take_in.scopes import below
from lookalike.collection.transforms import describe_transform

__all__ = ["describe"]


def describe(connection: sqlite3.Connection, folder: Path) -> dict[str, Any]:
    """The collection in plain values; see docs/collection.md for each."""

    def number(query: str, values: tuple[bytes, ...] = ()) -> int:
        return int(connection.execute(query, values).fetchone()[0])

    card = read_card(connection)
    generation = read_generation(connection)
    pictures = number("SELECT count(*) FROM entries WHERE missing = 0")
    contents = number("SELECT count(DISTINCT feature) FROM entries WHERE missing = 0")
    skipped = connection.execute(
        "SELECT path, reason, kind FROM skipped ORDER BY kind IN ('other', 'hidden'), path"
    ).fetchall()
    if generation is None:
        recall = {"value": 1.0, "low": 1.0, "high": 1.0, "k": 10, "n": pictures}
    else:
        of = generation
        recall = {"value": of.recall, "low": of.low, "high": of.high, "k": of.k, "n": of.n}
    kinds: dict[str, int] = {}
    for _, _, kind in skipped:
        kinds[kind] = kinds.get(kind, 0) + 1
    return {
        "pictures": pictures,
        "skipped": [{"path": os.fsdecode(path), "reason": reason} for path, reason, _ in skipped],
        "index": "flat" if generation is None or generation.file is None else "ivfpq",
        "spec": "Flat" if generation is None else generation.spec,
        "model": card.name,
        "recall_at_10": recall,
        "d": card.d,
        "transform": describe_transform(connection),
        "nprobe": generation.nprobe if generation else None,
        "candidates": generation.candidates if generation else None,
        "missing": number("SELECT count(*) FROM entries WHERE missing"),
        "duplicates": pictures - contents,
        "labels": len(listing.labels(connection).keys() - {""}),
        "roots": [_root(number, path, missing) for path, missing in _roots(connection)],
        "skipped_kinds": kinds,
        "generation": generation.id if generation else 0,
        "segments": len(read_segments(connection)),
        "bytes": _bytes(folder),
    }


def _bytes(folder: Path) -> int:
    total = 0
    for pattern in (f"{CATALOG}*", f"{FOLDER}/*", f"{INDEX_FOLDER}/*"):
        with contextlib.suppress(OSError):  # a folder that cannot be listed now
            for file in folder.glob(pattern):
                with contextlib.suppress(OSError):  # a writer may be replacing it
                    total += file.stat().st_size
    return total


def _roots(connection: sqlite3.Connection) -> list[tuple[bytes, int]]:
    return connection.execute("SELECT path, missing FROM roots ORDER BY path").fetchall()


def _root(number: Any, path: bytes, missing: int) -> dict[str, Any]:
    where, values = below(path)
    pictures = number(f"SELECT count(*) FROM entries WHERE missing = 0 AND {where}", values)
    return {"path": os.fsdecode(path), "pictures": pictures, "missing": bool(missing)}

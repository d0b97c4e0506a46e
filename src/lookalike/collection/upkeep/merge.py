"""Housekeeping of the writer: files that nobody names, small segments, features that nobody uses."""

from __future__ import annotations

import contextlib
import re
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lookalike._typing import Array, IdArray
from lookalike.collection.catalog.file import bump, meta_number, set_meta, transaction
from lookalike.collection.catalog.schema import wrong_rows
from lookalike.collection.index.generation import INDEX_FOLDER
from lookalike.collection.models import read_card
from lookalike.collection.segments import FOLDER, FeatureStore, Segment, check_segment, rows_of, write_segment
from lookalike.collection.snapshot import read_segments
from lookalike.collection.transforms import forget_transform, transform_file
from lookalike.errors import CollectionError

__all__ = [
    "OUR_FILES",
    "compact",
    "damaged_features",
    "delete_orphans",
    "drop_lost",
    "forget_features",
    "lost_features",
    "merge_recent",
    "tidy",
]

MERGED = 8  # neighbouring segments of a size become one
SIZES = (512, 4096, 32768)
BLOCK_ROWS = 4096
DEAD_LEAST, DEAD_SHARE = 1000, 0.3
OUR_FILES = re.compile(r"\d{6,}\.(safetensors|lka)|\..*\.part")


def delete_orphans(connection: sqlite3.Connection, folder: Path) -> None:
    """Delete files that the catalogue does not name: of a killed writer, or replaced.

    Beside the features only where all that may name one is what was written: else it may be one that still has to be found. One
    that cannot be deleted now, as Windows keeps files that a reader has mapped, is left to the next writer.
    """
    orphans: list[Path] = []
    for name, table in ((FOLDER, "segments"), (INDEX_FOLDER, "generations")):
        if name == FOLDER and (wrong_rows(connection, table) or wrong_rows(connection, "meta")):
            continue
        named = {row[0] for row in connection.execute(f"SELECT file FROM {table}")}
        if name == FOLDER and (transform := transform_file(connection)) is not None:
            named.add(transform[0])
        (folder / name).mkdir(exist_ok=True)
        orphans += [
            file for file in (folder / name).iterdir() if file.name not in named and OUR_FILES.fullmatch(file.name)
        ]
    if not orphans:
        return
    # A commit whose fsync failed stands in the log behind its end, and would count after a crash of the system, with the files
    # that it names. Something that is committed takes its place.
    with transaction(connection):
        set_meta(connection, "swept", secrets.token_hex(8))
    for file in orphans:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def damaged_features(connection: sqlite3.Connection, folder: Path, d: int) -> list[tuple[int, int]]:
    """Ranges (first, last) of features whose segment is damaged. Their contents count as unknown from now on."""
    ranges = lost_features(connection)
    for segment in read_segments(connection):
        if check_segment(folder, segment, d) is not None:
            ranges.append((segment.first, segment.end - 1))
    if ranges:
        with transaction(connection):
            connection.executemany("UPDATE features SET content = NULL WHERE id BETWEEN ? AND ?", ranges)
            bump(connection)
    return ranges


def lost_features(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Ranges (first, last) of features that lie in no segment, or in one whose row is not what was written."""
    segments = read_segments(connection)
    starts = [-(2**63), *(segment.end for segment in segments)]
    ends = [*(segment.first for segment in segments), 2**63 - 1]
    query = "SELECT min(id), max(id) FROM features WHERE id >= ? AND id < ?"
    found = [connection.execute(query, gap).fetchone() for gap in zip(starts, ends, strict=True) if gap[0] < gap[1]]
    return [(first, last) for first, last in found if first is not None]


def drop_lost(connection: sqlite3.Connection) -> None:
    """Forget rows of segments that cannot be used, and features in no segment, once no picture needs them any more."""
    gaps = lost_features(connection)
    users = "SELECT 1 FROM entries WHERE feature BETWEEN ? AND ? LIMIT 1"
    if any(connection.execute(users, gap).fetchone() for gap in gaps):
        return
    wrong = wrong_rows(connection, "segments")
    if not gaps and not wrong:
        return
    with transaction(connection):
        connection.executemany("DELETE FROM features WHERE id BETWEEN ? AND ?", gaps)
        connection.executemany("DELETE FROM segments WHERE id = ?", [row[:1] for row in wrong])
        bump(connection)


def forget_features(connection: sqlite3.Connection) -> None:
    """Drop all features and the index, when no entry is left. The caller commits."""
    for table in ("generations", "features", "segments"):
        connection.execute(f"DELETE FROM {table}")
    forget_transform(connection)  # it was fitted to them


def tidy(connection: sqlite3.Connection, folder: Path, d: int) -> None:
    """Drop segments that nobody uses, merge small ones, and compact when much is dead."""
    _drop_unused(connection)
    drop_lost(connection)
    total, dead = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM entries WHERE feature = features.id))"
        " FROM features"
    ).fetchone()
    if dead > max(DEAD_LEAST, DEAD_SHARE * total) and _damaged(connection, folder, d) is None:
        compact(connection, folder, d)
        return
    for size in SIZES:
        while (run := _small_run(read_segments(connection), size)) is not None:
            if not _merge(connection, folder, run, d):
                break
    delete_orphans(connection, folder)


def _drop_unused(connection: sqlite3.Connection) -> None:
    unused = [
        segment
        for segment in read_segments(connection)
        if connection.execute(
            "SELECT 1 FROM features f JOIN entries e ON e.feature = f.id WHERE f.id BETWEEN ? AND ? LIMIT 1",
            (segment.first, segment.end - 1),
        ).fetchone()
        is None
        and connection.execute(
            "SELECT 1 FROM features WHERE content IS NOT NULL AND id BETWEEN ? AND ? LIMIT 1",
            (segment.first, segment.end - 1),
        ).fetchone()
        is None
    ]
    if unused:
        with transaction(connection):
            for segment in unused:
                connection.execute("DELETE FROM features WHERE id BETWEEN ? AND ?", (segment.first, segment.end - 1))
                connection.execute("DELETE FROM segments WHERE id = ?", (segment.id,))
            bump(connection)


def merge_recent(connection: sqlite3.Connection, folder: Path) -> None:
    """Merge segments at the end while more come in, so that a long first `add` leaves few; outside a transaction.

    A merge at least doubles the segment that a row lies in, so no row is written often.
    """
    run = _recent_run(read_segments(connection))
    if run is None or not _merge(connection, folder, run, read_card(connection).d):
        return
    for segment in run:
        with contextlib.suppress(OSError):  # `delete_orphans` comes back to it
            (folder / FOLDER / segment.file).unlink()


def _recent_run(segments: list[Segment]) -> list[Segment] | None:
    """The longest run at the end of which none is larger than the others together, if it is long enough."""
    run: list[Segment] = []
    found, total, largest = 0, 0, 0
    for segment in reversed(segments):
        if segment.rows >= SIZES[-1] or (run and run[-1].first != segment.end):
            break
        run.append(segment)
        total, largest = total + segment.rows, max(largest, segment.rows)
        if len(run) >= MERGED and 2 * largest <= total:
            found = len(run)
    return run[:found][::-1] if found else None


def _small_run(segments: list[Segment], size: int) -> list[Segment] | None:
    """The first run of segments that follow each other and have fewer rows than `size`, if it is long enough."""
    run: list[Segment] = []
    for segment in segments:
        if segment.rows >= size or (run and run[-1].end != segment.first):
            if len(run) >= MERGED:
                return run
            run = []
        if segment.rows < size:
            run.append(segment)
    return run if len(run) >= MERGED else None


def _merge(connection: sqlite3.Connection, folder: Path, run: list[Segment], d: int) -> bool:
    """Write a run of segments as one; False if one of them is damaged."""
    if any(check_segment(folder, segment, d) is not None for segment in run):
        return False
    rows = sum(segment.rows for segment in run)
    parts = [rows_of(folder, segment, d) for segment in run]
    blocks = (part[at : at + BLOCK_ROWS] for part in parts for at in range(0, len(part), BLOCK_ROWS))
    with transaction(connection):
        connection.executemany("DELETE FROM segments WHERE id = ?", [(segment.id,) for segment in run])
        _write(connection, folder, blocks, run[0].first, rows, d)
        bump(connection)
    return True


def _write(
    connection: sqlite3.Connection, folder: Path, blocks: Iterator[Array], first: int, rows: int, d: int
) -> None:
    number = meta_number(connection, "next_file")
    file = f"{number:06d}.safetensors"
    sha256 = write_segment(folder / FOLDER / file, blocks, rows, d)
    connection.execute(
        "INSERT INTO segments (id, file, first, rows, sha256) VALUES (?, ?, ?, ?, ?)",
        (number, file, first, rows, sha256),
    )
    set_meta(connection, "next_file", number + 1)


def compact(connection: sqlite3.Connection, folder: Path, d: int) -> None:
    """Write the features in use anew, without the others; the index is made anew by the next `refresh_index`.

    Entries keep their ids. Features get new ones, since readers may still hold the old files.
    """
    if (wrong := _damaged(connection, folder, d)) is not None:
        raise CollectionError(f"{wrong}; run `lookalike verify --repair` before compacting")
    store = FeatureStore(folder, read_segments(connection), d)
    used = connection.execute("SELECT DISTINCT feature FROM entries ORDER BY feature").fetchall()
    old = np.array(used, np.int64).reshape(-1)
    first = meta_number(connection, "next_feature")
    with transaction(connection):
        connection.execute("CREATE TEMP TABLE renumbered (old INTEGER PRIMARY KEY, new INTEGER NOT NULL)")
        connection.executemany(
            "INSERT INTO renumbered VALUES (?, ?)", zip(old.tolist(), range(first, first + len(old)), strict=True)
        )
        connection.execute(
            "CREATE TEMP TABLE kept AS SELECT r.new AS id, f.content, f.norm, f.width, f.height, f.format"
            " FROM renumbered r JOIN features f ON f.id = r.old"
        )
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for table in ("generations", "segments", "features"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute(
            "INSERT INTO features (id, content, norm, width, height, format)"
            " SELECT id, content, norm, width, height, format FROM kept"
        )
        connection.execute("UPDATE entries SET feature = (SELECT new FROM renumbered WHERE old = feature)")
        if len(old):
            _write(connection, folder, _blocks(store, old), first, len(old), d)
        set_meta(connection, "next_feature", first + len(old))
        connection.execute("DROP TABLE renumbered")
        connection.execute("DROP TABLE kept")
        bump(connection)
    delete_orphans(connection, folder)


def _damaged(connection: sqlite3.Connection, folder: Path, d: int) -> str | None:
    """What is wrong with the first damaged segment or row: copying it would give it a right checksum."""
    for table in ("segments", "features", "entries"):
        if wrong_rows(connection, table):
            return f"the catalogue is damaged: a row of {table} is not what was written"
    damaged = (wrong for s in read_segments(connection) if (wrong := check_segment(folder, s, d)))
    return next((f"{FOLDER}/{wrong}" for wrong in damaged), None)


def _blocks(store: FeatureStore, ids: IdArray) -> Iterator[Array]:
    for at in range(0, len(ids), BLOCK_ROWS):
        yield store.raw(ids[at : at + BLOCK_ROWS])

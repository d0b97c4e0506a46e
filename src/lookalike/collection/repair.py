"""Mending what `verify` finds: pictures whose rows or features are damaged are read again, and nothing else."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from lookalike.collection.catalog import bump, set_meta, transaction
from lookalike.collection.schema import wrong_rows

__all__ = ["hurt_pictures", "mend_rows"]


def mend_rows(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Put right what follows from other rows, and make unknown what has to be read again.

    Returns
    -------
    ranges : list of (first, last)
        Features that are to be made anew.
    """
    features = [int(str(row[0])) for row in wrong_rows(connection, "features")]
    entries = wrong_rows(connection, "entries")
    with transaction(connection):
        _mend_numbers(connection)
        # Their size and time are forgotten, so that the next look at their files compares contents. Until then they are hidden:
        # this update gives them a right checksum, and they may name the feature of another picture.
        connection.executemany(
            "UPDATE entries SET size = NULL, mtime_ns = NULL, missing = 1 WHERE id = ? AND is_file",
            [row[:1] for row in entries],
        )
        connection.executemany("UPDATE features SET content = NULL WHERE id = ?", [(id,) for id in features])
        connection.executemany(
            "DELETE FROM skipped WHERE path = ?", [row[:1] for row in wrong_rows(connection, "skipped")]
        )
        if wrong_rows(connection, "generations"):
            connection.execute("DELETE FROM generations")
        bump(connection)
    return [(id, id) for id in features]


def _mend_numbers(connection: sqlite3.Connection) -> None:
    """Numbers that have to be larger than any in use."""
    wrong = {os.fsdecode(bytes(row[0])) for row in wrong_rows(connection, "meta") if isinstance(row[0], bytes)}
    used = "SELECT max(coalesce((SELECT max({}) FROM {}), 0), coalesce((SELECT max({}) FROM {}), 0)) + 1"
    if "changes" in wrong:
        set_meta(connection, "changes", 2**40)  # more than there can have been
    if "next_file" in wrong:
        names = "CAST(substr(file, 1, instr(file, '.') - 1) AS INTEGER)"
        query = used.format(names, "segments", names, "generations")
        set_meta(connection, "next_file", connection.execute(query).fetchone()[0] + 1)  # and one for a transform
    if "next_feature" in wrong:
        query = used.format("id", "features", "first + rows", "segments")
        set_meta(connection, "next_feature", connection.execute(query).fetchone()[0])


def hurt_pictures(connection: sqlite3.Connection, ranges: list[tuple[int, int]]) -> tuple[list[Path], list[Path]]:
    """Files that are to be read again, and paths of imported vectors that nothing here can make again."""
    files: set[bytes] = set()
    imported: set[bytes] = set()
    for first, last in ranges:
        rows = connection.execute("SELECT path, is_file FROM entries WHERE feature BETWEEN ? AND ?", (first, last))
        for path, is_file in rows.fetchall():
            (files if is_file else imported).add(path)
    files.update(row[0] for row in connection.execute("SELECT path FROM entries WHERE is_file AND size IS NULL"))
    imported.update(
        bytes(row[1]) for row in wrong_rows(connection, "entries") if not row[7] and isinstance(row[1], bytes)
    )
    return [Path(os.fsdecode(path)) for path in sorted(files)], [Path(os.fsdecode(path)) for path in sorted(imported)]

"""Reading everything on disk and comparing it with what the catalogue recorded."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from lookalike.collection.catalog.connecting import integrity
from lookalike.collection.catalog.file import check_meta
from lookalike.collection.catalog.schema import TABLES, wrong_rows
from lookalike.collection.index.build import check_index_file
from lookalike.collection.index.generation import INDEX_FOLDER, read_generation
from lookalike.collection.models import read_card
from lookalike.collection.records import printable
from lookalike.collection.segments import FOLDER, check_segment
from lookalike.collection.snapshot import read_segments
from lookalike.collection.transforms import transform_file
from lookalike.errors import CollectionUnavailableError, LookalikeError
from lookalike.features.transforms import load_transform

__all__ = ["problems"]


def problems(connection: sqlite3.Connection, folder: Path) -> list[str]:
    """One line for each thing that is wrong; empty when all is well."""
    found = [f"catalog.sqlite: {wrong}" for wrong in integrity(connection)]
    found += [
        f"catalog.sqlite: a row of {table} names a row of {parent} that is not there"
        for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check")
    ]
    try:
        d = read_card(connection).d
        named = transform_file(connection)
        check_meta(connection)
    except LookalikeError as error:  # what segments have to look like is not known either
        return found + (wrong_columns(connection) or [str(error)])
    for segment in read_segments(connection):
        try:
            if wrong := check_segment(folder, segment, d):
                found.append(
                    f"{FOLDER}/{wrong}; index the folders again to read {_users(connection, segment.first, segment.end)}"
                )
        except CollectionUnavailableError as error:
            found.append(str(error))
        rows = connection.execute(
            "SELECT count(*) FROM features WHERE id >= ? AND id < ?", (segment.first, segment.end)
        ).fetchone()[0]
        if rows != segment.rows:
            found.append(
                f"{FOLDER}/{segment.file}: it holds {segment.rows:,} rows, the catalogue knows {rows:,} of them"
            )
    lost = connection.execute(
        "SELECT count(*) FROM features f WHERE NOT EXISTS"
        " (SELECT 1 FROM segments s WHERE f.id >= s.first AND f.id < s.first + s.rows)"
    ).fetchone()[0]
    if lost:
        found.append(f"catalog.sqlite: {lost:,} features are in no segment")
    if named is not None:
        try:
            load_transform(folder / FOLDER / named[0], named[1])
        except LookalikeError as error:
            found.append(f"{FOLDER}/{error}; `lookalike models adapt --undo` takes the transform off")
        except OSError as error:
            found.append(f"{FOLDER}/{named[0]} cannot be read now: {error.strerror or error}; try again")
    generation = read_generation(connection)
    try:
        if generation is not None and (wrong := check_index_file(folder, generation)):
            found.append(f"{INDEX_FOLDER}/{wrong}; the next `lookalike index` makes a new one")
    except CollectionUnavailableError as error:
        found.append(str(error))
    return found + wrong_columns(connection)


def wrong_columns(connection: sqlite3.Connection) -> list[str]:
    """One line for each row of the catalogue that is not what was written."""
    return [
        f"catalog.sqlite: the row {_named(table, row)} of {table} is not what was written; "
        "`lookalike verify --repair` mends it or says what to do"
        for table in TABLES
        for row in wrong_rows(connection, table)
    ]


def _named(table: str, row: tuple[object, ...]) -> str:
    values = [value for value in row[:2] if isinstance(value, bytes)]
    text = f" ({printable(os.fsdecode(values[0]))[:200]})" if values and table != "features" else ""
    return f"{'' if isinstance(row[0], bytes) else row[0]}{text}".strip()


def _users(connection: sqlite3.Connection, first: int, end: int) -> str:
    number = connection.execute(
        "SELECT count(*) FROM entries WHERE feature >= ? AND feature < ?", (first, end)
    ).fetchone()[0]
    return f"{number:,} pictures again"

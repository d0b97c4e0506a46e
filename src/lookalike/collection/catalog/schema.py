"""The tables of the catalogue, the versions of them, and a checksum for each row.

Version 1 is the first. Version 2 has the same tables and records whether a transform is applied. Version 3 identifies the
collection by a UUID and files by device and inode, and has a checksum for each row; transforms need no version of their own.
Opening an older catalogue for writing upgrades it; opening it for reading only shows columns that it lacks as NULL.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterator

__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "TABLES",
    "TEXT",
    "accept",
    "bring_up_to_date",
    "is_right",
    "keep_checksums",
    "row_checksum",
    "show_as_current",
    "transaction",
    "version_of",
    "write_new",
    "wrong_rows",
]

APPLICATION_ID = 0x6C6B616C  # "lkal", in the header of the SQLite file
SCHEMA_VERSION = 3

# Paths and labels are blobs of the file system's bytes: a name need not be UTF-8.
# A feature row belongs to contents, not to a path: equal files share it, and it never changes.
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE roots (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, missing INTEGER NOT NULL DEFAULT 0, checksum INTEGER);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, first INTEGER NOT NULL UNIQUE,
    rows INTEGER NOT NULL CHECK (rows > 0), sha256 TEXT NOT NULL, checksum INTEGER);
CREATE TABLE features (
    id INTEGER PRIMARY KEY, content BLOB UNIQUE, norm REAL NOT NULL,
    width INTEGER, height INTEGER, format TEXT, checksum INTEGER);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL UNIQUE,
    root INTEGER REFERENCES roots(id) ON DELETE SET NULL, label BLOB NOT NULL,
    feature INTEGER NOT NULL REFERENCES features(id),
    size INTEGER, mtime_ns INTEGER,
    is_file INTEGER NOT NULL, missing INTEGER NOT NULL DEFAULT 0,
    device INTEGER, inode INTEGER, checksum INTEGER);
CREATE INDEX entries_by_feature ON entries(feature);
CREATE INDEX entries_by_label ON entries(label, id);
CREATE TABLE skipped (
    path BLOB PRIMARY KEY, reason TEXT NOT NULL, kind TEXT NOT NULL,
    size INTEGER, mtime_ns INTEGER, reader TEXT, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE generations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT UNIQUE, sha256 TEXT, spec TEXT NOT NULL,
    nprobe INTEGER, candidates INTEGER, trained INTEGER NOT NULL, total INTEGER NOT NULL,
    recall REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, k INTEGER NOT NULL, n INTEGER NOT NULL,
    checksum INTEGER);
"""

TABLES = {
    "meta": "key value",
    "roots": "id path missing",
    "segments": "id file first rows sha256",
    "features": "id content norm width height format",
    "entries": "id path root label feature size mtime_ns is_file missing device inode",
    "skipped": "path reason kind size mtime_ns reader",
    "generations": "id file sha256 spec nprobe candidates trained total recall low high k n",
}
"""Which columns the checksum of a row covers; the first is the key."""

TEXT = frozenset({"key", "value", "file", "sha256", "format", "reason", "kind", "reader", "spec"})
"""Columns of text, which `wrong_rows` gives as their bytes: these need not be Unicode where they are damaged."""

_SINCE_3 = ("device", "inode")  # columns of entries


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk makes SQLite roll back by itself
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """The version that a catalogue says it has."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def write_new(connection: sqlite3.Connection, meta: dict[str, str]) -> None:
    """Fill an empty database with the tables of a collection that holds nothing."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.executescript(_SCHEMA)
    keep_checksums(connection)
    values = {"changes": "1", "next_file": "1", "next_feature": "0", "created": str(time.time())} | _identity() | meta
    connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", values.items())
    # At the end: the file is complete without a log. That a log was taken in is not told when the connection is closed.
    connection.execute("PRAGMA journal_mode = WAL")


def _identity() -> dict[str, str]:
    return {"uuid": str(uuid.uuid4())}


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make an older catalogue one of this version, in one transaction: a kill leaves the old one or the new one."""
    if version_of(connection) >= SCHEMA_VERSION:
        return
    with transaction(connection):
        for column in _SINCE_3:
            connection.execute(f"ALTER TABLE entries ADD COLUMN {column} INTEGER")
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")
        connection.executemany("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", _identity().items())
        _add_function(connection)
        for table in TABLES:
            connection.execute(f"UPDATE {table} SET checksum = {_checksum_of(table)}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def show_as_current(connection: sqlite3.Connection) -> bool:
    """Let a reader of an older catalogue see the tables of this version; whether that was needed."""
    if version_of(connection) >= SCHEMA_VERSION:
        return False
    known = [column for column in TABLES["entries"].split() if column not in _SINCE_3]
    lacking = [f"NULL AS {column}" for column in _SINCE_3]
    # A temporary view hides the table of that name from this connection.
    connection.execute(f"CREATE TEMP VIEW entries AS SELECT {', '.join(known + lacking)} FROM main.entries")
    return True


# --- checksums --------------------------------------------------------------------------------------------------------


def keep_checksums(connection: sqlite3.Connection) -> None:
    """Have every row that this connection writes carry its checksum.

    The triggers are temporary, those of the connection: the file can be opened by any program, and what another one changes in it
    does not get a new checksum. Nor does a row that is wrong already: to update one of its columns makes no other one right.
    """
    _add_function(connection)
    for table, columns in TABLES.items():
        key, *others = columns.split()
        was_right = f"WHEN OLD.checksum IS {_checksum_of(table, 'OLD.')}"
        for event, when in (("INSERT", ""), (f"UPDATE OF {', '.join([key, *others])}", was_right)):
            connection.execute(
                f"CREATE TEMP TRIGGER checksum_{table}_{event[:6].lower()} AFTER {event} ON main.{table} {when} BEGIN"
                f" UPDATE {table} SET checksum = {_checksum_of(table, 'NEW.')} WHERE {key} = NEW.{key}; END"
            )


def accept(connection: sqlite3.Connection, table: str, key: object) -> None:
    """Give a row that was wrong its checksum: the caller has written or proved each of its columns."""
    name = TABLES[table].split()[0]
    connection.execute(f"UPDATE {table} SET checksum = {_checksum_of(table)} WHERE {name} = ?", (key,))


def wrong_rows(
    connection: sqlite3.Connection, table: str, where: str = "1", values: tuple[object, ...] = ()
) -> list[tuple[object, ...]]:
    """The rows of a table that are not what was written, with the columns of `TABLES`; none in a catalogue without checksums.

    Text comes as its bytes.
    """
    if version_of(connection) < SCHEMA_VERSION:
        return []
    _add_function(connection)
    columns = ", ".join(f"CAST({column} AS BLOB)" if column in TEXT else column for column in TABLES[table].split())
    query = f"SELECT {columns} FROM {table} WHERE ({where}) AND checksum IS NOT {_checksum_of(table)}"
    return connection.execute(query, values).fetchall()


def is_right(connection: sqlite3.Connection, table: str) -> str:
    """SQL that is true of the rows that are what was written; of all rows in a catalogue without checksums."""
    if version_of(connection) < SCHEMA_VERSION:
        return "1"
    _add_function(connection)
    return f"checksum IS {_checksum_of(table)}"


def row_checksum(row: tuple[object, ...]) -> int:
    """What a row of `wrong_rows` would have as its checksum if it were right."""
    return _checksum(*row)


def _checksum_of(table: str, prefix: str = "") -> str:
    """SQL for the checksum of a row. Text goes as its bytes, which need not be Unicode where they are damaged."""
    values = (
        f"CAST({prefix}{column} AS BLOB)" if column in TEXT else f"{prefix}{column}" for column in TABLES[table].split()
    )
    return f"lookalike_checksum({', '.join(values)})"


def _add_function(connection: sqlite3.Connection) -> None:
    connection.create_function("lookalike_checksum", -1, _checksum, deterministic=True)


def _checksum(*values: object) -> int:
    # How Python writes numbers and bytes is the same on every system and in every version of SQLite.
    return zlib.crc32(repr(values).encode())

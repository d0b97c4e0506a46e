"""Rows of the catalogue that can be proved: what they were follows from other rows and from files, and their checksum confirms it.

Each candidate is compared with the checksum that was written beside the row. One flipped bit in any column, the checksum's
included, is always mended that way, and so is whatever else there is a candidate for. Nothing is put back without that proof.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from lookalike.collection.catalog.schema import TABLES, TEXT, accept, row_checksum, transaction, wrong_rows
from lookalike.collection.segments import FOLDER, read_header
from lookalike.collection.transforms import record_of
from lookalike.errors import LookalikeError
from lookalike.features.models import MODELS
from lookalike.features.transforms import load_transform

__all__ = ["restore_rows"]

PROVABLE = ("meta", "roots", "segments", "features", "entries")
MOST_ROWS = 1000  # of one table: each has thousands of candidates
LONGEST = 8192  # bytes of a value whose bits are tried
KEYS = ("model", "transform", "duplicates", "uuid", "created", "changes", "state", "next_file", "next_feature", "swept")

Row: TypeAlias = tuple[object, ...]


def restore_rows(connection: sqlite3.Connection, folder: Path) -> int:
    """Put back what was written in those wrong rows where that can be proved; returns how many they were."""
    restored = 0
    with transaction(connection):
        for table in PROVABLE:
            for row in wrong_rows(connection, table)[:MOST_ROWS]:
                restored += _restore(connection, folder, table, row)
    return restored


def _restore(connection: sqlite3.Connection, folder: Path, table: str, row: Row) -> bool:
    names = TABLES[table].split()
    key = f"CAST({names[0]} AS BLOB)" if names[0] in TEXT else names[0]
    stored = connection.execute(f"SELECT checksum FROM {table} WHERE {key} = ?", row[:1]).fetchone()
    if stored is None or not isinstance(stored[0], int):
        return False
    if 0 <= stored[0] < 2**32 and (row_checksum(row) ^ stored[0]).bit_count() == 1:  # it is the checksum that was hurt
        found: Row | None = row
    else:
        tried = (each for source in (_derived(connection, folder, table, row), _flipped(row)) for each in source)
        found = next((each for each in tried if row_checksum(each) == stored[0]), None)
    if found is None:
        return False
    values = _as_stored(names, found)
    if values is None:
        return False
    try:
        assignments = ", ".join(f"{name} = ?" for name in names)
        connection.execute(f"UPDATE {table} SET {assignments} WHERE {key} = ?", (*values, row[0]))
    except sqlite3.IntegrityError:  # another row has taken its place
        return False
    accept(connection, table, values[0])
    return True


def _as_stored(names: list[str], row: Row) -> Row | None:
    try:
        return tuple(
            value.decode() if name in TEXT and isinstance(value, bytes) else value
            for name, value in zip(names, row, strict=True)
        )
    except UnicodeDecodeError:
        return None


# --- candidates -------------------------------------------------------------------------------------------------------


def _flipped(row: Row) -> Iterator[Row]:
    """Every row that differs in one bit of one column."""
    for at, value in enumerate(row):
        for other in _flips(value):
            yield (*row[:at], other, *row[at + 1 :])


def _flips(value: object) -> Iterator[object]:
    if isinstance(value, int):
        for bit in range(63):
            yield value ^ (1 << bit)
    elif isinstance(value, float):
        (bits,) = struct.unpack("<q", struct.pack("<d", value))
        for bit in range(63):
            yield struct.unpack("<d", struct.pack("<q", bits ^ (1 << bit)))[0]
    elif isinstance(value, bytes) and len(value) <= LONGEST:
        for at, byte in enumerate(value):
            for bit in range(8):
                yield value[:at] + bytes([byte ^ (1 << bit)]) + value[at + 1 :]


def _derived(connection: sqlite3.Connection, folder: Path, table: str, row: Row) -> Iterator[Row]:
    """What other rows and the files say that a row was."""
    if table == "meta":
        yield from _meta(connection, folder, row)
    elif table == "roots":
        yield from _roots(connection, row)
    elif table == "segments":
        yield from _segments(connection, folder)
    elif table == "features":
        query = "SELECT DISTINCT feature FROM entries WHERE feature NOT IN (SELECT id FROM features)"
        for (id,) in connection.execute(query).fetchall():
            yield (id, *row[1:])
    elif table == "entries":
        for root in (None, *(id for (id,) in connection.execute("SELECT id FROM roots").fetchall())):
            yield (*row[:2], root, *row[3:])


def _meta(connection: sqlite3.Connection, folder: Path, row: Row) -> Iterator[Row]:
    for key in KEYS:
        yield (key.encode(), row[1])
    for card in MODELS.values():
        yield (b"model", card.to_json().encode())
    for file in _unnamed(connection, folder):
        with contextlib.suppress(LookalikeError, OSError):  # most are no transforms
            transform, sha256 = load_transform(file), hashlib.sha256(file.read_bytes()).hexdigest()
            yield (b"transform", record_of(file.name, sha256, transform).encode())


def _roots(connection: sqlite3.Connection, row: Row) -> Iterator[Row]:
    """The folders above a picture of this one; the number that pictures name and no folder has."""
    lost = "SELECT DISTINCT root FROM entries WHERE root NOT IN (SELECT id FROM roots)"
    for id in (row[0], *(id for (id,) in connection.execute(lost).fetchall())):
        yield from ((id, row[1], missing) for missing in (0, 1))
        inside = connection.execute("SELECT path FROM entries WHERE root = ? LIMIT 1", (id,)).fetchone()
        if inside is not None and isinstance(inside[0], bytes):
            for parent in Path(os.fsdecode(inside[0])).parents:
                yield from ((id, os.fsencode(parent), missing) for missing in (0, 1))


def _segments(connection: sqlite3.Connection, folder: Path) -> Iterator[Row]:
    """Each file that no row names, before, after or between those of the right rows."""
    wrong = {row[0] for row in wrong_rows(connection, "segments")}
    known = connection.execute("SELECT id, first, rows FROM segments").fetchall()
    right = [(first, first + rows) for id, first, rows in known if id not in wrong]
    firsts = {0, *(end for _, end in right), *(first for id, first, _ in known if id in wrong)}
    firsts |= {id for (id,) in connection.execute(_FIRST_LOST).fetchall()}
    for file in _unnamed(connection, folder):
        if (header := read_header(file)) is None or not file.stem.isdigit():
            continue
        rows, sha256 = header
        before = {first - rows for first, _ in right}
        for first in firsts | before:
            yield (int(file.stem), file.name.encode(), first, rows, sha256.encode())


# Features whose predecessor is not there, or is the last of a segment: where a segment may begin.
_FIRST_LOST = (
    "SELECT min(f.id) FROM features f UNION SELECT f.id FROM features f WHERE NOT EXISTS"
    " (SELECT 1 FROM features p WHERE p.id = f.id - 1)"
)


def _unnamed(connection: sqlite3.Connection, folder: Path) -> list[Path]:
    """Files beside the features that no right row of a segment names."""
    wrong = {row[1] for row in wrong_rows(connection, "segments")}
    rows = connection.execute("SELECT CAST(file AS BLOB) FROM segments").fetchall()
    named = {os.fsdecode(file) for (file,) in rows if file not in wrong and isinstance(file, bytes)}
    return sorted(file for file in (folder / FOLDER).glob("*.safetensors") if file.name not in named)

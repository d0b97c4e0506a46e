"""Mending what `verify` finds: pictures whose rows or features are damaged are read again, and nothing else.

First comes what can be proved (`lookalike.collection.catalog.proof`). Of the rest, what follows from other rows is written anew,
and what has to be read again is hidden until that is done: to give a wrong row a right checksum would hide the damage instead.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import uuid
from pathlib import Path

from lookalike.collection.catalog.entries import encode_label
from lookalike.collection.catalog.file import bump, set_meta, transaction
from lookalike.collection.catalog.schema import accept, wrong_rows
from lookalike.collection.records import printable
from lookalike.data.walk import label_of

__all__ = ["beyond_proof", "hurt_features", "hurt_pictures", "mend_rows", "settle_features", "unread"]

_COPY = "restore a copy of catalog.sqlite, or index the folders into another collection"


def mend_rows(connection: sqlite3.Connection) -> list[str]:
    """Put right what follows from other rows, and make unknown what has to be read again.

    Returns
    -------
    left : list of str
        What was lost, and what to do, one line each.
    """
    with transaction(connection):
        left = _mend_meta(connection)
        left += _mend_roots(connection)
        _hide_entries(connection)
        connection.executemany(
            "DELETE FROM skipped WHERE path = ?", [row[:1] for row in wrong_rows(connection, "skipped")]
        )
        if wrong_rows(connection, "generations"):
            connection.execute("DELETE FROM generations")
        bump(connection)
    return left


def _mend_meta(connection: sqlite3.Connection) -> list[str]:
    """Numbers that have to be larger than any in use, and values that may be any."""
    wrong = {os.fsdecode(row[0]) for row in wrong_rows(connection, "meta") if isinstance(row[0], bytes)}
    used = "SELECT max(coalesce((SELECT max({}) FROM {}), 0), coalesce((SELECT max({}) FROM {}), 0)) + 1"
    names = "CAST(substr(file, 1, instr(file, '.') - 1) AS INTEGER)"
    queries = {
        "next_file": used.format(names, "segments", names, "generations") + " + 1",  # and one for a transform
        "next_feature": used.format("id", "features", "first + rows", "segments"),
    }
    for key in wrong & queries.keys():
        _set(connection, key, connection.execute(queries[key]).fetchone()[0])
    free = {
        "changes": 2**40,
        "state": secrets.token_hex(8),
        "uuid": uuid.uuid4(),
    }  # more changes than there can have been
    for key in wrong & free.keys():
        _set(connection, key, free[key])
    for key in wrong & {"created", "duplicates", "swept"}:
        connection.execute("DELETE FROM meta WHERE key = ?", (key,))
    if "duplicates" in wrong:
        return ["catalog.sqlite: the decisions on duplicates were damaged and are forgotten; make them again"]
    return []


def beyond_proof(connection: sqlite3.Connection) -> list[str]:
    """One line for each value of the collection as a whole that nothing proves, and what to do about it."""
    left = []
    for row in wrong_rows(connection, "meta"):
        key = printable(os.fsdecode(row[0]))[:50] if isinstance(row[0], bytes) else repr(row[0])[:50]
        what = "`lookalike models adapt --undo` removes it" if key == "transform" else _COPY
        left.append(
            f"catalog.sqlite: its value of {key!r} is not what was written, and nothing proves what it was; {what}"
        )
    return left


def _set(connection: sqlite3.Connection, key: str, value: object) -> None:
    set_meta(connection, key, value)
    accept(connection, "meta", key)


def _mend_roots(connection: sqlite3.Connection) -> list[str]:
    """Forget a folder whose row cannot be proved; its pictures keep their own paths."""
    left = []
    for row in wrong_rows(connection, "roots"):
        name = printable(os.fsdecode(row[1]))[:200] if isinstance(row[1], bytes) else repr(row[1])[:200]
        connection.execute("DELETE FROM roots WHERE id = ?", row[:1])
        left.append(
            f"catalog.sqlite: which folder some pictures were indexed with was damaged (it now reads {name}) and is forgotten; "
            "`lookalike index` with that folder records it again"
        )
    if left:
        connection.execute("UPDATE entries SET root = NULL WHERE root NOT IN (SELECT id FROM roots)")
    return left


def _hide_entries(connection: sqlite3.Connection) -> None:
    """Forget size and time of files whose rows are wrong, so that the next look at them compares contents; hide them until then.

    With that they get a right checksum, and may name the feature of another picture.
    """
    roots = {path: id for id, path in connection.execute("SELECT id, path FROM roots")}
    for row in wrong_rows(connection, "entries"):
        id, path, is_file = row[0], row[1], row[7]
        if not is_file or not isinstance(path, bytes):
            continue
        name = Path(os.fsdecode(path))
        root = next((parent for parent in reversed(name.parents) if os.fsencode(parent) in roots), None)
        label = name.parent.name if root is None else label_of(name, root)
        connection.execute(
            "UPDATE entries SET root = ?, label = ?, size = NULL, mtime_ns = NULL, device = NULL, inode = NULL, is_file = 1,"
            " missing = 1 WHERE id = ?",
            (None if root is None else roots[os.fsencode(root)], encode_label(label), id),
        )
        accept(connection, "entries", id)


def hurt_features(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Features whose rows are wrong, or that pictures name and that are not there; the pictures are hidden until they are read."""
    lost = "SELECT DISTINCT feature FROM entries WHERE feature NOT IN (SELECT id FROM features)"
    ids = [row[0] for row in wrong_rows(connection, "features")]
    ids += [id for (id,) in connection.execute(lost).fetchall() if isinstance(id, int)]
    with transaction(connection):
        connection.executemany("UPDATE features SET content = NULL WHERE id = ?", [(id,) for id in ids])
        connection.executemany(
            "UPDATE entries SET size = NULL, mtime_ns = NULL, missing = 1 WHERE feature = ? AND is_file",
            [(id,) for id in ids],
        )
        bump(connection)
    return [(int(str(id)), int(str(id))) for id in ids]


def settle_features(connection: sqlite3.Connection) -> None:
    """Empty those wrong rows of features that no picture needs any more: their places in the segments stay."""
    with transaction(connection):
        for id, *_ in wrong_rows(connection, "features", "id NOT IN (SELECT feature FROM entries)"):
            connection.execute(
                "UPDATE features SET content = NULL, norm = 1, width = NULL, height = NULL, format = NULL WHERE id = ?",
                (id,),
            )
            accept(connection, "features", id)
        bump(connection)


def hurt_pictures(connection: sqlite3.Connection, ranges: list[tuple[int, int]]) -> tuple[list[Path], list[Path]]:
    """Files that are to be read again, and paths of imported vectors that nothing here can make again."""
    files: set[bytes] = set()
    imported: set[bytes] = set()
    for first, last in ranges:
        rows = connection.execute("SELECT path, is_file FROM entries WHERE feature BETWEEN ? AND ?", (first, last))
        for path, is_file in rows.fetchall():
            (files if is_file else imported).add(path)
    files.update(os.fsencode(path) for path in unread(connection))
    imported.update(
        bytes(row[1]) for row in wrong_rows(connection, "entries") if not row[7] and isinstance(row[1], bytes)
    )
    return [Path(os.fsdecode(path)) for path in sorted(files)], [Path(os.fsdecode(path)) for path in sorted(imported)]


def unread(connection: sqlite3.Connection) -> list[Path]:
    """Files of which nothing is known, so that their entries are hidden until they are read."""
    rows = connection.execute("SELECT path FROM entries WHERE is_file AND size IS NULL ORDER BY path")
    return [Path(os.fsdecode(path)) for (path,) in rows.fetchall()]

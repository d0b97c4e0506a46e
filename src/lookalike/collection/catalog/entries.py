"""Reading entries out of the catalogue, in pages."""

from __future__ import annotations

import functools
import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._files import one_spelling, open_at_once
from lookalike._typing import Array, FloatArray, IdArray
from lookalike.collection.records import Entry, Hit, printable
from lookalike.errors import CollectionError, IdError, ImageError, InputError
from lookalike.features.models import ModelCard, word

__all__ = [
    "count",
    "decode_label",
    "encode_label",
    "find",
    "hits",
    "ids",
    "labels",
    "one",
    "page",
    "read_original",
    "results",
    "several",
    "similarities",
    "stored_labels",
]

MAX_FILE = 200_000_000  # bytes of an original

AT_ONCE = 500  # ids in one question; SQLite takes 999, newer ones more

_COLUMNS = """
SELECT e.id, e.path, r.path, e.label, e.size, e.mtime_ns, f.width, f.height, f.format, e.missing, e.device, e.inode
FROM entries e JOIN features f ON f.id = e.feature LEFT JOIN roots r ON r.id = e.root
"""


def encode_label(label: str) -> bytes:
    """A label as the catalogue holds it; folder names that are not UTF-8 survive."""
    try:
        return label.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InputError(f"labels: expected text, got {label!r}, which is not Unicode") from None


def decode_label(label: bytes) -> str:
    """A label as people see it: folders whose names differ only in how Unicode spells them are one."""
    return one_spelling(label.decode("utf-8", "surrogateescape"))


def stored_labels(connection: sqlite3.Connection, is_wanted: Callable[[str], bool]) -> list[bytes]:
    """Labels as the catalogue holds them, of those that people see as one that is wanted."""
    rows = connection.execute("SELECT DISTINCT label FROM entries")
    return [label for (label,) in rows if is_wanted(decode_label(label))]


def count(connection: sqlite3.Connection) -> int:
    """Number of entries that can be found."""
    return int(connection.execute("SELECT count(*) FROM entries WHERE missing = 0").fetchone()[0])


def find(connection: sqlite3.Connection, path: bytes) -> int | None:
    """The id of a path that can be found."""
    row = connection.execute("SELECT id FROM entries WHERE path = ? AND missing = 0", (path,)).fetchone()
    return None if row is None else int(row[0])


def one(connection: sqlite3.Connection, entry: Any) -> Entry:
    """The entry with an id, missing or not."""
    if isinstance(entry, bool) or not isinstance(entry, int | np.integer):
        raise InputError(f"id: expected a whole number, got {entry!r}")
    row = None
    if abs(int(entry)) < 2**63:
        row = connection.execute(f"{_COLUMNS} WHERE e.id = ?", (int(entry),)).fetchone()
    if row is None:
        raise IdError(f"id: {entry} is not in this collection")
    return _entry(row)


def page(connection: sqlite3.Connection, offset: int, limit: int, label: str | None) -> list[Entry]:
    """Entries that can be found, by id."""
    where, values = _by_label(connection, label)
    rows = connection.execute(
        f"{_COLUMNS} WHERE e.missing = 0{where} ORDER BY e.id LIMIT ? OFFSET ?", (*values, limit, offset)
    )
    return [_entry(row) for row in rows]


def ids(connection: sqlite3.Connection, label: str | None) -> IdArray:
    """All ids that can be found, ascending."""
    where, values = _by_label(connection, label)
    rows = connection.execute(f"SELECT e.id FROM entries e WHERE e.missing = 0{where} ORDER BY e.id", values)
    return np.fromiter((row[0] for row in rows), np.int64)


def labels(connection: sqlite3.Connection) -> dict[str, int]:
    """Labels and their counts."""
    rows = connection.execute("SELECT label, count(*) FROM entries WHERE missing = 0 GROUP BY label ORDER BY label")
    found: dict[str, int] = {}
    for label, number in rows:
        name = decode_label(label)
        found[name] = found.get(name, 0) + number
    return (
        found if all(map(str.isascii, found)) else dict(sorted(found.items(), key=lambda item: encode_label(item[0])))
    )


def several(connection: sqlite3.Connection, wanted: Sequence[int]) -> list[Entry]:
    """The entries with these ids, missing or not, in their order."""
    known: dict[int, Entry] = {}
    for first in range(0, len(wanted), AT_ONCE):
        part = wanted[first : first + AT_ONCE]
        for row in connection.execute(f"{_COLUMNS} WHERE e.id IN ({', '.join('?' * len(part))})", part):
            known[row[0]] = _entry(row)
    for id in wanted:
        if id not in known:
            raise IdError(f"id: {id} is not in this collection")
    return [known[id] for id in wanted]


def hits(connection: sqlite3.Connection, card: ModelCard, found: IdArray, distances: FloatArray) -> list[Hit]:
    """Results with what a person wants to know of each; of equal ones, those whose files are there come first."""
    all_hits = [hit for hit, _ in results(connection, card, found, distances)]
    if any(hit.missing for hit in all_hits):
        all_hits.sort(key=lambda hit: (hit.distance, hit.missing))
    return all_hits


def results(
    connection: sqlite3.Connection, card: ModelCard, found: IdArray, distances: FloatArray
) -> list[tuple[Hit, Entry]]:
    """Results, and all that is known of their files, in the order of `found`. Whether the files are there is looked up."""
    try:
        known = list(map(_as_it_is, several(connection, found.tolist())))
    except IdError:
        raise CollectionError(
            "the catalogue is damaged: its parts do not agree; `lookalike verify` says more"
        ) from None
    cosines = (1.0 - distances.astype(np.float64)).tolist()
    measures = zip(distances.tolist(), cosines, similarities(card, distances).tolist(), strict=True)
    return [
        (
            Hit(
                of.id,
                of.path,
                of.relative,
                of.root,
                similarity,
                cosine,
                distance,
                word(similarity),
                of.label,
                of.missing,
            ),
            of,
        )
        for of, (distance, cosine, similarity) in zip(known, measures, strict=True)
    ]


def _as_it_is(entry: Entry) -> Entry:
    """The entry, missing if it had a file that cannot be found now."""
    if entry.size is None:  # vectors that somebody brought need no file
        return entry
    try:
        os.stat(entry.path)  # noqa: PTH116 (for every result of every search: as quick as can be)
    except (OSError, OverflowError):
        return replace(entry, missing=True)
    return entry


def similarities(card: ModelCard, distances: FloatArray) -> Array:
    """What people see of distances 1 − cosine: float64, 0 to 100."""
    return np.asarray(card.similarity(1.0 - distances.astype(np.float64)))


def _by_label(connection: sqlite3.Connection, label: str | None) -> tuple[str, tuple[bytes, ...]]:
    if label is None:
        return "", ()
    encoded = encode_label(label)
    if label.isascii():
        return " AND e.label = ?", (encoded,)
    name = one_spelling(label)
    same = stored_labels(connection, lambda each: each == name)[:AT_ONCE]
    return f" AND e.label IN ({', '.join('?' * len(same))})", tuple(same)


def _entry(row: tuple[Any, ...]) -> Entry:
    number, path, root, label, size, mtime_ns, width, height, kind, missing, device, inode = row
    full = Path(os.fsdecode(path))
    if root is None:
        folder, relative = full.parent, full.name
    else:
        folder = _folder(root)
        depth, parts = len(folder.parts), full.parts  # relative_to, which takes ten times as long
        if parts[:depth] != folder.parts and not full.is_relative_to(folder):  # where case is no matter, it says so
            raise CollectionError(
                f"the catalogue is damaged: it has {full} in {folder}; `lookalike verify --repair` mends it"
            )
        relative = "/".join(parts[depth:]) or "."
    known = (size, mtime_ns, width, height, kind, bool(missing), device, inode)
    return Entry(number, full, folder, relative, decode_label(label), *known)


@functools.lru_cache(maxsize=256)
def _folder(path: bytes) -> Path:
    return Path(os.fsdecode(path))


def read_original(entry: Entry) -> tuple[bytes, os.stat_result, bool]:
    """A picture's bytes, its status before they were read, and whether that was the same afterwards.

    Raises
    ------
    IdError
        If its file is gone; what is no ordinary file any more is.
    ImageError
        If it is too large.
    """
    try:
        handle = open_at_once(entry.path)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise IdError(f"picture {entry.id}: {printable(entry.relative)!r} is not a file any more")
            data = file.read(MAX_FILE + 1)
            after = os.fstat(handle)
    except OSError:
        raise IdError(f"picture {entry.id}: the file {printable(entry.relative)!r} is gone") from None
    if len(data) > MAX_FILE:
        raise ImageError(f"{printable(entry.relative)}: more than {MAX_FILE:,} bytes")
    return data, found, (found.st_size, found.st_mtime_ns) == (after.st_size, after.st_mtime_ns)

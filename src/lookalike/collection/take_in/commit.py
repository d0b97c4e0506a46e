"""What was taken in, committed every few seconds: features to a segment first, then the rows that name them."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from lookalike._typing import Array
from lookalike.collection.catalog.entries import encode_label
from lookalike.collection.catalog.file import bump, meta_number, set_meta, transaction
from lookalike.collection.segments import FOLDER, write_segment
from lookalike.collection.take_in.elsewhere import Places, is_gone
from lookalike.collection.take_in.scan import Scan, reader_version
from lookalike.collection.upkeep.merge import merge_recent
from lookalike.data.stamp import Stamp

__all__ = ["Commits", "Failed", "Feature", "Placed", "append_features", "uninterrupted"]

COMMIT_FILES = 512
COMMIT_SECONDS = 2.0
MANY = 100  # files of the same contents, which are not looked through again for each new one

Files: TypeAlias = dict[tuple[int | None, int | None], list[tuple[int, bytes, int | None]]]


@dataclass(frozen=True, slots=True)
class Feature:
    """A vector on its way to disk."""

    row: Array
    norm: float
    content: bytes | None
    width: int | None = None
    height: int | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A file, what its open handle said, and its feature: an id, or what is to be appended."""

    path: bytes
    stamp: Stamp
    feature: int | bytes  # bytes: the contents' hash, a key of `Batch.features`


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that has no feature, and why.

    The stamp is that of a file that was read and is no picture. A file without one is tried again each time; its entry stays, and
    is hidden if the file cannot even be opened.
    """

    path: bytes
    reason: str
    stamp: Stamp | None = None
    is_hidden: bool = False


@dataclass(slots=True)
class Batch:
    """What is done but not committed."""

    features: dict[bytes, Feature] = field(default_factory=dict)
    placed: list[Placed] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.placed) + len(self.failed)


class Commits:
    """Keeps what was taken in, and commits it when it is time.

    Attributes
    ----------
    batch : Batch
        What is done but not committed.
    new, changed, unchanged, moved, removed : int
        Entries that were committed.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path, scan: Scan) -> None:
        self.connection = connection
        self.folder = folder
        self.scan = scan
        self.batch = Batch()
        self.new = self.changed = self.unchanged = self.moved = self.removed = 0
        self._places = Places()
        self._files: dict[int, Files] = {}  # of features that have many
        self._looked_up: set[int] = set()  # features whose other files were looked for
        self._committed = time.monotonic()
        self._reader = reader_version()

    def feature_of(self, content: bytes) -> int | None:
        """The feature of contents, by their hash, if they are known."""
        row = self.connection.execute("SELECT id FROM features WHERE content = ?", (content,)).fetchone()
        return None if row is None else int(row[0])

    def flush_in_time(self) -> None:
        """Commit, if there is much that was not, or if it was not for some seconds."""
        is_time = time.monotonic() - self._committed >= COMMIT_SECONDS
        if len(self.batch) >= COMMIT_FILES or (is_time and len(self.batch)):
            self.flush()

    def flush(self) -> None:
        """Commit what is done: first the features' file, then the rows that name it."""
        with uninterrupted():
            batch = self.batch
            if not len(batch):
                return
            with transaction(self.connection):
                ids = append_features(self.connection, self.folder, list(batch.features.values()))
                numbers = dict(zip(batch.features, ids, strict=True))
                counts = [self._write(placed, numbers) for placed in batch.placed]
                removed = sum(self._write_failure(failed) for failed in batch.failed)
                bump(self.connection)
            self.batch = Batch()
            merge_recent(self.connection, self.folder)
            self._committed = time.monotonic()
            for name in ("new", "changed", "unchanged", "moved"):
                setattr(self, name, getattr(self, name) + counts.count(name))
            self.removed += removed

    def _write(self, placed: Placed, numbers: dict[bytes, int]) -> str:
        execute = self.connection.execute
        feature = numbers[placed.feature] if isinstance(placed.feature, bytes) else placed.feature
        execute("DELETE FROM skipped WHERE path = ?", (placed.path,))
        known = execute("SELECT id, feature, is_file FROM entries WHERE path = ?", (placed.path,)).fetchone()
        if known is not None:
            execute(
                "UPDATE entries SET feature = ?, is_file = 1, missing = 0,"
                " size = ?, mtime_ns = ?, device = ?, inode = ? WHERE id = ?",
                (feature, *placed.stamp, known[0]),
            )
            return "unchanged" if known[1] == feature else "changed"
        root, label = self.scan.root_of(Path(os.fsdecode(placed.path)))
        values = (placed.path, root, encode_label(label), feature, *placed.stamp)
        entry = self.scan.vanished(feature, root)
        if entry is None:
            entry = self._renamed(feature, placed.stamp, root)
        if entry is not None:
            self.scan.was_found(entry)
            execute(
                "UPDATE entries SET path = ?, root = ?, label = ?, feature = ?,"
                " size = ?, mtime_ns = ?, device = ?, inode = ?, missing = 0 WHERE id = ?",
                (*values, entry),
            )
            return "moved"
        self._hide_others(feature)
        execute(
            "INSERT INTO entries (path, root, label, feature, size, mtime_ns, device, inode, is_file)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
            values,
        )
        return "new"

    def _renamed(self, feature: int, stamp: Stamp, root: int | None) -> int | None:
        """An entry that is this very file, by device and inode, under a path of any folder that it no longer has.

        Its old place has to belong to the same file system still: numbers are used again when another disk is plugged in.
        """
        execute = self.connection.execute
        for entry, path, before in self._files_of(feature).get((stamp.device, stamp.inode), ()):
            if is_gone(path) and self._places.device(path) == stamp.device:
                if execute("SELECT 1 FROM entries WHERE id = ? AND path = ?", (entry, path)).fetchone() is None:
                    continue  # moved already in this run
                if before is not None and before != root:
                    self.scan.moved_from.add(before)
                return int(entry)
        return None

    def _files_of(self, feature: int) -> Files:
        """The files of a feature by device and inode; as they were before this run, where they are many."""
        if feature not in self._files:
            rows = self.connection.execute(
                "SELECT id, path, root, device, inode FROM entries"
                " WHERE feature = ? AND is_file AND inode IS NOT NULL ORDER BY id",
                (feature,),
            ).fetchall()
            files: Files = {}
            for entry, path, root, device, inode in rows:
                files.setdefault((device, inode), []).append((entry, path, root))
            if len(rows) < MANY:
                return files
            self._files[feature] = files
        return self._files[feature]

    def _hide_others(self, feature: int) -> None:
        """Hide the other paths of these contents that have no file: they would come before the new one in every search."""
        if feature in self._looked_up:
            return
        self._looked_up.add(feature)
        rows = self.connection.execute(
            "SELECT id, path FROM entries WHERE feature = ? AND is_file AND NOT missing", (feature,)
        ).fetchall()
        gone = [(entry,) for entry, path in rows if is_gone(path)]
        self.connection.executemany("UPDATE entries SET missing = 1 WHERE id = ?", gone)

    def _write_failure(self, failed: Failed) -> int:
        """Note a file that could not be used; returns how many entries that removes.

        What could not be read now is tried again at each `add`, and keeps its entry. What was read and cannot be decoded is tried
        again when it changes, or when lookalike learns to read more.
        """
        execute = self.connection.execute
        stamp = (None, None, None) if failed.stamp is None else (*failed.stamp[:2], self._reader)
        execute(
            "INSERT OR REPLACE INTO skipped (path, reason, kind, size, mtime_ns, reader) VALUES (?, ?, 'file', ?, ?, ?)",
            (failed.path, failed.reason, *stamp),
        )
        if failed.stamp is not None:
            return int(execute("DELETE FROM entries WHERE path = ?", (failed.path,)).rowcount)
        if failed.is_hidden:
            execute("UPDATE entries SET missing = 1 WHERE path = ? AND is_file", (failed.path,))
        return 0


def append_features(connection: sqlite3.Connection, folder: Path, features: list[Feature]) -> range:
    """Write features to a new segment and name it in the catalogue; their ids. The caller commits."""
    first = meta_number(connection, "next_feature")
    ids = range(first, first + len(features))
    if not features:
        return ids
    number = meta_number(connection, "next_file")
    file = f"{number:06d}.safetensors"
    rows = np.stack([feature.row for feature in features])
    sha256 = write_segment(folder / FOLDER / file, [rows], *rows.shape)
    connection.execute(
        "INSERT INTO segments (id, file, first, rows, sha256) VALUES (?, ?, ?, ?, ?)",
        (number, file, first, len(rows), sha256),
    )
    connection.executemany(
        "INSERT INTO features (id, content, norm, width, height, format) VALUES (?, ?, ?, ?, ?, ?)",
        [(n, f.content, f.norm, f.width, f.height, f.format) for n, f in zip(ids, features, strict=True)],
    )
    set_meta(connection, "next_file", number + 1)
    set_meta(connection, "next_feature", ids.stop)
    return ids


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block, so that a commit and what we know of it agree."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, Any]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: arrived.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if arrived and callable(before):
        before(*arrived[0])

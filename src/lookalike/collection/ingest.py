"""Taking files in: known contents by their hash, new ones through the model, committed every few seconds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import Array
from lookalike.collection.catalog import bump, meta_number, set_meta, transaction
from lookalike.collection.entries import encode_label
from lookalike.collection.pace import Pace
from lookalike.collection.scan import Scan, clean_text, reader_version
from lookalike.collection.segments import FOLDER, write_segment
from lookalike.collection.upkeep import merge_recent
from lookalike.errors import ImageError, LookalikeError

if TYPE_CHECKING:
    from lookalike.features.embedder import Embedder

__all__ = ["Feature", "Ingest", "append_features", "uninterrupted"]

COMMIT_FILES = 512
COMMIT_SECONDS = 2.0
PAGE = 500


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
    """A file and its feature: an id, or what is to be appended."""

    path: bytes
    size: int
    mtime_ns: int
    feature: int | bytes  # bytes: the contents' hash, a key of `Batch.features`


@dataclass(slots=True)
class Batch:
    """What is done but not committed."""

    features: dict[bytes, Feature] = field(default_factory=dict)
    placed: list[Placed] = field(default_factory=list)
    failed: list[tuple[bytes, int, int, str, bool]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.placed) + len(self.failed)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file whose contents are being embedded."""

    path: bytes
    size: int
    mtime_ns: int


class Ingest:
    """One pass over the files that a scan found to be looked into.

    The embedder may ask for the next path from another thread, so everything that is shared is behind a lock.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path, scan: Scan, pace: Pace) -> None:
        self.connection = connection
        self.folder = folder
        self.scan = scan
        self.pace = pace
        self.new = self.changed = self.unchanged = self.moved = self.removed = 0
        self._guard = threading.RLock()
        self._batch = Batch()
        self._waiting: dict[bytes, list[Waiting]] = {}  # by hash
        self._contents: dict[Path, bytes] = {}  # of files handed to the embedder
        self._committed = time.monotonic()
        self._done = 0
        self._total = int(connection.execute("SELECT count(*) FROM todo").fetchone()[0])
        self._reader = reader_version()

    def run(self, embedder: Embedder | None) -> None:
        """Take all files in. When this is cut short, `flush` keeps what was done."""
        if self._total:
            self.pace.tell("embedding", 0, self._total)
        paths = self._to_embed()
        if embedder is None:
            for _ in paths:
                raise AssertionError("files to embed, but no embedder")
        else:
            results = embedder.stream(paths)
            try:
                for path, result in results:
                    self._take(path, result)
                    self._settle_down()
            finally:
                if isinstance(results, Generator):
                    results.close()  # waits for its threads
        self.flush()
        if self._total:
            self.pace.tell("embedding", self._total, self._total, last=True)

    def needs_model(self) -> bool:
        """Whether any file may have to be embedded."""
        return self._total > 0

    # --- in ----------------------------------------------------------------------------------------------------------

    def _to_embed(self) -> Iterator[Path]:
        """Paths whose contents are not known yet; the others are dealt with on the way."""
        for file in self._todo():
            path = Path(os.fsdecode(file.path))
            try:
                content = _hash(path)
            except OSError as error:
                self._fail(file, _why(error), by_system=True)
                continue
            if self._admit(file, content):
                with self._guard:
                    self._contents[path] = content
                yield path
            else:
                self._settle_down()

    def _todo(self) -> Iterator[Waiting]:
        last = b""
        while True:
            with self._guard:
                page = self.connection.execute(
                    "SELECT path, size, mtime_ns FROM todo WHERE path > ? ORDER BY path LIMIT ?", (last, PAGE)
                ).fetchall()
            if not page:
                return
            yield from (Waiting(*row) for row in page)
            last = page[-1][0]

    def _admit(self, file: Waiting, content: bytes) -> bool:
        """Note a file; whether its contents have to be embedded."""
        with self._guard:
            if content in self._waiting:
                self._waiting[content].append(file)
                return False
            if content in self._batch.features:
                self._place(file, content)
                return False
            row = self.connection.execute("SELECT id FROM features WHERE content = ?", (content,)).fetchone()
            if row is not None:
                self._place(file, row[0])
                return False
            self._waiting[content] = [file]
            return True

    def _take(self, path: Path, result: Any) -> None:
        """A result of the embedder, for all files of these contents."""
        with self._guard:
            content = self._contents.pop(path)
            files = self._waiting.pop(content)
            if isinstance(result, ImageError):
                for file in files:
                    self._fail(file, str(result))
                return
            row = np.asarray(result.vector, np.float32)
            if not np.isfinite(row).all():
                for file in files:
                    self._fail(file, "the model gave no finite numbers for it")
                return
            self._batch.features[content] = Feature(
                row.astype(np.float16), float(result.norm), content, result.width, result.height, result.format or None
            )
            for file in files:
                self._place(file, content)

    def _place(self, file: Waiting, feature: int | bytes) -> None:
        self._batch.placed.append(Placed(file.path, file.size, file.mtime_ns, feature))
        self._done += 1

    def _fail(self, file: Waiting, reason: str, *, by_system: bool = False) -> None:
        with self._guard:
            self._batch.failed.append((file.path, file.size, file.mtime_ns, clean_text(reason), by_system))
            self._done += 1
            self.pace.skipped += 1

    def _settle_down(self) -> None:
        """Commit when it is time, and tell how far we are."""
        with self._guard:
            is_time = time.monotonic() - self._committed >= COMMIT_SECONDS
            if len(self._batch) >= COMMIT_FILES or (is_time and len(self._batch)):
                self.flush()
            done = self._done
        self.pace.tell("embedding", done, self._total)

    # --- out ---------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Commit what is done: first the features' file, then the rows that name it."""
        with self._guard, uninterrupted():
            batch = self._batch
            if not len(batch):
                return
            with transaction(self.connection):
                ids = append_features(self.connection, self.folder, list(batch.features.values()))
                numbers = dict(zip(batch.features, ids, strict=True))
                counts = [self._write(placed, numbers) for placed in batch.placed]
                removed = sum(self._write_failure(*failed) for failed in batch.failed)
                bump(self.connection)
            self._batch = Batch()
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
                "UPDATE entries SET feature = ?, size = ?, mtime_ns = ?, is_file = 1, missing = 0 WHERE id = ?",
                (feature, placed.size, placed.mtime_ns, known[0]),
            )
            return "unchanged" if known[1] == feature else "changed"
        root, label = self.scan.root_of(Path(os.fsdecode(placed.path)))
        values = (placed.path, root, encode_label(label), feature, placed.size, placed.mtime_ns)
        entry = self._vanished(feature, root)
        if entry is not None:
            execute("DELETE FROM gone WHERE entry = ?", (entry,))
            execute(
                "UPDATE entries SET path = ?, root = ?, label = ?, feature = ?, size = ?, mtime_ns = ?, missing = 0"
                " WHERE id = ?",
                (*values, entry),
            )
            return "moved"
        execute(
            "INSERT INTO entries (path, root, label, feature, size, mtime_ns, is_file) VALUES (?, ?, ?, ?, ?, ?, 1)",
            values,
        )
        return "new"

    def _vanished(self, feature: int, root: int | None) -> int | None:
        """An entry of the same contents whose file is gone from the same root: the file was moved.

        Of the same root only: another one may be on a disk that is unplugged.
        """
        rows = self.connection.execute(
            "SELECT entry, path FROM gone WHERE feature = ? AND root IS ? ORDER BY entry", (feature, root)
        )
        return next((entry for entry, path in rows if path not in self.scan.lost), None)

    def _write_failure(self, path: bytes, size: int, mtime_ns: int, reason: str, by_system: bool) -> int:
        """Note a file that could not be read; returns how many entries that removes.

        What the system could not open is tried again at each `add`, and keeps its entry, hidden. What cannot be
        decoded is tried again when it changes, or when lookalike learns to read more.
        """
        execute = self.connection.execute
        stamp = (None, None, None) if by_system else (size, mtime_ns, self._reader)
        execute(
            "INSERT OR REPLACE INTO skipped (path, reason, kind, size, mtime_ns, reader) VALUES (?, ?, 'file', ?, ?, ?)",
            (path, reason, *stamp),
        )
        if by_system:
            execute("UPDATE entries SET missing = 1 WHERE path = ? AND is_file", (path,))
            return 0
        return int(execute("DELETE FROM entries WHERE path = ?", (path,)).rowcount)


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


def _hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "vanished while being indexed"
    if isinstance(error, LookalikeError):
        return str(error)
    reason = error.strerror or str(error)
    return f"cannot be read: {reason[:1].lower()}{reason[1:]}"

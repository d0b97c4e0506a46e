"""Taking files in: known contents by their hash, new ones through the model, committed every few seconds."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lookalike._files import open_at_once
from lookalike._typing import Array
from lookalike.collection.catalog.entries import encode_label
from lookalike.collection.catalog.file import bump, meta_number, set_meta, transaction
from lookalike.collection.records import Pace
from lookalike.collection.segments import FOLDER, write_segment
from lookalike.collection.take_in.elsewhere import Places, is_gone
from lookalike.collection.take_in.scan import Scan, Scope, clean_text, reader_version
from lookalike.collection.upkeep.merge import merge_recent
from lookalike.data.stamp import Stamp
from lookalike.errors import ImageError, UnreadableNowError

if TYPE_CHECKING:
    from lookalike.features._source import Source
    from lookalike.features.embedder import Embedder
    from lookalike.features.reading import Content

__all__ = ["Feature", "Ingest", "append_features", "uninterrupted"]

COMMIT_FILES = 512
COMMIT_SECONDS = 2.0
PAGE = 500
MANY = 100  # files of the same contents, which are not looked through again for each new one
_NOTHING_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


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


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file whose contents are being embedded."""

    path: bytes
    stamp: Stamp


class Ingest:
    """One pass over the files that a scan found to be looked into, and a second one over those that could not be read.

    A file is read once: what is hashed is what is decoded, and what is recorded of it is what its open handle said. The embedder
    may ask for the next file from another thread, so everything that is shared is behind a lock.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path, scan: Scan, pace: Pace) -> None:
        from lookalike.features.reading import Reader

        self.connection = connection
        self.folder = folder
        self.scan = scan
        self.pace = pace
        self.new = self.changed = self.unchanged = self.moved = self.removed = 0
        self._guard = threading.RLock()
        self._batch = Batch()
        self._reading = Reader()
        self._waiting: dict[bytes, list[Waiting]] = {}  # by hash
        self._contents: dict[Path, tuple[bytes, Content]] = {}  # of files handed to the embedder
        self._again: list[bytes] = []  # files that could not be read
        self._is_last = False  # whether this is the second pass
        self._lost: dict[bytes, Scope] = {}  # folders that went away
        self._places = Places()
        self._files: dict[int, Files] = {}  # of features that have many
        self._looked_up: set[int] = set()  # features whose other files were looked for
        self._committed = time.monotonic()
        self._done = 0
        self.total = int(connection.execute("SELECT count(*) FROM todo").fetchone()[0])
        self._reader = reader_version()

    def run(self, embedder: Embedder | None) -> None:
        """Take all files in. When this is cut short, `flush` keeps what was done."""
        if self.total:
            self.pace.tell("embedding", 0, self.total)
        self._pass(embedder, self._todo())
        again, self._again, self._is_last = self._again, [], True
        if again:
            self._lost = {path: scope for path, scope in self._lost.items() if not self.scan.is_there(scope)}
            self._pass(embedder, iter(again))
        self.flush()
        if self.total:
            self.pace.tell("embedding", self.total, self.total, last=True)

    def _pass(self, embedder: Embedder | None, files: Iterator[bytes]) -> None:
        sources = self._to_embed(files)
        if embedder is None:
            for _ in sources:
                raise AssertionError("files to embed, but no embedder")
            return
        results = embedder.stream(sources)
        try:
            for path, result in results:
                self._take(path, result)
                self._settle_down()
        finally:
            if isinstance(results, Generator):
                results.close()  # waits for its threads
            self._reading.close()

    # --- in ----------------------------------------------------------------------------------------------------------

    def _to_embed(self, files: Iterator[bytes]) -> Iterator[tuple[Path, Source]]:
        """Files whose contents are not known yet, with the contents; the others are dealt with on the way."""
        for name in files:
            path = Path(os.fsdecode(name))
            if self._lost_around(name) is not None:
                self._put_off(name, "")
            elif (content := self._read(name, path)) is not None:
                yield path, content.source
                continue
            self._settle_down()

    def _read(self, name: bytes, path: Path) -> Content | None:
        """The contents of a file, if they are to be embedded; the embedder has them until `_take`."""
        content: Content | None = None
        try:
            content = self._reading.read(path)
            digest = content.digest()
        except UnreadableNowError as error:
            self._put_off(name, str(error))
        except ImageError as error:
            self._fail(name, str(error), None if content is None else content.stamp)
        else:
            if self._admit(Waiting(name, content.stamp), digest):
                with self._guard:
                    self._contents[path] = digest, content
                return content
        if content is not None:
            self._reading.release(content)
        return None

    def _todo(self) -> Iterator[bytes]:
        last = b""
        while True:
            with self._guard:
                page = self.connection.execute(
                    "SELECT path FROM todo WHERE path > ? ORDER BY path LIMIT ?", (last, PAGE)
                ).fetchall()
            if not page:
                return
            yield from (path for (path,) in page)
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
            digest, content = self._contents.pop(path)
            files = self._waiting.pop(digest)
            try:
                content.check()
            except UnreadableNowError as error:
                result = error
            finally:
                self._reading.release(content)
            if isinstance(result, ImageError):
                for file in files:
                    if isinstance(result, UnreadableNowError):
                        self._put_off(file.path, str(result))
                    else:
                        self._fail(file.path, str(result), file.stamp)
                return
            row = np.asarray(result.vector, np.float32)
            if not np.isfinite(row).all():
                for file in files:
                    self._fail(file.path, "the model gave no finite numbers for it", file.stamp)
                return
            self._batch.features[digest] = Feature(
                row.astype(np.float16), float(result.norm), digest, result.width, result.height, result.format or None
            )
            for file in files:
                self._place(file, digest)

    def _place(self, file: Waiting, feature: int | bytes) -> None:
        self._batch.placed.append(Placed(file.path, file.stamp, feature))
        self._done += 1

    def _put_off(self, name: bytes, reason: str) -> None:
        """Read a file once more when the others are done; after that, leave it for the next run."""
        with self._guard:
            if self._lost_around(name) is None:
                scope = self.scan.scope_of(name)
                if scope is not None and not self.scan.is_there(scope):
                    self._lost[os.fsencode(scope.path)] = scope
            if not self._is_last:
                self._again.append(name)
            elif (root := self._lost_around(name)) is not None:
                self._fail(name, f"its folder {os.fsdecode(root)} is gone", None, is_hidden=True)
            else:
                reason = "vanished while being indexed" if is_gone(name) else reason
                self._fail(name, reason, None, is_hidden=not _can_be_opened(name))

    def _lost_around(self, name: bytes) -> bytes | None:
        """The folder that went away, with the file in it."""
        scope = self.scan.scope_of(name) if self._lost else None
        root = None if scope is None else os.fsencode(scope.path)
        return root if root in self._lost else None

    def _fail(self, name: bytes, reason: str, stamp: Stamp | None, *, is_hidden: bool = False) -> None:
        with self._guard:
            self._batch.failed.append(Failed(name, clean_text(reason), stamp, is_hidden))
            self._done += 1
            self.pace.skipped += 1

    def _settle_down(self) -> None:
        """Commit when it is time, and tell how far we are."""
        with self._guard:
            is_time = time.monotonic() - self._committed >= COMMIT_SECONDS
            if len(self._batch) >= COMMIT_FILES or (is_time and len(self._batch)):
                self.flush()
            done = self._done
        self.pace.tell("embedding", done, self.total)

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
                removed = sum(self._write_failure(failed) for failed in batch.failed)
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
                "UPDATE entries SET feature = ?, is_file = 1, missing = 0,"
                " size = ?, mtime_ns = ?, device = ?, inode = ? WHERE id = ?",
                (feature, *placed.stamp, known[0]),
            )
            return "unchanged" if known[1] == feature else "changed"
        root, label = self.scan.root_of(Path(os.fsdecode(placed.path)))
        values = (placed.path, root, encode_label(label), feature, *placed.stamp)
        entry = self._vanished(feature, root)
        if entry is None:
            entry = self._renamed(feature, placed.stamp, root)
        if entry is not None:
            for table in ("gone", "away"):
                execute(f"DELETE FROM {table} WHERE entry = ?", (entry,))
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

    def _vanished(self, feature: int, root: int | None) -> int | None:
        """An entry of the same contents whose file is gone from the same root: the file was moved.

        Of the same root only: another one may be on a disk that is unplugged.
        """
        rows = self.connection.execute(
            "SELECT entry, path FROM gone WHERE feature = ? AND root IS ? ORDER BY entry", (feature, root)
        )
        return next((entry for entry, path in rows if path not in self.scan.lost), None)

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


def _can_be_opened(path: bytes) -> bool:
    """Whether the file is there, as far as can be said: with nothing left to open it with, nothing is known against it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (the name is bytes)
            return False
        os.close(open_at_once(path))
    except OSError as error:
        return error.errno in _NOTHING_LEFT
    return True

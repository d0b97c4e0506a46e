"""The catalogue: one SQLite file that says what a collection holds, and which files belong to it.

Everything else on disk (feature segments, index files) counts only once a row here names it, and rows change in
transactions: so a process killed at any instant leaves a whole catalogue and, at worst, files that nobody names.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lookalike._files import sync_folder
from lookalike.errors import (
    CollectionError,
    CollectionLockedError,
    CollectionNotFoundError,
    ReadOnlyError,
    VersionError,
)

__all__ = ["CATALOG", "Catalog", "bump", "check_folder", "create_catalog", "get_meta", "set_meta", "transaction"]

CATALOG = "catalog.sqlite"
APPLICATION_ID = 0x6C6B616C  # "lkal", in the header of the SQLite file
SCHEMA_VERSION = 2  # with a transform; the tables are the same
PLAIN_VERSION = 1  # without, so that those who know no transforms can read it
BUSY_SECONDS = 30.0

# Paths and labels are blobs of the file system's bytes: a name need not be UTF-8.
# A feature row belongs to contents, not to a path: equal files share it, and it never changes.
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, missing INTEGER NOT NULL DEFAULT 0);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, first INTEGER NOT NULL UNIQUE,
    rows INTEGER NOT NULL CHECK (rows > 0), sha256 TEXT NOT NULL);
CREATE TABLE features (
    id INTEGER PRIMARY KEY, content BLOB UNIQUE, norm REAL NOT NULL,
    width INTEGER, height INTEGER, format TEXT);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL UNIQUE,
    root INTEGER REFERENCES roots(id) ON DELETE SET NULL, label BLOB NOT NULL,
    feature INTEGER NOT NULL REFERENCES features(id),
    size INTEGER, mtime_ns INTEGER,
    is_file INTEGER NOT NULL, missing INTEGER NOT NULL DEFAULT 0);
CREATE INDEX entries_by_feature ON entries(feature);
CREATE INDEX entries_by_label ON entries(label, id);
CREATE TABLE skipped (
    path BLOB PRIMARY KEY, reason TEXT NOT NULL, kind TEXT NOT NULL,
    size INTEGER, mtime_ns INTEGER, reader TEXT) WITHOUT ROWID;
CREATE TABLE generations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT UNIQUE, sha256 TEXT, spec TEXT NOT NULL,
    nprobe INTEGER, candidates INTEGER, trained INTEGER NOT NULL, total INTEGER NOT NULL,
    recall REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, k INTEGER NOT NULL, n INTEGER NOT NULL);
"""


def create_catalog(folder: Path, meta: dict[str, str]) -> None:
    """Write a new catalogue; it appears whole or not at all."""
    temporary = folder / f".{CATALOG}.{os.getpid()}.part"
    temporary.unlink(missing_ok=True)
    try:
        with _translated(folder):
            connection = sqlite3.connect(temporary, isolation_level=None)
            try:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {PLAIN_VERSION}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
                values = {"changes": "1", "next_file": "1", "next_feature": "0", "created": str(time.time())} | meta
                connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
            finally:
                connection.close()
        temporary.replace(folder / CATALOG)
    finally:
        for leftover in folder.glob(f"{temporary.name}*"):
            leftover.unlink(missing_ok=True)
    sync_folder(folder)


def check_folder(folder: Path) -> None:
    """Refuse what is not a collection, by the header of its catalogue; nothing is modified.

    Raises
    ------
    CollectionNotFoundError
        If there is no such folder, or no catalogue in it.
    CollectionError
        If the catalogue is not one of lookalike.
    VersionError
        If it was written by a newer lookalike.
    """
    file = folder / CATALOG
    try:
        size = file.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        if folder.is_dir():
            raise CollectionNotFoundError(f"{folder} is not a collection: it has no {CATALOG}") from None
        if folder.exists():
            raise CollectionError(f"{folder} is not a collection but a file; expected a folder") from None
        raise CollectionNotFoundError(
            f"there is no collection at {folder}; make one with `lookalike index FOLDER` or Collection.create"
        ) from None
    except (OSError, ValueError) as error:
        raise CollectionError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    application, version = _read_header(file) if size >= 100 else (None, 0)
    if application is None:
        raise CollectionError(f"{file} is damaged or not a catalogue of lookalike: it is not an SQLite file")
    if application != APPLICATION_ID:
        raise CollectionError(f"{file} is an SQLite file, but not a catalogue of lookalike")
    if version > SCHEMA_VERSION:
        raise VersionError(
            f"{folder} was written by a newer lookalike (catalogue version {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade lookalike"
        )


def _read_header(file: Path) -> tuple[int | None, int]:
    """Application id (None if it is no SQLite file) and version.

    Asked of SQLite and not read from the file: closing a file gives up all locks that a process has on it, so reading
    it by hand would leave connections of this process unprotected ("How To Corrupt An SQLite Database", 2.2). An
    immutable connection takes no locks and makes no files.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB:
            return None, 0
        raise _translate(file.parent, error) from None
    return application, version


class Catalog:
    """Connections to the catalogue of one collection: as many readers as threads need, and one writer."""

    def __init__(self, folder: Path) -> None:
        check_folder(folder)
        self.folder = folder
        self._guard = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._pid = os.getpid()
        self._closed = False
        self._inherited: list[sqlite3.Connection] = []

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a read transaction: everything read through it is of one instant."""
        with _translated(self.folder):
            connection = self._borrow()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                # Ending a read transaction cannot lose anything, whatever happened in it.
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                self._give_back(connection)

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection that may write; the caller holds the writer's lock and opens transactions."""
        with _translated(self.folder):
            self._check_open()
            connection = _connect(self.folder, "rw")
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                yield connection
            finally:
                connection.close()

    def close(self) -> None:
        """Close idle connections; further use raises CollectionError."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        if self._pid == os.getpid():
            for connection in idle:
                connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise CollectionError(f"{self.folder}: the collection was closed; open it again")

    def _borrow(self) -> sqlite3.Connection:
        with self._guard:
            self._check_open()
            if self._pid != os.getpid():
                # SQLite connections must not cross a fork, not even to be closed.
                self._pid, self._inherited, self._idle = os.getpid(), self._idle, []
            if self._idle:
                return self._idle.pop()
        return _connect_reader(self.folder)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._guard:
            if not self._closed and self._pid == os.getpid():
                self._idle.append(connection)
                return
        connection.close()


def _connect(folder: Path, mode: str) -> sqlite3.Connection:
    """The path goes as a URI of bytes, so that a name that is not UTF-8 works."""
    uri = f"{(folder / CATALOG).as_uri()}?{'immutable=1' if mode == 'immutable' else f'mode={mode}'}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise VersionError(f"{folder} was written by a newer lookalike (catalogue version {version}); upgrade it")
        connection.execute("SELECT count(*) FROM meta").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_reader(folder: Path) -> sqlite3.Connection:
    if os.access(folder, os.W_OK) and os.access(folder / CATALOG, os.W_OK):
        try:
            connection = _connect(folder, "rw")
            connection.execute("PRAGMA query_only = ON")
            return connection
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
                raise
    try:
        return _connect(folder, "ro")
    except sqlite3.OperationalError:
        # WAL needs a file of shared memory. Where none can be made nobody can be writing either, and the catalogue
        # is complete by itself once its log is empty, which it is after a writer has finished.
        log = folder / f"{CATALOG}-wal"
        if log.exists() and log.stat().st_size:
            raise
        return _connect(folder, "immutable")


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


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise _translate(folder, error) from error


def _translate(folder: Path, error: sqlite3.DatabaseError | UnicodeDecodeError) -> Exception:
    """UnicodeDecodeError is what Python makes of SQLite's own message when that quotes a damaged schema."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return CollectionError(f"the disk of {folder} is full; free some space and go on, what was done is kept")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return CollectionLockedError(f"another process is using the catalogue of {folder}; wait until it is done")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return ReadOnlyError(f"{folder} cannot be written to; it can be searched but not changed")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or isinstance(
        error, sqlite3.IntegrityError | UnicodeDecodeError
    ):
        return CollectionError(
            f"{folder / CATALOG} is damaged ({error}); put back a copy of it, or index the folders into a new collection"
        )
    return CollectionError(f"{folder / CATALOG} cannot be used: {error}")


def get_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """A value of the collection as a whole."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(connection: sqlite3.Connection, key: str, value: Any) -> None:
    """Set a value of the collection as a whole."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, str(value))
    )


def bump(connection: sqlite3.Connection) -> None:
    """Count a change that readers must notice."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'changes'")

"""The catalogue: one SQLite file that says what a collection holds, and which files belong to it.

Everything else on disk (feature segments, index files) counts only once a row here names it, and rows change in
transactions: so a process killed at any instant leaves a whole catalogue and, at worst, files that nobody names.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lookalike._files import sync_folder
from lookalike.collection.schema import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    bring_up_to_date,
    keep_checksums,
    show_as_current,
    transaction,
    version_of,
    write_new,
)
from lookalike.errors import (
    CollectionError,
    CollectionLockedError,
    CollectionNotFoundError,
    ReadOnlyError,
    VersionError,
)

__all__ = ["CATALOG", "Catalog", "bump", "check_folder", "create_catalog", "get_meta", "set_meta", "transaction"]

CATALOG = "catalog.sqlite"
BUSY_SECONDS = 30.0


def create_catalog(folder: Path, meta: dict[str, str]) -> None:
    """Write a new catalogue; it appears whole or not at all."""
    temporary = folder / f".{CATALOG}.{os.getpid()}.part"
    temporary.unlink(missing_ok=True)
    try:
        with _translated(folder):
            connection = sqlite3.connect(temporary, isolation_level=None)
            try:
                write_new(connection, meta)
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


class _Connection(sqlite3.Connection):
    is_older = False
    """Whether it reads a catalogue of an older version."""


class Catalog:
    """Connections to the catalogue of one collection: as many readers as threads need, and one writer."""

    def __init__(self, folder: Path) -> None:
        check_folder(folder)
        self.folder = folder
        self._guard = threading.Lock()
        self._idle: list[_Connection] = []
        self._pid = os.getpid()
        self._closed = False
        self._inherited: list[_Connection] = []

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a read transaction: everything read through it is of one instant."""
        with _translated(self.folder):
            connection = self._begin()
            try:
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
                bring_up_to_date(connection)
                keep_checksums(connection)
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

    def _begin(self) -> _Connection:
        """A connection whose read transaction has begun."""
        while True:
            connection = self._borrow()
            try:
                connection.execute("BEGIN")
                # A writer may have brought the catalogue up to date: what stood for its new columns is taken for them no more.
                if not connection.is_older or version_of(connection) < SCHEMA_VERSION:
                    return connection
            except BaseException:
                connection.close()
                raise
            connection.close()

    def _borrow(self) -> _Connection:
        with self._guard:
            self._check_open()
            if self._pid != os.getpid():
                # SQLite connections must not cross a fork, not even to be closed.
                self._pid, self._inherited, self._idle = os.getpid(), self._idle, []
            if self._idle:
                return self._idle.pop()
        return _connect_reader(self.folder)

    def _give_back(self, connection: _Connection) -> None:
        with self._guard:
            if not self._closed and self._pid == os.getpid():
                self._idle.append(connection)
                return
        connection.close()


def _connect(folder: Path, mode: str) -> _Connection:
    """The path goes as a URI of bytes, so that a name that is not UTF-8 works."""
    uri = f"{(folder / CATALOG).as_uri()}?{'immutable=1' if mode == 'immutable' else f'mode={mode}'}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=_Connection
    )
    try:
        version = version_of(connection)
        if version > SCHEMA_VERSION:
            raise VersionError(f"{folder} was written by a newer lookalike (catalogue version {version}); upgrade it")
        connection.execute("SELECT count(*) FROM meta").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_reader(folder: Path) -> _Connection:
    connection = _connect_to_read(folder)
    try:
        connection.is_older = show_as_current(connection)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(folder: Path) -> _Connection:
    if os.access(folder, os.W_OK) and os.access(folder / CATALOG, os.W_OK):
        try:
            return _connect(folder, "rw")
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
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, str(value)),
    )


def bump(connection: sqlite3.Connection) -> None:
    """Count a change that readers must notice."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'changes'")

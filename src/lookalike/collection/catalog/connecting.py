"""Opening the catalogue with SQLite, and what its errors mean.

What cannot be read now is one thing, and damage is another: the word damage is only used after SQLite's own check has found some.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from lookalike.collection.catalog.schema import APPLICATION_ID, SCHEMA_VERSION, show_as_current, version_of
from lookalike.errors import (
    CollectionError,
    CollectionLockedError,
    CollectionNotFoundError,
    CollectionUnavailableError,
    ReadOnlyError,
    VersionError,
)

__all__ = [
    "CATALOG",
    "Connection",
    "FileId",
    "check_folder",
    "connect_reader",
    "connect_writer",
    "file_id",
    "integrity",
    "shared_id",
    "state_of",
    "translated",
]

CATALOG = "catalog.sqlite"
BUSY_SECONDS = 30.0
LEAST = 100  # bytes of the header of an SQLite file

FileId: TypeAlias = tuple[int, int]
Mode: TypeAlias = Literal["rw", "ro", "immutable"]
State: TypeAlias = tuple[FileId, int, int]

_NO_SHARED_MEMORY = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR})
_NOT_NOW = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOLFS})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Connection(sqlite3.Connection):
    """A connection, and what has to be known of it."""

    is_older = False
    """Whether it reads a catalogue of an older version."""

    file: FileId | None = None
    """Which file it has open."""

    shared: FileId | None = None
    """Which file of shared memory it uses, through which connections see each other's commits."""

    state: State | None = None
    """Of a connection without locks: the state that its file has to keep for as long as it is read."""


def file_id(folder: Path) -> FileId:
    """Which file the catalogue is; another one, when the collection was deleted and made again.

    Raises
    ------
    CollectionNotFoundError
        If there is none any more.
    CollectionUnavailableError
        If that cannot be found out now.
    """
    status = _status(folder)
    return status.st_dev, status.st_ino


def shared_id(folder: Path) -> FileId | None:
    """Which file the shared memory of the catalogue's connections is; None where there is none.

    Another process deletes it when it believes that it is the last one. That belief is wrong if this process has closed a file of
    the catalogue outside SQLite, for instance by copying the folder: the system then gives up this process's locks. From then on,
    connections that were open see old commits, or report damage where there is none.
    """
    try:
        status = (folder / f"{CATALOG}-shm").stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _status(folder: Path) -> os.stat_result:
    try:
        return (folder / CATALOG).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise CollectionNotFoundError(f"there is no collection at {folder} any more") from None
    except OSError as error:
        raise _unavailable(folder, error.strerror or str(error)) from None


def check_folder(folder: Path) -> None:
    """Refuse what is not a collection, as far as a glance at its catalogue shows; nothing is modified.

    Raises
    ------
    CollectionNotFoundError
        If there is no such folder, or no catalogue in it.
    CollectionUnavailableError
        If that cannot be found out now.
    CollectionError
        If the catalogue is not one of lookalike.
    VersionError
        If it was written by a newer lookalike.
    """
    file = folder / CATALOG
    try:
        size = file.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise _not_there(folder) from None
    except OSError as error:
        raise _unavailable(folder, error.strerror or str(error)) from None
    except ValueError as error:  # a NUL in the name
        raise CollectionError(f"{file} cannot be read: {error}") from None
    has_log = _has_log(folder)
    if size < LEAST and not has_log:
        raise CollectionError(f"{file} is not a catalogue of lookalike: it is not an SQLite file")
    if not has_log:
        # Nobody is writing, so it is complete. A connection without locks leaves no files beside what is not ours, and what it
        # cannot read is left to a real one, as a writer may come at any time. SQLite is asked, and the file is not read: closing
        # it would give up all locks that this process has on it ("How To Corrupt An SQLite Database", 2.2).
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_open(folder, "immutable")) as connection:
            _check_header(folder, connection)
            return
    with translated(folder), contextlib.closing(connect_reader(folder)):
        pass


def _not_there(folder: Path) -> Exception:
    """What to say where there is no catalogue."""
    try:
        if folder.is_dir():
            return CollectionNotFoundError(f"{folder} is not a collection: it has no {CATALOG}")
        if folder.exists():
            return CollectionError(f"{folder} is not a collection but a file; expected a folder")
    except OSError as error:
        return _unavailable(folder, error.strerror or str(error))
    return CollectionNotFoundError(
        f"there is no collection at {folder}; make one with `lookalike index FOLDER` or Collection.create"
    )


def _check_header(folder: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise CollectionError(f"{folder / CATALOG} is an SQLite file, but not a catalogue of lookalike")
    version = version_of(connection)
    if version > SCHEMA_VERSION:
        raise VersionError(
            f"{folder} was written by a newer lookalike (catalogue version {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade lookalike"
        )


# --- connections ------------------------------------------------------------------------------------------------------


def connect_writer(folder: Path) -> Connection:
    """A connection that may write."""
    connection = _connect(folder, "rw")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def connect_reader(folder: Path) -> Connection:
    """A connection that reads, and sees the tables of this version whatever the catalogue has."""
    connection = _connect_to_read(folder)
    try:
        connection.is_older = show_as_current(connection)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(folder: Path) -> Connection:
    if os.access(folder, os.W_OK) and os.access(folder / CATALOG, os.W_OK):
        try:
            return _connect(folder, "rw")
        except sqlite3.OperationalError as error:
            if _code(error) not in _NO_SHARED_MEMORY:
                raise
    try:
        return _connect(folder, "ro")
    except sqlite3.OperationalError as error:
        # WAL needs a file of shared memory. Where none can be made, and there is no log, the catalogue is complete by itself.
        if _code(error) not in _NO_SHARED_MEMORY:
            raise
        if _has_log(folder):
            raise _unavailable(folder, f"{error}, and a writer left a log that has to be taken in first") from None
    state = state_of(folder)
    connection = _connect(folder, "immutable")
    connection.state = state
    return connection


def _connect(folder: Path, mode: Mode) -> Connection:
    while True:
        before = file_id(folder)
        connection = _open(folder, mode)
        try:
            _check_header(folder, connection)
            connection.execute("SELECT count(*) FROM meta").fetchone()
            if file_id(folder) == before:  # else it was deleted and made again just now
                connection.file, connection.shared = before, None if mode == "immutable" else shared_id(folder)
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()


def _open(folder: Path, mode: Mode) -> Connection:
    """The path goes as a URI of bytes, so that a name that is not UTF-8 works."""
    how = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    return sqlite3.connect(
        f"{(folder / CATALOG).as_uri()}?{how}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )


def state_of(folder: Path) -> State:
    """What tells that a catalogue was not written to; a log beside it means that somebody may be writing now."""
    if _has_log(folder):
        raise CollectionLockedError(f"another process is using the catalogue of {folder}; wait until it is done")
    status = _status(folder)
    return (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns


def _has_log(folder: Path) -> bool:
    try:
        return (folder / f"{CATALOG}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it is there, as far as can be known


# --- errors -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _translate(folder, error) from error


def _code(error: sqlite3.Error | UnicodeDecodeError) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _translate(folder: Path, error: sqlite3.Error | UnicodeDecodeError) -> Exception:
    """UnicodeDecodeError is what Python makes of text that is damaged, and of SQLite's own message when it quotes some."""
    code = _code(error)
    if code in _DAMAGED or isinstance(error, sqlite3.IntegrityError | UnicodeDecodeError):
        return _suspected(folder, error)
    if code == sqlite3.SQLITE_FULL:
        return CollectionError(f"the disk of {folder} is full; free some space and go on, what was done is kept")
    if code in _BUSY:
        return CollectionLockedError(f"another process is using the catalogue of {folder}; wait until it is done")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return ReadOnlyError(f"{folder} cannot be written to; it can be searched but not changed")
    if code in _NOT_NOW:
        return _unavailable(folder, str(error))
    return CollectionError(f"{folder / CATALOG} cannot be used: {_one_line(error)}")


def _suspected(folder: Path, error: sqlite3.Error | UnicodeDecodeError) -> Exception:
    """What to say where something looks like damage."""
    file = folder / CATALOG
    wrong = _damage(folder)
    if wrong is None:
        if _code(error) in _DAMAGED:
            return _unavailable(folder, str(error))
        what = "holds text that is not Unicode" if isinstance(error, UnicodeDecodeError) else f"cannot be used: {error}"
        return CollectionError(f"{file} {_one_line(what)}; `lookalike verify` looks for what is wrong")
    if _code(error) == sqlite3.SQLITE_NOTADB:
        return CollectionError(f"{file} is damaged or not a catalogue of lookalike: it is not an SQLite file")
    error.__cause__ = sqlite3.DatabaseError(wrong)  # by the causes it is known which words are SQLite's
    return CollectionError(
        f"{file} is damaged ({wrong}); restore a copy of it, or keep it and index the folders into another collection"
    )


def _damage(folder: Path) -> str | None:
    """What SQLite's own check finds wrong with the catalogue; None where that is nothing, or cannot be found out now."""
    modes: list[Mode] = ["rw", "ro"] if _has_log(folder) else ["rw", "ro", "immutable"]
    for mode in modes:
        try:
            with contextlib.closing(_open(folder, mode)) as connection:
                connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
                found = integrity(connection, 1)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if _code(error) in _DAMAGED or isinstance(error, UnicodeDecodeError):
                return _one_line(error)
            continue
        return found[0] if found else None
    return None


def integrity(connection: sqlite3.Connection, most: int = 100) -> list[str]:
    """What SQLite's own check finds wrong with a catalogue, one line each.

    Raises
    ------
    sqlite3.OperationalError
        If pages cannot be read now. SQLite lists them with the damage.
    """
    found = [_one_line(row[0]) for row in connection.execute(f"PRAGMA integrity_check({most})")]
    for line in found:
        code = re.search(r"unable to get the page\. error code=(\d+)", line)
        if "failed to get page" in line or (code and int(code[1]) & 0xFF not in _DAMAGED):
            error = sqlite3.OperationalError("a page cannot be read")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
    return [line for line in found if line != "ok"]


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _unavailable(folder: Path, why: str) -> CollectionUnavailableError:
    return CollectionUnavailableError(
        f"{folder / CATALOG} cannot be used now: {_one_line(why)}; nothing is known to be wrong with it, so try again"
    )

"""The catalogue: one SQLite file that says what a collection holds, and which files belong to it.

Everything else on disk (feature segments, index files) counts only once a row here names it, and rows change in
transactions: so a process killed at any instant leaves a whole catalogue and, at worst, files that nobody names.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike._files import discard, sync_folder
from lookalike.collection.catalog.connecting import (
    CATALOG,
    Connection,
    check_folder,
    connect_reader,
    connect_writer,
    file_id,
    shared_id,
    state_of,
    translated,
)
from lookalike.collection.catalog.schema import (
    SCHEMA_VERSION,
    bring_up_to_date,
    is_right,
    keep_checksums,
    transaction,
    version_of,
    write_new,
    wrong_rows,
)
from lookalike.errors import CollectionError, CollectionLockedError

__all__ = [
    "CATALOG",
    "Catalog",
    "Version",
    "as_number",
    "bump",
    "check_folder",
    "check_meta",
    "create_catalog",
    "get_meta",
    "meta_number",
    "read_version",
    "set_meta",
    "transaction",
]


UNIMPORTANT = frozenset({"changes", "state", "uuid", "created", "next_file", "next_feature", "duplicates", "swept"})
"""Keys of values that no search depends on; whoever does need one compares it with its checksum."""


def create_catalog(folder: Path, meta: dict[str, str]) -> None:
    """Write a new catalogue; it appears whole or not at all. The caller holds the writer's lock."""
    for leftover in folder.glob(f".{CATALOG}.*.part*"):  # of a process that was killed
        leftover.unlink(missing_ok=True)
    temporary = folder / f".{CATALOG}.{os.getpid()}.part"
    try:
        with translated(folder), contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            write_new(connection, meta)
        temporary.replace(folder / CATALOG)
    finally:
        for end in ("", "-journal", "-wal", "-shm"):
            discard(temporary.with_name(temporary.name + end))
    try:
        sync_folder(folder)
    except OSError:
        discard(folder / CATALOG)  # it holds nothing yet, and who asked for it is told that there is none
        raise


class Catalog:
    """Connections to the catalogue of one collection: as many readers as threads need, and one writer."""

    def __init__(self, folder: Path) -> None:
        check_folder(folder)
        self.folder = folder
        self._guard = threading.Lock()
        self._idle: list[Connection] = []
        self._pid = os.getpid()
        self._closed = False
        self._inherited: list[Connection] = []

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection inside a read transaction: everything read through it is of one instant."""
        with translated(self.folder):
            connection = self._begin()
            try:
                yield connection
                if connection.state is not None and connection.state != state_of(self.folder):
                    raise CollectionLockedError(
                        f"another process is changing the catalogue of {self.folder}, where this one cannot lock it; try again"
                    )
            finally:
                self._give_back(connection)

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection that may write; the caller holds the writer's lock and opens transactions."""
        with translated(self.folder):
            self._check_open()
            with contextlib.closing(connect_writer(self.folder)) as connection:
                bring_up_to_date(connection)
                keep_checksums(connection)
                yield connection

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

    def _begin(self) -> Connection:
        """A connection whose read transaction has begun."""
        while True:
            connection = self._borrow()
            try:
                connection.execute("BEGIN")
                if self._is_current(connection):
                    return connection
            except BaseException:
                connection.close()
                raise
            connection.close()

    def _is_current(self, connection: Connection) -> bool:
        """Whether what was known of the catalogue when a connection was opened is still true."""
        if connection.state is not None and connection.state != state_of(self.folder):
            return False
        # A writer may have brought an older catalogue up to date: then the stand-ins for its new columns have to go.
        return not connection.is_older or version_of(connection) < SCHEMA_VERSION

    def _borrow(self) -> Connection:
        self._check_open()
        file, shared = file_id(self.folder), shared_id(self.folder)
        with self._guard:
            self._check_open()
            if self._pid != os.getpid():
                # SQLite connections must not cross a fork, not even to be closed.
                self._pid, self._inherited, self._idle = os.getpid(), self._idle, []
            stale = [each for each in self._idle if each.file != file or each.shared not in (None, shared)]
            self._idle = [each for each in self._idle if each not in stale]
            found = self._idle.pop() if self._idle else None
        for connection in stale:
            connection.close()
        return found or connect_reader(self.folder)

    def _give_back(self, connection: Connection) -> None:
        # Ending a read transaction cannot lose anything, whatever happened in it.
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
            return
        with self._guard:
            if not self._closed and self._pid == os.getpid():
                self._idle.append(connection)
                return
        connection.close()


def get_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """A value of the collection as a whole.

    Raises
    ------
    CollectionError
        If it is not what was written.
    """
    row = connection.execute(
        f"SELECT value FROM meta WHERE key = ? AND {is_right(connection, 'meta')}", (key,)
    ).fetchone()
    if row is None:
        check_meta(connection, {key})
        return None
    return str(row[0])


def check_meta(connection: sqlite3.Connection, keys: Collection[str] | None = None) -> None:
    """Refuse to go on with values that are not what was written, of these keys, or else of all that answers depend on.

    A key that nobody knows is one of them: it was another one.

    Raises
    ------
    CollectionError
        With the key, and the command that helps.
    """
    for row in wrong_rows(connection, "meta"):
        key = row[0].decode("utf-8", "backslashreplace") if isinstance(row[0], bytes) else str(row[0])
        if key not in UNIMPORTANT if keys is None else key in keys:
            raise CollectionError(
                f"the catalogue is damaged: its value of {key[:50]!r} is not what was written; "
                "`lookalike verify --repair` mends it or says what to do"
            )


def set_meta(connection: sqlite3.Connection, key: str, value: Any) -> None:
    """Set a value of the collection as a whole."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, str(value)),
    )


@dataclass(frozen=True, slots=True)
class Version:
    """Which collection a catalogue is of, and which of its states it holds."""

    collection: str
    """The collection's UUID; the time it was made at, where it has none yet."""

    changes: int
    state: str
    """Random, new with each change: a catalogue that was put back from a copy may count to the same number again."""


def read_version(connection: sqlite3.Connection) -> Version:
    """The state that this connection's transaction sees.

    Raises
    ------
    CollectionError
        If what the catalogue says of it cannot be.
    """
    found = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('uuid', 'created', 'changes', 'state')"))
    changes = as_number(found.get("changes", 0), "meta.changes")
    return Version(str(found.get("uuid") or found.get("created")), changes, str(found.get("state")))


def as_number(value: object, name: str, most: int = 2**62) -> int:
    """A whole number that the catalogue holds, from 0.

    Raises
    ------
    CollectionError
        If it is something else: the catalogue is damaged.
    """
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise CollectionError(
            f"the catalogue is damaged: expected a whole number from 0 as {name}, got {text[:50]!r}; "
            "`lookalike verify --repair` mends what can be mended"
        )
    return int(text)


def meta_number(connection: sqlite3.Connection, key: str) -> int:
    """A whole number of the collection as a whole; 0 where it is not there."""
    return as_number(get_meta(connection, key) or 0, f"meta.{key}")


def bump(connection: sqlite3.Connection) -> None:
    """Count a change that readers must notice."""
    set_meta(connection, "changes", meta_number(connection, "changes") + 1)
    set_meta(connection, "state", secrets.token_hex(8))

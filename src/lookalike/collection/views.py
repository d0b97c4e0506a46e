"""Views of a collection: what readers see while a writer goes on."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from lookalike.collection.catalog.file import Catalog, Version, read_version
from lookalike.collection.snapshot import Snapshot, load_snapshot
from lookalike.collection.upkeep.background import Checks
from lookalike.errors import CollectionUnavailableError

__all__ = ["Views"]


class Views:
    """Gives the latest state of a collection; it is read anew only when something was committed, or found to be damaged."""

    def __init__(self, path: Path, catalog: Catalog) -> None:
        self._path = path
        self._catalog = catalog
        self._loading = threading.Lock()
        self._snapshot: Snapshot | None = None
        self.checks = Checks(catalog, path, self._look_again)

    def close(self) -> None:
        """End the checks in the background, let nobody in any more, and let go of mapped files."""
        self.checks.close()
        self._catalog.close()
        self._snapshot = None

    def _look_again(self) -> None:
        """Make the next view anew: something in this one was found to be damaged."""
        with self._loading:
            self._snapshot = None

    @contextlib.contextmanager
    def enter(self) -> Iterator[tuple[sqlite3.Connection, Snapshot]]:
        """A connection and a snapshot of the same instant."""
        with contextlib.ExitStack() as stack:
            yield self._attempt(stack)

    def _attempt(self, stack: contextlib.ExitStack) -> tuple[sqlite3.Connection, Snapshot]:
        seen = None
        while True:
            with contextlib.ExitStack() as attempt:
                connection = attempt.enter_context(self._catalog.read())
                version = read_version(connection)
                try:
                    # A writer may just have replaced a file that this view names: look again, and only when nothing
                    # has changed since is the file really gone.
                    snapshot = self._current(connection, version, strict=version != seen)
                except FileNotFoundError:
                    seen = version
                    continue
                except OSError as error:
                    raise CollectionUnavailableError(
                        f"{self._path} cannot be read now: {error.strerror or error}; try again"
                    ) from error
                stack.push(attempt.pop_all())
                return connection, snapshot

    def _current(self, connection: sqlite3.Connection, version: Version, *, strict: bool) -> Snapshot:
        latest = self._snapshot
        if latest is not None and latest.version == version and not self._is_cut(latest):
            return latest
        with self._loading:
            latest = self._snapshot
            if latest is not None and latest.version == version and not self._is_cut(latest):
                return latest
            same = latest is not None and latest.version.collection == version.collection  # else it was made again
            snapshot = load_snapshot(
                connection,
                self._path,
                latest if same else None,
                strict=strict,
                damaged=frozenset(self.checks.damaged),
                wrong=dict(self.checks.wrong),
            )
            self._snapshot = snapshot
        self.checks.look_after(snapshot.store)
        return snapshot

    def _is_cut(self, snapshot: Snapshot) -> bool:
        """Whether a file that a view has mapped was cut short: the next view does without it."""
        cut = snapshot.store.cut()
        self.checks.damaged.update(cut)
        return bool(cut)

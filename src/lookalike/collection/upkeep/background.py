"""Comparing with checksums what a search uses and nobody has read through yet, while searches go on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from lookalike.collection.catalog.file import Catalog
from lookalike.collection.catalog.schema import wrong_rows
from lookalike.collection.segments import FeatureStore, Segment, read_segment
from lookalike.errors import FormatError, LookalikeError

__all__ = ["Checks"]

DELAY = 2.0  # seconds: a command that searches once does not pay for this
ROWS = 5000  # of the catalogue, compared in one transaction
LARGE = ("entries", "features")  # tables whose rows are too many to be compared whenever a view is made


class Checks:
    """Compares mapped segments, entries and features of the catalogue with their checksums, in one thread of low priority.

    Each segment and each row is compared once for each opened collection; what a writer adds later, it has just
    written. What cannot be read now is left for the next time that the collection is opened.

    Parameters
    ----------
    catalog : Catalog
    folder : Path
    found : callable
        Called from the thread after damage was found: the view of the collection is to be made anew.

    Attributes
    ----------
    damaged : set of (file, sha256)
        Segments that are not what was written.
    wrong : dict of str to set of int
        Rows of ``"entries"`` and ``"features"`` that are not what was written.
    """

    def __init__(self, catalog: Catalog, folder: Path, found: Callable[[], None]) -> None:
        self.damaged: set[tuple[str, str]] = set()
        self.wrong: dict[str, set[int]] = {table: set() for table in LARGE}
        self._catalog, self._folder, self._found = catalog, folder, found
        self._guard = threading.Lock()
        self._seen: set[tuple[str, str]] = set()
        self._waiting: list[tuple[Segment, int]] = []
        self._is_catalog_checked = False
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def look_after(self, store: FeatureStore) -> None:
        """Have what is new in a view compared; returns at once."""
        with self._guard:
            new = [segment for segment in store.mapped if segment.key not in self._seen]
            self._seen.update(segment.key for segment in new)
            self._waiting += [(segment, store.stored_d) for segment in new]
            is_idle = self._thread is None or not self._thread.is_alive() or self._pid != os.getpid()
            if is_idle and (self._waiting or not self._is_catalog_checked) and not self._closed.is_set():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="lookalike-checks", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Compare no more; what is under way ends with its block."""
        self._closed.set()

    def _run(self) -> None:
        if self._closed.wait(DELAY):
            return
        if not self._is_catalog_checked:
            self._is_catalog_checked = True
            for table in LARGE:
                self._check_rows(table)
        while not self._closed.is_set():
            with self._guard:
                if not self._waiting:
                    self._thread = None
                    return
                segment, d = self._waiting.pop()
            self._check(segment, d)

    def _check(self, segment: Segment, d: int) -> None:
        try:
            read_segment(self._folder, segment, d, keep=False)
        except FormatError:
            self.damaged.add(segment.key)
            self._found()
        except (OSError, LookalikeError):
            return  # gone, as its rows are in another file by now, or not to be read now: no damage

    def _check_rows(self, table: str) -> None:
        last = -(2**63)
        found: set[int] = set()
        try:
            while not self._closed.is_set():
                with self._catalog.read() as connection:
                    page = connection.execute(
                        f"SELECT max(id) FROM (SELECT id FROM {table} WHERE id > ? ORDER BY id LIMIT ?)", (last, ROWS)
                    ).fetchone()[0]
                    if page is None:
                        break
                    rows = wrong_rows(connection, table, "id > ? AND id <= ?", (last, page))
                found.update(row[0] for row in rows if isinstance(row[0], int))
                last = page
        except LookalikeError:
            return  # whoever searches is told
        if found:
            self.wrong[table] = self.wrong[table] | found  # whoever reads the set now keeps it
            self._found()

"""The generation of an index that a collection uses: its row in the catalogue, and its file, opened when it is first needed."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.collection.catalog.schema import wrong_rows
from lookalike.collection.mapping import is_shorter
from lookalike.errors import FormatError, LookalikeWarning

if TYPE_CHECKING:
    from lookalike.index.index import Index

__all__ = ["INDEX_FOLDER", "Generation", "LoadedIndex", "read_generation"]

INDEX_FOLDER = "index"
MAPPED = 64 << 20  # bytes of an index file from which on it is mapped


@dataclass(frozen=True, slots=True)
class Generation:
    """An index over the features: its file, how to search it, and the recall that was measured."""

    id: int
    file: str | None
    sha256: str | None
    spec: str
    nprobe: int
    candidates: int
    trained: int
    total: int
    recall: float
    low: float
    high: float
    k: int
    n: int


def read_generation(connection: sqlite3.Connection) -> Generation | None:
    """The generation in use; None where search is exact."""
    row = connection.execute(
        "SELECT id, file, sha256, spec, nprobe, candidates, trained, total, recall, low, high, k, n"
        " FROM generations ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    if wrong_rows(connection, "generations", "id = ?", row[:1]):
        warnings.warn(
            "what the catalogue says of the index is damaged, so search is exact and slower; "
            "`lookalike verify --repair` makes a new one",
            LookalikeWarning,
            stacklevel=2,
        )
        return None
    return Generation(*row)


class LoadedIndex:
    """The index file of a generation, opened when it is first needed; readers keep it for as long as they use it."""

    def __init__(self, folder: Path, generation: Generation) -> None:
        self.generation = generation
        self._path = folder / INDEX_FOLDER / (generation.file or "")
        self._guard = threading.Lock()
        self._opened = False
        self._index: Index | None = None
        self._mapped_size = 0  # bytes of the file, where it is mapped

    def get(self) -> Index | None:
        """The index; None where its file cannot be used, or was just replaced: search is exact then."""
        with self._guard:
            if not self._opened:
                with contextlib.suppress(FileNotFoundError):
                    self._open()
            if self._index is not None and is_shorter(self._path, self._mapped_size):
                self._index = None
                self._warn(f"was cut to less than its {self._mapped_size:,} bytes")
            return self._index

    def exists(self) -> bool:
        """Whether the file is there, or may be."""
        try:
            self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # nothing is known of it; `get` tries to open it
        return True

    def _open(self) -> None:
        from lookalike.index.storage import load_index

        try:
            # A file that is read is compared with its checksums; a large one is mapped, and compared by `verify`.
            size = self._path.stat().st_size
            self._index = load_index(self._path, mmap=size > MAPPED)
            self._mapped_size = size if size > MAPPED else 0
        except FileNotFoundError:
            raise
        except OSError as error:  # tried again at the next search
            warnings.warn(
                f"the index file {self._path.name} cannot be read now, so search is exact and slower "
                f"({error.strerror or error})",
                LookalikeWarning,
                stacklevel=2,
            )
            return
        except FormatError as error:
            self._warn(f"is damaged ({error})")
        self._opened = True

    def _warn(self, what: str) -> None:
        warnings.warn(
            f"the index file {self._path.name} {what}, so search is exact and slower; "
            "the next `lookalike index` makes a new one",
            LookalikeWarning,
            stacklevel=3,
        )

    def give_up(self) -> None:
        """Go on without the index: its file is gone for good."""
        with self._guard:
            self._opened = True
        self._warn("is missing")

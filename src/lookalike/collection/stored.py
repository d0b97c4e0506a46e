"""A collection on disk. Each method takes a consistent view or the writer's lock, and hands over."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lookalike._typing import ArrayLike, IdArray, PathLike
from lookalike._validate import check_count, check_ids
from lookalike.collection.catalog import entries as listing
from lookalike.collection.catalog.file import CATALOG, Catalog, check_meta, create_catalog
from lookalike.collection.catalog.filters import Filter, matching_ids
from lookalike.collection.catalog.schema import wrong_rows
from lookalike.collection.index.generation import INDEX_FOLDER
from lookalike.collection.lock import LOCK, WriterLock
from lookalike.collection.models import read_card
from lookalike.collection.records import AddReport, Entry, Progress
from lookalike.collection.segments import FOLDER as SEGMENT_FOLDER
from lookalike.collection.snapshot import Snapshot
from lookalike.collection.views import Views
from lookalike.collection.writer import Writer
from lookalike.data.paths import absolute
from lookalike.errors import CollectionError
from lookalike.features.models import DEFAULT_MODEL, ModelCard, get_model

if TYPE_CHECKING:
    from lookalike.features.transforms import Transform

__all__ = ["StoredCollection"]


class StoredCollection:
    """A collection on disk: opening it, its contents, and changing them. `lookalike.Collection` adds searching and more.

    Many processes and threads can read a collection while one writes to it: each search works on one consistent state, and the
    next one sees what was committed meanwhile. Make one with `create` or `open`; close it with `close` or use it in a ``with``
    statement.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._catalog = Catalog(path)
        self._lock = WriterLock(path / LOCK)
        self._views = Views(path, self._catalog)
        with self._catalog.read() as connection:
            if not wrong_rows(connection, "meta", "key = 'model'"):  # else a search says so, and `repair` may mend it
                read_card(connection)

    @classmethod
    def create(cls, path: PathLike, model: str | ModelCard = DEFAULT_MODEL) -> Self:
        """Make a new, empty collection in a new or empty folder.

        Parameters
        ----------
        path : str or path
        model : str or ModelCard
            What turns pictures into vectors; fixed from the first picture on.

        Raises
        ------
        CollectionError
            If there is a collection already, or something else.
        ModelError
            If there is no such model.
        """
        folder = absolute(path)
        card = model if isinstance(model, ModelCard) else get_model(model)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _check_empty(folder)  # before the lock leaves its file there
            with WriterLock(folder / LOCK).held():
                _check_empty(folder)
                for name in (SEGMENT_FOLDER, INDEX_FOLDER):
                    (folder / name).mkdir(exist_ok=True)
                create_catalog(folder, {"model": card.to_json()})
        except OSError as error:
            raise CollectionError(f"no collection can be made at {folder}: {error.strerror or error}") from None
        return cls(folder)

    @classmethod
    def open(cls, path: PathLike) -> Self:
        """Open a collection.

        Raises
        ------
        CollectionNotFoundError
            If there is none.
        VersionError
            If a newer lookalike wrote it.
        CollectionError
            If it is damaged, or something else; nothing is modified.
        """
        return cls(absolute(path))

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The collection's folder, absolute."""
        return self._path

    @property
    def name(self) -> str:
        """The folder's name, without ``.lookalike``."""
        return self._path.name.removesuffix(".lookalike") or self._path.name

    @property
    def model(self) -> ModelCard:
        """The card of the model that its vectors come from."""
        with self._catalog.read() as connection:
            return read_card(connection)

    def __len__(self) -> int:
        """Number of pictures that can be found."""
        with self._catalog.read() as connection:
            return listing.count(connection)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and self.find(path) is not None

    def find(self, path: PathLike) -> int | None:
        """The id of the picture at a path; None if it is not here, or missing."""
        with self._catalog.read() as connection:
            return listing.find(connection, os.fsencode(absolute(path)))

    def __repr__(self) -> str:
        return f"<Collection {str(self._path)!r}>"

    def close(self) -> None:
        """Let go of files; further use raises CollectionError. Closing twice is fine."""
        self._views.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def identity(self) -> str:
        """Which collection this is: another value once it is deleted and made again, also at the same path."""
        with self.view() as (_, snapshot):
            return snapshot.version.collection

    def is_cached(self) -> bool:
        """Whether exact search keeps the vectors in memory; else it reads them from disk each time."""
        with self.view() as (_, snapshot):
            return snapshot.store.fits_cache

    def view(self) -> AbstractContextManager[tuple[sqlite3.Connection, Snapshot]]:
        """A connection and a snapshot of the same instant, for the length of a ``with`` statement."""
        return self._views.enter()

    # --- contents ----------------------------------------------------------------------------------------------------

    def entry(self, id: int) -> Entry:
        """One entry.

        Raises
        ------
        IdError
            If there is none with this id.
        """
        with self._catalog.read() as connection:
            return listing.one(connection, id)

    def entries(self, offset: int = 0, limit: int = 100, label: str | None = None) -> list[Entry]:
        """A page of the entries that can be found, in the order of their ids; with `label`, of that folder only."""
        offset, limit = check_count(offset, "offset", 0), check_count(limit, "limit", 0)
        with self._catalog.read() as connection:
            return listing.page(connection, offset, limit, label)

    def several(self, ids: ArrayLike) -> list[Entry]:
        """The entries with these ids, in their order.

        Raises
        ------
        IdError
            If there is none with one of the ids.
        """
        wanted = check_ids(ids, name="ids")
        with self._catalog.read() as connection:
            return listing.several(connection, wanted.tolist())

    def ids(self, label: str | None = None) -> IdArray:
        """Ids of all entries that can be found, int64, ascending; with `label`, of that folder only."""
        with self._catalog.read() as connection:
            return listing.ids(connection, label)

    def matching(self, wanted: Filter) -> IdArray:
        """Ids of the entries that can be found and pass a filter, int64, ascending; for `search`'s `allow`."""
        with self._catalog.read() as connection:
            return matching_ids(connection, wanted)

    def labels(self) -> dict[str, int]:
        """The labels, sorted, and how many pictures each has."""
        with self._catalog.read() as connection:
            return listing.labels(connection)

    def status(self) -> dict[str, Any]:
        """What the collection holds and how exact its search is, as plain values for JSON.

        Returns
        -------
        dict
            ``pictures``, ``skipped`` (``[{"path", "reason"}]``), ``index`` (``"flat"`` or ``"ivfpq"``), ``spec``,
            ``model``, ``recall_at_10`` (``{"value", "low", "high", "k", "n"}``), and more; see docs/collection.md.
        """
        from lookalike.collection.status import describe

        with self._catalog.read() as connection:
            return {"name": self.name, "path": str(self._path), **describe(connection, self._path)}

    def verify(self) -> list[str]:
        """Read everything on disk and compare it with its checksums; what is wrong, one line each."""
        from lookalike.collection.upkeep.verify import problems

        with self._catalog.read() as connection:
            return problems(connection, self._path)

    # --- changes -----------------------------------------------------------------------------------------------------

    def add(
        self,
        *folders: PathLike | Iterable[PathLike],
        prune: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> AddReport:
        """Make the collection match what folders hold now: new, changed, moved and vanished files.

        Parameters
        ----------
        *folders : str or path
            Folders, or single files. Without any, all that were added before.
        prune : bool
            Drop pictures whose files are gone, even when a whole folder or much of it is gone. Without it they are
            then kept and hidden, because their disk may only be unplugged.
        progress : callable, optional
            Called with a `Progress` a few times per second.

        Returns
        -------
        AddReport
            Ctrl-C ends the work early, with ``interrupted=True``; all that was done is kept.

        Raises
        ------
        InputError
            If a folder does not exist and was never added.
        CollectionLockedError, ReadOnlyError
            If somebody else is writing, or nothing can be written.
        ModelError
            If the collection holds vectors that were made elsewhere.
        """
        paths = list(_flat(folders))
        with self._writer() as writer:
            return writer.add([absolute(path) for path in paths], prune=prune, progress=progress)

    def add_vectors(
        self,
        x: ArrayLike,
        paths: Sequence[PathLike],
        labels: Sequence[str] | None = None,
        model: str = "mine",
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> AddReport:
        """Add vectors that were made elsewhere.

        Parameters
        ----------
        x : array of numbers, shape (n, d)
            Stored as unit vectors in float16; their lengths are kept in the catalogue.
        paths : sequence of str or path, length n
            Which picture each vector is of; the file need not exist. A path that is there already gets the new vector.
        labels : sequence of str, length n, optional
        model : str
            A name for what made the vectors. The first vectors of an empty collection decide it.
        progress : callable, optional
            Called with a `Progress` a few times per second.

        Raises
        ------
        ModelError
            If the collection holds vectors of another model.
        DimensionError, DTypeError, InputError
            If `x`, `paths` and `labels` do not fit together, or the vectors not the collection.
        """
        with self._writer() as writer:
            return writer.add_vectors(x, paths, labels, model, progress)

    def set_transform(self, transform: Transform | None) -> None:
        """Search transformed vectors from now on, or, with None, vectors as the model made them again.

        What is stored of each picture does not change. The index is rebuilt.

        Raises
        ------
        ModelError, DimensionError
            If it was fitted to vectors of another model.
        """
        with self._writer(is_repair=transform is None) as writer:  # to take it off needs to know nothing of it
            writer.set_transform(transform)

    def remove(self, paths: PathLike | Iterable[PathLike]) -> int:
        """Remove pictures: those at these paths and below these folders. Returns how many.

        The files stay. A later `add` of a folder that still holds them brings them back; a folder removed as a whole
        is no longer looked at by an `add` without folders.
        """
        chosen = [absolute(path) for path in _flat([paths])]
        with self._writer() as writer:
            return writer.remove(chosen)

    def compact(self) -> None:
        """Give back the disk space of removed pictures, and train the index anew."""
        with self._writer() as writer:
            writer.compact()

    def repair(self, progress: Callable[[Progress], None] | None = None) -> list[str]:
        """Repair what `verify` finds: read only the damaged pictures again, and rebuild a damaged index.

        Parameters
        ----------
        progress : callable, optional
            Called with a `Progress` a few times per second.

        Returns
        -------
        left : list of str
            What is still wrong or cannot be repaired, one line each.

        Raises
        ------
        CollectionLockedError, ReadOnlyError
            If somebody else is writing, or nothing can be written.
        """
        with self._writer(is_repair=True) as writer:
            left = writer.repair(progress)
        return left + [problem for problem in self.verify() if problem not in left]

    @contextlib.contextmanager
    def _writer(self, *, is_repair: bool = False) -> Iterator[Writer]:
        with self._lock.held(), self._catalog.write() as connection:
            if not is_repair:
                check_meta(connection)
            try:
                yield Writer(connection, self._path)
            except OSError as error:
                raise CollectionError(
                    f"{self._path} cannot be written to: {error.strerror or error}; what was done before is kept"
                ) from error


def _flat(paths: Iterable[PathLike | Iterable[PathLike]]) -> Iterator[PathLike]:
    for path in paths:
        if isinstance(path, str | bytes | os.PathLike):
            yield path
        else:
            yield from path


def _check_empty(folder: Path) -> None:
    if (folder / CATALOG).exists():
        raise CollectionError(f"there is a collection at {folder} already; open it with Collection.open")
    ours = {SEGMENT_FOLDER, INDEX_FOLDER, LOCK}
    for item in folder.iterdir():
        if item.name not in ours and not item.name.startswith(f".{CATALOG}"):
            raise CollectionError(
                f"{folder} is not empty (it holds {item.name}); choose a new folder for the collection"
            )

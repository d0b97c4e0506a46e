"""`Collection`: the public door. Each method takes a consistent view or the writer's lock, and hands over."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lookalike._typing import ArrayLike, FloatArray, IdArray, PathLike
from lookalike._validate import check_count, check_ids, check_vectors, unit_rows
from lookalike.collection import entries as listing
from lookalike.collection.background import Checks
from lookalike.collection.catalog import CATALOG, Catalog, Version, check_meta, create_catalog, read_version
from lookalike.collection.duplicates import SAME, Decision, Group, find_groups, marked, read_marks, set_marks
from lookalike.collection.filters import Filter, matching_ids
from lookalike.collection.finding import Found, Wanted, find, folded
from lookalike.collection.labelled import Labels, labelled_pictures
from lookalike.collection.lock import LOCK, WriterLock
from lookalike.collection.models import check_embeds, read_card
from lookalike.collection.pace import Pace
from lookalike.collection.queries import Asks, Resolver, absolute, check_allow
from lookalike.collection.records import AddReport, Entry, Hit, Progress, TextAnswer
from lookalike.collection.schema import wrong_rows
from lookalike.collection.segments import FOLDER as SEGMENT_FOLDER
from lookalike.collection.snapshot import INDEX_FOLDER, Snapshot, load_snapshot
from lookalike.collection.why import Met, how_met
from lookalike.collection.writer import Writer
from lookalike.errors import CollectionError, CollectionUnavailableError, IdError
from lookalike.features.models import DEFAULT_MODEL, ModelCard, get_model

if TYPE_CHECKING:
    from lookalike.collection.adaptation import Adaptation
    from lookalike.collection.evaluate import Evaluation
    from lookalike.collection.explanation import Explanation
    from lookalike.collection.inside import Inside
    from lookalike.features.transforms import Transform

__all__ = ["Collection"]


class Collection:
    """Pictures that can be searched, in a folder on disk.

    Many processes and threads can read a collection while one writes to it: each search works on one consistent
    state, and the next one sees what was committed meanwhile. Make one with `create` or `open`; close it with
    `close` or use it in a ``with`` statement.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> folder = tempfile.TemporaryDirectory()
    >>> collection = Collection.create(folder.name + "/mine.lookalike")
    >>> report = collection.add_vectors(np.eye(3), paths=["a.jpg", "b.jpg", "c.jpg"], model="mine")
    >>> [hit.path.name for hit in collection.search(np.array([0.9, 0.1, 0.0]), k=2)]
    ['a.jpg', 'b.jpg']
    >>> collection.close(); folder.cleanup()
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._catalog = Catalog(path)
        self._lock = WriterLock(path / LOCK)
        self._loading = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._checks = Checks(self._catalog, path, self._look_again)
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
        self._checks.close()
        self._catalog.close()
        self._snapshot = None

    def _look_again(self) -> None:
        """Make the next view anew: something in this one was found to be damaged."""
        with self._loading:
            self._snapshot = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- search ------------------------------------------------------------------------------------------------------

    def search(
        self, query: Any, k: int | None = None, *, exact: bool = False, allow: ArrayLike | None = None
    ) -> list[Hit]:
        """The pictures most like `query`, best first.

        Parameters
        ----------
        query
            | a path (a ``file://`` URL is one), a URL (http or https), a PIL image, the bytes of a picture, or uint8 pixels
              (height, width, 3);
            | a vector of the collection's dimension;
            | an entry's id (int), which leaves that entry out of the results;
            | a list of those: the mean of their unit vectors. A list of floats is one vector, a list of ints ids;
            | or a `lookalike.Query`, for everything else: regions, words, more and less like, filters, order, copies.
        k : int, optional
            Number of results; all, if there are fewer. 10 if not given, or the query's own.
        exact : bool
            Compare with every vector instead of asking the index.
        allow : ids or boolean mask indexed by id, optional
            Only these entries can be results; k of them are found if there are k.

        Raises
        ------
        ImageError
            If the picture is missing or cannot be decoded.
        FetchError
            If the URL cannot or must not be fetched.
        DimensionError, InputError, IdError, ModelError
            If the vector, the id or the kind of query does not fit this collection.
        """
        return self.search_timed(query, k, exact=exact, allow=allow)[0]

    def search_timed(
        self, query: Any, k: int | None = None, *, exact: bool = False, allow: ArrayLike | None = None
    ) -> tuple[list[Hit], dict[str, float]]:
        """`search`, and what it took: ``{"embed": milliseconds, "search": milliseconds}``."""
        if isinstance(query, Asks):
            answer = query.ask(self, k, exact=exact, allow=allow)
            return answer.hits, answer.timing_ms
        k = check_count(10 if k is None else k, "k")
        allowed = check_allow(allow)
        start = time.perf_counter()
        # Reading and embedding the query come first, so that no read transaction stays open meanwhile.
        with self._view() as (connection, snapshot):
            resolver = Resolver(connection, snapshot.card, snapshot.store)
            resolver.collect(query)
            made_with = snapshot.version
        xq = resolver.vector()
        embedded = time.perf_counter()
        with self._view() as (connection, snapshot):
            is_same = snapshot.version.collection == made_with.collection  # else it was made again
            if not is_same or snapshot.store.d != len(xq) or snapshot.store.transform is not resolver.transform:
                raise CollectionError(
                    f"{self._path}: the collection, its model or its transform changed meanwhile; search again"
                )
            mask = snapshot.select(allowed)
            found, *_ = find(connection, snapshot, xq, mask, Wanted(k, exact=exact, left_out=resolver.exclude))
        done = time.perf_counter()
        return [each.hit for each in found], {"embed": (embedded - start) * 1e3, "search": (done - embedded) * 1e3}

    def identity(self) -> str:
        """Which collection this is: another value once it is deleted and made again, also at the same path."""
        with self._view() as (_, snapshot):
            return snapshot.version.collection

    def results(
        self, vector: ArrayLike, wanted: Wanted, *, allow: ArrayLike | None = None, made_for: str | None = None
    ) -> tuple[list[Found], list[int] | None, bool]:
        """What `search` finds with a vector, as people look at it: copies folded, and what is known of each file.

        Parameters
        ----------
        vector : array, shape (d,)
        wanted : Wanted
        allow : ids or boolean mask indexed by id, optional
        made_for : str, optional
            The `identity` of the collection when the vector was made: another one may have another model.

        Returns
        -------
        found : list of Found
            Best first.
        missed : list of int or None
            Which of the k best the index would not have brought, if that is wanted; None where it would not be asked.
        always_exact : bool
            Whether a search like this one compares with every picture, told to or not.

        Raises
        ------
        DimensionError, DTypeError, InputError
            If the vector does not fit this collection.
        CollectionError
            If it was made for another one.
        """
        allowed = check_allow(allow)
        with self._view() as (connection, snapshot):
            if made_for not in (None, snapshot.version.collection):
                raise CollectionError(f"{self._path}: the collection was made again meanwhile; search again")
            xq = _as_stored(snapshot, vector, "vector")[0]
            return find(connection, snapshot, xq, snapshot.select(allowed), wanted)

    def folded(self, ids: ArrayLike, k: int) -> list[list[int]]:
        """Places in `ids` of the first k, each followed by those that are the same picture and in no group before.

        Raises
        ------
        IdError
            If one of the ids is not here, or missing.
        """
        wanted = check_ids(ids, name="ids")
        with self._view() as (_, snapshot):
            _check_here(snapshot, wanted)
            return folded(snapshot, wanted, k)

    def search_text(self, text: str, k: int = 10, *, exact: bool = False, allow: ArrayLike | None = None) -> TextAnswer:
        """The pictures that show what a text says, best first.

        Where the model has a text tower, the text is turned into a vector and searched with. The default model has none, but
        a classifier with 1,000 labels: the words are matched to labels, or to kinds of them such as "dog", and pictures ranked
        by probability. `TextAnswer.explain` says so, and which labels those were.

        Parameters
        ----------
        text : str
        k, exact, allow
            As in `search`; a label search always is exact.

        Raises
        ------
        InputError
            If no label comes near the words.
        ModelError
            If the model knows pictures only.
        """
        from lookalike.collection.text import search_labels

        k, allowed = check_count(k, "k"), check_allow(allow)
        start = time.perf_counter()
        vector = self.text_vector(text)
        if vector is None:
            return search_labels(self._view, text, k, allowed)
        embed = (time.perf_counter() - start) * 1e3
        hits, timing = self.search_timed(vector, k, exact=exact, allow=allow)
        return TextAnswer(hits, (), (), (), timing | {"embed": embed})

    def text_vector(self, text: str) -> FloatArray | None:
        """The vector of a text, to search with or to mix with those of pictures; None where the model has no text tower.

        Returns
        -------
        vector : ndarray of float32, shape (d,), or None
            Of length 1.
        """
        from lookalike.collection.text import embed_text

        return embed_text(self.model, text)

    def vectors(self, queries: Sequence[Any]) -> FloatArray:
        """What `search` would ask with for each of some queries: unit vectors, float32, shape (n, d).

        Parameters
        ----------
        queries : sequence
            Each as in `search`, but no list.

        Raises
        ------
        ImageError, FetchError, DimensionError, InputError, IdError, ModelError
            As `search` does.
        """
        with self._view() as (connection, snapshot):
            resolver = Resolver(connection, snapshot.card, snapshot.store)
            resolver.collect(list(queries))
        return resolver.vectors()

    def how_met(self, vector: ArrayLike, ids: ArrayLike) -> list[Met]:
        """Why the index would, or would not, bring pictures for a query vector; see `lookalike.collection.why`.

        Raises
        ------
        IdError
            If one of the ids is not here, or missing.
        """
        with self._view() as (_, snapshot):
            xq = _as_stored(snapshot, vector, "vector")[0]
            wanted = check_ids(ids, name="ids")
            _check_here(snapshot, wanted)
            return how_met(snapshot, xq, wanted)

    def is_cached(self) -> bool:
        """Whether exact search keeps the vectors in memory; else it reads them from disk each time."""
        with self._view() as (_, snapshot):
            return snapshot.store.fits_cache

    def measured(self, vectors: ArrayLike, id: int) -> list[tuple[float, float]]:
        """Cosine, and similarity in percent, of a picture to each of some vectors, as `results` measures them.

        Raises
        ------
        IdError
            If the id is not here, or missing.
        """
        with self._view() as (_, snapshot):
            wanted = check_ids([id], name="id")
            _check_here(snapshot, wanted)
            x = snapshot.store[snapshot.features_of(wanted)][0]
            cosines = (_as_stored(snapshot, vectors, "vectors") @ x).tolist()
            return [(cosine, float(snapshot.card.similarity(cosine))) for cosine in cosines]

    def explain(
        self, query: Any, k: int = 10, *, nprobe: int | None = None, candidates: int | None = None
    ) -> Explanation:
        """One search taken apart: cells, tables, estimates, re-ranking, what was missed and why; `lookalike.viz` draws it.

        Parameters
        ----------
        query
            As in `search`; of a `lookalike.Query` its vector, with no regard to its filter.
        k : int
        nprobe, candidates : int, optional
            As the collection's index is searched by default. A collection that has none gets one for the occasion, of a
            sample where it is large.

        Raises
        ------
        InputError
            If the collection is empty.
        ImageError, FetchError, DimensionError, IdError, ModelError
            As `search` does.
        """
        from lookalike.collection.explaining import explain_search

        k = check_count(k, "k", 1, 1000)
        chosen = [
            None if value is None else check_count(value, name)
            for name, value in (("nprobe", nprobe), ("candidates", candidates))
        ]
        asked = query.vector(self) if isinstance(query, Asks) else query
        return explain_search(self._view, self.name, asked, k, *chosen)

    def inside(self) -> Inside:
        """The index, to look at; a temporary one if the collection has none. See `lookalike.viz`.

        Raises
        ------
        InputError
            If the collection is empty.
        """
        from lookalike.collection.inside import look_inside

        with self._view() as (_, snapshot):
            return look_inside(snapshot, self.name)

    def named(self, ids: Iterable[int]) -> dict[int, tuple[str, Path]]:
        """A name to show and the file of each of these entries.

        Raises
        ------
        IdError
            If one of them is not here.
        """
        from lookalike.collection.inside import named_paths

        with self._catalog.read() as connection:
            return named_paths(connection, set(ids))

    @contextlib.contextmanager
    def _view(self) -> Iterator[tuple[sqlite3.Connection, Snapshot]]:
        """A connection and a snapshot of the same instant."""
        with contextlib.ExitStack() as stack:
            yield self._enter_view(stack)

    def _enter_view(self, stack: contextlib.ExitStack) -> tuple[sqlite3.Connection, Snapshot]:
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
                damaged=frozenset(self._checks.damaged),
                wrong=dict(self._checks.wrong),
            )
            self._snapshot = snapshot
        self._checks.look_after(snapshot.store)
        return snapshot

    def _is_cut(self, snapshot: Snapshot) -> bool:
        """Whether a file that a view has mapped was cut short: the next view does without it."""
        cut = snapshot.store.cut()
        self._checks.damaged.update(cut)
        return bool(cut)

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

    def duplicates(
        self,
        similarity: float = SAME,
        progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Group]:
        """Groups of the same picture: copies, and other sizes, formats and slight edits.

        Every two pictures that are at least so alike are in one group; see `lookalike.collection.duplicates.Group` for chains and
        links.

        Parameters
        ----------
        similarity : float
            How like another one a picture has to be, 0 to 100; from 90 on the word is "same picture".
        progress : callable, optional
            Called with a `Progress` a few times per second; what it raises ends the work.
        cancelled : callable, optional
            Asked a few times per second; once it says True, the work ends with KeyboardInterrupt.
        """
        with self._view() as (connection, snapshot):
            return find_groups(connection, snapshot, similarity, progress, cancelled)

    def mark_duplicates(self, ids: Iterable[int], decision: Decision) -> None:
        """Remember that pictures are to be kept (``"keep"``), left alone together (``"ignore"``), or neither (``"reset"``).

        Raises
        ------
        IdError
            If one of them is not here.
        CollectionLockedError, ReadOnlyError
            If somebody else is writing, or nothing can be written.
        """
        chosen = [self.entry(id).id for id in ids]
        with self._lock.held(), self._catalog.write() as connection:
            set_marks(connection, marked(read_marks(connection), chosen, decision))

    def verify(self) -> list[str]:
        """Read everything on disk and compare it with its checksums; what is wrong, one line each."""
        from lookalike.collection.verify import problems

        with self._catalog.read() as connection:
            return problems(connection, self._path)

    def evaluate(
        self,
        labels: Labels = "folders",
        *,
        at_least: int = 2,
        queries: int = 10_000,
        duplicates: int = 0,
        progress: Callable[[Progress], None] | None = None,
    ) -> Evaluation:
        """Measure how good the answers are: each labelled picture asks for the others that share a label.

        Parameters
        ----------
        labels : "folders", path or mapping
            ``"folders"``: each picture's folder, or what a ``labels.tsv`` in the folder that was indexed says. A path: such a
            file. A mapping: labels by path.
        at_least : int
            Labels with fewer pictures, and pictures without another label, are left out.
        queries : int
            Where there are more pictures, so many of them ask, chosen at random.
        duplicates : int
            So many pictures are spoilt in twenty ways (`lookalike.features.spoil`), to see which picture each copy finds.
        progress : callable, optional
            Called with a `Progress` a few times per second.

        Raises
        ------
        InputError
            If there are not two labels of `at_least` pictures each, or the labels are not of this collection.
        FormatError
            If the file of labels is not one.
        ModelError
            If `duplicates` are wanted of vectors that were made elsewhere.
        """
        from lookalike.collection.evaluate import evaluate_snapshot, near_duplicates

        at_least, queries = check_count(at_least, "at_least", 2), check_count(queries, "queries")
        duplicates, pace = check_count(duplicates, "duplicates", 0), Pace(progress)
        with self._view() as (connection, snapshot):
            pictures = labelled_pictures(connection, snapshot.store, labels, at_least)
        if duplicates:
            check_embeds(snapshot.card)
        measured = evaluate_snapshot(snapshot, pictures, queries, pace)
        if duplicates:
            measured = replace(measured, duplicates=near_duplicates(snapshot, pictures, duplicates, pace))
        return measured

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

    def adapt(
        self,
        labels: Labels = "folders",
        *,
        at_least: int = 2,
        progress: Callable[[Progress], None] | None = None,
    ) -> Adaptation:
        """Learn from labels which differences between vectors do not matter, and measure what that gains; nothing is changed yet.

        Parameters
        ----------
        labels, at_least
            As in `evaluate`.
        progress : callable, optional
            Called with a `Progress` a few times per second.

        Returns
        -------
        Adaptation
            With the gain on held-out pictures and labels; if it `helps`, give its `transform` to `set_transform`.

        Raises
        ------
        InputError
            If there are too few labelled pictures to learn from, or to check on.
        """
        from lookalike.collection.adaptation import adapt_snapshot

        at_least, pace = check_count(at_least, "at_least", 2), Pace(progress)
        with self._view() as (connection, snapshot):
            card = read_card(connection)
            pictures = labelled_pictures(connection, snapshot.store, labels, at_least)
        return adapt_snapshot(card, snapshot, pictures, pace)

    def fit_transform(self, d: int, *, whiten: bool = False) -> Transform:
        """Principal components of the vectors, to `d` dimensions; needs no labels. Nothing is changed yet.

        Raises
        ------
        InputError
            If `d` is more than the vectors have, or there are fewer than two pictures.
        """
        from lookalike.collection.adaptation import principal_components

        with self._view() as (connection, snapshot):
            card = read_card(connection)
        return principal_components(card, snapshot, check_count(d, "d", 1, card.d), whiten)

    def set_transform(self, transform: Transform | None) -> None:
        """Search transformed vectors from now on, or, with None, vectors as the model made them again.

        What is stored of each picture does not change. The index is made anew.

        Raises
        ------
        ModelError, DimensionError
            If it was fitted to vectors of another model.
        """
        with self._writer(is_repair=transform is None) as writer:  # to take it off needs to know nothing of it
            writer.set_transform(transform)

    def remove(self, paths: PathLike | Iterable[PathLike]) -> int:
        """Forget pictures: those at these paths and below these folders. Returns how many.

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
        """Mend what `verify` finds: read again just the pictures that are hurt, and make a damaged index anew.

        Parameters
        ----------
        progress : callable, optional
            Called with a `Progress` a few times per second.

        Returns
        -------
        left : list of str
            What is still wrong or cannot be mended, one line each.

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


def _as_stored(snapshot: Snapshot, vectors: ArrayLike, name: str) -> FloatArray:
    """Vectors as the model makes them, transformed as the collection's features are; unit rows."""
    x = unit_rows(check_vectors(vectors, snapshot.card.d, name))
    rows: FloatArray = unit_rows(snapshot.store.transformed(x))
    return rows


def _check_here(snapshot: Snapshot, ids: IdArray) -> None:
    gone = ids[~np.isin(ids, snapshot.entries)]
    if len(gone):
        raise IdError(f"id: {gone[0]} is not in this collection")


def _check_empty(folder: Path) -> None:
    if (folder / CATALOG).exists():
        raise CollectionError(f"there is a collection at {folder} already; open it with Collection.open")
    ours = {SEGMENT_FOLDER, INDEX_FOLDER, LOCK}
    for item in folder.iterdir():
        if item.name not in ours and not item.name.startswith(f".{CATALOG}"):
            raise CollectionError(
                f"{folder} is not empty (it holds {item.name}); choose a new folder for the collection"
            )

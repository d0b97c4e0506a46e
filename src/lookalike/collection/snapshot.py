"""What a reader sees: the collection as it was at one instant, in memory, and exact or indexed search over it."""

from __future__ import annotations

import math
import os
import sqlite3
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import Array, ArrayLike, FloatArray, IdArray
from lookalike._validate import check_vectors, unit_rows
from lookalike.collection.catalog.file import Version, as_number, check_meta, read_version
from lookalike.collection.catalog.schema import is_right, wrong_rows
from lookalike.collection.index.generation import LoadedIndex, read_generation
from lookalike.collection.models import read_card
from lookalike.collection.records import printable
from lookalike.collection.segments import FeatureStore, Segment
from lookalike.collection.transforms import read_transform
from lookalike.errors import CollectionError, IdError, LookalikeWarning
from lookalike.features.models import ModelCard

if TYPE_CHECKING:
    from lookalike.features.transforms import Transform
    from lookalike.index.index import Index

__all__ = ["Snapshot", "load_snapshot", "read_segments"]

MOST_ROWS = 2**40
FEW = 1024  # so many vectors are compared one by one sooner than an index finds them among others


def read_segments(connection: sqlite3.Connection) -> list[Segment]:
    """All segments whose rows are what was written, in the order of their features."""
    where = is_right(connection, "segments")
    rows = connection.execute(f"SELECT id, file, first, rows, sha256 FROM segments WHERE {where} ORDER BY first")
    return [_segment(*row) for row in rows]


def _segment(id: int, file: str, first: object, rows: object, sha256: str) -> Segment:
    first, rows = as_number(first, "segments.first"), as_number(rows, "segments.rows", MOST_ROWS)
    if rows == 0:
        raise CollectionError("the catalogue is damaged: it has a segment of no rows")
    return Segment(id, Path(str(file)).name, first, rows, str(sha256))


class Snapshot:
    """Entries and features at one instant. It never changes, so threads share it."""

    def __init__(
        self,
        version: Version,
        card: ModelCard,
        store: FeatureStore,
        pairs: IdArray,
        loaded: LoadedIndex | None,
        transform: tuple[str, Transform] | None = None,
    ) -> None:
        readable = store.holds(pairs[:, 1])
        self.version = version
        self.card = card
        self.store = store
        self.transform = transform  # with its SHA-256
        self.loaded = loaded
        self.hidden = int(len(pairs) - readable.sum())
        pairs = pairs[readable]
        self.entries = np.ascontiguousarray(pairs[:, 0])  # grouped by feature
        self.features, self._starts = np.unique(pairs[:, 1], return_index=True)
        self._ends = np.append(self._starts[1:], len(self.entries))
        self._holding: tuple[Array, IdArray] | None = None
        self._by_id: IdArray | None = None

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def counts(self) -> IdArray:
        """How many entries each of `features` has."""
        return self._ends - self._starts

    def select(self, allow: Array | None) -> Array | None:
        """Which entries may be results, as a mask over `entries`; None for all.

        `allow` is a boolean mask indexed by entry id, or an array of ids.
        """
        if allow is None:
            return None
        if allow.dtype != np.bool_:
            return np.isin(self.entries, allow)
        inside = self.entries < len(allow)
        return inside & allow[np.where(inside, self.entries, 0)] if len(allow) else inside

    def features_of(self, ids: IdArray) -> IdArray:
        """The features of entries that can be found, by their ids."""
        if self._by_id is None:
            self._by_id = np.argsort(self.entries)
        places = self._by_id[np.searchsorted(self.entries, ids, sorter=self._by_id)]
        features: IdArray = self.features[np.searchsorted(self._starts, places, side="right") - 1]
        return features

    def check_here(self, ids: IdArray) -> None:
        """Raise an IdError that names the first of the ids that is not here, or missing."""
        gone = ids[~np.isin(ids, self.entries)]
        if len(gone):
            raise IdError(f"id: {gone[0]} is not in this collection")

    def stored(self, vectors: ArrayLike, name: str) -> FloatArray:
        """Vectors as the model makes them, transformed as the features are: unit rows."""
        x = unit_rows(check_vectors(vectors, self.card.d, name))
        rows: FloatArray = unit_rows(self.store.transformed(x))
        return rows

    def rank(
        self, xq: FloatArray, k: int, *, mask: Array | None = None, exclude: Sequence[int] = (), exact: bool = False
    ) -> tuple[IdArray, FloatArray]:
        """The k entries most like a unit vector, best first, ties by the lower id.

        Parameters
        ----------
        xq : ndarray of float32, shape (d,)
        k : int
        mask : ndarray of bool, optional
            Which entries may be results; see `select`.
        exclude : sequence of int
            Ids that are left out of the results.
        exact : bool
            Compare with all of them.

        Returns
        -------
        entries : ndarray of int64, shape (min(k, allowed entries),)
        distances : ndarray of float32, the same shape
            1 − cosine, computed from the stored features whatever found them.
        """
        wanted = min(k + len(exclude), len(self.entries) if mask is None else int(mask.sum()))
        if not wanted:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        features = self.allowed(mask)
        index = None
        if not exact and self.loaded is not None and self.uses_index(wanted, len(features)):
            index = self.loaded.get()
        entries, distances = np.empty(0, np.int64), np.empty(0, np.float32)
        if self.loaded is not None and index is not None:
            entries, distances = self._expand(*self._by_index(self.loaded, index, xq, wanted, features), mask)
        if len(entries) < wanted:
            entries, distances = self._expand(*self.compared(xq, wanted, features), mask)
        if len(exclude):
            stays = ~np.isin(entries, exclude)
            entries, distances = entries[stays], distances[stays]
        return entries[:k], distances[:k]

    def uses_index(self, wanted: int, among: int | None = None) -> bool:
        """Whether a search that is not told to be exact asks the index: else it compares with all of them, and misses none.

        Parameters
        ----------
        wanted : int
            Results, those included that are left out of them.
        among : int, optional
            How many features pass the filter; without one, all.
        """
        among = len(self.features) if among is None else among
        # Where a good part of all would be candidates, comparing with all is quicker, and finds more.
        if self.loaded is None or among <= max(FEW, 4 * self._candidates(wanted)):
            return False
        return self.loaded.get() is not None

    def allowed(self, mask: Array | None) -> IdArray:
        """The features of the entries that a mask of `select` lets through."""
        if mask is None or not len(mask):
            return self.features
        found: IdArray = self.features[np.logical_or.reduceat(mask, self._starts)]
        return found

    def best(self, scores: FloatArray, k: int, mask: Array | None = None) -> tuple[IdArray, FloatArray]:
        """The k entries whose features score highest, best first, ties by the lower id.

        Parameters
        ----------
        scores : ndarray of float, shape (len(self.features),)
        k : int
        mask : ndarray of bool, optional
            Which entries may be results; see `select`.

        Returns
        -------
        entries : ndarray of int64, shape (min(k, allowed entries),)
        scores : ndarray of the dtype of `scores`, the same shape
        """
        places = np.arange(len(self.features))
        if mask is not None:
            places = np.flatnonzero(np.logical_or.reduceat(mask, self._starts)) if len(places) else places
        if k < len(places):
            places = places[np.argpartition(-scores[places], k - 1)[:k]]
        entries, negated = self._expand(self.features[places], -scores[places], mask)
        return entries[:k], -negated[:k]

    def compared(self, xq: FloatArray, k: int, features: IdArray) -> tuple[IdArray, FloatArray]:
        """The k nearest of these features by comparing with each, and their distances; xq (d,)."""
        distances, found = self.store.nearest(xq[None, :], min(k, len(features)), features)
        return found[0], distances[0]

    def _by_index(
        self, loaded: LoadedIndex, index: Index, xq: FloatArray, k: int, features: IdArray
    ) -> tuple[IdArray, FloatArray]:
        """Candidates from the index, and all features that it does not hold yet, ranked exactly."""
        held, fresh = self._held(index)
        allow = None
        share = 1.0
        if len(features) < len(self.features) or len(features) - len(fresh) < index.ntotal:
            fresh = fresh if features is self.features else np.intersect1d(fresh, features, assume_unique=True)
            share = (len(features) - len(fresh)) / max(1, index.ntotal)
            allow = np.zeros(len(held), np.bool_)
            allow[features[features < len(held)]] = True
        # nprobe and candidates were chosen for 10 results out of everything: a filter leaves fewer in each list, and
        # more results lie in more lists.
        generation = loaded.generation
        nprobe = math.ceil(generation.nprobe * math.sqrt(max(1.0, k / 10)) / max(share, 1e-6))
        candidates = min(index.ntotal, self._candidates(k))
        ids = index.search(xq[None, :], k=candidates, nprobe=nprobe, allow=allow).ids[0]
        at = np.minimum(np.searchsorted(features, ids), len(features) - 1)
        near = np.unique(np.concatenate([ids[features[at] == ids], fresh]))  # a damaged file may name any id
        return self.compared(xq, k, near) if len(near) else (near, np.empty(0, np.float32))

    def _candidates(self, k: int) -> int:
        """How many an index brings for k results; its generation's number is for 10."""
        return 0 if self.loaded is None else math.ceil(self.loaded.generation.candidates * max(1.0, k / 10))

    def _held(self, index: Index) -> tuple[Array, IdArray]:
        """Which features the index holds, as a mask by id, and those of ours that it does not."""
        if self._holding is None:
            held = np.zeros(len(self.store) + 1, np.bool_)
            ids = index.ids
            held[ids[(ids >= 0) & (ids < len(held))]] = True
            self._holding = held, self.features[~held[self.features]]
        return self._holding

    def _expand(self, found: IdArray, distances: FloatArray, mask: Array | None) -> tuple[IdArray, FloatArray]:
        """From features to the entries that share them."""
        found, distances = found[found >= 0], distances[found >= 0]
        at = np.searchsorted(self.features, found)
        counts = self._ends[at] - self._starts[at]
        if not len(at) or counts.max() == 1:
            places, spread = self._starts[at], distances
        else:
            offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            places, spread = np.repeat(self._starts[at], counts) + offsets, np.repeat(distances, counts)
        if mask is not None:
            places, spread = places[mask[places]], spread[mask[places]]
        entries = self.entries[places]
        order = np.lexsort((entries, spread))
        return entries[order], spread[order]


def load_snapshot(
    connection: sqlite3.Connection,
    folder: Path,
    previous: Snapshot | None = None,
    *,
    strict: bool = True,
    damaged: Collection[tuple[str, str]] = (),
    wrong: Mapping[str, Collection[int]] | None = None,
) -> Snapshot:
    """Read the state that `connection`'s transaction sees.

    With `strict`, a file that is not there is an error (the caller's view may be old, and the file deleted since);
    without, its pictures are hidden, with a warning. So are those of segments that are known to be `damaged`, of entries
    and features that were `wrong` and still are, and of segments and folders whose rows are not what was written.

    Raises
    ------
    CollectionError
        If a value of the collection as a whole is not what was written.
    """
    version = read_version(connection)
    check_meta(connection)
    card = read_card(connection)
    known = read_transform(connection, folder, previous.transform if previous is not None else None)
    transform = None if known is None else known[1]
    if transform is not None:
        card = replace(card, calibration=transform.calibration)
    store = FeatureStore(
        folder,
        read_segments(connection),
        card.d,
        previous.store if previous else None,
        strict=strict,
        transform=transform,
        damaged=damaged,
    )
    store.broken += [f"the catalogue's row of {_name(row)} is damaged" for row in wrong_rows(connection, "segments")]
    pairs = _without_damage(connection, _pairs(connection), wrong or {})
    generation = read_generation(connection)
    loaded = None
    if generation is not None and generation.file is not None:
        before = previous.loaded if previous is not None else None
        loaded = before if before is not None and before.generation == generation else LoadedIndex(folder, generation)
    snapshot = Snapshot(version, card, store, pairs, loaded, known)
    if snapshot.hidden:
        warnings.warn(
            f"{snapshot.hidden:,} pictures are hidden, because their features on disk are damaged; "
            f"`lookalike verify --repair` mends them or reads them again ({'; '.join(store.broken) or 'no file has them'})",
            LookalikeWarning,
            stacklevel=2,
        )
    if loaded is not None and not loaded.exists():
        if strict:
            raise FileNotFoundError(loaded.generation.file)
        loaded.give_up()
    return snapshot


def _pairs(connection: sqlite3.Connection) -> IdArray:
    """Entry and feature of every picture that is not missing, grouped by feature."""
    rows = connection.execute("SELECT id, feature FROM entries WHERE missing = 0 ORDER BY feature, id").fetchall()
    try:
        pairs = np.array(rows, np.int64)
    except (ValueError, TypeError, OverflowError):  # something else than a number: of rows that are damaged
        pairs = np.array([row for row in rows if isinstance(row[1], int)], np.int64)
    return pairs.reshape(-1, 2)


def _without_damage(connection: sqlite3.Connection, pairs: IdArray, wrong: Mapping[str, Collection[int]]) -> IdArray:
    """Those pairs whose rows, and the row of whose folder, are what was written; a warning names the others."""
    still = {
        table: [id for id in sorted(ids) if wrong_rows(connection, table, "id = ?", (id,))]
        for table, ids in wrong.items()
    }
    if any(still.values()):
        hurt = np.isin(pairs[:, 0], still.get("entries", [])) | np.isin(pairs[:, 1], still.get("features", []))
        hurt |= ~np.isin(pairs[:, 1], _ids(connection, "SELECT id FROM features"))  # it had another number
        pairs = _hidden(pairs, hurt, "the catalogue's rows of them are damaged")
    if roots := wrong_rows(connection, "roots"):
        right = f"SELECT id FROM roots WHERE {is_right(connection, 'roots')}"
        query = f"SELECT id FROM entries WHERE root IS NOT NULL AND root NOT IN ({right})"
        names = ", ".join(_name(row) for row in roots)
        why = f"what the catalogue says of the folder they are in is damaged (it now reads {names})"
        pairs = _hidden(pairs, np.isin(pairs[:, 0], _ids(connection, query)), why)
    return pairs


def _hidden(pairs: IdArray, hurt: Array, why: str) -> IdArray:
    count = int(np.count_nonzero(hurt))
    if count:
        warnings.warn(
            f"{count:,} pictures are hidden, because {why}; `lookalike verify --repair` mends them",
            LookalikeWarning,
            stacklevel=2,
        )
    return pairs[~hurt]


def _ids(connection: sqlite3.Connection, query: str) -> IdArray:
    return np.fromiter((row[0] for row in connection.execute(query)), np.int64)


def _name(row: tuple[object, ...]) -> str:
    """The file or folder of a row, as far as it can still be read."""
    return printable(os.fsdecode(row[1]))[:200] if isinstance(row[1], bytes) else repr(row[1])[:200]

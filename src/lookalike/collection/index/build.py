"""Keeping an index over the features: none while they are few, then built, extended, and built anew as they grow.

An index holds all features that were there when it was made. What came later is found by exact search until there is
enough of it to be added, so a search is right whenever the process stops. Each change of the index is a new file, named
by a row in the catalogue: readers go on with the old file until they see the new row.
"""

from __future__ import annotations

import hashlib
import sqlite3
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import IdArray
from lookalike.collection.catalog.file import bump, meta_number, set_meta, transaction
from lookalike.collection.index.choose import Measured, Spec, choose_nprobe, choose_spec
from lookalike.collection.index.generation import INDEX_FOLDER, Generation, read_generation
from lookalike.collection.models import read_card
from lookalike.collection.records import Pace
from lookalike.collection.segments import FeatureStore
from lookalike.collection.snapshot import read_segments
from lookalike.collection.transforms import read_transform
from lookalike.errors import CollectionUnavailableError, FormatError, LookalikeWarning

if TYPE_CHECKING:
    from lookalike.index.kinds import IVFPQIndex

__all__ = ["EXACT_BELOW", "check_index_file", "refresh_index"]

EXACT_BELOW = 2000  # pictures: below, comparing with all of them takes a millisecond or two
FEWEST_CONTENTS = 256  # different ones, to train an index on
TRAINING_POINTS = 50_000
ADDED_AT_A_TIME = 8192
FRESH_LEAST, FRESH_SHARE = 1000, 0.02  # that many new vectors are worth writing the index again
GROWTH = 2.0  # since training, after which centroids are learnt anew


def refresh_index(connection: sqlite3.Connection, folder: Path, pace: Pace, *, anew: bool = False) -> None:
    """Make the index fit the features, if it does not."""
    known = read_transform(connection, folder)
    transform = None if known is None else known[1]
    d = read_card(connection).d
    store = FeatureStore(folder, read_segments(connection), d, strict=False, transform=transform)
    live = _ids(connection, store, "SELECT DISTINCT feature FROM entries")
    generation = None if anew else read_generation(connection)
    pictures = int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])
    # A collection around the border keeps what it has, so that it does not go back and forth.
    border = EXACT_BELOW if generation is None else EXACT_BELOW * 0.8
    if pictures < border or len(live) < FEWEST_CONTENTS:
        if read_generation(connection) is not None:
            _switch(connection, folder, None)
        return
    everything = _ids(connection, store, "SELECT id FROM features")
    if generation is None:
        _build(connection, folder, store, everything, live, pace)
    elif not _still_fits(folder, generation, everything):
        has_grown = len(live) >= GROWTH * generation.trained
        if has_grown or not _extend(connection, folder, generation, store, everything, live, pace):
            _build(connection, folder, store, everything, live, pace)


def _ids(connection: sqlite3.Connection, store: FeatureStore, query: str) -> IdArray:
    """Ids of features that can be read, ascending."""
    ids = np.sort(np.fromiter((row[0] for row in connection.execute(query)), np.int64))
    return ids[store.holds(ids)]


def _still_fits(folder: Path, generation: Generation, everything: IdArray) -> bool:
    """Whether the generation is whole and nearly up to date."""
    if generation.file is None:  # exact search, since no index reached the target: try again when it has grown
        return len(everything) < GROWTH * generation.trained
    fresh = len(everything) - generation.total
    is_small = fresh <= max(FRESH_LEAST, FRESH_SHARE * generation.total)
    return is_small and len(everything) < GROWTH * generation.trained and check_index_file(folder, generation) is None


def check_index_file(folder: Path, generation: Generation) -> str | None:
    """What is wrong with the file of a generation, or None."""
    if generation.file is None:
        return None
    try:
        with (folder / INDEX_FOLDER / generation.file).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        return f"{generation.file}: {error.strerror or error}"
    except OSError as error:
        raise _unreadable(folder / INDEX_FOLDER / generation.file, error) from None
    return None if digest == generation.sha256 else f"{generation.file}: the checksum is not the one recorded"


def _unreadable(path: Path, error: OSError) -> CollectionUnavailableError:
    return CollectionUnavailableError(f"{path} cannot be read now: {error.strerror or error}; try again")


def _extend(
    connection: sqlite3.Connection,
    folder: Path,
    generation: Generation,
    store: FeatureStore,
    everything: IdArray,
    live: IdArray,
    pace: Pace,
) -> bool:
    """Add what is new to the index; False if it is damaged, or too imprecise by now."""
    from lookalike.index.kinds import IVFPQIndex
    from lookalike.index.storage import load_index

    if generation.file is None or check_index_file(folder, generation) is not None:
        return False
    path = folder / INDEX_FOLDER / generation.file
    try:
        index = load_index(path)
    except (FormatError, FileNotFoundError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from None
    if not isinstance(index, IVFPQIndex):
        return False
    stale = np.setdiff1d(index.ids, everything)
    if len(stale):
        index.remove(stale)
    _add(index, store, np.setdiff1d(everything, index.ids), pace)
    measured = choose_nprobe(index, store, live)
    if measured is None:
        return False
    _save(connection, folder, index, generation.spec, measured, generation.trained)
    return True


def _build(
    connection: sqlite3.Connection, folder: Path, store: FeatureStore, everything: IdArray, live: IdArray, pace: Pace
) -> None:
    """Train on the features in use, add all, and tune; exact search is kept if no setting reaches the target."""
    spec = choose_spec(len(live), store.d)
    for attempt in (spec, _finer(spec, store.d)):
        pace.tell("indexing", 0, len(everything))
        index = _trained(attempt, store, live)
        _add(index, store, everything, pace)
        measured = choose_nprobe(index, store, live)
        pace.tell("indexing", len(everything), len(everything), last=True)
        if measured is not None:
            _save(connection, folder, index, str(attempt), measured, len(live))
            return
    exact = Measured(0, 0, 1.0, 1.0, 1.0, min(10, len(live) - 1), len(live))
    _switch(connection, folder, _row(None, None, "Flat", exact, len(live), len(everything)))


def _finer(spec: Spec, d: int) -> Spec:
    """Codes of up to four times the bytes."""
    divisors = [m for m in range(spec.m, min(d, 4 * spec.m) + 1) if d % m == 0]
    return Spec(spec.nlist, max(divisors), 8 if spec.nbits == 8 else spec.nbits)


def _trained(spec: Spec, store: FeatureStore, live: IdArray) -> IVFPQIndex:
    from lookalike.index.kinds import IVFPQIndex

    points = live
    if len(points) > TRAINING_POINTS:
        points = np.sort(np.random.default_rng(0).choice(points, TRAINING_POINTS, replace=False))
    index = IVFPQIndex(nlist=spec.nlist, m=spec.m, nbits=spec.nbits, metric="cosine")
    with warnings.catch_warnings():
        # "Few training points" is advice for those who choose a spec; here recall is measured afterwards.
        warnings.simplefilter("ignore", LookalikeWarning)
        index.train(store[points])
    return index


def _add(index: IVFPQIndex, store: FeatureStore, ids: IdArray, pace: Pace) -> None:
    for first in range(0, len(ids), ADDED_AT_A_TIME):
        part = ids[first : first + ADDED_AT_A_TIME]
        index.add(store[part], ids=part)
        pace.tell("indexing", first + len(part), len(ids))


def _save(
    connection: sqlite3.Connection, folder: Path, index: IVFPQIndex, spec: str, measured: Measured, trained: int
) -> None:
    number = meta_number(connection, "next_file")
    file = f"{number:06d}.lka"
    path = folder / INDEX_FOLDER / file
    index.save(path)
    with path.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    _switch(connection, folder, _row(file, sha256, spec, measured, trained, index.ntotal), number + 1)


def _row(
    file: str | None, sha256: str | None, spec: str, measured: Measured, trained: int, total: int
) -> tuple[object, ...]:
    of = (measured.recall, measured.low, measured.high, measured.k, measured.n)
    return (file, sha256, spec, measured.nprobe, measured.candidates, trained, total, *of)


def _switch(
    connection: sqlite3.Connection, folder: Path, row: tuple[object, ...] | None, next_file: int | None = None
) -> None:
    """Name another generation, or none, in one transaction; then delete the files that nobody names."""
    from lookalike.collection.upkeep.merge import delete_orphans

    with transaction(connection):
        connection.execute("DELETE FROM generations")
        if row is not None:
            connection.execute(
                "INSERT INTO generations (file, sha256, spec, nprobe, candidates, trained, total, recall, low, high, k, n)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        if next_file is not None:
            set_meta(connection, "next_file", next_file)
        bump(connection)
    delete_orphans(connection, folder)

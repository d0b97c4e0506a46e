"""Results as people look at them: near copies under the first of them, each with what is known of its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike._typing import Array, ArrayLike, FloatArray, IdArray
from lookalike._validate import check_allow
from lookalike.collection.catalog import entries as listing
from lookalike.collection.records import Entry, Hit
from lookalike.errors import CollectionError
from lookalike.features.models import SAME, least_cosine

if TYPE_CHECKING:
    from lookalike.collection.snapshot import Snapshot
    from lookalike.collection.stored import StoredCollection

__all__ = ["FOLD_FACTOR", "SHOWN", "Found", "Wanted", "find", "folded", "folded_ids", "optional_allow", "results"]

FOLD_FACTOR: Final = (
    4  # so many times k are searched where copies are to be folded, and so many times more where that is too few
)
SHOWN: Final = 1000  # copies of one result that are shown
LEADERS: Final = 64  # that are compared at once
BLOCK: Final = 2048  # results that are folded at once


@dataclass(frozen=True, slots=True)
class Found:
    """One result: the hit, its entry, and results that are nearly the same, folded under it."""

    hit: Hit
    entry: Entry
    same: tuple[Found, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which results are wanted.

    Attributes
    ----------
    k : int
        Number of results, without the copies that were folded.
    threshold : float
        Minimum similarity, 0 to 100.
    fold : bool
        Put near-identical results under the first of them.
    exact : bool
        Compare with every picture.
    missed : bool
        In an exact search, also find what the index would have missed, if a search like this one uses it.
    left_out : sequence of int
        Ids that are no results.
    """

    k: int
    threshold: float = 0.0
    fold: bool = False
    exact: bool = False
    missed: bool = False
    left_out: Sequence[int] = ()


def find(
    connection: sqlite3.Connection, snapshot: Snapshot, xq: FloatArray, mask: Array | None, wanted: Wanted
) -> tuple[list[Found], list[int] | None, bool]:
    """The results for a unit vector, best first; where it is wanted, the ids that the index would not have found;
    and whether a search compares with every picture even if it is not asked to be exact, so that nothing is missed.

    Parameters
    ----------
    connection, snapshot
        Of the same instant.
    xq : ndarray of float32, shape (d,)
    mask : ndarray of bool, optional
        Which entries may be results; see `Snapshot.select`.
    wanted : Wanted

    Notes
    -----
    Where copies are folded, more and more is searched until there are k results or everything was seen. At most `SHOWN` copies
    of one result are given.
    """
    count = wanted.k * (FOLD_FACTOR if wanted.fold else 1)

    def ranked(count: int, exact: bool) -> tuple[IdArray, FloatArray, bool]:
        ids, distances = snapshot.rank(xq, count, mask=mask, exclude=wanted.left_out, exact=exact)
        near = listing.similarities(snapshot.card, distances) >= wanted.threshold
        return ids[near], distances[near], len(ids) == count and bool(near.all())

    ids, distances, is_more = ranked(count, wanted.exact)
    groups = folded(snapshot, ids, wanted.k) if wanted.fold else [[at] for at in range(min(wanted.k, len(ids)))]
    while is_more and len(groups) < wanted.k:  # they are copies of a few
        count *= FOLD_FACTOR
        ids, distances, is_more = ranked(count, wanted.exact)
        groups = folded(snapshot, ids, wanted.k)
    is_plain = wanted.exact and not wanted.missed  # nothing is to be said of the index, so it need not be opened
    always = is_plain or not snapshot.uses_index(count + len(wanted.left_out), len(snapshot.allowed(mask)))
    missed = None
    if wanted.exact and not always:
        best = ids[: wanted.k]
        missed = [int(id) for id in best[~np.isin(best, ranked(count, exact=False)[0][: wanted.k])]]
    groups = [group[: 1 + SHOWN] for group in groups]
    shown = [at for group in groups for at in group]
    known = listing.results(connection, snapshot.card, ids[shown], distances[shown])
    each = {at: Found(*result) for at, result in zip(shown, known, strict=True)}
    found = [replace(each[first], same=tuple(each[at] for at in same)) for first, *same in groups]
    return _files_first(found), missed, always


def results(
    collection: StoredCollection,
    vector: ArrayLike,
    wanted: Wanted,
    *,
    allow: ArrayLike | None = None,
    made_for: str | None = None,
) -> tuple[list[Found], list[int] | None, bool]:
    """`find` with a vector as the model makes it; see `lookalike.Collection.results`."""
    allowed = optional_allow(allow)
    with collection.view() as (connection, snapshot):
        if made_for not in (None, snapshot.version.collection):
            raise CollectionError(f"{collection.path}: the collection was made again meanwhile; search again")
        xq = snapshot.stored(vector, "vector")[0]
        return find(connection, snapshot, xq, snapshot.select(allowed), wanted)


def folded_ids(collection: StoredCollection, ids: IdArray, k: int) -> list[list[int]]:
    """`folded` of entries by their ids; see `lookalike.Collection.folded`."""
    with collection.view() as (_, snapshot):
        snapshot.check_here(ids)
        return folded(snapshot, ids, k)


def optional_allow(allow: ArrayLike | None) -> Array | None:
    """Ids, or a boolean mask indexed by id; None lets every entry pass."""
    return None if allow is None else check_allow(allow)


def _files_first(found: list[Found]) -> list[Found]:
    """Of results that are equally alike, those whose files are there before those whose files are gone."""
    if not any(each.hit.missing for group in found for each in (group, *group.same)):
        return found

    def order(each: Found) -> tuple[float, bool]:
        return each.hit.distance, each.hit.missing

    groups = []
    for first in found:
        inside = [replace(first, same=()), *first.same]
        equal = [each for each in inside if each.hit.distance == first.hit.distance]
        others = [each for each in inside if each.hit.distance != first.hit.distance]
        leader, *same = sorted(equal, key=order) + others
        groups.append(replace(leader, same=tuple(same)))
    return sorted(groups, key=order)


def folded(snapshot: Snapshot, ids: IdArray, k: int) -> list[list[int]]:
    """Places in `ids` of the first k results, each followed by those that are the same picture and in no group before."""
    least = least_cosine(snapshot.card, SAME)
    groups: list[list[int]] = []
    leaders = np.empty((min(k, len(ids)), snapshot.store.d), np.float32)
    for first in range(0, len(ids), BLOCK):
        x = snapshot.store[snapshot.features_of(ids[first : first + BLOCK])]
        near = x @ leaders[: len(groups)].T >= least
        is_free: Array = np.logical_not(near.any(axis=1))
        for at in np.flatnonzero(~is_free).tolist():
            groups[int(near[at].argmax())].append(first + at)
        while len(groups) < k and is_free.any():
            chosen = np.flatnonzero(is_free)[: min(LEADERS, k - len(groups))]
            for leader, row in zip(chosen.tolist(), x[chosen] @ x.T >= least, strict=True):
                if is_free[leader]:
                    same = np.flatnonzero(row & is_free)
                    is_free[same] = is_free[leader] = False
                    leaders[len(groups)] = x[leader]
                    groups.append([first + leader, *(first + same[same != leader]).tolist()])
    return groups

"""From an id to the place where its vector is stored."""

from __future__ import annotations

import numpy as np

from lookalike._typing import IdArray
from lookalike.index.lists import POSITION, Lists

__all__ = ["IdMap"]

FEW = 4  # ids that are looked for one by one
NONE: IdArray = np.empty(0, np.int64)

Runs = tuple[tuple[IdArray, IdArray], ...]


class IdMap:
    """Sorted runs of (id, place) pairs, which say where to look; the ids in the lists decide.

    So a removal need not change the pairs: a removed id is not where they say, and the ids behind it are looked up in the same
    list. Adding merges the newest runs while they are of similar length, so there are O(log n) runs and n additions cost
    O(n log n), however small the batches. A map is replaced, never changed.
    """

    _runs: Runs
    _stale: int  # vectors that may stand elsewhere

    def __init__(
        self, ids: IdArray = NONE, places: IdArray = NONE, before: IdMap | None = None, moved: int = 0
    ) -> None:
        """These pairs behind those of an earlier map, since which `moved` vectors may have come to stand elsewhere."""
        runs, stale = ((), 0) if before is None else (before._runs, before._stale)
        self._runs = _merged(runs, ids, places) if len(ids) else runs
        self._stale = stale + moved

    @property
    def nbytes(self) -> int:
        return sum(ids.nbytes + places.nbytes for ids, places in self._runs)

    def find(self, ids: IdArray, lists: Lists) -> IdArray:
        """The place of each id in these lists, −1 where it is not stored."""
        places = np.full(len(ids), -1, np.int64)
        for run_ids, run_places in self._runs:  # of an id that was added again the newest place holds
            at = np.minimum(np.searchsorted(run_ids, ids), len(run_ids) - 1)
            hit = run_ids[at] == ids
            places[hit] = run_places[at[hit]]
        if self._stale:
            self._look_up(ids, places, lists)
        places[lists.is_gone(places)] = -1
        return places

    def extended(self, ids: IdArray, places: IdArray) -> IdMap:
        """This map and more pairs."""
        return IdMap(ids, places, self)

    def without(self, places: IdArray, before: Lists, after: Lists) -> IdMap | None:
        """The map after these places of `before` were removed; None where so much has moved that it has to be made anew."""
        if len(after.gone):  # they stand where they stood
            return self
        first = np.full(len(before), np.iinfo(np.int64).max)
        places = np.concatenate([places, before.gone])
        np.minimum.at(first, places >> 32, places & POSITION)
        moved = int(np.maximum(before.sizes - first, 0).sum())
        if self._stale + moved > before.ntotal:
            return None
        return IdMap(before=self, moved=moved)

    def _look_up(self, ids: IdArray, places: IdArray, lists: Lists) -> None:
        """Set right the places whose lists hold another id there."""
        known = np.flatnonzero(places >= 0)
        list_no, position = places[known] >> 32, places[known] & POSITION
        for number in np.unique(list_no).tolist():
            here = list_no == number
            mine, at, own = known[here], position[here], lists.ids_of(number)
            right = at < len(own)
            right[right] = own[at[right]] == ids[mine[right]]
            wrong = mine[~right]
            if len(wrong):
                found = _positions(own, ids[wrong])
                places[wrong] = np.where(found < 0, -1, (number << 32) | found)


def _positions(own: IdArray, ids: IdArray) -> IdArray:
    """Where each id stands among the ids of a list, −1 where it does not."""
    if len(ids) <= FEW:
        at = [np.flatnonzero(own == number) for number in ids.tolist()]
        return np.array([int(where[0]) if len(where) else -1 for where in at])
    order = np.argsort(own, kind="stable")
    if not len(order):
        return np.full(len(ids), -1)
    at_sorted = order[np.minimum(np.searchsorted(own, ids, sorter=order), len(own) - 1)]
    return np.where(own[at_sorted] == ids, at_sorted, -1)


def _merged(runs: Runs, ids: IdArray, places: IdArray) -> Runs:
    """The runs with one more; the newest are merged while they are of similar length."""
    order = np.argsort(ids, kind="stable")
    kept, newest = list(runs), (ids[order], places[order])
    while kept and len(kept[-1][0]) < 2 * len(newest[0]):
        early_ids, early_places = kept.pop()
        both = np.concatenate([early_ids, newest[0]])
        order = np.argsort(both, kind="stable")
        both, where = both[order], np.concatenate([early_places, newest[1]])[order]
        last = np.append(both[1:] != both[:-1], True)  # of an id that is there twice, the later one
        newest = both[last], where[last]
    return (*kept, newest)

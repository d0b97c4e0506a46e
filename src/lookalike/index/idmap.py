"""From an id to the place where its vector is stored."""

from __future__ import annotations

import numpy as np

from lookalike._typing import IdArray

__all__ = ["IdMap"]


class IdMap:
    """Sorted runs of (id, place) pairs; looking up is a binary search in each run.

    Adding merges the newest runs while they are of similar length, so there are O(log n) runs and
    n additions cost O(n log n), however small the batches.
    """

    def __init__(self, ids: IdArray | None = None, places: IdArray | None = None) -> None:
        self._runs: list[tuple[IdArray, IdArray]] = []
        if ids is not None and places is not None and len(ids):
            self._add(ids, places)

    @property
    def nbytes(self) -> int:
        return sum(ids.nbytes + places.nbytes for ids, places in self._runs)

    def find(self, ids: IdArray) -> IdArray:
        """The place of each id, −1 where it is not stored."""
        places = np.full(len(ids), -1, np.int64)
        for run_ids, run_places in self._runs:
            at = np.minimum(np.searchsorted(run_ids, ids), len(run_ids) - 1)
            hit = run_ids[at] == ids
            places[hit] = run_places[at[hit]]
        return places

    def extended(self, ids: IdArray, places: IdArray) -> IdMap:
        """This map and more pairs, whose ids must be new. This one stays as it is."""
        larger = IdMap()
        larger._runs = list(self._runs)
        larger._add(ids, places)
        return larger

    def _add(self, ids: IdArray, places: IdArray) -> None:
        order = np.argsort(ids, kind="stable")
        self._runs.append((ids[order], places[order]))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            late_ids, late_places = self._runs.pop()
            early_ids, early_places = self._runs.pop()
            both = np.concatenate([early_ids, late_ids])
            order = np.argsort(both, kind="stable")
            self._runs.append((both[order], np.concatenate([early_places, late_places])[order]))

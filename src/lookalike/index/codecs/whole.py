"""Whole vectors: nothing is lost, and every distance is exact."""

from __future__ import annotations

from typing import Self

import numpy as np

from lookalike._threads import run_all
from lookalike._typing import Array, FloatArray, IdArray
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codecs.codec import Codec
from lookalike.index.exact import NO_ROWS, VECTORS, direct_distances, exact_search
from lookalike.index.filters import as_allow, is_permitted
from lookalike.index.lists import Column, Lists, Rows
from lookalike.index.plain import best, distances_to
from lookalike.kernels.layout import METRIC_NUMBERS

__all__ = ["WholeCodec"]

QUERIES = 1024  # of one pass over the lists
CANDIDATES = 2_000_000  # of one pass at the most
ROOM = 64  # candidates beyond 2 k that a query gathers before they are cut back to k


class WholeCodec(Codec):
    """float32 vectors. In one cell they are searched by numpy alone (`exact`), in many by kernels."""

    def __init__(self, metric: str, cells: Cells | OneCell | None = None) -> None:
        self.metric, self.cells = metric, cells

    @property
    def columns(self) -> dict[str, Column]:
        return {"vectors": Column(np.dtype(np.float32), self._d), "ids": Column(np.dtype(np.int64))}

    @property
    def _d(self) -> int:
        return 0 if self.cells is None else self.cells.centroids.shape[1]

    @property
    def numbers_per_vector(self) -> int:  # type: ignore[override]
        return self._d

    def check_dimension(self, d: int) -> None:
        """Any will do."""

    def fitted(self, x: FloatArray, cells: Cells | OneCell) -> Self:
        return type(self)(self.metric, cells)

    def encode(self, x: FloatArray, list_no: IdArray) -> Rows:
        return (x,)

    def decode(self, rows: Rows, list_no: IdArray) -> FloatArray:
        vectors: FloatArray = rows[0]
        return vectors

    @property
    def nbytes(self) -> int:
        return 0 if self.cells is None else self.cells.nbytes

    def tensors(self) -> dict[str, Array]:
        return {}

    def search(
        self,
        lists: Lists,
        xq: FloatArray,
        probes: IdArray,
        coarse: FloatArray,
        k: int,
        permitted: Array | None,
        threads: int,
    ) -> tuple[FloatArray, IdArray]:
        if isinstance(self.cells, OneCell):
            return self._exact(lists, xq, k, permitted)
        distances, ids = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)

        def run(rows: slice) -> None:
            self._scan(lists, xq[rows], probes[rows], permitted, distances[rows], ids[rows])

        step = max(1, min(QUERIES, CANDIDATES // k, -(-len(xq) // threads)))
        run_all(run, [slice(at, at + step) for at in range(0, len(xq), step)], threads)
        return distances, ids

    def _exact(self, lists: Lists, xq: FloatArray, k: int, permitted: Array | None) -> tuple[FloatArray, IdArray]:
        (vectors, ids), gone, rows = lists.standing(0), lists.gone_from(0), None
        if permitted is not None:
            passes = is_permitted(permitted, ids)
            passes[gone] = False
            rows, gone = np.flatnonzero(passes), NO_ROWS
        distances, found = exact_search(xq, vectors, k, self.metric, rows, ids, gone)
        if self.metric == "ip":
            np.negative(distances, out=distances)
        return distances, np.where(found >= 0, ids[found], -1) if len(ids) else found

    def _scan(
        self,
        lists: Lists,
        xq: FloatArray,
        probes: IdArray,
        permitted: Array | None,
        out_distances: FloatArray,
        out_ids: IdArray,
    ) -> None:
        """Search the given lists of each query, list by list for all its visitors."""
        from lookalike.kernels.whole import best_of_each, no_candidates, scan_list

        (nq, k), allow, metric = out_ids.shape, as_allow(permitted), METRIC_NUMBERS[self.metric]
        candidates = no_candidates(nq, k, min(2 * k, lists.ntotal) + ROOM)
        order = np.argsort(probes, axis=None, kind="stable")
        visitors, visited = order // probes.shape[1], probes.ravel()[order]
        starts = np.flatnonzero(np.diff(visited, prepend=-1))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(visited)], strict=True):
            x, numbers = lists.standing(int(visited[start]))
            if len(lists.gone):
                numbers = np.where(lists.is_gone((visited[start] << 32) | np.arange(len(numbers))), -1, numbers)
            scan_list(xq, visitors[start:end], x, numbers, metric, allow, candidates)
        best_of_each(candidates, out_distances, out_ids)

    def within(
        self,
        lists: Lists,
        xq: FloatArray,
        probes: IdArray,
        coarse: FloatArray,
        radius: float,
        permitted: Array | None,
        threads: int,
    ) -> list[tuple[FloatArray, IdArray]]:
        def run(i: int) -> tuple[FloatArray, IdArray]:
            near_distances, near_ids = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
            for number in probes[i].tolist():
                x, ids = lists.standing(number)
                near = self._distances(xq[i], x)
                inside = near < radius
                inside[lists.gone_from(number)] = False
                if permitted is not None:
                    inside &= is_permitted(permitted, ids)
                near_distances.append(near[inside])
                near_ids.append(ids[inside])
            distances, ids = np.concatenate(near_distances), np.concatenate(near_ids)
            order = np.lexsort((ids, distances))
            return distances[order], ids[order]

        return run_all(run, range(len(xq)), threads)

    def _distances(self, q: FloatArray, x: FloatArray) -> FloatArray:
        distances = np.empty(len(x), np.float32)
        if isinstance(self.cells, OneCell):
            for first in range(0, len(x), VECTORS):
                rows = slice(first, first + VECTORS)
                distances[rows] = direct_distances(q[None], x[None, rows], self.metric)[0]
            return -distances if self.metric == "ip" else distances
        from lookalike.kernels.whole import row_distances

        row_distances(q, x, METRIC_NUMBERS[self.metric], distances)
        return distances

    def search_plain(
        self, lists: Lists, q: FloatArray, probes: IdArray, k: int, permitted: Array | None
    ) -> tuple[FloatArray, IdArray]:
        parts = [lists.rows(list_no) for list_no in probes.tolist()]
        vectors, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
        distances = distances_to(q, vectors, self.metric)
        kept = best(distances, ids, k, permitted)
        return distances[kept], ids[kept]

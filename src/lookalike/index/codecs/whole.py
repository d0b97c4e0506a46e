"""Whole vectors: nothing is lost, and every distance is exact."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from lookalike._threads import run_all
from lookalike._typing import Array, FloatArray, IdArray
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codecs.codec import Codec, near_in_lists
from lookalike.index.exact import NO_ROWS, VECTORS, direct_distances, exact_search
from lookalike.index.filters import as_allow, is_permitted
from lookalike.index.lists import Column, Lists, Rows
from lookalike.index.plain import best, distances_to
from lookalike.index.vectors import query_parts, search_vectors
from lookalike.kernels.layout import METRIC_NUMBERS

__all__ = ["WholeCodec"]

SOME = 1 << 16  # results of a query that need no care for memory
READ = 5e3  # numbers of vectors in a microsecond, about
SMALL = 1 << 23  # numbers in one list, up to which numpy is as quick as loading the kernels


class WholeCodec(Codec):
    """float32 vectors. A few in one cell are searched by numpy alone (`exact`), others by kernels."""

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
        if self._is_small(lists):
            return self._by_numpy(lists, xq, k, permitted)
        if isinstance(self.cells, OneCell):
            vectors = lists.standing(0)[0]
            return search_vectors(xq, [(vectors, lists.visible_ids(0))], k, self.metric, permitted, threads)
        from lookalike.kernels.whole import search_whole

        table, allow = lists.table, as_allow(permitted)
        if len(lists.gone):
            table, visible = table.copy(), lists.visible_ids(0)  # of a single cell: only then is anything gone in place
            table[0, -2] = visible.ctypes.data
        distances, ids = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)

        def run(rows: slice, held: Any = (lists, table)) -> None:  # the table has addresses only
            kind, metric = (4 * self._d, False), METRIC_NUMBERS[self.metric]
            search_whole(xq[rows], probes[rows], table, kind, metric, allow, distances[rows], ids[rows])

        each = 2 + probes.shape[1] * lists.ntotal / len(lists) * self._d / READ
        run_all(run, query_parts(len(xq), k, threads, each), threads)
        return distances, ids

    def search_one(self, lists: Lists, xq: FloatArray, k: int, nprobe: int) -> tuple[FloatArray, IdArray, float] | None:
        cells = self.cells
        if not isinstance(cells, Cells) or not lists.ntotal or len(lists.gone) or cells.origin is not None:
            return None
        if k > SOME or cells.metric != ("ip" if self.metric == "ip" else "l2"):
            return None
        from lookalike.kernels.whole import search_whole_one

        found, kind = (np.empty((1, k), np.float32), np.empty((1, k), np.int64)), (4 * self._d, False)
        number = METRIC_NUMBERS[self.metric]
        norm = search_whole_one(xq, cells.for_kernels, nprobe, lists.table, kind, number, found)
        return *found, norm

    def _is_small(self, lists: Lists) -> bool:
        """Whether everything is in one list, and so little that numpy compares with all of it before kernels are loaded."""
        return isinstance(self.cells, OneCell) and lists.longest * self._d <= SMALL

    def _by_numpy(self, lists: Lists, xq: FloatArray, k: int, permitted: Array | None) -> tuple[FloatArray, IdArray]:
        (vectors, ids), gone, rows = lists.standing(0), lists.gone_from(0), None
        if permitted is not None:
            passes = is_permitted(permitted, ids)
            passes[gone] = False
            rows, gone = np.flatnonzero(passes), NO_ROWS
        distances, found = exact_search(xq, vectors, k, self.metric, rows, ids, gone)
        if self.metric == "ip":
            np.negative(distances, out=distances)
        return distances, np.where(found >= 0, ids[found], -1) if len(ids) else found

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
        small = self._is_small(lists)

        def run(i: int) -> tuple[FloatArray, IdArray]:
            def distances(number: int) -> FloatArray:
                return self._distances(xq[i], lists.standing(number)[0], small)

            return near_in_lists(lists, probes[i], radius, permitted, distances)

        return run_all(run, range(len(xq)), threads)

    def _distances(self, q: FloatArray, x: FloatArray, small: bool) -> FloatArray:
        distances = np.empty(len(x), np.float32)
        if small:
            for first in range(0, len(x), VECTORS):
                rows = slice(first, first + VECTORS)
                distances[rows] = direct_distances(q[None], x[None, rows], self.metric)[0]
            return -distances if self.metric == "ip" else distances
        from lookalike.kernels.rows import row_distances

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

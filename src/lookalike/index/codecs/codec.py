"""What every codec says and does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import numpy as np

from lookalike._typing import Array, CodeArray, FloatArray, IdArray
from lookalike.index.cells import Cells, OneCell
from lookalike.index.filters import is_permitted
from lookalike.index.lists import Column, Lists, Rows
from lookalike.quantizers.rotation import LinearTransform

__all__ = ["POINTS", "Codec", "near_in_lists"]

POINTS = 256  # vectors that training uses for each centroid


class Codec(ABC):
    """How vectors of a cell are written into its list, and how a list is searched. Replaced, never changed.

    Distances here are those of the metric, inner products negated, so that smaller is nearer; a row that holds fewer than k is
    filled with +inf and −1.
    """

    metric: str
    cells: Cells | OneCell | None  # None before `fitted`
    numbers_per_query = 0  # that a search reads beside the lists, and for each vector of those
    numbers_per_vector: int

    @property
    @abstractmethod
    def columns(self) -> dict[str, Column]:
        """What lists hold of each vector; the ids come last."""

    @abstractmethod
    def fitted(self, x: FloatArray, cells: Cells | OneCell) -> Self:
        """A codec for vectors in these cells, trained on `x`, float32 (n, d)."""

    @abstractmethod
    def check_dimension(self, d: int) -> None:
        """Refuse vectors of a dimension that it cannot encode, before anything is trained."""

    def trains_on(self, nlist: int) -> int:
        """How many vectors training makes use of."""
        return max(POINTS * nlist, 1 << 16)  # a rotation wants some, too

    def trained_opq(self, xt: FloatArray, d_out: int | None, *, centre: bool) -> LinearTransform | None:
        """The rotation that suits it best; None where any is as good."""
        return None

    @abstractmethod
    def encode(self, x: FloatArray, list_no: IdArray) -> Rows:
        """What lists hold of these vectors."""

    @abstractmethod
    def decode(self, rows: Rows, list_no: IdArray) -> FloatArray:
        """The vectors that rows stand for, float32, shape (n, d)."""

    @abstractmethod
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
        """The k nearest vectors of each query in the lists it probes: the seam, search = cells.probe + codec.search.

        Parameters
        ----------
        lists : Lists
        xq : ndarray of float32, shape (nq, d)
        probes : ndarray of int64, shape (nq, nprobe)
            Nearest first.
        coarse : ndarray of float32, shape (nq, nprobe)
            What `cells.probe` said of them.
        k : int
        permitted : ndarray, optional
            Of `filters.prepared_filter`.
        threads : int

        Returns
        -------
        distances : ndarray of float32, shape (nq, k)
        ids : ndarray of int64, shape (nq, k)
        """

    def search_one(self, lists: Lists, xq: FloatArray, k: int, nprobe: int) -> tuple[FloatArray, IdArray, float] | None:
        """`cells.probe` and `search` of one query, xq (1, d), in a shorter way; None where there is none.

        With it comes ‖q‖²: the result holds if that is neither NaN nor too large.
        """
        return None

    @abstractmethod
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
        """Distances and ids of all vectors nearer than `radius`, best first, for each query."""

    @abstractmethod
    def search_plain(
        self, lists: Lists, q: FloatArray, probes: IdArray, k: int, permitted: Array | None
    ) -> tuple[FloatArray, IdArray]:
        """At least the k nearest of one query, q (d,), in any order, without the kernels (`plain.search`)."""

    @abstractmethod
    def tensors(self) -> dict[str, Array]:
        """What it learnt, as files name it. Two indexes can be merged where this and the cells are equal."""

    def codes(self, rows: Rows) -> CodeArray:
        """The codes of rows, shape (n, m); m is 0 where vectors are kept whole."""
        return np.empty((len(rows[0]), 0), np.uint8)

    def lookup_table(self, q: FloatArray) -> FloatArray:
        """What a scan adds up for the codes of one query's candidates, shape (m, ksub); empty where vectors are kept whole."""
        return np.empty((0, 0), np.float32)

    def to_file(self, lists: Lists) -> Lists:
        """The lists as files hold them."""
        return lists

    def from_file(self, lists: Lists) -> Lists:
        """The lists of a file as they are searched."""
        return lists

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of what it and its cells learnt, in every form that they are kept in."""


def near_in_lists(
    lists: Lists, probed: IdArray, radius: float, permitted: Array | None, distances: Callable[[int], FloatArray]
) -> tuple[FloatArray, IdArray]:
    """What is nearer than a radius in the lists that a query probes, best first; distances(number): to all that stand in a list."""
    near_distances, near_ids = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
    for number in probed.tolist():
        ids, near = lists.ids_of(number).astype(np.int64, copy=False), distances(number)
        inside = near < radius
        inside[lists.gone_from(number)] = False
        if permitted is not None:
            inside &= is_permitted(permitted, ids)
        near_distances.append(near[inside])
        near_ids.append(ids[inside])
    found, names = np.concatenate(near_distances), np.concatenate(near_ids)
    order = np.lexsort((names, found))
    return found[order], names[order]

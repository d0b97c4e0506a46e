"""Exact search over stored vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from lookalike._typing import FloatArray, IdArray, RangeResult, SearchResult
from lookalike._validate import check_ids, check_radius
from lookalike.errors import InputError
from lookalike.index.base import Index, allowed_ids, gather_ranges, passes, shifted_ids
from lookalike.index.exact import VECTORS, direct_distances, exact_search
from lookalike.index.idmap import IdMap

if TYPE_CHECKING:
    from lookalike.index.trace import Trace

__all__ = ["FlatIndex"]


class _Stored(NamedTuple):
    """A snapshot: replaced, never changed."""

    vectors: FloatArray  # (n, d)
    ids: IdArray  # (n,)


class FlatIndex(Index):
    """Exact nearest neighbours by comparing with every vector.

    Parameters
    ----------
    metric : {"l2", "ip", "cosine"}

    Notes
    -----
    Needs no training; `d` is learnt in the first `add`. 4d + 8 bytes a vector. A search costs O(nq · n · d) in numpy's
    matrix product; nothing is compiled, so the first answer comes at once.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> index = la.FlatIndex().add(np.eye(3))
    >>> distances, ids = index.search([[1, 0.1, 0]], k=2)
    >>> ids.tolist()
    [[0, 1]]
    """

    kind = "flat"

    def __init__(self, metric: str = "l2") -> None:
        super().__init__(metric)
        self._stored = _Stored(np.empty((0, 0), np.float32), np.empty(0, np.int64))
        self._room = self._stored  # the arrays that `_stored` is the filled part of
        self._places: IdMap | None = None

    @property
    def ntotal(self) -> int:
        return len(self._stored.ids)

    @property
    def is_trained(self) -> bool:
        return True

    @property
    def ids(self) -> IdArray:
        ids = self._stored.ids.view()
        ids.flags.writeable = False
        return ids

    def search(
        self, xq: Any, k: int = 10, *, nprobe: int | None = None, allow: Any = None, threads: int | None = None
    ) -> SearchResult:
        """The k nearest vectors of each query.

        Parameters
        ----------
        xq : array of numbers, shape (nq, d)
        k : int
        nprobe, threads
            Accepted so that indexes can be exchanged; exact search visits everything, with numpy's own threads.
        allow : ids (list, set, range or array of integers), or mask (array of bool indexed by id), optional
            Only these are found.

        Returns
        -------
        SearchResult
            Distances (nq, k) float32 and ids (nq, k) int64, best first, equal distances by id.
        """
        queries, k = self._check_search(xq, k)
        stored, rows = self._stored, None
        permitted = allowed_ids(allow, self._next_id)
        if permitted is not None:
            rows = np.flatnonzero(passes(permitted, stored.ids))
        distances, found = exact_search(queries, stored.vectors, k, self.metric, rows, stored.ids)
        ids = np.where(found >= 0, stored.ids[found], -1) if len(stored.ids) else found
        return SearchResult(distances, ids)

    def range_search(
        self, xq: Any, radius: float, *, nprobe: int | None = None, allow: Any = None, threads: int | None = None
    ) -> RangeResult:
        """Every vector nearer than `radius` (``"ip"``: of a larger inner product), each query's best first.

        Parameters and result as in `IVFPQIndex.range_search`.
        """
        queries, limit = self._check_search(xq, 1)[0], check_radius(radius)
        stored, permitted = self._stored, allowed_ids(allow, self._next_id)
        rows = np.arange(len(stored.ids)) if permitted is None else np.flatnonzero(passes(permitted, stored.ids))
        parts = []
        for query in queries if len(rows) else []:
            distances, found = np.empty(0, np.float32), np.empty(0, np.int64)
            for first in range(0, len(rows), VECTORS):
                block = rows[first : first + VECTORS]
                near = direct_distances(query[None], stored.vectors[None, block], self.metric)[0]
                inside = near > limit if self.metric == "ip" else near < limit
                distances, found = np.append(distances, near[inside]), np.append(found, block[inside])
            order = np.lexsort((stored.ids[found], -distances if self.metric == "ip" else distances))
            parts.append((distances[order], stored.ids[found[order]]))
        return gather_ranges(parts, len(queries))

    # --- life of an index --------------------------------------------------------------------------------------------

    def update(self, ids: Any, xb: Any) -> Self:
        """Replace the vectors of these ids, which must be stored; a search sees all of the old ones or all of the new.

        Raises
        ------
        IdError
            If an id is not stored or is given twice; nothing is changed then.
        """
        with self._changing():
            vectors = self._vectors(xb, "xb", empty_ok=True)
            places = self._find_stored(check_ids(ids, len(vectors)), "update")
            if not len(places):
                return self
            changed = self._stored.vectors.copy()
            changed[places] = vectors
            self._stored = self._room = _Stored(changed, self._stored.ids)
        return self

    def merge(self, other: Any, add_id: int = 0) -> Self:
        """Take over the vectors of another `FlatIndex`, their ids shifted by `add_id`. `other` is not changed.

        Raises
        ------
        InputError
            If the two do not share metric and dimension.
        IdError
            If an id would be stored twice; nothing is changed then.
        """
        if (
            not isinstance(other, FlatIndex)
            or other.metric != self.metric
            or (self.d and other.d not in {None, self.d})
        ):
            raise InputError(f"merge: expected another FlatIndex of the same metric and dimension, got {other!r}")
        with self._changing():
            vectors, ids = other._stored
            numbers = shifted_ids(ids, add_id)
            self._check_new(numbers)
            if len(numbers):
                self._add(vectors, numbers)
                self._next_id = max(self._next_id, int(numbers.max()) + 1)
        return self

    def split(self, ids: Any) -> Self:
        """Move the vectors of these ids, which must be stored, into a new index, and return it."""
        with self._changing():
            numbers = check_ids(ids)
            places = self._find_stored(numbers, "split")
            part = type(self)(self.metric)
            part._restore(self._stored.vectors[places], numbers, self.d or 0)
            part._next_id = self._next_id
            self._remove(numbers)
        return part

    def stats(self) -> dict[str, Any]:
        """Memory by part.

        Returns
        -------
        dict
            ``memory``: bytes of vectors, ids, slack (room that growth left; `compact` gives it back) and id_map (built when ids
            are first looked up); ``bytes_per_vector``: of the first two.
        """
        used = {"vectors": self._stored.vectors.nbytes, "ids": self._stored.ids.nbytes}
        held, n = self._room.vectors.nbytes + self._room.ids.nbytes, self.ntotal
        id_map = self._places.nbytes if self._places is not None else 0
        return {
            "ntotal": n,
            "memory": {**used, "slack": held - sum(used.values()), "id_map": id_map},
            "bytes_per_vector": sum(used.values()) / n if n else 0.0,
        }

    def trace(self, query: Any, k: int = 10, nprobe: int | None = None, exact_ids: Any = None) -> Trace:
        """One search, written down: every distance, and what was kept. There are no cells and no codes."""
        from lookalike.index.trace import trace_search

        return trace_search(self, query, k, nprobe, exact_ids)

    def compact(self) -> None:
        """Give back the memory that growing keeps in reserve."""
        with self._changing():
            self._stored = self._room = _Stored(self._stored.vectors.copy(), self._stored.ids.copy())

    def _arguments(self) -> dict[str, Any]:
        return {"metric": self.metric}

    def _restore(self, vectors: FloatArray, ids: IdArray, d: int) -> None:
        """Take over arrays that were read from a file."""
        self.d = d or None
        self._stored = self._room = _Stored(vectors if len(ids) else np.empty((0, d), np.float32), ids)
        self._places = None

    def _train(self, xt: FloatArray) -> None:
        self._restore(np.empty((0, xt.shape[1]), np.float32), np.empty(0, np.int64), xt.shape[1])

    def _add(self, xb: FloatArray, ids: IdArray) -> None:
        n, size, d = self.ntotal, self.ntotal + len(xb), xb.shape[1]
        room = self._room
        if size > len(room.ids):
            room = _Stored(np.empty((max(size, 2 * n), d), np.float32), np.empty(max(size, 2 * n), np.int64))
            if n:
                room.vectors[:n], room.ids[:n] = self._stored
        room.vectors[n:size], room.ids[n:size] = xb, ids
        if self._places is not None:
            self._places = self._places.extended(ids, np.arange(n, size))
        self._room, self._stored, self.d = room, _Stored(room.vectors[:size], room.ids[:size]), d

    def _remove(self, ids: IdArray) -> int:
        places = self._find(ids)
        keep = np.ones(self.ntotal, np.bool_)
        keep[places[places >= 0]] = False
        removed = self.ntotal - int(keep.sum())
        if removed:
            self._stored = self._room = _Stored(self._stored.vectors[keep], self._stored.ids[keep])
            self._places = None
        return removed

    def _find(self, ids: IdArray) -> IdArray:
        if self._places is None:
            self._places = IdMap(self._stored.ids, np.arange(self.ntotal))
        return self._places.find(ids)

    def _reconstruct(self, places: IdArray) -> FloatArray:
        return self._stored.vectors[places]

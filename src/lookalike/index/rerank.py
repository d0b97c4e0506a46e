"""Exact re-ranking: the index proposes, the vectors themselves decide."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray, SearchResult
from lookalike._validate import MAX_K, check_count, check_vectors, unit_rows
from lookalike.errors import DimensionError, InputError
from lookalike.index.base import Index, missing
from lookalike.index.exact import direct_distances, worst

__all__ = ["Reranked"]

BYTES = 64 << 20  # of vectors gathered at a time


class Reranked:
    """Search `index` for more candidates than wanted, then order them by their distance to the stored vectors.

    Parameters
    ----------
    index : Index
        Whose ids are row numbers of `vectors`.
    vectors : array, shape (n, d)
        Of any float dtype; a memory map is read only where candidates lie. For ``"cosine"`` its rows need not be unit.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((3000, 16), np.float32)
    >>> coarse = la.IVFPQIndex(nlist=8, m=4, nbits=6).train(xb).add(xb)
    >>> fine = la.Reranked(coarse, xb.astype(np.float16))
    >>> fine.search(xb[5:6], k=1, nprobe=8, candidates=100).ids.tolist()
    [[5]]
    """

    def __init__(self, index: Index, vectors: Array) -> None:
        shape = getattr(vectors, "shape", None)
        if shape is None or len(shape) != 2:
            raise InputError(f"vectors: expected an array of shape (n, d), got {shape}")
        if index.d is not None and shape[1] != index.d:
            raise DimensionError(f"vectors: expected d={index.d} of the index, got {shape[1]}")
        self.index, self.vectors = index, vectors

    @property
    def metric(self) -> str:
        return self.index.metric

    @property
    def ntotal(self) -> int:
        return self.index.ntotal

    def search(
        self,
        xq: Any,
        k: int = 10,
        *,
        nprobe: int | None = None,
        candidates: int | None = None,
        allow: Any = None,
        threads: int | None = None,
    ) -> SearchResult:
        """The k nearest of the index's candidates, by exact distance.

        Parameters
        ----------
        xq : array of numbers, shape (nq, d)
        k : int
        nprobe, allow, threads
            As in the index's own `search`.
        candidates : int, optional
            How many to ask the index for; 10 k by default, at least k.

        Returns
        -------
        SearchResult
            Exact distances (nq, k) float32 and ids (nq, k) int64, equal distances by id.

        Raises
        ------
        InputError
            If a candidate's id is not a row of `vectors`.
        """
        k = check_count(k, "k", 1, MAX_K)
        count = max(k, check_count(min(10 * k, MAX_K) if candidates is None else candidates, "candidates", 1, MAX_K))
        found = self.index.search(xq, count, nprobe=nprobe, allow=allow, threads=threads).ids
        queries = check_vectors(xq, self.index.d, "xq", empty_ok=True)
        if self.metric == "cosine":
            queries = unit_rows(queries)
        if found.size and found.max() >= len(self.vectors):
            raise InputError(f"id {found.max()} is not a row of the {len(self.vectors)} vectors to re-rank with")
        distances, ids = missing(len(queries), k, self.metric)
        if found.max(initial=-1) < 0:
            return SearchResult(distances, ids)
        group = max(1, BYTES // (4 * count * max(1, queries.shape[1])))
        for first in range(0, len(queries), group):
            rows = slice(first, first + group)
            self._order(queries[rows], found[rows], distances[rows], ids[rows])
        return SearchResult(distances, ids)

    def _order(self, xq: FloatArray, found: Array, distances: FloatArray, ids: Array) -> None:
        """Write the k best of `found`, (nq, candidates), to `distances` and `ids`."""
        exact = direct_distances(xq, self._gather(found), self.metric)
        exact[found < 0] = worst(self.metric)
        ties = np.where(found < 0, np.iinfo(np.int64).max, found)
        order = np.lexsort((ties, -exact if self.metric == "ip" else exact), axis=1)[:, : ids.shape[1]]
        distances[:] = np.take_along_axis(exact, order, 1)
        ids[:] = np.take_along_axis(found, order, 1)

    def _gather(self, found: Array) -> FloatArray:
        """Vectors of the candidates, float32 (nq, candidates, d); each row is read once, in the order of storage."""
        rows, where = np.unique(np.maximum(found, 0), return_inverse=True)
        gathered = np.asarray(self.vectors[rows], np.float32)
        if self.metric == "cosine":
            gathered = unit_rows(gathered)
        return gathered[where.reshape(found.shape)]

"""Exact re-ranking: the index proposes, the vectors themselves decide."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lookalike._threads import cores, run_all
from lookalike._typing import Array, FloatArray, IdArray, SearchResult
from lookalike._validate import MAX_K, METRICS, check_count, check_vectors, is_plain, unit_rows
from lookalike.errors import DimensionError, InputError
from lookalike.index.index import Index

__all__ = ["Reranked", "StoredRows", "order_candidates"]

GROUP = 64  # queries of one call of the kernel
BYTES = 64 << 20  # of vectors gathered at a time, where they have to be


class Reranked:
    """Search `index` for more candidates than wanted, then order them by their distance to the stored vectors.

    Parameters
    ----------
    index : Index
        Whose ids are row numbers of `vectors`.
    vectors : array, shape (n, d)
        Of any float dtype; a memory map is read only where candidates lie. For ``"cosine"`` its rows need not be unit. A row that
        is not finite, or so long that its distance overflows float32, is never found.

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
        self._rows = StoredRows.of(vectors) or vectors

    def __getstate__(self) -> dict[str, Any]:
        """Without addresses, which are those of this process and of these vectors."""
        return {"index": self.index, "vectors": self.vectors}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.index, self.vectors = state["index"], state["vectors"]
        self._rows = StoredRows.of(self.vectors) or self.vectors

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
        queries = xq if is_plain(xq, self.index.d) else check_vectors(xq, self.index.d, "xq", empty_ok=True)
        found = self.index.search(queries, count, nprobe=nprobe, allow=allow, threads=threads).ids
        return order_candidates(queries, found, found, self._rows, k, self.metric, threads)


class StoredRows(NamedTuple):
    """Vectors that compiled code reads where they lie."""

    vectors: Array  # keeps the memory alive
    address: int
    stride: int
    is_half: bool

    @classmethod
    def of(cls, vectors: Array) -> StoredRows | None:
        """Rows of a numpy array of float32 or float16; None for anything else."""
        if (
            not isinstance(vectors, np.ndarray)
            or vectors.dtype not in (np.float32, np.float16)
            or not vectors.dtype.isnative
            or not vectors.flags.aligned
            or vectors.strides[1] != vectors.itemsize
        ):
            return None
        return cls(vectors, vectors.ctypes.data, vectors.strides[0], vectors.dtype == np.float16)


def order_candidates(
    xq: FloatArray,
    ids: IdArray,
    places: IdArray,
    vectors: StoredRows | Array,
    k: int,
    metric: str,
    threads: int | None = None,
) -> SearchResult:
    """The k nearest of each query's candidates by exact distance, equal distances by id.

    Parameters
    ----------
    xq : ndarray of float32, shape (nq, d)
    ids, places : ndarray of int64, shape (nq, candidates)
        Places are row numbers of `vectors`, −1 where there is no candidate.
    vectors : StoredRows, or anything of shape (n, d) that gives rows for an array of row numbers
    k : int
    metric : {"l2", "ip", "cosine"}
    threads : int, optional

    Raises
    ------
    InputError
        If a place is not a row of `vectors`.
    """
    from lookalike.kernels.rerank import rerank

    d = (vectors.vectors if isinstance(vectors, StoredRows) else vectors).shape[1]
    if d != xq.shape[1]:
        raise DimensionError(f"vectors: expected d={xq.shape[1]} of the index, got {d}")
    queries = unit_rows(xq) if metric == "cosine" else xq
    distances, out = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    group = GROUP if isinstance(vectors, StoredRows) else max(1, BYTES // (4 * ids.shape[1] * queries.shape[1]))

    def order(first: int) -> None:
        part = slice(first, first + group)
        rows, where = (vectors, places[part]) if isinstance(vectors, StoredRows) else _gathered(vectors, places[part])
        outside = rerank(
            queries[part], ids[part], where, rows.address, rows.stride, len(rows.vectors), rows.is_half,
            METRICS.index(metric), distances[part], out[part],
        )  # fmt: skip
        if outside >= 0:
            raise _not_a_row(outside, rows.vectors)

    if len(queries) <= group:  # every microsecond counts
        order(0)
    else:
        run_all(order, range(0, len(queries), group), threads or cores())
    return SearchResult(distances, out)


def _gathered(vectors: Array, places: IdArray) -> tuple[StoredRows, IdArray]:
    """The rows that `places` name, each read once and in the order of storage, and the places among them."""
    if places.size and places.max() >= len(vectors):
        raise _not_a_row(places.max(), vectors)
    rows, where = np.unique(places[places >= 0], return_inverse=True)
    renamed = np.full(places.shape, -1)
    renamed[places >= 0] = where
    gathered = np.empty((len(rows), vectors.shape[1]), np.float32)
    if len(rows):
        gathered[:] = vectors[rows]
    return StoredRows(gathered, gathered.ctypes.data, gathered.strides[0], False), renamed


def _not_a_row(place: int, vectors: Array) -> InputError:
    return InputError(f"id {place} is not a row of the {len(vectors)} vectors to re-rank with")

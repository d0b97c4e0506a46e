"""Exact re-ranking: an index proposes, the vectors themselves decide.

`Reranked` is given the vectors, wherever they are; `RefinedIndex` keeps them beside its index.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np

from lookalike._threads import cores, run_all
from lookalike._typing import Array, FloatArray, IdArray, RangeResult, SearchResult
from lookalike._validate import MAX_K, check_count, check_vectors, is_plain, unit_rows
from lookalike.errors import DimensionError, FormatError, InputError
from lookalike.files.native import BASE, Tensors
from lookalike.files.tensors import MappedFile
from lookalike.index.codecs.whole import WholeCodec
from lookalike.index.index import Index, Progress, ignore_progress
from lookalike.index.kinds import FlatIndex, WholeVectors
from lookalike.index.large import LargeArray
from lookalike.index.results import missing
from lookalike.index.storage import index_of
from lookalike.kernels.layout import METRIC_NUMBERS

__all__ = ["RefinedIndex", "Reranked", "RowTable", "order_candidates"]

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
    >>> index = la.IVFPQIndex(nlist=8, m=4, nbits=6).train(xb).add(xb)
    >>> reranked = la.Reranked(index, xb.astype(np.float16))
    >>> reranked.search(xb[5:6], k=1, nprobe=8, candidates=100).ids.tolist()
    [[5]]
    """

    def __init__(self, index: Index, vectors: Array) -> None:
        shape = getattr(vectors, "shape", None)
        if shape is None or len(shape) != 2:
            raise InputError(f"vectors: expected an array of shape (n, d), got {shape}")
        if index.d is not None and shape[1] != index.d:
            raise DimensionError(f"vectors: expected d={index.d} of the index, got {shape[1]}")
        self.index, self.vectors = index, vectors
        self._rows = RowTable.of(vectors) or vectors

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew from index and vectors: addresses are those of this process and of these vectors."""
        return type(self), (self.index, self.vectors)

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
        deny: Any = None,
        threads: int | None = None,
    ) -> SearchResult:
        """The k nearest of the index's candidates, by exact distance.

        Parameters
        ----------
        xq : array of numbers, shape (nq, d)
        k : int
        nprobe, allow, deny, threads
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
        found = self.index.search(queries, count, nprobe=nprobe, allow=allow, deny=deny, threads=threads).ids
        return order_candidates(queries, found, found, self._rows, k, self.metric, threads)


class RefinedIndex(WholeVectors):
    """Search `base` for more candidates than wanted, then order them by exact distance to the vectors that were added.

    Parameters
    ----------
    base : Index
        Empty; train and fill it through this one.
    k_factor : float
        A search for k asks `base` for ``k · k_factor`` candidates, unless it is told how many.

    Notes
    -----
    4d + 8 bytes a vector on top of `base`. Where the vectors are in a file or in float16, `Reranked` uses them in place.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((4000, 16), np.float32)
    >>> index = la.index_factory("IVF16,PQ4x6,RFlat").train(xb).add(xb)
    >>> index.search(xb[:2], k=1, nprobe=4).ids.tolist()
    [[0], [1]]
    """

    kind = "refined"
    _arguments = ("base", "k_factor")

    def __init__(self, base: Index, k_factor: float = 10) -> None:
        if base.ntotal:
            raise InputError(f"base: expected an empty index, it holds {base.ntotal} vectors; use Reranked")
        if isinstance(k_factor, bool) or not isinstance(k_factor, int | float) or not 1 <= k_factor <= MAX_K:
            raise InputError(f"k_factor: expected a number of at least 1, got {k_factor!r}")
        super().__init__(WholeCodec(base.metric))
        self.k_factor = float(k_factor)
        self.base, self.nlist = base, base.nlist
        self._store_lock = (
            threading.RLock()
        )  # held only while the vectors here, or the map of their ids, change or are read
        if base.d:
            self._learn_dimension(base.d)

    @property
    def is_trained(self) -> bool:
        return self.base.is_trained

    def search(
        self,
        xq: Any,
        k: int = 10,
        *,
        nprobe: int | None = None,
        allow: Any = None,
        deny: Any = None,
        threads: int | None = None,
        candidates: int | None = None,
    ) -> SearchResult:
        """The k nearest of the candidates that `base` finds.

        Parameters
        ----------
        xq, k, nprobe, allow, deny, threads
            As in the search of `base`.
        candidates : int, optional
            How many to ask for; ``k · k_factor`` by default, at least k.

        Returns
        -------
        SearchResult
            Exact distances (nq, k) float32 and ids (nq, k) int64, best first, equal distances by id.
        """
        self._check_trained()
        queries, k = self._vectors(xq, "xq", empty_ok=True), check_count(k, "k", 1, MAX_K)
        wanted = int(k * self.k_factor) if candidates is None else check_count(candidates, "candidates", 1, MAX_K)
        count = max(k, min(wanted, MAX_K, max(self.ntotal, 1)))
        found = self.base.search(queries, count, nprobe=nprobe, allow=allow, deny=deny, threads=threads).ids
        with self._store_lock:
            places, vectors = super()._find(found.ravel()).reshape(found.shape), self._lists.standing(0)[0]
        if not len(vectors):
            return missing(len(queries), k, self.metric)
        # without a place: no candidate, or one that was removed after `base` was searched
        return order_candidates(queries, found, places, RowTable.of(vectors) or vectors, k, self.metric, threads)

    def range_search(self, xq: Any, radius: float, **options: Any) -> RangeResult:
        """Every vector nearer than `radius`, exactly: the vectors themselves are compared, all of them.

        Parameters and result as in `IVFPQIndex.range_search`; ``nprobe`` changes nothing.
        """
        return super().range_search(xq, radius, **options)

    def trace(self, query: Any, k: int = 10, nprobe: int | None = None, exact_ids: Any = None) -> Any:
        """How `base` finds its candidates; see `IVFPQIndex.trace`."""
        return self.base.trace(query, k, nprobe, exact_ids)

    def merge(self, other: Any, add_id: int = 0) -> Self:
        """Take over the vectors of an index refined the same way; see `IVFPQIndex.merge`."""
        with self._changing():
            with self._store_lock:
                super().merge(other, add_id)
            self.base.merge(other.base, add_id)
        return self

    def split(self, ids: Any) -> Self:
        """Move the vectors of these ids, which must be stored, into a new index, and return it."""
        with self._changing():
            base, part = self.base.split(ids), super().split(ids)
        part.base, part._store_lock = base, threading.RLock()
        return part

    def compact(self) -> None:
        """Give back the memory that growing lists keep in reserve."""
        with self._changing():
            self.base.compact()
            with self._store_lock:
                super().compact()

    def stats(self, sample: Any = None) -> dict[str, Any]:
        """Those of `base`, with the vectors beside it in ``memory`` and ``bytes_per_vector``."""
        stats, own = self.base.stats(sample), super().stats()
        stats["memory"]["refinement"] = sum(own["memory"].values())
        stats["bytes_per_vector"] += own["bytes_per_vector"]
        return stats

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with super()._changing(), self.base._changing():
            yield

    def _train(self, xt: FloatArray, progress: Progress) -> None:
        self.base.train(xt, progress=progress)
        self._learn_dimension(xt.shape[1])

    def _replace(
        self, gone: IdArray, xb: FloatArray | LargeArray, ids: IdArray, progress: Progress = ignore_progress
    ) -> None:
        vectors, old = xb[0 : len(xb)], gone
        if len(gone):
            old = self.base._find(self._lists.ids_of(0)[gone].astype(np.int64))
            old = old[old >= 0]  # `split` has taken them already
        if not len(ids):  # `base` first, so that it names no candidate that is not here
            self.base._replace(old, vectors, ids)
        with self._store_lock:
            super()._replace(gone, vectors, ids)
        if len(ids):  # `base` last, for the same reason
            self.base._replace(old, vectors, ids, progress)

    def _find(self, ids: IdArray) -> IdArray:
        with self._store_lock:
            return super()._find(ids)

    def _has_same_space(self, other: Index) -> bool:
        return isinstance(other, RefinedIndex) and self.base._has_same_space(other.base)

    def _metadata(self) -> dict[str, Any]:
        metadata = super()._metadata()
        metadata["spec"]["base"] = self.base._metadata()
        return metadata

    def _tensors(self) -> Tensors:
        return {BASE + name: array for name, array in self.base._tensors().items()} | super()._tensors()

    @classmethod
    def _from_parts(cls, metadata: dict[str, Any], tensors: Tensors, look: bool) -> Self:
        about, k_factor = metadata["spec"]["base"], metadata["spec"]["k_factor"]
        if about["kind"] == cls.kind:
            raise FormatError(f"a refinement of an index of kind {about['kind']!r}")
        inner = {name.removeprefix(BASE): array for name, array in tensors.items() if name.startswith(BASE)}
        base = index_of(about, inner, look)
        flat = FlatIndex._from_parts(metadata | {"spec": {"metric": base.metric}}, tensors, look)
        if base.ntotal != flat.ntotal or (look and not np.array_equal(np.sort(base.ids), np.sort(flat.ids))):
            raise FormatError(f"{flat.ntotal} vectors that refine {base.ntotal} others")
        return cls._of(base, flat, k_factor)

    @classmethod
    def _of(cls, base: Index, flat: FlatIndex, k_factor: float) -> Self:
        """An index of these two, which hold the same vectors."""
        index = cls(FlatIndex(base.metric), k_factor)
        index.base, index.nlist, index._next_id = base, base.nlist, base._next_id
        if flat.d:
            index._learn_dimension(flat.d)
            index._lists = flat._lists
        return index

    def _mark_loaded(self, mapped: MappedFile | None) -> None:
        super()._mark_loaded(mapped)
        self.base._mark_loaded(mapped)


class RowTable(NamedTuple):
    """Rows of vectors by address, for compiled code."""

    vectors: Array  # keeps the memory alive
    address: int
    stride: int
    is_half: bool

    @classmethod
    def of(cls, vectors: Array) -> RowTable | None:
        """The rows of a numpy array of float32 or float16 with contiguous rows; None for anything else."""
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
    vectors: RowTable | Array,
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
    vectors : RowTable, or anything of shape (n, d) that gives rows for an array of row numbers
    k : int
    metric : {"l2", "ip", "cosine"}
    threads : int, optional

    Raises
    ------
    InputError
        If a place is not a row of `vectors`.
    """
    from lookalike.kernels.rerank import rerank

    d = (vectors.vectors if isinstance(vectors, RowTable) else vectors).shape[1]
    if d != xq.shape[1]:
        raise DimensionError(f"vectors: expected d={xq.shape[1]} of the index, got {d}")
    queries = unit_rows(xq) if metric == "cosine" else xq
    distances, out = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    group = GROUP if isinstance(vectors, RowTable) else max(1, BYTES // (4 * ids.shape[1] * queries.shape[1]))

    def order(first: int) -> None:
        part = slice(first, first + group)
        rows, where = (vectors, places[part]) if isinstance(vectors, RowTable) else _gathered(vectors, places[part])
        lie = rows.address, rows.stride, len(rows.vectors), rows.is_half
        outside = rerank(queries[part], ids[part], where, lie, METRIC_NUMBERS[metric], distances[part], out[part])
        if outside >= 0:
            raise _not_a_row(outside, rows.vectors)

    if len(queries) <= group:  # starting threads would cost more than it saves
        order(0)
    else:
        run_all(order, range(0, len(queries), group), threads or cores())
    return SearchResult(distances, out)


def _gathered(vectors: Array, places: IdArray) -> tuple[RowTable, IdArray]:
    """The rows that `places` name, each read once and in the order of storage, and the places among them."""
    if places.size and places.max() >= len(vectors):
        raise _not_a_row(places.max(), vectors)
    rows, where = np.unique(places[places >= 0], return_inverse=True)
    renamed = np.full(places.shape, -1)
    renamed[places >= 0] = where
    gathered = np.empty((len(rows), vectors.shape[1]), np.float32)
    if len(rows):
        gathered[:] = vectors[rows]
    return RowTable(gathered, gathered.ctypes.data, gathered.strides[0], False), renamed


def _not_a_row(place: int, vectors: Array) -> InputError:
    return InputError(f"id {place} is not a row of the {len(vectors)} vectors to re-rank with")

"""What indexes of coded vectors share: a product quantizer, lists of codes, and the search of given lists."""

from __future__ import annotations

import copy
import os
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

import lookalike
from lookalike._typing import Array, CodeArray, FloatArray, IdArray, PathLike, RangeResult, SearchResult
from lookalike._validate import MAX_K, check_count, check_ids, check_radius
from lookalike.errors import IdError, InputError, NotTrainedError
from lookalike.index.base import Index, allowed_ids, gather_ranges, missing
from lookalike.index.idmap import IdMap
from lookalike.index.invlists import InvertedLists
from lookalike.index.large import LargeArray, is_large, sample_rows
from lookalike.index.preassigned import CodeSpace, range_preassigned, search_preassigned
from lookalike.quantizers.kmeans import KMeansChoice, get_kmeans
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform, parse_rotation, train_opq, train_pca

if TYPE_CHECKING:
    from lookalike.index.trace import Trace

__all__ = ["CodedIndex"]

ROWS = 65_536  # vectors encoded at a time
POSITION = 0xFFFFFFFF  # a place is list_no << 32 | position


class CodedIndex(Index):
    """Base of `PQIndex` and `IVFPQIndex`: vectors as PQ codes in one or many lists.

    An optional rotation (`quantizers.rotation`) stands at the public door: what lies behind it, centroids and codes,
    lives in the rotated space.
    """

    by_residual = False

    def __init__(
        self, nlist: int, m: int, nbits: int, metric: str, kmeans: KMeansChoice, rotation: str | None, seed: int
    ) -> None:
        super().__init__(metric)
        get_kmeans(kmeans)
        parse_rotation(rotation)
        self.nlist = check_count(nlist, "nlist")
        self.kmeans, self.rotation, self.seed = kmeans, rotation, seed
        self.pq = ProductQuantizer(m, nbits, kmeans, seed)
        self._transform: LinearTransform | None = None
        self._centroids: FloatArray | None = None
        self.training: dict[str, Any] = {}  # how it was trained, for the record; empty if centroids were given
        self._lists = InvertedLists(nlist, m, self.pq.code_dtype)
        self._places: IdMap | None = None

    # --- what differs ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _train_coarse(self, xt: FloatArray) -> FloatArray:
        """Coarse centroids, float32, shape (nlist, d)."""

    @abstractmethod
    def _assign(self, x: FloatArray, centroids: FloatArray) -> IdArray:
        """The list of each vector."""

    @abstractmethod
    def _probe(self, xq: FloatArray, nprobe: int, threads: int = 1) -> tuple[IdArray, FloatArray]:
        """The lists to visit for each query, (nq, nprobe), nearest first, and the part of the distance they give."""

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def m(self) -> int:
        """Number of sub-quantizers."""
        return self.pq.m

    @property
    def nbits(self) -> int:
        """Bits of a sub-code."""
        return self.pq.nbits

    @property
    def ksub(self) -> int:
        """Centroids of each sub-quantizer, 2**nbits."""
        return self.pq.ksub

    @property
    def dsub(self) -> int:
        """Dimension of each sub-space, d // m."""
        return self.pq.dsub

    @property
    def ntotal(self) -> int:
        return self._lists.snapshot.ntotal

    @property
    def is_trained(self) -> bool:
        return self._centroids is not None

    @property
    def pq_centroids(self) -> FloatArray:
        """float32, shape (m, ksub, dsub), read-only."""
        self._check_trained()
        return self.pq.pq_centroids

    @property
    def ids(self) -> IdArray:
        return self._lists.all_ids()

    @property
    def codes(self) -> CodeArray:
        """Codes of all vectors, uint8 or uint16, shape (ntotal, m), in the order of `ids`."""
        now = self._lists.snapshot
        parts = [self._lists.rows(number, now)[0] for number in range(self.nlist)]
        return np.concatenate(parts)  # type: ignore[return-value]

    # --- train and add -----------------------------------------------------------------------------------------------

    def _train(self, xt: FloatArray) -> None:
        from lookalike.kernels.simd import instructions

        transform = self._train_transform(xt)
        x = xt if transform is None else transform.apply(xt)
        self.pq.check_dimension(x.shape[1])
        centroids = self._train_coarse(x)
        limit = 256 * self.ksub
        if len(x) > limit:
            x = x[np.sort(np.random.default_rng(self.seed + 1).choice(len(x), limit, replace=False))]
        if self.by_residual:
            x = x - centroids[self._assign(x, centroids)]
        self.pq.train(x)
        self._transform = transform
        self._set_centroids(centroids)
        self.training = {
            "points": len(xt),
            "kmeans": self.kmeans if isinstance(self.kmeans, str) else "custom",
            "seed": self.seed,
            "instructions": instructions() or "plain",
            "lookalike": lookalike.__version__,
            "numpy": np.__version__,
        }

    def _train_transform(self, xt: FloatArray) -> LinearTransform | None:
        kind, d_out = parse_rotation(self.rotation)
        if kind == "pca":
            return train_pca(xt, d_out or xt.shape[1], centre=self._is_l2)  # products need the origin where it is
        return train_opq(xt, self.m, d_out, nbits=self.nbits, seed=self.seed) if kind == "opq" else None

    def _set_centroids(self, centroids: FloatArray) -> None:
        centroids.flags.writeable = False
        self.d = centroids.shape[1] if self._transform is None else self._transform.d_in
        self._centroids = centroids

    def _inside(self, x: FloatArray) -> FloatArray:
        """Vectors as the lists know them: rotated, if there is a rotation."""
        return x if self._transform is None else self._transform.apply(x)

    def _encode(self, x: FloatArray) -> tuple[IdArray, CodeArray, FloatArray]:
        """List number, code and bias (see `kernels.distances`) of each vector."""
        from lookalike.kernels.assign import residuals

        centroids = self._trained()
        list_no = self._assign(x, centroids)
        to_encode = x
        if self.by_residual:
            to_encode = np.empty_like(x)
            residuals(x, list_no, centroids, to_encode)
        codes = self.pq.encode(to_encode)
        return list_no, codes, self._biases(list_no, codes)

    def _biases(self, list_no: IdArray, codes: CodeArray) -> FloatArray:
        """The part of each distance that depends on the stored vector only (see `kernels.distances`)."""
        from lookalike.kernels.distances import code_biases

        biases = np.zeros(len(codes), np.float32)
        if self._is_l2:
            code_biases(codes, list_no, self._trained(), self.pq.pq_centroids, self.by_residual, biases)
        return biases

    def _rows(self, xb: Any) -> Any:
        return LargeArray(self, xb) if is_large(xb) else super()._rows(xb)

    def _sampled(self, xt: Any) -> Any:
        return sample_rows(xt, 256 * max(self.nlist, self.ksub), self.seed) if is_large(xt) else xt

    def _add(self, xb: FloatArray | LargeArray, ids: IdArray) -> None:
        lists, places = self._lists.clone(), []  # a search sees all of `xb` or nothing of it
        for first in range(0, len(xb), ROWS):
            rows = slice(first, first + ROWS)
            list_no, codes, biases = self._encode(self._inside(xb[rows]))
            if self._places is not None:
                places.append(_next_places(list_no, lists.sizes))
            lists.append(list_no, codes, biases, ids[rows])
        self._lists = lists
        if self._places is not None:
            self._places.extend(ids, np.concatenate(places))

    # --- search ------------------------------------------------------------------------------------------------------

    def search(
        self, xq: Any, k: int = 10, *, nprobe: int | None = None, allow: Any = None, threads: int | None = None
    ) -> SearchResult:
        """The k nearest vectors of each query among the nprobe lists nearest to it.

        Parameters
        ----------
        xq : array of numbers, shape (nq, d)
        k : int
            Up to 1,000,000.
        nprobe : int, optional
            Lists visited, 1 by default; above nlist means all.
        allow : array of int64 ids, or of bool indexed by id, optional
            Only these are found, and k of them where the visited lists hold k.
        threads : int, optional
            All cores by default.

        Returns
        -------
        SearchResult
            Distances (nq, k) float32 and ids (nq, k) int64, best first, equal distances by id. They are distances to the decoded
            vectors (asymmetric distance).

        Raises
        ------
        NotTrainedError, DimensionError, InputError
        """
        k = check_count(k, "k", 1, MAX_K)
        vectors, nprobe, threads, permitted = self._check_request(xq, nprobe, threads, allow)
        if len(vectors) == 0 or self.ntotal == 0 or (permitted is not None and len(permitted) == 0):
            return missing(len(vectors), k, self.metric)
        queries = self._inside(vectors)
        probes, coarse = self._probe(queries, nprobe, threads)
        distances, ids = search_preassigned(
            self._lists.snapshot, self._space(), queries, probes, coarse, k, permitted, threads
        )
        return SearchResult(self._as_metric(distances), ids)

    def range_search(
        self, xq: Any, radius: float, *, nprobe: int | None = None, allow: Any = None, threads: int | None = None
    ) -> RangeResult:
        """Every vector nearer than `radius` among the nprobe lists nearest to each query.

        Parameters
        ----------
        xq : array of numbers, shape (nq, d)
        radius : float
            As in the metric: squared for ``"l2"``; ``"ip"`` gives the vectors of larger inner product.
        nprobe, allow, threads
            As in `search`.

        Returns
        -------
        RangeResult
            lims (nq + 1,), distances and ids (lims[-1],), each query's best first.
        """
        vectors, nprobe, threads, permitted = self._check_request(xq, nprobe, threads, allow)
        limit = check_radius(radius)
        if self.metric != "l2":
            limit = -limit if self.metric == "ip" else limit - 1
        if len(vectors) == 0 or self.ntotal == 0 or (permitted is not None and len(permitted) == 0):
            return gather_ranges([], len(vectors))
        queries = self._inside(vectors)
        probes, coarse = self._probe(queries, nprobe, threads)
        found = range_preassigned(
            self._lists.snapshot, self._space(), queries, probes, coarse, limit, permitted, threads
        )
        return gather_ranges([(self._as_metric(distances), ids) for distances, ids in found], len(queries))

    def _check_request(
        self, xq: Any, nprobe: int | None, threads: int | None, allow: Any
    ) -> tuple[FloatArray, int, int, Array | None]:
        self._check_trained()
        vectors = self._vectors(xq, "xq", empty_ok=True)
        nprobe = min(check_count(1 if nprobe is None else nprobe, "nprobe"), self.nlist)
        threads = (os.cpu_count() or 1) if threads is None else check_count(threads, "threads")
        return vectors, nprobe, threads, allowed_ids(allow)

    def _space(self) -> CodeSpace:
        return CodeSpace(self._trained(), self.pq.pq_centroids, self.pq.columns, self.by_residual, self._is_l2)

    def _as_metric(self, distances: FloatArray) -> FloatArray:
        """From "smaller is nearer" to what the metric promises."""
        if self.metric == "ip":
            return np.negative(distances, out=distances)
        if self.metric == "cosine":
            distances += 1
            return np.clip(distances, 0, None, out=distances)
        return distances

    # --- life of an index --------------------------------------------------------------------------------------------

    def update(self, ids: Any, xb: Any) -> Self:
        """Replace the vectors of these ids, which must be stored; a search sees all of the old ones or all of the new.

        Raises
        ------
        IdError
            If an id is not stored or is given twice; nothing is changed then.
        """
        with self._writing:
            self._check_writable()
            self._check_trained()
            vectors = self._vectors(xb, "xb", empty_ok=True)
            numbers = check_ids(ids, len(vectors))
            places = self._find_stored(numbers, "update")
            encoded = self._encode(self._inside(vectors))
            lists = self._lists.clone()
            lists.remove(places >> 32, places & POSITION)
            lists.append(*encoded, numbers)
            self._lists, self._places = lists, None
        return self

    def merge(self, other: Any, add_id: int = 0) -> Self:
        """Take over the vectors of an index with the same centroids, their ids shifted by `add_id`. `other` is not changed.

        Raises
        ------
        InputError
            If the two do not share metric, centroids and rotation.
        IdError
            If an id would be stored twice; nothing is changed then.
        """
        shift = check_count(add_id, "add_id", 0)
        if not isinstance(other, CodedIndex) or not self._same_space(other):
            raise InputError("merge: expected an index trained the same way (metric, m, nbits, centroids, rotation)")
        with self._writing:
            self._check_writable()
            now = other._lists.snapshot
            numbers = np.concatenate([other._lists.rows(number, now)[2] for number in range(self.nlist)]) + shift
            self._check_new(numbers)
            lists = self._lists.clone()
            for number in range(self.nlist):
                codes, biases, ids = other._lists.rows(number, now)
                if len(ids):
                    lists.append(np.full(len(ids), number), codes, biases, ids + shift)
            self._lists, self._places = lists, None
            self._next_id = max(self._next_id, int(numbers.max(initial=-1)) + 1)
        return self

    def split(self, ids: Any) -> Self:
        """Move the vectors of these ids, which must be stored, into a new index with the same centroids, and return it."""
        with self._writing:
            self._check_writable()
            numbers = check_ids(ids)
            places = self._find_stored(numbers, "split")
            part = copy.copy(self)
            part._writing = threading.RLock()
            part._lists, part._places = InvertedLists(self.nlist, self.m, self.pq.code_dtype), None
            list_no, position = places >> 32, places & POSITION
            if len(numbers):
                part._lists.append(
                    list_no, self._lists.codes_at(list_no, position), self._lists.biases_at(list_no, position), numbers
                )
            self._remove(numbers)
        return part

    def _find_stored(self, ids: IdArray, what: str) -> IdArray:
        """Places of distinct ids, all of them stored."""
        if len(np.unique(ids)) != len(ids):
            raise IdError(f"{what}: an id is given twice")
        places = self._find(ids)
        if (places < 0).any():
            raise IdError(f"{what}: id {int(ids[places < 0][0])} is not stored")
        return places

    def _same_space(self, other: CodedIndex) -> bool:
        if (type(self), self.metric, self.nlist, self.by_residual) != (
            type(other), other.metric, other.nlist, other.by_residual,
        ):  # fmt: skip
            return False
        own = [self._trained(), self.pq_centroids]
        theirs = [other._trained(), other.pq_centroids]
        if (self._transform is None) != (other._transform is None):
            return False
        if self._transform is not None and other._transform is not None:
            own += [self._transform.matrix, self._transform.offset]
            theirs += [other._transform.matrix, other._transform.offset]
        return all(np.array_equal(a, b) for a, b in zip(own, theirs, strict=True))

    def stats(self, sample: Any = None) -> dict[str, Any]:
        """Memory by part, balance of the lists and, for a `sample` of vectors (n, d), the quantization error.

        Returns
        -------
        dict
            ``memory``: bytes of codes, biases, ids, slack (room that growth left; `compact` gives it back), id_map (built
            when ids are first looked up), centroids; ``bytes_per_vector``: of the first three. ``lists``: count, empty, smallest,
            largest, ``imbalance`` = nlist · Σ n² / (Σ n)², 1 when all are equal. ``quantization_error``: mean
            ‖x − decoded‖² and its share of the mean ‖x − mean‖².
        """
        from lookalike.index.stats import index_stats

        return index_stats(self, sample)

    def trace(self, query: Any, k: int = 10, nprobe: int | None = None, exact_ids: Any = None) -> Trace:
        """One search, step by step: what was probed, computed, kept and, given the exact neighbours' ids, missed and why."""
        from lookalike.index.trace import trace_search

        return trace_search(self, query, k, nprobe, exact_ids)

    # --- the rest ----------------------------------------------------------------------------------------------------

    def compact(self) -> None:
        """Give back the memory that growing lists keep in reserve."""
        with self._writing:
            self._check_writable()
            self._lists.compact()

    def save(self, path: PathLike) -> None:
        """Write the index to one file, atomically; see `lookalike.load_index`."""
        from lookalike.index.storage import save_index

        save_index(self, path)

    def _remove(self, ids: IdArray) -> int:
        places = self._find(ids)
        places = places[places >= 0]
        if len(places):
            self._lists.remove(places >> 32, places & POSITION)
            self._places = None
        return len(places)

    def _find(self, ids: IdArray) -> IdArray:
        if self._places is None:
            self._places = IdMap(self._lists.all_ids(), self._lists.all_places())
        return self._places.find(ids)

    def _reconstruct(self, places: IdArray) -> FloatArray:
        list_no, position = places >> 32, places & POSITION
        decoded = self.pq.decode(self._lists.codes_at(list_no, position))
        if self.by_residual:
            decoded += self._trained()[list_no]
        return decoded if self._transform is None else self._transform.inverse(decoded)

    @property
    def _is_l2(self) -> bool:
        return self.metric == "l2"

    def _trained(self) -> FloatArray:
        if self._centroids is None:
            raise NotTrainedError(f"{type(self).__name__} is not trained; call train(xt) first")
        return self._centroids


def _next_places(list_no: IdArray, sizes: IdArray) -> IdArray:
    """Where vectors will stand that are appended to these lists in this order: ``list_no << 32 | position``."""
    order = np.argsort(list_no, kind="stable")
    added = np.bincount(list_no, minlength=len(sizes))
    places = np.empty(len(list_no), np.int64)
    places[order] = np.arange(len(order)) - np.repeat(np.cumsum(added) - added, added)
    return (list_no << 32) | (places + sizes[list_no])

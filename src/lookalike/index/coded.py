"""What indexes of coded vectors share: a product quantizer, lists of codes, and the search of given lists."""

from __future__ import annotations

import os
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from lookalike._typing import Array, CodeArray, FloatArray, IdArray, PathLike, SearchResult
from lookalike._validate import check_count
from lookalike.errors import NotTrainedError
from lookalike.index.base import Index, allowed_ids, missing
from lookalike.index.idmap import IdMap
from lookalike.index.invlists import InvertedLists, Snapshot
from lookalike.quantizers.kmeans import KMeansChoice, get_kmeans
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform, parse_rotation, train_opq, train_pca

__all__ = ["CodedIndex"]

ROWS = 65_536  # vectors encoded at a time
QUERIES = 128  # of one call of the kernel: their tables stay in the L2 cache
KEPT = 2_000_000  # candidates of one call at the most
NO_MASK, NO_IDS = np.empty(0, np.bool_), np.empty(0, np.int64)


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
    def _probe(self, xq: FloatArray, nprobe: int) -> tuple[IdArray, FloatArray]:
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
        parts = [self._lists.rows(number)[0] for number in range(self.nlist)]
        return np.concatenate(parts)  # type: ignore[return-value]

    # --- train and add -----------------------------------------------------------------------------------------------

    def _train(self, xt: FloatArray) -> None:
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

    def _train_transform(self, xt: FloatArray) -> LinearTransform | None:
        kind, d_out = parse_rotation(self.rotation)
        if kind == "pca":
            return train_pca(xt, d_out or xt.shape[1])
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
        from lookalike.kernels.distances import code_biases

        centroids = self._trained()
        list_no = self._assign(x, centroids)
        to_encode = x
        if self.by_residual:
            to_encode = np.empty_like(x)
            residuals(x, list_no, centroids, to_encode)
        codes = self.pq.encode(to_encode)
        biases = np.zeros(len(x), np.float32)
        if self._is_l2:
            code_biases(codes, list_no, centroids, self.pq.pq_centroids, self.by_residual, biases)
        return list_no, codes, biases

    def _add(self, xb: FloatArray, ids: IdArray) -> None:
        for first in range(0, len(xb), ROWS):
            rows = slice(first, first + ROWS)
            self._append(*self._encode(self._inside(xb[rows])), ids[rows])

    def _append(self, list_no: IdArray, codes: CodeArray, biases: FloatArray, ids: IdArray) -> None:
        before = self._lists.sizes.copy()
        self._lists.append(list_no, codes, biases, ids)
        if self._places is not None:
            order = np.argsort(list_no, kind="stable")
            sizes = np.bincount(list_no, minlength=self.nlist)
            within = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            self._places.extend(ids[order], (list_no[order] << 32) | (before[list_no[order]] + within))

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
        vectors, k = self._check_search(xq, k)
        nprobe = min(check_count(1 if nprobe is None else nprobe, "nprobe"), self.nlist)
        threads = (os.cpu_count() or 1) if threads is None else check_count(threads, "threads")
        permitted = allowed_ids(allow)
        if len(vectors) == 0 or self.ntotal == 0 or (permitted is not None and len(permitted) == 0):
            return missing(len(vectors), k, self.metric)
        queries = self._inside(vectors)
        probes, coarse = self._probe(queries, nprobe)
        distances, ids = self._search_preassigned(queries, k, probes, coarse, permitted, threads)
        return SearchResult(self._as_metric(distances), ids)

    def _search_preassigned(
        self, xq: FloatArray, k: int, probes: IdArray, coarse: FloatArray, permitted: Array | None, threads: int
    ) -> tuple[FloatArray, IdArray]:
        """Search the given lists of each query; smaller is nearer."""
        from lookalike.kernels.ivf import search_lists, search_lists_wide

        lists: Snapshot = self._lists.snapshot
        mask = permitted if permitted is not None and permitted.dtype == np.bool_ else NO_MASK
        chosen = permitted if permitted is not None and permitted.dtype != np.bool_ else NO_IDS
        distances, ids = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)
        search = search_lists if self.nbits <= 8 else search_lists_wide
        centroids, columns = self._trained(), self.pq.columns

        def run(rows: slice) -> None:
            search(
                xq[rows], probes[rows], coarse[rows], lists.table, lists.longest, centroids, self.pq.pq_centroids, columns,
                self.by_residual, self._is_l2, lists.wide_ids, mask, chosen, k, distances[rows], ids[rows],
            )  # fmt: skip

        step = max(1, min(QUERIES, KEPT // k, -(-len(xq) // threads)))
        parts = [slice(at, at + step) for at in range(0, len(xq), step)]
        if threads == 1 or len(parts) == 1:
            for part in parts:
                run(part)
        else:
            with ThreadPoolExecutor(min(threads, len(parts))) as pool:
                list(pool.map(run, parts))
        return distances, ids

    def _as_metric(self, distances: FloatArray) -> FloatArray:
        """From "smaller is nearer" to what the metric promises."""
        if self.metric == "ip":
            return np.negative(distances, out=distances)
        if self.metric == "cosine":
            distances += 1
            return np.clip(distances, 0, None, out=distances)
        return distances

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
            self._lists.remove(places >> 32, places & 0xFFFFFFFF)
            self._places = None
        return len(places)

    def _find(self, ids: IdArray) -> IdArray:
        if self._places is None:
            self._places = IdMap(self._lists.all_ids(), self._lists.all_places())
        return self._places.find(ids)

    def _reconstruct(self, places: IdArray) -> FloatArray:
        list_no, position = places >> 32, places & 0xFFFFFFFF
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

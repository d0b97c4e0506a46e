"""IVFPQ: an inverted file with product-quantized residuals (Jégou, Douze and Schmid, TPAMI 2011).

train   coarse centroids by k-means; PQ centroids on the residuals r = x − q_c(x)
add     x goes to the list of its nearest centroid, as the code of its residual
search  the nprobe nearest lists are scanned, by look-up tables of the query (section IV)
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from lookalike._typing import Array, CodeArray, FloatArray, IdArray, PathLike, SearchResult
from lookalike._validate import check_count
from lookalike.errors import DimensionError, InputError, NotTrainedError
from lookalike.index.base import Index, allowed_ids, missing
from lookalike.index.idmap import IdMap
from lookalike.index.invlists import InvertedLists, Snapshot, aligned_empty
from lookalike.quantizers.kmeans import KMeansChoice, assign, get_kmeans, train_centroids
from lookalike.quantizers.pq import ProductQuantizer

__all__ = ["IVFPQIndex"]

ROWS = 65_536  # vectors assigned and encoded at a time
QUERIES = 128  # of one call of the kernel: their tables stay in the L2 cache
FEW = 8  # below this many queries, scoring centroids by our kernel beats a matrix product
NO_MASK, NO_IDS = np.empty(0, np.bool_), np.empty(0, np.int64)


class _Coarse(NamedTuple):
    """The coarse centroids and the forms that kernels want."""

    centroids: FloatArray  # (nlist, d)
    tiles: FloatArray  # (ceil(nlist / 64), d, 64), aligned: element e of centroid 64 t + c
    offsets: FloatArray  # (64 · tiles,): ‖c‖², or 0 for inner products; +inf where padded


class IVFPQIndex(Index):
    """Inverted file with product quantization: m bytes a vector, sub-linear search.

    Parameters
    ----------
    nlist : int
        Inverted lists; about 4·sqrt(n) to 16·sqrt(n).
    m : int
        Sub-quantizers; must divide d. A vector takes m bytes (2 m for nbits > 8) and 8 more.
    nbits : int
        Bits of a sub-code, 4 to 16; 8 is the fast one.
    metric : {"l2", "ip", "cosine"}
    kmeans : {"native", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    by_residual : bool
        Encode x − q_c(x) (default) or x itself.
    seed : int
        Training is repeatable on one machine.

    Notes
    -----
    Search costs O(d · nlist + d · ksub) once and O(m) for each vector of the nprobe lists. Lists are assigned by L2 distance for
    ``"l2"`` and ``"cosine"``, and by inner product for ``"ip"``, as in FAISS.

    References
    ----------
    H. Jégou, M. Douze, C. Schmid, "Product quantization for nearest neighbor search", IEEE TPAMI 33(1), 2011.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((4000, 16), np.float32)
    >>> index = la.IVFPQIndex(nlist=16, m=4, nbits=6).train(xb).add(xb)
    >>> distances, ids = index.search(xb[:2], k=3, nprobe=4)
    >>> distances.shape
    (2, 3)
    """

    kind = "ivfpq"

    def __init__(
        self,
        nlist: int,
        m: int,
        nbits: int = 8,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        by_residual: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(metric)
        get_kmeans(kmeans)
        self.nlist = check_count(nlist, "nlist")
        self.by_residual, self.kmeans, self.seed = bool(by_residual), kmeans, seed
        self.pq = ProductQuantizer(m, nbits, kmeans, seed)
        self._coarse: _Coarse | None = None
        self._lists = InvertedLists(nlist, m, self.pq.code_dtype)
        self._places: IdMap | None = None

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def m(self) -> int:
        return self.pq.m

    @property
    def nbits(self) -> int:
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
        return self._coarse is not None

    @property
    def coarse_centroids(self) -> FloatArray:
        """float32, shape (nlist, d), read-only."""
        return self._trained().centroids

    @property
    def pq_centroids(self) -> FloatArray:
        """float32, shape (m, ksub, dsub), read-only."""
        self._trained()
        return self.pq.pq_centroids

    @property
    def ids(self) -> IdArray:
        return self._lists.all_ids()

    @property
    def codes(self) -> CodeArray:
        """Codes of all vectors, uint8 or uint16, shape (ntotal, m), in the order of `ids`."""
        parts = [self._lists.rows(number)[0] for number in range(self.nlist)]
        return np.concatenate(parts)  # type: ignore[return-value]

    @property
    def list_sizes(self) -> IdArray:
        """Vectors in each list, int64, shape (nlist,)."""
        return self._lists.sizes.copy()

    # --- train and add -----------------------------------------------------------------------------------------------

    def _train(self, xt: FloatArray) -> None:
        self.pq.check_dimension(xt.shape[1])
        centroids = self._train_coarse(xt)
        sample = xt
        limit = 256 * self.ksub
        if len(sample) > limit:
            sample = sample[np.sort(np.random.default_rng(self.seed + 1).choice(len(sample), limit, replace=False))]
        if self.by_residual:
            sample = sample - centroids[self._assign(sample, centroids)]
        self.pq.train(sample)
        self._set_coarse(centroids)

    def _train_coarse(self, xt: FloatArray) -> FloatArray:
        return train_centroids(xt, self.nlist, self.kmeans, self.seed, "coarse quantizer")

    def set_centroids(self, coarse_centroids: Any, pq_centroids: Any) -> IVFPQIndex:
        """Use these centroids instead of training; float, shapes (nlist, d) and (m, ksub, dsub). Returns the index itself.

        Raises
        ------
        DimensionError
            If the shapes do not fit the index or each other.
        InputError
            If they are not finite, or the index holds vectors already.
        """
        coarse = np.array(coarse_centroids, np.float32, order="C")
        if coarse.ndim != 2 or coarse.shape[0] != self.nlist:
            raise DimensionError(f"coarse_centroids: expected ({self.nlist}, d), got {coarse.shape}")
        if not np.isfinite(coarse).all():
            raise InputError("coarse_centroids: expected finite numbers, got NaN or infinity")
        with self._writing:
            self._check_writable()
            if self.ntotal:
                raise InputError(f"set_centroids: expected an empty index, it holds {self.ntotal} vectors")
            self.pq.check_dimension(coarse.shape[1])
            self.pq.set_centroids(pq_centroids)
            if self.pq.d != coarse.shape[1]:
                raise DimensionError(f"pq_centroids: expected m · dsub = {coarse.shape[1]}, got {self.pq.d}")
            self._set_coarse(coarse)
        return self

    def _set_coarse(self, centroids: FloatArray) -> None:
        nlist, d = centroids.shape
        tiles = -(-nlist // 64)
        padded = np.zeros((tiles * 64, d), np.float32)
        padded[:nlist] = centroids
        columns = aligned_empty((tiles, d, 64), np.float32)
        columns[:] = padded.reshape(tiles, 64, d).transpose(0, 2, 1)
        offsets = aligned_empty((tiles * 64,), np.float32)
        offsets[:] = np.inf
        offsets[:nlist] = 0 if self.metric == "ip" else np.einsum("ld,ld->l", centroids, centroids)
        centroids.flags.writeable = False
        self.d = d
        self._coarse = _Coarse(centroids, columns, offsets)

    def _assign(self, x: FloatArray, centroids: FloatArray) -> IdArray:
        """The list of each vector: nearest centroid, or for ``"ip"`` the one of largest inner product."""
        if self.metric == "ip":
            parts = [np.argmax(x[at : at + 4096] @ centroids.T, axis=1) for at in range(0, len(x), 4096)]
            return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)
        return assign(x, centroids)[0]

    def _encode(self, x: FloatArray) -> tuple[IdArray, CodeArray, FloatArray]:
        """List number, code and bias of each vector."""
        from lookalike.kernels.assign import residuals
        from lookalike.kernels.distances import code_biases

        coarse = self._trained().centroids
        list_no = self._assign(x, coarse)
        to_encode = x
        if self.by_residual:
            to_encode = np.empty_like(x)
            residuals(x, list_no, coarse, to_encode)
        codes = self.pq.encode(to_encode)
        biases = np.zeros(len(x), np.float32)
        if self._is_l2:
            code_biases(codes, list_no, coarse, self.pq.pq_centroids, self.by_residual, biases)
        return list_no, codes, biases

    def _add(self, xb: FloatArray, ids: IdArray) -> None:
        for first in range(0, len(xb), ROWS):
            rows = slice(first, first + ROWS)
            self._append(*self._encode(xb[rows]), ids[rows])

    def _append(self, list_no: IdArray, codes: CodeArray, biases: FloatArray, ids: IdArray) -> None:
        before = self._lists.sizes.copy() if self._places is not None else None
        self._lists.append(list_no, codes, biases, ids)
        if self._places is not None and before is not None:
            order = np.argsort(list_no, kind="stable")
            sizes = np.bincount(list_no, minlength=self.nlist)
            within = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            places = (list_no[order] << 32) | (before[list_no[order]] + within)
            self._places.extend(ids[order], places)

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
        queries, k = self._check_search(xq, k)
        nprobe = min(check_count(1 if nprobe is None else nprobe, "nprobe"), self.nlist)
        threads = check_count(threads or os.cpu_count() or 1, "threads")
        permitted = allowed_ids(allow)
        if len(queries) == 0 or self.ntotal == 0 or (permitted is not None and len(permitted) == 0):
            return missing(len(queries), k, self.metric)
        probes, coarse = self._probe(queries, nprobe)
        distances, ids = self._search_preassigned(queries, k, probes, coarse, permitted, threads)
        return SearchResult(self._as_metric(distances), ids)

    def _probe(self, xq: FloatArray, nprobe: int) -> tuple[IdArray, FloatArray]:
        """The nprobe nearest lists of each query, nearest first, and what each contributes to the distance."""
        from lookalike.kernels.distances import coarse_scores, select_probes

        centroids, tiles, offsets = self._trained()
        probes, coarse = np.empty((len(xq), nprobe), np.int64), np.empty((len(xq), nprobe), np.float32)
        by_l2 = self.metric != "ip"
        scale = np.float32(-2 if by_l2 else -1)
        for first in range(0, len(xq), 1024):
            rows = xq[first : first + 1024]
            if len(rows) < FEW:
                scores = aligned_empty((len(rows), len(offsets)), np.float32)
                coarse_scores(rows, tiles, offsets, scale, scores)
            else:
                scores = np.full((len(rows), len(offsets)), np.inf, np.float32)
                scores[:, : self.nlist] = rows @ centroids.T
                scores[:, : self.nlist] *= scale
                scores[:, : self.nlist] += offsets[: self.nlist]
            out = slice(first, first + len(rows))
            select_probes(rows, scores, centroids, nprobe, by_l2, probes[out], coarse[out])
        return probes, self._list_terms(xq, probes, coarse)

    def _list_terms(self, xq: FloatArray, probes: IdArray, coarse: FloatArray) -> FloatArray:
        """The part of the distance that depends on query and list only (see `kernels.distances`)."""
        if self._is_l2:
            if self.by_residual:
                return coarse
            return np.repeat(np.einsum("qd,qd->q", xq, xq)[:, None], coarse.shape[1], axis=1)
        if not self.by_residual:
            return np.zeros_like(coarse)
        if self.metric == "ip":
            return coarse
        products = np.einsum("qpd,qd->qp", self._trained().centroids[probes], xq)
        return np.asarray(-products, np.float32)

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
        centroids, columns = self._trained().centroids, self.pq.columns

        def run(rows: slice) -> None:
            search(
                xq[rows], probes[rows], coarse[rows], lists.table, lists.longest, centroids, self.pq.pq_centroids, columns,
                self.by_residual, self._is_l2, lists.wide_ids, mask, chosen, k, distances[rows], ids[rows],
            )  # fmt: skip

        step = max(1, min(QUERIES, 2_000_000 // k, -(-len(xq) // threads)))
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
            decoded += self._trained().centroids[list_no]
        return decoded

    @property
    def _is_l2(self) -> bool:
        return self.metric == "l2"

    def _trained(self) -> _Coarse:
        if self._coarse is None:
            raise NotTrainedError(f"{type(self).__name__} is not trained; call train(xt) first")
        return self._coarse

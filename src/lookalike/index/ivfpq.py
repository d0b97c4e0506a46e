"""IVFPQ: an inverted file with product-quantized residuals (Jégou, Douze and Schmid, TPAMI 2011).

train   coarse centroids by k-means; PQ centroids on the residuals r = x − q_c(x)
add     x goes to the list of its nearest centroid, as the code of its residual
search  the nprobe nearest lists are scanned, by look-up tables of the query (section IV)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike._typing import FloatArray, IdArray, SearchResult
from lookalike._validate import LARGEST_NORM, check_count, is_plain
from lookalike.errors import DimensionError, InputError
from lookalike.index.coarse import CoarseQuantizer, assign_lists, check_centroids, check_coarse_metric
from lookalike.index.coded import CodedIndex
from lookalike.quantizers.kmeans import KMeansChoice, train_centroids

__all__ = ["IVFPQIndex"]

GATHERED = 1 << 20  # elements of centroids gathered at a time


class IVFPQIndex(CodedIndex):
    """Inverted file with product quantization: m bytes a vector, sub-linear search.

    Parameters
    ----------
    nlist : int
        Inverted lists; about 4·sqrt(n) to 16·sqrt(n).
    m : int
        Sub-quantizers; must divide d. A vector takes m bytes (2 m for nbits > 8) and 8 more, for its bias and its id.
    nbits : int
        Bits of a sub-code, 4 to 16; 8 is the fast one.
    metric : {"l2", "ip", "cosine"}
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "opq", "opq:64", "pca:128"}
        A linear map in front, learnt in `train`; the number is the dimension behind it, which m must divide.
    by_residual : bool
        Encode x − q_c(x) (default) or x itself.
    seed : int
        Training is repeatable on one machine.
    coarse_metric : {None, "l2", "ip"}
        How lists are assigned and chosen: by default by L2 distance for ``"l2"`` and ``"cosine"``, and by inner product for
        ``"ip"``, as in FAISS. Lists that are chosen by inner product have centroids of length 1 (spherical k-means).

    Notes
    -----
    Search costs O(d · nlist + d · ksub) once and O(m) for each vector of the nprobe lists.

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
        nlist: int = 1024,
        m: int = 16,
        nbits: int = 8,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
        by_residual: bool = True,
        coarse_metric: str | None = None,
    ) -> None:
        super().__init__(nlist, m, nbits, metric, kmeans, rotation, seed)
        self.by_residual = bool(by_residual)
        self.coarse_metric = check_coarse_metric(coarse_metric, metric)
        self._coarse: CoarseQuantizer | None = None

    @property
    def coarse_centroids(self) -> FloatArray:
        """float32, shape (nlist, d), read-only; in the rotated space if there is a rotation."""
        return self._trained()

    @property
    def list_sizes(self) -> IdArray:
        """Vectors in each list, int64, shape (nlist,)."""
        return self._lists.sizes.copy()

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
        check_centroids(coarse)
        with self._changing():
            if self.ntotal:
                raise InputError(f"set_centroids: expected an empty index, it holds {self.ntotal} vectors")
            if self._transform is not None and self._transform.d_out != coarse.shape[1]:
                raise DimensionError(
                    f"coarse_centroids: expected d={self._transform.d_out} behind the rotation, got {coarse.shape[1]}"
                )
            pq = self._new_quantizer()
            pq.check_dimension(coarse.shape[1])
            pq.set_centroids(pq_centroids)
            if pq.d != coarse.shape[1]:
                raise DimensionError(f"pq_centroids: expected m · dsub = {coarse.shape[1]}, got {pq.d}")
            self.pq, self.training = pq, {}
            self._set_centroids(coarse)
        return self

    def _arguments(self) -> dict[str, Any]:
        more = {"nlist": self.nlist, "by_residual": self.by_residual, "coarse_metric": self.coarse_metric}
        return super()._arguments() | more

    def _search_alone(
        self, xq: Any, k: int, nprobe: int | None, threads: int | None, allow: Any
    ) -> SearchResult | None:
        """What `search` gives for one query in the common case, by one call of one kernel; None in any other case."""
        coarse, now = self._coarse, self._lists.snapshot
        if (
            coarse is None
            or not is_plain(xq, self.d)
            or len(xq) != 1
            or allow is not None
            or self._transform is not None
            or self._seen().origin is not None
            or self.metric == "cosine"
            or self.coarse_metric != self.metric
            or self.nbits > 8
            or not now.ntotal
        ):
            return None
        from lookalike.kernels.ivf import search_one

        nprobe = min(check_count(1 if nprobe is None else nprobe, "nprobe"), self.nlist)
        check_count(1 if threads is None else threads, "threads")
        distances, ids = np.empty((1, k), np.float32), np.empty((1, k), np.int64)
        norm = search_one(
            xq, coarse.tiles, coarse.offsets, coarse.largest, nprobe, now.table, now.longest, *self._space(), now.wide_ids, k,
            distances, ids,
        )  # fmt: skip
        return SearchResult(self._as_metric(distances), ids) if norm < LARGEST_NORM else None

    def _train_coarse(self, xt: FloatArray) -> FloatArray:
        spherical = self.coarse_metric == "ip"
        return train_centroids(xt, self.nlist, self.kmeans, self.seed, "coarse quantizer", spherical=spherical)

    def _set_centroids(self, centroids: FloatArray) -> None:
        self._coarse = CoarseQuantizer(centroids, self.coarse_metric)
        super()._set_centroids(centroids)

    def _assign(self, x: FloatArray, centroids: FloatArray) -> IdArray:
        if self._coarse and self._coarse.centroids is centroids:
            return self._coarse.assign(x)
        return assign_lists(x, centroids, self.coarse_metric)

    def _probe(self, xq: FloatArray, nprobe: int, threads: int = 1) -> tuple[IdArray, FloatArray]:
        """The nprobe nearest lists of each query, nearest first, and what each contributes to the distance."""
        assert self._coarse is not None  # set together with the centroids
        probes, coarse = self._coarse.probe(xq, nprobe, threads)
        return probes, self._list_terms(xq, probes, coarse)

    def _list_terms(self, xq: FloatArray, probes: IdArray, coarse: FloatArray) -> FloatArray:
        """The part of the distance that depends on query and list only (see `kernels.distances`)."""
        if not self.by_residual:
            return np.repeat(self._own_terms(xq)[:, None], coarse.shape[1], axis=1)
        if self._is_l2 == (self.coarse_metric == "l2"):
            return coarse if self.metric != "cosine" else coarse + np.float32(self._least)
        centroids = self._trained()
        terms = np.empty_like(coarse)
        group = max(1, GATHERED // (coarse.shape[1] * xq.shape[1]))
        for first in range(0, len(xq), group):
            rows = slice(first, first + group)
            visited, queries = centroids[probes[rows]], xq[rows, None, :]
            products = None if self._is_l2 else (visited * queries).sum(axis=2)
            terms[rows] = np.square(visited - queries).sum(axis=2) if products is None else self._least - products
        return terms

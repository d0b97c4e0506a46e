"""IVFPQ: an inverted file with product-quantized residuals (Jégou, Douze and Schmid, TPAMI 2011).

train   coarse centroids by k-means; PQ centroids on the residuals r = x − q_c(x)
add     x goes to the list of its nearest centroid, as the code of its residual
search  the nprobe nearest lists are scanned, by look-up tables of the query (section IV)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.errors import DimensionError, InputError
from lookalike.index.coded import CodedIndex
from lookalike.index.invlists import aligned_empty
from lookalike.quantizers.kmeans import KMeansChoice, assign, train_centroids

__all__ = ["IVFPQIndex"]

FEW = 8  # below this many queries, scoring centroids by our kernel beats a matrix product


class _Tiles(NamedTuple):
    """The coarse centroids as the kernel that scores single queries wants them."""

    columns: FloatArray  # (ceil(nlist / 64), d, 64), aligned: element e of centroid 64 t + c
    offsets: FloatArray  # (64 · tiles,): ‖c‖², or 0 for inner products; +inf where padded


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
    kmeans : {"native", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "opq", "opq:64", "pca:128"}
        A linear map in front, learnt in `train`; the number is the dimension behind it, which m must divide.
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
        nlist: int = 1024,
        m: int = 16,
        nbits: int = 8,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
        by_residual: bool = True,
    ) -> None:
        super().__init__(nlist, m, nbits, metric, kmeans, rotation, seed)
        self.by_residual = bool(by_residual)
        self._tiles: _Tiles | None = None

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
            self._set_centroids(coarse)
        return self

    def _train_coarse(self, xt: FloatArray) -> FloatArray:
        return train_centroids(xt, self.nlist, self.kmeans, self.seed, "coarse quantizer")

    def _set_centroids(self, centroids: FloatArray) -> None:
        nlist, d = centroids.shape
        tiles = -(-nlist // 64)
        padded = np.zeros((tiles * 64, d), np.float32)
        padded[:nlist] = centroids
        columns = aligned_empty((tiles, d, 64), np.float32)
        columns[:] = padded.reshape(tiles, 64, d).transpose(0, 2, 1)
        offsets = aligned_empty((tiles * 64,), np.float32)
        offsets[:] = np.inf
        offsets[:nlist] = 0 if self.metric == "ip" else np.einsum("ld,ld->l", centroids, centroids)
        self._tiles = _Tiles(columns, offsets)
        super()._set_centroids(centroids)

    def _assign(self, x: FloatArray, centroids: FloatArray) -> IdArray:
        """The list of each vector: nearest centroid, or for ``"ip"`` the one of largest inner product."""
        if self.metric == "ip":
            parts: list[IdArray] = [np.argmax(x[at : at + 4096] @ centroids.T, axis=1) for at in range(0, len(x), 4096)]
            return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)
        return assign(x, centroids)[0]

    def _probe(self, xq: FloatArray, nprobe: int) -> tuple[IdArray, FloatArray]:
        """The nprobe nearest lists of each query, nearest first, and what each contributes to the distance."""
        from lookalike.kernels.distances import coarse_scores, select_probes

        centroids = self._trained()
        assert self._tiles is not None  # set together with the centroids
        tiles, offsets = self._tiles
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
            own: FloatArray = np.einsum("qd,qd->q", xq, xq)[:, None]
            return np.repeat(own, coarse.shape[1], axis=1)
        if not self.by_residual:
            return np.zeros_like(coarse)
        if self.metric == "ip":
            return coarse
        products = np.einsum("qpd,qd->qp", self._trained()[probes], xq)
        return np.asarray(-products, np.float32)

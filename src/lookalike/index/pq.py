"""A flat list of PQ codes: every vector is compared, by look-up tables."""

from __future__ import annotations

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.index.coded import CodedIndex
from lookalike.quantizers.kmeans import KMeansChoice

__all__ = ["PQIndex"]


class PQIndex(CodedIndex):
    """Product quantization without an inverted file: m bytes a vector, all of them scanned.

    It is an inverted file of one list whose centroid is the origin.

    Parameters
    ----------
    m : int
        Sub-quantizers; must divide d.
    nbits : int
        Bits of a sub-code, 4 to 16; 8 is the fast one.
    metric : {"l2", "ip", "cosine"}
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "opq", "opq:64", "pca:128"}
    seed : int

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((2000, 16), np.float32)
    >>> index = la.PQIndex(m=8, nbits=4).train(xb).add(xb)
    >>> index.search(xb[:2], k=3).ids.shape
    (2, 3)
    """

    kind = "pq"

    def __init__(
        self,
        m: int = 16,
        nbits: int = 8,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(1, m, nbits, metric, kmeans, rotation, seed)

    def _train_coarse(self, xt: FloatArray) -> FloatArray:
        return np.zeros((1, xt.shape[1]), np.float32)

    def _assign(self, x: FloatArray, centroids: FloatArray) -> IdArray:
        return np.zeros(len(x), np.int64)

    def _probe(self, xq: FloatArray, nprobe: int, threads: int = 1) -> tuple[IdArray, FloatArray]:
        return np.zeros((len(xq), 1), np.int64), self._own_terms(xq)[:, None]

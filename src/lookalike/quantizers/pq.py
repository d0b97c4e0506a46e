"""Product quantization (Jégou, Douze and Schmid, TPAMI 2011, section II).

A vector is cut into m pieces; each piece is replaced by the number of the nearest of ksub = 2**nbits centroids that were learnt for
its place. m numbers of nbits bits stand for d floats.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from lookalike._threads import cores, run_all
from lookalike._typing import ArrayLike, CodeArray, FloatArray
from lookalike._validate import check_count, check_vectors
from lookalike.errors import DimensionError, InputError, NotTrainedError
from lookalike.kernels.layout import Tiles
from lookalike.quantizers.kmeans import (
    POINTS_PER_CENTROID,
    KMeansChoice,
    advise_points,
    get_kmeans,
    is_small,
    nearest_in_parts,
    train_centroids,
)

__all__ = ["ProductQuantizer"]

MAX_M = 65_535  # so many bytes of 1 still add up in the 16 bits of the scan


class ProductQuantizer:
    """m small k-means side by side: section II-B.

    Parameters
    ----------
    m : int
        Number of pieces; must divide d.
    nbits : int
        Bits of each code, 4 to 16. Up to 8 a code is one byte, above two.
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function
    seed : int

    Attributes
    ----------
    d, ksub, dsub : int
    pq_centroids : ndarray of float32, shape (m, ksub, dsub), read-only

    Examples
    --------
    >>> import numpy as np
    >>> from lookalike.quantizers import ProductQuantizer
    >>> x = np.random.default_rng(0).random((2000, 8), np.float32)
    >>> pq = ProductQuantizer(m=4, nbits=4).train(x)
    >>> pq.encode(x[:1]).shape, pq.decode(pq.encode(x[:1])).shape
    ((1, 4), (1, 8))
    """

    def __init__(self, m: int, nbits: int = 8, kmeans: KMeansChoice = "native", seed: int = 0) -> None:
        self.m, self.nbits = check_count(m, "m", 1, MAX_M), check_count(nbits, "nbits", 4, 16)
        get_kmeans(kmeans)
        self.kmeans, self.seed = kmeans, seed
        self._tiles: Tiles | None = None

    @property
    def ksub(self) -> int:
        """Centroids of each piece, 2**nbits."""
        return 1 << self.nbits

    @property
    def dsub(self) -> int:
        """Dimension of each piece, d // m."""
        return int(self.pq_centroids.shape[2])

    @property
    def d(self) -> int:
        return self.m * self.dsub

    @property
    def is_trained(self) -> bool:
        return self._tiles is not None

    @property
    def code_dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.nbits <= 8 else np.uint16

    @property
    def pq_centroids(self) -> FloatArray:
        return cast(FloatArray, self.tiles.centroids)

    @property
    def tiles(self) -> Tiles:
        """The codebook as kernels score it; at least 256 columns, as wide as the look-up tables of bytes."""
        if self._tiles is None:
            raise NotTrainedError("ProductQuantizer is not trained; call train(xt) first")
        return self._tiles

    def check_dimension(self, d: int) -> None:
        if d % self.m:
            raise DimensionError(f"expected d divisible by m={self.m}, got d={d}; try m={_near_divisor(d, self.m)}")

    def train(self, xt: ArrayLike) -> ProductQuantizer:
        """Learn the codebook of each piece from `xt`, float, shape (nt, d). Returns the quantizer itself.

        Raises
        ------
        TrainingError
            With fewer than ksub points.
        DimensionError
            If m does not divide d.
        """
        x = check_vectors(xt, name="xt")
        self.check_dimension(x.shape[1])
        dsub = x.shape[1] // self.m
        centroids = np.empty((self.m, self.ksub, dsub), np.float32)
        if len(x) >= self.ksub:
            advise_points(len(x), self.ksub, "PQ", stacklevel=5)

        def learn(j: int) -> None:
            piece = np.ascontiguousarray(x[:, j * dsub : (j + 1) * dsub])
            centroids[j] = train_centroids(piece, self.ksub, self.kmeans, self.seed + j, "PQ", advise=False)

        # Small pieces are trained side by side, by our own methods only: others may not be thread-safe.
        points = min(len(x), POINTS_PER_CENTROID * self.ksub)
        side_by_side = self.kmeans in ("native", "k-means++") and is_small(points, centroids[0])
        run_all(learn, range(self.m), cores() if side_by_side else 1)
        return self.set_centroids(centroids)

    def set_centroids(self, centroids: Any) -> ProductQuantizer:
        """Use this codebook, float, shape (m, ksub, dsub), instead of learning one."""
        array = np.array(centroids, np.float32, order="C")
        if array.ndim != 3 or array.shape[:2] != (self.m, self.ksub) or not array.shape[2]:
            raise DimensionError(f"pq_centroids: expected ({self.m}, {self.ksub}, dsub), got {array.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.einsum("jce,jce->jc", array, array)
        if not np.isfinite(norms).all():
            raise InputError(
                "pq_centroids: expected finite numbers whose squares fit float32, got NaN, infinity or more"
            )
        array.flags.writeable = False
        self._tiles = Tiles.of(array, width=256)
        return self

    def encode(self, x: ArrayLike, threads: int | None = None) -> CodeArray:
        """Numbers of the nearest centroids, uint8 or uint16, shape (n, m)."""
        vectors = check_vectors(x, self.d, "x", empty_ok=True)
        codes: CodeArray = np.empty((len(vectors), self.m), self.code_dtype)  # type: ignore[assignment]
        nearest_in_parts(vectors, self.tiles, codes, np.empty((0, self.m), np.float32), threads or cores())
        return codes

    def decode(self, codes: CodeArray) -> FloatArray:
        """The vectors that codes stand for, float32, shape (n, d)."""
        array = np.asarray(codes)
        if array.ndim != 2 or array.shape[1] != self.m or array.dtype.kind not in "iu":
            raise InputError(f"codes: expected integers of shape (n, {self.m}), got {array.dtype} {array.shape}")
        if array.size and (array.min() < 0 or array.max() >= self.ksub):
            raise InputError(f"codes: expected 0 to {self.ksub - 1}, got {array.min()} to {array.max()}")
        return np.ascontiguousarray(self.pq_centroids[np.arange(self.m), array].reshape(len(array), self.d))

    def lookup_tables(self, xq: ArrayLike) -> FloatArray:
        """Squared distances from each query's pieces to every PQ centroid.

        For a code row ``c``, ``sum(lut[q, j, c[j]] for j in range(m))`` is the squared distance from query ``q`` to the vector
        that ``c`` decodes to (asymmetric distance, ADC).

        Returns
        -------
        lut : ndarray of float32, shape (nq, m, ksub)

        Notes
        -----
        O(nq · d · ksub) time. Jégou et al. 2011, equation (13). The index does not use this form: its tables hold
        inner products only, see `lookalike.kernels.distances`.
        """
        queries = check_vectors(xq, self.d, "xq")
        pieces = queries.reshape(len(queries), self.m, 1, self.dsub)
        return np.asarray(((pieces - self.pq_centroids) ** 2).sum(axis=3), np.float32)


def _near_divisor(d: int, m: int) -> int:
    """The divisor of d that is nearest to m."""
    return min((n for n in range(1, d + 1) if d % n == 0), key=lambda n: (abs(n - m), n))

"""Linear maps in front of a quantizer: PCA, and OPQ (Ge, He, Ke and Sun, CVPR 2013).

A product quantizer cuts a vector wherever the dimensions happen to lie. A rotation that spreads the variance evenly over the
pieces, and makes them independent, costs nothing in the distance and lowers the quantization error.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np

from lookalike._threads import cores, run_all
from lookalike._typing import Array, FloatArray
from lookalike._validate import check_count
from lookalike.errors import DimensionError, InputError, LookalikeWarning, TrainingError
from lookalike.kernels.layout import TILE, aligned_empty, row_tiles
from lookalike.quantizers.origin import far_origin, without_outliers

__all__ = ["LinearTransform", "parse_rotation", "train_opq", "train_pca"]

OPQ_POINTS = 20_000  # of the training set; more change the rotation little
OPQ_ITERATIONS = 12
OPQ_EXACT = 512  # above this dimension an iteration's SVD takes seconds: the closed form is kept as it is
SMALL = 1 << 24  # products below which one thread is done before a second has begun
ROWS = 4096  # vectors mapped by one call of the kernel


class LinearTransform:
    """y = A x + b; ``inverse`` is A⁺ (y − b), where the pseudo-inverse A⁺ is Aᵀ if the rows of A are orthonormal.

    Neither depends on the batch: a vector has the same image alone and among others, to the last bit.

    Parameters
    ----------
    matrix : ndarray, shape (d_out, d_in)
    offset : ndarray, shape (d_out,), optional
    centre : ndarray, shape (d_in,), optional
        Where the vectors lie; −A⁺ b by default, which is where y = 0 comes from. The map is computed as A (x − centre) +
        (A centre + b), whose terms stay small far from the origin; what it means does not depend on it.
    """

    def __init__(self, matrix: Any, offset: Any = None, centre: Any = None) -> None:
        self.matrix: FloatArray = np.ascontiguousarray(matrix, np.float32)
        if self.matrix.ndim != 2 or not self.matrix.size:
            raise DimensionError(f"rotation: expected a matrix (d_out, d_in), got {self.matrix.shape}")
        self.offset: FloatArray = np.ascontiguousarray(
            np.zeros(len(self.matrix)) if offset is None else offset, np.float32
        )
        if self.offset.shape != (len(self.matrix),):
            raise DimensionError(f"rotation: expected an offset of {len(self.matrix)}, got {self.offset.shape}")
        self.centre: FloatArray | None = None if centre is None else np.ascontiguousarray(centre, np.float32)
        if self.centre is not None and self.centre.shape != (self.d_in,):
            raise DimensionError(f"rotation: expected a centre of {self.d_in}, got {self.centre.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.einsum("od,od->o", self.matrix, self.matrix)
        parts = lengths, self.offset, np.zeros(1) if self.centre is None else self.centre
        if not all(np.isfinite(part).all() for part in parts):
            raise InputError("rotation: expected finite numbers whose squares fit float32, got NaN, infinity or more")

    @property
    def d_in(self) -> int:
        return int(self.matrix.shape[1])

    @property
    def d_out(self) -> int:
        return int(self.matrix.shape[0])

    def apply(self, x: FloatArray, threads: int | None = None) -> FloatArray:
        """Map vectors (n, d_in) to (n, d_out)."""
        return self._forward.map(self._moved(x), threads)

    def apply_cold(self, x: FloatArray) -> FloatArray:
        """The same up to rounding, without the kernels (see `index.plain`)."""
        return np.asarray(self._moved(x).astype(np.float64) @ self.matrix.T + self._constant, np.float32)

    def inverse(self, y: FloatArray, threads: int | None = None) -> FloatArray:
        """Map (n, d_out) back to (n, d_in); what a reduction dropped stays dropped."""
        return self._backward.map(y - self._constant, threads)

    def _moved(self, x: FloatArray) -> FloatArray:
        return x if self._middle is None else x - self._middle

    @cached_property
    def _middle(self) -> FloatArray | None:
        """What is subtracted first."""
        if self.centre is not None or not self.offset.any():
            return self.centre
        return np.asarray(-(self._back.T.astype(np.float64) @ self.offset), np.float32)

    @cached_property
    def _constant(self) -> FloatArray:
        """What is added behind the product: A middle + b."""
        if self._middle is None:
            return self.offset
        return np.asarray(self.matrix.astype(np.float64) @ self._middle + self.offset, np.float32)

    @cached_property
    def _forward(self) -> _Product:
        return _Product(self.matrix, self._constant)

    @cached_property
    def _backward(self) -> _Product:
        """A⁺ y' for y' = y − constant, and A⁺ (constant − b) = A⁺ A middle behind it."""
        back = self._back.T
        if self._middle is None:
            return _Product(back, np.zeros(self.d_in))
        return _Product(back, back.astype(np.float64) @ (self.matrix.astype(np.float64) @ self._middle))

    @cached_property
    def _back(self) -> FloatArray:
        """(A⁺)ᵀ, shape (d_out, d_in): A itself, unless it stretches, as whitening does."""
        products = self.matrix @ self.matrix.T
        if np.allclose(products, np.eye(self.d_out), atol=1e-3):
            return self.matrix
        return np.ascontiguousarray(np.linalg.pinv(self.matrix.astype(np.float64)).T, np.float32)


class _Product:
    """b + A x for many x, with A as `kernels.tiles.map_rows` wants it."""

    def __init__(self, matrix: Array, constant: Array) -> None:
        self.d_out = len(matrix)
        self.tiles = row_tiles(matrix)
        self.offsets = aligned_empty((len(self.tiles) * TILE,), np.float32)
        self.offsets[:], self.offsets[: self.d_out] = 0, constant

    def map(self, x: FloatArray, threads: int | None = None) -> FloatArray:
        from lookalike.kernels.tiles import map_rows

        x = np.ascontiguousarray(x, np.float32)
        out = np.empty((len(x), self.d_out), np.float32)
        if len(x) * self.tiles.size < SMALL:
            map_rows(x, self.tiles, self.offsets, out)
            return out
        threads = threads or cores()
        step = max(1, min(ROWS, -(-len(x) // threads)))

        def run(first: int) -> None:
            rows = slice(first, first + step)
            map_rows(x[rows], self.tiles, self.offsets, out[rows])

        run_all(run, range(0, len(x), step), threads)
        return out


def parse_rotation(rotation: str | None) -> tuple[str, int | None]:
    """``None``, ``"opq"``, ``"opq:64"`` or ``"pca:128"`` as a kind (``""``, ``"opq"``, ``"pca"``) and an output dimension."""
    if rotation is None:
        return "", None
    kind, _, number = str(rotation).partition(":")
    if kind in {"opq", "pca"} and (rotation == "opq" or (number.isdecimal() and int(number) > 0)):
        return kind, int(number) if number else None
    raise InputError(f'rotation: expected None, "opq", "opq:64" or "pca:128", got {rotation!r}')


def train_pca(x: FloatArray, d_out: int, *, centre: bool = True) -> LinearTransform:
    """The d_out directions of largest variance.

    Raises
    ------
    DimensionError
        If d_out is larger than d.
    """
    vectors, _, mean = _principal(x, d_out, centre)
    return LinearTransform(vectors.T, -(vectors.T @ mean), far_origin(x) if centre else None)


def _principal(x: FloatArray, d_out: int, centre: bool) -> tuple[Array, Array, Array]:
    """Eigenvectors (d, d_out) and eigenvalues of the covariance, largest first, and the mean."""
    d = x.shape[1]
    if check_count(d_out, "rotation") > d:
        raise DimensionError(f"rotation: expected at most d={d} output dimensions, got {d_out}")
    if len(x) < 2:
        raise TrainingError(f"rotation: expected at least 2 training points, got {len(x)}")
    x = without_outliers(x)
    mean = x.mean(axis=0, dtype=np.float64) if centre else np.zeros(d)
    centred = x - mean.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / len(x)
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(-values)[:d_out]
    return _signed(vectors[:, order]), values[order], mean


def _signed(vectors: Array) -> Array:
    """Each column's largest element made positive: eigenvectors have no sign of their own, results should."""
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return vectors * np.where(largest < 0, -1.0, 1.0)


def train_opq(
    x: FloatArray, m: int, d_out: int | None = None, *, nbits: int = 8, seed: int = 0, centre: bool = False
) -> LinearTransform:
    """A rotation for a product quantizer of m pieces.

    Starts from the closed form for Gaussian data (principal directions dealt to the pieces so that the products of
    their variances balance), then alternates: encode the rotated points; rotate so that they meet their codes (an orthogonal
    Procrustes problem). At more than 512 dimensions the closed form is returned.

    Parameters
    ----------
    x : ndarray of float32, shape (n, d)
    m : int
        Must divide d_out.
    d_out : int, optional
        d by default; fewer drop the directions of least variance.
    centre : bool
        Map points that lie far from the origin to around it, as distances allow and inner products do not.

    Notes
    -----
    O(iterations · (n · d · ksub + d³)), on a sample of 20,000 points.
    """
    from lookalike.quantizers.kmeans import kmeans_native
    from lookalike.quantizers.pq import ProductQuantizer

    d_out = x.shape[1] if d_out is None else d_out
    if d_out % m:
        raise DimensionError(f"rotation: expected output dimensions divisible by m={m}, got {d_out}")
    origin = far_origin(x) if centre else None
    if origin is not None:
        x = x - origin
    vectors, values, _ = _principal(x, d_out, centre=False)
    rotation = vectors[:, _balanced(values, m)].T.astype(np.float32)  # (d_out, d)
    if x.shape[1] > OPQ_EXACT:
        return _around(rotation, origin)
    rng, x = np.random.default_rng(seed), without_outliers(x)
    sample = x if len(x) <= OPQ_POINTS else x[np.sort(rng.choice(len(x), OPQ_POINTS, replace=False))]
    nbits = min(nbits, 8, int(np.log2(max(len(sample) // 4, 16))))

    def few_steps(points: FloatArray, k: int, seed: int) -> FloatArray:
        return kmeans_native(points, k, seed, iterations=3)

    for _ in range(OPQ_ITERATIONS):
        rotated = np.ascontiguousarray(sample @ rotation.T)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LookalikeWarning)  # few points: the quantizer behind the rotation says so
            pq = ProductQuantizer(m, nbits, kmeans=few_steps, seed=seed).train(rotated)
        decoded = pq.decode(pq.encode(rotated))
        left, _, right = np.linalg.svd(decoded.T @ sample, full_matrices=False)
        rotation = (left @ right).astype(np.float32)
    return _around(rotation, origin)


def _around(rotation: FloatArray, origin: FloatArray | None) -> LinearTransform:
    """A rotation of what lies around `origin` to around 0."""
    if origin is None:
        return LinearTransform(rotation)
    return LinearTransform(rotation, -(rotation.astype(np.float64) @ origin), origin)


def _balanced(values: Array, m: int) -> Array:
    """Deal directions to m pieces of equal size, largest variance first, each to the piece of the smallest product so far."""
    room = len(values) // m
    pieces: list[list[int]] = [[] for _ in range(m)]
    logs = np.zeros(m)
    floor = max(float(values[0]), 1e-30) * 1e-10 if len(values) else 1.0
    shift = np.log(floor)  # all logarithms positive, so that a fuller piece is a larger one
    for direction, value in enumerate(values):
        open_pieces = [piece for piece in range(m) if len(pieces[piece]) < room]
        piece = min(open_pieces, key=lambda p: (logs[p], p))
        pieces[piece].append(direction)
        logs[piece] += np.log(max(float(value), floor)) - shift
    return np.array([direction for piece in pieces for direction in piece])

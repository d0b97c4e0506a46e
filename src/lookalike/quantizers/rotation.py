"""Linear maps in front of a quantizer: PCA, and OPQ (Ge, He, Ke and Sun, CVPR 2013).

A product quantizer cuts a vector wherever the dimensions happen to lie. A rotation that spreads the variance evenly over the
pieces, and makes them independent, costs nothing in the distance and lowers the quantization error.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike._validate import check_count
from lookalike.errors import DimensionError, InputError, LookalikeWarning, TrainingError

__all__ = ["LinearTransform", "parse_rotation", "train_opq", "train_pca"]

OPQ_POINTS = 20_000  # of the training set; more change the rotation little
OPQ_ITERATIONS = 12
OPQ_EXACT = 512  # above this dimension an iteration's SVD takes seconds: the closed form is kept as it is


class LinearTransform:
    """y = A x + b; ``inverse`` is A⁺ (y − b), where the pseudo-inverse A⁺ is Aᵀ if the rows of A are orthonormal.

    Parameters
    ----------
    matrix : ndarray, shape (d_out, d_in)
    offset : ndarray, shape (d_out,), optional
    """

    def __init__(self, matrix: Any, offset: Any = None) -> None:
        self.matrix: FloatArray = np.ascontiguousarray(matrix, np.float32)
        if self.matrix.ndim != 2 or not self.matrix.size:
            raise DimensionError(f"rotation: expected a matrix (d_out, d_in), got {self.matrix.shape}")
        self.offset: FloatArray = np.ascontiguousarray(
            np.zeros(len(self.matrix)) if offset is None else offset, np.float32
        )
        if self.offset.shape != (len(self.matrix),):
            raise DimensionError(f"rotation: expected an offset of {len(self.matrix)}, got {self.offset.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.einsum("od,od->o", self.matrix, self.matrix)
        if not (np.isfinite(lengths).all() and np.isfinite(self.offset).all()):
            raise InputError("rotation: expected finite numbers whose squares fit float32, got NaN, infinity or more")

    @property
    def d_in(self) -> int:
        return int(self.matrix.shape[1])

    @property
    def d_out(self) -> int:
        return int(self.matrix.shape[0])

    def apply(self, x: FloatArray) -> FloatArray:
        """Map vectors (n, d_in) to (n, d_out)."""
        return np.ascontiguousarray(x @ self.matrix.T + self.offset, np.float32)

    def inverse(self, y: FloatArray) -> FloatArray:
        """Map (n, d_out) back to (n, d_in); what a reduction dropped stays dropped."""
        return np.ascontiguousarray((y - self.offset) @ self._back, np.float32)

    @cached_property
    def _back(self) -> FloatArray:
        """(A⁺)ᵀ, shape (d_out, d_in): A itself, unless it stretches, as whitening does."""
        products = self.matrix @ self.matrix.T
        if np.allclose(products, np.eye(self.d_out), atol=1e-3):
            return self.matrix
        return np.ascontiguousarray(np.linalg.pinv(self.matrix.astype(np.float64)).T, np.float32)


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
    return LinearTransform(vectors.T, -(vectors.T @ mean))


def _principal(x: FloatArray, d_out: int, centre: bool) -> tuple[Array, Array, Array]:
    """Eigenvectors (d, d_out) and eigenvalues of the covariance, largest first, and the mean."""
    d = x.shape[1]
    if check_count(d_out, "rotation") > d:
        raise DimensionError(f"rotation: expected at most d={d} output dimensions, got {d_out}")
    if len(x) < 2:
        raise TrainingError(f"rotation: expected at least 2 training points, got {len(x)}")
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


def train_opq(x: FloatArray, m: int, d_out: int | None = None, *, nbits: int = 8, seed: int = 0) -> LinearTransform:
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

    Notes
    -----
    O(iterations · (n · d · ksub + d³)), on a sample of 20,000 points.
    """
    from lookalike.quantizers.kmeans import kmeans_native
    from lookalike.quantizers.pq import ProductQuantizer

    d_out = x.shape[1] if d_out is None else d_out
    if d_out % m:
        raise DimensionError(f"rotation: expected output dimensions divisible by m={m}, got {d_out}")
    vectors, values, _ = _principal(x, d_out, centre=False)
    rotation = vectors[:, _balanced(values, m)].T.astype(np.float32)  # (d_out, d)
    if x.shape[1] > OPQ_EXACT:
        return LinearTransform(rotation)
    rng = np.random.default_rng(seed)
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
    return LinearTransform(rotation)


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

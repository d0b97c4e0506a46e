"""k-means behind one small protocol, so that it can be replaced: ``kmeans(x, k, seed) -> centroids``.

``"native"`` is ours, ``"k-means++"`` is ours with that seeding, ``"faiss"``, ``"sklearn"`` and ``"minibatch"`` call the
libraries, and any function of the same form can be given instead of a name.

Spherical k-means (Dhillon and Modha 2001) is for lists that are chosen by inner product: points are assigned by direction alone
and centroids have length 1. Where lengths differ, plain k-means makes a few long centroids that nearly everything goes to.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np

from lookalike._threads import cores, run_all
from lookalike._typing import Array, FloatArray, IdArray
from lookalike._validate import unit_rows
from lookalike.errors import InputError, LookalikeWarning, MissingExtraError, TrainingError
from lookalike.kernels.layout import Tiles
from lookalike.quantizers.origin import far_origin

__all__ = [
    "KMEANS",
    "KMeans",
    "advise_points",
    "assign",
    "get_kmeans",
    "is_small",
    "kmeans_faiss",
    "kmeans_minibatch",
    "kmeans_native",
    "kmeans_sklearn",
    "nearest_in_parts",
    "train_centroids",
]

SMALL = 1 << 28  # products below which one thread is done before a second has begun
ROWS = 4096  # points of one call of the kernel
POINTS_PER_CENTROID = 256  # more are sampled away: they cost time and change little (as in FAISS)
ADVISABLE = 39  # fewer for each centroid than this make poor centroids (FAISS's own limit)


class KMeans(Protocol):
    """Anything that finds `k` centroids: float32 (n, d) points and a seed in, float32 (k, d) out."""

    def __call__(self, x: FloatArray, k: int, seed: int, /) -> FloatArray: ...


KMeansChoice: TypeAlias = str | KMeans


def assign(x: FloatArray, centroids: FloatArray | Tiles, threads: int | None = None) -> tuple[IdArray, FloatArray]:
    """The nearest centroid of each point and the squared distance to it.

    Parameters
    ----------
    x : ndarray of float32, shape (n, d)
    centroids : ndarray of float32, shape (k, d), or Tiles
        Tiles are made of them once, where they are used often; they may be those of inner products.
    threads : int, optional
        All cores by default; one where there is too little to do for more.

    Returns
    -------
    assigned : ndarray of int64, shape (n,)
    distances : ndarray of float32, shape (n,)
        ‖x − c‖², or −⟨x, c⟩.

    Notes
    -----
    Scores shortlist, direct distances decide (`kernels.assign`), so the result does not depend on batches or threads.
    O(n · k · d).
    """
    tiles = centroids if isinstance(centroids, Tiles) else Tiles.of(np.ascontiguousarray(centroids, np.float32)[None])
    assigned, distances = np.empty((len(x), 1), np.int64), np.empty((len(x), 1), np.float32)
    nearest_in_parts(x, tiles, assigned, distances, 1 if is_small(len(x), tiles.centroids) else threads or cores())
    return assigned[:, 0], distances[:, 0]


def nearest_in_parts(x: FloatArray, tiles: Tiles, numbers: Array, distances: FloatArray, threads: int) -> None:
    """`kernels.assign.nearest` on some threads, a part of the points at a time; distances (0, m) where they are not wanted."""
    from lookalike.kernels.assign import nearest

    def run(part: slice) -> None:
        nearest(np.ascontiguousarray(x[part], np.float32), packed, numbers[part], distances[part])

    packed, step = tuple(tiles), max(1, min(ROWS, -(-len(x) // threads)))
    run_all(run, [slice(first, first + step) for first in range(0, len(x), step)], threads)


def is_small(n: int, centroids: FloatArray) -> bool:
    """Whether assigning n points to these centroids is too little to share among threads."""
    return n * centroids.size < SMALL


def kmeans_native(
    x: FloatArray,
    k: int,
    seed: int = 0,
    *,
    iterations: int = 10,
    init: str = "random",
    tolerance: float = 1e-4,
    spherical: bool = False,
) -> FloatArray:
    """Lloyd's algorithm.

    Parameters
    ----------
    x : ndarray of float32, shape (n, d)
    k : int
    seed : int
        The same seed gives the same centroids on one machine.
    iterations : int
        At most; it stops when the error falls by less than `tolerance` of itself.
    init : {"random", "k-means++"}
    spherical : bool
        Assign points by direction, and scale centroids to length 1; long points have more weight in their sum, as in FAISS.

    Returns
    -------
    centroids : ndarray of float32, shape (k, d)

    Raises
    ------
    TrainingError
        With fewer points than clusters.

    Notes
    -----
    An empty cluster takes over a share of a large one: it is put beside the centroid of a cluster drawn with a probability
    that grows with its size, as in FAISS. O(iterations · n · k · d).
    """
    from lookalike.kernels.assign import cluster_sums

    if len(x) < k:
        raise TrainingError(f"k-means: expected at least k={k} points, got {len(x)}")
    rng, placed = np.random.default_rng(seed), unit_rows(x) if spherical else x
    if init == "k-means++":
        centroids = _plus_plus(placed, k, rng)
    else:
        centroids = placed[rng.choice(len(x), k, replace=False)].copy()
    previous = np.inf
    for _ in range(iterations):
        assigned, distances = assign(placed, centroids)
        sums, counts = np.zeros((k, x.shape[1])), np.zeros(k, np.int64)
        cluster_sums(x, assigned, sums, counts)
        filled = counts > 0
        centroids[filled] = sums[filled] / counts[filled, None]
        if not filled.all():
            _repair(centroids, counts, rng)
        if spherical:
            centroids = unit_rows(centroids)
        error = float(distances.sum(dtype=np.float64))
        if filled.all() and previous - error <= tolerance * error:
            break
        previous = error
    return centroids


def _repair(centroids: FloatArray, counts: IdArray, rng: np.random.Generator) -> None:
    """Put each empty centroid beside one of a large cluster, and move that one a little the other way."""
    for empty in np.flatnonzero(counts == 0):
        spare = np.maximum(counts - 1, 0).astype(np.float64)
        if spare.sum() == 0:
            return
        large = int(rng.choice(len(counts), p=spare / spare.sum()))
        tilt = np.where(np.arange(centroids.shape[1]) % 2, np.float32(1 / 1024), np.float32(-1 / 1024))
        centroids[empty] = centroids[large] * (1 + tilt)
        centroids[large] *= 1 - tilt
        counts[empty] = counts[large] // 2
        counts[large] -= counts[empty]


def _plus_plus(x: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    """k-means++ seeding (Arthur and Vassilvitskii 2007): each next centroid far from the ones so far."""
    centroids = np.empty((k, x.shape[1]), np.float32)
    centroids[0] = x[rng.integers(len(x))]
    nearest = np.full(len(x), np.inf)
    for c in range(1, k):
        difference = x - centroids[c - 1]
        nearest = np.minimum(nearest, np.einsum("nd,nd->n", difference, difference))
        total = nearest.sum()
        centroids[c] = x[rng.choice(len(x), p=nearest / total) if total > 0 else rng.integers(len(x))]
    return centroids


def kmeans_faiss(x: FloatArray, k: int, seed: int = 0, *, iterations: int = 10, spherical: bool = False) -> FloatArray:
    """`faiss.Kmeans`, as the experiment that this project grew out of used it."""
    try:
        import faiss
    except ImportError:
        raise MissingExtraError('kmeans="faiss" needs FAISS; pip install "lookalike[bench]"') from None
    method = faiss.Kmeans(
        x.shape[1], k, niter=iterations, seed=seed, min_points_per_centroid=1, verbose=False, spherical=spherical
    )
    method.train(x)
    return np.asarray(method.centroids, np.float32).reshape(k, x.shape[1])


def kmeans_sklearn(
    x: FloatArray, k: int, seed: int = 0, *, iterations: int = 10, minibatch: bool = False, spherical: bool = False
) -> FloatArray:
    """`sklearn.cluster.KMeans`, or `MiniBatchKMeans`."""
    try:
        from sklearn.cluster import KMeans as Full
        from sklearn.cluster import MiniBatchKMeans
    except ImportError:
        raise MissingExtraError('kmeans="sklearn" needs scikit-learn; pip install "lookalike[bench]"') from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct points than clusters, not converged: both are fine here
        if minibatch:
            method = MiniBatchKMeans(k, random_state=seed, n_init=1, max_iter=iterations)
        else:
            method = Full(k, random_state=seed, n_init=1, max_iter=iterations)
        if not spherical:
            return np.ascontiguousarray(method.fit(x).cluster_centers_, np.float32)
        lengths = np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64))
        found = method.fit(unit_rows(x), sample_weight=lengths / max(lengths.mean(), 1e-300))
        return unit_rows(np.ascontiguousarray(found.cluster_centers_, np.float32))


def kmeans_minibatch(x: FloatArray, k: int, seed: int = 0, *, spherical: bool = False) -> FloatArray:
    """`sklearn.cluster.MiniBatchKMeans`."""
    return kmeans_sklearn(x, k, seed, minibatch=True, spherical=spherical)


KMEANS: dict[str, Callable[..., FloatArray]] = {
    "native": kmeans_native,
    "k-means++": functools.partial(kmeans_native, init="k-means++"),
    "faiss": kmeans_faiss,
    "sklearn": kmeans_sklearn,
    "minibatch": kmeans_minibatch,
}


def get_kmeans(choice: KMeansChoice) -> KMeans:
    """The method of this name, or the function itself."""
    if callable(choice):
        return choice
    if choice not in KMEANS:
        raise InputError(f"kmeans: expected one of {', '.join(KMEANS)} or a function, got {choice!r}")
    return KMEANS[choice]


def advise_points(n: int, k: int, what: str, stacklevel: int) -> None:
    """Warn where n training points are few for k centroids."""
    if n < ADVISABLE * k:
        warnings.warn(
            f"{what}: {n} training points for {k} centroids; give at least {ADVISABLE * k}, or use fewer centroids",
            LookalikeWarning,
            stacklevel=stacklevel,
        )


def train_centroids(
    x: FloatArray, k: int, choice: KMeansChoice, seed: int, what: str, *, advise: bool = True, spherical: bool = False
) -> FloatArray:
    """Check the number of points (`advise`: warn of few), sample them, run the method, check what it returns.

    `spherical` centroids have length 1 by every method; a function is given points of length 1 then.

    Raises
    ------
    TrainingError
        With fewer points than centroids, or if the method returns something else than (k, d) finite floats.
    """
    method = get_kmeans(choice)
    if len(x) < k:
        raise TrainingError(
            f"{what}: {k} centroids need at least {k} training points, got {len(x)}; use fewer centroids"
        )
    if advise:
        advise_points(len(x), k, what, stacklevel=6)
    if len(x) > POINTS_PER_CENTROID * k:
        rows = np.random.default_rng(seed).choice(len(x), POINTS_PER_CENTROID * k, replace=False)
        x = x[np.sort(rows)]
    centroids = np.ascontiguousarray(_run(method, np.ascontiguousarray(x, np.float32), k, seed, spherical), np.float32)
    if centroids.shape != (k, x.shape[1]) or not np.isfinite(centroids).all():
        raise TrainingError(f"{what}: expected finite centroids ({k}, {x.shape[1]}), k-means gave {centroids.shape}")
    return unit_rows(centroids) if spherical else centroids


def _run(method: Callable[..., FloatArray], x: FloatArray, k: int, seed: int, spherical: bool) -> FloatArray:
    """Centroids by this method; by those with a name, of points that are moved to the origin where they are far from it."""
    if method not in KMEANS.values():
        return method(unit_rows(x) if spherical else x, k, seed)
    if spherical:
        return method(x, k, seed, spherical=True)
    origin = far_origin(x)
    return method(x, k, seed) if origin is None else method(x - origin, k, seed) + origin

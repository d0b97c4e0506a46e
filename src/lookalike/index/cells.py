"""How space is cut into cells: which list a vector goes to, and which lists a query visits.

`OneCell` does not cut it. `Cells` has a centroid for each cell: the coarse quantizer q_c of Jégou et al. 2011, section IV.A.
"""

from __future__ import annotations

import numpy as np

from lookalike._threads import run_all, shares
from lookalike._typing import FloatArray, IdArray
from lookalike._validate import LARGEST_NORM
from lookalike.errors import InputError
from lookalike.kernels.layout import TILE, ByteTiles, Tiles
from lookalike.quantizers.kmeans import KMeansChoice, assign, train_centroids
from lookalike.quantizers.origin import far_origin

SCORED = 1e5  # numbers of centroids in a microsecond, about

__all__ = ["Cells", "OneCell", "check_centroids", "check_coarse_metric", "train_cells"]


def check_coarse_metric(choice: str | None, metric: str) -> str:
    """``"l2"`` or ``"ip"``; by default the one that suits the metric of the index."""
    if choice is None:
        return "ip" if metric == "ip" else "l2"
    if choice not in {"l2", "ip"}:
        raise InputError(f'coarse_metric: expected None, "l2" or "ip", got {choice!r}')
    return choice


def check_centroids(centroids: FloatArray) -> FloatArray:
    """Squared norms of centroids, which have to be short enough to compare."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms: FloatArray = np.einsum("ld,ld->l", centroids, centroids)
    if not (norms < LARGEST_NORM).all():
        raise InputError(
            "coarse_centroids: expected finite numbers whose squares fit float32, got NaN, infinity or more"
        )
    return norms


def train_cells(xt: FloatArray, nlist: int, metric: str, kmeans: KMeansChoice, seed: int) -> Cells:
    """Cells around centroids of `xt`; of length 1 where cells are chosen by inner product (spherical k-means)."""
    spherical = metric == "ip"
    return Cells(train_centroids(xt, nlist, kmeans, seed, "coarse quantizer", spherical=spherical), metric)


class OneCell:
    """All vectors in one list."""

    metric, nlist, nbytes, origin = "l2", 1, 0, None

    def __init__(self, d: int) -> None:
        self.centroids = np.zeros((1, d), np.float32)
        self.centroids.flags.writeable = False
        nothing = np.empty((1, 0, d, TILE), np.float32), np.empty((1, 0), np.float32), np.zeros(1, np.float32)
        coarse = tuple(ByteTiles.of(self.centroids[:0], True))
        self.for_kernels = tuple(Tiles(self.centroids[None], *nothing, True, coarse))  # no score is asked for

    def assign(self, x: FloatArray) -> IdArray:
        """Zeros, int64, shape (n,)."""
        return np.zeros(len(x), np.int64)

    def probe(self, xq: FloatArray, nprobe: int, threads: int = 1) -> tuple[IdArray, FloatArray]:
        """Zeros, int64 and float32, shape (nq, 1)."""
        return np.zeros((len(xq), 1), np.int64), np.zeros((len(xq), 1), np.float32)


class Cells:
    """A cell around each centroid; replaced, never changed.

    Parameters
    ----------
    centroids : ndarray of float32, shape (nlist, d)
    metric : {"l2", "ip"}
        How lists are chosen, which need not be the metric of the index.

    Attributes
    ----------
    origin : ndarray of float32, shape (d,), or None
        What is subtracted from vectors and centroids before they are compared, where they lie far from 0; only for ``"l2"``.
    tiles : Tiles
        Centroids without it, as kernels score them.
    """

    def __init__(self, centroids: FloatArray, metric: str) -> None:
        self.centroids, self.metric = centroids, metric
        centroids.flags.writeable = False
        check_centroids(centroids)
        self.origin = far_origin(centroids) if metric == "l2" else None
        self.tiles = Tiles.of(self._moved(centroids)[None], metric == "l2")
        self.for_kernels = tuple(self.tiles)

    @property
    def nlist(self) -> int:
        return len(self.centroids)

    @property
    def nbytes(self) -> int:
        """Bytes of the centroids, in every form."""
        return self.tiles.nbytes + (0 if self.origin is None else self.centroids.nbytes)

    def assign(self, x: FloatArray) -> IdArray:
        """The list of each vector, int64, shape (n,)."""
        return assign(self._moved(x), self.tiles)[0]

    def probe(self, xq: FloatArray, nprobe: int, threads: int = 1) -> tuple[IdArray, FloatArray]:
        """The nprobe best lists of each query, best first.

        Returns
        -------
        probes : ndarray of int64, shape (nq, nprobe)
        coarse : ndarray of float32, shape (nq, nprobe)
            ‖q − c‖², or −⟨q, c⟩ for ``"ip"``.
        """
        from lookalike.kernels.probe import probe_lists
        from lookalike.kernels.tiles import GROUP

        xq = self._moved(xq)
        probes, coarse = np.empty((len(xq), nprobe), np.int64), np.empty((len(xq), nprobe), np.float32)

        def run(rows: slice) -> None:
            probe_lists(xq[rows], self.for_kernels, probes[rows], coarse[rows])

        if len(xq) == 1:
            run(slice(0, 1))
        else:
            each = 1 + self.centroids.size / SCORED
            run_all(run, shares(len(xq), GROUP, threads, each), threads)
        return probes, coarse

    def _moved(self, x: FloatArray) -> FloatArray:
        return x if self.origin is None else x - self.origin

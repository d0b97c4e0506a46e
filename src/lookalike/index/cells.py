"""How space is cut into cells: which list a vector goes to, and which lists a query visits.

`OneCell` does not cut it. `Cells` has a centroid for each cell: the coarse quantizer q_c of Jégou et al. 2011, section IV.A.
"""

from __future__ import annotations

import numpy as np

from lookalike._threads import cores, run_all, shares
from lookalike._typing import FloatArray, IdArray
from lookalike._validate import LARGEST_NORM
from lookalike.errors import InputError
from lookalike.quantizers.kmeans import KMeansChoice, assign, is_small, train_centroids
from lookalike.quantizers.origin import far_origin
from lookalike.quantizers.tiles import TILE, aligned_empty, row_tiles

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

    metric, nlist = "l2", 1

    def __init__(self, d: int) -> None:
        self.centroids = np.zeros((1, d), np.float32)
        self.centroids.flags.writeable = False

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
    near : ndarray of float32, shape (nlist, d)
        Centroids without it.
    """

    def __init__(self, centroids: FloatArray, metric: str) -> None:
        self.centroids, self.metric = centroids, metric
        centroids.flags.writeable = False
        check_centroids(centroids)
        self.origin = far_origin(centroids) if metric == "l2" else None
        self.near = centroids.view() if self.origin is None else centroids - self.origin
        self.near.flags.writeable = False
        self.tiles = row_tiles(self.near)  # as the kernel that scores queries wants them (`kernels.coarse`)
        # ‖c‖², or 0 for inner products; +inf where padded
        self.offsets = aligned_empty((len(self.tiles) * TILE,), np.float32)
        self.offsets[:] = np.inf
        norms = np.einsum("ld,ld->l", self.near, self.near)
        self.offsets[: len(centroids)] = 0 if metric == "ip" else norms
        self.largest = norms.max()

    @property
    def nlist(self) -> int:
        return len(self.centroids)

    def assign(self, x: FloatArray) -> IdArray:
        """The list of each vector, int64, shape (n,)."""
        if self.metric == "ip":
            threads = 1 if is_small(len(x), self.centroids) else cores()
            return self.probe(x, 1, threads)[0][:, 0] if len(x) else np.empty(0, np.int64)
        return assign(self._moved(x), self.near)[0]

    def probe(self, xq: FloatArray, nprobe: int, threads: int = 1) -> tuple[IdArray, FloatArray]:
        """The nprobe best lists of each query, best first.

        Returns
        -------
        probes : ndarray of int64, shape (nq, nprobe)
        coarse : ndarray of float32, shape (nq, nprobe)
            ‖q − c‖², or −⟨q, c⟩ for ``"ip"``.
        """
        from lookalike.kernels.coarse import GROUP, probe_lists

        xq = self._moved(xq)
        probes, coarse = np.empty((len(xq), nprobe), np.int64), np.empty((len(xq), nprobe), np.float32)

        def run(rows: slice) -> None:
            probe_lists(
                xq[rows],
                self.tiles,
                self.offsets,
                self.near,
                self.largest,
                self.metric != "ip",
                probes[rows],
                coarse[rows],
            )

        if len(xq) == 1:
            run(slice(0, 1))
        else:
            run_all(run, shares(len(xq), GROUP, threads), threads)
        return probes, coarse

    def _moved(self, x: FloatArray) -> FloatArray:
        return x if self.origin is None else x - self.origin

"""Exact search and trees: what the upstream experiments began with."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike_bench.adapters.base import Adapter, Size, file_size, padded

__all__ = ["TREES"]


class _Sklearn(Adapter):
    package, module = "scikit-learn", "sklearn"
    family = "exact"
    algorithm: ClassVar[str]
    is_exact = True
    note = "size is the sum of its arrays"

    def warm_up(self, x: FloatArray) -> None:
        self.build(x)
        self.search(x[:2], 10)

    def build(self, x: FloatArray) -> None:
        from sklearn.neighbors import NearestNeighbors

        self._n, self._bytes = len(x), x.nbytes
        self._index = NearestNeighbors(algorithm=self.algorithm, n_jobs=self.threads, **self.params).fit(x)

    def search(self, xq: FloatArray, k: int) -> Array:
        return np.asarray(self._index.kneighbors(xq, min(k, self._n), return_distance=False))

    def size(self, folder: Path) -> Size:
        tree = self._index._tree
        if tree is None:
            return Size(self._bytes, "arrays")
        return Size(sum(np.asarray(array).nbytes for array in tree.get_arrays()), "arrays")


class Brute(_Sklearn):
    """Every distance."""

    name, algorithm = "sklearn-brute", "brute"


class KDTree(_Sklearn):
    """Exact, by boxes."""

    name, algorithm = "sklearn-kd-tree", "kd_tree"
    build_params: ClassVar = {"leaf_size": 30}


class BallTree(_Sklearn):
    """Exact, by balls."""

    name, algorithm = "sklearn-ball-tree", "ball_tree"
    build_params: ClassVar = {"leaf_size": 30}


class Annoy(Adapter):
    """A forest of random planes. It answers one query at a time; a batch is a loop, on one thread.

    It takes numbers one by one, and those of a list several times as fast as those of an array.
    """

    name = package = module = "annoy"
    family = "tree"
    build_params: ClassVar = {"n_trees": 50}
    search_params: ClassVar = {"search_k": -1}
    note = "a batch is a loop over single queries: it has no other"

    def build(self, x: FloatArray) -> None:
        import annoy

        self._index = annoy.AnnoyIndex(x.shape[1], "euclidean")
        self._index.set_seed(1)
        for number, row in enumerate(x):
            self._index.add_item(number, row.tolist())
        self._index.build(self.params["n_trees"], n_jobs=self.threads)

    def search(self, xq: FloatArray, k: int) -> Array:
        search_k = self.settings["search_k"]
        return np.stack([padded(self._index.get_nns_by_vector(row.tolist(), k, search_k), k) for row in xq])

    def size(self, folder: Path) -> Size:
        self._index.save(str(folder / "index.ann"))
        return file_size(folder)


TREES: tuple[type[Adapter], ...] = (Brute, KDTree, BallTree, Annoy)

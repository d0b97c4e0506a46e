"""Other libraries that search compressed vectors."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike._validate import unit_rows
from lookalike.errors import InputError
from lookalike_bench.adapters.base import Adapter, Parameters, Size, check_choice, check_divides, check_lists, file_size

__all__ = ["CODES"]

TRAINING_POINTS = 256  # for each centroid, as FAISS takes by default


class NanoPQ(Adapter):
    """Product quantization in numpy: every code is scanned, one query at a time."""

    name = package = module = "nanopq"
    family = "codes"
    build_params: ClassVar = {"m": 16, "ksub": 256}
    note = "numpy throughout: made to be read; a batch is a loop; size is codes and codebook"

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        check_divides(params, d)
        if params["ksub"] > n:
            raise InputError(f"ksub={params['ksub']}: more centroids than the n={n:,} vectors")

    def build(self, x: FloatArray) -> None:
        import nanopq

        points = np.random.default_rng(0).permutation(len(x))[: TRAINING_POINTS * self.params["ksub"]]
        self._pq = nanopq.PQ(M=self.params["m"], Ks=self.params["ksub"], verbose=False)
        self._pq.fit(np.ascontiguousarray(x[points]), iter=20, seed=0)
        self._codes = self._pq.encode(x)

    def search(self, xq: FloatArray, k: int) -> Array:
        return np.stack([self._nearest(query, k) for query in np.ascontiguousarray(xq)])

    def _nearest(self, query: FloatArray, k: int) -> Array:
        distances = self._pq.dtable(query).adist(self._codes)
        near = np.argpartition(distances, k - 1)[:k] if k < len(distances) else np.arange(len(distances))
        return np.asarray(near[np.argsort(distances[near])])

    def size(self, folder: Path) -> Size:
        return Size(self._codes.nbytes + self._pq.codewords.nbytes, "arrays")

    def decoded(self, rows: Array) -> FloatArray | None:
        return np.asarray(self._pq.decode(self._codes[rows]), np.float32)


class ScaNN(Adapter):
    """Google's tree, 4-bit codes and re-ranking."""

    name = package = module = "scann"
    family = "codes"
    build_params: ClassVar = {"leaves": 256, "dims_per_block": 2}
    search_params: ClassVar = {"leaves_to_search": 16, "reorder": 100}
    note = "size includes the vectors in float32 that re-ranking reads"

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        check_lists(params, n, "leaves")

    def build(self, x: FloatArray) -> None:
        import scann

        # Inner products order unit vectors as distances do, and are what its guide tunes: codes of residuals, anisotropic.
        unit = _is_unit(x)
        builder = scann.scann_ops_pybind.builder(x, 10, "dot_product" if unit else "squared_l2")
        builder.set_n_training_threads(self.threads)
        threshold = {"anisotropic_quantization_threshold": 0.2} if unit else {}
        self._index = (
            builder.tree(self.params["leaves"], 16)
            .score_ah(self.params["dims_per_block"], **threshold)
            .reorder(100)
            .build()
        )
        self._index.set_num_threads(self.threads)

    def search(self, xq: FloatArray, k: int) -> Array:
        leaves, reorder = self.settings["leaves_to_search"], max(k, self.settings["reorder"])
        if len(xq) == 1:
            ids = self._index.search(xq[0], k, pre_reorder_num_neighbors=reorder, leaves_to_search=leaves)[0][None]
        else:
            how = self._index.search_batched if self.threads == 1 else self._index.search_batched_parallel
            ids = how(xq, k, pre_reorder_num_neighbors=reorder, leaves_to_search=leaves)[0]
        return np.asarray(ids).astype(np.int64)

    def size(self, folder: Path) -> Size:
        self._index.serialize(str(folder))
        return file_size(folder)


class TurboVec(Adapter):
    """TurboQuant: a random rotation and a scalar code a dimension; every code is scanned."""

    name = package = module = "turbovec"
    family = "codes"
    build_params: ClassVar = {"bit_width": 4}
    note = "it ranks by inner product: vectors are scaled to unit length for it, which keeps the order of unit vectors only"

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        check_choice(params, "bit_width", 2, 3, 4)
        if d % 8:
            raise InputError(f"turbovec takes dimensions that are multiples of 8, got d={d}")

    def build(self, x: FloatArray) -> None:
        import turbovec

        self._scaled = not _is_unit(x)
        unit = unit_rows(x) if self._scaled else x
        self._index = turbovec.TurboQuantIndex(dim=x.shape[1], bit_width=self.params["bit_width"])
        sample = np.random.default_rng(0).permutation(len(x))[:1024]
        self._index.calibrate(np.ascontiguousarray(unit[sample]))
        self._index.add(unit)
        self._index.prepare()

    def search(self, xq: FloatArray, k: int) -> Array:
        return np.asarray(self._index.search(unit_rows(xq) if self._scaled else xq, k)[1]).astype(np.int64)

    def size(self, folder: Path) -> Size:
        self._index.write(str(folder / "index.tv"))
        return file_size(folder)


class RaBitQLib(Adapter):
    """RaBitQ by its authors: inverted lists of a few bits a dimension."""

    name, package, module, family = "rabitqlib-ivf", "rabitqlib", "rabitqlib", "codes"
    build_params: ClassVar = {"nlist": 256, "nbits": 7}
    search_params: ClassVar = {"nprobe": 16}

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        check_lists(params, n)
        if not 1 <= params["nbits"] <= 9:
            raise InputError(f"nbits={params['nbits']}: expected 1 to 9")

    def build(self, x: FloatArray) -> None:
        import rabitqlib

        exactly = rabitqlib.FinalAssignmentMode.Exact
        clusters = rabitqlib.RaBitQKMeans(
            x.shape[1], self.params["nlist"], num_threads=self.threads, final_assignment=exactly
        )
        clusters.train(x)
        self._index = rabitqlib.IvfIndex(x.shape[1], len(x), self.params["nlist"], self.params["nbits"], metric="l2")
        self._index.build(x, clusters.centroids, clusters.assignments, num_threads=self.threads)

    def search(self, xq: FloatArray, k: int) -> Array:
        found = self._index.search(xq, k, self.settings["nprobe"], num_threads=self.threads)
        ids = next(np.asarray(part) for part in found if np.asarray(part).dtype.kind in "iu")
        return ids.astype(np.int64)

    def size(self, folder: Path) -> Size:
        self._index.save(str(folder / "index.rabitq"))
        return file_size(folder)


def _is_unit(x: FloatArray) -> bool:
    return bool(np.allclose(np.einsum("nd,nd->n", x, x), 1, atol=1e-4))


CODES: tuple[type[Adapter], ...] = (NanoPQ, ScaNN, TurboVec, RaBitQLib)

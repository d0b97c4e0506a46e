"""FAISS, by its index factory."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike.errors import InputError
from lookalike_bench.adapters.base import Adapter, Parameters, Size, check_choice, check_divides, check_lists, file_size

__all__ = ["FAISS"]


# A batch of nq queries is compared by matrix products if nq · d is at least this, for each thread. With FAISS 1.15's own value,
# 128,000, a batch of 500 queries of 128 dimensions takes eight times as long; its pull request 5109 proposes this one. A single
# query stays below it whatever its dimension: as a product it would take twice as long.
BLAS_THRESHOLD = 800


class _Faiss(Adapter):
    package, module, family = "faiss-cpu", "faiss", "FAISS"
    factory: ClassVar[str]

    def __init__(self, params: Parameters, threads: int) -> None:
        super().__init__(params, threads)
        self._index: Any = None

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        check_lists({"nlist": 1, **params}, n)
        if "m" in params:
            check_divides(params, d)
        if 2 ** params.get("nbits", 1) > n:
            raise InputError(f"nbits={params['nbits']}: more centroids than the n={n:,} vectors")

    def build(self, x: FloatArray) -> None:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        faiss.cvar.distance_compute_blas_threshold = max(BLAS_THRESHOLD * self.threads, 2 * x.shape[1])
        self._index = faiss.index_factory(x.shape[1], self.factory.format(**self.params, d=x.shape[1]))
        self._prepare(faiss)
        self._index.train(x)
        self._index.add(x)

    def _prepare(self, faiss: Any) -> None:
        """Quiet its advice on the number of training points."""
        ivf = faiss.try_extract_index_ivf(self._index)
        if ivf is not None:
            ivf.cp.min_points_per_centroid = 1
            if hasattr(ivf, "pq"):
                ivf.pq.cp.min_points_per_centroid = 1

    def set(self, settings: Parameters) -> None:
        import faiss

        super().set(settings)
        if "nprobe" in self.settings:
            faiss.extract_index_ivf(self._index).nprobe = self.settings["nprobe"]
        if "k_factor" in self.settings:
            self._index.k_factor = self.settings["k_factor"]
        if "ef" in self.settings:
            self._index.hnsw.efSearch = self.settings["ef"]

    def search(self, xq: FloatArray, k: int) -> Array:
        return np.asarray(self._index.search(xq, k)[1])

    def size(self, folder: Path) -> Size:
        import faiss

        faiss.write_index(self._index, str(folder / "index.faiss"))
        return file_size(folder)


class Flat(_Faiss):
    """Exact search."""

    name, factory = "faiss-flat", "Flat"
    is_exact = True


class IVFFlat(_Faiss):
    """Inverted lists of whole vectors."""

    name, factory = "faiss-ivfflat", "IVF{nlist},Flat"
    build_params: ClassVar = {"nlist": 256}
    search_params: ClassVar = {"nprobe": 16}


class IVFPQ(_Faiss):
    """Inverted lists of product codes. "np": without training for polysemous filtering, which no search here uses."""

    name, factory = "faiss-ivfpq", "IVF{nlist},PQ{m}x{nbits}np"
    build_params: ClassVar = {"nlist": 256, "m": 16, "nbits": 8}
    search_params: ClassVar = {"nprobe": 16}

    def decoded(self, rows: Array) -> FloatArray | None:
        faiss: Any = importlib.import_module("faiss")
        ivf = faiss.extract_index_ivf(self._index)
        ivf.make_direct_map()
        found = np.asarray(self._index.reconstruct_batch(rows), np.float32)
        ivf.set_direct_map_type(faiss.DirectMap.NoMap)
        return found


class OPQIVFPQ(IVFPQ):
    """The same behind a learnt rotation."""

    name, factory = "faiss-opq-ivfpq", "OPQ{m},IVF{nlist},PQ{m}x{nbits}np"
    build_params: ClassVar = {"nlist": 256, "m": 16, "nbits": 8, "opq_iterations": 50}

    def _prepare(self, faiss: Any) -> None:
        super()._prepare(faiss)
        turned = faiss.downcast_VectorTransform(self._index.chain.at(0))
        turned.niter = self.params["opq_iterations"]


class FastScan(_Faiss):
    """4-bit codes in registers, re-ranked by the vectors."""

    name, factory = "faiss-fastscan-refine", "IVF{nlist},PQ{m}x4fs,Refine({refine})"
    build_params: ClassVar = {"nlist": 256, "m": 32, "refine": "Flat"}
    search_params: ClassVar = {"nprobe": 16, "k_factor": 10}
    note = "size includes the vectors that re-ranking reads, float32 (refine Flat) or float16 (refine SQfp16)"

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        super().check(params, n, d)
        check_choice(params, "refine", "Flat", "SQfp16")


class HNSW(_Faiss):
    """A navigable graph over whole vectors."""

    name, factory = "faiss-hnsw", "HNSW{M},Flat"
    build_params: ClassVar = {"M": 16, "ef_construction": 100}
    search_params: ClassVar = {"ef": 32}

    def _prepare(self, faiss: Any) -> None:
        self._index.hnsw.efConstruction = self.params["ef_construction"]


class RaBitQ(_Faiss):
    """Inverted lists of one bit a dimension behind the random rotation that RaBitQ is defined with, re-ranked by the vectors."""

    name, factory = "faiss-ivf-rabitq", "RR{d},IVF{nlist},{codes},RFlat"
    build_params: ClassVar = {"nlist": 256, "codes": "RaBitQ"}
    search_params: ClassVar = {"nprobe": 16, "k_factor": 10}
    note = "size includes the vectors in float32 that re-ranking reads; codes RaBitQfs are scanned in registers"

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        super().check(params, n, d)
        check_choice(params, "codes", "RaBitQ", "RaBitQfs")


FAISS: tuple[type[Adapter], ...] = (Flat, IVFFlat, IVFPQ, OPQIVFPQ, FastScan, HNSW, RaBitQ)

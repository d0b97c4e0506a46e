"""Libraries that search a graph of neighbours."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike.errors import InputError
from lookalike_bench.adapters.base import Adapter, Parameters, Size, check_choice, file_size

__all__ = ["GRAPHS"]


class HNSWLib(Adapter):
    """The graph by its authors."""

    name = package = module = "hnswlib"
    family = "graph"
    build_params: ClassVar = {"M": 16, "ef_construction": 200}
    search_params: ClassVar = {"ef": 50}

    def build(self, x: FloatArray) -> None:
        import hnswlib

        self._index = hnswlib.Index(space="l2", dim=x.shape[1])
        self._index.init_index(
            max_elements=len(x), M=self.params["M"], ef_construction=self.params["ef_construction"], random_seed=0
        )
        self._index.set_num_threads(self.threads)
        self._index.add_items(x, num_threads=self.threads)

    def search(self, xq: FloatArray, k: int) -> Array:
        self._index.set_ef(max(k, self.settings["ef"]))
        return np.asarray(self._index.knn_query(xq, k=k, num_threads=self.threads)[0]).astype(np.int64)

    def size(self, folder: Path) -> Size:
        self._index.save_index(str(folder / "index.bin"))
        return file_size(folder)


class USearch(Adapter):
    """A graph over vectors of a chosen precision."""

    name = package = "usearch"
    module = "usearch.index"
    family = "graph"
    build_params: ClassVar = {"connectivity": 16, "expansion_add": 128, "dtype": "f32"}
    search_params: ClassVar = {"expansion_search": 64}

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        check_choice(params, "dtype", "f32", "f16", "bf16", "i8")

    def build(self, x: FloatArray) -> None:
        from usearch.index import Index

        self._index = Index(
            ndim=x.shape[1], metric="l2sq", dtype=self.params["dtype"], connectivity=self.params["connectivity"],
            expansion_add=self.params["expansion_add"],
        )  # fmt: skip
        self._index.add(np.arange(len(x), dtype=np.uint64), x, threads=self.threads)

    def search(self, xq: FloatArray, k: int) -> Array:
        self._index.expansion_search = max(k, self.settings["expansion_search"])
        found = self._index.search(xq, k, threads=self.threads)
        return np.asarray(found.keys).reshape(len(xq), -1).astype(np.int64)

    def size(self, folder: Path) -> Size:
        self._index.save(str(folder / "index.usearch"))
        return file_size(folder)


class PyNNDescent(Adapter):
    """A graph by nearest-neighbour descent, in Numba."""

    name = package = module = "pynndescent"
    family = "graph"
    build_params: ClassVar = {"n_neighbors": 30, "pruning_degree_multiplier": 1.5, "diversify_prob": 1.0}
    search_params: ClassVar = {"epsilon": 0.1}
    warm_rows = 5000  # fewer take another way through its code
    note = "its compilation on first use is not timed; size is the sum of its arrays"

    def warm_up(self, x: FloatArray) -> None:
        self.build(x)
        self.search(x[:2], 10)

    def build(self, x: FloatArray) -> None:
        import pynndescent

        self._index = pynndescent.NNDescent(x, metric="euclidean", random_state=0, n_jobs=self.threads, **self.params)
        self._index.prepare()

    def search(self, xq: FloatArray, k: int) -> Array:
        return np.asarray(self._index.query(xq, k=k, epsilon=self.settings["epsilon"])[0]).astype(np.int64)

    def size(self, folder: Path) -> Size:
        graph = self._index._search_graph
        arrays = [self._index._raw_data, graph.indptr, graph.indices, graph.data]
        arrays += [part for tree in self._index._search_forest for part in tree if isinstance(part, np.ndarray)]
        return Size(sum(array.nbytes for array in arrays), "arrays")


class SVS(Adapter):
    """Intel's Vamana graph, over whole vectors or their locally adaptive codes (LVQ)."""

    name, package, module, family = "svs-vamana", "scalable-vs", "svs", "graph"
    build_params: ClassVar = {"graph_max_degree": 32, "window_size": 100, "alpha": 1.2, "compression": "none"}
    search_params: ClassVar = {"window": 32}
    CODES: ClassVar = {"none": None, "lvq8": (8, 0), "lvq4x4": (4, 4), "lvq4x8": (4, 8)}

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        if params["compression"] not in cls.CODES:
            raise InputError(f"compression={params['compression']!r}: expected {', '.join(cls.CODES)}")

    def build(self, x: FloatArray) -> None:
        import svs

        names = ("graph_max_degree", "window_size", "alpha")
        how = svs.VamanaBuildParameters(**{name: self.params[name] for name in names})
        bits = self.CODES[self.params["compression"]]
        with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as folder:
            data: Any = x
            if bits is not None:
                path = str(Path(folder) / "x.fvecs")
                svs.write_vecs(x, path)
                loaded = svs.VectorDataLoader(path, svs.DataType.float32, dims=x.shape[1])
                data = svs.LVQLoader(loaded, primary=bits[0], residual=bits[1])
            self._index = svs.Vamana.build(how, data, svs.DistanceType.L2, num_threads=self.threads)
        self._index.num_threads = self.threads

    def search(self, xq: FloatArray, k: int) -> Array:
        window = max(k, self.settings["window"])
        if self._index.search_window_size != window:
            self._index.search_window_size = window
        return np.asarray(self._index.search(xq, k)[0]).astype(np.int64)

    def size(self, folder: Path) -> Size:
        self._index.save(*(str(folder / part) for part in ("config", "graph", "data")))
        return file_size(folder)


GRAPHS: tuple[type[Adapter], ...] = (HNSWLib, USearch, PyNNDescent, SVS)

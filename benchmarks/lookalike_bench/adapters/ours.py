"""Our own indexes, through the public interface."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike.errors import InputError, LookalikeWarning
from lookalike_bench.adapters.base import Adapter, Parameters, Size, check_divides, check_lists, file_size

__all__ = ["OURS"]

ROWS = ("float32", "float16", "sq8", "lvq8")
KMEANS = ("native", "faiss", "sklearn")


class _Ours(Adapter):
    package = module = family = "lookalike"

    def __init__(self, params: Parameters, threads: int) -> None:
        super().__init__(params, threads)
        self._index: Any = None

    def _make(self) -> Any:
        raise NotImplementedError

    def warm_up(self, x: FloatArray) -> None:
        small = {
            "nlist": min(16, len(x)),
            "nbits": min(8, self.params.get("nbits", 8)),
            "kmeans": "native",
            "rotation": "",
        }
        self.params |= {name: value for name, value in small.items() if name in self.params}
        self.build(x)
        self.search(x[:2], 10)
        self.search(x[:1], 10)

    def build(self, x: FloatArray) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LookalikeWarning)
            index = self._make()
            self._index = (index if self.is_exact else index.train(x)).add(x)

    def search(self, xq: FloatArray, k: int) -> Array:
        return np.asarray(self._index.search(xq, k, threads=self.threads, **self.settings).ids)

    def size(self, folder: Path) -> Size:
        self._index.save(folder / "index.lka")
        return file_size(folder)

    def decoded(self, rows: Array) -> FloatArray | None:
        return np.asarray(self._index.reconstruct(rows), np.float32) if "m" in self.params else None


class Flat(_Ours):
    """Exact search."""

    name = "lookalike-flat"
    is_exact = True

    def _make(self) -> Any:
        import lookalike as la

        return la.FlatIndex()


def _check_codes(params: Parameters, n: int, d: int) -> None:
    rotation = params.get("rotation") or ""
    if rotation.startswith("pca:"):
        kept = rotation.removeprefix("pca:")
        if not kept.isdecimal() or not 1 <= int(kept) <= d:
            raise InputError(f"rotation={rotation!r}: expected pca: and a dimension of at most d={d}")
        d = int(kept)
    elif rotation not in {"", "opq"}:
        raise InputError(f"rotation={rotation!r}: expected 'opq', 'pca:128' or ''")
    check_divides(params, d)
    if not 4 <= params["nbits"] <= 16 or 2 ** params["nbits"] > n:
        raise InputError(f"nbits={params['nbits']}: expected 4 to 16, and no more than n={n:,} centroids")
    if params["kmeans"] not in KMEANS:
        raise InputError(f"kmeans={params['kmeans']!r}: expected one of {', '.join(KMEANS)}")


class PQ(_Ours):
    """Product quantization of whole vectors, all scanned."""

    name = "lookalike-pq"
    build_params: ClassVar = {"m": 16, "nbits": 8, "kmeans": "native", "rotation": ""}

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        _check_codes(params, n, d)

    def _make(self) -> Any:
        import lookalike as la

        return la.PQIndex(**{**self.params, "rotation": self.params["rotation"] or None})


class IVFFlat(_Ours):
    """Inverted lists of whole vectors."""

    name = "lookalike-ivfflat"
    build_params: ClassVar = {"nlist": 256, "kmeans": "native"}
    search_params: ClassVar = {"nprobe": 16}

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        check_lists(params, n)

    def _make(self) -> Any:
        import lookalike as la

        return la.IVFFlatIndex(**self.params)


class IVFPQ(_Ours):
    """The engine: inverted lists of product codes."""

    name = "lookalike-ivfpq"
    build_params: ClassVar = {"nlist": 256, "m": 16, "nbits": 8, "kmeans": "native", "rotation": ""}
    search_params: ClassVar = {"nprobe": 16}

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        check_lists(params, n)
        _check_codes(params, n, d)

    def _make(self) -> Any:
        import lookalike as la

        return la.IVFPQIndex(**{**self.params, "rotation": self.params["rotation"] or None})


class IVFPQReranked(IVFPQ):
    """The same, with candidates re-ranked by the vectors in half precision, as a collection does."""

    name = "lookalike-ivfpq-reranked"
    search_params: ClassVar = {"nprobe": 16, "candidates": 200}
    note = "size includes the vectors in float16 that re-ranking reads"

    def build(self, x: FloatArray) -> None:
        import lookalike as la

        super().build(x)
        self._codes, self._vectors = self._index, x.astype(np.float16)
        self._index = la.Reranked(self._codes, self._vectors)

    def search(self, xq: FloatArray, k: int) -> Array:
        wanted = {**self.settings, "candidates": max(k, self.settings["candidates"])}
        return np.asarray(self._index.search(xq, k, threads=self.threads, **wanted).ids)

    def size(self, folder: Path) -> Size:
        self._codes.save(folder / "index.lka")
        np.save(folder / "vectors.npy", self._vectors)
        return file_size(folder)

    def decoded(self, rows: Array) -> FloatArray | None:
        return None


class IVFSigns(_Ours):
    """Sign codes that choose candidates, and rows that order them."""

    name = "lookalike-ivfsigns"
    build_params: ClassVar = {"nlist": 256, "rows": "lvq8", "kmeans": "native"}
    search_params: ClassVar = {"nprobe": 16, "candidates": 60}

    @classmethod
    def check(cls, params: Parameters, n: int, d: int) -> None:
        check_lists(params, n)
        if params["rows"] not in ROWS:
            raise InputError(f"rows={params['rows']!r}: expected one of {', '.join(ROWS)}")

    def _make(self) -> Any:
        import lookalike as la

        return la.IVFSignsIndex(**self.params)

    def decoded(self, rows: Array) -> FloatArray | None:
        return np.asarray(self._index.reconstruct(rows), np.float32)


OURS: tuple[type[Adapter], ...] = (Flat, PQ, IVFFlat, IVFPQ, IVFPQReranked, IVFSigns)

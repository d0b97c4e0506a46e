"""Vectors made of pictures: SIFT descriptors and features of the default model. Each is made once and kept."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import Array, FloatArray
from lookalike._validate import unit_rows
from lookalike.data.vectors import read_vectors, sift_descriptors, sift_set
from lookalike.data.walk import Found, walk
from lookalike.errors import DatasetError, FormatError, ImageError
from lookalike.features.embedder import default_threads
from lookalike.features.images import SUFFIXES, open_picture
from lookalike.quantizers.rotation import LinearTransform, train_pca
from lookalike_bench.ahead import ahead
from lookalike_bench.pooled import pooled_features

__all__ = ["WIDE_D", "Pictures", "find_pictures", "reduced"]

RECIPE = 1  # part of the key of everything kept: raise it when vectors are made otherwise
SIFT = (1_000_000, 1000)  # base vectors and queries at the most
WIDE_D = 2048
_SIFT_SIDE = 512  # pictures are made so small before their descriptors are taken

Say = Callable[[str], None]
Pair = tuple[FloatArray, FloatArray]  # base and queries


class Pictures:
    """The pictures of some folders, and the vectors that are made of them.

    Parameters
    ----------
    folders : sequence of Path
    keep : Path
        Where vectors stay for the next run on the same pictures.
    say : callable
        Takes lines of progress.

    Raises
    ------
    DatasetError
        If there are none.
    """

    def __init__(self, folders: Sequence[Path], keep: Path, say: Say) -> None:
        named = find_pictures(folders)
        self.paths = [path for _, path in named]
        self._keep, self._say = keep, say
        self._stamp = [(name, path.stat().st_size) for name, path in named]

    def __len__(self) -> int:
        return len(self.paths)

    def sift(self) -> Pair:
        """SIFT vectors, `SIFT` of them or as many as the pictures give."""
        return self._kept("sift", SIFT, self._sift)

    def features(self, queries: int) -> Pair:
        """Unit features of whole pictures, what a collection holds. No query is in the base."""
        return self._kept("whole", (queries,), lambda: _averages(pooled_features(self.paths, None, queries, self._say)))

    def cropped(self, rows: int, queries: int) -> Pair:
        """The same, and of crops as far as it takes to make up `rows`."""
        return _averages(self._pooled(rows, queries))

    def wide(self, rows: int, queries: int) -> Pair:
        """Features of pictures and crops, pooled twice, and reduced to `WIDE_D` dimensions, or as many as they span."""

        def make() -> Pair:
            base, asked = self._pooled(rows, queries)
            d = min(WIDE_D, len(base) - 1, base.shape[1])
            self._say(f"reducing {len(base):,} features to {d} dimensions")
            return reduced(base, asked, d)

        return self._kept("wide", (rows, queries, WIDE_D), make)

    def _pooled(self, rows: int, queries: int) -> Pair:
        return self._kept("pooled", (rows, queries), lambda: pooled_features(self.paths, rows, queries, self._say))

    def _sift(self) -> Pair:
        order = list(self.paths)
        random.Random(1).shuffle(order)
        self._say(f"taking SIFT vectors of up to {len(order):,} pictures")
        found = sift_set(ahead(_descriptors, order, default_threads()), *SIFT)
        if not len(found.base) or not len(found.queries):
            raise DatasetError(
                f"{len(order)} pictures gave {len(found.base)} SIFT vectors and {len(found.queries)} queries; give more"
            )
        return found.base, found.queries

    def _kept(self, what: str, numbers: Sequence[int], make: Callable[[], Pair]) -> Pair:
        """Arrays of an earlier run, or made now and kept under a name that has the pictures' sizes in it."""
        key = hashlib.sha256(json.dumps([RECIPE, what, list(numbers), self._stamp]).encode()).hexdigest()[:16]
        paths = [self._keep / f"{what}-{key}-{part}.npy" for part in ("base", "queries")]
        try:
            base, queries = (np.asarray(read_vectors(path), np.float32) for path in paths)
        except (FileNotFoundError, FormatError):
            base, queries = make()
            self._keep.mkdir(parents=True, exist_ok=True)
            for path, array in zip(paths, (base, queries), strict=True):
                with atomic_write(path) as file:
                    np.save(file, array)
        return base, queries


def find_pictures(folders: Sequence[Path]) -> list[tuple[str, Path]]:
    """Pictures of the folders with their names in them, in an order that does not depend on where the folders are.

    Raises
    ------
    DatasetError
        If there are none.
    """
    found = []
    for folder in folders:
        for item in walk(folder, SUFFIXES):
            if isinstance(item, Found):
                found.append((item.path.relative_to(folder).as_posix(), item.path))
    if not found:
        raise DatasetError(f"no pictures in {', '.join(str(folder) for folder in folders)}")
    return sorted(found)


def _averages(pooled: Pair) -> Pair:
    """The half of pooled features that is the default model's own, of unit length."""
    base, asked = (np.ascontiguousarray(unit_rows(x[:, : x.shape[1] // 2])) for x in pooled)
    return base, asked


def _descriptors(path: Path) -> Array:
    """SIFT vectors of a file; none of one that is no picture."""
    try:
        grey = open_picture(path, max_side=_SIFT_SIDE).convert("L")
    except (ImageError, OSError):
        return np.empty((0, 128), np.uint8)
    return sift_descriptors(np.asarray(grey))


def reduced(x: FloatArray, xq: FloatArray, d: int) -> tuple[FloatArray, FloatArray]:
    """PCA of `x` to d dimensions, largest variance first, applied to both."""
    if len(x) >= x.shape[1]:
        pca = train_pca(x, d)
    else:  # fewer vectors than dimensions: an eigenproblem of their number, not of the dimensions'
        mean = x.mean(axis=0)
        directions = np.linalg.svd(x - mean, full_matrices=False)[2][:d]
        if len(directions) < d:
            raise DatasetError(f"expected at least {d} vectors to reduce them to {d} dimensions, got {len(x)}")
        pca = LinearTransform(directions, -(directions @ mean))
    return pca.apply(x), pca.apply(xq)

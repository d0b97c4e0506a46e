"""The vectors that the engine is measured on, made once from pictures and kept."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import Array, FloatArray
from lookalike.data.vectors import read_vectors, sift_descriptors, sift_set, synthetic
from lookalike.data.walk import Found, walk
from lookalike.errors import DatasetError, FormatError, ImageError
from lookalike.features.embedder import default_threads
from lookalike.features.images import SUFFIXES, open_picture
from lookalike.index.exact import exact_search
from lookalike.quantizers.rotation import LinearTransform, train_pca
from lookalike_bench.ahead import ahead
from lookalike_bench.pooled import pooled_features
from lookalike_bench.spec import Scale

__all__ = [
    "EngineData",
    "Vectors",
    "engine_data",
    "find_pictures",
    "picture_features",
    "reduced",
    "sift_vectors",
    "wide_features",
]

RECIPE = 1  # part of the key of everything kept: raise it when vectors are made otherwise
NEIGHBORS = 100
_SIFT_SIDE = 512  # pictures are made so small before their descriptors are taken

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Base vectors and queries, with the exact neighbours' distances.

    Attributes
    ----------
    name : str
        What they are, for the report.
    base, queries : ndarray of float32, shapes (n, d) and (nq, d)
    exact : ndarray of float32, shape (nq, 100 or n)
        Squared distances of the exact neighbours, ascending.
    """

    name: str
    base: FloatArray
    queries: FloatArray
    exact: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class EngineData:
    """All vectors of a run of the engine's benchmark."""

    main: Vectors  # 128-d
    wide: Vectors  # 2048-d
    features: Vectors  # 1280-d
    short: FloatArray  # the wide set's base reduced to 128-d


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


def engine_data(scale: Scale, pictures: Sequence[tuple[str, Path]], keep: Path, say: Say) -> EngineData:
    """Make what a run needs, or read it from the folder `keep`, where it was left by an earlier run on the same pictures."""
    paths, kept = [path for _, path in pictures], _keeper(pictures, keep)

    if scale.synthetic:
        base, queries = synthetic(scale.vectors, scale.queries, 128)
        name = f"{len(base):,} made-up vectors"
    else:
        base, queries = sift_vectors(scale, pictures, keep, say)
        name = f"{len(base):,} SIFT vectors of {len(paths):,} pictures"
    main = _with_exact(name, base, queries, say)
    numbers = (scale.wide_rows, scale.wide_queries)
    both, both_q = kept("pooled", numbers, lambda: pooled_features(paths, scale.wide_rows, scale.wide_queries, say))
    d = both.shape[1] // 2
    unit, unit_q = _unit(both[:, :d]), _unit(both_q[:, :d])
    say(f"reducing {len(both):,} features to {scale.wide_d} dimensions")
    wide, wide_q = kept("wide", (*numbers, scale.wide_d), lambda: reduced(both, both_q, scale.wide_d))
    source = f"of {len(paths):,} pictures and crops"
    return EngineData(
        main=main,
        wide=_with_exact(f"{len(wide):,} features {source}, average and maximum", wide, wide_q, say),
        features=_with_exact(f"{len(unit):,} features {source}", unit, unit_q, say),
        short=np.ascontiguousarray(
            wide[:, : scale.short_d]
        ),  # largest variance first: this is PCA to so many dimensions
    )


Keeper = Callable[[str, Sequence[int], Callable[[], tuple[FloatArray, FloatArray]]], list[FloatArray]]


def _keeper(pictures: Sequence[tuple[str, Path]], keep: Path) -> Keeper:
    """Keeps what is made of these pictures, under a name that has their sizes in it."""
    keep.mkdir(parents=True, exist_ok=True)
    stamp = [(name, path.stat().st_size) for name, path in pictures]

    def kept(what: str, numbers: Sequence[int], make: Callable[[], tuple[FloatArray, FloatArray]]) -> list[FloatArray]:
        key = hashlib.sha256(json.dumps([RECIPE, what, list(numbers), stamp]).encode()).hexdigest()[:16]
        return _kept([keep / f"{what}-{key}-{part}.npy" for part in ("base", "queries")], make)

    return kept


def sift_vectors(scale: Scale, pictures: Sequence[tuple[str, Path]], keep: Path, say: Say) -> list[FloatArray]:
    """Base and queries of SIFT vectors, as many as the scale wants or the pictures give."""
    paths = [path for _, path in pictures]
    numbers = (scale.vectors, scale.queries)
    return _keeper(pictures, keep)("sift", numbers, lambda: _sift(paths, scale, say))


def picture_features(
    pictures: Sequence[tuple[str, Path]], keep: Path, say: Say, queries: int
) -> tuple[FloatArray, FloatArray]:
    """Unit features of whole pictures: the default model's, what a collection holds. No query is in the base."""
    paths = [path for _, path in pictures]

    def make() -> tuple[FloatArray, FloatArray]:
        whole, asked = pooled_features(paths, None, queries, say)
        d = whole.shape[1] // 2
        return _unit(whole[:, :d]), _unit(asked[:, :d])

    base, asked = _keeper(pictures, keep)("whole", (queries,), make)
    return base, asked


def wide_features(
    pictures: Sequence[tuple[str, Path]], keep: Path, say: Say, numbers: tuple[int, int, int]
) -> tuple[FloatArray, FloatArray]:
    """Features of pictures and crops, pooled twice and reduced: numbers are rows, queries and dimensions."""
    paths, kept = [path for _, path in pictures], _keeper(pictures, keep)
    rows, queries, d = numbers

    def pooled() -> tuple[FloatArray, FloatArray]:
        base, asked = kept("pooled", (rows, queries), lambda: pooled_features(paths, rows, queries, say))
        return reduced(base, asked, d)

    base, asked = kept("wide", numbers, pooled)
    return base, asked


def _sift(paths: Sequence[Path], scale: Scale, say: Say) -> tuple[FloatArray, FloatArray]:
    order = list(paths)
    random.Random(1).shuffle(order)
    say(f"taking SIFT vectors of up to {len(order):,} pictures")
    found = sift_set(ahead(_descriptors, order, default_threads()), scale.vectors, scale.queries)
    if len(found.base) < scale.nlist or not len(found.queries):
        raise DatasetError(
            f"expected at least {scale.nlist} SIFT vectors, {len(order)} pictures gave {len(found.base)}; give more"
        )
    return found.base, found.queries


def _descriptors(path: Path) -> Array:
    """SIFT vectors of a file; none of one that is no picture."""
    try:
        grey = open_picture(path, max_side=_SIFT_SIDE).convert("L")
    except (ImageError, OSError):
        return np.empty((0, 128), np.uint8)
    return sift_descriptors(np.asarray(grey))


def _unit(x: FloatArray) -> FloatArray:
    scaled: FloatArray = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.ascontiguousarray(scaled, np.float32)


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


def _with_exact(name: str, base: FloatArray, queries: FloatArray, say: Say) -> Vectors:
    say(f"exact neighbours among {name}")
    return Vectors(name, base, queries, exact_search(queries, base, min(NEIGHBORS, len(base)), "l2")[0])


def _kept(paths: list[Path], make: Callable[[], tuple[FloatArray, ...]]) -> list[FloatArray]:
    """Arrays of an earlier run, or made now and kept."""
    try:
        return [np.asarray(read_vectors(path), np.float32) for path in paths]
    except (FileNotFoundError, FormatError):
        made = make()
    for path, array in zip(paths, made, strict=True):
        with atomic_write(path) as file:
            np.save(file, array)
    return list(made)

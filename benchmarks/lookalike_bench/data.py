"""The vectors of an experiment, made once and kept as files that every run maps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import Array, FloatArray
from lookalike.data.datasets import starter_folder
from lookalike.errors import DatasetError, FormatError, InputError
from lookalike.index.exact import exact_search
from lookalike_bench.experiments.spec import DataSpec

__all__ = ["NEIGHBORS", "Prepared", "Vectors", "about_all", "fetched_pictures", "prepare", "stand_in"]

NEIGHBORS = 100  # exact neighbours that are known of each query, at the most
_QUERIES = 500  # pictures that are queries, at the most
UPSTREAM_ROWS = 9144
_STARTER_ROWS = 1800  # of the starter pictures and their crops
_MADE_UP_ROWS = 500_000
_MADE_UP_D, _MADE_UP = 4096, 1_500_000_000
_TIE = 1e-3  # how far a given ground truth may be from the distances that are computed here, relative

Say = Callable[[str], None]


class Vectors(NamedTuple):
    """Base vectors and queries, with the exact neighbours' squared distances, ascending."""

    base: FloatArray
    queries: FloatArray
    exact: FloatArray


@dataclass(frozen=True, slots=True)
class Prepared:
    """A data set on disk.

    Attributes
    ----------
    name, about : str
        Its name, and what it is in words.
    folder : Path
        Holds ``base.npy``, ``queries.npy`` and ``exact.npy``, as `Vectors`.
    n, d, queries : int
    fingerprint : str
        Of the vectors themselves: results are kept under it.
    """

    name: str
    about: str
    folder: Path
    n: int
    d: int
    queries: int
    fingerprint: str

    def load(self) -> Vectors:
        return Vectors(*(np.load(self.folder / f"{part}.npy") for part in Vectors._fields))


def prepare(spec: DataSpec, keep: Path, folders: Sequence[Path], say: Say) -> list[Prepared]:
    """Make or find the vectors of `spec`, once for each of its numbers of rows.

    Parameters
    ----------
    keep : Path
        A folder where they stay.
    folders : sequence of Path
        Folders of pictures, for data that is made of them and does not name its own.
    """
    base, queries, truth, about = _load(spec, keep, folders, say)
    base, queries = _checked(base, f"{spec.name}: base"), _checked(queries, f"{spec.name}: queries")
    if base.shape[1] != queries.shape[1]:
        raise InputError(f"{spec.name}: base vectors have d={base.shape[1]}, queries d={queries.shape[1]}")
    if spec.queries:
        queries = queries[: spec.queries]
    made = []
    for rows in spec.rows:
        if rows > len(base) and len(spec.rows) > 1:
            say(f"{spec.name}: {rows:,} rows are more than the {len(base):,} there are; left out")
            continue
        part = base[: rows or len(base)]
        known = truth if len(part) == len(base) else None
        name = f"{spec.name}-{_short(len(part))}" if len(spec.rows) > 1 else spec.name
        made.append(_kept(name, about, part, queries, known, keep, say))
    return made


def _short(n: int) -> str:
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if n >= size and n % size == 0:
            return f"{n // size}{letter}"
    return str(n)


def _checked(x: Array, name: str) -> FloatArray:
    if x.ndim != 2 or not x.size:
        raise InputError(f"{name}: expected vectors of shape (n, d), got {x.shape}")
    cast = np.ascontiguousarray(x, np.float32)
    if not np.isfinite(cast).all():
        raise InputError(f"{name}: expected finite numbers, got NaN or infinity")
    return cast


def _kept(
    name: str, about: str, base: FloatArray, queries: FloatArray, truth: Array | None, keep: Path, say: Say
) -> Prepared:
    digest = hashlib.sha256(json.dumps([base.shape, queries.shape]).encode())
    digest.update(base.data)
    digest.update(queries.data)
    fingerprint = digest.hexdigest()[:16]
    folder = keep / f"data-{fingerprint}"
    wanted = min(NEIGHBORS, len(base))
    try:
        exact = np.load(folder / "exact.npy")
        for part in ("base", "queries"):
            np.load(folder / f"{part}.npy", mmap_mode="r")
    except (OSError, ValueError, EOFError):
        say(f"{name}: exact neighbours of {len(queries):,} queries among {len(base):,} × {base.shape[1]}")
        exact = exact_search(queries, base, wanted, "l2")[0]
        folder.mkdir(parents=True, exist_ok=True)
        for part, array in (("base", base), ("queries", queries), ("exact", exact)):
            with atomic_write(folder / f"{part}.npy") as file:
                np.save(file, array)
    if truth is not None:
        _compare_truth(name, truth, base, queries, exact)
    return Prepared(name, about, folder, len(base), base.shape[1], len(queries), fingerprint)


def _compare_truth(name: str, truth: Array, base: FloatArray, queries: FloatArray, exact: FloatArray) -> None:
    """A ground truth that was given must be that of these vectors: its ids, up to ties."""
    if len(truth) < len(queries):
        raise InputError(f"{name}: ground truth for {len(truth):,} queries, but there are {len(queries):,}")
    rows = np.asarray(truth[: len(queries), : exact.shape[1]], np.int64)
    if rows.size and (rows.min() < 0 or rows.max() >= len(base)):
        raise InputError(f"{name}: ground truth names row {int(rows.max())}, the base has {len(base):,}")
    nearest = np.square(base[rows[:, 0]] - queries, dtype=np.float64).sum(axis=1)
    wrong = int((nearest > exact[:, 0] * (1 + _TIE) + _TIE).sum())
    if wrong > len(queries) // 100:
        raise InputError(
            f"{name}: the ground truth is of other vectors or another metric: the nearest that it names for "
            f"{wrong:,} of {len(queries):,} queries is not"
        )


def _load(spec: DataSpec, keep: Path, folders: Sequence[Path], say: Say) -> tuple[Array, Array, Array | None, str]:
    """Base, queries, ground truth if there is one, and what it is."""
    if spec.kind == "synthetic":
        from lookalike.data.vectors import synthetic

        most = max(spec.rows)
        if not most:
            raise InputError(f"{spec.name}: kind='synthetic' needs rows")
        if spec.d > _MADE_UP_D or most * spec.d > _MADE_UP:
            raise InputError(
                f"{spec.name}: rows={most:,}, d={spec.d:,}: expected d of at most {_MADE_UP_D:,} and {_MADE_UP:,} numbers in all"
            )
        base, queries = synthetic(most, spec.queries or 1000, spec.d)
        return base, queries, None, "made-up vectors, clusters of clusters"
    if spec.kind == "files":
        return _files(spec)
    if spec.kind == "hdf5":
        from lookalike_bench.hdf5 import read_hdf5

        found = read_hdf5(Path(spec.path))
        return found.base, found.queries, found.truth, f"{Path(spec.path).name}, {found.distance}"
    if spec.kind == "collection":
        return (*_collection(spec), None, f"features of the collection {spec.collection}")
    return _pictures(spec, keep, folders, say)


def _files(spec: DataSpec) -> tuple[Array, Array, Array | None, str]:
    from lookalike.data.vectors import read_vectors

    read = {}
    for key in ("base", "queries_file", "truth"):
        value = getattr(spec, key)
        if value and not Path(value).is_file():
            raise DatasetError(f"{spec.name}: {key}: there is no file {value}")
        read[key] = read_vectors(value) if value else None
    base, queries = read["base"], read["queries_file"]
    assert base is not None
    if queries is None:
        base, queries = _split(base, spec)
    return base, queries, read["truth"], Path(spec.base).name


def _split(x: Array, spec: DataSpec) -> tuple[Array, Array]:
    """Queries taken out of the vectors, evenly spaced, so that no query finds itself."""
    count = min(spec.queries or 1000, len(x) // 2)
    if not count:
        raise InputError(f"{spec.name}: {len(x)} vectors are too few to take queries from; give queries_file")
    chosen = np.zeros(len(x), np.bool_)
    chosen[np.arange(count) * (len(x) // count)] = True
    return x[~chosen], x[chosen]


def _collection(spec: DataSpec) -> tuple[Array, Array]:
    from lookalike.collection import Collection, home

    with Collection.open(home.resolve(spec.collection)) as photos:
        ids = [int(number) for number in photos.ids()]
        x = np.unique(photos.vectors(ids), axis=0) if ids else np.empty((0, 0), np.float32)  # equal pictures once
    return _split(x, spec)


def _pictures(spec: DataSpec, keep: Path, folders: Sequence[Path], say: Say) -> tuple[Array, Array, None, str]:
    from lookalike_bench.pictures import WIDE_D, Pictures

    if spec.images and not Path(spec.images).is_dir():
        raise DatasetError(f"{spec.name}: images: there is no folder {spec.images}")
    pictures = Pictures([Path(spec.images)] if spec.images else folders, keep, say)
    count, most = f"{len(pictures):,} pictures", max(spec.rows)
    asked = min(spec.queries or _QUERIES, _QUERIES, max(len(pictures) // 4, 1))
    if spec.kind == "sift":
        return *pictures.sift(), None, f"SIFT vectors of {count}"
    if spec.kind == "features":
        if spec.crops and not most:
            raise InputError(f"{spec.name}: crops: it needs rows, so many as pictures and crops are to be")
        made = pictures.cropped(most, asked) if spec.crops else pictures.features(asked)
        return *made, None, f"unit features of {count}{' and crops' * spec.crops}, by the default model"
    base, queries = pictures.wide(most or UPSTREAM_ROWS, asked)
    d = spec.d or base.shape[1]
    if d > base.shape[1]:
        raise FormatError(f"{spec.name}: d={d}: expected at most {base.shape[1]}")
    cut = "" if d == WIDE_D else f", by PCA to {d}"
    about = f"features of {count} and crops, average and maximum pooled, {WIDE_D}-d{cut}"
    return np.ascontiguousarray(base[:, :d]), np.ascontiguousarray(queries[:, :d]), None, about


def stand_in(spec: DataSpec) -> DataSpec:
    """What is measured where `spec` wants pictures and there are none: the starter pictures' features, else made-up vectors."""
    if not spec.wants_pictures:
        return spec
    if spec.kind == "features":
        images = str(starter_folder())
        return replace(spec, name=f"starter-{spec.name}", images=images, crops=True, rows=(_STARTER_ROWS,))
    most, d = (_MADE_UP_ROWS, 128) if spec.kind == "sift" else (UPSTREAM_ROWS, spec.d or 2048)
    return replace(
        spec, name=f"made-up-{spec.name}", kind="synthetic", d=d, rows=tuple(rows or most for rows in spec.rows)
    )


def fetched_pictures(datasets: Path) -> list[Path]:
    """The folders of the data sets that vectors are made of, as far as they were fetched."""
    return [folder for name in ("stamps", "clipart") if (folder := datasets / name).is_dir()]


def about_all(prepared: Sequence[Prepared]) -> list[dict[str, Any]]:
    """For the report."""
    return [{"name": p.name, "about": p.about, "n": p.n, "d": p.d, "queries": p.queries} for p in prepared]

"""Data sets in the layout of ann-benchmarks: ``train``, ``test``, ``neighbors``, ``distances``, and the attribute ``distance``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike._validate import unit_rows
from lookalike.errors import DatasetError, FormatError, InputError, MissingExtraError

__all__ = ["HDF5Set", "read_hdf5"]

_LARGEST = 64 << 30


class HDF5Set(NamedTuple):
    """What such a file holds; angular vectors are scaled to unit length, which makes squared distances order them alike."""

    base: FloatArray
    queries: FloatArray
    truth: Array | None
    distance: str


def read_hdf5(path: Path) -> HDF5Set:
    """Read a file of ann-benchmarks.

    Raises
    ------
    MissingExtraError
        Without h5py.
    DatasetError
        If there is no such file.
    FormatError
        If it is not of that layout.
    InputError
        If its distance is neither Euclidean nor angular.
    """
    try:
        import h5py
    except ImportError:
        raise MissingExtraError('HDF5 files need h5py; pip install "lookalike[bench]"') from None
    if not path.is_file():
        raise DatasetError(f"there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            distance = file.attrs.get("distance", "euclidean")
            distance = distance.decode() if isinstance(distance, bytes) else str(distance)
            parts = {name: _read(path, file, name) for name in ("train", "test", "neighbors") if name in file}
    except (OSError, KeyError, RuntimeError, TypeError) as error:
        raise FormatError(f"{path}: not an HDF5 file of vectors: {str(error).splitlines()[0]}") from None
    for name in ("train", "test"):
        if name not in parts:
            raise FormatError(f"{path}: expected a data set {name!r}, as in the files of ann-benchmarks")
    if distance not in {"euclidean", "angular"}:
        raise InputError(f"{path}: distance {distance!r}: expected euclidean or angular")
    base, queries = (np.ascontiguousarray(parts[name], np.float32) for name in ("train", "test"))
    if distance == "angular":
        base, queries = unit_rows(base), unit_rows(queries)
    return HDF5Set(base, queries, parts.get("neighbors"), distance)


def _read(path: Path, file: object, name: str) -> Array:
    table = file[name]  # type: ignore[index]
    if len(getattr(table, "shape", ())) != 2 or table.dtype.kind not in "fiu":
        raise FormatError(f"{path}: {name}: expected a table of numbers")
    if table.size * table.dtype.itemsize > _LARGEST:
        raise FormatError(f"{path}: {name}: {table.shape} is more than can be read")
    return np.asarray(table[()])

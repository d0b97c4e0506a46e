"""Features on disk: append-only files of float16 unit rows, and one view over all of them.

A segment is a safetensors file (so other tools can read it) with one tensor ``features``, float16, (rows, d). Its
header is padded to 64 bytes, so that the rows can be mapped aligned, and holds the SHA-256 of the rows.
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import Array, FloatArray, IdArray
from lookalike._validate import unit_rows
from lookalike.collection.mapping import file_size, is_shorter, map_rows
from lookalike.errors import CollectionUnavailableError, FormatError

if TYPE_CHECKING:
    from lookalike.features.transforms import Transform

__all__ = [
    "FOLDER",
    "FeatureStore",
    "Segment",
    "check_segment",
    "open_segment",
    "read_header",
    "read_segment",
    "rows_of",
    "write_segment",
]

FOLDER = "features"
ALIGNMENT = 64
MAX_HEADER = 4096
BLOCK = 1 << 20
READ_UP_TO = 2 << 20  # bytes of a segment: read, and checked at once; a larger one is mapped
CACHED_ELEMENTS = 16_000_000  # of float32: 64 MB
CACHED_FROM = 512  # rows asked for at once
ONCE = 64_000_000  # numbers that are compared without loading kernels, the first time
SPARSE = 64  # one in so many rows is asked for, or fewer: they are gathered
FILLED_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as the catalogue knows it: it holds the features `first` to ``first + rows - 1``."""

    id: int
    file: str
    first: int
    rows: int
    sha256: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells its contents from those of any other: names are given again in a collection that is made again."""
        return self.file, self.sha256

    @property
    def end(self) -> int:
        """One past the last feature."""
        return self.first + self.rows


def write_segment(target: Path, blocks: Iterable[Array], rows: int, d: int) -> str:
    """Write float16 rows, block by block, to a new file; returns their SHA-256."""
    digest = hashlib.sha256()
    written = 0
    with atomic_write(target) as file:
        file.write(_header(rows, d, "0" * 64))
        for block in blocks:
            data = np.ascontiguousarray(block, dtype="<f2")
            digest.update(data.data)
            file.write(data.data)
            written += len(data)
        if written != rows:
            raise FormatError(f"{target.name}: expected {rows} rows to write, got {written}")
        file.seek(0)
        file.write(_header(rows, d, digest.hexdigest()))
    return digest.hexdigest()


def _header(rows: int, d: int, sha256: str) -> bytes:
    metadata = {"format": "lookalike-features", "version": "1", "sha256": sha256}
    tensor = {"dtype": "F16", "shape": [rows, d], "data_offsets": [0, rows * d * 2]}
    text = json.dumps({"__metadata__": metadata, "features": tensor}).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def open_segment(path: Path, rows: int, d: int) -> Array:
    """Map the rows of a segment, after checking its header and length against what the catalogue expects.

    Raises
    ------
    FormatError
        If the file is not such a segment.
    OSError
        If it is not there, or cannot be read now.
    """
    with path.open("rb") as file:
        return map_rows(file, _check_header(file, path.name, rows, d), rows, d)


def _check_header(file: BinaryIO, name: str, rows: int, d: int) -> int:
    """Where the rows begin."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= MAX_HEADER:
        raise FormatError(f"{name}: not a feature segment; its header is damaged")
    text = file.read(length)
    size = file.seek(0, 2)
    try:
        tensor = json.loads(text)["features"]
        shape, dtype = tensor["shape"], tensor["dtype"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FormatError(f"{name}: not a feature segment; its header is damaged") from None
    if dtype != "F16" or shape != [rows, d]:
        raise FormatError(f"{name}: expected F16 of shape [{rows}, {d}], got {dtype} of shape {shape}")
    if size != 8 + length + rows * d * 2:
        raise FormatError(f"{name}: expected {8 + length + rows * d * 2:,} bytes, got {size:,}; it was cut or grew")
    return 8 + length


def read_header(path: Path) -> tuple[int, str] | None:
    """How many rows a file says it has, and their SHA-256; None where it is no segment, or cannot be read."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little") % (MAX_HEADER + 1)))
        return int(header["features"]["shape"][0]), str(header["__metadata__"]["sha256"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None


def read_segment(folder: Path, segment: Segment, d: int, *, keep: bool = True) -> Array:
    """All rows of a segment, read and compared with their checksum; none, if they are not to be kept.

    Raises
    ------
    FormatError
        If they are not what was written.
    FileNotFoundError
        If the file is gone.
    CollectionUnavailableError
        If it cannot be read now.
    """
    digest, parts = hashlib.sha256(), []
    try:
        with (folder / FOLDER / segment.file).open("rb") as file:
            file.seek(_check_header(file, segment.file, segment.rows, d))
            while block := file.read(BLOCK):
                digest.update(block)
                if keep:
                    parts.append(block)
    except OSError as error:
        raise _refused(folder, segment, error) from None
    if digest.hexdigest() != segment.sha256:
        raise FormatError(f"{segment.file}: the checksum of its {segment.rows:,} rows is not the one recorded")
    return np.frombuffer(b"".join(parts), "<f2").reshape(-1, d)


def _refused(folder: Path, segment: Segment, error: OSError) -> Exception:
    """A file that is gone, where its folder is there, is lost; anything else may be well again."""
    if isinstance(error, FileNotFoundError) and (folder / FOLDER).is_dir():
        return FileNotFoundError(error.errno, error.strerror, segment.file)
    return CollectionUnavailableError(
        f"{folder / FOLDER / segment.file} cannot be read now: {error.strerror or error}; "
        "nothing is known to be wrong with it, so try again"
    )


def check_segment(folder: Path, segment: Segment, d: int) -> str | None:
    """Read a whole segment; what is wrong with it, or None.

    Raises
    ------
    CollectionUnavailableError
        If it cannot be read now, which says nothing about it.
    """
    try:
        read_segment(folder, segment, d, keep=False)
    except FormatError as error:
        return str(error)
    except FileNotFoundError as error:
        return f"{segment.file}: {error.strerror or error}"
    return None


def rows_of(folder: Path, segment: Segment, d: int) -> Array:
    """The rows of a segment: a small one is read and checked, a large one mapped.

    Raises
    ------
    FormatError, FileNotFoundError, CollectionUnavailableError
        As `read_segment` does.
    """
    if segment.rows * d * 2 <= READ_UP_TO:
        return read_segment(folder, segment, d)
    try:
        return open_segment(folder / FOLDER / segment.file, segment.rows, d)
    except OSError as error:
        raise _refused(folder, segment, error) from None


class FeatureStore:
    """All features of a collection by id, as float32 unit rows, mapped from their segments, and transformed if asked.

    ``store[ids]`` gathers rows; `nearest` compares with all of them. Segments never change, so a store can be
    shared by threads and outlives the writer's deleting of old files.
    """

    def __init__(
        self,
        folder: Path,
        segments: list[Segment],
        d: int,
        previous: FeatureStore | None = None,
        *,
        strict: bool = True,
        transform: Transform | None = None,
        damaged: Collection[tuple[str, str]] = (),
    ) -> None:
        self._stored_d = d
        self.transform = transform
        self.broken: list[str] = []
        self._maps: dict[tuple[str, str], Array] = {}
        self._sizes: dict[tuple[str, str], tuple[Path, int]] = {}  # of mapped files, in bytes
        self._segments: list[Segment] = []
        known = previous._maps if previous is not None else {}
        for segment in sorted(segments, key=lambda segment: segment.first):
            try:
                if segment.key in damaged:
                    raise FormatError(f"{segment.file}: the checksum of its rows is not the one recorded")
                rows = known.get(segment.key)
                if rows is None:
                    rows = rows_of(folder, segment, d)
            except (FormatError, FileNotFoundError) as error:
                if strict and isinstance(error, FileNotFoundError):
                    raise
                self.broken.append(_one_line(error))
                continue
            self._maps[segment.key] = rows
            self._segments.append(segment)
            if self._is_mapped(segment):
                path = folder / FOLDER / segment.file
                before = previous._sizes.get(segment.key) if previous is not None else None
                self._sizes[segment.key] = before or (path, file_size(path))
        self._firsts = np.array([segment.first for segment in self._segments], np.int64)
        self._ends = np.array([segment.end for segment in self._segments], np.int64)
        self._cache: FloatArray | None = None
        self._was_asked = False
        self._names: tuple[IdArray, IdArray] | None = None  # features that were asked for, and `_named` of them

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def d(self) -> int:
        """Dimension of the rows that come out."""
        return self._stored_d if self.transform is None else self.transform.d_out

    def transformed(self, x: FloatArray) -> FloatArray:
        """Unit rows as the model made them, as this store gives its own."""
        return x if self.transform is None else self.transform.apply(x)

    def plain(self) -> FeatureStore:
        """The same features without the transform."""
        store = copy.copy(self)
        store.transform = store._cache = None
        store._was_asked = False
        return store if self.transform is not None else self

    @property
    def shape(self) -> tuple[int, int]:
        """(one past the largest id, d)."""
        return len(self), self.d

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Of the rows that come out."""
        return np.dtype(np.float32)

    @property
    def rows(self) -> Array:
        """The store itself, for functions that take any array and gather rows from it."""
        return cast("Array", self)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows on disk."""
        return sum(segment.rows for segment in self._segments) * self._stored_d * 2

    @property
    def fits_cache(self) -> bool:
        """Whether its rows are kept in memory as float32, once many were asked for."""
        return not len(self._firsts) or (len(self) - int(self._firsts[0])) * self.d <= CACHED_ELEMENTS

    @property
    def stored_d(self) -> int:
        """Dimension of the rows on disk."""
        return self._stored_d

    @property
    def mapped(self) -> list[Segment]:
        """Segments that were mapped, and so not compared with their checksums."""
        return [segment for segment in self._segments if self._is_mapped(segment)]

    def _is_mapped(self, segment: Segment) -> bool:
        return segment.rows * self._stored_d * 2 > READ_UP_TO

    def cut(self) -> list[tuple[str, str]]:
        """Keys of mapped segments whose files somebody has cut short since: they must not be read any more."""
        return [key for key, (path, size) in self._sizes.items() if is_shorter(path, size)]

    def holds(self, ids: IdArray) -> Array:
        """Which of `ids` can be read."""
        if not len(self._firsts):
            return np.zeros(len(ids), np.bool_)
        at = np.searchsorted(self._firsts, ids, side="right") - 1
        return (at >= 0) & (ids < self._ends[at])

    def __getitem__(self, key: slice | IdArray) -> FloatArray:
        if isinstance(key, slice):
            key = np.arange(*key.indices(len(self)), dtype=np.int64)
        ids = np.asarray(key, np.int64)
        held = self.holds(ids)
        if not held.all():  # as in an array that was cleared: what is not there is zero
            rows = np.zeros((len(ids), self.d), np.float32)
            rows[held] = self[ids[held]]
            return rows
        if not len(ids):
            return np.empty((0, self.d), np.float32)
        base = int(self._firsts[0])
        if self._cache is None and self.fits_cache and len(ids) > CACHED_FROM:
            self._cache = self._filled(base)
        if self._cache is not None:
            return self._cache[_as_slice(ids - base)]
        return self.transformed(_unit(self.raw(ids)))

    def nearest(self, xq: FloatArray, k: int, ids: IdArray) -> tuple[FloatArray, IdArray]:
        """The k nearest of some features by comparing with all of them, best first.

        Parameters
        ----------
        xq : ndarray of float32, shape (nq, d)
            Unit vectors.
        k : int
            At most as many as there are ids.
        ids : ndarray of int64, shape (n,)
            Sorted, and such that it `holds`.

        Returns
        -------
        distances : ndarray of float32, shape (nq, k)
            1 − cosine.
        found : ndarray of int64, shape (nq, k)
            Equal distances by id.
        """
        if not self._wants_kernels(ids):
            from lookalike.index.exact import exact_search

            return exact_search(xq, self.rows, k, "cosine", ids)
        from lookalike._threads import cores
        from lookalike.index.vectors import search_vectors

        names = self._named(ids)
        parts = [(self._maps[part.key], names[part.first : part.end]) for part in self._segments]
        return search_vectors(np.ascontiguousarray(xq, np.float32), parts, k, "angle", threads=cores())

    def _wants_kernels(self, ids: IdArray) -> bool:
        """Whether kernels should read the rows where they lie, as they are too many to be kept as float32.

        Loading kernels takes as long as one search of `ONCE` numbers by numpy.
        """
        if self.transform is not None or self.fits_cache or len(ids) * SPARSE < len(self):
            return False
        asked_before, self._was_asked = self._was_asked, True
        return asked_before or "numba" in sys.modules or len(self) * self.d > ONCE

    def _named(self, ids: IdArray) -> IdArray:
        """The id of each row that there could be, −1 for those that are not among `ids`; of the last ids it is remembered."""
        known = self._names
        if known is not None and known[0] is ids:
            return known[1]
        names = np.full(len(self), -1, np.int64)
        names[ids] = ids
        self._names = ids, names
        return names

    def raw(self, ids: IdArray) -> Array:
        """The rows of ids that it holds, as they are stored, float16, shape (n, d)."""
        if len(self._segments) == 1:
            segment = self._segments[0]
            return self._maps[segment.key][_as_slice(ids - segment.first)]
        out = np.empty((len(ids), self._stored_d), np.float16)
        at = np.searchsorted(self._firsts, ids, side="right") - 1
        for number in np.unique(at):
            segment = self._segments[number]
            here = np.flatnonzero(at == number)
            out[_as_slice(here)] = self._maps[segment.key][_as_slice(ids[here] - segment.first)]
        return out

    def _filled(self, base: int) -> FloatArray:
        cache = np.zeros((len(self) - base, self.d), np.float32)
        for segment in self._segments:
            rows = self._maps[segment.key]
            for at in range(0, len(rows), FILLED_AT_ONCE):
                first = segment.first - base + at
                part = self.transformed(_unit(rows[at : at + FILLED_AT_ONCE]))
                cache[first : first + len(part)] = part
        return cache


def _one_line(error: Exception) -> str:
    return f"{error.filename}: {error.strerror}" if isinstance(error, FileNotFoundError) else str(error)


def _unit(rows: Array) -> FloatArray:
    """float32 rows of length 1 again after float16's rounding; a damaged row (NaN) becomes zero, similar to nothing."""
    x = np.asarray(rows, np.float32)
    with np.errstate(invalid="ignore"):  # infinity times zero, which is the point
        is_finite = np.isfinite(np.dot(x.ravel(), np.zeros(x.size, np.float32)))
    if not is_finite:
        x = np.where(np.isfinite(x).all(axis=1, keepdims=True), x, np.float32(0))
    return unit_rows(x)


def _as_slice(rows: IdArray) -> slice | IdArray:
    """Consecutive numbers as a slice, which needs no gathering."""
    if (
        len(rows)
        and int(rows[-1]) - int(rows[0]) + 1 == len(rows)
        and (len(rows) < 3 or bool((np.diff(rows) == 1).all()))
    ):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows

"""Vectors from files (fvecs, ivecs, bvecs, npy), SIFT vectors from pictures, and made-up ones.

Files come from outside: sizes and dimensions are checked against the length of the file before anything is allocated.
"""

from __future__ import annotations

import hashlib
import os
import tokenize
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lookalike._typing import Array, FloatArray, PathLike
from lookalike._validate import check_count
from lookalike.errors import FormatError, InputError, MissingExtraError

__all__ = ["SUFFIXES", "SiftSet", "read_vectors", "sift_descriptors", "sift_set", "synthetic"]

SIFT_D = 128
SIFT_FEATURES = 400  # of one picture, the strongest
SIFT_SIDE = 16  # a smaller picture has no descriptors worth keeping
QUERY_EVERY = 25  # one picture in so many gives queries and no base vectors
MAX_D = 1_000_000

_ELEMENTS: dict[str, Any] = {".fvecs": np.float32, ".ivecs": np.int32, ".bvecs": np.uint8}
SUFFIXES = (*_ELEMENTS, ".npy")
"""Of files that `read_vectors` reads."""


def read_vectors(path: PathLike, limit: int | None = None, *, mmap: bool = False) -> Array:
    """Vectors of a file; its kind is told by the suffix.

    Parameters
    ----------
    path : str or path
        ``.fvecs``, ``.ivecs``, ``.bvecs`` (each row is its dimension as int32 and its elements; the TEXMEX corpus) or ``.npy``.
    limit : int, optional
        Read only so many rows, the first.
    mmap : bool
        Return a read-only map of the file instead of a copy, so that it may be larger than memory. Its rows may not be contiguous.

    Returns
    -------
    vectors : ndarray of float32, int32 or uint8, or the dtype of the ``.npy`` file, shape (n, d)

    Raises
    ------
    FormatError
        If the file is truncated, damaged or of another kind.
    InputError
        If the suffix is none of these.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: expected a file of vectors ({', '.join(SUFFIXES)}), got {suffix or 'no suffix'!r}")
    rows = None if limit is None else check_count(limit, "limit")
    mapped = _map_npy(path) if suffix == ".npy" else _map_vecs(path, np.dtype(_ELEMENTS[suffix]))
    mapped = mapped[:rows]
    return mapped if mmap else np.array(mapped, order="C")


def _map_vecs(path: Path, element: np.dtype[Any]) -> Array:
    """A read-only view (n, d) of a file whose rows are int32 d and d elements."""
    size = os.path.getsize(path)  # noqa: PTH202
    with path.open("rb") as file:
        head = file.read(4)
    if len(head) < 4:
        raise FormatError(f"{path}: expected at least one vector, the file has {size} bytes")
    d = int(np.frombuffer(head, "<i4")[0])
    if not 1 <= d <= MAX_D:
        raise FormatError(f"{path}: expected a dimension of 1 to {MAX_D:,}, got {d}; is it another kind of file?")
    length = 4 + d * element.itemsize
    if size % length:
        raise FormatError(
            f"{path}: expected a multiple of {length} bytes (d={d}), the file has {size}; it is cut short"
        )
    row = np.dtype([("d", "<i4"), ("x", element.newbyteorder("<"), (d,))])
    table = np.memmap(path, row, "r")
    other = np.flatnonzero(table["d"] != d)
    if len(other):
        raise FormatError(
            f"{path}: expected d={d} in every row, got {int(table['d'][other[0]])} in row {int(other[0])}"
        )
    vectors: Array = table["x"]
    return vectors


def _map_npy(path: Path) -> Array:
    """A read-only map of a ``.npy`` file of numbers with two dimensions."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # np.load would also take archives and pickles
    except (ValueError, OverflowError, TypeError, tokenize.TokenError) as error:  # a damaged header, objects, cut short
        reason = str(error).splitlines()[0] if str(error) else "it is empty"
        raise FormatError(f"{path}: not an .npy file of numbers: {reason}") from None
    if array.ndim != 2 or not array.size:
        raise FormatError(f"{path}: expected vectors of shape (n, d), got {array.shape}")
    if array.dtype.kind not in "fiub":
        raise FormatError(f"{path}: expected real numbers, got dtype {array.dtype}")
    return array


# --- SIFT ------------------------------------------------------------------------------------------------------------


class SiftSet(NamedTuple):
    """Base vectors and queries, each float32 with elements 0 to 255, shape (n, 128).

    No two base vectors are equal. Queries come from pictures that gave no base vector.
    """

    base: FloatArray
    queries: FloatArray


def sift_descriptors(grey: Array) -> Array:
    """SIFT descriptors of one picture (Lowe 2004), uint8, shape (n, 128); n may be 0.

    Parameters
    ----------
    grey : ndarray of uint8, shape (height, width)

    Raises
    ------
    MissingExtraError
        Without OpenCV.
    """
    try:
        import cv2
    except ImportError:
        raise MissingExtraError('SIFT vectors need OpenCV; pip install "lookalike[bench]"') from None
    if grey.ndim != 2 or grey.dtype != np.uint8:
        raise InputError(f"grey: expected uint8 of shape (height, width), got {grey.dtype} {grey.shape}")
    if min(grey.shape) < SIFT_SIDE:
        return np.empty((0, SIFT_D), np.uint8)
    _, found = cv2.SIFT.create(nfeatures=SIFT_FEATURES).detectAndCompute(np.ascontiguousarray(grey), None)
    return np.empty((0, SIFT_D), np.uint8) if found is None else np.asarray(found, np.uint8)


def sift_set(descriptors: Iterable[Array], limit: int, queries: int, seed: int = 0) -> SiftSet:
    """Deal the descriptors of many pictures to base and queries, without exact duplicates in the base.

    Parameters
    ----------
    descriptors : iterable of ndarray of uint8, shape (n_i, 128)
        One array a picture, in an order that does not depend on the machine. Read as far as needed.
    limit, queries : int
        How many base vectors and queries at the most.
    seed : int
        Of the order in which both come out, and of which queries are kept.

    Notes
    -----
    A descriptor takes 128 bytes until all are there, and about 100 more for the hash that tells duplicates; a set of 1M needs
    some 300 MB, and 512 MB when it is turned into floats. Sorting whole rows to find duplicates takes minutes; the
    128-bit hash of each takes a microsecond.
    """
    limit, queries = check_count(limit, "limit"), check_count(queries, "queries")
    seen: set[bytes] = set()
    base: list[Array] = []
    asked: list[Array] = []
    n_base = n_asked = 0
    for number, found in enumerate(descriptors):
        if n_base >= limit and n_asked >= queries:
            break
        if number % QUERY_EVERY == 0:
            if n_asked < queries:
                asked.append(found)
                n_asked += len(found)
        elif n_base < limit:
            fresh = found[_unseen(found, seen)][: limit - n_base]
            base.append(fresh)
            n_base += len(fresh)
    rng = np.random.default_rng(seed)
    return SiftSet(_shuffled(base, limit, rng), _shuffled(asked, queries, rng))


def _unseen(rows: Array, seen: set[bytes]) -> list[int]:
    """Numbers of the rows that are new; they are marked as seen."""
    fresh = []
    for number, row in enumerate(np.ascontiguousarray(rows)):
        digest = hashlib.blake2b(row.data, digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            fresh.append(number)
    return fresh


def _shuffled(parts: list[Array], count: int, rng: np.random.Generator) -> FloatArray:
    rows = np.concatenate(parts) if parts else np.empty((0, SIFT_D), np.uint8)
    return rows[rng.permutation(len(rows))[:count]].astype(np.float32)


def synthetic(n: int, queries: int, d: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Clusters of clusters whose variance falls from direction to direction, as that of real features does."""
    rng = np.random.default_rng(seed)
    spread = (1 / np.sqrt(1 + np.arange(d))).astype(np.float32)
    centres = rng.normal(size=(max(n // 500, 4), d)).astype(np.float32) * spread
    near = centres[rng.integers(len(centres), size=max(n // 20, 8))]
    near = near + rng.normal(size=near.shape).astype(np.float32) * (0.5 * spread)
    rows = near[rng.integers(len(near), size=n + queries)]
    x = 40 * (rows + rng.normal(size=rows.shape).astype(np.float32) * (0.3 * spread))
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    turned = np.ascontiguousarray(x @ turn, np.float32)
    return turned[:n], turned[n:]

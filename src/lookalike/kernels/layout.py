"""What kernels are given: memory laid out for them, and the tuples it travels in. Nothing here needs the compiler.

Python passes a plain tuple, made once, and a kernel names its parts: ``space = Space(*space)``. A named tuple takes Numba 0.7 µs
more in each call, since it compares the names, where the search of one query takes about 50.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "BLOCK",
    "COSINE",
    "IP",
    "L2",
    "LEVELS",
    "METRIC_NUMBERS",
    "ONE_ROUNDING",
    "PRODUCT_ROUNDING",
    "SUM_ROUNDING",
    "TILE",
    "Allow",
    "ByteTiles",
    "ListTable",
    "SignSpace",
    "Space",
    "Tiles",
    "aligned_empty",
    "group_size",
    "row_tiles",
]  # fmt: skip

BLOCK = 64  # vectors of a block of codes: one byte each in a row
TILE = 64  # columns of a tile
LEVELS = 127  # the largest byte of a centroid: two products of such bytes fit in 16 bits, which AVX2 needs
MANY, LONG = 128, 16  # centroids, and their dimensions, from which on they are scored in bytes

IP, L2, COSINE = 0, 1, 2  # metrics, in kernels: inner products are negated, so that smaller is nearer throughout
METRIC_NUMBERS = {"ip": IP, "l2": L2, "cosine": COSINE}

PRODUCT_ROUNDING = 4e-6  # of a float32 product of some thousand terms, relative to ‖x‖² + max ‖c‖²
SUM_ROUNDING = 1e-6  # of a sum of a few float32 numbers, relative to the largest
ONE_ROUNDING = 3e-7  # and of one that is near 1, which cosine distances are taken from

QUERIES = 64  # of a group that shares the reading of lists and codebook,
TABLES = 640 << 10  # if the bytes of their tables are not more, so that the cache holds them,
CANDIDATES = 2_000_000  # and the candidates that they keep are not more


def group_size(m: int, ksub: int, k: int) -> int:
    """How many queries search the lists together; codes of two bytes have no tables, and gain nothing from it."""
    return max(1, min(QUERIES, CANDIDATES // k, TABLES // (m * 256 * 5))) if ksub <= 256 else 1


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """An uninitialised C-contiguous array whose first byte is 64-byte aligned."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.__array_interface__["data"][0] % 64  # quicker than `ctypes`
    return memory[start : start + size].view(dtype).reshape(shape)


def row_tiles(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rows (n, d) as columns in tiles of 64: element e of row 64 t + c is ``tiles[t, e, c]``; rows that are not there are 0.

    Returns
    -------
    tiles : ndarray of float32, shape (ceil(n / 64), d, 64), 64-byte aligned
    """
    n, d = matrix.shape
    tiles = aligned_empty((-(-n // TILE), d, TILE), np.float32)
    for tile, first in zip(tiles, range(0, n, TILE), strict=True):
        rows = matrix[first : first + TILE]
        tile[:, : len(rows)], tile[:, len(rows) :] = rows.T, 0
    return tiles


class ByteTiles(NamedTuple):
    """Centroids in bytes, around their middle: `kernels.coarse`."""

    columns: Any  # uint8 (t, ⌈d / 4⌉, 64, 4): four elements of 64 centroids in turn; t = 0 where there are none
    halves: Any  # float32 (64 t,): ½‖c − middle‖², or 0 for inner products; +inf where padded
    middle: Any  # float32 (d,): what is subtracted from queries; 0 for inner products
    about: Any  # float32 (5,): what a unit is worth; what 0 stands for; the largest norm in bytes, and of what was lost; ‖c‖², or 0

    @classmethod
    def of(cls, centroids: Any, is_l2: bool) -> ByteTiles:
        """Bytes of centroids (k, d); none of few of them, or of short ones, which floats score as quickly."""
        k, d = centroids.shape
        t, quarters = -(-k // TILE) if k >= MANY and d >= LONG else 0, -(-d // 4)
        columns, halves = aligned_empty((t, quarters, TILE, 4), np.uint8), aligned_empty((TILE * t,), np.float32)
        middle, about = aligned_empty((d,), np.float32), np.zeros(5, np.float32)
        middle[:] = 0
        if not t:
            return cls(columns, halves, middle, about)
        mean = centroids.mean(axis=0, dtype=np.float64).astype(np.float32)
        moved = centroids - mean
        lowest, highest = float(moved.min()), float(moved.max())
        unit = max((highest - lowest) / LEVELS, 1e-30)
        padded = np.zeros((TILE * t, 4 * quarters), np.uint8)
        padded[:k, :d] = np.rint((moved - np.float32(lowest)) / np.float32(unit))
        columns[:] = padded.reshape(t, TILE, quarters, 4).transpose(0, 2, 1, 3)
        held = padded[:k, :d] * np.float32(unit) + np.float32(lowest)
        halves[:k], halves[k:] = np.einsum("cd,cd->c", moved, moved) / 2 if is_l2 else 0, np.inf
        if is_l2:
            middle[:] = mean
        own = 0 if is_l2 else np.einsum("cd,cd->c", centroids, centroids).max()
        norms = np.einsum("cd,cd->c", held, held).max(), np.einsum("cd,cd->c", moved - held, moved - held).max()
        about[:] = unit, lowest, 1.0001 * np.sqrt(norms[0]), 1.0001 * np.sqrt(norms[1]), own  # rounded up
        return cls(columns, halves, middle, about)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self)


class Tiles(NamedTuple):
    """Centroids, and what scores them: those of the cells, m = 1, or of each of the m pieces of a code.

    The score of centroid c is ½‖c‖² − ⟨x, c⟩, or −⟨x, c⟩ for inner products: it orders centroids as the distance does.
    """

    centroids: Any  # float32 (m, k, d)
    columns: Any  # float32 (m, t, d, 64): −c, as `row_tiles` lays out rows; padded with copies of the first
    offsets: Any  # float32 (m, 64 t): ½‖c‖², or 0; +inf where padded
    largest: Any  # float32 (m,): of ‖c‖²
    is_l2: bool
    coarse: Any  # `ByteTiles` as a plain tuple: of the cells' centroids, m = 1

    @classmethod
    def of(cls, centroids: Any, is_l2: bool = True, width: int = 0) -> Tiles:
        """Tiles of centroids (m, k, d), at least `width` columns of each piece."""
        m, k, d = centroids.shape
        centroids = centroids.view()
        centroids.flags.writeable = False  # as those of an index are: a type of its own to Numba
        width = max(width, -(-k // TILE) * TILE)
        columns, offsets = aligned_empty((m, width // TILE, d, TILE), np.float32), aligned_empty((m, width), np.float32)
        full, rest = divmod(k, TILE)
        whole = centroids[:, : full * TILE].reshape(m, full, TILE, d)
        np.negative(whole.transpose(0, 1, 3, 2), out=columns[:, :full])
        if full * TILE < width:
            columns[:, full:] = -centroids[:, :1, :, None]
            columns[:, full : full + 1, :, :rest] = -centroids[:, full * TILE :].transpose(0, 2, 1)[:, None]
        norms = np.einsum("jce,jce->jc", centroids, centroids)
        offsets[:, :k], offsets[:, k:] = norms / 2 if is_l2 else 0, np.inf
        coarse = ByteTiles.of(centroids[0] if m == 1 else centroids[0, :0], is_l2)
        return cls(centroids, columns, offsets, norms.max(axis=1), is_l2, tuple(coarse))

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in (*self[:4], *self.coarse))


class Space(NamedTuple):
    """What codes mean."""

    centroids: Any  # float32 (nlist, d)
    codebook: Any  # float32 (m, ksub, d / m)
    columns: Any  # float32 (m, t, d / m, 64): of the codebook's `Tiles`
    by_residual: bool
    metric: int


class SignSpace(NamedTuple):
    """What sign codes mean, and the rows beside them: addresses and numbers, which kernels get as one array."""

    centroids: int  # float32 (nlist, d)
    origin: int  # float32 (d,): what is subtracted from queries
    flips: int  # float32 (rounds, bits), and the next: `quantizers.signs.SignRotation`
    windows: int  # int64 (rounds, 2)
    rounds: int
    bits: int
    base: int  # float32 (d,): of rows of bytes what 0 stands for in each dimension,
    widths: int  # float32 (d,): and what a unit is worth
    kind: int  # of rows: `kernels.signs.FLOATS` and so on
    metric: int


class ListTable(NamedTuple):
    """Where the lists of a snapshot lie."""

    table: Any  # int64 (nlist, columns + 1): the address of each column, and how many vectors stand in the list
    gone: Any  # int64, sorted: places of vectors that have been removed and stand there still
    longest: int  # vectors of the longest list
    wide_ids: bool  # ids of eight bytes, not four


class Allow(NamedTuple):
    """Which ids may be found; both empty is no filter."""

    mask: Any  # bool, indexed by id
    chosen: Any  # int64, sorted

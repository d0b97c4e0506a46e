"""Aligned memory, and matrices laid out as the kernels of `kernels.coarse` and `kernels.linear` read them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray

__all__ = ["TILE", "aligned_empty", "row_tiles"]

TILE = 64


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised C-contiguous array whose first byte is 64-byte aligned."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    array: Array = memory[start : start + size].view(dtype).reshape(shape)
    return array


def row_tiles(matrix: FloatArray) -> FloatArray:
    """Rows (n, d) in tiles of 64: element e of row 64 t + c is ``tiles[t, e, c]``; rows that are not there are 0.

    Returns
    -------
    tiles : ndarray of float32, shape (ceil(n / 64), d, 64), 64-byte aligned
    """
    n, d = matrix.shape
    tiles: FloatArray = aligned_empty((-(-n // TILE), d, TILE), np.float32)
    for tile, first in zip(tiles, range(0, n, TILE), strict=True):
        rows = matrix[first : first + TILE]
        tile[:, : len(rows)], tile[:, len(rows) :] = rows.T, 0
    return tiles

"""Sums offset + ⟨x, column⟩ for 64 columns at a time: scores of centroids, look-up tables, linear maps.

A matrix product of a library rounds a row differently in every batch size and number of threads. Here a row's sums run over its
elements in one order, so a vector has the same image, list and code alone and among a million. A tile of 64 columns serves a
group of rows before the next tile is read, in slices that the L1 cache holds; nothing leaves the thread that asked.
"""

import numpy as np

from lookalike.kernels.layout import TILE
from lookalike.kernels.scratch import aligned_floats
from lookalike.kernels.simd import fma, load_f32x32, load_f32x64, splat_f32x32, splat_f32x64, store
from lookalike.kernels.target import NONE, WIDE, available, inlined, kernel

DEPTH = 64  # elements of a tile that all rows of a group meet before the next: 16 kB
GROUP = 64  # rows whose sums are held at a time,
SUMS = 1 << 20  # unless these would be more than this,
NEAR = 1 << 12  # or are more than this, with few elements


@inlined
def rows_together(n, d, width):
    """How many of n rows of d elements, with sums of `width` columns each, to take at a time.

    Columns of few elements are soon read again; then it is the sums that should stay in the L1 cache until they are used.
    """
    return max(1, min(n, GROUP, SUMS // width, max(2 * d, NEAR // width)))


@kernel
def products_simd(x, start, tiles, offsets, out, column):
    """out[i, column + c] = offsets[c] + Σ_e x[i, start + e] · tiles[c // 64, e, c % 64].

    x (n, d or more), tiles (t, d, 64), offsets (64 t,), out (n, column + 64 t or more). Two rows and 32 columns at a time are as
    many sums as 16 registers hold beside what is added; with AVX-512 they are four rows and 64 columns. An odd last row goes alone.
    Each sum runs over its elements in one order, so it is rounded alike in all of these.
    """
    n, d, beside = x.shape[0], tiles.shape[1], 0
    if WIDE and n == 1:  # a single row of one tile waits for each sum before the next: so two tiles
        beside = tiles.shape[0] & ~1
        for t in range(0, beside, 2):
            tile, other = np.int64(tiles[t].ctypes.data), np.int64(tiles[t + 1].ctypes.data)
            at = np.int64(offsets.ctypes.data) + t * 256
            sum1, sum2 = load_f32x64(at), load_f32x64(at + 256)
            for e in range(start, start + d):
                value = splat_f32x64(x[0, e])
                sum1, sum2 = fma(value, load_f32x64(tile), sum1), fma(value, load_f32x64(other), sum2)
                tile += 256
                other += 256
            place = np.int64(out[0].ctypes.data) + column * 4 + t * 256
            store(place, sum1)
            store(place + 256, sum2)
    for t in range(beside, tiles.shape[0]):
        for first in range(0, d, DEPTH):
            elements = range(start + first, start + min(first + DEPTH, d))
            tile, offset = np.int64(tiles[t, first].ctypes.data), np.int64(offsets.ctypes.data) + t * 256
            together = 0
            if WIDE:
                together = n & ~3
                for i in range(0, together, 4):
                    out1, out2 = np.int64(out[i].ctypes.data), np.int64(out[i + 1].ctypes.data)
                    out3, out4 = np.int64(out[i + 2].ctypes.data), np.int64(out[i + 3].ctypes.data)
                    at, place = tile, column * 4 + t * 256
                    sum1 = load_f32x64(out1 + place if first else offset)
                    sum2 = load_f32x64(out2 + place if first else offset)
                    sum3 = load_f32x64(out3 + place if first else offset)
                    sum4 = load_f32x64(out4 + place if first else offset)
                    for e in elements:
                        columns = load_f32x64(at)
                        sum1 = fma(splat_f32x64(x[i, e]), columns, sum1)
                        sum2 = fma(splat_f32x64(x[i + 1, e]), columns, sum2)
                        sum3 = fma(splat_f32x64(x[i + 2, e]), columns, sum3)
                        sum4 = fma(splat_f32x64(x[i + 3, e]), columns, sum4)
                        at += 256
                    store(out1 + place, sum1)
                    store(out2 + place, sum2)
                    store(out3 + place, sum3)
                    store(out4 + place, sum4)
            for i in range(together, n - 1, 2):
                for half in range(0, 256, 128):
                    at = tile + half
                    out1 = np.int64(out[i].ctypes.data) + column * 4 + t * 256 + half
                    out2 = np.int64(out[i + 1].ctypes.data) + column * 4 + t * 256 + half
                    sum1 = load_f32x32(out1 if first else offset + half)
                    sum2 = load_f32x32(out2 if first else offset + half)
                    for e in elements:
                        columns = load_f32x32(at)
                        sum1, sum2 = (
                            fma(splat_f32x32(x[i, e]), columns, sum1),
                            fma(splat_f32x32(x[i + 1, e]), columns, sum2),
                        )
                        at += 256
                    store(out1, sum1)
                    store(out2, sum2)
            if n & 1:
                out1 = np.int64(out[n - 1].ctypes.data) + column * 4 + t * 256
                total = load_f32x64(out1 if first else offset)
                for e in elements:
                    total = fma(splat_f32x64(x[n - 1, e]), load_f32x64(tile), total)
                    tile += 256
                store(out1, total)


@kernel(fast=True)
def products_plain(x, start, tiles, offsets, out, column):
    """The same sums up to rounding, by loops that Numba vectorises as far as the CPU goes."""
    d = tiles.shape[1]
    for t in range(tiles.shape[0]):
        tile = tiles[t]
        for i in range(x.shape[0]):
            row, from_row = out[i, column + t * TILE : column + (t + 1) * TILE], x[i, start : start + d]
            for c in range(TILE):
                row[c] = offsets[t * TILE + c]
            e = 0
            while e + 3 < d:  # four elements for each time that a sum is read and written
                p, q, r, s = from_row[e], from_row[e + 1], from_row[e + 2], from_row[e + 3]
                for c in range(TILE):
                    row[c] += (p * tile[e, c] + q * tile[e + 1, c]) + (r * tile[e + 2, c] + s * tile[e + 3, c])
                e += 4
            while e < d:
                p = from_row[e]
                for c in range(TILE):
                    row[c] += p * tile[e, c]
                e += 1


products = products_simd if available() else products_plain


@kernel
def map_rows(x, tiles, offsets, out):
    """y = b + A x of each row: x (n, d), out (n, d_out); A in tiles (t, d, 64) (`layout.row_tiles`), b in offsets (64 t,)."""
    (n, d), width = x.shape, offsets.shape[0]
    group = rows_together(n, d, width)
    sums = aligned_floats(group, width)
    for first in range(0, n, group):
        last = min(first + group, n)
        products(x[first:last], NONE, tiles, offsets, sums, NONE)
        for i in range(first, last):
            out[i] = sums[i - first, : out.shape[1]]

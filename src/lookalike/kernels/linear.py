"""Linear maps of vectors, y = b + A x, by a product whose order of summation is fixed.

A matrix product of a library rounds a row differently in every batch size and number of threads. Here a row's sums run over its
elements in one order, whatever stands beside it, so a vector has the same image alone and among a million.
"""

import numpy as np

from lookalike.kernels._jit import kernel
from lookalike.kernels.coarse import DEPTH, TILE, coarse_scores_plain
from lookalike.kernels.scratch import aligned_bytes
from lookalike.kernels.simd import available, fma, load_f32x16, splat_f32x16, store_f32x16

GROUP = 64  # rows that meet a tile of the matrix before the next is read


@kernel
def products_simd(x, tiles, offsets, rows):
    """rows[i] = offsets + A x_i, two rows and 32 columns at a time; x (n, d), rows (n, 64 t), the rest as in `map_rows`.

    An odd last row is done twice over, so that it is computed as every other row is.
    """
    n, d = x.shape
    for t in range(tiles.shape[0]):
        for first in range(0, d, DEPTH):
            last = min(first + DEPTH, d)
            for pair in range(0, n, 2):
                other = min(pair + 1, n - 1)
                for half in range(0, 256, 128):
                    at = tiles.ctypes.data + (t * d + first) * 256 + half
                    out, out2 = rows[pair].ctypes.data + t * 256 + half, rows[other].ctypes.data + t * 256 + half
                    start = offsets.ctypes.data + t * 256 + half
                    near, near2 = (out, out2) if first else (start, start)
                    a, b, g, h = load_f32x16(near), load_f32x16(near + 64), load_f32x16(near2), load_f32x16(near2 + 64)
                    for e in range(first, last):
                        p, q = splat_f32x16(x[pair, e]), splat_f32x16(x[other, e])
                        low, high = load_f32x16(at), load_f32x16(at + 64)
                        a, b = fma(p, low, a), fma(p, high, b)
                        g, h = fma(q, low, g), fma(q, high, h)
                        at += 256
                    store_f32x16(out, a)
                    store_f32x16(out + 64, b)
                    store_f32x16(out2, g)
                    store_f32x16(out2 + 64, h)


@kernel
def products_plain(x, tiles, offsets, rows):
    """The same up to rounding."""
    coarse_scores_plain(x, tiles, offsets, np.float32(1), rows)


products = products_simd if available() else products_plain


@kernel
def map_rows(x, tiles, offsets, out):
    """out[i] = offsets + A x_i; x (n, d), out (n, d_out).

    tiles (t, d, 64) and offsets (64 t,), 64-byte aligned: row 64 t + c of A is tiles[t, :, c]; zero where padded.
    """
    n, width, wanted = x.shape[0], tiles.shape[0] * TILE, out.shape[1]
    group = max(1, min(n, GROUP))
    rows = aligned_bytes(4 * group * width).view(np.float32).reshape(group, width)
    for first in range(0, n, group):
        last = min(first + group, n)
        products(x[first:last], tiles, offsets, rows[: last - first])
        for i in range(first, last):
            out[i] = rows[i - first, :wanted]

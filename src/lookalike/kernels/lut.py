"""Look-up tables of a query (ADC): float32, then 8 bits for the scan.

    table[j, c] = scale · ⟨q_j, p_jc⟩        scale = −2 for l2, −1 for an inner product

The table depends on the query alone, not on the list: what ‖q − c − r̂‖² has besides is one number for each list and one for
each vector (`distances.py`).
"""

import numpy as np

from lookalike.kernels._jit import inlined, kernel
from lookalike.kernels.simd import (
    available,
    fma,
    largest_lane,
    loadu_f32x16,
    maximum,
    minimum,
    smallest_lane,
    splat_f32x16,
    storeu_f32x16,
    zero_f32x16,
)


@kernel
def build_tables_simd(queries, columns, scale, tables):
    """tables[i, j, c] = scale · ⟨q_ij, p_jc⟩; queries (nq, d), tables (nq, m, width).

    columns: float32 (m, dsub, width), the codebook by columns, width a multiple of 64. Sixty-four columns serve all queries before
    the next are read: a codebook of 2048 dimensions is larger than the L2 cache.
    """
    m, dsub, width = columns.shape
    for j in range(m):
        for first in range(0, 4 * width, 256):
            for i in range(queries.shape[0]):
                at = columns.ctypes.data + j * dsub * width * 4 + first
                a, b, g, h = zero_f32x16(), zero_f32x16(), zero_f32x16(), zero_f32x16()
                for e in range(j * dsub, (j + 1) * dsub):
                    q = splat_f32x16(scale * queries[i, e])
                    a = fma(q, loadu_f32x16(at), a)
                    b = fma(q, loadu_f32x16(at + 64), b)
                    g = fma(q, loadu_f32x16(at + 128), g)
                    h = fma(q, loadu_f32x16(at + 192), h)
                    at += 4 * width
                out = tables.ctypes.data + (i * m + j) * width * 4 + first
                storeu_f32x16(out, a)
                storeu_f32x16(out + 64, b)
                storeu_f32x16(out + 128, g)
                storeu_f32x16(out + 192, h)


@kernel(fast=True)
def build_tables_plain(queries, columns, scale, tables):
    """The same tables up to rounding, by loops that Numba vectorises as far as the CPU goes."""
    m, dsub, width = columns.shape
    for j in range(m):
        for i in range(queries.shape[0]):
            row, query = tables[i, j], queries[i]
            a = scale * query[j * dsub]
            for c in range(width):
                row[c] = a * columns[j, 0, c]
            e = 1
            while e + 3 < dsub:
                a, b = scale * query[j * dsub + e], scale * query[j * dsub + e + 1]
                g, h = scale * query[j * dsub + e + 2], scale * query[j * dsub + e + 3]
                for c in range(width):
                    row[c] += (a * columns[j, e, c] + b * columns[j, e + 1, c]) + (
                        g * columns[j, e + 2, c] + h * columns[j, e + 3, c]
                    )
                e += 4
            while e < dsub:
                a = scale * query[j * dsub + e]
                for c in range(width):
                    row[c] += a * columns[j, e, c]
                e += 1


build_tables = build_tables_simd if available() else build_tables_plain

SMALLEST_STEP = np.float32(1e-30)  # whose inverse is finite; also where all entries of each row are equal


@inlined
def row_range_simd(row):
    """Smallest and largest of a row of floats whose length is a multiple of 16."""
    at = row.ctypes.data
    low = high = loadu_f32x16(at)
    for here in range(at + 64, at + 4 * row.shape[0], 64):
        v = loadu_f32x16(here)
        low, high = minimum(low, v), maximum(high, v)
    return smallest_lane(low), largest_lane(high)


@inlined
def row_range_plain(row):
    """The same, one by one."""
    low = high = row[0]
    for value in row[1:]:
        low, high = min(low, value), max(high, value)
    return low, high


row_range = row_range_simd if available() else row_range_plain


@kernel
def quantize_tables(table, largest, quantized):
    """Round a table to bytes: table[j, c] ≈ minimum_j + step · quantized[j, c], off by half a step at most.

    One step for all rows, so that sums of bytes are sums of distances; nothing is clipped. `largest` is the largest byte, lower
    than 255 only where m such bytes would overflow 16 bits. Returns step and Σ_j minimum_j.
    """
    m, width = table.shape
    minima = np.empty(m, np.float32)
    span, floor = np.float32(0), np.float32(0)
    for j in range(m):
        low, high = row_range(table[j])
        minima[j] = low
        floor += low
        span = max(span, high - low)
    step = max(span / np.float32(largest), SMALLEST_STEP)
    inverse = np.float32(1) / step
    for j in range(m):
        low = minima[j]
        for c in range(width):
            quantized[j, c] = np.uint8(np.int32((table[j, c] - low) * inverse + np.float32(0.5)))
    return step, floor

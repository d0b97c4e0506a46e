"""Look-up tables of a query (ADC): float32, then 8 bits for the scan.

    table[j, c] = scale · ⟨q_j, p_jc⟩        scale = −2 for l2, −1 for an inner product

The table depends on the query alone, not on the list: what ‖q − c − r̂‖² has besides is one number for each list and one for
each vector (`distances.py`).
"""

import numpy as np

from lookalike.kernels.scratch import aligned_floats
from lookalike.kernels.simd import largest_lane, load_f32x64, maximum, minimum, smallest_lane
from lookalike.kernels.target import available, inlined, kernel
from lookalike.kernels.tiles import products

SMALLEST_STEP = np.float32(1e-30)  # whose inverse is finite; also where all entries of each row are equal


@kernel
def build_tables(queries, columns, scale, tables):
    """tables[i, j, c] = scale · ⟨q_ij, p_jc⟩: the query's term of equation (30).

    queries (nq, d); columns (m, t, dsub, 64), −p_jc (`layout.Tiles`); tables (nq, m, 64 t). A tile serves all queries before the
    next is read: a codebook of 2048 dimensions is larger than the L2 cache.
    """
    nq, m, width = tables.shape
    dsub, scaled, rows = columns.shape[2], -scale * queries, tables.reshape(nq, m * width)
    zero = aligned_floats(1, width)[0]
    zero[:] = 0
    for j in range(m):
        products(scaled, j * dsub, columns[j], zero, rows, j * width)


@inlined
def row_range_simd(row):
    """Smallest and largest of a row of floats whose length is a multiple of 64."""
    at = np.int64(row.ctypes.data)
    low = high = load_f32x64(at)
    for here in range(at + 256, at + 4 * row.shape[0], 256):
        v = load_f32x64(here)
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

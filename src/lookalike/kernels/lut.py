"""Look-up tables of a query (ADC): float32, then 8 bits for the scan.

    table[j, c] = scale · ⟨q_j, p_jc⟩        scale = −2 for l2, −1 for an inner product

The table depends on the query alone, not on the list: what ‖q − c − r̂‖² has besides is one number for each list and one for
each vector (`distances.py`).
"""

import numpy as np

from lookalike.kernels._jit import kernel


@kernel(fast=True)
def build_tables(query, columns, scale, table):
    """table[j, c] = scale · ⟨q_j, p_jc⟩; columns: float32 (m, dsub, width), the codebook by columns; table (m, width)."""
    m, dsub, width = columns.shape
    for j in range(m):
        row = table[j]
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


SMALLEST_STEP = np.float32(1e-30)  # whose inverse is finite; also where all entries of each row are equal


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
        low = high = table[j, 0]
        for c in range(1, width):
            low = min(low, table[j, c])
            high = max(high, table[j, c])
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

"""Distances to rows of bytes: x_e = base_e + low + step · width_e · byte_e.

With a base and widths for all rows, low 0 and step 1, these are scalar quantizers of each dimension; with the centroid of a list as
its base, and low and step of each vector, local ones (LVQ, Aguerrebere et al., VLDB 2023).
"""

from typing import NamedTuple

import numpy as np

from lookalike.kernels.simd import (
    bytes_as_f32x16,
    fma,
    load_f32,
    load_f32x16,
    load_i64,
    load_u8,
    prefetch,
    splat_f32x16,
    store_f32,
    sum_lanes,
    zero_f32x16,
)
from lookalike.kernels.target import available, inlined, kernel

AHEAD = 12  # rows between asking for one and reading it


@inlined
def element_of(row, base, low, step, width, e):
    """The e-th element of a row of bytes."""
    return load_f32(base + 4 * e) + low + step * load_f32(width + 4 * e) * np.float32(load_u8(row + e))


class ByteRows(NamedTuple):
    """Rows of bytes that are compared with one query: addresses of their parts."""

    at: int  # int64 (count,): addresses of rows,
    bases: int  # and of what stands for 0 in each dimension: a centroid, or one for all,
    lows: int  # float32 (count,): what is added to that,
    steps: int  # and what a unit of a byte is worth
    sums: int  # float32 (count,), aligned: the result


@kernel
def byte_sums_simd(query, d, widths, rows, count, is_l2):
    """‖q − x‖² or ⟨q, x⟩ of each of `count` rows, written to ``rows.sums``; query, widths: addresses of float32 (d,)."""
    whole = d // 32 * 32
    for c in range(count):
        row, base = load_i64(rows.at + 8 * c), load_i64(rows.bases + 8 * c)
        ahead = load_i64(rows.at + 8 * min(c + AHEAD, count - 1))
        for line in range(ahead, ahead + min(d, 1024), 64):
            prefetch(line)
        one, unit = load_f32(rows.lows + 4 * c), load_f32(rows.steps + 4 * c)
        low, step = splat_f32x16(one), splat_f32x16(unit)
        sum1, sum2 = zero_f32x16(), zero_f32x16()
        for e in range(0, whole, 32):
            at = 4 * e
            x = fma(step * load_f32x16(widths + at), bytes_as_f32x16(row + e), load_f32x16(base + at) + low)
            at += 64
            y = fma(step * load_f32x16(widths + at), bytes_as_f32x16(row + e + 16), load_f32x16(base + at) + low)
            if is_l2:
                x, y = load_f32x16(query + at - 64) - x, load_f32x16(query + at) - y
                sum1, sum2 = fma(x, x, sum1), fma(y, y, sum2)
            else:
                sum1, sum2 = fma(x, load_f32x16(query + at - 64), sum1), fma(y, load_f32x16(query + at), sum2)
        total = sum_lanes(sum1 + sum2)
        for e in range(whole, d):
            x1, y1 = element_of(row, base, one, unit, widths, e), load_f32(query + 4 * e)
            total += (y1 - x1) * (y1 - x1) if is_l2 else x1 * y1
        store_f32(rows.sums + 4 * c, total)


@kernel(fast=True)
def byte_sums_plain(query, d, widths, rows, count, is_l2):
    """The same numbers up to rounding."""
    for c in range(count):
        row, base = load_i64(rows.at + 8 * c), load_i64(rows.bases + 8 * c)
        low, step, total = load_f32(rows.lows + 4 * c), load_f32(rows.steps + 4 * c), np.float32(0)
        for e in range(d):
            x, y = element_of(row, base, low, step, widths, e), load_f32(query + 4 * e)
            total += (y - x) * (y - x) if is_l2 else x * y
        store_f32(rows.sums + 4 * c, total)


byte_sums = byte_sums_simd if available() else byte_sums_plain

"""Distances to whole vectors, float32 or float16, wherever their rows lie: in memory, in a list, in a mapped file.

A row is known by its address. Four rows are summed side by side, as one sum would wait for each of its own additions; each sum runs
over its elements in one order, so a distance does not depend on which rows or queries stand beside it.
"""

import numpy as np

from lookalike.kernels.layout import IP, L2
from lookalike.kernels.simd import (
    bits_as_f32,
    fma,
    halves_as_f32x8,
    load_f32,
    load_f32x8,
    load_u16,
    prefetch,
    sum_lanes,
    zero_f32x8,
)
from lookalike.kernels.target import available, inlined, kernel

AHEAD = 24  # rows between asking for one and reading it
SAFE = np.float32(1e30)  # ‖x‖² up to here and down to its inverse keeps its digits in float32


@inlined
def half(bits):
    """The value of a float16: its exponent moved to where float32 has it, then scaled, which also settles the subnormal ones."""
    magnitude = np.uint32(bits & 0x7FFF) << np.uint32(13)
    value = bits_as_f32(magnitude) * np.float32(2.0**112)
    if magnitude >= np.uint32(0x7C00 << 13):  # infinity and NaN
        value = bits_as_f32(magnitude | np.uint32(0x7F800000))
    return -value if bits & 0x8000 else value


@inlined
def element(row, e, is_half):
    """The e-th element of the row at an address."""
    return half(np.uint32(load_u16(row + 2 * e))) if is_half else load_f32(row + 4 * e)


def summing(is_half, is_l2):
    """A kernel for rows of one type and sums of one kind: asked for each eight elements, the two questions would double the time.

    It writes sums[c] = ‖q − x‖² or ⟨q, x⟩ and norms[c] = ‖x‖² (0 for L2) of the rows x at the addresses rows[:count]; query (d,).
    """

    @kernel
    def sums_of_rows(query, rows, count, sums, norms):
        q, d = np.int64(query.ctypes.data), query.shape[0]
        whole = d // 8 * 8
        for first in range(0, count, 4):  # the last row is summed again where there are fewer than four
            row1, row2 = rows[first], rows[min(first + 1, count - 1)]
            row3, row4 = rows[min(first + 2, count - 1)], rows[min(first + 3, count - 1)]
            ahead = rows[min(first + AHEAD, count - 1)] - row1
            sum1, sum2, sum3, sum4 = zero_f32x8(), zero_f32x8(), zero_f32x8(), zero_f32x8()
            norm1, norm2, norm3, norm4 = zero_f32x8(), zero_f32x8(), zero_f32x8(), zero_f32x8()
            for e in range(0, whole, 8):
                at = (2 if is_half else 4) * e
                if e & (24 if is_half else 8) == 0:  # a cache line of each row further on
                    prefetch(row1 + at + ahead)
                    prefetch(row2 + at + ahead)
                    prefetch(row3 + at + ahead)
                    prefetch(row4 + at + ahead)
                y = load_f32x8(q + 4 * e)
                if is_half:
                    x1, x2 = halves_as_f32x8(row1 + at), halves_as_f32x8(row2 + at)
                    x3, x4 = halves_as_f32x8(row3 + at), halves_as_f32x8(row4 + at)
                else:
                    x1, x2 = load_f32x8(row1 + at), load_f32x8(row2 + at)
                    x3, x4 = load_f32x8(row3 + at), load_f32x8(row4 + at)
                if is_l2:
                    x1, x2, x3, x4 = y - x1, y - x2, y - x3, y - x4
                    sum1, sum2, sum3, sum4 = fma(x1, x1, sum1), fma(x2, x2, sum2), fma(x3, x3, sum3), fma(x4, x4, sum4)
                else:
                    sum1, sum2, sum3, sum4 = fma(x1, y, sum1), fma(x2, y, sum2), fma(x3, y, sum3), fma(x4, y, sum4)
                    norm1, norm2 = fma(x1, x1, norm1), fma(x2, x2, norm2)
                    norm3, norm4 = fma(x3, x3, norm3), fma(x4, x4, norm4)
            for c in range(first, min(first + 4, count)):
                which = c - first
                total = sum1 if which == 0 else sum2 if which == 1 else sum3 if which == 2 else sum4
                norm = norm1 if which == 0 else norm2 if which == 1 else norm3 if which == 2 else norm4
                result, length = sum_lanes(total), sum_lanes(norm)
                for e in range(whole, d):
                    x, y1 = element(rows[c], e, is_half), load_f32(q + 4 * e)
                    result += (y1 - x) * (y1 - x) if is_l2 else x * y1
                    length += np.float32(0) if is_l2 else x * x
                sums[c], norms[c] = result, length

    return sums_of_rows


halves_l2, halves_products = summing(True, True), summing(True, False)
floats_l2, floats_products = summing(False, True), summing(False, False)


@inlined
def row_sums_simd(query, rows, count, is_half, is_l2, sums, norms):
    """sums[c] = ‖q − x‖² or ⟨q, x⟩, norms[c] = ‖x‖² (0 for L2) of the rows at the addresses rows[:count]; query (d,)."""
    if is_half and is_l2:
        halves_l2(query, rows, count, sums, norms)
    elif is_half:
        halves_products(query, rows, count, sums, norms)
    elif is_l2:
        floats_l2(query, rows, count, sums, norms)
    else:
        floats_products(query, rows, count, sums, norms)


@kernel(fast=True)
def row_sums_plain(query, rows, count, is_half, is_l2, sums, norms):
    """The same numbers up to rounding."""
    for c in range(count):
        total, norm = np.float32(0), np.float32(0)
        for e in range(query.shape[0]):
            x, y = element(rows[c], e, is_half), query[e]
            total += (y - x) * (y - x) if is_l2 else x * y
            norm += np.float32(0) if is_l2 else x * x
        sums[c], norms[c] = total, norm


row_sums = row_sums_simd if available() else row_sums_plain


@inlined
def distance_of(total, norm, metric):
    """The distance of a row from its sums: ‖q − x‖², −⟨q, x⟩, or 1 − ⟨q, x⟩ of unit vectors, from 0 to 2."""
    if metric == L2:
        return total
    return -total if metric == IP else min(max(np.float32(1) - total, np.float32(0)), np.float32(2))


@kernel
def cosine_distance(query, row, is_half, product, norm):
    """1 − ⟨q, x⟩ / (‖q‖ ‖x‖), q a unit vector; 1 where x is zero, NaN where it is not finite.

    Norms that float32 cannot square are taken again in float64.
    """
    if not 1 / SAFE < norm < SAFE:
        wide, wide_norm = 0.0, 0.0
        for e in range(query.shape[0]):
            x = np.float64(element(row, e, is_half))
            wide, wide_norm = wide + x * query[e], wide_norm + x * x
        if not wide_norm < np.inf:
            return np.float32(np.nan)
        cosine = wide / np.sqrt(wide_norm) if wide_norm > 0 else 0.0
    else:
        cosine = np.float64(product) / np.sqrt(np.float64(norm))
    return np.float32(min(max(1 - cosine, 0.0), 2.0))


@kernel
def row_distances(query, vectors, metric, out):
    """The distance of a query (d,) to each row of float32 (n, d), as a search reports it."""
    n, at = vectors.shape[0], np.empty(4, np.int64)
    sums, norms = np.empty(4, np.float32), np.empty(4, np.float32)
    for first in range(0, n, 4):
        count = min(4, n - first)
        for c in range(count):
            at[c] = vectors.ctypes.data + (first + c) * vectors.strides[0]
        row_sums(query, at, count, False, metric == L2, sums, norms)
        for c in range(count):
            out[first + c] = distance_of(sums[c], norms[c], metric)

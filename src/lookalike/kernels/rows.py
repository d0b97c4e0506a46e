"""Distances to whole vectors, float32 or float16, wherever their rows lie: in memory, in a list, in a mapped file.

A row is known by its address. Each is summed in four parts side by side, as one sum would wait for its own additions, and in one
order, so a distance does not depend on which rows or queries stand beside it. Rows that follow each other are read one after the
other: four of them at a time would be three times as slow, as the processor does not see so many short runs coming.
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
from lookalike.kernels.target import NONE, available, inlined, kernel

AHEAD = np.int64(12)  # rows between asking for one and reading it, where they lie anywhere,
NEAR = 1024  # so many bytes of it
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

    It writes sums[c] = ‖q − x‖² or ⟨q, x⟩ and norms[c] = ‖x‖² (0 for L2) of the rows x at the addresses rows[:count]; query (d,);
    ahead: how many rows before it is read to ask for one, 0 where rows follow each other, which the processor sees by itself.
    """

    @inlined
    def load(row, e):
        return halves_as_f32x8(row + 2 * e) if is_half else load_f32x8(row + 4 * e)

    @inlined
    def add(row, q, e, total, norm):
        x, y = load(row, e), load_f32x8(q + 4 * e)
        if is_l2:
            y = y - x
            return fma(y, y, total), norm
        return fma(x, y, total), fma(x, x, norm)

    @kernel
    def sums_of_rows(query, rows, count, ahead, sums, norms):
        q, d = np.int64(query.ctypes.data), query.shape[0]
        wide, whole, length = d // 32 * 32, d // 8 * 8, min(d * (2 if is_half else 4), NEAR)
        for c in range(count):
            row = rows[c]
            if ahead:
                later = rows[min(c + ahead, count - 1)]
                for line in range(later, later + length, 64):
                    prefetch(line)
            sum1, sum2, sum3, sum4 = zero_f32x8(), zero_f32x8(), zero_f32x8(), zero_f32x8()
            norm1, norm2, norm3, norm4 = zero_f32x8(), zero_f32x8(), zero_f32x8(), zero_f32x8()
            for e in range(0, wide, 32):
                sum1, norm1 = add(row, q, e, sum1, norm1)
                sum2, norm2 = add(row, q, e + 8, sum2, norm2)
                sum3, norm3 = add(row, q, e + 16, sum3, norm3)
                sum4, norm4 = add(row, q, e + 24, sum4, norm4)
            for e in range(wide, whole, 8):
                sum1, norm1 = add(row, q, e, sum1, norm1)
            total, length_of = sum_lanes((sum1 + sum2) + (sum3 + sum4)), np.float32(0)
            if not is_l2:
                length_of = sum_lanes((norm1 + norm2) + (norm3 + norm4))
            for e in range(whole, d):
                x, y = element(row, e, is_half), load_f32(q + 4 * e)
                total += (y - x) * (y - x) if is_l2 else x * y
                length_of += np.float32(0) if is_l2 else x * x
            sums[c], norms[c] = total, length_of

    return sums_of_rows


halves_l2, halves_products = summing(True, True), summing(True, False)
floats_l2, floats_products = summing(False, True), summing(False, False)


@inlined
def row_sums_simd(query, rows, count, ahead, is_half, is_l2, sums, norms):
    """sums[c] = ‖q − x‖² or ⟨q, x⟩, norms[c] = ‖x‖² (0 for L2) of the rows at the addresses rows[:count]; query (d,).

    ahead: how many rows before it is read to ask for one, 0 where rows follow each other.
    """
    if is_half and is_l2:
        halves_l2(query, rows, count, ahead, sums, norms)
    elif is_half:
        halves_products(query, rows, count, ahead, sums, norms)
    elif is_l2:
        floats_l2(query, rows, count, ahead, sums, norms)
    else:
        floats_products(query, rows, count, ahead, sums, norms)


@kernel(fast=True)
def row_sums_plain(query, rows, count, ahead, is_half, is_l2, sums, norms):
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
        row_sums(query, at, count, NONE, False, metric == L2, sums, norms)
        for c in range(count):
            out[first + c] = distance_of(sums[c], norms[c], metric)

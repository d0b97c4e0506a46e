"""Ordering candidates by their distance to the vectors themselves, which may be float32 or float16.

Rows are read where they lie, in memory or in a mapped file. Candidates are scattered, so that waiting for memory is nearly all
there is to do: a row is asked for some candidates before it is needed.
"""

import numpy as np

from lookalike.kernels.layout import COSINE, IP, L2
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
from lookalike.kernels.topk import quickselect, sort_candidates

AHEAD = 6  # candidates between asking for a row and reading it
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


@kernel
def row_distance_simd(query, row, is_half, is_l2):
    """‖q − x‖² or ⟨q, x⟩, and ‖x‖²; eight elements at a time. row: the address of float32 or float16 (d,)."""
    d, q = query.shape[0], query.ctypes.data
    total, norm = zero_f32x8(), zero_f32x8()
    whole = d // 8 * 8
    for e in range(0, whole, 8):
        x = halves_as_f32x8(row + 2 * e) if is_half else load_f32x8(row + 4 * e)
        y = load_f32x8(q + 4 * e)
        if is_l2:
            difference = y - x
            total = fma(difference, difference, total)
        else:
            total, norm = fma(x, y, total), fma(x, x, norm)
    result, length = sum_lanes(total), sum_lanes(norm)
    for e in range(whole, d):
        x, y = element(row, e, is_half), query[e]
        result += (y - x) * (y - x) if is_l2 else x * y
        length += x * x
    return result, length


@kernel(fast=True)
def row_distance_plain(query, row, is_half, is_l2):
    """The same two numbers up to rounding."""
    result, length = np.float32(0), np.float32(0)
    for e in range(query.shape[0]):
        x, y = element(row, e, is_half), query[e]
        result += (y - x) * (y - x) if is_l2 else x * y
        length += x * x
    return result, length


row_distance = row_distance_simd if available() else row_distance_plain


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
def rerank(xq, ids, places, rows, metric, out_d, out_i):
    """The k nearest of each query's candidates; returns a place that is not a row, or −1.

    xq float32 (nq, d), unit vectors for COSINE; ids and places int64 (nq, candidates), a place being a row number, or −1 where
    there is no candidate; rows: address, bytes from one to the next, how many, whether
    they are float16, and not float32; out_d float32 and out_i int64, (nq, k): +inf (−inf for IP) and −1 where there are
    fewer. Equal distances are ordered by id.
    """
    address, stride, n, is_half = rows
    nq, candidates = ids.shape
    k = out_d.shape[1]
    distances, numbers = np.empty(candidates, np.float32), np.empty(candidates, np.int64)
    unused = np.empty(candidates, np.int64)
    length = min(
        xq.shape[1] * (2 if is_half else 4), 1024
    )  # asked for ahead; the processor itself sees the rest coming
    sign = np.float32(-1 if metric == IP else 1)
    for i in range(nq):
        count = 0
        for c in range(-AHEAD, candidates):
            if c + AHEAD < candidates:
                place = places[i, c + AHEAD]
                if place >= n:
                    return place
                for byte in range(0, length if place >= 0 else 0, 64):
                    prefetch(address + place * stride + byte)
            if c < 0 or places[i, c] < 0:
                continue
            row = address + places[i, c] * stride
            distance, norm = row_distance(xq[i], row, is_half, metric == L2)
            if metric == COSINE:
                distance = cosine_distance(xq[i], row, is_half, distance, norm)
            if not abs(distance) < np.inf:  # a row that is not finite is nobody's neighbour
                continue
            distances[count], numbers[count] = sign * distance, ids[i, c]
            count += 1
        if count > k:
            quickselect(distances, numbers, unused, count, k)
            count = k
        sort_candidates(distances, numbers, unused, count)
        for c in range(count):
            out_d[i, c], out_i[i, c] = sign * distances[c], numbers[c]
        for c in range(count, k):
            out_d[i, c], out_i[i, c] = sign * np.float32(np.inf), -1
    return -1

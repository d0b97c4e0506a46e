"""Scores of centroids in products of bytes, four at a time, with a bound of what rounding to bytes took from them.

Around their middle, centroids are lowest + unit · bytes, and a query is step · bytes of its own, so that

    ⟨q, c⟩ ≈ step · (unit · Σ_e q_e c_e + lowest · Σ_e q_e)

With ĉ and q̂ what the bytes stand for, that is off by no more than ‖q − q̂‖ · max ‖ĉ‖ + ‖q‖ · max ‖c − ĉ‖ (Cauchy and Schwarz).
Scores only shortlist: what is within the bound is compared by float32, so the answer is that of `tiles.products`, sooner.
"""

import numpy as np

from lookalike.kernels.layout import LEVELS, ONE_ROUNDING, PRODUCT_ROUNDING, TILE
from lookalike.kernels.simd import (
    dot4,
    floats_of,
    fma,
    largest_lane,
    load_f32,
    load_f32x16,
    load_i32,
    load_i32x16,
    maximum,
    rounded_f32x16,
    splat_f32x16,
    splat_i32x16,
    store,
    store_as_signed,
    store_u8,
    sum_lanes,
    zero_f32x16,
    zero_i32x16,
)
from lookalike.kernels.target import inlined, kernel

SMALLEST = np.float32(1e-30)


@inlined
def round_query(x, middle, d, out):
    """Write x − middle, d floats, as signed bytes, with zeros up to a multiple of 16; all of these are addresses.

    Returns their step, the sum of the bytes, ‖x − middle‖ and the norm of what was rounded off.
    """
    whole, largest = d // 16 * 16, zero_f32x16()
    norm, lost, total = zero_f32x16(), zero_f32x16(), zero_f32x16()
    rest = np.float32(0)
    for e in range(0, whole, 16):
        v = load_f32x16(x + 4 * e) - load_f32x16(middle + 4 * e)
        largest, norm = maximum(largest, maximum(v, zero_f32x16() - v)), fma(v, v, norm)
    top, squares = largest_lane(largest), sum_lanes(norm)
    for e in range(whole, d):
        rest = load_f32(x + 4 * e) - load_f32(middle + 4 * e)
        top, squares = max(top, abs(rest)), squares + rest * rest
    step = max(top, SMALLEST) / np.float32(LEVELS)
    inverse = np.float32(1) / step
    inverses, steps = splat_f32x16(inverse), splat_f32x16(step)
    for e in range(0, whole, 16):
        v = load_f32x16(x + 4 * e) - load_f32x16(middle + 4 * e)
        units = rounded_f32x16(v * inverses)
        store_as_signed(out + e, units)
        off = v - units * steps
        total, lost = total + units, fma(off, off, lost)
    count, away = sum_lanes(total), sum_lanes(lost)
    for e in range(whole, (d + 15) // 16 * 16):
        byte = np.int32(0)
        if e < d:
            rest = load_f32(x + 4 * e) - load_f32(middle + 4 * e)
            byte = np.int32(np.rint(rest * inverse))
            away += (rest - np.float32(byte) * step) ** 2
            count += np.float32(byte)
        store_u8(out + e, np.uint8(byte & 255))
    return step, count, np.sqrt(squares), np.sqrt(away)


@inlined
def _store_scores(dot, out, halves, scale, shift):
    store(out, floats_of(dot) * scale + (load_f32x16(halves) + shift))


@kernel
def byte_scores_of_one(query, centroids, scale, shift, scores):
    """`byte_scores` of one query: address of int8 (16 ⌈d / 16⌉,)."""
    tiles, halves, t, quarters = centroids
    scales, shifts = splat_f32x16(scale), splat_f32x16(shift)
    for tile in range(t):
        at, first = tiles + 256 * tile * quarters, query
        a, b, c, d = zero_i32x16(), zero_i32x16(), zero_i32x16(), zero_i32x16()
        for _ in range(quarters):
            u = splat_i32x16(load_i32(first))
            a, b = dot4(a, load_i32x16(at), u), dot4(b, load_i32x16(at + 64), u)
            c, d = dot4(c, load_i32x16(at + 128), u), dot4(d, load_i32x16(at + 192), u)
            at += 256
            first += 4
        near, out = halves + 256 * tile, scores + 256 * tile
        _store_scores(a, out, near, scales, shifts)
        _store_scores(b, out + 64, near + 64, scales, shifts)
        _store_scores(c, out + 128, near + 128, scales, shifts)
        _store_scores(d, out + 192, near + 192, scales, shifts)


@kernel
def byte_scores(queries, count, centroids, scales, shifts, scores):
    """Scores of all centroids for `count` queries, two at a time: a tile is read from the L1 cache for all of them.

    queries: address of int8 (count, 16 ⌈d / 16⌉); centroids: addresses of uint8 (t, quarters, 64, 4) and of float32 (64 t,), their
    halves, then t and quarters, ⌈d / 4⌉; scales, shifts: float32 (count,); scores: address of float32 (count, 64 t), which become
    halves + shift + scale · Σ_e q_e c_e.
    """
    tiles, halves, t, quarters = centroids
    stride = 4 * TILE * t
    row = (quarters + 3) // 4 * 16
    for tile in range(t):
        near = halves + 256 * tile
        for i in range(0, count, 2):
            j = min(i + 1, count - 1)
            at, first, second = tiles + 256 * tile * quarters, queries + i * row, queries + j * row
            a, b, c, d = zero_i32x16(), zero_i32x16(), zero_i32x16(), zero_i32x16()
            k, l, m, n = zero_i32x16(), zero_i32x16(), zero_i32x16(), zero_i32x16()  # noqa: E741
            for _ in range(quarters):
                u, v = splat_i32x16(load_i32(first)), splat_i32x16(load_i32(second))
                x = load_i32x16(at)
                a, k = dot4(a, x, u), dot4(k, x, v)
                x = load_i32x16(at + 64)
                b, l = dot4(b, x, u), dot4(l, x, v)  # noqa: E741
                x = load_i32x16(at + 128)
                c, m = dot4(c, x, u), dot4(m, x, v)
                x = load_i32x16(at + 192)
                d, n = dot4(d, x, u), dot4(n, x, v)
                at += 256
                first += 4
                second += 4
            out, scale, shift = scores + i * stride + 256 * tile, splat_f32x16(scales[i]), splat_f32x16(shifts[i])
            _store_scores(a, out, near, scale, shift)
            _store_scores(b, out + 64, near + 64, scale, shift)
            _store_scores(c, out + 128, near + 128, scale, shift)
            _store_scores(d, out + 192, near + 192, scale, shift)
            out, scale, shift = scores + j * stride + 256 * tile, splat_f32x16(scales[j]), splat_f32x16(shifts[j])
            _store_scores(k, out, near, scale, shift)
            _store_scores(l, out + 64, near + 64, scale, shift)
            _store_scores(m, out + 128, near + 128, scale, shift)
            _store_scores(n, out + 192, near + 192, scale, shift)


@kernel
def score(x, coarse, packed, scores, slack):
    """Scores of all centroids for each row of x, and by how much two of them may stand in the wrong order.

    x (n, d); coarse: `layout.ByteTiles`; packed: scratch, n rows of d bytes, up to a multiple of 16, at an aligned address; scores
    float32 (n, 64 t), aligned; slack float32 (n,).
    """
    columns, halves, middle, about = coarse
    n, d = x.shape
    unit, lowest, largest, lost = about[0], about[1], about[2], about[3]
    t, quarters, row = columns.shape[0], columns.shape[1], (d + 15) // 16 * 16
    scales, shifts = np.empty(n, np.float32), np.empty(n, np.float32)
    at, from_middle, into = np.int64(x.ctypes.data), np.int64(middle.ctypes.data), np.int64(packed.ctypes.data)
    for i in range(n):
        step, total, norm, off = round_query(at + 4 * i * d, from_middle, d, into + i * row)
        scales[i], shifts[i] = -step * unit, -step * lowest * total
        error = off * largest + norm * lost
        rounding = np.float32(PRODUCT_ROUNDING) * (norm * norm + largest * largest + about[4])
        sums = np.float32(LEVELS) * np.float32(LEVELS) * np.float32(d)  # no sum of products of bytes is larger
        rounding += np.float32(ONE_ROUNDING) * (abs(scales[i]) * sums + abs(shifts[i]))
        slack[i] = np.float32(2.001) * error + rounding
    centroids = np.int64(columns.ctypes.data), np.int64(halves.ctypes.data), t, quarters
    if n == 1:
        byte_scores_of_one(into, centroids, scales[0], shifts[0], np.int64(scores.ctypes.data))
    else:
        byte_scores(into, n, centroids, scales, shifts, np.int64(scores.ctypes.data))

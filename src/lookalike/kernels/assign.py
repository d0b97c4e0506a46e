"""The nearest centroid of each point, by float32 and by definition.

Scores ‖c‖² − 2⟨x, c⟩ come from a matrix product or from `coarse_scores`; their rounding depends on who computed them. So scores
only shortlist: where several centroids are within rounding of the best, the one with the smallest distance summed
directly wins, the lower number on a tie. The answer is the same whatever the path, batch size and number of threads.
"""

import numpy as np

from lookalike.kernels._jit import inlined, kernel
from lookalike.kernels.distances import ROUNDING, squared_distance
from lookalike.kernels.simd import (
    available,
    fma,
    load_f32x16,
    loadu_f32x16,
    mask_le,
    minimum,
    smallest_lane,
    splat_f32x16,
    storeu_f32x16,
)


@kernel
def _of_all(x, centroids):
    """The nearest centroid by distance alone, for scores that overflow; the first where distances do, too."""
    winner, least = 0, squared_distance(x, centroids[0])
    for c in range(1, centroids.shape[0]):
        distance = squared_distance(x, centroids[c])
        if distance < least:
            winner, least = c, distance
    return winner, least


@inlined
def _settle(x, row, best, slack, centroids):
    """The nearest of the centroids whose score is within `slack` of the best, and its distance."""
    winner, least = -1, np.float32(np.inf)
    for c in range(centroids.shape[0]):
        if row[c] <= best + slack:
            distance = squared_distance(x, centroids[c])
            if distance < least:
                winner, least = c, distance
    return (winner, least) if winner >= 0 else _of_all(x, centroids)


@kernel
def nearest_plain(x, products, norms, centroids, assigned, distances):
    """argmin_c ‖x_i − c‖² from products ⟨x_i, c⟩ (n, nlist), which are overwritten by scores; norms ‖c‖²."""
    n, d = x.shape
    count = centroids.shape[0]
    largest = norms.max()
    for i in range(n):
        row = products[i]
        best = np.float32(np.inf)
        for c in range(count):
            row[c] = norms[c] - np.float32(2) * row[c]
            best = min(best, row[c])
        length = np.float32(0)
        for e in range(d):
            length += x[i, e] * x[i, e]
        assigned[i], distances[i] = _settle(x[i], row, best, ROUNDING * (length + largest), centroids)


@kernel
def nearest_simd(x, products, norms, centroids, assigned, distances):
    """The same with sixteen scores at a time; a tail of fewer is done one by one."""
    n, d = x.shape
    count = centroids.shape[0]
    even = count // 16 * 16
    largest = norms.max()
    minus_two = splat_f32x16(np.float32(-2))
    for i in range(n):
        row = products[i]
        at, near = row.ctypes.data, norms.ctypes.data
        low = splat_f32x16(np.float32(np.inf))
        for c in range(0, even, 16):
            score = fma(minus_two, loadu_f32x16(at + 4 * c), loadu_f32x16(near + 4 * c))
            storeu_f32x16(at + 4 * c, score)
            low = minimum(low, score)
        best = smallest_lane(low)
        for c in range(even, count):
            row[c] = norms[c] - np.float32(2) * row[c]
            best = min(best, row[c])
        length = np.float32(0)
        for e in range(d):
            length += x[i, e] * x[i, e]
        slack = ROUNDING * (length + largest)
        bound = splat_f32x16(best + slack)
        winner, least = -1, np.float32(np.inf)
        for c in range(0, even, 16):
            if mask_le(loadu_f32x16(at + 4 * c), bound) != np.uint64(0):
                for lane in range(c, c + 16):
                    if row[lane] <= best + slack:
                        distance = squared_distance(x[i], centroids[lane])
                        if distance < least:
                            winner, least = lane, distance
        for lane in range(even, count):
            if row[lane] <= best + slack:
                distance = squared_distance(x[i], centroids[lane])
                if distance < least:
                    winner, least = lane, distance
        if winner < 0:
            winner, least = _of_all(x[i], centroids)
        assigned[i], distances[i] = winner, least


nearest_from_products = nearest_simd if available() else nearest_plain


@kernel
def encode_plain(x, codebook, columns, norms, codes):
    """codes[i, j] = argmin_c ‖x_ij − p_jc‖².

    x (n, d); codebook (m, ksub, dsub); columns (m, dsub, width), the same by columns, width a multiple of 16; norms
    ‖p_jc‖² (m, width), +inf where padded; codes uint8 or uint16 (n, m).
    """
    m, dsub, width = columns.shape
    row = np.empty(width, np.float32)
    for j in range(m):
        largest = norms[j, : codebook.shape[1]].max()
        for i in range(x.shape[0]):
            part = x[i, j * dsub : (j + 1) * dsub]
            length, best = np.float32(0), np.float32(np.inf)
            for c in range(width):
                row[c] = norms[j, c]
            for e in range(dsub):
                q = np.float32(-2) * part[e]
                length += part[e] * part[e]
                for c in range(width):
                    row[c] += q * columns[j, e, c]
            for c in range(width):
                best = min(best, row[c])
            codes[i, j], _ = _settle(part, row, best, ROUNDING * (length + largest), codebook[j])


@kernel
def encode_simd(x, codebook, columns, norms, codes):
    """The same codes; sixty-four centroids of a sub-space at a time in four values. width a multiple of 64."""
    m, dsub, width = columns.shape
    scores = np.empty(width + 16, np.float32)
    start = ((64 - (scores.ctypes.data & 63)) & 63) // 4
    row = scores[start : start + width]
    at = row.ctypes.data
    for j in range(m):
        largest = norms[j, : codebook.shape[1]].max()
        for i in range(x.shape[0]):
            part = x[i, j * dsub : (j + 1) * dsub]
            length = np.float32(0)
            for e in range(dsub):
                length += part[e] * part[e]
            low = splat_f32x16(np.float32(np.inf))
            for first in range(0, width, 64):
                near = norms[j].ctypes.data + 4 * first
                a, b = loadu_f32x16(near), loadu_f32x16(near + 64)
                g, h = loadu_f32x16(near + 128), loadu_f32x16(near + 192)
                for e in range(dsub):
                    q = splat_f32x16(np.float32(-2) * part[e])
                    column = columns[j, e].ctypes.data + 4 * first
                    a = fma(q, loadu_f32x16(column), a)
                    b = fma(q, loadu_f32x16(column + 64), b)
                    g = fma(q, loadu_f32x16(column + 128), g)
                    h = fma(q, loadu_f32x16(column + 192), h)
                storeu_f32x16(at + 4 * first, a)
                storeu_f32x16(at + 4 * first + 64, b)
                storeu_f32x16(at + 4 * first + 128, g)
                storeu_f32x16(at + 4 * first + 192, h)
                low = minimum(low, minimum(minimum(a, b), minimum(g, h)))
            best = smallest_lane(low)
            limit = best + ROUNDING * (length + largest)
            if not limit < np.inf:  # then what is padded would be within it
                codes[i, j], _ = _of_all(part, codebook[j])
                continue
            bound = splat_f32x16(limit)
            winner, least = -1, np.float32(np.inf)
            for c in range(0, width, 16):
                if mask_le(load_f32x16(at + 4 * c), bound) != np.uint64(0):
                    for lane in range(c, c + 16):
                        if row[lane] <= limit:
                            distance = squared_distance(part, codebook[j, lane])
                            if distance < least:
                                winner, least = lane, distance
            if winner < 0:
                winner, _ = _of_all(part, codebook[j])
            codes[i, j] = winner


encode = encode_simd if available() else encode_plain


@kernel
def cluster_sums(x, assigned, sums, counts):
    """Adds each point to its cluster: sums float64 (k, d), counts int64 (k,)."""
    for i in range(x.shape[0]):
        c = assigned[i]
        counts[c] += 1
        for e in range(x.shape[1]):
            sums[c, e] += x[i, e]


@kernel
def residuals(x, assigned, centroids, out):
    """out_i = x_i − centroid of x_i."""
    for i in range(x.shape[0]):
        c = assigned[i]
        for e in range(x.shape[1]):
            out[i, e] = x[i, e] - centroids[c, e]

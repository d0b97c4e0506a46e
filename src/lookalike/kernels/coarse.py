"""Choosing the lists that a query visits: scores of all centroids, and the nprobe nearest of them.

Centroids lie in tiles of 64 columns, tiles[t, e, c] = element e of centroid 64 t + c, 64-byte aligned, so that a query meets them
as one stream. offsets[c] is ‖c‖² for l2 and 0 for an inner product; +inf where a tile is padded. A tile serves a whole group of
queries before the next is read, in slices that the L1 cache holds: a matrix product, which stays on the thread that asked for it
and leaves its result where the selection reads it.
"""

import numpy as np

from lookalike.kernels._jit import inlined, kernel
from lookalike.kernels.distances import ROUNDING, inner_product, squared_distance
from lookalike.kernels.scratch import aligned_bytes
from lookalike.kernels.simd import (
    available,
    fma,
    load_f32x16,
    loadu_f32x16,
    lowest_bit,
    mask_le,
    prefetch,
    splat_f32x16,
    store_f32x16,
)
from lookalike.kernels.topk import BINS, LANES, bound_by_bins, bound_of_kth, quickselect, sort_candidates

AHEAD = 8  # centroids between asking for one and reading it
TILE = 64  # centroids of a tile
DEPTH = 64  # elements of a tile that all queries of a group meet before the next: 16 kB
GROUP = 64  # queries whose scores are held at a time,
SCORES = 1 << 20  # unless these would be more than this


@kernel
def coarse_scores_simd(xq, tiles, offsets, scale, scores):
    """scores[i, c] = offsets[c] + scale · ⟨q_i, c⟩; xq (nq, d), tiles (t, d, 64), offsets (64 t,), scores (nq, 64 t)."""
    nq, d = xq.shape
    for t in range(tiles.shape[0]):
        for first in range(0, d, DEPTH):
            for i in range(nq):
                at, out = tiles.ctypes.data + (t * d + first) * 256, scores[i].ctypes.data + t * 256
                near = out if first else offsets.ctypes.data + t * 256
                a, b, g, h = load_f32x16(near), load_f32x16(near + 64), load_f32x16(near + 128), load_f32x16(near + 192)
                for e in range(first, min(first + DEPTH, d)):
                    q = splat_f32x16(scale * xq[i, e])
                    a = fma(q, load_f32x16(at), a)
                    b = fma(q, load_f32x16(at + 64), b)
                    g = fma(q, load_f32x16(at + 128), g)
                    h = fma(q, load_f32x16(at + 192), h)
                    at += 256
                store_f32x16(out, a)
                store_f32x16(out + 64, b)
                store_f32x16(out + 128, g)
                store_f32x16(out + 192, h)


@kernel(fast=True)
def coarse_scores_plain(xq, tiles, offsets, scale, scores):
    """The same scores up to rounding, by loops that Numba vectorises as far as the CPU goes."""
    nq, d = xq.shape
    for t in range(tiles.shape[0]):
        tile = tiles[t]
        for i in range(nq):
            row, query = scores[i, t * TILE : t * TILE + TILE], xq[i]
            for c in range(TILE):
                row[c] = offsets[t * TILE + c]
            e = 0
            while e + 3 < d:  # four elements for each time that a score is read and written
                q, r, s, u = scale * query[e], scale * query[e + 1], scale * query[e + 2], scale * query[e + 3]
                for c in range(TILE):
                    row[c] += (q * tile[e, c] + r * tile[e + 1, c]) + (s * tile[e + 2, c] + u * tile[e + 3, c])
                e += 4
            while e < d:
                q = scale * query[e]
                for c in range(TILE):
                    row[c] += q * tile[e, c]
                e += 1


coarse_scores = coarse_scores_simd if available() else coarse_scores_plain


@inlined
def pick_plain(row, nlist, bound, values, numbers):
    """Scores within the bound, and their lists; returns how many. NaN, where a damaged centroid overflows, is within it."""
    count = 0
    for c in range(nlist):
        if not row[c] > bound:
            values[count], numbers[count] = row[c], c
            count += 1
    return count


@inlined
def pick_simd(row, nlist, bound, values, numbers):
    """The same without NaN, sixteen scores at a time; the row is as long as its tiles."""
    at, bounds, count = row.ctypes.data, splat_f32x16(bound), 0
    for first in range(0, nlist, 16):
        left = mask_le(loadu_f32x16(at + 4 * first), bounds)
        while left != np.uint64(0):
            c = first + lowest_bit(left)
            left &= left - np.uint64(1)
            if c < nlist:
                values[count], numbers[count] = row[c], c
                count += 1
    return count


pick = pick_simd if available() else pick_plain


@kernel
def select_probes(xq, scores, centroids, largest, nprobe, is_l2, probes, coarse):
    """The nprobe lists with the lowest scores, nearest first, and their distances, computed again directly.

    scores (nq, padded nlist); centroids (nlist, d); largest: of their ‖c‖²; probes int64 (nq, nprobe); coarse float32 (nq, nprobe):
    ‖q − c‖² or −⟨q, c⟩. Scores are rounded otherwise by each way to compute them. What is kept is not: of lists within rounding
    of the last one, the direct distances decide.
    """
    nlist, padded = centroids.shape[0], scores.shape[1]
    values, numbers, places = np.empty(padded, np.float32), np.empty(padded, np.int64), np.empty(padded, np.int64)
    minima, counts = np.empty(LANES, np.float32), np.empty(BINS, np.int32)
    for i in range(xq.shape[0]):
        row = scores[i]
        slack = np.float32(2) * ROUNDING * (inner_product(xq[i], xq[i]) + largest)
        bound = np.float32(np.inf)
        if nlist >= 4 * LANES:
            few = nprobe <= LANES // 2
            bound = bound_of_kth(row, padded, nprobe, minima) if few else bound_by_bins(row, nlist, nprobe, counts)
            bound += slack
        count = pick(row, nlist, bound, values, numbers)
        if count < nprobe:  # NaN: nprobe lists have to come out all the same
            count = pick_plain(row, nlist, np.float32(np.inf), values, numbers)
        if count > nprobe:
            bound = quickselect(values, numbers, places, count, nprobe) + slack
            found, count = count, nprobe
            for c in range(nprobe, found):
                if not values[c] > bound:
                    numbers[count] = numbers[c]
                    count += 1
        for p in range(-AHEAD, count):
            if p + AHEAD < count:
                row_address = centroids[numbers[p + AHEAD]].ctypes.data
                for line in range(0, 4 * centroids.shape[1], 64):
                    prefetch(row_address + line)
            if p < 0:
                continue
            centroid = centroids[numbers[p]]
            values[p] = squared_distance(xq[i], centroid) if is_l2 else -inner_product(xq[i], centroid)
        sort_candidates(values, numbers, places, count)
        probes[i], coarse[i] = numbers[:nprobe], values[:nprobe]


@kernel
def probe_lists(xq, tiles, offsets, centroids, largest, is_l2, probes, coarse):
    """The nprobe best lists of each query and their distances: scores, then selection, for a group of queries at a time.

    xq (nq, d); probes int64 and coarse float32 (nq, nprobe), as `select_probes` writes them.
    """
    nq, padded, nprobe = xq.shape[0], offsets.shape[0], probes.shape[1]
    group = max(1, min(nq, GROUP, SCORES // padded))
    scores = aligned_bytes(4 * group * padded).view(np.float32).reshape(group, padded)
    for first in range(0, nq, group):
        last = min(first + group, nq)
        queries, row = xq[first:last], scores[: last - first]
        coarse_scores(queries, tiles, offsets, np.float32(-2 if is_l2 else -1), row)
        select_probes(queries, row, centroids, largest, nprobe, is_l2, probes[first:last], coarse[first:last])

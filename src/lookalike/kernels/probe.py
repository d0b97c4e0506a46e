"""Which lists a query visits: scores of all centroids, and the nprobe nearest of them."""

import numpy as np

from lookalike.kernels.assign import rounding_of, score_bytes
from lookalike.kernels.layout import TILE, Tiles
from lookalike.kernels.rows import AHEAD, row_sums
from lookalike.kernels.scratch import aligned_bytes, aligned_floats
from lookalike.kernels.simd import bits_set, load_f32x64, lowest_bit, mask_le, mask_lt, splat_f32x64
from lookalike.kernels.target import NONE, available, inlined, kernel
from lookalike.kernels.tiles import products, rows_together
from lookalike.kernels.topk import extremes, halve, sort_candidates

MANY = 256  # lists, from which on few are compared
RANKED = 256  # up to so many are ordered by counting
INFINITY = np.float32(np.inf)


@inlined
def pick_plain(scores, nlist, bound, values, numbers):
    """Scores within the bound, and their lists; returns how many. NaN, where a damaged centroid overflows, is within it."""
    count = NONE
    for c in range(nlist):
        if not scores[c] > bound:
            values[count], numbers[count] = scores[c], c
            count += 1
    return count


@inlined
def pick_simd(scores, nlist, bound, values, numbers):
    """The same without NaN, sixty-four scores at a time; there are as many as the tiles have columns."""
    at, bounds, count = np.int64(scores.ctypes.data), splat_f32x64(bound), NONE
    for first in range(0, nlist, 64):
        left = mask_le(load_f32x64(at + 4 * first), bounds)
        while left != np.uint64(0):
            c = first + lowest_bit(left)
            left &= left - np.uint64(1)
            if c < nlist:
                values[count], numbers[count] = scores[c], c
                count += 1
    return count


pick = pick_simd if available() else pick_plain


@inlined
def rank_simd(values, numbers, count, nprobe, probes, coarse, i):
    """Write the nprobe smallest of `count` values, and their lists, to row i in order: each counts those before it."""
    at = np.int64(values.ctypes.data)
    for c in range(count, (count + 63) // 64 * 64):
        values[c] = INFINITY
    for c in range(count):
        value = splat_f32x64(values[c])
        below, within = 0, 0
        for first in range(at, at + 4 * count, 256):
            x = load_f32x64(first)
            within += bits_set(mask_le(x, value))
            below += bits_set(mask_lt(x, value))
        if within - below > 1:  # equal ones by their numbers
            for j in range(count):
                below += values[j] == values[c] and numbers[j] < numbers[c]
        if below < nprobe:
            probes[i, below], coarse[i, below] = numbers[c], values[c]


@inlined
def rank_plain(values, numbers, count, nprobe, probes, coarse, i):
    for c in range(count):
        below = 0
        for j in range(count):
            below += values[j] < values[c] or (values[j] == values[c] and numbers[j] < numbers[c])
        if below < nprobe:
            probes[i, below], coarse[i, below] = numbers[c], values[c]


rank = rank_simd if available() else rank_plain


@kernel
def select_probes(xq, scores, slack, tiles, probes, coarse):
    """The nprobe lists with the lowest scores, nearest first, and their distances, summed directly: ‖q − c‖² or −⟨q, c⟩.

    scores (nq or more, 64 t), of `tiles`, m = 1; slack float32 (nq or more,): by how much scores may be in the wrong order; probes
    int64 (nq, nprobe); coarse float32 (nq, nprobe). Of the lists within slack of the last one the direct distances decide, so that
    the choice does not depend on how scores were computed.
    """
    centroids, is_l2, nprobe = tiles.centroids[0], tiles.is_l2, probes.shape[1]
    first, length = np.int64(centroids.ctypes.data), 4 * centroids.shape[1]
    nlist, padded = centroids.shape[0], scores.shape[1]
    values, norms = aligned_floats(1, padded)[0], np.empty(padded, np.float32)
    numbers, places = np.empty(padded, np.int64), np.empty(padded, np.int64)
    for i in range(xq.shape[0]):
        row = scores[i]
        bound = INFINITY
        if nlist >= MANY and nprobe <= nlist // TILE * TILE:  # so many are no larger than the largest of whole tiles
            at = np.int64(row.ctypes.data)
            low, high = extremes(at, nlist // TILE * TILE)
            bound, _ = halve(at, padded, nprobe, nprobe + (nprobe >> 3), low, high)
            bound += slack[i]
        count = pick(row, nlist, bound, values, numbers)
        if count < nprobe:  # NaN: nprobe lists have to come out all the same
            count = pick_plain(row, nlist, INFINITY, values, numbers)
        for p in range(count):
            places[p] = first + numbers[p] * length
        row_sums(xq[i], places, count, AHEAD, False, is_l2, values, norms)
        for p in range(count):
            values[p] = values[p] if is_l2 else -values[p]
            if not values[p] < INFINITY:
                values[p] = INFINITY  # the order of numbers that are none is that of their lists
        if count <= RANKED:
            rank(values, numbers, count, nprobe, probes, coarse, i)
        else:
            sort_candidates(values, numbers, places, count)
            for p in range(nprobe):
                probes[i, p], coarse[i, p] = numbers[p], values[p]


@kernel
def probe_lists(xq, tiles, probes, coarse):
    """The nprobe best lists of each query and their distances: scores, then `select_probes`, for a group of queries at a time.

    xq (nq, d); tiles: `layout.Tiles` of the cells, m = 1; probes int64 and coarse float32 (nq, nprobe).
    """
    tiles = Tiles(*tiles)
    (nq, d), padded = xq.shape, tiles.offsets.shape[1]
    group = rows_together(nq, d, padded)
    scores, slack, packed = aligned_floats(group, padded), np.empty(group, np.float32), aligned_bytes(group * (d + 15))
    for first in range(0, nq, group):
        last = min(first + group, nq)
        if not score_bytes(xq[first:last], tiles.coarse, packed, scores, slack):
            products(xq[first:last], NONE, tiles.columns[0], tiles.offsets[0], scores, NONE)
            for i in range(first, last):
                slack[i - first] = rounding_of(xq[i], tiles.largest[0])
        select_probes(xq[first:last], scores, slack, tiles, probes[first:last], coarse[first:last])

"""Which lists a query visits: scores of all centroids, and the nprobe nearest of them."""

import numpy as np

from lookalike.kernels.assign import distance_to, rounding_of
from lookalike.kernels.layout import Tiles
from lookalike.kernels.scratch import aligned_floats
from lookalike.kernels.simd import load_f32x64, lowest_bit, mask_le, prefetch, splat_f32x64
from lookalike.kernels.target import available, inlined, kernel
from lookalike.kernels.tiles import products, rows_together
from lookalike.kernels.topk import BINS, LANES, bound_by_bins, bound_of_kth, quickselect, sort_candidates

AHEAD = 8  # centroids between asking for one and reading it


@inlined
def pick_plain(scores, nlist, bound, values, numbers):
    """Scores within the bound, and their lists; returns how many. NaN, where a damaged centroid overflows, is within it."""
    count = 0
    for c in range(nlist):
        if not scores[c] > bound:
            values[count], numbers[count] = scores[c], c
            count += 1
    return count


@inlined
def pick_simd(scores, nlist, bound, values, numbers):
    """The same without NaN, sixty-four scores at a time; there are as many as the tiles have columns."""
    at, bounds, count = np.int64(scores.ctypes.data), splat_f32x64(bound), 0
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


@kernel
def select_probes(xq, scores, tiles, probes, coarse):
    """The nprobe lists with the lowest scores, nearest first, and their distances, summed directly: ‖q − c‖² or −⟨q, c⟩.

    scores (nq or more, 64 t), of `tiles`, m = 1; probes int64 (nq, nprobe); coarse float32 (nq, nprobe). Of the lists within
    rounding of the last one the direct distances decide, so that the choice does not depend on how scores were computed.
    """
    centroids, is_l2, largest, nprobe = tiles.centroids[0], tiles.is_l2, tiles.largest[0], probes.shape[1]
    nlist, padded = centroids.shape[0], scores.shape[1]
    values, numbers, places = np.empty(padded, np.float32), np.empty(padded, np.int64), np.empty(padded, np.int64)
    minima, counts = np.empty(LANES, np.float32), np.empty(BINS, np.int32)
    for i in range(xq.shape[0]):
        row = scores[i]
        rounding = rounding_of(xq[i], largest)
        bound = np.float32(np.inf)
        if nlist >= 4 * LANES:
            few = nprobe <= LANES // 2
            bound = bound_of_kth(row, padded, nprobe, minima) if few else bound_by_bins(row, nlist, nprobe, counts)
            bound += rounding
        count = pick(row, nlist, bound, values, numbers)
        if count < nprobe:  # NaN: nprobe lists have to come out all the same
            count = pick_plain(row, nlist, np.float32(np.inf), values, numbers)
        if count > nprobe:
            bound = quickselect(values, numbers, places, count, nprobe) + rounding
            found, count = count, nprobe
            for c in range(nprobe, found):
                if not values[c] > bound:
                    numbers[count] = numbers[c]
                    count += 1
        for p in range(-AHEAD, count):
            if p + AHEAD < count:
                row_address = np.int64(centroids[numbers[p + AHEAD]].ctypes.data)
                for line in range(0, 4 * centroids.shape[1], 64):
                    prefetch(row_address + line)
            if p >= 0:
                values[p] = distance_to(xq[i], centroids[numbers[p]], is_l2)
        sort_candidates(values, numbers, places, count)
        probes[i], coarse[i] = numbers[:nprobe], values[:nprobe]


@kernel
def probe_lists(xq, tiles, probes, coarse):
    """The nprobe best lists of each query and their distances: scores, then `select_probes`, for a group of queries at a time.

    xq (nq, d); tiles: `layout.Tiles` of the cells, m = 1; probes int64 and coarse float32 (nq, nprobe).
    """
    tiles = Tiles(*tiles)
    (nq, d), padded = xq.shape, tiles.offsets.shape[1]
    group = rows_together(nq, d, padded)
    scores = aligned_floats(group, padded)
    for first in range(0, nq, group):
        last = min(first + group, nq)
        products(xq[first:last], 0, tiles.columns[0], tiles.offsets[0], scores, 0)
        select_probes(xq[first:last], scores, tiles, probes[first:last], coarse[first:last])

"""Keeping the k smallest of a stream: an unsorted buffer, cut back to k by quickselect whenever it is full.

A candidate is a distance, an id and a place. Order is by distance, then by id, so that equal distances give the same
answer whatever the order in which lists are visited and however queries are split among threads.
"""

import numpy as np

from lookalike.kernels.simd import (
    bits_set,
    largest_lane,
    load_f32,
    load_f32x64,
    mask_le,
    maximum,
    minimum,
    smallest_lane,
    splat_f32x64,
    store,
)
from lookalike.kernels.target import available, inlined, kernel

LANES = 64
INSERTED = 32  # up to so many candidates are sorted by insertion
FEW = 6  # up to this k, selecting k minima is faster than counting for all of them


@inlined
def before(d1, i1, d2, i2):
    """Whether candidate (d1, i1) is nearer than (d2, i2), ids breaking ties."""
    return d1 < d2 or (d1 == d2 and i1 < i2)


@inlined
def _swap(distances, ids, places, i, j):
    distances[i], distances[j] = distances[j], distances[i]
    ids[i], ids[j] = ids[j], ids[i]
    places[i], places[j] = places[j], places[i]


@kernel
def quickselect(distances, ids, places, count, k):
    """Reorder the first `count` candidates so that the k nearest come first; returns the k-th distance (Hoare 1961)."""
    low, high, target = 0, count - 1, k - 1
    while low < high:
        middle = (low + high) >> 1
        pivot, pivot_id = distances[middle], ids[middle]
        i, j = low, high
        while i <= j:
            while before(distances[i], ids[i], pivot, pivot_id):
                i += 1
            while before(pivot, pivot_id, distances[j], ids[j]):
                j -= 1
            if i <= j:
                _swap(distances, ids, places, i, j)
                i += 1
                j -= 1
        if target <= j:
            high = j
        elif target >= i:
            low = i
        else:
            break
    return distances[target]


@kernel
def keep_near(distances, ids, places, count, k, bound):
    """Move candidates behind the first k that are within `bound` to directly behind them; returns how many stand there then."""
    kept = k
    for c in range(k, count):
        if distances[c] <= bound:
            _swap(distances, ids, places, c, kept)
            kept += 1
    return kept


@kernel
def sort_candidates(distances, ids, places, count):
    """Sort the first `count` candidates, nearest first: a few by insertion, more by heapsort, which has no worst case."""
    if count <= INSERTED:
        for c in range(1, count):
            distance, number, place, at = distances[c], ids[c], places[c], c
            while at > 0 and before(distance, number, distances[at - 1], ids[at - 1]):
                distances[at], ids[at], places[at] = distances[at - 1], ids[at - 1], places[at - 1]
                at -= 1
            distances[at], ids[at], places[at] = distance, number, place
        return
    for start in range(count // 2 - 1, -1, -1):
        _sift(distances, ids, places, start, count)
    for end in range(count - 1, 0, -1):
        _swap(distances, ids, places, 0, end)
        _sift(distances, ids, places, 0, end)


@inlined
def _sift(distances, ids, places, root, end):
    while True:
        child = 2 * root + 1
        if child >= end:
            break
        if child + 1 < end and before(distances[child], ids[child], distances[child + 1], ids[child + 1]):
            child += 1
        if not before(distances[root], ids[root], distances[child], ids[child]):
            break
        _swap(distances, ids, places, root, child)
        root = child


@kernel
def lane_minima_plain(values, n, minima):
    """minima[l] = the smallest of values[l], values[64 + l], …; n a multiple of 64, minima float32 (64,)."""
    for lane in range(LANES):
        minima[lane] = values[lane]
    for first in range(LANES, n, LANES):
        for lane in range(LANES):
            minima[lane] = min(minima[lane], values[first + lane])


@kernel
def lane_minima_simd(values, n, minima):
    """The same, the minima held in registers."""
    at = np.int64(values.ctypes.data)
    low = load_f32x64(at)
    for here in range(at + 256, at + 4 * n, 256):
        low = minimum(low, load_f32x64(here))
    store(minima.ctypes.data, low)


lane_minima = lane_minima_simd if available() else lane_minima_plain


@kernel
def bound_of_kth(values, n, k, minima):
    """A number that at least k of ``values[:n]`` do not exceed, in one pass; n a multiple of 64, k at most 64.

    Values are dealt to 64 lanes; each lane's minimum is a value of its own, so the k-th smallest minimum bounds the k-th
    smallest value. minima: scratch, float32 (64,).
    """
    lane_minima(values, n, minima)
    if k <= FEW:
        for i in range(k):  # selection sort of the first k
            best = i
            for j in range(i + 1, LANES):
                if minima[j] < minima[best]:
                    best = j
            minima[i], minima[best] = minima[best], minima[i]
        return minima[k - 1]
    bound = np.float32(np.inf)
    for i in range(LANES):  # the smallest that k do not exceed: 64 · 64 comparisons, without branches
        value, reached = minima[i], np.int32(0)
        for lane in range(LANES):
            reached += np.int32(minima[lane] <= value)
        if reached >= k:
            bound = min(bound, value)
    return bound


BINS = 256


@kernel
def bound_by_bins(values, n, k, counts):
    """A number that at least k of ``values[:n]`` do not exceed, for any k up to n, in two passes; no more than a bin too high.

    Values are counted in `BINS` equal bins of their range. counts: scratch, int32 (BINS,).
    """
    low = high = values[0]
    for i in range(1, n):
        low, high = min(low, values[i]), max(high, values[i])
    if not low < high:
        return high
    scale = np.float32(BINS - 1) / (high - low)
    counts[:] = 0
    for i in range(n):
        x = (values[i] - low) * scale
        counts[np.int64(x) if 0 <= x < BINS else BINS - 1] += 1  # NaN, of a damaged file, is not below either
    total = 0
    for number in range(BINS):
        total += counts[number]
        if total >= k:
            return low + (np.float32(number) + np.float32(1.01)) / scale  # what is rounded off is much less than 0.01
    return high


# --- bounds by halving -----------------------------------------------------------------------------------------------

STEPS = 20


@kernel
def extremes_simd(values, n):
    """The smallest and the largest of n floats at an address, n a multiple of 64."""
    low = high = load_f32x64(values)
    for at in range(values + 256, values + 4 * n, 256):
        v = load_f32x64(at)
        low, high = minimum(low, v), maximum(high, v)
    return smallest_lane(low), largest_lane(high)


@kernel
def extremes_plain(values, n):
    low = high = load_f32(values)
    for at in range(values + 4, values + 4 * n, 4):
        low, high = min(low, load_f32(at)), max(high, load_f32(at))
    return low, high


@kernel
def count_within_simd(values, n, bound):
    """How many of n floats at an address are not above the bound; n a multiple of 64."""
    bounds, count = splat_f32x64(bound), np.int64(0)
    for at in range(values, values + 4 * n, 256):
        count += bits_set(mask_le(load_f32x64(at), bounds))
    return count


@kernel
def count_within_plain(values, n, bound):
    count = np.int64(0)
    for at in range(values, values + 4 * n, 4):
        count += np.int64(load_f32(at) <= bound)
    return count


extremes = extremes_simd if available() else extremes_plain
count_within = count_within_simd if available() else count_within_plain


@kernel
def halve(values, n, k, most, low, high):
    """A number from low to high that at least k of n floats do not exceed, and how many do not; at most `most` if that can be had.

    values: address, n a multiple of 64; at least k are <= high. Each step counts what is below the middle.
    """
    reached = n
    for _ in range(STEPS):
        middle = np.float32(0.5) * (low + high)
        if not low < middle < high:
            break
        within = count_within(values, n, middle)
        if within >= k:
            high, reached = middle, within
            if reached <= most:
                break
        else:
            low = middle
    return high, reached

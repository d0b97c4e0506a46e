"""The nearest centroid of each point: the list of a vector, the code of a piece, the cluster of a training point.

Scores (`layout.Tiles`) are rounded: they only shortlist. Where several centroids are within rounding of the best, the one with the
smallest distance summed directly wins, the lower number on a tie. The answer is the same whatever the path, batch size and
number of threads.
"""

import numpy as np

from lookalike.kernels.coarse import score
from lookalike.kernels.distances import inner_product, squared_distance
from lookalike.kernels.layout import PRODUCT_ROUNDING, TILE
from lookalike.kernels.scratch import aligned_bytes, aligned_floats
from lookalike.kernels.simd import load_f32x64, lowest_bit, mask_le, minimum, smallest_lane, splat_f32x64
from lookalike.kernels.target import NONE, available, inlined, kernel
from lookalike.kernels.tiles import products, rows_together

SHORT = 32  # elements of a piece whose length is summed one by one


@inlined
def rounding_of(x, largest):
    """By how much scores may be wrong, of a point x and of centroids that are not longer than `largest`, ‖c‖²."""
    return np.float32(PRODUCT_ROUNDING) * (inner_product(x, x) + largest)


@inlined
def distance_to(x, centroid, is_l2):
    """‖x − c‖² or −⟨x, c⟩, summed directly."""
    return squared_distance(x, centroid) if is_l2 else -inner_product(x, centroid)


@kernel
def nearest_of_all(x, centroids, is_l2):
    """The nearest centroid by distance alone, for scores that overflow; the first where distances do, too."""
    winner, least = 0, distance_to(x, centroids[0], is_l2)
    for c in range(1, centroids.shape[0]):
        distance = distance_to(x, centroids[c], is_l2)
        if distance < least:
            winner, least = c, distance
    return winner


@inlined
def rounding_of_piece(x, i, start, d, largest):
    """`rounding_of` elements `start` to `start` + d of row i."""
    if d > SHORT:
        return rounding_of(x[i, start : start + d], largest)
    length = np.float32(0)
    for e in range(start, start + d):
        length += x[i, e] * x[i, e]
    return np.float32(PRODUCT_ROUNDING) * (length + largest)


@inlined
def nearer(x, centroids, is_l2, c, winner, least):
    """The nearer of centroid c and the one that won so far; distances are summed now. Returns it, and `least`."""
    if np.isnan(least):  # the winner had no rival yet
        least = distance_to(x, centroids[winner], is_l2)
    distance = distance_to(x, centroids[c], is_l2)
    return (c, distance) if distance < least else (winner, least)


@inlined
def settle_plain(x, i, start, scores, row, rounding, centroids, is_l2):
    """The nearest to a piece of row i of x of the centroids whose score is within rounding of the best; row of scores (n, 64 t).

    The piece begins at `start`, and is as long as the centroids. Most often one centroid is left, and nothing is summed up: so
    it is cut out of x, which costs two atomic operations, only where a second one is.
    """
    d = centroids.shape[1]
    best, winner, least = np.float32(np.inf), -1, np.float32(np.nan)
    for c in range(centroids.shape[0]):
        best = min(best, scores[row, c])
    if best + rounding < np.inf:
        for c in range(centroids.shape[0]):
            if scores[row, c] <= best + rounding:
                if winner < 0:
                    winner = c
                else:
                    winner, least = nearer(x[i, start : start + d], centroids, is_l2, c, winner, least)
    return winner if winner >= 0 else nearest_of_all(x[i, start : start + d], centroids, is_l2)


@inlined
def settle_simd(x, i, start, scores, row, rounding, centroids, is_l2):
    """The same, sixty-four scores at a time; those of what pads the tiles are +inf."""
    begin, d = np.int64(scores.ctypes.data) + row * scores.shape[1] * 4, centroids.shape[1]
    end, low = begin + 4 * centroids.shape[0], load_f32x64(begin)
    for at in range(begin + 256, end, 256):
        low = minimum(low, load_f32x64(at))
    bound, winner, least = smallest_lane(low) + rounding, -1, np.float32(np.nan)
    if bound < np.inf:  # else what is padded would be within it
        bounds = splat_f32x64(bound)
        for at in range(begin, end, 256):
            left = mask_le(load_f32x64(at), bounds)
            while left != np.uint64(0):
                c = ((at - begin) >> 2) + lowest_bit(left)
                left &= left - np.uint64(1)
                if winner < 0:
                    winner = c
                else:
                    winner, least = nearer(x[i, start : start + d], centroids, is_l2, c, winner, least)
    return winner if winner >= 0 else nearest_of_all(x[i, start : start + d], centroids, is_l2)


settle = settle_simd if available() else settle_plain


@inlined
def score_bytes_simd(x, coarse, packed, scores, slack):
    """Scores in products of bytes, and their slack; False where the centroids have none."""
    if coarse[0].shape[0] == 0:
        return False
    score(x, coarse, packed, scores, slack)
    return True


@inlined
def score_bytes_plain(x, coarse, packed, scores, slack):
    return False


score_bytes = score_bytes_simd if available() else score_bytes_plain


@kernel
def nearest(x, tiles, numbers, distances):
    """numbers[i, j] = argmin_c ‖x_ij − p_jc‖², or of −⟨x_ij, p_jc⟩; distances[i, j] the minimum. Jégou et al. 2011, II-A.

    x (n, m · d); tiles: `layout.Tiles` of m pieces, d long; numbers (n, m) of any integer type; distances float32 (n, m),
    or (0, m) where they are not wanted.
    """
    centroids, columns, offsets, largest, is_l2, coarse = tiles
    m, k, d = centroids.shape
    n, used = x.shape[0], (k + TILE - 1) // TILE
    group = rows_together(n, d, used * TILE)
    scores, slack, packed = (
        aligned_floats(group, used * TILE),
        np.empty(group, np.float32),
        aligned_bytes(group * (d + 15)),
    )
    for j in range(m):
        book, longest = centroids[j], largest[j]
        for first in range(0, n, group):
            last = min(first + group, n)
            if not score_bytes(x[first:last], coarse, packed, scores, slack):
                products(x[first:last], j * d, columns[j, :used], offsets[j], scores, NONE)
                for i in range(first, last):
                    slack[i - first] = rounding_of_piece(x, i, j * d, d, longest)
            for i in range(first, last):
                number = settle(x, i, j * d, scores, i - first, slack[i - first], book, is_l2)
                numbers[i, j] = number
                if distances.shape[0]:
                    distances[i, j] = distance_to(x[i, j * d : (j + 1) * d], book[number], is_l2)


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
    """out_i = x_i − centroid of x_i: equation (28), r(y) = y − q_c(y)."""
    for i in range(x.shape[0]):
        c = assigned[i]
        for e in range(x.shape[1]):
            out[i, e] = x[i, e] - centroids[c, e]

"""Exact distances in one inverted list of float32 vectors, for all the queries that visit it.

A list is read once, a few rows at a time, while they are in the first-level cache; every visitor compares itself with those
rows before the next are read. Each query keeps its own buffer of candidates (`topk`) and its own limit, from list to list.
"""

import numpy as np

from lookalike.kernels._jit import inlined, kernel
from lookalike.kernels.ivf import is_allowed
from lookalike.kernels.topk import quickselect, sort_candidates

CACHED = 16_384  # bytes of rows that all visitors meet before the next rows are read
INFINITY = np.float32(np.inf)


@kernel(fast=True)
def four_squared_distances(q, a, b, c, d):
    """‖q − a‖², ‖q − b‖², ‖q − c‖², ‖q − d‖²: four sums under way at once hide the latency of the additions."""
    s = t = u = v = np.float32(0)
    for e in range(q.shape[0]):
        s += (q[e] - a[e]) * (q[e] - a[e])
        t += (q[e] - b[e]) * (q[e] - b[e])
        u += (q[e] - c[e]) * (q[e] - c[e])
        v += (q[e] - d[e]) * (q[e] - d[e])
    return s, t, u, v


@kernel(fast=True)
def four_inner_products(q, a, b, c, d):
    """⟨q, a⟩, ⟨q, b⟩, ⟨q, c⟩, ⟨q, d⟩."""
    s = t = u = v = np.float32(0)
    for e in range(q.shape[0]):
        s += q[e] * a[e]
        t += q[e] * b[e]
        u += q[e] * c[e]
        v += q[e] * d[e]
    return s, t, u, v


@inlined
def _distances(query, rows, is_l2, out):
    """out[r] = ‖q − x_r‖² or −⟨q, x_r⟩; a last group of fewer than four repeats its last row, so that all sums are made alike."""
    n = rows.shape[0]
    for r in range(0, n, 4):
        a, b, c, d = rows[r], rows[min(r + 1, n - 1)], rows[min(r + 2, n - 1)], rows[min(r + 3, n - 1)]
        if is_l2:
            s, t, u, v = four_squared_distances(query, a, b, c, d)
        else:
            s, t, u, v = four_inner_products(query, a, b, c, d)
            s, t, u, v = -s, -t, -u, -v
        out[r], out[r + 1], out[r + 2], out[r + 3] = s, t, u, v


@kernel
def list_distances(query, vectors, is_l2, out):
    """The distance of one query to each row; out float32, at least 3 longer than there are rows."""
    _distances(query, vectors, is_l2, out)


@kernel
def scan_list(xq, visitors, vectors, ids, is_l2, mask, chosen, k, distances, numbers, places, counts, limits):
    """Offer the vectors of one list to the queries `visitors`.

    xq (nq, d); visitors int64 (v,); vectors float32 (n, d); ids int64 (n,); mask and chosen as in `ivf.is_allowed`, both empty is
    no filter; the rest is the state of each query: candidates (nq, capacity), capacity > k, of which counts (nq,) are in use;
    limits (nq,) is the k-th distance where k are known.
    """
    n, d = vectors.shape
    filtered = mask.shape[0] > 0 or chosen.shape[0] > 0
    step = max(4, CACHED // (4 * d) // 4 * 4)
    capacity = distances.shape[1]
    row = np.empty(step + 3, np.float32)
    for first in range(0, n, step):
        last = min(n, first + step)
        for at in range(visitors.shape[0]):
            i = visitors[at]
            _distances(xq[i], vectors[first:last], is_l2, row)
            count, limit = counts[i], limits[i]
            for r in range(last - first):
                if row[r] <= limit:
                    number = ids[first + r]
                    if filtered and not is_allowed(number, mask, chosen):
                        continue
                    distances[i, count], numbers[i, count] = row[r], number
                    count += 1
                    if count == capacity:
                        limit = quickselect(distances[i], numbers[i], places[i], count, k)
                        count = k
            counts[i], limits[i] = count, limit


@kernel
def best_of_each(distances, numbers, places, counts, k, out_d, out_i):
    """The k nearest candidates of each query, sorted; the rest of the row is +inf and −1."""
    for i in range(distances.shape[0]):
        count = counts[i]
        if count > k:
            quickselect(distances[i], numbers[i], places[i], count, k)
            count = k
        sort_candidates(distances[i], numbers[i], places[i], count)
        out_d[i, :count], out_i[i, :count] = distances[i, :count], numbers[i, :count]
        out_d[i, count:], out_i[i, count:] = INFINITY, -1

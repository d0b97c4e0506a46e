"""Exact distances in one inverted list of whole float32 vectors, for all the queries that visit it.

A list is read once, a few rows at a time, while they are in the first-level cache; every visitor compares itself with those
rows before the next are read. Each query keeps its own buffer of candidates (`topk`) and its own limit, from list to list.
"""

from typing import Any

import numpy as np

from lookalike.kernels.distances import inner_product, squared_distance
from lookalike.kernels.ivf import is_allowed, is_filter
from lookalike.kernels.layout import COSINE, L2, Allow
from lookalike.kernels.target import kernel
from lookalike.kernels.topk import quickselect, sort_candidates

CACHED = 16_384  # bytes of rows that all visitors meet before the next rows are read
INFINITY = np.float32(np.inf)


def no_candidates(nq: int, k: int, capacity: int) -> tuple[Any, ...]:
    """What queries have found so far: k; distances, ids and places (nq, capacity), how many are in use, and the k-th distance."""
    distances, ids = np.empty((nq, capacity), np.float32), np.empty((nq, capacity), np.int64)
    return k, distances, ids, np.zeros_like(ids), np.zeros(nq, np.int64), np.full(nq, INFINITY)


@kernel
def row_distances(query, rows, metric, out):
    """out[r] = ‖q − x_r‖², −⟨q, x_r⟩, or 1 − ⟨q, x_r⟩ and never below 0; query (d,), rows (n, d).

    Row by row: memory is then read from end to end, and no result depends on which rows or queries stood beside it.
    """
    for r in range(rows.shape[0]):
        out[r] = squared_distance(query, rows[r]) if metric == L2 else -inner_product(query, rows[r])
        if metric == COSINE:
            out[r] = max(np.float32(1) + out[r], np.float32(0))


@kernel
def scan_list(xq, visitors, vectors, ids, metric, allow, candidates):
    """Offer the vectors of one list to the queries `visitors`: xq (nq, d), int64 (v,), vectors float32 (n, d), ids int64 (n,).

    A vector whose id is negative is passed over.
    """
    allow = Allow(*allow)
    n, d = vectors.shape
    k, distances, numbers, places, counts, limits = candidates
    filtered = is_filter(allow)
    step = max(4, CACHED // (4 * d))
    capacity = distances.shape[1]
    row = np.empty(step, np.float32)
    for first in range(0, n, step):
        last = min(n, first + step)
        for at in range(visitors.shape[0]):
            i = visitors[at]
            row_distances(xq[i], vectors[first:last], metric, row)
            count, limit = counts[i], limits[i]
            for r in range(last - first):
                if row[r] <= limit:
                    number = ids[first + r]
                    if number < 0 or (filtered and not is_allowed(number, allow)):
                        continue
                    distances[i, count], numbers[i, count] = row[r], number
                    count += 1
                    if count == capacity:
                        limit = quickselect(distances[i], numbers[i], places[i], count, k)
                        count = k
            counts[i], limits[i] = count, limit


@kernel
def best_of_each(candidates, out_d, out_i):
    """The k nearest candidates of each query, sorted; the rest of the row is +inf and −1."""
    k, distances, numbers, places, counts, _ = candidates
    for i in range(distances.shape[0]):
        count = counts[i]
        if count > k:
            quickselect(distances[i], numbers[i], places[i], count, k)
            count = k
        sort_candidates(distances[i], numbers[i], places[i], count)
        out_d[i, :count], out_i[i, :count] = distances[i, :count], numbers[i, :count]
        out_d[i, count:], out_i[i, count:] = INFINITY, -1

"""Ordering candidates by their distance to the vectors themselves, which may be float32 or float16.

Rows are read where they lie, in memory or in a mapped file. Candidates are scattered, so that waiting for memory is nearly all
there is to do: rows are asked for some candidates before they are needed.
"""

import numpy as np

from lookalike.kernels.layout import COSINE, IP, L2
from lookalike.kernels.rows import AHEAD, NEAR, cosine_distance, row_sums
from lookalike.kernels.simd import prefetch
from lookalike.kernels.target import NONE, kernel
from lookalike.kernels.topk import quickselect, sort_candidates


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
    at, named = np.empty(candidates, np.int64), np.empty(candidates, np.int64)
    distances, numbers = np.empty(candidates, np.float32), np.empty(candidates, np.int64)
    sums, norms = np.empty(candidates, np.float32), np.empty(candidates, np.float32)
    length = min(xq.shape[1] * (2 if is_half else 4), NEAR)  # asked for ahead; the processor sees the rest coming
    sign = np.float32(-1 if metric == IP else 1)
    for i in range(nq):
        there = count = NONE
        for c in range(candidates):
            place = places[i, c]
            if place >= n:
                return place
            if place >= 0:
                at[there], named[there] = address + place * stride, ids[i, c]
                there += 1
                if there <= AHEAD:
                    for byte in range(0, length, 64):
                        prefetch(address + place * stride + byte)
        row_sums(xq[i], at, there, AHEAD, is_half, metric == L2, sums, norms)
        for c in range(there):
            distance = sums[c]
            if metric == COSINE:
                distance = cosine_distance(xq[i], at[c], is_half, distance, norms[c])
            if not abs(distance) < np.inf:  # a row that is not finite is nobody's neighbour
                continue
            distances[count], numbers[count] = sign * distance, named[c]
            count += 1
        if count > k:
            quickselect(distances, numbers, at, count, k)  # addresses are no longer needed
            count = k
        sort_candidates(distances, numbers, at, count)
        for c in range(count):
            out_d[i, c], out_i[i, c] = sign * distances[c], numbers[c]
        for c in range(count, k):
            out_d[i, c], out_i[i, c] = sign * np.float32(np.inf), -1
    return -1

"""Ordering candidates by their distance to the vectors themselves, which may be float32 or float16.

Rows are read where they lie, in memory or in a mapped file. Candidates are scattered, so that waiting for memory is nearly all
there is to do: a row is asked for some candidates before it is needed.
"""

import numpy as np

from lookalike.kernels.layout import COSINE, IP, L2
from lookalike.kernels.rows import cosine_distance, row_sums
from lookalike.kernels.simd import prefetch
from lookalike.kernels.target import kernel
from lookalike.kernels.topk import quickselect, sort_candidates

AHEAD = 6  # candidates between asking for a row and reading it


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
    distances, numbers = np.empty(candidates, np.float32), np.empty(candidates, np.int64)
    unused, here = np.empty(candidates, np.int64), np.empty(1, np.int64)
    sums, norms = np.empty(1, np.float32), np.empty(1, np.float32)
    length = min(
        xq.shape[1] * (2 if is_half else 4), 1024
    )  # asked for ahead; the processor itself sees the rest coming
    sign = np.float32(-1 if metric == IP else 1)
    for i in range(nq):
        count = 0
        for c in range(-AHEAD, candidates):
            if c + AHEAD < candidates:
                place = places[i, c + AHEAD]
                if place >= n:
                    return place
                for byte in range(0, length if place >= 0 else 0, 64):
                    prefetch(address + place * stride + byte)
            if c < 0 or places[i, c] < 0:
                continue
            here[0] = address + places[i, c] * stride
            row_sums(xq[i], here, 1, is_half, metric == L2, sums, norms)
            distance = sums[0]
            if metric == COSINE:
                distance = cosine_distance(xq[i], here[0], is_half, distance, norms[0])
            if not abs(distance) < np.inf:  # a row that is not finite is nobody's neighbour
                continue
            distances[count], numbers[count] = sign * distance, ids[i, c]
            count += 1
        if count > k:
            quickselect(distances, numbers, unused, count, k)
            count = k
        sort_candidates(distances, numbers, unused, count)
        for c in range(count):
            out_d[i, c], out_i[i, c] = sign * distances[c], numbers[c]
        for c in range(count, k):
            out_d[i, c], out_i[i, c] = sign * np.float32(np.inf), -1
    return -1

"""Distances to centroids and to coded vectors.

The squared distance of q to a vector with coarse centroid c and decoded residual r̂ (Jégou et al. 2011, section IV) opens into

    ‖q − c − r̂‖² = ‖q − c‖²  +  (‖r̂‖² + 2⟨c, r̂⟩)  −  2⟨q, r̂⟩
                   the list     the vector: `bias`     the table

and the inner product into ⟨q, c⟩ + ⟨q, r̂⟩. In code both are ``coarse + bias + scale · ⟨q, r̂⟩``, the inner product negated,
so that smaller is nearer throughout. Adding large terms to get a small one loses digits, so the k distances that
are returned are summed directly, (q − c − r̂)² element by element (`direct_distance`).
"""

import numpy as np

from lookalike.kernels._jit import inlined, kernel
from lookalike.kernels.simd import (
    available,
    fma,
    fma_f32x8,
    load_f32x16,
    load_u8,
    load_u16,
    loadu_f32x8,
    splat_f32x16,
    store_f32x16,
    sum_f32x8,
    zero_f32x8,
)
from lookalike.kernels.topk import BINS, LANES, bound_by_bins, bound_of_kth, quickselect, sort_candidates

ROUNDING = np.float32(4e-6)  # of a float32 product of some thousand terms, relative to ‖x‖² + max ‖c‖²

# --- coarse ----------------------------------------------------------------------------------------------------------
#
# Centroids lie in tiles of 64 columns, tiles[t, e, c] = element e of centroid 64 t + c, 64-byte aligned, so that one query meets
# them as one stream. offsets[c] is ‖c‖² for l2 and 0 for an inner product; +inf where a tile is padded.


@kernel
def coarse_scores_simd(xq, tiles, offsets, scale, scores):
    """scores[i, c] = offsets[c] + scale · ⟨q_i, c⟩; xq (nq, d), tiles (t, d, 64), offsets (64 t,), scores (nq, 64 t)."""
    nq, d = xq.shape
    for i in range(nq):
        for t in range(tiles.shape[0]):
            at, near, out = (
                tiles.ctypes.data + t * d * 256,
                offsets.ctypes.data + t * 256,
                scores[i].ctypes.data + t * 256,
            )
            a, b, g, h = load_f32x16(near), load_f32x16(near + 64), load_f32x16(near + 128), load_f32x16(near + 192)
            for e in range(d):
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
    for i in range(nq):
        for t in range(tiles.shape[0]):
            tile, row = tiles[t], scores[i, t * 64 : t * 64 + 64]
            for c in range(64):
                row[c] = offsets[t * 64 + c]
            for e in range(d):
                q = scale * xq[i, e]
                for c in range(64):
                    row[c] += q * tile[e, c]


coarse_scores = coarse_scores_simd if available() else coarse_scores_plain


@kernel(fast=True)
def squared_distance(x, y):
    """‖x − y‖², summed term by term."""
    total = np.float32(0)
    for e in range(x.shape[0]):
        difference = x[e] - y[e]
        total += difference * difference
    return total


@kernel(fast=True)
def inner_product(x, y):
    """⟨x, y⟩."""
    total = np.float32(0)
    for e in range(x.shape[0]):
        total += x[e] * y[e]
    return total


@kernel
def select_probes(xq, scores, centroids, largest, nprobe, is_l2, probes, coarse):
    """The nprobe lists with the lowest scores, nearest first, and their distances, computed again directly.

    scores (nq, padded nlist); centroids (nlist, d); largest: of their ‖c‖²; probes int64 (nq, nprobe); coarse float32 (nq, nprobe):
    ‖q − c‖² or −⟨q, c⟩. Batches score by a matrix product and single queries by a kernel, whose roundings differ. What is kept
    does not: of lists within rounding of the last one, the direct distances decide.
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
        count = 0
        for c in range(nlist):
            if not row[c] > bound:  # NaN, where a damaged centroid overflows, is kept: nprobe lists have to come out
                values[count], numbers[count] = row[c], c
                count += 1
        if count > nprobe:
            bound = quickselect(values, numbers, places, count, nprobe) + slack
            found, count = count, nprobe
            for c in range(nprobe, found):
                if not values[c] > bound:
                    numbers[count] = numbers[c]
                    count += 1
        for p in range(count):
            centroid = centroids[numbers[p]]
            values[p] = squared_distance(xq[i], centroid) if is_l2 else -inner_product(xq[i], centroid)
        sort_candidates(values, numbers, places, count)
        probes[i], coarse[i] = numbers[:nprobe], values[:nprobe]


@kernel
def probe_few(xq, tiles, offsets, centroids, largest, nprobe, is_l2):
    """Score and select in one call: for a query or a few, what a call costs counts."""
    nq, padded = xq.shape[0], offsets.shape[0]
    memory = np.empty(nq * padded + 16, np.float32)
    start = ((64 - (memory.ctypes.data & 63)) & 63) // 4
    scores = memory[start : start + nq * padded].reshape(nq, padded)
    probes, coarse = np.empty((nq, nprobe), np.int64), np.empty((nq, nprobe), np.float32)
    coarse_scores(xq, tiles, offsets, np.float32(-2 if is_l2 else -1), scores)
    select_probes(xq, scores, centroids, largest, nprobe, is_l2, probes, coarse)
    return probes, coarse


# --- coded vectors ---------------------------------------------------------------------------------------------------
#
# codes: the address of the vector's first code byte in its block; its j-th code is 64 elements further for each j.
# codebook: float32 (m, ksub, dsub). A code is masked by ksub − 1 (ksub is a power of two), so that a damaged file
# cannot make it point outside.


@inlined
def code_at(codes, j, ksub):
    """The j-th code of a vector: a byte up to 8 bits, two above."""
    code = np.int64(load_u8(codes + j * 64)) if ksub <= 256 else np.int64(load_u16(codes + j * 128))
    return code & (ksub - 1)


@kernel(fast=True)
def code_product(query, codebook, codes):
    """⟨q, r̂⟩ = Σ_j ⟨q_j, p_j,code_j⟩, straight from the codebook."""
    m, ksub, dsub = codebook.shape
    total = np.float32(0)
    for j in range(m):
        p = codebook[j, code_at(codes, j, ksub)]
        q = query[j * dsub : (j + 1) * dsub]
        for e in range(dsub):
            total += q[e] * p[e]
    return total


@inlined
def table_sum(table, codes):
    """Σ_j table[j, code_j] of a vector with codes of a byte each: scale · ⟨q, r̂⟩ from the float table (`lut.py`)."""
    total = np.float32(0)
    for j in range(table.shape[0]):
        total += table[j, load_u8(codes + j * 64)]
    return total


@kernel
def direct_distance_simd(query, centroid, codebook, codes, is_l2):
    """‖q − c − r̂‖², or −⟨q, c + r̂⟩, element by element, eight at a time; dsub is a multiple of 8."""
    m, ksub, dsub = codebook.shape
    q, c, total = np.int64(query.ctypes.data), np.int64(centroid.ctypes.data), zero_f32x8()
    for j in range(m):
        p = codebook.ctypes.data + (j * ksub + code_at(codes, j, ksub)) * dsub * 4
        for end in range(p + 32, p + dsub * 4 + 32, 32):
            if is_l2:
                difference = loadu_f32x8(q) - loadu_f32x8(c) - loadu_f32x8(end - 32)
                total = fma_f32x8(difference, difference, total)
            else:
                total = total - loadu_f32x8(q) * (loadu_f32x8(c) + loadu_f32x8(end - 32))
            q, c = q + 32, c + 32
    return sum_f32x8(total)


@kernel(fast=True)
def direct_distance_plain(query, centroid, codebook, codes, is_l2):
    """The same distance up to rounding, for any dsub."""
    m, ksub, dsub = codebook.shape
    total = np.float32(0)
    for j in range(m):
        p = codebook[j, code_at(codes, j, ksub)]
        q = query[j * dsub : (j + 1) * dsub]
        c = centroid[j * dsub : (j + 1) * dsub]
        if is_l2:
            for e in range(dsub):
                difference = q[e] - c[e] - p[e]
                total += difference * difference
        else:
            for e in range(dsub):
                total -= q[e] * (c[e] + p[e])
    return total


SIMD = available()


@inlined
def direct_distance(query, centroid, codebook, codes, is_l2):
    """‖q − c − r̂‖², or −⟨q, c + r̂⟩, in eights where dsub allows it."""
    if SIMD and codebook.shape[2] % 8 == 0:
        return direct_distance_simd(query, centroid, codebook, codes, is_l2)
    return direct_distance_plain(query, centroid, codebook, codes, is_l2)


@kernel(fast=True)
def code_biases(codes, list_no, centroids, codebook, by_residual, biases):
    """bias of each vector: ‖r̂‖² + 2⟨c, r̂⟩, or ‖x̂‖² without residuals. codes: uint8 or uint16 (n, m), row by row."""
    m, _, dsub = codebook.shape
    for i in range(codes.shape[0]):
        total = np.float32(0)
        centroid = centroids[list_no[i]]
        for j in range(m):
            p = codebook[j, codes[i, j]]
            c = centroid[j * dsub : (j + 1) * dsub]
            if by_residual:
                for e in range(dsub):
                    total += p[e] * (p[e] + np.float32(2) * c[e])
            else:
                for e in range(dsub):
                    total += p[e] * p[e]
        biases[i] = total

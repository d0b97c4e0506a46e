"""Distances to vectors and to coded vectors.

The squared distance of q to a vector with coarse centroid c and decoded residual r̂ (Jégou et al. 2011, section IV) opens into

    ‖q − c − r̂‖² = ‖q − c‖²  +  (‖r̂‖² + 2⟨c, r̂⟩)  −  2⟨q, r̂⟩
                   the list     the vector: `bias`     the table

and the inner product into ⟨q, c⟩ + ⟨q, r̂⟩. In code both are ``coarse + bias + scale · ⟨q, r̂⟩``, the inner product negated,
so that smaller is nearer throughout. Adding large terms to get a small one loses digits, so the k distances that
are returned are summed directly, (q − c − r̂)² element by element (`direct_distance`).
"""

import numpy as np

from lookalike.kernels.layout import COSINE, L2
from lookalike.kernels.simd import fma, load_f32, load_f32x8, load_u8, load_u16, sum_lanes, zero_f32x8
from lookalike.kernels.target import available, inlined, kernel


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
def table_sum(table, m, codes):
    """Σ_j table[j, code_j] of a vector with codes of a byte each: scale · ⟨q, r̂⟩ from the float table (`tables.py`).

    table, codes: addresses of float32 (m, 256), and of the first code.
    """
    total = np.float32(0)
    for j in range(m):
        total += load_f32(table + 1024 * j + 4 * np.int64(load_u8(codes + 64 * j)))
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
                difference = load_f32x8(q) - load_f32x8(c) - load_f32x8(end - 32)
                total = fma(difference, difference, total)
            else:
                total = total - load_f32x8(q) * (load_f32x8(c) + load_f32x8(end - 32))
            q, c = q + 32, c + 32
    return sum_lanes(total)


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
    """‖q − c − r̂‖², or −⟨q, c + r̂⟩, in eights where dsub allows it: equation (30), by definition."""
    if SIMD and codebook.shape[2] % 8 == 0:
        return direct_distance_simd(query, centroid, codebook, codes, is_l2)
    return direct_distance_plain(query, centroid, codebook, codes, is_l2)


@inlined
def reported_distance(query, centroid, codebook, codes, metric):
    """The distance that a search returns: ‖q − c − r̂‖², −⟨q, c + r̂⟩, or 1 − ⟨q, c + r̂⟩ and never below 0."""
    distance = direct_distance(query, centroid, codebook, codes, metric == L2)
    return max(np.float32(1) + distance, np.float32(0)) if metric == COSINE else distance


@kernel(fast=True)
def code_biases(codes, list_no, centroids, codebook, by_residual, biases):
    """bias of each vector, its own term of equation (30): ‖r̂‖² + 2⟨c, r̂⟩, or ‖x̂‖² without residuals.

    codes: uint8 or uint16 (n, m), row by row.
    """
    m, ksub, dsub = codebook.shape
    for i in range(codes.shape[0]):
        total = np.float32(0)
        centroid = centroids[list_no[i]]
        for j in range(m):
            p = codebook[j, codes[i, j] & (ksub - 1)]
            c = centroid[j * dsub : (j + 1) * dsub]
            if by_residual:
                for e in range(dsub):
                    total += p[e] * (p[e] + np.float32(2) * c[e])
            else:
                for e in range(dsub):
                    total += p[e] * p[e]
        biases[i] = total

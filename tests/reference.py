"""Slow and obvious oracles: what every kernel and every index is compared with. Nothing here is imported from `lookalike`."""

from __future__ import annotations

from typing import Any

import numpy as np

BLOCK = 64


# --- memory ----------------------------------------------------------------------------------------------------------


def aligned(array: Any, alignment: int = 64) -> np.ndarray:
    """A copy whose first byte is aligned."""
    array = np.ascontiguousarray(array)
    memory = np.zeros(array.nbytes + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def lane_byte(i: int) -> int:
    """Vectors 0..31 lie at the even bytes of a row of 64, vectors 32..63 at the odd ones."""
    return 2 * i if i < 32 else 2 * (i - 32) + 1


def to_blocks(codes: np.ndarray) -> np.ndarray:
    """Codes (n, m), row by row, as blocks (ceil(n / 64), m, 64); lanes without a vector hold 0."""
    n, m = codes.shape
    blocks = np.zeros((-(-n // BLOCK), m, BLOCK), codes.dtype)
    for i in range(n):
        for j in range(m):
            blocks[i // BLOCK, j, lane_byte(i % BLOCK)] = codes[i, j]
    return aligned(blocks)


def from_blocks(blocks: np.ndarray, n: int) -> np.ndarray:
    """The first n rows of codes, (n, m), of blocks (blocks, m, 64)."""
    return np.array([blocks[i // BLOCK, :, lane_byte(i % BLOCK)] for i in range(n)]).reshape(n, blocks.shape[1])


# --- tables and scan -------------------------------------------------------------------------------------------------


def product_table(query: np.ndarray, codebook: np.ndarray, scale: float) -> np.ndarray:
    """scale · ⟨q_j, p_jc⟩ in float64; codebook (m, ksub, dsub)."""
    m, _, dsub = codebook.shape
    pieces = query.astype(np.float64).reshape(m, dsub)
    return scale * np.einsum("je,jce->jc", pieces, codebook.astype(np.float64))


def estimates(blocks: np.ndarray, table: np.ndarray, bias: np.ndarray, step: float) -> np.ndarray:
    """step · Σ_j table[j, code_j(i)] + bias[i], float32 (blocks, 64), each operation rounded once."""
    out = np.empty((len(blocks), BLOCK), np.float32)
    rows = np.arange(blocks.shape[1])
    for block in range(len(blocks)):
        for i in range(BLOCK):
            total = int(table[rows, blocks[block, :, lane_byte(i)]].astype(np.int64).sum())
            out[block, i] = np.float32(np.float32(total) * np.float32(step)) + bias[block, i]
    return out


def masks(estimate: np.ndarray, threshold: float) -> np.ndarray:
    """Bit i of block b is set where estimate[b, i] <= threshold."""
    return np.array(
        [sum(1 << i for i in range(BLOCK) if row[i] <= np.float32(threshold)) for row in estimate], np.uint64
    )


# --- nearest ---------------------------------------------------------------------------------------------------------


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """‖x_i − y_j‖² in float64, (n, len(y)), from the differences."""
    return np.square(x[:, None].astype(np.float64) - y[None].astype(np.float64)).sum(axis=2)


def nearest(x: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """argmin_c ‖x_i − c‖² and the minimum, in float64."""
    distances = squared_distances(x, centroids)
    return distances.argmin(axis=1), distances.min(axis=1)


def encode(x: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Codes of the nearest centroid of each piece, (n, m), in float64."""
    m, _, dsub = codebook.shape
    return np.stack([nearest(x[:, j * dsub : (j + 1) * dsub], codebook[j])[0] for j in range(m)], axis=1)


def decode(codes: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Concatenated centroids of each code, (n, d)."""
    return np.concatenate([codebook[j, codes[:, j]] for j in range(codes.shape[1])], axis=1)


def distances(xq: np.ndarray, xb: np.ndarray, metric: str) -> np.ndarray:
    """Distances of all pairs in float64, as the metric promises them. For ``"cosine"``, `xb` may be decoded, not unit."""
    if metric == "l2":
        return squared_distances(xq, xb)
    products = xq.astype(np.float64) @ xb.astype(np.float64).T
    return products if metric == "ip" else np.maximum(1 - products, 0)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; zero rows stay zero."""
    norms = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    return np.divide(x, norms, out=np.zeros(x.shape), where=norms > 0)


def top_k(distance: np.ndarray, ids: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each row, ties by id; −1 and the worst distance where there are fewer."""
    nq = len(distance)
    sign = -1 if metric == "ip" else 1
    best, found = np.full((nq, k), sign * np.inf), np.full((nq, k), -1, np.int64)
    for i in range(nq):
        order = np.lexsort((ids, sign * distance[i]))[:k]
        best[i, : len(order)], found[i, : len(order)] = distance[i, order], ids[order]
    return best, found


def search_decoded(
    xq: np.ndarray, decoded: np.ndarray, ids: np.ndarray, k: int, metric: str, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Search by comparing each query with every decoded vector; `allowed` bool (n,)."""
    queries = unit(xq) if metric == "cosine" else xq
    if allowed is not None:
        decoded, ids = decoded[allowed], ids[allowed]
    return top_k(distances(queries, decoded, metric), ids, k, metric)


# --- comparison ------------------------------------------------------------------------------------------------------


def tolerance(distance: np.ndarray, xq: np.ndarray, xb: np.ndarray) -> np.ndarray:
    """How far two correct float32 answers may lie apart: 1e-4 · (|d| + 1e-3 · (‖q‖² + max ‖x‖²)), shape of `distance`."""
    norms = np.square(xq.astype(np.float64)).sum(axis=1, keepdims=True) + np.square(xb.astype(np.float64)).sum(1).max()
    return 1e-4 * (np.where(np.isfinite(distance), np.abs(distance), 0) + 1e-3 * norms)


def assert_same_results(got: Any, wanted: Any, slack: np.ndarray, distance_of: np.ndarray | None = None) -> None:
    """Two search results are the same up to ties: distances rank by rank, ids where the order is not a matter of rounding.

    Parameters
    ----------
    got, wanted : (distances, ids), each (nq, k)
    slack : ndarray (nq, k)
        What two distances of one vector may differ by.
    distance_of : ndarray (nq, n), optional
        The true distance of each id 0..n-1. An id that only one of the two returned must be tied at the cut.
    """
    got_d, got_i, wanted_d, wanted_i = (np.asarray(a) for a in (*got, *wanted))
    assert got_i.shape == wanted_i.shape
    assert ((got_i < 0) == (wanted_i < 0)).all(), "not as many results"
    held = wanted_i >= 0
    np.testing.assert_array_equal(got_d[~held], wanted_d[~held].astype(np.float32))
    with np.errstate(invalid="ignore"):  # infinity minus infinity, where nothing was found
        apart = np.where(held, np.abs(got_d.astype(np.float64) - wanted_d), 0)
    assert (apart <= slack).all(), f"distances differ by {apart.max()}"
    for i in range(len(got_i)):
        mine = dict(zip(got_i[i].tolist(), got_d[i].tolist(), strict=True))
        theirs = dict(zip(wanted_i[i].tolist(), wanted_d[i].tolist(), strict=True))
        assert len(mine) == len(set(got_i[i].tolist()))
        last = wanted_d[i][held[i]][-1] if held[i].any() else 0.0
        for number, distance in mine.items():
            if number < 0:
                continue
            if number in theirs:
                assert abs(distance - theirs[number]) <= slack[i].max(), f"id {number} has two distances"
            else:
                assert abs(distance - last) <= 2 * slack[i].max(), f"id {number} is not tied at the cut"
            if distance_of is not None:
                assert abs(distance - distance_of[i, number]) <= slack[i].max(), f"id {number} is not that far"

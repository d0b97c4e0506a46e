"""Exact search in plain numpy: the measure of every other index, and the path of small collections.

Distances of all pairs come from one matrix product, ``‖q − x‖² = ‖q‖² − 2⟨q, x⟩ + ‖x‖²``. That form loses
digits when the distance is small beside the norms, so it only picks candidates: the distances returned
are computed again, directly, from the differences. Where rounding could have pushed a neighbour out of the candidates
(many equal vectors, or a cloud far from the origin), that query is compared with everything directly.
"""

from __future__ import annotations

import itertools

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.kernels.layout import PRODUCT_ROUNDING

__all__ = ["direct_distances", "exact_search", "worst"]

QUERIES = 256  # rows of one block of the pair matrix
VECTORS = 32_768  # and its columns: 32 MiB of float32
FIRST = 2048  # columns of the first block, of which all are candidates: it sets the limit that later ones have to pass
FEW_QUERIES = 8  # for which one block more costs more than it saves
SPARE = 16  # candidates beyond k: room for what rounds differently
DIRECT = 1 << 22  # floats of a block that is compared directly
NO_ROWS: IdArray = np.empty(0, np.int64)


def worst(metric: str) -> float:
    """The distance of a missing result: +inf, and −inf for the inner product."""
    return -np.inf if metric == "ip" else np.inf


def direct_distances(xq: FloatArray, candidates: FloatArray, metric: str) -> FloatArray:
    """Distances of each query to its own candidates, summed term by term.

    Parameters
    ----------
    xq : ndarray of float32, shape (nq, d)
        For ``"cosine"``, unit rows (or zero rows).
    candidates : ndarray of float32, shape (nq, c, d)
    metric : {"l2", "ip", "cosine"}

    Returns
    -------
    distances : ndarray of float32, shape (nq, c)
    """
    if metric == "l2":
        difference = candidates - xq[:, None, :]
        squares: FloatArray = np.einsum("qcd,qcd->qc", difference, difference)
        return squares
    products: FloatArray = np.einsum("qcd,qd->qc", candidates, xq)
    return products if metric == "ip" else np.clip(1 - products, 0, 2)


def exact_search(
    xq: FloatArray,
    xb: Array,
    k: int,
    metric: str,
    rows: IdArray | None = None,
    ids: IdArray | None = None,
    gone: IdArray = NO_ROWS,
) -> tuple[FloatArray, IdArray]:
    """The k nearest rows of `xb` for each query, best first, ties by the lower id.

    Parameters
    ----------
    xq : ndarray of float32, shape (nq, d)
    xb : ndarray, shape (n, d)
        Any float dtype; a memory map is read block by block. Unit rows for ``"cosine"``.
    k : int
    metric : {"l2", "ip", "cosine"}
    rows : ndarray of int64, optional
        Search only these rows of `xb`.
    ids : ndarray of int64, shape (n,), optional
        Of the rows of `xb`; by default their numbers.
    gone : ndarray of int64, sorted
        Search all but these few rows; without `rows`.

    Returns
    -------
    distances : ndarray of float32, shape (nq, k)
    found : ndarray of int64, shape (nq, k)
        Row numbers in `xb`, −1 where there are fewer than k.

    Notes
    -----
    O(nq · n · d) time; 32 MiB of working memory, whatever n is.
    """
    n = len(xb) if rows is None else len(rows)
    if len(gone) and k + SPARE >= n - len(gone):
        rows, n, gone = np.delete(np.arange(n), gone), n - len(gone), NO_ROWS
    distances = np.full((len(xq), k), worst(metric), np.float32)
    found = np.full((len(xq), k), -1, np.int64)
    for first in range(0, len(xq) if n else 0, QUERIES):
        queries = xq[first : first + QUERIES]
        candidates, sure = _candidates(queries, xb, k, metric, rows, gone)
        part = slice(first, first + QUERIES)
        _settle(queries, xb, candidates, metric, ids, distances[part], found[part])
        for i in np.flatnonzero(~sure):
            near, numbers = _compare_all(queries[i], xb, k, metric, rows, ids, gone)
            distances[first + i, : len(near)], found[first + i, : len(near)] = near, numbers
    return distances, found


def _candidates(
    xq: FloatArray, xb: Array, k: int, metric: str, rows: IdArray | None, gone: IdArray
) -> tuple[IdArray, Array]:
    """Row numbers of the k + SPARE best of each query by the matrix product, in no order, and whether the k best are among them."""
    n = len(xb) if rows is None else len(rows)
    count, largest = min(n, k + SPARE), 1.0 if metric == "cosine" else 0.0
    if count == n:
        everything = np.arange(n) if rows is None else np.asarray(rows)
        return np.broadcast_to(everything, (len(xq), n)), np.ones(len(xq), np.bool_)
    best_scores = np.full((len(xq), count), -np.inf, np.float32)
    best = np.full((len(xq), count), -1, np.int64)
    start = min(n, max(VECTORS if len(xq) < FEW_QUERIES else FIRST, count))
    for first, last in itertools.pairwise([0, *range(start, n, VECTORS), n]):
        chosen = slice(first, last) if rows is None else rows[first:last]
        block = np.asarray(xb[chosen], dtype=np.float32)
        scores = xq @ block.T  # larger is better from here on
        if metric != "cosine":
            norms = np.einsum("nd,nd->n", block, block)
            largest = max(largest, float(norms.max()))
            if metric == "l2":
                scores -= 0.5 * norms
        if len(gone):
            scores[:, gone[slice(*np.searchsorted(gone, [first, last]))] - first] = -np.inf
        columns, found = _promising(scores, best_scores.min(axis=1), count)
        best_scores = np.concatenate([best_scores, found], axis=1)
        numbers = columns + first if rows is None else np.asarray(chosen)[columns]
        best = np.concatenate([best, numbers], axis=1)
        if columns.shape[1]:
            part = np.argpartition(-best_scores, count - 1, axis=1)[:, :count]
            best_scores = np.take_along_axis(best_scores, part, 1)
            best = np.take_along_axis(best, part, 1)
    lowest, kth = best_scores.min(axis=1), np.partition(best_scores, count - k, axis=1)[:, count - k]
    slack = 2 * PRODUCT_ROUNDING * (np.einsum("qd,qd->q", xq, xq) + largest)
    return best, np.isfinite(lowest) & (kth - lowest > slack)


def _promising(scores: FloatArray, limits: FloatArray, count: int) -> tuple[IdArray, FloatArray]:
    """Columns of the scores above each row's limit, or of the `count` best, and these scores; both (nq, most of any row).

    Behind a row's own come column 0 and −inf. After the first block few scores pass, and to look for those takes a tenth of the
    time that it takes to find the best of a block.
    """
    is_above = scores > limits[:, None]
    counts = np.count_nonzero(is_above, axis=1)
    width, keep = int(counts.max()), min(count, scores.shape[1])
    if width > max(keep, scores.shape[1] // 16):
        part: IdArray = np.argpartition(-scores, keep - 1, axis=1)[:, :keep]
        return part, np.take_along_axis(scores, part, 1)
    row, column = np.divmod(np.flatnonzero(is_above), scores.shape[1])
    place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    columns, found = np.zeros((len(scores), width), np.int64), np.full((len(scores), width), -np.inf, np.float32)
    columns[row, place], found[row, place] = column, scores[row, column]
    return columns, found


def _compare_all(
    query: FloatArray,
    xb: Array,
    k: int,
    metric: str,
    rows: IdArray | None,
    ids: IdArray | None,
    gone: IdArray,
) -> tuple[FloatArray, IdArray]:
    """Distances and row numbers of the k nearest, with nothing left to a matrix product."""
    n = len(xb) if rows is None else len(rows)
    distances, step = np.empty(n, np.float32), max(1, DIRECT // len(query))
    for first in range(0, n, step):
        chosen = slice(first, first + step) if rows is None else rows[first : first + step]
        distances[first : first + step] = direct_distances(
            query[None], np.asarray(xb[chosen], np.float32)[None], metric
        )
    distances[gone] = worst(metric)
    sign = -1 if metric == "ip" else 1
    near = np.flatnonzero(sign * distances <= np.partition(sign * distances, k - 1)[k - 1])
    found = near if rows is None else rows[near]
    order = np.lexsort((found if ids is None else ids[found], sign * distances[near]))[:k]
    return distances[near[order]], found[order]


def _settle(
    xq: FloatArray,
    xb: Array,
    candidates: IdArray,
    metric: str,
    ids: IdArray | None,
    distances: FloatArray,
    found: IdArray,
) -> None:
    """Order the candidates by their direct distances and write the best k."""
    group = max(1, VECTORS * 8 // max(1, candidates.shape[1] * xq.shape[1]))
    k = min(distances.shape[1], candidates.shape[1])
    for first in range(0, len(xq), group):
        queries, rows = xq[first : first + group], candidates[first : first + group]
        exact = direct_distances(queries, np.asarray(xb[rows.ravel()], np.float32).reshape(*rows.shape, -1), metric)
        order = np.lexsort((rows if ids is None else ids[rows], -exact if metric == "ip" else exact), axis=1)[:, :k]
        distances[first : first + group, :k] = np.take_along_axis(exact, order, 1)
        found[first : first + group, :k] = np.take_along_axis(rows, order, 1)

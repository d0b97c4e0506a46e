"""The first search of a process, without the kernels: to load the compiler takes longer than this takes.

The steps of `kernels.ivf.search_lists` in plain numpy. `load_index` marks an index as `_cold`, and its first search clears that, so
a program that goes on searching goes on with the kernels.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.index.base import passes

if TYPE_CHECKING:
    from lookalike.index.coded import CodedIndex
    from lookalike.index.ivfflat import IVFFlatIndex

__all__ = ["is_worthwhile", "product_table", "search_codes", "search_vectors"]

WORK = 8_000_000  # numbers read: 0.1 s at the most, where loading the kernels takes 0.6 s
LIST = 2000  # what visiting a list costs beside its vectors, in such numbers
ROUNDING, LOWEST = 2e-6, 3e-7  # of opened distances, as in `kernels.ivf.near_ties`


def is_worthwhile(index: CodedIndex | IVFFlatIndex, nq: int, nprobe: int, per_query: int, per_vector: int) -> bool:
    """Whether a search is quicker done here: no kernels are loaded yet, and it reads few numbers."""
    if "numba" in sys.modules:
        return False
    sizes = np.sort(index._lists.sizes)[-nprobe:]  # at the worst
    return bool(nq * (index._coarse_space().size + per_query + nprobe * LIST + int(sizes.sum()) * per_vector) <= WORK)


@np.errstate(over="ignore", invalid="ignore")  # as the kernels take what a damaged file holds
def search_codes(
    index: CodedIndex, xq: FloatArray, k: int, nprobe: int, permitted: Array | None
) -> tuple[FloatArray, IdArray]:
    """The k nearest coded vectors of each query, as `preassigned.search_preassigned` finds them after `_probe`."""
    lists, now, near, scale = index._lists, index._lists.snapshot, index._seen(), -2 if index.metric == "l2" else -1
    rows, codebook = [], index._seen_pq().pq_centroids
    for whole, q in zip(xq, near.moved(xq), strict=True):
        probes = _nearest_lists(index, whole, nprobe)
        origins = near.centroids[probes] if index.by_residual else np.zeros((len(probes), len(q)), np.float32)
        parts = [lists.rows(list_no, now) for list_no in probes.tolist()]
        codes, biases, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
        codes &= index.ksub - 1  # a damaged file must not point outside
        place = np.repeat(np.arange(len(probes)), [len(part[2]) for part in parts])
        # the distance opened into list, vector and table (`kernels.distances`)
        table = scale * product_table(codebook, q)
        coarse = _opened(q, origins, index.metric)
        distances = coarse[place] + biases
        for scores, column in zip(table, codes.T, strict=True):
            distances += scores[column]
        if index.metric == "cosine":
            distances = np.maximum(distances, 0)
        size = np.abs(coarse).max() + np.abs(table.min(axis=1).sum())
        rounded = ROUNDING * float(size) + LOWEST
        kept = _best(distances, ids, k, permitted, rounded if np.isfinite(rounded) else LOWEST)
        decoded = codebook[np.arange(index.m), codes[kept]].reshape(len(kept), len(q))
        rows.append(_row(_distances(q, origins[place[kept]] + decoded, index.metric), ids[kept], k))
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


@np.errstate(over="ignore", invalid="ignore")
def search_vectors(
    index: IVFFlatIndex, xq: FloatArray, k: int, nprobe: int, permitted: Array | None
) -> tuple[FloatArray, IdArray]:
    """The same for whole vectors."""
    lists, rows = index._lists, []
    for q in xq:
        parts = [lists.rows(list_no) for list_no in _nearest_lists(index, q, nprobe).tolist()]
        vectors, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
        distances = _distances(q, vectors, index.metric)
        kept = _best(distances, ids, k, permitted)
        rows.append(_row(distances[kept], ids[kept], k))
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


def product_table(codebook: FloatArray, q: FloatArray) -> FloatArray:
    """⟨q_j, p_jc⟩, float32, shape (m, ksub)."""
    m, _, dsub = codebook.shape
    return np.asarray(np.einsum("jcd,jd->jc", codebook, q.reshape(m, dsub)), np.float32)


def _nearest_lists(index: CodedIndex | IVFFlatIndex, q: FloatArray, nprobe: int) -> IdArray:
    near = _distances(q, index._coarse_space(), index.coarse_metric)
    return np.argsort(near, kind="stable")[:nprobe]


def _opened(q: FloatArray, x: FloatArray, metric: str) -> FloatArray:
    """‖q − x‖², −⟨q, x⟩ or 1 − ⟨q, x⟩ for each row of x, summed element by element."""
    if metric == "l2":
        return np.asarray(np.square(q - x).sum(axis=1), np.float32)
    return np.asarray((1 if metric == "cosine" else 0) - (q * x).sum(axis=1), np.float32)


def _distances(q: FloatArray, x: FloatArray, metric: str) -> FloatArray:
    """The distances that a search reports, inner products negated."""
    return np.maximum(_opened(q, x, metric), 0) if metric == "cosine" else _opened(q, x, metric)


def _best(distances: FloatArray, ids: IdArray, k: int, permitted: Array | None, near: float = 0) -> IdArray:
    """Where the k smallest distances stand, equal ones by id, of the ids that pass; and what is within `near` of the k-th."""
    at = np.flatnonzero(distances <= np.inf)  # NaN, from a damaged file, is nobody's neighbour
    if permitted is not None:
        at = at[passes(permitted, ids[at])]
    if len(at) > k:
        at = at[distances[at] <= np.partition(distances[at], k - 1)[k - 1] + near]
    order = at[np.lexsort((ids[at], distances[at]))]
    return order if near else order[:k]


def _row(distances: FloatArray, ids: IdArray, k: int) -> tuple[FloatArray, IdArray]:
    """Sorted, cut to k, and filled up to k with what stands for no result."""
    order = np.lexsort((ids, distances))[:k]
    row, numbers = np.full(k, np.inf, np.float32), np.full(k, -1)
    row[: len(order)], numbers[: len(order)] = distances[order], ids[order]
    return row, numbers

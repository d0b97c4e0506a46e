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
    lists, now = index._lists, index._lists.snapshot
    rows = []
    for q in xq:
        probes = _nearest_lists(index, q, nprobe)
        origins = index._trained()[probes] if index.by_residual else np.zeros((len(probes), len(q)), np.float32)
        parts = [lists.rows(list_no, now) for list_no in probes.tolist()]
        codes, biases, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
        codes &= index.ksub - 1  # a damaged file must not point outside
        place = np.repeat(np.arange(len(probes)), [len(part[2]) for part in parts])
        # the distance opened into list, vector and table (`kernels.distances`)
        distances = _distances(q, origins, index._is_l2)[place] + biases
        for scores, column in zip(product_table(index, q), codes.T, strict=True):
            distances += (-2 if index._is_l2 else -1) * scores[column]
        kept = _best(distances, ids, k, permitted)
        decoded = index.pq_centroids[np.arange(index.m), codes[kept]].reshape(len(kept), len(q))
        stored = origins[place[kept]] + decoded
        rows.append(_row(_distances(q, stored, index._is_l2), ids[kept], k))
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
        distances = _distances(q, vectors, index._is_l2)
        kept = _best(distances, ids, k, permitted)
        rows.append(_row(distances[kept], ids[kept], k))
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


def product_table(index: CodedIndex, q: FloatArray) -> FloatArray:
    """⟨q_j, p_jc⟩, float32, shape (m, ksub)."""
    return np.asarray(np.einsum("jcd,jd->jc", index.pq_centroids, q.reshape(index.m, index.dsub)), np.float32)


def _nearest_lists(index: CodedIndex | IVFFlatIndex, q: FloatArray, nprobe: int) -> IdArray:
    near = _distances(q, index._coarse_space(), index.coarse_metric == "l2")
    return np.argsort(near, kind="stable")[:nprobe]


def _distances(q: FloatArray, x: FloatArray, is_l2: bool) -> FloatArray:
    """‖q − x‖² or −⟨q, x⟩ for each row of x, summed element by element."""
    distances: FloatArray = np.square(q - x).sum(axis=1) if is_l2 else -(q * x).sum(axis=1)
    return distances


def _best(distances: FloatArray, ids: IdArray, k: int, permitted: Array | None) -> IdArray:
    """Where the k smallest distances stand, equal ones by id, of the ids that the filter lets pass."""
    at = np.flatnonzero(distances <= np.inf)  # NaN, from a damaged file, is nobody's neighbour
    if permitted is not None:
        at = at[passes(permitted, ids[at])]
    if len(at) > k:
        at = at[distances[at] <= np.partition(distances[at], k - 1)[k - 1]]
    return at[np.lexsort((ids[at], distances[at]))[:k]]


def _row(distances: FloatArray, ids: IdArray, k: int) -> tuple[FloatArray, IdArray]:
    """Sorted, and filled up to k with what stands for no result."""
    order = np.lexsort((ids, distances))
    row, numbers = np.full(k, np.inf, np.float32), np.full(k, -1)
    row[: len(order)], numbers[: len(order)] = distances[order], ids[order]
    return row, numbers

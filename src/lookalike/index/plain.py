"""One search in plain numpy, by the definitions: what a trace records, and what a first search uses.

Loading the compiler takes longer than a small search takes here. `load_index` marks an index as `_is_fresh`, and its first search
clears that, so later searches use the kernels.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.index.filters import is_permitted

if TYPE_CHECKING:
    from lookalike.index.index import Index

__all__ = ["best", "distances_to", "is_worthwhile", "opened", "product_table", "search"]

WORK = 8_000_000  # numbers read: 0.1 s at the most, where loading the kernels takes 0.6 s
LIST = 2000  # what visiting a list costs beside its vectors, in such numbers


def is_worthwhile(index: Index, nq: int, nprobe: int) -> bool:
    """Whether a search is quicker done here: no kernels are loaded yet, and it reads few numbers."""
    if "numba" in sys.modules:
        return False
    sizes = np.sort(index._lists.sizes)[-nprobe:]  # at the worst
    per_query = index._cells.centroids.size + index._codec.numbers_per_query + nprobe * LIST
    return bool(nq * (per_query + int(sizes.sum()) * index._codec.numbers_per_vector) <= WORK)


@np.errstate(over="ignore", invalid="ignore")  # as the kernels take what a damaged file holds
def search(index: Index, xq: FloatArray, k: int, nprobe: int, permitted: Array | None) -> tuple[FloatArray, IdArray]:
    """The k nearest vectors of each query in its nprobe nearest lists, as `Codec.search` finds them; xq (nq, d) is rotated."""
    cells, out, found = index._cells, np.full((len(xq), k), np.inf, np.float32), np.full((len(xq), k), -1)
    for i, q in enumerate(xq):
        probes = np.argsort(distances_to(q, cells.centroids, cells.metric), kind="stable")[:nprobe]
        distances, ids = index._codec.search_plain(index._lists, q, probes, k, permitted)
        order = np.lexsort((ids, distances))[:k]
        out[i, : len(order)], found[i, : len(order)] = distances[order], ids[order]
    return out, found


def product_table(codebook: FloatArray, q: FloatArray) -> FloatArray:
    """⟨q_j, p_jc⟩, float32, shape (m, ksub)."""
    m, _, dsub = codebook.shape
    return np.asarray(np.einsum("jcd,jd->jc", codebook, q.reshape(m, dsub)), np.float32)


def opened(q: FloatArray, x: FloatArray, metric: str) -> FloatArray:
    """‖q − x‖², −⟨q, x⟩ or 1 − ⟨q, x⟩ for each row of x, summed element by element."""
    if metric == "l2":
        return np.asarray(np.square(q - x).sum(axis=1), np.float32)
    return np.asarray((1 if metric == "cosine" else 0) - (q * x).sum(axis=1), np.float32)


def distances_to(q: FloatArray, x: FloatArray, metric: str) -> FloatArray:
    """The distances that a search reports, inner products negated."""
    return np.maximum(opened(q, x, metric), 0) if metric == "cosine" else opened(q, x, metric)


def best(distances: FloatArray, ids: IdArray, k: int, permitted: Array | None, near: float = 0) -> IdArray:
    """Where the k smallest distances stand, equal ones by id, of the ids that pass; and what is within `near` of the k-th."""
    at = np.flatnonzero(distances <= np.inf)  # NaN, from a damaged file, is nobody's neighbour
    if permitted is not None:
        at = at[is_permitted(permitted, ids[at])]
    if len(at) > k:
        at = at[distances[at] <= np.partition(distances[at], k - 1)[k - 1] + near]
    order = at[np.lexsort((ids[at], distances[at]))]
    return order if near else order[:k]

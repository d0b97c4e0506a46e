"""How many lists a search has to visit for a wanted recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike._typing import IdArray
from lookalike._validate import MAX_K, check_count
from lookalike.errors import InputError

if TYPE_CHECKING:
    from lookalike.index.index import Index

__all__ = ["Tuned", "tune"]


class Tuned(NamedTuple):
    """What `Index.tune` found."""

    nprobe: int
    recall: float  # at this nprobe, of the queries that were given


def tune(index: Index, xq: Any, recall: Any, k: Any, exact_ids: Any, threads: int | None) -> Tuned:
    """See `Index.tune`."""
    k = check_count(k, "k", 1, MAX_K)
    if isinstance(recall, bool) or not isinstance(recall, int | float) or not 0 < recall <= 1:
        raise InputError(f"recall: expected a number above 0 and up to 1, got {recall!r}")
    if not index.ntotal:
        raise InputError("tune: expected an index that holds vectors, it is empty")
    wanted = index.search(xq, k, nprobe=index.nlist, threads=threads).ids
    if not len(wanted):
        raise InputError("xq: expected at least one query, got none")
    if exact_ids is not None:
        nq, wanted = len(wanted), np.asarray(exact_ids)
        if wanted.dtype.kind not in "iu" or wanted.ndim != 2 or len(wanted) != nq or wanted.shape[1] < k:
            raise InputError(f"exact_ids: expected ids of shape (nq, {k} or more), got {wanted.dtype} {wanted.shape}")
        wanted = wanted[:, :k]

    def measured(nprobe: int) -> float:
        return _share(index.search(xq, k, nprobe=nprobe, threads=threads).ids, wanted)

    low, high = 0, 1
    while high < index.nlist and (reached := measured(high)) < recall:
        low, high = high, min(2 * high, index.nlist)
    reached = measured(high)
    if reached < recall:
        raise InputError(
            f"recall: {recall} is not reached with all {index.nlist} lists, which give {reached:.3f}; re-rank (Reranked), or use "
            "longer codes"
        )
    while high - low > 1:
        middle = (low + high) // 2
        share = measured(middle)
        if share >= recall:
            high, reached = middle, share
        else:
            low = middle
    return Tuned(high, reached)


def _share(found: IdArray, wanted: IdArray) -> float:
    """The share of the wanted ids that were found; −1 is no id."""
    hits = sum(int(np.isin(row[row >= 0], ids).sum()) for row, ids in zip(wanted, found, strict=True))
    return hits / max(int((wanted >= 0).sum()), 1)

"""Results of searches, put together."""

from __future__ import annotations

import numpy as np

from lookalike._typing import FloatArray, IdArray, RangeResult, SearchResult
from lookalike.index.exact import worst

__all__ = ["gather_ranges", "merged", "missing"]


def missing(nq: int, k: int, metric: str) -> SearchResult:
    """The result of a search that found nothing."""
    return SearchResult(np.full((nq, k), worst(metric), np.float32), np.full((nq, k), -1, np.int64))


def gather_ranges(parts: list[tuple[FloatArray, IdArray]], nq: int) -> RangeResult:
    """One `RangeResult` from the distances and ids of each query; no parts is a search that found nothing."""
    lims = np.zeros(nq + 1, np.int64)
    if not parts:
        return RangeResult(lims, np.empty(0, np.float32), np.empty(0, np.int64))
    lims[1:] = np.cumsum([len(ids) for _, ids in parts])
    return RangeResult(lims, np.concatenate([d for d, _ in parts]), np.concatenate([ids for _, ids in parts]))


def merged(distances: FloatArray, ids: IdArray) -> tuple[FloatArray, IdArray]:
    """The k nearest of several searches of the same queries.

    Parameters
    ----------
    distances : ndarray of float32, shape (parts, nq, k)
        Smaller is nearer.
    ids : ndarray of int64, shape (parts, nq, k)
        All different, but for −1 at distances of +inf.

    Returns
    -------
    distances, ids : shape (nq, k), equal distances by id
    """
    if len(ids) == 1:
        return distances[0], ids[0]
    k = ids.shape[2]
    distances, ids = np.concatenate([*distances], axis=1), np.concatenate([*ids], axis=1)
    order = np.lexsort((ids, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(ids, order, 1)

"""Exact search of whole vectors by kernels, wherever they lie: in a list, in several files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookalike._threads import WORTH_MICROSECONDS, run_all
from lookalike._typing import Array, FloatArray, IdArray
from lookalike.index.filters import as_allow
from lookalike.index.results import merged
from lookalike.kernels.layout import METRIC_NUMBERS

__all__ = ["query_parts", "search_vectors"]

QUERIES = 1024  # of one pass over the vectors
CANDIDATES = 2_000_000  # of one pass at the most
WORTH = 1 << 20  # numbers that a thread is started for: 0.2 ms


def query_parts(count: int, k: int, threads: int = 1, each: float = WORTH_MICROSECONDS) -> list[slice]:
    """Queries in parts, some for each thread, that keep few enough candidates at a time; each: microseconds of one, about."""
    threads = max(1, min(threads, int(count * each / WORTH_MICROSECONDS)))
    step = max(1, min(QUERIES, CANDIDATES // k, -(-count // threads)))
    return [slice(at, at + step) for at in range(0, count, step)]


def search_vectors(
    xq: FloatArray,
    parts: Sequence[tuple[Array, IdArray]],
    k: int,
    metric: str,
    permitted: Array | None = None,
    threads: int = 1,
) -> tuple[FloatArray, IdArray]:
    """The k nearest vectors of each query; each thread compares all queries with a share of the vectors.

    Parameters
    ----------
    xq : ndarray of float32, shape (nq, d)
        Unit vectors for ``"cosine"`` and ``"angle"``.
    parts : sequence of (vectors, ids)
        float32 or float16, shape (n, d), all of one type, with rows next to each other; int64, shape (n,), where negative ids are
        passed over.
    k : int
    metric : {"l2", "ip", "cosine", "angle"}
        ``"angle"`` is ``"cosine"`` of vectors that need not be unit; one that is not finite is like nothing, at distance 1.
    permitted : ndarray, optional
        Of `filters.prepared_filter`.
    threads : int

    Returns
    -------
    distances : ndarray of float32, shape (nq, k)
        Smaller is nearer: inner products are negated. +inf where there are fewer than k.
    ids : ndarray of int64, shape (nq, k)
        −1 where there are fewer than k.
    """
    from lookalike.kernels.whole import ANGLE, search_whole

    vectors, d = parts[0][0], xq.shape[1]
    kind, number = (d * vectors.itemsize, vectors.dtype == np.float16), (METRIC_NUMBERS | {"angle": ANGLE})[metric]
    total = sum(len(ids) for _, ids in parts)
    tables = _shares(parts, max(1, min(threads, total, total * d // WORTH)))
    allow = as_allow(permitted)
    out_distances, out_ids = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)
    for rows in query_parts(len(xq), k):
        queries = xq[rows]

        def run(table: IdArray, queries: FloatArray = queries, held: Any = parts) -> tuple[FloatArray, IdArray]:
            found = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
            probes = np.broadcast_to(np.arange(len(table)), (len(queries), len(table))).copy()
            search_whole(queries, probes, table, kind, number, allow, *found)
            return found

        found = run_all(run, tables, threads)
        distances, ids = (np.stack(column) for column in zip(*found, strict=True))
        out_distances[rows], out_ids[rows] = merged(distances, ids)
    return out_distances, out_ids


def _shares(parts: Sequence[tuple[Array, IdArray]], count: int) -> list[IdArray]:
    """The vectors in `count` shares of equal size, each a table of addresses and sizes for `kernels.whole.search_whole`."""
    total = sum(len(ids) for _, ids in parts)
    ends = [total * (share + 1) // count for share in range(count)]
    shares: list[list[tuple[int, int, int]]] = [[] for _ in range(count)]
    before = share = 0
    for vectors, ids in parts:
        at = 0
        while at < len(ids):
            size = min(len(ids) - at, ends[share] - before)
            if size:
                address = vectors.ctypes.data + at * vectors.strides[0]
                shares[share].append((address, ids.ctypes.data + 8 * at, size))
            at, before = at + size, before + size
            if before == ends[share] and share + 1 < count:
                share += 1
    return [np.array(share, np.int64).reshape(-1, 3) for share in shares]

"""Searching given lists: the seam between choosing lists and scanning them, search = coarse + search_preassigned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lookalike._threads import run_all, shares
from lookalike._typing import Array, FloatArray, IdArray
from lookalike.index.invlists import Snapshot

__all__ = ["KERNEL_METRICS", "CodeSpace", "range_preassigned", "search_preassigned", "split_filter"]

QUERIES = 64  # of a group that shares lists, and what is read of the codebook,
TABLES = 640 << 10  # if the bytes of their tables are not more: these should stay near
KEPT = 2_000_000  # candidates of a group at the most
KERNEL_METRICS = {"ip": 0, "l2": 1, "cosine": 2}  # as in `kernels.distances`
NO_MASK, NO_IDS = np.empty(0, np.bool_), np.empty(0, np.int64)


class CodeSpace(NamedTuple):
    """What codes mean. Queries, centroids and codebook are given around one origin (`CodedIndex`)."""

    centroids: FloatArray  # (nlist, d)
    codebook: FloatArray  # (m, ksub, d / m)
    columns: FloatArray  # (m, d / m, width): the codebook by columns, padded
    by_residual: bool
    metric: int  # as kernels number them: KERNEL_METRICS


def search_preassigned(
    lists: Snapshot,
    space: CodeSpace,
    xq: FloatArray,
    probes: IdArray,
    coarse: FloatArray,
    k: int,
    permitted: Array | None,
    threads: int,
) -> tuple[FloatArray, IdArray]:
    """The k nearest vectors of each query in the lists it probes.

    Parameters
    ----------
    lists : Snapshot
    space : CodeSpace
    xq : ndarray of float32, shape (nq, d)
    probes : ndarray of int64, shape (nq, nprobe)
        Nearest first.
    coarse : ndarray of float32, shape (nq, nprobe)
        The part of the distance that depends on query and list only (see `kernels.distances`); for cosine, 1 more.
    k : int
    permitted : ndarray, optional
        A filter of `base.allowed_ids`.
    threads : int

    Returns
    -------
    distances : ndarray of float32, shape (nq, k)
        As in the metric, inner products negated, so that smaller is nearer; +inf where there are fewer.
    ids : ndarray of int64, shape (nq, k)
    """
    from lookalike.kernels.ivf import search_lists, search_lists_wide

    mask, chosen = split_filter(permitted)
    distances, ids = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)
    search = search_lists if space.codebook.shape[1] <= 256 else search_lists_wide

    def run(rows: slice) -> None:
        search(
            xq[rows], probes[rows], coarse[rows], lists.table, lists.longest, *space, lists.wide_ids, mask, chosen, k, group,
            distances[rows], ids[rows],
        )  # fmt: skip

    one = len(space.codebook) * 256 * 5  # bytes of a query's tables
    group = max(1, min(QUERIES, KEPT // k, TABLES // one))
    if len(xq) == 1:  # every microsecond counts
        run(slice(0, 1))
        return distances, ids
    run_all(run, shares(len(xq), group, threads), threads)
    return distances, ids


def range_preassigned(
    lists: Snapshot,
    space: CodeSpace,
    xq: FloatArray,
    probes: IdArray,
    coarse: FloatArray,
    radius: float,
    permitted: Array | None,
    threads: int,
) -> list[tuple[FloatArray, IdArray]]:
    """Distances and ids of all vectors nearer than `radius`, for each query; arguments as in `search_preassigned`."""
    from lookalike.kernels.ivf import range_lists

    mask, chosen = split_filter(permitted)

    def run(i: int) -> tuple[FloatArray, IdArray]:
        found: tuple[FloatArray, IdArray] = range_lists(
            xq[i], probes[i], coarse[i], lists.table, lists.longest, *space, lists.wide_ids, mask, chosen,
            np.float32(radius),
        )  # fmt: skip
        return found

    return run_all(run, range(len(xq)), threads)


def split_filter(permitted: Array | None) -> tuple[Array, Array]:
    """A prepared filter as the two arrays that kernels take: a mask over ids, and sorted ids."""
    if permitted is None:
        return NO_MASK, NO_IDS
    return (permitted, NO_IDS) if permitted.dtype == np.bool_ else (NO_MASK, permitted)

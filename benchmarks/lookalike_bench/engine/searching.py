"""Cases of search: the same codes in FAISS, batch and one by one, one thread and all cores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lookalike_bench import peers
from lookalike_bench.engine.bench import BATCH, ONE_BY_ONE, Bench, SearchCase
from lookalike_bench.engine.rows import Row, compared
from lookalike_bench.measure import Contestant, take_turns

__all__ = ["features", "search", "two_threads", "wide"]

REPEATED = (
    8  # times that the queries are asked at once of two threads: to start these takes as long as some of a search
)
SETTINGS = ((16, 10), (64, 10), (16, 100))  # nprobe, k


def search(bench: Bench) -> Iterator[Row]:
    """128-d vectors at several nprobe and k."""
    index, data = bench.main_index, bench.data.main
    title = f"search, d {data.base.shape[1]}, m {index.m}, nlist {index.nlist}"
    yield from _compared(
        bench,
        [
            SearchCase(f"search-nprobe{nprobe}-k{k}", f"{title}, nprobe {nprobe}, k {k}", data, index, k, nprobe)
            for nprobe, k in SETTINGS
        ],
    )


def wide(bench: Bench) -> Iterator[Row]:
    """Long vectors in few lists: the upstream experiment's shape."""
    scale, data = bench.scale, bench.data.wide
    index = bench.built(data.base, scale.wide_nlist, scale.wide_m)
    title = f"search, {len(data.base)} × {data.base.shape[1]}, IVF{index.nlist},PQ{index.m}, nprobe {scale.wide_nprobe}, k 10"
    yield from _compared(bench, [SearchCase("wide", title, data, index, 10, scale.wide_nprobe)])


def features(bench: Bench) -> Iterator[Row]:
    """What the product itself searches: the default model's vectors. Nothing is asked of it."""
    scale, data = bench.scale, bench.data.features
    index = bench.built(data.base, scale.wide_nlist, scale.features_m)
    title = f"search, {len(data.base)} × {data.base.shape[1]}, IVF{index.nlist},PQ{index.m}, nprobe {scale.wide_nprobe}, k 10"
    yield from _compared(bench, [SearchCase("features", title, data, index, 10, scale.wide_nprobe)])


def _compared(bench: Bench, cases: list[SearchCase]) -> Iterator[Row]:
    twin = peers.twin_of(cases[0].index)
    for case in cases:
        for threads in bench.thread_counts:
            for mode in (BATCH, ONE_BY_ONE):
                yield bench.compare_search(case, threads, mode, twin)


def two_threads(bench: Bench) -> Iterator[Row]:
    """Our own batch search on two threads against one; FAISS's, for comparison, in the details."""
    if bench.machine.cores < 2:
        return
    index, data = bench.main_index, bench.data.main
    twin = peers.twin_of(index)
    bench.say("two threads against one")
    many = np.tile(data.queries, (REPEATED, 1))
    title = f"two threads against one, nprobe 16, k 10, batch of {len(many):,}"

    def ours(threads: int) -> Contestant:
        return bench.contestant(
            f"lookalike, {'one thread' if threads == 1 else 'two threads'}",
            lambda xq: index.search(xq, 10, nprobe=16, threads=threads),
            many,
            BATCH,
            threads,
        )

    def theirs(threads: int) -> Contestant:
        return bench.contestant("FAISS", peers.faiss_searcher(twin, 10, 16), many, BATCH, threads)

    contestants = [ours(1), ours(2), theirs(1), theirs(2)]
    one, two, faiss_one, faiss_two = take_turns(contestants, bench.scale.search)
    faiss_ratio = faiss_one.median / faiss_two.median
    yield data.row(
        "two-threads", title, BATCH, 2, params={"nlist": index.nlist, "m": index.m, "nprobe": 16, "k": 10},
        **compared(two, one, len(many), None, {"faiss_ratio": faiss_ratio}), note=f"FAISS gains {faiss_ratio:.2f} ×",
    )  # fmt: skip

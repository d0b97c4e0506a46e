"""What the cases share: data, indexes, threads, and how a search is compared with FAISS's."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike._typing import FloatArray, SearchResult
from lookalike.errors import LookalikeWarning
from lookalike.index import IVFPQIndex
from lookalike_bench import peers
from lookalike_bench.machine import Machine, Threads
from lookalike_bench.measure import Contestant, ratio_of, take_turns
from lookalike_bench.metrics import compare_results, merged, recall
from lookalike_bench.results import Row, Side
from lookalike_bench.spec import Scale
from lookalike_bench.workloads import EngineData, Vectors

__all__ = ["BATCH", "ONE_BY_ONE", "Bench", "SearchCase"]

BATCH, ONE_BY_ONE = "batch", "one by one"


@dataclass(frozen=True, slots=True)
class SearchCase:
    """A search of an index to be compared with FAISS on the same codes."""

    case: str
    title: str
    vectors: Vectors
    index: IVFPQIndex
    k: int
    nprobe: int


class Bench:
    """One run of the benchmark.

    Parameters
    ----------
    scale : Scale
    data : EngineData
    machine : Machine
    work : Path
        A folder for files that pass to other processes.
    say : callable
        Takes a line of progress.
    """

    def __init__(
        self, scale: Scale, data: EngineData, machine: Machine, work: Path, say: Callable[[str], None]
    ) -> None:
        self.scale, self.data, self.machine, self.work, self.say = scale, data, machine, work, say
        self.threads = Threads()

    @property
    def thread_counts(self) -> list[int]:
        """One, and all cores."""
        return sorted({1, self.machine.cores})

    @functools.cached_property
    def main_index(self) -> IVFPQIndex:
        """The index of the 128-d vectors."""
        return self.built(self.data.main.base, self.scale.nlist, self.scale.m)

    def built(self, x: FloatArray, nlist: int, m: int) -> IVFPQIndex:
        """An index trained on all of `x`, filled with it."""
        self.say(f"building IVF{nlist},PQ{m} of {len(x):,} × {x.shape[1]}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LookalikeWarning)
            index = IVFPQIndex(nlist=nlist, m=m).train(x).add(x)
        index.compact()
        return index

    def compare_search(self, case: SearchCase, threads: int, mode: str, twin: Any) -> Row:
        """One row: ours and FAISS's search of the same codes in turns."""
        queries = case.vectors.queries
        self.say(f"{case.title}, {mode}, {threads} thread{'s' * (threads > 1)}")

        def ours(xq: FloatArray) -> SearchResult:
            return case.index.search(xq, case.k, nprobe=case.nprobe, threads=threads)

        rivals = [peers.faiss_searcher(twin, case.k, case.nprobe)]
        if mode == ONE_BY_ONE and threads > 1:  # FAISS can share out the lists of one query; it is taken at its faster
            rivals.append(peers.faiss_searcher(twin, case.k, case.nprobe, by_lists=True))
        contestants = [self.contestant("lookalike", ours, queries, mode, threads)]
        contestants += [self.contestant("FAISS IVFPQ", rival, queries, mode, threads) for rival in rivals]
        timings = take_turns(contestants, self.scale.search)
        mine, theirs = timings[0], min(timings[1:], key=lambda timing: timing.median)
        value, low, high = ratio_of(theirs, mine)
        base, exact = case.vectors.base, case.vectors.exact
        found, found_theirs = merged(mine.result), merged(theirs.result)
        sides = [
            Side.of(name, timing, len(queries), recall(result.ids, queries, base, exact, case.k))
            for name, timing, result in (("lookalike", mine, found), ("FAISS IVFPQ", theirs, found_theirs))
        ]
        return Row(
            case=case.case, mode=mode, title=case.title, threads=threads, dataset=case.vectors.name,
            n=len(base), d=base.shape[1], params={"nlist": case.index.nlist, "m": case.index.m, "nprobe": case.nprobe, "k": case.k},
            ours=sides[0], peer=sides[1], value=value, low=low, high=high,
            agreement=compare_results(found, found_theirs, queries, base, case.index.coarse_centroids, case.nprobe),
        )  # fmt: skip

    def contestant(
        self, name: str, search: Callable[[FloatArray], SearchResult], xq: FloatArray, mode: str, threads: int
    ) -> Contestant:
        """`search` of all queries at once, or of one after the other; gives a list of results (`metrics.merged`)."""
        parts = [xq] if mode == BATCH else [xq[i : i + 1] for i in range(len(xq))]

        def run(_: Any) -> list[SearchResult]:
            return [search(part) for part in parts]

        return Contestant(name, run, under=lambda: self.threads.limited(threads))

"""Cases of search: the same codes in FAISS, batch and one by one, one thread and all cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lookalike._typing import FloatArray, SearchResult
from lookalike.errors import InputError
from lookalike_bench import peers
from lookalike_bench.cases.base import BATCH, ONE_BY_ONE, Bench, Case, Way
from lookalike_bench.cases.rows import Row, compared
from lookalike_bench.data import NEIGHBORS
from lookalike_bench.machine import Machine
from lookalike_bench.measure import Timing, take_turns
from lookalike_bench.metrics import compare_results, merged, recall

__all__ = ["Search", "SearchCase", "TwoThreads"]

REPEATED = (
    8  # times that the queries are asked at once of two threads: to start these takes as long as some of a search
)


@dataclass(frozen=True)
class SearchCase(Case):
    """A search of IVF{nlist},PQ{m} for k neighbours in nprobe lists."""

    nlist: int
    m: int
    nprobe: int
    k: int = 10

    def check(self, n: int, d: int) -> None:
        Case.check(self, n, d)
        if self.k > NEIGHBORS:
            raise InputError(
                f"k: expected at most {NEIGHBORS}, which is how far exact neighbours are known, got {self.k}"
            )

    def compared(
        self, bench: Bench, title: str, way: Way, mine: Timing, theirs: Timing, found: SearchResult, peer: SearchResult
    ) -> Row:
        """What both sides found in the same codes, and how fast."""
        base, queries, exact = bench.vectors
        recalls = [{"recall": recall(result.ids, queries, base, exact, self.k)} for result in (found, peer)]
        centroids = bench.shared.index(bench.data, self.nlist, self.m).coarse_centroids
        return bench.row(
            title, way, **compared(mine, theirs, len(queries), *recalls),
            agreement=compare_results(found, peer, queries, base, centroids, self.nprobe),
        )  # fmt: skip


class Search(SearchCase):
    """Ours and FAISS's search of the same codes."""

    modes: ClassVar = (BATCH, ONE_BY_ONE)

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        index = bench.shared.index(bench.data, self.nlist, self.m)
        twin = bench.shared.twin(bench.data, self.nlist, self.m)
        queries = bench.vectors.queries
        title = (
            f"search, {bench.data.n:,} × {bench.data.d}, IVF{self.nlist},PQ{self.m}, nprobe {self.nprobe}, k {self.k}"
        )
        for way in ways:

            def ours(xq: FloatArray, threads: int = way.threads) -> SearchResult:
                return index.search(xq, self.k, nprobe=self.nprobe, threads=threads)

            rivals = [peers.faiss_searcher(twin, self.k, self.nprobe)]
            if (
                way.mode == ONE_BY_ONE and way.threads > 1
            ):  # FAISS can share out the lists of one query: the faster counts
                rivals.append(peers.faiss_searcher(twin, self.k, self.nprobe, by_lists=True))
            contestants = [bench.searcher("lookalike", ours, way, queries)]
            contestants += [bench.searcher("FAISS IVFPQ", rival, way, queries) for rival in rivals]
            mine, *others = take_turns(contestants, bench.budget)
            theirs = min(others, key=lambda timing: timing.median)
            yield self.compared(bench, title, way, mine, theirs, merged(mine.result), merged(theirs.result))


class TwoThreads(SearchCase):
    """Our own batch search on two threads against one; FAISS's, for comparison, in the details."""

    modes: ClassVar = (BATCH,)

    def ways(self, machine: Machine) -> list[Way]:
        return [Way(BATCH, 2)] if machine.cores > 1 else []

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        index = bench.shared.index(bench.data, self.nlist, self.m)
        twin = bench.shared.twin(bench.data, self.nlist, self.m)
        many = np.tile(bench.vectors.queries, (REPEATED, 1))

        def ours(name: str, threads: int) -> Any:
            return bench.searcher(
                f"lookalike, {name}",
                lambda xq: index.search(xq, self.k, nprobe=self.nprobe, threads=threads),
                Way(BATCH, threads),
                many,
            )

        def theirs(threads: int) -> Any:
            return bench.searcher("FAISS", peers.faiss_searcher(twin, self.k, self.nprobe), Way(BATCH, threads), many)

        title = f"two threads against one, nprobe {self.nprobe}, k {self.k}, batch of {len(many):,}"
        for way in ways:
            contestants = [ours("one thread", 1), ours("two threads", 2), theirs(1), theirs(2)]
            one, two, faiss_one, faiss_two = take_turns(contestants, bench.budget)
            gain = faiss_one.median / faiss_two.median
            yield bench.row(
                title,
                way,
                **compared(two, one, len(many), None, {"faiss_ratio": gain}),
                note=f"FAISS gains {gain:.2f} ×",
            )

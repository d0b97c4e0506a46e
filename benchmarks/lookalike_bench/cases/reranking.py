"""The case of re-ranking: each side's fastest setting that reaches the recall asked for.

Both sides cut the space by the same coarse centroids, choose from the same numbers of lists and of candidates, and re-rank with
the same float32 vectors. Ours has 8-bit codes; FAISS has its fast-scan codes of 4 bits, of residuals and not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lookalike._typing import FloatArray, SearchResult
from lookalike.index import Reranked
from lookalike_bench import peers
from lookalike_bench.cases.base import BATCH, ONE_BY_ONE, Bench, Case, Way
from lookalike_bench.cases.rows import Row, compared
from lookalike_bench.measure import Budget, Timing, take_turns
from lookalike_bench.metrics import recall

__all__ = ["Rerank"]

OURS, PEER = "lookalike", "FAISS fast-scan + refine"
K = 10
FINAL = 3  # settings of each side that go from the sweep to the final, where they take turns
SWEEP = Budget(rounds=2, seconds=0.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to search, and the recall it gives."""

    side: str
    params: dict[str, Any]
    search: Callable[[FloatArray, int], SearchResult]  # the second argument is the number of threads
    recall: float

    @property
    def words(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.params.items() if name != "bytes_per_vector")


@dataclass(frozen=True)
class Rerank(Case):
    """The fastest setting of each side, for batches and single queries.

    Attributes
    ----------
    nlist : int
    recall : float
        recall@10 that both sides have to reach.
    m, fast_scan_m : tuple of int
        Sizes of our codes, and of FAISS's.
    nprobes, candidates : tuple of int
        What both sides may choose from.
    """

    nlist: int
    recall: float
    m: tuple[int, ...]
    fast_scan_m: tuple[int, ...]
    nprobes: tuple[int, ...]
    candidates: tuple[int, ...]

    modes: ClassVar = (BATCH, ONE_BY_ONE)

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        settings = {OURS: list(self._ours(bench)), PEER: list(self._theirs(bench))}
        for way in ways:
            yield self._final(bench, settings, way)

    def _final(self, bench: Bench, settings: dict[str, list[Setting]], way: Way) -> Row:
        title = (
            f"re-ranked, recall@{K} ≥ {self.recall:.2f}: against FAISS IVF PQ fast-scan + refine, each at its fastest"
        )
        missing = [side for side, reached in settings.items() if not reached]
        if missing:
            return bench.row(title, way, note=f"no setting of {' and '.join(missing)} reaches the recall")
        finalists = [setting for side in settings for setting in _fastest(bench, settings[side], way)]
        timings = take_turns([_contestant(bench, setting, way) for setting in finalists], bench.budget)
        best: dict[str, tuple[Timing, Setting]] = {}
        for timing, setting in zip(timings, finalists, strict=True):
            if setting.side not in best or timing.median < best[setting.side][0].median:
                best[setting.side] = timing, setting
        (mine, my_setting), (theirs, their_setting) = best[OURS], best[PEER]
        reached = [{"recall": setting.recall, **setting.params} for setting in (my_setting, their_setting)]
        return bench.row(
            title, way, **compared(mine, theirs, len(bench.vectors.queries), *reached),
            note=f"ours: {my_setting.words}; FAISS: {their_setting.words}; of {len(settings[PEER])} settings that reach it",
        )  # fmt: skip

    def _ours(self, bench: Bench) -> Iterator[Setting]:
        """For each m and nprobe, the fewest candidates that reach the recall."""
        base = bench.vectors.base
        for m in self.m:
            index = bench.shared.index(bench.data, self.nlist, m)
            fine = Reranked(index, base)
            weight = round(index.stats()["bytes_per_vector"] + base.itemsize * base.shape[1], 1)

            def searcher(nprobe: int, candidates: int, fine: Reranked = fine) -> Callable[..., SearchResult]:
                return lambda xq, threads: fine.search(xq, K, nprobe=nprobe, candidates=candidates, threads=threads)

            yield from self._reaching(bench, OURS, {"code": f"PQ{m}", "bytes_per_vector": weight}, searcher)

    def _theirs(self, bench: Bench) -> Iterator[Setting]:
        """The same for FAISS's fast-scan codes."""
        base = bench.vectors.base
        centroids = bench.shared.index(bench.data, self.nlist, self.m[0]).coarse_centroids
        for m in self.fast_scan_m:
            for by_residual in (False, True):
                code = f"PQ{m}x4fs{'r' * by_residual}"
                bench.say(f"  building FAISS IVF{self.nlist},{code},RFlat")
                refined = peers.faiss_fast_scan(centroids, m, by_residual, base, base)
                weight = m / 2 + 8 + base.itemsize * base.shape[1]

                def searcher(nprobe: int, candidates: int, refined: Any = refined) -> Callable[..., SearchResult]:
                    search = peers.faiss_refiner(refined, K, nprobe, candidates / K)
                    return lambda xq, _: search(xq)

                yield from self._reaching(bench, PEER, {"code": code, "bytes_per_vector": weight}, searcher)

    def _reaching(
        self,
        bench: Bench,
        side: str,
        params: dict[str, Any],
        searcher: Callable[[int, int], Callable[..., SearchResult]],
    ) -> Iterator[Setting]:
        base, queries, exact = bench.vectors
        for nprobe in self.nprobes:
            for candidates in self.candidates:
                search = searcher(nprobe, candidates)
                reached = recall(search(queries, bench.machine.cores).ids, queries, base, exact, K)
                if reached >= self.recall:
                    yield Setting(side, params | {"nprobe": nprobe, "candidates": candidates}, search, reached)
                    break


def _fastest(bench: Bench, settings: list[Setting], way: Way) -> list[Setting]:
    timings = take_turns([_contestant(bench, setting, way) for setting in settings], SWEEP)
    order = sorted(range(len(settings)), key=lambda i: min(timings[i].wall))
    return [settings[i] for i in order[:FINAL]]


def _contestant(bench: Bench, setting: Setting, way: Way) -> Any:
    return bench.searcher(setting.side, lambda xq: setting.search(xq, way.threads), way, bench.vectors.queries)

"""The cases of re-ranking: each side's fastest setting that reaches the recall asked for.

Both sides cut the space by the same coarse centroids, and choose from the same numbers of lists and of candidates. Settings are
chosen on every other query, and what is reported is measured on the rest. FAISS has its fast-scan codes of 4 bits, of residuals and
not. Ours has product codes of 8 bits and re-ranks with float32 vectors, as FAISS does (`Rerank`), or sign codes and rows of its own,
and FAISS has several refinements (`Signs`).
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lookalike._typing import FloatArray, SearchResult
from lookalike.errors import InputError
from lookalike.index import IVFSignsIndex, Reranked
from lookalike.index.codecs.signs import ROWS
from lookalike_bench import peers
from lookalike_bench.adapters.base import check_lists
from lookalike_bench.cases.base import BATCH, ONE_BY_ONE, Bench, Case, Way
from lookalike_bench.cases.rows import Row, compared
from lookalike_bench.measure import Budget, Timing, take_turns
from lookalike_bench.metrics import merged, recall

__all__ = ["Rerank", "Signs"]

OURS, PEER = "lookalike", "FAISS fast-scan + refine"
K = 10
FINAL = 3  # settings of each side that go from the sweep to the final, where they take turns
SWEEP = Budget(rounds=2, seconds=0.0)
CHOSEN, MEASURED = slice(0, None, 2), slice(1, None, 2)  # queries


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


@dataclass(frozen=True, kw_only=True)
class FastestAtRecall(Case):
    """The fastest setting of each side, for batches and single queries.

    Attributes
    ----------
    nlist : int
    recall : float
        recall@10 that both sides have to reach.
    fast_scan_m : tuple of int
        Sizes of FAISS's codes.
    nprobes, candidates : tuple of int
        What both sides may choose from.
    """

    nlist: int
    recall: float
    fast_scan_m: tuple[int, ...]
    nprobes: tuple[int, ...]
    candidates: tuple[int, ...]

    modes: ClassVar = (BATCH, ONE_BY_ONE)
    what: ClassVar[str]
    m_of_centroids: ClassVar[int] = 16  # the index whose centroids FAISS gets

    @abstractmethod
    def _ours(self, bench: Bench) -> Iterator[Setting]:
        """Our settings that reach the recall, each with the fewest candidates."""

    @abstractmethod
    def _refinements(self) -> tuple[str, ...]:
        """FAISS's names of how vectors are kept."""

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        settings = {OURS: list(self._ours(bench)), PEER: list(self._theirs(bench))}
        for way in ways:
            yield self._final(bench, settings, way)

    def _final(self, bench: Bench, settings: dict[str, list[Setting]], way: Way) -> Row:
        title = (
            f"{self.what}, recall@{K} ≥ {self.recall:.2f}: against FAISS IVF PQ fast-scan + refine, each at its fastest"
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
        queries, exact = _half(bench, MEASURED)
        reached = [
            {"recall": recall(merged(timing.result).ids, queries, bench.vectors.base, exact, K), **setting.params}
            for timing, setting in (best[OURS], best[PEER])
        ]
        return bench.row(
            title, way, **compared(mine, theirs, len(queries), *reached),
            note=f"ours: {my_setting.words}; FAISS: {their_setting.words}; of {len(settings[PEER])} settings that reach it",
        )  # fmt: skip

    def _theirs(self, bench: Bench) -> Iterator[Setting]:
        """The same for FAISS's fast-scan codes."""
        base = bench.vectors.base
        centroids = bench.shared.index(bench.data, self.nlist, self.m_of_centroids).coarse_centroids
        kinds = itertools.product(self.fast_scan_m, (False, True), self._refinements())
        for m, by_residual, refinement in kinds:
            code = f"PQ{m}x4fs{'r' * by_residual},Refine({refinement})"
            bench.say(f"  building FAISS IVF{self.nlist},{code}")
            refined = peers.faiss_fast_scan(centroids, m, by_residual, base, base, refinement)
            weight = m / 2 + 8 + peers.ROW_BYTES[refinement] * base.shape[1]

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
        base = bench.vectors.base
        queries, exact = _half(bench, CHOSEN)
        for nprobe in self.nprobes:
            for candidates in self.candidates:
                search = searcher(nprobe, candidates)
                reached = recall(search(queries, bench.machine.cores).ids, queries, base, exact, K)
                if reached >= self.recall:
                    yield Setting(side, params | {"nprobe": nprobe, "candidates": candidates}, search, reached)
                    break


@dataclass(frozen=True, kw_only=True)
class Rerank(FastestAtRecall):
    """Product codes, re-ranked by float32 vectors as in FAISS.

    Attributes
    ----------
    m : tuple of int
        Sizes of our codes.
    """

    m: tuple[int, ...]

    what: ClassVar = "re-ranked"

    def _refinements(self) -> tuple[str, ...]:
        return ("Flat",)

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


@dataclass(frozen=True, kw_only=True)
class Signs(FastestAtRecall):
    """Sign codes and rows; FAISS may refine with vectors or with a byte of each dimension.

    Attributes
    ----------
    kept : tuple of str
        How we keep rows.
    refinements : tuple of str
        How FAISS does.
    """

    kept: tuple[str, ...]
    refinements: tuple[str, ...]

    what: ClassVar = "sign codes"

    def check(self, n: int, d: int) -> None:
        unknown = [*(set(self.kept) - set(ROWS)), *(set(self.refinements) - set(peers.ROW_BYTES))]
        if unknown:
            raise InputError(
                f"kept, refinements: expected some of {', '.join((*ROWS, *peers.ROW_BYTES))}, got {unknown[0]!r}"
            )
        check_lists({"nlist": self.nlist}, n)

    def _refinements(self) -> tuple[str, ...]:
        return self.refinements

    def _ours(self, bench: Bench) -> Iterator[Setting]:
        base = bench.vectors.base
        for rows in self.kept:
            bench.say(f"  building IVF{self.nlist} of sign codes, rows {rows}")
            index = IVFSignsIndex(self.nlist, rows=rows).train(base).add(base)
            index.compact()
            weight = round(index.stats()["bytes_per_vector"], 1)

            def searcher(nprobe: int, candidates: int, index: Any = index) -> Callable[..., SearchResult]:
                return lambda xq, threads: index.search(xq, K, nprobe=nprobe, candidates=candidates, threads=threads)

            yield from self._reaching(bench, OURS, {"code": f"signs,{rows}", "bytes_per_vector": weight}, searcher)


def _half(bench: Bench, which: slice) -> tuple[FloatArray, FloatArray]:
    """Every other query, with its exact neighbours."""
    _, queries, exact = bench.vectors
    return queries[which], exact[which]


def _fastest(bench: Bench, settings: list[Setting], way: Way) -> list[Setting]:
    timings = take_turns([_contestant(bench, setting, way) for setting in settings], SWEEP)
    order = sorted(range(len(settings)), key=lambda i: min(timings[i].wall))
    return [settings[i] for i in order[:FINAL]]


def _contestant(bench: Bench, setting: Setting, way: Way) -> Any:
    return bench.searcher(setting.side, lambda xq: setting.search(xq, way.threads), way, _half(bench, MEASURED)[0])

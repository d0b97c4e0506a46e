"""The case of re-ranking: each side's fastest setting that reaches the recall asked for.

Both sides cut the space by the same coarse centroids, choose from the same numbers of lists and of candidates, and re-rank with
the same float32 vectors. Ours has 8-bit codes; FAISS has its fast-scan codes of 4 bits, of residuals and not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lookalike._typing import FloatArray, SearchResult
from lookalike.index import Reranked
from lookalike_bench import peers
from lookalike_bench.engine.bench import BATCH, ONE_BY_ONE, Bench
from lookalike_bench.engine.rows import Row, compared
from lookalike_bench.measure import Budget, Timing, take_turns
from lookalike_bench.metrics import recall

__all__ = ["rerank"]

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


def rerank(bench: Bench) -> Iterator[Row]:
    """The fastest setting of each side, for batches and single queries, on one thread and on all cores."""
    settings = {OURS: list(_ours(bench)), PEER: list(_theirs(bench))}
    for threads in bench.thread_counts:
        for mode in (BATCH, ONE_BY_ONE):
            yield _final(bench, settings, threads, mode)


def _final(bench: Bench, settings: dict[str, list[Setting]], threads: int, mode: str) -> Row:
    scale, data = bench.scale, bench.data.main
    title = f"re-ranked, recall@10 ≥ {scale.refine_recall:.2f}: against FAISS IVF PQ fast-scan + refine, each at its fastest"
    row = functools.partial(data.row, "rerank", title, mode, threads, params={"k": K, "recall": scale.refine_recall})
    missing = [side for side, reached in settings.items() if not reached]
    if missing:
        return row(note=f"no setting of {' and '.join(missing)} reaches the recall")
    bench.say(f"re-ranked, {mode}, {threads} thread{'s' * (threads > 1)}")
    finalists = [pair for side in settings for pair in _fastest(bench, settings[side], threads, mode)]
    timings = take_turns([_contestant(bench, setting, threads, mode) for setting in finalists], scale.search)
    best: dict[str, tuple[Timing, Setting]] = {}
    for timing, setting in zip(timings, finalists, strict=True):
        if setting.side not in best or timing.median < best[setting.side][0].median:
            best[setting.side] = timing, setting
    (mine, my_setting), (theirs, their_setting) = best[OURS], best[PEER]
    reached = [{"recall": setting.recall, **setting.params} for setting in (my_setting, their_setting)]
    return row(
        **compared(mine, theirs, len(data.queries), *reached),
        note=f"ours: {_words(my_setting)}; FAISS: {_words(their_setting)}; of {len(settings[PEER])} settings that reach it",
    )  # fmt: skip


def _fastest(bench: Bench, settings: list[Setting], threads: int, mode: str) -> list[Setting]:
    timings = take_turns([_contestant(bench, setting, threads, mode) for setting in settings], SWEEP)
    order = sorted(range(len(settings)), key=lambda i: min(timings[i].wall))
    return [settings[i] for i in order[:FINAL]]


def _contestant(bench: Bench, setting: Setting, threads: int, mode: str) -> Any:
    return bench.contestant(
        setting.side, lambda xq: setting.search(xq, threads), bench.data.main.queries, mode, threads
    )


def _words(setting: Setting) -> str:
    return ", ".join(f"{name} {value}" for name, value in setting.params.items() if name != "bytes_per_vector")


def _ours(bench: Bench) -> Iterator[Setting]:
    """For each m and nprobe, the fewest candidates that reach the recall."""
    scale, base = bench.scale, bench.data.main.base
    for m in scale.refine_m:
        index = bench.main_index if m == bench.main_index.m else bench.built(base, scale.nlist, m)
        fine = Reranked(index, base)
        weight = round(index.stats()["bytes_per_vector"] + base.itemsize * base.shape[1], 1)

        def searcher(nprobe: int, candidates: int, fine: Reranked = fine) -> Callable[..., SearchResult]:
            return lambda xq, threads: fine.search(xq, K, nprobe=nprobe, candidates=candidates, threads=threads)

        yield from _reaching(bench, OURS, {"code": f"PQ{m}", "bytes_per_vector": weight}, searcher)


def _theirs(bench: Bench) -> Iterator[Setting]:
    """The same for FAISS's fast-scan codes."""
    scale, base = bench.scale, bench.data.main.base
    centroids = bench.main_index.coarse_centroids
    for m in scale.refine_fast_scan_m:
        for by_residual in (False, True):
            code = f"PQ{m}x4fs{'r' * by_residual}"
            bench.say(f"building FAISS IVF{scale.nlist},{code},RFlat")
            refined = peers.faiss_fast_scan(centroids, m, by_residual, base, base)
            weight = m / 2 + 8 + base.itemsize * base.shape[1]

            def searcher(nprobe: int, candidates: int, refined: Any = refined) -> Callable[..., SearchResult]:
                search = peers.faiss_refiner(refined, K, nprobe, candidates / K)
                return lambda xq, _: search(xq)

            yield from _reaching(bench, PEER, {"code": code, "bytes_per_vector": weight}, searcher)


def _reaching(
    bench: Bench, side: str, params: dict[str, Any], searcher: Callable[[int, int], Callable[..., SearchResult]]
) -> Iterator[Setting]:
    data, scale = bench.data.main, bench.scale
    for nprobe in scale.refine_nprobes:
        for candidates in scale.refine_candidates:
            search = searcher(nprobe, candidates)
            reached = recall(search(data.queries, bench.machine.cores).ids, data.queries, data.base, data.exact, K)
            if reached >= scale.refine_recall:
                yield Setting(side, params | {"nprobe": nprobe, "candidates": candidates}, search, reached)
                break

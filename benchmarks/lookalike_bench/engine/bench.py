"""What the cases share: data, indexes, threads, and how a search is compared with FAISS's."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lookalike._typing import FloatArray, SearchResult
from lookalike.errors import DatasetError, LookalikeWarning
from lookalike.index import IVFPQIndex
from lookalike_bench import peers
from lookalike_bench.data import prepare
from lookalike_bench.engine.rows import Row, compared
from lookalike_bench.engine.scale import Scale
from lookalike_bench.experiments.spec import DataSpec
from lookalike_bench.machine import Machine, Threads
from lookalike_bench.measure import Contestant, Timing, take_turns
from lookalike_bench.metrics import compare_results, merged, recall

__all__ = ["BATCH", "ONE_BY_ONE", "Bench", "EngineData", "SearchCase", "Vectors", "engine_data"]

BATCH, ONE_BY_ONE = "batch", "one by one"


class Vectors(NamedTuple):
    """Base vectors and queries, with the exact neighbours' squared distances, ascending."""

    name: str  # what they are, for the report
    base: FloatArray
    queries: FloatArray
    exact: FloatArray

    def row(self, case: str, title: str, mode: str = "", threads: int = 1, **more: Any) -> Row:
        """A row about them; `more` are fields of `Row`."""
        about = {"n": len(self.base), "d": self.base.shape[1], "params": {}}
        return Row(case, mode, title, threads, self.name, **about | more)


class EngineData(NamedTuple):
    """All vectors of a run."""

    main: Vectors  # 128-d
    wide: Vectors  # 2048-d
    features: Vectors  # 1280-d
    short: FloatArray  # the wide set's base reduced to 128-d


def engine_data(scale: Scale, folders: Sequence[Path], keep: Path, say: Callable[[str], None]) -> EngineData:
    """Make what a run needs of the pictures in the folders, or read it from `keep`.

    Raises
    ------
    DatasetError
        If the pictures do not suffice.
    """
    made_up: Any = {"kind": "synthetic", "d": 128} if scale.synthetic else {"kind": "sift"}
    cropped: Any = {"rows": (scale.wide_rows,), "queries": scale.wide_queries}
    specs = (
        DataSpec("main", rows=(scale.vectors,), queries=scale.queries, **made_up),
        DataSpec("wide", "upstream", d=scale.wide_d, **cropped),
        DataSpec("features", "features", crops=True, **cropped),
    )
    made = [prepare(spec, keep, folders, say)[0] for spec in specs]
    main, wide, features = (Vectors(f"{data.n:,} {data.about}", *data.load()) for data in made)
    if len(main.base) < scale.nlist:
        raise DatasetError(f"expected at least {scale.nlist} vectors, the pictures gave {len(main.base)}; give more")
    # Largest variance first: these dimensions are PCA to so many.
    return EngineData(main, wide, features, np.ascontiguousarray(wide.base[:, : scale.short_d]))


@dataclass(frozen=True, slots=True)
class SearchCase:
    """A search of an index to be compared with FAISS on the same codes."""

    case: str
    title: str
    vectors: Vectors
    index: IVFPQIndex
    k: int
    nprobe: int

    def row(
        self, mode: str, threads: int, mine: Timing, theirs: Timing, found: SearchResult, peer: SearchResult
    ) -> Row:
        """What both gave, and how fast."""
        queries, base, exact = self.vectors.queries, self.vectors.base, self.vectors.exact
        recalls = [{"recall": recall(result.ids, queries, base, exact, self.k)} for result in (found, peer)]
        return self.vectors.row(
            self.case, self.title, mode, threads, **compared(mine, theirs, len(queries), *recalls),
            params={"nlist": self.index.nlist, "m": self.index.m, "nprobe": self.nprobe, "k": self.k},
            agreement=compare_results(found, peer, queries, base, self.index.coarse_centroids, self.nprobe),
        )  # fmt: skip


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
        return case.row(mode, threads, mine, theirs, merged(mine.result), merged(theirs.result))

    def contestant(
        self, name: str, search: Callable[[FloatArray], SearchResult], xq: FloatArray, mode: str, threads: int
    ) -> Contestant:
        """`search` of all queries at once, or of one after the other; gives a list of results (`metrics.merged`)."""
        parts = [xq] if mode == BATCH else [xq[i : i + 1] for i in range(len(xq))]

        def run(_: Any) -> list[SearchResult]:
            return [search(part) for part in parts]

        return Contestant(name, run, under=lambda: self.threads.limited(threads))

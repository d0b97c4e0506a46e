"""Cases of whole vectors: FlatIndex and IVFFlatIndex beside FAISS's, in the same lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lookalike._typing import FloatArray, SearchResult
from lookalike.index import FlatIndex, IVFFlatIndex
from lookalike_bench import peers
from lookalike_bench.cases.base import BATCH, ONE_BY_ONE, Bench, Case, Way
from lookalike_bench.cases.rows import Row, compared
from lookalike_bench.measure import take_turns
from lookalike_bench.metrics import compare_results, merged, recall

__all__ = ["Flat", "IVFFlat"]

FEW = 50  # queries of an exact search, each of which reads everything


@dataclass(frozen=True)
class Flat(Case):
    """Exact search for k neighbours."""

    k: int = 10

    modes: ClassVar = (BATCH, ONE_BY_ONE)

    @property
    def visited(self) -> int:
        """Lists that a query visits; 1 where there are none."""
        return 1

    def title(self, bench: Bench) -> str:
        return f"exact search, {bench.data.n:,} × {bench.data.d}, k {self.k}"

    def pair(self, bench: Bench) -> tuple[Any, Any, FloatArray]:
        """Ours, FAISS's, and the centroids of the lists."""
        base = bench.vectors.base
        return FlatIndex().add(base), peers.faiss_flat(base), np.zeros((1, base.shape[1]), np.float32)

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        base, queries, exact = bench.vectors
        index, twin, centroids = self.pair(bench)
        for way in ways:
            count = len(queries) if way.mode == BATCH or self.visited > 1 else FEW
            asked = queries[:count]

            def ours(xq: FloatArray, threads: int = way.threads) -> SearchResult:
                found: SearchResult = index.search(xq, self.k, nprobe=self.visited, threads=threads)
                return found

            rival = peers.faiss_searcher(twin, self.k, self.visited)
            contestants = [
                bench.searcher("lookalike", ours, way, asked),
                bench.searcher(f"FAISS {type(twin).__name__}", rival, way, asked),
            ]
            mine, theirs = take_turns(contestants, bench.budget)
            results = merged(mine.result), merged(theirs.result)
            recalls = [{"recall": recall(found.ids, asked, base, exact[:count], self.k)} for found in results]
            yield bench.row(
                self.title(bench), way, **compared(mine, theirs, count, *recalls),
                agreement=compare_results(*results, asked, base, centroids, self.visited),
            )  # fmt: skip


@dataclass(frozen=True)
class IVFFlat(Flat):
    """Search of inverted lists of vectors."""

    nlist: int = 1024
    nprobe: int = 16

    @property
    def visited(self) -> int:
        return self.nprobe

    def title(self, bench: Bench) -> str:
        return f"search, {bench.data.n:,} × {bench.data.d}, IVF{self.nlist},Flat, nprobe {self.nprobe}, k {self.k}"

    def pair(self, bench: Bench) -> tuple[Any, Any, FloatArray]:
        base = bench.vectors.base
        index = IVFFlatIndex(self.nlist).train(base).add(base)
        index.compact()
        return index, peers.faiss_ivfflat(index.coarse_centroids, base), index.coarse_centroids

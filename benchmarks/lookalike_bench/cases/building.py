"""Cases of building: k-means, training with adding, and adding alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lookalike._typing import FloatArray
from lookalike.index import IVFPQIndex
from lookalike.quantizers.kmeans import assign, kmeans_native
from lookalike_bench import peers
from lookalike_bench.cases.base import Bench, Case, Way, built
from lookalike_bench.cases.rows import Row, compared
from lookalike_bench.machine import Machine
from lookalike_bench.measure import Contestant, take_turns

__all__ = ["Add", "Kmeans", "TrainAdd"]

SLACK = 1.005  # how much larger the error of our k-means may be than that of FAISS's
TRAINING_SLACK = 1.02  # and of a whole index, where two dozen k-means of few points leave more to chance


@dataclass(frozen=True)
class Kmeans(Case):
    """Lloyd's algorithm on the first `points` vectors, all of them used, the same number of iterations."""

    points: int
    k: int
    iterations: int

    modes: ClassVar = ("plain", "amx")  # by what the processor has: more is asked of one that multiplies matrices

    def ways(self, machine: Machine) -> list[Way]:
        return [Way("amx" if machine.has_amx else "plain", threads) for threads in sorted({1, machine.cores})]

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        x = np.ascontiguousarray(bench.vectors.base[: self.points])
        for way in ways:
            mine, theirs = take_turns(
                [
                    bench.rival(
                        "lookalike", way.threads, lambda _: kmeans_native(x, self.k, 0, iterations=self.iterations)
                    ),
                    bench.rival(
                        "FAISS Kmeans", way.threads, lambda _: peers.faiss_kmeans(x, self.k, self.iterations, 0)
                    ),
                ],
                bench.budget,
            )
            errors = [float(assign(x, timing.result)[1].mean(dtype=np.float64)) for timing in (mine, theirs)]
            yield bench.row(
                f"k-means, {len(x):,} × {x.shape[1]} → {self.k}, {self.iterations} iterations", way, n=len(x),
                **compared(mine, theirs, 1, {"error": errors[0]}, {"error": errors[1]}),
                is_valid=errors[0] <= SLACK * errors[1], note=_errors(*errors),
            )  # fmt: skip


@dataclass(frozen=True)
class TrainAdd(Case):
    """An index from nothing, by each library's own defaults; then ours with other k-means."""

    nlist: int
    m: int

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        x = bench.vectors.base
        methods = ("native", "faiss", "sklearn")

        def ours(kmeans: str, threads: int) -> Contestant:
            return bench.rival("lookalike", threads, lambda _: built(x, self.nlist, self.m, kmeans))

        for way in ways:
            rivals = [ours(method, way.threads) for method in methods]
            rivals.append(bench.rival("FAISS", way.threads, lambda _: self._faiss_built(x)))
            *mine, theirs = take_turns(rivals, bench.budget)
            errors = [_reconstruction_error(x, timing.result.reconstruct(np.arange(len(x)))) for timing in mine]
            theirs.result.make_direct_map()
            errors.append(_reconstruction_error(x, theirs.result.reconstruct_n(0, len(x))))
            others = {name: timing.median for name, timing in zip(methods, mine, strict=True)}
            seconds = ", ".join(f"{name} {median:.2g} s" for name, median in others.items())
            yield bench.row(
                f"train + add, {len(x):,} × {x.shape[1]}, IVF{self.nlist},PQ{self.m}", way,
                **compared(mine[0], theirs, 1, {"error": errors[0], "by_kmeans": others}, {"error": errors[-1]}),
                is_valid=errors[0] <= TRAINING_SLACK * errors[-1], note=f"{_errors(errors[0], errors[-1])}; by k-means: {seconds}",
            )  # fmt: skip

    def _faiss_built(self, x: FloatArray) -> Any:
        index = peers.faiss_ivfpq(x.shape[1], self.nlist, self.m)
        index.train(x)
        index.add(x)
        return index


@dataclass(frozen=True)
class Add(Case):
    """Adding the first `points` vectors to an empty index that has its centroids; both store the same codes."""

    points: int
    nlist: int
    m: int

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        index = bench.shared.index(bench.data, self.nlist, self.m)
        x = bench.vectors.base[: self.points]
        twin = peers.empty_twin(index)

        def filled_twin(_: Any) -> Any:
            twin.reset()
            twin.add(x)
            return twin

        for way in ways:
            mine, theirs = take_turns(
                [
                    bench.rival("lookalike", way.threads, lambda empty: empty.add(x), lambda: _empty(index)),
                    bench.rival("FAISS IVFPQ", way.threads, filled_twin),
                ],
                bench.budget,
            )
            other_lists, other_codes = _code_differences(mine.result, theirs.result)
            yield bench.row(
                f"add {len(x):,} × {x.shape[1]}, IVF{self.nlist},PQ{self.m}", way, n=len(x), **compared(mine, theirs),
                note=f"{other_lists} vectors in another list than FAISS's, {other_codes} with another code, of {len(x):,}",
                is_valid=other_lists + other_codes <= len(x) // 1000,
            )  # fmt: skip


def _empty(index: IVFPQIndex) -> IVFPQIndex:
    return IVFPQIndex(nlist=index.nlist, m=index.m).set_centroids(index.coarse_centroids, index.pq_centroids)


def _reconstruction_error(x: FloatArray, decoded: FloatArray) -> float:
    return float(np.square(x - decoded, dtype=np.float64).sum(axis=1).mean())


def _errors(ours: float, theirs: float) -> str:
    return f"error {ours:.4g} against {theirs:.4g} ({100 * (ours / theirs - 1):+.2f} %)"


def _code_differences(index: IVFPQIndex, twin: Any) -> tuple[int, int]:
    """How many vectors are in another list, and how many in the same list with another code. Ids are 0..n-1 on both sides."""
    order = np.argsort(index.ids)
    list_no = np.repeat(np.arange(index.nlist), index.list_sizes)[order]
    their_list, their_codes = peers.codes_by_id(twin)
    same_list = list_no == their_list
    same_code = (index.codes[order] == their_codes).all(axis=1)
    return int((~same_list).sum()), int((same_list & ~same_code).sum())

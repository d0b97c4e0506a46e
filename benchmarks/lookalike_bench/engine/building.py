"""Cases of building: k-means, training with adding, and adding alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from lookalike._typing import FloatArray
from lookalike.errors import LookalikeWarning
from lookalike.index import IVFPQIndex
from lookalike.quantizers.kmeans import assign, kmeans_native
from lookalike_bench import peers
from lookalike_bench.engine.bench import Bench
from lookalike_bench.engine.rows import Row, compared
from lookalike_bench.measure import Contestant, take_turns

__all__ = ["add", "kmeans", "train_add"]

SLACK = 1.005  # how much larger the error of our k-means may be than that of FAISS's
TRAINING_SLACK = 1.02  # and of a whole index, where two dozen k-means of few points leave more to chance
UPSTREAM_LIST, UPSTREAM_M = 100, 8


def kmeans(bench: Bench) -> Iterator[Row]:
    """Lloyd's algorithm on all points, the same number of iterations."""
    scale = bench.scale
    x = np.ascontiguousarray(bench.data.main.base[: scale.kmeans_points])
    k, iterations = scale.kmeans_k, scale.kmeans_iterations
    for threads in bench.thread_counts:
        bench.say(f"k-means, {len(x):,} × {x.shape[1]} to {k}, {threads} thread{'s' * (threads > 1)}")
        mine, theirs = take_turns(
            [
                _contestant(bench, "lookalike", threads, lambda _: kmeans_native(x, k, 0, iterations=iterations)),
                _contestant(bench, "FAISS Kmeans", threads, lambda _: peers.faiss_kmeans(x, k, iterations, 0)),
            ],
            scale.slow,
        )
        errors = [float(assign(x, timing.result)[1].mean(dtype=np.float64)) for timing in (mine, theirs)]
        yield bench.data.main.row(
            "kmeans", f"k-means, {len(x):,} × {x.shape[1]} → {k}, {iterations} iterations",
            "amx" if bench.machine.has_amx else "plain", threads, n=len(x), params={"k": k, "iterations": iterations},
            **compared(mine, theirs, 1, {"error": errors[0]}, {"error": errors[1]}), is_valid=errors[0] <= SLACK * errors[1], note=_errors(*errors),
        )  # fmt: skip


def train_add(bench: Bench) -> Iterator[Row]:
    """The upstream experiment's index from nothing, by each library's own defaults; then ours with other k-means."""
    x = bench.data.short
    nlist = min(UPSTREAM_LIST, bench.scale.wide_nlist)
    for threads in bench.thread_counts:
        bench.say(f"train + add, {threads} thread{'s' * (threads > 1)}")
        methods = ("native", "faiss", "sklearn")
        timings = take_turns(
            [_contestant(bench, "lookalike", threads, _builder(x, nlist, name)) for name in methods]
            + [_contestant(bench, "FAISS", threads, lambda _: _faiss_built(x, nlist))],
            bench.scale.slow,
        )
        *ours, theirs = timings
        errors = [_reconstruction_error(x, timing.result.reconstruct(np.arange(len(x)))) for timing in ours]
        theirs.result.make_direct_map()
        errors.append(_reconstruction_error(x, theirs.result.reconstruct_n(0, len(x))))
        others = {name: timing.median for name, timing in zip(methods, ours, strict=True)}
        seconds = ", ".join(f"{name} {median:.2g} s" for name, median in others.items())
        yield bench.data.wide.row(
            "train-add", f"train + add, {len(x)} × {x.shape[1]}, IVF{nlist},PQ{UPSTREAM_M}", "", threads,
            d=x.shape[1], params={"nlist": nlist, "m": UPSTREAM_M},
            **compared(ours[0], theirs, 1, {"error": errors[0], "by_kmeans": others}, {"error": errors[-1]}),
            is_valid=errors[0] <= TRAINING_SLACK * errors[-1], note=f"{_errors(errors[0], errors[-1])}; by k-means: {seconds}",
        )  # fmt: skip


def add(bench: Bench) -> Iterator[Row]:
    """Adding to an empty index that has its centroids; both store the same codes."""
    index = bench.main_index
    x = bench.data.main.base[: bench.scale.add_points]
    twin = peers.empty_twin(index)

    def filled_twin(_: Any) -> Any:
        twin.reset()
        twin.add(x)
        return twin

    for threads in bench.thread_counts:
        bench.say(f"add {len(x):,} vectors, {threads} thread{'s' * (threads > 1)}")
        mine, theirs = take_turns(
            [
                _contestant(bench, "lookalike", threads, lambda empty: empty.add(x), lambda: _empty(index)),
                _contestant(bench, "FAISS IVFPQ", threads, filled_twin),
            ],
            bench.scale.slow,
        )
        other_lists, other_codes = _code_differences(mine.result, theirs.result)
        yield bench.data.main.row(
            "add", f"add {len(x):,} × {x.shape[1]}, IVF{index.nlist},PQ{index.m}", "", threads, n=len(x),
            params={"nlist": index.nlist, "m": index.m}, **compared(mine, theirs),
            note=f"{other_lists} vectors in another list than FAISS's, {other_codes} with another code, of {len(x):,}",
            is_valid=other_lists + other_codes <= len(x) // 1000,
        )  # fmt: skip


def _contestant(bench: Bench, name: str, threads: int, run: Any, prepare: Any = lambda: None) -> Contestant:
    return Contestant(name, run, prepare, lambda: bench.threads.limited(threads))


def _builder(x: FloatArray, nlist: int, kmeans_name: str) -> Any:
    def build(_: Any) -> IVFPQIndex:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LookalikeWarning)
            return IVFPQIndex(nlist=nlist, m=UPSTREAM_M, kmeans=kmeans_name).train(x).add(x)

    return build


def _faiss_built(x: FloatArray, nlist: int) -> Any:
    index = peers.faiss_ivfpq(x.shape[1], nlist, UPSTREAM_M)
    index.train(x)
    index.add(x)
    return index


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

"""What a run's process does: build, search, compare with the exact answer."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike_bench.adapters.base import Adapter

__all__ = ["build", "searches"]

_SINGLES = 1000  # queries one by one, at the most
_LEAST = 10  # queries, however slow a peer is
_MOST_ROUNDS = 9
_PATIENCE = 10  # rounds that a batch of all queries may take, going by a few of them
_DECODED = 1000  # vectors whose quantization error is measured
_SEED = 0


def build(adapter: Adapter, base: FloatArray, folder: Path, peak: Callable[[], float]) -> dict[str, Any]:
    """Build the index, and measure time, memory, size and quantization error."""
    before = peak()
    cpu, wall = time.process_time(), time.perf_counter()
    adapter.build(base)
    taken = {"build_s": time.perf_counter() - wall, "build_cpu_s": time.process_time() - cpu}
    high = peak()
    size = adapter.size(folder)
    return taken | {
        "peak_mb": round(max(high - before, 0) / 1e6, 1),
        "bytes": size.bytes,
        "bytes_from": size.source,
        "bytes_per_vector": round(size.bytes / len(base), 2),
        "quantization_error": _quantization_error(adapter, base),
    }


def _quantization_error(adapter: Adapter, base: FloatArray) -> float | None:
    """Mean squared error of decoded vectors, as a share of the variance."""
    rows = np.sort(np.random.default_rng(_SEED).permutation(len(base))[:_DECODED])
    decoded = adapter.decoded(rows)
    if decoded is None:
        return None
    error = np.square(base[rows] - decoded, dtype=np.float64).sum(axis=1).mean()
    spread = float(np.square(base[rows] - base.mean(axis=0), dtype=np.float64).sum(axis=1).mean())
    return float(error) / spread if spread else None


def searches(
    adapter: Adapter, queries: FloatArray, k: int, repeats: int, round_s: float
) -> tuple[dict[str, Any], Array]:
    """Time a batch and single queries; gives the figures and the ids found of the first queries.

    All queries are asked at once, as some libraries are several times as fast with many (FAISS's Flat, by
    matrix products). Only where that could take more than `_PATIENCE` rounds, so few are asked that a round takes about `round_s`.
    """
    adapter.search(queries[:1], k)  # warm-up: caches, threads
    asked = np.ascontiguousarray(queries[: _batch_size(adapter, queries, k, round_s)])
    walls: list[float] = []
    cpus: list[float] = []
    ids: Array = np.empty((0, k), np.int64)
    started = time.perf_counter()
    while len(walls) < repeats or (len(walls) < _MOST_ROUNDS and time.perf_counter() - started < round_s / 2):
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        ids = adapter.search(asked, k)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    singles = _one_by_one(adapter, queries, k, round_s)
    batch = statistics.median(walls)
    low, high, highest = np.percentile(singles, [50, 95, 99])
    return {
        "queries": len(asked),
        "batch_s": [round(wall, 7) for wall in walls],
        "qps": round(len(asked) / batch, 2),
        "cpu_us": round(1e6 * statistics.median(cpus) / len(asked), 3),
        "singles": len(singles),
        "p50_ms": round(1e3 * float(low), 5),
        "p95_ms": round(1e3 * float(high), 5),
        "p99_ms": round(1e3 * float(highest), 5),
        "mean_ms": round(1e3 * float(np.mean(singles)), 5),
    }, ids


def _batch_size(adapter: Adapter, queries: FloatArray, k: int, round_s: float) -> int:
    """All queries, or so many that a round takes about `round_s`: ten are tried, and then as many as those suggest."""
    size = min(_LEAST, len(queries))
    for _ in range(2):
        began = time.perf_counter()
        adapter.search(queries[:size], k)
        each = max(time.perf_counter() - began, 1e-9) / size
        if each * len(queries) <= _PATIENCE * round_s:
            return len(queries)
        size = min(len(queries), max(_LEAST, int(round_s / each)))
    return size


def _one_by_one(adapter: Adapter, queries: FloatArray, k: int, round_s: float) -> list[float]:
    parts = [np.ascontiguousarray(queries[i : i + 1]) for i in range(min(_SINGLES, len(queries)))]
    taken: list[float] = []
    started = time.perf_counter()
    gc.disable()
    try:
        for part in parts:
            wall = time.perf_counter()
            adapter.search(part, k)
            taken.append(time.perf_counter() - wall)
            if len(taken) >= _LEAST and time.perf_counter() - started > round_s:
                break
    finally:
        gc.enable()
    return taken

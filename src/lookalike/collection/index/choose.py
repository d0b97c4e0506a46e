"""Choosing an index for the user: its spec from count and dimension, its nprobe from a recall target.

Recall@k is measured on vectors of the collection itself: each asks for its k nearest others, once of the index with
re-ranking, once exactly. A neighbour counts as found if its exact distance is that of a true one, so that equal
pictures can stand for each other.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.collection.segments import FeatureStore

if TYPE_CHECKING:
    from lookalike.index.kinds import IVFPQIndex

__all__ = [
    "SCALE",
    "TARGET",
    "Advice",
    "Measured",
    "Sample",
    "Spec",
    "advised",
    "choose_nprobe",
    "choose_spec",
    "draw",
    "scale_table",
    "wilson",
]

TARGET = 0.95
K = 10
TUNING_QUERIES, MEASURING_QUERIES = 256, 512
CANDIDATES = (200, 400, 800, 1600)
TIE = 1e-6
SCALE = Path(__file__).with_name("scale.json")


@dataclass(frozen=True, slots=True)
class Spec:
    """Parameters of an `IVFPQIndex`."""

    nlist: int
    m: int
    nbits: int

    def __str__(self) -> str:
        return f"IVF{self.nlist},PQ{self.m}" + ("" if self.nbits == 8 else f"x{self.nbits}")


@dataclass(frozen=True, slots=True)
class Measured:
    """How to search an index, and the recall@k that was measured so, with its 95 % interval."""

    nprobe: int
    candidates: int
    recall: float
    low: float
    high: float
    k: int
    n: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Queries of the collection, and the exact distance of the k-th nearest other vector of each."""

    ids: IdArray
    queries: FloatArray
    reach: FloatArray
    k: int


@dataclass(frozen=True, slots=True)
class Advice:
    """What to choose for so many vectors: lists, dimensions that a byte of a code stands for, lists to visit."""

    n: int
    nlist: float
    dims_per_byte: float
    nprobe: int


@functools.cache
def scale_table() -> tuple[Advice, ...]:
    """The rows of `scale.json`, by rising n."""
    rows = json.loads(SCALE.read_text("utf-8"))["rows"]
    return tuple(sorted((Advice(**row) for row in rows), key=lambda row: row.n))


def advised(n: int) -> Advice:
    """The table at n: lists interpolated in logarithms, and as the square root of n beyond it; the rest of the nearest row."""
    table, n = scale_table(), max(n, 1)
    nearest = min(table, key=lambda row: abs(math.log(row.n / n)))
    pairs = [(a, b) for a, b in itertools.pairwise(table) if a.n <= n <= b.n]
    if pairs:
        low, high = pairs[0]
        power = math.log(high.nlist / low.nlist) / math.log(high.n / low.n)
    else:
        low, power = nearest, 0.5
    return Advice(n, low.nlist * (n / low.n) ** power, nearest.dims_per_byte, nearest.nprobe)


def choose_spec(n: int, d: int) -> Spec:
    """Lists and codes for n vectors of dimension d.

    As `scale.json` has it, which `lookalike bench run scale` measures: one to 2.7 times sqrt(n) lists, short enough to scan
    several, long enough to be trained; about d/16 bytes a code, at most 64, as the stored features decide the order in the end,
    so the codes only have to bring the right ones into the candidates. m has to divide d.
    """
    advice = advised(n)
    nlist = 2 ** max(2, round(round(math.log2(advice.nlist), 9)))
    while nlist > 4 and n < 16 * nlist:
        nlist //= 2
    wanted = min(64, max(8, int(d / advice.dims_per_byte)))
    divisors = [m for m in range(1, min(d, 4096) + 1) if d % m == 0]
    m = min(divisors, key=lambda m: math.log(m / wanted) if m >= wanted else 2 * math.log(wanted / m))
    nbits = 8 if n >= 1024 else 6 if n >= 256 else 4
    return Spec(nlist, m, nbits)


def draw(store: FeatureStore, ids: IdArray, count: int, seed: int) -> Sample:
    """Random vectors of the collection as queries, with their exact neighbours."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(ids, min(count, len(ids)), replace=False))
    queries = store[chosen]
    k = min(K, len(ids) - 1)
    distances, found = store.nearest(queries, k + 1, ids)
    return Sample(chosen, queries, _kth_other(chosen, distances, found, k), k)


def _kth_other(own: IdArray, distances: FloatArray, found: IdArray, k: int) -> FloatArray:
    """The k-th distance of each row once the query itself is left out."""
    others = np.where(found == own[:, None], np.inf, distances)
    reach: FloatArray = np.sort(others, axis=1)[:, k - 1]
    return reach


def measure(index: IVFPQIndex, store: FeatureStore, sample: Sample, nprobe: int, candidates: int) -> Measured:
    """Recall@k of a search with these parameters."""
    from lookalike.index.refine import Reranked

    k = sample.k
    fine = Reranked(index, store.rows)
    distances, ids = fine.search(sample.queries, k + 1, nprobe=nprobe, candidates=min(candidates, index.ntotal))
    is_other = (ids != sample.ids[:, None]) & (ids >= 0)
    near = is_other & (distances <= sample.reach[:, None] + TIE)
    per_query = np.minimum(near.sum(axis=1), k) / k
    recall = float(per_query.mean())
    low, high = wilson(recall, len(per_query))
    return Measured(nprobe, candidates, recall, low, high, k, len(per_query))


def choose_nprobe(
    index: IVFPQIndex,
    store: FeatureStore,
    ids: IdArray,
    target: float = TARGET,
    seed: int = 0,
    step: Callable[[int], None] | None = None,
) -> Measured | None:
    """The cheapest search whose recall is above the target with 97.5 % confidence; None if there is none.

    Chosen on one sample and measured on another, so that choosing does not flatter the result.
    """
    tuning, measuring = draw(store, ids, TUNING_QUERIES, seed), draw(store, ids, MEASURING_QUERIES, seed + 1)
    probes = [2**i for i in range(32) if 2**i < index.nlist] + [index.nlist]
    least = advised(len(ids)).nprobe / 8  # far fewer have never been enough
    at = next((i for i, probe in enumerate(probes) if probe >= least), 0)
    for candidates in CANDIDATES:
        while at < len(probes):
            if step is not None:
                step(at)
            # With all lists visited, only more candidates help: start with fewer lists there again.
            if measure(index, store, tuning, probes[at], candidates).low >= target:
                result = measure(index, store, measuring, probes[at], candidates)
                if result.low >= target:
                    return result
            at += 1
        at = len(probes) // 2
    return None


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a mean of n values between 0 and 1.

    Such a mean varies at most as much as a share of n yes/no answers does, so the interval is on the safe side.
    """
    if n == 0:
        return 0.0, 1.0
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)

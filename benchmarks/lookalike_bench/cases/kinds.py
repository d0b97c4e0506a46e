"""The kinds of cases, by name."""

from __future__ import annotations

from lookalike_bench.cases.base import Case
from lookalike_bench.cases.building import Add, Kmeans, TrainAdd
from lookalike_bench.cases.processes import FirstSearch, Memory, Plain
from lookalike_bench.cases.reranking import Rerank, Signs
from lookalike_bench.cases.searching import Search, TwoThreads
from lookalike_bench.cases.whole import Flat, IVFFlat

__all__ = ["CASES"]

CASES: dict[str, type[Case]] = {
    "search": Search,
    "rerank": Rerank,
    "signs": Signs,
    "flat": Flat,
    "ivfflat": IVFFlat,
    "two-threads": TwoThreads,
    "kmeans": Kmeans,
    "train-add": TrainAdd,
    "add": Add,
    "plain": Plain,
    "memory": Memory,
    "first-search": FirstSearch,
}
"""By the name that `measure` has in a spec."""

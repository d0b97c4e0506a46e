"""What the engine is measured on and what is asked of it: sizes and targets, no code that runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lookalike_bench.measure import Budget

__all__ = ["FULL", "QUICK", "TARGETS", "Scale", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a row should reach.

    Attributes
    ----------
    at_least, aim : float or None
        Ratios peer / ours, larger is better; with `at_most`, absolute values, smaller is better.
    at_most : bool
    vbmi_only : bool
        Whether it is asked of CPUs with AVX-512 VBMI only. Elsewhere the row is printed and its verdict stands in brackets.
    """

    at_least: float | None = None
    aim: float | None = None
    at_most: bool = False
    vbmi_only: bool = True

    def verdict(self, value: float) -> str:
        """``"aim"``, ``"met"``, ``"missed"``, or nothing where nothing is asked."""
        sign = -1 if self.at_most else 1
        if self.aim is not None and sign * value >= sign * self.aim:
            return "aim"
        if self.at_least is not None:
            return "met" if sign * value >= sign * self.at_least else "missed"
        return "" if self.aim is None else "below aim"


# Keys are "case/mode"; see docs/benchmarks/README.md for what each case is.
TARGETS: dict[str, Target] = {
    "search-nprobe16-k10/batch": Target(5, 10),
    "search-nprobe16-k10/one by one": Target(4, 7),
    "search-nprobe64-k10/batch": Target(8, 13),
    "search-nprobe64-k10/one by one": Target(5, 8),
    "search-nprobe16-k100/batch": Target(None, 5),
    "search-nprobe16-k100/one by one": Target(None, 4),
    "wide/batch": Target(1.3, 4),
    "wide/one by one": Target(1.1, 3),
    "rerank/batch": Target(1.2, 2),
    "rerank/one by one": Target(1.6, 2.5),
    "two-threads/batch": Target(1.8, 1.95, vbmi_only=False),
    "kmeans/plain": Target(1.2, 6),
    "kmeans/amx": Target(4, 6),
    "train-add/": Target(2, 5),
    "add/": Target(3, 8),
    "plain/batch": Target(1, 1.5, vbmi_only=False),
    "memory-default-ids/": Target(26, at_most=True, vbmi_only=False),
    "memory-own-ids/": Target(32, at_most=True, vbmi_only=False),
    "first-search/": Target(0.5, at_most=True, vbmi_only=False),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of a run.

    Attributes
    ----------
    vectors : int
        128-d vectors at the most; real pictures may give fewer.
    synthetic : bool
        Whether these are made up instead of SIFT vectors of the pictures.
    wide_rows, wide_queries, wide_d, wide_nlist, wide_m : int
        The set of pooled features, and its index.
    short_d : int
        To which that set is reduced for the case of training.
    kmeans_points, kmeans_k, kmeans_iterations : int
    refine_nprobes, refine_candidates : tuple of int
        What both sides of the re-ranked case may choose from.
    """

    name: str
    vectors: int = 1_000_000
    queries: int = 1000
    synthetic: bool = False
    nlist: int = 1024
    m: int = 16
    wide_rows: int = 9144
    wide_queries: int = 500
    wide_d: int = 2048
    wide_nlist: int = 100
    wide_m: int = 8
    wide_nprobe: int = 8
    short_d: int = 128
    features_m: int = 64
    kmeans_points: int = 500_000
    kmeans_k: int = 1024
    kmeans_iterations: int = 10
    add_points: int = 500_000
    refine_recall: float = 0.9
    refine_m: tuple[int, ...] = (16, 32)
    refine_fast_scan_m: tuple[int, ...] = (32, 64)
    refine_nprobes: tuple[int, ...] = (4, 8, 12, 16, 24, 32, 48, 64, 96)
    refine_candidates: tuple[int, ...] = (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480)
    search: Budget = field(default_factory=lambda: Budget(rounds=9, seconds=10))
    slow: Budget = field(default_factory=lambda: Budget(rounds=3, seconds=20, most=9))
    processes: int = 7

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("name", "vectors", "queries", "nlist", "m", "synthetic")}


FULL = Scale("full")

QUICK = Scale(
    "quick",
    vectors=100_000,
    queries=200,
    synthetic=True,
    nlist=256,
    wide_rows=600,
    wide_queries=50,
    wide_d=512,
    wide_nlist=20,
    features_m=64,
    kmeans_points=50_000,
    kmeans_k=256,
    add_points=100_000,
    refine_m=(16,),
    refine_fast_scan_m=(64,),
    refine_nprobes=(8, 32),
    refine_candidates=(20, 40, 80, 160, 320),
    search=Budget(rounds=3, seconds=0.5),
    slow=Budget(rounds=2, seconds=2, most=3),
    processes=3,
)
"""Made-up vectors, and features of the starter pictures: to see that everything works, not to quote."""

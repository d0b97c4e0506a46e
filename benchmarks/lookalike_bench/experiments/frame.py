"""What plots and report are made from: the latest result of each setting, grouped, and Pareto fronts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["Row", "by_peer", "datasets", "front", "latest", "measured", "setting", "title"]

Row = dict[str, Any]


def latest(rows: Iterable[Row]) -> list[Row]:
    """The last line of each key: a failed setting that was tried again counts once."""
    return list({row["key"]: row for row in rows}.values())


def measured(rows: Iterable[Row]) -> list[Row]:
    """Of peers, with 10 neighbours or more."""
    return [row for row in rows if row["status"] == "ok" and row.get("recall_at_10") is not None]


def datasets(rows: Iterable[Row]) -> list[tuple[str, int]]:
    """Data set and number of threads, in the order in which they were measured."""
    return list(dict.fromkeys((row["dataset"], row["threads"]) for row in rows))


def by_peer(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Ours first, then by name."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["family"] != "lookalike", row["peer"])):
        found.setdefault(row["peer"], []).append(row)
    return found


def front(rows: Sequence[Row], value: Callable[[Row], float], recall: str = "recall_at_10") -> list[Row]:
    """The rows that no other beats in both recall and `value` (larger is better), by rising recall."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: (-row[recall], -value(row))):
        if not best or value(row) > value(best[-1]):
            best.append(row)
    return best[::-1]


def setting(row: Row) -> str:
    """Parameters in words."""
    return ", ".join(f"{name} {value}" for name, value in row["params"].items() if value != "") or "no parameters"


def title(peer: str) -> str:
    """A peer's name as people write it."""
    for start, name in (("lookalike-", "lookalike "), ("faiss-", "FAISS "), ("sklearn-", "scikit-learn ")):
        if peer.startswith(start):
            rest = peer.removeprefix(start)
            words = {"ivfpq": "IVFPQ", "ivfflat": "IVFFlat", "flat": "Flat", "pq": "PQ", "ivfpq-reranked": "IVFPQ, re-ranked", "ivfsigns": "sign codes",
                     "opq-ivfpq": "OPQ+IVFPQ", "fastscan-refine": "fast-scan, refined", "hnsw": "HNSW", "ivf-rabitq": "IVF-RaBitQ, refined",
                     "kd-tree": "kd-tree", "ball-tree": "ball tree"}  # fmt: skip
            return name + words.get(rest, rest)
    names = {"svs-vamana": "SVS Vamana", "scann": "ScaNN", "usearch": "USearch", "pynndescent": "PyNNDescent", "annoy": "Annoy",
             "rabitqlib-ivf": "RaBitQ-Library IVF", "turbovec": "turbovec", "nanopq": "nanopq"}  # fmt: skip
    return names.get(peer, peer)

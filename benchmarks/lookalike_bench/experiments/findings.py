"""A paragraph that the numbers support: each sentence is written only if its comparison holds by a margin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lookalike_bench.experiments.frame import Row, by_peer, setting, title
from lookalike_bench.experiments.plots import GOOD

__all__ = ["MARGIN", "findings"]

_SCANS = {"lookalike-pq", "nanopq", "turbovec"}  # of every code
MARGIN = 1.15  # smaller ratios are called no difference


def findings(rows: Sequence[Row], busy: bool) -> list[str]:
    """Sentences about one data set at one number of threads.

    Parameters
    ----------
    rows : sequence of dict
        Measured rows.
    busy : bool
        Whether the machine had other work: then processor time is compared in place of time by the clock.
    """
    good = [row for row in rows if row["recall_at_10"] >= GOOD]
    if not good:
        return [f"No setting of any peer reached recall@10 of {GOOD}."]
    said = [
        _speed(good, busy),
        _ours(good, busy),
        _memory(good),
        _build(good, busy),
        _rotation(rows),
        _kmeans(rows, busy),
    ]
    return [sentence for sentence in said if sentence]


def _cost(busy: bool) -> Any:
    return (lambda row: row["cpu_us"]) if busy else (lambda row: 1e6 / row["qps"])


def _per(busy: bool) -> str:
    return "µs of processor time a query" if busy else "µs a query"


def _best(rows: Sequence[Row], cost: Any) -> list[Row]:
    """The cheapest row of each peer, cheapest first."""
    return sorted((min(mine, key=cost) for mine in by_peer(rows).values()), key=cost)


def _speed(good: Sequence[Row], busy: bool) -> str:
    cost = _cost(busy)
    best = _best(good, cost)
    first = best[0]
    head = f"At recall@10 ≥ {GOOD}, {title(first['peer'])} was quickest in batch: {cost(first):,.1f} {_per(busy)} ({setting(first)}; recall {first['recall_at_10']:.3f})"
    if len(best) == 1:
        return head + "; no other peer reached that recall."
    ratio = cost(best[1]) / cost(first)
    if ratio < MARGIN:
        close = [title(row["peer"]) for row in best[1:] if cost(row) / cost(first) < MARGIN]
        return f"{head}, with {', '.join(close)} within {round(100 * (MARGIN - 1))} %, which is no difference that this run can tell."
    return f"{head}, {ratio:.1f} times as quick as the next, {title(best[1]['peer'])} ({cost(best[1]):,.1f} µs)."


def _ours(good: Sequence[Row], busy: bool) -> str:
    """Where the best of ours stands, if it is not first."""
    cost = _cost(busy)
    best = _best(good, cost)
    mine = [row for row in best if row["family"] == "lookalike"]
    if not mine:
        return f"None of ours reached recall@10 of {GOOD} here."
    if best[0]["family"] == "lookalike":
        return ""
    place = best.index(mine[0]) + 1
    return (
        f"The best of ours, {title(mine[0]['peer'])} ({setting(mine[0])}), came {_ordinal(place)} of {len(best)} with "
        f"{cost(mine[0]):,.1f} µs, {cost(mine[0]) / cost(best[0]):.1f} times the time of the quickest."
    )


def _ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")


def _memory(good: Sequence[Row]) -> str:
    best = _best(good, lambda row: row["bytes_per_vector"])
    first = best[0]
    head = f"The smallest index of that recall was {title(first['peer'])}'s, {first['bytes_per_vector']:,.0f} bytes a vector"
    exact = 4 * first["d"]
    share = first["bytes_per_vector"] / exact
    return (
        f"{head}, {share:.0%} of the {exact:,} that the vectors take."
        if share < 0.95
        else f"{head}: no smaller than the vectors."
    )


def _build(good: Sequence[Row], busy: bool) -> str:
    usable = [
        row
        for row in good
        if row["family"] != "exact" and row["peer"] not in _SCANS and not row["peer"].endswith("-flat")
    ]
    key = "build_cpu_s" if busy else "build_s"
    if not usable:
        return ""
    best = _best(usable, lambda row: row[key])
    first, last = best[0], best[-1]
    if len(best) < 2 or last[key] / max(first[key], 1e-9) < MARGIN:
        return ""
    what = " of processor time" if busy else ""
    return (
        f"Of the indexes that do not compare with everything, {title(first['peer'])} was built quickest ({first[key]:.2f} s{what}) and "
        f"{title(last['peer'])} slowest ({last[key]:.1f} s)."
    )


def _rotation(rows: Sequence[Row]) -> str:
    """What OPQ did to the error of the same codes."""
    codes = [row for row in rows if row["peer"] == "lookalike-ivfpq" and row["quantization_error"]]

    def of(rotation: str) -> dict[tuple[Any, ...], Row]:
        keys = ("nlist", "m", "nbits", "kmeans")
        return {
            tuple(row["params"].get(key) for key in keys): row
            for row in codes
            if row["params"].get("rotation", "") == rotation
        }

    plain, turned = of(""), of("opq")
    both = sorted(plain.keys() & turned.keys())
    if not both:
        return ""
    a, b = plain[both[0]], turned[both[0]]
    change = b["quantization_error"] / a["quantization_error"] - 1
    verb = "lowered" if change < -0.02 else "raised" if change > 0.02 else "hardly changed"
    more = b["build_cpu_s"] / max(a["build_cpu_s"], 1e-9)
    return f"OPQ {verb} the quantization error of our codes of m={a['params']['m']} ({change:+.0%}), for {more:.1f} times the processor time of building."


def _kmeans(rows: Sequence[Row], busy: bool) -> str:
    """The three k-means, where all were measured with the same parameters."""
    found: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        if row["peer"] == "lookalike-ivfpq" and not row["params"].get("rotation", ""):
            keys = ("nlist", "m", "nbits", "nprobe")
            found.setdefault(tuple(row["params"].get(key) for key in keys), {})[row["params"].get("kmeans", "")] = row
    full = [methods for _, methods in sorted(found.items()) if {"native", "faiss", "sklearn"} <= methods.keys()]
    if not full:
        return ""
    methods = full[-1]
    parts = [
        f"{name} {methods[name]['build_cpu_s']:.1f} s (recall {methods[name]['recall_at_10']:.3f})"
        for name in ("native", "faiss", "sklearn")
    ]
    return f"Building our IVFPQ with each k-means took, in processor time: {', '.join(parts)}."

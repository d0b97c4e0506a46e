"""How build time, memory and latency grow with n: measured, fitted, and carried on to sizes that nobody here has measured.

The fits are power laws, y = a · nᵇ, by least squares of the logarithms. Beyond the measured sizes they are a calculation on paper.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike._typing import Array
from lookalike.collection.index.choose import choose_spec
from lookalike_bench.experiments import plots
from lookalike_bench.experiments.frame import Row, by_peer, title
from lookalike_bench.markdown import table

__all__ = ["Growth", "draw_scale", "fit", "ladders", "on_paper"]

_LEAST_SIZES = 3
PAPER = (100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
GOOD = 0.9


@dataclass(frozen=True, slots=True)
class Growth:
    """A fitted power law.

    Attributes
    ----------
    factor, power : float
        y = factor · n**power.
    worst : float
        The largest ratio between a measured value and the fit, or its inverse: 1.2 is 20 % off.
    low, high : float
        The sizes that were measured.
    """

    factor: float
    power: float
    worst: float
    low: float
    high: float

    def at(self, n: float) -> float:
        return float(self.factor * n**self.power)


def fit(sizes: Sequence[float], values: Sequence[float]) -> Growth:
    """Least squares of the logarithms."""
    x, y = np.log(np.asarray(sizes, np.float64)), np.log(np.maximum(np.asarray(values, np.float64), 1e-12))
    power, start = np.polyfit(x, y, 1)
    off = np.abs(y - (power * x + start)).max()
    return Growth(float(np.exp(start)), float(power), float(np.exp(off)), float(min(sizes)), float(max(sizes)))


def ladders(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """Rows of data sets that are cuts of one and the same, of three sizes or more: name without its size, and threads."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        name = re.sub(r"-\d+[kM]?$", "", row["dataset"])
        found.setdefault((name, row["threads"]), []).append(row)
    return {key: mine for key, mine in found.items() if len({row["n"] for row in mine}) >= _LEAST_SIZES}


def cheapest(rows: Sequence[Row]) -> dict[int, Row]:
    """Of each size, the row of least processor time a query with recall `GOOD` or more."""
    found: dict[int, Row] = {}
    for row in rows:
        if row["recall_at_10"] >= GOOD and (row["n"] not in found or row["cpu_us"] < found[row["n"]]["cpu_us"]):
            found[row["n"]] = row
    return dict(sorted(found.items()))


def draw_scale(rows: Sequence[Row], out: Path) -> str:
    """Plots and the section of the report; nothing where no data set has three sizes."""
    parts = []
    for (name, threads), mine in ladders(rows).items():
        figure = _figure(mine, name)
        slug = "".join(c if c.isalnum() else "-" for c in name)
        path = plots.save(figure, out, f"{slug}-t{threads}-growth")[0]
        parts += [f"![{name}: growth with n]({path.name})", _words(mine, name), on_paper(mine)]
    return "\n\n".join(part for part in parts if part)


def _figure(rows: Sequence[Row], name: str) -> object:
    plt = plots.pyplot()
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.6))
    drawn = []
    what = (
        ("build_cpu_s", "processor seconds to build"),
        ("cpu_us", "processor µs a query"),
        ("bytes", "bytes of the index"),
    )
    for place, (key, label) in zip(axes, what, strict=True):
        names = []
        for number, (peer, mine) in enumerate(by_peer(rows).items()):
            points = list(cheapest(mine).items())
            if len(points) < 2:
                continue
            colour, mark = plots.COLOURS[mine[0]["family"]], "osD^vP"[number % 6]
            x, y = [n for n, _ in points], [row[key] for _, row in points]
            place.plot(x, y, marker=mark, color=colour, lw=2 if mine[0]["family"] == "lookalike" else 1.2)
            names.append((x[-1], y[-1], title(peer), colour, mark))
        drawn.append((place, names))
        place.set_xscale("log")
        place.set_yscale("log")
        place.set_xlabel("vectors")
        place.set_title(label, fontsize=10)
    figure.suptitle(
        f"{name}: cheapest setting of recall@10 ≥ {GOOD} at each size", x=0.05, ha="left", fontweight="bold"
    )
    figure.tight_layout(w_pad=17)  # names stand between the plots
    for place, names in drawn:
        plots.labelled(place, names)
    return figure


def _words(rows: Sequence[Row], name: str) -> str:
    head = (
        "peer",
        "sizes",
        "building grows as",
        "a query grows as",
        "bytes grow as",
        "settings, smallest to largest n",
    )
    lines = []
    for peer, mine in by_peer(rows).items():
        best = cheapest(mine)
        if len(best) < _LEAST_SIZES:
            continue
        sizes = list(best)
        laws = [fit(sizes, [best[n][key] for n in sizes]) for key in ("build_cpu_s", "cpu_us", "bytes")]
        chosen = "; ".join(
            dict.fromkeys(
                ", ".join(f"{k} {v}" for k, v in row["params"].items() if k in {"nlist", "nprobe", "candidates", "ef"})
                for row in best.values()
            )
        )
        cells = [f"n^{law.power:.2f} (±{100 * (law.worst - 1):.0f} %)" for law in laws]
        lines.append((title(peer), f"{sizes[0]:,}–{sizes[-1]:,}", *cells, chosen or "–"))
    return table(head, lines) if lines else f"{name}: no peer reached recall {GOOD} at three sizes."


def on_paper(rows: Sequence[Row]) -> str:
    """Our re-ranked IVFPQ at sizes up to 1B: a calculation, not a measurement.

    Notes
    -----
    A query costs nlist · d for the coarse search, n · nprobe / nlist codes of m look-ups, and a constant for tables and re-ranking;
    building costs n · nlist · d assignments. With nlist = 2 √n both grow as √n and n^1.5. The constants are fitted to the measured rows.
    """
    mine = [row for row in rows if row["peer"] == "lookalike-ivfpq-reranked"]
    if len({row["n"] for row in mine}) < _LEAST_SIZES:
        return ""
    x = np.asarray([_costs(row["n"], row["d"], row["params"]) for row in mine])
    y = np.asarray([row["cpu_us"] for row in mine])
    constants = _non_negative(x / y[:, None], np.ones(len(y)))
    built = {(row["n"], row["params"]["nlist"]): row for row in mine}.values()
    works = np.asarray([[row["n"], row["n"] * row["params"]["nlist"] * row["d"] * 1e-9] for row in built])
    spent = np.asarray([row["build_cpu_s"] for row in built])
    building = _non_negative(works / spent[:, None], np.ones(len(spent)))
    off = np.exp(np.abs(np.log(np.maximum(x @ constants, 1e-9) / y)).mean())
    d, most = mine[0]["d"], max(row["n"] for row in mine)
    said = f"On paper (constants fitted to {len(mine)} measured settings, on average {100 * (off - 1):.0f} % off; beyond {most:,} vectors nothing was measured):"
    head = (
        "n",
        "nlist",
        "m",
        "nprobe",
        "µs a query",
        "hours to build, one core",
        "index in memory",
        "with float16 vectors",
    )
    lines = []
    for n in PAPER:
        spec = choose_spec(n, d)
        nprobe = max(8, round(16 * (n / 1e6) ** 0.25))
        costs = _costs(n, d, {"nlist": spec.nlist, "m": spec.m, "nprobe": nprobe, "candidates": 200})
        hours = float(np.dot([n, n * spec.nlist * d * 1e-9], building)) / 3600
        size = n * (spec.m + 8) + 4 * d * spec.nlist
        spent_us = float(np.dot(costs, constants))
        lines.append((
            f"{n:,}", f"{spec.nlist:,}", str(spec.m), str(nprobe), f"{spent_us:,.0f}", f"{hours:,.2f}", f"{size / 1e9:,.2f} GB",
            f"{(size + 2 * d * n) / 1e9:,.1f} GB",
        ))  # fmt: skip
    return f"{said}\n\n{table(head, lines)}"


def _costs(n: int, d: int, params: dict[str, float]) -> list[float]:
    """Units of work of a query: one, coarse multiplications, codes looked up, candidates re-ranked."""
    scanned = n * min(params["nprobe"] / params["nlist"], 1)
    return [1.0, params["nlist"] * d * 1e-3, scanned * params["m"] * 1e-3, params["candidates"] * d * 1e-3]


def _non_negative(a: Array, b: Array) -> Array:
    """Least squares with constants that are no times below zero: an active set, as there are four at the most."""
    best, least = np.zeros(a.shape[1]), math.inf
    for count in range(1, a.shape[1] + 1):
        for columns in itertools.combinations(range(a.shape[1]), count):
            part = a[:, columns]
            found = np.linalg.lstsq(part, b, rcond=None)[0]
            error = float(np.square(part @ found - b).sum())
            if (found >= 0).all() and error < least:
                best = np.zeros(a.shape[1])
                best[list(columns)], least = found, error
    return best

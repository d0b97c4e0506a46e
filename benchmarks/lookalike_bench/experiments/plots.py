"""Static plots of results: PNG and SVG.

Colours are those of Okabe and Ito, which people with any colour vision can tell apart; each line also carries its name and a mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lookalike.errors import MissingExtraError
from lookalike_bench.experiments.frame import Row, by_peer, front, title

__all__ = ["COLOURS", "build_times", "error_bytes", "labelled", "latencies", "memory_recall", "recall_speed", "save"]

COLOURS = {
    "lookalike": "#D55E00", "FAISS": "#0072B2", "graph": "#009E73", "codes": "#AA4499", "tree": "#B8860B", "exact": "#555555",
}  # fmt: skip
_MARKS = "osD^vP*Xh<>"
GOOD = 0.9  # the recall from which a setting is called usable


def pyplot() -> Any:
    """Matplotlib without a screen."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError('plots need matplotlib; pip install "lookalike[bench]"') from None
    mpl.use("Agg", force=True)
    import matplotlib.pyplot as plt

    plt.rcParams.update({
        "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e5e5e5",
        "axes.axisbelow": True, "figure.facecolor": "white", "svg.fonttype": "none", "svg.hashsalt": "lookalike",
        "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlesize": 12,
    })  # fmt: skip
    return plt


def save(figure: Any, folder: Path, name: str) -> list[Path]:
    """As PNG and SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=150, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot().close(figure)
    return paths


def labelled(axes: Any, places: Sequence[tuple[float, float, str, str, str]]) -> None:
    """Names to the right of the plot, pushed apart, each tied to the last point of its line."""
    import numpy as np

    figure = axes.figure
    figure.canvas.draw()
    to_axes = axes.transAxes.inverted()
    heights = [to_axes.transform(axes.transData.transform((x, y)))[1] for x, y, *_ in places]
    order = np.argsort(heights)
    gap = 0.25 / (axes.bbox.height / figure.dpi)  # of the height: a line of text
    spread = [heights[i] for i in order]
    for i in range(1, len(spread)):
        spread[i] = max(spread[i], spread[i - 1] + gap)
    over = spread[-1] - 1.02 if spread else 0
    if over > 0:
        spread[-1] -= over
        for i in range(len(spread) - 2, -1, -1):
            spread[i] = min(spread[i], spread[i + 1] - gap)
    for at, i in zip(spread, order, strict=True):
        x, y, text, colour, mark = places[i]
        axes.annotate(
            "", xy=(x, y), xycoords="data", xytext=(1.03, at), textcoords="axes fraction", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.5, "shrinkA": 0, "shrinkB": 3},
        )  # fmt: skip
        axes.plot([1.035], [at], mark, color=colour, ms=5, transform=axes.transAxes, clip_on=False)
        axes.text(
            1.05, at, text, color=colour, va="center", fontsize=9, transform=axes.transAxes,
            fontweight="bold" if text.startswith("lookalike") else "normal",
        )  # fmt: skip


def _fronts(
    rows: Sequence[Row], value: Callable[[Row], float], heading: str, xlabel: str, ylabel: str, *, x: Callable[[Row], float],
    y: Callable[[Row], float], log_x: bool = False, log_y: bool = False,
) -> Any:  # fmt: skip
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(9.5, 7))
    if log_x:
        axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    places = []
    counts: dict[str, int] = {}
    for peer, mine in by_peer(rows).items():
        family = mine[0]["family"]
        best = front(mine, value)
        mark = _MARKS[counts.setdefault(family, 0) % len(_MARKS)]
        counts[family] += 1
        ours = family == "lookalike"
        axes.plot([x(r) for r in best], [y(r) for r in best], color=COLOURS[family], marker=mark, ms=6 if ours else 4.5,
                  lw=2.2 if ours else 1.2, alpha=1 if ours else 0.85, zorder=3 if ours else 2)  # fmt: skip
        end = max(best, key=x)
        places.append((x(end), y(end), title(peer), COLOURS[family], mark))
    whole = front(rows, value)
    axes.plot(
        [x(r) for r in whole],
        [y(r) for r in whole],
        color="#000000",
        lw=7,
        alpha=0.1,
        zorder=1,
        solid_joinstyle="round",
    )
    axes.set_title(heading)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    labelled(axes, places)
    return figure


def recall_speed(rows: Sequence[Row], heading: str) -> Any:
    """Recall against queries a second, the Pareto front of each peer; the broad band is the front of all."""
    figure = _fronts(
        rows, lambda r: float(r["qps"]), f"{heading}: recall and speed", "recall@10 (more is better)",
        "queries a second, batch (more is better)", x=lambda r: r["recall_at_10"], y=lambda r: r["qps"], log_y=True,
    )  # fmt: skip
    _plain_log(figure.axes[0].yaxis)
    return figure


def memory_recall(rows: Sequence[Row], heading: str) -> Any:
    """Bytes a vector against recall."""
    figure = _fronts(
        rows, lambda r: -float(r["bytes_per_vector"]), f"{heading}: memory and recall", "bytes a vector (less is better)",
        "recall@10 (more is better)", x=lambda r: r["bytes_per_vector"], y=lambda r: r["recall_at_10"], log_x=True,
    )  # fmt: skip
    _plain_log(figure.axes[0].xaxis)
    return figure


def _plain_log(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if v >= 1000 else f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def build_times(rows: Sequence[Row], heading: str) -> Any:
    """Each build a point, each peer a line, the quickest first."""
    plt = pyplot()
    peers = sorted(by_peer(rows).items(), key=lambda pair: min(r["build_s"] for r in pair[1]), reverse=True)
    figure, axes = plt.subplots(figsize=(8.5, 0.32 * len(peers) + 1.6))
    for at, (_peer, mine) in enumerate(peers):
        times = sorted({r["build_s"] for r in mine})
        colour = COLOURS[mine[0]["family"]]
        axes.plot([times[0], times[-1]], [at, at], color=colour, lw=3, alpha=0.3, solid_capstyle="round")
        axes.plot(times, [at] * len(times), "o", color=colour, ms=5)
        axes.annotate(
            _seconds(times[-1]),
            (times[-1], at),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
        )
    axes.set_xscale("log")
    _plain_log(axes.xaxis)
    axes.xaxis.set_major_locator(plt.matplotlib.ticker.LogLocator())
    axes.set_yticks(range(len(peers)), [title(peer) for peer, _ in peers])
    axes.grid(axis="y", visible=False)
    axes.set_title(f"{heading}: seconds to build (training included)")
    axes.set_xlabel("seconds; each point is one setting")
    return figure


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 1 else f"{1e3 * value:.0f} ms"


def usable(rows: Sequence[Row], cost: Callable[[Row], float]) -> tuple[Row, bool]:
    """The cheapest row of recall `GOOD` or more, and True; where there is none the one of the highest recall, and False."""
    good = [row for row in rows if row["recall_at_10"] >= GOOD]
    return (min(good, key=cost), True) if good else (max(rows, key=lambda row: row["recall_at_10"]), False)


def latencies(rows: Sequence[Row], heading: str) -> Any:
    """Median, 95th and 99th percentile of single queries, of each peer's quickest setting of recall 0.9 or more."""
    plt = pyplot()
    chosen = [(peer, *usable(mine, lambda r: float(r["p50_ms"]))) for peer, mine in by_peer(rows).items()]
    chosen.sort(key=lambda item: (item[2], -item[1]["p50_ms"]))
    figure, axes = plt.subplots(figsize=(9, 0.32 * len(chosen) + 1.8))
    for at, (_, row, good) in enumerate(chosen):
        colour, alpha = COLOURS[row["family"]], 1 if good else 0.45
        points = [row["p50_ms"], row["p95_ms"], row["p99_ms"]]
        axes.plot([points[0], points[-1]], [at, at], color=colour, lw=2, alpha=alpha * 0.5)
        for value, mark in zip(points, "o|D", strict=True):
            axes.plot(
                value,
                at,
                mark,
                color=colour,
                ms=9 if mark == "|" else 5,
                alpha=alpha,
                mfc="white" if mark == "D" else colour,
            )
        axes.annotate(f"recall {row['recall_at_10']:.2f}", (points[-1], at), xytext=(8, 0), textcoords="offset points", va="center",
                      fontsize=8, color=colour, alpha=alpha)  # fmt: skip
    axes.set_xscale("log")
    _plain_log(axes.xaxis)
    axes.set_yticks(range(len(chosen)), [title(peer) for peer, _, _ in chosen])
    axes.grid(axis="y", visible=False)
    axes.set_title(f"{heading}: one query at a time")
    axes.set_xlabel(
        f"milliseconds: ● median   | 95 %   ◇ 99 %; the quickest setting of recall@10 ≥ {GOOD}; pale: none reaches it"
    )
    return figure


def error_bytes(rows: Sequence[Row], heading: str) -> Any | None:
    """Quantization error against bytes a vector, of indexes that say what their codes stand for; None where there are none."""
    known = [row for row in rows if row["quantization_error"]]
    if not known:
        return None
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(9, 5.5))
    axes.set_xscale("log")
    axes.set_yscale("log")
    places = []
    counts: dict[str, int] = {}
    variants: dict[tuple[str, str], list[Row]] = {}
    for row in known:
        rotation = str(row["params"].get("rotation") or "")
        variants.setdefault((row["peer"], rotation), []).append(row)
    for (peer, rotation), mine in variants.items():
        family = mine[0]["family"]
        mark = _MARKS[counts.setdefault(family, 0) % len(_MARKS)]
        counts[family] += 1
        points = sorted({(r["bytes_per_vector"], r["quantization_error"]) for r in mine})
        axes.plot(*zip(*points, strict=True), color=COLOURS[family], marker=mark, lw=1.4)
        places.append((*points[-1], title(peer) + (f", {rotation}" if rotation else ""), COLOURS[family], mark))
    _plain_log(axes.xaxis)
    _plain_log(axes.yaxis)
    axes.set_title(f"{heading}: quantization error")
    axes.set_xlabel("bytes a vector, the whole index divided by n (less is better)")
    axes.set_ylabel("squared error ÷ variance (less is better)")
    labelled(axes, places)
    return figure

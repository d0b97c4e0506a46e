"""How space is cut: the cells, and the balance of their lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.viz.cells import Cells, map_of_cells
from lookalike.viz.layout import (
    OVERFULL,
    WIDTH,
    balance,
    cell_map,
    stress_layout,
)
from lookalike.viz.report import View

if TYPE_CHECKING:
    pass

from lookalike.viz.drawn import numbers

__all__ = ["balance_view", "cells_view"]


def cells_view(cells: Cells, search: dict[str, Any] | None = None, names: Any = None) -> View:
    """The map of an inverted file's cells, with a search lit on it if one is given."""
    places = stress_layout(cells.centroids, 30 if len(cells.sizes) <= 600 else 12)
    by_size, by_spread = map_of_cells(cells, places)
    even = cell_map(places, np.ones(len(places)))
    facts = balance(cells.all_sizes)
    data: dict[str, Any] = {
        "width": WIDTH,
        "list_no": cells.list_no.tolist(),
        "sizes": cells.sizes.tolist(),
        "spread": numbers(cells.spread, 6),
        "nearest": [(ids if names is None else names(ids)).tolist() for ids in cells.nearest],
        "overfull": OVERFULL * facts["mean"],
        "facts": facts,
        "search": search,
        "maps": {
            name: {"x": numbers(m.sites[:, 0], 5), "y": numbers(m.sites[:, 1], 5), "power": numbers(m.powers, 6)}
            for name, m in (("even", even), ("size", by_size), ("spread", by_spread))
        },
    }
    total = len(cells.all_sizes)
    part = "" if len(cells.sizes) == total else f" Of {total:,} cells {len(cells.sizes):,} are drawn: a sample by size."
    about = (
        f"Each field is one of the {len(cells.sizes):,} cells, laid out so that cells with alike centroids lie "
        "near each other; "
        f"its area grows with what is chosen under Area.{part} Distances on the map are only about those in "
        f"{cells.centroids.shape[1]} dimensions."
    )
    if search is None:
        sentence = f"{about} {_evenness(facts)}"
        return View("cells", "cells", "The cells of the index", sentence, data)
    lead = "Coarse search: the query is compared with every centroid, and the nearest cells are visited in that order."
    probed = len(search["order"])
    sentence = f"{about} {probed} of {total:,} cells are visited; the numbers on orange say in which order."
    return View("cells", "cells", "Coarse search: which cells to visit", sentence, data, lead)


def _evenness(facts: dict[str, float]) -> str:
    return (
        f"{facts['vectors']:,} vectors lie in {facts['lists']:,} lists, {facts['mean']:.4g} on average; "
        f"{facts['empty']:,} lists are empty, "
        f"{facts['overfull']:,} hold more than twice the mean. Imbalance {facts['imbalance']:.2f}: a search scans "
        "so many times as many "
        "vectors as it would if all lists were equal."
    )


def balance_view(cells: Cells) -> View:
    """The sizes of the lists, largest first."""
    order = np.argsort(-cells.all_sizes, kind="stable")
    kept = order if len(order) <= 2_000 else order[np.linspace(0, len(order) - 1, 2_000).astype(np.int64)]
    facts = balance(cells.all_sizes)
    data = {
        "list_no": kept.tolist(),
        "sizes": cells.all_sizes[kept].tolist(),
        "mean": facts["mean"],
        "overfull": OVERFULL * facts["mean"],
        "facts": facts,
    }
    part = "" if len(kept) == len(order) else f" {len(kept):,} of {len(order):,} lists are drawn, evenly by rank."
    return View("balance", "balance", "Balance of the lists", _evenness(facts) + part, data)

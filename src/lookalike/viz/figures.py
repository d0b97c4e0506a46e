"""Views of an index and of one search: coordinates from `layout`, numbers from the trace, and a sentence on what one sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import Array, IdArray
from lookalike.viz.cells import Cells, map_of_cells
from lookalike.viz.layout import (
    OVERFULL,
    WIDTH,
    balance,
    cell_map,
    codebook_maps,
    error_bars,
    principal_plane,
    rings,
    stress_layout,
)
from lookalike.viz.report import View
from lookalike.viz.umap import Method, umap_places

if TYPE_CHECKING:
    from lookalike.explain.explanation import Explanation

__all__ = ["balance_view", "cells_view", "detail_document", "search_steps", "search_views"]

POINTS = 1_600  # vectors drawn one by one
DETAILED = 24


def numbers(x: Array, digits: int = 9) -> list[Any]:
    """Floats with so many digits (nine tell one float32 from another), in the shape of the array."""
    array = np.asarray(x)
    flat = [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in array.ravel().tolist()]
    for side in reversed(array.shape[1:]):
        flat = [flat[first : first + side] for first in range(0, len(flat), side)] if side else []  # type: ignore[misc]
    return flat


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


def search_steps(told: Explanation) -> list[str]:
    """What happens at each step of the playback."""
    trace, seen = told.trace, 0
    steps = [
        "the query, before anything is compared",
        f"coarse search: distances to all {len(trace.coarse_distances):,} centroids",
    ]
    for cell in trace.probed:
        seen += len(cell.ids)
        steps.append(
            f"cell {cell.list_no}, number {cell.rank + 1} by distance: {len(cell.ids):,} vectors, {seen:,} so far"
        )
    steps.append(f"the {len(trace.ids):,} nearest by their codes are kept")
    steps.append(
        f"re-ranking: {min(told.candidates, seen):,} candidates compared again by their stored features, "
        f"{len(told.final_ids):,} kept"
    )
    return steps


def search_views(told: Explanation, method: Method = "pca") -> list[View]:
    """The views of one search, without the map of cells."""
    return [
        _rings_view(told),
        _projection_view(told, method),
        _pieces_view(told),
        _codebooks_view(told),
        _table_view(told),
        _errors_view(told),
        _missed_view(told),
        _whatif_view(told),
    ]


def drawn(told: Explanation) -> tuple[Array, str]:
    """Which of the scanned vectors are drawn, as a mask, and what to say of it."""
    distances = np.concatenate([cell.distances for cell in told.trace.probed])
    if len(distances) <= POINTS:
        return np.ones(len(distances), np.bool_), f"All {len(distances):,} vectors of the visited cells are drawn."
    ids = np.concatenate([cell.ids for cell in told.trace.probed])
    order = np.argsort(distances, kind="stable")
    chosen = np.isin(ids, np.concatenate([told.trace.ids, told.exact_ids, told.final_ids]))
    chosen[order[: POINTS // 2]] = True
    rest = order[POINTS // 2 :]
    chosen[rest[np.linspace(0, len(rest) - 1, POINTS // 2).astype(np.int64)]] = True
    text = (
        f"Of {len(distances):,} vectors in the visited cells {int(chosen.sum()):,} are drawn: the nearest, and "
        "a sample of the others."
    )
    return chosen, text


def _marks(told: Explanation) -> dict[str, Any]:
    missed = [miss.id for miss in told.trace.missed]
    return {"kept": told.trace.ids.tolist(), "missed": missed, "final": told.final_ids.tolist(), "reranked": True}


def _worst(told: Explanation) -> float | None:
    return float(told.trace.distances[-1]) if len(told.trace.distances) else None


def _rings_view(told: Explanation) -> View:
    chosen, said = drawn(told)
    probed = told.trace.probed
    ends = np.cumsum([len(cell.ids) for cell in probed])
    masks = np.split(chosen, ends[:-1])
    laid = rings([cell.distances[mask] for cell, mask in zip(probed, masks, strict=True)])
    data = {
        "cells": [
            {"list_no": cell.list_no, "start": float(start), "end": float(end)}
            for cell, start, end in zip(probed, laid.starts, laid.ends, strict=True)
        ],
        "ids": np.concatenate([cell.ids for cell in probed])[chosen].tolist(),
        "distance": numbers(np.concatenate([cell.distances for cell in probed])[chosen]),
        "cell": np.repeat(np.arange(len(probed)), [int(mask.sum()) for mask in masks]).tolist(),
        "angle": numbers(laid.angles, 5),
        "radius": numbers(laid.radii, 5),
        "low": laid.low,
        "high": laid.high,
        "worst": _worst(told),
        "steps": search_steps(told),
        "descending": False,
        **_marks(told),
    }
    sentence = (
        "The query is in the middle; each visited cell is a sector, in the order of the visit clockwise from the "
        "top, and each dot one of its "
        "vectors, as far out as its code is from the query. The orange circle is the distance of the last one "
        f"kept. {said}"
    )
    return View("rings", "rings", "Fine search by distance", sentence, data)


def _projection_view(told: Explanation, method: Method = "pca") -> View:
    chosen, said = drawn(told)
    index, probed = told.index, told.trace.probed
    codes = np.concatenate([cell.codes for cell in probed])[chosen]
    list_no = np.concatenate([np.full(len(cell.ids), cell.list_no) for cell in probed])[chosen]
    cell_of = np.concatenate([np.full(len(cell.ids), at) for at, cell in enumerate(probed)])[chosen]
    ids = np.concatenate([cell.ids for cell in probed])[chosen]
    distances = np.concatenate([cell.distances for cell in probed])[chosen]
    outside = np.flatnonzero(~np.isin(told.detailed, ids) & np.isin(told.detailed, _marks(told)["missed"]))
    if len(outside):
        far = {miss.id: miss for miss in told.trace.missed}
        more = told.detailed[outside].tolist()
        codes = np.concatenate([codes, told.codes[outside]])
        list_no = np.concatenate([list_no, [far[i].list_no for i in more]])
        cell_of = np.concatenate([cell_of, np.full(len(more), -1)])
        ids = np.concatenate([ids, more])
        distances = np.concatenate([distances, np.array([far[i].distance for i in more], np.float32)])
    x = index.pq.decode(codes) + index.coarse_centroids[list_no]
    everything = np.concatenate([x, told.trace.query[None, :]])
    if method == "umap":
        both = umap_places(everything)
        how = "laid out by UMAP, which keeps neighbours together and says nothing by far distances; the colour tells the distance"
    else:
        plane = principal_plane(everything)
        both = plane.place(everything)
        how = (
            f"on the plane of their largest variance (PCA), which shows {100 * plane.share:.0f} % of it; what looks near here "
            "can be far in the other dimensions, so the colour tells the distance"
        )
    places, query = both[:-1], both[-1]
    data = {
        "ids": ids.tolist(),
        "distance": numbers(distances),
        "x": numbers(places[:, 0], 5),
        "y": numbers(places[:, 1], 5),
        "query": numbers(query, 5),
        "cell": cell_of.tolist(),
        "cells": [cell.list_no for cell in probed],
        "low": float(distances.min()) if len(distances) else 0.0,
        "high": float(distances.max()) if len(distances) else 1.0,
        "steps": search_steps(told),
        "descending": False,
        **_marks(told),
    }
    sentence = f"The same vectors, as their codes say them, {how}. Orange lines lead to those kept. {said}"
    return View("projection", "projection", "Fine search, projected", sentence, data)


def detail_document(told: Explanation) -> dict[str, Any]:
    """The vectors that the views of codes can show in full: kept, final and missed ones."""
    first = dict.fromkeys([*told.final_ids.tolist(), *told.exact_ids.tolist(), *told.trace.ids.tolist()])
    at = {number: place for place, number in enumerate(told.detailed.tolist())}
    ids = [number for number in first if number in at][:DETAILED]
    rows = np.array([at[number] for number in ids], np.int64)
    place = {number: i for i, number in enumerate(told.scope.ids.tolist())}
    where = np.array([place[number] for number in ids], np.int64)
    missed = set(_marks(told)["missed"])
    return {
        "ids": ids,
        "missed": [number in missed for number in ids],
        "codes": told.codes[rows].tolist(),
        "residuals": numbers(told.residuals[rows], 4),
        "decoded": numbers(told.index.pq.decode(told.codes[rows]), 4) if len(rows) else [],
        "list_terms": numbers(told.list_terms[rows]),
        "biases": numbers(told.biases[rows]),
        "exact": numbers(told.scope.exact[where]),
        "estimated": numbers(told.scope.estimated[where]),
    }


def _pieces_view(told: Explanation) -> View:
    index = told.index
    each = index.m * np.dtype(told.codes.dtype).itemsize
    data = {"m": index.m, "dsub": index.dsub, "ksub": index.ksub, "bytes": each}
    d = index.m * index.dsub
    sentence = (
        f"A stored vector less the centroid of its cell, {d:,} numbers, is cut into {index.m} pieces, one a row. "
        "Each piece is replaced by the nearest "
        f"of {index.ksub} centroids that were learnt for its place, so that {4 * d:,} bytes become {each}. On the "
        "right is what that loses."
    )
    return View("pieces", "pieces", "A vector, cut into pieces", sentence, data)


def _codebooks_view(told: Explanation) -> View:
    index, detail = told.index, detail_document(told)
    at = {number: place for place, number in enumerate(told.detailed.tolist())}
    rows = np.array([at[number] for number in detail["ids"]], np.int64)
    pieces = told.residuals[rows].reshape(len(rows), index.m, index.dsub)
    codebooks, placed, shares = codebook_maps(index.pq_centroids, pieces)
    data = {
        "m": index.m,
        "codebooks": numbers(codebooks, 3),
        "pieces": numbers(placed, 3),
        "shares": numbers(shares, 3),
    }
    sentence = (
        f"Each square is one piece's codebook: its {index.ksub} centroids on their plane of largest variance "
        f"({100 * float(np.mean(shares)):.0f} % of it on "
        "average). Orange marks the centroid that stands for the chosen picture's piece; the large map colours "
        "each centroid by what it adds to the "
        "distance from the query. The nearest centroid can look far, because the plane leaves dimensions out."
    )
    return View("codebooks", "codebooks", "The codebooks", sentence, data)


def _table_view(told: Explanation) -> View:
    index = told.index
    how = {
        "l2": "the distance is that of the cell's centroid, plus the stored bias, plus the values on the path",
        "ip": "the product is that with the cell's centroid, plus the values on the path",
        "cosine": "the distance is 1, less the product with the cell's centroid, less the values on the path",
    }[told.trace.metric]
    sentence = (
        f"One table serves the whole search: row j holds what each of the {index.ksub} centroids of piece j would "
        "contribute. A code picks one value a "
        f"row; below, {how}. So a distance costs {index.m} look-ups and additions instead of "
        f"{index.m * index.dsub:,} multiplications."
    )
    return View("table", "table", "The look-up table, and the sum", sentence)


def _errors_view(told: Explanation) -> View:
    chosen, said = drawn(told)
    ids = np.concatenate([cell.ids for cell in told.trace.probed])
    place = {number: i for i, number in enumerate(told.scope.ids.tolist())}
    rows = np.array([place[number] for number in ids.tolist()], np.int64)
    exact, estimated = told.scope.exact[rows], told.scope.estimated[rows]
    off = estimated.astype(np.float64) - exact
    data = {
        "ids": ids[chosen].tolist(),
        "exact": numbers(exact[chosen]),
        "estimated": numbers(estimated[chosen]),
        "bars": error_bars(exact, estimated),
        "worst": _worst(told),
        "kth": float(told.exact_distances[-1]),
        **_marks(told),
    }
    error = (
        f" Over all, estimates are off by {_signed(off.mean())} ± {off.std():.4f} (mean and standard deviation)."
        if len(off)
        else ""
    )
    sentence = (
        "Right of the dashed diagonal an estimate is too small, left of it too large. What lies below the orange "
        "line was kept by its code; what lies left of the "
        f"dark line is a true neighbour. The two disagree where codes are too coarse.{error} {said}"
    )
    return View("errors", "errors", "Estimated against true distances", sentence, data)


def _signed(x: float) -> str:
    return f"{x:+.4f}".replace("-", "−")


def miss_sentence(miss: Any, told: Explanation) -> str:
    """Why one true neighbour is not among those kept by their codes, and what would have brought it."""
    if miss.reason == "not stored":
        return "Newer than the index; the search compares it directly, so it is found all the same."
    if miss.reason == "cell not probed":
        return (
            f"Its cell {miss.list_no} was not visited: it is number {miss.needed_nprobe} by distance, and "
            f"{told.trace.nprobe} were visited. "
            f"nprobe = {miss.needed_nprobe} would reach it."
        )
    over = abs(miss.distance - miss.worst_kept)
    saved = "and did" if miss.rank < told.candidates else f"and did not, with {told.candidates:,}"
    return (
        f"Its code is too coarse: it says {miss.distance:.6g}, {over:.3g} more than the last one kept "
        f"({miss.worst_kept:.6g}). "
        f"By code it came {_nth(miss.rank + 1)}, so re-ranking {miss.rank + 1:,} candidates or more saves it, {saved}."
    )


def _nth(n: int) -> str:
    return f"{n:,}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def _missed_view(told: Explanation) -> View:
    missed = [{**vars(miss), "sentence": miss_sentence(miss, told)} for miss in told.trace.missed]
    sentence = (
        f"The {len(told.exact_ids)} true neighbours are those found by comparing with everything. A search by "
        "codes misses one for one of two reasons: "
        "its cell was not visited, or its code made it look farther than it is."
    )
    return View("missed", "missed", "What the codes missed, and why", sentence, {"missed": missed})


def _whatif_view(told: Explanation) -> View:
    scope, index = told.scope, told.index
    wide = np.dtype(told.codes.dtype).itemsize
    estimated = {index.m: scope.estimated, **scope.other}
    data = {
        "ids": scope.ids.tolist(),
        "rank": scope.list_rank.tolist(),
        "list_no": scope.list_no.tolist(),
        "exact": numbers(scope.exact),
        "estimated": {m: numbers(values, 7 if m != index.m else 9) for m, values in estimated.items()},
        "bytes": {m: m * wide + 8 for m in estimated},
        "k": told.trace.k,
        "m": index.m,
        "nprobe": told.trace.nprobe,
        "nlist": index.nlist,
        "lists": scope.lists,
        "candidates": told.candidates,
        "goal": told.exact_ids.tolist(),
        "kth": float(told.exact_distances[-1]),
        "total": index.ntotal,
    }
    part = (
        ""
        if scope.lists == index.nlist
        else f" The file holds the {scope.lists:,} nearest of {index.nlist:,} cells, so the slider ends there."
    )
    other = (
        f" Codebooks for other m were learnt from {min(len(scope.ids), 2048):,} of these vectors, so they are a "
        "little rough."
        if scope.other
        else ""
    )
    sentence = (
        "Move a slider, and the search is done again in this page, from the distances it holds. More lists find "
        "more and scan more; more pieces are "
        f"finer and larger; re-ranking looks at the stored features of the best candidates.{part}{other}"
    )
    return View("whatif", "whatif", "What if", sentence, data)


def important(told: Explanation, nearest: Iterable[IdArray]) -> list[int]:
    """Ids in the order in which their pictures matter on the page."""
    scanned = np.concatenate([cell.ids for cell in told.trace.probed])
    distances = np.concatenate([cell.distances for cell in told.trace.probed])
    cells = [ids[:3] for ids in nearest]
    parts = [
        told.final_ids, told.exact_ids, told.trace.ids, scanned[np.argsort(distances, kind="stable")][:200],
        *(cells[list_no] for list_no in range(len(cells))), scanned[np.argsort(distances, kind="stable")],
    ]  # fmt: skip
    ordered: list[int] = np.concatenate(parts).astype(np.int64).tolist()
    return ordered

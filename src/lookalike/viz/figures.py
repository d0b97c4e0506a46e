"""Views of an index and of one search: coordinates from `layout`, numbers from the trace, and a sentence on what one sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import IdArray
from lookalike.viz.layout import (
    principal_plane,
    rings,
)
from lookalike.viz.report import View
from lookalike.viz.umap import Method, umap_places

if TYPE_CHECKING:
    from lookalike.explain.explanation import Explanation

from lookalike.viz.code_views import codebooks_view, errors_view, pieces_view, table_view
from lookalike.viz.drawn import drawn, marks, numbers, worst

__all__ = ["important", "search_steps", "search_views"]


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
        pieces_view(told),
        codebooks_view(told),
        table_view(told),
        errors_view(told),
        _missed_view(told),
        _whatif_view(told),
    ]


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
        "worst": worst(told),
        "steps": search_steps(told),
        "descending": False,
        **marks(told),
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
    outside = np.flatnonzero(~np.isin(told.detailed, ids) & np.isin(told.detailed, marks(told)["missed"]))
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
        how = "laid out by UMAP, which keeps neighbours together; large distances on it mean nothing. The colour shows the distance"
    else:
        plane = principal_plane(everything)
        both = plane.place(everything)
        how = (
            f"on the plane of their largest variance (PCA), which shows {100 * plane.share:.0f} % of it; what looks near here "
            "can be far in the other dimensions, so the colour shows the distance"
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
        **marks(told),
    }
    sentence = f"The same vectors, decoded from their codes, {how}. Orange lines lead to those kept. {said}"
    return View("projection", "projection", "Fine search, projected", sentence, data)


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
    saved = "as it did here" if miss.rank < told.candidates else f"but this search re-ranked {told.candidates:,}"
    return (
        f"Its code is too coarse: by code its distance is {miss.distance:.6g}, {over:.3g} more than that of the last one kept "
        f"({miss.worst_kept:.6g}). "
        f"By code it is {_nth(miss.rank + 1)}, so re-ranking {miss.rank + 1:,} candidates or more finds it, {saved}."
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

"""A search in a graph of hnswlib or FAISS: its trace laid out level by level, and the page that plays it back.

On each level the query stands in the middle, and a vector as far from it as its distance says, so that a search runs inwards; the
angle is that of the two main directions (PCA) in which the drawn vectors differ from the query, spread out so that they do not hide
each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.viz.hnsw_graph import HNSWGraph, HNSWStep, HNSWTrace
from lookalike.viz.report import Page, View, assemble

__all__ = ["MOST_VISITED", "Placed", "hnsw_page", "place"]

MOST_VISITED = 1200  # of the visited vectors of level 0: drawn
MOST_OTHERS = 240  # of those that were not visited: drawn, over all levels
MOST_LINKS = 64  # of one step: drawn
INNER = 0.05  # radius of the nearest, where the rim is 1
EVENLY = 0.7  # how far angles are spread out: 0 as they are, 1 all equal


@dataclass(frozen=True)
class Placed:
    """What is drawn of one level, in the order of its visit; vectors that were not visited follow.

    Attributes
    ----------
    level : int
    nodes : ndarray of int64, shape (n,)
        Positions in the graph.
    distances : ndarray of float32, shape (n,)
    steps : ndarray of int64, shape (n,)
        At which each was first met on this level; −1 of those that never were.
    x, y : ndarray of float, shape (n,)
        In a disc of radius 1 around the query.
    total, visited, followed : int
        Vectors on the level, vectors met there, links followed there: all of them, whatever is drawn.
    """

    level: int
    nodes: IdArray
    distances: FloatArray
    steps: IdArray
    x: Array
    y: Array
    total: int
    visited: int
    followed: int


def place(graph: HNSWGraph, trace: HNSWTrace, seed: int = 0) -> list[Placed]:
    """Coordinates of a search, the highest level first.

    The visited vectors of level 0 are drawn up to `MOST_VISITED`, those on the way, the results and the nearest before others.
    """
    rng = np.random.default_rng(seed)
    met = _first_met(trace)
    chosen = [_chosen(graph, trace, level, met[level], rng) for level in sorted(met, reverse=True)]
    sign = -1.0 if trace.metric == "ip" else 1.0
    every, back = np.unique(np.concatenate([nodes for nodes, _ in chosen]), return_inverse=True)
    keys = np.asarray(graph.keys(trace.query, every), np.float64)
    radius, angle = _radii(trace.metric, keys)[back], _angles(graph.vectors[every] - trace.query)[back]
    keys = keys[back]  # a vector stands in the same direction on each of its levels
    placed, start = [], 0
    for level, (nodes, steps) in zip(sorted(met, reverse=True), chosen, strict=True):
        part = slice(start, start + len(nodes))
        start += len(nodes)
        here = [step for step in trace.steps if step.level == level]
        placed.append(
            Placed(
                level,
                nodes,
                np.asarray(sign * keys[part], np.float32),
                steps,
                radius[part] * np.cos(angle[part]),
                radius[part] * np.sin(angle[part]),
                len(graph.links[level].nodes),
                len(met[level]),
                sum(len(step.links) for step in here),
            )
        )
    return placed


def _first_met(trace: HNSWTrace) -> dict[int, dict[int, int]]:
    """Of each level: the step at which each position was first met there."""
    met: dict[int, dict[int, int]] = {}
    for number, step in enumerate(trace.steps):
        here = met.setdefault(step.level, {step.node: number})
        for node in step.new.tolist():
            here.setdefault(node, number)
    return met


def _chosen(
    graph: HNSWGraph, trace: HNSWTrace, level: int, met: dict[int, int], rng: np.random.Generator
) -> tuple[IdArray, IdArray]:
    """Positions to draw on a level, and when each was met."""
    nodes = np.array(list(met), np.int64)
    if len(nodes) > MOST_VISITED:
        way = [step.node for step in trace.steps if step.level == level]
        rank = graph.keys(trace.query, nodes) - 1e30 * np.isin(nodes, way) - 2e30 * np.isin(nodes, trace.nodes)
        nodes = nodes[np.sort(np.argpartition(rank, MOST_VISITED)[:MOST_VISITED])]
    others = np.setdiff1d(graph.links[level].nodes, np.array(list(met), np.int64), assume_unique=True)
    room = MOST_OTHERS if level == 0 else MOST_OTHERS // 4
    if len(others) > room:
        others = rng.choice(others, room, replace=False)
    steps = [met[node] for node in nodes.tolist()]
    return np.concatenate([nodes, others]), np.array([*steps, *[-1] * len(others)], np.int64)


def _radii(metric: str, keys: Array) -> Array:
    """Growing with distance (of ``"l2"`` the root of the squared one), from `INNER` to 1."""
    far = np.sqrt(np.maximum(keys, 0)) if metric == "l2" else keys
    low, high = float(far.min()), float(far.max())
    return INNER + (1 - INNER) * (far - low) / (high - low if high > low else 1)


def _angles(offsets: Array) -> Array:
    """Of each row, in the plane in which the rows vary most, blended with an even spread in the same order."""
    offsets = np.asarray(offsets, np.float64)
    centred = offsets - offsets.mean(axis=0)
    if len(offsets) > 2 and offsets.shape[1] > 1 and np.abs(centred).max() > 0:
        _, vectors = np.linalg.eigh(centred.T @ centred)
        flat = centred @ vectors[:, -2:]
        angle = np.arctan2(flat[:, 0], flat[:, 1])
    else:
        angle = np.zeros(len(offsets))
    rank = np.empty(len(angle))
    rank[np.argsort(angle, kind="stable")] = np.arange(len(angle))
    spread: Array = (1 - EVENLY) * angle + EVENLY * (2 * np.pi * rank / max(1, len(angle)) - np.pi)
    return spread


# --- the page --------------------------------------------------------------------------------------------------------


def hnsw_page(
    graph: HNSWGraph,
    trace: HNSWTrace,
    name: str,
    *,
    query_name: str = "the query",
    pictures: Mapping[Any, Mapping[str, Any]] | None = None,
) -> Page:
    """One page that shows a search in a graph: its levels and its way, its least distance, its work.

    Parameters
    ----------
    graph, trace
        A graph, and what its `trace` wrote down.
    name : str
        Of the file, for the title.
    query_name : str
        What was searched for, in words.
    pictures : mapping, optional
        Of ids, as in `lookalike.viz.report.assemble`.
    """
    placed = place(graph, trace)
    labels = {"l2": "squared distance", "ip": "inner product", "cosine": "1 − cosine"}
    common = {"measure": labels[trace.metric], "larger_is_nearer": trace.metric == "ip"}
    visited, followed = sum(part.visited for part in placed), sum(part.followed for part in placed)
    views = [
        View(
            "levels", "hnsw", "Levels and the way of the search",
            "Each disc is a level, the sparse ones on top. The query stands in the middle of each; a vector is as far from it as "
            "its distance says. Above level 0 the search goes to the nearest neighbour until none is nearer, then it goes one "
            "level down. On level 0 it follows the links of the nearest candidate until none can come among the "
            f"{_width(graph, trace)}.",
            {**common, **_drawn(graph, trace, placed)},
            f"{visited:,} of {graph.ntotal:,} vectors were compared with the query; {followed:,} links were followed.",
        ),
        View(
            "distance", "hnsw-distance", "The least distance, step by step",
            "The line is the nearest vector found until then; a dot is the vector whose links were followed in that step. Grey is "
            "the worst that is still kept: where a dot would lie beyond it, the search ends.",
            {**common, "steps": [_point(step) for step in trace.steps], "entry": trace.entry_distance},
        ),
        View(
            "work", "hnsw-work", "Where the work was done",
            "Of each level: the vectors on it, those the search compared with the query, and the links that it followed. Nearly "
            "all is done on level 0; the levels above only find a good place to start.",
            {"levels": [{"level": p.level, "total": p.total, "visited": p.visited, "followed": p.followed,
                         "steps": sum(step.level == p.level for step in trace.steps)} for p in placed]},
        ),
    ]  # fmt: skip
    width = f"ef_construction={graph.ef_construction}"
    lead = (
        f"A graph of {graph.library}: {graph.ntotal:,} vectors of d={graph.d} on {_count(len(graph.links), 'level')}, M={graph.M}, "
        f"{width}, metric {graph.metric}. Searched for {query_name} with k={trace.k}, ef={trace.ef}."
    )
    return assemble(
        f"Inside {name}", views, lead=lead, notes=_notes(graph, trace, placed), documents={"trace": trace.to_json()},
        pictures=pictures,
    )  # fmt: skip


def _width(graph: HNSWGraph, trace: HNSWTrace) -> str:
    if graph.library == "faiss":
        return f"{trace.ef} nearest that it has met (ef)"
    return f"{max(trace.ef, trace.k)} best (ef)"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _notes(graph: HNSWGraph, trace: HNSWTrace, placed: list[Placed]) -> list[str]:
    notes = []
    left_out = [(part.level, part.visited, int((part.steps >= 0).sum())) for part in placed]
    for level, visited, drawn in left_out:
        if drawn < visited:
            notes.append(f"Of the {visited:,} vectors met on level {level}, the {drawn:,} that matter most are drawn.")
    others = sum(part.total - part.visited for part in placed)
    shown = sum(int((part.steps < 0).sum()) for part in placed)
    if shown < others:
        notes.append(f"Of the vectors that were not met, {shown:,} of {others:,} are drawn, picked at random.")
    if graph.deleted.any():
        notes.append(f"{int(graph.deleted.sum()):,} vectors are marked as deleted: passed through, never returned.")
    if len(trace.ids) < trace.k:
        notes.append(
            f"Only {len(trace.ids)} of {trace.k} results were found: no more can be reached from the entry point."
        )
    return notes


def _drawn(graph: HNSWGraph, trace: HNSWTrace, placed: list[Placed]) -> dict[str, Any]:
    """Levels with their marks, and of each step what it lights."""
    at = {
        (part.level, node): (number, i)
        for number, part in enumerate(placed)
        for i, node in enumerate(part.nodes.tolist())
    }
    found = set(trace.nodes.tolist())
    levels = [
        {
            "level": part.level, "total": part.total, "visited": part.visited, "followed": part.followed,
            "ids": graph.ids[part.nodes].tolist(), "distances": part.distances.tolist(), "steps": part.steps.tolist(),
            "x": np.round(part.x, 4).tolist(), "y": np.round(part.y, 4).tolist(),
            "found": [i for i, node in enumerate(part.nodes.tolist()) if part.level == 0 and node in found],
        }
        for part in placed
    ]  # fmt: skip
    parents: dict[tuple[int, int], int] = {}
    steps = []
    before: HNSWStep | None = None
    for step in trace.steps:
        links = [at[step.level, node] for node in step.new.tolist() if (step.level, node) in at]
        if before is None or before.level != step.level:
            came: Any = "entry" if before is None else "down"
        else:
            parent = before.node if step.level else parents.get((0, step.node), before.node)
            came = at.get((step.level, parent))
        for node in step.new.tolist():
            parents.setdefault((step.level, node), step.node)
        steps.append(
            {
                "level": step.level,
                "at": at.get((step.level, step.node)),
                "came": came,
                "links": links[:MOST_LINKS],
                "label": _label(graph, step),
                "nearest": step.nearest,
            }
        )
        before = step
    steps.append({"level": 0, "at": None, "came": None, "links": [], "nearest": before.nearest if before else None,
                  "label": f"Done: the {len(trace.ids)} nearest of what was met are returned"})  # fmt: skip
    return {"levels": levels, "steps": steps}


def _label(graph: HNSWGraph, step: HNSWStep) -> str:
    known = len(step.links) - len(step.new)
    said = f"level {step.level}: follow {_count(len(step.links), 'link')} of {graph.ids[step.node]}"
    if known:
        said += f", {known} of them met before"
    kept = int(step.kept.sum())
    if step.level:
        return f"{said}; {'a nearer one is found' if kept else 'none is nearer, so one level down'}"
    return (
        f"{said}; {kept} come among the best, {step.candidates} wait"
        if kept
        else f"{said}; none comes among the best, {step.candidates} wait"
    )


def _point(step: HNSWStep) -> dict[str, Any]:
    return {"level": step.level, "distance": step.distance, "nearest": step.nearest, "worst": step.worst,
            "met": len(step.new)}  # fmt: skip

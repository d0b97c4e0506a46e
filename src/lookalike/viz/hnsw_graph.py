"""Search in an HNSW graph (Malkov and Yashunin 2018) that another library built, recorded step by step.

The results are those of the library that wrote the file. Graphs are not built here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray, PathLike
from lookalike._validate import check_count, check_vectors, unit_rows
from lookalike.errors import InputError
from lookalike.files.hnsw import StoredGraph, read_graph
from lookalike.index.plain import opened
from lookalike.index.trace import as_json

__all__ = ["HNSWGraph", "HNSWStep", "HNSWTrace", "read_hnsw"]

MAX_EF = 100_000
EF = 50  # where the file gives none


@dataclass(frozen=True)
class HNSWGraph(StoredGraph):
    """A graph that can be searched; see `files.hnsw.StoredGraph` for what it holds."""

    def keys(self, q: FloatArray, nodes: Array) -> FloatArray:
        """What searches compare, ascending: squared distances, minus inner products, or 1 − cosine."""
        return opened(q, self.vectors[nodes], self.metric)

    def trace(self, query: Any, k: int = 10, ef: int | None = None) -> HNSWTrace:
        """One search, recorded step by step, with the results of the library that wrote the file.

        Parameters
        ----------
        query : array_like, shape (d,)
        k : int
            Results.
        ef : int, optional
            Width of the search on level 0; by default that of the file, else 50.

        Raises
        ------
        DimensionError, InputError
            If the query cannot be compared with the vectors, or there are none.
        """
        q = check_vectors(query, self.d, "query")
        if len(q) != 1:
            raise InputError(f"query: expected one vector, got {len(q)}")
        if not self.ntotal:
            raise InputError("the graph is empty: there is nothing to search")
        k = check_count(k, "k", 1, MAX_EF)
        ef = check_count(ef if ef is not None else self.ef or EF, "ef", 1, MAX_EF)
        return _search(self, (unit_rows(q) if self.metric == "cosine" else q)[0], k, ef)


@dataclass(frozen=True)
class HNSWStep:
    """One vector whose links were followed.

    Attributes
    ----------
    level, node : int
    distance : float
        Of the vector.
    links : ndarray of int64
        All positions that it is linked to on this level.
    new : ndarray of int64
        Those whose distance was computed now, in order: above level 0 all of them, on level 0 those not visited before.
    distances : ndarray of float32
        Of `new`.
    kept : ndarray of bool
        Which of `new` were nearer than all before (above level 0), or among the ef best (on level 0).
    nearest, worst : float
        Smallest distance so far; largest among the results kept.
    results, candidates : int
        How many are kept, and how many have links still to follow.
    """

    level: int
    node: int
    distance: float
    links: IdArray
    new: IdArray
    distances: FloatArray
    kept: Array
    nearest: float
    worst: float
    results: int
    candidates: int


@dataclass(frozen=True)
class HNSWTrace:
    """Every step of one search in a graph. Distances are those of the metric; for ``"ip"`` inner products, larger is nearer.

    Attributes
    ----------
    query : ndarray of float32, shape (d,)
        Of unit length for ``"cosine"``.
    metric, k, ef
    entry : int
        Position of the entry point.
    entry_distance : float
    steps : tuple of HNSWStep
        Level by level, the highest first.
    nodes, ids, distances : ndarray, shape (k',)
        Positions, ids and distances of the results, best first.
    """

    query: FloatArray
    metric: str
    k: int
    ef: int
    entry: int
    entry_distance: float
    steps: tuple[HNSWStep, ...]
    nodes: IdArray
    ids: IdArray
    distances: FloatArray

    def visited(self) -> dict[int, IdArray]:
        """For each level the positions whose distance was computed there, in order; the first is the entry to the level."""
        by_level: dict[int, list[IdArray]] = {}
        for step in self.steps:
            by_level.setdefault(step.level, [np.array([step.node])]).append(step.new)
        met = {level: np.concatenate(parts) for level, parts in by_level.items()}
        return {level: nodes[np.sort(np.unique(nodes, return_index=True)[1])] for level, nodes in met.items()}

    def path(self) -> list[tuple[int, int]]:
        """(level, position) of each vector whose links were followed, in order."""
        return [(step.level, step.node) for step in self.steps]

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for `json.dumps`."""
        return dict(as_json(self))


def read_hnsw(path: PathLike, metric: str | None = None) -> HNSWGraph:
    """The graph of a file that ``hnswlib.Index.save_index`` or ``faiss.write_index`` wrote.

    Parameters
    ----------
    path : str or path
    metric : {"l2", "ip", "cosine"}, optional
        That of a file of hnswlib, which does not name it: by default ``"cosine"`` if all vectors have length 1, else ``"l2"``.
        A file of FAISS names its own.

    Returns
    -------
    graph : HNSWGraph

    Raises
    ------
    FormatError
        If the file is damaged, truncated or of another kind.
    """
    return HNSWGraph(**vars(read_graph(Path(path), metric)))


# --- the search ------------------------------------------------------------------------------------------------------


def _search(graph: HNSWGraph, q: FloatArray, k: int, ef: int) -> HNSWTrace:
    sign = -1.0 if graph.metric == "ip" else 1.0
    first = float(graph.keys(q, np.array([graph.entry]))[0])
    node, key, steps = graph.entry, first, []
    for level in range(int(graph.levels[graph.entry]), 0, -1):
        for step in _descend(graph, q, level, node, key):
            steps.append(step)
            if step.kept.any():
                node, key = int(step.new[step.kept][-1]), step.nearest
    width = max(ef, k)
    walk = _Walk(graph, q, node, key, k, width, ef if graph.library == "faiss" else width)
    steps += walk.steps()
    found = sorted((-negated, place) for negated, place in walk.best)[:k]
    nodes = np.array([place for _, place in found], np.int64)
    return HNSWTrace(
        query=q,
        metric=graph.metric,
        k=k,
        ef=ef,
        entry=graph.entry,
        entry_distance=sign * first,
        steps=tuple(_signed(step, sign) for step in steps),
        nodes=nodes,
        ids=graph.ids[nodes],
        distances=np.array([sign * key for key, _ in found], np.float32),
    )


def _signed(step: HNSWStep, sign: float) -> HNSWStep:
    """The step with distances of the metric in place of the keys compared."""
    return replace(
        step,
        distance=sign * step.distance,
        distances=np.asarray(sign * step.distances, np.float32),
        nearest=sign * step.nearest,
        worst=sign * step.worst,
    )


def _descend(graph: HNSWGraph, q: FloatArray, level: int, node: int, key: float) -> Iterator[HNSWStep]:
    """Above level 0: move to the nearest neighbour until none is nearer."""
    moved = True
    while moved:
        links = graph.links[level].of(node)
        keys = graph.keys(q, links)
        before = np.minimum.accumulate(np.concatenate([[key], keys]))[:-1]
        kept = keys < before  # nearer than all before it
        nearest = float(keys[kept][-1]) if kept.any() else key
        yield HNSWStep(level, node, key, links, links, keys, kept, nearest, nearest, 1, 1)
        moved = bool(kept.any())
        if moved:
            node, key = int(links[kept][-1]), nearest


class _Walk:
    """On level 0: follow the links of the nearest candidate, until none can be among the best.

    hnswlib keeps the `width` best and stops at a candidate that is worse than all of them. FAISS keeps k, and stops at a candidate
    once `limit` of the vectors it visited are nearer.
    """

    def __init__(self, graph: HNSWGraph, q: FloatArray, node: int, key: float, k: int, width: int, limit: int) -> None:
        self.graph, self.q, self.k, self.width, self.limit = graph, q, k, width, limit
        self.candidates = [(key, node)]
        self.best: list[tuple[float, int]] = []  # results, the worst first: (−key, node)
        self.met: list[float] = []  # FAISS: −keys of the `width` nearest candidates so far
        self.visited = np.zeros(graph.ntotal, np.bool_)
        self.visited[node] = True
        self.any_deleted = bool(graph.deleted.any())
        self.nearest = key
        if not graph.deleted[node]:
            self._keep(key, node)
        self._note(key)

    def steps(self) -> Iterator[HNSWStep]:
        while self.candidates:
            key, node = self.candidates[0]
            if self._is_enough(key):
                return
            heapq.heappop(self.candidates)
            links = self.graph.links[0].of(node)
            fresh = links[~self.visited[links]]
            fresh = fresh[np.sort(np.unique(fresh, return_index=True)[1])]
            self.visited[fresh] = True
            keys = self.graph.keys(self.q, fresh)
            kept = [self._offer(float(key), int(other)) for key, other in zip(keys, fresh, strict=True)]
            self.nearest = min(self.nearest, float(keys.min(initial=np.inf)))
            worst = -self.best[0][0] if self.best else np.inf
            yield HNSWStep(
                0, node, key, links, fresh, keys, np.array(kept, np.bool_), self.nearest, worst, len(self.best),
                len(self.candidates),
            )  # fmt: skip

    def _is_enough(self, key: float) -> bool:
        if self.graph.library == "faiss":
            return sum(-other < key for other in self.met) >= self.limit
        full = len(self.best) >= self.width
        return bool(self.best) and key > -self.best[0][0] and (full or not self.any_deleted)

    def _offer(self, key: float, node: int) -> bool:
        if self.graph.library == "faiss":
            if self._note(key):
                heapq.heappush(self.candidates, (key, node))
            return self._keep(key, node)
        if len(self.best) >= self.width and key >= -self.best[0][0]:
            return False
        heapq.heappush(self.candidates, (key, node))
        return not self.graph.deleted[node] and self._keep(key, node)

    def _keep(self, key: float, node: int) -> bool:
        room = self.k if self.graph.library == "faiss" else self.width
        if len(self.best) >= room and key >= -self.best[0][0]:
            return False
        heapq.heappush(self.best, (-key, node))
        if len(self.best) > room:
            heapq.heappop(self.best)
        return True

    def _note(self, key: float) -> bool:
        """Whether a key is among the `width` smallest so far, as FAISS's bounded queue counts them."""
        if len(self.met) >= self.width:
            if key >= -self.met[0]:
                return False
            heapq.heapreplace(self.met, -key)
        else:
            heapq.heappush(self.met, -key)
        return True

"""HNSW graphs from files of hnswlib and of FAISS (IndexHNSWFlat, alone or in an IndexIDMap), read without either.

All numbers are little-endian. FAISS writes records (see `faiss_read`); hnswlib writes its memory as it is::

    hnswlib  offset of level 0 u64 (0) · max_elements u64 · n u64 · size of an element u64 · offset of its label u64
             · offset of its vector u64 · highest level i32 · entry point u32 · M u64 · M of level 0 u64 · M u64
             · 1 / ln M f64 · ef_construction u64
             · n elements: count u16 · deleted u8 · unused u8 · links u32 (M of level 0) · vector float32 (d) · label u64
             · for each element: bytes u32 · for each level above 0: count u16 · unused u16 · links u32 (M)
    IHNf     header · vector of f64: probability of each level · vector of i32: links up to each level
             · vector of i32: levels, from 1 · vector of u64: where the links of each begin, and where the last end
             · vector of i32: links, −1 where unused · entry point i32 · highest level i32
             · ef_construction i32 · ef of searches i32 · unused i32 · flat record

A file of hnswlib does not name its metric; for ``"cosine"`` its vectors have unit length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike._validate import check_metric
from lookalike.errors import InputError
from lookalike.files.faiss_read import DEEPEST, read_flat, read_header
from lookalike.files.reader import Reader, open_reader

__all__ = ["LevelLinks", "StoredGraph", "read_graph"]

HIGHEST = 64  # level; 2⁶⁴ vectors with M = 2 reach it
MAX_LINKS = 0xFFFF  # of one vector on one level; their count has 16 bits
MAX_D = 1_000_000
UNIT = 1e-3  # how far a squared length may be from 1


@dataclass(frozen=True)
class LevelLinks:
    """The links of one level, as a compressed sparse matrix.

    Attributes
    ----------
    nodes : ndarray of int64, shape (n,)
        Positions of the vectors that are on this level, ascending.
    starts : ndarray of int64, shape (n + 1,)
        Links of ``nodes[i]`` are ``targets[starts[i]:starts[i + 1]]``.
    targets : ndarray of int64, shape (links,)
    """

    nodes: IdArray
    starts: IdArray
    targets: IdArray

    @classmethod
    def of_table(cls, nodes: Array, table: Array, used: Array) -> LevelLinks:
        """From links in a table of n rows, and a mask of those that are used."""
        starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int64)
        return cls(nodes.astype(np.int64), starts, table[used].astype(np.int64))

    def of(self, node: int) -> IdArray:
        """Positions that a vector on this level links to."""
        place = int(np.searchsorted(self.nodes, node))
        if place == len(self.nodes) or self.nodes[place] != node:
            raise InputError(f"node: {node} is not on this level")
        return self.targets[self.starts[place] : self.starts[place + 1]]


@dataclass(frozen=True)
class StoredGraph:
    """A graph as its file holds it. Vectors are numbered by position, 0 to ntotal − 1; searches return their `ids`.

    Attributes
    ----------
    library : {"hnswlib", "faiss"}
        The one that wrote it; their searches stop differently.
    metric : {"l2", "ip", "cosine"}
    vectors : ndarray of float32, shape (n, d)
    ids : ndarray of int64, shape (n,)
    levels : ndarray of int64, shape (n,)
        Of each vector the highest level that it is on, from 0.
    links : tuple of LevelLinks
        Those of level 0, 1 …
    entry : int
        Position where searches begin; −1 if the graph is empty.
    M, ef_construction : int
        Links of a vector on each level above 0, at most; width of the searches that built the graph.
    ef : int or None
        Width of searches, if the file gives one.
    deleted : ndarray of bool, shape (n,)
        Vectors that searches pass through and never return (hnswlib's ``mark_deleted``).
    """

    library: str
    metric: str
    vectors: FloatArray
    ids: IdArray
    levels: IdArray
    links: tuple[LevelLinks, ...]
    entry: int
    M: int
    ef_construction: int
    ef: int | None
    deleted: Array

    @property
    def ntotal(self) -> int:
        """Vectors, the deleted ones included."""
        return len(self.vectors)

    @property
    def d(self) -> int:
        """Dimension."""
        return int(self.vectors.shape[1])


def read_graph(path: Path, metric: str | None = None) -> StoredGraph:
    """The graph of a file of hnswlib, whose metric may be given, or of FAISS.

    Raises
    ------
    FormatError
        If the file is damaged, truncated or of another kind.
    """
    wanted = None if metric is None else check_metric(metric)
    with open_reader(path) as reader:
        start = reader.file.read(8)
        reader.file.seek(0)
        return _hnswlib(reader, wanted) if start == bytes(8) else _faiss(reader, start)


# --- FAISS -----------------------------------------------------------------------------------------------------------


def _faiss(reader: Reader, start: bytes) -> StoredGraph:
    if start[:4] not in {b"IHNf", b"IxMp", b"IxM2"}:
        is_faiss = start[:2] in {b"Ix", b"IH", b"Iw", b"Iv"} and start[:4].isalnum()
        known = f"an index of type {start[:4].decode()}" if is_faiss else "another kind of file"
        reader.fail(
            f"expected a graph of hnswlib, or of FAISS (IHNf: IndexHNSWFlat, or IxMp, IxM2 around it), got {known}"
        )
    return _record(reader, 0)


def _record(reader: Reader, depth: int) -> StoredGraph:
    if depth == DEEPEST:
        reader.fail(f"more than {DEEPEST} records inside each other")
    kind = reader.fourcc("record")
    if kind in {"IxMp", "IxM2"}:
        _, ntotal, _ = read_header(reader)
        inner = _record(reader, depth + 1)
        ids = reader.vector(np.int64, "map of ids", ntotal)
        if len(ids) != inner.ntotal:
            reader.fail(f"a map of {len(ids)} ids around {inner.ntotal} vectors; it is damaged")
        if len(ids) and int(inner.ids.max()) >= len(ids):
            reader.fail(f"a map of {len(ids)} ids around id {int(inner.ids.max())}; it is damaged")
        if len(ids) and int(ids.min()) < 0:
            reader.fail(f"expected ids of at least 0, got {int(ids.min())}")
        return replace(inner, ids=ids[inner.ids])
    if kind != "IHNf":
        reader.fail(f"expected a graph of whole vectors (IHNf: IndexHNSWFlat), got a FAISS index of type {kind}")
    return _hnsw_flat(reader)


def _hnsw_flat(reader: Reader) -> StoredGraph:
    d, n, metric = read_header(reader)
    reader.vector(np.float64, "odds of the levels")
    upto = reader.vector(np.int32, "links up to each level").astype(np.int64)
    if not 2 <= len(upto) <= HIGHEST + 2 or upto[0] or (np.diff(upto) < 1).any() or np.diff(upto).max() > MAX_LINKS:
        reader.fail("links up to each level: expected numbers that grow from 0; it is damaged")
    levels = reader.vector(np.int32, "levels", n)
    if n and (levels.min() < 1 or levels.max() >= len(upto)):
        reader.fail(f"levels: expected 1 to {len(upto) - 1}, got {levels.min()} to {levels.max()}; it is damaged")
    offsets = reader.vector(np.uint64, "where links begin", n + 1)
    links = reader.vector(np.int32, "links")
    expected = np.concatenate([[0], np.cumsum(upto[levels])]).astype(np.uint64)
    if not np.array_equal(offsets, expected) or offsets[-1] != len(links):
        reader.fail(f"where links begin: does not fit the levels and the {len(links)} links; it is damaged")
    entry, highest, ef_construction, ef, _ = reader.numbers("iiiii", "entry point, highest level and widths")
    kind = reader.fourcc("record of the vectors")
    if kind not in {"IxF2", "IxFI", "IxFl"}:
        reader.fail(f"expected the vectors as they are (a flat index), got a FAISS index of type {kind}")
    flat = read_flat(reader, kind, DEEPEST)
    if (flat.d, flat.metric, len(flat.rows[0])) != (d, metric, n):
        reader.fail(f"its {len(flat.rows[0])} vectors of d={flat.d} do not fit the {n} of d={d} in the graph")
    starts = offsets.astype(np.int64)
    by_level = []
    for level in range(int(levels.max(initial=0))):
        nodes = np.flatnonzero(levels > level)
        table = links[starts[nodes, None] + np.arange(upto[level], upto[level + 1])]
        by_level.append(LevelLinks.of_table(nodes, table, np.logical_and.accumulate(table >= 0, axis=1)))
    graph = StoredGraph(
        "faiss", metric, flat.rows[0], np.arange(n), levels.astype(np.int64) - 1, tuple(by_level), entry,
        M=int(upto[1] // 2), ef_construction=ef_construction, ef=ef, deleted=np.zeros(n, np.bool_),
    )  # fmt: skip
    return _checked(reader, graph, highest)


# --- hnswlib ---------------------------------------------------------------------------------------------------------


def _hnswlib(reader: Reader, metric: str | None) -> StoredGraph:
    _, room, n, size, label_at, vector_at, highest, entry = reader.numbers("QQQQQQii", "header")
    most, most_below, m, _, ef_construction = reader.numbers("QQQdQ", "header")
    if not (1 <= most <= MAX_LINKS and 1 <= most_below <= MAX_LINKS and m == most):
        reader.fail(f"expected M of 1 to {MAX_LINKS}, got {most}, {most_below} on level 0; is it another kind of file?")
    if vector_at != 4 + 4 * most_below or size != label_at + 8 or not vector_at < label_at <= vector_at + 4 * MAX_D:
        reader.fail("its sizes do not fit each other; it is damaged, or no file of hnswlib")
    if n > room or (label_at - vector_at) % 4:
        reader.fail(f"{n} vectors in room for {room}, of {label_at - vector_at} bytes; expected multiples of 4 bytes")
    block = reader.array(np.uint8, n * size, "vectors and their links").reshape(n, size)
    d = (label_at - vector_at) // 4
    vectors = reader.usable(_field(block, vector_at, label_at, "<f4").astype(np.float32), "vectors", d)
    labels = _field(block, label_at, size, "<i8")[:, 0].astype(np.int64)
    ground = _table(reader, np.arange(n), _field(block, 0, vector_at, "<u4"))
    levels, above = _upper(reader, n, most)
    graph = StoredGraph(
        "hnswlib", metric or _guessed(vectors), vectors, labels, levels, (ground, *above) if n else (), entry,
        M=m, ef_construction=ef_construction, ef=None, deleted=(block[:, 2] & 1).astype(np.bool_),
    )  # fmt: skip
    return _checked(reader, graph, highest)


def _field(block: Array, start: int, stop: int, dtype: str) -> Array:
    return np.ascontiguousarray(block[:, start:stop]).view(dtype)


def _table(reader: Reader, nodes: Array, words: Array) -> LevelLinks:
    """Links of `nodes`; a row of `words` is their count and the links."""
    counts = words[:, 0] & MAX_LINKS
    room = words.shape[1] - 1
    if len(counts) and counts.max() > room:
        reader.fail(f"a vector has {counts.max()} links in room for {room}; it is damaged")
    return LevelLinks.of_table(nodes, words[:, 1:], np.arange(room) < counts[:, None])


def _upper(reader: Reader, n: int, most: int) -> tuple[Array, list[LevelLinks]]:
    """Levels of all vectors, and the links above level 0."""
    words = reader.array(np.uint32, reader.left // 4, "links above level 0")
    levels = np.zeros(n, np.int64)
    found: list[tuple[list[int], list[int]]] = []  # for each level: vectors, and where their links begin
    place, width = 0, most + 1
    for node in range(n):
        if place >= len(words):
            reader.fail(f"links above level 0 of vector {node} of {n} are missing; it is truncated")
        length = int(words[place])
        place += 1
        if not length:
            continue
        levels[node] = height = length // (4 * width)
        if length % (4 * width) or height > HIGHEST or place + height * width > len(words):
            reader.fail(f"links above level 0 of vector {node}: {length} bytes do not fit; it is damaged")
        for level in range(height):
            if level == len(found):
                found.append(([], []))
            found[level][0].append(node)
            found[level][1].append(place + level * width)
        place += height * width
    if place != len(words):
        reader.fail(f"expected its end, found {4 * (len(words) - place)} bytes more; it is damaged")
    rows = [(np.array(nodes), words[np.array(at)[:, None] + np.arange(width)]) for nodes, at in found]
    return levels, [_table(reader, nodes, row) for nodes, row in rows]


def _guessed(vectors: FloatArray) -> str:
    lengths = np.einsum("ij,ij->i", vectors, vectors)
    return "cosine" if len(lengths) and np.abs(lengths - 1).max() < UNIT else "l2"


# --- both ------------------------------------------------------------------------------------------------------------


def _checked(reader: Reader, graph: StoredGraph, highest: int) -> StoredGraph:
    """The graph, if its entry point, links, ids and widths are possible."""
    n = graph.ntotal
    if n and (not 0 <= graph.entry < n or graph.levels[graph.entry] != highest or graph.levels.max() != highest):
        reader.fail(f"entry point {graph.entry} on level {highest} does not fit the levels of {n} vectors")
    if not n and graph.entry != -1:
        reader.fail(f"entry point {graph.entry} of a graph without vectors; it is damaged")
    for level, links in enumerate(graph.links):
        targets = links.targets
        if len(targets) and (targets.min() < 0 or targets.max() >= n or graph.levels[targets].min() < level):
            reader.fail(f"a link of level {level} leads to a vector that is not there; it is damaged")
    if len(graph.ids) and graph.ids.min() < 0:
        reader.fail(f"expected ids of at least 0, got {int(graph.ids.min())}")
    if graph.ef is not None and graph.ef < 0:
        reader.fail(f"ef: expected a number of at least 0, got {graph.ef}")
    if not 0 <= graph.ef_construction < 1 << 31:
        reader.fail(f"ef_construction: expected a number below 2**31, got {graph.ef_construction}")
    return graph

"""One search of a collection, taken apart: what the index did, what re-ranking made of it, what other settings would find.

Plain numbers, for `lookalike.viz` to draw and for other tools to read; nothing here draws.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import CodeArray, FloatArray, IdArray
from lookalike.collection import entries as entries_of
from lookalike.collection.queries import Resolver
from lookalike.collection.records import printable
from lookalike.collection.tune import choose_spec
from lookalike.errors import InputError, LookalikeWarning

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lookalike.collection.snapshot import Snapshot
    from lookalike.index.ivfpq import IVFPQIndex
    from lookalike.index.trace import Trace

__all__ = ["Explanation", "Inside", "Scope", "explain_search", "look_inside", "named_paths", "temporary_index"]

SCOPE = 10_000  # vectors whose distances are told one by one
TRAINED = 2048  # vectors that codebooks of other m are learnt from
DETAILED = 40  # vectors that are told in full


@dataclass(frozen=True)
class Scope:
    """Vectors that a search met or could have met, in the order in which it would visit their lists.

    Attributes
    ----------
    ids, list_no, list_rank : ndarray of int64, shape (n,)
        `list_rank` from 0: a search of more lists than that meets the vector.
    exact, estimated : ndarray of float32, shape (n,)
        Distances to the stored feature and to its code; NaN where there is no code, because it is newer than the index.
    lists : int
        So many lists are here in full.
    other : dict of int to ndarray
        Distances to codes with another m, of codebooks learnt on the spot.
    """

    ids: IdArray
    list_no: IdArray
    list_rank: IdArray
    exact: FloatArray
    estimated: FloatArray
    lists: int
    other: dict[int, FloatArray]


@dataclass(frozen=True)
class Explanation:
    """Everything that is to be told of one search; ids are those of entries, equal pictures under the first.

    Attributes
    ----------
    name : str
        Of the collection.
    spec : str
    temporary : bool
        The collection is small enough to be compared with in full; the index was made for this explanation.
    index : IVFPQIndex
    trace : Trace
        Of the search for k by codes.
    exact_ids, exact_distances : ndarray, shape (k',)
        The true neighbours.
    candidates : int
        So many are compared again by their stored features.
    final_ids, final_distances : ndarray, shape (k',)
        What comes of that: what `search` returns.
    scope : Scope
    detailed : IdArray
        Which vectors `residuals` and `codes` are of: those kept and those missed.
    residuals : ndarray of float32, shape (n, d)
        x − c, as the index knows them.
    codes : ndarray, shape (n, m)
    biases, list_terms : ndarray of float32, shape (n,)
        The parts of the distance that do not come from the table, see `lookalike.kernels.distances`.
    paths : dict of int to (str, Path)
        Name to show and file of every id above.
    entry_of : dict of int to int
        From the ids that the index holds (of features) to those of entries.
    total : int
        Pictures that can be found.
    """

    name: str
    spec: str
    temporary: bool
    index: IVFPQIndex
    trace: Trace
    exact_ids: IdArray
    exact_distances: FloatArray
    candidates: int
    final_ids: IdArray
    final_distances: FloatArray
    scope: Scope
    detailed: IdArray
    residuals: FloatArray
    codes: CodeArray
    biases: FloatArray
    list_terms: FloatArray
    paths: dict[int, tuple[str, Path]]
    entry_of: dict[int, int]
    total: int

    def to_json(self) -> dict[str, Any]:
        """The trace (`lookalike.index.trace.Trace.to_json`), and beside it what the collection makes of it.

        Floats have the nine digits that tell one float32 from another; a number that is not finite is None.
        """
        index = self.index
        ids = {int(i) for i in (*self.trace.ids, *self.exact_ids, *self.final_ids, *self.detailed)}
        ids |= {i for cell in self.trace.probed for i in cell.ids.tolist()}
        document = self.trace.to_json() | {
            "collection": {"name": self.name, "pictures": self.total},
            "index": {
                "spec": self.spec,
                "temporary": self.temporary,
                "nlist": index.nlist,
                "m": index.m,
                "nbits": index.nbits,
                "d": len(self.trace.query),
                "ntotal": index.ntotal,
            },
            "exact": {"ids": self.exact_ids.tolist(), "distances": self.exact_distances.tolist()},
            "reranked": {
                "candidates": self.candidates,
                "ids": self.final_ids.tolist(),
                "distances": self.final_distances.tolist(),
            },
            "paths": {str(number): self.paths[number][0] for number in sorted(ids)},
        }
        shortened: dict[str, Any] = _short(document)
        return shortened


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_short(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if np.isfinite(value) else None
    return value


def explain_search(
    view: Callable[[], AbstractContextManager[tuple[sqlite3.Connection, Snapshot]]],
    name: str,
    query: Any,
    k: int,
    nprobe: int | None,
    candidates: int | None,
) -> Explanation:
    """See `Collection.explain`."""
    with view() as (connection, snapshot):
        if not len(snapshot):
            raise InputError(f"{name} holds no pictures, so there is no search to explain; index a folder first")
        resolver = Resolver(connection, snapshot.card, snapshot.store)
        resolver.collect(query)
    xq = resolver.vector()
    with view() as (connection, snapshot):
        if not len(snapshot) or snapshot.store.d != len(xq) or snapshot.store.transform is not resolver.transform:
            raise InputError(f"{name} changed meanwhile; explain it again")
        index = None if snapshot.loaded is None else snapshot.loaded.get()
        generation = None if snapshot.loaded is None or index is None else snapshot.loaded.generation
        coded: Any = index
        if generation is None:
            coded = temporary_index(snapshot.store[snapshot.features], snapshot.features)
        else:
            nprobe, candidates = nprobe or generation.nprobe, candidates or generation.candidates
        parts = _explain(snapshot, coded, xq, k, nprobe or max(1, round(coded.nlist / 4)), candidates or 4 * k)
        paths = _paths(connection, parts)
        entries = _first_entries(snapshot)(snapshot.features)
    return Explanation(
        name=name,
        spec=_spec(coded) if generation is None else generation.spec,
        temporary=generation is None,
        index=coded,
        paths=paths,
        entry_of=dict(zip(snapshot.features.tolist(), entries.tolist(), strict=True)),
        total=len(snapshot),
        **parts,
    )


def _spec(index: IVFPQIndex) -> str:
    return f"IVF{index.nlist},PQ{index.m}{'' if index.nbits == 8 else f'x{index.nbits}'}"


@dataclass(frozen=True)
class Inside:
    """The index of a collection, to look at.

    Attributes
    ----------
    index : Index
    spec : str
    temporary : bool
        Made for the occasion, because the collection is small.
    entry_of : dict of int to int
        From the ids that the index holds (of features) to those of entries.
    """

    index: Any
    spec: str
    temporary: bool
    entry_of: dict[int, int]


def look_inside(snapshot: Snapshot, name: str) -> Inside:
    """See `Collection.inside`."""
    if not len(snapshot):
        raise InputError(f"{name} holds no pictures, so it has no index to show; index a folder first")
    index: Any = None if snapshot.loaded is None else snapshot.loaded.get()
    entries = _first_entries(snapshot)(snapshot.features)
    entry_of = dict(zip(snapshot.features.tolist(), entries.tolist(), strict=True))
    if snapshot.loaded is not None and index is not None:
        return Inside(index, snapshot.loaded.generation.spec, False, entry_of)
    index = temporary_index(snapshot.store[snapshot.features], snapshot.features)
    return Inside(index, _spec(index), True, entry_of)


def temporary_index(x: FloatArray, ids: IdArray) -> IVFPQIndex:
    """An IVFPQ index over few vectors, unit rows of shape (n, d), for looking at; it is not kept."""
    from lookalike.index.ivfpq import IVFPQIndex

    spec = choose_spec(*x.shape)
    nlist = max(1, min(spec.nlist, len(x) // 2))
    index = IVFPQIndex(nlist=nlist, m=spec.m, nbits=spec.nbits, metric="cosine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LookalikeWarning)  # there are as many as there are
        index.train(x if len(x) >= index.ksub else np.resize(x, (index.ksub, x.shape[1])))
    return index.add(x, ids=ids)


def _explain(
    snapshot: Snapshot, index: IVFPQIndex, xq: FloatArray, k: int, nprobe: int, candidates: int
) -> dict[str, Any]:
    from lookalike.index.exact import exact_search

    nprobe, k = min(nprobe, index.nlist), min(k, len(snapshot.features))
    distances, found = exact_search(xq[None, :], snapshot.store.rows, k, "cosine", snapshot.features)
    exact_ids, exact_distances = found[0], distances[0]
    sizes = index.list_sizes
    order, _ = index._probe(index._inside(index._vectors(xq[None, :], "query")), index.nlist)
    reach = np.cumsum(sizes[order[0]])
    lists = max(nprobe, int(np.searchsorted(reach, SCOPE, side="right")))
    trace = _only(index.trace(xq, k, lists, exact_ids=exact_ids), snapshot)
    wide, trace = trace, _only(index.trace(xq, k, nprobe, exact_ids=exact_ids), snapshot)
    final_ids, final_distances = _reranked(snapshot, index, xq, k, nprobe, candidates)
    scope = _scope(snapshot, index, wide, xq, order[0], np.union1d(exact_ids, final_ids))
    missed = np.array([miss.id for miss in trace.missed], np.int64)
    detailed = np.unique(np.concatenate([exact_ids, final_ids, trace.ids, missed])[: DETAILED * 4])
    detailed = detailed[np.isin(detailed, index.ids)][:DETAILED]
    told = _detail(snapshot, index, trace.query, detailed)
    entry = _first_entries(snapshot)
    return {
        "trace": _renamed(trace, entry),
        "exact_ids": entry(exact_ids),
        "exact_distances": exact_distances,
        "candidates": candidates,
        "final_ids": entry(final_ids),
        "final_distances": final_distances,
        "scope": replace(scope, ids=entry(scope.ids)),
        "detailed": entry(detailed),
        **told,
    }


def _reranked(
    snapshot: Snapshot, index: IVFPQIndex, xq: FloatArray, k: int, nprobe: int, candidates: int
) -> tuple[IdArray, FloatArray]:
    """What is nearest by stored features among the candidates by code and what the index does not hold yet."""
    from lookalike.index.exact import exact_search

    near = index.search(xq[None, :], k=max(k, min(candidates, index.ntotal)), nprobe=nprobe).ids[0]
    near = near[np.isin(near, snapshot.features)]
    fresh = snapshot.features[~np.isin(snapshot.features, index.ids)]
    near = np.union1d(near, fresh)
    if not len(near):  # the cells that were visited are empty
        return np.empty(0, np.int64), np.empty(0, np.float32)
    distances, found = exact_search(xq[None, :], snapshot.store.rows, min(k, len(near)), "cosine", near)
    return found[0], distances[0]


def _only(trace: Trace, snapshot: Snapshot) -> Trace:
    """A trace without the vectors of pictures that were removed since the index was made."""
    probed = []
    for cell in trace.probed:
        stays = np.isin(cell.ids, snapshot.features)
        probed.append(
            replace(cell, ids=cell.ids[stays], codes=cell.codes[stays], distances=cell.distances[stays])
            if not stays.all()
            else cell
        )
    stays = np.isin(trace.ids, snapshot.features)
    return replace(trace, probed=tuple(probed), ids=trace.ids[stays], distances=trace.distances[stays])


def _scope(snapshot: Snapshot, index: IVFPQIndex, wide: Trace, xq: FloatArray, order: IdArray, more: IdArray) -> Scope:
    cells = wide.probed
    ids = np.concatenate([cell.ids for cell in cells])
    list_no = np.concatenate([np.full(len(cell.ids), cell.list_no) for cell in cells])
    estimated = np.concatenate([cell.distances for cell in cells])
    codes = np.concatenate([cell.codes for cell in cells])
    outside = more[~np.isin(more, ids)]
    places = _places(index, outside)
    held = places >= 0
    rank_of = np.empty(index.nlist, np.int64)
    rank_of[order] = np.arange(index.nlist)
    far = {miss.id: miss.distance for miss in wide.missed}
    list_no = np.concatenate([list_no, np.where(held, places >> 32, -1)])
    ids = np.concatenate([ids, outside])
    estimated = np.concatenate([estimated, [far.get(i, np.nan) for i in outside.tolist()]]).astype(np.float32)
    ranks = np.where(list_no >= 0, rank_of[list_no], 0)
    x = snapshot.store[ids]
    exact = np.maximum(1 - x @ xq, 0).astype(np.float32)
    other = _other_codes(index, wide.query, x[: len(codes)], list_no[: len(codes)], len(ids))
    return Scope(ids, list_no, ranks, exact, estimated, len(cells), other)


def _other_codes(
    index: IVFPQIndex, q: FloatArray, x: FloatArray, list_no: IdArray, total: int
) -> dict[int, FloatArray]:
    """Distances to the vectors' codes, were the index made with fewer or more bytes a vector."""
    from lookalike.quantizers.pq import ProductQuantizer

    d, other = len(q), {}
    options = [m for m in (index.m // 4, index.m // 2, index.m * 2) if m >= 1 and d % m == 0]
    if len(x) < index.ksub:
        return {}
    residuals = index._inside(x) - index.coarse_centroids[list_no]
    chosen = np.random.default_rng(0).permutation(len(x))[:TRAINED]
    base = 1 - index.coarse_centroids[list_no] @ q
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LookalikeWarning)
        for m in options:
            pq = ProductQuantizer(m, index.nbits).train(residuals[chosen])
            estimated = np.full(total, np.nan, np.float32)
            estimated[: len(x)] = np.maximum(base - pq.decode(pq.encode(residuals)) @ q, 0)
            other[m] = estimated
    return other


def _detail(snapshot: Snapshot, index: IVFPQIndex, q: FloatArray, ids: IdArray) -> dict[str, Any]:
    places = _places(index, ids)
    list_no, codes = index._stored_at(places)[:2]
    centroids = index.coarse_centroids[list_no]
    x = index._inside(snapshot.store[ids])
    return {
        "residuals": x - centroids,
        "codes": codes,
        "biases": np.zeros(len(ids), np.float32),  # an inner product needs none
        "list_terms": np.asarray(centroids @ q, np.float32),
    }


def _places(index: IVFPQIndex, ids: IdArray) -> IdArray:
    with index._writing:  # the map of ids belongs to the writer
        return index._find(ids)


def _first_entries(snapshot: Snapshot) -> Callable[[IdArray], IdArray]:
    return lambda features: snapshot.entries[snapshot._starts[np.searchsorted(snapshot.features, features)]]


def _renamed(trace: Trace, entry: Callable[[IdArray], IdArray]) -> Trace:
    missed = [replace(miss, id=int(entry(np.array([miss.id]))[0])) for miss in trace.missed]
    probed = [replace(cell, ids=entry(cell.ids)) for cell in trace.probed]
    return replace(trace, ids=entry(trace.ids), probed=tuple(probed), missed=tuple(missed))


def _paths(connection: sqlite3.Connection, parts: dict[str, Any]) -> dict[int, tuple[str, Path]]:
    wanted = set(np.concatenate([parts["scope"].ids, parts["exact_ids"], parts["final_ids"]]).tolist())
    return named_paths(connection, wanted | set(parts["trace"].ids.tolist()))


def named_paths(connection: sqlite3.Connection, ids: set[int]) -> dict[int, tuple[str, Path]]:
    """A name to show and the file of each entry."""
    found = {}
    for number in sorted(ids):
        entry = entries_of.one(connection, number)
        found[number] = printable(entry.relative), entry.path
    return found

"""The numbers of `lookalike.explain.explanation`, computed from one state of a collection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.errors import InputError
from lookalike.explain.contents import first_entries, named_paths, sampled, spec_of, temporary_index
from lookalike.explain.explanation import Explanation, Scope
from lookalike.explain.whatif import other_codes
from lookalike.search.lookup import Resolver

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.collection.snapshot import Snapshot
    from lookalike.collection.stored import StoredCollection
    from lookalike.index.kinds import IVFPQIndex
    from lookalike.index.trace import Trace

__all__ = ["explain_search"]

SCOPE = 10_000  # vectors whose distances are told one by one, unless a single list holds more
DETAILED = 40  # vectors that are told in full


def explain_search(
    collection: StoredCollection,
    query: Any,
    k: int,
    nprobe: int | None,
    candidates: int | None,
) -> Explanation:
    """See `lookalike.Collection.explain`."""
    name = collection.name
    with collection.view() as (connection, snapshot):
        if not len(snapshot):
            raise InputError(f"{name} holds no pictures, so there is no search to explain; index a folder first")
        resolver = Resolver(connection, snapshot.card, snapshot.store)
        resolver.collect(query)
    xq = resolver.vector()
    with collection.view() as (connection, snapshot):
        if not len(snapshot) or snapshot.store.d != len(xq) or snapshot.store.transform is not resolver.transform:
            raise InputError(f"{name} changed meanwhile; explain it again")
        index = None if snapshot.loaded is None else snapshot.loaded.get()
        generation = None if snapshot.loaded is None or index is None else snapshot.loaded.generation
        coded: Any = index
        features = snapshot.features
        if generation is None:
            features = _looked_at(snapshot, xq, k)
            coded = temporary_index(snapshot.store[features], features)
        else:
            nprobe, candidates = nprobe or generation.nprobe, candidates or generation.candidates
        parts = _explain(
            snapshot, features, coded, xq, k, nprobe or max(1, round(coded.nlist / 4)), candidates or 4 * k
        )
        paths = _paths(connection, parts)
        entries = first_entries(snapshot)(snapshot.features)
    return Explanation(
        name=name,
        spec=spec_of(coded) if generation is None else generation.spec,
        temporary=generation is None,
        index=coded,
        paths=paths,
        entry_of=dict(zip(snapshot.features.tolist(), entries.tolist(), strict=True)),
        total=len(snapshot),
        **parts,
    )


def _looked_at(snapshot: Snapshot, xq: FloatArray, k: int) -> IdArray:
    """What a temporary index is made of: everything, or a sample with the true neighbours."""
    features = sampled(snapshot.features)
    if len(features) < len(snapshot.features):
        features = np.union1d(features, snapshot.compared(xq, k, snapshot.features)[0])
    return features


def _explain(
    snapshot: Snapshot, features: IdArray, index: IVFPQIndex, xq: FloatArray, k: int, nprobe: int, candidates: int
) -> dict[str, Any]:
    asked, k = min(nprobe, index.nlist), min(k, len(features))
    exact_ids, exact_distances = snapshot.compared(xq, k, features)
    sizes = index.list_sizes
    order, _ = index._cells.probe(index._rotated(index._vectors(xq[None, :], "query")), index.nlist)
    lists = max(1, int(np.searchsorted(np.cumsum(sizes[order[0]]), SCOPE, side="right")))
    nprobe = min(asked, lists)
    trace = _only(index.trace(xq, k, lists, exact_ids=exact_ids), snapshot)
    wide, trace = trace, _only(index.trace(xq, k, nprobe, exact_ids=exact_ids), snapshot)
    final_ids, final_distances = _reranked(snapshot, features, index, xq, k, nprobe, candidates)
    scope = _scope(snapshot, index, wide, xq, order[0], np.union1d(exact_ids, final_ids))
    missed = np.array([miss.id for miss in trace.missed], np.int64)
    detailed = np.unique(np.concatenate([exact_ids, final_ids, trace.ids, missed])[: DETAILED * 4])
    detailed = detailed[np.isin(detailed, index.ids)][:DETAILED]
    told = _detail(snapshot, index, trace.query, detailed)
    entry = first_entries(snapshot)
    return {
        "asked": asked,
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
    snapshot: Snapshot, features: IdArray, index: IVFPQIndex, xq: FloatArray, k: int, nprobe: int, candidates: int
) -> tuple[IdArray, FloatArray]:
    """What is nearest by stored features among the candidates by code and what the index does not hold yet."""
    near = index.search(xq[None, :], k=max(k, min(candidates, index.ntotal)), nprobe=nprobe).ids[0]
    near = near[np.isin(near, features)]
    fresh = features[~np.isin(features, index.ids)]
    near = np.union1d(near, fresh)
    if not len(near):  # the cells that were visited are empty
        return np.empty(0, np.int64), np.empty(0, np.float32)
    return snapshot.compared(xq, k, near)


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
    other = other_codes(index, wide.query, x[: len(codes)], list_no[: len(codes)], len(ids))
    return Scope(ids, list_no, ranks, exact, estimated, len(cells), other)


def _detail(snapshot: Snapshot, index: IVFPQIndex, q: FloatArray, ids: IdArray) -> dict[str, Any]:
    places = _places(index, ids)
    list_no, codes = places >> 32, index._codec.codes(index._lists.at(places))
    centroids = index.coarse_centroids[list_no]
    x = index._rotated(snapshot.store[ids])
    return {
        "residuals": x - centroids,
        "codes": codes,
        "biases": np.zeros(len(ids), np.float32),  # an inner product needs none
        "list_terms": np.asarray(centroids @ q, np.float32),
    }


def _places(index: IVFPQIndex, ids: IdArray) -> IdArray:
    with index._writing:  # the map of ids belongs to the writer
        return index._find(ids)


def _renamed(trace: Trace, entry: Callable[[IdArray], IdArray]) -> Trace:
    missed = [replace(miss, id=int(entry(np.array([miss.id]))[0])) for miss in trace.missed]
    probed = [replace(cell, ids=entry(cell.ids)) for cell in trace.probed]
    return replace(trace, ids=entry(trace.ids), probed=tuple(probed), missed=tuple(missed))


def _paths(connection: sqlite3.Connection, parts: dict[str, Any]) -> dict[int, tuple[str, Path]]:
    wanted = set(np.concatenate([parts["scope"].ids, parts["exact_ids"], parts["final_ids"]]).tolist())
    return named_paths(connection, wanted | set(parts["trace"].ids.tolist()))

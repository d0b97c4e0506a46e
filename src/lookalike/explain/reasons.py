"""Why a picture is, or is not, among the results: how like it is to each part of the query, and where the index placed it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.collection.records import printable
from lookalike.errors import InputError
from lookalike.features.models import word
from lookalike.search import Part, Query, Reader, search
from lookalike.search.find import Wanted, find
from lookalike.search.resolve import left_out

if TYPE_CHECKING:
    from lookalike.collection.snapshot import Snapshot
    from lookalike.collection.stored import StoredCollection
    from lookalike.index.index import Index
    from lookalike.index.trace import Trace

__all__ = ["Met", "how_met", "reasons"]

RANKED: Final = 200  # places that a rank is told of


@dataclass(frozen=True, slots=True)
class Met:
    """Where one search of the index placed one picture.

    Attributes
    ----------
    verdict : str
        The outcome, as a sentence for people.
    found : bool
        Whether the index returned it as a candidate.
    list_rank : int or None
        Rank of its list among all lists, nearest first, from 1; None if no index was used.
    nprobe, nlist : int or None
        Lists visited, and all there are.
    code_rank : int or None
        Its rank among all scanned vectors by the distance of its code, from 1.
    candidates : int or None
        How many candidates were re-ranked with their stored features.
    code_distance : float or None
        The distance that the index estimated from its code.
    """

    verdict: str
    found: bool
    list_rank: int | None = None
    nprobe: int | None = None
    nlist: int | None = None
    code_rank: int | None = None
    candidates: int | None = None
    code_distance: float | None = None


def how_met(snapshot: Snapshot, xq: FloatArray, ids: IdArray) -> list[Met]:
    """How a search for 10 results, without a filter, would treat these entries.

    Parameters
    ----------
    snapshot : Snapshot
    xq : ndarray of float32, shape (d,)
    ids : ndarray of int64, shape (n,)
        Of entries that can be found.
    """
    index: Any = None if snapshot.loaded is None else snapshot.loaded.get()
    if snapshot.loaded is None or index is None:
        everything = f"Compared directly: this collection's {len(snapshot):,} pictures are all looked at."
        return [Met(everything, True)] * len(ids)
    generation = snapshot.loaded.generation
    features = snapshot.features_of(ids)
    coded: Index = index.index if hasattr(index, "index") else index
    trace = coded.trace(xq, generation.candidates, generation.nprobe, exact_ids=features)
    missed = {miss.id: miss for miss in trace.missed}
    scanned = np.sort(np.concatenate([cell.distances for cell in trace.probed]))
    met = []
    for feature in features.tolist():
        miss = missed.get(feature)
        if miss is not None and miss.reason == "not stored":
            met.append(Met("Compared directly: it is newer than the index.", True))
            continue
        facts: dict[str, Any] = {
            "nprobe": trace.nprobe,
            "nlist": len(trace.coarse_distances),
            "candidates": generation.candidates,
        }
        if miss is None:
            met.append(_brought(trace, scanned, feature, facts))
        elif miss.reason == "cell not probed":
            verdict = f"Missed: its list is number {miss.needed_nprobe}, and {trace.nprobe} lists were visited."
            met.append(Met(verdict, False, list_rank=miss.needed_nprobe, code_distance=miss.distance, **facts))
        else:
            verdict = (
                f"Missed: by its code it came {miss.rank + 1:,}th, and {generation.candidates:,} were looked at again."
            )
            ranks = {"list_rank": miss.needed_nprobe, "code_rank": miss.rank + 1}
            met.append(Met(verdict, False, code_distance=miss.distance, **ranks, **facts))
    return met


def _brought(trace: Trace, scanned: FloatArray, feature: int, facts: dict[str, Any]) -> Met:
    for cell in trace.probed:
        at = np.flatnonzero(cell.ids == feature)
        if len(at):
            distance = float(cell.distances[at[0]])
            rank = int(np.searchsorted(scanned, distance)) + 1
            verdict = (
                f"Found: number {rank:,} by its code, in list {cell.rank + 1} of {trace.nprobe} visited; "
                f"then compared by its stored features."
            )
            return Met(verdict, True, list_rank=cell.rank + 1, code_rank=rank, code_distance=distance, **facts)
    return Met("Found by its stored features.", True, **facts)


def reasons(reader: Reader, query: Query, id: int, collection: StoredCollection) -> dict[str, Any]:
    """Why a picture is a result of a query, or none, as plain values for JSON.

    Parameters
    ----------
    reader : Reader
    query : Query
        Its pictures are fetched.
    id : int
        Of the result.
    collection : Collection

    Raises
    ------
    IdError
        If it is not here.
    """
    answer = search(replace(query, k=1, at_least=0, exact=False, fold=False), collection, reader)
    if answer.vector is None:
        raise InputError(
            "words were matched to labels, not compared with pictures, so a result has no reason but its probability"
        )
    parts = list(_parts(reader, query, collection))
    asked = np.stack([answer.vector, *(vector for _, vector in parts)])
    passing = collection.matching(query.filter)
    others = np.setdiff1d(passing, left_out(query, collection))
    with collection.view() as (connection, snapshot):
        one = np.array([id], np.int64)
        snapshot.check_here(one)
        whole, *of_parts = measured(snapshot, asked, id)
        xq = snapshot.stored(asked[:1], "vector")[0]
        closer, *_ = find(connection, snapshot, xq, snapshot.select(others), Wanted(RANKED, exact=True))
        met = how_met(snapshot, xq, one)[0]
    return {
        **_told(*whole),
        "distance": 1 - whole[0],
        "rank": next((at for at, found in enumerate(closer, 1) if found.hit.id == id), None),
        "compared": len(others),
        "passes": bool(np.isin(id, others)),
        "parts": [{**named, **_told(*numbers)} for (named, _), numbers in zip(parts, of_parts, strict=True)],
        "index": asdict(met),
    }


def _told(cosine: float, similarity: float) -> dict[str, Any]:
    return {"cosine": cosine, "similarity": similarity, "word": word(similarity)}


def _parts(reader: Reader, query: Query, collection: StoredCollection) -> Iterator[tuple[dict[str, Any], FloatArray]]:
    """Each part of the query as the page can name and draw it, with its vector."""
    for role, parts in (("asked", query.parts), ("like", query.like), ("unlike", query.dislike)):
        for part, vector in zip(parts, reader.vectors(parts, collection), strict=True):
            yield {"role": role, **_named(reader, part, collection)}, vector
        if role == "asked" and query.words:
            yield (
                {"role": role, "region": None, "query": None, "text": query.words},
                reader.of_words(query.words, collection),
            )


def _named(reader: Reader, part: Part, collection: StoredCollection) -> dict[str, Any]:
    found: dict[str, Any] = {"region": str(part.region) if part.region else None}
    if part.id is not None:
        source = reader.named(part.source) if part.source else collection
        name = printable(source.entry(part.id).path.name)
        return found | {"id": part.id, "source": part.source or collection.name, "name": name}
    return found | {"query": part.kept, "text": None}


def measured(snapshot: Snapshot, vectors: FloatArray, id: int) -> list[tuple[float, float]]:
    """Cosine and similarity of a picture to each of some vectors as the model makes them, shape (n, d)."""
    x = snapshot.store[snapshot.features_of(np.array([id], np.int64))][0]
    cosines = (snapshot.stored(vectors, "vectors") @ x).tolist()
    return [(cosine, float(snapshot.card.similarity(cosine))) for cosine in cosines]

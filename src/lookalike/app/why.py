"""Why a picture is, or is not, among the results: how like it is to each part of the query, and how the index met it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from lookalike._typing import FloatArray
from lookalike.app.queries import MAX_K, Part, Query
from lookalike.app.searching import Searcher
from lookalike.collection import Collection
from lookalike.collection.records import printable
from lookalike.errors import InputError
from lookalike.features.models import word

__all__ = ["explain"]


def explain(searcher: Searcher, query: Query, id: int, collection: Collection) -> dict[str, Any]:
    """What the page's table of reasons shows.

    Parameters
    ----------
    searcher : Searcher
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
    answer = searcher.search(replace(query, k=1, threshold=0, exact=False, fold=False), collection)
    if answer.vector is None:
        raise InputError(
            "words were matched to labels, not compared; there is no more to a result than its probability"
        )
    parts = list(_parts(searcher, query, collection))
    whole, *of_parts = collection.measured(np.stack([answer.vector, *(vector for _, vector in parts)]), id)
    own = [part.id for part in query.parts if part.id is not None and part.source in (None, collection.name)]
    others = np.setdiff1d(collection.matching(query.wanted), [*own, *query.dislike])
    closer = collection.search(answer.vector, MAX_K, exact=True, allow=others) if len(others) else []
    return {
        **_told(*whole),
        "distance": 1 - whole[0],
        "rank": next((at for at, hit in enumerate(closer, 1) if hit.id == id), None),
        "compared": len(others),
        "passes": bool(np.isin(id, others)),
        "parts": [{**named, **_told(*measured)} for (named, _), measured in zip(parts, of_parts, strict=True)],
        "index": asdict(collection.how_met(answer.vector, np.array([id]))[0]),
    }


def _told(cosine: float, similarity: float) -> dict[str, Any]:
    return {"cosine": cosine, "similarity": similarity, "word": word(similarity)}


def _parts(searcher: Searcher, query: Query, collection: Collection) -> Iterator[tuple[dict[str, Any], FloatArray]]:
    """Each part of the query as the page can name and draw it, with its vector."""
    for part, vector in zip(query.parts, searcher.vectors_of(query.parts, collection), strict=True):
        yield {"role": "asked", **_named(searcher, part, collection)}, vector
    for role, ids in (("like", query.like), ("unlike", query.dislike)):
        for number in ids:
            named = _named(searcher, Part(id=number), collection)
            yield {"role": role, **named}, collection.vectors([number])[0]


def _named(searcher: Searcher, part: Part, collection: Collection) -> dict[str, Any]:
    found: dict[str, Any] = {"region": str(part.region) if part.region else None}
    if part.id is not None:
        source = searcher.named(part.source) if part.source else collection
        name = printable(source.entry(part.id).path.name)
        return found | {"id": part.id, "source": part.source or collection.name, "name": name}
    return found | {"query": part.kept, "text": part.text}

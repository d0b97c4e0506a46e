"""Why a picture is, or is not, among the results: how like it is to each part of the query, and how the index met it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from lookalike._typing import FloatArray
from lookalike.app.limits import MAX_K
from lookalike.collection import Collection
from lookalike.collection.records import printable
from lookalike.errors import InputError
from lookalike.features.models import word
from lookalike.search import Part, Query, Reader, search
from lookalike.search.resolve import left_out

__all__ = ["explain"]


def explain(reader: Reader, query: Query, id: int, collection: Collection) -> dict[str, Any]:
    """What the page's table of reasons shows.

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
            "words were matched to labels, not compared; there is no more to a result than its probability"
        )
    parts = list(_parts(reader, query, collection))
    whole, *of_parts = collection.measured(np.stack([answer.vector, *(vector for _, vector in parts)]), id)
    others = np.setdiff1d(collection.matching(query.filter), left_out(query, collection))
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


def _parts(reader: Reader, query: Query, collection: Collection) -> Iterator[tuple[dict[str, Any], FloatArray]]:
    """Each part of the query as the page can name and draw it, with its vector."""
    for role, parts in (("asked", query.parts), ("like", query.like), ("unlike", query.dislike)):
        for part, vector in zip(parts, reader.vectors(parts, collection), strict=True):
            yield {"role": role, **_named(reader, part, collection)}, vector
        if role == "asked" and query.words:
            yield (
                {"role": role, "region": None, "query": None, "text": query.words},
                reader.of_words(query.words, collection),
            )


def _named(reader: Reader, part: Part, collection: Collection) -> dict[str, Any]:
    found: dict[str, Any] = {"region": str(part.region) if part.region else None}
    if part.id is not None:
        source = reader.named(part.source) if part.source else collection
        name = printable(source.entry(part.id).path.name)
        return found | {"id": part.id, "source": part.source or collection.name, "name": name}
    return found | {"query": part.kept, "text": None}

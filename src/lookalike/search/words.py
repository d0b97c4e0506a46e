"""Words to a model that cannot read, but knows labels: every picture's probability of them."""

from __future__ import annotations

from dataclasses import replace

from lookalike._typing import IdArray
from lookalike.collection import Collection
from lookalike.collection.finding import FOLD_FACTOR, SHOWN, Found
from lookalike.collection.records import TextAnswer
from lookalike.errors import InputError
from lookalike.search.query import Query

__all__ = ["search_labels"]


def search_labels(query: Query, collection: Collection, allow: IdArray | None) -> tuple[list[Found], TextAnswer]:
    """The pictures that most probably show what the words mean, and how these were read."""
    if query.words is None or query.parts or query.like or query.dislike:
        raise InputError(
            "this collection's model matches words to labels, which do not mix with pictures; search with words alone, "
            "or with pictures alone"
        )
    count = query.k * (FOLD_FACTOR if query.fold else 1)
    while True:
        answer = collection.search_text(query.words, count, allow=allow)
        hits = [hit for hit in answer.hits if hit.similarity >= query.at_least]
        groups = [[at] for at in range(len(hits))]
        if query.fold:
            groups = collection.folded([hit.id for hit in hits], query.k)
        if len(groups) >= query.k or len(hits) < count:
            break
        count *= FOLD_FACTOR**2  # each time all pictures are ranked anew: in few steps
    groups = [group[: 1 + SHOWN] for group in groups]
    known = collection.several([hit.id for hit in hits])
    each = [Found(hit, entry) for hit, entry in zip(hits, known, strict=True)]
    found = [replace(each[first], same=tuple(each[at] for at in same)) for first, *same in groups[: query.k]]
    return found, answer

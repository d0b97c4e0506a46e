"""One search, from the query to the answer: one vector, filter, rank, fold, sort, and what an index would have missed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.collection.records import Hit
from lookalike.collection.stored import StoredCollection
from lookalike.errors import CollectionError
from lookalike.search.find import Found, Wanted, find, optional_allow, results
from lookalike.search.lookup import Resolver
from lookalike.search.query import Query
from lookalike.search.resolve import Reader, left_out
from lookalike.search.words import search_labels

if TYPE_CHECKING:
    from lookalike._typing import ArrayLike

__all__ = ["Answer", "compares_with_all", "search", "search_like"]

_READER: Final = Reader()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found.

    Attributes
    ----------
    found : list of Found
        In the order that was asked for.
    timing_ms : dict
        ``"embed"`` and ``"search"``.
    vector : ndarray of float32, shape (d,), or None
        What was searched with; None of a label search.
    missed : list of int or None
        After an exact search: ids that the index would not have found; None where it would not be used.
    words : str or None
        How words were read, of a label search.
    labels : tuple of str
        The labels that were searched for then.
    always_exact : bool
        A search like this one compares with every picture, told to or not.
    """

    found: list[Found]
    timing_ms: dict[str, float]
    vector: FloatArray | None
    missed: list[int] | None = None
    words: str | None = None
    labels: tuple[str, ...] = ()
    always_exact: bool = False

    @property
    def hits(self) -> list[Hit]:
        """The results, each with the copies that were folded under it."""
        return [replace(each.hit, same=tuple(copy.hit for copy in each.same)) for each in self.found]


def search(
    query: Query,
    collection: StoredCollection,
    reader: Reader = _READER,
    *,
    allow: ArrayLike | None = None,
    without_index: bool = False,
) -> Answer:
    """The pictures most like what is asked for, that pass its filter.

    Parameters
    ----------
    query : Query
    collection : Collection
    reader : Reader
        Turns parts into vectors.
    allow : ids or boolean mask indexed by id, optional
        Of the pictures that pass the filter, only these.
    without_index : bool
        Compare with every picture also where the query does not ask for it, and do not open the index: for a single search that
        can be quicker.

    Raises
    ------
    ImageError, FetchError, IdError, InputError, ModelError, CollectionError
        With a message for the person who asked.
    """
    if query.words is not None and not collection.model.text:
        found, answer = search_labels(query, collection, _allowed(query, collection, allow))
        timing = dict(answer.timing_ms)
        return Answer(_sorted(found, query.sort), timing, None, None, answer.explain(), answer.labels)
    begun, made_for = time.perf_counter(), collection.identity()
    q = reader.vector(query, collection)
    embedded = time.perf_counter()
    wanted = Wanted(
        query.k,
        query.at_least,
        query.fold,
        exact=query.exact or without_index,
        missed=query.exact,
        left_out=left_out(query, collection),
    )
    allowed = _allowed(query, collection, allow)
    found, missed, always = results(collection, q, wanted, allow=allowed, made_for=made_for)
    done = time.perf_counter()
    timing = {"embed": (embedded - begun) * 1e3, "search": (done - embedded) * 1e3}
    return Answer(_sorted(found, query.sort), timing, q, missed, always_exact=always)


def search_like(
    collection: StoredCollection, query: Any, k: int, *, exact: bool = False, allow: ArrayLike | None = None
) -> tuple[list[Hit], dict[str, float]]:
    """The pictures most like something that is no `Query`: a picture, a vector, an id, or the mean of several; and the times."""
    allowed, start = optional_allow(allow), time.perf_counter()
    # Reading and embedding the query come first, so that no read transaction stays open meanwhile.
    with collection.view() as (connection, snapshot):
        resolver = Resolver(connection, snapshot.card, snapshot.store)
        resolver.collect(query)
        made_with = snapshot.version
    xq = resolver.vector()
    embedded = time.perf_counter()
    with collection.view() as (connection, snapshot):
        is_same = snapshot.version.collection == made_with.collection  # else it was made again
        if not is_same or snapshot.store.d != len(xq) or snapshot.store.transform is not resolver.transform:
            raise CollectionError(
                f"{collection.path}: the collection, its model or its transform changed meanwhile; search again"
            )
        mask = snapshot.select(allowed)
        found, *_ = find(connection, snapshot, xq, mask, Wanted(k, exact=exact, left_out=resolver.exclude))
    done = time.perf_counter()
    return [each.hit for each in found], {"embed": (embedded - start) * 1e3, "search": (done - embedded) * 1e3}


def compares_with_all(query: Query, collection: StoredCollection) -> bool:
    """Whether a search, without folding, compares with every picture that passes the filter, even if that is not asked for."""
    allowed = _allowed(query, collection, None)
    with collection.view() as (_, snapshot):
        among = len(snapshot.allowed(snapshot.select(allowed)))
        return query.exact or not snapshot.uses_index(query.k + len(left_out(query, collection)), among)


def _allowed(query: Query, collection: StoredCollection, allow: ArrayLike | None) -> IdArray | None:
    """Ids that may be results; None for all."""
    given = optional_allow(allow)
    if given is not None and given.dtype == np.bool_:
        given = np.flatnonzero(given)
    if not query.filter:
        return given
    passing = collection.matching(query.filter)
    return passing if given is None else np.intersect1d(passing, given)


def _sorted(found: list[Found], order: str) -> list[Found]:
    if order == "name":
        return sorted(found, key=lambda each: (each.entry.path.name.casefold(), each.hit.id))
    if order in ("newest", "oldest"):
        sign = -1 if order == "newest" else 1
        return sorted(found, key=lambda each: (each.entry.mtime_ns is None, sign * (each.entry.mtime_ns or 0)))
    if order == "largest":
        return sorted(found, key=lambda each: -(each.entry.width or 0) * (each.entry.height or 0))
    return found

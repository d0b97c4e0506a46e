"""The page of one search for the app's "Why?": the same file as `lookalike explain` writes, of whatever was asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from lookalike.app.pictures import read_file
from lookalike.app.queries import Part, Query
from lookalike.app.searching import Searcher, cut
from lookalike.collection import Collection
from lookalike.collection.records import printable
from lookalike.errors import InputError, LookalikeError
from lookalike.viz.report import Page

__all__ = ["MOST", "report"]

MOST: Final = 50  # results that a report is made of


def report(searcher: Searcher, query: Query, collection: Collection) -> Page:
    """A search step by step, as `lookalike.viz.explain.explanation_page`.

    Parameters
    ----------
    searcher : Searcher
    query : Query
        Its pictures are fetched.
    collection : Collection

    Raises
    ------
    InputError
        If words were matched to labels: nothing was compared then.
    """
    from lookalike.viz.explain import explanation_page

    answer = searcher.search(replace(query, fold=False), collection)
    if answer.vector is None:
        raise InputError("words were matched to labels, not compared; there are no steps to show")
    told = collection.explain(answer.vector, min(query.k, MOST))
    name, picture = _asked(searcher, query, collection)
    notes = _notes(query, collection)
    if (query.exact or answer.always_exact) and not told.temporary:  # the page itself says what a temporary index is
        notes.insert(
            0,
            "The results beside this were found by comparing with everything; these are the steps of a search of the index.",
        )
    return explanation_page(told, picture, name=name, notes=notes)


def _notes(query: Query, collection: Collection) -> list[str]:
    """What this page leaves aside that the results beside it heed."""
    notes = []
    if query.wanted or query.threshold:
        notes.append("The filter is left out here: these are the steps of a search of the whole collection.")
    if query.k > MOST:
        notes.append(f"Of {query.k} results the first {MOST} are shown.")
    own = [part for part in query.parts if part.id is not None and part.source in (None, collection.name)]
    if own or query.dislike:
        notes.append("Pictures that were asked with, or marked as unlike, are compared here as all others are.")
    return notes


def _asked(searcher: Searcher, query: Query, collection: Collection) -> tuple[str, Any]:
    """What the query is called, and the picture to show for it; None where there is none, or it cannot be read now."""
    parts = [*query.parts, *(Part(id=number) for number in query.like)]
    part = next((part for part in parts if part.text is None), parts[0])
    name, picture = "the picture", None
    try:
        if part.id is not None:
            entry = (searcher.named(part.source) if part.source else collection).entry(part.id)
            name, picture = printable(entry.path.name), read_file(entry)[0]
        elif part.text is not None:
            name = printable(part.text)
        else:
            picture = searcher.contents(part)
        if picture is not None and part.region is not None:
            picture, name = cut(picture, part.region), f"a part of {name}"
    except (LookalikeError, OSError):
        picture = None
    others = len(parts) + len(query.dislike) - 1
    return name + (f" and {others} more" if others else ""), picture

"""The page of one search for the app's "Why?": the same file as `lookalike explain` writes, of whatever was asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from lookalike.app.pictures import read_file
from lookalike.collection import Collection
from lookalike.collection.records import printable
from lookalike.errors import InputError, LookalikeError
from lookalike.search import Query, Reader, search
from lookalike.search.resolve import cut, left_out
from lookalike.viz.report import Page

__all__ = ["MOST", "report"]

MOST: Final = 50  # results that a report is made of


def report(reader: Reader, query: Query, collection: Collection) -> Page:
    """A search step by step, as `lookalike.viz.explain.explanation_page`.

    Parameters
    ----------
    reader : Reader
    query : Query
        Its pictures are fetched.
    collection : Collection

    Raises
    ------
    InputError
        If words were matched to labels: nothing was compared then.
    """
    from lookalike.viz.explain import explanation_page

    answer = search(replace(query, fold=False), collection, reader)
    if answer.vector is None:
        raise InputError("words were matched to labels, not compared; there are no steps to show")
    told = collection.explain(answer.vector, min(query.k, MOST))
    name, picture = _asked(reader, query, collection)
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
    if query.filter or query.at_least:
        notes.append("The filter is left out here: these are the steps of a search of the whole collection.")
    if query.k > MOST:
        notes.append(f"Of {query.k} results the first {MOST} are shown.")
    if left_out(query, collection):
        notes.append("Pictures that were asked with, or marked as unlike, are compared here as all others are.")
    return notes


def _asked(reader: Reader, query: Query, collection: Collection) -> tuple[str, Any]:
    """What the query is called, and the picture to show for it; None where there is none, or it cannot be read now."""
    parts = [*query.parts, *query.like]
    others = len(parts) + len(query.dislike) + bool(query.words) - 1
    more = f" and {others} more" if others else ""
    if not parts:
        return printable(query.words or "") + more, None
    part, name, picture = parts[0], "the picture", None
    try:
        if part.id is not None:
            entry = (reader.named(part.source) if part.source else collection).entry(part.id)
            name, picture = printable(entry.path.name), read_file(entry)[0]
        else:
            picture = reader.contents(part)
        if part.region is not None:
            return f"a part of {name}{more}", cut(picture, part.region)
    except (LookalikeError, OSError):
        picture = None
    return name + more, picture

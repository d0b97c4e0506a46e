"""From the arguments of `lookalike search` and `lookalike explain` to a query."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.errors import InputError, LookalikeError

if TYPE_CHECKING:
    from lookalike.collection import Collection
    from lookalike.search import Answer, Query

__all__ = ["SORTS", "Less", "Like", "Queries", "RegionFlag", "WordsFlag", "ask", "named_words", "read", "words_in"]

Queries = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="QUERY",
        help="A picture's path or URL, id:N for a picture of the collection, or words. Several make one query.",
    ),
]
RegionFlag = Annotated[
    list[str] | None,
    typer.Option(
        metavar="X,Y,W,H",
        help="Only this part of the picture: left, top, width and height, in pixels or in fractions up to 1. "
        "Once for each picture, in order.",
    ),
]
WordsFlag = Annotated[str | None, typer.Option(metavar="TEXT", help="Words to search for.")]
Like = Annotated[list[str] | None, typer.Option(metavar="PICTURE", help="More like this picture.")]
Less = Annotated[list[str] | None, typer.Option(metavar="PICTURE", help="Less like this picture.")]

EXACT_AT_ONCE = 50_000  # up to here one search by comparing with all takes less than loading index and kernels

SORTS = {name: name for name in ("similarity", "newest", "oldest", "name", "largest")} | {"date": "newest"}


def read(
    queries: Sequence[str] | None = None,
    *,
    region: Sequence[str] | None = None,
    words: str | None = None,
    like: Sequence[str] | None = None,
    less: Sequence[str] | None = None,
    folder: Sequence[str] | None = None,
    taken: str | None = None,
    sort: str = "similarity",
    is_words: Callable[[str], bool] = lambda _: False,
    **others: Any,
) -> Query:
    """The query that arguments spell; `Query.to_arguments` is the way back.

    Parameters
    ----------
    queries, region, words, like, less, folder, taken, sort
        The arguments.
    is_words : callable
        Which of `queries` are words: together with `words`, one text. The others are pictures, to which regions belong in order.
    **others
        What a `Query` calls as the command does.
    """
    from lookalike.search import Part, Query
    from lookalike.search.parts import parse_regions

    given = queries or ()
    text = " ".join([query for query in given if is_words(query)] + ([words] if words else []))
    pictures = [query for query in given if not is_words(query)]
    where = parse_regions(region or (), len(pictures))
    after, before = _dates(taken) if taken is not None else (None, None)
    return Query(
        [Part.from_argument(picture, each) for picture, each in zip(pictures, where, strict=True)],
        words=text,
        like=[Part.from_argument(each) for each in like or ()],
        dislike=[Part.from_argument(each) for each in less or ()],
        labels=folder or (),
        after=after,
        before=before,
        sort=SORTS[sort],  # type: ignore[arg-type]
        **others,
    )


def _dates(taken: str) -> tuple[str | None, str | None]:
    """The first and the last day, month or year of ``2021..2023-05-01``, ``2021..``, ``..2023`` or ``2021``."""
    from lookalike.collection.catalog.filters import Filter

    first, dots, last = taken.partition("..")
    after, before = first or None, (last if dots else first) or None
    try:
        Filter(after=after, before=before)
    except InputError:
        after = before = None
    if not (after or before):
        raise InputError(f"--taken: expected dates as in 2021, 2021-05.. or 2021..2023-05-01, got {taken[:40]!r}")
    return after, before


def words_in(collection: Collection, queries: Sequence[str]) -> list[str]:
    """The QUERYs that are words: those that name no file and look like none."""
    from lookalike.search.parts import is_words

    for query in queries:
        if query.startswith("-") and not Path(query).exists() and collection.find(query) is None:
            raise InputError(
                f"{query}: everything after -- is a QUERY, and there is no such file; put options before the --"
            )
    return [
        query for query in queries if is_words(query) and not Path(query).is_file() and collection.find(query) is None
    ]


def ask(collection: Collection, query: Query, words: Sequence[str]) -> Answer:
    """The answer to a query; `words` are the QUERYs that were taken for words."""
    from lookalike.search import search

    with named_words(words):
        return search(query, collection, without_index=len(collection) <= EXACT_AT_ONCE)


@contextlib.contextmanager
def named_words(words: Sequence[str]) -> Iterator[None]:
    """Where a search fails, say which QUERYs were taken for words: they may have been meant as files."""
    try:
        yield
    except LookalikeError as error:
        if not words:
            raise
        text = " ".join(words)
        what = "a folder, not a picture" if Path(text).is_dir() else "there is no such file"
        raise type(error)(f"{text}: {what}, and {error}") from None

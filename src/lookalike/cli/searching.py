"""`lookalike search`: ask, and print what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.asking import SORTS, Less, Like, Queries, RegionFlag, WordsFlag, ask, read, words_in
from lookalike.cli.console import count, emit, emit_json, say, table
from lookalike.cli.opening import In, Json, open_collection

if TYPE_CHECKING:
    from lookalike.collection import Collection, Hit
    from lookalike.search import Answer

__all__ = ["print_hits", "say_timing", "search"]


def _one_of(names: Iterable[str]) -> Callable[[str | None], str | None]:
    known = tuple(names)

    def check(value: str | None) -> str | None:
        if value is not None and value not in known:
            raise typer.BadParameter(f"expected one of {', '.join(known)}, got {value}")
        return value

    return check


def search(
    queries: Queries = None,
    into: In = None,
    k: Annotated[int, typer.Option("-k", "--results", metavar="N", min=1, help="Number of results.")] = 10,
    json: Json = False,
    each: Annotated[bool, typer.Option("--each", help="Make a separate search of each QUERY.")] = False,
    region: RegionFlag = None,
    words: WordsFlag = None,
    like: Like = None,
    less: Less = None,
    folder: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only pictures in this folder of the collection, and below it."),
    ] = None,
    taken: Annotated[
        str | None,
        typer.Option(
            metavar="DATES",
            help="Only files last changed at this time: 2021, 2021-05.. or 2021..2023-05-01, ends included.",
        ),
    ] = None,
    min_side: Annotated[
        int | None, typer.Option(metavar="PIXELS", min=0, help="Only pictures whose longer side is at least this.")
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(metavar="PIXELS", min=0, help="Only pictures whose longer side is at most this.")
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPE",
            help="landscape, portrait or square.",
            callback=_one_of(("landscape", "portrait", "square")),
        ),
    ] = None,
    at_least: Annotated[float, typer.Option(metavar="S", min=0, max=100, help="Minimum similarity, 0 to 100.")] = 0.0,
    sort: Annotated[
        str,
        typer.Option(
            metavar="ORDER",
            help="Order of the results: similarity, newest (or date), oldest, name or largest.",
            callback=_one_of(SORTS),
        ),
    ] = "similarity",
    fold: Annotated[bool, typer.Option("--fold", help="Group near-identical results under the first of them.")] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every picture, and say what the index would have missed.")
    ] = False,
) -> None:
    """Find the pictures most like QUERY, best first.

    Prints the similarity (0 to 100), a word for it, and the path. A QUERY that is not a file is searched for as words ("red
    bicycle"); with the default model, words are matched to its 1,000 labels, and the similarity is a probability. PICTURE is
    a path, a URL or id:N.
    """
    given = queries or []
    if not (given or ((words or like) and not each)):
        raise typer.BadParameter("give a picture, words, --words or --like", param_hint="QUERY")
    flags: dict[str, Any] = {"words": words, "like": like, "less": less, "folder": folder, "taken": taken, "k": k}
    flags |= {"min_side": min_side, "max_side": max_side, "shape": shape, "at_least": at_least, "sort": sort}
    flags |= {"fold": fold, "exact": exact}
    with open_collection(into) as collection:

        def answer(queries: list[str], region: list[str] | None) -> Answer:
            meant = words_in(collection, queries)
            return ask(collection, read(queries, region=region, is_words=meant.__contains__, **flags), meant)

        if each:
            answers = [(query, answer([query], (region or [])[at : at + 1])) for at, query in enumerate(given)]
            if json:
                emit_json([_to_json(query, found) for query, found in answers])
            for query, found in [] if json else answers:
                emit(f"query: {query}")
                _print(found, collection)
            return
        found = answer(given, region)
        if json:
            emit_json([hit.to_json() for hit in found.hits])
            _say(found, collection)
        else:
            _print(found, collection)
            say_timing(collection, found.timing_ms)


def _to_json(query: str, found: Answer) -> dict[str, Any]:
    """With the labels that were searched for, where it was a label search."""
    labels = {"labels": list(found.labels)} if found.labels else {}
    return {"query": query, "results": [hit.to_json() for hit in found.hits]} | labels


def _print(found: Answer, collection: Collection) -> None:
    _say(found, collection)
    print_hits(found.hits)


def _say(found: Answer, collection: Collection) -> None:
    """What is to be said of an answer, on stderr: the results are the same kind of thing whatever was asked."""
    if found.words:
        say(found.words)
    if not found.found:
        say(_why_nothing(collection))
    elif found.missed is not None:
        missed = f"{len(found.missed):,} of these" if found.missed else "none of these"
        say(f"the index would have missed {missed} {count(len(found.found), 'picture')}")


def _why_nothing(collection: Collection) -> str:
    """What to say of a search that found nothing."""
    if len(collection):
        return "no picture matches; try another --folder, --taken or size, or a lower --at-least"
    missing = collection.status()["missing"]
    if not missing:
        return f"{collection.name} holds no pictures yet; index a folder first: lookalike index FOLDER"
    return (
        f"all {count(missing, 'picture')} of {collection.name} were missing when it was last indexed; "
        "if they are back, for example on a disk that was not connected, run lookalike index again"
    )


def print_hits(hits: list[Hit]) -> None:
    """Similarity, its word and the path of each; with small pictures where the terminal shows them."""
    from lookalike.cli.thumbnails import protocol, show

    if picture := protocol():
        for hit in hits:
            show(hit.path, picture)
            table([_row(hit)])
    else:
        table([_row(hit) for hit in hits])


def _row(hit: Hit) -> tuple[str, ...]:
    copies = f"  (and {len(hit.same):,} {'copy' if len(hit.same) == 1 else 'copies'})" if hit.same else ""
    gone = "  (the file is gone)" if hit.missing else ""
    return f"{hit.similarity:5.1f}", hit.word, f"{hit.path}{gone}{copies}"


def say_timing(collection: Collection, timing: dict[str, float]) -> None:
    """How long it took, on stderr."""
    times = f"{timing['embed']:.1f} ms to embed, {timing['search']:.1f} ms to search"
    say(f"{times} {count(len(collection), 'picture')} in {collection.name}")

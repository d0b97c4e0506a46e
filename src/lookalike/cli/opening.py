"""Finding the collection that a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lookalike.collection import Collection

__all__ = ["In", "Json", "find_collection", "open_collection"]

In = Annotated[
    str | None,
    typer.Option(
        "--in", metavar="COLLECTION", help="A name, or a path with a separator. Without it, the one last used."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.")]


def find_collection(into: str | None) -> Path:
    """Where the collection is or would be."""
    from lookalike.collection import home

    return home.last_used() if into is None else home.resolve(into)


def open_collection(into: str | None) -> Collection:
    """The collection, noted as the one last used."""
    from lookalike.collection import Collection, home
    from lookalike.errors import CollectionNotFoundError

    path = find_collection(into)
    try:
        collection = Collection.open(path)
    except CollectionNotFoundError:
        known = ", ".join(found.name for found in home.list_collections()) or "none yet"
        advice = f"there are: {known}; lookalike index FOLDER makes one"
        raise CollectionNotFoundError(f"there is no collection at {path}; {advice}") from None
    home.remember(path)
    return collection

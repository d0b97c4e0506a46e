"""Finding the collection that a command is about."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lookalike.collection import Collection
    from lookalike.errors import CollectionNotFoundError

__all__ = ["In", "Json", "find_collection", "open_collection"]

In = Annotated[
    str | None,
    typer.Option(
        "--in", metavar="COLLECTION", help="A name, or a path with a separator; by default the one last used."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.")]


def find_collection(into: str | None) -> Path:
    """Where the collection is.

    Raises
    ------
    CollectionNotFoundError
        If there is none of that name; the message names the nearest.
    """
    from lookalike.collection import home

    if into is None:
        return home.last_used()
    path = home.resolve(into)
    if not path.exists():
        raise _missing(path)
    return path


def open_collection(into: str | None) -> Collection:
    """The collection, noted as the one last used."""
    from lookalike.collection import Collection, home
    from lookalike.errors import CollectionNotFoundError

    path = find_collection(into)
    try:
        collection = Collection.open(path)
    except CollectionNotFoundError:
        raise _missing(path) from None
    home.remember(path)
    return collection


def _missing(path: Path) -> CollectionNotFoundError:
    from lookalike.collection import home
    from lookalike.errors import CollectionNotFoundError

    known = [found.name for found in home.list_collections()]
    is_name = path.parent == home.home() / "collections"  # of a path, a name there may be another collection altogether
    near = difflib.get_close_matches(path.name, known, n=1, cutoff=0.6) if is_name else []
    advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known) or 'none yet'}"
    return CollectionNotFoundError(
        f"there is no collection at {path}; {advice}{'' if near else '; lookalike index FOLDER makes one'}"
    )

"""The commands that list what there is: collections, data sets."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.console import clean, count, emit, emit_json, say, table

if TYPE_CHECKING:
    from lookalike.data.datasets import Archive, Attribution, DatasetCard

__all__ = ["collections", "datasets"]

collections = typer.Typer(help="List or delete collections.", no_args_is_help=True, rich_markup_mode=None)
datasets = typer.Typer(help="List or fetch data sets.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.")]


@collections.callback()
@datasets.callback()
def _group() -> None:
    """A callback makes typer keep `list` as a word of its own, also where it is the only command."""


@datasets.command("list")
def list_datasets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show everything about this data set.")] = None,
    json: Json = False,
) -> None:
    """List the data sets, or show one: its source, checksum and licences, and for starter also each picture's author."""
    from lookalike.data.datasets import DATASETS, get_dataset

    cards = [*DATASETS.values()] if name is None else [get_dataset(name)]
    if json:
        emit_json([card.to_dict() | {"attribution": [asdict(credit) for credit in _credits(card)]} for card in cards])
    elif name is None:
        table([_row(card) for card in cards])
        say("`lookalike datasets list NAME` tells more, and who made the pictures of starter")
    else:
        table(_facts(cards[0]))
        for credit in _credits(cards[0]):
            emit(f"  {credit.file}: {credit.credit}")


def _credits(card: DatasetCard) -> list[Attribution]:
    from lookalike.data.datasets import starter_attribution

    return [*starter_attribution().values()] if card.bundled else []


def _row(card: DatasetCard) -> tuple[str, ...]:
    where = "inside lookalike" if card.bundled else "to fetch"
    sizes = count(card.pictures, "picture"), count(card.labels, "label"), f"{card.size / 1e6:,.0f} MB"
    return card.name, *sizes, where, card.title, card.licence_summary


def _facts(card: DatasetCard) -> list[tuple[str, ...]]:
    return [
        ("name", card.name),
        ("title", card.title),
        ("holds", f"{count(card.pictures, 'picture')}, {count(card.labels, 'label')}: {card.description}"),
        ("source", card.source),
        ("size", f"{card.size / 1e6:,.0f} MB, {_where(card)}"),
        *([("checksum", _checksum(card.archive))] if card.archive else []),
        *([("cite", card.citation)] if card.citation else []),
        ("licences", card.licence_summary),
        *(("", f"{licence.pictures} {licence.name} {licence.url}") for licence in card.licences),
        *([("credits", "of each picture:")] if card.bundled else []),
    ]


def _where(card: DatasetCard) -> str:
    return "inside lookalike" if card.bundled else f"to be fetched: lookalike datasets fetch {card.name}"


def _checksum(archive: Archive) -> str:
    known = archive.checksum
    return "unverified: nobody published one" if known is None else f"{known.title} {known.value} ({known.source})"


@collections.command("list")
def list_collections(json: Json = False) -> None:
    """List the collections in your data folder."""
    from lookalike.collection import home

    known = [(path, *_size(path)) for path in home.list_collections()]
    if json:
        emit_json([{"name": path.name, "path": str(path), "pictures": pictures} for path, pictures, _ in known])
        return
    table([(path.name, size, str(path)) for path, _, size in known])
    if not known:
        say("there are no collections yet; make one with lookalike index FOLDER")


def _size(path: Path) -> tuple[int | None, str]:
    """Number of pictures, as it is and in words; a damaged collection must not hide the others."""
    from lookalike.collection import Collection
    from lookalike.errors import LookalikeError

    try:
        with Collection.open(path) as collection:
            pictures = len(collection)
    except LookalikeError as error:
        return None, f"cannot be opened ({error})"
    return pictures, count(pictures, "picture")


@collections.command("delete")
def delete_collection(
    name: Annotated[str, typer.Argument(metavar="COLLECTION", help="A name, or a path with a separator.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete a collection; your pictures stay where they are."""
    from lookalike.collection import home
    from lookalike.errors import InputError

    path = home.resolve(name)
    what = _to_delete(path)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"this would delete {path}; add --yes to confirm")
        typer.confirm(f"delete {what} at {clean(path)}? The pictures themselves stay", abort=True, err=True)
    home.delete_collection(path)
    say(f"deleted {path}")


def _to_delete(path: Path) -> str:
    """What `delete` would delete, in words."""
    from lookalike.collection import Collection, home
    from lookalike.errors import CollectionError, CollectionLockedError, CollectionUnavailableError

    try:
        with Collection.open(path) as collection:
            return f"the collection of {count(len(collection), 'picture')}"
    except (CollectionLockedError, CollectionUnavailableError):
        raise
    except CollectionError:  # damaged, or half deleted
        home.check_deletable(path)
        return "what is left of a collection"

"""The commands that list what there is: collections, data sets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.console import clean, count, emit, emit_json, say, table

if TYPE_CHECKING:
    from lookalike.data.datasets import Archive, DatasetCard

__all__ = ["collections", "datasets"]

collections = typer.Typer(help="List or delete collections.", no_args_is_help=True, rich_markup_mode=None)
datasets = typer.Typer(help="List or fetch data sets.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.")]


@collections.callback()
@datasets.callback()
def _group() -> None:
    """A callback makes typer keep `list` as a word of its own, also where it is the only command."""


@datasets.command("list")
def list_datasets(json: Json = False) -> None:
    """List the data sets, and for each picture that comes with lookalike its author, licence, source and changes."""
    from dataclasses import asdict

    from lookalike.data.datasets import DATASETS, starter_attribution

    credits = starter_attribution()
    if json:
        attribution = {"starter": [asdict(credit) for credit in credits.values()]}
        emit_json([card.to_dict() | {"attribution": attribution.get(card.name, [])} for card in DATASETS.values()])
        return
    for card in DATASETS.values():
        emit(f"{card.name}  {count(card.pictures, 'picture')}, {count(card.labels, 'label')}: {card.description}")
        table(
            [
                ("  source", card.source),
                ("  size", f"{card.size / 1e6:,.0f} MB, {_where(card)}"),
                *([("  checksum", _checksum(card.archive))] if card.archive else []),
                *([("  cite", card.citation)] if card.citation else []),
                ("  licences", card.licence_summary),
                *(("", f"{licence.pictures} {licence.name} {licence.url}") for licence in card.licences),
            ]
        )
    emit()
    emit("Credits of the starter pictures")
    for credit in credits.values():
        emit(f"  {credit.file}: {credit.credit}")


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
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a collection; your pictures stay where they are."""
    from lookalike.collection import Collection, home
    from lookalike.errors import InputError

    path = home.resolve(name)
    with Collection.open(path) as collection:
        size = count(len(collection), "picture")
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"{path} would be deleted; say --yes where nobody can be asked")
        typer.confirm(
            f"delete the collection of {size} at {clean(path)}? The pictures themselves stay", abort=True, err=True
        )
    home.delete_collection(path)
    say(f"deleted {path}")

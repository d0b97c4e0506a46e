"""The commands about models: list, fetch, remove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.console import emit, emit_json, say, table

if TYPE_CHECKING:
    from lookalike.features.models import ModelCard

__all__ = ["models"]

models = typer.Typer(help="List, fetch or make models.", no_args_is_help=True, rich_markup_mode=None)

Replace = Annotated[bool, typer.Option("--replace", help="Replace an existing model of that name.")]


@models.callback()
def _group() -> None:
    """A callback makes typer keep each command as a word of its own."""


@models.command("list")
def list_models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show everything about this model.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.")] = False,
) -> None:
    """List the models: those that are ready, and those that can be fetched or exported."""
    from lookalike.errors import ModelError
    from lookalike.features import store
    from lookalike.features.models import DEFAULT_MODEL, KNOWN, MODELS, find_model, unknown_model

    cards: dict[str, tuple[ModelCard, str]] = {n: (card, "ready") for n, card in MODELS.items()}
    damaged: dict[str, str] = {}
    for own in store.names():
        try:
            if (card := find_model(own)) is not None:
                cards[own] = (card, "ready")
        except ModelError as error:
            damaged[own] = str(error)
    for n, card in KNOWN.items():
        cards.setdefault(n, (card, "to fetch" if card.url else "to export"))
    if name is not None:
        if name in damaged:
            raise ModelError(damaged[name])
        if name not in cards:
            raise unknown_model(name)
        cards, damaged = {name: cards[name]}, {}
    if json:
        emit_json(
            [card.to_dict() | {"state": state, "default": card.name == DEFAULT_MODEL} for card, state in cards.values()]
        )
    elif name is not None:
        table(_facts(*cards[name]))
    else:
        table([_row(card, state) for card, state in cards.values()])
        say("`lookalike models list NAME` tells more; `lookalike index FOLDER --model NAME` uses one")
    for message in damaged.values():
        say(message)


def _row(card: ModelCard, state: str) -> tuple[str, ...]:
    from lookalike.features.models import DEFAULT_MODEL

    title = f"{card.title}{' (default)' if card.name == DEFAULT_MODEL else ''}"
    return card.name, state, f"{card.d} numbers", f"{card.size / 1e6:,.0f} MB", card.licence or "licence unknown", title


def _facts(card: ModelCard, state: str) -> list[tuple[str, ...]]:
    how = {"to fetch": "lookalike models fetch", "to export": "lookalike models export"}
    rows: list[tuple[str, ...]] = [
        ("name", card.name),
        ("title", card.title),
        ("state", f"{state}: {how[state]} {card.name}" if state in how else state),
        ("vectors", f"{card.d} numbers"),
        ("pictures", f"{card.input_size} × {card.input_size}: {card.preprocessing}"),
        ("pooling", f"{card.pooling}; others: --model {card.name}+avg, +max, +gem" if card.positions else card.pooling),
        ("size", f"{card.size:,} bytes"),
        ("licence", f"{card.licence or 'not known'} {card.licence_url}"),
        ("source", card.source or "not known"),
        ("SHA-256", card.sha256 or "not published; recorded when it is fetched"),
        ("similarity", card.calibration.measured),
        ("words", "yes" if card.text else "no"),
    ]
    return [*rows, ("address", card.url)] if card.url else rows


@models.command("fetch")
def fetch(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A model in `models list`, or an ONNX file.")],
    name: Annotated[
        str | None, typer.Option("--name", help="For a file: the model's name; by default the file's.")
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            "--size",
            metavar="PIXELS",
            min=0,
            max=10_000,
            help="For a file that accepts any input size: the size to use.",
        ),
    ] = 0,
    normalise: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="For a file with float input: imagenet, clip, half, none, or mean and standard deviation as six numbers.",
        ),
    ] = "",
    output: Annotated[str, typer.Option(metavar="NAME", help="For a file: the output that is the vector.")] = "",
    pooling: Annotated[
        str, typer.Option(metavar="HOW", help="For a file: how its last layer is pooled: avg, max, gem or cls.")
    ] = "",
    licence: Annotated[str, typer.Option(metavar="NAME", help="For a file: its licence, if you know it.")] = "",
    words: Annotated[bool, typer.Option(help="Fetch the model's text tower, too, if it has one.")] = True,
    replace: Replace = False,
) -> None:
    """Fetch a model from its hub, or add an ONNX file of yours; prints its name.

    The file is checked, tried on pictures, and kept in your data folder.
    """
    from lookalike.features.models import KNOWN, MODELS

    path = Path(what)
    if what in MODELS:
        say(f"{what} comes with lookalike and need not be fetched")
    elif what in KNOWN or (path.suffix.lower() != ".onnx" and not path.is_file()):
        _fetch(what, words, replace)
    else:
        _take_in(path, name, {
            "input_size": size, "normalise": normalise, "output": output, "pooling": pooling, "licence": licence,
        }, replace)  # fmt: skip
    emit(what if what in MODELS or what in KNOWN else name or path.stem)


def _fetch(name: str, words: bool, replace: bool) -> None:
    from lookalike.cli.progress import TransferDisplay
    from lookalike.features.fetching import fetch_model

    with TransferDisplay(name) as display:
        _ready(fetch_model(name, words=words, replacing=replace, progress=display, say=say))


def _take_in(path: Path, name: str | None, said: dict[str, Any], replace: bool) -> None:
    from lookalike.features import store
    from lookalike.features.onnx_import import Described, card_of_file, take_in

    described = Described(name=path.stem if name is None else name, **said)
    store.check_name(described.name, replace)
    _ready(take_in(card_of_file(path, described), {"model": path}, replacing=replace, say=say))


def _ready(card: ModelCard) -> None:
    say(f"{card.name} is ready: {card.d} numbers a picture, SHA-256 {card.sha256}")
    say(f"try: lookalike index FOLDER --model {card.name} --in NEW")


@models.command("remove")
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="A model that you fetched or made.")]) -> None:
    """Delete a model that you fetched or made. Collections made with it stay, but accept no new pictures."""
    from lookalike.features import store

    store.remove(name)
    say(f"deleted the model {name}")

"""The command that fetches a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.console import count, emit, say

if TYPE_CHECKING:
    from lookalike.data.datasets import DatasetCard
    from lookalike.data.debian import Fetched

__all__ = ["fetch_dataset"]


def fetch_dataset(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="caltech101, voc2012, stamps or clipart; see `datasets list`.")
    ],
    target: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="A new folder; by default one in your data folder.")
    ] = None,
) -> None:
    """Fetch a data set of pictures, and print where it is.

    caltech101 and voc2012 come from their authors' servers; after Ctrl-C, the same command continues. stamps and
    clipart come from Debian packages, by apt-get without root; if there is no apt-get, the command says what to
    do instead.
    """
    from lookalike.collection import home
    from lookalike.data.datasets import get_dataset

    card = get_dataset(name)
    if card.bundled:
        say(f"{name} comes with lookalike and need not be fetched; try: lookalike demo")
        return
    datasets = home.home() / "datasets"
    fetched = _fetch(card, datasets / card.name if target is None else target.absolute(), datasets / "SHA256SUMS")
    was = "already there" if fetched.was_there else "fetched"
    say(f"{was}: {count(fetched.pictures, 'picture')} ({card.licences[0].name})")
    if card.citation:
        say(f"cite: {card.citation}")
    emit(str(fetched.folder))
    if not fetched.was_there:
        say(f"try: lookalike index {fetched.folder}")


def _fetch(card: DatasetCard, target: Path, ledger: Path) -> Fetched:
    from lookalike.cli.progress import TransferDisplay
    from lookalike.data import debian, published

    if card.archive is None:
        return debian.fetch(card.name, target, say)
    with TransferDisplay(card.archive.file) as display:
        try:
            return published.fetch(card, target, say=say, progress=display, ledger=ledger)
        except KeyboardInterrupt:
            say("what was fetched is kept; the same command goes on")
            raise

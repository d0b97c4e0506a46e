"""The command that fetches a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.console import count, emit, say

__all__ = ["fetch_dataset"]


def fetch_dataset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="stamps or clipart; see `datasets list`.")],
    target: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="A new folder; without it, one in your data folder.")
    ] = None,
) -> None:
    """Fetch a data set of pictures, and print where it is.

    The pictures come from Debian's packages by apt-get, without root. Where there is no apt-get it says what to do instead.
    """
    from lookalike.collection import home
    from lookalike.data.datasets import get_dataset
    from lookalike.data.debian import fetch

    card = get_dataset(name)
    if card.bundled:
        say(f"{name} comes with lookalike and need not be fetched; try: lookalike demo")
        return
    fetched = fetch(card.name, home.home() / "datasets" / card.name if target is None else target, say)
    was = "already there" if fetched.was_there else "fetched"
    say(f"{was}: {count(fetched.pictures, 'picture')} ({card.licences[0].name})")
    emit(str(fetched.folder))
    if not fetched.was_there:
        say(f"try: lookalike index {fetched.folder}")

"""The starter collection that `lookalike demo` shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.cli.console import say
from lookalike.cli.indexing import add, opened_or_created
from lookalike.data.datasets import starter_folder

if TYPE_CHECKING:
    from lookalike.collection import Collection

__all__ = ["demo_collection", "demo_query"]

_NAME = "starter"
_QUERY = Path("photos", "windmill", "windmill-12.jpg")


def demo_query() -> Path:
    """The starter picture that the printed search asks with."""
    return starter_folder() / _QUERY


def demo_collection() -> Path:
    """Where the collection of the starter pictures is, up to date with those of this installation."""
    from lookalike.collection import home

    path, folder = home.resolve(_NAME), starter_folder()
    with opened_or_created(path, None) as collection:
        _forget_other_installations(collection, folder)
        if not len(collection):
            say("indexing the starter pictures, once")
        add(collection, [folder])
        home.remember(path)
    return path


def _forget_other_installations(collection: Collection, folder: Path) -> None:
    """Starter pictures of an environment that moved or went would stand beside the same ones of this."""
    for root in {entry.root for entry in collection.entries(limit=len(collection))} - {folder}:
        if root.parts[-4:] == folder.parts[-4:]:  # lookalike/data/starter/images, and nobody's own folder
            collection.remove(root)

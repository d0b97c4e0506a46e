"""A collection of vectors that somebody brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lookalike.collection.home import delete_collection
from lookalike.collection.records import AddReport, Progress
from lookalike.collection.stored import StoredCollection
from lookalike.errors import CollectionNotFoundError, LookalikeError, ModelError
from lookalike.features.imported import Brought
from lookalike.features.models import find_model

__all__ = ["import_features"]


def import_features(
    path: Path, brought: Brought, model: str | None = None, progress: Callable[[Progress], None] | None = None
) -> AddReport:
    """Put vectors into the collection at `path`, which is made where there is none, and goes again if they do not fit.

    Parameters
    ----------
    path : Path
    brought : Brought
    model : str, optional
        What made them; without it what the file says, else ``"mine"``.
    progress : callable, optional
        Called with a `Progress` a few times per second.

    Raises
    ------
    ModelError
        If they are of another model than the collection's, or than the one here of that name.
    LookalikeError
        As `Collection.add_vectors` does.
    """
    name = model or (brought.facts.model if brought.facts else "mine")
    if model is None and brought.facts is not None:
        card = find_model(name)
        if card is not None and card.fingerprint != brought.facts.fingerprint:
            raise ModelError(
                f"model: the vectors are of another version of {name!r} than the one here; "
                "give them a name of their own: --model NAME"
            )
    labels = None if brought.labels is None else [names[0] if names else "" for names in brought.labels]
    try:
        collection, is_new = StoredCollection.open(path), False
    except CollectionNotFoundError:
        collection, is_new = StoredCollection.create(path), True
    with collection:
        try:
            return collection.add_vectors(brought.x, brought.paths, labels, name, progress=progress)
        except (LookalikeError, MemoryError, KeyboardInterrupt):
            if is_new and not len(collection):
                collection.close()
                delete_collection(path)
            raise

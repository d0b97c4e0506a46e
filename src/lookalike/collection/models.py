"""Which model a collection's features come from: one, recorded when it was made."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

from lookalike.collection.catalog.file import get_meta, set_meta
from lookalike.errors import CollectionError, ModelError
from lookalike.features.models import Calibration, ModelCard, find_model, get_model

if TYPE_CHECKING:
    from lookalike.features.embedder import Embedder

__all__ = ["check_embeds", "embedder_for", "own_vectors", "read_card", "write_card"]

_guard = threading.Lock()
_embedders: dict[str, Embedder] = {}


def own_vectors(name: str, d: int) -> ModelCard:
    """A card for vectors that somebody made elsewhere: their similarity is max(0, cosine) in percent."""
    if not isinstance(name, str) or not name or len(name) > 200 or not name.isprintable():
        raise ModelError(f"model: expected a name of 1 to 200 printable characters, got {name!r}")
    card = find_model(name)
    if card is not None:
        return card
    return ModelCard(name=name, title=f"vectors of {name!r}, made elsewhere", d=d, calibration=Calibration.plain())


def read_card(connection: sqlite3.Connection) -> ModelCard:
    """The recorded card; the installed one in its place where only title or calibration differ."""
    text = get_meta(connection, "model")
    if text is None:
        raise CollectionError("the catalogue is damaged: it does not say which model it is for")
    card = ModelCard.from_json(text)
    try:
        installed = find_model(card.name)
    except ModelError:  # damaged: who only searches with stored vectors does not need it
        installed = None
    return installed if installed is not None and installed.fingerprint == card.fingerprint else card


def write_card(connection: sqlite3.Connection, card: ModelCard) -> None:
    """Record the model."""
    set_meta(connection, "model", card.to_json())


def check_embeds(card: ModelCard) -> None:
    """Refuse to turn pictures into vectors that could not be compared with those stored.

    Raises
    ------
    ModelError
        If the vectors were made elsewhere, or the installed model of that name is another one.
    """
    if card.file is None:
        raise ModelError(
            f"this collection holds vectors of {card.name!r}, which were made elsewhere; "
            "pictures cannot be turned into such vectors: search with a vector or an id, add with add_vectors"
        )
    if get_model(card.name).fingerprint != card.fingerprint:
        raise ModelError(
            f"this collection was made with another version of {card.name!r} than the one installed; "
            "index the folders into a new collection"
        )


def embedder_for(card: ModelCard) -> Embedder:
    """An embedder of the model, shared by all collections of this process."""
    check_embeds(card)
    with _guard:
        embedder = _embedders.get(card.fingerprint)
        if embedder is None:
            from lookalike.features.embedder import Embedder

            embedder = _embedders[card.fingerprint] = Embedder(card)
        return embedder

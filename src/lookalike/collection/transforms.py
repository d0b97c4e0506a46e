"""The transform of a collection: which one is on, putting one on, and taking it off.

What is stored of each picture stays as the model made it. A transform is a file beside the features, named in the catalogue with
its checksum; readers apply it to what they read and to queries, and the index is made anew from transformed vectors.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from lookalike.collection.catalog.file import bump, get_meta, meta_number, set_meta, transaction
from lookalike.collection.models import read_card
from lookalike.collection.segments import FOLDER
from lookalike.errors import CollectionError, CollectionUnavailableError, DimensionError, FormatError, ModelError
from lookalike.features.transforms import Transform, load_transform, save_transform

__all__ = [
    "describe_transform",
    "forget_transform",
    "read_transform",
    "record_of",
    "transform_file",
    "write_transform",
]

_META = "transform"


def _record(connection: sqlite3.Connection) -> dict[str, Any] | None:
    text = get_meta(connection, _META)
    if not text:
        return None
    try:
        record = json.loads(text)
        if not all(isinstance(record[key], str) for key in ("file", "sha256", "kind")):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise CollectionError("the catalogue is damaged: what it says of its transform cannot be read") from None
    return dict(record)


def transform_file(connection: sqlite3.Connection) -> tuple[str, str] | None:
    """Name and SHA-256 of the transform's file; None where there is none."""
    record = _record(connection)
    return None if record is None else (Path(record["file"]).name, record["sha256"])


def describe_transform(connection: sqlite3.Connection) -> dict[str, Any] | None:
    """What the transform is and what it was fitted to, as plain values."""
    record = _record(connection)
    return None if record is None else {key: record[key] for key in ("kind", "d", "about") if key in record}


def read_transform(
    connection: sqlite3.Connection, folder: Path, known: tuple[str, Transform] | None = None
) -> tuple[str, Transform] | None:
    """The transform that is on, with its SHA-256, which tells it from others; `known` is not read again.

    Raises
    ------
    FileNotFoundError
        If its file is gone; the caller's view may be old.
    CollectionError
        If its file is damaged.
    """
    named = transform_file(connection)
    if named is None:
        return None
    file, sha256 = named
    if known is not None and known[0] == sha256:
        return known
    path = folder / FOLDER / file
    try:
        path.stat()  # one that is gone is told apart from one that is damaged
        return sha256, load_transform(path, sha256)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CollectionUnavailableError(f"{path} cannot be read now: {error.strerror or error}; try again") from None
    except (FormatError, DimensionError) as error:
        raise CollectionError(
            f"{error}; `lookalike models adapt --undo` removes it, the pictures' own features are kept"
        ) from None


def write_transform(connection: sqlite3.Connection, folder: Path, transform: Transform | None) -> None:
    """Put a transform on, in place of any other, or take it off with None. The caller makes the index anew."""
    if transform is None:
        with transaction(connection):
            forget_transform(connection)
            connection.execute("DELETE FROM generations")
            bump(connection)
        return
    card = read_card(connection)
    if transform.model != card.fingerprint:
        raise ModelError(f"the transform ({transform.kind}) is for vectors of another model than {card.name!r}")
    if transform.d != card.d:
        raise DimensionError(f"transform: expected one of d={card.d}, got {transform.d}")
    with transaction(connection):
        number = meta_number(connection, "next_file")
        file = f"{number:06d}.safetensors"
        sha256 = save_transform(transform, folder / FOLDER / file)
        set_meta(connection, _META, record_of(file, sha256, transform))
        set_meta(connection, "next_file", number + 1)
        connection.execute("DELETE FROM generations")
        bump(connection)


def record_of(file: str, sha256: str, transform: Transform) -> str:
    """What the catalogue says of a transform."""
    about = {"kind": transform.kind, "d": transform.d_out, "about": transform.about}
    return json.dumps({"file": file, "sha256": sha256, **about})


def forget_transform(connection: sqlite3.Connection) -> None:
    """Vectors are as the model made them again. The caller commits."""
    connection.execute("DELETE FROM meta WHERE key = ?", (_META,))

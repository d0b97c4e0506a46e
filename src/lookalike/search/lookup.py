"""From what somebody asks with to one unit vector, and the ids that the answer leaves out."""

from __future__ import annotations

import io
import numbers
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._hostname import is_url
from lookalike._typing import Array, FloatArray
from lookalike._validate import check_vectors, unit_rows
from lookalike.collection.models import embedder_for
from lookalike.collection.segments import FeatureStore
from lookalike.data.paths import absolute, picture_at
from lookalike.data.stamp import stamp_of
from lookalike.errors import DTypeError, IdError, InputError
from lookalike.features.models import ModelCard

if TYPE_CHECKING:
    from PIL.Image import Image

    from lookalike.collection.stored import StoredCollection


__all__ = ["Resolver", "vectors_of"]

MAX_QUERIES = 1000


class Resolver:
    """Turns queries into vectors, with the features already stored where they are still right."""

    def __init__(self, connection: sqlite3.Connection, card: ModelCard, store: FeatureStore) -> None:
        self._connection = connection
        self._card = card
        self._store = store.plain()
        self._transformed = store.transformed
        self.transform = store.transform
        self._vectors: list[FloatArray | None] = []
        self._pictures: list[Any] = []
        self.exclude: list[int] = []

    def collect(self, query: Any) -> None:
        """Look a query up; what has to be embedded is only noted."""
        if isinstance(query, list | tuple) and not _is_vector(query):
            if not 0 < len(query) <= MAX_QUERIES:
                raise InputError(f"query: expected 1 to {MAX_QUERIES} pictures or vectors, got {len(query)}")
            for part in query:
                if isinstance(part, list | tuple) and not _is_vector(part):
                    raise InputError("query: expected a list of pictures or vectors, got a list of lists")
                self.collect(part)
        elif isinstance(query, numbers.Integral) and not isinstance(query, bool | np.bool_):
            self._by_id(int(query))
        elif isinstance(query, str | os.PathLike):
            self._by_name(query)
        elif isinstance(query, np.ndarray) and query.ndim == 3:
            self._picture(_image_of(query))
        elif isinstance(query, np.ndarray | list | tuple):
            self._vectors.extend(unit_rows(check_vectors(query, self._card.d, "query")))
        elif isinstance(query, bytes | bytearray | memoryview):
            self._picture(bytes(query))
        elif hasattr(query, "getbands") or hasattr(query, "read"):
            self._picture(query if hasattr(query, "getbands") else io.BytesIO(query.read()).getvalue())
        else:
            raise InputError(
                f"query: expected a path, a URL, a picture, a vector, an id or a list of them, got {type(query).__name__}"
            )

    def vectors(self) -> FloatArray:
        """Unit vectors of all that was collected, in order, as the model made them, shape (n, d)."""
        if self._pictures:
            embedded = iter(np.asarray(embedder_for(self._card).embed(self._pictures), np.float32))
            self._vectors = [next(embedded) if vector is None else vector for vector in self._vectors]
            self._pictures = []
        return np.stack([vector for vector in self._vectors if vector is not None])

    def vector(self) -> FloatArray:
        """The mean of all that was collected, each transformed as the store's rows are, as a unit vector, shape (d,)."""
        rows = self._transformed(self.vectors())
        mean: FloatArray = unit_rows(rows.mean(axis=0, keepdims=True))[0]
        return mean

    def _picture(self, picture: Any) -> None:
        self._vectors.append(None)
        self._pictures.append(picture)

    def _by_id(self, entry: int) -> None:
        row = None
        if abs(entry) < 2**63:
            row = self._connection.execute("SELECT feature FROM entries WHERE id = ?", (entry,)).fetchone()
        if row is None:
            raise IdError(f"id: {entry} is not in this collection")
        if not self._stored(row[0]):
            raise IdError(f"id: the features of {entry} are damaged on disk; index its folder again")
        self.exclude.append(entry)

    def _by_name(self, name: str | os.PathLike[str]) -> None:
        text = os.fspath(name)
        if isinstance(text, str) and is_url(text):
            from lookalike._fetch import fetch

            self._picture(fetch(text))
            return
        path = absolute(name)
        row = self._connection.execute(
            "SELECT feature, size, mtime_ns, is_file FROM entries WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        if row is not None and self._is_current(path, *row[1:]) and self._stored(row[0]):
            return
        self._picture(picture_at(name))

    def _stored(self, feature: int) -> bool:
        ids = np.array([feature], np.int64)
        if not self._store.holds(ids)[0]:
            return False
        self._vectors.append(self._store[ids][0])
        return True

    @staticmethod
    def _is_current(path: Path, size: int | None, mtime_ns: int | None, is_file: int) -> bool:
        """Whether the stored features are of what the path holds now. Vectors somebody brought always are."""
        try:
            status = path.stat()
        except OSError:
            return not is_file
        return not is_file or stamp_of(status)[:2] == (size, mtime_ns)


def _is_vector(query: Sequence[Any]) -> bool:
    """Numbers that are not all whole are one vector; whole numbers are ids."""
    return (
        bool(query)
        and all(isinstance(x, numbers.Real) for x in query)
        and any(not isinstance(x, numbers.Integral) for x in query)
    )


def _image_of(array: Array) -> Image:
    from PIL import Image as PillowImage

    if array.dtype != np.uint8 or array.shape[2] not in (3, 4) or 0 in array.shape:
        raise DTypeError(
            f"query: expected a picture as uint8 of shape (height, width, 3 or 4), got {array.dtype} of shape {array.shape}"
        )
    return PillowImage.fromarray(np.ascontiguousarray(array))


def vectors_of(collection: StoredCollection, queries: Sequence[Any]) -> FloatArray:
    """What a collection is asked with for each of some queries; see `lookalike.Collection.vectors`."""
    with collection.view() as (connection, snapshot):
        resolver = Resolver(connection, snapshot.card, snapshot.store)
        resolver.collect(list(queries))
    return resolver.vectors()

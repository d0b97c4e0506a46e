"""From what somebody asks with to one unit vector, and the ids that the answer leaves out."""

from __future__ import annotations

import io
import numbers
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import unquote_to_bytes

import numpy as np

from lookalike import _validate
from lookalike._hostname import is_url
from lookalike._typing import Array, FloatArray
from lookalike._validate import check_vectors, unit_rows
from lookalike.collection.models import embedder_for
from lookalike.collection.segments import FeatureStore
from lookalike.data.stamp import stamp_of
from lookalike.errors import DTypeError, IdError, ImageError, InputError
from lookalike.features.models import ModelCard

if TYPE_CHECKING:
    from PIL.Image import Image

    from lookalike._typing import ArrayLike
    from lookalike.collection.collection import Collection
    from lookalike.collection.records import Hit

__all__ = ["Answered", "Asks", "Resolver", "absolute", "check_allow", "named_path", "picture_at"]

MAX_QUERIES = 1000


class Answered(Protocol):
    """What came of a question."""

    @property
    def hits(self) -> list[Hit]: ...
    @property
    def timing_ms(self) -> dict[str, float]: ...


@runtime_checkable
class Asks(Protocol):
    """A question that knows how to ask a collection, as `lookalike.Query` does."""

    def vector(self, collection: Collection) -> FloatArray: ...

    def ask(
        self, collection: Collection, k: int | None = None, *, exact: bool = False, allow: ArrayLike | None = None
    ) -> Answered: ...


def absolute(path: str | os.PathLike[str]) -> Path:
    """`path` with ``~`` and the working folder filled in; links stay as they are. A ``file://`` URL is the path it names."""
    text = os.fspath(path)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if isinstance(path, str) and text[:7].lower() == "file://":
        text = _path_of_url(text)
    if not text or "\0" in text:
        raise InputError(f"path: expected the name of a file or folder, got {text!r}")
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111 (Path has no lexical `..`)


def named_path(text: str) -> Path:
    """The path that somebody typed, as it is; that of a ``file://`` URL in full."""
    return absolute(text) if text[:7].lower() == "file://" else Path(text)


def _path_of_url(url: str) -> str:
    """The path that a ``file://`` URL names on this machine; what stands after ? and # is a part of it, as of every path.

    Raises
    ------
    InputError
        If it names another machine, or no full path.
    """
    host, slash, rest = url[7:].partition("/")
    if host.lower() not in ("", "localhost"):
        raise InputError(f"{url[:200]}: expected file:///PATH, a file of this machine; {host[:80]!r} is another")
    if not slash:
        raise InputError(f"{url[:200]}: expected file:///PATH with the full path of a file")
    if os.name == "nt":
        from urllib.request import url2pathname

        return url2pathname(slash + rest)
    return os.fsdecode(unquote_to_bytes(os.fsencode(slash + rest)))


def picture_at(name: str | os.PathLike[str]) -> Path:
    """The full path of a file that somebody named.

    Raises
    ------
    ImageError
        If there is none.
    """
    path = absolute(name)
    if not path.exists():
        raise ImageError(f"{os.fspath(name)}: there is no such file")
    if path.is_dir():
        raise ImageError(f"{os.fspath(name)}: a folder, expected a picture; `lookalike index` takes folders")
    return path


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


def check_allow(allow: Any) -> Array | None:
    """Ids, or a boolean mask indexed by id; None lets every entry pass."""
    return None if allow is None else _validate.check_allow(allow)

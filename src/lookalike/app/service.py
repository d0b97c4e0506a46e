"""What the app does, without a web framework: find a collection by name, search it, show its pictures by id."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from PIL import Image

from lookalike import _fetch
from lookalike.collection import Collection, home
from lookalike.collection.records import Entry, Hit, printable
from lookalike.data.datasets import Attribution, starter_attribution, starter_folder
from lookalike.errors import CollectionError, CollectionNotFoundError, IdError, ImageError, InputError, LookalikeError
from lookalike.features.images import open_picture, probe, thumbnail

__all__ = ["MAX_K", "Answer", "Picture", "Query", "Service"]

MAX_K: Final = 200
MAX_FILE: Final = 200_000_000
THUMBNAIL_SIDES: Final = (96, 192, 320, 640)
_THUMBNAIL_CACHE_BYTES: Final = 64_000_000

# What browsers draw themselves and cannot run. Everything else Pillow reads is sent as JPEG.
_SENT_AS_IS: Final = MappingProxyType(
    {
        "JPEG": "image/jpeg",
        "PNG": "image/png",
        "GIF": "image/gif",
        "WEBP": "image/webp",
        "BMP": "image/bmp",
        "AVIF": "image/avif",
    }
)


@dataclass(frozen=True, slots=True)
class Query:
    """One picture to search with: exactly one of the four.

    Attributes
    ----------
    image : bytes or None
        A picture file's contents.
    url : str or None
    id : int or None
        A picture of the collection, or of the one named `source`.
    text : str or None
    source : str or None
        Name of the collection that `id` belongs to; None for the one that is searched.
    """

    image: bytes | None = None
    url: str | None = None
    id: int | None = None
    text: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("image", "url", "id", "text") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(f"expected exactly one of image, url, id and text, got {' and '.join(given) or 'none'}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found.

    Attributes
    ----------
    hits : list of Hit
        Best first.
    timing_ms : dict
        ``"embed"`` and ``"search"``.
    image : bytes or None
        The picture that was searched with, where it is not one of a collection.
    """

    hits: list[Hit]
    timing_ms: dict[str, float]
    image: bytes | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture ready to be sent: its bytes, their media type, and a tag that changes when they do."""

    body: bytes
    media_type: str
    etag: str


class Service:
    """The collections that one server shows, opened when they are first asked for.

    Parameters
    ----------
    default : path
        The collection that is searched when no other is named.
    fetch : callable, optional
        ``fetch(url)`` -> bytes; tests replace it.
    """

    def __init__(self, default: str | os.PathLike[str], *, fetch: Callable[[str], bytes] = _fetch.fetch) -> None:
        self._fetch = fetch
        self._guard = threading.Lock()
        collection = Collection.open(Path(default))
        self.default = collection.name
        self._open: dict[str, Collection] = {self.default: collection}
        self._thumbnails: OrderedDict[str, bytes] = OrderedDict()
        self._thumbnail_bytes = 0

    def close(self) -> None:
        """Close every collection that was opened."""
        with self._guard:
            for collection in self._open.values():
                collection.close()
            self._open.clear()

    def warm(self) -> None:
        """Load the model and the index before the first search needs them."""
        picture = io.BytesIO()
        Image.new("RGB", (8, 8)).save(picture, "PNG")
        with contextlib.suppress(LookalikeError):  # the first search will say what is wrong
            self.collection().search(picture.getvalue(), 1)

    def names(self) -> list[str]:
        """Names of the collections that can be asked for, the default first."""
        others = sorted((path.name for path in home.list_collections()), key=str.casefold)
        return [self.default, *(name for name in others if name != self.default)]

    def collection(self, name: str | None = None) -> Collection:
        """The open collection of that name.

        Raises
        ------
        CollectionNotFoundError
            If there is none; a path is never a name.
        """
        name = name or self.default
        with self._guard:
            if name not in self._open:
                self._open[name] = self._opened(name)
            return self._open[name]

    @staticmethod
    def _opened(name: str) -> Collection:
        """Open a collection in the user's data folder, its own damage included in what can be wrong."""
        missing = CollectionNotFoundError(f"there is no collection called {printable(name)[:100]!r}")
        try:
            path = home.resolve(name)
        except InputError:
            raise missing from None
        if (path.parent, path.name) != (home.resolve("x").parent, name) or not path.is_dir():
            raise missing
        try:
            return Collection.open(path)
        except CollectionError as error:  # whoever asks over the network need not know where it lies
            raise type(error)(str(error).replace(str(path), name)) from None

    def search(self, query: Query, k: int = 12, name: str | None = None) -> Answer:
        """The `k` pictures of a collection that look most like the query.

        Raises
        ------
        ImageError, FetchError, IdError, InputError, CollectionError
            With a message for the person who asked.
        """
        if not 1 <= k <= MAX_K:
            raise InputError(f"k: expected 1 to {MAX_K}, got {k}")
        collection = self.collection(name)
        image = query.image
        if query.text is not None:
            raise InputError("this collection's model knows pictures only, not words; search with a picture")
        if query.id is not None:
            origin = self.collection(query.source) if query.source else collection
            entry = origin.entry(query.id)
            within = origin is collection
            hits, timing = collection.search_timed(query.id if within else entry.path, k)
            return Answer(hits, timing)
        if query.url is not None:
            image = self._fetch(query.url)
        hits, timing = collection.search_timed(image, k)
        return Answer(hits, timing, image)

    def status(self, name: str | None = None) -> dict[str, Any]:
        """What a collection holds and how exact its search is; files by their names, without the folders above."""
        collection = self.collection(name)
        status = {key: value for key, value in collection.status().items() if key not in ("path", "roots")}
        status["skipped"] = [{**file, "path": printable(Path(file["path"]).name)} for file in status.get("skipped", [])]
        return status | {"model_title": collection.model.title}

    def details(self, id: int, name: str | None = None) -> dict[str, Any]:
        """What is known about one picture, for a person to read; no absolute path."""
        return describe(self.collection(name).entry(id))

    def examples(self, n: int = 12, name: str | None = None) -> list[dict[str, Any]]:
        """Pictures to start from, spread over the collection's folders."""
        collection = self.collection(name)
        total = len(collection)
        offsets = sorted({i * total // n + total // (2 * n) for i in range(n)}) if total > n else range(total)
        found = [entry for offset in offsets for entry in collection.entries(offset, 1)]
        return [describe(entry) for entry in found if not entry.missing]

    def picture(self, id: int, name: str | None = None) -> Picture:
        """The picture itself; as JPEG where browsers cannot draw its format.

        Raises
        ------
        IdError
            If there is no such picture, or its file is gone.
        """
        entry = self.collection(name).entry(id)
        data, etag = _read(entry)
        media_type = _SENT_AS_IS.get(probe(data)[2])
        if media_type is not None:
            return Picture(data, media_type, etag)
        with io.BytesIO() as out:
            open_picture(data, 2048).save(out, "JPEG", quality=90)
            return Picture(out.getvalue(), "image/jpeg", f"{etag}-jpeg")

    def thumbnail(self, id: int, side: int = 320, name: str | None = None) -> Picture:
        """A small JPEG of a picture, at most `side` pixels (rounded up to one of a few sizes) wide and high."""
        entry = self.collection(name).entry(id)
        side = next((s for s in THUMBNAIL_SIDES if s >= side), THUMBNAIL_SIDES[-1])
        etag = f"{self.thumbnail_tag(entry)}-{side}"
        with self._guard:
            body = self._thumbnails.get(etag)
            if body is not None:
                self._thumbnails.move_to_end(etag)
                return Picture(body, "image/jpeg", etag)
        body = thumbnail(_read(entry)[0], side)
        self._keep(etag, body)
        return Picture(body, "image/jpeg", etag)

    @staticmethod
    def thumbnail_tag(entry: Entry) -> str:
        """Equal as long as the file is the one that was last seen."""
        try:
            found = entry.path.stat()
        except OSError:
            raise IdError(f"picture {entry.id}: the file {printable(entry.relative)!r} is gone") from None
        return _tag(entry, found)

    def _keep(self, etag: str, body: bytes) -> None:
        with self._guard:
            if etag not in self._thumbnails:
                self._thumbnail_bytes += len(body)
            self._thumbnails[etag] = body
            while self._thumbnail_bytes > _THUMBNAIL_CACHE_BYTES:
                self._thumbnail_bytes -= len(self._thumbnails.popitem(last=False)[1])


def describe(entry: Entry) -> dict[str, Any]:
    """A picture in words, for the page."""
    credit = credit_of(entry)
    return {
        "id": entry.id,
        "path": printable(entry.relative),
        "name": printable(entry.path.name),
        "label": printable(entry.label),
        "width": entry.width,
        "height": entry.height,
        "format": entry.format,
        "bytes": entry.size,
        "credit": credit
        and {
            "author": credit.author,
            "licence": credit.licence,
            "licence_url": credit.licence_url,
            "source": credit.source,
            "changes": credit.changes,
        },
    }


def credit_of(entry: Entry) -> Attribution | None:
    """Who made a starter picture, wherever its folder was copied to; None for other pictures."""
    credit = starter_attribution().get(entry.relative)
    if credit is None or entry.size != _starter_sizes().get(entry.relative):
        return None
    return credit


@functools.cache
def _starter_sizes() -> dict[str, int]:
    folder = starter_folder()
    return {name: (folder / name).stat().st_size for name in starter_attribution() if (folder / name).is_file()}


def _read(entry: Entry) -> tuple[bytes, str]:
    """A picture's bytes and their tag. What is no ordinary file any more is gone as far as the app is concerned."""
    try:
        # Not to wait for a writer, should the path have become a pipe.
        handle = os.open(entry.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise IdError(f"picture {entry.id}: {printable(entry.relative)!r} is not a file any more")
            data = file.read(MAX_FILE + 1)
    except OSError:
        raise IdError(f"picture {entry.id}: the file {printable(entry.relative)!r} is gone") from None
    if len(data) > MAX_FILE:
        raise ImageError(f"{printable(entry.relative)}: more than {MAX_FILE:,} bytes")
    return data, _tag(entry, found)


def _tag(entry: Entry, found: os.stat_result) -> str:
    text = f"{entry.path!s}\0{found.st_size}\0{found.st_mtime_ns}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]

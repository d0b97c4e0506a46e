"""Pictures on their way to a browser: originals, and thumbnails that are made once and kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lookalike._files import part_name
from lookalike.collection.catalog.entries import read_original
from lookalike.collection.home import home
from lookalike.collection.records import Entry, printable
from lookalike.errors import IdError
from lookalike.features.images import open_picture, probe, thumbnail

__all__ = ["THUMBNAIL_SIDES", "Picture", "Thumbnails", "cache_folder", "original", "read_file"]

_LOOK: Final = 2  # to be raised when pictures are shown differently, so that no older thumbnail is
THUMBNAIL_SIDES: Final = (96, 192, 320, 640)

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
class Picture:
    """A picture ready to be sent: its bytes, their media type, and a tag that changes when they do."""

    body: bytes
    media_type: str
    etag: str


def original(entry: Entry) -> Picture:
    """The picture itself; as JPEG where browsers cannot draw its format.

    Raises
    ------
    IdError
        If its file is gone.
    ImageError
        If it is no picture any more.
    """
    data, etag = read_file(entry)
    media_type = _SENT_AS_IS.get(probe(data)[2])
    if media_type is not None:
        return Picture(data, media_type, etag)
    with io.BytesIO() as out:
        open_picture(data, 2048).save(out, "JPEG", quality=90)
        return Picture(out.getvalue(), "image/jpeg", f"{etag}-jpeg")


def cache_folder() -> Path:
    """Where thumbnails are kept: beside the collections if ``LOOKALIKE_HOME`` moves them, else the user's cache."""
    if os.environ.get("LOOKALIKE_HOME"):
        return home() / "cache" / "thumbnails"
    from platformdirs import user_cache_path

    return user_cache_path("lookalike", appauthor=False) / "thumbnails"


class Thumbnails:
    """Small JPEGs on disk, made when they are first asked for; the least used go when there are too many.

    Parameters
    ----------
    folder : path
        Made when it is needed. If nothing can be written there, thumbnails are made each time.
    limit : int
        Bytes.
    """

    def __init__(self, folder: Path, limit: int = 500_000_000) -> None:
        self._folder, self._limit = folder, limit
        self._guard = threading.Lock()
        self._bytes: int | None = None

    def get(self, entry: Entry, side: int) -> Picture:
        """A thumbnail at most `side` pixels (rounded up to one of a few sizes) wide and high.

        Raises
        ------
        IdError, ImageError
            If the file is gone, or no picture any more.
        """
        side = next((s for s in THUMBNAIL_SIDES if s >= side), THUMBNAIL_SIDES[-1])
        etag = f"{_current_tag(entry)}-{side}"
        path = self._folder / etag[:2] / f"{etag}.jpg"
        body = _kept(path)
        if body is None:
            data, tag = read_file(entry)
            body = thumbnail(data, side)
            etag = f"{tag}-{side}"  # of what was read, which may be newer than what was looked at
            self._keep(self._folder / etag[:2] / f"{etag}.jpg", body)
        return Picture(body, "image/jpeg", etag)

    def _keep(self, path: Path, body: bytes) -> None:
        temporary = path.with_name(part_name(path.name))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not forced onto the disk, as what matters is: a torn one has no end and is made again.
            temporary.write_bytes(body)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        with self._guard:
            self._bytes = self._measure() if self._bytes is None else self._bytes + len(body)
            if self._bytes > self._limit:
                self._bytes = self._measure(shrink_to=self._limit * 3 // 4)

    def _measure(self, shrink_to: int | None = None) -> int:
        """Bytes in the folder; with `shrink_to`, after those that were not looked at for longest are gone."""
        found = []
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found) if shrink_to is not None else ():
            if total <= (shrink_to or 0):
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
        return total


def _kept(path: Path) -> bytes | None:
    try:
        body = path.read_bytes()
    except OSError:
        return None
    return body if body.startswith(b"\xff\xd8") and body.endswith(b"\xff\xd9") else None


def read_file(entry: Entry) -> tuple[bytes, str]:
    """A picture's bytes and their tag. What is no ordinary file any more is gone as far as the app is concerned."""
    data, found, is_whole = read_original(entry)
    # What changed while it was read may be half of each: nobody asks for that tag again.
    return data, _tag(entry, found) if is_whole else secrets.token_hex(12)


def _current_tag(entry: Entry) -> str:
    """Equal as long as the file is the one that was last seen."""
    try:
        found = entry.path.stat()
    except OSError:
        raise IdError(f"picture {entry.id}: the file {printable(entry.relative)!r} is gone") from None
    if not stat.S_ISREG(found.st_mode):
        raise IdError(f"picture {entry.id}: {printable(entry.relative)!r} is not a file any more")
    return _tag(entry, found)


def _tag(entry: Entry, found: os.stat_result) -> str:
    text = f"{entry.path!s}\0{found.st_size}\0{found.st_mtime_ns}\0{_LOOK}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]

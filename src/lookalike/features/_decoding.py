"""Decoding itself: from a file to upright RGB pixels, in this process.

A worker imports this and no more, so that it starts fast: numpy is loaded for the few pictures that need it.
"""

from __future__ import annotations

import contextlib
import io
import threading
from typing import Any, NamedTuple

from PIL import Image, ImageFile

from lookalike.errors import ImageError
from lookalike.features import _jpeg
from lookalike.features._pixels import LARGE, Header, check_memory, memory_to_decode, reduced_rgb, upright
from lookalike.features._source import Opened, Source, opened

__all__ = ["Probed", "Square", "open_picture", "probe", "read", "thumbnail"]

one_large_at_a_time: contextlib.AbstractContextManager[Any] = threading.Lock()
"""Held while a large picture is decoded; a worker process puts a lock there that all workers share."""


class Square(NamedTuple):
    """A picture squashed to a square, and what its file said.

    Attributes
    ----------
    picture : PIL.Image.Image
        Mode RGB.
    width, height : int
        Of the whole picture, upright.
    format : str
    """

    picture: Image.Image
    width: int
    height: int
    format: str


class Probed(NamedTuple):
    """Size, upright, and format of a picture, from its header."""

    width: int
    height: int
    format: str


def read(source: Source, size: int) -> Square:
    """A picture squashed to a square of that side."""
    with opened(source) as given:
        rgb, turned, full = _rgb(given, (size, size))
        # A square can be turned after it was made small. Bicubic, as the model was trained with.
        square = upright(rgb.resize((size, size), Image.Resampling.BICUBIC), turned)
        return Square(square, *_upright_size(full, turned), given.picture.format or "")


def open_picture(source: Source, limit: int | None) -> Image.Image:
    """A picture whose longer side is at most `limit`; nobody else's, and without metadata."""
    with opened(source) as given:
        picture = given.picture
        rgb, turned, full = _rgb(given, _fit(picture.size, limit))
        target = _fit(full, limit)
        if rgb.size != target:
            rgb = rgb.resize(target, Image.Resampling.BICUBIC)
        result = upright(rgb, turned)
        if result is picture:
            result = result.copy()
        result.info.clear()
        return result


def probe(source: Source) -> Probed:
    """What a picture's header says."""
    with opened(source) as given:
        return Probed(*_upright_size(given.picture.size, given.turned), given.picture.format or "")


def thumbnail(source: Source, side: int) -> bytes:
    """A JPEG whose longer side is at most `side`."""
    target = io.BytesIO()
    open_picture(source, side).save(target, "JPEG", quality=85)
    return target.getvalue()


def _rgb(given: Opened, target: tuple[int, int]) -> tuple[Image.Image, int, tuple[int, int]]:
    """RGB pixels, as stored and not below `target`; the orientation; the size of the whole, as stored."""
    picture, facts = given.picture, {} if given.prepared is None else given.prepared.facts
    full = picture.size
    # A JPEG can be decoded at a half, a quarter or an eighth. That changes the object, so not a caller's.
    drafted = given.is_own and picture.format == "JPEG" and isinstance(picture, ImageFile.ImageFile)
    if drafted:
        picture.draft("RGB", target)
    need = memory_to_decode(picture, full)
    check_memory(need, full)
    with one_large_at_a_time if need > LARGE else contextlib.nullcontext():
        if facts.get("lacks_end") and given.prepared is not None:
            _check_whole(given.prepared.data, full)
        picture.load()
        if not drafted:
            full = picture.size  # Pillow turns a TIFF upright while it loads it
        # Half of the way by means of pixels; the rest is left to the bicubic filter, which then hardly sees a
        # difference to the whole.
        factor = max(min(picture.size[0] // (2 * target[0]), picture.size[1] // (2 * target[1])), 1)
        return reduced_rgb(picture, factor, Header(given.profile, facts)), given.turned, full


def _check_whole(data: bytes, size: tuple[int, int]) -> None:
    """Refuse a JPEG that has no end, unless nothing but its end is missing: twice a whole decode, for few pictures."""
    check_memory(6 * size[0] * size[1], size)
    if not _jpeg.is_whole(data):
        raise ImageError("the picture is cut short: only a part of the file is there")


def _upright_size(size: tuple[int, int], turned: int) -> tuple[int, int]:
    return size[::-1] if turned >= 5 else size


def _fit(size: tuple[int, int], limit: int | None) -> tuple[int, int]:
    """The size of a picture whose longer side is at most `limit`, in its own proportions."""
    longer = max(size)
    if limit is None or longer <= limit:
        return size
    return max(round(size[0] * limit / longer), 1), max(round(size[1] * limit / longer), 1)

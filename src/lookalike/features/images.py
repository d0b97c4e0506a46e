"""Safe decoding: from a file that anybody may have made to upright RGB pixels.

Whatever the source, the caps are checked before decoding, EXIF orientation is applied, colours become sRGB, what is
transparent is laid over white (or over black where only that shows it), and of an animation the first frame is taken.
Everything that can go wrong is an `ImageError` whose message is the reason, in words for a person and without the
file's name.

Where `workers.held` is in force, as in the server and while a folder is indexed, files are decoded by other processes.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from lookalike._validate import check_count
from lookalike.data.walk import SUFFIXES
from lookalike.errors import ImageError
from lookalike.features import _jpeg, workers
from lookalike.features._pipe import Answer
from lookalike.features._pixels import LARGE, Header, check_memory, memory_to_decode, reduced_rgb, upright
from lookalike.features._source import MAX_FILE_BYTES, MAX_PIXELS, Opened, Source, contents, is_file, opened

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "Decoded",
    "decode",
    "open_picture",
    "probe",
    "read",
    "thumbnail",
]

one_large_at_a_time: contextlib.AbstractContextManager[Any] = threading.Lock()
"""Held while a large picture is decoded; a worker process puts a lock there that all workers share."""


class Decoded(NamedTuple):
    """A picture ready for a model, and what its file said.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (size, size, 3)
    width, height : int
        Of the whole picture, upright.
    format : str
        ``"JPEG"``, ``"PNG"`` …; empty for a picture that did not come from a file.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str


class Probed(NamedTuple):
    """Size, upright, and format of a picture, from its header."""

    width: int
    height: int
    format: str


def read(source: Source, size: int, is_patient: bool = False) -> Decoded:
    """Decode a picture, squashed to a square, with its original size and format.

    Parameters
    ----------
    source : path, bytes, binary file, PIL image or ndarray of uint8
        An array is (height, width), (height, width, 3) or (height, width, 4).
    size : int
        Side of the square.
    is_patient : bool
        Nobody waits for this one, so it lets others go first where memory is short.

    Raises
    ------
    ImageError
        If there is no picture to be had from it.
    """
    size = check_count(size, "size", high=8192)
    if isinstance(source, np.ndarray) and source.shape == (size, size, 3) and source.dtype == np.uint8:
        return Decoded(np.ascontiguousarray(source), size, size, "")
    with _elsewhere(source, {"do": "read", "size": size, "patient": is_patient}) as (answer, file):
        if answer is not None:
            width, height, kind = answer.head["facts"]
            pixels = np.frombuffer(answer.body, np.uint8).reshape(size, size, 3)
            return Decoded(pixels, width, height, kind)
        return _read(file, size)


def _read(source: Source, size: int) -> Decoded:
    with opened(source) as given:
        rgb, turned, full = _rgb(given, (size, size))
        # A square can be turned after it was made small. Bicubic, as the model was trained with.
        square = upright(rgb.resize((size, size), Image.Resampling.BICUBIC), turned)
        return Decoded(np.array(square), *_upright_size(full, turned), given.picture.format or "")


def decode(source: Source, size: int) -> NDArray[np.uint8]:
    """Decode a picture, squashed to a square, as a model wants it.

    Parameters
    ----------
    source : path, bytes, binary file, PIL image or ndarray of uint8
    size : int
        Side of the square.

    Returns
    -------
    pixels : ndarray of uint8, shape (size, size, 3), C-contiguous

    Raises
    ------
    ImageError
        If there is no picture to be had from it; the message is the reason.

    Notes
    -----
    A large JPEG is decoded at a half, a quarter or an eighth of its size, which at 4000 pixels is twelve times as
    fast; its vector has a cosine of about 0.999 to that of a full decode.
    """
    return read(source, size).pixels


def open_picture(source: Source, max_side: int | None = None) -> Image.Image:
    """Decode a picture for people to look at.

    Parameters
    ----------
    source : path, bytes, binary file, PIL image or ndarray of uint8
    max_side : int, optional
        A larger picture is made smaller, so that its longer side is this; a smaller one stays as it is.

    Returns
    -------
    picture : PIL.Image.Image
        Mode RGB, upright, sRGB, without transparency, decoded, without metadata, and nobody else's.

    Raises
    ------
    ImageError
        If there is no picture to be had from it; the message is the reason.
    """
    limit = None if max_side is None else check_count(max_side, "max_side")
    with _elsewhere(source, {"do": "picture", "max_side": limit}) as (answer, file):
        if answer is not None:
            return Image.frombytes("RGB", tuple(answer.head["facts"]), answer.body)
        return _open_picture(file, limit)


def _open_picture(source: Source, limit: int | None) -> Image.Image:
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
    """Width, height (upright) and format of a picture, without decoding it.

    Raises
    ------
    ImageError
        If it has no readable header. One that has may still be damaged further on.
    """
    with _elsewhere(source, {"do": "probe"}) as (answer, file):
        if answer is not None:
            return Probed(*answer.head["facts"])
        with opened(file) as given:
            size = _upright_size(given.picture.size, given.turned)
            return Probed(*size, given.picture.format or "")


def thumbnail(source: Source, side: int) -> bytes:
    """A small JPEG of a picture, for galleries.

    Parameters
    ----------
    source : path, bytes, binary file, PIL image or ndarray of uint8
    side : int
        The longer side is at most this.

    Raises
    ------
    ImageError
        If there is no picture to be had from it.
    """
    side = check_count(side, "side", high=8192)
    with _elsewhere(source, {"do": "thumbnail", "side": side}) as (answer, file):
        if answer is not None:
            return bytes(answer.body)
        target = io.BytesIO()
        _open_picture(file, side).save(target, "JPEG", quality=85)
        return target.getvalue()


@contextlib.contextmanager
def _elsewhere(source: Source, request: dict[str, Any]) -> Iterator[tuple[Answer | None, Source]]:
    """A worker's answer about a file; None, and the source to decode here, where there are no workers."""
    pool = workers.running() if is_file(source) else None
    if pool is None:
        yield None, source
        return
    with contents(source) as (body, size):
        try:
            answer = pool.run(request, body, size)
        except workers.CannotStartError as error:
            workers.give_up(error)
            answer = None
        yield answer, body


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

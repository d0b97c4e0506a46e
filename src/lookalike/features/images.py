"""Safe decoding: from a file that anybody may have made to upright RGB pixels.

Whatever the source, the caps are checked before decoding, EXIF orientation is applied, alpha is laid over white, and
of an animation the first frame is taken. Colour profiles are ignored. Everything that can go wrong is an `ImageError`
whose message is the reason, in words for a person and without the file's name.
"""

from __future__ import annotations

import contextlib
import io
import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from lookalike._validate import check_count
from lookalike.data.walk import SUFFIXES
from lookalike.features._pixels import LARGE, check_memory, memory_to_decode, orientation, reduced_rgb, upright
from lookalike.features._source import MAX_FILE_BYTES, MAX_PIXELS, Source, opened

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

_one_large_at_a_time = threading.Lock()


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


def read(source: Source, size: int) -> Decoded:
    """Decode a picture, squashed to a square, with its original size and format.

    Parameters
    ----------
    source : path, bytes, binary file, PIL image or ndarray of uint8
        An array is (height, width), (height, width, 3) or (height, width, 4).
    size : int
        Side of the square.

    Raises
    ------
    ImageError
        If there is no picture to be had from it.
    """
    size = check_count(size, "size", high=8192)
    if isinstance(source, np.ndarray) and source.shape == (size, size, 3) and source.dtype == np.uint8:
        return Decoded(np.ascontiguousarray(source), size, size, "")
    with opened(source) as picture:
        rgb, turned, full = _rgb(picture, (size, size), picture is not source)
        # A square can be turned after it was made small. Bicubic, as the model was trained with.
        square = upright(rgb.resize((size, size), Image.Resampling.BICUBIC), turned)
        return Decoded(np.array(square), *_upright_size(full, turned), picture.format or "")


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
        Mode RGB, upright, over white, decoded, without metadata, and nobody else's.

    Raises
    ------
    ImageError
        If there is no picture to be had from it; the message is the reason.
    """
    limit = None if max_side is None else check_count(max_side, "max_side")
    with opened(source) as picture:
        rgb, turned, full = _rgb(picture, _fit(picture.size, limit), picture is not source)
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
    with opened(source) as picture:
        # Pillow gives a TIFF's size upright already. A PNG may keep its orientation behind its pixels, where only
        # decoding finds it.
        known = picture.format != "TIFF" and (picture.format != "PNG" or "exif" in picture.info)
        turned = orientation(picture) if known else 1
        return Probed(*_upright_size(picture.size, turned), picture.format or "")


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
    picture = open_picture(source, max_side=check_count(side, "side", high=8192))
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=85)
    return target.getvalue()


def _rgb(picture: Image.Image, target: tuple[int, int], is_own: bool) -> tuple[Image.Image, int, tuple[int, int]]:
    """RGB pixels, as stored and not below `target`; the orientation; the size of the whole, as stored."""
    full = picture.size
    # A JPEG can be decoded at a half, a quarter or an eighth. That changes the object, so not a caller's.
    drafted = is_own and picture.format == "JPEG" and isinstance(picture, ImageFile.ImageFile)
    if drafted:
        picture.draft("RGB", target)
    need = memory_to_decode(picture, full)
    check_memory(need, full)
    with _one_large_at_a_time if need > LARGE else contextlib.nullcontext():
        picture.load()
        if not drafted:
            full = picture.size  # Pillow turns a TIFF upright while it loads it
        # Half of the way by means of pixels; the rest is left to the bicubic filter, which then hardly sees a
        # difference to the whole.
        factor = max(min(picture.size[0] // (2 * target[0]), picture.size[1] // (2 * target[1])), 1)
        return reduced_rgb(picture, factor), orientation(picture), full


def _upright_size(size: tuple[int, int], turned: int) -> tuple[int, int]:
    return size[::-1] if turned >= 5 else size


def _fit(size: tuple[int, int], limit: int | None) -> tuple[int, int]:
    """The size of a picture whose longer side is at most `limit`, in its own proportions."""
    longer = max(size)
    if limit is None or longer <= limit:
        return size
    return max(round(size[0] * limit / longer), 1), max(round(size[1] * limit / longer), 1)

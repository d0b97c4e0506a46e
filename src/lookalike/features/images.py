"""Safe decoding: from a file that anybody may have made to upright RGB pixels.

Whatever the source, the caps are checked before decoding, EXIF orientation is applied, colours become sRGB, what is
transparent is laid over white (or over black where only that shows it), and of an animation the first frame is taken.
Everything that can go wrong is an `ImageError` whose message is the reason, in words for a person and without the
file's name.

Where `workers.held` is in force, as in the server and while a folder is indexed, files are decoded by other processes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike._validate import check_count
from lookalike.data.walk import SUFFIXES
from lookalike.features import _decoding, workers
from lookalike.features._decoding import Probed
from lookalike.features._messages import Answer
from lookalike.features._source import MAX_FILE_BYTES, MAX_PIXELS, Source, contents, is_file

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
        square = _decoding.read(file, size)
        return Decoded(np.array(square.picture), *square[1:])


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
        return _decoding.open_picture(file, limit)


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
        return _decoding.probe(file)


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
        return _decoding.thumbnail(file, side)


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

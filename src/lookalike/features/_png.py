"""PNG before it is decoded: the chunks that make the picture, and none of the others.

A text, a profile or a time that is too large or damaged must not cost the picture, as it does not in a browser. And however
many chunks the pixels are cut into, Pillow gets them in one.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

from lookalike.errors import ImageError
from lookalike.features._exif import exif_orientation
from lookalike.features._prepared import Prepared, too_many

__all__ = ["MAX_PROFILE", "prepared"]

MAX_PROFILE: Final = 4 << 20
"""Bytes of a colour profile; a larger one is ignored."""

_MAX_CHUNKS: Final = 200_000
_HEAD: Final = struct.Struct(">I4s")
_FRAME: Final = struct.Struct(">IIIII")
_NOTED: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"CgBI"})
_SCALE: Final = {1: 255, 2: 85, 4: 17, 8: 1}


class _Chunks:
    """Chunks as they are met."""

    def __init__(self) -> None:
        self.header = b""
        self.palette = b""
        self.pixels = bytearray()  # joined as they are read: a hundred thousand objects are slow to collect
        self.later = bytearray()  # pixels of the first frame, where the picture itself is not shown
        self.others: dict[bytes, bytes] = {}
        self.is_animated = self.is_hidden = self.has_end = False
        self.frames = 0
        self.frame = b""


def prepared(data: bytes) -> Prepared:
    """The same picture, its first frame if it is animated, as one chunk of pixels.

    Raises
    ------
    ImageError
        If it is damaged, of Apple's own kind, or has more chunks than any picture.
    """
    chunks = _read(data)
    if not chunks.has_end and data.endswith(bytes(64)):  # as files are that were not wholly copied
        raise ImageError("the picture is cut short: only a part of the file is there")
    header, pixels = chunks.header, chunks.pixels
    if chunks.is_hidden and chunks.later and chunks.frame[4:12] == header[8:16] and not any(chunks.frame[12:20]):
        pixels = chunks.later
    if len(header) < 25:
        raise ImageError("the picture is damaged (it has no header)")
    trns = chunks.others.get(b"tRNS")
    kept = [data[:8], header, chunks.palette]
    if trns is not None and header[17] == 3:
        kept.append(_chunk(b"tRNS", trns))
    joined = bytes(pixels)
    kept += [_chunk(b"IDAT", joined), _chunk(b"IEND", b"")]
    facts: dict[str, Any] = {}
    if trns is not None and header[17] in (0, 2):
        facts["transparency"] = _transparency(trns, header[16], header[17])
    profile = chunks.others.get(b"iCCP")
    return Prepared(
        b"".join(kept),
        exif_orientation(chunks.others.get(b"eXIf", b"")),
        b"" if profile is None else _profile(profile),
        facts,
    )


def _read(data: bytes) -> _Chunks:
    chunks, view, at = _Chunks(), memoryview(data), 8
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            return chunks
        length, name = _HEAD.unpack_from(data, at)
        end = at + 8 + length
        body = view[at + 8 : end]
        if name == b"IEND" or not name.isalpha():
            chunks.has_end = name == b"IEND"
            return chunks
        if name == b"IDAT":
            chunks.pixels += body
        elif name == b"fdAT":
            if chunks.frames == 1 and chunks.is_hidden:
                chunks.later += body[4:]
        elif end + 4 > len(data):
            return chunks  # cut short
        elif name in _NOTED:
            _note(chunks, name, bytes(body), data[at : end + 4])
        at = end + 4
    raise too_many("chunks", _MAX_CHUNKS)


def _note(chunks: _Chunks, name: bytes, body: bytes, whole: bytes) -> None:
    if name == b"CgBI":
        raise ImageError("a PNG of Apple's own kind (CgBI): not read; save it as an ordinary PNG to have it searched")
    if name == b"IHDR" and not chunks.header:
        chunks.header = whole
    elif name == b"PLTE":
        chunks.palette = chunks.palette or whole
    elif name == b"acTL":
        chunks.is_animated = not chunks.pixels
    elif name == b"fcTL":
        chunks.frames += 1
        if chunks.frames == 1:
            chunks.frame = body
            chunks.is_hidden = chunks.is_animated and bool(chunks.pixels)
    elif name in chunks.others or not _is_sound(whole):
        pass
    elif name == b"eXIf" or (name in (b"tRNS", b"iCCP") and not chunks.pixels):
        chunks.others[name] = body


def _is_sound(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _chunk(name: bytes, body: bytes) -> bytes:
    return b"".join([_HEAD.pack(len(body), name), body, zlib.crc32(body, zlib.crc32(name)).to_bytes(4, "big")])


def _transparency(body: bytes, depth: int, colour: int) -> int | tuple[int, ...] | None:
    """The one transparent value or colour, as Pillow scales pixels."""
    if len(body) < (2 if colour == 0 else 6):
        return None
    values = struct.unpack_from(">H" if colour == 0 else ">HHH", body)
    if colour == 0:
        return int(values[0]) * _SCALE.get(depth, 1)
    return tuple(value >> 8 if depth == 16 else value & 255 for value in values)


def _profile(body: bytes) -> bytes:
    """The profile of an iCCP chunk; empty if it is damaged or too large."""
    name, _, rest = body.partition(b"\0")
    if not 1 <= len(name) <= 79 or rest[:1] != b"\0":
        return b""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], MAX_PROFILE)
    except zlib.error:
        return b""
    return profile if inflater.eof else b""

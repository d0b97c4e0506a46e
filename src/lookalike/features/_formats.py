"""Which decoder a file's first bytes call for, what it is given, and in words what a file is that calls for none."""

from __future__ import annotations

import importlib
import io
import re
import struct
from collections.abc import Callable
from typing import Final

from PIL import Image

from lookalike.data.kinds import HEAD_BYTES, format_of, unread_format
from lookalike.errors import ImageError
from lookalike.features import _jpeg, _png, _tiff
from lookalike.features._exif import defused, exif_orientation
from lookalike.features._prepared import Prepared, too_many

__all__ = ["format_of", "identify", "unsupported"]

_DECODERS: Final = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
}
_READ_WHOLE: Final = frozenset({"WEBP", "JPEG2000", "AVIF", "HEIF"})
_MAX_READ_WHOLE: Final = 64 << 20  # bytes, as the decoder reads all of them before it says how large the picture is
_MISSING: Final = {
    "HEIF": 'a HEIC picture; to read these: pip install "lookalike[heif]"',
    "AVIF": "an AVIF picture; to read these: pip install --upgrade pillow",
}
_UNSUPPORTED: Final = re.compile(
    r"unknown (pixel mode|data organization|compression|raw mode|photometric)|(un|not (yet )?)support|not implemented"
    r"|unsupported|cannot handle|no (decoder|codec) available",
    re.IGNORECASE,
)

_NOT_PICTURES: Final = (
    (b"%PDF", "a PDF document, not a picture"),
    (b"%!PS", "a PostScript document, not a picture"),
    (b"PK\x03\x04", "a ZIP archive or office document, not a picture"),
    (b"\x1a\x45\xdf\xa3", "a video, not a picture"),
)
_EXPORTED: Final = {"Photoshop": "a Photoshop document; export it as PNG to have it searched"}
_NOT_IN_TEXT: Final = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")

_MAX_BLOCKS: Final = 200_000
_MAX_BOXES: Final = 1000
_GIF_BLOCK: Final = re.compile(rb"[!,;]")


def identify(data: bytes) -> tuple[Image.Image, Prepared]:
    """Read a picture's header with the one decoder that its first bytes call for.

    Returns
    -------
    picture : PIL.Image.Image
        Not decoded yet.
    prepared : Prepared
        What the decoder was given, its `turned` and `profile` filled in.

    Raises
    ------
    ImageError
        If they call for none, or the decoder is not installed. A decoder raises what it likes on damaged bytes.
    """
    head = data[:HEAD_BYTES]
    name = format_of(head)
    if name is None:
        raise ImageError(_what_it_is(head))
    if name == "PPM":
        from lookalike.features._pnm import PnmFile  # which loads numpy

        return PnmFile(data), Prepared(data, 1, b"")
    if name in _READ_WHOLE and len(data) > _MAX_READ_WHOLE:
        raise ImageError(f"the file is too large: more than {_MAX_READ_WHOLE >> 20} MB of {name}; save a smaller copy")
    prepared = _PREPARE.get(name, Prepared)(data)
    module, decoder = _DECODERS[name]
    try:
        made = getattr(importlib.import_module(module), decoder)
    except ImportError:
        raise ImageError(_MISSING.get(name, f"this Pillow was built without {name}; install Pillow again")) from None
    picture: Image.Image = made(io.BytesIO(prepared.data))
    if picture.format == "TIFF":
        turned = 1  # Pillow turns it while it is decoded
    elif prepared.turned is not None:
        turned = prepared.turned
    else:
        turned = exif_orientation(_bytes(picture, "exif")) if name in ("WEBP", "AVIF") else 1
    profile = _bytes(picture, "icc_profile") if prepared.profile is None else prepared.profile
    if "transparency" in prepared.facts:
        picture.info.pop("transparency", None)
        if prepared.facts["transparency"] is not None:
            picture.info["transparency"] = prepared.facts["transparency"]
    return picture, Prepared(prepared.data, turned, profile, prepared.facts)


def unsupported(data: bytes, detail: str) -> str | None:
    """For a decoder's error that says that a picture is of a kind it does not know: what kind that is."""
    if not _UNSUPPORTED.search(detail):
        return None
    name = format_of(data[:HEAD_BYTES])
    kind = _tiff.kind_of(data) if name == "TIFF" else f"{name} of an unusual kind ({detail})"
    return f"{kind}: not read; save it as PNG to have it searched"


def _bytes(picture: Image.Image, key: str) -> bytes:
    value = picture.info.get(key)
    return value if isinstance(value, bytes) else b""


def _gif(data: bytes) -> Prepared:
    """Without what stands before the first frame, except what the frame needs."""
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 128 else 0)
    kept, control, blocks = data[:at], b"", 0
    while True:
        found = _GIF_BLOCK.search(data, at)
        if found is None:
            raise ImageError("the picture is cut short: only a part of the file is there")
        if found[0] != b"!":  # the first frame, or the end
            return Prepared(kept + control + data[found.start() :], 1, b"")
        start, label = found.start(), data[found.end() : found.end() + 1]
        at = found.end() + 1
        while at < len(data) and data[at]:
            at += 1 + data[at]
            blocks += 1
        at += 1
        blocks += 1
        if blocks > _MAX_BLOCKS:
            raise too_many("blocks before its picture", _MAX_BLOCKS)
        if label == b"\xf9" and at - start == 8:
            control = data[start:at]


def _jpeg2000(data: bytes) -> Prepared:
    """As it is, unless it has more boxes or markers before its pixels than any picture: Pillow visits them in Python."""
    at, boxes = 0, 0
    while data[:1] == b"\0" and at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        head = 16 if length == 1 else 8
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, at + 8)
        if name == b"jp2c":
            at += head
            break
        boxes += 1
        if boxes > _MAX_BOXES:
            raise too_many("boxes", _MAX_BOXES)
        # The header's own boxes are counted too.
        at += head if name == b"jp2h" or length < head else length
    for _ in range(_MAX_BOXES):
        marker, length = data[at : at + 2], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (b"\xff\x90", b"\xff\xd9") or at >= len(data):
            return Prepared(data, 1)
        at += 2 if marker == b"\xff\x4f" else 2 + max(length, 2)
    raise too_many("markers before its pixels", _MAX_BOXES)


def _boxed(data: bytes) -> Prepared:
    return Prepared(defused(data))


_PREPARE: Final[dict[str, Callable[[bytes], Prepared]]] = {
    "JPEG": _jpeg.prepared,
    "PNG": _png.prepared,
    "GIF": _gif,
    "TIFF": _tiff.prepared,
    "JPEG2000": _jpeg2000,
    "AVIF": _boxed,
    "HEIF": _boxed,
}


def _what_it_is(head: bytes) -> str:
    """In words, what bytes are that are no picture, or one that is not read."""
    for magic, words in _NOT_PICTURES:
        if head.startswith(magic):
            return words
    name = unread_format(head)
    if name is not None:
        return _EXPORTED.get(name, f"{name}: not read; save it as JPEG or PNG to have it searched")
    if head[4:8] == b"ftyp":
        return "a video, not a picture"
    if not any(head):
        return "the file begins with zeros only, so it is not a picture"
    if not set(head) & _NOT_IN_TEXT:
        return _what_text_it_is(head.lstrip(b"\xef\xbb\xbf \t\r\n").lower())
    return "not a picture of a kind that is read (JPEG, PNG, GIF, WebP, TIFF, HEIC, AVIF, BMP, JPEG 2000, PNM)"


def _what_text_it_is(text: bytes) -> str:
    if b"<svg" in text or text.startswith((b"<?xml", b"<!doctype svg")):
        return "a vector drawing (SVG) or another XML file; export it as PNG to have it searched"
    return "a web page, not a picture" if text.startswith(b"<") else "a text file, not a picture"

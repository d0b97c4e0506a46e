"""Which decoder a file's first bytes call for, and in words what a file is that calls for none."""

from __future__ import annotations

import importlib
from typing import IO

from PIL import Image

from lookalike.errors import ImageError

__all__ = ["format_of", "identify"]

_DECODERS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "PPM": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
}
_READ_WHOLE = frozenset({"WEBP", "JPEG2000", "AVIF", "HEIF"})
_MAX_READ_WHOLE = 64 << 20  # bytes, as the decoder reads all of them before it says how large the picture is
_MISSING = {
    "HEIF": 'a HEIC picture; to read these: pip install "lookalike[heif]"',
    "AVIF": "an AVIF picture; to read these: pip install --upgrade pillow",
}

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

_NOT_PICTURES = (
    (b"%PDF", "a PDF document, not a picture"),
    (b"%!PS", "a PostScript document, not a picture"),
    (b"PK\x03\x04", "a ZIP archive or office document, not a picture"),
    (b"8BPS", "a Photoshop document; export it as PNG to have it searched"),
    (b"\x1a\x45\xdf\xa3", "a video, not a picture"),
)
_NOT_IN_TEXT = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")


def identify(file: IO[bytes], length: int) -> Image.Image:
    """Read a picture's header with the one decoder that its first bytes call for.

    Raises
    ------
    ImageError
        If they call for none, or the decoder is not installed. A decoder raises what it likes on damaged bytes.
    """
    head = file.read(64)
    file.seek(0)
    name = format_of(head)
    if name is None:
        raise ImageError(_what_it_is(head))
    if name in _READ_WHOLE and length > _MAX_READ_WHOLE:
        raise ImageError(f"the file is too large: more than {_MAX_READ_WHOLE >> 20} MB of {name}; save a smaller copy")
    module, decoder = _DECODERS[name]
    try:
        picture: Image.Image = getattr(importlib.import_module(module), decoder)(file)
    except ImportError:
        raise ImageError(_MISSING.get(name, f"this Pillow was built without {name}; install Pillow again")) from None
    return picture


def format_of(head: bytes) -> str | None:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:1] == b"P" and head[1:2] in b"123456fFy" and head[2:3].isspace():
        return "PPM"
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, end, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    return None


def _what_it_is(head: bytes) -> str:
    """In words, what bytes are that are no picture."""
    for magic, words in _NOT_PICTURES:
        if head.startswith(magic):
            return words
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

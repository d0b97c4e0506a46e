"""What a file is, by its first bytes: a picture that is read, a picture that is not, or something else."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["HEAD_BYTES", "READ", "format_of", "is_certain", "unread_format"]

HEAD_BYTES: Final = 264
"""Bytes from a file's beginning that are enough to tell."""

READ: Final = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "HEIF", "AVIF", "BMP", "JPEG2000", "PPM")
"""Formats that are read."""

_MAGIC: Final = (
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
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_OTHER_BRANDS: Final = frozenset({b"avci", b"avcs", b"vvic", b"evbi", b"j2ki"})

_UNREAD: Final = (
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"II\xbc", "JPEG XR"),
    (b"8BPS\0\2", "Photoshop large document"),
    (b"8BPS", "Photoshop"),
    (b"gimp xcf", "GIMP"),
    (b"\0\0\1\0", "Windows icon"),
    (b"\0\0\2\0", "Windows cursor"),
    (b"icns", "Apple icon"),
    (b"FUJIFILMCCD-RAW", "camera raw (Fujifilm)"),
    (b"IIU\0", "camera raw (Panasonic)"),
    (b"IIRO", "camera raw (Olympus)"),
    (b"IIRS", "camera raw (Olympus)"),
    (b"FOVb", "camera raw (Sigma)"),
    (b"\0MRM", "camera raw (Minolta)"),
    (b"II\x1a\0\0\0HEAPCCDR", "camera raw (Canon)"),
    (b"DDS ", "DirectDraw"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"SDPX", "DPX"),
    (b"XPDS", "DPX"),
    (b"qoif", "QOI"),
    (b"FLIF", "FLIF"),
    (b"BPG\xfb", "BPG"),
    (b"farbfeld", "farbfeld"),
    (b"AT&TFORM", "DjVu"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"\x8bJNG\r\n\x1a\n", "JNG"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"\x01\xda\0", "SGI"),
    (b"\x01\xda\1", "SGI"),
    (b"P7\n", "PAM"),
    (b"/* XPM */", "XPM"),
    (b"SIMPLE  =", "FITS"),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile"),
    (b"KTX ", "KTX"),
    (b"\xabKTX", "KTX"),
)
_BMP_HEADERS: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_PNM: Final = re.compile(rb"P(?:[1-6]\s+(?:#[^\r\n]*\s+)*\d|[fF]\s+\d+\s+\d+\s+-?\d)")


def format_of(head: bytes) -> str | None:
    """The format of a picture that is read; None of everything else."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return None if name == "TIFF" and head[8:10] == b"CR" else name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:1] == b"P" and head[1:2] in b"123456fF" and head[2:3].isspace():
        return "PPM"
    brands = _brands(head)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def unread_format(head: bytes) -> str | None:
    """The format of a picture that is not read, in words; None of everything else."""
    for magic, name in _UNREAD:
        if head.startswith(magic):
            return name
    brands = _brands(head)
    if (head[:2] in (b"II", b"MM") and head[8:10] == b"CR") or b"crx " in brands:
        return "camera raw (Canon)"
    if brands & _OTHER_BRANDS:
        return "HEIF (of a codec other than HEVC and AV1)"
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[:4] == b"\1\0\0\0" and head[40:44] == b" EMF":
        return "Windows metafile"
    return None


def is_certain(head: bytes) -> bool:
    """Whether the first bytes alone, without a name that says so, are enough to take a file for a picture."""
    name = format_of(head)
    if name == "BMP":
        return head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    if name == "PPM":
        return _PNM.match(head) is not None
    if name is not None:
        return True
    other = unread_format(head)
    # Two or three bytes are no proof, and nobody looks for icons.
    return other is not None and head[:2] != b"\xff\x0a" and not other.startswith(("Windows", "Apple", "SGI", "PAM"))


def _brands(head: bytes) -> set[bytes]:
    """Brands of a file of boxes, as HEIF and video files have."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[i : i + 4] for i in range(16, end, 4))}

"""JPEG before it is decoded: the header without comments and filling, which Pillow walks byte by byte."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Final

from PIL import ImageChops
from PIL.JpegImagePlugin import JpegImageFile

from lookalike.errors import ImageError
from lookalike.features._exif import exif_orientation
from lookalike.features._prepared import Prepared, too_many

__all__ = ["is_whole", "prepared"]

_MAX_SEGMENTS: Final = 20_000
_MAX_SCANS: Final = 100
_LEAN_SEGMENTS: Final = 100
_LEAN_BYTES: Final = 100_000  # of a header that Pillow may see as it is: cameras write an EXIF of up to 65,000

# The next marker with a length of its own. What stands before it is filling, or standalone markers, which mean nothing here.
_MARKER: Final = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDD})
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_SOS, _EOI, _JPEG_LS = 0xDA, 0xD9, 0xF7
_SCAN: Final = re.compile(rb"\xff\xda(\0[\x08-\x0e][\x01-\x04])", re.DOTALL)
_END: Final = b"\xff\xd9"
_NOISE: Final = bytes((i * 37 + 11) % 251 for i in range(1024))  # entropy-coded by nobody; has no 0xFF


def prepared(data: bytes) -> Prepared:
    """The same picture, its header reduced to what decoding needs.

    Raises
    ------
    ImageError
        If it is damaged, or has more parts or scans than any picture.
    """
    header = _Header([data[:2]])
    at, marker = 2, 0
    while marker != _SOS:
        found = _MARKER.search(data, at)
        at = len(data) if found is None else found.end()
        end = at + max(int.from_bytes(data[at : at + 2], "big"), 2)
        if found is None or end > len(data):
            raise ImageError("the picture is cut short: only a part of the file is there")
        marker = found[1][0]
        header.take(marker, data[at + 2 : end], data[found.start() : end])
        at = end
    if header.has_scans and data.count(b"\xff\xda", at) >= _MAX_SCANS:
        raise too_many("scans", _MAX_SCANS)
    # In the picture's own bytes each 0xFF is followed by 0, so this is a marker.
    lacks_end = data.rfind(_END, at) < 0
    facts = {"lacks_end": lacks_end}
    if not lacks_end and at < _LEAN_BYTES and header.count < _LEAN_SEGMENTS:
        return Prepared(data, header.turned or 1, facts=facts)  # nothing to gain, and a copy less
    # Files that were not wholly copied are often filled with zeros.
    ending = [data[at:].rstrip(b"\0\xff"), _END] if lacks_end else [memoryview(data)[at:]]
    return Prepared(b"".join([*header.kept, *ending]), header.turned or 1, facts=facts)


@dataclass(slots=True)
class _Header:
    """The parts before the pixels, as they are met."""

    kept: list[bytes]
    count: int = 0
    turned: int | None = None
    kind: int = 0
    components: int = 0
    has_scans: bool = False

    def take(self, marker: int, body: bytes, whole: bytes) -> None:
        """Keep a part, or leave it."""
        if marker == _EOI:
            raise ImageError("the picture is damaged (it ends before it begins)")
        if marker == _JPEG_LS:
            raise ImageError("JPEG-LS: not read; save it as JPEG or PNG to have it searched")
        self.count += 1
        if self.count > _MAX_SEGMENTS:
            raise too_many("parts in its header", _MAX_SEGMENTS)
        if marker == _APP1 and self.turned is None and body.startswith(b"Exif\0\0"):
            self.turned = exif_orientation(body)
        elif marker in _SOF and len(body) > 5:
            self.kind, self.components = marker, body[5]
        elif marker == _SOS:
            self.has_scans = self.kind in _PROGRESSIVE or self.components > (body[0] if body else 0)
        if _is_needed(marker, body):
            self.kept.append(whole)


def is_whole(data: bytes) -> bool:
    """Whether a picture whose end marker was missing has all its pixels, but for a few at its end.

    A decoder fills what is missing, so the picture is decoded with two different ends: where it differs, something is missing.
    """
    one = JpegImageFile(io.BytesIO(data))
    if not _has_all_scans(data, bytes(layer[0] for layer in one.layer)):
        return False
    two = JpegImageFile(io.BytesIO(data[: -len(_END)] + _NOISE + _END))
    box = ImageChops.difference(one.convert("RGB"), two.convert("RGB")).getbbox()
    block = 8 * max((layer[2] for layer in one.layer), default=1)
    height: int = one.size[1]
    # A difference reaches into the rows above it, where colours are interpolated.
    return box is None or height - box[1] <= max(min(2 * block, height // 8), height // 50)


def _has_all_scans(data: bytes, components: bytes) -> bool:
    """Whether the last bit of each coefficient of each component comes in some scan, of which the last may be cut short."""
    missing = dict.fromkeys(components, (1 << 64) - 1)
    for found in _SCAN.finditer(data):
        count = found[1][2]
        scan = data[found.end() : found.end() + 2 * count + 3]
        if int.from_bytes(found[1][:2], "big") != 6 + 2 * count or len(scan) < 2 * count + 3:
            continue
        first, last, bits = scan[2 * count :]
        if not bits & 15 and first <= last < 64:
            for component in scan[: 2 * count : 2]:
                if component in missing:
                    missing[component] &= ~((1 << last + 1) - (1 << first))
    return not any(missing.values())


def _is_needed(marker: int, body: bytes) -> bool:
    if marker == _APP2:
        return body.startswith(b"ICC_PROFILE\0")
    return marker in _SOF or marker in _TABLES or marker in {_APP0, _APP14, _SOS}

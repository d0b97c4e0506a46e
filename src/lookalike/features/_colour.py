"""Colour profiles: pixels as their profile means them become sRGB, which is what models were trained with and screens show."""

from __future__ import annotations

import hashlib
import io
import itertools
import threading
from collections import OrderedDict
from typing import Any, Final, NamedTuple

from PIL import Image, ImageChops

from lookalike.features._png import MAX_PROFILE

__all__ = ["Conversion", "to_srgb"]

_KEPT: Final = 32
_SAME: Final = 4  # levels of 255; profiles of sRGB differ from each other by less
_SPACES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_TYPICAL: Final = 128  # bytes of a profile's header, which is the least there is


class Conversion(NamedTuple):
    """From a profile's colours to sRGB.

    Attributes
    ----------
    mode : {"RGB", "L", "CMYK"}
        Pillow's mode of what it takes.
    transform : ImageCmsTransform
    """

    mode: str
    transform: Any

    def __call__(self, picture: Image.Image) -> Image.Image:
        from PIL import ImageCms

        converted = ImageCms.applyTransform(picture, self.transform)
        return picture if converted is None else converted


class _Known:
    """Conversions by their profile's hash; those not used for longest go."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._found: OrderedDict[bytes, Conversion | None] = OrderedDict()

    def get(self, profile: bytes) -> Conversion | None:
        key = hashlib.blake2b(profile, digest_size=16).digest()
        with self._guard:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        made = _made(profile)
        with self._guard:
            self._found[key] = made
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)
        return made


_known = _Known()


def to_srgb(profile: bytes, mode: str) -> Conversion | None:
    """The conversion for pictures of that mode; None if there is nothing to convert.

    A profile that is damaged, too large, of another kind of colour than the picture, or sRGB's own is ignored.
    """
    if not _TYPICAL < len(profile) <= MAX_PROFILE:
        return None
    conversion = _known.get(profile)
    if conversion is None:
        return None
    is_grey = mode in {"1", "L", "LA", "La"} or mode.startswith("I;16")
    fits = {"RGB": mode not in {"CMYK", "LAB", "I", "F"}, "L": is_grey, "CMYK": mode == "CMYK"}[conversion.mode]
    return conversion if fits else None


def _made(profile: bytes) -> Conversion | None:
    from PIL import ImageCms

    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _SPACES.get(given.profile.xcolor_space)
        if mode is None:
            return None
        transform = ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), mode, "RGB")
        conversion = Conversion(mode, transform)
        return None if mode != "CMYK" and _changes_little(conversion) else conversion
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None


def _changes_little(conversion: Conversion) -> bool:
    """Whether no colour of a lattice becomes a noticeably different one."""
    steps = [255 * step // 8 for step in range(9)]
    if conversion.mode == "L":
        before = Image.frombytes("L", (256, 1), bytes(range(256)))
        plain = before.convert("RGB")
    else:
        colours = bytes(itertools.chain.from_iterable(itertools.product(steps, repeat=3)))
        plain = before = Image.frombytes("RGB", (len(steps) ** 3, 1), colours)
    counts = ImageChops.difference(plain, conversion(before)).histogram()  # of each channel, one after the other
    return not any(any(counts[first + _SAME + 1 : first + 256]) for first in range(0, len(counts), 256))

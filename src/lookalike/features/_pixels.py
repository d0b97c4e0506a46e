"""From any of Pillow's modes to upright RGB as it is seen, and to fewer pixels, in bounded memory.

What is transparent is laid over white, unless nothing of it can be seen there: a white drawing is laid over black.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, ImageChops

from lookalike.errors import ImageError
from lookalike.features._colour import Conversion, to_srgb
from lookalike.features._source import orientation

if TYPE_CHECKING:
    from lookalike.features._numbers import Levels

__all__ = ["LARGE", "Header", "check_memory", "memory_to_decode", "reduced_rgb", "upright"]

MAX_DECODED_BYTES: Final = 512 << 20
"""What decoding one picture may use. Pictures that use more than `LARGE` are decoded one at a time."""

LARGE: Final = 64 << 20

_BAND_BYTES: Final = 8 << 20
_STANDS_OUT: Final = 40  # levels of 255 from white, in any channel
_SEEN: Final = 0.01  # of what is not transparent has to stand out
_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Bytes for each pixel as Pillow stores a mode (RGB takes four), and while a format is being decoded: the codec's own
# planes and the copies between it and Pillow, measured.
_MODE_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_CODEC_BYTES: Final = {"WEBP": 12, "AVIF": 6, "HEIF": 6, "JPEG2000": 16, "GIF": 1, "TIFF": 2}


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a picture beside its pixels: its ICC profile, and facts of its format (`Prepared.facts`)."""

    profile: bytes = b""
    facts: Mapping[str, Any] = field(default_factory=dict)


def memory_to_decode(picture: Image.Image, full_size: tuple[int, int]) -> int:
    """About how many bytes decoding takes, from the header alone, after `draft`."""
    if picture.format is None:
        return 0  # made in memory, not from a file
    width, height = picture.size
    stored = _MODE_BYTES.get(picture.mode, 4)
    total = width * height * (stored + _CODEC_BYTES.get(picture.format, 0))
    if picture.format == "TIFF" and orientation(picture) != 1:
        total += width * height * stored  # Pillow turns a TIFF upright while it loads it
    if picture.format == "JPEG" and picture.info.get("progressive"):
        # libjpeg keeps every coefficient, two bytes each, of every component, whatever the scale
        factors = [(h, v) for _, h, v, _ in getattr(picture, "layer", ())] or [(1, 1)] * 4
        most = max(h for h, _ in factors) * max(v for _, v in factors)
        total += math.ceil(2 * full_size[0] * full_size[1] * sum(h * v for h, v in factors) / max(most, 1))
    return total


def check_memory(need: int, full_size: tuple[int, int]) -> None:
    """Refuse a picture that would need too much memory."""
    if need > MAX_DECODED_BYTES:
        width, height = full_size
        raise ImageError(
            f"the picture is too large: {width} × {height} pixels of this kind need {need >> 20:,} MB of memory, "
            f"at most {MAX_DECODED_BYTES >> 20} MB are used; save a smaller copy, or save it as JPEG"
        )


def upright(picture: Image.Image, turned: int) -> Image.Image:
    """The picture as its orientation means it to be seen."""
    return picture.transpose(_TRANSPOSITIONS[turned]) if turned in _TRANSPOSITIONS else picture


def reduced_rgb(picture: Image.Image, factor: int, header: Header | None = None) -> Image.Image:
    """RGB as it is seen; with a factor of 2 or more, each pixel the mean of factor × factor.

    Everything but RGB is converted in bands, so that a large picture is not held twice.
    """
    header = header or Header()
    convert = to_srgb(header.profile, picture.mode) if header.profile else None
    has_alpha = picture.has_transparency_data or picture.mode in {"La", "RGBa"}
    if picture.mode == "RGB" and not has_alpha:
        result = picture.reduce(factor) if factor > 1 else picture
    else:
        levels = _levels_of(picture, header.facts)
        render = _Renderer(picture, factor, levels, header.facts, convert)
        result = render.over("white")
        if has_alpha and not _is_seen(result, render.content):
            result = render.over("black")
    if convert is None or convert.mode == "CMYK":
        return result
    return convert(result if convert.mode == "RGB" else result.convert("L"))


def _levels_of(picture: Image.Image, facts: Mapping[str, Any]) -> Levels | None:
    """See `_numbers.levels_of`, which loads numpy, for pictures of wide numbers only."""
    if picture.mode not in {"I", "F"} and not picture.mode.startswith("I;16"):
        return None
    from lookalike.features._numbers import levels_of

    return levels_of(picture, facts)


class _Renderer:
    """Makes RGB of a picture of any mode, in bands."""

    def __init__(
        self,
        picture: Image.Image,
        factor: int,
        levels: Levels | None,
        facts: Mapping[str, Any],
        convert: Conversion | None,
    ) -> None:
        self._picture, self._factor, self._levels, self._facts = picture, factor, levels, facts
        self._convert = convert if convert is not None and convert.mode == "CMYK" else None

    def over(self, background: str) -> Image.Image:
        """The picture laid over a background."""
        return self._banded("RGB", lambda band: self._rgb(band, background))

    def content(self) -> Image.Image:
        """How much of each pixel is not transparent, 0 to 255."""
        return self._banded("L", lambda band: self._rgba(band).getchannel("A"))

    def _banded(self, mode: str, make: Callable[[Image.Image], Image.Image]) -> Image.Image:
        width, height = self._picture.size
        factor = self._factor
        rows = max(_BAND_BYTES // (8 * width) // factor, 1) * factor
        if height <= rows:
            whole = make(self._picture)
            return whole.reduce(factor) if factor > 1 else whole
        result = Image.new(mode, (-(-width // factor), -(-height // factor)))
        for top in range(0, height, rows):
            band = make(self._picture.crop((0, top, width, min(top + rows, height))))
            result.paste(band.reduce(factor) if factor > 1 else band, (0, top // factor))
        return result

    def _rgb(self, band: Image.Image, background: str) -> Image.Image:
        if band.has_transparency_data or band.mode in {"La", "RGBa"}:
            rgba = self._rgba(band)
            result = Image.new("RGB", band.size, background)
            result.paste(rgba, mask=rgba.getchannel("A"))
            return result
        if self._levels is not None:
            from lookalike.features._numbers import from_numbers

            return from_numbers(band, self._levels).convert("RGB")
        if band.mode == "LAB":
            return _from_lab(band)
        if self._convert is not None:
            return self._convert(band)
        if self._facts.get("signed") and band.mode == "L":
            band = band.point([(value + 128) % 256 for value in range(256)])
        return band if band.mode == "RGB" else band.convert("RGB")

    def _rgba(self, band: Image.Image) -> Image.Image:
        if self._levels is not None:
            from lookalike.features._numbers import from_numbers, opacity

            result = from_numbers(band, self._levels).convert("RGBA")
            result.putalpha(opacity(band))
            return result
        if band.mode == "1":  # Pillow compares the transparent value with 0 and 255
            band = band.convert("L")
        if band.mode == "La":
            band = band.convert("LA")
        return band if band.mode == "RGBA" else band.convert("RGBA")


def _is_seen(picture: Image.Image, content: Callable[[], Image.Image]) -> bool:
    """Whether some of what is not transparent stands out from white, over which the picture was laid."""
    counts = picture.histogram()
    dark = 256 - _STANDS_OUT
    of_each = [sum(counts[first : first + dark]) for first in (0, 256, 512)]
    if max(of_each) >= _SEEN * picture.width * picture.height:
        return True  # whatever is transparent
    there = sum(value * count for value, count in enumerate(content().histogram())) / 255
    if there == 0 or max(of_each) >= _SEEN * there:
        return True
    if sum(of_each) < _SEEN * there:
        return False
    red, green, blue = picture.split()
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    return sum(darkest.histogram()[:dark]) >= _SEEN * there


def _from_lab(picture: Image.Image) -> Image.Image:
    from PIL import ImageCms  # its library is loaded for these rare pictures only

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ImageError("the picture is damaged (its L*a*b* colours cannot be converted)")
    return converted

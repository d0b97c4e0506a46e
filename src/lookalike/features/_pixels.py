"""From any of Pillow's modes to upright RGB over white, and to fewer pixels, in bounded memory."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from PIL import Image

from lookalike.errors import ImageError
from lookalike.features._source import DECODER_ERRORS

__all__ = ["LARGE", "check_memory", "memory_to_decode", "orientation", "reduced_rgb", "upright"]

MAX_DECODED_BYTES: Final = 512 << 20
"""What decoding one picture may use. Pictures that use more than `LARGE` are decoded one at a time."""

LARGE: Final = 64 << 20

_BAND_BYTES: Final = 8 << 20
_ORIENTATION: Final = 0x0112
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


def orientation(picture: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, or where it is damaged."""
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except DECODER_ERRORS:
        return 1  # a picture is not refused for its metadata
    return value if isinstance(value, int) and value in _TRANSPOSITIONS else 1


def upright(picture: Image.Image, turned: int) -> Image.Image:
    """The picture as its orientation means it to be seen."""
    return picture.transpose(_TRANSPOSITIONS[turned]) if turned in _TRANSPOSITIONS else picture


def reduced_rgb(picture: Image.Image, factor: int) -> Image.Image:
    """RGB over white; with a factor of 2 or more, each pixel the mean of factor × factor.

    Everything but RGB is converted in bands, so that a large picture is not held twice.
    """
    levels = _levels(picture)
    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture.reduce(factor) if factor > 1 else picture
    width, height = picture.size
    rows = max(_BAND_BYTES // (8 * width) // factor, 1) * factor
    if height <= rows:
        whole = _to_rgb(picture, levels)
        return whole.reduce(factor) if factor > 1 else whole
    result = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, rows):
        band = _to_rgb(picture.crop((0, top, width, min(top + rows, height))), levels)
        result.paste(band.reduce(factor) if factor > 1 else band, (0, top // factor))
    return result


def _to_rgb(picture: Image.Image, levels: tuple[float, float] | None) -> Image.Image:
    if levels is not None:
        return _from_numbers(picture, levels).convert("RGB")
    if picture.has_transparency_data or picture.mode in {"La", "RGBa"}:
        return _over_white(picture)
    if picture.mode == "LAB":
        return _from_lab(picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _over_white(picture: Image.Image) -> Image.Image:
    if picture.mode == "La":
        picture = picture.convert("LA")
    if picture.mode != "RGBA":
        picture = picture.convert("RGBA")
    result = Image.new("RGB", picture.size, "white")
    result.paste(picture, mask=picture.getchannel("A"))
    return result


def _levels(picture: Image.Image) -> tuple[float, float] | None:
    """For pictures of wide numbers, those that become black and white; None for 8-bit pictures.

    Sixteen bits keep their upper eight, as in every viewer. 32-bit integers and floats have no agreed range: those
    that look like 8 bits, 16 bits or 0 to 1 are taken as such, others from their least to their greatest.
    """
    if picture.mode.startswith("I;16"):
        return 0.0, 65535.0
    if picture.mode not in {"I", "F"}:
        return None
    low, high = _finite_extrema(picture)
    usual = (255.0, 65535.0) if picture.mode == "I" else (1.0, 255.0, 65535.0)
    for white in usual:
        if low >= 0 and high <= white:
            return 0.0, white
    return low, high


def _finite_extrema(picture: Image.Image) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    width, height = picture.size
    rows = max(_BAND_BYTES // (8 * width), 1)
    for top in range(0, height, rows):
        values = np.asarray(picture.crop((0, top, width, min(top + rows, height))))
        values = values[np.isfinite(values)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low <= high else (0.0, 1.0)


def _from_numbers(picture: Image.Image, levels: tuple[float, float]) -> Image.Image:
    black, white = levels
    values = np.asarray(picture).astype(np.float64)
    values = np.nan_to_num(values, nan=black, posinf=white, neginf=black)
    # The difference of two finite floats can be infinite; half of each cannot.
    values = (values / 2 - black / 2) / max(white / 2 - black / 2, np.finfo(np.float64).tiny)
    return Image.fromarray(np.clip(np.rint(values * 255), 0, 255).astype(np.uint8))


def _from_lab(picture: Image.Image) -> Image.Image:
    from PIL import ImageCms  # its library is loaded for these rare pictures only

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ImageError("the picture is damaged (its L*a*b* colours cannot be converted)")
    return converted

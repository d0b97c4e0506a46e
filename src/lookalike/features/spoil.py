"""Spoilt copies of pictures: what happens to a picture on its way through chats, phones and web sites.

`SPOILERS` maps a name to a function from picture to picture; `BATTERY` names the twenty that near-duplicate search is
measured with. All are deterministic.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

__all__ = ["BATTERY", "SPOILERS", "Spoiler"]

Spoiler = Callable[[Image.Image], Image.Image]


def _crop(share: float) -> Spoiler:
    """Keep the middle, `share` of the area, a little off the centre."""

    def spoil(picture: Image.Image) -> Image.Image:
        w, h = (max(int(side * share**0.5), 1) for side in picture.size)
        left, top = (picture.width - w) * 2 // 5, (picture.height - h) * 3 // 5
        return picture.crop((left, top, left + w, top + h))

    return spoil


def _jpeg(quality: int) -> Spoiler:
    def spoil(picture: Image.Image) -> Image.Image:
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality)
        return Image.open(data).convert("RGB")

    return spoil


def _small(side: int) -> Spoiler:
    def spoil(picture: Image.Image) -> Image.Image:
        copy = picture.copy()
        copy.thumbnail((side, side))
        return copy

    return spoil


def _turn(degrees: int) -> Spoiler:
    return lambda picture: picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")


def _text(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    draw = ImageDraw.Draw(copy)
    size = max(picture.height // 6, 8)
    draw.rectangle((0, picture.height - size, picture.width, picture.height), fill="black")
    draw.text((4, picture.height - size), "wish you were here", fill="white", font_size=size * 0.8)
    return copy


def _noise(picture: Image.Image) -> Image.Image:
    rng = np.random.default_rng(0)
    values = np.asarray(picture, np.float64) + rng.normal(0, 16, (picture.height, picture.width, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _hue(picture: Image.Image) -> Image.Image:
    """All hues turned by 30 degrees."""
    values = np.array(picture.convert("HSV"))
    values[..., 0] += 21  # of 256, and round again
    return Image.fromarray(values, "HSV").convert("RGB")


SPOILERS: Mapping[str, Spoiler] = MappingProxyType(
    {
        "itself, as PNG": lambda picture: picture,
        "JPEG, quality 75": _jpeg(75),
        "JPEG, quality 30": _jpeg(30),
        "JPEG, quality 10": _jpeg(10),
        "longer side 128 px": _small(128),
        "longer side 64 px": _small(64),
        "longer side 48 px": _small(48),
        "crop to 90 %": _crop(0.9),
        "crop to 75 %": _crop(0.75),
        "crop to 50 %": _crop(0.5),
        "crop to 25 %": _crop(0.25),
        "mirrored": ImageOps.mirror,
        "rotated by 3°": _turn(3),
        "rotated by 10°": _turn(10),
        "rotated by 90°": _turn(90),
        "blurred, radius 2": lambda picture: picture.filter(ImageFilter.GaussianBlur(2)),
        "blurred, radius 4": lambda picture: picture.filter(ImageFilter.GaussianBlur(4)),
        "text below": _text,
        "grey": lambda picture: ImageOps.grayscale(picture).convert("RGB"),
        "brighter by 40 %": lambda picture: ImageEnhance.Brightness(picture).enhance(1.4),
        "contrast halved": lambda picture: ImageEnhance.Contrast(picture).enhance(0.5),
        "hues turned by 30°": _hue,
        "framed in white": lambda picture: ImageOps.expand(picture, max(picture.size) // 10, "white"),
        "noise": _noise,
    }
)
"""From an upright RGB picture to a spoilt copy of it."""

BATTERY = tuple(
    name
    for name in SPOILERS
    if name not in {"itself, as PNG", "JPEG, quality 75", "crop to 90 %", "rotated by 3°"}  # these hardly ever fail
)
"""The twenty that near-duplicate search is measured with."""

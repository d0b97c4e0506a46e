"""Changing pictures while a network learns from them, so that it learns what does not matter.

A picture comes as a square a little larger than the network's, and leaves as the network's square. All chance is in the
generator that is passed, so the same generator gives the same picture, on whichever thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

__all__ = ["AUGMENTS", "Augment", "margin"]

Pixels: TypeAlias = NDArray[np.uint8]
Augment: TypeAlias = Callable[[Pixels, int, np.random.Generator], Pixels]
"""``augment(square, size, rng)``: a changed square of side `size`."""

_BICUBIC = Image.Resampling.BICUBIC
_ROTATION, _SHIFT, _ZOOM = 20.0, 0.1, 0.2  # degrees and shares of the side, as is usual with Keras
_AREA, _ASPECT, _COLOUR = (0.5, 1.0), math.log(4 / 3), 0.3
_OPERATIONS = 2  # of each picture


def margin(size: int) -> int:
    """The side at which pictures are decoded to be changed: cropping then loses no sharpness."""
    return round(size * 8 / 7)


def _plain(square: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """As it is."""
    if square.shape[0] == size:
        return square
    return np.asarray(Image.fromarray(square).resize((size, size), _BICUBIC))


def _classic(square: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """Rotated, shifted, zoomed and mirrored; what comes in from outside is the border's colour."""
    side = square.shape[0]
    angle = math.radians(rng.uniform(-_ROTATION, _ROTATION))
    down, right = rng.uniform(-_SHIFT, _SHIFT, 2) * side
    scale = rng.uniform(1 - _ZOOM, 1 + _ZOOM) * side / size
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    border = side // 2
    padded = Image.fromarray(np.pad(square, ((border, border), (border, border), (0, 0)), mode="edge"))
    # From a place in the result, seen from its middle, to one in the padded square.
    a, b = mirror * scale * math.cos(angle), scale * math.sin(angle)
    d, e = -mirror * scale * math.sin(angle), scale * math.cos(angle)
    middle = border + side / 2
    c = middle + right - (a + b) * size / 2
    f = middle + down - (d + e) * size / 2
    return np.asarray(padded.transform((size, size), Image.Transform.AFFINE, (a, b, c, d, e, f), _BICUBIC))


def _modern(square: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """A random crop, mirrored, its colours changed, and two operations chosen at random (after Cubuk et al. 2020)."""
    picture = _random_crop(Image.fromarray(square), size, rng)
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(rng.uniform(1 - _COLOUR, 1 + _COLOUR))
    for at in rng.choice(len(_RANDOM), _OPERATIONS, replace=False):
        picture = _RANDOM[at](picture, rng.uniform(0.1, 0.7), 1.0 if rng.random() < 0.5 else -1.0)
    return np.asarray(picture)


def _random_crop(picture: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    side = picture.width
    area = rng.uniform(*_AREA) * side * side
    aspect = math.exp(rng.uniform(-_ASPECT, _ASPECT))
    width, height = min(math.sqrt(area * aspect), side), min(math.sqrt(area / aspect), side)
    left, top = rng.uniform(0, side - width), rng.uniform(0, side - height)
    return picture.resize((size, size), _BICUBIC, box=(left, top, left + width, top + height))


def _turn(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return picture.rotate(30 * strength * sign, _BICUBIC, fillcolor="white")


def _shear(across: bool) -> Callable[[Image.Image, float, float], Image.Image]:
    def shear(picture: Image.Image, strength: float, sign: float) -> Image.Image:
        by, side = 0.3 * strength * sign, picture.width
        matrix = (1, by, -by * side / 2, 0, 1, 0) if across else (1, 0, 0, by, 1, -by * side / 2)
        return picture.transform(picture.size, Image.Transform.AFFINE, matrix, _BICUBIC, fillcolor="white")

    return shear


_RANDOM: tuple[Callable[[Image.Image, float, float], Image.Image], ...] = (
    _turn,
    _shear(True),
    _shear(False),
    lambda picture, strength, sign: ImageOps.posterize(picture, 8 - round(4 * strength)),
    lambda picture, strength, sign: ImageOps.solarize(picture, 255 - round(128 * strength)),
    lambda picture, strength, sign: ImageOps.autocontrast(picture),
    lambda picture, strength, sign: ImageOps.equalize(picture),
    lambda picture, strength, sign: ImageEnhance.Sharpness(picture).enhance(1 + 0.9 * strength * sign),
    lambda picture, strength, sign: picture.filter(ImageFilter.GaussianBlur(2 * strength)),
    lambda picture, strength, sign: ImageOps.grayscale(picture).convert("RGB"),
)

AUGMENTS: Mapping[str, Augment] = MappingProxyType({"none": _plain, "classic": _classic, "modern": _modern})
"""By the names that the command takes."""

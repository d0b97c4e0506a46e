"""Small pictures made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """A picture without symmetry: its quarters differ, and its colours run."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=-1).astype(
        np.uint8
    )
    pixels[: height // 2, : width // 2, 2] = 230
    pixels[height // 2 :, width * 3 // 4 :, 0] = 20
    return Image.fromarray(pixels)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, colour: int = 2, depth: int = 8, chunks: bytes = b"", data: bytes = b"") -> bytes:
    """A PNG that claims a size, with whatever chunks and pixel data."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def difference(a: Any, b: Any) -> float:
    """Mean absolute difference of two pictures, 0 to 255."""
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean())

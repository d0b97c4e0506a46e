"""PBM, PGM, PPM and PFM. Pillow reads their comments, plain numbers and odd depths with loops in Python."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from PIL import Image

from lookalike.errors import ImageError
from lookalike.features._prepared import too_many

__all__ = ["PnmFile", "header"]

_MAX_PLAIN: Final = 64 << 20  # bytes; numbers as text take eight times as much memory
_MAX_COMMENTS: Final = 100_000
_SKIP: Final = re.compile(rb"(?:[ \t\n\r\v\f]++|#[^\r\n]*+)++")
_TOKEN: Final = re.compile(rb"[^ \t\n\r\v\f#]{1,11}")
_CHANNELS: Final = {b"P1": 1, b"P4": 1, b"P2": 1, b"P5": 1, b"P3": 3, b"P6": 3, b"Pf": 1, b"PF": 3}


class PnmFile(Image.Image):
    """A picture that is read when its pixels are asked for, as Pillow's own are."""

    format = "PPM"
    format_description = "Portable anymap"

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data
        self.magic, (width, height), self.white, self._at = header(data)
        self._size = (width, height)
        if self.magic in (b"P1", b"P4"):
            self._mode = "1"
        elif self.magic in (b"Pf", b"PF"):
            self._mode = "F" if self.magic == b"Pf" else "RGB"
        elif _CHANNELS[self.magic] == 3:
            self._mode = "RGB"
        else:
            self._mode = "L" if self.white < 256 else "I;16"

    def load(self) -> Any:
        if self._data:
            data, self._data = self._data, b""
            picture = self._decoded(data)
            self.im, self._mode = picture.im, picture.mode
        return super().load()

    def _decoded(self, data: bytes) -> Image.Image:
        (width, height), channels = self._size, _CHANNELS[self.magic]
        shape = (height, width) if channels == 1 else (height, width, channels)
        if self.magic == b"P4":
            row = -(-width // 8)
            packed = _binary(data, self._at, np.dtype(np.uint8), height * row).reshape(height, row)
            return Image.fromarray(np.unpackbits(packed, axis=1, count=width) ^ 1).point(lambda bit: bit * 255, "1")
        if self.magic == b"P1":
            bits = _plain_bits(data, self._at, width * height).reshape(shape)
            return Image.fromarray((bits ^ 1) * np.uint8(255)).convert("1", dither=Image.Dither.NONE)
        count = width * height * channels
        if self.magic in (b"Pf", b"PF"):
            order = "<f4" if self.white < 0 else ">f4"
            floats = _binary(data, self._at, np.dtype(order), count).reshape(shape)[::-1].astype(np.float32)
            if channels == 1:
                return Image.fromarray(floats)
            scaled = np.nan_to_num(floats, nan=0.0, posinf=1.0, neginf=0.0)
            return Image.fromarray(np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8))
        white = int(self.white)
        if self.magic in (b"P2", b"P3"):
            values = _plain_numbers(data, self._at, count)
            if values.max(initial=0) > white:
                raise ImageError("the picture is damaged (a value is larger than the greatest that it names)")
        else:
            values = _binary(data, self._at, np.dtype(np.uint8 if white < 256 else ">u2"), count)
        if white == 255:
            return Image.fromarray(values.astype(np.uint8, copy=False).reshape(shape))
        top = 65535 if white > 255 and channels == 1 else 255
        target = np.uint16 if top > 255 else np.uint8
        table = np.clip(np.rint(np.arange(65536) * (top / white)), 0, top).astype(target)
        return Image.fromarray(table[values].reshape(shape))


def header(data: bytes) -> tuple[bytes, tuple[int, int], float, int]:
    """Kind, size, the value of white (1 of bits), and where the pixels begin."""
    magic, at = data[:2], 2
    tokens = []
    for _ in range(2 if magic in (b"P1", b"P4") else 3):
        skipped = _SKIP.match(data, at)
        token = _TOKEN.match(data, skipped.end() if skipped else at)
        if token is None or (skipped is None and at == 2):
            raise ImageError("the picture is cut short: only a part of the file is there")
        tokens.append(token[0])
        at = token.end()
    try:
        width, height = int(tokens[0]), int(tokens[1])
        white = float(tokens[2]) if len(tokens) == 3 else 1.0
    except ValueError:
        raise ImageError("the picture is damaged (its size is no number)") from None
    is_float = magic in (b"Pf", b"PF")
    if not (np.isfinite(white) and white != 0) or (not is_float and not (white.is_integer() and 0 < white < 65536)):
        raise ImageError("the picture is damaged (its greatest value is no number from 1 to 65535)")
    return magic, (width, height), white, at + 1


def _binary(data: bytes, at: int, dtype: np.dtype[Any], count: int) -> Any:
    if len(data) - at < count * dtype.itemsize:
        raise ImageError("the picture is cut short: only a part of the file is there")
    return np.frombuffer(data, dtype, count, at)


def _plain(data: bytes, at: int) -> bytes:
    if len(data) - at > _MAX_PLAIN:
        raise ImageError(f"the file is too large: more than {_MAX_PLAIN >> 20} MB of numbers as text; save it as PNG")
    text = data[at:]
    if text.count(b"#") > _MAX_COMMENTS:
        raise too_many("comments", _MAX_COMMENTS)
    return re.sub(rb"#[^\r\n]*", b" ", text)


def _plain_bits(data: bytes, at: int, count: int) -> Any:
    digits = _plain(data, at).translate(None, b" \t\n\r\v\f")[:count]
    bits = np.frombuffer(digits, np.uint8) - np.uint8(48)
    if len(bits) < count:
        raise ImageError("the picture is cut short: only a part of the file is there")
    if (bits > 1).any():
        raise ImageError("the picture is damaged (a bit is neither 0 nor 1)")
    return bits


def _plain_numbers(data: bytes, at: int, count: int) -> Any:
    text = _plain(data, at)
    if text.translate(None, b"0123456789 \t\n\r\v\f"):
        raise ImageError("the picture is damaged (a value is no number)")
    values = np.fromstring(text.decode("ascii"), np.int64, sep=" ")[:count] if text.strip() else np.empty(0, np.int64)
    if len(values) < count:
        raise ImageError("the picture is cut short: only a part of the file is there")
    return values

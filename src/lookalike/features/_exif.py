"""EXIF's orientation, read as browsers read it: the first directory's tag 274, one SHORT, and nothing else is looked at."""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["defused", "exif_orientation"]

_TAG: Final = 0x0112
_SHORT: Final = 3
_MAX_ENTRIES: Final = 1000
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_POINTERS: Final = frozenset({0x014A, 0x8769, 0x8825, 0xA005})
_MAX_BLOCKS: Final = 64
_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}


def exif_orientation(exif: bytes) -> int:
    """1 to 8; 1 where there is none, or where it is damaged: a picture is not refused for its metadata.

    Parameters
    ----------
    exif : bytes
        With or without ``Exif\\0\\0`` before it.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = _ORDERS.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    (at,) = struct.unpack_from(order + "I", exif, 4)
    if at + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(order + "H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * min(count, _MAX_ENTRIES), len(exif) - 11), 12):
        tag, kind, number, value = struct.unpack_from(order + "HHIH", exif, entry)
        if tag == _TAG:
            return value if kind == _SHORT and number == 1 and 1 <= value <= 8 else 1
    return 1


def defused(data: bytes) -> bytes:
    """A file whose decoder reads its EXIF with Pillow, without EXIF that would take long.

    A directory can name the same bytes many thousand times, and Pillow copies them each time. Such a directory is made
    empty. Orientation does not get lost, as in these formats it is not EXIF that says it.
    """
    result: bytearray | None = None
    found = 0
    for magic, order in _ORDERS.items():
        start = data.find(magic)
        while start >= 0 and found < _MAX_BLOCKS:
            found += 1
            if _takes_long(data, start, order):
                result = bytearray(data) if result is None else result
                (at,) = struct.unpack_from(order + "I", data, start + 4)
                result[start + at : start + at + 2] = b"\0\0"
            start = data.find(magic, start + 4)
    return data if result is None else bytes(result)


def _takes_long(data: bytes, start: int, order: str) -> bool:
    """Whether the directory that a TIFF header names, or one that this one names, copies more than there is."""
    budget = 2 * len(data) + 4096
    todo = [4]
    for _ in range(8):
        if not todo:
            return False
        pointer = todo.pop()
        if start + pointer + 4 > len(data):
            continue
        (at,) = struct.unpack_from(order + "I", data, start + pointer)
        if start + at + 2 > len(data):
            continue
        (count,) = struct.unpack_from(order + "H", data, start + at)
        for entry in range(start + at + 2, min(start + at + 2 + 12 * count, len(data) - 11), 12):
            tag, kind, number = struct.unpack_from(order + "HHI", data, entry)
            budget -= min(_SIZES.get(kind, 0) * number, len(data))
            if budget < 0:
                return True
            if tag in _POINTERS and number == 1:
                todo.append(entry + 8 - start)
    return bool(todo)

"""TIFF before it is decoded: the first directory, with the tags that make the picture and none of the others.

Pillow keeps a copy of whatever a tag names, so a small file of many tags that name the same bytes takes gigabytes. And it
visits strips one by one, in Python: strips that lie one behind the other are made one.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from lookalike.errors import ImageError
from lookalike.features._png import MAX_PROFILE
from lookalike.features._prepared import Prepared, too_many

__all__ = ["kind_of", "prepared"]

_MAX_TAGS: Final = 4096
_MAX_VISITED: Final = 30_000  # strips or tiles that Pillow visits itself
_MAX_STRIPS: Final = 2_000_000  # that the TIFF library visits
_MAX_VALUES: Final = 1024  # of any other tag

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 259, 262, 274
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANAR, _FORMAT = 273, 277, 278, 279, 284, 339
_TILE_OFFSETS, _TILE_COUNTS, _PROFILE, _NODATA, _DNG = 324, 325, 34675, 42113, 50706
_STRIPS: Final = frozenset({_OFFSETS, _COUNTS, _TILE_OFFSETS, _TILE_COUNTS})
_ROOMY: Final = {320: 3 << 16, 347: 1 << 20, 519: 16, 520: 16, 521: 16, _PROFILE: MAX_PROFILE, 50674: 4096}
_KEPT: Final = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _ORIENTATION, _SAMPLES, _ROWS, _PLANAR, 292, 293, 317}
    | {322, 323, 332, 338, _FORMAT, 512, 513, 514, 515, 517, 529, 530, 531, 532, 0xBC01, *_STRIPS, *_ROOMY}
)
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_FORMATS: Final = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "undefined", 5: "complex", 6: "complex"}
_COLOURS: Final = {
    0: "grey",
    1: "grey",
    2: "RGB",
    3: "palette",
    5: "CMYK",
    6: "YCbCr",
    8: "L*a*b*",
    32803: "camera raw",
}


class _Entry(NamedTuple):
    tag: int
    kind: int
    number: int
    at: int  # where the entry lies
    where: int  # where its values lie


class _Directory:
    """The first directory of a file, read within limits."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = data[2:4] in (b"+\0", b"\0+")
        # The width of a count and of an offset, of the number of entries, and of an entry.
        self.word, self.number, self.width = ("Q", "Q", 20) if self.is_big else ("I", "H", 12)
        (self.at,) = self._unpack(self.word, 8 if self.is_big else 4)
        (count,) = self._unpack(self.number, self.at)
        if count > _MAX_TAGS:
            raise too_many("tags", _MAX_TAGS)
        self.first = self.at + struct.calcsize(self.order + self.number)
        if self.first + count * self.width > len(data):
            raise ImageError("the picture is cut short: only a part of the file is there")
        self.count = count
        self.entries = {entry.tag: entry for entry in map(self._entry, range(count))}

    def values(self, tag: int) -> tuple[int, ...]:
        """Whole numbers of a tag; none if there is no such tag, or it is of another type."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _CODES:
            return ()
        size = entry.number * _SIZES[entry.kind]
        if entry.number > _MAX_STRIPS or entry.where + size > len(self.data):
            return ()
        return struct.unpack_from(f"{self.order}{entry.number}{_CODES[entry.kind]}", self.data, entry.where)

    def one(self, tag: int, default: int) -> int:
        return (*self.values(tag)[:1], default)[0]

    def raw(self, tag: int) -> bytes:
        entry = self.entries.get(tag)
        return b"" if entry is None else self.data[entry.where : entry.where + entry.number * _SIZES.get(entry.kind, 1)]

    def _entry(self, number: int) -> _Entry:
        at = self.first + number * self.width
        tag, kind = self._unpack("HH", at)
        (count,) = self._unpack(self.word, at + 4)
        value = at + self.width - struct.calcsize(self.order + self.word)
        size = count * _SIZES.get(kind, 1)
        if size > struct.calcsize(self.order + self.word):
            (value,) = self._unpack(self.word, value)
        return _Entry(tag, kind, count, at, value)

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + form, self.data, at)
        except struct.error:
            raise ImageError("the picture is cut short: only a part of the file is there") from None


def prepared(data: bytes) -> Prepared:
    """The same picture with a directory of what decoding needs, and what its numbers mean.

    Raises
    ------
    ImageError
        If its directory is damaged, or names more than any picture has.
    """
    found = _Directory(data)
    if _DNG in found.entries:
        raise ImageError("camera raw (DNG): not read; export it as JPEG to have it searched")
    strips = found.values(_OFFSETS), found.values(_COUNTS)
    is_visited = found.one(_COMPRESSION, 1) == 1
    joined = _joined(found, *strips) if is_visited else None
    for entry in found.entries.values():
        limit = _limit(entry.tag, is_visited and joined is None)
        if entry.tag in _KEPT and entry.tag != _PROFILE and entry.number > limit:
            raise too_many("strips" if entry.tag in _STRIPS else f"values of tag {entry.tag}", limit)
    bits, kinds = found.values(_BITS) or (1,), found.values(_FORMAT) or (1,)
    facts: dict[str, Any] = {
        "bits": max(bits),
        "signed": kinds[0] == 2,
        "inverted": found.one(_PHOTOMETRIC, 0) == 0,
        "nodata": _number(found.raw(_NODATA)[:64]),
    }
    return Prepared(_rewritten(found, joined), facts=facts, turned=None)


def kind_of(data: bytes) -> str:
    """What sort of TIFF it is, in words."""
    try:
        found = _Directory(data)
    except ImageError:
        return "TIFF"
    bits, kind = found.values(_BITS) or (1,), found.one(_FORMAT, 1)
    colour = _COLOURS.get(found.one(_PHOTOMETRIC, 0), "other")
    samples = found.one(_SAMPLES, len(bits))
    return (
        f"TIFF of {samples} × {max(bits)} bits ({_FORMATS.get(kind, 'other')} {colour}, "
        f"compression {found.one(_COMPRESSION, 1)})"
    )


def _limit(tag: int, is_visited: bool) -> int:
    if tag in _STRIPS:
        return _MAX_VISITED if is_visited else _MAX_STRIPS
    return _ROOMY.get(tag, _MAX_VALUES)


def _joined(found: _Directory, offsets: tuple[int, ...], counts: tuple[int, ...]) -> tuple[int, int] | None:
    """Where the pixels begin and how many bytes they are, if all strips lie one behind the other."""
    if len(offsets) < 2 or len(offsets) != len(counts) or found.one(_PLANAR, 1) != 1 or _TILE_OFFSETS in found.entries:
        return None
    rows, height = found.one(_ROWS, 0), found.one(_HEIGHT, 0)
    if rows < 1 or -(-height // rows) != len(offsets):
        return None
    row = -(-found.one(_WIDTH, 0) * sum(_each(found)) // 8)
    at = offsets[0]
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        if offset != at or count != row * min(rows, height - number * rows):
            return None
        at += count
    return (offsets[0], at - offsets[0]) if at - offsets[0] < 1 << 32 else None


def _each(found: _Directory) -> tuple[int, ...]:
    """Bits of each sample."""
    bits, samples = found.values(_BITS) or (1,), found.one(_SAMPLES, 1)
    return bits if len(bits) == samples or not 0 < samples <= 64 else bits[:1] * samples


def _rewritten(found: _Directory, joined: tuple[int, int] | None) -> bytes:
    data, word = bytearray(found.data), found.order + found.word
    kept = []
    for entry in sorted(found.entries.values()):
        if entry.tag not in _KEPT or (entry.tag == _PROFILE and entry.number > MAX_PROFILE):
            continue
        raw = found.data[entry.at : entry.at + found.width]
        if joined is not None and entry.tag in (_OFFSETS, _COUNTS, _ROWS):
            value = {_OFFSETS: joined[0], _COUNTS: joined[1], _ROWS: found.one(_HEIGHT, 0)}[entry.tag]
            kind = 16 if found.is_big else 4
            raw = struct.pack(found.order + "HH", entry.tag, kind) + struct.pack(word, 1) + struct.pack(word, value)
        kept.append(raw)
    data[found.at : found.first] = struct.pack(found.order + found.number, len(kept))
    rest = b"".join(kept) + bytes(struct.calcsize(word))  # and no further directory
    data[found.first : found.first + len(rest)] = rest[: max(len(data) - found.first, 0)]
    return bytes(data)


def _number(text: bytes) -> float | None:
    try:
        return float(text.split(b"\0")[0])
    except ValueError:
        return None

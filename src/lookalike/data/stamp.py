"""What tells a file from what it was: size, time of the last change, and which file of its file system it is."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

__all__ = ["Stamp", "stamp_of"]

_LAST: Final = (1 << 63) - 1  # what SQLite holds
_MARGIN: Final = 1 << 40  # nanoseconds at the end of what it holds: 18 minutes of the year 2262


class Stamp(NamedTuple):
    """Of a file at one instant; every number fits into 64 bits with a sign.

    Attributes
    ----------
    size : int
        In bytes.
    mtime_ns : int
        Time of the last change, in nanoseconds since 1970. Of a time that 64 bits do not hold it is one near their end (or
        beginning), another one for another time: so equal stamps mean equal times, and what is later sorts later.
    device, inode : int or None
        Two paths that have both in common are one file. None where the file system has no such numbers.
    """

    size: int
    mtime_ns: int
    device: int | None = None
    inode: int | None = None


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of what `os.stat` says.

    Examples
    --------
    >>> import os
    >>> stamp_of(os.stat(os.curdir)) == stamp_of(os.stat(os.curdir))
    True
    """
    device, inode = _signed(status.st_dev), _signed(status.st_ino)
    known = status.st_ino != 0  # some file systems give every file the inode 0
    return Stamp(
        min(status.st_size, _LAST), _time(status.st_mtime_ns), device if known else None, inode if known else None
    )


def _time(mtime_ns: int) -> int:
    if -_LAST <= mtime_ns <= _LAST:
        return mtime_ns
    # From 2262 on, as ext4 (2446), XFS (2486) and others (any) have it, or before 1677.
    place = abs(mtime_ns) % _MARGIN
    return _LAST - _MARGIN + place if mtime_ns > 0 else _MARGIN - _LAST - place


def _signed(number: int) -> int:
    """The last 64 bits of a number, with a sign: numbers of a file system have none, and may use all of them."""
    low = number & (_LAST << 1 | 1)
    return low - (1 << 64) if low > _LAST else low

"""The file of an entry, read anew."""

from __future__ import annotations

import os
import stat
from typing import Final

from lookalike._files import open_at_once
from lookalike.collection.records import Entry, printable
from lookalike.errors import IdError, ImageError

__all__ = ["read_original"]

MAX_FILE: Final = 200_000_000


def read_original(entry: Entry) -> tuple[bytes, os.stat_result, bool]:
    """A picture's bytes, its status before they were read, and whether that was the same afterwards.

    Raises
    ------
    IdError
        If its file is gone; what is no ordinary file any more is.
    ImageError
        If it is too large.
    """
    try:
        handle = open_at_once(entry.path)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise IdError(f"picture {entry.id}: {printable(entry.relative)!r} is not a file any more")
            data = file.read(MAX_FILE + 1)
            after = os.fstat(handle)
    except OSError:
        raise IdError(f"picture {entry.id}: the file {printable(entry.relative)!r} is gone") from None
    if len(data) > MAX_FILE:
        raise ImageError(f"{printable(entry.relative)}: more than {MAX_FILE:,} bytes")
    return data, found, (found.st_size, found.st_mtime_ns) == (after.st_size, after.st_mtime_ns)

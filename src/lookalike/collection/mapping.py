"""Rows of a file as an array, without a file descriptor for each: a process may have few of them."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lookalike._typing import Array

__all__ = ["file_size", "is_shorter", "map_rows"]


def map_rows(file: BinaryIO, offset: int, rows: int, d: int) -> Array:
    """Map float16 rows that begin at a multiple of 64 bytes; they can be read for as long as the array lives.

    Python's own `mmap` keeps a copy of the descriptor for each map.

    Raises
    ------
    OSError
        If the system refuses.
    """
    length = offset + rows * d * 2
    buffer: Any
    if os.name == "posix":
        buffer = _map(file.fileno(), length)
    else:
        buffer = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)
    mapped = np.frombuffer(buffer, "<f2", rows * d, offset).reshape(rows, d)
    mapped.flags.writeable = False
    return mapped


def file_size(path: Path) -> int:
    """Bytes of a file that has just been mapped; 0 where it is gone already, and nobody can cut it short."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def is_shorter(path: Path, size: int) -> bool:
    """Whether the file at a path is there and has fewer bytes than it had: to read a map of it would end the process (SIGBUS).

    A file that is gone keeps its bytes for as long as it is mapped.
    """
    if not size:
        return False
    try:
        return os.stat(path).st_size < size  # noqa: PTH116 (for each map in every search: as quick as can be)
    except OSError:
        return False


def _map(handle: int, length: int) -> ctypes.Array[ctypes.c_char]:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *([ctypes.c_int] * 3), ctypes.c_long]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    address = library.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, handle, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    buffer = (ctypes.c_char * length).from_address(address)
    # Not at the end of the process: a thread may still be reading then.
    weakref.finalize(buffer, library.munmap, address, length).atexit = False
    return buffer

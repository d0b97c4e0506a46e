"""Watching, refusing and ending at the system calls that SQLite makes.

SQLite's Unix layer lets a test replace its system calls (`xSetSystemCall` of `sqlite3_vfs`, which is made for that). They are
replaced in the library that this Python uses, by functions that count, and may fail or never return.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import signal
from collections.abc import Callable

_POINTERS = (
    "pNext zName pAppData xOpen xDelete xAccess xFullPathname xDlOpen xDlError xDlSym xDlClose xRandomness xSleep"
)
_MORE = "xCurrentTime xGetLastError xCurrentTimeInt64 xSetSystemCall xGetSystemCall xNextSystemCall"


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in f"{_POINTERS} {_MORE}".split()),
    )


_SIGNATURES = {
    "open": (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
    "pread": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long),
    "pread64": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long),
    "read": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t),
    "pwrite": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long),
    "pwrite64": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long),
    "write": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t),
    "ftruncate": (ctypes.c_int, ctypes.c_int, ctypes.c_long),
    "mmap": (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, *([ctypes.c_int] * 3), ctypes.c_long),
    "unlink": (ctypes.c_int, ctypes.c_char_p),
}
WRITES = ("pwrite", "pwrite64", "write", "ftruncate", "unlink")
READS = ("open", "pread", "pread64", "read", "mmap")

_kept: list[object] = []  # what SQLite calls must not be collected


def watch(names: tuple[str, ...], before: Callable[[str], int]) -> None:
    """Have `before(name)` called before each of these system calls; the call fails with the error that it returns, if not 0."""
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None)
    assert vfs.contents.iVersion >= 3
    pointer = ctypes.c_void_p
    getter = ctypes.CFUNCTYPE(pointer, pointer, ctypes.c_char_p)(vfs.contents.xGetSystemCall)
    setter = ctypes.CFUNCTYPE(ctypes.c_int, pointer, ctypes.c_char_p, pointer)(vfs.contents.xSetSystemCall)
    for name in names:
        address = getter(ctypes.cast(vfs, pointer), name.encode())
        if not address:  # not in this build
            continue
        result, *values = _SIGNATURES[name]
        kind = ctypes.CFUNCTYPE(result, *values, use_errno=True)
        replacement = kind(_replacement(name, kind(address), before))
        _kept.append(replacement)
        assert setter(ctypes.cast(vfs, pointer), name.encode(), ctypes.cast(replacement, pointer)) == 0


def _replacement(name: str, real: Callable[..., int], before: Callable[[str], int]) -> Callable[..., int]:
    def call(*values: object) -> int:
        error = before(name)
        if error:
            ctypes.set_errno(error)
            return -1
        ctypes.set_errno(0)
        return real(*values)

    return call


def die_at(number: int) -> Callable[[str], int]:
    """For `watch`: be killed before the call of that number, from 0."""
    count = 0

    def before(_: str) -> int:
        nonlocal count
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return 0

    return before

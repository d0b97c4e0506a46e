"""Writing files so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from lookalike.errors import InputError

__all__ = [
    "Checksum",
    "atomic_write",
    "beside",
    "discard",
    "one_spelling",
    "open_at_once",
    "part_name",
    "read_bytes",
    "spellings",
    "sync_folder",
    "try_lock",
]

_KEPT = 100  # bytes of a name that its temporary file shows; file systems take 255, or 143 where names are encrypted

_BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK, errno.EWOULDBLOCK}
_WINDOWS_BYTE = (1 << 31) - 2  # Windows locks bytes, and locked bytes cannot be read: lock one far behind the contents

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, _WINDOWS_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(handle: int) -> None:
        # flock, not lockf: two handles of one process must exclude each other too.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def try_lock(handle: int) -> bool:
    """Lock an open file until it is closed or its process ends; False where somebody else holds it."""
    try:
        _lock(handle)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True


class Checksum(NamedTuple):
    """A file's checksum, and who published it."""

    algorithm: Literal["md5", "sha256"]
    value: str
    source: str

    @property
    def title(self) -> str:
        """The algorithm, as people write it."""
        return {"md5": "MD5", "sha256": "SHA-256"}[self.algorithm]


def open_at_once(path: str | bytes | os.PathLike[str], flags: int = os.O_RDONLY) -> int:
    """A descriptor of whatever is at a path, in binary mode: a pipe may have taken the file's place, and is not waited for.

    Raises
    ------
    OSError
        If it cannot be opened. Whether it is a regular file is for the caller to see, by `os.fstat`.
    """
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


def one_spelling(name: str) -> str:
    """A name in Unicode's composed form (NFC); macOS and its archives write é as e and an accent (NFD).

    Examples
    --------
    >>> one_spelling("cafe\u0301") == "caf\u00e9"
    True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def spellings(name: str) -> tuple[str, ...]:
    """A name as it was given, composed and taken apart; each once."""
    return tuple(dict.fromkeys((name, one_spelling(name), unicodedata.normalize("NFD", name))))


def part_name(name: str, suffix: str = ".part") -> str:
    """The name of a temporary file for `name`: hidden, of its own, and never too long where `name` is not."""
    start = name
    while len(os.fsencode(start)) > _KEPT:
        start = start[:-1]
    return f".{start}.{os.urandom(4).hex()}{suffix}"


def beside(target: Path, suffix: str) -> Path:
    """The same file each time for work on `target`: its name and `suffix`, shortened where that would be too long."""
    name = target.name + suffix
    try:
        longest = os.pathconf(target.parent, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows; a folder that is not there yet
        longest = 255
    if len(os.fsencode(name)) > longest:
        own = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]
        start = target.name
        while len(os.fsencode(start)) > _KEPT:
            start = start[:-1]
        name = f"{start}.{own}{suffix}"
    return target.with_name(name)


@contextlib.contextmanager
def atomic_write(target: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside `target`; on success it replaces `target`, on failure it is deleted.

    The order is write, fsync, rename, fsync of the folder, so that a crash at any instant leaves either the old
    file or the whole new one.
    """
    target = Path(target)
    path = target.with_name(part_name(target.name))
    try:
        with path.open("xb") as temporary:
            yield temporary
            temporary.flush()
            os.fsync(temporary.fileno())
        path.replace(target)
    except BaseException:
        discard(path)
        raise
    sync_folder(target.parent)


def discard(path: Path) -> None:
    """Delete a temporary file, if there is one. Why it was given up is what is to be told, so an error here is not raised."""
    for _ in range(2):  # nobody comes back to it, so what fails for a moment is tried once more
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            return


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make a rename in `folder` durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """The whole of a file that somebody else made, if it is not larger than `most`.

    Raises
    ------
    InputError
        If it cannot be read, or is larger.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > most:
        raise InputError(f"{path}: expected at most {most:,} bytes")
    return data

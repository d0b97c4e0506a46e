"""Unpacking archives that others made: chosen regular files only, never outside the folder, never more than was agreed."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lookalike.errors import DatasetError, FormatError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["unpack"]

MAX_MEMBERS = 200_000
MAX_HEADER = 1 << 16  # of a long name or of extended attributes, which tarfile reads into memory as a whole
_LONG = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}


def unpack(
    archive: Path,
    target: Path,
    keep: str,
    *,
    max_bytes: int,
    inner: str | None = None,
    progress: Callable[[int], None] = lambda position: None,
) -> int:
    """Unpack the files of a tar (plain or gzip) whose names match `keep` into the folder `target`; returns how many.

    Parameters
    ----------
    archive : Path
        A tar, or a zip that holds one.
    target : Path
        A folder that is there and empty. Nothing is removed when unpacking fails: give it one that is thrown away then.
    keep : str
        A regular expression that the whole name of a member must match; its first group is the path below `target`.
    max_bytes : int
        Of everything in the tar, kept or not, so that a small archive cannot keep the machine busy for ever.
    inner : str, optional
        Name of the tar in the zip.
    progress : callable
        Called with how many bytes of the archive have been read.

    Raises
    ------
    FormatError
        If the archive is damaged, or a member would land outside the folder, is kept but no regular file, comes twice, or the
        archive holds more than was agreed.
    DatasetError
        If the disk is full.
    """
    try:
        with archive.open("rb") as file, _tar(file, inner, max_bytes) as tar:
            return _unpack(tar, target, re.compile(keep), lambda: progress(file.tell()))
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FormatError(f"{archive.name} is damaged: {error or type(error).__name__}") from None
    except (NotImplementedError, RuntimeError, UnicodeError, ValueError) as error:
        if isinstance(error, FormatError | DatasetError):
            raise
        raise FormatError(f"{archive.name} cannot be unpacked: {error}") from None
    except FormatError as error:
        raise FormatError(f"{archive.name}: {error}") from None


def _unpack(tar: tarfile.TarFile, target: Path, keep: re.Pattern[str], progress: Callable[[], None]) -> int:
    count = 0
    for number, member in enumerate(tar, 1):
        if number > MAX_MEMBERS:
            raise FormatError(f"expected at most {MAX_MEMBERS:,} members, it has more")
        found = keep.fullmatch(_inside(member.name))
        if found is None:
            continue
        # A sparse file's zeros are not in the archive: it would grow past all limits while it is written.
        source = tar.extractfile(member) if member.isreg() and not member.issparse() else None
        if source is None:
            raise FormatError(f"expected a regular file, {member.name!r} is a link, a folder, a device or sparse")
        _write(source, target / _inside(found[1]))
        count += 1
        progress()
    return count


def _inside(name: str) -> str:
    """The name, if it is one of something in the archive's own folder, on any system."""
    parts = name.removeprefix("./").split("/")
    if name.startswith("/") or ".." in parts or set(name) & set("\\:\0"):
        raise FormatError(f"the member {name!r} would land outside the folder; nothing was unpacked")
    return "/".join(parts)


def _write(source: IO[bytes], goal: Path) -> None:
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        with goal.open("xb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise FormatError(f"the member {goal.name!r} comes twice") from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise DatasetError(f"the disk is full; free some of {goal.anchor} and run it again") from None
        raise


class _Header(tarfile.TarInfo):
    """A member's header; one whose text alone is larger than any name is not read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _LONG and header.size > MAX_HEADER:
            raise FormatError(f"a member's name or attributes take {header.size:,} bytes")
        if header.size < 0:
            raise FormatError("a member has a negative size")
        return header


class _Bounded(io.RawIOBase):
    """Gives out what comes from a decompressor, until that is more than was agreed."""

    def __init__(self, source: Any, limit: int) -> None:
        self._source, self._left, self._limit = source, limit, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read(len(view))
        self._left -= len(data)
        if self._left < 0:
            raise FormatError(f"expected at most {self._limit / 1e6:,.0f} MB unpacked, it holds more")
        view[: len(data)] = data
        return len(data)


@contextlib.contextmanager
def _tar(archive: IO[bytes], inner: str | None, limit: int) -> Iterator[tarfile.TarFile]:
    """The tar, read from front to end only; after the block it is read to its end, where its checksums are."""
    with contextlib.ExitStack() as stack:
        source: Any = archive
        if inner is not None:
            zipped = stack.enter_context(zipfile.ZipFile(source))
            if inner not in zipped.namelist():
                raise FormatError(f"expected {inner!r} in it; this version of the archive is not known")
            source = stack.enter_context(zipped.open(inner))
        start = io.BufferedReader(source, 1 << 16) if inner is not None else source
        if start.peek(2)[:2] == b"\x1f\x8b":
            start = stack.enter_context(gzip.GzipFile(fileobj=start))
        bounded = io.BufferedReader(_Bounded(start, limit), 1 << 18)
        tar = stack.enter_context(tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Header))
        yield tar
        while bounded.read(1 << 20):
            pass

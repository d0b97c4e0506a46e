"""Reading a picture's file once: what is hashed is what is decoded, and the stamp is that of the open file."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lookalike.data.stamp import Stamp, stamp_of
from lookalike.errors import ImageError, UnreadableNowError
from lookalike.features._source import MAX_FILE_BYTES, Handle, open_file

if TYPE_CHECKING:
    from lookalike.features._source import Source
    from lookalike.features.embedder import Embedded, Embedder

__all__ = ["Content", "Reader", "embed_files"]

SMALL: Final = 16 << 20
"""Bytes of a file that is read into memory; a larger one stays open until it is decoded."""

HELD: Final = 128 << 20
"""Bytes of files in memory at a time, from which on small ones stay open too."""

# How long a clock that stamps files may stand still: changes in between have one time. FAT has even seconds, and others whole ones.
_TICK_NS: Final = 20_000_000
_COARSE_TICK_NS: Final = 2_000_000_000
WAITS: Final = 3


@dataclass(slots=True, eq=False)
class Content:
    """What a file held when it was opened.

    Attributes
    ----------
    stamp : Stamp
    source : bytes or open file
        For the decoder.
    """

    stamp: Stamp
    source: bytes | Handle

    def digest(self) -> bytes:
        """BLAKE2b of 16 bytes over the contents.

        Raises
        ------
        ImageError
            If it is too large to be decoded.
        UnreadableNowError
            If it cannot be read, or changes meanwhile.
        """
        if self.stamp.size > MAX_FILE_BYTES:  # and would be refused by the decoder
            raise ImageError(f"the file is too large: more than {MAX_FILE_BYTES >> 20} MB; save a smaller copy")
        if isinstance(self.source, bytes):
            return hashlib.blake2b(self.source, digest_size=16).digest()
        self.source.seek(0)
        whole = hashlib.blake2b(digest_size=16)
        try:
            while block := self.source.read(1 << 20):
                whole.update(block)
        except OSError as error:
            raise _failed(error) from error
        self.check()
        return whole.digest()

    def check(self) -> None:
        """Raise if the file is not what it was when it was opened."""
        if isinstance(self.source, bytes):
            return  # compared when it was read
        try:
            now = stamp_of(self.source.status())
        except OSError as error:
            raise _failed(error) from error
        if now != self.stamp:
            raise _changing()


class Reader:
    """Reads files ahead of the decoder, in bounded memory. What it gave is given back with `release`."""

    def __init__(self) -> None:
        self._given: set[Content] = set()
        self._bytes = 0
        self._guard = threading.Lock()

    def read(self, path: str | os.PathLike[str]) -> Content:
        """What a file holds now.

        Raises
        ------
        UnreadableNowError
            If it cannot be read now, or changes meanwhile.
        ImageError
            If it is no regular file.
        """
        handle = open_file(path)
        try:
            content = self._contents(handle)
        except BaseException as error:
            handle.close()
            if isinstance(error, OSError):
                raise _failed(error) from error
            raise
        with self._guard:
            self._given.add(content)
            self._bytes += len(content.source) if isinstance(content.source, bytes) else 0
        return content

    def _contents(self, handle: Handle) -> Content:
        stamp = _settled(handle)
        if stamp.size > SMALL or self._bytes + stamp.size > HELD:
            return Content(stamp, handle)
        data = handle.read(stamp.size)
        if len(data) != stamp.size or stamp_of(handle.status()) != stamp:
            raise _changing()
        handle.close()
        return Content(stamp, data)

    def release(self, content: Content) -> None:
        """Let go of what a file held; again does nothing."""
        with self._guard:
            if content not in self._given:
                return
            self._given.remove(content)
            self._bytes -= len(content.source) if isinstance(content.source, bytes) else 0
        if not isinstance(content.source, bytes):
            content.source.close()

    def close(self) -> None:
        """Let go of everything."""
        for content in list(self._given):
            self.release(content)


def embed_files(
    embedder: Embedder, paths: Iterable[Path]
) -> Generator[tuple[Path, Stamp | None, Embedded | ImageError]]:
    """Vectors of files, each with the stamp of the file when it was read; None if that could not be opened.

    Files that could not be read, or changed meanwhile, are tried once more when the others are done.
    """
    reader = Reader()
    given: dict[Path, Content] = {}
    failed: list[tuple[Path, ImageError]] = []

    def sources(chosen: Iterable[Path]) -> Iterator[tuple[Path, Source]]:
        for path in chosen:
            try:
                given[path] = content = reader.read(path)
            except ImageError as error:
                failed.append((path, error))
            else:
                yield path, content.source

    def finished(path: Path, result: Embedded | ImageError) -> tuple[Path, Stamp | None, Embedded | ImageError]:
        content = given.pop(path)
        try:
            content.check()
        except UnreadableNowError as error:
            result = error
        finally:
            reader.release(content)
        return path, content.stamp, result

    try:
        again: list[Path] = []
        for path, stamp, result in _each(embedder, sources(paths), finished, failed):
            if isinstance(result, UnreadableNowError):
                again.append(path)
            else:
                yield path, stamp, result
        yield from _each(embedder, sources(again), finished, failed)
    finally:
        reader.close()


def _each(
    embedder: Embedder,
    sources: Iterator[tuple[Path, Source]],
    finished: Callable[[Path, Embedded | ImageError], tuple[Path, Stamp | None, Embedded | ImageError]],
    failed: list[tuple[Path, ImageError]],
) -> Iterator[tuple[Path, Stamp | None, Embedded | ImageError]]:
    """Results, and between them the files that were not even opened."""
    results = embedder.stream(sources)
    try:
        for path, result in results:
            yield finished(path, result)
            yield from ((name, None, error) for name, error in _taken(failed))
        yield from ((name, None, error) for name, error in _taken(failed))
    finally:
        if isinstance(results, Generator):
            results.close()


def _taken(failed: list[tuple[Path, ImageError]]) -> list[tuple[Path, ImageError]]:
    taken = failed[:]
    failed.clear()
    return taken


def _changing() -> UnreadableNowError:
    """For a file that somebody writes to while it is read."""
    return UnreadableNowError("is being changed; it is read again next time")


def _failed(error: OSError) -> UnreadableNowError:
    reason = error.strerror or str(error)
    return UnreadableNowError(f"cannot be read: {reason[:1].lower()}{reason[1:]}")


def _settled(handle: Handle) -> Stamp:
    """The stamp of an open file, once the clock has gone on since its last change, so that the next change has another time."""
    for _ in range(WAITS):
        stamp = stamp_of(handle.status())
        tick = _COARSE_TICK_NS if stamp.mtime_ns % 1_000_000_000 == 0 else _TICK_NS
        left = stamp.mtime_ns + tick - time.time_ns()
        if not 0 < left <= tick:
            return stamp
        time.sleep(left / 1e9)
    raise _changing()

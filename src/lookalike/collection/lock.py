"""One writer at a time: an advisory lock that the system releases when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from lookalike._files import try_lock
from lookalike.errors import CollectionError, CollectionLockedError, ReadOnlyError

__all__ = ["LOCK", "WriterLock"]

LOCK = "writer.lock"


class WriterLock:
    """The right to change a collection, between processes and between threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = threading.Lock()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises
        ------
        CollectionLockedError
            At once, when somebody else holds it.
        ReadOnlyError
            Where nothing can be written.
        """
        if not self._thread.acquire(blocking=False):
            raise CollectionLockedError(
                f"another thread of this process is writing to {self.path.parent}; wait until it is done"
            )
        try:
            handle = self._open()
            try:
                yield
            finally:
                os.close(handle)  # this releases the lock
        finally:
            self._thread.release()

    def _open(self) -> int:
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except PermissionError:
            raise ReadOnlyError(
                f"{self.path.parent} cannot be written to; it can be searched but not changed"
            ) from None
        except OSError as error:
            if error.errno == errno.EROFS:
                raise ReadOnlyError(f"{self.path.parent} is on a read-only disk; it can be searched only") from None
            raise CollectionError(f"{self.path.parent} cannot be written to: {error.strerror or error}") from None
        try:
            if not try_lock(handle):
                raise CollectionLockedError(
                    f"another process{self._holder()} is writing to {self.path.parent}; wait until it is done, or stop it"
                )
            os.lseek(handle, 0, os.SEEK_SET)
            with contextlib.suppress(OSError):  # a full disk: the number is only there for the message
                os.write(handle, f"{os.getpid():<20}\n".encode())
        except CollectionLockedError:
            os.close(handle)
            raise
        except OSError as error:
            os.close(handle)
            raise CollectionError(f"{self.path} cannot be locked: {error.strerror or error}") from None
        return handle

    def _holder(self) -> str:
        try:
            text = self.path.read_text("ascii", "replace")[:20].strip()
        except OSError:
            return ""
        return f" (number {text})" if text.isdigit() else ""

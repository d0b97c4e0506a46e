"""Files that gradio's routes receive: in one folder of this run, and read by no path but those that were given out here."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lookalike._files import open_at_once, try_lock
from lookalike.app.capacity import ServerBusyError
from lookalike.errors import InputError

__all__ = ["NOT_UPLOADED", "Uploads", "run_folder"]

PREFIX: Final = "lookalike-app-"
LOCK: Final = ".lock"
NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0)
QUOTA: Final = 1_000_000_000
PROTECTED: Final = 600.0  # seconds that a file stays after it was last named, whatever else needs room
KEPT: Final = 3600.0
SWEEP: Final = 60.0

# The one answer, whether there is a file at a path or not.
NOT_UPLOADED: Final = (
    "expected a file that was uploaded to this server since it started; upload it, or give an address as `url`"
)


@dataclass(slots=True)
class _Kept:
    device: int
    inode: int
    size: int
    used: float
    protected: float


class Uploads:
    """The files of one run, each known by the path that `keep` returned.

    Parameters
    ----------
    folder : path
        Nobody else writes here. Made if it is not there.
    quota : int
        Bytes. Files that were not used for longest make room for others, and where none may go, `keep` says that the
        server is busy.
    protected : float
        Seconds in which a file stays after it was uploaded or named by a request, so that a request that waits finds it.
    """

    def __init__(self, folder: Path, quota: int = QUOTA, protected: float = PROTECTED) -> None:
        self.folder, self._quota, self._protected = folder, quota, protected
        self._files: dict[str, _Kept] = {}
        self._bytes = 0
        self._guard = threading.Lock()
        folder.mkdir(mode=0o700, exist_ok=True)
        self.refused = str(folder / "refused")
        """A path that never is one of a file here."""

    def keep(self, name: str, data: bytes, protected: float | None = None) -> str:
        """Write a file; the path is the only way to it.

        Parameters
        ----------
        name : str
            What its user calls it; letters, digits and the suffix are kept.
        data : bytes
        protected : float, optional
            Seconds, if not those of all files.

        Raises
        ------
        ServerBusyError
            If there is no room.
        """
        with self._guard:
            self._make_room(len(data))
            self._bytes += len(data)
        path = self.folder / secrets.token_hex(16) / _plain(name)
        try:
            path.parent.mkdir(mode=0o700)
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                found = os.fstat(file.fileno())
        except OSError as error:
            with self._guard:
                self._bytes -= len(data)
            shutil.rmtree(path.parent, ignore_errors=True)
            raise ServerBusyError(f"the file cannot be kept now: {error.strerror}; try again later", 60) from None
        kept = _Kept(found.st_dev, found.st_ino, len(data), time.monotonic(), protected or self._protected)
        with self._guard:
            self._files[str(path)] = kept
        return str(path)

    def knows(self, path: object) -> bool:
        """Whether this is the path of a file that is here; it then counts as used now."""
        with self._guard:
            kept = self._files.get(path) if isinstance(path, str) else None
            if kept is not None:
                kept.used = time.monotonic()
        return kept is not None

    def read(self, path: object) -> bytes:
        """The contents of a file that was kept and is still the same one.

        Raises
        ------
        InputError
            If it is not; the message is the same whatever else lies at that path.
        """
        with self._guard:
            kept = self._files.get(path) if isinstance(path, str) else None
        if kept is None or not isinstance(path, str):
            raise InputError(NOT_UPLOADED)
        kept.used = time.monotonic()
        try:
            with os.fdopen(open_at_once(path, os.O_RDONLY | NO_LINKS), "rb") as file:
                found = os.fstat(file.fileno())
                same = (found.st_dev, found.st_ino, found.st_size) == (kept.device, kept.inode, kept.size)
                if not (stat.S_ISREG(found.st_mode) and same):
                    raise InputError(NOT_UPLOADED)
                return file.read(kept.size)
        except OSError:
            raise InputError(NOT_UPLOADED) from None

    def forget(self, paths: Iterable[str]) -> None:
        """Delete files."""
        with self._guard:
            for path in paths:
                self._remove(path)

    def sweep(self, older_than: float = KEPT) -> None:
        """Delete what was not used for so many seconds."""
        now = time.monotonic()
        with self._guard:
            for path in [path for path, kept in self._files.items() if now - kept.used > older_than]:
                self._remove(path)

    @contextlib.contextmanager
    def swept(self) -> Iterator[None]:
        """Sweep now and then while the body runs."""
        done = threading.Event()

        def sweeping() -> None:
            while not done.wait(SWEEP):
                self.sweep()

        thread = threading.Thread(target=sweeping, name="lookalike-uploads", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _make_room(self, size: int) -> None:
        if self._bytes + size <= self._quota:
            return
        now = time.monotonic()
        free = [
            path
            for path, kept in sorted(self._files.items(), key=lambda item: item[1].used)
            if now - kept.used > kept.protected
        ]
        for path in free:
            if self._bytes + size <= self._quota:
                return
            self._remove(path)
        if self._bytes + size > self._quota:
            raise ServerBusyError("the server has no room for more uploads now; try again later", 60)

    def _remove(self, path: str) -> None:
        kept = self._files.pop(path, None)
        if kept is not None:
            self._bytes -= kept.size
            shutil.rmtree(Path(path).parent, ignore_errors=True)


def _plain(name: str) -> str:
    """A name that is harmless in every file system: no folder, no device, no dot in front."""
    stem, dot, suffix = re.split(r"[/\\]", name)[-1].rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", stem)[:80] or "file"
    suffix = re.sub(r"[^A-Za-z0-9]+", "", suffix)[:12]
    return f"upload-{stem}" + (f".{suffix}" if suffix else "")


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """A folder for this run alone, gone when it ends; what runs that were killed have left goes first."""
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    # Locked under another name: nobody ever sees a lock of ours that is not held.
    fresh = folder / f"{LOCK}-new"
    lock = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try_lock(lock)
        with contextlib.suppress(OSError):  # Windows renames no open file; its folders stay after a crash
            fresh.rename(folder / LOCK)
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    """Delete folders of this user whose lock nobody holds. One without a lock may be about to get it, and stays."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
                continue
            lock = open_at_once(folder / LOCK, os.O_RDWR | NO_LINKS)
        except OSError:
            continue
        try:
            if stat.S_ISREG(os.fstat(lock).st_mode) and try_lock(lock):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(lock)

"""Writing files so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_write", "sync_folder"]


@contextlib.contextmanager
def atomic_write(target: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside `target`; on success it replaces `target`, on failure it is deleted.

    The order is write, fsync, rename, fsync of the folder, so that a crash at any instant leaves either the old
    file or the whole new one.
    """
    target = Path(target)
    path = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with path.open("xb") as temporary:
            yield temporary
            temporary.flush()
            os.fsync(temporary.fileno())
        path.replace(target)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make a rename in `folder` durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

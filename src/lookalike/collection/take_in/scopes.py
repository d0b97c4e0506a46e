"""Folders and files that an `add` is asked for, and which paths lie in them."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Scope", "below", "clean_text", "contains", "outermost", "recorded", "says_gone"]


@dataclass(frozen=True, slots=True)
class Scope:
    """A folder or a file to be looked at."""

    path: Path
    is_folder: bool
    exists: bool  # or may exist: the system does not say
    device: int | None = field(default=None, compare=False)  # that it lay on when the walk began


def below(folder: bytes) -> tuple[str, tuple[bytes, ...]]:
    """SQL, with its values, for the paths in a folder and below, and for the folder's own."""
    separator = os.fsencode(os.sep)
    start = folder.rstrip(separator) + separator
    return "(path = ? OR path >= ? AND path < ?)", (folder, start, start[:-1] + bytes([start[-1] + 1]))


def says_gone(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def recorded(path: bytes, *, is_folder: bool) -> Scope:
    """What was added before."""
    name = Path(os.fsdecode(path))
    try:
        return Scope(name, is_folder, exists=True, device=name.stat().st_dev)
    except (OSError, ValueError, OverflowError) as error:
        return Scope(name, is_folder, exists=not says_gone(error))


def contains(folder: bytes, path: bytes) -> bool:
    separator = os.fsencode(os.sep)
    return path == folder or path.startswith(folder.rstrip(separator) + separator)


def outermost(path: bytes, folders: Container[bytes]) -> bytes | None:
    """The outermost of some folders that a path lies in, or is; asked of each folder above it, however many there are."""
    separator = os.fsencode(os.sep)
    end = path.find(separator)
    while end >= 0:
        for folder in (path[:end], path[: end + 1]):  # a root, as in "/", ends with its separator
            if folder in folders:
                return folder
        end = path.find(separator, end + 1)
    return path if path in folders else None


def clean_text(reason: str) -> str:
    """A reason that can be stored and printed, even when it quotes a name that is not UTF-8."""
    return os.fsencode(reason).decode("utf-8", "backslashreplace")

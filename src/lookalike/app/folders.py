"""Folders of this machine, for somebody who chooses one to index."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from pathlib import Path
from typing import Any

from lookalike.collection import home
from lookalike.collection.records import printable
from lookalike.data.walk import SUFFIXES
from lookalike.errors import (
    InputError,
)

__all__ = ["chosen_folder", "folders_in"]

MAX_FOLDERS = 2000
MAX_FILES = 100_000  # that are looked at, to say how many pictures a folder holds


def folders_in(folder: str) -> dict[str, Any]:
    """The folders in a folder of this machine, and how many pictures lie beside them, for somebody who chooses one."""
    path = chosen_folder(folder or "~")
    found: list[str] = []
    pictures = 0
    try:
        with os.scandir(path) as items:
            for item in itertools.islice(items, MAX_FILES):
                if item.name.startswith("."):
                    continue
                if _is_folder(item):
                    found.append(item.name)
                elif os.path.splitext(item.name)[1].lower() in SUFFIXES:  # noqa: PTH122
                    pictures += 1
    except OSError as error:
        raise InputError(f"folder: {printable(path)} cannot be read: {error.strerror or error}") from None
    found = sorted((name for name in found if printable(name) == name), key=str.casefold)
    return {
        "path": printable(path),
        "parent": printable(path.parent),
        "name": home.name_for_folder(path),
        "crumbs": [
            {"name": printable(each.name or each.anchor), "path": printable(each)}
            for each in [*reversed(path.parents), path]
        ],
        "folders": found[:MAX_FOLDERS],
        "pictures": pictures,
    }


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link that leads in circles
        return False


def chosen_folder(text: str) -> Path:
    path = Path(text).expanduser()
    shown = printable(text)[:200]
    if "\0" in text or not path.is_absolute():
        raise InputError(f"folder: expected a full path, as in {Path.home() / 'Pictures'}, got {shown!r}")
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return path
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise InputError(f"folder: {shown} cannot be looked into: {error.strerror or error}") from None
    raise InputError(f"folder: there is no folder {shown!r} on this machine; check the path")

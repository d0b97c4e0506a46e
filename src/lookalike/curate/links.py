"""Which entries are one file under several names: symbolic links, hard links, and folders reached by two ways."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.collection.records import Entry

__all__ = ["Name", "names"]


@dataclass(frozen=True, slots=True)
class Name:
    """What an entry's path is to its file.

    Attributes
    ----------
    is_link : bool
        A symbolic link: it takes no space worth counting, wherever its file is.
    link_of : int or None
        The id of the entry that stands for this file, where that is another one.
    """

    is_link: bool
    link_of: int | None

    @property
    def is_file(self) -> bool:
        """Whether this is the one entry that stands for a file."""
        return not self.is_link and self.link_of is None


def names(entries: Sequence[Entry]) -> list[Name]:
    """For each of some entries what its path is to its file.

    The entry that stands for a file is one that is no symbolic link and lies in no linked folder, if there is one, and of
    those the one with the lowest id.

    Device and inode are those that the catalogue has; where it has none, those that the system gives now. Files of different
    sizes are never taken for one: a device's number can be another disk's after a restart.
    """
    symbolic = [entry.is_link for entry in entries]
    files: dict[tuple[int, int, int | None], list[int]] = {}
    for at, entry in enumerate(entries):
        if (key := _identity(entry)) is not None:
            files.setdefault(key, []).append(at)
    of: dict[int, int] = {}
    for places in files.values():
        if len(places) > 1:
            real = min(places, key=lambda at: (symbolic[at], _is_indirect(entries[at]), entries[at].id))
            of |= {at: entries[real].id for at in places if at != real}
    return [Name(symbolic[at], of.get(at)) for at in range(len(entries))]


def _identity(entry: Entry) -> tuple[int, int, int | None] | None:
    device, inode = entry.device, entry.inode
    if device is None or inode is None:
        try:
            status = entry.path.stat()
        except (OSError, ValueError):
            return None
        device, inode = status.st_dev, status.st_ino
    return (device, inode, entry.size) if inode else None  # 0 is what file systems say that have none


def _is_indirect(entry: Entry) -> bool:
    """Whether the path leads through a link."""
    try:
        return os.path.realpath(entry.path) != os.fspath(entry.path)
    except (OSError, ValueError):
        return True

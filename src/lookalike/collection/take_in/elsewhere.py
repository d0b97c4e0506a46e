"""What became of files that no walk comes to: in folders that were not asked for, and of copies under other paths.

A path that is not there says little by itself: its disk may be unplugged. So an entry is hidden for it and never dropped; and a
file counts as moved only if it is the same file, by device and inode, and its old place still belongs to that file system.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

from lookalike.data.stamp import Stamp, stamp_of

__all__ = [
    "Places",
    "forget_moved",
    "hide_lost",
    "is_gone",
    "keep_unplugged",
    "look_elsewhere",
    "note_numbers",
]


def is_gone(path: bytes) -> bool:
    """Whether there certainly is no such file; an error that says less is no answer."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _stamp(path: bytes | Path) -> Stamp | None:
    try:
        return stamp_of(os.stat(path))  # noqa: PTH116 (the name may be bytes)
    except (OSError, ValueError, OverflowError):
        return None


class Places:
    """Which file system the place of a path belongs to now, whether or not the file is there."""

    def __init__(self) -> None:
        self._known: dict[Path, int | None] = {}

    def device(self, path: bytes) -> int | None:
        """Of the nearest folder above that exists."""
        folder = Path(os.fsdecode(path)).parent
        if folder not in self._known:
            stamp = next((stamp for each in (folder, *folder.parents) if (stamp := _stamp(each)) is not None), None)
            self._known[folder] = None if stamp is None else stamp.device
        return self._known[folder]


def keep_unplugged(connection: sqlite3.Connection) -> None:
    """Take from the scan's table ``gone`` to ``away`` what lay on a file system that is not there: a folder inside may be a disk's.

    It is there if the walk met a file of it, under the number that it has now or had before, or if it is where the file's place
    is. Numbers can be others after a disk was unplugged, or the machine started again. The caller commits.
    """
    if connection.execute("SELECT 1 FROM gone LIMIT 1").fetchone() is None:
        return
    connection.execute(
        "INSERT INTO away SELECT g.entry FROM gone g JOIN entries e ON e.id = g.entry"
        " WHERE e.device NOT IN (SELECT device FROM seen WHERE device IS NOT NULL)"
        " AND e.device NOT IN (SELECT o.device FROM seen s JOIN entries o ON o.path = s.path WHERE o.device IS NOT NULL)"
    )
    places = Places()
    rows = connection.execute("SELECT e.id, e.path, e.device FROM away a JOIN entries e ON e.id = a.entry").fetchall()
    there = [(entry,) for entry, path, device in rows if places.device(path) == device]
    connection.executemany("DELETE FROM away WHERE entry = ?", there)
    connection.execute("DELETE FROM gone WHERE entry IN (SELECT entry FROM away)")


def note_numbers(connection: sqlite3.Connection) -> None:
    """Device and inode of every file that was met, where they are not those recorded; the caller commits."""
    connection.execute(
        "UPDATE entries SET (device, inode) = (SELECT device, inode FROM seen s WHERE s.path = entries.path)"
        " WHERE id IN (SELECT e.id FROM entries e JOIN seen s ON s.path = e.path"
        " WHERE e.is_file AND (e.device IS NOT s.device OR e.inode IS NOT s.inode))"
    )


def hide_lost(connection: sqlite3.Connection, root: bytes, where: str, values: tuple[bytes, ...]) -> None:
    """Hide everything below a folder that went away; the caller commits."""
    connection.execute(f"UPDATE entries SET missing = 1 WHERE is_file AND NOT missing AND {where}", values)
    connection.execute("UPDATE roots SET missing = 1 WHERE path = ? AND NOT missing", (root,))


def look_elsewhere(connection: sqlite3.Connection, was_walked: Callable[[bytes], bool]) -> None:
    """Hide what is gone from folders that were not walked, and show what is back; the caller commits.

    At the price of one look at a file of each folder: only where that one is gone, and where files are hidden, at each of them.
    """
    roots = connection.execute("SELECT id, path, missing FROM roots").fetchall()
    single = connection.execute("SELECT 1 FROM entries WHERE root IS NULL AND is_file LIMIT 1").fetchone()
    if single is None and all(was_walked(root) for _, root, _ in roots):
        return
    away = set()
    for number, root, missing in roots:
        if was_walked(root):
            continue
        is_away = not os.path.isdir(root)  # noqa: PTH112 (the name is bytes)
        if is_away:
            away.add(number)
            connection.execute("UPDATE entries SET missing = 1 WHERE root = ? AND is_file AND NOT missing", (number,))
        if is_away != bool(missing):
            connection.execute("UPDATE roots SET missing = ? WHERE id = ?", (int(is_away), number))
    _hide_gone(connection, away, was_walked)
    _show_what_is_back(connection, away, was_walked)


def _hide_gone(connection: sqlite3.Connection, away: Collection[int], was_walked: Callable[[bytes], bool]) -> None:
    samples = connection.execute(
        "SELECT root, label, path, min(id) FROM entries WHERE is_file AND NOT missing GROUP BY root, label"
    ).fetchall()
    for root, label, path, _ in samples:
        # Files that were given one by one lie anywhere, whatever their labels.
        if root in away or (root is not None and (was_walked(path) or _stamp(path) is not None)):
            continue
        files = connection.execute(
            "SELECT id, path FROM entries WHERE root IS ? AND label = ? AND is_file AND NOT missing", (root, label)
        ).fetchall()
        gone = [(number,) for number, name in files if not was_walked(name) and _stamp(name) is None]
        connection.executemany("UPDATE entries SET missing = 1 WHERE id = ?", gone)


def _show_what_is_back(
    connection: sqlite3.Connection, away: Collection[int], was_walked: Callable[[bytes], bool]
) -> None:
    # What could not be opened when its folder was walked waits for the next walk.
    hidden = connection.execute(
        "SELECT id, path, root, size, mtime_ns FROM entries e WHERE is_file AND missing"
        " AND NOT EXISTS (SELECT 1 FROM skipped s WHERE s.path = e.path)"
    )
    there: dict[bytes, bool] = {}
    back = []
    for number, path, root, size, mtime_ns in hidden.fetchall():
        if root in away or was_walked(path):
            continue
        folder = os.path.dirname(path)  # noqa: PTH120 (the name is bytes)
        if folder not in there:
            there[folder] = _stamp(folder) is not None
        stamp = _stamp(path) if there[folder] else None
        if stamp is not None and (stamp.size, stamp.mtime_ns) == (size, mtime_ns):
            back.append((number,))
    connection.executemany("UPDATE entries SET missing = 0 WHERE id = ?", back)


def forget_moved(
    connection: sqlite3.Connection, root: int, below: Callable[[bytes], tuple[str, tuple[bytes, ...]]]
) -> None:
    """Forget a folder that is gone and empty, because its files were found at other paths; the caller commits."""
    row = connection.execute(
        "SELECT path FROM roots WHERE id = ? AND missing AND NOT EXISTS (SELECT 1 FROM entries WHERE root = roots.id)",
        (root,),
    ).fetchone()
    if row is not None:
        where, values = below(row[0])
        connection.execute("DELETE FROM roots WHERE id = ?", (root,))
        connection.execute(f"DELETE FROM skipped WHERE {where}", values)

"""What changed on disk since the last `add`: folders are walked into a temporary table, and SQL compares.

Nothing is opened here: size and time of the last change decide what has to be looked into. The temporary tables are used in this
file, and by the functions of `elsewhere` that it calls; the rest asks `Scan`. They are ``seen`` (files met), ``passed`` (files and
folders passed over), ``todo`` (files to be looked into), ``gone`` (entries whose files were not met), ``away`` (those whose file
system is not there), ``single`` (files asked for by name) and ``damaged`` (ranges of features that are to be made anew).
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from lookalike.collection.catalog.entries import encode_label
from lookalike.collection.catalog.file import bump, transaction
from lookalike.collection.records import Pace
from lookalike.collection.take_in.elsewhere import forget_moved, hide_lost, keep_unplugged, look_elsewhere, note_numbers
from lookalike.collection.take_in.scopes import Scope, below, clean_text, contains, outermost, recorded, says_gone
from lookalike.data.walk import Found, Skipped, label_of, walk
from lookalike.errors import InputError

__all__ = ["Scan", "reader_version"]

BATCH = 1000
PAGE = 500
READER = 2  # to be raised when lookalike itself learns to read more
UNREADABLE = frozenset({"missing", "folder", "file"})
NOT_ENTERED = frozenset({"hidden", "link"})

_TABLES = """
CREATE TEMP TABLE seen (
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, device INTEGER, inode INTEGER) WITHOUT ROWID;
CREATE TEMP TABLE passed (path BLOB PRIMARY KEY, reason TEXT, kind TEXT) WITHOUT ROWID;
CREATE TEMP TABLE todo (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TEMP TABLE single (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE gone (entry INTEGER PRIMARY KEY, path BLOB NOT NULL, feature INTEGER NOT NULL, root INTEGER);
CREATE INDEX temp.gone_by_feature ON gone(feature);
CREATE INDEX temp.gone_by_path ON gone(path);
CREATE TEMP TABLE damaged (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TEMP TABLE away (entry INTEGER PRIMARY KEY);
"""


def reader_version() -> str:
    """What decides which files can be read: a file that could not is tried again when this changes."""
    from importlib.metadata import PackageNotFoundError, version

    def of(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "-"

    packages = " ".join(f"{package}={of(package)}" for package in ("lookalike", "pillow", "pillow-heif"))
    return f"{packages} reader={READER}"


class Scan:
    """One comparison of disk and catalogue."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, damaged: list[tuple[int, int]]) -> None:
        self.connection = connection
        self.folder = folder
        self.scopes: list[Scope] = []
        self.unchanged = 0
        self.known: dict[bytes, int] = {}  # protected folders, and how many entries each had
        self.moved_from: set[int] = set()  # folders that a file was moved out of, into another one
        self.lost: set[bytes] = set()  # folders and files that were asked for and are not there
        self._roots_now: dict[bytes, int] = {}
        self._real: dict[str, Path] | None = None
        self._singles: set[bytes] = set()
        self._folders: dict[bytes, Scope] = {}
        for statement in _TABLES.strip().split(";\n"):
            connection.execute(statement)
        connection.executemany("INSERT OR REPLACE INTO damaged VALUES (?, ?)", damaged)

    # --- which folders -----------------------------------------------------------------------------------------------

    def choose(self, paths: list[Path]) -> None:
        """Take these folders and files; without any, all that were added before. Refuses what never existed."""
        scopes = [self._scope(path) for path in paths] if paths else list(self._all())
        self.scopes = sorted(set(scopes), key=lambda scope: (len(scope.path.parts), scope.path))
        self._singles = {os.fsencode(scope.path) for scope in self.scopes if not scope.is_folder}
        self._folders = {os.fsencode(scope.path): scope for scope in self.scopes if scope.is_folder}
        self.connection.executemany("INSERT INTO single VALUES (?)", [(path,) for path in self._singles])
        with transaction(self.connection):
            roots = self._roots()
            for scope in self.scopes:
                if scope.is_folder:
                    self._add_root(scope, roots)

    def _areas(self, *, existing: bool = False) -> Iterator[tuple[str, tuple[bytes, ...]]]:
        """SQL that selects the paths asked for: each folder, then all single files together."""
        for scope in self.scopes:
            if scope.is_folder and (scope.exists or not existing):
                yield below(os.fsencode(scope.path))
        yield "path IN (SELECT path FROM single)", ()

    def _scope(self, path: Path) -> Scope:
        try:
            status = path.stat()
        except (OSError, ValueError, OverflowError) as error:
            where, values = below(os.fsencode(path))
            entry = self.connection.execute(f"SELECT path FROM entries WHERE {where} LIMIT 1", values).fetchone()
            root = self.connection.execute("SELECT 1 FROM roots WHERE path = ?", (os.fsencode(path),)).fetchone()
            if entry is None and root is None:
                why = "there is no such file or folder" if says_gone(error) else getattr(error, "strerror", None)
                raise InputError(f"{path}: {why or error}") from None
            return Scope(path, root is not None or entry[0] != os.fsencode(path), exists=not says_gone(error))
        if stat.S_ISDIR(status.st_mode):
            return Scope(self._same_root(path), is_folder=True, exists=True, device=status.st_dev)
        return Scope(path, is_folder=False, exists=True, device=status.st_dev)

    def _all(self) -> Iterator[Scope]:
        for (path,) in self.connection.execute("SELECT path FROM roots").fetchall():
            yield recorded(path, is_folder=True)
        singles = "SELECT path FROM entries WHERE root IS NULL AND is_file"
        for (path,) in self.connection.execute(singles).fetchall():
            yield recorded(path, is_folder=False)

    def _same_root(self, path: Path) -> Path:
        """The name under which this folder was added before, if that was through a link."""
        if self._real is None:
            roots = [
                os.fsdecode(root) for (root,) in self.connection.execute("SELECT path FROM roots ORDER BY id DESC")
            ]
            self._real = {os.path.realpath(root): Path(root) for root in roots}
        return self._real.get(os.path.realpath(path), path)

    def _add_root(self, scope: Scope, roots: dict[bytes, int]) -> None:
        """Record a folder, unless it lies in one that is recorded; take over the entries that lie in it."""
        name = os.fsencode(scope.path)
        if outermost(name, roots) is not None:
            return
        root = self.connection.execute("INSERT INTO roots (path) VALUES (?)", (name,)).lastrowid
        roots[name] = int(root or 0)
        where, values = below(name)
        inside = self.connection.execute(f"SELECT id, path FROM entries WHERE is_file AND {where}", values).fetchall()
        self.connection.executemany(
            "UPDATE entries SET root = ?, label = ? WHERE id = ?",
            [(root, encode_label(label_of(os.fsdecode(path), scope.path)), entry) for entry, path in inside],
        )
        bump(self.connection)

    def _roots(self) -> dict[bytes, int]:
        """Ids of the folders recorded."""
        return {path: number for number, path in self.connection.execute("SELECT id, path FROM roots")}

    def root_of(self, path: Path) -> tuple[int | None, str]:
        """The outermost recorded folder that a file lies in, and the file's label."""
        root = outermost(os.fsencode(path), self._roots_now)
        if root is None:
            return None, path.parent.name
        return self._roots_now[root], label_of(path, os.fsdecode(root))

    # --- walking and comparing ---------------------------------------------------------------------------------------

    def run(self, pace: Pace) -> None:
        """Walk, compare, and hide what was not met."""
        self._roots_now = self._roots()
        self._walk(pace)
        with transaction(self.connection):
            self._count_known()
            self._note_passed()
            self._find_gone()
            keep_unplugged(self.connection)
            note_numbers(self.connection)
            look_elsewhere(self.connection, self.covers)
            self._find_todo()
            bump(self.connection)

    def _walk(self, pace: Pace) -> None:
        from lookalike.features.images import SUFFIXES

        met = 0
        found: list[tuple[bytes, int, int, int | None, int | None]] = []
        passed: list[tuple[bytes, str, str]] = []
        for scope in self.scopes:
            if not scope.exists or self._was_walked(scope):
                continue
            for item in walk(scope.path, SUFFIXES):
                name = os.fsencode(item.path)
                if contains(os.fsencode(self.folder), name):
                    continue
                met += 1
                if isinstance(item, Found):
                    found.append((name, item.size, item.mtime_ns, item.device, item.inode))
                else:
                    passed.append((name, clean_text(item.reason), item.kind))
                    pace.skipped += 1
                if len(found) + len(passed) >= BATCH:
                    self._keep(found, passed)
                pace.tell("scanning", met, 0)
            self._keep(found, passed)
        pace.tell("scanning", met, met, last=True)

    def _was_walked(self, scope: Scope) -> bool:
        """Whether a folder around it has been walked already, and that walk came here."""
        where, values = below(os.fsencode(scope.path))
        met = "SELECT 1 FROM {} WHERE " + where + " LIMIT 1"
        if self.connection.execute(met.format("seen"), values).fetchone():
            return True
        passed = self.connection.execute("SELECT 1 FROM passed WHERE path = ?", (os.fsencode(scope.path),)).fetchone()
        return passed is None and bool(self.connection.execute(met.format("passed"), values).fetchone())

    def _keep(
        self, found: list[tuple[bytes, int, int, int | None, int | None]], passed: list[tuple[bytes, str, str]]
    ) -> None:
        self.connection.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", found)
        self.connection.executemany("INSERT OR REPLACE INTO passed VALUES (?, ?, ?)", passed)
        found.clear()
        passed.clear()

    def _count_known(self) -> None:
        """How many files each protected folder had: the recorded ones, and those that were asked for."""
        units = set(self._roots_now) | {os.fsencode(s.path) for s in self.scopes if s.is_folder}
        for unit in units:
            where, values = below(unit)
            count = f"SELECT count(*) FROM entries WHERE is_file AND {where}"
            self.known[unit] = int(self.connection.execute(count, values).fetchone()[0])
        self.lost = {os.fsencode(scope.path) for scope in self.scopes if not scope.exists}
        self.connection.executemany("UPDATE roots SET missing = ? WHERE path = ?", self._root_states())

    def _root_states(self) -> Iterable[tuple[int, bytes]]:
        """Folders are missing that are gone, and those that could not be examined when the walk came to them."""
        unread = {
            path for (path,) in self.connection.execute("SELECT path FROM passed WHERE kind IN ('missing', 'folder')")
        }
        for scope in self.scopes:
            if scope.is_folder:
                path = os.fsencode(scope.path)
                yield int(not scope.exists or path in unread), path

    def _note_passed(self) -> None:
        """The files passed over in these folders are those met now, and earlier ones that have not changed."""
        for where, values in self._areas(existing=True):
            self.connection.execute(
                f"DELETE FROM skipped WHERE {where} AND path NOT IN (SELECT path FROM seen)", values
            )
        self.connection.execute(
            "INSERT OR REPLACE INTO skipped (path, reason, kind) SELECT path, reason, kind FROM passed p"
            " WHERE NOT EXISTS (SELECT 1 FROM skipped k WHERE (k.path, k.reason, k.kind) = (p.path, p.reason, p.kind))"
        )

    def _find_gone(self) -> None:
        for where, values in self._areas():
            self.connection.execute(
                f"INSERT OR IGNORE INTO gone SELECT id, path, feature, root FROM entries"
                f" WHERE is_file AND {where} AND path NOT IN (SELECT path FROM seen)",
                values,
            )
        asked = {os.fsencode(scope.path) for scope in self.scopes}
        for path, kind in self.connection.execute("SELECT path, kind FROM passed").fetchall():
            if kind in UNREADABLE:
                self._shelter(path)
            elif kind in NOT_ENTERED and path not in asked:
                # A hidden folder, or a link, that was added by itself is looked at when it is asked for.
                _, inside = below(path)
                self.connection.execute("DELETE FROM gone WHERE path >= ? AND path < ?", inside[1:])
        self.connection.execute("UPDATE entries SET missing = 1 WHERE NOT missing AND id IN (SELECT entry FROM gone)")

    def _shelter(self, path: bytes) -> None:
        """What could not be read is hidden, as it cannot be shown, but not gone: nothing is known about it."""
        where, values = below(path)
        self.connection.execute(f"UPDATE entries SET missing = 1 WHERE NOT missing AND is_file AND {where}", values)
        self.connection.execute(f"DELETE FROM gone WHERE {where}", values)

    def _find_todo(self) -> None:
        # The ranges do not overlap: only the last one that begins before a feature can hold it.
        damaged = "(SELECT last FROM damaged WHERE first <= e.feature ORDER BY first DESC LIMIT 1) >= e.feature"
        same = f"e.is_file AND e.size = s.size AND e.mtime_ns = s.mtime_ns AND NOT coalesce({damaged}, 0)"
        known = f"SELECT e.id FROM entries e JOIN seen s ON s.path = e.path WHERE {same}"
        self.unchanged = int(self.connection.execute(f"SELECT count(*) FROM ({known})").fetchone()[0])
        self.connection.execute(f"UPDATE entries SET missing = 0 WHERE missing AND id IN ({known})")
        self.connection.execute(
            f"""
            INSERT INTO todo SELECT s.path, s.size, s.mtime_ns FROM seen s
            LEFT JOIN entries e ON e.path = s.path LEFT JOIN skipped k ON k.path = s.path
            WHERE NOT coalesce({same}, 0)
            AND NOT coalesce(k.size = s.size AND k.mtime_ns = s.mtime_ns AND k.reader = ?, 0)
            """,
            (reader_version(),),
        )
        self.connection.execute(  # of other folders too: their features are to be made anew as soon as possible
            "INSERT OR IGNORE INTO todo SELECT e.path, e.size, e.mtime_ns FROM damaged d"
            " CROSS JOIN entries e ON e.feature BETWEEN d.first AND d.last WHERE e.is_file AND NOT e.missing"
        )

    # --- what is to be taken in --------------------------------------------------------------------------------------

    def count_files(self) -> int:
        """Files that have to be looked into."""
        return int(self.connection.execute("SELECT count(*) FROM todo").fetchone()[0])

    def files(self) -> Iterator[bytes]:
        """Those files, sorted; read in pages, so that the writer may commit meanwhile."""
        last = b""
        while page := self.connection.execute(
            "SELECT path FROM todo WHERE path > ? ORDER BY path LIMIT ?", (last, PAGE)
        ).fetchall():
            yield from (path for (path,) in page)
            last = page[-1][0]

    def vanished(self, feature: int, root: int | None) -> int | None:
        """An entry of the same contents whose file is gone from the same root: the file was moved.

        Of the same root only: another one may be on a disk that is unplugged.
        """
        rows = self.connection.execute(
            "SELECT entry, path FROM gone WHERE feature = ? AND root IS ? ORDER BY entry", (feature, root)
        )
        return next((entry for entry, path in rows if path not in self.lost), None)

    def was_found(self, entry: int) -> None:
        """The file of an entry that seemed to be gone was found at another path."""
        for table in ("gone", "away"):
            self.connection.execute(f"DELETE FROM {table} WHERE entry = ?", (entry,))

    # --- the end -----------------------------------------------------------------------------------------------------

    def settle(self, prune: bool) -> int:
        """Drop the entries whose files were deleted, unless so many are gone that a disk may be; returns how many.

        A folder that is not there, or has lost more than a fifth of its files, loses no entry without `prune`.
        """
        with transaction(self.connection):
            self._hide_lost()
            if prune:
                self.connection.execute(
                    "INSERT INTO gone SELECT id, path, feature, root FROM entries WHERE id IN (SELECT entry FROM away)"
                )
            else:
                for unit, known in self.known.items():
                    where, values = below(unit)
                    gone = int(
                        self.connection.execute(f"SELECT count(*) FROM gone WHERE {where}", values).fetchone()[0]
                    )
                    if gone * 5 > known or unit in self.lost:
                        self.connection.execute(f"DELETE FROM gone WHERE {where}", values)
                for path in self.lost:
                    self.connection.execute("DELETE FROM gone WHERE path = ?", (path,))
            removed = self.connection.execute("DELETE FROM entries WHERE id IN (SELECT entry FROM gone)").rowcount
            if prune:
                self._forget_roots()
            bump(self.connection)
        return removed

    def _hide_lost(self) -> None:
        """Hide the folders that went away since they were walked, and forget those that were moved as a whole."""
        for scope in self.scopes:
            if scope.is_folder and scope.exists and not self.is_there(scope):
                hide_lost(self.connection, os.fsencode(scope.path), *below(os.fsencode(scope.path)))
        for root in self.moved_from:
            forget_moved(self.connection, root, below)

    def is_there(self, scope: Scope) -> bool:
        """Whether a folder or file is still where it was when it was chosen, on the same file system."""
        try:
            return scope.device in (None, scope.path.stat().st_dev)
        except (OSError, ValueError, OverflowError):
            return False

    def scope_of(self, path: bytes) -> Scope | None:
        """The outermost folder asked for that a file lies in; None for a file asked for by name."""
        folder = outermost(path, self._folders)
        return None if folder is None else self._folders[folder]

    def covers(self, path: bytes) -> bool:
        """Whether the path was asked for, so that the walk knows about it."""
        return path in self._singles or self.scope_of(path) is not None

    def _forget_roots(self) -> None:
        for path in self.lost:
            where, values = below(path)
            self.connection.execute("DELETE FROM roots WHERE path = ?", (path,))
            self.connection.execute(f"DELETE FROM skipped WHERE {where}", values)

    def count_missing(self) -> int:
        """Entries of these folders that are hidden now."""
        found: set[int] = set()
        for where, values in self._areas():
            rows = self.connection.execute(f"SELECT id FROM entries WHERE missing AND {where}", values)
            found.update(row[0] for row in rows)
        return len(found)

    def skipped(self) -> tuple[Skipped, ...]:
        """Files of these folders that are passed over now."""
        found: dict[bytes, Skipped] = {}
        for where, values in self._areas():
            rows = self.connection.execute(f"SELECT path, reason, kind FROM skipped WHERE {where}", values)
            found |= {path: Skipped(Path(os.fsdecode(path)), reason, kind) for path, reason, kind in rows}
        minor = ("other", "hidden")  # there can be many of these: last
        return tuple(found[path] for path in sorted(found, key=lambda path: (found[path].kind in minor, path)))

"""What changed on disk since the last `add`: folders are walked into a temporary table, and SQL compares.

Nothing is opened here: size and time of the last change decide what has to be looked into. The temporary tables are
the writer's own: ``seen`` (files met), ``passed`` (files and folders passed over), ``todo`` (files to be looked into),
``gone`` (entries whose files were not met) and ``single`` (files asked for by name).
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lookalike.collection.catalog import bump, transaction
from lookalike.collection.entries import encode_label
from lookalike.collection.pace import Pace
from lookalike.data.walk import Found, Skipped, label_of, walk
from lookalike.errors import InputError

__all__ = ["Scan", "Scope", "below", "clean_text", "reader_version"]

BATCH = 1000
READER = 2  # to be raised when lookalike itself learns to read more
UNREADABLE = frozenset({"missing", "folder", "file"})
NOT_ENTERED = frozenset({"hidden", "link"})

_TABLES = """
CREATE TEMP TABLE seen (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TEMP TABLE passed (path BLOB PRIMARY KEY, reason TEXT, kind TEXT) WITHOUT ROWID;
CREATE TEMP TABLE todo (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TEMP TABLE single (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE gone (entry INTEGER PRIMARY KEY, path BLOB NOT NULL, feature INTEGER NOT NULL, root INTEGER);
CREATE INDEX temp.gone_by_feature ON gone(feature);
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """A folder or a file to be looked at."""

    path: Path
    is_folder: bool
    exists: bool


def below(folder: bytes) -> tuple[str, tuple[bytes, ...]]:
    """SQL, with its values, for the paths in a folder and below, and for the folder's own."""
    separator = os.fsencode(os.sep)
    start = folder.rstrip(separator) + separator
    return "(path = ? OR path >= ? AND path < ?)", (folder, start, start[:-1] + bytes([start[-1] + 1]))


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
        self.damaged = damaged  # ranges of features that are to be made anew
        self.scopes: list[Scope] = []
        self.unchanged = 0
        self.known: dict[bytes, int] = {}  # protected folders, and how many entries each had
        self.lost: set[bytes] = set()  # folders and files that were asked for and are not there
        self._roots_now: list[tuple[int, bytes]] = []
        for statement in _TABLES.strip().split(";\n"):
            connection.execute(statement)

    # --- which folders -----------------------------------------------------------------------------------------------

    def choose(self, paths: list[Path]) -> None:
        """Take these folders and files; without any, all that were added before. Refuses what never existed."""
        scopes = [self._scope(path) for path in paths] if paths else list(self._all())
        self.scopes = sorted(set(scopes), key=lambda scope: (len(scope.path.parts), scope.path))
        singles = [(os.fsencode(scope.path),) for scope in self.scopes if not scope.is_folder]
        self.connection.executemany("INSERT INTO single VALUES (?)", singles)
        with transaction(self.connection):
            for scope in self.scopes:
                if scope.is_folder:
                    self._add_root(scope)

    def _areas(self, *, existing: bool = False) -> Iterator[tuple[str, tuple[bytes, ...]]]:
        """SQL that selects the paths asked for: each folder, then all single files together."""
        for scope in self.scopes:
            if scope.is_folder and (scope.exists or not existing):
                yield below(os.fsencode(scope.path))
        yield "path IN (SELECT path FROM single)", ()

    def _scope(self, path: Path) -> Scope:
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            where, values = below(os.fsencode(path))
            entry = self.connection.execute(f"SELECT path FROM entries WHERE {where} LIMIT 1", values).fetchone()
            root = self.connection.execute("SELECT 1 FROM roots WHERE path = ?", (os.fsencode(path),)).fetchone()
            if entry is None and root is None:
                why = "there is no such file or folder" if isinstance(error, FileNotFoundError) else str(error)
                raise InputError(f"{path}: {why}") from None
            return Scope(path, is_folder=root is not None or entry[0] != os.fsencode(path), exists=False)
        if stat.S_ISDIR(status.st_mode):
            return Scope(self._same_root(path), is_folder=True, exists=True)
        return Scope(path, is_folder=False, exists=True)

    def _all(self) -> Iterator[Scope]:
        for (path,) in self.connection.execute("SELECT path FROM roots").fetchall():
            folder = Path(os.fsdecode(path))
            yield Scope(folder, is_folder=True, exists=folder.exists())
        singles = "SELECT path FROM entries WHERE root IS NULL AND is_file"
        for (path,) in self.connection.execute(singles).fetchall():
            file = Path(os.fsdecode(path))
            yield Scope(file, is_folder=False, exists=file.exists())

    def _same_root(self, path: Path) -> Path:
        """The name under which this folder was added before, if that was through a link."""
        real = os.path.realpath(path)
        for (root,) in self.connection.execute("SELECT path FROM roots").fetchall():
            if os.path.realpath(os.fsdecode(root)) == real:
                return Path(os.fsdecode(root))
        return path

    def _add_root(self, scope: Scope) -> None:
        """Record a folder, unless it lies in one that is recorded; take over the entries that lie in it."""
        name = os.fsencode(scope.path)
        if any(_contains(root, name) for _, root in self._roots()):
            return
        root = self.connection.execute("INSERT INTO roots (path) VALUES (?)", (name,)).lastrowid
        where, values = below(name)
        inside = self.connection.execute(f"SELECT id, path FROM entries WHERE is_file AND {where}", values).fetchall()
        self.connection.executemany(
            "UPDATE entries SET root = ?, label = ? WHERE id = ?",
            [(root, encode_label(label_of(os.fsdecode(path), scope.path)), entry) for entry, path in inside],
        )
        bump(self.connection)

    def _roots(self) -> list[tuple[int, bytes]]:
        """Folders recorded, outermost first."""
        rows = self.connection.execute("SELECT id, path FROM roots ORDER BY length(path)")
        return [(number, path) for number, path in rows]

    def root_of(self, path: Path) -> tuple[int | None, str]:
        """The outermost recorded folder that a file lies in, and the file's label."""
        for number, root in self._roots_now:
            if _contains(root, os.fsencode(path)):
                return number, label_of(path, os.fsdecode(root))
        return None, path.parent.name

    # --- walking and comparing ---------------------------------------------------------------------------------------

    def run(self, pace: Pace) -> None:
        """Walk, compare, and hide what was not met."""
        self._roots_now = self._roots()
        self._walk(pace)
        with transaction(self.connection):
            self._count_known()
            self._note_passed()
            self._find_gone()
            self._find_todo()
            bump(self.connection)

    def _walk(self, pace: Pace) -> None:
        from lookalike.features.images import SUFFIXES

        met = 0
        found: list[tuple[bytes, int, int]] = []
        passed: list[tuple[bytes, str, str]] = []
        for scope in self.scopes:
            if not scope.exists or self._was_walked(scope):
                continue
            for item in walk(scope.path, SUFFIXES):
                name = os.fsencode(item.path)
                if _contains(os.fsencode(self.folder), name):
                    continue
                met += 1
                if isinstance(item, Found):
                    found.append((name, item.size, item.mtime_ns))
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

    def _keep(self, found: list[tuple[bytes, int, int]], passed: list[tuple[bytes, str, str]]) -> None:
        self.connection.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", found)
        self.connection.executemany("INSERT OR REPLACE INTO passed VALUES (?, ?, ?)", passed)
        found.clear()
        passed.clear()

    def _count_known(self) -> None:
        """How many files each protected folder had: the recorded ones, and those that were asked for."""
        units = {root for _, root in self._roots_now} | {os.fsencode(s.path) for s in self.scopes if s.is_folder}
        for unit in units:
            where, values = below(unit)
            count = f"SELECT count(*) FROM entries WHERE is_file AND {where}"
            self.known[unit] = int(self.connection.execute(count, values).fetchone()[0])
        self.lost = {os.fsencode(scope.path) for scope in self.scopes if not scope.exists}
        self.connection.executemany("UPDATE roots SET missing = ? WHERE path = ?", self._root_states())

    def _root_states(self) -> Iterable[tuple[int, bytes]]:
        return [(int(not scope.exists), os.fsencode(scope.path)) for scope in self.scopes if scope.is_folder]

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
                where, values = below(path)
                self.connection.execute(f"DELETE FROM gone WHERE {where} AND path <> ?", (*values, path))
        self.connection.execute("UPDATE entries SET missing = 1 WHERE id IN (SELECT entry FROM gone)")

    def _shelter(self, path: bytes) -> None:
        """What could not be read is hidden, as it cannot be shown, but not gone: nothing is known about it."""
        where, values = below(path)
        self.connection.execute(f"UPDATE entries SET missing = 1 WHERE is_file AND {where}", values)
        self.connection.execute(f"DELETE FROM gone WHERE {where}", values)

    def _find_todo(self) -> None:
        damaged = " OR ".join(f"e.feature BETWEEN {first} AND {last}" for first, last in self.damaged) or "0"
        same = f"e.is_file AND e.size = s.size AND e.mtime_ns = s.mtime_ns AND NOT ({damaged})"
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
        if self.damaged:  # of other folders too: their features are to be made anew as soon as possible
            self.connection.execute(
                "INSERT OR IGNORE INTO todo SELECT path, size, mtime_ns FROM entries e"
                f" WHERE is_file AND NOT missing AND ({damaged})"
            )

    # --- the end -----------------------------------------------------------------------------------------------------

    def settle(self, prune: bool) -> int:
        """Drop the entries whose files were deleted, unless so many are gone that a disk may be; returns how many.

        A folder that is not there, or has lost more than a fifth of its files, loses no entry without `prune`.
        """
        with transaction(self.connection):
            if not prune:
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


def _contains(folder: bytes, path: bytes) -> bool:
    separator = os.fsencode(os.sep)
    return path == folder or path.startswith(folder.rstrip(separator) + separator)


def clean_text(reason: str) -> str:
    """A reason that can be stored and printed, even when it quotes a name that is not UTF-8."""
    return os.fsencode(reason).decode("utf-8", "backslashreplace")

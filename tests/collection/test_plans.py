"""How SQLite goes about what a collection asks of it: nothing that reads a whole table inside a loop, and growth that is linear."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.collection.catalog import connecting
from lookalike.collection.catalog.filters import Filter
from lookalike.collection.records import Pace
from lookalike.collection.take_in.scan import Scan
from tests.collection.fake import FakeEmbedder, pictures

LARGE = "entries|features|skipped|segments|seen|passed|todo|gone|away|kept|renumbered"
ALIASES = {"e": "entries", "f": "features", "o": "entries", "s": "seen", "k": "skipped", "g": "gone", "a": "away"}

ALLOWED_SCANS = {
    "SELECT file FROM segments": "once for each writer: which files are ours",
    "SELECT id, file, first, rows, sha256 FROM segments WHERE checksum IS": "all segments, of which there are few",
    "INSERT INTO roots": "what the plan shows is the check of the foreign key, which does not run",
    "DELETE FROM roots": "the foreign key: once for each folder that is forgotten",
    "SELECT path FROM passed": "once in each `add`: all that was passed over",
    "SELECT path, kind FROM passed": "once in each `add`: all that was passed over",
    "INSERT INTO away": "once in each `add`: all that is gone, against the devices met",
    "SELECT e.id, e.path, e.device FROM away": "once in each `add`: all that is away",
    "UPDATE entries SET (device, inode)": "once in each `add`: every file met against its entry",
    "SELECT root, label, path, min(id)": "once in each `add`: a file of each folder",
    "SELECT DISTINCT root, label": "once in each `add`: folders with hidden files",
    "SELECT count(*) FROM (SELECT e.id FROM entries e JOIN seen": "once in each `add`: every file met against its entry",
    "UPDATE entries SET missing = 0 WHERE missing AND id IN (SELECT e.id": "once in each `add`: every file met against its entry",
    "INSERT INTO todo SELECT s.path": "once in each `add`: every file met against its entry",
    "SELECT count(*) FROM todo": "once in each `add`",
    "SELECT count(*), count(*) FILTER": "once in each `add`: features that nobody uses",
    "SELECT DISTINCT feature FROM entries": "the index is of all features in use",
    "SELECT id FROM features": "the index is of all features",
    "SELECT count(*) FROM entries": "a count of all",
    "SELECT path FROM entries WHERE root IS NULL": "once in an `add` without folders: files given one by one",
    "SELECT count(DISTINCT": "`status` counts all",
    "SELECT path, reason, kind FROM skipped ORDER BY": "`status` shows all",
    "SELECT label, count(*) FROM entries": "all labels",
    "SELECT e.id, e.path, r.path": "a page of all, by id: read in the order of the table",
    "SELECT e.id FROM entries e": "ids of all, or of all that pass a filter, which are sorted",
    "SELECT id, feature FROM entries WHERE missing = 0 ORDER BY feature, id": "a snapshot holds every picture",
    "SELECT count(*) FROM features f WHERE NOT EXISTS": "`verify` looks at all",
    "SELECT id, CAST(file AS BLOB), first, rows, CAST(sha256": "`verify` compares every row with its checksum",
    "SELECT id, content, norm, width, height, CAST": "`verify` compares every row with its checksum",
    "SELECT id, path, root, label, feature, size, mtime_ns, is_file, missing, device, inode FROM entries WHERE (1)": (
        "`verify` compares every row with its checksum"
    ),
    "SELECT path, CAST(reason AS BLOB)": "`verify` compares every row with its checksum",
    "SELECT 1 FROM gone LIMIT 1": "whether there is one: the first row tells",
    "SELECT 1 FROM entries WHERE root IS NULL AND is_file LIMIT 1": "once in each `add`: whether files were given one by one",
    "SELECT id, path, root, size, mtime_ns FROM entries e WHERE is_file AND missing": "once in each `add`: all hidden files",
    "DELETE FROM features": "all are deleted",
    "INSERT INTO features (id, content, norm, width, height, format) SELECT": "compacting writes all anew",
    "UPDATE entries SET feature = (SELECT new": "compacting writes all anew",
}
"""Statements that may read a whole table, by how they begin, and why they have to."""


class Watched(connecting.Connection):
    """Notes each statement with its plan, on the connection that has its temporary tables."""

    plans: dict[str, list[tuple[int, int, str]]] = {}  # noqa: RUF012 (each test empties it)

    def _note(self, sql: str, values: Any) -> None:
        text = re.sub(r"\s+", " ", sql).strip()
        if text.split(" ", 1)[0].upper() in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
            rows = super().execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            self.plans[text] = [(row[0], row[1], row[3]) for row in rows]

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:  # type: ignore[override]
        self._note(sql, values)
        return super().execute(sql, values)

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:  # type: ignore[override]
        rows = list(rows)
        if rows:
            self._note(sql, rows[0])
        return super().executemany(sql, rows)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[tuple[int, int, str]]]]:
    """The plans of all statements of a test, by their text."""
    monkeypatch.setattr(connecting, "Connection", Watched)
    Watched.plans.clear()
    yield Watched.plans
    Watched.plans.clear()


def faults(plan: list[tuple[int, int, str]]) -> list[str]:
    """What in a plan reads a whole large table or sorts all of it, and where that is inside a loop."""
    found = []
    inner = set()  # steps that run once for each row of something
    loops = set()
    for number, parent, detail in plan:
        if "CORRELATED" in detail or parent in inner:
            inner.add(number)
        scan = re.match(r"SCAN (\S+)", detail)
        if scan or detail.startswith("SEARCH"):
            table = ALIASES.get(scan[1], scan[1]) if scan else ""
            if re.fullmatch(LARGE, table):
                found.append(("loop: " if parent in loops or parent in inner else "") + detail)
            loops.add(parent)
        elif "TEMP B-TREE" in detail:
            found.append(detail)
    return found


def test_no_statement_reads_a_table_without_need(
    tmp_path: Path, embedder: FakeEmbedder, plans: dict[str, list[tuple[int, int, str]]]
) -> None:
    one, two, *_ = pictures(tmp_path / "p", 12)
    (tmp_path / "p/broken.jpg").write_bytes(b"no picture")
    (tmp_path / "p/.hidden.jpg").write_bytes(b"")
    (tmp_path / "p/link.jpg").symlink_to(one)
    with Collection.create(tmp_path / "c") as collection:
        collection.add(tmp_path / "p")
        one.rename(tmp_path / "p/moved.jpg")
        two.unlink()
        (tmp_path / "q").mkdir()
        collection.add(tmp_path / "p", pictures(tmp_path / "r", 3, 30))
        collection.add(prune=True)
        collection.search(3, 5)
        collection.duplicates()
        collection.status()
        collection.labels()
        collection.entries(3, 4)
        collection.entries(label="x")
        collection.several(collection.ids())
        collection.find(one)
        collection.matching(Filter(labels=("x",), after="2020-01-01", min_side=3, shape="square"))
        collection.verify()
        collection.remove(tmp_path / "r")
        collection.compact()
        collection.add()
    assert len(plans) > 60
    wrong = {
        sql: found
        for sql, plan in plans.items()
        if (found := faults(plan))
        and (any("loop" in each for each in found) or not any(sql.startswith(known) for known in ALLOWED_SCANS))
    }
    assert wrong == {}, "\n".join(f"{found}: {sql}" for sql, found in wrong.items())


def steps(tmp_path: Path, n: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """What SQLite does in comparing a folder that was renamed, beside as many hidden files; in thousands of its instructions."""
    folder = tmp_path / str(n)
    folder.mkdir()
    with Collection.create(tmp_path / f"{n}.lookalike") as collection:
        collection.add_vectors(np.ones((n, 4)), [folder / f"old/{i:05d}.jpg" for i in range(n)])
        with collection._catalog.write() as connection:
            connection.execute("UPDATE entries SET is_file = 1")
            scan = Scan(connection, collection.path, [])
            scan.choose([folder])
            monkeypatch.setattr(scan, "_walk", lambda pace: None)
            hidden = [(bytes(folder / f"new/.{i:05d}.jpg"), "hidden", "hidden") for i in range(n)]
            unread = [(bytes(folder / f"bad/{i:05d}.jpg"), "cannot be read", "file") for i in range(n)]
            scan._keep([], hidden + unread)
            count = 0

            def step() -> int:
                nonlocal count
                count += 1
                return 0

            connection.set_progress_handler(step, 1000)
            scan.run(Pace(None))
            connection.set_progress_handler(None, 0)
            found = connection.execute("SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM away)").fetchone()
            assert found[0] == n
    return count


def test_a_walk_is_compared_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (steps(tmp_path, n, monkeypatch) for n in (500, 2000))
    assert many < 6 * few, "four times as many took about four times as long, not sixteen"

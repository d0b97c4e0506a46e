"""Killed at any instant, a full disk, damaged files: what was committed is there, and the next `add` goes on."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection, segments
from lookalike.collection.catalog.file import CATALOG
from lookalike.collection.catalog.schema import APPLICATION_ID, SCHEMA_VERSION
from lookalike.collection.take_in import commit
from lookalike.errors import (
    CollectionError,
    CollectionNotFoundError,
    LookalikeError,
    LookalikeWarning,
    VersionError,
)
from tests.collection.fake import CARD, FakeEmbedder, pictures

ROOT = Path(__file__).parents[2]


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.collection.worker", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def check_whole(collection: Collection) -> set[Path]:
    """Everything the catalogue lists can be searched, and says what it is."""
    assert collection.verify() == []
    paths = set()
    for entry in collection.entries(limit=10_000):
        hits = collection.search(entry.path, k=3)
        assert entry.id in {hit.id for hit in hits if hit.cosine > 0.9999}
        paths.add(entry.path)
    return paths


@pytest.mark.parametrize("seed", range(6))
def test_killed_while_adding(collection: Collection, folder: Path, embedder: FakeEmbedder, seed: int) -> None:
    paths = pictures(folder, 60)
    moment = random.Random(seed)
    before: set[Path] = set()
    for _ in range(3):
        process = start("add", collection.path, folder, 0.004, 3)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moment.uniform(0, 0.25))
        process.kill()
        process.communicate()
        with Collection.open(collection.path) as again:
            now = check_whole(again)
        assert now >= before
        before = now
    report = collection.add(folder)
    assert (report.new, report.unchanged, report.removed, report.skipped) == (60 - len(before), len(before), 0, ())
    assert set(embedder.decoded) == set(paths) - before
    assert check_whole(collection) == set(paths)
    on_disk = {file.name for file in (collection.path / "features").iterdir()}
    with contextlib.closing(sqlite3.connect(collection.path / CATALOG)) as connection:
        assert on_disk == {row[0] for row in connection.execute("SELECT file FROM segments")}


@pytest.mark.parametrize("point", ["write_segment", "COMMIT", "between"])
def test_stopped_at_each_step_of_a_commit(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    pictures(folder, 12)
    monkeypatch.setattr(commit, "COMMIT_FILES", 4)

    class Stopped(BaseException):
        pass

    calls = 0
    inner = commit.write_segment

    def write(*arguments: object) -> str:
        nonlocal calls
        calls += 1
        if calls == 2 and point == "write_segment":
            raise Stopped
        result = inner(*arguments)  # type: ignore[arg-type]
        if calls == 2 and point == "between":
            raise Stopped
        return result

    def bump(connection: sqlite3.Connection) -> None:
        if calls == 2 and point == "COMMIT":
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(commit, "write_segment", write)
        patch.setattr(commit, "bump", bump)
        patch.setattr(commit.Commits, "flush", _once_only(commit.Commits.flush, Stopped))
        with pytest.raises(Stopped):
            collection.add(folder)
    with Collection.open(collection.path) as again:
        assert len(check_whole(again)) == 4
        assert again.add(folder).indexed == 12
        assert len(check_whole(again)) == 12


def _once_only(flush: object, stopped: type[BaseException]) -> object:
    """A process that died does not flush again."""
    dead: list[bool] = []

    def wrapped(self: object) -> None:
        if dead:
            return
        try:
            flush(self)  # type: ignore[operator]
        except stopped:
            dead.append(True)
            raise

    return wrapped


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
@pytest.mark.parametrize("limit", [0, 4096, 30_000, 60_000, 100_000])
def test_full_disk(collection: Collection, folder: Path, limit: int) -> None:
    pictures(folder, 10)
    collection.add(folder)
    pictures(folder, 60, first=100)
    process = start("full", collection.path, folder, limit)
    out, err = process.communicate()
    assert process.returncode == 7, err
    assert out.count("\n") == 1
    with Collection.open(collection.path) as again:
        assert len(check_whole(again)) >= 10
    assert collection.add(folder).indexed == 70
    assert len(check_whole(collection)) == 70


# --- damaged files ----------------------------------------------------------------------------------------------------


def flip(file: Path, at: int, bits: int = 0xFF) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= bits
    file.write_bytes(data)


def segment_of(collection: Collection) -> Path:
    (file,) = (collection.path / "features").iterdir()
    return file


def test_flipped_bit_in_a_segment(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    paths = pictures(folder, 5)
    collection.add(folder)
    ids = collection.ids().tolist()
    flip(segment_of(collection), -700, 0x01)
    with Collection.open(collection.path) as damaged:
        (problem,) = damaged.verify()
        assert "checksum" in problem and "5 pictures" in problem
        with pytest.warns(LookalikeWarning, match="5 pictures are hidden"):  # before it answers
            assert damaged.search(np.ones(CARD.d), k=5) == []
    embedder.decoded.clear()
    report = collection.add(folder)
    assert set(embedder.decoded) == set(paths)
    assert (report.indexed, report.removed, report.missing) == (5, 0, 0)
    assert collection.ids().tolist() == ids
    assert len(check_whole(collection)) == 5


@pytest.mark.parametrize("damage", ["cut", "deleted", "header", "empty", "foreign"])
def test_unusable_segment(
    collection: Collection, folder: Path, tmp_path: Path, embedder: FakeEmbedder, damage: str
) -> None:
    first = pictures(folder, 5)
    collection.add(folder)
    lost = segment_of(collection)
    more = pictures(tmp_path / "more", 5, first=50)
    collection.add(tmp_path / "more")
    if damage == "cut":
        lost.write_bytes(lost.read_bytes()[:-1000])
    elif damage == "deleted":
        lost.unlink()
    elif damage == "header":
        flip(lost, 20)
    elif damage == "empty":
        lost.write_bytes(b"")
    else:
        lost.write_bytes(b"\xff" * 10_000)
    with Collection.open(collection.path) as damaged:
        assert damaged.verify()
        with pytest.warns(LookalikeWarning, match="5 pictures are hidden"):
            hits = damaged.search(more[0], k=100)
        assert {hit.path for hit in hits} == set(more)
    report = collection.add(tmp_path / "more")  # repairs the pictures of the other folder too
    assert report.removed == report.missing == 0
    assert check_whole(collection) == {*first, *more}


def test_damage_of_an_unplugged_disk_waits_for_it(collection: Collection, folder: Path, tmp_path: Path) -> None:
    paths = pictures(folder, 5)
    collection.add(folder)
    flip(segment_of(collection), -700, 0x01)
    folder.rename(tmp_path / "unplugged")
    assert collection.add(folder).missing == 5
    (tmp_path / "unplugged").rename(folder)
    assert collection.add(folder).indexed == 5
    assert check_whole(collection) == set(paths)


def test_not_a_number_in_a_damaged_segment_is_similar_to_nothing(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "READ_UP_TO", 0)  # a large one, which is mapped
    paths = pictures(folder, 5)
    collection.add(folder)
    file = segment_of(collection)
    data = bytearray(file.read_bytes())
    data[-2560:] = b"\xff" * 2560
    file.write_bytes(data)
    with Collection.open(collection.path) as damaged:
        hits = damaged.search(paths[0], k=5)
    assert hits[0].path == paths[0]
    assert len(hits) == 5
    assert all(np.isfinite(hit.cosine) for hit in hits)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an SQLite file"),
        (b"hello", "not an SQLite file"),
        (b"\0" * 5000, "not an SQLite file"),
        (b"SQLite format 3\0" + b"\0" * 4080, "not a catalogue of lookalike"),
    ],
)
def test_foreign_catalogue_is_refused_and_left_alone(collection: Collection, content: bytes, message: str) -> None:
    collection.close()
    file = collection.path / CATALOG
    file.write_bytes(content)
    before = sorted(path.name for path in collection.path.iterdir())
    with pytest.raises(CollectionError, match=message):
        Collection.open(collection.path)
    assert file.read_bytes() == content
    assert sorted(path.name for path in collection.path.iterdir()) == before


def test_sqlite_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / CATALOG)) as connection, connection:
        connection.execute("CREATE TABLE other (x)")
    content = (tmp_path / CATALOG).read_bytes()
    with pytest.raises(CollectionError, match="not a catalogue of lookalike"):
        Collection.open(tmp_path)
    assert (tmp_path / CATALOG).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [CATALOG]


@pytest.mark.parametrize("seed", range(12))
def test_damaged_catalogue_gives_clear_errors(collection: Collection, folder: Path, seed: int) -> None:
    paths = pictures(folder, 30)
    collection.add(folder)
    collection.close()
    file = collection.path / CATALOG
    data = bytearray(file.read_bytes())
    rng = random.Random(seed)
    if seed % 3 == 0:
        del data[rng.randrange(200, len(data)) :]
    else:
        for _ in range(60):
            at = rng.randrange(100, len(data))
            data[at : at + 40] = rng.randbytes(min(40, len(data) - at))
    file.write_bytes(data)
    for use in (
        lambda c: c.search(paths[0], k=100),
        lambda c: c.status(),
        lambda c: c.verify(),
        lambda c: c.entries(),
        lambda c: c.add(folder),
    ):
        try:
            with Collection.open(collection.path) as damaged:
                use(damaged)
        except LookalikeError as error:
            assert "\n" not in str(error)


def test_newer_catalogue_is_refused(collection: Collection) -> None:
    collection.close()
    with contextlib.closing(sqlite3.connect(collection.path / CATALOG)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(VersionError, match="newer lookalike"):
        Collection.open(collection.path)


def test_application_id_is_lkal() -> None:
    assert APPLICATION_ID.to_bytes(4, "big") == b"lkal"


def test_missing_and_foreign_folders(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="there is no collection at"):
        Collection.open(tmp_path / "nowhere")
    with pytest.raises(CollectionNotFoundError, match="has no catalog"):
        Collection.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(CollectionError, match="not a collection but a file"):
        Collection.open(tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_create_refuses_what_is_there(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="already"):
        Collection.create(collection.path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("x")
    with pytest.raises(CollectionError, match="not empty"):
        Collection.create(tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]
    with pytest.raises(CollectionError):
        Collection.create(tmp_path / "full" / "letter.txt")


def test_create_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lookalike.collection.stored.create_catalog", killed)
        with pytest.raises(KeyboardInterrupt):
            Collection.create(tmp_path / "c")
    (tmp_path / "c" / ".catalog.sqlite.1.part").write_bytes(b"half")
    with pytest.raises(CollectionNotFoundError):
        Collection.open(tmp_path / "c")
    with Collection.create(tmp_path / "c") as made:
        assert len(made) == 0


def test_collection_can_be_copied(collection: Collection, folder: Path, tmp_path: Path) -> None:
    paths = pictures(folder, 5)
    collection.add(folder)
    collection.close()
    shutil.copytree(collection.path, tmp_path / "copy")
    with Collection.open(tmp_path / "copy") as copy:
        assert check_whole(copy) == set(paths)

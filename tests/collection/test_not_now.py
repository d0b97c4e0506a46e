"""Whatever the system refuses, and whenever a disk goes away and comes back: nothing is forgotten or called damaged."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike.collection import Collection, Progress
from lookalike.collection.take_in.scan import Scan
from lookalike.errors import CollectionError, UnreadableNowError
from lookalike.features import _source, reading
from tests.collection.fake import FakeEmbedder, picture, pictures

NUMBERS = [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM, errno.EACCES, errno.ENOTCONN]


def everything(collection: Collection) -> dict[int, tuple[Path, int]]:
    """Every entry, hidden or not, and its feature."""
    with collection._catalog.read() as connection:
        rows = connection.execute("SELECT id, path, feature FROM entries").fetchall()
    return {number: (Path(os.fsdecode(path)), feature) for number, path, feature in rows}


def undecodable(collection: Collection) -> list[str]:
    """Reasons of the files that are not tried again until they change."""
    with collection._catalog.read() as connection:
        return [reason for (reason,) in connection.execute("SELECT reason FROM skipped WHERE reader IS NOT NULL")]


class Faults:
    """Lets one call of the system fail, counted from the beginning of an `add`."""

    def __init__(self, patch: pytest.MonkeyPatch, pictures: Path, written: Path) -> None:
        self.calls, self.fails_at, self.number = 0, -1, errno.EIO
        self.failed = ""
        self._pictures, self._written = str(pictures), str(written)
        faults = self

        class Disk(io.FileIO):
            def readinto(self, buffer: Any, /) -> int | None:
                faults.count("read", self.name)
                return super().readinto(buffer)

        class Raw(_source._Raw, Disk):
            """`_Raw` above such a disk."""

        patch.setattr(_source, "_Raw", Raw)
        for name in ("open", "stat", "scandir", "replace", "fstat", "fsync"):
            patch.setattr(os, name, self._failing(name, getattr(os, name)))
        patch.setattr(io, "open", self._failing("io.open", io.open))

    def count(self, name: str, target: Any) -> None:
        where = os.fsdecode(target) if isinstance(target, str | bytes | os.PathLike) else self._pictures
        is_written = where.startswith(self._written) and (name == "replace" or where.endswith(".part"))
        if not is_written and not where.startswith(self._pictures):
            return
        self.calls += 1
        if self.calls - 1 == self.fails_at:
            self.failed = f"{name} of {target}"
            raise OSError(self.number, os.strerror(self.number), target)

    def _failing(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *more: Any, **named: Any) -> Any:
            self.count(name, target)
            return real(target, *more, **named)

        return call


@pytest.mark.parametrize("large", [False, True])
def test_every_call_fails_once(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """Files change and come, one call fails in the middle: all that was known is still known, and the next run sees the rest."""
    if large:
        monkeypatch.setattr(reading, "SMALL", -1)
    paths = pictures(folder, 6)
    collection.add(folder)
    seed, at, was_cut_short = 100, 0, 0
    while True:
        picture(paths[1], seed)  # one changes, one is touched, one comes
        os.utime(paths[2], ns=(seed, seed))
        paths.append(picture(folder / f"new{seed}.jpg", seed + 1))
        before = everything(collection)
        with monkeypatch.context() as patch:
            faults = Faults(patch, folder, collection.path)
            faults.fails_at, faults.number = at, NUMBERS[at % len(NUMBERS)]
            try:
                collection.add(folder)
            except CollectionError:
                was_cut_short += 1
            finally:
                faults.fails_at = -1
        after = everything(collection)
        assert before.keys() <= after.keys(), faults.failed
        assert {number: after[number][0] for number in before} == {n: path for n, (path, _) in before.items()}
        assert undecodable(collection) == [], faults.failed
        report = collection.add(folder)
        assert (report.indexed, report.missing, report.skipped) == (len(paths), 0, ()), faults.failed
        for path in (paths[0], paths[1], paths[-1]):
            hit = collection.search(path.read_bytes(), k=1)[0]
            assert (hit.path, hit.cosine) == (path, pytest.approx(1, abs=1e-5)), faults.failed
        if not faults.failed:
            break
        paths.pop().unlink()
        assert collection.add(folder).removed == 1
        seed, at = seed + 2, at + 1
    assert was_cut_short < at  # some calls only cost their file
    assert at > 20


@pytest.mark.parametrize("back_after", [1, 4, None])
def test_a_mount_that_vanishes_at_each_step(
    collection: Collection,
    folder: Path,
    embedder: FakeEmbedder,
    monkeypatch: pytest.MonkeyPatch,
    back_after: int | None,
) -> None:
    """The folder is renamed away at every step of an `add`, and comes back some steps later or not at all."""
    away = folder.parent / "away"
    paths = [*pictures(folder, 4), *pictures(folder / "deeper", 4, first=10)]
    collection.add(folder)
    steps, vanishes_at, is_on = 0, -1, False

    def step() -> None:
        nonlocal steps
        if not is_on:
            return
        if steps == vanishes_at:
            folder.rename(away)
        elif back_after is not None and away.exists() and steps == vanishes_at + back_after:
            away.rename(folder)
        steps += 1

    def before(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            step()
            return real(*values)

        return call

    monkeypatch.setattr(os, "scandir", before(os.scandir))
    monkeypatch.setattr(_source, "open_file", before(_source.open_file))
    monkeypatch.setattr(reading, "open_file", before(reading.open_file))
    monkeypatch.setattr(embedder, "_one", before(embedder._one))
    monkeypatch.setattr(Scan, "settle", before(Scan.settle))
    seed = 100
    while True:
        picture(paths[1], seed)
        picture(paths[5], seed + 1)
        known = everything(collection)
        steps, vanishes_at, is_on = 0, vanishes_at + 1, True
        report = collection.add(folder)
        is_on = False
        assert {n: path for n, (path, _) in everything(collection).items()} == {
            n: path for n, (path, _) in known.items()
        }
        assert (report.removed, undecodable(collection)) == (0, [])
        was_gone, vanished = away.exists(), steps > vanishes_at
        if was_gone:
            assert (len(collection), report.missing) == (0, 8)  # the whole folder is hidden
            assert [root["missing"] for root in collection.status()["roots"]] == [True]
            away.rename(folder)
        report = collection.add(folder)
        assert (report.indexed, report.missing, report.removed, report.skipped) == (8, 0, 0, ())
        for path in paths:
            assert collection.search(path.read_bytes(), k=1)[0].path == path
        if not vanished:
            break
        seed += 2
    assert vanishes_at > 5


@pytest.fixture
def failing(embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Pictures that the decoder cannot get at, for a reason of the system's."""
    named: list[Path] = []
    one = embedder._one

    def fail(source: Any) -> Any:
        if embedder.decoded[-1] in named:
            raise UnreadableNowError("the decoder was stopped")
        return one(source)

    monkeypatch.setattr(embedder, "_one", fail)
    yield named


def test_a_decoder_that_is_stopped_is_tried_twice_and_then_next_time(
    collection: Collection, folder: Path, embedder: FakeEmbedder, failing: list[Path]
) -> None:
    paths = pictures(folder, 10)
    picture(folder / "copy.jpg", 3)
    collection.add(folder)
    picture(paths[3], 77)
    failing.append(paths[3])
    embedder.decoded.clear()
    report = collection.add(folder)
    assert embedder.decoded == [paths[3], paths[3]]
    assert (report.unchanged, report.missing, report.removed) == (10, 0, 0)  # its file is there: it stays to be seen
    assert [(skip.path, skip.reason) for skip in report.skipped] == [(paths[3], "the decoder was stopped")]
    assert undecodable(collection) == []
    failing.clear()
    report = collection.add(folder)
    assert (report.changed, report.skipped) == (1, ())


def test_all_files_of_contents_that_could_not_be_decoded_wait(
    collection: Collection, folder: Path, embedder: FakeEmbedder, failing: list[Path]
) -> None:
    first, second = picture(folder / "a.jpg", 1), picture(folder / "b.jpg", 1)
    failing.append(first)
    report = collection.add(folder)
    assert (report.new, report.skipped) == (2, ())  # its copy was decoded, so in the second pass the contents are known
    failing.clear()
    assert collection.add(folder).indexed == 2
    assert collection.search(second, k=2)[0].cosine == pytest.approx(1, abs=1e-5)


def test_one_file_that_vanishes_is_not_its_folder(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 10)
    collection.add(folder)
    os.utime(paths[4], ns=(1, 1))

    def vanish(progress: Progress) -> None:
        if progress.phase == "embedding":
            paths[4].unlink(missing_ok=True)

    report = collection.add(folder, progress=vanish)
    assert (report.unchanged, report.missing, report.removed) == (9, 1, 0)
    assert [skip.reason for skip in report.skipped] == ["vanished while being indexed"]
    assert not collection.status()["roots"][0]["missing"]


def test_folder_that_cannot_be_examined_is_not_pruned(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(folder, 4)
    collection.add(folder)
    stat = os.stat

    def refuse(path: Any, **named: Any) -> os.stat_result:
        if not isinstance(path, int) and os.fsdecode(path).startswith(str(folder)):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), path)
        return stat(path, **named)

    for chosen in ([folder], []):
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", refuse)
            report = collection.add(*chosen, prune=True)
        assert (report.removed, report.missing, len(collection)) == (0, 4, 0)
        assert [root["missing"] for root in collection.status()["roots"]] == [True]
        assert collection.add(folder).unchanged == 4


def test_disk_in_a_folder_that_is_unplugged(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk mounted in the folder holds less than a fifth of it: its device says that it is not merely a few files deleted."""
    disk = folder / "disk"
    pictures(folder, 20)
    on_disk = pictures(disk, 2, first=50)
    as_disk = [41]
    real = reading.stamp_of

    def stamp_of(status: os.stat_result) -> Any:
        stamp = real(status)
        return stamp._replace(device=as_disk[0]) if status.st_ino in numbers else stamp

    numbers = {path.stat().st_ino for path in (disk, *on_disk)}
    for module in ("features.reading", "data.walk", "collection.take_in.elsewhere"):
        monkeypatch.setattr(sys.modules[f"lookalike.{module}"], "stamp_of", stamp_of)
    collection.add(folder)
    assert [collection.entry(collection.find(path) or 0).device for path in on_disk] == [41, 41]
    aside = folder.parent / "aside"
    disk.rename(aside)
    disk.mkdir()  # the mount point
    report = collection.add(folder)
    assert (report.unchanged, report.missing, report.removed) == (20, 2, 0)
    disk.rmdir()
    aside.rename(disk)
    as_disk[0] = 42  # plugged in again it has another number
    embedder.decoded.clear()
    assert collection.add(folder).unchanged == 22
    assert embedder.decoded == []
    on_disk[0].unlink()  # and while it is there, a file that is deleted is gone
    report = collection.add(folder)
    assert (report.unchanged, report.missing, report.removed) == (21, 0, 1)
    disk.rename(aside)
    assert collection.add(folder, prune=True).removed == 1

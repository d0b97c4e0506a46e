"""A file is read once: what is hashed is what is decoded, and what is recorded is what its open handle said."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from lookalike.collection import Collection, Progress
from lookalike.errors import UnreadableNowError
from lookalike.features import _source, reading
from lookalike.features.reading import Reader
from tests.collection.fake import FakeEmbedder, picture, pictures


@pytest.fixture(params=["as bytes", "as an open file"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small files are read into memory; with this, all are taken for large."""
    if request.param != "as bytes":
        monkeypatch.setattr(reading, "SMALL", -1)
    return str(request.param)


def test_overwritten_between_hash_and_decode(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch, either: str
) -> None:
    paths = pictures(folder, 3)
    old = picture(folder.parent / "old.jpg", 1)
    new = picture(folder.parent / "new.jpg", 77)
    one = embedder._one

    def overwritten(source: Any) -> Any:
        if embedder.decoded[-1] == paths[1] and paths[1].read_bytes() != new.read_bytes():
            paths[1].write_bytes(new.read_bytes())
        return one(source)

    monkeypatch.setattr(embedder, "_one", overwritten)
    report = collection.add(folder)
    assert (report.new, report.skipped) == (3, ())
    monkeypatch.setattr(embedder, "_one", one)
    if either == "as bytes":  # what was read was indexed, and its stamp is not that of the file by now
        assert collection.search(collection.find(paths[1]), k=1)[0].cosine < 0.999
        assert collection.search(old.read_bytes(), k=1)[0].cosine == pytest.approx(1, abs=1e-5)
        assert collection.add(folder).changed == 1
    hit = collection.search(new.read_bytes(), k=1)[0]
    assert (hit.path, hit.cosine) == (paths[1], pytest.approx(1, abs=1e-5))
    # Contents that were seen before are not decoded again: what is stored under them has to be of them.
    picture(folder / "back.jpg", 1)
    collection.add(folder)
    hit = collection.search(old.read_bytes(), k=1)[0]
    assert (hit.path.name, hit.cosine) == ("back.jpg", pytest.approx(1, abs=1e-5))


def test_overwritten_between_walk_and_read(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    paths = pictures(folder, 3)

    def overwrite(progress: Progress) -> None:
        if progress.phase == "embedding" and progress.done == 0:
            picture(paths[1], 77)
            os.utime(paths[1], ns=(5, 123_456_789))

    collection.add(folder, progress=overwrite)
    entry = collection.entry(2)
    assert (entry.size, entry.mtime_ns) == (paths[1].stat().st_size, 123_456_789)
    embedder.decoded.clear()
    assert collection.add(folder).unchanged == 3
    assert embedder.decoded == []


def test_a_file_that_keeps_changing_is_left_for_the_next_run(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch, either: str
) -> None:
    paths = pictures(folder, 3)
    collection.add(folder)
    picture(paths[1], 77)
    embedder.decoded.clear()
    read = _source.Handle.read

    def growing(self: _source.Handle, n: int | None = -1, /) -> bytes:
        with paths[1].open("ab") as file:
            file.write(b"more")
        return read(self, n)

    with monkeypatch.context() as patch:
        patch.setattr(_source.Handle, "read", growing)
        report = collection.add(folder)
    assert (report.unchanged, report.changed, report.removed, report.missing) == (2, 0, 0, 0)
    assert [(skip.path, skip.reason) for skip in report.skipped] == [
        (paths[1], "is being changed; it is read again next time")
    ]
    assert embedder.decoded == []
    assert len(collection) == 3  # the entry stays, with what it was
    report = collection.add(folder)
    assert (report.unchanged, report.changed, report.skipped) == (2, 1, ())


def test_a_file_that_changes_once_is_read_again_in_the_same_run(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch, either: str
) -> None:
    paths = pictures(folder, 3)
    read, done = _source.Handle.read, []

    def once(self: _source.Handle, n: int | None = -1, /) -> bytes:
        if not done:
            done.append(picture(paths[0], 77))
        return read(self, n)

    monkeypatch.setattr(_source.Handle, "read", once)
    report = collection.add(folder)
    assert (report.new, report.skipped) == (3, ())
    assert collection.search(picture(folder.parent / "q.jpg", 77), k=1)[0].path == paths[0]


@pytest.mark.parametrize("whole_seconds", [False, True])
def test_a_change_within_the_tick_of_the_clock_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_seconds: bool
) -> None:
    """Size and time of two writes can be equal where the clock of files stands still: reading waits until it has gone on."""
    path = picture(tmp_path / "a.jpg", 1)
    now = time.time_ns()
    stamped = now // 10**9 * 10**9 if whole_seconds else (now | 1) - 1000
    os.utime(path, ns=(stamped, stamped))
    slept: list[float] = []
    monkeypatch.setattr(reading.time, "sleep", slept.append)
    monkeypatch.setattr(reading.time, "time_ns", lambda: now + sum(round(s * 1e9) + 1 for s in slept))
    Reader().read(path)
    tick = 2_000_000_000 if whole_seconds else 20_000_000
    assert round(sum(slept) * 1e9) == pytest.approx(stamped + tick - now, abs=1000)
    slept.clear()
    os.utime(path, ns=(now - 3 * 10**9, now - 3 * 10**9))
    Reader().read(path)
    assert slept == []


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = pictures(tmp_path, 10)
    size = max(path.stat().st_size for path in paths)
    monkeypatch.setattr(reading, "SMALL", size)
    monkeypatch.setattr(reading, "HELD", 4 * size)
    reader = Reader()
    contents = [reader.read(path) for path in paths]
    held = sum(len(content.source) for content in contents if isinstance(content.source, bytes))
    assert 3 * size < held <= 4 * size
    handles = [content.source for content in contents if not isinstance(content.source, bytes)]
    assert handles and not any(handle.closed for handle in handles)
    assert [content.digest() for content in contents] == [Reader().read(path).digest() for path in paths]
    for content in contents[:5]:
        reader.release(content)
        reader.release(content)
    assert isinstance(reader.read(paths[0]).source, bytes)
    reader.close()
    assert all(handle.closed for handle in handles)
    assert reader._bytes == 0


def test_a_large_file_that_is_cut_while_it_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SMALL", -1)
    path = picture(tmp_path / "a.jpg", 1)
    reader = Reader()
    content = reader.read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UnreadableNowError, match="being changed"):
        content.digest()
    reader.close()

"""Any time and size that a file system reports is taken; what is not a number at all costs that one file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lookalike.app.service import describe
from lookalike.collection import Collection
from lookalike.collection.catalog.filters import Filter
from lookalike.data.stamp import stamp_of
from tests.collection.fake import FakeEmbedder, picture, pictures

SECOND = 10**9
ODD = {  # nanoseconds since 1970
    "2262 and a bit": 2**63,
    "2300": 10_413_792_000 * SECOND,
    "2446, the last that ext4 has": 15_032_385_535 * SECOND,
    "before 1970": -86_400 * SECOND,
    "1901": -(2**31) * SECOND,
    "before 1677": -(2**63) - SECOND,
    "the last second of all": (2**63 - 1) * SECOND,
    "the first second of all": -(2**63) * SECOND,
}


def report_as(patch: pytest.MonkeyPatch, odd: dict[Path, dict[str, int]]) -> None:
    """Let the system say what is said here, by path, by directory entry and by descriptor."""
    by_inode = {path.stat().st_ino: values for path, values in odd.items()}
    modules = ["lookalike.data.walk", "lookalike.features.reading", "lookalike.search.lookup"]
    modules += ["lookalike.collection.take_in.elsewhere"]

    class Status:
        def __init__(self, real: os.stat_result, values: dict[str, int]) -> None:
            self._real, self._values = real, values

        def __getattr__(self, name: str) -> Any:
            return self._values.get(name, getattr(self._real, name))

    def odd_stamp(status: os.stat_result) -> Any:
        return stamp_of(Status(status, by_inode.get(status.st_ino, {})))  # type: ignore[arg-type]

    for name in modules:
        patch.setattr(sys.modules[name], "stamp_of", odd_stamp)


def test_odd_times_of_real_files(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    """As far as the file system that the tests run on has them."""
    paths = pictures(folder, 3)
    taken = 0
    for number, (name, mtime_ns) in enumerate(ODD.items(), 10):
        path = picture(folder / f"{name}.jpg", number)
        paths.append(path)
        try:
            os.utime(path, ns=(mtime_ns, mtime_ns))
        except (OverflowError, OSError):
            continue
        taken += path.stat().st_mtime_ns == mtime_ns
    assert taken >= 2
    assert collection.add(folder).new == len(paths)
    embedder.decoded.clear()
    assert collection.add(folder).unchanged == len(paths)
    assert embedder.decoded == []


def test_odd_times_and_sizes(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pictures(folder, len(ODD) + 2)
    odd: dict[Path, dict[str, int]] = {
        path: {"st_mtime_ns": value} for path, value in zip(paths, ODD.values(), strict=False)
    }
    with monkeypatch.context() as patch:
        report_as(patch, odd)
        report = collection.add(folder)
        assert (report.new, report.skipped) == (len(paths), ())
        embedder.decoded.clear()
        assert collection.add(folder).unchanged == len(paths)
        assert embedder.decoded == []
        for path in paths:
            assert collection.search(path, k=1)[0].path == path
        assert embedder.decoded == []  # what is stored is known to be current
        for id in collection.ids():
            describe(collection.entry(int(id)))
    with monkeypatch.context() as patch:  # one second later, each of them
        for values in odd.values():
            values["st_mtime_ns"] += SECOND
        report_as(patch, odd)
        for path in odd:
            picture(path, 500 + paths.index(path))
        report = collection.add(folder)
        assert (report.changed, report.unchanged) == (len(odd), 2)
    late = {paths.index(path) + 1 for path, name in zip(paths, ODD, strict=False) if ODD[name] > 2**62}
    assert set(collection.matching(Filter(after="2261-01-01")).tolist()) == late


def test_a_size_that_is_none_costs_that_file(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pictures(folder, 3)
    with monkeypatch.context() as patch:
        report_as(patch, {paths[1]: {"st_size": 2**64}})
        report = collection.add(folder)
    assert (report.new, [skip.path for skip in report.skipped]) == (2, [paths[1]])
    assert "too large" in report.skipped[0].reason
    assert collection.add(folder).new == 1


def test_what_python_cannot_hold_costs_that_file(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(folder, 3)
    scandir = os.scandir

    class Entry:
        def __init__(self, real: os.DirEntry[str]) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def stat(self) -> os.stat_result:
            if self._real.name == "0001.jpg":
                raise OverflowError("timestamp out of range for platform time_t")
            return self._real.stat()

    class Listing(list[Any]):
        def __enter__(self) -> Listing:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", lambda path: Listing(map(Entry, scandir(path))))  # type: ignore[arg-type]
        report = collection.add(folder)
    assert (report.new, len(report.skipped)) == (2, 1)
    assert collection.add(folder).new == 1

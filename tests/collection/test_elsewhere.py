"""Folders that were renamed, and files that are gone from folders that nobody asked for: no dead path comes first."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.collection.take_in.commit import Commits
from lookalike.search.find import Wanted
from tests.collection.fake import FakeEmbedder, picture, pictures


def test_renamed_folder_that_is_indexed_under_its_new_name(
    collection: Collection, tmp_path: Path, embedder: FakeEmbedder
) -> None:
    trip, holiday = tmp_path / "Trip", tmp_path / "Holiday"
    pictures(trip, 4)
    pictures(trip / "beach", 4, first=10)
    collection.add(trip)
    ids = collection.ids().tolist()
    collection.mark_duplicates([2], "keep")
    trip.rename(holiday)
    embedder.decoded.clear()
    report = collection.add(holiday)
    assert (report.moved, report.new, report.missing, report.removed) == (8, 0, 0, 0)
    assert embedder.decoded == []
    assert collection.ids().tolist() == ids  # the same files, by device and inode
    assert {entry.root for entry in collection.entries()} == {holiday}
    assert collection.labels() == {"": 4, "beach": 4}
    hit = collection.search(holiday / "0002.jpg", k=1)[0]
    assert (hit.path, hit.missing) == (holiday / "0002.jpg", False)
    assert [Path(root["path"]) for root in collection.status()["roots"]] == [holiday]  # nothing is left of the other
    assert collection.add().unchanged == 8


def test_copied_folder_whose_original_is_gone(collection: Collection, tmp_path: Path, embedder: FakeEmbedder) -> None:
    """A copy on another disk is not the same file: the entries of the first stay, hidden, until it is plugged in again."""
    trip, holiday = tmp_path / "Trip", tmp_path / "Holiday"
    paths = pictures(trip, 4)
    collection.add(trip)
    shutil.copytree(trip, holiday)
    trip.rename(tmp_path / "unplugged")
    report = collection.add(holiday)
    assert (report.new, report.moved) == (4, 0)
    assert (len(collection), collection.status()["missing"]) == (4, 4)
    for path in paths:
        hit = collection.search(holiday / path.name, k=1)[0]
        assert (hit.path, hit.missing) == (holiday / path.name, False)
    (tmp_path / "unplugged").rename(trip)
    assert collection.add(holiday).unchanged == 4  # they are back, though nobody asked for their folder
    assert (len(collection), collection.status()["missing"]) == (8, 0)
    assert not any(root["missing"] for root in collection.status()["roots"])


def test_the_same_number_on_another_disk_is_not_a_move(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk is unplugged, and another one with the same files gets its number: its mount point tells that it was not renamed."""
    trip, holiday = tmp_path / "Trip", tmp_path / "Holiday"
    pictures(trip, 4)
    collection.add(trip)
    trip.rename(holiday)
    monkeypatch.setattr("lookalike.collection.take_in.commit.Places.device", lambda *_: 1)
    report = collection.add(holiday)
    assert (report.new, report.moved, collection.status()["missing"]) == (4, 0, 4)


def test_folder_inside_that_was_moved_to_another_one(collection: Collection, tmp_path: Path) -> None:
    """The folder that holds it is still there; one file of each folder in it is looked at."""
    all_of_them, other = tmp_path / "all", tmp_path / "other"
    pictures(all_of_them / "trip", 3)
    pictures(all_of_them / "home", 3, first=10)
    collection.add(all_of_them)
    shutil.copytree(all_of_them / "trip", other)
    shutil.rmtree(all_of_them / "trip")
    report = collection.add(other)
    assert (report.new, len(collection), collection.status()["missing"]) == (3, 6, 3)
    assert collection.search(other / "0001.jpg", k=1)[0].path == other / "0001.jpg"


def test_one_file_that_was_moved_by_copying(collection: Collection, tmp_path: Path) -> None:
    trip, other = tmp_path / "trip", tmp_path / "other"
    paths = pictures(trip, 6)
    collection.add(trip)
    other.mkdir()
    shutil.copy(paths[3], other / "a.jpg")
    paths[3].unlink()
    collection.add(other)
    hits = collection.search(other / "a.jpg", k=2)
    assert hits[0].path == other / "a.jpg"
    assert hits[1].similarity < 99
    assert collection.status()["missing"] == 1


def test_looking_elsewhere_asks_the_disk_once_for_each_folder(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "a" / "one", 20)
    pictures(tmp_path / "a" / "two", 20, first=20)
    pictures(tmp_path / "b", 2, first=50)
    collection.add(tmp_path / "a", tmp_path / "b")
    asked: list[str] = []
    stat = os.stat

    def counted(path: object, **named: bool) -> os.stat_result:
        asked.append(os.fsdecode(path))  # type: ignore[arg-type]
        return stat(path, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("os.stat", counted)
        assert collection.add(tmp_path / "b").unchanged == 2
    assert (
        len([path for path in asked if path.startswith(str(tmp_path / "a") + os.sep) and ".lookalike" not in path]) == 2
    )


def test_single_files_elsewhere(collection: Collection, tmp_path: Path) -> None:
    paths = pictures(tmp_path / "a", 3)
    collection.add(*paths)
    paths[1].unlink()
    picture(tmp_path / "b" / "b.jpg", 9)
    collection.add(tmp_path / "b")
    assert [entry.path for entry in collection.entries()] == [paths[0], paths[2], tmp_path / "b" / "b.jpg"]


def test_a_result_whose_file_is_gone_says_so_and_comes_after_its_equals(collection: Collection, folder: Path) -> None:
    first, second = picture(folder / "a.jpg", 1), picture(folder / "b.jpg", 1)
    other = picture(folder / "c.jpg", 2)
    collection.add(folder)
    query = first.read_bytes()
    assert [(hit.path, hit.missing) for hit in collection.search(query, k=3)] == [
        (first, False), (second, False), (other, False),
    ]  # fmt: skip
    assert "missing" not in collection.search(query, k=1)[0].to_json()
    first.unlink()
    hits = collection.search(query, k=3)
    assert [(hit.path, hit.missing) for hit in hits] == [(second, False), (first, True), (other, False)]
    assert hits[1].to_json()["missing"] is True
    vector = collection.vectors([query])[0]
    for fold in (False, True):
        found, _, _ = collection.results(vector, Wanted(k=3, fold=fold))
        assert (found[0].hit.path, found[0].hit.missing, found[0].entry.missing) == (second, False, False)
        rest = [each for group in found for each in (group, *group.same)][1:]
        assert [(each.hit.path, each.hit.missing) for each in rest] == [(first, True), (other, False)]
    second.unlink()
    assert [hit.missing for hit in collection.search(query, k=3)] == [True, True, False]


def test_vectors_without_files_are_not_gone(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "mine") as collection:
        collection.add_vectors(np.eye(3), paths=["a.jpg", "b.jpg", "c.jpg"], model="mine")
        assert not any(hit.missing for hit in collection.search(np.ones(3), k=3))


def test_many_equal_files_do_not_take_the_square_of_their_number(
    tmp_path: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in SQLite's own steps: twice the files, about twice the steps."""

    def steps(count: int) -> int:
        folder = tmp_path / str(count)
        data = picture(folder / "first.jpg", 1).read_bytes()
        for number in range(count):
            (folder / f"{number}.jpg").write_bytes(data)
        taken = 0
        begin = Commits.__init__

        def counted(self: Commits, connection: sqlite3.Connection, *more: Any) -> None:
            def step() -> int:
                nonlocal taken
                taken += 1
                return 0

            connection.set_progress_handler(step, 100)
            begin(self, connection, *more)

        with Collection.create(tmp_path / f"{count}.lookalike") as collection, monkeypatch.context() as patch:
            patch.setattr(Commits, "__init__", counted)
            assert collection.add(folder).new == count + 1
            folder.rename(tmp_path / f"{count}-moved")
            assert collection.add(tmp_path / f"{count}-moved").moved == count + 1
        return taken

    assert steps(2000) < 2.6 * steps(1000)


def test_hard_links_that_are_renamed_are_each_moved_once(collection: Collection, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    real = picture(old / "a.jpg", 1)
    for number in range(3):
        os.link(real, old / f"link{number}.jpg")
    collection.add(old)
    ids = set(collection.ids().tolist())
    old.rename(new)
    os.link(new / "a.jpg", new / "one-more.jpg")
    report = collection.add(new)
    assert (report.moved, report.new, len(collection)) == (4, 1, 5)
    assert ids < set(collection.ids().tolist())


def test_a_file_that_may_not_be_opened_is_not_shown_by_the_add_of_another_folder(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pictures(tmp_path / "a", 4)
    collection.add(tmp_path / "a")
    os.utime(paths[1], ns=(1, 1))
    opened = os.open

    def refuse(path: Any, *more: Any, **named: Any) -> int:
        if os.fsencode(path) == os.fsencode(paths[1]):
            raise PermissionError(13, "Permission denied")
        return opened(path, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert collection.add(tmp_path / "a").missing == 1
    os.utime(paths[1], ns=(collection.entry(2).mtime_ns or 0,) * 2)
    pictures(tmp_path / "b", 1, first=20)
    collection.add(tmp_path / "b")
    assert collection.entry(2).missing
    assert collection.add(tmp_path / "a").missing == 0

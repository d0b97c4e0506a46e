"""A disk that is not there must not empty a collection; files that were deleted must go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lookalike.collection import Collection
from tests.collection.fake import FakeEmbedder, picture, pictures


def delete(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()


def test_few_deleted_files_are_dropped(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 10)
    collection.add(folder)
    delete(paths[:2])  # exactly a fifth
    report = collection.add(folder)
    assert (report.unchanged, report.removed, report.missing) == (8, 2, 0)
    assert len(collection) == 8
    found = {hit.path for hit in collection.search(paths[5], k=100)}
    assert found == set(paths[2:])


def test_more_than_a_fifth_is_kept_and_hidden(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    paths = pictures(folder, 10)
    collection.add(folder)
    saved = [path.rename(folder.parent / path.name) for path in paths[:3]]
    embedder.decoded.clear()
    report = collection.add(folder)
    assert (report.unchanged, report.removed, report.missing) == (7, 0, 3)
    assert len(collection) == 7
    assert collection.status()["missing"] == 3
    assert {hit.path for hit in collection.search(paths[5], k=100)} == set(paths[3:])
    assert collection.entry(1).missing
    for path in saved:
        path.rename(folder / path.name)
    report = collection.add(folder)
    assert (report.unchanged, report.new, report.missing) == (10, 0, 0)
    assert collection.ids().tolist() == list(range(1, 11))
    assert embedder.decoded == []


def test_prune_drops_what_is_gone(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 10)
    collection.add(folder)
    delete(paths[:6])
    report = collection.add(folder, prune=True)
    assert (report.unchanged, report.removed, report.missing) == (4, 6, 0)
    assert len(collection) == 4


def test_missing_root_loses_nothing(collection: Collection, tmp_path: Path, embedder: FakeEmbedder) -> None:
    disk, other = tmp_path / "disk", tmp_path / "other"
    pictures(disk, 4)
    pictures(other, 4, first=10)
    collection.add(disk, other)
    embedder.decoded.clear()
    disk.rename(tmp_path / "unplugged")
    report = collection.add(disk, other)
    assert (report.unchanged, report.removed, report.missing) == (4, 0, 4)
    assert len(collection) == 4
    roots = {Path(root["path"]): root["missing"] for root in collection.status()["roots"]}
    assert roots == {disk: True, other: False}
    report = collection.add()
    assert (report.unchanged, report.missing) == (4, 4)
    (tmp_path / "unplugged").rename(disk)
    report = collection.add()
    assert (report.unchanged, report.missing, report.new) == (8, 0, 0)
    assert embedder.decoded == []
    assert not any(root["missing"] for root in collection.status()["roots"])


def test_empty_mount_point_loses_nothing(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 4)
    collection.add(folder)
    delete(paths)
    report = collection.add(folder)
    assert (report.removed, report.missing) == (0, 4)
    pictures(folder, 4)
    assert collection.add(folder).unchanged == 4


def test_missing_root_is_pruned_when_asked(collection: Collection, tmp_path: Path) -> None:
    pictures(tmp_path / "disk", 4)
    collection.add(tmp_path / "disk")
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    report = collection.add(tmp_path / "disk", prune=True)
    assert (report.removed, report.missing) == (4, 0)
    assert collection.status()["roots"] == []
    assert collection.add().indexed == 0


def test_disk_inside_an_indexed_folder_is_protected_by_itself(collection: Collection, tmp_path: Path) -> None:
    everything, disk = tmp_path / "all", tmp_path / "all" / "disk"
    pictures(disk, 4)
    pictures(everything, 96, first=10)
    collection.add(disk)
    collection.add(everything)
    disk.rename(tmp_path / "unplugged")
    report = collection.add(everything)
    assert (report.removed, report.missing) == (0, 4)  # 4 of 100, but all of the disk


def test_missing_files_given_by_name_are_kept(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 2)
    collection.add(*paths)
    paths[0].rename(folder / "away")
    report = collection.add(*paths)
    assert (report.unchanged, report.removed, report.missing) == (1, 0, 1)
    assert collection.add().missing == 1
    (folder / "away").rename(paths[0])
    assert collection.add().unchanged == 2
    delete([paths[0]])
    assert collection.add(*paths, prune=True).removed == 1


def test_files_of_other_folders_are_left_alone(collection: Collection, tmp_path: Path) -> None:
    pictures(tmp_path / "a", 2)
    paths = pictures(tmp_path / "ab", 2, first=10)
    collection.add(tmp_path / "a", tmp_path / "ab")
    delete(paths)
    assert collection.add(tmp_path / "a", prune=True).removed == 0
    assert (len(collection), collection.status()["missing"]) == (
        2,
        2,
    )  # hidden, as they cannot be shown, but not dropped


def test_hidden_folder_that_was_added_by_itself_stays(collection: Collection, folder: Path) -> None:
    pictures(folder, 2)
    pictures(folder / ".private", 2, first=10)
    assert collection.add(folder).new == 2
    assert collection.add(folder / ".private").new == 2
    assert collection.add(folder, prune=True).removed == 0
    assert len(collection) == 4


def test_moves_to_another_folder_are_not_taken_from_an_unplugged_disk(collection: Collection, tmp_path: Path) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    pictures(disk, 4)
    collection.add(disk)
    disk.rename(tmp_path / "unplugged")
    pictures(copy, 4)
    report = collection.add(disk, copy)
    assert (report.new, report.moved, report.missing) == (4, 0, 4)
    (tmp_path / "unplugged").rename(disk)
    assert collection.add().unchanged == 8


def test_folder_that_cannot_be_read_loses_nothing(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(folder / "closed", 3)
    pictures(folder / "open", 30, first=10)
    collection.add(folder)
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path) == folder / "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        report = collection.add(folder, prune=True)
    assert (report.unchanged, report.missing, report.removed) == (30, 3, 0)
    assert [skip.reason for skip in report.skipped] == ["the folder cannot be read: permission denied"]
    report = collection.add(folder)
    assert (report.unchanged, report.missing, report.skipped) == (33, 0, ())


def test_file_that_cannot_be_read_keeps_its_entry(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pictures(folder, 10)
    collection.add(folder)
    os.utime(paths[2], ns=(1, 1))

    opened = os.open

    def refuse(path: Any, flags: int, *more: Any) -> int:
        if os.fsencode(path) == os.fsencode(paths[2]):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        report = collection.add(folder)
    assert (report.unchanged, report.missing, report.removed) == (9, 1, 0)
    assert [skip.reason for skip in report.skipped] == ["the file may not be read: permission denied"]
    report = collection.add(folder)
    assert (report.unchanged, report.missing, report.skipped) == (10, 0, ())


def test_tombstones_come_back_without_decoding(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    paths = pictures(folder, 10)
    collection.add(folder)
    delete(paths[:1])
    assert collection.add(folder).removed == 1
    embedder.decoded.clear()
    picture(paths[0], 0)
    report = collection.add(folder)
    assert report.new == 1
    assert embedder.decoded == []
    assert collection.search(paths[0], k=1)[0].path == paths[0]

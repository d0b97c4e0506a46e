"""Device and inode of every file are known, so that links of one file are told from copies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.collection import Collection
from tests.collection.fake import FakeEmbedder, picture


def numbers(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


@pytest.fixture
def linked(folder: Path) -> dict[str, Path]:
    real = picture(folder / "m.jpg", 1)
    (folder / "a.jpg").symlink_to(real)
    os.link(real, folder / "z.jpg")
    (folder / "copy.jpg").write_bytes(real.read_bytes())
    outside = picture(folder.parent / "outside" / "o.jpg", 2).parent
    (folder / "folder").symlink_to(outside)
    return {name: folder / name for name in ("m.jpg", "a.jpg", "z.jpg", "copy.jpg", "folder/o.jpg")}


def test_links_have_the_numbers_of_their_file(collection: Collection, folder: Path, linked: dict[str, Path]) -> None:
    assert collection.add(folder).new == 5
    entries = {entry.relative: entry for entry in collection.entries()}
    for name, path in linked.items():
        assert (entries[name].device, entries[name].inode) == numbers(path)
    assert len({(entry.device, entry.inode) for entry in entries.values()}) == 3
    assert {name for name, entry in entries.items() if entry.is_link} == {"a.jpg", "folder/o.jpg"}


def test_older_entries_get_their_numbers_without_being_read(
    collection: Collection, folder: Path, linked: dict[str, Path], embedder: FakeEmbedder
) -> None:
    collection.add(folder)
    with collection._lock.held(), collection._catalog.write() as connection:
        connection.execute("UPDATE entries SET device = NULL, inode = NULL")
    assert {entry.inode for entry in collection.entries()} == {None}
    embedder.decoded.clear()
    assert collection.add(folder).unchanged == 5
    assert embedder.decoded == []
    for entry in collection.entries():
        assert (entry.device, entry.inode) == numbers(entry.path)


def test_a_file_that_is_replaced_has_other_numbers(collection: Collection, folder: Path) -> None:
    path = picture(folder / "a.jpg", 1)
    collection.add(folder)
    picture(folder.parent / "new.jpg", 2).rename(path)
    assert collection.add(folder).changed == 1
    assert (collection.entry(1).device, collection.entry(1).inode) == numbers(path)


def test_removing_the_link_and_keeping_the_file(collection: Collection, folder: Path, linked: dict[str, Path]) -> None:
    """A hard link that is made as another goes is a move, by its numbers too."""
    collection.add(folder)
    id = collection.find(linked["z.jpg"])
    linked["z.jpg"].rename(folder / "y.jpg")
    report = collection.add(folder)
    assert (report.moved, report.new) == (1, 0)
    assert collection.entry(id or 0).path == folder / "y.jpg"


def test_imported_vectors_know_the_files_that_are_there(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg", 1)
    with Collection.create(tmp_path / "mine") as collection:
        collection.add_vectors([[1.0, 0.0], [0.0, 1.0]], paths=[path, tmp_path / "none.jpg"], model="mine")
        first, second = collection.entries()
        assert (first.device, first.inode) == numbers(path)
        assert (second.device, second.inode) == (None, None)

"""One writer and many readers, in processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from lookalike.collection import Collection, home
from lookalike.errors import CollectionError, CollectionLockedError
from tests.collection.fake import pictures
from tests.collection.test_crash import start


def test_second_writer_is_told_who_writes(collection: Collection, folder: Path) -> None:
    pictures(folder, 3)
    process = start("hold", collection.path, folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    try:
        for write in (lambda: collection.add(folder), lambda: collection.remove(folder), collection.compact):
            with pytest.raises(CollectionLockedError, match=rf"another process \(number {process.pid}\)"):
                write()
        assert len(collection) == 0
        assert collection.status()["pictures"] == 0
    finally:
        process.communicate("go on\n" * 100)
    assert process.returncode == 0
    assert collection.add(folder).unchanged == 3


def test_lock_of_a_killed_writer_is_free(collection: Collection, folder: Path) -> None:
    pictures(folder, 3)
    process = start("hold", collection.path, folder)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    assert collection.add(folder).new == 3


def test_readers_see_whole_states_while_one_writes(collection: Collection, folder: Path) -> None:
    pictures(folder, 3)
    collection.add(folder)
    pictures(folder, 120, first=10)
    readers = [start("read", collection.path, 4) for _ in range(2)]
    writer = start("add", collection.path, folder, 0.01, 5)
    seen = set()
    while writer.poll() is None:
        seen.add(len(collection))
        time.sleep(0.02)
    out, err = writer.communicate()
    assert out.splitlines()[-1] == "120 3 0", err
    for reader in readers:
        out, err = reader.communicate()
        assert reader.returncode == 0, err
    assert len(seen) > 3
    assert len(collection) == 123
    assert collection.verify() == []


def test_reader_sees_the_next_state_without_opening_again(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 4)
    collection.add(folder)
    with Collection.open(collection.path) as reader:
        assert len(reader.search(paths[0], k=10)) == 4
        pictures(folder, 2, first=50)
        collection.add(folder)
        assert len(reader.search(paths[0], k=10)) == 6
        collection.remove(paths[1])
        assert len(reader.search(paths[0], k=10)) == 5
        collection.compact()
        assert len(reader.search(paths[0], k=10)) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_ctrl_c_in_a_process(collection: Collection, folder: Path) -> None:
    pictures(folder, 80)
    process = start("add", collection.path, folder, 0.25, 4)  # ten seconds of work, if nobody stops it
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 60
    while not len(collection) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 0, err
    new, _, interrupted = (int(word) for word in out.split())
    assert interrupted == 1
    assert 0 < new < 80
    assert len(collection) == new
    assert collection.add(folder).indexed == 80


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_read_only_folder_can_be_searched(collection: Collection, folder: Path, tmp_path: Path) -> None:
    query = pictures(folder, 3)[1]
    collection.add(folder)
    collection.close()
    open_the_way(tmp_path)
    for path in [collection.path, *collection.path.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        process = start("read-only", collection.path, query, tmp_path / "elsewhere")
        out, err = process.communicate()
    finally:
        for path in [collection.path, *collection.path.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert process.returncode == 0, err
    found, refused = out.splitlines()
    assert found == "3 0001.jpg []"
    assert refused.startswith("ReadOnlyError")
    assert "\n" not in refused


def open_the_way(top: Path) -> None:
    """Let everybody enter the folders above `top`, and read what is in it."""
    for path in [top, *top.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    for parent in top.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="locks can be listed on Linux only")
def test_looking_at_a_collection_gives_up_no_lock(collection: Collection, folder: Path) -> None:
    """Closing any handle of a file drops a process's POSIX locks on it, and with them SQLite's protection."""
    pictures(folder, 2)
    collection.add(folder)
    inode = (collection.path / "catalog.sqlite").stat().st_ino

    def locks() -> int:
        return sum(f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines())

    held = locks()
    assert held
    Collection.open(collection.path).close()
    assert home.is_collection(collection.path)
    collection.status()
    collection.verify()
    with pytest.raises(CollectionError):
        Collection.create(collection.path)
    assert locks() == held


def test_a_program_that_copies_the_folder_goes_on(collection: Collection, folder: Path, tmp_path: Path) -> None:
    """Closing a file gives up the process's locks on it, so another process takes itself for the last one and deletes the log."""
    pictures(folder, 3)
    collection.add(folder)
    assert len(collection) == 3
    for number in range(3):
        shutil.copytree(collection.path, tmp_path / f"copy {number}")
        reader = start("read", collection.path, 1)
        _, err = reader.communicate()
        assert reader.returncode == 0, err
        assert len(collection) == 3
        assert collection.status()["pictures"] == 3
    pictures(folder, 2, first=10)
    assert collection.add(folder).new == 2
    assert len(collection) == 5

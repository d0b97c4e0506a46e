"""Writers that die, run as ``python -m tests.collection.killing TASK FOLDER ...``; what is left is opened in new processes.

Each line that is printed is a JSON object of one try.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from lookalike.collection import Collection
from lookalike.collection.catalog.file import CATALOG, Catalog, bump, transaction
from tests.collection import sqlite_calls

COMMITS = 2
EACH = 24  # rows of a commit
PAGES = 6  # of the log, before it is moved into the catalogue


def fill(folder: Path, rows: int) -> None:
    """A collection whose catalogue has some megabytes."""
    with Collection.create(folder) as collection, collection._catalog.write() as connection, transaction(connection):
        connection.execute("INSERT INTO features (id, norm) VALUES (0, 1.0)")
        connection.executemany(
            "INSERT INTO entries (path, label, feature, is_file) VALUES (?, x'', 0, 0)",
            ((b"/pictures/%06d/" % n + b"x" * 200,) for n in range(rows)),
        )


def commit(folder: Path, done: Callable[[int], None], commits: int = COMMITS) -> None:
    """Commit rows some times, with a small log, and close."""
    with Catalog(folder).write() as connection:
        connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES}")
        first = connection.execute("SELECT max(id) FROM entries").fetchone()[0]
        for number in range(commits):
            with transaction(connection):
                connection.executemany(
                    "INSERT INTO entries (path, label, feature, is_file) VALUES (?, x'', 0, 0)",
                    ((b"/more/%06d/" % (first + number * EACH + n) + b"y" * 300,) for n in range(EACH)),
                )
                bump(connection)
            done(number + 1)


def in_new_process(work: Callable[[], object]) -> tuple[int, str]:
    """Do something in a process of its own; its exit status (negative for a signal), and what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            # What else the tests of this process hold open would count against the limits of some works.
            os.closerange(3, writing)
            os.closerange(writing + 1, os.sysconf("SC_OPEN_MAX"))
            os.write(writing, str(work()).encode())
            status = 0
        except Exception as error:  # noqa: BLE001 (whatever it is, the test wants to know)
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said.decode("utf-8", "replace")


def look(folder: Path, *, thoroughly: bool = True) -> str:
    """What a process that comes new finds."""
    with Collection.open(folder) as collection:
        found, sound = len(collection), True
        if thoroughly:
            with collection._catalog.read() as connection:
                sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return f"{found} {sound}"


def _tell(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _one(folder: Path, copy: Path, prepare: Callable[[], None]) -> int:
    """Let a writer die on a copy, and look at what it leaves; its exit status."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    committed = copy.with_suffix(".committed")
    committed.write_bytes(b"0")

    def write() -> None:
        prepare()
        handle = os.open(committed, os.O_WRONLY)
        commit(copy, lambda number: os.pwrite(handle, b"%d" % number, 0) and None)

    status, said = in_new_process(write)
    left = {
        name: (copy / f"{CATALOG}{name}").stat().st_size
        for name in ("", "-wal")
        if (copy / f"{CATALOG}{name}").exists()
    }
    opened, found = in_new_process(lambda: look(copy))
    _tell(writer=status, said=said, committed=int(committed.read_bytes()), left=left, opened=opened, found=found)
    return status


def killed_at_each_write(folder: str) -> None:
    """Kill a writer before each of its writes, truncations and unlinkings."""

    def deadly(number: int) -> Callable[[], None]:
        return lambda: sqlite_calls.watch(sqlite_calls.WRITES, sqlite_calls.die_at(number))

    for number in range(10_000):
        if _one(Path(folder), Path(folder).with_name("copy"), deadly(number)) == 0:
            return


def full_disk(folder: str, *limits: str) -> None:
    """Let no file grow beyond a limit, which is what a full disk does to a process."""

    def limited(limit: int) -> Callable[[], None]:
        def prepare() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return prepare

    for limit in limits:
        _one(Path(folder), Path(folder).with_name("copy"), limited(int(limit)))


def opened_again_and_again(folder: str, processes: str, times: str) -> None:
    """Open a collection in many processes, some times in each, while another one writes."""
    path = Path(folder)
    ready, go = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(ready)
        while True:  # until it is killed
            commit(path, lambda _: os.write(go, b".") and None)
    os.close(go)
    os.read(ready, 1)
    try:
        for _ in range(int(processes)):
            opened, found = in_new_process(lambda: {look(path, thoroughly=False) for _ in range(int(times))})
            _tell(opened=opened, found=found)
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    opened, found = in_new_process(lambda: {look(path)})
    _tell(opened=opened, found=found)


TASKS = {"write": killed_at_each_write, "full": full_disk, "open": opened_again_and_again}

if __name__ == "__main__":
    task, *values = sys.argv[1:]
    look(Path(values[0]))  # what this imports need not be imported in each process
    TASKS[task](*values)

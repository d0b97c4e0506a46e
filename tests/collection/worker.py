"""A process that changes a collection; run as ``python -m tests.collection.worker TASK COLLECTION ...``."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import sys
import time
from pathlib import Path

from lookalike.collection import Collection, Progress, models
from lookalike.collection.catalog import schema
from lookalike.collection.take_in import commit
from lookalike.errors import CollectionError, LookalikeError
from tests.collection.fake import CARD, FakeEmbedder


def say(*words: object) -> None:
    """A line for the test."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def _add(path: str, folder: str, seconds: float = 0.0, files: int = 4) -> None:
    """Commit often, and take some time over each picture."""
    models._embedders[CARD.fingerprint] = FakeEmbedder(delay=seconds)  # type: ignore[assignment]
    commit.COMMIT_FILES = files
    with Collection.open(path) as collection:
        report = collection.add(folder, progress=_tell)
    say(report.new, report.unchanged, int(report.interrupted))


def _tell(progress: Progress) -> None:
    if progress.phase == "embedding" and progress.done == 0:
        say("embedding")


def _hold(path: str, folder: str) -> None:
    """Keep the writer's lock until told to go on."""

    def wait(progress: Progress) -> None:
        if progress.phase == "scanning":
            say("locked")
            sys.stdin.readline()

    models._embedders[CARD.fingerprint] = FakeEmbedder()  # type: ignore[assignment]
    with Collection.open(path) as collection:
        collection.add(folder, progress=wait)


def _full_disk(path: str, folder: str, limit: str) -> None:
    """Let no file grow beyond a limit, which is what a full disk does to a process."""
    models._embedders[CARD.fingerprint] = FakeEmbedder()  # type: ignore[assignment]
    commit.COMMIT_FILES = 4
    with Collection.open(path) as collection:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
        try:
            collection.add(folder)
        except CollectionError as error:
            say(error)
            raise SystemExit(7) from None


def _read_only(path: str, query: str, elsewhere: str) -> None:
    """Search as somebody who may not write there."""
    models._embedders[CARD.fingerprint] = FakeEmbedder()  # type: ignore[assignment]
    with Collection.create(elsewhere) as warm_up:  # what this imports could not be read later
        warm_up.add(query)
        warm_up.search(query)
        warm_up.status()
        warm_up.verify()
    if os.geteuid() == 0:
        os.setuid(65534)
    assert not os.access(path, os.W_OK)
    with Collection.open(path) as collection:
        say(len(collection), collection.search(query, k=1)[0].relative, collection.verify())
        try:
            collection.add(Path(query).parent)
        except LookalikeError as error:
            say(type(error).__name__, error)


def _read_on(path: str, seconds: str) -> None:
    """Search again and again; every answer has to be whole."""
    end = time.monotonic() + float(seconds)
    counts = []
    with Collection.open(path) as collection:
        while time.monotonic() < end:
            ids = collection.ids()
            if len(ids):
                hits = collection.search(int(ids[0]), k=100_000)
                assert len(hits) >= len(ids) - 1, (len(hits), len(ids))
                assert all(hit.path.exists() for hit in hits)
            counts.append(len(ids))
    assert counts == sorted(counts)
    say(counts[0], counts[-1])


def _update_killed(path: str, statement: str) -> None:
    """Be killed after some statements of bringing an older catalogue up to date."""
    count = 0

    def step(text: str) -> None:
        nonlocal count
        if text.startswith(("ALTER", "UPDATE", "INSERT", "PRAGMA user_version =")):
            if count == int(statement):
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    with sqlite3.connect(Path(path) / "catalog.sqlite", isolation_level=None) as connection:
        connection.set_trace_callback(step)
        schema.bring_up_to_date(connection)


TASKS = {
    "add": _add,
    "hold": _hold,
    "full": _full_disk,
    "read-only": _read_only,
    "read": _read_on,
    "update-killed": _update_killed,
}

if __name__ == "__main__":
    task, *values = sys.argv[1:]
    if task == "add":
        _add(values[0], values[1], float(values[2]), int(values[3]))
    else:
        TASKS[task](*values)  # type: ignore[operator]

"""Ctrl-C and kill in the middle of the work: the collection opens, and the same command goes on."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from lookalike.collection import Collection
from lookalike.errors import CollectionError
from tests.cli.conftest import Command

# The command, but what it has done is kept after a few pictures, not after some seconds: so that few make work to be stopped in.
SOON = (
    "import runpy; from lookalike.collection.take_in import commit; commit.COMMIT_FILES = 10; "
    "runpy.run_module('lookalike', run_name='__main__', alter_sys=True)"
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def _committed(home: Path) -> int:
    """How many pictures the only collection of a home holds by now; looked up here, since a process would take too long."""
    found = next(home.rglob("catalog.sqlite"), None)
    if found is None:
        return 0
    try:
        with Collection.open(found.parent) as collection:
            return len(collection)
    except CollectionError:  # it is being made
        return 0


def _stopped_after_first_commit(lookalike: Command, folder: Path, how: signal.Signals) -> tuple[int, str]:
    with lookalike.start("index", folder, run=("-c", SOON)) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if _committed(lookalike.home):
                break
            time.sleep(0.02)
        process.send_signal(how)
        _, err = process.communicate(timeout=120)
    return process.returncode, err.decode()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_half_way(lookalike: Command, starter: Path, tmp_path: Path, how: signal.Signals) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for picture in sorted(starter.rglob("*.jpg"))[::3]:
        shutil.copy(picture, many)
    total = len(list(many.iterdir()))
    code, err = _stopped_after_first_commit(lookalike, many, how)
    assert code != 0, "indexing was over before it could be stopped"
    assert "Traceback" not in err
    if how is signal.SIGINT:
        assert code == 1
        assert "run the same command to go on" in err.splitlines()[-1]
    kept = lookalike("status", "--json", "--in", "many").json["pictures"]
    assert 0 < kept < total
    assert lookalike("verify", "--in", "many").code == 0
    again = lookalike("index", many)
    assert f"many: {total:,} pictures ({total - kept:,} new, {kept:,} unchanged)" in again.out, (kept, again)


@pytest.mark.slow
def test_stopped_before_anything_was_read(lookalike: Command, starter: Path) -> None:
    with lookalike.start("index", starter) as process:
        time.sleep(0.05)  # in the middle of Python's own start: the least convenient moment
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert lookalike("index", starter / "photos/fish").code == 0

"""An intact collection is never called damaged: not after a kill at any write, not on a full disk, not while somebody writes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lookalike.collection.catalog.file import CATALOG
from tests.collection.killing import COMMITS, EACH, fill

ROWS = 8000
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    fill(tmp_path / "c", ROWS)
    assert (tmp_path / "c" / CATALOG).stat().st_size > 4_000_000
    return tmp_path / "c"


def tries(*arguments: object) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.collection.killing", *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(tried: dict[str, Any]) -> None:
    """It opens, is sound, and holds every commit that was reported."""
    assert tried["opened"] == 0, tried
    rows, sound = tried["found"].split()
    assert sound == "True", tried
    assert (int(rows) - ROWS) % EACH == 0, tried
    assert ROWS + tried["committed"] * EACH <= int(rows) <= ROWS + COMMITS * EACH, tried


def test_killed_at_each_write(filled: Path) -> None:
    tried = tries("write", filled)
    assert len(tried) > 100
    assert {one["writer"] for one in tried[:-1]} == {-9}
    assert (tried[-1]["writer"], tried[-1]["committed"]) == (0, COMMITS)
    for one in tried:
        check(one)
    # Some of them inside a checkpoint: in the middle of making the catalogue longer.
    size = (filled / CATALOG).stat().st_size
    assert any(size < one["left"][""] < tried[-1]["left"][""] for one in tried)


def test_a_disk_that_is_full_for_a_moment(filled: Path) -> None:
    size = (filled / CATALOG).stat().st_size
    tried = tries("full", filled, 0, 20_000, 60_000, *range(size - 60_000, size + 300_000, 20_000))
    assert len({one["committed"] for one in tried}) >= 2
    for one in tried:
        check(one)
        if one["writer"]:
            assert "is full; free some space" in one["said"] or "cannot be used now" in one["said"], one


def test_opened_while_another_process_writes(filled: Path) -> None:
    tried = tries("open", filled, 12, 25)
    assert len(tried) == 13
    for one in tried:
        assert one["opened"] == 0, one
        assert {(int(found.split()[0]) - ROWS) % EACH for found in ast.literal_eval(one["found"])} == {0}, one
    assert tried[-1]["found"].endswith("True'}")

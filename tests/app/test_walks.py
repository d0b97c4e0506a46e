"""The walks of a request and of a command that CONTRIBUTING.md describes are those that real ones take."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

import lookalike
from lookalike.app.capacity import Pool
from lookalike.cli.commands import app
from lookalike.collection import Collection
from lookalike.collection.take_in import commit
from lookalike.data import starter_folder
from lookalike.index.index import Index
from tests.app.serving import at_home, serving

ROOT = Path(lookalike.__file__).parent
TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")


def described(title: str) -> list[str]:
    """The ``file: function`` lines of the list behind a title."""
    return re.findall(r"^\d+\. `([\w/]+\.py: \w+)`", TEXT.split(f"#### {title}\n", 1)[1].split("###", 1)[0], re.M)


def way_here() -> list[str]:
    """The functions of ours that are at work, as ``file: function``, the outermost first."""
    found = []
    at: FrameType | None = sys._getframe(2)
    while at is not None:
        file = Path(at.f_code.co_filename)
        if file.is_relative_to(ROOT):
            found.append(f"{file.relative_to(ROOT).as_posix()}: {at.f_code.co_name}")
        at = at.f_back
    return found[::-1]


def noting(patch: pytest.MonkeyPatch, owner: Any, name: str) -> list[list[str]]:
    """The ways to each call of a function from now on."""
    ways: list[list[str]] = []
    real: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        ways.append(way_here())
        return real(*arguments, **named)

    patch.setattr(owner, name, call)
    return ways


def files(way: list[str]) -> list[str]:
    return list(dict.fromkeys(step.split(":")[0] for step in way))


def check(way: list[str], wanted: list[str], most: int) -> None:
    places = [way.index(step) if step in way else -1 for step in wanted]
    assert -1 not in places, (wanted[places.index(-1)], way)
    assert places == sorted(places), (wanted, way)
    assert len(files(way)) <= most, files(way)


def test_a_request_reaches_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(6000, 16))
    with at_home(tmp_path), Collection.create(tmp_path / "collections/mine") as made:
        made.add_vectors(x, [tmp_path / f"{number}.jpg" for number in range(len(x))])
        assert made.status()["index"] == "ivfpq"
    with serving(tmp_path, "mine") as server:
        queued, searched = noting(monkeypatch, Pool, "run_in_place"), noting(monkeypatch, Index, "search")
        answer = httpx.post(server.url + "api/search", data={"id": "3", "k": "5"}, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
    *_, queue = [way for way in queued if "app/api/search.py: search" in way]
    way = [*queue, "app/capacity.py: run_in_place", *searched[-1], "index/index.py: search"]
    way = way[way.index("app/api/search.py: search") :]  # what stands in front of every route is not of the search
    check(way, described("POST /api/search"), 9)


def test_a_folder_becomes_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    for picture in sorted((starter_folder() / "photos/fish").iterdir())[:3]:
        shutil.copy2(picture, tmp_path / "pictures")
    written = noting(monkeypatch, commit, "write_segment")
    with at_home(tmp_path):
        done = CliRunner().invoke(app, ["index", str(tmp_path / "pictures")])
    assert done.exit_code == 0, done.output
    check([*written[0], "collection/segments.py: write_segment"], described("lookalike index"), 10)

"""What the tests that learn share: real pictures, and a home of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command

FOLDERS = ("photos/fish", "photos/monument", "drawings/hat", "drawings/flower")


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory, starter: Path) -> Path:
    """32 starter pictures in four folders, and one file that is no picture; not to be changed."""
    root = tmp_path_factory.mktemp("labelled") / "four kinds"
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
        for picture in sorted((starter / folder).glob("*.jpg"))[:8]:
            shutil.copy2(picture, root / folder)
    (root / FOLDERS[0] / "broken.jpg").write_bytes(b"no picture")
    return root


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that is empty, for this process and for commands."""
    monkeypatch.setenv("LOOKALIKE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def lookalike(home: Path) -> Command:
    """The command in that home."""
    return Command(home, patience=1800)  # PyTorch is slow to load on a busy machine

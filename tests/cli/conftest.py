"""The command as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli import forking
from tests.conftest import copy_pictures


@dataclass(frozen=True)
class Outcome:
    """What a finished command left."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return os.fsdecode(self.raw)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    def failed_with(self, *words: str) -> None:
        """One clear line with these words on stderr, exit code 1, nothing on stdout."""
        assert self.code == 1, self
        assert self.raw == b"", self
        assert len(self.err.splitlines()) == 1, self
        assert self.err.startswith("lookalike: "), self
        for word in words:
            assert word in self.err, self


@dataclass(frozen=True)
class Command:
    """`lookalike` with a home of its own."""

    home: Path
    patience: float = 300  # seconds
    customize: Path | None = None  # a folder with a `sitecustomize.py`, which every process of it runs as it starts

    @property
    def environ(self) -> dict[str, str]:
        own = {"LOOKALIKE_HOME": str(self.home), "PYTHONWARNINGS": ""}
        return os.environ | own | ({"PYTHONPATH": str(self.customize)} if self.customize else {})

    def start(
        self, *args: str | Path | bytes, run: tuple[str, str] = ("-m", "lookalike"), **options: Any
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, *run, *args]
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(command, env=self.environ | options.pop("env", {}), **options)

    def __call__(self, *args: str | Path | bytes, cwd: Path | None = None, **options: Any) -> Outcome:
        if options or not hasattr(os, "fork"):
            with self.start(*args, cwd=cwd, **options) as process:
                out, err = process.communicate(timeout=self.patience)
            code = process.returncode
        else:
            words = [os.fsdecode(word) for word in args]
            first = (self.customize / "sitecustomize.py").read_text() if self.customize else ""
            code, out, err = forking.run(words, self.environ, str(cwd or Path.cwd()), self.patience, first)
        text = err.decode("utf-8", "backslashreplace")
        assert "Traceback" not in text, text
        return Outcome(code, out, text)


@pytest.fixture
def lookalike(tmp_path: Path) -> Command:
    """The command, in a home that is empty."""
    return Command(tmp_path / "home")


@dataclass(frozen=True)
class Indexed:
    """A collection that nobody changes: the command, its pictures, and what indexing them said."""

    lookalike: Command
    folder: Path
    report: Outcome


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory, starter: Path) -> Indexed:
    """24 pictures, two broken files and a text, indexed once; shared, so only read it."""
    root = tmp_path_factory.mktemp("indexed")
    folder = copy_pictures(starter, root / "my pictures")
    whole = (starter / "photos/fish/fish-20.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 8])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture")
    command = Command(root / "home")
    report = command("index", folder)
    assert report.code == 0, report
    return Indexed(command, folder, report)

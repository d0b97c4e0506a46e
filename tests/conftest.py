"""What every test stands on: a home of its own, no network but loopback, no time limits."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from lookalike.data.datasets import starter_folder

hypothesis.settings.register_profile("lookalike", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("lookalike")

_FOLDERS = ("photos/windmill", "photos/fish", "drawings/hat")


def pytest_configure(config: pytest.Config) -> None:
    """A home for the collections of this run, set before any fixture starts a server or a command."""
    # A shell has its background jobs, and all that they start, ignore Ctrl-C; the tests of it need it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    home = tempfile.mkdtemp(prefix="lookalike-tests-")
    os.environ["LOOKALIKE_HOME"] = home
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # some tests use ONNX Runtime themselves
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test reached for the network: {address}")
        connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def starter() -> Path:
    """The starter pictures, where they are installed; not to be changed."""
    return starter_folder()


@pytest.fixture
def pictures(tmp_path: Path, starter: Path) -> Path:
    """A folder with a copy of some starter pictures, in three labelled folders."""
    return copy_pictures(starter, tmp_path / "pictures")


def copy_pictures(starter: Path, target: Path, each: int = 8) -> Path:
    """Copy `each` pictures of three starter folders to `target`."""
    for folder in _FOLDERS:
        (target / folder).mkdir(parents=True)
        for picture in sorted((starter / folder).iterdir())[:each]:
            shutil.copy2(picture, target / folder)
    return target

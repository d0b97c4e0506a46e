"""What every test stands on: a home of its own, no network but loopback, no time limits; and who runs which tests."""

from __future__ import annotations

import functools
import gc
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
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every command that a test starts compiles the package anew
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))


# What the tests of a folder cost, roughly, in seconds of one core. With `--dist loadscope` a worker of pytest-xdist takes a whole
# folder, so that what its tests share is made once, and the long ones come first, so that all workers end together. The
# indexes are the very first: one worker compiles what the others will load.
_COSTS = {
    "tests/index": 300,
    "tests/e2e": 210,
    "tests/cli": 200,
    "tests/app": 190,
    "tests/bench": 150,
    "tests/collection": 130,
    "tests/notebooks": 90,
    "tests/features": 70,
    "tests/viz": 60,
    "tests/journeys": 50,
    "tests/kernels": 50,
    "tests/files": 30,
    "tests/data": 20,
    "tests/quantizers": 20,
}


def _folder(nodeid: str) -> str:
    """The folder of a test below `tests/`, or its file in it."""
    return "/".join(nodeid.partition("::")[0].split("/")[:2])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: -_COSTS.get(_folder(item.nodeid), 0))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Folder by folder in the order of the tests, or file by file where few folders are asked for."""
    from xdist.scheduler import LoadScopeScheduling

    class Folders(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _folder(nodeid) if self._are_many else nodeid.partition("::")[0]

        @functools.cached_property
        def _are_many(self) -> bool:
            return len(set(map(_folder, self.collection))) > 3

    if config.getvalue("dist") != "loadscope":
        return None
    config.option.loadscopereorder = False
    return Folders(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """All that was imported and collected stays until the end: no garbage collection need look at it again, 0.3 s each."""
    gc.collect()
    gc.freeze()


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

"""What the journeys share: the starter collection, and the command as a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike import Collection
from tests.cli.conftest import Command


@pytest.fixture(scope="session")
def starter_collection(tmp_path_factory: pytest.TempPathFactory, starter: Path) -> Iterator[Collection]:
    """All starter pictures, indexed; not to be changed."""
    with Collection.create(tmp_path_factory.mktemp("starter") / "starter.lookalike") as collection:
        report = collection.add(starter)
        assert not report.skipped
        yield collection


@pytest.fixture
def lookalike(tmp_path: Path) -> Command:
    """The command, in a home that is empty."""
    return Command(tmp_path / "home")

"""Collections of small pictures, with an embedder that does not need the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.collection import Collection, models
from tests.collection.fake import CARD, FakeEmbedder


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> FakeEmbedder:
    """Stands in for the model in every collection of the test."""
    fake = FakeEmbedder()
    monkeypatch.setitem(models._embedders, CARD.fingerprint, fake)
    return fake


@pytest.fixture
def collection(tmp_path: Path, embedder: FakeEmbedder) -> Iterator[Collection]:
    """A new, empty collection."""
    with Collection.create(tmp_path / "a.lookalike") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for pictures."""
    path = tmp_path / "pictures"
    path.mkdir()
    return path

"""The fixtures of a collection."""

from __future__ import annotations

from tests.collection.conftest import collection, embedder, folder

__all__ = ["collection", "embedder", "folder"]

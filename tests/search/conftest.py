from __future__ import annotations

from tests.collection.conftest import collection, embedder

__all__ = ["collection", "embedder"]

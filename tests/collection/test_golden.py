"""Collections that earlier versions wrote stay readable.

``python -m tests.collection.test_golden`` writes the one of this version; it is committed once for each version of the
catalogue, and never changed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.collection.catalog import PLAIN_VERSION

GOLDEN = Path(__file__).parent / "golden"


def vectors() -> np.ndarray:
    """Twelve vectors of dimension 8, from whole numbers, so that they are the same everywhere."""
    return (np.arange(96).reshape(12, 8) * 37 % 41 - 20).astype(np.float32)


def write(path: Path) -> None:
    with Collection.create(path) as collection:
        names = [f"/pictures/{name}.jpg" for name in "abcdefghijkl"]
        collection.add_vectors(vectors(), names, labels=["cats", "dogs"] * 6, model="golden")
        collection.remove("/pictures/c.jpg")


@pytest.mark.parametrize("version", range(1, PLAIN_VERSION + 1))
def test_collection_of_each_version(tmp_path: Path, version: int) -> None:
    shutil.copytree(GOLDEN / f"version-{version}", tmp_path / "c")
    with Collection.open(tmp_path / "c") as collection:
        assert collection.verify() == []
        assert collection.ids().tolist() == [1, 2, *range(4, 13)]
        assert collection.labels() == {"cats": 5, "dogs": 6}
        assert (collection.model.name, collection.model.d) == ("golden", 8)
        x = vectors() / np.linalg.norm(vectors(), axis=1, keepdims=True)
        hits = collection.search(x[4], k=11)
        kept = np.delete(np.arange(12), 2)
        cosines = x[kept] @ x[4]
        assert [hit.id for hit in hits] == (kept[np.argsort(-cosines, kind="stable")] + 1).tolist()
        assert np.allclose([hit.cosine for hit in hits], np.sort(cosines)[::-1], atol=2e-3)
        collection.add_vectors(vectors()[2:3], ["/pictures/c.jpg"], model="golden")
        assert collection.search(x[2], k=1)[0].id == 13


if __name__ == "__main__":
    write(GOLDEN / f"version-{PLAIN_VERSION}")

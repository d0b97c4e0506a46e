"""Collections that earlier versions wrote stay readable.

``python -m tests.collection.test_golden`` writes the one of this version; it is committed once for each version of the
catalogue, and never changed.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.collection.catalog.file import get_meta
from lookalike.collection.catalog.schema import SCHEMA_VERSION, TABLES, version_of, wrong_rows

GOLDEN = Path(__file__).parent / "golden"


def vectors() -> np.ndarray:
    """Twelve vectors of dimension 8, from whole numbers, so that they are the same everywhere."""
    return (np.arange(96).reshape(12, 8) * 37 % 41 - 20).astype(np.float32)


def write(path: Path) -> None:
    with Collection.create(path) as collection:
        names = [f"/pictures/{name}.jpg" for name in "abcdefghijkl"]
        collection.add_vectors(vectors(), names, labels=["cats", "dogs"] * 6, model="golden")
        collection.remove("/pictures/c.jpg")


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_collection_of_each_version(tmp_path: Path, version: int) -> None:
    shutil.copytree(GOLDEN / f"version-{version}", tmp_path / "c")
    with Collection.open(tmp_path / "c") as collection:
        if version == 2:  # which says that a transform is on
            assert collection.verify() == []
            assert collection.status()["transform"]["kind"] == "PCA to 4"
            assert [hit.id for hit in collection.search(1, k=11)] == [6, 10, 5, 9, 11, 2, 4, 7, 12, 8]
            collection.set_transform(None)
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
        assert collection.verify() == []


@pytest.mark.parametrize("version", [1, 2])
def test_reading_leaves_an_older_version_alone_and_writing_brings_it_up_to_date(tmp_path: Path, version: int) -> None:
    shutil.copytree(GOLDEN / f"version-{version}", tmp_path / "c")
    columns = "SELECT id, path, device, inode FROM entries ORDER BY id LIMIT 1"
    with Collection.open(tmp_path / "c") as collection, collection._catalog.read() as connection:
        assert connection.execute(columns).fetchone() == (1, b"/pictures/a.jpg", None, None)
        assert (version_of(connection), get_meta(connection, "uuid")) == (version, None)
        collection.verify()
        collection.search(1)
    with Collection.open(tmp_path / "c") as collection, Collection.open(tmp_path / "c") as reader:
        before = [(hit.id, hit.distance) for hit in reader.search(1, k=20)]
        collection.mark_duplicates([1], "keep")
        with collection._catalog.write() as connection:
            assert version_of(connection) == SCHEMA_VERSION
            assert all(wrong_rows(connection, table) == [] for table in TABLES)
            connection.execute("UPDATE entries SET device = 7 WHERE id = 1")
            identity = get_meta(connection, "uuid")
        with reader._catalog.read() as connection:  # its connection was opened before
            assert connection.execute(columns).fetchone() == (1, b"/pictures/a.jpg", 7, None)
            assert uuid.UUID(identity or "") == uuid.UUID(get_meta(connection, "uuid") or "")
        assert [(hit.id, hit.distance) for hit in reader.search(1, k=20)] == before
        assert reader.verify() == []


@pytest.mark.parametrize("statement", [0, 1, 5, 12, 15])
def test_killed_while_bringing_a_catalogue_up_to_date(tmp_path: Path, statement: int) -> None:
    """A kill after each of some statements; the next writer does it again."""
    shutil.copytree(GOLDEN / "version-1", tmp_path / "c")
    process = subprocess.run(
        [sys.executable, "-m", "tests.collection.worker", "update-killed", str(tmp_path / "c"), str(statement)],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    with Collection.open(tmp_path / "c") as collection:
        assert len(collection) == 11
        with collection._catalog.read() as connection:
            assert version_of(connection) == 1
        collection.mark_duplicates([1], "keep")
        with collection._catalog.read() as connection:
            assert version_of(connection) == SCHEMA_VERSION
        assert collection.verify() == []


if __name__ == "__main__":
    write(GOLDEN / f"version-{SCHEMA_VERSION}")

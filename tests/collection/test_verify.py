"""What `verify` sees of the catalogue's own columns, and what `repair` mends."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.collection.catalog.file import CATALOG
from lookalike.collection.writer import Writer
from lookalike.errors import CollectionError, LookalikeWarning
from tests.collection.fake import FakeEmbedder, pictures

CHANGES = {
    "missing": "UPDATE entries SET missing = 1 WHERE id = 3",
    "norm": "UPDATE features SET norm = norm * 2 WHERE id = 2",
    "width": "UPDATE features SET width = 7 WHERE id = 2",
    "feature": "UPDATE entries SET feature = 3 - feature WHERE feature IN (1, 2)",
    "meta": "UPDATE meta SET value = '99' WHERE key = 'next_feature'",
}


def change(collection: Collection, statement: str) -> None:
    """Change the catalogue behind lookalike's back, as a flipped bit does."""
    with contextlib.closing(sqlite3.connect(collection.path / CATALOG)) as connection:
        connection.executescript(statement)


@pytest.mark.parametrize("what", CHANGES)
def test_changed_columns_are_seen_and_mended(
    collection: Collection, folder: Path, embedder: FakeEmbedder, what: str
) -> None:
    paths = pictures(folder, 6)
    collection.add(folder)
    ids = collection.ids().tolist()
    change(collection, CHANGES[what])
    problems = collection.verify()
    assert problems
    assert all("is not what was written" in problem and "--repair" in problem for problem in problems)
    embedder.decoded.clear()
    assert collection.repair() == []
    assert len(embedder.decoded) == (1 if what in ("norm", "width") else 0)  # contents tell the rest
    assert collection.ids().tolist() == ids
    assert [collection.search(path, k=1)[0].path for path in paths] == paths
    assert (collection.entry(3).width, collection.entry(3).height) == (24, 24)


def test_imported_vectors_cannot_be_made_again(collection: Collection) -> None:
    collection.add_vectors(np.eye(4), [f"/{name}.jpg" for name in "abcd"], model="mine")
    change(collection, "UPDATE features SET norm = 5 WHERE id = 1")
    left = collection.repair()
    assert left[0].startswith("/b.jpg: its vector was imported and cannot be made again")


def test_garbage_for_numbers_is_a_clear_error_and_mended(collection: Collection) -> None:
    collection.add_vectors(np.eye(4), [f"/{name}.jpg" for name in "abcd"], model="mine")
    change(collection, "UPDATE meta SET value = 'garbage' WHERE key = 'changes'")
    with Collection.open(collection.path) as damaged, pytest.raises(CollectionError, match="changes"):
        damaged.search(np.ones(4))
    assert collection.repair() == []
    assert len(collection.search(np.ones(4))) == 4


@pytest.mark.parametrize("rows", [2**63 - 1, "'many'", -5, 0])
def test_a_number_of_rows_that_cannot_be_is_put_back(collection: Collection, rows: object) -> None:
    collection.add_vectors(np.eye(4), [f"/{name}.jpg" for name in "abcd"], model="mine")
    change(collection, f"PRAGMA ignore_check_constraints = ON; UPDATE segments SET rows = {rows}")
    with Collection.open(collection.path) as damaged:
        with pytest.warns(LookalikeWarning, match="4 pictures are hidden.*row of 000001.safetensors"):
            assert damaged.search(np.ones(4)) == []
        with pytest.raises(CollectionError, match="the catalogue is damaged"):
            damaged.compact()
        assert any("row 1 (000001.safetensors) of segments" in problem for problem in damaged.verify())
        assert damaged.repair() == []
        assert len(damaged.search(np.ones(4))) == 4


def test_a_repair_that_is_cut_short_shows_no_wrong_row(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the mending of rows and the reading of files a row has a right checksum, and may still name another's feature."""
    paths = pictures(folder, 6)
    collection.add(folder)
    change(collection, CHANGES["feature"])

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_take_in", killed)
        with pytest.raises(KeyboardInterrupt):
            collection.repair()
    with Collection.open(collection.path) as again:
        for path in paths:
            hit = again.search(path.read_bytes(), k=1)[0]
            assert hit.path == path or hit.similarity < 99, "what is not read again yet is hidden, not mixed up"
        again.add()
        assert [again.search(path, k=1)[0].path for path in paths] == paths
        assert again.verify() == []

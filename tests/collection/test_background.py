"""What a search uses without having read it through is compared with its checksums meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection, segments
from lookalike.collection.catalog.file import CATALOG
from lookalike.collection.index.generation import read_generation
from lookalike.collection.segments import FOLDER
from lookalike.collection.upkeep import background
from lookalike.errors import LookalikeWarning

X = np.random.default_rng(0).normal(size=(20, 8))


@pytest.fixture
def vectors(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A collection on disk whose segment is mapped, and whose checks begin at once."""
    monkeypatch.setattr(background, "DELAY", 0.0)
    monkeypatch.setattr(segments, "READ_UP_TO", 0)
    collection.add_vectors(X, [f"/{n}.jpg" for n in range(len(X))], model="mine")
    collection.close()
    return collection.path


def change(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / CATALOG)) as connection:
        connection.executescript(statement)


def hits(collection: Collection, n: int) -> list[str]:
    return [hit.path.name for hit in collection.search(X[n], k=20)]


def wait_for(collection: Collection, count: int) -> str:
    """Search until so many pictures are left; the warning that comes with that."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(500):
            if len(hits(collection, 3)) == count:
                break
            time.sleep(0.02)
    assert len(hits(collection, 3)) == count
    return "".join(str(each.message) for each in caught if issubclass(each.category, LookalikeWarning))


def test_a_mapped_segment_that_is_damaged_stops_answering(vectors: Path) -> None:
    (file,) = (vectors / FOLDER).iterdir()
    data = bytearray(file.read_bytes())
    data[-3] ^= 4
    file.write_bytes(data)
    with Collection.open(vectors) as opened:
        assert "are damaged" in wait_for(opened, 0)
        assert opened.verify()


def test_an_entry_that_names_another_feature_stops_answering(vectors: Path) -> None:
    change(vectors, "UPDATE entries SET feature = 5 WHERE id = 4")
    with Collection.open(vectors) as opened:
        assert "the catalogue's rows of them are damaged" in wait_for(opened, 19)
        assert "3.jpg" not in hits(opened, 5)
        change(
            vectors,
            "UPDATE entries SET feature = 3 WHERE id = 4; UPDATE meta SET value = 2 * value WHERE key = 'changes'",
        )
        assert hits(opened, 3)[0] == "3.jpg", "a row that is right again is shown again"


def test_what_is_whole_goes_on(vectors: Path, recwarn: pytest.WarningsRecorder) -> None:
    with Collection.open(vectors) as opened:
        assert hits(opened, 3)[0] == "3.jpg"
        thread = opened._views.checks._thread
        if thread is not None:
            thread.join(10)
        assert (opened._views.checks.damaged, opened._views.checks.wrong) == (
            set(),
            {"entries": set(), "features": set()},
        )
        assert opened._views.checks._is_catalog_checked
        assert hits(opened, 3)[0] == "3.jpg"


def test_an_index_whose_settings_were_changed_is_not_asked(vectors: Path) -> None:
    columns = "spec, nprobe, candidates, trained, total, recall, low, high, k, n"
    with Collection.open(vectors) as opened, opened._lock.held(), opened._catalog.write() as connection:
        connection.execute(f"INSERT INTO generations ({columns}) VALUES ('IVF4,PQ2', 4, 50, 20, 20, 1, 1, 1, 10, 20)")
        assert read_generation(connection) is not None
    change(vectors, "UPDATE generations SET nprobe = 5")
    with (
        Collection.open(vectors) as opened,
        opened._catalog.read() as connection,
        pytest.warns(LookalikeWarning, match="what the catalogue says of the index is damaged"),
    ):
        assert read_generation(connection) is None

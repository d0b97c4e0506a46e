"""Values of the catalogue that somebody else changed: what is shown meanwhile, and what a repair does with proof and without."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import lookalike as la
from lookalike.collection import Collection
from lookalike.collection.catalog.file import CATALOG
from lookalike.collection.index import generation
from lookalike.collection.segments import FOLDER
from lookalike.collection.upkeep import background
from lookalike.errors import CollectionError, LookalikeWarning
from tests.collection.fake import FakeEmbedder, pictures

N = 8
X = np.random.default_rng(0).normal(size=(20, 8))


def change(folder: Path, statement: str) -> None:
    """Change the catalogue behind lookalike's back; its triggers are of its own connections."""
    with contextlib.closing(sqlite3.connect(folder / CATALOG)) as connection:
        connection.executescript(f"PRAGMA ignore_check_constraints = ON; {statement}")


def rows_of(folder: Path, table: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(folder / CATALOG)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


@pytest.fixture
def indexed(collection: Collection, folder: Path, embedder: FakeEmbedder) -> Path:
    """A collection of a folder of pictures, in two segments."""
    pictures(folder / "a/b", N // 2)
    collection.add(folder)
    pictures(folder / "a/b", N // 2, N // 2)
    collection.add(folder)
    collection.close()
    embedder.decoded.clear()
    return collection.path


@pytest.fixture
def imported(collection: Collection) -> Path:
    """A collection of vectors, which nothing can make again, in two segments."""
    for part in (slice(0, 10), slice(10, 20)):
        collection.add_vectors(X[part], [f"/{n}.jpg" for n in range(20)[part]], model="mine")
    collection.close()
    return collection.path


def shown(folder: Path) -> tuple[list[str], str]:
    """What a search in a newly opened collection shows, each picture being what it says it is; and the warnings."""
    with warnings.catch_warnings(record=True) as caught, Collection.open(folder) as opened:
        warnings.simplefilter("always")
        hits = opened.search(np.ones(opened.model.d), k=100)
        for hit in hits:
            if hit.path.is_file():
                best = opened.search(hit.path.read_bytes(), k=1)[0]
                assert best.path == hit.path
        return sorted(str(hit.path) for hit in hits), "".join(str(each.message) for each in caught)


# --- segments --------------------------------------------------------------------------------------------------------

SEGMENTS = {
    "id": "UPDATE segments SET id = 77 WHERE id = 2",
    "file": "UPDATE segments SET file = '000009.safetensors' WHERE id = 2",
    "another file": "UPDATE segments SET file = '../../x' WHERE id = 2",
    "no text": "UPDATE segments SET file = CAST(x'ff80' AS TEXT) WHERE id = 2",
    "first": "UPDATE segments SET first = 1 WHERE id = 2",
    "first far": "UPDATE segments SET first = 1000000 WHERE id = 1",
    "rows": "UPDATE segments SET rows = 1 WHERE id = 1",
    "sha256": "UPDATE segments SET sha256 = 'x' WHERE id = 2",
    "checksum": "UPDATE segments SET checksum = checksum + 1 - 2 * (checksum % 2) WHERE id = 2",
    "both": "UPDATE segments SET first = 3 - first, rows = 17",
}


@pytest.mark.parametrize("what", SEGMENTS)
def test_a_row_of_a_segment_hides_its_pictures_and_is_put_back(imported: Path, what: str) -> None:
    before = rows_of(imported, "segments")
    change(imported, SEGMENTS[what])
    paths, said = shown(imported)
    assert len(paths) <= 10
    assert "are hidden, because their features on disk are damaged; `lookalike verify --repair`" in said
    with Collection.open(imported) as opened:
        assert any("of segments is not what was written" in problem for problem in opened.verify())
        assert opened.repair() == []
        assert [opened.search(x, k=1)[0].path.name for x in X] == [f"{n}.jpg" for n in range(20)]
    assert rows_of(imported, "segments") == before


def test_no_writer_deletes_a_file_whose_row_was_changed(imported: Path) -> None:
    change(imported, SEGMENTS["file"])
    files = sorted((imported / FOLDER).iterdir())
    with Collection.open(imported) as opened:
        opened.add_vectors(np.eye(8)[:1], ["/new.jpg"], model="mine")
        assert set(files) <= set((imported / FOLDER).iterdir())
        with pytest.raises(CollectionError, match="a row of segments is not what was written; run `lookalike verify"):
            opened.compact()
        assert opened.repair() == []
        assert len(opened.search(X[3], k=100)) == 21


NO_PROOF = "UPDATE segments SET sha256 = 'x', checksum = 5 WHERE id = 2"


def test_pictures_of_a_row_without_proof_are_read_again(indexed: Path, embedder: FakeEmbedder) -> None:
    change(indexed, NO_PROOF)
    paths, said = shown(indexed)
    assert (len(paths), "4 pictures are hidden" in said) == (N // 2, True)
    embedder.decoded.clear()
    with Collection.open(indexed) as opened:
        assert opened.repair() == []
        assert len(embedder.decoded) == N // 2, "just those"
    assert len(shown(indexed)[0]) == N


def test_vectors_of_a_row_without_proof_stay_hidden_until_they_are_added_again(imported: Path) -> None:
    change(imported, NO_PROOF)
    with Collection.open(imported) as opened:
        left = opened.repair()
        assert len([line for line in left if "was imported and cannot be made again; add it again" in line]) == 10
        assert any("of segments is not what was written" in line for line in left)
        with pytest.warns(LookalikeWarning, match="10 pictures are hidden"):
            assert len(opened.search(X[3], k=100)) == 10
        opened.add_vectors(X[10:], [f"/{n}.jpg" for n in range(10, 20)], model="mine")
        assert opened.repair() == []
        assert len(opened.search(X[3], k=100)) == 20


# --- roots -----------------------------------------------------------------------------------------------------------

ROOTS = {
    "id": "UPDATE roots SET id = 6",
    "path": "UPDATE roots SET path = CAST(path || '/a' AS BLOB)",
    "another path": "UPDATE roots SET path = CAST('/etc' AS BLOB)",
    "no path": "UPDATE roots SET path = 5",
    "missing": "UPDATE roots SET missing = 7",
    "checksum": "UPDATE roots SET checksum = checksum + 1 - 2 * (checksum % 2)",
}


@pytest.mark.parametrize("what", ROOTS)
def test_a_row_of_a_folder_hides_its_pictures_and_is_put_back(indexed: Path, embedder: FakeEmbedder, what: str) -> None:
    before = rows_of(indexed, "roots")
    change(indexed, ROOTS[what])
    paths, said = shown(indexed)
    assert paths == []
    assert f"{N} pictures are hidden, because what the catalogue says of the folder they are in is damaged" in said
    with Collection.open(indexed) as opened:
        assert opened.repair() == []
    assert embedder.decoded == []
    assert rows_of(indexed, "roots") == before
    assert len(shown(indexed)[0]) == N


def test_a_folder_without_proof_is_forgotten_and_its_pictures_are_not(indexed: Path, folder: Path) -> None:
    labels = [row[3] for row in rows_of(indexed, "entries")]
    change(indexed, "UPDATE roots SET path = CAST('/etc' AS BLOB), checksum = 5")
    with Collection.open(indexed) as opened:
        left = opened.repair()
        assert len(left) == 1
        assert "it now reads /etc) and is forgotten; `lookalike index` with that folder records it again" in left[0]
        assert opened.verify() == []
        assert opened.status()["roots"] == []
        assert len(shown(indexed)[0]) == N
        opened.add(folder)
        assert [root["path"] for root in opened.status()["roots"]] == [str(folder)]
    assert [row[3] for row in rows_of(indexed, "entries")] == labels


def test_single_files_do_not_depend_on_a_folder(indexed: Path, tmp_path: Path) -> None:
    (single,) = pictures(tmp_path / "other", 1, 50)
    with Collection.open(indexed) as opened:
        opened.add(single)
    change(indexed, ROOTS["path"])
    with Collection.open(indexed) as opened, pytest.warns(LookalikeWarning, match=f"{N} pictures are hidden"):
        assert [hit.path for hit in opened.search(single.read_bytes())] == [single]


# --- values of the collection as a whole -----------------------------------------------------------------------------

HARMLESS = ["changes", "state", "uuid", "created", "next_file", "next_feature"]


@pytest.mark.parametrize("key", HARMLESS)
@pytest.mark.parametrize("checksum", ["checksum", "5"])
def test_a_value_that_no_search_needs_stops_none(imported: Path, key: str, checksum: str) -> None:
    change(imported, f"UPDATE meta SET value = '1', checksum = {checksum} WHERE key = '{key}'")
    assert len(shown(imported)[0]) == 20
    with Collection.open(imported) as opened:
        if key in ("changes", "next_file", "next_feature"):  # to write is what needs them
            with pytest.raises(CollectionError, match=rf"its value of '{key}' .*`lookalike verify --repair`"):
                opened.add_vectors(X[:1], ["/new.jpg"], model="mine")
        assert opened.repair() == []
        opened.add_vectors(X[:1], ["/new.jpg"], model="mine")
        assert opened.verify() == []
    assert len(shown(imported)[0]) == 21


def test_another_model_is_an_error_and_put_back(indexed: Path) -> None:
    before = [row[:2] for row in rows_of(indexed, "meta") if row[0] == "model"]
    for value in ("'garbage'", "replace(value, '1280', '1024')", "CAST(x'ff80' AS TEXT)"):
        change(indexed, f"UPDATE meta SET value = {value} WHERE key = 'model'")
        with Collection.open(indexed) as opened:
            for use in (lambda: opened.search(1), opened.add, opened.status, lambda: opened.model):
                with pytest.raises(CollectionError, match="its value of 'model' is not what was written; `lookalike"):
                    use()
            assert any("the row (model) of meta" in problem for problem in opened.verify())
            assert opened.repair() == []
        assert [row[:2] for row in rows_of(indexed, "meta") if row[0] == "model"] == before
    assert len(shown(indexed)[0]) == N


def test_a_model_without_proof_is_named_and_never_used(imported: Path) -> None:
    change(imported, "UPDATE meta SET value = replace(value, 'mine', 'mane'), checksum = 5 WHERE key = 'model'")
    with Collection.open(imported) as opened:
        for _ in range(2):
            left = opened.repair()
            assert "'model' is not what was written, and nothing proves what it was; restore a copy" in left[0]
        with pytest.raises(CollectionError, match="'model'"):
            opened.search(X[0])


def test_one_bit_of_any_value_is_put_back(imported: Path) -> None:
    """A vector's own model is known to nobody else; one flipped bit is found all the same."""
    before = rows_of(imported, "meta")
    change(
        imported, "UPDATE meta SET value = replace(value, '\"mine\"', '\"mind\"') WHERE key = 'model'"
    )  # e, d: one bit
    with Collection.open(imported) as opened:
        assert opened.repair() == []
    kept = {"model", "uuid", "created", "next_file", "next_feature"}
    assert [row for row in rows_of(imported, "meta") if row[0] in kept] == [row for row in before if row[0] in kept]


def test_a_transform_is_never_left_out_in_silence(imported: Path) -> None:
    with Collection.open(imported) as opened:
        opened.set_transform(opened.fit_transform(3))
        expected = [hit.path for hit in opened.search(X[0])]
    for statement in (
        "UPDATE meta SET key = 'tranzform' WHERE key = 'transform'",
        "UPDATE meta SET value = '' WHERE key = 'transform'",
        "UPDATE meta SET value = replace(value, '\"d\": 3', '\"d\": 9') WHERE key = 'transform'",
    ):
        change(imported, statement)
        with Collection.open(imported) as opened:
            with pytest.raises(CollectionError, match=r"its value of 'tran.form' is not what was written"):
                opened.search(X[0])
            assert opened.repair() == []
            assert [hit.path for hit in opened.search(X[0])] == expected
    change(imported, "UPDATE meta SET value = 'x', checksum = 5 WHERE key = 'transform'")
    with Collection.open(imported) as opened:
        assert "`lookalike models adapt --undo` removes it" in opened.repair()[0]
        opened.set_transform(None)
        assert opened.verify() == []
        assert [hit.path.name for hit in opened.search(X[0], k=1)] == ["0.jpg"]


def test_decisions_on_duplicates_are_never_guessed(imported: Path) -> None:
    with Collection.open(imported) as opened:
        opened.mark_duplicates([1, 2], "keep")
    change(imported, f"UPDATE meta SET value = '{json.dumps({'kept': [7], 'ignored': []})}' WHERE key = 'duplicates'")
    with Collection.open(imported) as opened:
        with pytest.raises(CollectionError, match="'duplicates' is not what was written"):
            opened.duplicates()
        (line,) = opened.repair()
        assert line.endswith("the decisions on duplicates were damaged and are forgotten; make them again")
        assert all(not group.ignored for group in opened.duplicates())


# --- features and entries --------------------------------------------------------------------------------------------

FEATURES = {
    "norm": "UPDATE features SET norm = 5 WHERE id = 3",
    "width": "UPDATE features SET width = 7 WHERE id = 3",
    "height": "UPDATE features SET height = 9 WHERE id = 3",
    "format": "UPDATE features SET format = 'PNG' WHERE id = 3",
    "content": "UPDATE features SET content = x'00' WHERE id = 3",
    "checksum": "UPDATE features SET checksum = 5 WHERE id = 3",
    "id": "UPDATE features SET id = 1000 WHERE id = 3",
}


@pytest.mark.parametrize("what", FEATURES)
def test_pictures_of_a_wrong_feature_stop_answering(imported: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "DELAY", 0.0)
    change(imported, FEATURES[what])
    with warnings.catch_warnings(record=True) as caught, Collection.open(imported) as opened:
        warnings.simplefilter("always")
        for _ in range(500):
            with contextlib.suppress(CollectionError):  # what comes before the check may find the parts at odds
                if len(hits := opened.search(X[3], k=20)) == 19:
                    break
            time.sleep(0.02)
        assert len(hits) == 19
        assert "3.jpg" not in [hit.path.name for hit in hits]
    said = "".join(str(each.message) for each in caught)
    assert "1 pictures are hidden, because the catalogue's rows of them are damaged" in said


@pytest.mark.parametrize("what", FEATURES)
def test_a_wrong_feature_is_put_back_or_read_again(indexed: Path, embedder: FakeEmbedder, what: str) -> None:
    before = [row[:6] for row in rows_of(indexed, "features")]
    change(indexed, FEATURES[what])
    with Collection.open(indexed) as opened:
        assert opened.verify()
        assert opened.repair() == []
        assert len(embedder.decoded) <= 1
        assert all((entry.width, entry.format) == (24, "JPEG") for entry in opened.entries())
    if embedder.decoded == []:
        assert [row[:6] for row in rows_of(indexed, "features")] == before
    assert len(shown(indexed)[0]) == N


def test_a_wrong_feature_of_an_imported_vector_is_never_given_a_right_checksum(imported: Path) -> None:
    change(imported, FEATURES["norm"])
    with Collection.open(imported) as opened:
        for _ in range(2):
            assert opened.repair()[0].startswith("/3.jpg: its vector was imported and cannot be made again")
        opened.add_vectors(X[3:4], ["/3.jpg"], model="mine")
        opened.repair()
        assert opened.verify() == []


def test_what_is_wrong_stays_wrong_whatever_else_is_written(indexed: Path, folder: Path) -> None:
    """An `add` that hides a file updates its row; that must not give the other columns a right checksum."""
    change(indexed, "UPDATE entries SET feature = 5, label = x'00' WHERE id = 2")
    path, other = (Path(os.fsdecode(row[1])) for row in rows_of(indexed, "entries")[1:3])  # type: ignore[arg-type]
    for each in (path, other):  # of so many that they are hidden and not dropped
        each.rename(folder.parent / each.name)
    with Collection.open(indexed) as opened:
        opened.add(folder)
        assert any("row 2" in problem for problem in opened.verify())
        left = opened.repair()
        assert left == [
            f"{path}: it is hidden until it can be read again; `lookalike index` with its folder looks for it"
        ]
        for each in (path, other):
            (folder.parent / each.name).rename(each)
        opened.add(folder)
        assert opened.verify() == []
        assert opened.entry(2).label == "a/b"
        assert opened.search(path, k=1)[0].path == path


def test_a_feature_that_is_no_number_hides_its_picture(imported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "DELAY", 0.0)
    change(imported, "UPDATE entries SET feature = 'x' WHERE id = 4")
    with Collection.open(imported) as opened:
        assert len(opened.search(X[3], k=20)) == 19
        assert opened.verify()


# --- files that are cut short while they are mapped ------------------------------------------------------------------

CUT = """
import os, sys, warnings
import numpy as np
from pathlib import Path
from lookalike.collection import Collection, segments

segments.READ_UP_TO = 0
warnings.simplefilter("always")
collection = Collection.open(sys.argv[1])
x = np.random.default_rng(0).normal(size=8)
found = len(collection.search(x, k=30000))
file = sorted(Path(sys.argv[1], "features").iterdir())[0]
os.truncate(file, 4096)
print(found, len(collection.search(x, k=30000)), len(collection.search(1, k=3) if found < 0 else []))
print(any("lookalike verify" in problem or "it was cut" in problem for problem in collection.verify()))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows cuts no file that is mapped")
def test_a_mapped_segment_that_is_cut_short_ends_no_process(collection: Collection, tmp_path: Path) -> None:
    """To read a page that is gone is SIGBUS; in another process, so that it would be seen."""
    x = np.random.default_rng(1).normal(size=(3000, 8))
    collection.add_vectors(x, [f"/{n}.jpg" for n in range(3000)], model="mine")
    collection.close()
    arguments = [sys.executable, "-c", CUT, str(collection.path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert done.stdout.split() == ["3000", "0", "0", "True"]
    assert "3,000 pictures are hidden, because their features on disk are damaged" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows cuts no file that is mapped")
def test_an_index_whose_mapped_file_is_cut_short_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "MAPPED", 0)
    (tmp_path / "index").mkdir()
    x = np.random.default_rng(0).normal(size=(5000, 8)).astype(np.float32)
    la.IVFFlatIndex(4).train(x).add(x).save(tmp_path / "index/000001.lka")
    of_500 = generation.Generation(1, "000001.lka", "x", "IVF4,Flat", 4, 50, 5000, 5000, 1.0, 1.0, 1.0, 10, 20)
    loaded = generation.LoadedIndex(tmp_path, of_500)
    assert loaded.get() is loaded.get() is not None
    os.truncate(tmp_path / "index/000001.lka", 4096)
    with pytest.warns(LookalikeWarning, match="was cut to less than its .* bytes, so search is exact"):
        assert loaded.get() is None
    assert loaded.get() is None

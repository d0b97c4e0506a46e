"""Names: é as one character or two, names as long as a file system takes, and `file://` URLs."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookalike import FlatIndex, load_index, read_faiss, write_faiss
from lookalike._files import atomic_write, beside, part_name
from lookalike.app.pictures import Thumbnails
from lookalike.collection import Collection, home
from lookalike.collection.catalog.filters import Filter
from lookalike.data.labels import read_labels
from lookalike.errors import ImageError, InputError
from tests.collection.fake import FakeEmbedder, picture

NFC, NFD = "Café", unicodedata.normalize("NFD", "Café")
LONG = ["a" * 255, "é" * 127, "日" * 85, "x" * 241 + ".jpg"]


@pytest.fixture
def cafes(collection: Collection, folder: Path) -> Collection:
    """A folder as two machines wrote it: é as one character, and as two; with folders in it of either kind."""
    for at, name in enumerate([NFC, NFD, f"{NFC}/{NFD}", f"{NFD}/{NFC}", "Cafe", f"x/{NFD}"]):
        picture(folder / name / f"{at}.jpg", at)
    collection.add(folder)
    return collection


def test_a_folder_is_one_however_its_name_is_spelled(cafes: Collection) -> None:
    assert cafes.labels() == {"Cafe": 1, NFC: 2, f"{NFC}/{NFC}": 2, f"x/{NFC}": 1}
    assert cafes.status()["labels"] == 4
    assert {entry.label for entry in cafes.entries()} == set(cafes.labels())
    for spelled in (NFC, NFD):
        names = {entry.path.name for entry in cafes.several(cafes.matching(Filter(labels=(spelled,))))}
        assert names == {"0.jpg", "1.jpg", "2.jpg", "3.jpg"}
        assert len(cafes.matching(Filter(labels=(f"{spelled}/{NFC}",)))) == 2
        assert len(cafes.ids(spelled)) == len(cafes.entries(label=spelled)) == 2
    assert len(cafes.matching(Filter(labels=("Cafe",)))) == 1
    assert len(cafes.ids("Cafe\u0300")) == 0


def test_paths_stay_as_the_disk_has_them(cafes: Collection, folder: Path) -> None:
    stored = {os.fsencode(entry.path) for entry in cafes.entries()}
    assert stored == {os.fsencode(path) for path in folder.rglob("*.jpg")}
    assert all(entry.path.exists() for entry in cafes.entries())


def test_labels_of_vectors_and_of_files_are_one_too(collection: Collection, folder: Path) -> None:
    x = np.eye(3, collection.model.d, dtype=np.float32)
    collection.add_vectors(x, ["a", "b", "c"], labels=[NFC, NFD, "tea"], model=collection.model.name)
    assert collection.labels() == {NFC: 2, "tea": 1}
    (folder / "labels.tsv").write_text(f"a.jpg\t{NFC}\nb.jpg\t{NFD};tea\n", encoding="utf-8")
    assert read_labels(folder) == {"a.jpg": (NFC,), "b.jpg": (NFC, "tea")}


def test_a_collection_is_found_by_its_name_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: FakeEmbedder
) -> None:
    monkeypatch.setenv("LOOKALIKE_HOME", str(tmp_path))
    assert home.name_for_folder(tmp_path / NFD) == NFC
    assert home.resolve(NFD).name == NFC, "a new one is composed"
    with Collection.create(tmp_path / "collections" / NFD):
        pass
    for spelled in (NFC, NFD):
        assert home.resolve(spelled).name == NFD, "one that is there is found as it is"


@pytest.mark.parametrize("name", LONG)
def test_a_name_as_long_as_the_disk_takes_can_be_saved_under(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    with atomic_write(target) as file:
        file.write(b"1")
    with atomic_write(target) as file:
        file.write(b"22")
    assert target.read_bytes() == b"22"
    x = np.random.default_rng(0).random((20, 8), np.float32)
    index = FlatIndex().add(x)
    index.save(target)
    assert load_index(target).ntotal == 20
    write_faiss(index, target)
    assert read_faiss(target).ntotal == 20
    assert [path.name for path in tmp_path.iterdir()] == [name], "no temporary file is left"


@pytest.mark.parametrize("name", [*LONG, "short", "", os.fsdecode(b"\xff" * 255)])
def test_temporary_names_fit_and_say_whose_they_are(tmp_path: Path, name: str) -> None:
    made = {part_name(name) for _ in range(10)}
    assert len(made) == 10
    for each in made:
        assert len(os.fsencode(each)) <= 143, "file systems that encrypt names take no more"
        assert each.startswith(f".{name[:30]}")
        (tmp_path / each).touch()
    if name:
        work = beside(tmp_path / name, ".part.json")
        work.touch()
        assert work == beside(tmp_path / name, ".part.json"), "work that was begun is found again"
        assert len(os.fsencode(name)) > 240 or work.name == f"{name}.part.json"
        assert beside(tmp_path / f"{name[:-1]}y", ".part.json") != work


def test_a_thumbnail_of_a_long_name_is_kept(collection: Collection, folder: Path, tmp_path: Path) -> None:
    picture(folder / ("a" * 251 + ".jpg"), 1)
    collection.add(folder)
    assert Thumbnails(tmp_path / "cache").get(collection.entry(1), 96).body
    assert len(list((tmp_path / "cache").rglob("*.jpg"))) == 1


# --- file:// ----------------------------------------------------------------------------------------------------------

ODD = ["a.jpg", "with space.jpg", "a%20b#c?.jpg", "Grüße.jpg", "日本.jpg", "100%.jpg", os.fsdecode(b"caf\xe9.jpg")]


@pytest.mark.parametrize("name", ODD)
def test_a_file_url_is_the_path_it_names(
    collection: Collection, folder: Path, name: str, embedder: FakeEmbedder
) -> None:
    path = picture(folder / name, 1)
    picture(folder / "other.jpg", 2)
    collection.add(folder)
    embedder.decoded.clear()
    url = path.as_uri()
    for spelled in (url, url.replace("file:///", "file://localhost/"), url.replace("file:///", "FILE://LocalHost/")):
        (hit, *_) = collection.search(spelled, k=1)
        assert hit.path == path
        assert collection.find(spelled) == hit.id
    assert collection.search([url, (folder / "other.jpg").as_uri()], k=2)
    assert collection.remove(url)
    assert collection.find(path) is None


def test_what_stands_unencoded_is_part_of_the_path(collection: Collection, folder: Path) -> None:
    path = picture(folder / "a b#c?d.jpg", 1)
    collection.add(f"file://{folder}")
    assert collection.search(f"file://{path}", k=1)[0].path == path


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("file://elsewhere/a.jpg", InputError, "'elsewhere' is another"),
        ("file://127.0.0.1/a.jpg", InputError, "another"),
        ("file://localhost", InputError, "full path"),
        ("file://", InputError, "full path"),
        ("file:///no/such%20file.jpg", ImageError, "no such file"),
        ("file:///etc", ImageError, "a folder"),
        ("file:///a%00b", InputError, "expected the name"),
    ],
)
def test_a_file_url_that_names_nothing_here(
    collection: Collection, folder: Path, url: str, error: type[Exception], words: str
) -> None:
    picture(folder / "a.jpg", 1)
    collection.add(folder)
    with pytest.raises(error, match=words):
        collection.search(url)


def test_a_path_object_is_never_a_url(collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(folder / "file:" / "a.jpg", 1)
    collection.add(folder)
    monkeypatch.chdir(folder)
    find: Callable[[object], int | None] = collection.find  # type: ignore[assignment]
    assert find(Path("file:/a.jpg")) == 1

"""Names of collections, where they live, and deleting them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.collection import Collection, home
from lookalike.errors import CollectionError, CollectionLockedError, CollectionNotFoundError, InputError
from tests.collection.fake import pictures
from tests.collection.test_crash import start


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_HOME", str(tmp_path / "home"))


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home.home() == tmp_path / "home"
    assert home.resolve("Fotos 2024").parent.parent == tmp_path / "home"
    assert home.resolve("./a") == home.resolve("x/../a") == tmp_path / "a"
    assert home.resolve(Path("a")) == tmp_path / "a"
    assert home.resolve("/a/b") == Path("/a/b")


def test_home_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOKALIKE_HOME")
    assert "lookalike" in home.home().parts
    assert home.home().is_absolute()


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a\0b", "a\nb", "x" * 300])
def test_bad_names(name: str) -> None:
    with pytest.raises(InputError):
        home.resolve(name)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/a/Pictures", "Pictures"),
        ("/a/my pictures/", "my pictures"),
        ("/a/.hidden", "hidden"),
        ("/a/-rf", "rf"),
        ("/", "pictures"),
        ("/a/...", "pictures"),
        ("/a/Bücher", "Bücher"),
        (os.fsdecode(b"/a/caf\xe9"), "caf\ufffd"),
        ("/a/" + "ä" * 250, "ä" * 100),
    ],
)
def test_name_for_folder(folder: str, name: str) -> None:
    assert home.name_for_folder(folder) == name
    assert home.resolve(name).name == name


def test_last_used(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="no collection was used yet"):
        home.last_used()
    path = tmp_path / os.fsdecode("näme".encode())
    Collection.create(path).close()
    home.remember(path)
    assert home.last_used() == path
    home.delete_collection(path)
    with pytest.raises(CollectionNotFoundError, match="is gone"):
        home.last_used()


def test_list_collections(tmp_path: Path) -> None:
    assert home.list_collections() == []
    for name in ("b", "a"):
        Collection.create(home.resolve(name)).close()
    home.resolve("c").mkdir()
    assert [path.name for path in home.list_collections()] == ["a", "b"]


def test_delete_leaves_everything_else(tmp_path: Path) -> None:
    path = home.resolve("a")
    Collection.create(path).close()
    (path / "letter.txt").write_text("mine")
    home.delete_collection(path)
    assert [item.name for item in path.iterdir()] == ["letter.txt"]
    Collection.create(home.resolve("b")).close()
    home.delete_collection(home.resolve("b"))
    assert not home.resolve("b").exists()


def test_delete_refuses_what_is_not_a_collection(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError):
        home.delete_collection(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "features").mkdir()
    with pytest.raises(CollectionNotFoundError):
        home.delete_collection(tmp_path / "folder")
    (tmp_path / "folder" / "catalog.sqlite").write_text("x")
    with pytest.raises(CollectionError, match="not an SQLite file"):
        home.delete_collection(tmp_path / "folder")
    assert sorted(item.name for item in (tmp_path / "folder").iterdir()) == ["catalog.sqlite", "features"]


def test_delete_takes_a_collection_whose_catalogue_is_damaged() -> None:
    path = home.resolve("a")
    Collection.create(path).close()
    (path / "catalog.sqlite").write_text("x")
    (path / "features" / "letter.txt").write_text("mine")
    (path / "features" / "000001.safetensors").write_text("x")
    home.delete_collection(path)
    assert [item.name for item in path.iterdir()] == ["features"]
    assert [item.name for item in (path / "features").iterdir()] == ["letter.txt"]


def test_delete_goes_on_where_it_stopped(tmp_path: Path) -> None:
    for left in (
        ["writer.lock"],
        ["writer.lock", "features", "catalog.sqlite"],
        ["writer.lock", ".catalog.sqlite.7.part"],
    ):
        path = tmp_path / "c"
        path.mkdir()
        for name in left:
            (path / name).mkdir() if name == "features" else (path / name).write_text("x")
        (path / "letter.txt").write_text("mine")
        with pytest.raises(CollectionError):
            home.delete_collection(path)
        assert sorted(item.name for item in path.iterdir()) == sorted([*left, "letter.txt"])
        (path / "letter.txt").unlink()
        home.delete_collection(path)
        assert not path.exists()


def test_delete_refuses_while_somebody_writes(collection: Collection, folder: Path) -> None:
    pictures(folder, 2)
    process = start("hold", collection.path, folder)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        with pytest.raises(CollectionLockedError):
            home.delete_collection(collection.path)
    finally:
        process.communicate("go on\n" * 100)
    assert len(collection) == 2

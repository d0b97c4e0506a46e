"""The user's own models: taken in whole or not at all, and found again by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.errors import CollectionError, InputError, ModelError
from lookalike.features import store
from lookalike.features.embedder import Embedder
from lookalike.features.models import MODELS, ModelCard, find_model, get_model, load_model
from lookalike.features.onnx_import import Described, card_of_file, take_in
from tests.features.tiny import D, tiny


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOKALIKE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def taken(path: Path, name: str = "mine", replacing: bool = False) -> ModelCard:
    card = card_of_file(path, Described(name, normalise="half"))
    return take_in(card, {"model": path}, replacing=replacing, calibrating=False)


def test_a_model_is_found_by_name(tmp_path: Path) -> None:
    card = taken(tiny(tmp_path / "a.onnx"))
    assert get_model("mine") == card == find_model("mine")
    assert (card.d, card.input_size, card.layout, card.output) == (D, 16, "uint8 nhwc", "vector")
    assert card.size == (tmp_path / "a.onnx").stat().st_size
    assert load_model(card) == (tmp_path / "a.onnx").read_bytes()
    assert store.names() == ["mine"]


def test_a_model_is_not_replaced_unasked(tmp_path: Path) -> None:
    first = taken(tiny(tmp_path / "a.onnx"))
    other = tiny(tmp_path / "b.onnx", seed=1)
    with pytest.raises(InputError, match=r"there already.*--replace"):
        taken(other)
    assert get_model("mine") == first
    second = taken(other, replacing=True)
    assert second.fingerprint != first.fingerprint and get_model("mine") == second
    assert len(list((store.folder() / "mine").iterdir())) == 2, "the replaced file goes"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", ".hidden", "-x", "a b", "ä", "x" * 101, "efficientnet-lite0", "fast"]
)
def test_names_that_a_model_cannot_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="model name"):
        taken(tiny(tmp_path / "a.onnx"), name)
    assert not store.folder().exists()


def test_a_write_that_fails_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(tiny(tmp_path / "a.onnx"))
    other = tiny(tmp_path / "b.onnx", seed=1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.shutil, "copyfileobj", full)
    with pytest.raises(ModelError, match=r"cannot be kept.*No space left"):
        taken(other, replacing=True)
    assert get_model("mine") == first and load_model(first)


def test_a_folder_without_card_is_no_model(tmp_path: Path) -> None:
    (store.folder() / "mine").mkdir(parents=True)
    (store.folder() / "mine" / "model-0123456789abcdef.onnx").write_bytes(b"half")
    assert store.names() == [] and find_model("mine") is None
    taken(tiny(tmp_path / "a.onnx"))
    assert not (store.folder() / "mine" / "model-0123456789abcdef.onnx").exists()


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b"x" * 500_000])
def test_a_damaged_card(tmp_path: Path, text: bytes) -> None:
    taken(tiny(tmp_path / "a.onnx"))
    (store.folder() / "mine" / "card.json").write_bytes(text)
    with pytest.raises(ModelError, match="is damaged"):
        get_model("mine")
    assert store.names() == ["mine"]


def test_a_card_of_another_name(tmp_path: Path) -> None:
    taken(tiny(tmp_path / "a.onnx"))
    (store.folder() / "mine").rename(store.folder() / "yours")
    with pytest.raises(ModelError, match="expected the card of 'yours', got that of 'mine'"):
        get_model("yours")


def test_a_damaged_file(tmp_path: Path) -> None:
    card = taken(tiny(tmp_path / "a.onnx"))
    (store.folder() / "mine" / str(card.file)).write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match=r"is damaged.*fetch, export or fine-tune it again"):
        Embedder("mine")
    (store.folder() / "mine" / str(card.file)).unlink()
    with pytest.raises(ModelError, match="cannot read"):
        Embedder("mine")


def test_a_card_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    taken(tiny(tmp_path / "a.onnx"))
    path = store.folder() / "mine" / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"file": "../../../etc/passwd"}), "utf-8")
    with pytest.raises(ModelError, match="plain file name"):
        get_model("mine")


def test_a_published_checksum_is_compared(tmp_path: Path) -> None:
    path = tiny(tmp_path / "a.onnx")
    card = dataclasses.replace(card_of_file(path, Described("mine")), sha256="0" * 64)
    with pytest.raises(ModelError, match="as published"):
        take_in(card, {"model": path}, calibrating=False)
    assert find_model("mine") is None


def test_removing(tmp_path: Path) -> None:
    taken(tiny(tmp_path / "a.onnx"))
    (store.folder() / "mine" / "notes.txt").write_text("the user's", "utf-8")
    store.remove("mine")
    assert find_model("mine") is None
    assert [path.name for path in (store.folder() / "mine").iterdir()] == ["notes.txt"]
    for name in ("mine", "fast", "vgg16", "..", ""):
        with pytest.raises(ModelError, match="no model"):
            store.remove(name)


def test_a_collection_of_one_s_own_model(tmp_path: Path, pictures: Path) -> None:
    card = taken(tiny(tmp_path / "a.onnx"))
    with Collection.create(tmp_path / "c.lookalike", "mine") as collection:
        collection.add(pictures)
        query = pictures / "photos/fish/fish-1.jpg"
        assert collection.search(query, k=1)[0].path == query
        assert collection.model == card
        query.rename(tmp_path / "elsewhere.jpg")
        taken(tiny(tmp_path / "b.onnx", seed=1), replacing=True)
        with pytest.raises(ModelError, match="another version of 'mine'"):
            collection.search(tmp_path / "elsewhere.jpg")
        with pytest.raises(ModelError, match="another version of 'mine'"):
            collection.add(pictures)
        store.remove("mine")
        with pytest.raises(ModelError, match="no model is called 'mine'"):
            collection.add(pictures)
        assert len(collection.search(np.ones(D, np.float32), k=3)) == 3, "vectors need no model"
    with pytest.raises((CollectionError, ModelError)):
        Collection.create(tmp_path / "d.lookalike", "mine")


def test_the_packaged_models_need_no_folder() -> None:
    for name, card in MODELS.items():
        assert get_model(name) is card and len(load_model(card)) == card.size

"""`lookalike models` as a command."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command
from tests.features.tiny import tiny


def test_listing(lookalike: Command) -> None:
    outcome = lookalike("models", "list")
    rows = {line.split()[0]: line for line in outcome.lines}
    assert "ready" in rows["efficientnet-lite0"] and "(default)" in rows["efficientnet-lite0"]
    assert "to fetch" in rows["dinov2-small"] and "to export" in rows["vgg16"]
    cards = {card["name"]: card for card in lookalike("models", "list", "--json").json}
    assert cards.keys() == rows.keys()
    assert cards["fast"]["state"] == "ready" and cards["fast"]["d"] == 1280
    assert [name for name, card in cards.items() if card["default"]] == ["efficientnet-lite0"]
    one = lookalike("models", "list", "clip-vit-b32").out
    assert "lookalike models fetch clip-vit-b32" in one and "MIT" in one and "https://" in one
    lookalike("models", "list", "clip").failed_with("did you mean 'clip-vit-b32'")


def test_a_file_of_one_s_own_from_import_to_search(lookalike: Command, tmp_path: Path, pictures: Path) -> None:
    path = tiny(tmp_path / "mine.onnx", layout="float32 nchw")
    lookalike("models", "fetch", path).failed_with("--normalise imagenet")
    outcome = lookalike("models", "fetch", path, "--normalise", "half")
    assert (outcome.code, outcome.out) == (0, "mine\n"), outcome
    assert "mine is ready: 8 numbers a picture" in outcome.err
    lookalike("models", "fetch", path, "--normalise", "half").failed_with("there already", "--replace")
    query = pictures / "photos/fish/fish-1.jpg"
    assert lookalike("index", pictures, "--model", "mine", "--in", "ours").code == 0
    assert str(query) in lookalike("search", query, "--in", "ours", "-k", "1").out
    lookalike("index", pictures, "--model", "fast", "--in", "ours").failed_with("was made with mine")
    outcome = lookalike("models", "remove", "mine")
    assert outcome.code == 0 and "deleted the model mine" in outcome.err
    lookalike("index", pictures, "--in", "ours").failed_with("no model is called 'mine'")
    assert "100.0" in lookalike("search", query, "--in", "ours", "-k", "1").out, "stored vectors need no model"


def test_the_fast_model_indexes(lookalike: Command, pictures: Path) -> None:
    assert lookalike("index", pictures, "--model", "fast").code == 0
    query = pictures / "photos/fish/fish-1.jpg"
    assert str(query) in lookalike("search", query, "-k", "1").out


def test_models_that_are_not_there(lookalike: Command, tmp_path: Path, pictures: Path) -> None:
    lookalike("index", pictures, "--model", "vgg16").failed_with("lookalike models export vgg16")
    lookalike("index", pictures, "--model", "vgg15").failed_with("did you mean 'vgg1")
    lookalike("models", "fetch", "dino").failed_with("no model is called 'dino'")
    lookalike("models", "fetch", tmp_path / "nothing.onnx").failed_with("No such file")
    lookalike("models", "fetch", pictures / "photos/fish/fish-1.jpg").failed_with("no ONNX model")
    lookalike("models", "remove", "fast").failed_with("it is in the package")
    assert lookalike("collections", "list").out == "", "nothing half made stays"


def test_a_damaged_card_hides_nothing(lookalike: Command) -> None:
    folder = lookalike.home / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{", "utf-8")
    outcome = lookalike("models", "list")
    assert outcome.code == 0 and len(outcome.lines) > 10 and "is damaged" in outcome.err
    lookalike("models", "list", "mine").failed_with("is damaged")

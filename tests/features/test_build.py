"""The model in the package is the published checkpoint, converted by the script in ``tools``."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tools import build_fast, build_lite0

from lookalike.data.datasets import starter_folder
from lookalike.features.embedder import Embedder
from lookalike.features.images import decode
from lookalike.features.models import DEFAULT_MODEL, MODELS, load_model


@pytest.fixture(scope="module")
def weights() -> build_lite0.Weights:
    return build_lite0.read_checkpoint(build_lite0.installed_checkpoint())


def run(model: bytes, pictures: np.ndarray) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": pictures}), strict=True))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    paths = sorted(starter_folder().rglob("*.jpg"))[::18]
    return np.stack([decode(path, 224) for path in paths])


def test_the_shipped_model_is_rebuilt_byte_by_byte(weights: build_lite0.Weights) -> None:
    built = build_lite0.build(weights)
    assert hashlib.sha256(built).hexdigest() == MODELS[DEFAULT_MODEL].sha256
    assert built == load_model(MODELS[DEFAULT_MODEL])


def test_float16_storage_keeps_the_features(weights: build_lite0.Weights, pictures: np.ndarray) -> None:
    exact = run(build_lite0.build(weights, np.float32), pictures)
    shipped = run(load_model(MODELS[DEFAULT_MODEL]), pictures)
    for name in ("avg", "logits"):
        a, b = exact[name].astype(np.float64), shipped[name].astype(np.float64)
        cosines = np.einsum("ij,ij->i", a, b) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosines.min() >= 0.9995
    assert (exact["avg"] != shipped["avg"]).any(), "the two graphs were the same, so nothing was compared"


def test_the_embedder_gives_the_graph_s_features(pictures: np.ndarray) -> None:
    raw = run(load_model(MODELS[DEFAULT_MODEL]), pictures)["avg"]
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(Embedder().embed(list(pictures)) - expected).max() < 1e-5


def test_the_network_knows_its_classes(pictures: np.ndarray) -> None:
    """Wrong strides, padding or normalisation would leave it guessing among a thousand classes."""
    paths = sorted((starter_folder() / "photos" / "fish").glob("*.jpg"))[:12]
    logits = run(load_model(MODELS[DEFAULT_MODEL]), np.stack([decode(path, 224) for path in paths]))["logits"]
    assert logits.shape == (len(paths), 1000)
    fishes = [*range(7), *range(389, 398)]  # tench to stingray, barracouta to lionfish
    assert np.mean(np.isin(logits.argmax(axis=1), fishes)) >= 0.5


def test_no_weights_are_strided_wrongly(weights: build_lite0.Weights) -> None:
    assert weights["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert weights["_fc.weight"].shape == (1000, 1280)
    assert all(array.flags.c_contiguous for array in weights.values())
    assert sum(array.size for name, array in weights.items() if "num_batches" not in name) == 4_694_024


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError, match=r"refused builtins\.print"):
        build_lite0.read_checkpoint(path)
    assert capsys.readouterr().out == ""


def test_a_tensor_that_reaches_beyond_its_storage_is_refused() -> None:
    storage = build_lite0._Storage("0", np.dtype("<f4"), 10)
    for offset, shape, strides in ((0, (11,), (1,)), (5, (2, 3), (3, 1)), (0, (2,), (-1,)), (-1, (2,), (1,))):
        with pytest.raises(ValueError, match="reaches to number"):
            build_lite0._resolve(build_lite0._Tensor(storage, offset, shape, strides), np.zeros(10, np.float32))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(224, 3, 2, (0, 1)), (112, 3, 1, (1, 1)), (56, 5, 2, (1, 2))]
)
def test_padding_is_tensorflow_s(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> None:
    assert build_lite0.same_padding(size, kernel, stride) == padding


def test_the_fast_model_is_built_by_its_script(pictures: np.ndarray) -> None:
    """From fewer pictures than the shipped one, and on another processor perhaps: close, not equal byte by byte."""
    built = run(build_fast.build_fast(build_fast.starter_sample(8)), pictures)
    shipped = run(load_model(MODELS["fast"]), pictures)
    assert built.keys() == shipped.keys() == {"avg"}
    a, b = built["avg"].astype(np.float64), shipped["avg"].astype(np.float64)
    cosines = np.einsum("ij,ij->i", a, b) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert np.median(cosines) > 0.9

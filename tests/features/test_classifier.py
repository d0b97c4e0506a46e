"""The classifier read out of the model's file, against the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_tensor, make_tensor_value_info

from lookalike.errors import ModelError
from lookalike.features import classifier, images
from lookalike.features.classifier import load_classifier
from lookalike.features.embedder import Embedded, Embedder
from lookalike.features.models import MODELS, load_model

CARD = MODELS["efficientnet-lite0"]


def test_probabilities_are_those_of_the_model(starter: Path) -> None:
    paths = [*sorted((starter / "photos/windmill").iterdir())[:3], *sorted((starter / "drawings/hat").iterdir())[:3]]
    session = onnxruntime.InferenceSession(load_model(CARD), providers=["CPUExecutionProvider"])
    (logits,) = session.run(
        ["logits"], {"image": np.stack([images.read(path, CARD.input_size).pixels for path in paths])}
    )
    wanted = np.exp(logits - logits.max(axis=1, keepdims=True))
    wanted /= wanted.sum(axis=1, keepdims=True)
    found = [result for _, result in Embedder(CARD).stream(paths) if isinstance(result, Embedded)]
    head = load_classifier(CARD)
    assert head is not None
    unit = np.stack([result.vector for result in found])
    probabilities = head.probabilities(unit, np.array([result.norm for result in found], np.float32))
    np.testing.assert_allclose(probabilities, wanted, atol=1e-5)


def test_the_fast_model_is_read_by_the_classifier_of_the_one_it_was_made_from() -> None:
    fast, own = load_classifier(MODELS["fast"]), load_classifier(CARD)
    assert fast is not None
    assert own is not None
    np.testing.assert_array_equal(fast.weights, own.weights)


def _model(*tensors: TensorProto) -> bytes:
    ends = [make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
    graph = make_graph([make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:], list(tensors))
    return bytes(make_model(graph).SerializeToString())


def _tensor(name: str, kind: int, values: Any) -> TensorProto:
    array = np.asarray(values, np.float16 if kind == TensorProto.FLOAT16 else np.float32)
    return make_tensor(name, kind, array.shape, array.tobytes(), raw=True)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(model: bytes) -> classifier.Classifier | None:
        monkeypatch.setattr(classifier, "load_model", lambda card: model)
        load_classifier.cache_clear()
        return load_classifier(onnx_card)

    import dataclasses

    onnx_card = dataclasses.replace(CARD, name="small", d=2)
    yield run
    load_classifier.cache_clear()


def test_models_with_and_without_a_classifier(read: Any) -> None:
    bias = _tensor("classifier.b", TensorProto.FLOAT, [1, 2, 3])
    found = read(_model(_tensor("classifier.w.stored", TensorProto.FLOAT16, [[1, 2], [3, 4], [5, 6]]), bias))
    np.testing.assert_array_equal(found.weights, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(found.bias, [1, 2, 3])
    assert read(_model(bias)) is None
    assert read(_model()) is None


def test_a_classifier_of_another_shape_is_refused(read: Any) -> None:
    bias = _tensor("classifier.b", TensorProto.FLOAT, [1, 2, 3])
    for weights in ([[1, 2, 3]], [[1, 2], [3, 4]], [1, 2, 3]):
        with pytest.raises(ModelError, match="expected a classifier of 2 features"):
            read(_model(_tensor("classifier.w", TensorProto.FLOAT, weights), bias))
    with pytest.raises(ModelError, match="cannot be read"):
        read(_model(make_tensor("classifier.w", TensorProto.INT64, [3, 2], [1] * 6), bias))


def test_bytes_that_are_no_model_are_refused_or_have_no_classifier(read: Any) -> None:
    whole = _model(
        _tensor("classifier.w", TensorProto.FLOAT, [[1, 2]]), _tensor("classifier.b", TensorProto.FLOAT, [1])
    )
    assert onnx.load_from_string(whole)
    for end in range(1, len(whole), 7):
        try:
            read(whole[:end])
        except ModelError as error:
            assert "cannot be read" in str(error)
    for junk in (b"\xff" * 50, b"\x3a\xff\xff\xff\xff\x0f", b"\x3f"):
        with pytest.raises(ModelError, match="cut short or no ONNX"):
            read(junk)

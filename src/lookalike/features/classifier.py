"""The classifier at the end of a model: from stored features to the probability of a class, without the pictures.

The last layer is linear in the pooled features: logits = W x + b. A collection stores x / ‖x‖ and ‖x‖, so the logits of a
million pictures are one product of matrices. W and b are read out of the model's ONNX file.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike.errors import ModelError
from lookalike.features.graph import fields
from lookalike.features.models import MODELS, ModelCard, load_model

__all__ = ["Classifier", "load_classifier"]

# Fields of the messages in onnx.proto, and what a tensor's numbers are.
_GRAPH, _INITIALIZER, _NAME, _DATA_TYPE, _RAW, _DIMS = 7, 5, 8, 2, 9, 1
_DTYPES: Mapping[int, np.dtype[Any]] = MappingProxyType({1: np.dtype("<f4"), 10: np.dtype("<f2")})
_READ_BY: Mapping[str, str] = MappingProxyType({"fast": "efficientnet-lite0"})  # its features are nearly the same
_WEIGHTS, _BIAS = b"classifier.w", b"classifier.b"


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A linear layer and softmax.

    Attributes
    ----------
    weights : ndarray of float32, shape (classes, d)
    bias : ndarray of float32, shape (classes,)
    """

    weights: FloatArray
    bias: FloatArray

    def probabilities(self, unit: FloatArray, norms: FloatArray) -> FloatArray:
        """Probability of each class.

        Parameters
        ----------
        unit : ndarray of float32, shape (n, d)
            Features of length 1.
        norms : ndarray of float32, shape (n,)
            Their lengths as the model put them out.

        Returns
        -------
        probabilities : ndarray of float32, shape (n, classes)
            Rows sum to 1.
        """
        logits = (unit @ self.weights.T) * norms[:, None] + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits


@functools.lru_cache(maxsize=2)
def load_classifier(card: ModelCard) -> Classifier | None:
    """The classifier in a model's file, or of the model that it was made from; None for a model without one.

    Raises
    ------
    ModelError
        If the file is missing or damaged.
    """
    if card.positions and card.output == card.positions:
        return None  # pooled in another way than what the classifier was trained on
    found = {}
    card = MODELS.get(_READ_BY.get(card.name, ""), card)
    for name, tensor in _initializers(load_model(card)):
        for wanted in (_WEIGHTS, _BIAS):
            if name in (wanted, wanted + b".stored"):
                found[wanted] = _array(tensor)
    if len(found) < 2:
        return None
    weights, bias = found[_WEIGHTS], found[_BIAS]
    if weights.ndim != 2 or bias.shape != weights.shape[:1] or weights.shape[1] != card.d:
        raise ModelError(f"model {card.name!r}: expected a classifier of {card.d} features, got {weights.shape}")
    return Classifier(weights.astype(np.float32), bias.astype(np.float32))


def _initializers(model: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and message of each of the graph's constants."""
    for field, graph in fields(memoryview(model)):
        if field == _GRAPH and isinstance(graph, memoryview):
            for inner, tensor in fields(graph):
                if inner == _INITIALIZER and isinstance(tensor, memoryview):
                    name = next((bytes(v) for f, v in fields(tensor) if f == _NAME and isinstance(v, memoryview)), b"")
                    yield name, tensor


def _array(tensor: memoryview) -> Array:
    shape: list[int] = []
    kind, raw = 0, memoryview(b"")
    for field, value in fields(tensor):
        if field == _DIMS and isinstance(value, int):
            shape.append(value)
        elif field == _DATA_TYPE and isinstance(value, int):
            kind = value
        elif field == _RAW and isinstance(value, memoryview):
            raw = value
    if kind not in _DTYPES or int(np.prod(shape)) * _DTYPES[kind].itemsize != len(raw):
        raise ModelError(f"a classifier that cannot be read: {len(raw):,} bytes for shape {shape}")
    numbers: Array = np.frombuffer(bytes(raw), _DTYPES[kind]).reshape(shape)
    return numbers

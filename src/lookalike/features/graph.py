"""Looking into an ONNX file without the package onnx.

An ONNX file is one protocol buffer. Of that format this needs only how fields are told apart, and its rule that a message
which comes twice is merged: so a further output is appended to the bytes, and nothing that is there is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lookalike.errors import ModelError

__all__ = ["before_pooling", "exposing", "fields"]

# Numbers of fields in onnx.proto3 of ONNX 1.x.
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_OUTPUT = 7, 1, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE = 1, 2, 4
_BYTES = 2
_FLOAT = b"\x12\x04\x0a\x02\x08\x01"  # a ValueInfo's type: a tensor of float32, of any shape

_POOLS = frozenset({"GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax"})
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Identity", "Cast", "Dropout"})
_MOST_STEPS = 32


class _Node(NamedTuple):
    kind: str
    inputs: list[str]
    outputs: list[str]


def before_pooling(data: bytes, output: str) -> str:
    """The name of what an output is the mean or maximum of, or of a map with positions; empty where that is not how it is made.

    Examples
    --------
    >>> from lookalike.features.models import get_model, load_model
    >>> card = get_model("efficientnet-lite0")
    >>> before_pooling(load_model(card), card.output) == card.positions
    True
    """
    try:
        makers = {name: node for node in _nodes(data) for name in node.outputs}
    except ModelError:  # no ONNX file; whoever runs it will say so
        return ""
    for _ in range(_MOST_STEPS):
        node = makers.get(output)
        if node is None or not node.inputs or node.kind not in _POOLS | _RESHAPES:
            return ""
        output = node.inputs[0]
        if node.kind in _POOLS:
            return output
    return ""


def exposing(data: bytes, tensor: str) -> bytes:
    """The same model with one more output, a float tensor that is computed in it anyway; as it is where there is no such tensor."""
    try:
        if not any(tensor in node.outputs for node in _nodes(data)):
            return data
    except ModelError:
        return data
    name = tensor.encode()
    output = _field(_GRAPH_OUTPUT, b"\x0a" + _varint(len(name)) + name + _FLOAT)
    return data + _field(_MODEL_GRAPH, output)


def _nodes(data: bytes) -> Iterator[_Node]:
    for number, graph in fields(memoryview(data)):
        if number != _MODEL_GRAPH or not isinstance(graph, memoryview):
            continue
        for inner, message in fields(graph):
            if inner == _GRAPH_NODE and isinstance(message, memoryview):
                yield _node(message)


def _node(message: memoryview) -> _Node:
    texts = [
        (field, str(value, "utf-8", "replace")) for field, value in fields(message) if isinstance(value, memoryview)
    ]
    inputs, outputs, kinds = (
        [text for field, text in texts if field == wanted] for wanted in (_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE)
    )
    return _Node("".join(kinds), inputs, outputs)


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Fields of a protobuf message: numbers, and everything else as bytes.

    Raises
    ------
    ModelError
        If it is cut short, or no such message.
    """
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            yield tag >> 3, value
            continue
        size, at = _read_varint(message, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, len(message)), at)
        if at + size > len(message):
            raise ModelError("a model file that cannot be read: it is cut short or no ONNX")
        yield tag >> 3, message[at : at + size]
        at += size


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ModelError("a model file that cannot be read: it is cut short or no ONNX")


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _field(number: int, contents: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(contents)) + contents

"""A model's ONNX file at work: loaded, compared with its card, and run on decoded pixels."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike._typing import Array, FloatArray
from lookalike.errors import ModelError
from lookalike.features.cards import LAYOUTS, ModelCard
from lookalike.features.graph import exposing
from lookalike.features.pooling import check_pooling, pooled
from lookalike.features.runtime import onnx_runtime

__all__ = ["Network", "describe", "first_line", "open_session", "runtime_errors"]

_TYPES = MappingProxyType({"tensor(uint8)": LAYOUTS[0], "tensor(float)": LAYOUTS[1]})
_ERRORS = (
    *("EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel"),
    *("NoSuchFile", "NotImplemented", "RuntimeException"),
)
_CODES = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_NOWHERE = Path(__file__).parent / "weights" / "none"
_FLOATS = ("tensor(float)", "tensor(float16)")


class Network:
    """Turns decoded pixels into a vector, as the card says.

    Raises
    ------
    ModelError
        If the file is no ONNX model, or its inputs and outputs are others than the card says.
    """

    def __init__(self, card: ModelCard, data: bytes) -> None:
        self._card = card
        self._session = open_session(exposing(data, card.output) if card.output == card.positions else data, card.name)
        _check(card, self._session)
        if card.layout == LAYOUTS[1]:
            self._mean = np.array(card.mean, np.float32)[:, None, None]
            self._std = np.array(card.std, np.float32)[:, None, None]

    def __call__(self, pixels: NDArray[np.uint8]) -> FloatArray:
        """The vector of one picture, shape (d,), as the model puts it out, not scaled.

        Raises
        ------
        ModelError
            If the model cannot be run, or puts out something else than d finite numbers.
        """
        batch: Array = pixels[None]
        if self._card.layout == LAYOUTS[1]:
            scaled = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / 255
            batch = ((scaled - self._mean) / self._std)[None]
        try:
            (output,) = self._session.run([self._card.output], {self._card.input: batch})
        except runtime_errors() as error:
            raise ModelError(f"model {self._card.name!r} cannot be run: {first_line(error)}") from None
        vector: FloatArray = pooled(output, self._card)[0].astype(np.float32)
        if vector.shape != (self._card.d,):
            raise ModelError(f"model {self._card.name!r}: expected vectors with d={self._card.d}, got {vector.shape}")
        return vector


def runtime_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: classes of its own, which have no base in common."""
    state = onnx_runtime().capi.onnxruntime_pybind11_state
    return tuple(getattr(state, name) for name in _ERRORS)


def first_line(error: Exception) -> str:
    """ONNX Runtime's message without its codes and lists of nodes."""
    said = _CODES.sub("", (str(error).splitlines() or [type(error).__name__])[0])
    return "it is damaged, or another kind of file" if "rotobuf parsing failed" in said else said[:300]


def open_session(data: bytes, name: str) -> Any:
    """A session on one thread, from bytes, which cannot reach for other files.

    Raises
    ------
    ModelError
        If they are no ONNX model that runs here.
    """
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what matters is raised
    # Weights may lie in files that the model names, by default anywhere below the working folder: let there be none.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(_NOWHERE))
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except runtime_errors() as error:
        raise ModelError(f"model {name!r}: this is no ONNX model that can be run here: {first_line(error)}") from None


def describe(session: Any) -> str:
    """Inputs and outputs of a session in words."""
    ends = (session.get_inputs(), session.get_outputs())
    ins, outs = (", ".join(f"{x.name} {x.type[7:-1]} {_shape(x)}" for x in end) for end in ends)
    return f"inputs {ins}; outputs {outs}"


def _shape(end: Any) -> str:
    return "(" + ", ".join(str(n) for n in end.shape) + ")"


def _check(card: ModelCard, session: Any) -> None:
    """Compare a session with the card."""
    inputs = {x.name: x for x in session.get_inputs()}
    outputs = {x.name: x for x in session.get_outputs()}
    side, d = card.input_size, card.d
    shape = (side, side, 3) if card.layout == LAYOUTS[0] else (3, side, side)
    fits = set(inputs) == {card.input} and card.output in outputs
    if fits:
        x, y = inputs[card.input], outputs[card.output]
        fits = _TYPES.get(x.type) == card.layout and _agrees(x.shape[1:], shape) and y.type in _FLOATS
        fits = fits and (len(y.shape) in (3, 4) or (len(y.shape) == 2 and _agrees(y.shape[1:], (d,))))
    if not fits:
        raise ModelError(
            f"model {card.name!r}: expected {card.layout} input {card.input!r} of (n, {', '.join(map(str, shape))}) and "
            f"output {card.output!r} with d={d}, got {describe(session)}"
        )
    if len(outputs[card.output].shape) > 2:
        check_pooling(card, outputs[card.output].shape)


def _agrees(got: list[int | str | None], expected: tuple[int, ...]) -> bool:
    """Whether a shape can be the expected one; what is not a number is left open."""
    return len(got) == len(expected) and all(
        not isinstance(n, int) or n == m for n, m in zip(got, expected, strict=True)
    )

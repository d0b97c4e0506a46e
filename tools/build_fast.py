"""Build the fast model: EfficientNet-Lite0 with 8-bit weights and activations, from the same checkpoint.

    python -m tools.build_fast              writes src/lookalike/features/weights/efficientnet-lite0-int8.safetensors
    python -m tools.build_fast --out x.onnx writes the ONNX file itself

The package holds what the file does not share with the default model's, whose weights it rounds (`lookalike.features.rounded`).

The float32 graph of `build_lite0` runs on starter pictures while the range of every tensor is recorded; then convolutions with
their ReLU6 and sums are computed with 8-bit integers (QDQ: quantize and dequantize nodes, which ONNX Runtime fuses; left out, ReLU6
parts what it could fuse, and nothing is gained). Weights have a scale for each output channel: with one for all, depthwise
convolutions are useless (cosine 0.74 to float32). They have 7 bits, since pairs of 8-bit products overflow 16 bits on processors
without VNNI, silently. The first convolution stays in float32, and so does the average over positions. There is no classifier.

The ranges are sums and maxima of float32, whose last bits depend on the processor; so the bytes may, too. What is shipped is
what the card's SHA-256 says.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from tools.build_lite0 import SIZE, build, installed_checkpoint, read_checkpoint

from lookalike.data.datasets import starter_folder
from lookalike.features.images import decode
from lookalike.features.rounded import Weights, read_rounded, write_difference

WEIGHTS = Path(__file__).resolve().parents[1] / "src/lookalike/features/weights"
SOURCE, OUT = WEIGHTS / "efficientnet-lite0.onnx", WEIGHTS / "efficientnet-lite0-int8.safetensors"
PICTURES = 120  # more change nothing that can be measured


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Feeds pictures one by one."""

    def __init__(self, pictures: list[Path]) -> None:
        self._batches: Iterator[dict[str, Any]] = ({"image": decode(path, SIZE)[None]} for path in pictures)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


def build_fast(pictures: list[Path]) -> bytes:
    """The serialized model, its ranges measured on `pictures`."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        onnx.save(_without_classifier(build(read_checkpoint(installed_checkpoint()), np.float32)), source)
        quantize_static(
            source,
            target,
            _Pictures(pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "Clip"],
            nodes_to_exclude=["stem.conv.node", "stem.relu6.node"],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        model = onnx.load(target)
    model.producer_name = "lookalike tools/build_fast.py"
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _without_classifier(data: bytes) -> onnx.ModelProto:
    """The same network up to its pooled features."""
    model = onnx.load_from_string(data)
    graph = model.graph
    for parts, wanted in (
        (graph.node, lambda node: node.output[0] != "logits"),
        (graph.output, lambda end: end.name != "logits"),
        (graph.initializer, lambda tensor: not tensor.name.startswith("classifier.")),
    ):
        kept = [part for part in parts if wanted(part)]
        del parts[:]
        parts.extend(kept)
    return model


def shared_weights(whole: bytes, source: bytes) -> list[Weights]:
    """Where the weights stand that the two files share, one in 8 bits, the other in float16."""
    quantized, stored = _initializers(whole), _initializers(source)
    found = []
    for name, tensor in quantized.items():
        if name.endswith(".w_quantized"):
            weight = name.removesuffix("_quantized")
            like, scales = stored[f"{weight}.stored"], quantized[f"{weight}_scale"]
            assert like.shape == tensor.shape, weight
            assert scales.shape == tensor.shape[:1], weight
            found.append(
                Weights(_place(whole, tensor), _place(whole, scales), _place(source, like), len(tensor), tensor[0].size)
            )
    assert len({part.at for part in found}) == len(found)
    return found


def _initializers(data: bytes) -> dict[str, Any]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(data).graph.initializer}


def _place(data: bytes, array: Any) -> int:
    """Where the numbers of an array stand in a file; equal ones are as good as each other."""
    at = data.find(array.tobytes())
    assert at >= 0
    return at


def starter_sample(count: int = PICTURES) -> list[Path]:
    """Starter pictures, evenly spaced, so that every folder is there."""
    pictures = sorted(starter_folder().rglob("*.jpg"))
    return [pictures[i * len(pictures) // count] for i in range(count)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the 8-bit EfficientNet-Lite0 from its published checkpoint.")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    model = build_fast(starter_sample())
    if options.out.suffix == ".onnx":
        options.out.write_bytes(model)
    else:
        source = SOURCE.read_bytes()
        write_difference(options.out, model, source, shared_weights(model, source))
        assert read_rounded(options.out, source) == model
    print(f"{options.out}: {len(model):,} bytes, SHA-256 {hashlib.sha256(model).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

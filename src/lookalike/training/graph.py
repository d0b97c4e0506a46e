"""Networks as ONNX, in the form that lookalike's own models have."""

from __future__ import annotations

import io
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import Array
from lookalike.data.datasets import starter_folder
from lookalike.errors import ModelError
from lookalike.features.images import decode
from lookalike.features.runtime import onnx_runtime

if TYPE_CHECKING:
    from lookalike.training.modules import Extractor

__all__ = ["AGREEMENT", "check_agreement", "cosines_to_torch", "to_onnx"]

AGREEMENT = 0.9999
"""Cosine that the graph's vectors have to those of the network, at least."""

_MAX_BYTES = 1 << 30  # of a model in lookalike


def to_onnx(network: Extractor, size: int, name: str) -> bytes:
    """``image`` uint8 (n, size, size, 3) to ``features`` float32 (n, d).

    Raises
    ------
    ModelError
        If the network is too large, or cannot be written as ONNX.
    """
    import torch

    need = sum(x.numel() * x.element_size() for x in network.state_dict().values())
    if need > 0.98 * _MAX_BYTES:
        raise ModelError(f"{name} has {need / 1e6:,.0f} MB of weights; models may have {_MAX_BYTES / 1e6:,.0f} MB here")
    example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.CRITICAL)
    logging.getLogger("onnxscript").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own insides
        try:
            program = torch.onnx.export(
                network.cpu().eval(), (example,), None, input_names=["image"], output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("n")},), dynamo=True, verbose=False,
            )  # fmt: skip
        except (torch.onnx.OnnxExporterError, RuntimeError, NotImplementedError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"{name} cannot be written as ONNX by PyTorch {torch.__version__}: {reason[:200]}"
            ) from None
    target = io.BytesIO()
    program.save(target)
    return target.getvalue()


def cosines_to_torch(model: bytes, network: Extractor, size: int, pictures: int = 4) -> Array:
    """Cosine of the graph's vectors to the network's, for some starter pictures."""
    import torch

    onnxruntime = onnx_runtime()
    paths = sorted(starter_folder().rglob("*.jpg"))
    squares = np.stack([decode(path, size) for path in paths[:: max(len(paths) // pictures, 1)][:pictures]])
    with torch.inference_mode():
        a = network.cpu().eval()(torch.from_numpy(squares)).numpy().astype(np.float64)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    b = session.run(["features"], {"image": squares})[0].astype(np.float64)
    result: Array = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-300)
    return result


def check_agreement(model: bytes, network: Extractor, size: int, name: str) -> float:
    """The least of `cosines_to_torch`.

    Raises
    ------
    ModelError
        If it is below `AGREEMENT`, or no number.
    """
    least = float(cosines_to_torch(model, network, size).min())
    if not least >= AGREEMENT:
        raise ModelError(
            f"{name}: the exported graph gives other vectors than PyTorch does (cosine {least:.4f}, expected {AGREEMENT} "
            "or more); it is not kept"
        )
    return least

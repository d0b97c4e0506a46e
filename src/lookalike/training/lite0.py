"""The weights of the model in the package, under the names that timm gives them.

In the package batch normalisation is folded into the convolutions: what is left of each is a bias. timm's network has its
normalisations still, so they are set to ``1 · (x − 0) / sqrt((1 − ε) + ε) + bias``, which is adding the bias.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike.errors import ModelError
from lookalike.features.model_list import DEFAULT_MODEL, MODELS
from lookalike.features.models import load_model

__all__ = ["packaged_weights", "renamed"]

EPSILON = 1e-3
_PARTS = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")}
_FIRST = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}  # blocks that do not expand


def packaged_weights(stages: list[int]) -> dict[str, FloatArray]:
    """The weights for timm's ``tf_efficientnet_lite0`` without a classifier.

    Parameters
    ----------
    stages : list of int
        How many blocks each stage of timm's network has.

    Raises
    ------
    ModelError
        If the file in the package is damaged.
    """
    import onnx

    graph = onnx.load_from_string(load_model(MODELS[DEFAULT_MODEL])).graph
    tensors = {x.name.removesuffix(".stored"): onnx.numpy_helper.to_array(x) for x in graph.initializer}
    return dict(renamed(tensors, stages))


def renamed(tensors: Mapping[str, Array], stages: list[int]) -> Iterator[tuple[str, Any]]:
    """timm's name of each weight, with the weight in float32."""
    yield from _convolution(tensors, "stem", "conv_stem", "bn1")
    number = 0
    for stage, blocks in enumerate(stages):
        for at in range(blocks):
            ours, theirs = f"block{number}", f"blocks.{stage}.{at}"
            for part, (conv, norm) in (_PARTS if f"{ours}.expand.w" in tensors else _FIRST).items():
                yield from _convolution(tensors, f"{ours}.{part}", f"{theirs}.{conv}", f"{theirs}.{norm}")
            number += 1
    yield from _convolution(tensors, "head", "conv_head", "bn2")


def _convolution(tensors: Mapping[str, Array], ours: str, conv: str, norm: str) -> Iterator[tuple[str, Any]]:
    try:
        weight, bias = (tensors[f"{ours}.{part}"].astype(np.float32) for part in "wb")
    except KeyError as error:
        raise ModelError(f"model {DEFAULT_MODEL!r}: expected weights named {error} in its file") from None
    yield f"{conv}.weight", weight
    yield f"{norm}.weight", np.ones_like(bias)
    yield f"{norm}.bias", bias
    yield f"{norm}.running_mean", np.zeros_like(bias)
    yield f"{norm}.running_var", np.full_like(bias, 1 - EPSILON)
    yield f"{norm}.num_batches_tracked", np.zeros((), np.int64)

"""The packaged weights in timm's network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lookalike.features.embedder import Embedder
from lookalike.features.images import decode
from lookalike.training.building import build
from lookalike.training.sources import find_source


def test_timm_s_network_gives_the_packaged_model_s_vectors(starter: Path) -> None:
    paths = sorted(starter.rglob("*.jpg"))[::30]
    network, source = build(find_source("lite0"))
    assert source.timm == "tf_efficientnet_lite0" and source.licence == "Apache-2.0"
    with torch.inference_mode():
        ours = network(torch.from_numpy(np.stack([decode(path, 224) for path in paths]))).numpy().astype(np.float64)
    ours /= np.linalg.norm(ours, axis=1, keepdims=True)
    cosines = (ours * Embedder().embed(paths)).sum(axis=1)
    assert len(cosines) > 10 and cosines.min() >= 0.999
    assert (ours @ ours.T)[np.triu_indices(len(ours), 1)].max() < 0.9, "the pictures are different ones"

"""The network that learns: a backbone of timm between bytes and vector. Imports torch; import it where it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lookalike.errors import InputError, ModelError

__all__ = ["Extractor", "pooled"]

OWN = "own"
"""The pooling that the network itself has, with what stands between it and the classifier."""


class Extractor(nn.Module):
    """Bytes of pictures (n, size, size, 3) to vectors (n, d).

    Parameters
    ----------
    backbone : timm's network
        Made without a classifier.
    pooling : str
        `OWN`, average, max, gem or cls.
    mean, std : sequence of float
        Of each colour, from 0 to 1.
    """

    def __init__(self, backbone: Any, pooling: str, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.head: Any = None
        self.register_buffer("mean", 255 * torch.tensor(mean, dtype=torch.float32)[:, None, None], persistent=False)
        self.register_buffer(
            "scale", 1 / (255 * torch.tensor(std, dtype=torch.float32)[:, None, None]), persistent=False
        )

    def put_head(self, d_in: int, d_out: int) -> None:
        """A linear layer behind the pooling, which at first changes nothing."""
        self.head = nn.Linear(d_in, d_out)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(d_out, d_in))
            self.head.bias.zero_()

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the backbone makes of pictures, pooled, without the head."""
        x = (pixels.permute(0, 3, 1, 2).float() - self.mean) * self.scale
        positions = self.backbone.forward_features(x)
        if self.pooling == OWN:
            return self.backbone.forward_head(positions, pre_logits=True)
        return pooled(positions, self.pooling, self.backbone)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.features(pixels)
        return x if self.head is None else self.behind(x)

    def behind(self, features: torch.Tensor) -> torch.Tensor:
        """The head's vectors, from features of any length."""
        return self.head(functional.normalize(features, dim=1))

    def train(self, mode: bool = True) -> Extractor:
        """As torch's, but batch normalisation keeps the statistics it has: batches here are too small for better ones."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def pooled(x: torch.Tensor, pooling: str, backbone: Any) -> torch.Tensor:
    """(n, d) from maps (n, d, h, w) or (n, h, w, d), or from tokens (n, tokens, d)."""
    if x.ndim == 2:
        raise InputError("pooling: this network puts out one vector, nothing is left to pool; leave --pooling out")
    prefix = 0
    if x.ndim == 4:
        first = getattr(backbone, "output_fmt", "") != "NHWC" and x.shape[1] == backbone.num_features
        x = (x.flatten(2).transpose(1, 2) if first else x.flatten(1, 2)).contiguous()
    elif x.ndim == 3:
        prefix = int(getattr(backbone, "num_prefix_tokens", 0) or 0)
    else:
        raise ModelError(f"expected maps or tokens of this network, got shape {tuple(x.shape)}")
    if pooling == "cls":
        if not prefix:
            raise InputError("pooling: this network has no class token; expected avg, max or gem")
        return x[:, 0]
    x = x[:, prefix:]
    if pooling == "average":
        return x.mean(dim=1)
    if pooling == "max":
        return x.amax(dim=1)
    return x.clamp(min=1e-6).pow(3).mean(dim=1).pow(1 / 3)  # GeM, Radenović et al. 2018, with p = 3

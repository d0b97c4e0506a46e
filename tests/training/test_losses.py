"""The losses against their definitions, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lookalike.training.losses import ProxyAnchor, Softmax

RNG = np.random.default_rng(0)
X, P = RNG.normal(size=(5, 7)), RNG.normal(size=(3, 7))
TARGETS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0]], float)
COSINES = (X / np.linalg.norm(X, axis=1, keepdims=True)) @ (P / np.linalg.norm(P, axis=1, keepdims=True)).T


def _of(loss: type[torch.nn.Module]) -> float:
    value = loss(torch.tensor(P))(torch.tensor(X, dtype=torch.float32), torch.tensor(TARGETS, dtype=torch.float32))
    return float(value.detach())


def test_softmax() -> None:
    total = 0.0
    for cosines, targets in zip(COSINES / 0.05, TARGETS, strict=True):
        shares = np.exp(cosines - cosines.max())
        logs = np.log(shares / shares.sum())
        total -= (logs * targets / targets.sum()).sum()
    assert _of(Softmax) == pytest.approx(total / 5, rel=1e-4)


def test_proxy_anchor() -> None:
    near, far = [], []
    for label in range(3):
        own, others = COSINES[TARGETS[:, label] > 0, label], COSINES[TARGETS[:, label] == 0, label]
        near.append(math.log(1 + sum(math.exp(-32 * (s - 0.1)) for s in own)))
        far.append(math.log(1 + sum(math.exp(32 * (s + 0.1)) for s in others)))
    assert _of(ProxyAnchor) == pytest.approx(sum(near) / 2 + sum(far) / 3, rel=1e-4), "two labels are in the batch"


def test_proxy_anchor_of_nothing_has_a_gradient() -> None:
    loss = ProxyAnchor(torch.tensor(P))
    x = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    loss(x, torch.ones((5, 3))).backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert torch.isfinite(loss.proxies.grad).all()

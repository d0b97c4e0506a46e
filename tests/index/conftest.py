"""Small data and indexes that are built once; what a test changes it builds anew from the same centroids."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import lookalike as la

D, N, NLIST, M = 16, 1500, 12, 4
METRICS = ["l2", "ip", "cosine"]


@functools.cache
def base() -> np.ndarray:
    """Clumps of points, away from the origin, read-only."""
    rng = np.random.default_rng(11)
    x = (rng.normal(0.5, 1, (30, D)).repeat(N // 30, axis=0) + 0.4 * rng.normal(size=(N, D))).astype(np.float32)
    x.flags.writeable = False
    return x


@functools.cache
def queries() -> np.ndarray:
    rng = np.random.default_rng(12)
    return (base()[rng.choice(N, 40, replace=False)] + 0.2 * rng.normal(size=(40, D))).astype(np.float32)


@functools.cache
def centroids(nbits: int, metric: str, by_residual: bool) -> tuple[np.ndarray, np.ndarray]:
    """Coarse centroids and a codebook drawn from the data: as good as trained for what is tested here."""
    rng = np.random.default_rng(13)
    x = base() / np.linalg.norm(base(), axis=1, keepdims=True) if metric == "cosine" else base()
    coarse = x[rng.choice(N, NLIST, replace=False)]
    nearest = np.square(x[:, None] - coarse).sum(axis=2).argmin(axis=1)
    rest = x - coarse[nearest] if by_residual else x
    codebook = np.stack([rest[rng.choice(N, 1 << nbits, replace=nbits > 10), j * 4 : j * 4 + 4] for j in range(M)])
    codebook = codebook + 1e-3 * rng.normal(size=codebook.shape)  # no two are equal
    return coarse.astype(np.float32), codebook.astype(np.float32)


def empty(metric: str = "l2", nbits: int = 6, by_residual: bool = True, **more: Any) -> la.IVFPQIndex:
    """An `IVFPQIndex` that is trained and holds nothing."""
    index = la.IVFPQIndex(nlist=NLIST, m=M, nbits=nbits, metric=metric, by_residual=by_residual, **more)
    return index.set_centroids(*centroids(nbits, metric, by_residual))


@functools.cache
def filled(metric: str = "l2", nbits: int = 6, by_residual: bool = True) -> la.IVFPQIndex:
    """The same with `base()`; not to be changed."""
    return empty(metric, nbits, by_residual).add(base())


@functools.cache
def trained(kind: str, metric: str = "l2", rotation: str | None = None) -> Any:
    """An index of each kind with `base()`, trained on it; not to be changed."""
    if kind == "flat":
        return la.FlatIndex(metric).add(base())
    if kind == "pq":
        return la.PQIndex(m=M, nbits=5, metric=metric, rotation=rotation).train(base()).add(base())
    index = la.IVFPQIndex(nlist=NLIST, m=M, nbits=5, metric=metric, rotation=rotation)
    return index.train(base()).add(base())


KINDS = ["flat", "pq", "ivfpq"]


@pytest.fixture
def xb() -> np.ndarray:
    return base()


@pytest.fixture
def xq() -> np.ndarray:
    return queries()


def same(one: Any, other: Any) -> None:
    """Two search results are equal, to the last bit."""
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.distances, other.distances)

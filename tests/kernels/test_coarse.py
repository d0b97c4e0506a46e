"""Scores in products of bytes: no further off than they say, and what stands on them is exact."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from lookalike.kernels import assign as kernels_assign
from lookalike.kernels import coarse
from lookalike.kernels.layout import ByteTiles, Tiles, aligned_empty
from lookalike.kernels.target import available
from lookalike.quantizers.kmeans import assign
from tests import reference
from tests.kernels.conftest import examples


def scored(x: np.ndarray, tiles: ByteTiles) -> tuple[np.ndarray, np.ndarray]:
    n, d = x.shape
    packed, scores = (
        aligned_empty((n, -(-d // 16) * 16), np.uint8),
        aligned_empty((n, 64 * len(tiles.columns)), np.float32),
    )
    slack = np.empty(n, np.float32)
    coarse.score(x, tuple(tiles), packed, scores, slack)
    return scores, slack


@examples(40)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 9),
    k=st.integers(128, 300),
    d=st.integers(16, 70),
    by_l2=st.booleans(),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    shift=st.sampled_from([0.0, 3.0]),
)
def test_scores_are_within_their_bound(seed, n, k, d, by_l2, scale, shift) -> None:
    if not available():  # the plain path scores in floats
        assert kernels_assign.score_bytes is kernels_assign.score_bytes_plain
        return
    rng = np.random.default_rng(seed)
    x, centroids = (scale * (rng.normal(size=(rows, d)) ** 3 + shift) for rows in (n, k))
    x, centroids = x.astype(np.float32), centroids.astype(np.float32)
    tiles = ByteTiles.of(centroids, by_l2)
    scores, slack = scored(x, tiles)
    middle = centroids.mean(axis=0, dtype=np.float64).astype(np.float32).astype(np.float64)
    moved, own = centroids - middle, x - (middle if by_l2 else 0)
    exact = -own @ moved.T + (np.square(moved).sum(axis=1) / 2 if by_l2 else 0)
    assert (np.abs(scores[:, :k] - exact) <= slack[:, None] / 2 * 1.001).all()
    assert np.isinf(scores[:, k:]).all()
    # and the order of true scores is that of distances, or products
    order = reference.squared_distances(x, centroids) if by_l2 else -(x.astype(np.float64) @ centroids.T)
    np.testing.assert_array_equal(exact.argmin(axis=1), order.argmin(axis=1))


@examples(20)
@given(seed=st.integers(0, 2**32), k=st.integers(128, 400), d=st.integers(16, 40), spread=st.sampled_from([0.01, 1.0]))
def test_the_nearest_centroid_is_the_nearest(seed, k, d, spread) -> None:
    rng = np.random.default_rng(seed)
    centroids = (3 + rng.normal(size=(k, d))).astype(np.float32)
    x = (centroids[rng.integers(0, k, 200)] + spread * rng.normal(size=(200, d))).astype(np.float32)
    exact = reference.squared_distances(x, centroids)
    found, distances = assign(x, centroids)
    np.testing.assert_allclose(exact[np.arange(200), found], exact.min(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(distances, exact.min(axis=1), rtol=1e-4, atol=1e-5)


def test_equal_centroids_and_queries_of_any_size() -> None:
    centroids = np.zeros((200, 20), np.float32)
    centroids[150:] = 1
    for x in (np.zeros((3, 20), np.float32), np.full((3, 20), 1e5, np.float32), np.full((3, 20), 1e-30, np.float32)):
        found, _ = assign(x, Tiles.of(centroids[None]))
        assert found.tolist() == [150 if x[0, 0] > 1 else 0] * 3


def test_few_or_short_centroids_have_no_bytes() -> None:
    rng = np.random.default_rng(0)
    assert len(ByteTiles.of(rng.normal(size=(127, 32)).astype(np.float32), True).columns) == 0
    assert len(ByteTiles.of(rng.normal(size=(500, 15)).astype(np.float32), True).columns) == 0
    assert Tiles.of(rng.normal(size=(8, 500, 16)).astype(np.float32)).coarse[0].shape[0] == 0
    assert len(ByteTiles.of(rng.normal(size=(500, 16)).astype(np.float32), True).columns) == 8

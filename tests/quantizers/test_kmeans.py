"""k-means and assignment."""

from __future__ import annotations

import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import lookalike as la
from lookalike.quantizers import kmeans
from tests import reference


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Twenty clumps of a hundred points."""
    rng = np.random.default_rng(1)
    centres = rng.normal(0, 10, (20, 8))
    return (centres.repeat(100, axis=0) + rng.normal(size=(2000, 8))).astype(np.float32)


def error(x: np.ndarray, centroids: np.ndarray) -> float:
    return float(reference.nearest(x, centroids)[1].mean())


@pytest.mark.parametrize("init", ["random", "k-means++"])
def test_native_is_repeatable_and_as_good_as_the_libraries(points, init) -> None:
    one = kmeans.kmeans_native(points, 32, 3, init=init)
    np.testing.assert_array_equal(one, kmeans.kmeans_native(points, 32, 3, init=init))
    assert not np.array_equal(one, kmeans.kmeans_native(points, 32, 4, init=init))
    assert one.dtype == np.float32
    rivals = [error(points, kmeans.kmeans_faiss(points, 32, seed)) for seed in range(5)]
    assert error(points, one) <= 1.25 * max(rivals)


def test_the_points_that_are_given_stay_as_they_are(points) -> None:
    before = points.copy()
    for method in kmeans.KMEANS.values():
        method(points, 8, 0)
    np.testing.assert_array_equal(points, before)


def test_k_means_plus_plus_finds_every_clump(points) -> None:
    """Seeds far from each other leave no clump of twenty without a centroid; random ones do."""
    centroids = kmeans.kmeans_native(points, 40, 0, init="k-means++")
    clumps = points.reshape(20, 100, 8).mean(axis=1)
    assert reference.nearest(clumps, centroids)[1].max() < 4


def test_more_iterations_do_not_worsen() -> None:
    x = np.random.default_rng(2).normal(size=(1000, 4)).astype(np.float32)
    errors = [error(x, kmeans.kmeans_native(x, 16, 0, iterations=n, tolerance=0)) for n in (1, 3, 10, 30)]
    assert errors == sorted(errors, reverse=True)


def test_as_many_centroids_as_points() -> None:
    x = np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32)
    centroids = kmeans.kmeans_native(x, 50, 0)
    np.testing.assert_array_equal(np.sort(centroids, axis=0), np.sort(x, axis=0))


def test_empty_clusters_are_repaired() -> None:
    """Half of the points are one: half of the random seeds fall on it, and all but one of those have no points."""
    rng = np.random.default_rng(0)
    x = np.concatenate([np.zeros((500, 4)), rng.normal(5, 1, (500, 4))]).astype(np.float32)
    for seed in range(5):
        centroids = kmeans.kmeans_native(x, 64, seed, iterations=30)
        used = np.unique(reference.nearest(x, centroids)[0])
        assert len(used) >= 50


def test_equal_points_are_their_own_centroid() -> None:
    x = np.full((300, 5), 2.5, np.float32)
    centroids = kmeans.kmeans_native(x, 16, 0)
    assert np.isfinite(centroids).all()
    assert error(x, centroids) < 1e-3
    zeros = kmeans.kmeans_native(np.zeros((300, 5), np.float32), 16, 0)
    assert not zeros.any()


@pytest.mark.parametrize("name", sorted(kmeans.KMEANS))
def test_every_named_method_finds_the_clumps(points, name) -> None:
    centroids = kmeans.train_centroids(points, 20, name, 0, "test")
    assert centroids.shape == (20, 8)
    assert centroids.dtype == np.float32
    assert error(points, centroids) < 300  # one centroid for all: about 800
    if name != "faiss":
        np.testing.assert_array_equal(centroids, kmeans.train_centroids(points, 20, name, 0, "test"))


def test_a_method_of_ones_own(points) -> None:
    """Ten lines are enough: Lloyd's algorithm, spelt out."""

    def mine(x: np.ndarray, k: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        centroids = x[rng.choice(len(x), k, replace=False)]
        for _ in range(5):
            nearest = np.square(x[:, None] - centroids).sum(axis=2).argmin(axis=1)
            for c in range(k):
                if (nearest == c).any():
                    centroids[c] = x[nearest == c].mean(axis=0)
        return centroids

    index = la.IVFPQIndex(nlist=8, m=2, nbits=4, kmeans=mine).train(points).add(points)
    assert (index.search(points, k=1, nprobe=8).ids[:, 0] >= 0).all()
    np.testing.assert_array_equal(index.coarse_centroids, mine(points, 8, 0))


@pytest.mark.parametrize(
    "broken",
    [
        lambda x, k, seed: x[: k - 1],
        lambda x, k, seed: np.full((k, x.shape[1]), np.nan),
        lambda x, k, seed: np.zeros((k, x.shape[1] + 1)),
    ],
)
def test_a_method_that_returns_something_else_is_found_out(points, broken) -> None:
    with pytest.raises(la.TrainingError, match=r"expected finite centroids \(20, 8\)"):
        kmeans.train_centroids(points, 20, broken, 0, "test")


def test_fewer_points_than_centroids(points) -> None:
    with pytest.raises(la.TrainingError, match=r"64.*17"):
        kmeans.train_centroids(points[:17], 64, "native", 0, "test")


def test_native_itself_says_that_points_are_too_few() -> None:
    with pytest.raises(la.TrainingError, match="at least k=4 points, got 3"):
        kmeans.kmeans_native(np.eye(3, dtype=np.float32), 4)


def test_few_points_are_warned_about_with_what_to_change(points) -> None:
    with pytest.warns(la.LookalikeWarning, match=r"100 training points for 16 centroids; give at least 624") as caught:
        kmeans.train_centroids(points[:100], 16, "native", 0, "test")
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kmeans.train_centroids(points[:624], 16, "native", 0, "test")


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(la.InputError, match=r"native.*faiss.*sklearn.*minibatch.*magic"):
        kmeans.get_kmeans("magic")


def test_more_points_than_help_are_sampled(points) -> None:
    seen = []

    def spy(x: np.ndarray, k: int, seed: int) -> np.ndarray:
        seen.append(x)
        return x[:k]

    kmeans.train_centroids(points, 4, spy, 0, "test")
    assert len(seen[0]) == 256 * 4
    assert {row.tobytes() for row in seen[0]} <= {row.tobytes() for row in points}


# --- assignment ------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 60), k=st.integers(1, 90), d=st.integers(1, 40))
def test_assign_is_the_nearest(seed, n, k, d) -> None:
    rng = np.random.default_rng(seed)
    x, centroids = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(k, d)).astype(np.float32)
    assigned, distances = kmeans.assign(x, centroids)
    every = reference.squared_distances(x, centroids)
    mine = every[np.arange(n), assigned]
    assert (mine <= every.min(axis=1, initial=np.inf) * (1 + 1e-5) + 1e-12).all()
    np.testing.assert_allclose(distances, mine, rtol=1e-5, atol=1e-12)


def near_ties(rng: np.random.Generator, n: int, k: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Points that have many centroids at very nearly one distance, far from the origin."""
    middle = rng.normal(size=(1, d)) * 20
    spokes = rng.normal(size=(k, d))
    centroids = middle + 3 * spokes / np.linalg.norm(spokes, axis=1, keepdims=True)
    return (middle + 1e-6 * rng.normal(size=(n, d))).astype(np.float32), centroids.astype(np.float32)


@pytest.mark.parametrize("ties", [False, True])
def test_batches_and_threads_do_not_change_an_assignment(ties) -> None:
    rng = np.random.default_rng(5)
    x, centroids = rng.normal(size=(5000, 24)).astype(np.float32), rng.normal(size=(100, 24)).astype(np.float32)
    if ties:
        x, centroids = near_ties(rng, 5000, 100, 24)
    whole = kmeans.assign(x, centroids, threads=1)
    for threads in (2, 3, 8):
        for one, other in zip(whole, kmeans.assign(x, centroids, threads=threads), strict=True):
            np.testing.assert_array_equal(one, other)
    for first in (*range(40), 4090, 4096, 4999):
        for size in (1, 2, 5, 17):
            part = kmeans.assign(x[first : first + size], centroids)
            np.testing.assert_array_equal(part[0], whole[0][first : first + size])
            np.testing.assert_array_equal(part[1], whole[1][first : first + size])


def test_assign_takes_any_layout() -> None:
    rng = np.random.default_rng(6)
    x, centroids = rng.normal(size=(100, 12)).astype(np.float32), rng.normal(size=(20, 12)).astype(np.float32)
    wanted = kmeans.assign(x, centroids)[0]
    np.testing.assert_array_equal(kmeans.assign(np.asfortranarray(x), np.asfortranarray(centroids))[0], wanted)
    np.testing.assert_array_equal(kmeans.assign(x.repeat(2, axis=0)[::2], centroids)[0], wanted)

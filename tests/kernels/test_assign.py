"""Assignment and encoding: the nearest by float32, the same whatever the path."""

from __future__ import annotations

import functools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numba import njit

from lookalike.kernels import assign
from lookalike.kernels.layout import Tiles
from lookalike.kernels.target import available
from tests import reference
from tests.kernels.conftest import examples

SETTLE = [assign.settle_plain] + ([assign.settle_simd] if available() else [])


@functools.cache  # compiled once, not for each example
def runner(settle):
    @njit
    def run(x, scores, centroids, largest, assigned, distances):
        for i in range(x.shape[0]):
            rounding = assign.rounding_of_piece(x, i, 0, x.shape[1], largest)
            assigned[i] = settle(x, i, 0, scores, i, rounding, centroids, True)
            distances[i] = assign.distance_to(x[i], centroids[assigned[i]], True)

    return run


def run_settle(settle, x: np.ndarray, centroids: np.ndarray, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Settle scores that are exact, plus `noise` of a rounding error."""
    exact, d = centroids.astype(np.float64), centroids.shape[1]
    scores = np.full((len(x), -(-len(centroids) // 64) * 64), np.inf, np.float32)
    scores[:, : len(centroids)] = np.square(exact).sum(axis=1) / 2 - x.astype(np.float64) @ exact.T
    if noise:
        scores += np.random.default_rng(0).uniform(-noise, noise, scores.shape).astype(np.float32)
    largest = np.float32(np.square(centroids).sum(axis=1).max())
    assigned, distances = np.full(len(x), -5, np.int64), np.full(len(x), np.nan, np.float32)
    runner(settle)(x, scores, centroids.reshape(-1, d), largest, assigned, distances)
    return assigned, distances


def run_nearest(x: np.ndarray, centroids: np.ndarray, l2: bool = True) -> tuple[np.ndarray, np.ndarray]:
    assigned, distances = np.full((len(x), 1), -5, np.int64), np.full((len(x), 1), np.nan, np.float32)
    assign.nearest(x, tuple(Tiles.of(centroids[None], l2)), assigned, distances)
    return assigned[:, 0], distances[:, 0]


def assert_nearest(x: np.ndarray, centroids: np.ndarray, assigned: np.ndarray, distances: np.ndarray) -> None:
    """The assigned centroid is as near as the nearest, up to float32 rounding of the distance itself."""
    every = reference.squared_distances(x, centroids)
    mine = every[np.arange(len(x)), assigned]
    assert (mine <= every.min(axis=1) * (1 + 1e-5) + 1e-12).all()
    np.testing.assert_allclose(distances, mine, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("l2", [True, False])
@examples(40)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 20), k=st.integers(1, 150), d=st.integers(1, 80))
def test_nearest(l2, seed, n, k, d) -> None:
    rng = np.random.default_rng(seed)
    x, centroids = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(k, d)).astype(np.float32)
    assigned, distances = run_nearest(x, centroids, l2)
    if l2:
        assert_nearest(x, centroids, assigned, distances)
    else:
        products = x.astype(np.float64) @ centroids.T.astype(np.float64)
        mine = products[np.arange(n), assigned]
        assert (mine >= products.max(axis=1) - 1e-5 * d).all()
        np.testing.assert_allclose(distances, -mine, atol=1e-5 * d)
    for i in range(n):  # the same alone, and among the others
        np.testing.assert_array_equal(run_nearest(x[i:], centroids, l2)[0], assigned[i:])
        np.testing.assert_array_equal(run_nearest(x[i : i + 1], centroids, l2)[1], distances[i : i + 1])


@pytest.mark.parametrize("settle", SETTLE)
def test_of_equal_centroids_the_first_wins(settle, rng) -> None:
    x = rng.normal(size=(50, 8)).astype(np.float32)
    centroids = np.tile(rng.normal(size=(5, 8)).astype(np.float32), (20, 1))
    assigned, _ = run_settle(settle, x, centroids, noise=1e-6)
    assert (assigned < 5).all()
    assert (run_nearest(x, centroids)[0] == assigned).all()


@pytest.mark.parametrize("settle", SETTLE)
def test_near_ties_do_not_depend_on_how_scores_are_rounded(settle, rng) -> None:
    """Centroids on a sphere round x: scores differ by less than they round, distances decide."""
    x = (rng.normal(size=(1, 16)) * 30).astype(np.float32)
    spokes = rng.normal(size=(100, 16))
    centroids = (x + 5 * spokes / np.linalg.norm(spokes, axis=1, keepdims=True)).astype(np.float32)
    points = np.repeat(x, 60, axis=0)
    assigned, distances = run_settle(settle, points, centroids, noise=5e-3)  # of scores of about 1.5e4
    assert len(np.unique(assigned)) == 1
    assert_nearest(points[:1], centroids, assigned[:1], distances[:1])


@examples(40)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 20), k=st.integers(1, 150), d=st.integers(1, 40))
def test_twins_settle_alike(seed, n, k, d) -> None:
    rng = np.random.default_rng(seed)
    x, centroids = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(k, d)).astype(np.float32)
    first, *others = [run_settle(settle, x, centroids) for settle in SETTLE]
    for other in others:
        np.testing.assert_array_equal(first[0], other[0])
        np.testing.assert_array_equal(first[1], other[1])


def run_encode(x: np.ndarray, codebook: np.ndarray, width: int = 256) -> np.ndarray:
    m, ksub, _ = codebook.shape
    codes = np.full((len(x), m), 255, np.uint8 if ksub <= 256 else np.uint16)
    assign.nearest(x, tuple(Tiles.of(codebook, width=width)), codes, np.empty((0, m), np.float32))
    return codes


def assert_encoded(x: np.ndarray, codebook: np.ndarray, codes: np.ndarray) -> None:
    dsub = codebook.shape[2]
    for j in range(len(codebook)):
        piece = np.ascontiguousarray(x[:, j * dsub : (j + 1) * dsub])
        every = reference.squared_distances(piece, codebook[j])
        mine = every[np.arange(len(x)), codes[:, j]]
        assert (mine <= every.min(axis=1) * (1 + 1e-5) + 1e-12).all()


@pytest.mark.parametrize("nbits", [4, 5, 6, 8, 9])
def test_codes_are_those_of_the_nearest(nbits, rng) -> None:
    for m, dsub in [(1, 1), (3, 2), (2, 7)]:
        x = rng.normal(size=(20, m * dsub)).astype(np.float32)
        codebook = rng.normal(size=(m, 1 << nbits, dsub)).astype(np.float32)
        assert_encoded(x, codebook, run_encode(x, codebook))


def test_a_padded_centroid_is_never_chosen(rng) -> None:
    """With 16 centroids a tile is padded to 64 columns."""
    codebook = (rng.normal(size=(2, 16, 3)) + 10).astype(np.float32)
    codes = run_encode(np.zeros((5, 6), np.float32), codebook)
    np.testing.assert_array_equal(codes, reference.encode(np.zeros((5, 6)), codebook))


def test_sums_and_residuals(rng) -> None:
    x = rng.normal(size=(100, 6)).astype(np.float32)
    assigned, centroids = rng.integers(0, 7, 100), rng.normal(size=(9, 6)).astype(np.float32)
    sums, counts = np.zeros((9, 6)), np.zeros(9, np.int64)
    assign.cluster_sums(x, assigned, sums, counts)
    np.testing.assert_array_equal(counts, np.bincount(assigned, minlength=9))
    np.testing.assert_allclose(sums, [x[assigned == c].astype(np.float64).sum(axis=0) for c in range(9)], atol=1e-9)
    out = np.empty_like(x)
    assign.residuals(x, assigned, centroids, out)
    np.testing.assert_array_equal(out, x - centroids[assigned])


@pytest.mark.parametrize(("book", "points"), [(1.2e19, 1.2e19), (1.2e19, 1.0), (1.0, 1.2e19), (6e18, 1.2e19)])
@pytest.mark.parametrize("ksub", [16, 33, 64])
def test_codes_where_scores_overflow_are_those_of_centroids_that_are_there(book, points, ksub) -> None:
    """What pads the codebook has a score of infinity, which is within a slack that overflows."""
    rng = np.random.default_rng(ksub)
    codebook = (book * rng.uniform(-1, 1, (2, ksub, 2))).astype(np.float32)
    x = (points * rng.uniform(-1, 1, (40, 4))).astype(np.float32)
    with np.errstate(all="ignore"):
        codes = run_encode(x, codebook, 0)
    every = np.stack([reference.squared_distances(x[:, 2 * j : 2 * j + 2], codebook[j]) for j in range(2)])
    assert codes.max() < ksub
    mine = np.take_along_axis(every, codes.T[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    assert (mine <= every.min(axis=2) * (1 + 1e-5)).all()
    x[::3] = np.nan
    x[1::3] = np.inf
    with np.errstate(all="ignore"):
        codes = run_encode(x, codebook, 0)
    assert codes.max() < ksub


@pytest.mark.parametrize("l2", [True, False])
def test_points_that_are_not_finite_get_a_centroid_that_is_there(l2) -> None:
    centroids = np.random.default_rng(0).normal(size=(37, 3)).astype(np.float32)
    x = np.full((5, 3), np.nan, np.float32)
    x[1], x[2], x[3, 0] = np.inf, 3e38, -np.inf
    with np.errstate(all="ignore"):
        assigned, _ = run_nearest(x, centroids, l2)
    assert assigned.min() >= 0
    assert assigned.max() < 37

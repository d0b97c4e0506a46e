"""Assignment and encoding: the nearest by float32, the same whatever the path."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lookalike.kernels import assign
from lookalike.kernels.simd import available
from tests import reference
from tests.kernels.conftest import examples

NEAREST = [assign.nearest_plain] + ([assign.nearest_simd] if available() else [])
ENCODE = [assign.encode_plain] + ([assign.encode_simd] if available() else [])


def run_nearest(kernel, x: np.ndarray, centroids: np.ndarray, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Call a kernel with the products that a matrix product would give, plus `noise` of a rounding error."""
    products = (x.astype(np.float64) @ centroids.T.astype(np.float64)).astype(np.float32)
    if noise:
        products += np.random.default_rng(0).uniform(-noise, noise, products.shape).astype(np.float32)
    norms = np.einsum("kd,kd->k", centroids, centroids)
    assigned, distances = np.full(len(x), -5, np.int64), np.full(len(x), np.nan, np.float32)
    kernel(x, products, norms, centroids, assigned, distances)
    return assigned, distances


def assert_nearest(x: np.ndarray, centroids: np.ndarray, assigned: np.ndarray, distances: np.ndarray) -> None:
    """The assigned centroid is as near as the nearest, up to float32 rounding of the distance itself."""
    every = reference.squared_distances(x, centroids)
    mine = every[np.arange(len(x)), assigned]
    assert (mine <= every.min(axis=1) * (1 + 1e-5) + 1e-12).all()
    np.testing.assert_allclose(distances, mine, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("kernel", NEAREST)
@examples(40)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 20), k=st.integers(1, 70), d=st.integers(1, 40))
def test_nearest(kernel, seed, n, k, d) -> None:
    rng = np.random.default_rng(seed)
    x, centroids = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(k, d)).astype(np.float32)
    assert_nearest(x, centroids, *run_nearest(kernel, x, centroids))


@pytest.mark.parametrize("kernel", NEAREST)
def test_of_equal_centroids_the_first_wins(kernel, rng) -> None:
    x = rng.normal(size=(50, 8)).astype(np.float32)
    centroids = np.tile(rng.normal(size=(5, 8)).astype(np.float32), (8, 1))
    assigned, _ = run_nearest(kernel, x, centroids, noise=1e-6)
    assert (assigned < 5).all()


@pytest.mark.parametrize("kernel", NEAREST)
def test_near_ties_do_not_depend_on_rounding_of_products(kernel, rng) -> None:
    """Centroids on a sphere round x: scores differ by less than they round, distances decide."""
    x = (rng.normal(size=(1, 16)) * 30).astype(np.float32)
    spokes = rng.normal(size=(100, 16))
    centroids = (x + 5 * spokes / np.linalg.norm(spokes, axis=1, keepdims=True)).astype(np.float32)
    points = np.repeat(x, 60, axis=0)
    assigned, distances = run_nearest(kernel, points, centroids, noise=5e-3)  # of products of about 1.5e4
    assert len(np.unique(assigned)) == 1
    assert_nearest(points[:1], centroids, assigned[:1], distances[:1])


@examples(40)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 20), k=st.integers(1, 70), d=st.integers(1, 40))
def test_twins_assign_alike(seed, n, k, d) -> None:
    rng = np.random.default_rng(seed)
    x, centroids = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(k, d)).astype(np.float32)
    first, *others = [run_nearest(kernel, x, centroids) for kernel in NEAREST]
    for other in others:
        np.testing.assert_array_equal(first[0], other[0])
        np.testing.assert_array_equal(first[1], other[1])


def run_encode(kernel, x: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    m, ksub, dsub = codebook.shape
    width = 256 if ksub <= 256 else -(-ksub // 64) * 64
    columns = np.zeros((m, dsub, width), np.float32)
    columns[:, :, :ksub] = codebook.transpose(0, 2, 1)
    norms = np.full((m, width), np.inf, np.float32)
    norms[:, :ksub] = np.einsum("jce,jce->jc", codebook, codebook)
    codes = np.full((len(x), m), 255, np.uint8 if ksub <= 256 else np.uint16)
    kernel(x, codebook, columns, norms, codes)
    return codes


def assert_encoded(x: np.ndarray, codebook: np.ndarray, codes: np.ndarray) -> None:
    dsub = codebook.shape[2]
    for j in range(len(codebook)):
        piece = np.ascontiguousarray(x[:, j * dsub : (j + 1) * dsub])
        every = reference.squared_distances(piece, codebook[j])
        mine = every[np.arange(len(x)), codes[:, j]]
        assert (mine <= every.min(axis=1) * (1 + 1e-5) + 1e-12).all()


@pytest.mark.parametrize("kernel", ENCODE)
@pytest.mark.parametrize("nbits", [4, 5, 6, 8, 9])
def test_codes_are_those_of_the_nearest(kernel, nbits, rng) -> None:
    for m, dsub in [(1, 1), (3, 2), (2, 7)]:
        x = rng.normal(size=(20, m * dsub)).astype(np.float32)
        codebook = rng.normal(size=(m, 1 << nbits, dsub)).astype(np.float32)
        codes = run_encode(kernel, x, codebook)
        assert_encoded(x, codebook, codes)
        np.testing.assert_array_equal(codes, run_encode(ENCODE[0], x, codebook))


@pytest.mark.parametrize("kernel", ENCODE)
def test_a_padded_centroid_is_never_chosen(kernel, rng) -> None:
    """With 16 centroids a row is padded to 256 columns of zeros; the origin is nearest to them."""
    codebook = (rng.normal(size=(2, 16, 3)) + 10).astype(np.float32)
    codes = run_encode(kernel, np.zeros((5, 6), np.float32), codebook)
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


@pytest.mark.parametrize("kernel", ENCODE)
@pytest.mark.parametrize(("book", "points"), [(1.2e19, 1.2e19), (1.2e19, 1.0), (1.0, 1.2e19), (6e18, 1.2e19)])
@pytest.mark.parametrize("ksub", [16, 33, 64])
def test_codes_where_scores_overflow_are_those_of_centroids_that_are_there(kernel, book, points, ksub) -> None:
    """What pads the codebook has a score of infinity, which is within a slack that overflows."""
    rng = np.random.default_rng(ksub)
    codebook = (book * rng.uniform(-1, 1, (2, ksub, 2))).astype(np.float32)
    x = (points * rng.uniform(-1, 1, (40, 4))).astype(np.float32)
    width = -(-ksub // 64) * 64
    columns, norms = np.zeros((2, 2, width), np.float32), np.full((2, width), np.inf, np.float32)
    columns[:, :, :ksub] = codebook.transpose(0, 2, 1)
    codes = np.full((40, 2), 255, np.uint8)
    with np.errstate(all="ignore"):
        norms[:, :ksub] = np.einsum("jce,jce->jc", codebook, codebook)
        kernel(x, codebook, columns, norms, codes)
    every = np.stack([reference.squared_distances(x[:, 2 * j : 2 * j + 2], codebook[j]) for j in range(2)])
    assert codes.max() < ksub
    mine = np.take_along_axis(every, codes.T[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    assert (mine <= every.min(axis=2) * (1 + 1e-5)).all()
    x[::3] = np.nan
    x[1::3] = np.inf
    with np.errstate(all="ignore"):
        kernel(x, codebook, columns, norms, codes)
    assert codes.max() < ksub


@pytest.mark.parametrize("kernel", NEAREST)
def test_points_that_are_not_finite_get_a_centroid_that_is_there(kernel) -> None:
    centroids = np.random.default_rng(0).normal(size=(37, 3)).astype(np.float32)
    x = np.full((5, 3), np.nan, np.float32)
    x[1], x[2], x[3, 0] = np.inf, 3e38, -np.inf
    with np.errstate(all="ignore"):
        assigned, _ = run_nearest(kernel, x, centroids)
    assert assigned.min() >= 0
    assert assigned.max() < 37

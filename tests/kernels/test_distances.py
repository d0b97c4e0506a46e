"""Coarse scores, probes, and distances to coded vectors."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numba import njit

from lookalike.kernels import distances
from lookalike.kernels.simd import available
from tests import reference
from tests.kernels.conftest import examples

SCORES = [distances.coarse_scores_plain] + ([distances.coarse_scores_simd] if available() else [])


def tiled(centroids: np.ndarray, by_l2: bool) -> tuple[np.ndarray, np.ndarray]:
    """Centroids in tiles of 64 columns, and their offsets."""
    nlist, d = centroids.shape
    padded = np.zeros((-(-nlist // 64) * 64, d), np.float32)
    padded[:nlist] = centroids
    offsets = np.full(len(padded), np.inf, np.float32)
    offsets[:nlist] = np.square(centroids).sum(axis=1) if by_l2 else 0
    return reference.aligned(padded.reshape(-1, 64, d).transpose(0, 2, 1)), reference.aligned(offsets)


@pytest.mark.parametrize("kernel", SCORES)
@examples(20)
@given(
    seed=st.integers(0, 2**32),
    nq=st.integers(0, 4),
    nlist=st.integers(1, 200),
    d=st.integers(1, 50),
    by_l2=st.booleans(),
)
def test_coarse_scores(kernel, seed, nq, nlist, d, by_l2) -> None:
    rng = np.random.default_rng(seed)
    xq, centroids = rng.normal(size=(nq, d)).astype(np.float32), rng.normal(size=(nlist, d)).astype(np.float32)
    tiles, offsets = tiled(centroids, by_l2)
    scores = reference.aligned(np.full((nq, len(offsets)), np.nan, np.float32))
    kernel(xq, tiles, offsets, np.float32(-2 if by_l2 else -1), scores)
    products = xq.astype(np.float64) @ centroids.T.astype(np.float64)
    wanted = np.square(centroids.astype(np.float64)).sum(axis=1) - 2 * products if by_l2 else -products
    np.testing.assert_allclose(scores[:, :nlist], wanted, rtol=1e-4, atol=1e-4)
    assert np.isinf(scores[:, nlist:]).all()


@examples(30)
@given(seed=st.integers(0, 2**32), nlist=st.integers(1, 400), by_l2=st.booleans(), data=st.data())
def test_the_nprobe_nearest_lists_in_order(seed, nlist, by_l2, data) -> None:
    nprobe = data.draw(st.integers(1, nlist))
    rng = np.random.default_rng(seed)
    xq, centroids = rng.normal(size=(3, 8)).astype(np.float32), rng.normal(size=(nlist, 8)).astype(np.float32)
    exact = reference.squared_distances(xq, centroids) if by_l2 else -(xq.astype(np.float64) @ centroids.T)
    scores = np.full((3, -(-nlist // 64) * 64), np.inf, np.float32)
    scores[:, :nlist] = exact - (np.square(xq).sum(axis=1, keepdims=True) if by_l2 else 0)
    probes, coarse = np.full((3, nprobe), -1, np.int64), np.empty((3, nprobe), np.float32)
    distances.select_probes(
        xq, scores, centroids, np.square(centroids).sum(axis=1).max(), nprobe, by_l2, probes, coarse
    )
    np.testing.assert_allclose(coarse, np.sort(exact, axis=1)[:, :nprobe], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(coarse, np.take_along_axis(exact, probes, 1), rtol=1e-4, atol=1e-5)
    assert all(len(set(row)) == nprobe for row in probes.tolist())
    assert (np.diff(coarse, axis=1) >= 0).all()


def test_lists_at_one_distance_come_by_number(rng) -> None:
    centroids = np.repeat(rng.normal(size=(1, 4)).astype(np.float32), 300, axis=0)
    scores = np.zeros((1, 320), np.float32)
    scores[:, 300:] = np.inf
    for nprobe in (1, 10, 64, 300):
        probes, coarse = np.empty((1, nprobe), np.int64), np.empty((1, nprobe), np.float32)
        distances.select_probes(centroids[:1], scores, centroids, np.float32(9), nprobe, True, probes, coarse)
        assert probes[0].tolist() == list(range(nprobe))


@pytest.mark.parametrize("nprobe", [1, 40])
def test_scores_that_are_no_numbers_choose_lists_all_the_same(nprobe, rng) -> None:
    """Centroids that overflow float32 come from damaged files; the probes must be lists that exist."""
    centroids = np.full((300, 4), 3e38, np.float32)
    scores = np.full((1, 320), np.nan, np.float32)
    scores[:, 300:] = np.inf
    probes, coarse = np.full((1, nprobe), -1, np.int64), np.empty((1, nprobe), np.float32)
    xq = rng.normal(size=(1, 4)).astype(np.float32)
    with np.errstate(all="ignore"):  # without the JIT, numpy warns of the overflow
        distances.select_probes(xq, scores, centroids, np.float32(np.inf), nprobe, True, probes, coarse)
    assert ((probes >= 0) & (probes < 300)).all()


@pytest.mark.parametrize("length", [1, 3, 16, 33, 1000])
def test_distance_and_product(length, rng) -> None:
    x, y = rng.normal(size=(2, length)).astype(np.float32)
    assert distances.squared_distance(x, y) == pytest.approx(reference.squared_distances(x[None], y[None]).item(), 1e-5)
    assert distances.inner_product(x, y) == pytest.approx(float(x.astype(np.float64) @ y), abs=1e-3)
    assert distances.squared_distance(x, x) == 0


@pytest.mark.parametrize("ksub", [16, 64, 256, 512, 65536])
@pytest.mark.parametrize("by_residual", [True, False])
def test_distances_to_codes_open_as_the_paper_says(ksub, by_residual, rng) -> None:
    """coarse + bias + scale · ⟨q, r̂⟩ = ‖q − c − r̂‖², and directly; the same for inner products."""
    m, dsub = 3, 4
    codebook = rng.normal(size=(m, ksub, dsub)).astype(np.float32)
    query, centroid = rng.normal(size=(2, m * dsub)).astype(np.float32)
    codes = rng.integers(0, ksub, (70, m)).astype(np.uint8 if ksub <= 256 else np.uint16)
    blocks, decoded = reference.to_blocks(codes), reference.decode(codes, codebook)
    whole = decoded + centroid if by_residual else decoded
    origin = centroid if by_residual else np.zeros_like(centroid)
    biases = np.empty(70, np.float32)
    centroids = np.stack([query, centroid])
    distances.code_biases(codes, np.ones(70, np.int64), centroids, codebook, by_residual, biases)
    products, direct, inner = (np.empty(70, np.float32) for _ in range(3))
    for i in range(70):
        at = blocks.ctypes.data + (i // 64 * m * 64 + reference.lane_byte(i % 64)) * codes.itemsize
        products[i] = distances.code_product(query, codebook, at)
        direct[i] = distances.direct_distance(query, origin, codebook, at, True)
        inner[i] = distances.direct_distance(query, origin, codebook, at, False)
    exact = reference.squared_distances(query[None], whole)[0]
    np.testing.assert_allclose(products, decoded.astype(np.float64) @ query, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(direct, exact, rtol=1e-5)
    np.testing.assert_allclose(inner, -(whole.astype(np.float64) @ query), rtol=1e-4, atol=1e-4)
    coarse = float(np.square(query - origin).sum())
    np.testing.assert_allclose(coarse + biases - 2 * products, exact, rtol=1e-4, atol=1e-4)


DIRECT = [distances.direct_distance_plain] + ([distances.direct_distance_simd] if available() else [])


@njit
def _table_sum(table, address):
    return distances.table_sum(table, address)


@pytest.mark.parametrize("kernel", DIRECT)
@pytest.mark.parametrize(("m", "dsub"), [(1, 8), (3, 8), (2, 24)])
def test_direct_distances_in_eights_and_sums_of_table_entries(kernel, m, dsub, rng) -> None:
    codebook = rng.normal(size=(m, 256, dsub)).astype(np.float32)
    query, centroid = rng.normal(size=(2, m * dsub)).astype(np.float32)
    codes = rng.integers(0, 256, (64, m)).astype(np.uint8)
    blocks, decoded = reference.to_blocks(codes), reference.decode(codes, codebook).astype(np.float64)
    table = reference.product_table(query, codebook, -2).astype(np.float32)
    for i in range(64):
        at = blocks.ctypes.data + reference.lane_byte(i)
        exact = np.square(query - centroid - decoded[i]).sum()
        assert kernel(query, centroid, codebook, at, True) == pytest.approx(exact, rel=1e-5)
        inner = -((centroid + decoded[i]) @ query)
        assert kernel(query, centroid, codebook, at, False) == pytest.approx(inner, rel=1e-4, abs=1e-3)
        assert _table_sum(table, at) == pytest.approx(-2 * (decoded[i] @ query), rel=1e-4, abs=1e-3)


@njit
def _code(address, j, ksub):
    return distances.code_at(address, j, ksub)


@pytest.mark.parametrize(("ksub", "dtype"), [(16, np.uint8), (64, np.uint8), (256, np.uint8), (512, np.uint16)])
def test_a_damaged_code_points_inside_the_codebook(ksub, dtype) -> None:
    row = reference.aligned(np.full((2, 64), np.iinfo(dtype).max, dtype))
    assert [_code(row.ctypes.data, j, ksub) for j in (0, 1)] == [ksub - 1, ksub - 1]

"""Distances to vectors and to coded vectors."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from lookalike.kernels import distances
from lookalike.kernels.target import available
from tests import reference


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
    return distances.table_sum(np.int64(table.ctypes.data), table.shape[0], address)


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

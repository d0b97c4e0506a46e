"""Linear maps: right, and the same for a row whatever stands beside it."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lookalike.kernels import linear
from lookalike.kernels.simd import available
from tests import reference
from tests.kernels.conftest import examples

PRODUCTS = [linear.products_plain] + ([linear.products_simd] if available() else [])


def tiled(matrix: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    d_out, d = matrix.shape
    padded = np.zeros((-(-d_out // 64) * 64, d), np.float32)
    padded[:d_out] = matrix
    offsets = np.zeros(len(padded), np.float32)
    offsets[:d_out] = offset
    return reference.aligned(padded.reshape(-1, 64, d).transpose(0, 2, 1)), reference.aligned(offsets)


@pytest.mark.parametrize("kernel", PRODUCTS)
@examples(20)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 9), d=st.integers(1, 150), d_out=st.integers(1, 130))
def test_products(kernel, seed, n, d, d_out) -> None:
    rng = np.random.default_rng(seed)
    x, matrix, offset = (rng.normal(size=shape).astype(np.float32) for shape in ((n, d), (d_out, d), d_out))
    tiles, offsets = tiled(matrix, offset)
    rows = reference.aligned(np.full((n, len(offsets)), np.nan, np.float32))
    kernel(x, tiles, offsets, rows)
    wanted = x.astype(np.float64) @ matrix.T + offset
    np.testing.assert_allclose(rows[:, :d_out], wanted, atol=1e-5 * d**0.5 + 1e-5)
    for i in range(n):
        for first, last in ((i, i + 1), (i, n), (0, i + 1)):
            part = reference.aligned(np.full((last - first, len(offsets)), np.nan, np.float32))
            kernel(x[first:last], tiles, offsets, part)
            np.testing.assert_array_equal(part[i - first], rows[i])


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 200])
def test_maps_of_many_rows(n, rng) -> None:
    x, matrix, offset = (rng.normal(size=shape).astype(np.float32) for shape in ((n, 20), (70, 20), 70))
    tiles, offsets = tiled(matrix, offset)
    out = np.full((n, 70), np.nan, np.float32)
    linear.map_rows(x, tiles, offsets, out)
    np.testing.assert_allclose(out, x.astype(np.float64) @ matrix.T + offset, atol=1e-4)
    for i in range(0, n, 7):
        alone = np.full((1, 70), np.nan, np.float32)
        linear.map_rows(x[i : i + 1], tiles, offsets, alone)
        np.testing.assert_array_equal(alone[0], out[i])

"""Linear maps: right, and the same for a row whatever stands beside it."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lookalike.kernels import tiles as tile_kernels
from lookalike.kernels.layout import aligned_empty, row_tiles
from lookalike.kernels.target import available
from tests.kernels.conftest import examples

PRODUCTS = [tile_kernels.products_plain] + ([tile_kernels.products_simd] if available() else [])


def tiled(matrix: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.zeros(-(-len(matrix) // 64) * 64, np.float32)
    offsets[: len(matrix)] = offset
    return row_tiles(matrix), offsets


@pytest.mark.parametrize(("n", "d"), [(1, 3), (64, 1), (65, 7), (200, 20)])
def test_rows_are_columns_of_tiles(n, d, rng) -> None:
    matrix = rng.normal(size=(n, d)).astype(np.float32)
    tiles = row_tiles(matrix)
    assert tiles.ctypes.data % 64 == 0
    rows = tiles.transpose(0, 2, 1).reshape(-1, d)
    np.testing.assert_array_equal(rows[:n], matrix)
    assert not rows[n:].any()
    assert aligned_empty((3, 5), np.float32).ctypes.data % 64 == 0


@pytest.mark.parametrize("kernel", PRODUCTS)
@examples(20)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 9), d=st.integers(1, 150), d_out=st.integers(1, 130))
def test_products(kernel, seed, n, d, d_out) -> None:
    rng = np.random.default_rng(seed)
    x, matrix, offset = (rng.normal(size=shape).astype(np.float32) for shape in ((n, d), (d_out, d), d_out))
    tiles, offsets = tiled(matrix, offset)
    rows = np.full((n, len(offsets)), np.nan, np.float32)
    kernel(x, 0, tiles, offsets, rows, 0)
    wanted = x.astype(np.float64) @ matrix.T + offset
    np.testing.assert_allclose(rows[:, :d_out], wanted, atol=1e-5 * d**0.5 + 1e-5)
    for i in range(n):
        for first, last in ((i, i + 1), (i, n), (0, i + 1)):
            part = np.full((last - first, len(offsets)), np.nan, np.float32)
            kernel(x[first:last], 0, tiles, offsets, part, 0)
            np.testing.assert_array_equal(part[i - first], rows[i])
    wider, among = np.concatenate([x[:, :1], x, x[:, :2]], axis=1), np.full((n, 70 + len(offsets)), 7, np.float32)
    kernel(wider, 1, tiles, offsets, among, 64)  # elements of a longer row, into columns of a longer row
    np.testing.assert_array_equal(among[:, 64:-6], rows)
    assert (among[:, :64] == 7).all()
    assert (among[:, -6:] == 7).all()


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 200])
def test_maps_of_many_rows(n, rng) -> None:
    x, matrix, offset = (rng.normal(size=shape).astype(np.float32) for shape in ((n, 20), (70, 20), 70))
    tiles, offsets = tiled(matrix, offset)
    out = np.full((n, 70), np.nan, np.float32)
    tile_kernels.map_rows(x, tiles, offsets, out)
    np.testing.assert_allclose(out, x.astype(np.float64) @ matrix.T + offset, atol=1e-4)
    for i in range(0, n, 7):
        alone = np.full((1, 70), np.nan, np.float32)
        tile_kernels.map_rows(x[i : i + 1], tiles, offsets, alone)
        np.testing.assert_array_equal(alone[0], out[i])

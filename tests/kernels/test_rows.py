"""Distances to rows of float32 and float16, by address."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numba import njit

from lookalike.kernels import rows
from lookalike.kernels.layout import METRIC_NUMBERS
from lookalike.kernels.target import available
from tests import reference
from tests.kernels.conftest import examples

SUMS = [rows.row_sums_plain] + ([rows.row_sums_simd] if available() else [])


@njit
def _half(bits):
    return rows.half(bits)


def test_every_half() -> None:
    bits = np.arange(0, 1 << 16, 7, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal([_half(np.uint32(b)) for b in bits], bits.view(np.float16).astype(np.float32))


@pytest.mark.parametrize("kernel", SUMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("d", [1, 7, 8, 9, 40])
def test_sums_of_rows(kernel, dtype, d, rng) -> None:
    query, x = rng.normal(size=d).astype(np.float32), rng.normal(size=(11, d)).astype(dtype)
    order = rng.permutation(11)
    at, is_half, wide = x.ctypes.data + order * x.strides[0], dtype == np.float16, x.astype(np.float64)[order]
    sums, norms = np.empty(11, np.float32), np.empty(11, np.float32)
    kernel(query, at, 11, 0, is_half, True, sums, norms)
    np.testing.assert_allclose(sums, np.square(query - wide).sum(axis=1), rtol=1e-5)
    assert not norms.any()
    kernel(query, at, 11, 0, is_half, False, sums, norms)
    np.testing.assert_allclose(sums, wide @ query, atol=1e-4)
    np.testing.assert_allclose(norms, np.square(wide).sum(axis=1), rtol=1e-5)
    for c in range(11):  # the same, whatever stands beside it
        alone, norm = np.empty(1, np.float32), np.empty(1, np.float32)
        kernel(query, at[c : c + 1], 1, 0, is_half, False, alone, norm)
        assert (alone[0], norm[0]) == (sums[c], norms[c])


@pytest.mark.parametrize("metric", METRIC_NUMBERS)
@examples(40)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 40), d=st.integers(1, 40))
def test_distances_to_every_row(metric, seed, n, d) -> None:
    rng = np.random.default_rng(seed)
    query, vectors = rng.normal(size=d).astype(np.float32), rng.normal(size=(n, 2 * d)).astype(np.float32)[:, :d]
    out = np.full(n, np.nan, np.float32)
    if metric == "cosine":
        query, vectors = (reference.unit(x).astype(np.float32) for x in (query[None], vectors))
        query = query[0]
    rows.row_distances(query, vectors, METRIC_NUMBERS[metric], out)
    wanted = reference.distances(query[None], vectors, metric)[0] * (-1 if metric == "ip" else 1)
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-5)


def test_a_cosine_of_what_float32_cannot_square() -> None:
    query = np.array([0.6, 0.8, 0], np.float32)
    for scale in (1e-30, 1, 1e25, 0, np.inf):
        x = np.array([[3 * scale, 4 * scale, 0]], np.float32)
        sums, norms, at = np.empty(1, np.float32), np.empty(1, np.float32), np.array([x.ctypes.data])
        rows.row_sums(query, at, 1, 0, False, False, sums, norms)
        distance = rows.cosine_distance(query, at[0], False, sums[0], norms[0])
        wanted = {0: 1, np.inf: np.nan}.get(scale, 0)
        np.testing.assert_allclose(distance, wanted, atol=1e-6)

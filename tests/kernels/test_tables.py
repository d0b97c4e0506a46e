"""Look-up tables, in float32 and in 8 bits."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lookalike.kernels.layout import Tiles
from lookalike.kernels.tables import build_tables, quantize_tables
from tests import reference
from tests.kernels.conftest import examples


@examples(30)
@given(seed=st.integers(0, 2**32), m=st.integers(1, 9), dsub=st.integers(1, 11), scale=st.sampled_from([-2, -1]))
def test_tables_are_inner_products(seed, m, dsub, scale) -> None:
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(3, m * dsub)).astype(np.float32)
    codebook = rng.normal(size=(m, 256, dsub)).astype(np.float32)
    tables = np.full((3, m, 256), np.nan, np.float32)
    build_tables(queries, Tiles.of(codebook).columns, np.float32(scale), tables)
    for query, table in zip(queries, tables, strict=True):
        np.testing.assert_allclose(table, reference.product_table(query, codebook, scale), rtol=1e-5, atol=1e-5)


def quantized(table: np.ndarray, largest: int = 255) -> tuple[np.ndarray, float, float]:
    out = np.zeros(table.shape, np.uint8)
    step, floor = quantize_tables(table, largest, out)
    return out, float(step), float(floor)


@examples(40)
@given(
    seed=st.integers(0, 2**32),
    m=st.integers(1, 70),
    power=st.integers(-6, 6),
    largest=st.sampled_from([255, 218, 63, 1]),
)
def test_bytes_are_half_a_step_off_at_most(seed, m, power, largest) -> None:
    rng = np.random.default_rng(seed)
    table = (rng.normal(size=(m, 256)) * 10.0**power).astype(np.float32)
    out, step, floor = quantized(table, largest)
    minima = table.min(axis=1, keepdims=True).astype(np.float64)
    assert np.abs(minima + step * out - table).max() <= 0.5005 * step
    assert out.max() == largest  # the whole range is used, and not more
    np.testing.assert_allclose(floor, minima.sum(), rtol=1e-5, atol=1e-5 * np.abs(minima).sum())


@examples(20)
@given(seed=st.integers(0, 2**32), m=st.integers(1, 40))
def test_a_sum_of_bytes_is_within_half_a_step_each(seed, m) -> None:
    """The bound that the search relies on: Σ table lies within m · step / 2 of floor + step · Σ bytes."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(m, 256)).astype(np.float32)
    out, step, floor = quantized(table)
    codes = rng.integers(0, 256, (200, m))
    exact = np.take_along_axis(table.astype(np.float64), codes.T, axis=1).sum(axis=0)
    coarse = floor + step * np.take_along_axis(out.astype(np.float64), codes.T, axis=1).sum(axis=0)
    assert np.abs(exact - coarse).max() <= 0.5005 * m * step


@pytest.mark.parametrize("value", [0.0, 3.5, -1e20])
def test_a_constant_table_has_the_smallest_step(value) -> None:
    out, step, floor = quantized(np.full((4, 256), value, np.float32))
    assert 0 < step <= 1.1e-30  # of which the inverse is finite
    assert not out.any()
    assert floor == np.float32(4 * value)

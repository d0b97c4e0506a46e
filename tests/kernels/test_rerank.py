"""Ordering candidates by their distance to the vectors themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from lookalike.kernels import rerank
from lookalike.kernels.layout import METRIC_NUMBERS
from lookalike.kernels.target import available
from tests import reference

METRICS = METRIC_NUMBERS
ROWS = [rerank.row_distance_plain] + ([rerank.row_distance_simd] if available() else [])


def reranked(xq, ids, places, rows, metric: str, k: int):
    out = np.full((len(xq), k), np.nan, np.float32), np.full((len(xq), k), -9, np.int64)
    lie = rows.ctypes.data, rows.strides[0], len(rows), rows.dtype == np.float16
    outside = rerank.rerank(xq, ids, places, lie, METRICS[metric], *out)
    return outside, *out


@njit
def _half(bits):
    return rerank.half(bits)


def test_every_half() -> None:
    bits = np.arange(0, 1 << 16, 7, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal([_half(np.uint32(b)) for b in bits], bits.view(np.float16).astype(np.float32))


@pytest.mark.parametrize("kernel", ROWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("d", [1, 7, 8, 9, 40])
def test_distance_to_a_row(kernel, dtype, d, rng) -> None:
    query, row = rng.normal(size=d).astype(np.float32), rng.normal(size=d).astype(dtype)
    x, q = row.astype(np.float64), query.astype(np.float64)
    address, is_half = row.ctypes.data, dtype == np.float16
    assert kernel(query, address, is_half, True)[0] == pytest.approx(((q - x) ** 2).sum(), rel=1e-5)
    product, norm = kernel(query, address, is_half, False)
    assert product == pytest.approx(q @ x, abs=1e-4)
    assert norm == pytest.approx(x @ x, rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 5, 30])
def test_the_nearest_candidates(dtype, metric, k, rng) -> None:
    rows, xq = rng.normal(size=(90, 20)).astype(dtype), rng.normal(size=(4, 20)).astype(np.float32)
    xq /= np.linalg.norm(xq, axis=1, keepdims=True)
    places = np.stack([rng.permutation(90)[:25] for _ in xq])
    places[0, 3:7] = -1
    places[1] = -1
    ids = np.where(places < 0, -1, places * 10 + 2**40)
    outside, distances, found = reranked(xq, ids, places, rows, metric, k)
    assert outside == -1
    for i in range(4):
        here = places[i][places[i] >= 0]
        stored = reference.unit(rows[here]) if metric == "cosine" else rows[here].astype(np.float64)
        exact = reference.distances(xq[i : i + 1], stored, metric)
        best, wanted = reference.top_k(exact, here * 10 + 2**40, k, metric)
        np.testing.assert_allclose(distances[i], best[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found[i], wanted[0])


def test_equal_distances_come_by_id_and_rows_may_lie_apart(rng) -> None:
    rows = np.zeros((10, 24), np.float32)[:, :12]  # every second half-row
    assert reranked(rows[:1] + 1, np.array([[7, 3, 5]]), np.array([[0, 9, 4]]), rows, "l2", 2)[2].tolist() == [[3, 5]]


@pytest.mark.parametrize("metric", METRICS)
def test_a_place_that_is_not_a_row_is_told(metric, rng) -> None:
    rows = rng.normal(size=(5, 8)).astype(np.float32)
    for place in (5, 2**62):
        places = np.array([[0, 1, 2, 3, 4, 0, 1, 2, 3, place]])
        assert reranked(rows[:1], places, places, rows, metric, 2)[0] == place


def test_cosines_of_rows_that_float32_cannot_square() -> None:
    query = np.array([[0.6, 0.8]], np.float32)
    rows = np.array([[3e25, 4e25], [4e-25, -3e-25], [0, 0], [-3e-30, -4e-30], [1e-3, 0]], np.float32)
    places = np.arange(5)[None]
    with np.errstate(all="ignore"):  # without the JIT, numpy warns of the overflow
        _, distances, ids = reranked(query, places, places, rows, "cosine", 5)
    assert ids.tolist() == [[0, 4, 1, 2, 3]]
    np.testing.assert_allclose(distances, [[0, 0.4, 1, 1, 2]], atol=1e-6)

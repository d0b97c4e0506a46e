"""Ordering candidates by their distance to the vectors themselves."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.kernels import rerank
from lookalike.kernels.layout import METRIC_NUMBERS
from tests import reference

METRICS = METRIC_NUMBERS


def reranked(xq, ids, places, rows, metric: str, k: int):
    out = np.full((len(xq), k), np.nan, np.float32), np.full((len(xq), k), -9, np.int64)
    lie = rows.ctypes.data, rows.strides[0], len(rows), rows.dtype == np.float16
    outside = rerank.rerank(xq, ids, places, lie, METRICS[metric], *out)
    return outside, *out


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

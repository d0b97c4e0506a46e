"""Exact search against float64."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import lookalike as la
from lookalike.index import exact
from lookalike.index.codecs.whole import SMALL
from tests import reference
from tests.index.conftest import METRICS, N, base, queries, trained


def assert_exact(result: la.SearchResult, xq: np.ndarray, xb: np.ndarray, k: int, metric: str) -> None:
    """Every distance is that of its id, and rank by rank as small as it can be, within float32 rounding of a direct sum."""
    queries = reference.unit(xq) if metric == "cosine" else xq
    vectors = reference.unit(xb) if metric == "cosine" else xb
    truth = reference.distances(queries, vectors, metric)
    wanted = reference.top_k(truth, np.arange(len(xb)), k, metric)
    if metric == "l2":
        slack = 1e-5 * np.where(np.isfinite(wanted[0]), wanted[0], 0) + 1e-30
    else:
        longest = np.linalg.norm(vectors, axis=1).max()
        slack = np.repeat(1e-6 * longest * np.linalg.norm(queries, axis=1, keepdims=True), k, axis=1)
    reference.assert_same_results(result, wanted, slack, truth)


@settings(max_examples=120)
@given(
    seed=st.integers(0, 2**32), n=st.integers(1, 200), nq=st.integers(0, 20), d=st.integers(1, 40),
    k=st.integers(1, 60), metric=st.sampled_from(METRICS), levels=st.sampled_from([0, 2, 5]), small=st.booleans(),
)  # fmt: skip
def test_exact_search_is_exact(seed, n, nq, d, k, metric, levels, small) -> None:
    """`levels` rounds the vectors to few values, so that there are many ties; without `small` kernels search them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.index.codecs.whole.SMALL", (1 << 23) * small)
        check_exact(seed, n, nq, d, k, metric, levels)


def check_exact(seed, n, nq, d, k, metric, levels) -> None:
    rng = np.random.default_rng(seed)
    xb, xq = (rng.normal(size=(rows, d)).astype(np.float32) for rows in (n, nq))
    if levels:
        xb, xq = np.round(xb * levels), np.round(xq * levels)
    assert_exact(la.FlatIndex(metric).add(xb).search(xq, k), xq, xb, k, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_a_large_index_gives_one_answer(metric, monkeypatch) -> None:
    """However many ask at once, and on however many threads; a filter counts only what passes."""
    rng = np.random.default_rng(3)
    xb = rng.normal(size=(SMALL // 64 + 1000, 64)).astype(np.float32)
    xq = xb[rng.choice(len(xb), 40)] + rng.normal(size=(40, 64)).astype(np.float32)
    index, allow = la.FlatIndex(metric).add(xb), rng.choice(len(xb), 500, replace=False)
    assert index._codec._is_small(index._lists) is False
    for k, options in ((10, {}), (1, {}), (200, {}), (10, {"allow": allow}), (600, {"allow": allow})):
        whole = index.search(xq, k, threads=1, **options)
        for threads in (2, 3):
            again = index.search(xq, k, threads=threads, **options)
            np.testing.assert_array_equal(again.ids, whole.ids)
            np.testing.assert_array_equal(again.distances, whole.distances)
        for i in range(0, 40, 9):
            one = index.search(xq[i : i + 1], k, **options)
            np.testing.assert_array_equal(one.ids[0], whole.ids[i])
            np.testing.assert_array_equal(one.distances[0], whole.distances[i])
        monkeypatch.setattr("lookalike.index.codecs.whole.SMALL", 1 << 40)
        by_numpy = index.search(xq, k, **options)
        monkeypatch.undo()
        assert (by_numpy.ids == whole.ids).mean() > 0.999
        held = np.isfinite(whole.distances)
        np.testing.assert_allclose(by_numpy.distances[held], whole.distances[held], rtol=1e-5, atol=1e-5)
    near = index.range_search(xq[:2], float(whole.distances[0, 5]))
    assert (near.ids[: near.lims[1]][:5] == index.search(xq[:1], 5).ids[0]).all()


@pytest.mark.parametrize("n", [1, 3])
def test_threads_for_fewer_vectors_than_threads(n: int) -> None:
    x = np.random.default_rng(0).random((n, SMALL + 1)).astype(np.float32)
    found = la.FlatIndex().add(x).search(x[:1], 2, threads=16)
    assert found.ids[0, 0] == 0
    assert (found.ids[0, 1] == -1) == (n == 1)


@pytest.mark.parametrize("metric", METRICS)
def test_long_vectors_whose_products_round_to_one_side(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of numbers above 0 that are added one by one lose more than those of a BLAS; single queries decide."""
    monkeypatch.setattr("lookalike.index.codecs.whole.SMALL", 0)
    rng = np.random.default_rng(1)
    base = rng.random(100_352, np.float32)
    x, xq = (base + np.float32(1e-2) * rng.random((n, len(base)), np.float32) for n in (200, 20))
    index = la.FlatIndex(metric).add(x)
    whole = index.search(xq, 5, threads=1)
    for i in range(20):
        one = index.search(xq[i : i + 1], 5, threads=1)
        np.testing.assert_array_equal(one.ids[0], whole.ids[i])
        np.testing.assert_array_equal(one.distances[0], whole.distances[i])


@pytest.mark.parametrize("metric", METRICS)
def test_more_queries_and_vectors_than_a_block(metric, monkeypatch) -> None:
    whole = trained("flat", metric).search(queries(), 30)
    monkeypatch.setattr(exact, "QUERIES", 7)
    monkeypatch.setattr(exact, "VECTORS", 100)
    np.testing.assert_array_equal(trained("flat", metric).search(queries(), 30).ids, whole.ids)
    assert_exact(trained("flat", metric).search(queries(), 30), queries(), base(), 30, metric)


@pytest.mark.parametrize("nq", [1, 50])
@pytest.mark.parametrize("offset", [10, 1000, 30_000])
def test_a_cloud_far_from_the_origin(nq, offset) -> None:
    """‖q‖² − 2⟨q, x⟩ + ‖x‖² has no digit left for the distance here; the answer must have."""
    rng = np.random.default_rng(0)
    xb = (offset + rng.normal(size=(3000, 24))).astype(np.float32)
    xq = (offset + rng.normal(size=(nq, 24))).astype(np.float32)
    assert_exact(la.FlatIndex().add(xb).search(xq, 10), xq, xb, 10, "l2")
    allowed = np.arange(0, 3000, 2)
    result = la.FlatIndex().add(xb).search(xq, 10, allow=allowed)
    assert_exact(la.SearchResult(result.distances, result.ids // 2), xq, xb[allowed], 10, "l2")


@pytest.mark.parametrize("metric", METRICS)
def test_many_near_duplicates(metric) -> None:
    rng = np.random.default_rng(1)
    xb = (base()[:1] + 1e-6 * rng.normal(size=(2000, 16))).astype(np.float32)
    assert_exact(la.FlatIndex(metric).add(xb).search(xb[:20], 5), xb[:20], xb, 5, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_come_by_id_however_they_are_stored(metric) -> None:
    xb = np.tile(base()[:10], (50, 1))
    for ids in (np.arange(500), np.arange(500)[::-1], np.random.default_rng(0).permutation(500)):
        index = la.FlatIndex(metric).add(xb, ids=ids)
        for row in index.search(xb[:10], 70).ids:
            same = np.sort(ids[np.flatnonzero(ids == row[0])[0] % 10 :: 10])  # all that equal the first
            np.testing.assert_array_equal(row[:50], same)


def test_a_vector_is_nearest_to_itself() -> None:
    for metric in ("l2", "cosine"):
        result = trained("flat", metric).search(base(), 1)
        np.testing.assert_array_equal(result.ids[:, 0], np.arange(N))
        np.testing.assert_allclose(result.distances, 0, atol=1e-6)


def test_reconstruct_gives_back_what_was_added() -> None:
    np.testing.assert_array_equal(trained("flat").reconstruct(np.arange(N)), base())
    unit = trained("flat", "cosine").reconstruct(np.arange(N))
    np.testing.assert_allclose(unit, reference.unit(base()), atol=1e-6)


def test_d_is_learnt_in_the_first_add() -> None:
    index = la.FlatIndex()
    assert index.d is None
    assert index.is_trained
    index.add(np.zeros((1, 3)))
    assert index.d == 3
    index.remove([0])
    with pytest.raises(la.DimensionError, match=r"d=3.*4"):
        index.add(np.zeros((1, 4)))


@pytest.mark.parametrize("metric", METRICS)
def test_range_search(metric) -> None:
    index, unit = trained("flat", metric), reference.unit
    xb, xq = (unit(base()), unit(queries())) if metric == "cosine" else (base(), queries())
    truth = reference.distances(xq, xb, metric)
    ordered = np.sort(truth.ravel())
    radius = ordered[len(ordered) // 10 : len(ordered) // 10 + 2].mean()
    lims, distances, ids = index.range_search(queries(), radius)
    assert (lims[0], lims[-1]) == (0, len(ids)) == (0, len(distances))
    for i in range(40):
        near = truth[i] > radius if metric == "ip" else truth[i] < radius
        assert set(ids[lims[i] : lims[i + 1]].tolist()) == set(np.flatnonzero(near).tolist())
        steps = np.diff(distances[lims[i] : lims[i + 1]])
        assert ((steps <= 0) if metric == "ip" else (steps >= 0)).all()

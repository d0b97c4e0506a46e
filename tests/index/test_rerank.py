"""Exact re-ranking of an index's candidates."""

from __future__ import annotations

import numpy as np
import pytest

import lookalike as la
from tests import reference
from tests.index.conftest import METRICS, NLIST, D, N, base, empty, queries, same, trained


@pytest.mark.parametrize("metric", METRICS)
def test_all_candidates_give_the_exact_answer(metric) -> None:
    fine = la.Reranked(trained("ivfpq", metric), base())
    result = fine.search(queries(), 10, nprobe=NLIST, candidates=N)
    exact = la.FlatIndex(metric).add(base()).search(queries(), 10)
    np.testing.assert_array_equal(result.ids, exact.ids)
    np.testing.assert_allclose(result.distances, exact.distances, rtol=1e-5, atol=1e-6)
    assert (fine.metric, fine.ntotal) == (metric, N)


def test_vectors_of_any_kind(tmp_path) -> None:
    half = base().astype(np.float16)
    mapped = np.memmap(tmp_path / "x.f16", np.float16, "w+", shape=half.shape)
    mapped[:] = half
    mapped.flush()
    readonly = np.memmap(tmp_path / "x.f16", np.float16, "r", shape=half.shape)
    wanted = la.Reranked(trained("ivfpq"), half.astype(np.float32)).search(queries(), 10, nprobe=4)
    for vectors in (half, half.astype(np.float64), np.asfortranarray(half), mapped, readonly):
        same(la.Reranked(trained("ivfpq"), vectors).search(queries(), 10, nprobe=4), wanted)


@pytest.mark.parametrize("metric", METRICS)
def test_more_candidates_never_worsen(metric) -> None:
    fine, before, sign = la.Reranked(trained("ivfpq", metric), base()), None, -1 if metric == "ip" else 1
    for candidates in (10, 20, 100, 800, N):
        distances = sign * fine.search(queries(), 10, nprobe=NLIST, candidates=candidates).distances
        assert before is None or (distances <= before).all()
        before = distances


def test_candidates_are_those_of_the_index() -> None:
    fine = la.Reranked(trained("ivfpq"), base())
    found = trained("ivfpq").search(queries(), 30, nprobe=3).ids
    result = fine.search(queries(), 30, nprobe=3, candidates=5)  # at least k are asked for
    np.testing.assert_array_equal(np.sort(result.ids, axis=1), np.sort(found, axis=1))
    exact = reference.squared_distances(queries(), base())
    np.testing.assert_allclose(result.distances, np.take_along_axis(exact, result.ids, 1), rtol=1e-5)
    assert (np.diff(result.distances, axis=1) >= 0).all()


def test_filters_and_threads_go_through() -> None:
    fine = la.Reranked(trained("ivfpq"), base())
    result = fine.search(queries(), 5, nprobe=NLIST, candidates=N, allow=np.arange(50), threads=2)
    exact = la.FlatIndex().add(base()[:50]).search(queries(), 5)
    np.testing.assert_array_equal(result.ids, exact.ids)


def test_missing_results_stay_missing() -> None:
    index = empty().add(base()[:3])
    result = la.Reranked(index, base()).search(queries(), 5, nprobe=NLIST)
    assert ((result.ids >= 0).sum(axis=1) == 3).all()
    assert np.isinf(result.distances[:, 3:]).all()
    nothing = la.Reranked(empty(), np.empty((0, D), np.float32)).search(queries(), 5)
    assert (nothing.ids == -1).all()
    assert la.Reranked(index, base()).search(np.empty((0, D)), 5).ids.shape == (0, 5)


def test_a_row_that_is_not_there() -> None:
    index = empty().add(base()[:3], ids=[0, 1, N])
    with pytest.raises(la.InputError, match=rf"id {N} is not a row of the {N} vectors"):
        la.Reranked(index, base()).search(queries(), 3, nprobe=NLIST)


@pytest.mark.parametrize("vectors", [np.zeros((N, D - 1)), np.zeros(D), None, [[0.0] * D]])
def test_vectors_that_do_not_fit(vectors) -> None:
    with pytest.raises(la.InputError, match="vectors"):
        la.Reranked(trained("ivfpq"), vectors)


@pytest.mark.parametrize("arguments", [{"k": 0}, {"candidates": 0}, {"nprobe": 0}, {"k": 2.5}])
def test_bad_numbers(arguments) -> None:
    with pytest.raises(la.InputError, match=next(iter(arguments))):
        la.Reranked(trained("ivfpq"), base()).search(queries(), **arguments)


def test_vectors_of_another_dimension_than_the_index_was_trained_with_later() -> None:
    index = la.IVFPQIndex(NLIST, 4, 4)
    fine = la.Reranked(index, np.zeros((N, D - 1), np.float32))  # d is not known yet
    index.train(base()).add(base())
    with pytest.raises(la.DimensionError, match=f"expected d={D} of the index, got {D - 1}"):
        fine.search(queries(), 3)


ODD_ROWS = {"NaN": np.nan, "infinity": np.inf, "minus infinity": -np.inf}


@pytest.mark.parametrize("odd", ODD_ROWS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_that_are_not_finite_are_nobodys_neighbours(odd, metric, dtype) -> None:
    """And the others keep their order."""
    index = trained("ivfpq", metric)
    vectors = base().astype(dtype)
    bad = np.random.default_rng(0).random(N) < 0.4
    vectors[bad, np.arange(N)[bad] % D] = ODD_ROWS[odd]
    found = la.Reranked(index, vectors).search(queries(), 20, nprobe=NLIST, candidates=N)
    mask = ~bad
    kept = la.Reranked(index, base().astype(dtype)).search(queries(), 20, nprobe=NLIST, candidates=N, allow=mask)
    same(found, kept)
    every = la.Reranked(index, vectors).search(queries(), N, nprobe=NLIST, candidates=N)
    assert ((every.ids >= 0).sum(axis=1) == mask.sum()).all()
    assert np.isinf(every.distances[every.ids < 0]).all()


def test_a_row_whose_distance_overflows_is_missing_not_first() -> None:
    vectors = base().copy()
    vectors[:50] = 3e38
    for metric in METRICS:
        result = la.Reranked(trained("ivfpq", metric), vectors).search(queries(), N, nprobe=NLIST, candidates=N)
        assert np.isfinite(result.distances[result.ids >= 0]).all()
        assert ((result.ids >= 0).sum(axis=1) == (N if metric == "cosine" else N - 50)).all()

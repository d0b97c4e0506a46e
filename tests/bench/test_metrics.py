"""Recall, and what counts as the same results."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import faiss
import numpy as np
import pytest

from lookalike import IVFPQIndex
from lookalike._typing import FloatArray, SearchResult
from lookalike.errors import InputError, LookalikeWarning
from lookalike.index.exact import exact_search
from lookalike_bench import peers
from lookalike_bench.cases.rows import Row
from lookalike_bench.experiments.spec import Target
from lookalike_bench.metrics import Agreement, compare_results, merged, recall

RNG = np.random.default_rng(5)
XB = RNG.random((3000, 16), np.float32)
XQ = RNG.random((20, 16), np.float32)
K, NPROBE = 10, 4


@pytest.fixture(scope="module")
def index() -> IVFPQIndex:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LookalikeWarning)  # 3000 points are few for 256 centroids
        return IVFPQIndex(nlist=16, m=4).train(XB).add(XB)


def _compare(index: IVFPQIndex, ours: SearchResult, peer: SearchResult, nprobe: int = NPROBE) -> Agreement:
    return compare_results(ours, peer, XQ, XB, index.coarse_centroids, nprobe)


def test_recall_counts_what_was_found() -> None:
    exact, ids = exact_search(XQ, XB, 20, "l2")
    assert recall(ids, XQ, XB, exact, 10) == 1
    assert recall(ids[:, 10:], XQ, XB, exact, 10) == 0
    half = np.concatenate([ids[:, :5], ids[:, 15:]], axis=1)
    assert recall(half, XQ, XB, exact, 10) == 0.5
    assert recall(np.full((20, 10), -1), XQ, XB, exact, 10) == 0
    assert recall(np.repeat(ids[:, :1], 10, axis=1), XQ, XB, exact, 10) == pytest.approx(0.1)  # one vector counts once


def test_equal_distances_count_as_found() -> None:
    base = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    query = np.array([[1, 0, 0, 0]], np.float32)
    exact, _ = exact_search(query, base, 2, "l2")
    assert recall(np.array([[1, 2]]), query, base, exact, 2) == 1
    assert recall(np.array([[1, 3]]), query, base, exact, 2) == 0.5


def test_faiss_with_the_same_codes_gives_the_same(index: IVFPQIndex) -> None:
    twin = peers.twin_of(index)
    for k, nprobe in ((1, 1), (10, 4), (100, 16)):
        ours = index.search(XQ, k, nprobe=nprobe)
        for by_lists in (False, True):
            theirs = peers.faiss_searcher(twin, k, nprobe, by_lists=by_lists)(XQ)
            assert _compare(index, ours, theirs, nprobe).is_same
    singles = merged([index.search(XQ[i : i + 1], 10, nprobe=4) for i in range(len(XQ))])
    assert _compare(index, singles, peers.faiss_searcher(twin, 10, 4)(XQ)).is_same


def test_more_results_than_there_are_vectors(index: IVFPQIndex) -> None:
    twin = peers.twin_of(index)
    ours, theirs = index.search(XQ, 600, nprobe=1), peers.faiss_searcher(twin, 600, 1)(XQ)
    assert (ours.ids == -1).any()
    agreement = _compare(index, ours, theirs, 1)
    assert agreement.is_same
    assert agreement.words == "same"
    fewer = SearchResult(theirs.distances, np.where(np.arange(600) < 20, theirs.ids, -1))
    assert _compare(index, ours, fewer, 1).different == len(XQ)


def _changed(result: SearchResult, **changes: Any) -> SearchResult:
    distances, ids = result.distances.copy(), result.ids.copy()
    for name, (where, value) in changes.items():
        (distances if name == "distances" else ids)[where] = value
    return SearchResult(distances, ids)


def test_what_differs_is_found(index: IVFPQIndex) -> None:
    right = index.search(XQ, K, nprobe=NPROBE)
    assert _compare(index, right, right) == Agreement(20, 0, 0, 0, 0.0)
    farther = _changed(right, distances=((3, 4), right.distances[3, 4] * 1.01 + 0.01))
    assert _compare(index, right, farther).different == 1
    assert _compare(index, farther, right).words == "1 of 20 queries differ"
    assert _compare(index, right, farther).worst > 1
    stranger = _changed(right, ids=((5, 0), 2999))  # in place of the nearest, at its distance
    assert _compare(index, right, stranger).different == 1
    assert _compare(index, stranger, right).different == 1
    swapped = SearchResult(right.distances, right.ids[:, ::-1].copy())  # each id with another's distance
    assert _compare(index, right, swapped).different == 20


def test_ties_at_the_end_may_go_either_way(index: IVFPQIndex) -> None:
    right = index.search(XQ, K, nprobe=NPROBE)
    tied = _changed(right, ids=((slice(None), -1), 2998))
    agreement = _compare(index, right, tied)
    assert agreement.is_same
    assert agreement.other_ids == 20


def test_rounding_is_no_difference_and_scaled_by_the_vectors(index: IVFPQIndex) -> None:
    right = index.search(XQ, K, nprobe=NPROBE)
    rounded = SearchResult(right.distances * np.float32(1 + 5e-5), right.ids)
    agreement = _compare(index, right, rounded)
    assert agreement.is_same
    assert 0 < agreement.worst < 1


def test_tied_cells_are_told_apart() -> None:
    xb = RNG.random((400, 4), np.float32)
    centroids = np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.float32)
    xq = np.full((1, 4), 0.5, np.float32)  # as far from one as from the other
    one = SearchResult(np.array([[1.0, 2.0]], np.float32), np.array([[1, 2]]))
    other = SearchResult(np.array([[1.5, 2.5]], np.float32), np.array([[3, 4]]))
    agreement = compare_results(one, other, xq, xb, centroids, 1)
    assert (agreement.different, agreement.other_cells, agreement.words) == (0, 1, "same (1 tied cells)")
    assert compare_results(one, other, xq + 0.1, xb, centroids, 1).different == 1
    assert compare_results(one, other, xq, xb, centroids, 2).different == 1


def test_adding_stores_the_codes_that_faiss_stores(index: IVFPQIndex) -> None:
    twin = peers.empty_twin(index)
    twin.add(XB)
    list_no, codes = peers.codes_by_id(twin)
    order = np.argsort(index.ids)
    ours = np.repeat(np.arange(16), index.list_sizes)[order]
    assert np.array_equal(list_no, ours)
    assert np.array_equal(index.codes[order], codes)


def test_only_what_faiss_has_a_twin_for() -> None:
    for other in ({"metric": "ip"}, {"rotation": "opq"}, {"by_residual": False}, {"nbits": 6}, {"nbits": 10}):
        with pytest.raises(InputError, match="a FAISS twin"):
            peers.empty_twin(IVFPQIndex(nlist=4, m=2, **other))  # type: ignore[arg-type]


@pytest.mark.parametrize("by_residual", [False, True])
def test_fast_scan_reaches_exact_distances(index: IVFPQIndex, by_residual: bool) -> None:
    refined = peers.faiss_fast_scan(index.coarse_centroids, 8, by_residual, XB, XB)
    assert isinstance(refined, faiss.IndexRefineFlat)
    exact, _ = exact_search(XQ, XB, K, "l2")
    few = recall(peers.faiss_refiner(refined, K, 1, 1)(XQ).ids, XQ, XB, exact, K)
    many = peers.faiss_refiner(refined, K, 16, 100)(XQ)
    assert few < recall(many.ids, XQ, XB, exact, K) == 1
    np.testing.assert_allclose(many.distances, exact, rtol=1e-4)


def test_kmeans_uses_all_points_and_its_seed() -> None:
    def error(centroids: FloatArray) -> float:
        return float(exact_search(XB, centroids, 1, "l2")[0].mean())

    a, b = (peers.faiss_kmeans(XB, 4, 5, seed) for seed in (0, 0))
    assert np.array_equal(a, b)
    assert error(a) < error(XB[:4])


def test_a_row_that_is_not_equal_is_not_met() -> None:
    row = Row("search", "batch", "t", 1, "d", 1, 1, {}, value=6.0, target=Target("batch", at_least=5, aim=10))
    assert row.verdict == "met"
    assert replace(row, value=11.0).verdict == "aim"
    assert replace(row, value=4.9).verdict == "missed"
    assert replace(row, agreement=Agreement(5, 1, 0, 3, 2.0)).verdict == "not equal"
    assert replace(row, is_valid=False).verdict == "not equal"
    assert replace(row, value=None).verdict == "failed"
    assert replace(row, target=Target()).verdict == ""
    assert replace(row, target=Target(aim=5), value=4.0).verdict == "below aim"
    small = replace(row, mode="", unit="B", target=Target(at_most=32))
    assert [replace(small, value=value).verdict for value in (32.0, 32.1)] == ["met", "missed"]

"""Searching only what is allowed: by ids or by a mask, equal to filtering first and then comparing everything."""

from __future__ import annotations

import numpy as np
import pytest

import lookalike as la
from tests import reference
from tests.index.conftest import KINDS, METRICS, NLIST, N, base, empty, filled, queries, same, trained


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", [1, 3, 40, 700, N])
def test_a_filter_equals_an_index_of_what_is_allowed(kind, metric, count) -> None:
    index, rng = trained(kind, metric), np.random.default_rng(count)
    allowed = np.sort(rng.choice(N, count, replace=False))
    mask = np.zeros(N, np.bool_)
    mask[allowed] = True
    every = index.search(queries(), N, nprobe=NLIST)
    for k in (1, 10, 100):
        wanted_i, wanted_d = np.full((40, k), -1), np.full((40, k), -np.inf if metric == "ip" else np.inf, np.float32)
        for i in range(40):
            keep = mask[every.ids[i]]
            ids, distances = every.ids[i][keep][:k], every.distances[i][keep][:k]
            wanted_i[i, : len(ids)], wanted_d[i, : len(ids)] = ids, distances
        assert ((wanted_i >= 0).sum(axis=1) == min(k, count)).all()  # k of them, where there are k
        for allow in (allowed, rng.permutation(allowed), allowed.tolist(), mask, np.repeat(mask, 2)[::2]):
            got = index.search(queries(), k, nprobe=NLIST, allow=allow)
            np.testing.assert_array_equal(got.ids, wanted_i)
            np.testing.assert_array_equal(got.distances, wanted_d)


@pytest.mark.parametrize("nbits", [4, 8, 9])
def test_a_filter_of_decoded_vectors(nbits) -> None:
    index = filled("l2", nbits)
    allowed = np.flatnonzero(np.random.default_rng(0).random(N) < 0.1)
    vectors = index.reconstruct(np.arange(N))
    wanted = reference.search_decoded(queries(), vectors, np.arange(N), 10, "l2", np.isin(np.arange(N), allowed))
    slack = reference.tolerance(wanted[0], queries(), vectors)
    reference.assert_same_results(index.search(queries(), 10, nprobe=NLIST, allow=allowed), wanted, slack)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_allowed(kind) -> None:
    for allow in ([], np.empty(0, np.int64), np.zeros(N, np.bool_), np.empty(0, np.bool_), [N, N + 7, 2**50], [-1]):
        result = trained(kind).search(queries(), 3, nprobe=NLIST, allow=allow)
        assert (result.ids == -1).all()
        assert np.isinf(result.distances).all()


@pytest.mark.parametrize("kind", KINDS)
def test_masks_shorter_and_longer_than_the_ids(kind) -> None:
    index = trained(kind)
    few = index.search(queries(), 20, nprobe=NLIST, allow=np.ones(100, np.bool_))
    same(few, index.search(queries(), 20, nprobe=NLIST, allow=np.arange(100)))
    many = index.search(queries(), 20, nprobe=NLIST, allow=np.ones(10 * N, np.bool_))
    same(many, index.search(queries(), 20, nprobe=NLIST))


@pytest.mark.parametrize("kind", ["flat", "ivfpq"])
def test_wide_ids_are_filtered_by_ids(kind) -> None:
    index = la.FlatIndex() if kind == "flat" else empty()
    index.add(base()[:200], ids=np.arange(200) + 2**40)
    result = index.search(queries(), 5, nprobe=NLIST, allow=[3, 2**40 + 3, 2**40 + 9])
    assert set(result.ids.ravel().tolist()) == {-1, 2**40 + 3, 2**40 + 9}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "allow", [[1.5], ["a"], [[1, 2]], 3, {1, 2}, np.array([1 + 0j]), np.zeros((N, 1), np.bool_), "all"]
)
def test_what_is_not_a_filter(kind, allow) -> None:
    with pytest.raises(la.InputError, match="allow"):
        trained(kind).search(queries(), allow=allow)


def test_a_filter_is_not_changed() -> None:
    allow = np.array([9, 3, 3, 5])
    trained("ivfpq").search(queries(), allow=allow)
    assert allow.tolist() == [9, 3, 3, 5]


def test_duplicates_in_a_filter_count_once() -> None:
    result = trained("ivfpq").search(queries(), 4, nprobe=NLIST, allow=[7, 7, 7])
    assert (result.ids == [7, -1, -1, -1]).all()

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
@pytest.mark.parametrize("allow", [[1.5], ["a"], [[1, 2]], 3, np.array([1 + 0j]), np.zeros((N, 1), np.bool_), "all"])
def test_what_is_not_a_filter(kind, allow) -> None:
    with pytest.raises(la.InputError, match="allow"):
        trained(kind).search(queries(), allow=allow)


SAME_IDS = {
    "set": {3, 9, 700},
    "frozenset": frozenset({3, 9, 700}),
    "keys": dict.fromkeys([700, 9, 3]).keys(),
    "tuple": (9, 3, 700),
    "numpy numbers": [np.int8(3), np.uint64(9), np.int64(700)],
    "what no id can be": [3, 9, 700, 2**63, -(2**70), -1],
    "a set of them": {3, 9, 700, 2**64},
    "uint64 that is none": np.array([3, 9, 700, 2**63 + 3, 2**64 - 1], np.uint64),
    "big-endian": np.array([3, 9, 700], ">i4"),
    "read-only": np.frombuffer(np.array([3, 9, 700], np.uint16).tobytes(), np.uint16),
    "strided": np.repeat(np.array([3, 9, 700]), 3)[::3],
    "read-only mask": np.frombuffer(np.isin(np.arange(N), [3, 9, 700]).tobytes(), np.bool_),
    "mask as a list": np.isin(np.arange(N), [3, 9, 700]).tolist(),
}


@pytest.mark.parametrize("name", SAME_IDS)
def test_a_filter_of_any_kind_is_the_same_filter(name) -> None:
    for kind in (*KINDS, "ivfflat"):
        index = la.IVFFlatIndex(NLIST).train(base()).add(base()) if kind == "ivfflat" else trained(kind)
        wanted = index.search(queries(), 5, nprobe=NLIST, allow=np.array([3, 9, 700]))
        same(index.search(queries(), 5, nprobe=NLIST, allow=SAME_IDS[name]), wanted)
        near = index.range_search(queries(), 1e30, nprobe=NLIST, allow=SAME_IDS[name])
        assert set(near.ids.tolist()) == {3, 9, 700}
    fine = la.Reranked(trained("ivfpq"), base())
    assert set(fine.search(queries(), 3, nprobe=NLIST, allow=SAME_IDS[name]).ids.ravel()) == {3, 9, 700}


@pytest.mark.parametrize(
    "numbers",
    [
        *(range(5), range(100, 200), range(0, N, 7), range(N - 1, -1, -3), range(-50, 30, 4), range(20, -20, -6)),
        *(range(0), range(5, 2), range(-9, -1), range(N - 5, 10**18), range(2**63, 2**64), range(-(10**18), 8, 3)),
    ],
)
def test_a_range_is_a_filter_and_is_not_written_out(numbers) -> None:
    wanted = [number for number in range(N) if number in numbers]
    for kind in KINDS:
        same(
            trained(kind).search(queries(), 5, nprobe=NLIST, allow=numbers),
            trained(kind).search(queries(), 5, nprobe=NLIST, allow=wanted),
        )


@pytest.mark.parametrize(
    ("allow", "said"),
    [
        ("all", "got str"),
        (b"ids", "got bytes"),
        (3, "got int"),
        ((i for i in [1]), "got generator"),
        ({"a", "b"}, "got set of dtype <U1"),
        ([1.5], "got list of dtype float64"),
        ({True, False}, "got a set of booleans"),
        ([[1], [1, 2]], "ragged"),
        ([[1, 2]], r"got list of shape \(1, 2\)"),
        (np.array(["a"]), "got ndarray of dtype <U1"),
        (np.array([1, None]), "got ndarray of dtype object"),
    ],
)
def test_what_is_no_filter_is_named(allow, said) -> None:
    with pytest.raises(la.InputError, match=said) as caught:
        trained("ivfpq").search(queries(), allow=allow)
    assert "\n" not in str(caught.value)


def test_a_filter_is_not_changed() -> None:
    allow = np.array([9, 3, 3, 5])
    trained("ivfpq").search(queries(), allow=allow)
    assert allow.tolist() == [9, 3, 3, 5]


def test_duplicates_in_a_filter_count_once() -> None:
    result = trained("ivfpq").search(queries(), 4, nprobe=NLIST, allow=[7, 7, 7])
    assert (result.ids == [7, -1, -1, -1]).all()

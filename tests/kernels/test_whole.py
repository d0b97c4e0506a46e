"""Exact search in lists of whole vectors."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.kernels import whole
from lookalike.kernels.layout import IP, L2, METRIC_NUMBERS, PRODUCT_ROUNDING, TILE
from lookalike.kernels.target import available
from tests import reference

NOBODY, NOTHING = np.empty(0, np.int64), np.empty(0, np.bool_)
ALL = (NOTHING, NOBODY)
WITHIN = [whole.within_plain] + ([whole.within_simd] if available() else [])
METRICS = METRIC_NUMBERS | {"angle": whole.ANGLE}


def searched(xq, probes, lists, metric, k, allow=ALL):
    """`lists` are pairs of vectors and ids."""
    table = np.array([[x.ctypes.data, ids.ctypes.data, len(ids)] for x, ids in lists], np.int64)
    x = lists[0][0]
    out = np.full((len(xq), k), np.nan, np.float32), np.full((len(xq), k), -9, np.int64)
    kind = x.shape[1] * x.itemsize, x.dtype == np.float16
    whole.search_whole(xq, np.asarray(probes, np.int64), table, kind, METRICS[metric], allow, *out)
    return out


def prepared(x, metric):
    """Unit vectors where the metric wants them."""
    return reference.unit(x).astype(x.dtype) if metric == "cosine" else x


def wanted(xq, vectors, ids, k, metric):
    if metric == "angle":
        xq, vectors, metric = reference.unit(xq), reference.unit(vectors.astype(np.float64)), "cosine"
    exact = reference.distances(xq, vectors, metric) * (-1 if metric == "ip" else 1)
    return reference.top_k(exact, ids, k, "l2")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [3, 200, 1500])
@pytest.mark.parametrize("allow", ["all", "mask", "ids"])
@pytest.mark.parametrize("nq", [1, 5, 40])
def test_each_query_ranks_what_its_lists_hold(metric, d, allow, nq, rng) -> None:
    k, sizes = 4, [0, 1, 30, 7, 64, 200]
    xq = rng.normal(size=(nq, d)).astype(np.float32)
    xq = reference.unit(xq).astype(np.float32) if metric in {"cosine", "angle"} else xq
    lists = [
        (prepared(rng.normal(size=(n, d)).astype(np.float32), metric), rng.permutation(n) + 1000 * i)
        for i, n in enumerate(sizes)
    ]
    allowed = np.sort(rng.choice(5300, 2500, replace=False))
    mask = np.isin(np.arange(5100), allowed)
    filters = {"all": ALL, "mask": (mask, NOBODY), "ids": (NOTHING, allowed)}[allow]
    probes = np.stack([rng.permutation(len(sizes))[:4] for _ in range(nq)])
    found = searched(xq, probes, lists, metric, k, filters)
    for query in range(nq):
        vectors = np.concatenate([lists[i][0] for i in probes[query]])
        ids = np.concatenate([lists[i][1] for i in probes[query]])
        keep = np.ones(len(ids), np.bool_) if allow == "all" else np.isin(ids, allowed)
        if allow == "mask":
            keep &= ids < len(mask)
        got = found[0][query : query + 1], found[1][query : query + 1]
        right = wanted(xq[query : query + 1], vectors[keep], ids[keep], k, metric)
        reference.assert_same_results(got, right, np.full((1, k), 1e-6 * (d if metric in {"l2", "ip"} else 2)))
        alone = searched(xq[query : query + 1], probes[query : query + 1], lists, metric, k, filters)
        np.testing.assert_array_equal(alone[0], got[0])
        np.testing.assert_array_equal(alone[1], got[1])


@pytest.mark.parametrize("metric", ["l2", "ip", "angle"])
@pytest.mark.parametrize("nq", [2, 30])
def test_float16_rows(metric, nq, rng) -> None:
    xq, x = rng.normal(size=(nq, 37)).astype(np.float32), rng.normal(size=(500, 37)).astype(np.float16)
    xq = reference.unit(xq).astype(np.float32)
    x[7] = 0
    found = searched(xq, np.zeros((nq, 1)), [(x, np.arange(500))], metric, 9)
    right = wanted(xq, x.astype(np.float64), np.arange(500), 9, metric)
    reference.assert_same_results(found, right, np.full((nq, 9), 1e-5))


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("k", [1, 5, 40, 500])
@pytest.mark.parametrize("nq", [3, 33])
def test_equal_distances_are_told_apart_by_id(metric, k, nq, rng) -> None:
    vectors = rng.integers(-2, 3, (300, 4)).astype(np.float32)  # small whole numbers: many ties, nothing is rounded
    xq, ids = rng.integers(-2, 3, (nq, 4)).astype(np.float32), rng.permutation(300).astype(np.int64)
    lists = [(vectors[rows], ids[rows]) for rows in (slice(0, 100), slice(100, 300))]
    out_d, out_i = searched(xq, np.tile([0, 1], (nq, 1)), lists, metric, k)
    for query in range(nq):
        exact = reference.distances(xq[query : query + 1], vectors, metric)[0] * (-1 if metric == "ip" else 1)
        order = np.lexsort((ids, exact))[:k]
        assert out_i[query, : len(order)].tolist() == ids[order].tolist()
        assert out_d[query, : len(order)].tolist() == exact[order].tolist()
        assert (out_i[query, len(order) :] == -1).all()
        assert (out_d[query, len(order) :] == np.inf).all()


@pytest.mark.parametrize("nq", [1, 20])
def test_what_is_gone_or_is_no_number_is_not_found(nq, rng) -> None:
    x, ids = rng.normal(size=(400, 9)).astype(np.float32), np.arange(400)
    x[3], x[70, 2], x[200] = np.nan, np.inf, 3e38
    ids[5::2] = -1
    xq = x[100 : 100 + nq].copy()
    with np.errstate(all="ignore"):
        _, found = searched(xq, np.zeros((nq, 1)), [(x, ids)], "l2", 5)
    here = np.setdiff1d(ids[ids >= 0], [3, 70, 200])
    right = wanted(xq, x[here].astype(np.float64), here, 5, "l2")
    np.testing.assert_array_equal(found, right[1])


def test_a_cloud_far_from_the_origin(rng) -> None:
    """Products reject nothing that a distance would keep, where they have hardly a digit left."""
    x = (1e4 + rng.normal(size=(3000, 16))).astype(np.float32)
    found = searched(x[:50], np.zeros((50, 1)), [(x, np.arange(3000))], "l2", 3)
    right = wanted(x[:50], x, np.arange(3000), 3, "l2")
    np.testing.assert_array_equal(found[1], right[1])


@pytest.mark.parametrize("kernel", WITHIN)
def test_the_mask_of_scores(kernel, rng) -> None:
    scores = reference.aligned(rng.normal(size=TILE).astype(np.float32))
    scores[3] = np.nan
    for bound in (-np.inf, 0.1, float(scores[9]), np.inf):
        mask = int(kernel(scores.ctypes.data, np.float32(bound)))
        assert [bool(mask >> c & 1) for c in range(TILE)] == (scores <= np.float32(bound)).tolist()


@pytest.mark.parametrize("metric", [L2, IP])
def test_no_score_within_the_limit_is_rejected(metric, rng) -> None:
    for scale in (1e-3, 1, 1e3):
        q, x = (scale * rng.normal(size=(200, 30))).astype(np.float32), (rng.normal(size=(200, 30))).astype(np.float32)
        product = np.einsum("ij,ij->i", q, x)
        score = (np.square(x).sum(axis=1) / 2 - product if metric == L2 else -product).astype(np.float32)
        exact = np.square(q - x).sum(axis=1) if metric == L2 else -product
        largest = np.float32(np.square(x).sum(axis=1).max())
        for i in range(200):
            size = np.float32(np.square(q[i]).sum())
            bound = whole.highest_score(size, np.float32(exact[i]), largest, metric, 30)
            assert score[i] <= bound
            assert bound - score[i] <= 3 * PRODUCT_ROUNDING * (size + largest)

"""Exact distances in lists of whole vectors."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lookalike.kernels import whole
from tests import reference
from tests.kernels.conftest import examples

NOBODY, NOTHING = np.empty(0, np.int64), np.empty(0, np.bool_)


@examples(40)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 40), d=st.integers(1, 40), l2=st.booleans())
def test_distances_to_every_row(seed, n, d, l2) -> None:
    rng = np.random.default_rng(seed)
    query, vectors = rng.normal(size=d).astype(np.float32), rng.normal(size=(n, d)).astype(np.float32)
    out = np.full(n, np.nan, np.float32)
    whole.row_distances(query, vectors, l2, out)
    wanted = reference.distances(query[None], vectors, "l2" if l2 else "ip")[0] * (1 if l2 else -1)
    np.testing.assert_allclose(out[:n], wanted, rtol=1e-5, atol=1e-5)
    for row in range(n):  # the same, wherever a row stands among the others
        whole.row_distances(query, vectors[row:], l2, out)
        alone = np.empty(1, np.float32)
        whole.row_distances(query, vectors[row : row + 1], l2, alone)
        assert alone[0] == out[0]


@pytest.mark.parametrize("l2", [True, False])
@pytest.mark.parametrize("d", [3, 200, 5000])
@pytest.mark.parametrize("allow", ["all", "mask", "ids"])
def test_lists_offered_one_after_the_other(l2, d, allow, rng) -> None:
    """Several lists, each visited by some queries, end as one ranking of what each query met."""
    nq, k, capacity = 5, 4, 9
    xq = rng.normal(size=(nq, d)).astype(np.float32)
    sizes = [0, 1, 30, 7, 64]
    lists = [(rng.normal(size=(n, d)).astype(np.float32), rng.permutation(n) + 100 * i) for i, n in enumerate(sizes)]
    allowed = np.sort(rng.choice(500, 250, replace=False))
    mask = np.isin(np.arange(450), allowed)
    filters = {"all": (NOTHING, NOBODY), "mask": (mask, NOBODY), "ids": (NOTHING, allowed)}[allow]
    candidates = whole.no_candidates(nq, k, capacity)
    met: list[list[int]] = [[] for _ in range(nq)]
    for i, (vectors, ids) in enumerate(lists):
        visitors = np.flatnonzero(rng.random(nq) < 0.7)
        for query in visitors:
            met[query].append(i)
        whole.scan_list(xq, visitors, vectors, ids, l2, filters, candidates)
    out_d, out_i = np.empty((nq, k), np.float32), np.empty((nq, k), np.int64)
    whole.best_of_each(candidates, out_d, out_i)
    for query in range(nq):
        vectors = np.concatenate([lists[i][0] for i in met[query]] or [np.empty((0, d), np.float32)])
        ids = np.concatenate([lists[i][1] for i in met[query]] or [NOBODY])
        keep = np.ones(len(ids), np.bool_) if allow == "all" else np.isin(ids, allowed)
        if allow == "mask":
            keep &= ids < len(mask)
        exact = reference.distances(xq[query : query + 1], vectors[keep], "l2" if l2 else "ip") * (1 if l2 else -1)
        wanted = reference.top_k(exact, ids[keep], k, "l2")
        got = out_d[query : query + 1], out_i[query : query + 1]
        reference.assert_same_results(got, wanted, np.full((1, k), 1e-5 * d))


@pytest.mark.parametrize("l2", [True, False])
@pytest.mark.parametrize("k", [1, 5, 40, 500])
def test_equal_distances_are_told_apart_by_id(l2, k, rng) -> None:
    vectors = rng.integers(-2, 3, (300, 4)).astype(np.float32)  # small whole numbers: many ties, nothing is rounded
    xq, ids = rng.integers(-2, 3, (3, 4)).astype(np.float32), rng.permutation(300).astype(np.int64)
    candidates = whole.no_candidates(3, k, 2 * k + 1)
    for rows in (slice(0, 100), slice(100, 300)):
        whole.scan_list(xq, np.arange(3), vectors[rows], ids[rows], l2, (NOTHING, NOBODY), candidates)
    out_d, out_i = np.empty((3, k), np.float32), np.empty((3, k), np.int64)
    whole.best_of_each(candidates, out_d, out_i)
    for query in range(3):
        exact = reference.distances(xq[query : query + 1], vectors, "l2" if l2 else "ip")[0] * (1 if l2 else -1)
        order = np.lexsort((ids, exact))[:k]
        assert out_i[query, : len(order)].tolist() == ids[order].tolist()
        assert out_d[query, : len(order)].tolist() == exact[order].tolist()

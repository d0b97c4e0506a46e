"""The scan of whole vectors against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.kernels.flat_scan import best_of_each, row_distances, scan_list

NO_MASK, NO_IDS = np.empty(0, np.bool_), np.empty(0, np.int64)


def oracle(query: np.ndarray, rows: np.ndarray, is_l2: bool) -> np.ndarray:
    wide = query.astype(np.float64), rows.astype(np.float64)
    return ((wide[1] - wide[0]) ** 2).sum(axis=1) if is_l2 else -(wide[1] @ wide[0])


@pytest.mark.parametrize("is_l2", [True, False])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (3, 15), (7, 16), (100, 33), (20, 300)])
def test_row_distances(n: int, d: int, is_l2: bool) -> None:
    rng = np.random.default_rng(n * d)
    query, rows = rng.normal(size=d).astype(np.float32), rng.normal(size=(n, d)).astype(np.float32)
    out = np.empty(n, np.float32)
    row_distances(query, rows, is_l2, out)
    np.testing.assert_allclose(out, oracle(query, rows, is_l2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_l2", [True, False])
@pytest.mark.parametrize("filtered", [None, "mask", "ids"])
@pytest.mark.parametrize("k", [1, 5, 40, 500])
def test_the_k_nearest_of_several_lists(k: int, filtered: str | None, is_l2: bool) -> None:
    rng = np.random.default_rng(k)
    d, lists = 5, [rng.integers(-3, 4, (size, 5)).astype(np.float32) for size in (70, 1, 0, 200)]  # many ties
    numbers = np.split(rng.permutation(271).astype(np.int64), [70, 71, 71])
    xq = rng.integers(-3, 4, (4, d)).astype(np.float32)
    visits = [np.array([0, 2]), np.array([1]), np.array([0]), np.array([0, 1, 2])]  # query 3 visits nothing
    mask = rng.random(200) < 0.5 if filtered == "mask" else NO_MASK
    chosen = np.sort(rng.choice(300, 90, replace=False)) if filtered == "ids" else NO_IDS
    capacity = 2 * k + 8
    distances, ids = np.empty((4, capacity), np.float32), np.empty((4, capacity), np.int64)
    places, counts, limits = np.zeros((4, capacity), np.int64), np.zeros(4, np.int64), np.full(4, np.inf, np.float32)
    for x, own, visitors in zip(lists, numbers, visits, strict=True):
        scan_list(xq, visitors, x, own, is_l2, mask, chosen, k, distances, ids, places, counts, limits)
    found, found_ids = np.empty((4, k), np.float32), np.empty((4, k), np.int64)
    best_of_each(distances, ids, places, counts, k, found, found_ids)
    for i in range(4):
        seen = [j for j in range(4) if i in visits[j]]
        x = np.concatenate([lists[j] for j in seen]) if seen else np.empty((0, d), np.float32)
        own = np.concatenate([numbers[j] for j in seen]) if seen else NO_IDS
        if filtered == "mask":
            x, own = x[(own < 200) & mask[np.minimum(own, 199)]], own[(own < 200) & mask[np.minimum(own, 199)]]
        elif filtered == "ids":
            x, own = x[np.isin(own, chosen)], own[np.isin(own, chosen)]
        exact = oracle(xq[i], x, is_l2)
        order = np.lexsort((own, exact))[:k]
        assert found_ids[i, : len(order)].tolist() == own[order].tolist()
        assert found[i, : len(order)].tolist() == exact[order].tolist()  # small whole numbers: nothing is rounded
        assert (found_ids[i, len(order) :] == -1).all()
        assert (found[i, len(order) :] == np.inf).all()

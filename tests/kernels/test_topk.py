"""Selecting and sorting candidates: by distance, then by id."""

from __future__ import annotations

import os

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lookalike.kernels.topk import bound_by_bins, bound_of_kth, quickselect, sort_candidates
from tests.kernels.conftest import examples


def candidates(seed: int, count: int, values: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of few distinct values (so ties abound), distinct ids, and places that name their id."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(10 * count)[:count].astype(np.int64)
    distances = rng.integers(0, values, count).astype(np.float32)
    distances[rng.random(count) < 0.02] = np.inf
    return distances, ids, ids * 1000


sizes = given(seed=st.integers(0, 2**32), count=st.integers(1, 300), values=st.sampled_from([1, 3, 1000]))


@examples(60)
@sizes
def test_sorted_by_distance_then_id(seed, count, values) -> None:
    distances, ids, places = candidates(seed, count, values)
    order = np.lexsort((ids, distances))
    wanted = distances[order], ids[order]
    sort_candidates(distances, ids, places, count)
    np.testing.assert_array_equal(distances, wanted[0])
    np.testing.assert_array_equal(ids, wanted[1])
    np.testing.assert_array_equal(places, ids * 1000)


@examples(60)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 300), values=st.sampled_from([1, 3, 1000]), data=st.data())
def test_the_k_nearest_come_first(seed, count, values, data) -> None:
    k = data.draw(st.integers(1, count))
    distances, ids, places = candidates(seed, count, values)
    order = np.lexsort((ids, distances))
    wanted = set(ids[order][:k].tolist())
    bound = quickselect(distances, ids, places, count, k)
    assert bound == distances[k - 1] == np.sort(distances)[k - 1]
    assert set(ids[:k].tolist()) == wanted
    np.testing.assert_array_equal(places, ids * 1000)


def test_what_lies_behind_the_count_is_left_alone() -> None:
    distances, ids = np.array([3, 2, 1, 0], np.float32), np.arange(4)
    places = ids.copy()
    sort_candidates(distances, ids, places, 3)
    assert distances.tolist() == [1, 2, 3, 0]
    assert ids.tolist() == [2, 1, 0, 3]


def test_hard_orders_for_quickselect() -> None:
    """Sorted, reversed, organ-pipe and constant inputs: what makes a careless quickselect quadratic or endless."""
    n = 2000 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 20_000
    ramp = np.arange(n, dtype=np.float32)
    for values in (ramp, ramp[::-1], np.minimum(ramp, ramp[::-1]), np.zeros(n, np.float32)):
        distances, ids = values.copy(), np.arange(n)
        assert quickselect(distances, ids, ids.copy(), n, 10) == np.sort(values)[9]
        np.testing.assert_array_equal(np.sort(ids[:10]), np.sort(np.lexsort((np.arange(n), values))[:10]))


@examples(60)
@given(seed=st.integers(0, 2**32), blocks=st.integers(1, 9), k=st.integers(1, 64))
def test_at_least_k_values_are_within_the_bound(seed, blocks, k) -> None:
    values = np.random.default_rng(seed).normal(size=64 * blocks).astype(np.float32)
    bound = bound_of_kth(values, len(values), k, np.empty(64, np.float32))
    assert (values <= bound).sum() >= k
    assert bound in values
    if blocks == 1:
        assert bound == np.sort(values)[k - 1]


@examples(60)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 700), offset=st.sampled_from([0, 1e3, -1e6]), data=st.data())
def test_bins_bound_the_kth_value_from_above_and_not_by_much(seed, n, offset, data) -> None:
    k = data.draw(st.integers(1, n))
    values = (offset + np.random.default_rng(seed).normal(size=n)).astype(np.float32)
    bound = bound_by_bins(values, n, k, np.empty(256, np.int32))
    kth = np.sort(values)[k - 1]
    ulp = np.spacing(np.float32(abs(offset)))
    assert kth - 2 * ulp <= bound <= kth + 1.05 * np.ptp(values) / 255 + 2 * ulp


@pytest.mark.parametrize("value", [0.0, -3.5, np.inf, np.nan])
def test_equal_values_and_values_that_are_no_numbers_have_a_bound_too(value) -> None:
    """A damaged file may hold anything; nothing may be counted outside the bins."""
    bound = bound_by_bins(np.full(100, value, np.float32), 100, 40, np.empty(256, np.int32))
    np.testing.assert_array_equal(bound, np.float32(value))
    mixed = np.array([0, np.nan, 1, np.inf, -np.inf] * 20, np.float32)
    with np.errstate(all="ignore"):  # without the JIT, numpy warns
        bound_by_bins(mixed, 100, 40, np.empty(256, np.int32))

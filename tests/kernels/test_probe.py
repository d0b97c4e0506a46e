"""The lists that a query visits."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numba import njit

from lookalike.kernels import probe
from lookalike.kernels.layout import Tiles
from tests import reference
from tests.kernels.conftest import examples


@examples(30)
@given(seed=st.integers(0, 2**32), nlist=st.integers(1, 400), by_l2=st.booleans(), data=st.data())
def test_the_nprobe_nearest_lists_in_order(seed, nlist, by_l2, data) -> None:
    nprobe = data.draw(st.integers(1, nlist))
    rng = np.random.default_rng(seed)
    xq, centroids = rng.normal(size=(3, 8)).astype(np.float32), rng.normal(size=(nlist, 8)).astype(np.float32)
    exact = reference.squared_distances(xq, centroids) if by_l2 else -(xq.astype(np.float64) @ centroids.T)
    scores = np.full((3, -(-nlist // 64) * 64), np.inf, np.float32)
    scores[:, :nlist] = (exact - np.square(xq).sum(axis=1, keepdims=True)) / 2 if by_l2 else exact
    probes, coarse = np.full((3, nprobe), -1, np.int64), np.empty((3, nprobe), np.float32)
    slack = np.full(3, 1e-5 * np.abs(exact).max(), np.float32)
    probe.select_probes(xq, scores, slack, Tiles.of(centroids[None], by_l2), probes, coarse)
    np.testing.assert_allclose(coarse, np.sort(exact, axis=1)[:, :nprobe], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(coarse, np.take_along_axis(exact, probes, 1), rtol=1e-4, atol=1e-5)
    assert all(len(set(row)) == nprobe for row in probes.tolist())
    assert (np.diff(coarse, axis=1) >= 0).all()


def test_lists_at_one_distance_come_by_number(rng) -> None:
    centroids = np.repeat(rng.normal(size=(1, 4)).astype(np.float32), 300, axis=0)
    scores = np.zeros((1, 320), np.float32)
    scores[:, 300:] = np.inf
    for nprobe in (1, 10, 64, 300):
        probes, coarse = np.empty((1, nprobe), np.int64), np.empty((1, nprobe), np.float32)
        probe.select_probes(centroids[:1], scores, np.zeros(1, np.float32), Tiles.of(centroids[None]), probes, coarse)
        assert probes[0].tolist() == list(range(nprobe))


@pytest.mark.parametrize("nprobe", [1, 40])
def test_scores_that_are_no_numbers_choose_lists_all_the_same(nprobe, rng) -> None:
    """Centroids that overflow float32 come from damaged files; the probes must be lists that exist."""
    centroids = np.full((300, 4), 3e38, np.float32)
    scores = np.full((1, 320), np.nan, np.float32)
    scores[:, 300:] = np.inf
    probes, coarse = np.full((1, nprobe), -1, np.int64), np.empty((1, nprobe), np.float32)
    xq = rng.normal(size=(1, 4)).astype(np.float32)
    with np.errstate(all="ignore"):  # without the JIT, numpy warns of the overflow
        probe.select_probes(xq, scores, np.zeros(1, np.float32), Tiles.of(centroids[None]), probes, coarse)
    assert ((probes >= 0) & (probes < 300)).all()


@examples(10)
@given(
    seed=st.integers(0, 2**32), nq=st.integers(0, 150), nlist=st.integers(1, 300), by_l2=st.booleans(), data=st.data()
)
def test_groups_of_queries_probe_as_each_one_does(seed, nq, nlist, by_l2, data) -> None:
    nprobe = data.draw(st.integers(1, nlist))
    rng = np.random.default_rng(seed)
    xq, centroids = rng.normal(size=(nq, 9)).astype(np.float32), rng.normal(size=(nlist, 9)).astype(np.float32)
    probes, coarse = np.full((nq, nprobe), -1, np.int64), np.empty((nq, nprobe), np.float32)
    probe.probe_lists(xq, tuple(Tiles.of(centroids[None], by_l2)), probes, coarse)
    exact = reference.squared_distances(xq, centroids) if by_l2 else -(xq.astype(np.float64) @ centroids.T)
    np.testing.assert_allclose(coarse, np.sort(exact, axis=1)[:, :nprobe], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(coarse, np.take_along_axis(exact, probes, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bound", [-1.0, 0.0, 0.5, np.inf])
def test_scores_within_a_bound_come_in_order(bound, rng) -> None:
    row = reference.aligned(rng.normal(size=128).astype(np.float32))
    row[100:] = -np.inf  # beyond the last list: never picked
    for pick in {probe.pick, probe.pick_plain}:
        values, numbers = np.empty(128, np.float32), np.empty(128, np.int64)
        count = picked(pick, row, 100, np.float32(bound), values, numbers)
        assert numbers[:count].tolist() == np.flatnonzero(row[:100] <= bound).tolist()
        assert values[:count].tolist() == row[numbers[:count]].tolist()


def picked(pick, row, nlist, bound, values, numbers):
    """What an inlined kernel returns, called from one."""

    @njit
    def run(row, nlist, bound, values, numbers):
        return pick(row, nlist, bound, values, numbers)

    return run(row, nlist, bound, values, numbers)

"""Choosing a spec, and measuring recall honestly."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.collection.index import choose as tune
from lookalike.collection.segments import FeatureStore, Segment, write_segment
from lookalike.index import IVFPQIndex


@given(n=st.integers(2000, 10**8), d=st.integers(1, 5000))
def test_spec_fits_any_collection(n: int, d: int) -> None:
    spec = tune.choose_spec(n, d)
    assert d % spec.m == 0
    assert 4 <= spec.nlist <= n / 16
    assert math.sqrt(n) / 4 <= spec.nlist <= 4 * math.sqrt(n)
    assert 2**spec.nbits <= n


@pytest.mark.parametrize(
    ("d", "m"), [(1280, 64), (768, 48), (512, 32), (384, 24), (128, 8), (101, 101), (2, 2), (1, 1)]
)
def test_codes_of_common_dimensions(d: int, m: int) -> None:
    assert tune.choose_spec(10_000, d).m == m


def test_spec_as_text() -> None:
    assert str(tune.Spec(128, 64, 8)) == "IVF128,PQ64"
    assert str(tune.Spec(16, 8, 6)) == "IVF16,PQ8x6"


def test_wilson_interval() -> None:
    # Wilson (1927); values from the formula in Brown, Cai and DasGupta 2001, table of n = 10 and 100.
    assert tune.wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert tune.wilson(1.0, 100) == pytest.approx((0.9630, 1.0), abs=1e-4)
    assert tune.wilson(0.0, 100) == pytest.approx((0.0, 0.0370), abs=1e-4)
    assert tune.wilson(0.7, 0) == (0, 1)


@given(share=st.floats(0, 1), n=st.integers(1, 10**6))
def test_wilson_interval_holds_the_share(share: float, n: int) -> None:
    low, high = tune.wilson(share, n)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 16))
    x[::3] = x[0]  # many equal ones
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    (tmp_path / "features").mkdir()
    sha256 = write_segment(tmp_path / "features" / "a", [x.astype(np.float16)], 1500, 16)
    return FeatureStore(tmp_path, [Segment(1, "a", 100, 1500, sha256)], 16)


def test_measured_recall_is_what_counting_gives(store: FeatureStore) -> None:
    ids = np.arange(100, 1600)
    index = IVFPQIndex(nlist=16, m=4, nbits=4, metric="cosine").train(store[ids]).add(store[ids], ids=ids)
    sample = tune.draw(store, ids, 80, seed=3)
    measured = tune.measure(index, store, sample, nprobe=1, candidates=20)
    cosines = store[ids] @ store[ids].T
    shares = []
    for own in sample.ids:
        near = index.search(store[np.array([own])], k=20, nprobe=1).ids[0]
        scores = cosines[own - 100].copy()
        scores[own - 100] = -np.inf
        reach = np.sort(scores)[-10]
        found = [i for i in near if i >= 0 and i != own and scores[i - 100] >= reach - 1e-6]
        shares.append(min(len(found), 10) / 10)
    assert measured.recall == pytest.approx(np.mean(shares), abs=0.02)
    assert measured.recall < 0.99
    everything = tune.measure(index, store, sample, nprobe=16, candidates=1500)
    assert everything.recall == 1


def test_chosen_search_is_the_cheapest_that_reaches_the_target(store: FeatureStore) -> None:
    ids = np.arange(100, 1600)
    index = IVFPQIndex(nlist=16, m=4, nbits=4, metric="cosine").train(store[ids]).add(store[ids], ids=ids)
    chosen = tune.choose_nprobe(index, store, ids)
    assert chosen is not None
    assert chosen.low >= 0.95
    relaxed = tune.choose_nprobe(index, store, ids, target=0.5)
    assert relaxed is not None
    assert relaxed.nprobe <= chosen.nprobe
    assert tune.choose_nprobe(index, store, ids, target=1.1) is None

"""Many threads on one index: a search sees all of an add or nothing of it, and no search disturbs another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lookalike as la
from lookalike.index import index as index_module
from tests.index.conftest import METRICS, NLIST, N, base, empty, filled, queries, same, trained


@pytest.mark.parametrize("kind", ["flat", "pq", "ivfpq"])
@pytest.mark.parametrize("metric", METRICS)
def test_concurrent_searches_are_the_sequential_ones(kind, metric) -> None:
    index = trained(kind, metric)
    cases = [(queries()[a : a + n], k, p) for a in (0, 9, 20) for n in (1, 9) for k in (1, 30) for p in (1, 5)] * 3
    wanted = [index.search(xq, k, nprobe=nprobe) for xq, k, nprobe in cases]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda case: index.search(case[0], case[1], nprobe=case[2]), cases))
    for one, other in zip(got, wanted, strict=True):
        same(one, other)


def search_while(index: la.FlatIndex | la.IVFPQIndex, write, check) -> int:
    """Search in four threads while `write` runs here; `check` judges each result. Returns how many searches there were."""
    done, searches, failures = threading.Event(), [], []

    def search() -> None:
        while not done.is_set():
            try:
                check(index.search(queries()[:3], 600, nprobe=NLIST))
            except Exception as error:  # noqa: BLE001 - handed to the test
                failures.append(error)
                return
            searches.append(1)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        write()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    return len(searches)


def pairs_together(result: la.SearchResult) -> None:
    """Ids 2i and 2i + 1 were added, and are removed, in one call: a result has both or neither."""
    for row, distances in zip(result.ids, result.distances, strict=True):
        ids = set(row.tolist()) - {-1}
        assert all(number ^ 1 in ids for number in ids), "half an add was seen"
        assert len(ids) == (row >= 0).sum()
        assert np.isfinite(distances[row >= 0]).all()


@pytest.mark.parametrize("kind", ["flat", "ivfpq"])
def test_a_search_never_sees_half_an_add_or_a_removal(kind, monkeypatch) -> None:
    monkeypatch.setattr(index_module, "ROWS", 16)  # an add of many rows is encoded in several parts
    index = la.FlatIndex() if kind == "flat" else empty()
    rng = np.random.default_rng(0)

    def write() -> None:
        for _ in range(12):
            index.add(base()[:40], ids=np.arange(40) + 1000)
            for first in range(0, 500, 50):
                index.add(base()[rng.choice(N, 50)], ids=np.arange(first, first + 50))
            index.remove(np.arange(1000, 1040))
            index.remove(np.arange(500))
            assert index.ntotal == 0

    assert search_while(index, write, pairs_together) > 0
    assert (index.search(queries(), 5).ids == -1).all()


def test_an_update_is_seen_whole() -> None:
    """All vectors move from one place to another: never one here and one there."""
    index, far = empty(), base()[:64] + np.float32(100)
    index.add(base()[:64])

    def check(result: la.SearchResult) -> None:
        assert (result.ids[:, :64] >= 0).all()
        near = (result.distances[:, :64] < 10_000).sum(axis=1)
        assert np.isin(near, (0, 64)).all(), near

    def write() -> None:
        for _ in range(40):
            index.update(np.arange(64), far)
            index.update(np.arange(64), base()[:64])

    assert search_while(index, write, check) > 0


def test_compacting_and_growing_while_searching() -> None:
    index = empty().add(base())
    wanted = index.search(queries()[:3], 600, nprobe=NLIST)

    def write() -> None:
        for _ in range(30):
            index.compact()
            index.add(base()[:7] + np.float32(1000), ids=np.arange(5000, 5007))  # far from every query
            index.remove(np.arange(5000, 5007))

    assert search_while(index, write, lambda result: same(result, wanted)) > 0


def test_writers_wait_for_each_other() -> None:
    index = empty()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: index.add(base()[i * 50 : i * 50 + 50]), range(20)))
    assert sorted(index.ids.tolist()) == list(range(1000))
    assert (index.search(base()[:1000], 1, nprobe=NLIST).ids >= 0).all()


def test_saving_while_adding_writes_one_state(tmp_path) -> None:
    index = empty().add(base()[:100])
    path = tmp_path / "a.lka"
    stop = threading.Event()

    def grow() -> None:
        while not stop.is_set() and index.ntotal < 3000:
            index.add(base()[:100])

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(10):
            index.save(path)
            loaded = la.load_index(path)
            assert loaded.ntotal % 100 == 0
            assert sorted(loaded.ids.tolist()) == list(range(loaded.ntotal))
            assert len(loaded.codes) == loaded.ntotal
    finally:
        stop.set()
        thread.join()


def test_searching_changes_nothing() -> None:
    index = filled()
    before = index.codes.copy(), index.ids.copy()
    index.search(queries(), 5, nprobe=1)
    index.search(queries(), 50, nprobe=12, allow=[1, 2])
    np.testing.assert_array_equal(index.codes, before[0])
    np.testing.assert_array_equal(index.ids, before[1])
    assert not hasattr(index, "nprobe")

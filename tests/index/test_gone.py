"""Where all vectors are in one long list, removed ones stay in place, and nobody sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookalike as la
from lookalike.index.lists import LONG, SHARE
from tests.index.conftest import METRICS, D, queries

pytestmark = pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")  # few points to train on

N = LONG + 3000
KINDS = ["flat", "flat by kernels", "pq4", "pq8", "pq10", "ivfflat", "ivfpq", "ivfsigns", "refined"]


def vectors() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(N, D)).astype(np.float32)


def filled(kind: str, metric: str) -> tuple[Any, np.ndarray]:
    """An index of one list, trained on a part of the vectors it holds, and these."""
    x = vectors()
    match kind:
        case "flat" | "flat by kernels":
            index: Any = la.FlatIndex(metric)
        case "ivfflat":
            index = la.IVFFlatIndex(1, metric)
        case "ivfpq":
            index = la.IVFPQIndex(1, 4, 6, metric)
        case "ivfsigns":
            index = la.IVFSignsIndex(1, metric, "float32")
        case "refined":
            index = la.RefinedIndex(la.PQIndex(4, 6, metric))
        case _:
            index = la.PQIndex(4, int(kind[2:]), metric)
    return index.train(x[:2000]).add(x), x


def nearest(index: Any, k: int) -> np.ndarray:
    """Some of the nearest of each query: to remove these is the hardest."""
    return np.unique(index.search(queries()[:20], k).ids)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_as_if_they_had_never_been_there(
    kind: str, metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "flat by kernels":
        monkeypatch.setattr("lookalike.index.codecs.whole.SMALL", 0)
    index, x = filled(kind, metric)
    arrays = index._lists.arrays
    gone = nearest(index, 8)
    assert 40 < len(gone) < N // SHARE
    assert index.remove(gone) == len(gone)
    assert index.remove(gone) == 0
    assert index._lists.arrays is arrays, "nothing was copied"
    kept = np.setdiff1d(np.arange(N), gone)
    fresh = index._like().add(x[kept], kept) if kind != "refined" else filled_again(index, x, kept)
    compare(index, fresh, kept)
    index.upsert(gone[:7], x[:7])
    fresh.add(x[:7], gone[:7])
    index.remove(kept[:3])
    fresh.remove(kept[:3])
    compare(index, fresh, np.concatenate([kept[3:], gone[:7]]))
    assert index.to_bytes() == fresh.to_bytes()
    if kind not in {"ivfflat", "pq10", "ivfsigns"}:
        la.write_faiss(index, tmp_path / "ours")
        la.write_faiss(fresh, tmp_path / "theirs")
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    size = index._lists.nbytes()["slack"]
    index.compact()
    assert index._lists.nbytes()["slack"] < size
    compare(index, fresh, np.concatenate([kept[3:], gone[:7]]))


def filled_again(index: Any, x: np.ndarray, kept: np.ndarray) -> Any:
    again = type(index).from_bytes(index.to_bytes())
    again.remove(again.ids)
    assert len(again) == 0
    return again.add(x[kept], kept)


def compare(index: Any, fresh: Any, kept: np.ndarray) -> None:
    """Everything that can be asked of two indexes, which hold the same in the same order."""
    np.testing.assert_array_equal(index.ids, kept)
    assert len(index) == len(fresh) == len(kept)
    xq, few = queries()[:20], kept[::97]
    for k in (1, 10, 100):
        for options in ({}, {"allow": few}, {"deny": few}, {"allow": np.arange(N) % 3 == 0}):
            same(index.search(xq, k, **options), fresh.search(xq, k, **options))
            same(index.search(xq[:1], k, **options), fresh.search(xq[:1], k, **options))
    radius = float(fresh.search(xq[:1], 30).distances[0, -1])
    near, wanted = index.range_search(xq[:3], radius), fresh.range_search(xq[:3], radius)
    np.testing.assert_array_equal(near.lims, wanted.lims)
    same(near, wanted)
    np.testing.assert_array_equal(index.reconstruct(kept[::50]), fresh.reconstruct(kept[::50]))
    assert index.stats()["lists"] == fresh.stats()["lists"]
    assert index.stats()["bytes_per_vector"] == fresh.stats()["bytes_per_vector"]
    np.testing.assert_array_equal(index.trace(xq[:1], 5).ids, fresh.trace(xq[:1], 5).ids)


def same(found: Any, wanted: Any) -> None:
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_array_equal(found.distances, wanted.distances)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [N - 300, N - 200, N, N + 5])
def test_there_are_fewer_than_k(k: int, metric: str) -> None:
    index, _ = filled("flat", metric)
    index.remove(np.arange(200))
    found = index.search(queries()[:2], k)
    for row in found.ids:
        assert (row[: min(k, N - 200)] >= 200).all()
        assert (row[N - 200 :] == -1).all()


def test_a_search_that_has_begun_sees_what_was_there() -> None:
    index, _ = filled("pq8", "l2")
    before, gone = index._lists, nearest(index, 8)
    wanted = index.search(queries(), 10)
    index.remove(gone)
    assert not np.isin(index.search(queries(), 10).ids, gone).any()
    probes, coarse = index._cells.probe(queries(), 1)
    distances, ids = index._codec.search(before, queries(), probes, coarse, 10, None, 1)
    np.testing.assert_array_equal(ids, wanted.ids)
    np.testing.assert_array_equal(distances, wanted.distances)


def test_one_far_out_is_not_in_the_way_when_it_is_gone() -> None:
    index, x = filled("flat", "l2")
    index.add(np.full((1, D), 1e6, np.float32), [N])
    index.remove([N, 3])
    kept = np.delete(np.arange(N), 3)
    same(index.search(queries(), 10), la.FlatIndex().add(x[kept], kept).search(queries(), 10))


def test_many_are_copied_once() -> None:
    index, _ = filled("flat", "l2")
    copies, arrays = 0, index._lists.arrays
    for number in range(3 * N // SHARE):
        index.remove([number])
        copies += index._lists.arrays is not arrays
        arrays = index._lists.arrays
    assert 1 <= copies <= 3
    assert len(index) == N - 3 * N // SHARE

"""Every adapter whose library is installed finds the nearest of well separated points, one by one and in a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike._typing import FloatArray
from lookalike.bench.adapters import ADAPTERS, get_adapter
from lookalike.bench.experiments import measuring
from lookalike.bench.workloads import synthetic
from lookalike.errors import InputError
from lookalike.index.exact import exact_search

N, D, K = 1200, 64, 10
SMALL = {
    "nlist": 8,
    "leaves": 8,
    "m": 16,
    "n_trees": 10,
    "ksub": 64,
    "ef_construction": 40,
    "window_size": 40,
    "nbits": 6,
}
WIDE = {
    "nprobe": 8,
    "leaves_to_search": 8,
    "ef": 200,
    "expansion_search": 200,
    "window": 200,
    "search_k": 4000,
    "epsilon": 0.3,
}
COMPILES_FOR_LONG = {"pynndescent"}  # most of a minute of Numba: its numbers are looked at in the reports
WHEELS_EVERYWHERE = {"lookalike", "faiss-cpu", "scikit-learn", "nanopq", "usearch", "pynndescent"}


@pytest.fixture(scope="module")
def points() -> tuple[FloatArray, FloatArray, FloatArray]:
    base, queries = synthetic(N, 20, D)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return base, queries, exact_search(queries, base, 100, "l2")[0]


@pytest.mark.parametrize("name", [name for name in ADAPTERS if name not in COMPILES_FOR_LONG])
def test_finds_the_nearest(name: str, points: tuple[FloatArray, FloatArray, FloatArray], tmp_path: Path) -> None:
    kind = get_adapter(name)
    if kind.version() is None:
        assert kind.package not in WHEELS_EVERYWHERE
        return
    base, queries, exact = points
    params = {key: SMALL.get(key, value) for key, value in kind.build_params.items()}
    kind.check(params, N, D)
    adapter = kind(params, 1)
    adapter.build(base)
    adapter.set({key: WIDE.get(key, value) for key, value in kind.search_params.items()})
    ids = adapter.search(queries, K)
    assert ids.shape == (len(queries), K)
    assert ids.dtype.kind == "i"
    assert (ids < N).all()
    figures = measuring.accuracy(ids, queries, base, exact)
    if kind.is_exact:
        assert figures["recall_at_10"] == 1
    assert (figures["recall_at_10"] or 0) > 0.6
    assert (figures["one_recall_at_10"] or 0) > 0.9
    single = np.concatenate([adapter.search(queries[i : i + 1], K) for i in range(4)])
    assert (measuring.accuracy(single, queries, base, exact)["recall_at_10"] or 0) > 0.5
    size = adapter.size(tmp_path)
    assert size.bytes > N * 8
    decoded = adapter.decoded(np.arange(5))
    if decoded is not None:
        assert decoded.shape == (5, D)
        assert 0 < np.square(base[:5] - decoded).sum() / np.square(base[:5]).sum() < 0.7


def test_names_are_helped() -> None:
    with pytest.raises(InputError, match="no peer is called 'hnswlb'; did you mean 'hnswlib'"):
        get_adapter("hnswlb")
    with pytest.raises(InputError, match="there are: lookalike-flat, "):
        get_adapter("0")


def test_accuracy_handles_ties_repeats_and_gaps() -> None:
    base = np.float32([[0, 0], [1, 0], [0, 1], [3, 0], [9, 9]])
    queries = np.float32([[0, 0]])
    exact = np.float32([[0, 1, 1, 9]])
    two = measuring.accuracy(np.array([[0, 2]]), queries, base, exact)  # the other of two that are equally near
    assert two["one_recall_at_1"] == 1
    twice = measuring.accuracy(np.array([[1, 1]]), np.float32([[1, 0]]), base, np.float32([[0, 1]]))
    assert twice["relative_error"] is None  # found once, and that at no distance
    ten = measuring.accuracy(np.array([[0, 0, 2, -1, 4, -1, -1, -1, -1, -1]]), queries, base, exact)
    assert ten["recall_at_10"] == 0.5  # of the four that are known: one, once, and its neighbour
    assert ten["recall_at_100"] is None
    wrong = measuring.accuracy(np.array([[3]]), queries, base, exact)
    assert (wrong["recall_at_1"], wrong["one_recall_at_1"], wrong["one_recall_at_5"]) == (0, 0, None)
    near = measuring.accuracy(np.array([[1, 3]]), np.float32([[1, 0]]), base, np.float32([[0, 1]]))
    assert near["relative_error"] == 1  # 2 away in place of 1

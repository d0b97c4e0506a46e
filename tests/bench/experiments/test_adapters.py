"""Every adapter whose library is installed finds the nearest of well separated points, one by one and in a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike._typing import FloatArray
from lookalike.data.vectors import synthetic
from lookalike.errors import InputError
from lookalike.index.exact import exact_search
from lookalike_bench.adapters import ADAPTERS, get_adapter
from lookalike_bench.experiments import measuring
from lookalike_bench.metrics import accuracy

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
    figures = accuracy(ids, queries, base, exact)
    if kind.is_exact:
        assert figures["recall_at_10"] == 1
    assert (figures["recall_at_10"] or 0) > 0.6
    assert (figures["one_recall_at_10"] or 0) > 0.9
    single = np.concatenate([adapter.search(queries[i : i + 1], K) for i in range(4)])
    assert (accuracy(single, queries, base, exact)["recall_at_10"] or 0) > 0.5
    size = adapter.size(tmp_path)
    assert size.bytes > N * 8
    decoded = adapter.decoded(np.arange(5))
    if decoded is not None:
        assert decoded.shape == (5, D)
        assert 0 < np.square(base[:5] - decoded).sum() / np.square(base[:5]).sum() < 0.7


@pytest.mark.parametrize(
    ("name", "build"), [("faiss-ivf-rabitq", {"codes": "RaBitQfs"}), ("faiss-fastscan-refine", {"refine": "SQfp16"})]
)
def test_other_codes_find_them_too(
    name: str, build: dict[str, str], points: tuple[FloatArray, FloatArray, FloatArray], tmp_path: Path
) -> None:
    kind = get_adapter(name)
    if kind.version() is None:
        assert kind.package not in WHEELS_EVERYWHERE
        return
    base, queries, exact = points
    adapters = [kind({**kind.build_params, "nlist": 8, **how}, 1) for how in ({}, build)]
    sizes = []
    for number, adapter in enumerate(adapters):
        adapter.build(base)
        adapter.set({"nprobe": 8, "k_factor": 10})
        ids = adapter.search(queries, K)
        assert (accuracy(ids, queries, base, exact)["recall_at_10"] or 0) > 0.9
        folder = tmp_path / str(number)
        folder.mkdir()
        sizes.append(adapter.size(folder).bytes)
    assert sizes[0] != sizes[1]
    key = next(iter(build))
    with pytest.raises(InputError, match=f"{key}='what': expected"):
        kind.check({**kind.build_params, "nlist": 8, key: "what"}, N, D)


class Clocked:
    """An adapter and its clock: a call takes so many seconds, and so many more for each query."""

    def __init__(self, call: float, each: float) -> None:
        self.call, self.each, self.now, self.asked = call, each, 0.0, list[int]()

    def search(self, xq: FloatArray, k: int) -> FloatArray:
        self.now += self.call + self.each * len(xq)
        self.asked.append(len(xq))
        return np.zeros((len(xq), k), np.int64)

    def perf_counter(self) -> float:
        return self.now

    process_time = perf_counter


@pytest.mark.parametrize(
    ("call", "each", "queries", "rounds"),
    [
        (0, 1e-4, 500, 9),
        (0, 0.002, 500, 3),
        (0, 0.02, 500, 3),
        (0, 0.021, 47, 3),
        (0.2, 0.002, 500, 3),
        (0, 3.0, 10, 3),
    ],
)
def test_all_queries_are_asked_at_once_but_of_the_slowest(
    call: float, each: float, queries: int, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocked = Clocked(call, each)
    monkeypatch.setattr(measuring, "time", clocked)
    figures, ids = measuring.searches(clocked, np.zeros((500, 4), np.float32), K, 3, 1.0)  # type: ignore[arg-type]
    assert (figures["queries"], len(figures["batch_s"]), len(ids)) == (queries, rounds, queries)
    first = next(at for at in range(len(clocked.asked)) if clocked.asked[at : at + rounds] == [queries] * rounds)
    assert first <= 3  # a warm-up, and two batches to see how many to ask
    assert figures["qps"] == pytest.approx(queries / (call + each * queries), rel=0.02)


def test_names_are_helped() -> None:
    with pytest.raises(InputError, match="no peer is called 'hnswlb'; did you mean 'hnswlib'"):
        get_adapter("hnswlb")
    with pytest.raises(InputError, match="there are: lookalike-flat, "):
        get_adapter("0")


def test_accuracy_handles_ties_repeats_and_gaps() -> None:
    base = np.float32([[0, 0], [1, 0], [0, 1], [3, 0], [9, 9]])
    queries = np.float32([[0, 0]])
    exact = np.float32([[0, 1, 1, 9]])
    two = accuracy(np.array([[0, 2]]), queries, base, exact)  # the other of two that are equally near
    assert two["one_recall_at_1"] == 1
    twice = accuracy(np.array([[1, 1]]), np.float32([[1, 0]]), base, np.float32([[0, 1]]))
    assert twice["relative_error"] is None  # found once, and that at no distance
    ten = accuracy(np.array([[0, 0, 2, -1, 4, -1, -1, -1, -1, -1]]), queries, base, exact)
    assert ten["recall_at_10"] == 0.5  # of the four that are known: one, once, and its neighbour
    assert ten["recall_at_100"] is None
    wrong = accuracy(np.array([[3]]), queries, base, exact)
    assert (wrong["recall_at_1"], wrong["one_recall_at_1"], wrong["one_recall_at_5"]) == (0, 0, None)
    near = accuracy(np.array([[1, 3]]), np.float32([[1, 0]]), base, np.float32([[0, 1]]))
    assert near["relative_error"] == 1  # 2 away in place of 1

"""The answer to a query is one, to the last bit: alone or in a batch, by one thread or many; equal distances come by id."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookalike as la
from lookalike.index import plain
from tests.index.conftest import METRICS, NLIST, D, M, N, base, queries, same

KINDS: dict[str, Any] = {
    "flat": lambda metric, rotation: la.FlatIndex(metric),
    "ivfflat": lambda metric, rotation: la.IVFFlatIndex(NLIST, metric, rotation=rotation),
    "signs": lambda metric, rotation: la.IVFSignsIndex(NLIST, metric, rotation=rotation),
    "signs and floats": lambda metric, rotation: la.IVFSignsIndex(NLIST, metric, "float16", rotation=rotation),
    "pq": lambda metric, rotation: la.PQIndex(M, 5, metric, rotation=rotation),
    "ivfpq": lambda metric, rotation: la.IVFPQIndex(NLIST, M, 5, metric, rotation=rotation),
    "plain codes": lambda metric, rotation: la.IVFPQIndex(NLIST, M, 5, metric, rotation=rotation, by_residual=False),
    "wide codes": lambda metric, rotation: la.IVFPQIndex(NLIST, M, 9, metric, rotation=rotation),
    "refined": lambda metric, rotation: la.RefinedIndex(la.IVFPQIndex(NLIST, M, 5, metric, rotation=rotation)),
}
ROTATIONS: dict[str, list[str | None]] = {
    "flat": [None],
    "ivfflat": [None, "pca:8"],
    "signs": [None, "pca:8"],
    "signs and floats": [None],
    "pq": [None, "opq", "pca:8"],
    "ivfpq": [None, "opq", "pca:8"],
    "plain codes": [None],
    "wide codes": [None],
    "refined": ["pca:8"],
}
RANKED = {"refined", "signs", "signs and floats"}  # of some candidates only
CASES = [(kind, rotation) for kind in KINDS for rotation in ROTATIONS[kind]]


@functools.cache
def stepped() -> np.ndarray:
    """Few values in each place, and vectors that are there several times: ties everywhere."""
    x = np.round(base()[:600]).astype(np.float32)
    return np.concatenate([x, x[:300], x[:150]])


@functools.cache
def names() -> np.ndarray:
    return np.random.default_rng(4).permutation(3 * len(stepped()))[: len(stepped())]


@functools.cache
def filled(kind: str, metric: str, rotation: str | None = None) -> Any:
    """Trained on `base()`, holding `stepped()`; not to be changed."""
    index = KINDS[kind](metric, rotation).train(base())
    return index.add(stepped(), ids=names())


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("kind", "rotation"), CASES)
def test_one_by_one_is_the_batch(kind, rotation, metric) -> None:
    index = filled(kind, metric, rotation)
    whole = index.search(queries(), 20, nprobe=5, threads=1)
    for threads in (2, 3):
        same(whole, index.search(queries(), 20, nprobe=5, threads=threads))
    for first, last in [*((i, i + 1) for i in range(len(queries()))), (0, 7), (7, 40), (39, 40)]:
        part = index.search(queries()[first:last], 20, nprobe=5)
        np.testing.assert_array_equal(part.ids, whole.ids[first:last])
        np.testing.assert_array_equal(part.distances, whole.distances[first:last])


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("kind", "rotation"), [case for case in CASES if case[0] not in {"flat", "refined"}])
def test_adding_in_pieces_is_adding_at_once(kind, rotation, metric, tmp_path: Path) -> None:
    trained = KINDS[kind](metric, rotation).train(base()).add(base()[:1])
    trained.save(tmp_path / "index.lka")
    once, pieces = la.load_index(tmp_path / "index.lka"), la.load_index(tmp_path / "index.lka")
    for index in (once, pieces):
        index.remove([0])
        index._next_id = 0
    once.add(base())
    for first, last in itertools.pairwise([0, 1, 2, 5, 70, 71, 800, N]):
        pieces.add(base()[first:last])
    if kind != "ivfflat":
        np.testing.assert_array_equal(once.codes, pieces.codes)
    np.testing.assert_array_equal(once.ids, pieces.ids)
    decoded = once.reconstruct(np.arange(N))
    np.testing.assert_array_equal(decoded, pieces.reconstruct(np.arange(N)))
    for i in (0, 3, N - 1):
        np.testing.assert_array_equal(once.reconstruct([i])[0], decoded[i])
    same(once.search(queries(), 10, nprobe=4), pieces.search(queries(), 10, nprobe=4))


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("kind", "rotation"), CASES)
def test_equal_distances_come_by_id_wherever_k_cuts(kind, rotation, metric) -> None:
    index, sign = filled(kind, metric, rotation), -1 if metric == "ip" else 1
    xq = np.concatenate([stepped()[:20], np.round(queries()[:10])]).astype(np.float32)
    everything = {"candidates": len(stepped())} if kind in RANKED else {}
    whole = index.search(xq, len(stepped()), nprobe=NLIST, **everything)
    ties = 0
    for i in range(len(xq)):
        order = np.lexsort((whole.ids[i], sign * whole.distances[i]))
        np.testing.assert_array_equal(order, np.arange(len(order)))
        ties += int((np.diff(whole.distances[i]) == 0).sum())
    assert ties > 1000
    for k in (1, 2, 3, 10, 40, 300):
        few = index.search(xq, k, nprobe=NLIST, **everything)
        np.testing.assert_array_equal(few.ids, whole.ids[:, :k])
        np.testing.assert_array_equal(few.distances, whole.distances[:, :k])


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("kind", "rotation"), [case for case in CASES if case[0] != "refined"])
def test_a_range_is_what_is_nearer_than_its_radius(kind, rotation, metric) -> None:
    """Strictly, by the distances that a search reports, and in the order of a search."""
    index, sign, xq = filled(kind, metric, rotation), -1 if metric == "ip" else 1, stepped()[:12]
    whole = index.search(xq, len(stepped()), nprobe=NLIST)
    for radius in [0.0, *(float(whole.distances[i, at]) for i in (0, 5) for at in (0, 3, 200))]:
        found = index.range_search(xq, radius, nprobe=NLIST)
        for i in range(len(xq)):
            here = slice(found.lims[i], found.lims[i + 1])
            count = int((sign * whole.distances[i] < sign * radius).sum())
            np.testing.assert_array_equal(found.ids[here], whole.ids[i, :count])
            np.testing.assert_array_equal(found.distances[here], whole.distances[i, :count])
    if metric == "cosine":
        assert index.range_search(xq, 0, nprobe=NLIST).lims[-1] == 0


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
@pytest.mark.parametrize("metric", METRICS)
def test_ties_of_one_vector_stored_many_times(metric) -> None:
    """More equal ones than are kept aside: the lowest ids, whatever the order in which they are met."""
    x = np.repeat(base()[:3], 700, axis=0)
    ids = np.random.default_rng(1).permutation(len(x)) + 5
    for kind, make in KINDS.items():
        index = make(metric, None).train(base()).add(x, ids=ids)
        more = {"candidates": len(x)} if kind in RANKED else {}
        for k in (1, 5, 50):
            found = index.search(base()[:3], k, nprobe=NLIST, **more)
            if kind in {"flat", "ivfflat", *RANKED}:
                for i in range(3 if metric != "ip" else 0):
                    np.testing.assert_array_equal(found.ids[i], np.sort(ids[700 * i : 700 * i + 700])[:k])
            for i in range(3):
                assert (np.diff(found.ids[i])[np.diff(found.distances[i]) == 0] > 0).all()
            whole = index.search(base()[:3], len(x), nprobe=NLIST, **more)
            np.testing.assert_array_equal(found.ids, whole.ids[:, :k])


@pytest.mark.parametrize("metric", METRICS)
def test_reranking_orders_equal_distances_by_id(metric) -> None:
    x = stepped()
    fine = la.Reranked(la.FlatIndex(metric).add(x), x.astype(np.float16))
    whole = fine.search(x[:20], len(x), candidates=len(x))
    for i in range(20):
        key = whole.distances[i] * (-1 if metric == "ip" else 1)
        np.testing.assert_array_equal(np.lexsort((whole.ids[i], key)), np.arange(len(x)))
    for k in (1, 7, 30):
        np.testing.assert_array_equal(fine.search(x[:20], k, candidates=len(x)).ids, whole.ids[:, :k])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("by_residual", [True, False])
def test_the_first_search_breaks_ties_as_later_ones_do(metric, by_residual) -> None:
    index = filled("ivfpq" if by_residual else "plain codes", metric)
    xq = stepped()[:20] if metric != "cosine" else stepped()[:20] / np.linalg.norm(stepped()[:20], axis=1)[:, None]
    for k in (1, 3, 40):
        distances, ids = plain.search(index, xq.astype(np.float32), k, NLIST, None)
        for i in range(20):
            np.testing.assert_array_equal(np.lexsort((ids[i], distances[i])), np.arange(k))
    whole = plain.search(index, xq.astype(np.float32), len(stepped()), NLIST, None)
    np.testing.assert_array_equal(ids, whole[1][:, :40])


@pytest.mark.parametrize("kind", ["ivfflat", "ivfpq"])
def test_equal_centroids_are_told_apart_by_number(kind) -> None:
    """Products of a whole batch round differently from those of one vector: the list must not depend on that."""
    rng = np.random.default_rng(2)
    some = rng.normal(size=(10, D)).astype(np.float32)
    coarse = np.concatenate([some, some, some])[rng.permutation(30)]
    first = np.array([np.flatnonzero((coarse == row).all(axis=1))[0] for row in coarse])
    x = rng.normal(size=(3000, D)).astype(np.float32)

    def empty() -> Any:
        if kind == "ivfflat":
            return la.IVFFlatIndex(30, "ip").set_centroids(coarse)
        return la.IVFPQIndex(30, M, 4, "ip").set_centroids(coarse, rng.normal(size=(M, 16, D // M)))

    once, pieces = empty().add(x), empty()
    for at in range(0, 3000, 7):
        pieces.add(x[at : at + 7])
    np.testing.assert_array_equal(once.list_sizes, pieces.list_sizes)
    np.testing.assert_array_equal(once.ids, pieces.ids)
    assert (once.list_sizes[first != np.arange(30)] == 0).all()

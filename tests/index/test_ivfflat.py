"""IVFFlatIndex against an oracle in plain numpy, against FAISS, and through its whole life."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookalike as la
from lookalike.index.exact import direct_distances

D, NLIST = 20, 12
METRICS = ["l2", "ip", "cosine"]


def clustered(n: int, d: int = D, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(15, d))
    return (centres[rng.integers(15, size=n)] + 0.4 * rng.normal(size=(n, d))).astype(np.float32)


XB, XQ = clustered(1500), clustered(40, seed=1)


def build(metric: str = "l2", **options: Any) -> la.IVFFlatIndex:
    return la.IVFFlatIndex(nlist=NLIST, metric=metric, **options).train(XB)


def oracle(index: la.IVFFlatIndex, xq: Any, k: int, nprobe: int, keep: Any = None) -> la.SearchResult:
    """Every vector of the probed lists compared, one query at a time."""
    queries = index._vectors(xq, "xq")
    probes = index._cells.probe(queries, nprobe)[0]
    sign = -1 if index.metric == "ip" else 1
    distances = np.full((len(xq), k), sign * np.inf, np.float32)
    ids = np.full((len(xq), k), -1, np.int64)
    for i, query in enumerate(queries):
        rows = [index._lists.rows(number) for number in probes[i]]
        x, numbers = np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows])
        if keep is not None:
            x, numbers = x[np.isin(numbers, keep)], numbers[np.isin(numbers, keep)]
        exact = direct_distances(query[None], x[None], index.metric)[0]
        order = np.lexsort((numbers, sign * exact))[:k]
        distances[i, : len(order)], ids[i, : len(order)] = exact[order], numbers[order]
    return la.SearchResult(distances, ids)


def same(found: la.SearchResult, wanted: la.SearchResult) -> None:
    np.testing.assert_allclose(found.distances, wanted.distances, rtol=1e-4, atol=1e-4)
    assert (found.ids == wanted.ids).mean() > 0.995  # rounding may swap near ties
    for ours, theirs in zip(found.ids, wanted.ids, strict=True):
        assert (ours == -1).sum() == (theirs == -1).sum()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("k", "nprobe"), [(1, 1), (10, 3), (100, NLIST), (3000, 4), (5, 1000)])
def test_search_finds_what_the_oracle_finds(metric: str, k: int, nprobe: int) -> None:
    index = build(metric).add(XB)
    same(index.search(XQ, k, nprobe=nprobe), oracle(index, XQ, k, min(nprobe, NLIST)))


@pytest.mark.parametrize("metric", METRICS)
def test_all_lists_equal_a_flat_index(metric: str) -> None:
    same(
        build(metric).add(XB).search(XQ, 10, nprobe=NLIST),
        la.FlatIndex(metric).add(XB).search(XQ, 10),
    )


@pytest.mark.parametrize("metric", METRICS)
def test_results_do_not_depend_on_batches_or_threads(metric: str) -> None:
    index = build(metric).add(XB)
    whole = index.search(XQ, 7, nprobe=4, threads=2)
    single = [index.search(query, 7, nprobe=4, threads=1) for query in XQ]
    np.testing.assert_array_equal(whole.distances, np.concatenate([one.distances for one in single]))
    np.testing.assert_array_equal(whole.ids, np.concatenate([one.ids for one in single]))


@pytest.mark.parametrize(("metric", "faiss_metric"), [("l2", faiss.METRIC_L2), ("ip", faiss.METRIC_INNER_PRODUCT)])
@pytest.mark.parametrize("nprobe", [1, 4, NLIST])
def test_parity_with_faiss(metric: str, faiss_metric: int, nprobe: int) -> None:
    index = build(metric).add(XB)
    quantizer = faiss.IndexFlat(D, faiss_metric)
    quantizer.add(np.ascontiguousarray(index.coarse_centroids))
    theirs = faiss.IndexIVFFlat(quantizer, D, NLIST, faiss_metric)
    theirs.is_trained = True
    theirs.add(XB)
    theirs.nprobe = nprobe
    same(index.search(XQ, 10, nprobe=nprobe), la.SearchResult(*theirs.search(XQ, 10)))


@given(st.lists(st.integers(0, 400), max_size=5), st.integers(1, NLIST))
def test_batches_of_add_equal_one(cuts: list[int], nprobe: int) -> None:
    xb, edges = XB[:400], [0, *sorted(cuts), 400]
    parts = build()
    for first, last in itertools.pairwise(edges):
        parts.add(xb[first:last])
    once = build().add(xb)
    for ours, theirs in zip(parts.search(XQ[:5], 6, nprobe=nprobe), once.search(XQ[:5], 6, nprobe=nprobe), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert parts.ntotal == 400
    np.testing.assert_array_equal(parts.reconstruct(np.arange(400)), xb)


def test_the_jth_distance_never_worsens_with_more_probes() -> None:
    index = build().add(XB)
    previous = index.search(XQ, 10, nprobe=1).distances
    for nprobe in range(2, NLIST + 1):
        now = index.search(XQ, 10, nprobe=nprobe).distances
        assert (now <= previous).all()
        previous = now


def test_own_ids_remove_reconstruct_and_the_next_id() -> None:
    ids = np.arange(len(XB)) * 7 + 2**33
    index = build().add(XB, ids=ids)
    np.testing.assert_array_equal(index.reconstruct(ids[[5, 3]]), XB[[5, 3]])
    assert index.search(XB[:4], 1, nprobe=2).ids[:, 0].tolist() == ids[:4].tolist()
    assert index.remove(np.concatenate([ids[:3], [1]])) == 3
    assert not np.isin(ids[:3], index.search(XB[:3], 50, nprobe=NLIST).ids).any()
    assert sorted(index.ids) == ids[3:].tolist()
    with pytest.raises(la.IdError, match="not stored"):
        index.reconstruct(ids[:1])
    with pytest.raises(la.IdError, match="stored already"):
        index.add(XB[:1], ids=ids[4:5])
    index.add(XB[:1])
    assert index.ids.max() == ids.max() + 1
    index.add(XB[1:2], ids=[11])  # the map of ids exists by now, and grows
    np.testing.assert_array_equal(index.reconstruct([11, ids[9]]), XB[[1, 9]])


@pytest.mark.parametrize("metric", METRICS)
def test_filters(metric: str) -> None:
    index = build(metric).add(XB)
    keep = np.arange(0, len(XB), 3)
    mask = np.zeros(len(XB), np.bool_)
    mask[keep] = True
    by_ids = index.search(XQ, 20, nprobe=5, allow=keep)
    by_mask = index.search(XQ, 20, nprobe=5, allow=mask)
    same(by_ids, oracle(index, XQ, 20, 5, keep))
    np.testing.assert_array_equal(by_ids.ids, by_mask.ids)
    nothing = index.search(XQ, 2, allow=np.empty(0, np.int64))
    assert (nothing.ids == -1).all()
    assert np.isinf(nothing.distances).all()


@pytest.mark.parametrize("metric", METRICS)
def test_range_search_is_a_search_with_a_bound(metric: str) -> None:
    index = build(metric).add(XB)
    distances, ids = index.search(XQ, len(XB), nprobe=3)
    radius = float(np.median(distances[:, 20]))
    found = index.range_search(XQ, radius, nprobe=3)
    even = index.range_search(XQ, radius, nprobe=3, allow=np.arange(0, len(XB), 2))
    for i in range(len(XQ)):
        near = (distances[i] > radius if metric == "ip" else distances[i] < radius) & (ids[i] >= 0)
        here = found.ids[found.lims[i] : found.lims[i + 1]]
        assert len(set(here.tolist()) ^ set(ids[i][near].tolist())) <= 1  # one may lie on the radius up to rounding
        assert set(even.ids[even.lims[i] : even.lims[i + 1]]) == {n for n in here.tolist() if n % 2 == 0}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("mmap", [False, True])
def test_save_and_load_are_bit_identical(metric: str, mmap: bool, tmp_path: Path) -> None:
    index = build(metric, rotation="pca:12", coarse_metric="ip").add(XB, ids=np.arange(len(XB)) + 5)
    index.remove([7, 900])
    index.save(tmp_path / "x.lka")
    loaded = la.load_index(tmp_path / "x.lka", mmap=mmap)
    assert isinstance(loaded, la.IVFFlatIndex)
    assert (loaded.d, loaded.rotation, loaded.coarse_metric, loaded.ntotal) == (D, "pca:12", "ip", len(XB) - 2)
    for ours, theirs in zip(index.search(XQ, 9, nprobe=4), loaded.search(XQ, 9, nprobe=4), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(index.reconstruct([5, 6]), loaded.reconstruct([5, 6]))
    if mmap:
        with pytest.raises(la.ReadOnlyError, match="mmap=False"):
            loaded.add(XB[:1])
    else:
        loaded.add(XB[:1])
        assert loaded.ids.max() == len(XB) + 5


@pytest.mark.parametrize("name", ["sizes", "ids", "vectors", "coarse_centroids"])
def test_a_file_whose_parts_do_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    from lookalike.files.tensors import read_tensors, write_tensors

    build().add(XB).save(tmp_path / "x.lka")
    metadata, tensors = read_tensors(tmp_path / "x.lka")
    for key in ("shapes", "sha256"):
        del metadata[key]
    damaged = tensors | {name: tensors[name][:-1]}
    if name == "sizes":
        damaged["sizes"] = np.full(NLIST, 2**62)  # their sum overflows to what it should not be
    write_tensors(tmp_path / "y.lka", metadata, damaged)
    with pytest.raises(la.FormatError, match="do not fit"):
        la.load_index(tmp_path / "y.lka")


def test_update_merge_split_compact() -> None:
    index, other = build(), build()
    index.add(XB[:500])
    other.add(XB[500:700])
    index.update([3, 4], XB[1000:1002])
    np.testing.assert_array_equal(index.reconstruct([3, 4, 5]), XB[[1000, 1001, 5]])
    with pytest.raises(la.IdError):
        index.merge(other)
    index.merge(other, add_id=500)
    assert index.ntotal == 700
    np.testing.assert_array_equal(index.reconstruct([500, 699]), XB[[500, 699]])
    part = index.split([0, 600])
    assert (part.ntotal, index.ntotal) == (2, 698)
    np.testing.assert_array_equal(part.reconstruct([600]), XB[[600]])
    before = index.search(XQ, 5, nprobe=3)
    assert index.stats()["memory"]["slack"] > 0
    index.compact()
    stats = index.stats()
    assert stats["memory"]["slack"] == 0
    assert stats["bytes_per_vector"] == 4 * D + 8
    assert sum(index.list_sizes) == stats["ntotal"] == 698
    np.testing.assert_array_equal(before.ids, index.search(XQ, 5, nprobe=3).ids)
    with pytest.raises(la.InputError, match="trained the same way"):
        index.merge(build("ip").add(XB))
    with pytest.raises(la.IdError, match="twice"):
        index.update([1, 1], XB[:2])


def test_pca_reduces_and_reconstructs() -> None:
    flat = np.hstack([XB[:, :8], np.zeros((len(XB), 12), np.float32)])
    index = la.IVFFlatIndex(nlist=4, rotation="pca:8").train(flat).add(flat)
    assert index.coarse_centroids.shape == (4, 8)
    np.testing.assert_allclose(index.reconstruct([0, 77]), flat[[0, 77]], atol=1e-4)
    same(index.search(flat[:9], 5, nprobe=4), la.FlatIndex().add(flat).search(flat[:9], 5))


def test_searching_while_adding_sees_whole_batches() -> None:
    index = build()
    batch = np.repeat(XB[:1], 32, axis=0)
    index.add(batch)
    stop, seen = threading.Event(), set()

    def look() -> None:
        while not stop.is_set():
            seen.add(int((index.search(XB[:1], 2000, nprobe=NLIST).ids >= 0).sum()))

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(40):
        index.add(batch)
    stop.set()
    reader.join()
    assert seen
    assert all(count % 32 == 0 for count in seen)


def test_odd_vectors() -> None:
    equal = np.ones((60, 3), np.float32)
    index = la.IVFFlatIndex(nlist=1).train(equal).add(equal)
    assert index.search(equal[:1], 4).ids.tolist() == [[0, 1, 2, 3]]  # ties by id
    zero = la.IVFFlatIndex(nlist=1, metric="cosine").train(equal).add(np.vstack([np.zeros((1, 3)), equal]))
    assert zero.search(np.zeros(3), 2).distances.tolist() == [[1, 1]]
    one = la.IVFFlatIndex(nlist=1).set_centroids(np.zeros((1, 3))).add([1, 2, 3])
    found = one.search([[1, 2, 3]], 3)
    assert found.ids.tolist() == [[0, -1, -1]]
    assert found.distances.tolist() == [[0, np.inf, np.inf]]
    assert one.search(np.empty((0, 3)), 3).ids.shape == (0, 3)


def test_bad_arguments_name_both_numbers() -> None:
    with pytest.raises(la.NotTrainedError, match="train"):
        la.IVFFlatIndex(nlist=4).search(XQ)
    with pytest.raises(la.NotTrainedError, match="train"):
        la.IVFFlatIndex(nlist=4).add(XB)
    with pytest.raises(la.TrainingError, match="12 centroids need at least 12"):
        la.IVFFlatIndex(nlist=12).train(XB[:5])
    index = build()
    with pytest.raises(la.DimensionError, match="d=20, got 3"):
        index.search(XQ[:, :3])
    with pytest.raises(la.InputError, match="nprobe: expected at least 1, got 0"):
        index.search(XQ, nprobe=0)
    with pytest.raises(la.InputError, match="k: expected"):
        index.search(XQ, 0)
    with pytest.raises(la.InputError, match="OPQ"):
        la.IVFFlatIndex(rotation="opq")
    with pytest.raises(la.InputError, match="coarse_metric"):
        la.IVFFlatIndex(coarse_metric="cosine")
    with pytest.raises(la.DimensionError, match=r"\(12, d\)"):
        index.set_centroids(np.zeros((3, 4)))
    with pytest.raises(la.InputError, match="NaN or infinity"):
        index.set_centroids(np.full((12, 4), np.nan))
    with pytest.raises(la.InputError, match="holds 1 vectors"):
        index.add(XB[:1]).set_centroids(np.zeros((12, D)))

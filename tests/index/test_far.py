"""Vectors far from the origin keep their neighbours: ‖q − x‖² does not depend on where 0 is, and neither may a search."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import lookalike as la
from lookalike.files.tensors import read_tensors
from lookalike.index import plain
from lookalike.quantizers import ProductQuantizer, kmeans
from lookalike.quantizers.origin import far_origin
from tests import reference

D, N, NQ, K = 16, 2000, 60, 10
KINDS: dict[str, Any] = {
    "flat": la.FlatIndex,
    "ivfflat": lambda: la.IVFFlatIndex(16),
    "ivfflat, pca": lambda: la.IVFFlatIndex(16, rotation="pca:12"),
    "pq": lambda: la.PQIndex(8, 6),
    "pq, opq": lambda: la.PQIndex(4, 6, rotation="opq"),
    "pq, wide codes": lambda: la.PQIndex(8, 9),
    "ivfpq": lambda: la.IVFPQIndex(16, 8, 6),
    "ivfpq, pca": lambda: la.IVFPQIndex(16, 4, 6, rotation="pca:12"),
    "ivfpq, plain codes": lambda: la.IVFPQIndex(16, 8, 6, by_residual=False),
    "ivfpq, lists by product": lambda: la.IVFPQIndex(16, 8, 6, coarse_metric="ip"),
    "ivfsigns": lambda: la.IVFSignsIndex(16),
    "refined": lambda: la.RefinedIndex(la.PQIndex(8, 6)),
}
CODED = ["pq", "pq, opq", "pq, wide codes", "ivfpq", "ivfpq, pca", "ivfpq, plain codes"]


@functools.cache
def cloud() -> np.ndarray:
    """float64, so that it can be moved: clumps, base and queries."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(D, D)) / 4
    return rng.normal(0, 1.5, (40, D))[rng.integers(0, 40, N + NQ)] + rng.normal(size=(N + NQ, D)) @ mixing


@functools.cache
def placed(where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Base and queries as float32, and the true neighbours of what float32 left of them."""
    x = cloud().copy()
    if where == "one place":
        x[:, 3] += 3e7
    elif where == "one vector":
        x[17, 5] = -3e7
    else:
        x += float(where)
    x = x.astype(np.float32)
    exact = reference.squared_distances(x[N:], x[:N])
    return x[:N], x[N:], np.argsort(exact, axis=1, kind="stable")[:, :K]


@functools.cache
def built(kind: str, where: str) -> Any:
    xb = placed(where)[0]
    return KINDS[kind]().train(xb).add(xb)


def recall(ids: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) for a, b in zip(ids.tolist(), true.tolist(), strict=True)])) / K


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (kind, where)
        for kind in KINDS
        for where in ("3000", "10000", "1e6", "one place", "one vector")
        if (kind, where) != ("ivfpq, lists by product", "one place")  # by inner product, one list takes all
    ],
)
def test_recall_does_not_depend_on_the_origin(kind, where) -> None:
    _, xq, true = placed(where)
    near = recall(built(kind, "0").search(placed("0")[1], K, nprobe=16).ids, placed("0")[2])
    far = recall(built(kind, where).search(xq, K, nprobe=16).ids, true)
    assert near > 0.45
    assert far > near - 0.06
    one = built(kind, where).search(xq[3], K, nprobe=16)
    np.testing.assert_array_equal(one.ids[0], built(kind, where).search(xq, K, nprobe=16).ids[3])


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
@pytest.mark.parametrize("where", ["10000", "one place"])
@pytest.mark.parametrize("kind", CODED)
def test_every_path_sees_the_same_far_out(kind, where) -> None:
    """Kernels, the first search in numpy, ranges and traces: the distances of what the codes stand for."""
    index, xq = built(kind, where), placed(where)[1][:10]
    found = index.search(xq, K, nprobe=16)
    inside = index._rotated(xq)
    first = plain.search(index, inside, K, 16, None)
    np.testing.assert_allclose(first[0], found.distances, rtol=1e-4)
    assert np.mean(first[1] == found.ids) > 0.98
    for i in range(10):
        radius = float(found.distances[i, K // 2])
        lims, distances, ids = index.range_search(xq[i], radius, nprobe=16)
        assert lims[1] == int((found.distances[i] < radius).sum())
        np.testing.assert_array_equal(ids, found.ids[i, : lims[1]])
        np.testing.assert_array_equal(distances, found.distances[i, : lims[1]])
        trace = index.trace(xq[i], K, nprobe=16)
        np.testing.assert_array_equal(trace.ids, found.ids[i])
        seen = {number: d for cell in trace.probed for number, d in zip(cell.ids, cell.distances, strict=True)}
        np.testing.assert_allclose([seen[number] for number in found.ids[i]], found.distances[i], rtol=1e-3)
    again = index.search(placed(where)[0][:50], 1, nprobe=16)
    assert (again.distances >= 0).all()


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
def test_faiss_finds_no_more_with_the_same_codes() -> None:
    xb, xq, true = placed("10000")
    index = built("pq", "10000")
    other = faiss.IndexPQ(D, 8, 6)
    faiss.copy_array_to_vector(index.pq_centroids.ravel(), other.pq.centroids)
    other.is_trained = True
    other.add(xb)
    assert recall(index.search(xq, K).ids, true) > recall(other.search(xq, K)[1], true) - 0.01


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
@pytest.mark.parametrize("kind", CODED)
def test_files_hold_what_they_held_and_are_searched_alike(kind, tmp_path: Path) -> None:
    """Biases in a file are ‖r̂‖² + 2⟨c, r̂⟩ around 0, as in every file before; whoever loads it moves them."""
    index, (xb, xq, _) = built(kind, "3000"), placed("3000")
    index.save(tmp_path / "far.lka")
    assert index._codec.origin is not None or index._transform is not None
    _, arrays = read_tensors(tmp_path / "far.lka")
    lists = np.repeat(np.arange(index.nlist), index._lists.sizes)
    decoded = reference.decode(index.codes, index.pq_centroids).astype(np.float64)
    wanted = np.square(decoded).sum(axis=1)
    if index.by_residual:
        wanted += 2 * (decoded * index.coarse_centroids[lists]).sum(axis=1)
    starts = np.cumsum(-(-index._lists.sizes // 64) * 64) - (-(-index._lists.sizes // 64) * 64)
    stored = np.concatenate(
        [arrays["biases"][at : at + size] for at, size in zip(starts, index._lists.sizes, strict=True)]
    )
    np.testing.assert_allclose(stored, wanted, rtol=1e-5, atol=1e-3 * np.abs(wanted).max())
    whole = index.search(xq, K, nprobe=16)
    for mmap in (False, True):
        loaded = la.load_index(tmp_path / "far.lka", mmap=mmap)
        loaded.search(xq[:1], 1)  # the first search
        again = loaded.search(xq, K, nprobe=16)
        np.testing.assert_array_equal(again.ids, whole.ids)
        np.testing.assert_array_equal(again.distances, whole.distances)
    la.load_index(tmp_path / "far.lka").add(xb[:100], ids=np.arange(100) + 10_000).remove(np.arange(50))


@pytest.mark.parametrize("method", ["native", "k-means++", "faiss", "sklearn", "minibatch"])
def test_kmeans_far_out(method) -> None:
    errors = []
    for where in ("0", "10000"):
        xb = placed(where)[0]
        centroids = kmeans.train_centroids(xb, 24, method, 0, "test")
        errors.append(reference.squared_distances(xb, centroids).min(axis=1).mean())
    assert errors[1] < 1.1 * errors[0]


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")
def test_codes_far_out_are_the_nearest() -> None:
    xb = placed("1e6")[0]
    pq = ProductQuantizer(8, 6).train(xb)
    codes = pq.encode(xb[:200])
    for j in range(8):
        part, book = xb[:200, 2 * j : 2 * j + 2], pq.pq_centroids[j]
        near = reference.squared_distances(part, book)
        np.testing.assert_allclose(near[np.arange(200), codes[:, j]], near.min(axis=1), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_products_do_not_move(metric) -> None:
    """Inner products depend on the origin: what is found is what float64 finds, as far as float32 tells distances apart."""
    xb, xq = placed("30" if metric == "cosine" else "3000")[:2]
    for index in (la.FlatIndex(metric), la.IVFFlatIndex(4, metric).train(xb)):
        found = index.add(xb).search(xq, K, nprobe=4)
        unit = reference.unit if metric == "cosine" else np.asarray
        truth = reference.distances(unit(xq), unit(xb), metric)
        got, best = np.take_along_axis(truth, found.ids, 1), np.sort(truth if metric == "cosine" else -truth, axis=1)
        scale = 1.0 if metric == "cosine" else np.abs(truth).max()
        np.testing.assert_allclose(np.abs(got), np.abs(best[:, :K]), atol=1e-6 * scale)


def test_what_is_far() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    assert far_origin(x) is None
    assert far_origin(x + 1) is None
    assert far_origin(x[:0]) is None
    assert far_origin(np.zeros((5, 3), np.float32)) is None
    for moved in (x + np.float32(100), x + np.float32([0, 0, 3e7, 0])):
        origin = far_origin(moved)
        assert origin is not None
        assert np.abs(moved - origin).max() < 8
    out = x + np.float32(1000)
    out[7] = -3e7
    origin = far_origin(out)
    assert origin is not None
    assert np.abs(origin - 1000).max() < 1
    out[:50] = x[:50]  # some are near: moving would harm them
    assert far_origin(out) is None


def test_lists_by_product_and_distances_far_out() -> None:
    """Centroids that were learnt by distance, and lists chosen by inner product, as FAISS files can have them."""
    x = (np.random.default_rng(0).normal(size=(4000, 32)) + 30_000).astype(np.float32)
    by_distance = la.IVFPQIndex(16, 8, 6).train(x)
    index = la.IVFPQIndex(16, 8, 6, coarse_metric="ip").set_centroids(
        by_distance.coarse_centroids, by_distance.pq_centroids
    )
    index.add(x)
    centroids, codebook = index.coarse_centroids.astype(np.float64), index.pq_centroids.astype(np.float64)
    list_no = np.repeat(np.arange(16), index.list_sizes)
    decoded = centroids[list_no] + codebook[np.arange(8), index.codes].reshape(len(x), -1)
    decoded[index.ids] = decoded.copy()  # in the order of their ids
    distances, ids = index.search(x[:20], 10, nprobe=16)
    exact = np.square(decoded[ids] - x[:20, None]).sum(axis=2)
    np.testing.assert_allclose(distances, exact, atol=1e-4)

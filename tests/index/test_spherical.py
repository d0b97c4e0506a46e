"""Lists that are chosen by inner product are balanced whatever the lengths of vectors, as FAISS's are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import lookalike as la
from lookalike.quantizers import kmeans

N, D, NLIST, NPROBE = 8000, 24, 64, 8


@functools.cache
def spread() -> np.ndarray:
    """Clumps of directions; lengths over three decades."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, D))[rng.integers(0, 100, N)] + 0.8 * rng.normal(size=(N, D))
    x *= np.exp(1.5 * rng.normal(size=(N, 1))) / np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32)


@functools.cache
def theirs() -> tuple[float, float]:
    """Imbalance of FAISS's lists, and vectors scanned by a query."""
    other = faiss.index_factory(D, f"IVF{NLIST},Flat", faiss.METRIC_INNER_PRODUCT)
    other.train(spread())
    other.add(spread())
    sizes = np.array([other.invlists.list_size(number) for number in range(NLIST)])
    return imbalance(sizes), float(sizes[other.quantizer.search(spread()[:300], NPROBE)[1]].sum(axis=1).mean())


def imbalance(sizes: np.ndarray) -> float:
    return float(len(sizes) * np.square(sizes, dtype=np.float64).sum() / sizes.sum() ** 2)


def some_points(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    return x[np.random.default_rng(seed).choice(len(x), k, replace=False)]


def long_means(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """A method of one's own that knows nothing of spheres: its centroids are anything but of one length."""
    return kmeans.kmeans_native(x, k, seed) * np.linspace(1, 30, k)[:, None]


METHODS = {name: name for name in kmeans.KMEANS} | {"a function": some_points, "long means": long_means}
KINDS: dict[str, Any] = {
    "ivfflat": lambda method: la.IVFFlatIndex(NLIST, "ip", method),
    "ivfpq": lambda method: la.IVFPQIndex(NLIST, 4, 4, "ip", method),
    "l2, lists by product": lambda method: la.IVFPQIndex(NLIST, 4, 4, "l2", method, coarse_metric="ip"),
}


@pytest.mark.parametrize(
    ("kind", "method"),
    [("ivfflat", method) for method in METHODS] + [(kind, "native") for kind in KINDS if kind != "ivfflat"],
)
def test_lists_are_as_balanced_as_those_of_faiss(kind, method) -> None:
    index = KINDS[kind](METHODS[method]).train(spread()).add(spread())
    balance, scanned = theirs()
    assert balance < 1.5
    assert imbalance(index.list_sizes) < 1.2 * balance
    assert (index.list_sizes > 0).mean() > 0.95
    probes = index._cells.probe(spread()[:300], NPROBE)[0]
    assert index.list_sizes[probes].sum(axis=1).mean() < 1.15 * scanned
    np.testing.assert_allclose(np.linalg.norm(index.coarse_centroids, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_lists_by_distance_are_trained_as_before(metric) -> None:
    x = spread() if metric == "l2" else spread() / np.linalg.norm(spread(), axis=1, keepdims=True)
    index = la.IVFFlatIndex(NLIST, metric).train(spread())
    np.testing.assert_allclose(index.coarse_centroids, kmeans.kmeans_native(x, NLIST, 0), atol=1e-5)


def test_products_with_residuals_are_those_of_faiss() -> None:
    """As in FAISS a residual is x − c, and ⟨q, x⟩ is taken as ⟨q, c⟩ + ⟨q, r̂⟩."""
    index = la.IVFPQIndex(NLIST, 6, 6, "ip").train(spread()).add(spread())
    quantizer = faiss.IndexFlatIP(D)
    quantizer.add(index.coarse_centroids)
    other = faiss.IndexIVFPQ(quantizer, D, NLIST, 6, 6, faiss.METRIC_INNER_PRODUCT)
    assert other.by_residual
    faiss.copy_array_to_vector(index.pq_centroids.ravel(), other.pq.centroids)
    other.is_trained = True
    other.add(spread())
    other.nprobe = NPROBE
    xq = spread()[:100]
    distances, ids = other.search(xq, 10)
    found = index.search(xq, 10, nprobe=NPROBE)
    scale = np.abs(distances).max(axis=1, keepdims=True)
    np.testing.assert_allclose(found.distances / scale, distances / scale, atol=1e-5)
    assert np.mean(found.ids == ids) > 0.99


def test_recall_for_what_is_scanned_is_that_of_faiss() -> None:
    xq = spread()[::40]
    true = np.argsort(-(xq @ spread().T), axis=1)[:, :10]
    other = faiss.index_factory(D, f"IVF{NLIST},Flat", faiss.METRIC_INNER_PRODUCT)
    other.train(spread())
    other.add(spread())
    other.nprobe = NPROBE
    index = la.IVFFlatIndex(NLIST, "ip").train(spread()).add(spread())
    hits = [
        np.mean([len(set(a) & set(b)) for a, b in zip(ids.tolist(), true.tolist(), strict=True)])
        for ids in (index.search(xq, 10, nprobe=NPROBE).ids, other.search(xq, 10)[1])
    ]
    assert hits[0] > 0.9 * hits[1]


def test_files_keep_their_centroids(tmp_path: Path) -> None:
    """Of an index trained before lists were spherical, say."""
    coarse = kmeans.kmeans_native(spread(), NLIST, 0)
    index = la.IVFFlatIndex(NLIST, "ip").set_centroids(coarse).add(spread())
    index.save(tmp_path / "old.lka")
    loaded = la.load_index(tmp_path / "old.lka")
    np.testing.assert_array_equal(loaded.coarse_centroids, coarse)
    loaded.search(spread()[:1], 1)
    same = loaded.search(spread()[:50], 5, nprobe=4), index.search(spread()[:50], 5, nprobe=4)
    np.testing.assert_array_equal(same[0].ids, same[1].ids)
    loaded.add(spread()[:10])
    index.add(spread()[:10])
    np.testing.assert_array_equal(loaded.list_sizes, index.list_sizes)


def test_zeros_and_equal_points_have_lists() -> None:
    x = np.zeros((300, 4), np.float32)
    x[150:] = [3, 0, 0, 4]
    for method in kmeans.KMEANS:
        centroids = kmeans.train_centroids(x, 5, method, 0, "test", spherical=True)
        lengths = np.linalg.norm(centroids, axis=1)
        assert ((np.abs(lengths - 1) < 1e-5) | (lengths == 0)).all()
        np.testing.assert_allclose(centroids.max(axis=0), [0.6, 0, 0, 0.8], atol=2e-3)

"""Journey 3: a student of the paper trains on their own pictures, watches one query, turns the screws, and swaps k-means."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import lookalike as la

K = 10


@pytest.fixture(scope="module")
def x(starter_collection: la.Collection) -> Any:
    """The student's own pictures as vectors: each starter picture, and what small changes make of it."""
    rng = np.random.default_rng(0)
    seen = starter_collection.vectors(starter_collection.ids().tolist())
    blurred = [seen + rng.normal(scale=0.012, size=seen.shape) for _ in range(7)]
    return np.concatenate([seen, *blurred]).astype(np.float32)


@pytest.fixture(scope="module")
def exact(x: Any) -> Any:
    return la.FlatIndex("cosine").add(x).search(x[::50], K).ids


def recall(index: Any, x: Any, exact: Any, nprobe: int) -> float:
    found = index.search(x[::50], K, nprobe=nprobe).ids
    return float(np.mean([np.isin(own, other).mean() for own, other in zip(exact, found, strict=True)]))


def trained(x: Any, **changes: Any) -> la.IVFPQIndex:
    options: dict[str, Any] = {"nlist": 16, "m": 32, "nbits": 6, "metric": "cosine", **changes}
    return la.IVFPQIndex(**options).train(x).add(x)


@pytest.fixture(scope="module")
def index(x: Any) -> la.IVFPQIndex:
    return trained(x)


def test_the_equations_stand_where_one_looks_for_them() -> None:
    import lookalike.index.codecs.pq
    import lookalike.kernels.distances

    assert "r = x − q_c(x)" in inspect.getsource(lookalike.index.codecs.pq)
    assert "‖q − c − r̂‖² = ‖q − c‖²" in inspect.getsource(lookalike.kernels.distances)


def test_one_query_through_cells_tables_and_codes(index: la.IVFPQIndex, x: Any) -> None:
    trace = index.trace(x[7], k=K, nprobe=4)
    nearest = np.argsort(trace.coarse_distances, kind="stable")[:4]
    assert [cell.list_no for cell in trace.probed] == nearest.tolist()
    assert trace.lookup_table.shape == (index.m, index.ksub)
    cell = trace.probed[0]
    # equation 13 by hand: the distance of a code is 1 − ⟨q, c⟩ − the sum of its table entries
    dots = (
        trace.lookup_table[np.arange(index.m), cell.codes].sum(axis=1)
        + index.coarse_centroids[cell.list_no] @ trace.query
    )
    np.testing.assert_allclose(cell.distances, np.maximum(1 - dots, 0), atol=1e-4)
    scanned = np.concatenate([cell.distances for cell in trace.probed])
    np.testing.assert_allclose(trace.distances, np.sort(scanned)[:K], atol=1e-5)
    np.testing.assert_array_equal(trace.ids, index.search(x[7], K, nprobe=4).ids[0])


def test_turning_m_nbits_and_nprobe(index: la.IVFPQIndex, x: Any, exact: Any) -> None:
    by_nprobe = [recall(index, x, exact, nprobe) for nprobe in (1, 4, 16)]
    assert by_nprobe == sorted(by_nprobe)
    assert by_nprobe[0] < by_nprobe[-1]
    coarse = trained(x, m=8)
    assert recall(coarse, x, exact, 16) < recall(index, x, exact, 16)
    few_bits = trained(x, nbits=4)
    assert recall(few_bits, x, exact, 16) < recall(index, x, exact, 16)
    size = {name: other.stats()["bytes_per_vector"] for name, other in (("m=32", index), ("m=8", coarse))}
    assert size["m=8"] < size["m=32"]
    reranked = la.Reranked(index, x).search(x[::50], K, nprobe=16, candidates=100).ids
    assert np.mean([np.isin(own, other).mean() for own, other in zip(exact, reranked, strict=True)]) > 0.99


def test_why_a_true_neighbour_was_missed(index: la.IVFPQIndex, x: Any, exact: Any) -> None:
    reasons = set()
    for query, truth in zip(x[::50], exact, strict=True):
        for miss in index.trace(query, k=K, nprobe=1, exact_ids=truth).missed:
            reasons.add(miss.reason)
            if miss.reason == "cell not probed":
                wider = index.trace(query, k=K, nprobe=miss.needed_nprobe)
                assert miss.list_no == wider.probed[-1].list_no
                assert miss.id in wider.probed[-1].ids
            else:
                assert miss.distance >= miss.worst_kept
                tied = 8  # vectors of one code have one distance, and the ids decide
                assert miss.id in la.Reranked(index, x).search(query, K, nprobe=1, candidates=miss.rank + tied).ids
    assert reasons == {"cell not probed", "code too coarse"}


def lloyd(x: Any, k: int, seed: int) -> Any:
    """The student's own k-means, in ten lines."""
    rng = np.random.default_rng(seed)
    centroids = x[rng.choice(len(x), k, replace=False)].copy()
    for _ in range(6):
        nearest = ((x * x).sum(1)[:, None] - 2 * x @ centroids.T + (centroids * centroids).sum(1)).argmin(axis=1)
        for c in range(k):
            if (nearest == c).any():
                centroids[c] = x[nearest == c].mean(axis=0)
    return centroids


def test_their_own_k_means(x: Any, exact: Any, index: la.IVFPQIndex, tmp_path: Any) -> None:
    own = trained(x, kmeans=lloyd)
    assert own.ntotal == len(x)
    assert recall(own, x, exact, 16) > 0.8 * recall(index, x, exact, 16)
    own.save(tmp_path / "own.lka")
    again = la.load_index(tmp_path / "own.lka")
    np.testing.assert_array_equal(again.search(x[:5], K, nprobe=4).ids, own.search(x[:5], K, nprobe=4).ids)

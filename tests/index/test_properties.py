"""What has to hold for every index, whatever is in it."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import lookalike as la
from tests import reference
from tests.index.conftest import KINDS, METRICS, NLIST, M, N, base, empty, filled, queries, same, trained

SPECS = [(4, True), (6, True), (8, True), (9, True), (12, True), (6, False), (8, False), (9, False)]


def decoded(index: la.IVFPQIndex) -> np.ndarray:
    """What the codes stand for, computed from the public arrays."""
    whole = reference.decode(index.codes, index.pq_centroids).astype(np.float64)
    if index.by_residual:
        whole += index.coarse_centroids[np.repeat(np.arange(index.nlist), index.list_sizes)]
    return whole


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("nbits", "by_residual"), SPECS)
def test_all_lists_are_a_full_scan_of_decoded_vectors(metric, nbits, by_residual) -> None:
    index, xq = filled(metric, nbits, by_residual), queries()
    vectors = decoded(index)
    for k in (1, 10, 100, N + 5):
        wanted = reference.search_decoded(xq, vectors, index.ids, k, metric)
        slack = reference.tolerance(wanted[0], reference.unit(xq) if metric == "cosine" else xq, vectors)
        reference.assert_same_results(index.search(xq, k, nprobe=NLIST), wanted, slack)


@pytest.mark.parametrize("metric", METRICS)
def test_fewer_lists_are_a_scan_of_those(metric) -> None:
    index, xq = filled(metric), queries()
    vectors, list_no = decoded(index), np.repeat(np.arange(NLIST), index.list_sizes)
    unit = reference.unit(xq) if metric == "cosine" else xq
    coarse = reference.distances(unit, index.coarse_centroids, "ip" if metric == "ip" else "l2")
    for nprobe in (1, 3, 7):
        nearest = np.argsort(-coarse if metric == "ip" else coarse, axis=1)[:, :nprobe]
        got = index.search(xq, 20, nprobe=nprobe)
        for i in range(len(xq)):
            allowed = np.isin(list_no, nearest[i])
            one = reference.search_decoded(xq[i : i + 1], vectors, index.ids, 20, metric, allowed)
            slack = reference.tolerance(one[0], unit[i : i + 1], vectors)
            reference.assert_same_results((got.distances[i : i + 1], got.ids[i : i + 1]), one, slack)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rotation", [None, "opq", "pca:8"])
def test_reconstructed_vectors_are_what_a_search_compares(metric, rotation) -> None:
    """Also behind a rotation: distances are those to the reconstructed vectors, where the rotation loses nothing."""
    index, xq = trained("ivfpq", metric, rotation), queries()
    result = index.search(xq, 10, nprobe=NLIST)
    vectors = index.reconstruct(np.arange(N))
    if rotation == "pca:8":
        recall = np.mean([len(set(a) & set(b)) for a, b in zip(result.ids, exact(metric).ids, strict=True)])
        assert recall > 1.5  # of 10; by chance 0.07
        return
    wanted = reference.search_decoded(xq, vectors, np.arange(N), 10, metric)
    slack = 3 * reference.tolerance(wanted[0], reference.unit(xq) if metric == "cosine" else xq, vectors)
    reference.assert_same_results(result, wanted, slack)


def exact(metric: str) -> la.SearchResult:
    return la.FlatIndex(metric).add(base()).search(queries(), 10)


@pytest.mark.parametrize("metric", METRICS)
def test_a_rotation_of_full_rank_keeps_distances_true(metric) -> None:
    """Reported distances are near the exact ones, in the metric: for cosine and inner product the origin stays in place."""
    for rotation in ("opq", "pca:16"):
        index = trained("ivfpq", metric, rotation)
        result = index.search(queries(), 1, nprobe=NLIST)
        truth = reference.distances(
            reference.unit(queries()) if metric == "cosine" else queries(),
            reference.unit(base()) if metric == "cosine" else base(),
            metric,
        )
        apart = np.abs(result.distances[:, 0] - np.take_along_axis(truth, result.ids, 1)[:, 0])
        assert np.median(apart) < 0.5 * truth.std()


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 400), max_size=6), nbits=st.sampled_from([6, 9]))
def test_batches_of_add_equal_one(cuts, nbits) -> None:
    x = base()[:400]
    one, many = empty(nbits=nbits).add(x), empty(nbits=nbits)
    edges = [0, *sorted(cuts), 400]
    for first, last in itertools.pairwise(edges):
        many.add(x[first:last])
    np.testing.assert_array_equal(one.ids, many.ids)
    np.testing.assert_array_equal(one.codes, many.codes)
    same(one.search(queries(), 10, nprobe=5), many.search(queries(), 10, nprobe=5))


@settings(max_examples=40)
@given(data=st.data())
def test_a_life_of_adding_and_removing(data) -> None:
    """After any history an index equals a fresh one with the same vectors under the same ids."""
    index, held = empty(), {}
    for _ in range(data.draw(st.integers(1, 8))):
        free = sorted(set(range(300)) - set(held))
        if held and data.draw(st.booleans()):
            gone = [*data.draw(st.lists(st.sampled_from(sorted(held)), max_size=80)), 10_000]
            assert index.remove(gone) == len(set(gone) & set(held))
            held = {number: row for number, row in held.items() if number not in gone}
        elif free:
            ids = data.draw(st.lists(st.sampled_from(free), unique=True, max_size=120))
            rows = data.draw(st.integers(0, N - 120))
            index.add(base()[rows : rows + len(ids)], ids=ids)
            held |= {number: rows + i for i, number in enumerate(ids)}
        assert index.ntotal == len(held) == len(index.ids)
    assert sorted(index.ids.tolist()) == sorted(held)
    found = index.search(queries(), 400, nprobe=NLIST)
    assert set(found.ids.ravel().tolist()) - {-1} == set(held)
    if held:
        ids, rows = np.array(list(held.keys())), list(held.values())
        fresh = empty().add(base()[rows], ids=ids)
        same(found, fresh.search(queries(), 400, nprobe=NLIST))
        np.testing.assert_array_equal(index.reconstruct(ids), fresh.reconstruct(ids))


@pytest.mark.parametrize("kind", KINDS)
def test_a_removed_id_never_returns(kind, tmp_path) -> None:
    trained(kind).save(tmp_path / "a.lka")
    index = la.load_index(tmp_path / "a.lka")
    best = index.search(queries(), 5, nprobe=NLIST).ids
    gone = np.unique(best[:, 0])
    assert index.remove(gone) == len(gone)
    assert index.remove(gone) == 0
    assert index.ntotal == N - len(gone)
    left = index.search(queries(), N, nprobe=NLIST)
    assert not np.isin(left.ids, gone).any()
    assert ((left.ids >= 0).sum(axis=1) == N - len(gone)).all()
    with pytest.raises(la.IdError, match=f"id {gone[0]} is not stored"):
        index.reconstruct(gone[:1])
    index.add(base()[gone], ids=gone)
    same(index.search(queries(), 5, nprobe=NLIST), trained(kind).search(queries(), 5, nprobe=NLIST))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("nbits", [6, 9])
def test_more_probes_never_worsen_the_jth_distance(metric, nbits) -> None:
    index, sign = filled(metric, nbits), -1 if metric == "ip" else 1
    before = None
    for nprobe in range(1, NLIST + 1):
        distances = sign * index.search(queries(), 30, nprobe=nprobe).distances
        assert (np.diff(distances, axis=1)[np.isfinite(distances[:, 1:])] >= 0).all()
        if before is not None:
            assert (distances <= before).all()
        before = distances
    same(index.search(queries(), 30, nprobe=NLIST), index.search(queries(), 30, nprobe=10**6))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("nbits", "by_residual"), [(4, False), (8, True), (9, True)])
def test_single_batch_and_threads_give_the_very_same(metric, nbits, by_residual) -> None:
    index = filled(metric, nbits, by_residual)
    for k, nprobe in [(1, 1), (10, 4), (100, 12), (N, 12)]:
        whole = index.search(queries(), k, nprobe=nprobe, threads=1)
        for threads in (2, 3, 8):
            same(whole, index.search(queries(), k, nprobe=nprobe, threads=threads))
        for size in (1, 3, 9):
            for first in range(0, 40, 11):
                part = index.search(queries()[first : first + size], k, nprobe=nprobe)
                np.testing.assert_array_equal(part.ids, whole.ids[first : first + size])
                np.testing.assert_array_equal(part.distances, whole.distances[first : first + size])


def test_near_ties_of_lists_do_not_depend_on_the_batch() -> None:
    """Centroids on a sphere round the query: which are probed must not depend on how their distances were rounded."""
    rng = np.random.default_rng(3)
    q = 3 * rng.normal(size=(1, 16))
    spokes = rng.normal(size=(300, 16))
    coarse = (q + 5 * spokes / np.linalg.norm(spokes, axis=1, keepdims=True)).astype(np.float32)
    index = la.IVFPQIndex(nlist=300, m=4, nbits=4)
    index.set_centroids(coarse, 0.1 * rng.normal(size=(4, 16, 4))).add(coarse)
    xq = np.repeat(q, 64, axis=0).astype(np.float32)
    whole = index.search(xq, 10, nprobe=8)
    assert len(np.unique(whole.ids, axis=0)) == 1
    for size in (1, 2, 7, 8, 9, 33):
        np.testing.assert_array_equal(index.search(xq[:size], 10, nprobe=8).ids, whole.ids[:size])


@pytest.mark.parametrize("scale", [1, 1e-3, 1e-5, 1e-7, 0])
def test_ties_of_short_queries_do_not_depend_on_the_batch(scale) -> None:
    """Codes shared across lists give equal distances; beside long vectors a short query leaves little room for rounding."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 16)).astype(np.float32)
    index = la.IVFPQIndex(nlist=64, m=2, nbits=4, by_residual=False)
    index.set_centroids(x[:64], rng.normal(size=(2, 16, 8))).add(x)
    xq = (x[:200] * scale).astype(np.float32)
    whole = index.search(xq, 10, nprobe=64)
    for i in range(200):
        np.testing.assert_array_equal(index.search(xq[i], 10, nprobe=64).ids[0], whole.ids[i])


@pytest.mark.parametrize("rotation", ["opq", "pca:8"])
def test_a_rotation_does_not_depend_on_the_batch(rotation) -> None:
    index = trained("ivfpq", "l2", rotation)
    whole = index.search(base()[:300], 5, nprobe=4)
    for size in (1, 3, 17):
        for first in range(0, 280, 31):
            part = index.search(base()[first : first + size], 5, nprobe=4)
            np.testing.assert_array_equal(part.ids, whole.ids[first : first + size])
            np.testing.assert_array_equal(part.distances, whole.distances[first : first + size])


def test_concatenated_centroids_are_found_exactly() -> None:
    """A vector that the codes can express has distance 0 to itself."""
    index = empty(nbits=8)
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 256, (NLIST, M))
    x = index.coarse_centroids + reference.decode(codes, index.pq_centroids) * np.float32(1e-3)
    again = la.IVFPQIndex(nlist=NLIST, m=M, nbits=8)
    again.set_centroids(index.coarse_centroids, index.pq_centroids * np.float32(1e-3)).add(x)
    result = again.search(x, 1, nprobe=1)
    np.testing.assert_array_equal(result.ids[:, 0], np.arange(NLIST))
    np.testing.assert_allclose(result.distances, 0, atol=1e-10)
    np.testing.assert_allclose(again.reconstruct(np.arange(NLIST)), x, atol=1e-6)


def test_training_is_repeatable() -> None:
    one, two, other = (la.IVFPQIndex(nlist=12, m=4, nbits=5, seed=seed).train(base()) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.coarse_centroids, two.coarse_centroids)
    np.testing.assert_array_equal(one.pq_centroids, two.pq_centroids)
    assert not np.array_equal(one.coarse_centroids, other.coarse_centroids)


@pytest.mark.parametrize("kmeans", ["native", "faiss", "sklearn", "minibatch"])
def test_every_kmeans_makes_an_index_that_finds(kmeans) -> None:
    index = la.IVFPQIndex(nlist=12, m=4, nbits=5, kmeans=kmeans).train(base()).add(base())
    truth = exact("l2").ids
    found = index.search(queries(), 10, nprobe=12).ids
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)]) > 3

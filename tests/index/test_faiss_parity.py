"""The same centroids in FAISS and here: the same codes, the same distances, the same ids up to ties."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

import lookalike as la
from tests import reference
from tests.index.conftest import METRICS, NLIST, D, M, N, base, empty, filled, queries, trained


def theirs(index: la.IVFPQIndex) -> faiss.IndexIVFPQ:
    """`faiss.IndexIVFPQ` with the centroids of `index`, empty."""
    inner = faiss.METRIC_L2 if index.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    quantizer = faiss.IndexFlatIP(D) if index.metric == "ip" else faiss.IndexFlatL2(D)
    quantizer.add(np.ascontiguousarray(index.coarse_centroids))
    other = faiss.IndexIVFPQ(quantizer, D, index.nlist, index.m, index.nbits, inner)
    other.by_residual = index.by_residual
    faiss.copy_array_to_vector(np.ascontiguousarray(index.pq_centroids).ravel(), other.pq.centroids)
    other.is_trained = True
    if index.by_residual and index.metric == "l2":
        other.precompute_table()
    return other


def list_codes(other: faiss.IndexIVFPQ) -> dict[int, tuple[int, tuple[int, ...]]]:
    """List number and code of each id."""
    found = {}
    for number in range(other.nlist):
        size = other.invlists.list_size(number)
        if not size:
            continue
        ids = faiss.rev_swig_ptr(other.invlists.get_ids(number), size)
        packed = faiss.rev_swig_ptr(other.invlists.get_codes(number), size * other.code_size)
        bits = np.unpackbits(packed.reshape(size, -1), axis=1, bitorder="little")[:, : other.pq.M * other.pq.nbits]
        codes = (bits.reshape(size, other.pq.M, -1).astype(int) << np.arange(other.pq.nbits)).sum(axis=2)
        for i in range(size):
            found[int(ids[i])] = number, tuple(codes[i].tolist())
    return found


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize("nbits", [4, 6, 8])
def test_the_same_codes_and_results(metric, by_residual, nbits) -> None:
    index = filled(metric, nbits, by_residual)
    unit = (lambda x: reference.unit(x).astype(np.float32)) if metric == "cosine" else (lambda x: x)
    xb, xq = np.ascontiguousarray(unit(base())), np.ascontiguousarray(unit(queries()))
    other = theirs(index)
    other.add(xb)
    lists = np.repeat(np.arange(NLIST), index.list_sizes)
    ours = {
        int(number): (int(list_no), tuple(code))
        for number, list_no, code in zip(index.ids, lists, index.codes.tolist(), strict=True)
    }
    assert ours == list_codes(other)

    decoded = index.reconstruct(np.arange(N))
    for nprobe in (1, 4, NLIST):
        other.nprobe = nprobe
        for k in (1, 10, 100, N):
            distances, ids = other.search(xq, k)
            distances = np.where(ids < 0, -np.inf if metric == "ip" else np.inf, distances)  # FAISS pads with ±3.4e38
            wanted = (np.maximum(1 - distances, 0), ids) if metric == "cosine" else (distances, ids)
            if metric == "cosine":
                wanted = np.where(ids < 0, np.inf, wanted[0]), ids
            got = index.search(queries(), k, nprobe=nprobe)
            reference.assert_same_results(got, wanted, reference.tolerance(wanted[0], xq, decoded))


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_the_same_after_removing(metric) -> None:
    index = empty(metric).add(base())
    other = theirs(index)
    other.add(base())
    gone = np.arange(0, N, 3)
    assert index.remove(gone) == other.remove_ids(gone)
    other.nprobe = 5
    distances, ids = other.search(queries(), 20)
    slack = reference.tolerance(distances, queries(), base())
    reference.assert_same_results(index.search(queries(), 20, nprobe=5), (distances, ids), slack)


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("nbits", [4, 8, 10])
def test_flat_product_quantization(metric, nbits) -> None:
    rng = np.random.default_rng(0)
    codebook = rng.normal(0.3, 0.8, (M, 1 << nbits, D // M)).astype(np.float32)
    index = la.PQIndex(m=M, nbits=nbits, metric=metric, kmeans=lambda x, k, seed: codebook[seed])
    xt = np.tile(base(), (-(-(39 << nbits) // N), 1))  # enough for the advice, though nothing is learnt from it
    index.train(xt).add(base())
    np.testing.assert_array_equal(index.pq_centroids, codebook)
    other = faiss.IndexPQ(D, M, nbits, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(codebook.ravel(), other.pq.centroids)
    other.is_trained = True
    other.add(base())
    for k in (1, 30):
        wanted = other.search(queries(), k)
        slack = reference.tolerance(wanted[0], queries(), base())
        reference.assert_same_results(index.search(queries(), k), wanted, slack)


@pytest.mark.parametrize("metric", METRICS)
def test_exact_search(metric) -> None:
    unit = (lambda x: reference.unit(x).astype(np.float32)) if metric == "cosine" else (lambda x: x)
    other = faiss.IndexFlatL2(D) if metric == "l2" else faiss.IndexFlatIP(D)
    other.add(np.ascontiguousarray(unit(base())))
    distances, ids = other.search(np.ascontiguousarray(unit(queries())), 20)
    wanted = (1 - distances if metric == "cosine" else distances), ids
    slack = reference.tolerance(distances, queries(), base())
    reference.assert_same_results(trained("flat", metric).search(queries(), 20), wanted, slack)


def test_range_search() -> None:
    index, other = filled(), theirs(filled())
    other.add(base())
    other.nprobe = 6
    radius = 6.0
    lims, _, ids = other.range_search(queries(), radius)
    got = index.range_search(queries(), radius, nprobe=6)
    decoded = index.reconstruct(np.arange(N))
    exact = reference.squared_distances(queries(), decoded)
    for i in range(len(queries())):
        mine, other_ids = (set(r[a[i] : a[i + 1]].tolist()) for r, a in ((got.ids, got.lims), (ids, lims)))
        assert all(abs(exact[i, number] - radius) < 1e-3 for number in mine ^ other_ids)

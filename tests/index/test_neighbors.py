"""IVFPQNeighbors among scikit-learn's own estimators."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import DBSCAN
from sklearn.datasets import make_blobs
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import lookalike as la
from lookalike import IVFPQNeighbors

X, LABELS = make_blobs(700, n_features=12, centers=6, random_state=0)
QUERIES = make_blobs(50, n_features=12, centers=6, random_state=0)[0] + 0.01
CODED: dict[str, Any] = {"nlist": 8, "m": 4, "nbits": 4}


@pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")  # of so few samples
@pytest.mark.parametrize("options", [{}, {"n_neighbors": 2, "nlist": 2, "m": 1, "nbits": 4}], ids=["auto", "coded"])
def test_scikit_learns_own_checks(options: dict[str, Any]) -> None:
    results = check_estimator(IVFPQNeighbors(**options), on_skip=None, on_fail=None)
    assert len(results) > 40
    assert [result for result in results if result["status"] == "failed"] == []


@pytest.mark.parametrize("metric", ["euclidean", "l2", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("options", [{}, {**CODED, "nprobe": 8}], ids=["exact", "coded"])
def test_neighbours_are_those_of_scikit_learn(options: dict[str, Any], metric: str) -> None:
    ours = IVFPQNeighbors(4, metric=metric, **options).fit(X)
    theirs = NearestNeighbors(n_neighbors=4, metric=metric, algorithm="brute").fit(X)
    for points in (QUERIES, None):
        distances, ids = ours.kneighbors(points)
        wanted, wanted_ids = theirs.kneighbors(points)
        np.testing.assert_allclose(distances, wanted, rtol=1e-3, atol=1e-5)
        assert (ids == wanted_ids).mean() > 0.98
    assert isinstance(ours.index_, la.FlatIndex if not options else la.IVFPQIndex)


def test_without_reranking_distances_are_those_of_codes() -> None:
    exact = IVFPQNeighbors(4, **CODED, nprobe=8).fit(X)
    coded = IVFPQNeighbors(4, **CODED, nprobe=8, rerank=False).fit(X)
    decoded = coded.index_.reconstruct(np.arange(len(X)))
    distances, ids = coded.kneighbors(QUERIES)
    wanted = np.linalg.norm(QUERIES[:, None] - decoded[ids], axis=2)
    np.testing.assert_allclose(distances, wanted, rtol=1e-4)
    assert not np.allclose(distances, exact.kneighbors(QUERIES)[0])


def test_graph_and_transform_are_those_of_scikit_learn() -> None:
    ours, theirs = IVFPQNeighbors(3, **CODED, nprobe=8).fit(X), KNeighborsTransformer(n_neighbors=3).fit(X)
    for own, other in (
        (ours.transform(QUERIES), theirs.transform(QUERIES)),
        (ours.kneighbors_graph(), theirs.kneighbors_graph()),
        (ours.kneighbors_graph(QUERIES, 2, mode="distance"), theirs.kneighbors_graph(QUERIES, 2, mode="distance")),
    ):
        assert own.shape == other.shape
        assert own.nnz == other.nnz
        assert own.format == "csr"
        assert abs(own - other).max() < 1e-3
    graph = ours.transform(X)
    assert graph.diagonal().max() < 1e-3  # each sample is its own nearest
    assert graph.nnz == 4 * len(X)
    assert (np.diff(graph.data.reshape(-1, 4), axis=1) >= 0).all()
    assert len(ours.get_feature_names_out()) == len(X)


def test_precomputed_neighbours_in_pipelines() -> None:
    clusters = make_pipeline(IVFPQNeighbors(15, **CODED), DBSCAN(eps=4, metric="precomputed")).fit_predict(X)
    plain = make_pipeline(KNeighborsTransformer(n_neighbors=15), DBSCAN(eps=4, metric="precomputed")).fit_predict(X)
    assert (clusters == plain).mean() > 0.95
    classifier = make_pipeline(IVFPQNeighbors(15, **CODED), KNeighborsClassifier(10, metric="precomputed"))
    assert classifier.fit(X, LABELS).score(X, LABELS) > 0.98
    assert clone(classifier).set_params(ivfpqneighbors__n_neighbors=12).fit(X, LABELS).predict(QUERIES).shape == (50,)


@pytest.mark.parametrize("options", [{}, {**CODED, "nprobe": 8}], ids=["exact", "coded"])
def test_neighbours_as_umap_wants_them(options: dict[str, Any]) -> None:
    """``precomputed_knn=(indices, distances)``: (n, k) each, ascending, every sample first among its own neighbours."""
    distances, indices = IVFPQNeighbors(15, **options).fit(X).kneighbors(X)
    wanted, wanted_ids = NearestNeighbors(n_neighbors=15).fit(X).kneighbors(X)
    assert indices.shape == distances.shape == (len(X), 15)
    assert indices.dtype == np.int64
    assert (indices[:, 0] == np.arange(len(X))).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    assert np.mean([len(set(a) & set(b)) / 15 for a, b in zip(indices, wanted_ids, strict=True)]) > 0.9
    np.testing.assert_allclose(np.sort(distances, axis=1)[:, :5], wanted[:, :5], rtol=0.2, atol=1e-2)


def test_auto_uses_lists_and_codes_for_many_samples() -> None:
    many = np.random.default_rng(0).normal(size=(10_000, 7)).astype(np.float32)
    ours = IVFPQNeighbors(5, nbits=4).fit(many)
    assert isinstance(ours.index_, la.IVFPQIndex)
    assert (ours.index_.nlist, ours.index_.m, ours.index_.d, ours.n_features_in_) == (256, 2, 8, 7)
    distances, ids = ours.kneighbors(many[:200])
    wanted, wanted_ids = NearestNeighbors(n_neighbors=5).fit(many).kneighbors(many[:200])
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(ids, wanted_ids, strict=True)]) > 0.8
    assert (distances >= wanted - 1e-4).all()


def test_every_query_gets_its_neighbours() -> None:
    ours = IVFPQNeighbors(650, **CODED, nprobe=1).fit(X)
    distances, ids = ours.kneighbors(QUERIES)
    assert (ids >= 0).all()
    assert np.isfinite(distances).all()
    assert all(len(set(row)) == 650 for row in ids.tolist())


def test_equal_samples_are_neighbours_but_not_of_themselves() -> None:
    same = np.ones((6, 3))
    distances, ids = IVFPQNeighbors(5).fit(same).kneighbors()
    assert (distances == 0).all()
    assert all(sorted({*row, i}) == list(range(6)) for i, row in enumerate(ids.tolist()))


@pytest.mark.parametrize("options", [{}, CODED], ids=["exact", "coded"])
def test_pickles_find_the_same(options: dict[str, Any]) -> None:
    ours = IVFPQNeighbors(4, **options).fit(X)
    again = pickle.loads(pickle.dumps(ours))
    for one, other in zip(ours.kneighbors(QUERIES), again.kneighbors(QUERIES), strict=True):
        np.testing.assert_array_equal(one, other)
    assert type(again.index_) is type(ours.index_)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "ip"}, "metric: expected one of euclidean"),
        ({"nlist": 0}, "nlist: expected at least 1, got 0"),
        ({"nlist": "many"}, "nlist: expected a whole number, got 'many'"),
        ({"nbits": 2}, "nbits: expected 4 to 16"),
        ({"nlist": 2, "m": 5, "nbits": 4}, "divisible by m=5"),
    ],
)
def test_bad_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IVFPQNeighbors(**options).fit(X)


def test_bad_requests() -> None:
    ours = IVFPQNeighbors(5).fit(X[:10])
    with pytest.raises(ValueError, match="Expected n_neighbors <= 10, but n_neighbors = 11"):
        ours.kneighbors(QUERIES, 11)
    with pytest.raises(ValueError, match="Expected n_neighbors <= 9"):
        ours.kneighbors(n_neighbors=10)
    with pytest.raises(ValueError, match='"connectivity" or "distance"'):
        ours.kneighbors_graph(mode="both")
    with pytest.raises(ValueError, match="nprobe: expected at least 1"):
        IVFPQNeighbors(5, **CODED, nprobe=0).fit(X).kneighbors(QUERIES)


def test_scikit_learn_is_loaded_when_it_is_needed_and_missed_by_name() -> None:
    code = (
        "import sys, lookalike as la; la.FlatIndex; la.index_factory; assert 'sklearn' not in sys.modules\n"
        "sys.modules['sklearn'] = None\n"
        "try: la.IVFPQNeighbors\n"
        "except la.MissingExtraError as error: assert 'lookalike[bench]' in str(error)\n"
        "else: raise SystemExit(1)\n"
        "exec('from lookalike import *')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

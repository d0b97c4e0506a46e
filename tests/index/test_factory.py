"""index_factory, and the refined index that RFlat makes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookalike as la

D = 16
METRICS = ["l2", "ip", "cosine"]


def clustered(n: int, seed: int) -> Any:
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(12, D))
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(12, size=n)] + 0.4 * rng.normal(size=(n, D))).astype(np.float32)


XB, XQ = clustered(800, 0), clustered(15, 1)

CASES: dict[str, tuple[type, dict[str, Any]]] = {
    "Flat": (la.FlatIndex, {}),
    "PQ8": (la.PQIndex, {"m": 8, "nbits": 8, "rotation": None}),
    "PQ8x4": (la.PQIndex, {"m": 8, "nbits": 4}),
    "PQ16np": (la.PQIndex, {"m": 16, "nbits": 8}),
    "PCA8,PQ4x12": (la.PQIndex, {"m": 4, "nbits": 12, "rotation": "pca:8"}),
    "OPQ8,PQ8": (la.PQIndex, {"m": 8, "rotation": "opq"}),
    "IVF100,Flat": (la.IVFFlatIndex, {"nlist": 100, "rotation": None}),
    "IVF2k,Flat": (la.IVFFlatIndex, {"nlist": 2048}),
    "IVF1M,Flat": (la.IVFFlatIndex, {"nlist": 1 << 20}),
    "PCA8,IVF100,Flat": (la.IVFFlatIndex, {"nlist": 100, "rotation": "pca:8"}),
    "PCA8,Flat": (la.IVFFlatIndex, {"nlist": 1, "rotation": "pca:8"}),
    "IVF100,PQ8": (la.IVFPQIndex, {"nlist": 100, "m": 8, "nbits": 8, "rotation": None}),
    "PCA128,IVF100,PQ8": (la.IVFPQIndex, {"nlist": 100, "m": 8, "rotation": "pca:128"}),
    "OPQ16_64,IVF1024,PQ16": (la.IVFPQIndex, {"nlist": 1024, "m": 16, "rotation": "opq:64"}),
    "OPQ16, IVF1024, PQ16x6": (la.IVFPQIndex, {"nlist": 1024, "m": 16, "nbits": 6, "rotation": "opq"}),
    "IVF100,RaBitQ": (la.IVFSignsIndex, {"nlist": 100, "rows": "lvq8"}),
    "PCA8,IVF100,RaBitQfs,RFlat": (la.IVFSignsIndex, {"rows": "float32", "rotation": "pca:8"}),
    "IVF100,RaBitQ,Refine(SQ8)": (la.IVFSignsIndex, {"rows": "sq8"}),
    "IVF100,RaBitQ,Refine(SQfp16)": (la.IVFSignsIndex, {"rows": "float16"}),
    "IDMap,Flat": (la.FlatIndex, {}),
    "IVF100,PQ8,IDMap2": (la.IVFPQIndex, {"nlist": 100}),
}


@pytest.mark.parametrize("text", CASES)
def test_strings_that_faiss_users_write(text: str) -> None:
    kind, attributes = CASES[text]
    index = la.index_factory(text, metric="ip", kmeans="minibatch", seed=3)
    assert type(index) is kind
    assert index.metric == "ip"
    assert {name: getattr(index, name) for name in attributes} == attributes
    if kind is not la.FlatIndex:
        assert (index.kmeans, index.seed) == ("minibatch", 3)


@pytest.mark.parametrize("text", ["Flat", "IVF8,Flat", "IVF8,PQ4x4", "OPQ4_8,IVF8,PQ4x4", "PQ4x4", "PCA8,Flat"])
@pytest.mark.parametrize("refine", ["", ",RFlat", ",Refine(Flat)"])
def test_what_is_made_can_be_used(text: str, refine: str) -> None:
    index = la.index_factory(text + refine).train(XB).add(XB)
    found = index.search(XB[:9], 3, nprobe=8)
    assert found.ids.shape == (9, 3)
    if refine or text.endswith("Flat"):
        assert found.ids[:, 0].tolist() == list(range(9))
    if refine:
        assert isinstance(index, la.RefinedIndex)


def test_l2norm_is_cosine() -> None:
    for metric in METRICS:
        assert la.index_factory("L2norm,IVF4,PQ2", metric).metric == "cosine"
        assert la.index_factory("IDMap,L2norm,Flat", metric).metric == "cosine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SQ8", "'SQ8' is not understood; expected Flat, PQ8, .* in 'SQ8'"),
        ("IVF100,PQ8x4fs", "'PQ8x4fs' is not understood; expected Flat"),
        ("IVF100,HNSW32", "'HNSW32'"),
        ("PCAR64,Flat", "'PCAR64'"),
        ("IVF0,Flat", "'IVF0'"),
        ("PQ0", "'PQ0'"),
        ("", "'' is not understood"),
        ("IVF100", "none of them in 'IVF100'"),
        ("RFlat", "'RFlat' is not understood"),
        ("Flat,PQ8", "'PQ8' after Flat, PQ or RaBitQ"),
        ("Flat,RFlat,RFlat", "'RFlat' after a refinement"),
        ("IVF4,IVF4,Flat", "a second inverted file"),
        ("IVF4,PCA8,Flat", "'PCA8' has to be the only linear map"),
        ("PCA8,OPQ4,PQ4", "'OPQ4' has to be the only linear map"),
        ("PCA8,L2norm,Flat", "L2norm has to come first"),
        ("OPQ8,PQ16", "OPQ8 rotates for 8 pieces, PQ16 has 16"),
        ("OPQ8,IVF4,Flat", "OPQ prepares vectors for PQ"),
        ("IVF4,PQ8x3", "nbits: expected 4 to 16, got 3"),
        ("PQ8x99", "nbits: expected 4 to 16, got 99"),
        (128, "expected a string such as 'IVF1024,PQ16', got 128; the dimension is no argument"),
    ],
)
def test_what_is_not_understood_is_named(text: Any, message: str) -> None:
    with pytest.raises(la.InputError, match=message):
        la.index_factory(text)


def test_the_order_of_faiss_arguments_is_explained() -> None:
    with pytest.raises(la.InputError, match="it is learnt in train"):
        la.index_factory(128, "IVF100,PQ8")  # type: ignore[arg-type]
    with pytest.raises(la.InputError, match="metric: expected one of l2, ip, cosine"):
        la.index_factory("Flat", "manhattan")


# --- RefinedIndex ----------------------------------------------------------------------------------------------------


def refined(metric: str = "l2", **options: Any) -> la.RefinedIndex:
    return la.RefinedIndex(la.IVFPQIndex(8, 4, 4, metric), **options).train(XB)


@pytest.mark.parametrize("metric", METRICS)
def test_refined_equals_reranking_from_the_same_vectors(metric: str) -> None:
    index = refined(metric).add(XB)
    other = la.Reranked(index.base, XB)
    for k, candidates in ((1, None), (10, None), (10, 37), (5, 5)):
        found = index.search(XQ, k, nprobe=4, candidates=candidates)
        wanted = other.search(XQ, k, nprobe=4, candidates=candidates)
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_allclose(found.distances, wanted.distances, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_enough_candidates_give_the_exact_answer(metric: str) -> None:
    index, exact = refined(metric, k_factor=1000).add(XB), la.FlatIndex(metric).add(XB)
    found, wanted = index.search(XQ, 10, nprobe=8), exact.search(XQ, 10)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_allclose(found.distances, wanted.distances, atol=1e-5)


def test_refined_life() -> None:
    ids = np.arange(len(XB)) * 3 + 2**33
    index = refined().add(XB[:500], ids=ids[:500]).add(XB[500:], ids=ids[500:])
    assert (index.ntotal, index.d, index.is_trained) == (len(XB), D, True)
    np.testing.assert_array_equal(index.reconstruct(ids[[7, 600]]), XB[[7, 600]])
    assert index.remove(ids[:10]) == 10
    assert index.ntotal == len(index.ids) == len(XB) - 10
    assert not np.isin(ids[:10], index.search(XB[:10], 100, nprobe=8).ids).any()
    with pytest.raises(la.IdError, match="stored already"):
        index.add(XB[:1], ids=ids[20:21])
    keep = ids[100:200]
    allowed = index.search(XQ, 20, nprobe=8, allow=keep)
    assert np.isin(allowed.ids, [*keep, -1]).all()
    assert index.search(XQ, 2000, nprobe=1).ids[0, -1] == -1  # fewer than k in one list
    assert index.search(np.empty((0, D)), 3).ids.shape == (0, 3)


def test_refined_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(la.NotTrainedError):
        la.index_factory("IVF8,PQ4x4,RFlat").save(tmp_path / "x.lka")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(la.InputError, match="holds 800 vectors"):
        la.RefinedIndex(la.FlatIndex().add(XB))
    for k_factor in (0.5, True, "4"):
        with pytest.raises(la.InputError, match="k_factor: expected"):
            la.RefinedIndex(la.FlatIndex(), k_factor=k_factor)  # type: ignore[arg-type]
    with pytest.raises(la.InputError, match="candidates: expected 1 to"):
        refined().add(XB).search(XQ, candidates=0)
    with pytest.raises(la.NotTrainedError):
        la.index_factory("IVF8,PQ4x4,RFlat").search(XQ)


def test_refined_searches_while_it_changes() -> None:
    index = refined().add(XB[:400])
    stop, wrong = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            found = index.search(XB[:20], 1, nprobe=8)
            if found.ids[:, 0].tolist() != list(range(20)):
                wrong.append(found.ids)

    reader = threading.Thread(target=look)
    reader.start()
    for first in range(400, 800, 40):
        index.add(XB[first : first + 40])
        index.remove(np.arange(first, first + 20))
    stop.set()
    reader.join()
    assert not wrong
    assert index.ntotal == 600

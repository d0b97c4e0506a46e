"""FAISS, set up as its own documentation does, so that it is compared at its best.

Everything returns FAISS's own objects. What they are given (centroids, codes, vectors) they copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lookalike._typing import CodeArray, FloatArray, IdArray, SearchResult
from lookalike.errors import InputError, MissingExtraError
from lookalike.index import IVFPQIndex

__all__ = [
    "codes_by_id",
    "empty_twin",
    "faiss_fast_scan",
    "faiss_ivfpq",
    "faiss_kmeans",
    "faiss_refiner",
    "faiss_searcher",
    "load_faiss",
    "twin_of",
]


def load_faiss() -> Any:
    """The module."""
    try:
        import faiss
    except ImportError:
        raise MissingExtraError('the benchmarks need FAISS; pip install "lookalike[bench]"') from None
    return faiss


def empty_twin(index: IVFPQIndex) -> Any:
    """An empty faiss.IndexIVFPQ with the centroids of `index`."""
    if index.metric != "l2" or index.rotation is not None or not index.by_residual or index.nbits != 8:
        raise InputError("a FAISS twin: expected an l2 index of residuals without rotation, of 8 bits")
    faiss = load_faiss()
    twin = faiss.IndexIVFPQ(_quantizer(index.coarse_centroids), index.d, index.nlist, index.m, index.nbits)
    faiss.copy_array_to_vector(np.ascontiguousarray(index.pq_centroids).ravel(), twin.pq.centroids)
    twin.is_trained = True
    twin.precompute_table()  # what its own `train` does at the end: its fast path depends on it
    return twin


def twin_of(index: IVFPQIndex) -> Any:
    """A faiss.IndexIVFPQ with the centroids, codes and ids of `index`."""
    faiss = load_faiss()
    twin = empty_twin(index)
    codes, ids = np.ascontiguousarray(index.codes, np.uint8), np.ascontiguousarray(index.ids)
    ends = np.cumsum(index.list_sizes)
    for number, (first, last) in enumerate(zip(ends - index.list_sizes, ends, strict=True)):
        if last > first:
            rows = slice(int(first), int(last))
            twin.invlists.add_entries(number, int(last - first), faiss.swig_ptr(ids[rows]), faiss.swig_ptr(codes[rows]))
    twin.ntotal = len(ids)
    return twin


def _quantizer(centroids: FloatArray) -> Any:
    quantizer = load_faiss().IndexFlatL2(centroids.shape[1])
    quantizer.add(np.ascontiguousarray(centroids))
    return quantizer


def faiss_flat(xb: FloatArray) -> Any:
    """A faiss.IndexFlatL2 of these vectors."""
    return _quantizer(xb)


def faiss_ivfflat(centroids: FloatArray, xb: FloatArray) -> Any:
    """A faiss.IndexIVFFlat of these vectors, in lists around these centroids."""
    d = centroids.shape[1]
    index = load_faiss().IndexIVFFlat(_quantizer(centroids), d, len(centroids))
    index.is_trained = True
    index.add(xb)
    return index


def faiss_searcher(twin: Any, k: int, nprobe: int, *, by_lists: bool = False) -> Callable[[FloatArray], SearchResult]:
    """Search as a user of FAISS would. Its threads share out the queries, or with `by_lists` the lists of each query."""

    has_lists = hasattr(twin, "nprobe")

    def search(xq: FloatArray) -> SearchResult:
        if has_lists:
            twin.nprobe, twin.parallel_mode = nprobe, int(by_lists)
        distances, ids = twin.search(xq, k)
        return SearchResult(distances, ids)

    return search


def faiss_refiner(refined: Any, k: int, nprobe: int, k_factor: float) -> Callable[[FloatArray], SearchResult]:
    """Search a `faiss_fast_scan` index: k · k_factor candidates, re-ranked."""
    ivf = load_faiss().extract_index_ivf(refined)

    def search(xq: FloatArray) -> SearchResult:
        ivf.nprobe, refined.k_factor = nprobe, k_factor
        distances, ids = refined.search(xq, k)
        return SearchResult(distances, ids)

    return search


def faiss_ivfpq(d: int, nlist: int, m: int) -> Any:
    """An untrained index. It is kept from printing advice about the number of training points.

    Without "np" the factory would also train its codes for polysemous filtering, half a minute of simulated annealing that no
    search here makes use of.
    """
    index = load_faiss().index_factory(d, f"IVF{nlist},PQ{m}np")
    index.cp.min_points_per_centroid = 1
    index.pq.cp.min_points_per_centroid = 1
    return index


ROW_BYTES = {"Flat": 4, "SQfp16": 2, "SQ8": 1}
"""Bytes of a dimension in FAISS's refinements."""


def faiss_fast_scan(
    centroids: FloatArray, m: int, by_residual: bool, xt: FloatArray, xb: FloatArray, refinement: str = "Flat"
) -> Any:
    """IVF{nlist},PQ{m}x4fs (or x4fsr, of residuals) with re-ranking, trained and filled.

    The coarse centroids are given, so that both sides of a comparison cut the space alike.
    """
    faiss = load_faiss()
    base = faiss.IndexIVFPQFastScan(_quantizer(centroids), centroids.shape[1], len(centroids), m, 4)
    base.by_residual = by_residual
    base.train(xt)
    if refinement == "Flat":
        refined = faiss.IndexRefineFlat(base)
    else:
        kinds = {"SQfp16": faiss.ScalarQuantizer.QT_fp16, "SQ8": faiss.ScalarQuantizer.QT_8bit}
        rows = faiss.IndexScalarQuantizer(centroids.shape[1], kinds[refinement])
        rows.train(xt)
        refined = faiss.IndexRefine(base, rows)
        rows.this.disown()  # FAISS keeps a pointer only, and frees it then
        refined.own_refine_index = True
    refined.add(xb)
    return refined


def faiss_kmeans(x: FloatArray, k: int, iterations: int, seed: int) -> FloatArray:
    """faiss.Kmeans on all points: by default it would sample 256 for each centroid."""
    method = load_faiss().Kmeans(
        x.shape[1], k, niter=iterations, seed=seed, max_points_per_centroid=len(x), min_points_per_centroid=1
    )
    method.train(x)
    return np.asarray(method.centroids, np.float32).reshape(k, x.shape[1])


def codes_by_id(twin: Any) -> tuple[IdArray, CodeArray]:
    """List number, shape (n,), and code, uint8 (n, m), of each vector of a FAISS index whose ids are 0..n-1."""
    faiss = load_faiss()
    n, lists = int(twin.ntotal), twin.invlists
    list_no, codes = np.full(n, -1, np.int64), np.empty((n, twin.code_size), np.uint8)
    for number in range(twin.nlist):
        size = lists.list_size(number)
        if size:
            ids = faiss.rev_swig_ptr(lists.get_ids(number), size).copy()
            list_no[ids] = number
            codes[ids] = faiss.rev_swig_ptr(lists.get_codes(number), size * twin.code_size).reshape(size, -1)
    return list_no, codes

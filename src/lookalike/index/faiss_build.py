"""Indexes from the records of a FAISS file."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike._typing import Array, IdArray
from lookalike.errors import FormatError
from lookalike.files.codebits import unpack_codes
from lookalike.files.faiss_read import Codebook, Stored
from lookalike.index.base import Index
from lookalike.index.coded import CodedIndex
from lookalike.index.flat import FlatIndex
from lookalike.index.ivfflat import IVFFlatIndex
from lookalike.index.ivfpq import IVFPQIndex
from lookalike.index.pq import PQIndex
from lookalike.index.refined import RefinedIndex
from lookalike.index.vectorlists import VectorLists

__all__ = ["build"]

ROWS = 65_536  # codes put into their lists at a time


def build(stored: Stored) -> Index:
    """The index that a file describes.

    Raises
    ------
    FormatError
        If it normalises before an L2 index, or its ids are not distinct and positive.
    """
    if stored.normalise and stored.metric != "ip":
        raise FormatError('normalisation before an index by L2 is not understood; "cosine" is inner product after it')
    metric = "cosine" if stored.normalise else stored.metric
    ids = np.concatenate(stored.ids)
    _check_ids(ids)
    if stored.codebook:
        index: Index = _coded(stored, stored.codebook, metric)
    elif stored.centroids is not None or stored.transform is not None:
        index = _ivfflat(stored, metric)
    else:
        index = FlatIndex(metric)
        index._restore(stored.rows[0], ids, stored.d)
    index._next_id = int(ids.max(initial=-1)) + 1
    return index if stored.refinement is None else _refined(index, stored, ids)


def _check_ids(ids: IdArray) -> None:
    if len(ids) and ids.min() < 0:
        raise FormatError(f"expected ids of at least 0, got {int(ids.min())}")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) != len(ids):
        raise FormatError(f"expected distinct ids, got {int(unique[counts > 1][0])} more than once")


def _ivfflat(stored: Stored, metric: str) -> IVFFlatIndex:
    """An inverted file of vectors; a flat index behind a linear map is one of a single list."""
    centroids = np.zeros((1, stored.d), np.float32) if stored.centroids is None else stored.centroids
    rotation = stored.rotation if stored.rotation and stored.rotation.startswith("pca") else None
    index = IVFFlatIndex(len(centroids), metric, rotation=rotation, coarse_metric=stored.coarse_metric)
    index._set_trained(centroids, stored.transform)
    sizes = np.array([len(ids) for ids in stored.ids], np.int64)
    index._lists = VectorLists(tuple(stored.rows), tuple(stored.ids), sizes)
    return index


def _coded(stored: Stored, codebook: Codebook, metric: str) -> CodedIndex:
    options: dict[str, Any] = {"m": codebook.m, "nbits": codebook.nbits, "metric": metric, "rotation": stored.rotation}
    if stored.centroids is None:
        index: CodedIndex = PQIndex(**options)
        centroids = np.zeros((1, stored.d), np.float32)
    else:
        centroids = stored.centroids
        options |= {"by_residual": stored.by_residual, "coarse_metric": stored.coarse_metric}
        index = IVFPQIndex(len(centroids), **options)
    index.pq.set_centroids(codebook.centroids)
    index._transform = stored.transform
    index._set_centroids(centroids)
    lists = index._lists.clone()
    for first, last in _groups([len(ids) for ids in stored.ids]):
        ids = np.concatenate(stored.ids[first:last])
        list_no = np.repeat(np.arange(first, last), [len(part) for part in stored.ids[first:last]])
        packed: Array = np.concatenate(stored.rows[first:last])
        codes = unpack_codes(packed, codebook.m, codebook.nbits)
        lists.append(list_no, codes, index._biases(list_no, codes), ids)
    index._lists = lists
    return index


def _groups(sizes: list[int]) -> list[tuple[int, int]]:
    """Runs of lists that hold about `ROWS` vectors; a list is never cut, so that each is given its final size at once."""
    groups, first, held = [], 0, 0
    for number, size in enumerate(sizes):
        held += size
        if held >= ROWS or number == len(sizes) - 1:
            groups.append((first, number + 1))
            first, held = number + 1, 0
    return groups


def _refined(base: Index, stored: Stored, ids: IdArray) -> RefinedIndex:
    """`base` with the vectors that its candidates are compared with."""
    assert stored.refinement is not None
    index = RefinedIndex(FlatIndex(base.metric), stored.k_factor)
    index.base, index.d, index._next_id = base, base.d, base._next_id
    index._store._restore(stored.refinement, ids, stored.outer_d)
    return index

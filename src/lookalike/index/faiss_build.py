"""Indexes from the records of a FAISS file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lookalike._typing import Array, IdArray
from lookalike.errors import FormatError
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codebits import unpack_codes
from lookalike.index.codecs.pq import PQCodec
from lookalike.index.codecs.whole import WholeCodec
from lookalike.index.faiss_read import Codebook, Stored
from lookalike.index.index import Index
from lookalike.index.kinds import FlatIndex, IVFFlatIndex, IVFPQIndex, PQIndex
from lookalike.index.refine import RefinedIndex
from lookalike.quantizers.pq import ProductQuantizer

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
        index = _flat(metric, stored.d, stored.rows[0], ids)
    index._next_id = int(ids.max(initial=-1)) + 1
    return index if stored.refinement is None else _refined(index, stored, ids)


def _flat(metric: str, d: int, vectors: Array, ids: IdArray) -> FlatIndex:
    index = FlatIndex(metric)
    index._take(WholeCodec(metric, OneCell(d)), None)
    index._lists = index._lists.append(np.zeros(len(ids), np.int64), (vectors,), ids)[0]
    return index


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
    index._take(WholeCodec(metric, Cells(centroids, stored.coarse_metric)), stored.transform)
    lists = index._lists
    for list_no, vectors, ids in _batches(stored):
        lists, _ = lists.append(list_no, (vectors,), ids)
    index._lists = lists
    return index


def _coded(stored: Stored, codebook: Codebook, metric: str) -> PQIndex | IVFPQIndex:
    options: dict[str, Any] = {"m": codebook.m, "nbits": codebook.nbits, "metric": metric, "rotation": stored.rotation}
    if stored.centroids is None:
        index: PQIndex | IVFPQIndex = PQIndex(**options)
        cells: Cells | OneCell = OneCell(stored.d)
    else:
        cells = Cells(stored.centroids, stored.coarse_metric)
        options |= {"by_residual": stored.by_residual, "coarse_metric": stored.coarse_metric}
        index = IVFPQIndex(cells.nlist, **options)
    pq = ProductQuantizer(codebook.m, codebook.nbits).set_centroids(codebook.centroids)
    codec = PQCodec(pq, index.by_residual, metric, cells)
    index._take(codec, stored.transform)
    lists = index._lists
    for list_no, packed, ids in _batches(stored):
        codes = unpack_codes(packed, codebook.m, codebook.nbits)
        lists, _ = lists.append(list_no, (codes, codec.biases(codes, list_no)), ids)
    index._lists = lists
    return index


def _batches(stored: Stored) -> Iterator[tuple[IdArray, Array, IdArray]]:
    """List numbers, rows and ids of about `ROWS` vectors at a time."""
    for first, last in _groups([len(ids) for ids in stored.ids]):
        sizes = [len(part) for part in stored.ids[first:last]]
        yield (
            np.repeat(np.arange(first, last), sizes),
            np.concatenate(stored.rows[first:last]),
            np.concatenate(stored.ids[first:last]),
        )


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
    index._store = _flat(base.metric, stored.outer_d, stored.refinement, ids)
    return index

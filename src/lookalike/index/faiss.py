"""Indexes to and from files of FAISS 1.7 to 1.15, without FAISS; the format is in `files.faiss_read`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import Array, IdArray, PathLike
from lookalike.errors import FormatError, InputError, LookalikeError, NotTrainedError
from lookalike.files.codebits import unpack_codes
from lookalike.files.faiss_read import Codebook, Stored, read_records
from lookalike.files.faiss_write import Writer
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codecs.pq import PQCodec
from lookalike.index.codecs.whole import WholeCodec
from lookalike.index.index import Index
from lookalike.index.kinds import FlatIndex, IVFFlatIndex, IVFPQIndex, PQIndex
from lookalike.index.refine import RefinedIndex
from lookalike.quantizers.pq import ProductQuantizer

__all__ = ["read_faiss", "write_faiss"]

ROWS = 65_536  # codes that are put into their lists at a time

# --- reading ---------------------------------------------------------------------------------------------------------


def read_faiss(path: PathLike) -> Index:
    """Open an index that FAISS wrote.

    Parameters
    ----------
    path : path
        A file of ``faiss.write_index``: Flat, IVFFlat, PQ or IVFPQ, alone or behind PCA, OPQ, rotations and normalisation, with
        or without a map of ids and an exact refinement (RFlat).

    Returns
    -------
    FlatIndex, PQIndex, IVFFlatIndex, IVFPQIndex or RefinedIndex
        It finds what FAISS finds, with equal distances up to rounding. Linear maps before a flat index give an
        `IVFFlatIndex` of one list.

    Raises
    ------
    FormatError
        If the file is damaged, or holds something else; the message says what.
    FileNotFoundError

    Notes
    -----
    Normalisation before an inner-product index is read as ``metric="cosine"``: where FAISS returns the inner product,
    descending, lookalike returns one minus it, ascending. FAISS stores nprobe; here it is an argument of each search.
    Ids must be distinct and not negative.
    """
    path = Path(path)
    stored = read_records(path)
    try:
        return _build(stored)
    except LookalikeError as error:
        raise FormatError(f"{path}: {error}") from None


def _build(stored: Stored) -> Index:
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
    index._hold(base, _flat(base.metric, stored.outer_d, stored.refinement, ids))
    return index


# --- writing ---------------------------------------------------------------------------------------------------------


def write_faiss(index: Index, path: PathLike) -> None:
    """Write an index to a file that ``faiss.read_index`` opens, atomically.

    Parameters
    ----------
    index : FlatIndex, PQIndex, IVFFlatIndex, IVFPQIndex or RefinedIndex
        Trained. ``"cosine"`` becomes a normalisation (VNrm) before an inner-product index.
    path : path

    Raises
    ------
    NotTrainedError
    InputError
        If `index` is of another kind.

    Notes
    -----
    Flat and PQ indexes with ids other than 0 to n − 1 are wrapped in an IndexIDMap2. What only this library knows, such as the
    seed of the training, is not kept.
    """
    if not isinstance(index, FlatIndex | PQIndex | IVFFlatIndex | IVFPQIndex | RefinedIndex):
        raise InputError(f"write_faiss: expected an index that FAISS has, too, got {type(index).__name__}")
    if not index.is_trained or index.d is None:
        raise NotTrainedError("write_faiss: the index has no dimension yet; train it, or add vectors, first")
    with index._writing, atomic_write(path) as file:  # nothing changes between the first record and the last
        _write(Writer(file), index, index.d)


def _write(writer: Writer, index: Index, d: int) -> None:
    """A map of ids, where ids are not positions; normalisation, if the metric is cosine; refinement; the index."""
    n, metric = index.ntotal, index.metric
    numbered = isinstance(index, FlatIndex | PQIndex | RefinedIndex)  # in FAISS, their ids are positions
    has_own_ids = numbered and not np.array_equal(index.ids, np.arange(n))
    if has_own_ids:
        writer.record("IxM2", d, n, metric)
    if metric == "cosine":
        writer.normalisation(d, n, metric)
    if isinstance(index, RefinedIndex):
        writer.record("IxRF", d, n, metric)
        _write_inner(writer, index.base, index._store)
        writer.flat(index._store._stored[0], metric)
        writer.numbers("f", index.k_factor)
    else:
        _write_inner(writer, index, None)
    if has_own_ids:
        writer.vector(index.ids)


def _write_inner(writer: Writer, index: Any, store: FlatIndex | None) -> None:
    """A linear map, if there is one, and the index; with a `store` that refines it, its ids become positions there."""
    if getattr(index, "_transform", None) is not None:
        writer.linear(index._transform, index.ntotal, index.metric)
    if isinstance(index, FlatIndex | PQIndex):
        order = slice(None) if store is None else index._find(store.ids)
        if isinstance(index, FlatIndex):
            writer.flat(index._stored[0][order], index.metric)
        else:
            writer.product_quantized(index.pq, index.codes[order], index.metric)
        return
    is_coded = isinstance(index, IVFPQIndex)
    writer.inverted_file(
        index.coarse_centroids,
        index.coarse_metric,
        index.metric,
        index.list_sizes,
        _lists(index, store),
        index.pq if is_coded else None,
        is_coded and index.by_residual,
    )


def _lists(index: IVFPQIndex | IVFFlatIndex, store: FlatIndex | None) -> Iterator[tuple[Array, IdArray]]:
    """Codes or vectors, and ids, of each list that is not empty."""
    for number in np.flatnonzero(index.list_sizes).tolist():
        *rows, ids = index._lists.rows(number)
        own = index._codec.codes(tuple(rows)) if isinstance(index, IVFPQIndex) else rows[0]
        yield own, ids if store is None else store._find(ids)

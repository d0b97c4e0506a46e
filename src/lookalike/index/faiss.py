"""Indexes to and from files of FAISS 1.7 to 1.15, without FAISS; the format is in `files.faiss_read`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import Array, IdArray, PathLike
from lookalike._validate import repeated_id
from lookalike.errors import FormatError, InputError, LookalikeError, NotTrainedError
from lookalike.files.codebits import unpack_codes
from lookalike.files.faiss_read import Record, read_records
from lookalike.files.faiss_write import Writer
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codecs.codec import Codec
from lookalike.index.codecs.pq import PQCodec
from lookalike.index.codecs.whole import WholeCodec
from lookalike.index.index import Index
from lookalike.index.kinds import FlatIndex, IVFFlatIndex, IVFPQIndex, PQIndex
from lookalike.index.large import ROWS
from lookalike.index.lists import Rows
from lookalike.index.refine import RefinedIndex
from lookalike.quantizers.pq import ProductQuantizer

__all__ = ["read_faiss", "write_faiss"]

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
    record = read_records(path)
    try:
        return _built(record)
    except LookalikeError as error:
        raise FormatError(f"{path}: {error}") from None


def _built(record: Record) -> Index:
    """The index that a file describes.

    Raises
    ------
    FormatError
        If it normalises before an L2 index, or its ids are negative or not distinct.
    """
    if record.normalise and record.metric != "ip":
        raise FormatError('normalisation before an index by L2 is not understood; "cosine" is inner product after it')
    metric = "cosine" if record.normalise else record.metric
    ids = np.concatenate(record.ids)
    if (lowest := int(ids.min(initial=0))) < 0:
        raise FormatError(f"expected ids of at least 0, got {lowest}")
    if (number := repeated_id(ids)) is not None:
        raise FormatError(f"expected distinct ids, got {number} more than once")
    index, codec = _untrained(record, metric)
    index._take(codec, record.transform)
    for list_no, rows, numbers in _batches(record):
        if isinstance(codec, PQCodec):
            codes = unpack_codes(rows, codec.pq.m, codec.pq.nbits)
            held: Rows = (codes, codec.biases(codes, list_no))
        else:
            held = (rows,)
        index._lists, _ = index._lists.append(list_no, held, numbers)
    index._next_id = int(ids.max(initial=-1)) + 1
    if record.refinement is None:
        return index
    flat = FlatIndex(metric)
    flat._learn_dimension(record.outer_d)
    flat._replace(ids[:0], record.refinement, ids)
    return RefinedIndex._of(index, flat, record.k_factor)


def _untrained(record: Record, metric: str) -> tuple[Index, Codec]:
    """An index of the right kind, and the codec that it is to use. A flat index behind a linear map is an IVFFlat of one list."""
    centroids, codebook = record.centroids, record.codebook
    options: dict[str, Any] = {"metric": metric, "rotation": record.rotation}
    inverted: dict[str, Any] = {"coarse_metric": record.coarse_metric}
    if codebook is not None:
        options |= {"m": codebook.m, "nbits": codebook.nbits}
        pq = ProductQuantizer(codebook.m, codebook.nbits).set_centroids(codebook.centroids)
        if centroids is None:
            return PQIndex(**options), PQCodec(pq, False, metric, OneCell(record.d))
        codec = PQCodec(pq, record.by_residual, metric, Cells(centroids, record.coarse_metric))
        return IVFPQIndex(len(centroids), by_residual=record.by_residual, **options, **inverted), codec
    if centroids is None and record.transform is None:
        return FlatIndex(metric), WholeCodec(metric, OneCell(record.d))
    if centroids is None:
        centroids = np.zeros((1, record.d), np.float32)
    if not (record.rotation or "").startswith("pca"):
        options["rotation"] = None
    index = IVFFlatIndex(len(centroids), **options, **inverted)
    return index, WholeCodec(metric, Cells(centroids, record.coarse_metric))


def _batches(record: Record) -> Iterator[tuple[IdArray, Array, IdArray]]:
    """List numbers, rows and ids of about `ROWS` vectors at a time; a list is never cut, so that it has its final size at once."""
    first = held = 0
    for last, ids in enumerate(record.ids, 1):
        held += len(ids)
        if held >= ROWS or last == len(record.ids):
            lists = slice(first, last)
            list_no = np.repeat(np.arange(first, last), [len(part) for part in record.ids[lists]])
            yield list_no, np.concatenate(record.rows[lists]), np.concatenate(record.ids[lists])
            first, held = last, 0


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
        _write_inner(writer, index.base, index)
        writer.flat(index._lists.rows(0)[0], metric)
        writer.numbers("f", index.k_factor)
    else:
        _write_inner(writer, index, None)
    if has_own_ids:
        writer.vector(index.ids)


def _write_inner(writer: Writer, index: Any, outer: RefinedIndex | None) -> None:
    """A linear map, if there is one, and the index; its ids become positions in the `outer` one, if that refines it."""
    if index._transform is not None:
        writer.linear(index._transform, index.ntotal, index.metric)
    if isinstance(index, FlatIndex | PQIndex):
        order = slice(None) if outer is None else index._lists.ranks(index._find(outer.ids))
        if isinstance(index, FlatIndex):
            writer.flat(index._lists.rows(0)[0][order], index.metric)
        else:
            writer.product_quantized(index.pq, index.codes[order], index.metric)
        return
    is_coded = isinstance(index, IVFPQIndex)
    writer.inverted_file(
        index.coarse_centroids,
        index.coarse_metric,
        index.metric,
        index.list_sizes,
        _lists(index, outer),
        index.pq if is_coded else None,
        is_coded and index.by_residual,
    )


def _lists(index: IVFPQIndex | IVFFlatIndex, outer: RefinedIndex | None) -> Iterator[tuple[Array, IdArray]]:
    """Codes or vectors, and ids, of each list that is not empty."""
    for number in np.flatnonzero(index.list_sizes).tolist():
        *rows, ids = index._lists.rows(number)
        own = index._codec.codes(tuple(rows)) if isinstance(index, IVFPQIndex) else rows[0]
        yield own, ids if outer is None else outer._lists.ranks(outer._find(ids))

"""Writing the records of `faiss_format`."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import Array, FloatArray, IdArray, PathLike
from lookalike.errors import InputError, NotTrainedError
from lookalike.files.codebits import code_bytes, pack_codes
from lookalike.index.base import Index
from lookalike.index.flat import FlatIndex
from lookalike.index.ivfflat import IVFFlatIndex
from lookalike.index.ivfpq import IVFPQIndex
from lookalike.index.pq import PQIndex
from lookalike.index.refined import RefinedIndex
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform

__all__ = ["write_index"]

UNUSED = 1 << 20  # what FAISS writes in two fields of each header


def write_index(index: Index, path: PathLike) -> None:
    """See `faiss_format.write_faiss`."""
    if not isinstance(index, FlatIndex | PQIndex | IVFFlatIndex | IVFPQIndex | RefinedIndex):
        raise InputError(f"write_faiss: expected an index that FAISS has, too, got {type(index).__name__}")
    if not index.is_trained or index.d is None:
        raise NotTrainedError("write_faiss: the index has no dimension yet; train it, or add vectors, first")
    with index._writing, atomic_write(path) as file:  # what is written belongs together
        _Writer(file).index(index)


class _Writer:
    """Records to a file, from the outermost to the innermost."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    # --- fields ------------------------------------------------------------------------------------------------------

    def fourcc(self, code: str) -> None:
        self.file.write(code.encode("ascii"))

    def numbers(self, kinds: str, *values: Any) -> None:
        self.file.write(struct.pack("<" + kinds, *values))

    def array(self, array: Array) -> None:
        self.file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)

    def vector(self, array: Array) -> None:
        self.numbers("Q", array.size)
        self.array(array)

    def header(self, d: int, ntotal: int, metric: str) -> None:
        self.numbers("iqqqBi", d, ntotal, UNUSED, UNUSED, 1, 1 if metric == "l2" else 0)

    # --- records -----------------------------------------------------------------------------------------------------

    def index(self, index: Any) -> None:
        """A map of ids, if there have to be one; normalisation, if the metric is cosine; the index."""
        n, d, metric = index.ntotal, index.d, index.metric
        numbered = isinstance(index, FlatIndex | PQIndex | RefinedIndex)  # in FAISS, their ids are positions
        own_ids = numbered and not np.array_equal(index.ids, np.arange(n))
        if own_ids:
            self.fourcc("IxM2")
            self.header(d, n, metric)
        if metric == "cosine":
            self.fourcc("IxPT")
            self.header(d, n, metric)
            self.numbers("i", 1)
            self.fourcc("VNrm")
            self.numbers("fiiB", 2, d, d, 1)
        if isinstance(index, RefinedIndex):
            self.refined(index)
        else:
            self.behind_normalisation(index, None)
        if own_ids:
            self.vector(index.ids)

    def refined(self, index: RefinedIndex) -> None:
        """Positions in the store become the ids of the index that is refined."""
        self.fourcc("IxRF")
        self.header(index.base.d or 0, index.ntotal, index.metric)
        self.behind_normalisation(index.base, index._store)
        self.flat(index._store._stored.vectors, index.metric)
        self.numbers("f", index.k_factor)

    def behind_normalisation(self, index: Any, store: FlatIndex | None) -> None:
        """A linear map, if there is one, and the index itself, its ids replaced by positions in `store`, if that is given."""
        transform = getattr(index, "_transform", None)
        if transform is not None:
            self.fourcc("IxPT")
            self.header(index.d, index.ntotal, index.metric)
            self.numbers("i", 1)
            self.linear(transform)
        if isinstance(index, FlatIndex):
            order = slice(None) if store is None else index._find(store.ids)
            self.flat(index._stored.vectors[order], index.metric)
        elif isinstance(index, PQIndex):
            order = slice(None) if store is None else index._find(store.ids)
            self.product_quantized(index, index.codes[order])
        elif isinstance(index, IVFPQIndex):
            self.inverted_file(index, "IwPQ", index.pq.d, store)
        else:
            self.inverted_file(index, "IwFl", index.coarse_centroids.shape[1], store)

    def flat(self, vectors: FloatArray, metric: str) -> None:
        self.fourcc("IxF2" if metric == "l2" else "IxFI")
        self.header(vectors.shape[1], len(vectors), metric)
        self.vector(vectors)

    def linear(self, transform: LinearTransform) -> None:
        have_bias = bool(transform.offset.any())
        self.fourcc("LTra")
        self.numbers("B", have_bias)
        self.vector(transform.matrix)
        self.vector(transform.offset if have_bias else transform.offset[:0])
        self.numbers("iiB", transform.d_in, transform.d_out, 1)

    def codebook(self, pq: ProductQuantizer) -> None:
        self.numbers("QQQ", pq.d, pq.m, pq.nbits)
        self.vector(pq.pq_centroids)

    def product_quantized(self, index: PQIndex, codes: Array) -> None:
        self.fourcc("IxPq")
        self.header(index.pq.d, len(codes), index.metric)
        self.codebook(index.pq)
        self.vector(pack_codes(codes, index.nbits))
        self.numbers("iBi", 0, 0, index.m * index.nbits + 1)

    def inverted_file(self, index: IVFPQIndex | IVFFlatIndex, code: str, d: int, store: FlatIndex | None) -> None:
        self.fourcc(code)
        self.header(d, index.ntotal, index.metric)
        self.numbers("QQ", index.nlist, 1)
        self.flat(index.coarse_centroids, index.coarse_metric)
        self.numbers("BQ", 0, 0)  # no direct map
        size = 4 * d
        if isinstance(index, IVFPQIndex):
            size = code_bytes(index.m, index.nbits)
            self.numbers("BQ", index.by_residual, size)
            self.codebook(index.pq)
        self.fourcc("ilar")
        self.numbers("QQ", index.nlist, size)
        self.sizes(index.list_sizes)
        for rows, ids in _lists(index):
            self.array(rows)
            self.array(ids if store is None else store._find(ids))

    def sizes(self, sizes: IdArray) -> None:
        filled = np.flatnonzero(sizes)
        if len(filled) > len(sizes) // 2:
            self.fourcc("full")
            self.vector(sizes)
        else:
            self.fourcc("sprs")
            self.vector(np.stack([filled, sizes[filled]], axis=1))


def _lists(index: IVFPQIndex | IVFFlatIndex) -> Iterable[tuple[Array, IdArray]]:
    """Bytes or vectors, and ids, of each list that is not empty."""
    for number in np.flatnonzero(index.list_sizes).tolist():
        if isinstance(index, IVFPQIndex):
            codes, _, ids = index._lists.rows(number)
            yield pack_codes(codes, index.nbits), ids
        else:
            yield index._lists.rows(number)

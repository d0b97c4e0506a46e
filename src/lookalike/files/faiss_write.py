"""Writing the records of FAISS files; `faiss_read` describes the format."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.files.codebits import code_bytes, pack_codes
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform

__all__ = ["Writer"]

UNUSED = 1 << 20  # what FAISS writes in two fields of each header


class Writer:
    """Writes records in the order of the file: the header of an outer record comes before the records inside it."""

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

    # --- what stands in front of an index ----------------------------------------------------------------------------

    def record(self, code: str, d: int, ntotal: int, metric: str) -> None:
        """The code and header of an index."""
        self.fourcc(code)
        self.numbers("iqqqBi", d, ntotal, UNUSED, UNUSED, 1, 1 if metric == "l2" else 0)

    def normalisation(self, d: int, ntotal: int, metric: str) -> None:
        self.record("IxPT", d, ntotal, metric)
        self.numbers("i", 1)
        self.fourcc("VNrm")
        self.numbers("fiiB", 2, d, d, 1)

    def linear(self, transform: LinearTransform, ntotal: int, metric: str) -> None:
        self.record("IxPT", transform.d_in, ntotal, metric)
        self.numbers("i", 1)
        has_bias = bool(transform.offset.any())
        self.fourcc("LTra")
        self.numbers("B", has_bias)
        self.vector(transform.matrix)
        self.vector(transform.offset if has_bias else transform.offset[:0])
        self.numbers("iiB", transform.d_in, transform.d_out, 1)

    # --- indexes -----------------------------------------------------------------------------------------------------

    def flat(self, vectors: FloatArray, metric: str) -> None:
        self.record("IxF2" if metric == "l2" else "IxFI", vectors.shape[1], len(vectors), metric)
        self.vector(vectors)

    def product_quantized(self, pq: ProductQuantizer, codes: Array, metric: str) -> None:
        self.record("IxPq", pq.d, len(codes), metric)
        self._codebook(pq)
        self.vector(pack_codes(codes, pq.nbits))
        self.numbers("iBi", 0, 0, pq.m * pq.nbits + 1)

    def inverted_file(
        self,
        centroids: FloatArray,
        coarse_metric: str,
        metric: str,
        sizes: IdArray,
        lists: Iterable[tuple[Array, IdArray]],
        pq: ProductQuantizer | None = None,
        by_residual: bool = False,
    ) -> None:
        """An IVFFlat or, with `pq`, an IVFPQ; `lists` gives vectors or codes, and ids, of each list that is not empty."""
        nlist, d = centroids.shape
        self.record("IwPQ" if pq else "IwFl", d, int(sizes.sum()), metric)
        self.numbers("QQ", nlist, 1)
        self.flat(centroids, coarse_metric)
        self.numbers("BQ", 0, 0)  # no direct map
        size = 4 * d
        if pq:
            size = code_bytes(pq.m, pq.nbits)
            self.numbers("BQ", by_residual, size)
            self._codebook(pq)
        self.fourcc("ilar")
        self.numbers("QQ", nlist, size)
        self._sizes(sizes)
        for rows, ids in lists:
            self.array(pack_codes(rows, pq.nbits) if pq else rows)
            self.array(ids)

    def _codebook(self, pq: ProductQuantizer) -> None:
        self.numbers("QQQ", pq.d, pq.m, pq.nbits)
        self.vector(pq.pq_centroids)

    def _sizes(self, sizes: IdArray) -> None:
        filled = np.flatnonzero(sizes)
        if len(filled) > len(sizes) // 2:
            self.fourcc("full")
            self.vector(sizes)
        else:
            self.fourcc("sprs")
            self.vector(np.stack([filled, sizes[filled]], axis=1))

"""Codes as FAISS packs them: the m sub-codes of nbits bits end to end, lowest bit first, each vector in whole bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike._typing import Array, CodeArray

__all__ = ["code_bytes", "pack_codes", "unpack_codes"]

ROWS = 16_384  # vectors repacked at a time, in which each bit takes a byte


def code_bytes(m: int, nbits: int) -> int:
    """Bytes of the code of one vector."""
    return (m * nbits + 7) // 8


def pack_codes(codes: CodeArray, nbits: int) -> Array:
    """Codes, shape (n, m), as bytes, uint8, shape (n, ceil(m · nbits / 8))."""
    n, m = codes.shape
    element = 2 if nbits > 8 else 1  # sizes are explicit: numpy cannot infer them for no vectors
    whole = np.ascontiguousarray(codes, "<u2" if nbits > 8 else np.uint8).view(np.uint8).reshape(n, m, element)
    if nbits in {8, 16}:
        return whole.reshape(n, m * element)
    packed = np.empty((n, code_bytes(m, nbits)), np.uint8)
    for first in range(0, n, ROWS):
        bits = np.unpackbits(whole[first : first + ROWS], axis=2, count=nbits, bitorder="little")
        packed[first : first + ROWS] = np.packbits(bits.reshape(len(bits), m * nbits), axis=1, bitorder="little")
    return packed


def unpack_codes(packed: Array, m: int, nbits: int) -> CodeArray:
    """The inverse of `pack_codes`: uint8 up to 8 bits, else uint16, shape (n, m)."""
    dtype: Any = "<u2" if nbits > 8 else np.uint8
    native: Any = np.uint16 if nbits > 8 else np.uint8
    if nbits in {8, 16}:
        codes: CodeArray = np.ascontiguousarray(packed).view(dtype).astype(native, copy=False)
        return codes
    codes = np.empty((len(packed), m), native)
    for first in range(0, len(packed), ROWS):
        block = packed[first : first + ROWS]
        bits = np.unpackbits(block, axis=1, count=m * nbits, bitorder="little").reshape(len(block), m, nbits)
        codes[first : first + ROWS] = np.packbits(bits, axis=2, bitorder="little").view(dtype)[:, :, 0]
    return codes

"""Arrays that are larger than memory, or would be as float32: they are read block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike._validate import check_shape
from lookalike.errors import InputError

if TYPE_CHECKING:
    from lookalike.index.index import Index

__all__ = ["ROWS", "LargeArray", "is_large", "sample_rows"]

ROWS = 65_536  # vectors read and encoded at a time
LARGE = 1 << 28  # elements: 1 GiB of float32


def is_large(x: Any) -> bool:
    """Whether `x` is to be read block by block: a memory map, or an array whose copy would weigh more than 1 GiB."""
    if isinstance(x, np.memmap):
        return x.ndim == 2
    return (
        isinstance(x, np.ndarray) and x.ndim == 2 and x.size > LARGE and not (x.dtype == np.float32 and x.flags.carray)
    )


def sample_rows(x: Array, count: int, seed: int) -> Array:
    """`count` random rows, or all if there are no more, in their order."""
    if len(x) <= count:
        return x
    return np.asarray(x[np.sort(np.random.default_rng(seed).choice(len(x), count, replace=False))])


class LargeArray:
    """Vectors whose slices are checked and cast as they are read, as `Index.add` checks smaller ones at once."""

    def __init__(self, index: Index, x: Array) -> None:
        check_shape(x, index.d, "xb")
        self._index, self._x = index, x

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, rows: slice) -> FloatArray:
        try:
            return self._index._vectors(self._x[rows], "xb")
        except InputError as error:
            raise type(error)(f"{error}, counted from row {rows.start}") from None

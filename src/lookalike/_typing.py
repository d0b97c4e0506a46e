"""Names for the array types of public signatures."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Array",
    "ArrayLike",
    "CodeArray",
    "FloatArray",
    "IdArray",
    "Metric",
    "PathLike",
    "RangeResult",
    "SearchResult",
]

Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.float32]
IdArray: TypeAlias = NDArray[np.int64]
CodeArray: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
Metric: TypeAlias = Literal["l2", "ip", "cosine"]
PathLike: TypeAlias = str | os.PathLike[str]


class SearchResult(NamedTuple):
    """Nearest neighbours of each query, best first.

    Attributes
    ----------
    distances : ndarray of float32, shape (nq, k)
        ``"l2"``: squared, ascending. ``"ip"``: inner product, descending. ``"cosine"``: 1 − cosine,
        ascending. Where fewer than k were found: +inf (``"ip"``: −inf).
    ids : ndarray of int64, shape (nq, k)
        −1 where fewer than k were found.
    """

    distances: FloatArray
    ids: IdArray


class RangeResult(NamedTuple):
    """All neighbours within a radius; those of query i are ``distances[lims[i]:lims[i + 1]]``, best first.

    Attributes
    ----------
    lims : ndarray of int64, shape (nq + 1,)
    distances : ndarray of float32, shape (lims[-1],)
    ids : ndarray of int64, shape (lims[-1],)
    """

    lims: IdArray
    distances: FloatArray
    ids: IdArray

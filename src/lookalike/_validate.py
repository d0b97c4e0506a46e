"""The one place where arrays and parameters from outside are checked and cast, once, at the public door."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.errors import DimensionError, DTypeError, IdError, InputError

__all__ = [
    "LARGEST_NORM",
    "check_allow",
    "check_count",
    "check_distinct",
    "check_ids",
    "check_lengths",
    "check_metric",
    "check_radius",
    "check_shape",
    "check_vectors",
    "is_plain",
    "repeated_id",
    "unit_rows",
]

METRICS = ("l2", "ip", "cosine")
MAX_K = 1_000_000
LARGEST_NORM = 4e37  # of a squared norm: the distance of two such vectors is still below float32's 3.4e38
LARGEST = float(np.finfo(np.float32).max)
DENSE = 16  # ids below this many times their number are marked in a table; others are sorted


def check_vectors(
    x: Any, d: int | None = None, name: str = "xb", *, empty_ok: bool = False, check_finite: bool = True
) -> FloatArray:
    """Cast `x` to a C-contiguous float32 array of shape (n, d); a single vector becomes one row.

    Raises
    ------
    DTypeError
        If the elements are not real numbers.
    DimensionError
        If the dimension is not `d`.
    InputError
        If the array is empty, not of one or two dimensions, or holds NaN or infinity.
    """
    if is_plain(x, d):
        plain: FloatArray = x
        flat = plain.reshape(-1)  # the common case, in a microsecond: what is finite has a finite sum of squares
        with np.errstate(over="ignore", invalid="ignore"):
            if not check_finite or np.dot(flat, flat) < np.inf:
                return plain
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"{name}: expected an array of shape (n, d), got a ragged sequence: {error}") from None
    if array.ndim == 1 and array.size:
        array = array[None, :]
    check_shape(array, d, name)
    if array.shape[1] == 0 or (array.shape[0] == 0 and not empty_ok):
        raise InputError(f"{name}: expected at least one vector, got shape {array.shape}")
    with np.errstate(over="ignore"):
        cast: FloatArray = np.require(array, np.float32, ["C", "A", "W"])
    with np.errstate(invalid="ignore"):  # infinity times zero, which is the point
        is_finite = not check_finite or np.isfinite(np.dot(cast.ravel(), np.zeros(cast.size, np.float32)))
    if not is_finite:
        row = int(np.flatnonzero(~np.isfinite(cast).all(axis=1))[0])
        raise InputError(f"{name}: expected finite numbers, got NaN or infinity in row {row}")
    return cast


def is_plain(x: Any, d: int | None) -> bool:
    """Whether `x` is an array as kernels want it, of at least one vector; its values are not looked at."""
    if type(x) is not np.ndarray or x.dtype != np.float32 or x.ndim != 2:
        return False
    return bool(x.shape[1] == d and x.shape[0] and x.flags.carray)


def check_shape(array: Array, d: int | None, name: str) -> None:
    """Real numbers of shape (n, d); what they are is not looked at."""
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"{name}: expected real numbers, got dtype {array.dtype}; cast to float32 first")
    if array.ndim != 2:
        raise InputError(f"{name}: expected shape (n, d), got {array.shape}")
    if d is not None and array.shape[1] != d:
        raise DimensionError(f"{name}: expected d={d}, got {array.shape[1]}")


def check_lengths(x: FloatArray, name: str) -> None:
    """Refuse vectors whose distances could overflow float32, float32 (n, d)."""
    flat = x.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.dot(flat, flat) < LARGEST_NORM:  # all of them together are short enough
            return
        norms = np.einsum("nd,nd->n", x, x)
    if len(norms) and not norms.max() < LARGEST_NORM:
        raise InputError(
            f"{name}: row {int(np.argmax(norms))} is not finite, or too long: its squared norm overflows float32; "
            "scale the vectors down"
        )


def check_ids(ids: Any, n: int | None = None, name: str = "ids") -> IdArray:
    """Cast `ids` to int64, shape (n,), none negative (−1 means "no result" in a `SearchResult`)."""
    array: Array = np.atleast_1d(np.asarray(ids))
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise DTypeError(f"{name}: expected integers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise InputError(f"{name}: expected shape (n,), got {array.shape}")
    if n is not None and len(array) != n:
        raise InputError(f"{name}: expected {n}, one for each vector, got {len(array)}")
    if array.size and (int(array.min()) < 0 or int(array.max()) > np.iinfo(np.int64).max):
        raise InputError(f"{name}: expected 0 to 2**63 - 1, got {int(array.min())} to {int(array.max())}")
    return np.ascontiguousarray(array, dtype=np.int64)


def check_distinct(ids: IdArray, what: str) -> None:
    """Refuse ids of which one is given twice; none is negative."""
    if (number := repeated_id(ids)) is not None:
        raise IdError(f"{what}: id {number} is given twice")


def repeated_id(ids: IdArray) -> int | None:
    """One of the ids that are there more than once, none of them negative; None if they are distinct."""
    if len(ids) < 2:
        return None
    if (largest := int(ids.max())) < DENSE * len(ids):
        seen = np.zeros(largest + 1, np.bool_)
        seen[ids] = True
        if np.count_nonzero(seen) == len(ids):
            return None
    unique, counts = np.unique(ids, return_counts=True)
    return int(unique[counts > 1][0]) if len(unique) != len(ids) else None


def check_allow(allow: Any, below: int = 1 << 63, name: str = "allow") -> Array:
    """Ids that a search may find, int64, or a mask over ids, bool; both of shape (n,).

    Ids may come as a list, a set, a range or any array of integers. What no id can be, such as 2**63, is left out; of a range so is
    what is not `below`, which need not be written out.

    Raises
    ------
    InputError, DTypeError
        If it is something else; the message says what it is.
    """
    kind = type(allow).__name__
    if isinstance(allow, range):
        array: Array = _within(allow if allow.step > 0 else allow[::-1], below)
    elif isinstance(allow, AbstractSet | list | tuple):
        array = _ids_of(list(allow), name)
        if isinstance(allow, AbstractSet) and array.dtype == np.bool_:
            raise InputError(f"{name}: expected ids, or a mask in their order, got a {kind} of booleans")
    else:
        array = np.asarray(allow)
    wanted = "expected ids (a list, set, range or array of integers) or a boolean mask, of shape (n,)"
    if array.ndim != 1:
        raise InputError(
            f"{name}: {wanted}, got {kind} of shape {array.shape}" if array.ndim else f"{name}: {wanted}, got {kind}"
        )
    if array.size == 0 and array.dtype != np.bool_:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "biu":
        raise DTypeError(f"{name}: {wanted}, got {kind} of dtype {array.dtype}")
    if array.dtype.kind == "u" and array.dtype.itemsize == 8:
        array = array[array <= np.iinfo(np.int64).max]
    return array if array.dtype.kind == "b" else array.astype(np.int64, copy=False)


def _within(numbers: range, below: int) -> IdArray:
    """What of a rising range lies in 0 to below − 1."""
    start = numbers.start if numbers.start >= 0 else numbers.start % numbers.step
    stop = min(numbers.stop, below)
    return np.arange(start, stop, numbers.step, dtype=np.int64) if start < stop else np.empty(0, np.int64)


def _ids_of(values: list[Any], name: str) -> Array:
    """A list as numpy takes it, but whole numbers as int64 whatever their size."""
    try:
        array: Array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name}: expected ids of shape (n,), got a ragged sequence: {error}") from None
    if array.dtype.kind in "biu" or array.ndim != 1:
        return array
    if all(isinstance(value, int | np.integer) for value in values):  # some of them beyond 64 bits
        return np.array([value for value in values if 0 <= value < 1 << 63], np.int64)
    return array


def check_count(value: Any, name: str, low: int = 1, high: int | None = None) -> int:
    """An integer of at least `low` and at most `high`."""
    if type(value) is int and value >= low and (high is None or value <= high):
        return value
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name}: expected a whole number, got {value!r}")
    if value < low or (high is not None and value > high):
        wanted = f"at least {low}" if high is None else f"{low} to {high}"
        raise InputError(f"{name}: expected {wanted}, got {value}")
    return int(value)


def check_radius(radius: Any) -> float:
    """A finite number."""
    if isinstance(radius, bool) or not isinstance(radius, int | float | np.integer | np.floating):
        raise InputError(f"radius: expected a number, got {radius!r}")
    try:
        value = float(radius)
    except OverflowError:
        value = np.inf
    if not np.isfinite(value):
        raise InputError(f"radius: expected a finite number, got {radius}")
    return min(max(value, -LARGEST), LARGEST)  # no distance lies beyond


def check_metric(metric: Any) -> str:
    """One of ``"l2"``, ``"ip"``, ``"cosine"``."""
    if metric not in METRICS:
        raise InputError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
    return str(metric)


def unit_rows(x: FloatArray) -> FloatArray:
    """Rows scaled to length 1; a row of zeros stays zero, so that its cosine with anything is 0.

    Lengths are taken in float64, so that huge values do not overflow and tiny ones do not vanish.
    """
    norms = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))[:, None]
    unit: FloatArray = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0, casting="unsafe")
    return unit

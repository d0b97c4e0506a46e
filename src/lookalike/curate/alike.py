"""Which rows are alike: the connected components of all pairs from a cosine on, with no pair missed.

All pairs of n rows are n²/2 products of length d. Most of them can be ruled out by p « d numbers each. For a matrix Q of
p orthonormal columns, let y = Qᵀx and r = ‖x − Qy‖; then

    ⟨x, x'⟩ = ⟨y, y'⟩ + ⟨x − Qy, x' − Qy'⟩ ≤ ⟨y, y'⟩ + r r'            (Cauchy–Schwarz)

which is the inner product of (y, r) and (y', r'). Only pairs whose bound reaches the limit are compared in full. The bound
holds for every Q; a good Q, the leading principal axes of a sample, makes it tight. Where no p rules out enough, all pairs
are compared in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray

__all__ = ["BAND", "Union", "at_least", "connected", "cosines"]

RowsOf: TypeAlias = Callable[[IdArray], FloatArray]

ROWS: Final = 2048  # rows of one block of scores
COLUMNS: Final = 8192  # and its columns: 64 MiB
PAIRS: Final = 1 << 21  # that are listed at once: 32 MiB of numbers
GATHERED: Final = 2048  # pairs that are compared one by one at once
DENSE: Final = 1024  # a pair compared by itself costs as much as so many in a matrix product

BAND: Final = 4e-6  # float32 products this close to the limit are computed again in float64
SLACK: Final = 2e-5  # what rounding may take from a bound
SPARE: Final = 1e-5  # what rounding may take from r²

WIDTHS: Final = (32, 64, 96, 128, 192, 256)  # values of p
SAMPLE: Final = 6144  # rows: Q is learnt from two thirds of them, the others say how much each p rules out
ASKED: Final = 512  # rows of those that are compared with the rest of those
FEW: Final = 8192  # rows, of which all pairs are compared sooner than Q is learnt
LOOKED_AT: Final = 48  # to look at a score takes as long as so many terms of a product
MEMORY: Final = 512 << 20  # bytes of all (y, r)


class Union:
    """Sets of the numbers 0 to n − 1 that are joined pair by pair (union–find over arrays)."""

    def __init__(self, n: int) -> None:
        self._parent = np.arange(n)

    def find(self, numbers: IdArray) -> IdArray:
        """The smallest number of the set that each is in."""
        found: IdArray = self._parent[numbers]
        while (further := self._parent[found] != found).any():
            found = np.where(further, self._parent[found], found)
        self._parent[numbers] = found
        return found

    def join(self, first: IdArray, second: IdArray) -> None:
        """Put each of `first` into one set with its fellow in `second`."""
        while len(first):
            one, other = self.find(first), self.find(second)
            differ = one != other
            high, low = np.maximum(one, other)[differ], np.minimum(one, other)[differ]
            np.minimum.at(self._parent, high, low)  # always to a smaller number, so there are no circles
            first, second = high, low

    def are_one(self, first: slice, second: slice) -> bool:
        """Whether all the numbers of two ranges are in one set."""
        roots = self.find(np.r_[first, second])
        return bool((roots == roots[0]).all())


def connected(
    rows_of: RowsOf, n: int, least: float, tell: Callable[[float], None] | None = None, *, width: int | None = None
) -> IdArray:
    """For each row the smallest row that it is connected to by pairs with a cosine of at least `least`.

    Parameters
    ----------
    rows_of : callable
        Takes places (int64), gives unit rows, float32, shape (len(places), d).
    n : int
    least : float
    tell : callable, optional
        Called with the share of the work that is done, 0 to 1, several times a second; what it raises ends the work.
    width : int, optional
        p; 0 to compare all pairs in full. Without it, what a sample says is quickest.

    Returns
    -------
    labels : ndarray of int64, shape (n,)

    Notes
    -----
    O(n² · p) time where p terms rule out nearly all pairs, O(n² · d) at worst. Some 200 MiB of working memory, and up to
    4 (p + 1) bytes a row.
    """
    work = _Joining(rows_of, n, least, _shortened(rows_of, n, least, width))
    done, total = 0, sum(_size(*block) for block in _tiles(n))
    for block in _tiles(n):
        work.join(*block)
        done += _size(*block)
        if tell is not None:
            tell(done / total)
    return work.union.find(np.arange(n))


def _tiles(n: int) -> Iterator[tuple[slice, slice]]:
    """Blocks that hold every pair of rows."""
    for first in range(0, n, ROWS):
        rows = slice(first, min(n, first + ROWS))
        for start in range(first, n, COLUMNS):
            yield rows, slice(start, min(n, start + COLUMNS))


def _size(rows: slice, columns: slice) -> int:
    size: int = (rows.stop - rows.start) * (columns.stop - columns.start)
    return size


class _Joining:
    """What is joined so far, and how one block after the other is."""

    def __init__(self, rows_of: RowsOf, n: int, least: float, short: FloatArray | None) -> None:
        self.union = Union(n)
        self._rows_of = rows_of
        self._least = least
        self._short = short
        self._scores = np.empty(min(n, ROWS) * min(n, COLUMNS), np.float32)  # made once: new pages take long

    def join(self, rows: slice, columns: slice) -> None:
        """Join the pairs of a block that are alike."""
        if self.union.are_one(rows, columns):
            return
        if self._short is not None:
            self._join_bounded(self._short, rows, columns)
            return
        x, y = (self._rows_of(np.arange(part.start, part.stop)) for part in (rows, columns))
        scores = self._products(x, y)
        for place, column in _from(scores, self._least - BAND):
            i, j, where = self._news(place + rows.start, column + columns.start)
            self._join_by(scores[place[where], column[where]], i, j)

    def _join_bounded(self, short: FloatArray, rows: slice, columns: slice) -> None:
        """Compare only the pairs whose bound reaches the limit."""
        for place, column in _from(self._products(short[rows], short[columns]), self._least - SLACK):
            i, j, _ = self._news(place + rows.start, column + columns.start)
            high, at_row = np.unique(i, return_inverse=True)
            wide, at_column = np.unique(j, return_inverse=True)
            if 0 < len(high) * len(wide) <= DENSE * len(i):
                self._join_by((self._rows_of(high) @ self._rows_of(wide).T)[at_row, at_column], i, j)
            else:
                self._join_each(i, j)

    def _products(self, x: FloatArray, y: FloatArray) -> FloatArray:
        out: FloatArray = self._scores[: len(x) * len(y)].reshape(len(x), len(y))
        return np.matmul(x, y.T, out=out)

    def _news(self, i: IdArray, j: IdArray) -> tuple[IdArray, IdArray, IdArray]:
        """The pairs that are not in one set yet, and where they are in `i`."""
        where = np.flatnonzero(self.union.find(i) != self.union.find(j))
        return i[where], j[where], where

    def _join_by(self, scores: FloatArray, i: IdArray, j: IdArray) -> None:
        """Join pairs by float32 scores, except those that rounding could decide."""
        sure, unsure = scores >= self._least + BAND, np.abs(scores - self._least) < BAND
        self.union.join(i[sure], j[sure])
        self._join_each(i[unsure], j[unsure])

    def _join_each(self, i: IdArray, j: IdArray) -> None:
        """Join pairs, compared one by one."""
        for at in range(0, len(i), GATHERED):
            first, second, _ = self._news(i[at : at + GATHERED], j[at : at + GATHERED])
            near = at_least(self._rows_of(first), self._rows_of(second), self._least)
            self.union.join(first[near], second[near])


def _from(scores: FloatArray, limit: float) -> Iterator[tuple[IdArray, IdArray]]:
    """Rows and columns of the scores from `limit` on, some at a time."""
    reach = scores >= limit
    few = np.count_nonzero(reach) <= PAIRS
    step = len(scores) if few else max(1, PAIRS // scores.shape[1])
    for at in range(0, len(scores), step):
        row, column = np.divmod(np.flatnonzero(reach[at : at + step]), scores.shape[1])
        yield row + at, column


def at_least(x: FloatArray, y: FloatArray, least: float) -> Array:
    """Whether the inner product of each row of `x` with its fellow in `y` reaches `least`, as float64 says."""
    scores = np.einsum("nd,nd->n", x, y)
    near: Array = scores >= least
    unsure = np.flatnonzero(np.abs(scores - least) < BAND)
    near[unsure] = cosines(x[unsure], y[unsure]) >= least
    return near


def cosines(x: FloatArray, y: FloatArray) -> Array:
    """The inner product of each row of `x` with its fellow in `y`, float64."""
    products: Array = np.einsum("nd,nd->n", x.astype(np.float64), y.astype(np.float64))
    return products


def _shortened(rows_of: RowsOf, n: int, least: float, width: int | None) -> FloatArray | None:
    """The (y, r) of all rows, shape (n, p + 1); None where all pairs are to be compared in full."""
    if width == 0 or (width is None and n <= FEW):
        return None
    rng = np.random.default_rng(0)
    chosen = rng.permutation(n)[:SAMPLE]
    learnt, tried = np.split(chosen, [len(chosen) * 2 // 3 + 1])
    axes = _axes(rows_of(np.sort(learnt)), width or max(WIDTHS), rng)
    if width is None:
        widths = [p for p in WIDTHS if p <= axes.shape[1] and (p == WIDTHS[0] or n * 4 * (p + 1) <= MEMORY)]
        width = _quickest(rows_of(tried), axes, widths, least)
        if width is None:
            return None
    axes = np.ascontiguousarray(axes[:, :width])
    short = np.empty((n, axes.shape[1] + 1), np.float32)
    for at in range(0, n, COLUMNS):
        places = np.arange(at, min(n, at + COLUMNS))
        short[places] = _shorten(rows_of(places), axes)
    return short


def _axes(sample: FloatArray, p: int, rng: np.random.Generator) -> FloatArray:
    """Orthonormal columns, about the leading principal axes, the first before the others: shape (d, p or fewer).

    By a step of subspace iteration from random combinations of the rows (Halko, Martinsson and Tropp, 2011).
    """
    mixed = sample.T @ rng.standard_normal((len(sample), min(p, *sample.shape))).astype(np.float32)
    basis = _orthonormal(sample.T @ (sample @ _orthonormal(mixed).astype(np.float32)))
    projected = sample @ basis.astype(np.float32)
    _, turn = np.linalg.eigh(projected.T @ projected)
    axes: FloatArray = (basis @ turn[:, ::-1]).astype(np.float32)
    return axes


def _orthonormal(x: FloatArray) -> Array:
    """An orthonormal basis of the span of the columns, float64, in no order; columns that add nothing are left out."""
    q: Array = x.astype(np.float64)
    for _ in range(2):  # the second time takes away what rounding left
        values, turn = np.linalg.eigh(q.T @ q)
        kept = values > 1e-9 * values[-1]
        q = (q @ turn[:, kept]) / np.sqrt(values[kept])
    return q


def _shorten(x: FloatArray, axes: FloatArray) -> FloatArray:
    y = x @ axes
    rest = np.einsum("nd,nd->n", x, x) - np.einsum("np,np->n", y, y)
    short: FloatArray = np.c_[y, np.sqrt(np.maximum(rest, 0) + SPARE)]
    return short


def _quickest(tried: FloatArray, axes: FloatArray, widths: list[int], least: float) -> int | None:
    """The p that takes least work by some rows that the axes were not learnt from; None to compare in full."""
    d, asked = tried.shape[1], min(ASKED, len(tried) // 2)
    costs: dict[int | None, float] = {None: d + LOOKED_AT}
    for p in widths:
        short = _shorten(tried, axes[:, :p])
        passing = float((short[:asked] @ short[asked:].T >= least - SLACK).mean()) if asked else 1.0
        costs[p] = p + LOOKED_AT + DENSE * d * passing
    return min(costs, key=lambda p: costs[p])

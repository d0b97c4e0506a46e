"""How a group of connected pictures hangs together: its parts, and how unlike the two least alike of it are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from lookalike._typing import Array, IdArray
from lookalike.curate.alike import BAND, RowsOf, cosines

__all__ = ["Spread", "spread"]

ROWS: Final = 1024  # that are compared at once
COLUMNS: Final = 8192
REACHED: Final = 64 << 20  # bytes that say which of them reach the limit


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Rows of one group, in the order that they were given in.

    Attributes
    ----------
    leader : ndarray of int64, shape (m,)
        The row that leads the part which each row is in.
    cosine : ndarray of float64, shape (m,)
        Of each row to its leader.
    least : float
        The smallest cosine of any two rows.
    """

    leader: IdArray
    cosine: Array
    least: float


def spread(rows_of: RowsOf, m: int, least: float, tell: Callable[[], None]) -> Spread:
    """Cut a group into parts: each row joins the first row that leads and that it is like enough, or else leads itself.

    Parameters
    ----------
    rows_of : callable
        Takes places (int64), gives unit rows, float32.
    m : int
    least : float
        The cosine from which on two rows are alike.
    tell : callable
        Called several times a second; what it raises ends the work.

    Notes
    -----
    O(m² · d) time; 100 MiB of working memory, and m bytes more for each of 64 rows or more.
    """
    leader, cosine = np.full(m, -1), np.ones(m)
    lowest, ends = 1.0, (0, 0)
    step = min(ROWS, max(64, REACHED // m))
    for first in range(0, m, step):
        rows = np.arange(first, min(m, first + step))
        x = rows_of(rows)
        reached = np.empty((len(rows), m - first), np.bool_)
        for start in range(first, m, COLUMNS):
            columns = np.arange(start, min(m, start + COLUMNS))
            scores = x @ rows_of(columns).T
            reached[:, columns - first] = scores >= least - BAND
            at = int(scores.argmin())
            if scores.flat[at] < lowest:
                lowest, ends = float(scores.flat[at]), (first + at // len(columns), start + at % len(columns))
            tell()
        for row in rows[leader[rows] < 0].tolist():
            if leader[row] < 0:
                free = first + np.flatnonzero(reached[row - first] & (leader[first:] < 0))
                near = cosines(rows_of(free), np.broadcast_to(x[row - first], (len(free), x.shape[1])))
                taken = (near >= least) | (free == row)
                leader[free[taken]], cosine[free[taken]] = row, near[taken]
    pair = rows_of(np.array(ends))
    return Spread(leader, cosine, float(cosines(pair[:1], pair[1:])[0]))

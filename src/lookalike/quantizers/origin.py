"""Distances of vectors that lie far from the origin, in float32.

Squares opened into norms and products, ‖x‖² − 2⟨x, c⟩ + ‖c‖², lose every digit of a distance that is small beside the norms. The
distance does not change when everything is moved by the same vector, so it is computed around the middle of what is there.
"""

from __future__ import annotations

import numpy as np

from lookalike._typing import FloatArray

__all__ = ["far_origin", "middle", "without_outliers"]

SAMPLE = 256  # points that the middle is taken of
FAR = 64.0  # times the squared radius is ‖middle‖², below which at most two digits are lost and nothing is moved
MAX_HARMED = 1 / 128  # of the points may lie where moving them makes them much longer
OUT = 1e8  # times the squared radius is the squared distance of an outlier from the middle


def _middle(x: FloatArray) -> tuple[FloatArray, float]:
    """Each component's median, of a sample, and the median squared distance from there: one point far out moves neither.

    The medians are values of x, not means of two, so they are the same on every machine.
    """
    rows = np.asarray(x[:: max(1, len(x) // SAMPLE)][:SAMPLE], np.float32)
    half = (len(rows) - 1) // 2
    columns = np.array(
        rows.T, order="C"
    )  # a copy, as it is partitioned where it lies; three times as quick as by the first axis
    columns.partition(half, axis=1)
    centre: FloatArray = columns[:, half].copy()
    moved = np.subtract(rows, centre, dtype=np.float64)
    return centre, float(np.partition(np.einsum("nd,nd->n", moved, moved), half)[half])


def middle(x: FloatArray) -> FloatArray:
    """The median of each component of x, shape (n, d), of a sample: one point far out does not move it."""
    return _middle(x)[0]


def far_origin(x: FloatArray) -> FloatArray | None:
    """The middle of the points x, shape (n, d), where it is far from the origin beside their spread; None where it is near."""
    if not len(x):
        return None
    centre, radius = _middle(x)
    if not np.square(centre, dtype=np.float64).sum() > FAR * radius:
        return None
    moved = x - centre
    with np.errstate(over="ignore"):
        harmed = np.einsum("nd,nd->n", moved, moved) > 4 * np.einsum("nd,nd->n", x, x)
    return None if harmed.mean() > MAX_HARMED else centre


def without_outliers(x: FloatArray) -> FloatArray:
    """The points without those thousands of times as far out as most: a single one would dominate the covariance."""
    centre, radius = _middle(x)
    moved = x - centre
    with np.errstate(over="ignore"):
        inside = np.einsum("nd,nd->n", moved, moved) <= OUT * radius
    return x if radius == 0 or inside.all() else x[inside]

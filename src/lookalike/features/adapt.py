"""Closed-form fits: directions along which pictures of one kind differ are made short, in one eigendecomposition.

Vectors are rooted first (`lookalike.features.transforms.rooted`). With S the scatter within labels, ``S = V Λ Vᵀ``, the projection
is ``V (Λ + s·mean(Λ))^(−½)``: s, the shrinkage, is 0 for full whitening, and the larger it is, the less is changed. With
one label for everything, that is PCA whitening.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.errors import InputError
from lookalike.features.metrics import BLOCK_ROWS, Groups, Rows
from lookalike.features.transforms import rooted

__all__ = ["BASIS", "DIRECTIONS", "SHRINKAGE", "Scatter", "all_together", "within_scatter"]

BASIS = 512  # directions that are looked at when time matters; an eigendecomposition takes time with their third power
SHRINKAGE, DIRECTIONS = 1.0, 256  # good for held-out pictures and held-out labels alike; docs/quality.md has the table


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """How rooted vectors differ from the mean of their label, and from each other.

    Attributes
    ----------
    mean : ndarray of float64, shape (d,)
        Of all vectors.
    values : ndarray of float64, shape (d,)
        Eigenvalues of the scatter within labels, largest first.
    vectors : ndarray of float64, shape (d, d)
        Its eigenvectors, one in each column.
    total : ndarray of float64, shape (d, d)
        Covariance of all vectors.
    """

    mean: Array
    values: Array
    vectors: Array
    total: Array

    def whitening(self, shrinkage: float = SHRINKAGE, d: int | None = None) -> FloatArray:
        """The projection that makes the scatter within labels round, as far as `shrinkage` lets it.

        With `d`, onto the d directions of the result in which all vectors differ most: what is left then is what tells
        labels apart.
        """
        lengths = np.sqrt(self.values + shrinkage * self.values.mean() + 1e-12)
        # Scaled so that numbers are near 1, for float16; rows are scaled to length 1 afterwards anyhow.
        projection: Array = self.vectors / lengths * np.median(lengths)
        if d is not None and d < projection.shape[1]:
            _, directions = np.linalg.eigh(projection.T @ self.total @ projection)
            projection = projection @ directions[:, ::-1][:, :d]
        return projection.astype(np.float32)

    def rotation(self, d: int) -> FloatArray:
        """The first `d` principal directions of the scatter, lengths as they are."""
        directions: FloatArray = self.vectors[:, :d].astype(np.float32)
        return directions


def all_together(n: int) -> Groups:
    """One label for all rows, so that `within_scatter` is the scatter of everything."""
    return Groups(("all",), ((0,),) * n, (np.arange(n, dtype=np.int64),))


def within_scatter(vectors: Rows, groups: Groups, rows: IdArray, basis: FloatArray | None = None) -> Scatter:
    """The scatter within labels, over some rows; a row with several labels counts in each.

    Parameters
    ----------
    vectors : rows of length 1
    groups : Groups
    rows : ndarray of int64
    basis : ndarray of float32, shape (d, b), optional
        Rooted vectors are taken to these directions first; d is b from then on.

    Raises
    ------
    InputError
        If no label has two different vectors among the rows.

    Notes
    -----
    ``S = Σ_r w_r z_r z_rᵀ − Σ_c n_c μ_c μ_cᵀ``, z the rooted vectors, w_r the number of labels of row r, summed in float64.
    O(n · d² + d³) time: a second for some thousand vectors of dimension 1,280.
    """
    counts, sums, total, squares = np.zeros(len(groups.names)), None, None, None
    for part in _blocks(rows):
        z = rooted(vectors[part])
        z = z if basis is None else z @ basis
        if sums is None or total is None or squares is None:
            d = z.shape[1]
            sums, total, squares = np.zeros((len(groups.names), d)), np.zeros(d), np.zeros((d, d))
        total += z.sum(axis=0, dtype=np.float64)
        own = [groups.of[row] for row in part.tolist()]
        for label in {label for labels in own for label in labels}:
            inside = z[[at for at, labels in enumerate(own) if label in labels]]
            sums[label] += inside.sum(axis=0, dtype=np.float64)
            counts[label] += len(inside)
        weighted = z * np.sqrt(np.array([len(labels) for labels in own], np.float32))[:, None]
        squares += weighted.T @ weighted
    if sums is None or total is None or squares is None or counts.max(initial=0) < 2:
        raise InputError("labels: expected at least one that two pictures share")
    means = sums / np.sqrt(np.maximum(counts, 1))[:, None]
    centre = sums.sum(axis=0) / counts.sum()
    spread = (squares - means.T @ means) / counts.sum()
    values, directions = np.linalg.eigh(spread)
    values = np.maximum(values[::-1], 0)
    if values[0] < 1e-9:
        raise InputError("labels: all pictures that share a label are equal, so there is nothing to learn from them")
    overall = squares / counts.sum() - np.outer(centre, centre)
    return Scatter(total / len(rows), values, np.ascontiguousarray(directions[:, ::-1]), overall)


def _blocks(rows: IdArray) -> Iterator[IdArray]:
    for first in range(0, len(rows), BLOCK_ROWS):
        yield rows[first : first + BLOCK_ROWS]

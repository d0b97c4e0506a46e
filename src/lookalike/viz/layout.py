"""From numbers to places: pure functions from what an index or a trace holds to coordinates. Nothing here draws.

Every function gives the same answer each time; what is drawn at random elsewhere is drawn from a fixed seed here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray

__all__ = [
    "WIDTH",
    "CellMap",
    "Plane",
    "Rings",
    "balance",
    "cell_map",
    "codebook_maps",
    "error_bars",
    "principal_plane",
    "rings",
    "stress_layout",
]

WIDTH = 1.6  # of a map of cells; its height is 1
LEAST = 0.15  # of the mean: the weight of an empty cell, so that it can be seen
TURNS = 120
OVERFULL = 2.0  # times the mean
TURN = 2 * np.pi
SMALL = 64  # dimensions whose covariance is taken apart whole


@dataclass(frozen=True)
class Plane:
    """The plane of largest variance through some points.

    Attributes
    ----------
    mean : ndarray of float64, shape (d,)
    axes : ndarray of float64, shape (2, d)
    share : float
        Of the variance that lies in the plane, 0 to 1.
    """

    mean: Array
    axes: Array
    share: float

    def place(self, x: Array) -> Array:
        """Coordinates of points, (n, 2)."""
        placed: Array = (np.asarray(x, np.float64) - self.mean) @ self.axes.T
        return placed


def principal_plane(x: Array) -> Plane:
    """The first two principal axes of points (n, d), by subspace iteration where d is large: O(n d), however large.

    The sign of an axis is chosen so that its largest entry is positive. With d = 1 or a single point the missing axis is zero.
    """
    points = np.asarray(x, np.float64)
    mean = points.mean(axis=0)
    centred = points - mean
    total = float(np.square(centred).sum())
    d = points.shape[1]
    axes = np.zeros((2, d))
    if not total:
        axes[: min(2, d), : min(2, d)] = np.eye(min(2, d))
        return Plane(mean, axes, 1.0)
    if d <= SMALL:
        basis = np.linalg.eigh(centred.T @ centred)[1][:, -2:]
    else:
        basis = np.random.default_rng(0).standard_normal((d, 12))
        for _ in range(8):
            basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
    _, values, rows = np.linalg.svd(centred @ basis, full_matrices=False)
    found = (rows @ basis.T)[:2]
    found *= np.sign(found[np.arange(len(found)), np.abs(found).argmax(axis=1)])[:, None]
    axes[: len(found)] = found
    return Plane(mean, axes, min(1.0, float(np.square(values[:2]).sum()) / total))


def stress_layout(x: Array, iterations: int = 30) -> Array:
    """Places in the plane whose distances are like those of points (n, d): SMACOF from the principal plane.

    O(n²) for each iteration; meant for centroids, not for everything that is stored.
    """
    points = np.asarray(x, np.float64)
    places = principal_plane(points).place(points)
    if len(points) < 3:
        return places
    norms = np.square(points).sum(axis=1)
    wanted = np.sqrt(np.maximum(norms[:, None] - 2 * points @ points.T + norms, 0)).astype(np.float32)
    now = places.astype(np.float32)
    for _ in range(iterations):
        squares = np.square(now).sum(axis=1)
        apart = np.sqrt(np.maximum(squares[:, None] - 2 * now @ now.T + squares, 1e-12))
        pull = wanted / apart
        np.fill_diagonal(pull, 0)
        now = (pull.sum(axis=1)[:, None] * now - pull @ now) / len(now)  # Guttman's transform
    return now.astype(np.float64)


@dataclass(frozen=True)
class CellMap:
    """A power diagram: a place belongs to the site with the smallest ‖place − site‖² − power.

    Attributes
    ----------
    sites : ndarray, shape (n, 2)
        In a box of `WIDTH` by 1.
    powers : ndarray, shape (n,)
    """

    sites: Array
    powers: Array

    def owners(self, places: Array) -> IdArray:
        """Which cell each of some places (n, 2) lies in."""
        owners: IdArray = (np.square(self.sites).sum(axis=1) - self.powers - 2 * places @ self.sites.T).argmin(axis=1)
        return owners


def cell_map(places: Array, weights: Array) -> CellMap:
    """A map whose cells have areas about in proportion to `weights` and lie to each other as `places` (n, 2) do.

    Alternates Lloyd's step (sites to the middle of their cells) with a Newton step for the powers (cells that are too small gain),
    while the areas asked for go from equal to those of the weights. A weight counts as 0.15 of the mean at least.
    """
    n = len(places)
    mean = float(np.mean(weights)) if n and np.sum(weights) > 0 else 1.0
    wanted = np.maximum(np.asarray(weights, np.float64), LEAST * mean)
    wanted *= WIDTH / wanted.sum()
    sites, powers, raster = _stretched(np.asarray(places, np.float64)), np.zeros(n), _Raster(24_000)
    raster.flood(sites, powers, (64, 32, 16, 8, 4, 2, 1))
    for turn in range(TURNS):
        raster.flood(sites, powers, (1,))
        count, middles = raster.cells(n)
        target = WIDTH / n + (wanted - WIDTH / n) * min(1.0, max(0.0, turn / TURNS - 0.15) / 0.4)
        powers += 0.25 * np.clip(target - count * raster.area, -target, target)
        lost = np.flatnonzero(count == 0)
        if len(lost):  # swallowed by a neighbour: just enough power to own its site again
            owner = raster.owner_at(sites[lost])
            powers[lost] = powers[owner] - np.square(sites[lost] - sites[owner]).sum(axis=1) + target[lost]
        powers -= powers.mean()
        if turn < 0.85 * TURNS:
            held = count > 0
            sites[held] = middles[held]
    return CellMap(sites, powers)


class _Raster:
    """Who owns each of many places, kept up to date by flooding: a place looks at what its neighbours belong to."""

    def __init__(self, count: int) -> None:
        self.rows = round((count / WIDTH) ** 0.5)
        self.columns = round(self.rows * WIDTH)
        self.area = WIDTH / (self.rows * self.columns)
        self.x = ((np.arange(self.columns) + 0.5) * WIDTH / self.columns).astype(np.float32)
        self.y = ((np.arange(self.rows) + 0.5) / self.rows).astype(np.float32)
        self.owner = np.zeros((self.rows, self.columns), np.int32)

    def _at(self, sites: Array) -> tuple[Array, Array]:
        rows = np.clip((sites[:, 1] * self.rows).astype(np.int64), 0, self.rows - 1)
        return rows, np.clip((sites[:, 0] / WIDTH * self.columns).astype(np.int64), 0, self.columns - 1)

    def owner_at(self, sites: Array) -> IdArray:
        found: IdArray = self.owner[self._at(sites)].astype(np.int64)
        return found

    def cells(self, n: int) -> tuple[IdArray, Array]:
        """Places and middle of each cell."""
        flat = self.owner.ravel()
        count = np.bincount(flat, minlength=n)
        sums = [
            np.bincount(flat, at, minlength=n) for at in (np.tile(self.x, self.rows), np.repeat(self.y, self.columns))
        ]
        return count, np.stack(sums, axis=1) / np.maximum(count, 1)[:, None]

    def flood(self, sites: Array, powers: Array, reaches: tuple[int, ...]) -> None:
        x, y, power = (part.astype(np.float32) for part in (sites[:, 0], sites[:, 1], powers))
        own = self.owner
        best = np.square(x[own] - self.x) + np.square(y[own] - self.y[:, None]) - power[own]
        rows, columns = self._at(sites)  # each site speaks for itself where it stands
        mine = np.square(x - self.x[columns]) + np.square(y - self.y[rows]) - power
        better = mine < best[rows, columns]
        own[rows[better], columns[better]] = np.flatnonzero(better)
        best[rows[better], columns[better]] = mine[better]
        for reach in reaches:
            for down, right in ((0, reach), (0, -reach), (reach, 0), (-reach, 0)):
                here = _shifted(self.rows, down), _shifted(self.columns, right)
                there = own[_shifted(self.rows, -down), _shifted(self.columns, -right)]
                cost = (
                    np.square(x[there] - self.x[here[1]]) + np.square(y[there] - self.y[here[0], None]) - power[there]
                )
                nearer = cost < best[here]
                np.copyto(best[here], cost, where=nearer)
                np.copyto(own[here], there, where=nearer)


def _shifted(side: int, by: int) -> slice:
    return slice(max(0, by), side + min(0, by))


def _stretched(places: Array) -> Array:
    """Into the box, half by rank, so that a crowd gets room; a hair apart, so that equal places become cells."""
    out = np.empty((len(places), 2))
    for axis, side in ((0, WIDTH), (1, 1.0)):
        column = places[:, axis]
        extent = np.ptp(column)
        linear = (column - column.min()) / extent if extent else np.full(len(column), 0.5)
        rank = (np.argsort(np.argsort(column, kind="stable"), kind="stable") + 0.5) / len(column)
        out[:, axis] = side * (0.04 + 0.92 * (0.35 * linear + 0.65 * rank))
    return out + np.random.default_rng(0).uniform(-1e-4, 1e-4, out.shape)


@dataclass(frozen=True)
class Rings:
    """Vectors round a query: the nearer, the further in; each probed cell has a sector.

    Attributes
    ----------
    starts, ends : ndarray, shape (cells,)
        Angles of the sectors, in radians, from the top, clockwise.
    angles, radii : ndarray, shape (n,)
        Of the vectors, cell by cell; radii from 0 to 1.
    low, high : float
        The distances at the centre and at the rim.
    """

    starts: Array
    ends: Array
    angles: Array
    radii: Array
    low: float
    high: float


def rings(distances: list[FloatArray], descending: bool = False) -> Rings:
    """Polar places for the distances of each probed cell, in the order of visit.

    A sector's width grows with the square root of its number of vectors. Inside it, angles follow the van der Corput sequence in
    the order of distance, so that neighbours in distance do not cover each other. `descending`: larger is nearer.
    """
    sizes = np.array([len(part) for part in distances], np.float64)
    shares = np.sqrt(sizes) + 0.6
    ends = np.cumsum(shares / shares.sum()) * TURN if len(sizes) else np.empty(0)
    starts = np.concatenate([[0.0], ends[:-1]]) if len(sizes) else np.empty(0)
    everything = np.concatenate([np.empty(0, np.float32), *distances]).astype(np.float64)
    low, high = (float(everything.min()), float(everything.max())) if len(everything) else (0.0, 1.0)
    if not descending and 0 <= low < 0.5 * high:
        low = 0.0
    span = high - low or 1.0
    angles = []
    for start, end, part in zip(starts, ends, distances, strict=True):
        order = np.argsort(np.argsort(part, kind="stable"), kind="stable")
        angles.append(start + (end - start) * (0.06 + 0.88 * _van_der_corput(order)))
    near = (high - everything) / span if descending else (everything - low) / span
    return Rings(starts, ends, np.concatenate([np.empty(0), *angles]), 0.06 + 0.94 * near, low, high)


def _van_der_corput(numbers: IdArray) -> Array:
    """Bits of whole numbers, mirrored at the point: 0, 1/2, 1/4, 3/4 …"""
    left, value, unit = numbers.astype(np.int64) + 1, np.zeros(len(numbers)), 0.5
    while left.any():
        value += unit * (left & 1)
        left, unit = left >> 1, unit / 2
    return value


def codebook_maps(pq_centroids: FloatArray, pieces: FloatArray) -> tuple[Array, Array, Array]:
    """Each sub-space's codebook in its principal plane, and pieces of vectors in the same planes.

    Parameters
    ----------
    pq_centroids : ndarray of float32, shape (m, ksub, dsub)
    pieces : ndarray of float32, shape (n, m, dsub)

    Returns
    -------
    codebooks : ndarray, shape (m, ksub, 2)
    placed : ndarray, shape (n, m, 2)
    shares : ndarray, shape (m,)
        Of each codebook's variance that its plane shows.
    """
    m, ksub, _ = pq_centroids.shape
    codebooks, placed, shares = np.empty((m, ksub, 2)), np.empty((len(pieces), m, 2)), np.empty(m)
    for j in range(m):
        plane = principal_plane(pq_centroids[j])
        codebooks[j], placed[:, j], shares[j] = plane.place(pq_centroids[j]), plane.place(pieces[:, j]), plane.share
    return codebooks, placed, shares


def error_bars(exact: FloatArray, estimated: FloatArray, bins: int = 10) -> list[dict[str, float]]:
    """Mean and standard deviation of estimate − truth, in bins of as many vectors each, by true distance."""
    known = np.isfinite(exact) & np.isfinite(estimated)
    truth, guess = exact[known].astype(np.float64), estimated[known].astype(np.float64)
    order = np.argsort(truth, kind="stable")
    bars = []
    for part in np.array_split(order, max(1, min(bins, len(order) // 5))) if len(order) else []:
        off = guess[part] - truth[part]
        bars.append(
            {
                "from": float(truth[part].min()),
                "to": float(truth[part].max()),
                "exact": float(truth[part].mean()),
                "bias": float(off.mean()),
                "sd": float(off.std()),
                "n": len(part),
            }
        )
    return bars


def balance(sizes: IdArray) -> dict[str, float]:
    """How evenly vectors are spread over lists; `imbalance` is 1 when all are equal: the cost of a search against that."""
    total, count = int(sizes.sum()), len(sizes)
    mean = total / count if count else 0.0
    return {
        "lists": count,
        "vectors": total,
        "mean": mean,
        "empty": int((sizes == 0).sum()),
        "overfull": int((sizes > OVERFULL * mean).sum()) if total else 0,
        "smallest": int(sizes.min()) if count else 0,
        "largest": int(sizes.max()) if count else 0,
        "imbalance": float(count * np.square(sizes.astype(np.float64)).sum() / total**2) if total else 1.0,
    }

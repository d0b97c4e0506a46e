"""Recall, and whether two searches gave the same results. Each is defined once, here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray, SearchResult

__all__ = ["Agreement", "accuracy", "compare_results", "exact_distances", "merged", "recall"]

_TIE = 1e-6  # relative, by which a vector may be farther than an exact neighbour and count as one
CELL_ROUNDING = 1e-5  # of ‖q‖² + ‖c‖²: how far two float32 matrix products may place a centroid apart


def recall(found: IdArray, xq: FloatArray, base: FloatArray, exact: FloatArray, k: int) -> float:
    """recall@k: the share of the k exact neighbours that are among the first k found, equal distances counting as found.

    Parameters
    ----------
    found : ndarray of int64, shape (nq, at least k)
        Rows of `base`, −1 where nothing was found.
    exact : ndarray of float32, shape (nq, at least k)
        Squared distances of the exact neighbours, ascending.

    Notes
    -----
    A found vector counts if it is no farther than the k-th exact neighbour (to 1e-6 of that distance). With distinct distances
    this is |found ∩ exact| / k.
    """
    limit = exact[:, k - 1 : k].astype(np.float64) * (1 + _TIE) + 1e-9
    return float((exact_distances(found[:, :k], xq, base) <= limit).sum()) / (len(xq) * k)


def exact_distances(ids: Array, queries: FloatArray, base: FloatArray) -> Array:
    """Squared distances of what was found, sorted, a repeated id and −1 counting as never found (inf); float64 (nq, k)."""
    found = np.full(ids.shape, np.inf)
    for row, (query, numbers) in enumerate(zip(queries, ids, strict=False)):
        known = np.unique(numbers[(numbers >= 0) & (numbers < len(base))])
        found[row, : len(known)] = np.sort(np.square(base[known] - query, dtype=np.float64).sum(axis=1))
    return found


def accuracy(ids: Array, queries: FloatArray, base: FloatArray, exact: FloatArray) -> dict[str, float | None]:
    """Recalls and relative distance error of what was found, (nq, k).

    Ties are handled by distance: a vector counts as a true neighbour if it is no farther than the true one at that rank, to 1e-6.
    """
    asked, k = len(ids), ids.shape[1]
    found, true = exact_distances(ids, queries[:asked], base), exact[:asked].astype(np.float64)
    limit = true * (1 + _TIE) + 1e-9
    recalls: dict[str, float | None] = {}
    for r in (1, 10, 100):
        first = _first(ids, queries[:asked], base, r) if r <= k else None
        known = min(r, true.shape[1])
        recalls[f"recall_at_{r}"] = (
            None
            if first is None
            else float(np.minimum((first <= limit[:, known - 1 : known]).sum(axis=1), known).mean() / known)
        )
    for r in (1, 5, 10):
        recalls[f"one_recall_at_{r}"] = (
            float((_first(ids, queries[:asked], base, r) <= limit[:, :1]).any(axis=1).mean()) if r <= k else None
        )
    both = np.minimum(found.shape[1], true.shape[1])
    a, b = np.sqrt(found[:, :both]), np.sqrt(true[:, :both])
    usable = np.isfinite(a) & (b > 0)
    recalls["relative_error"] = float(((a - b)[usable] / b[usable]).mean()) if usable.any() else None
    return recalls


def _first(ids: Array, queries: FloatArray, base: FloatArray, r: int) -> Array:
    return exact_distances(ids[:, :r], queries, base)


def merged(results: list[SearchResult] | list[tuple[Array, Array]]) -> SearchResult:
    """Results of single queries as one."""
    return SearchResult(np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results]))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two searches of the same codes agree.

    Attributes
    ----------
    queries : int
    different : int
        Queries whose distances differ by more than rounding, or whose ids differ other than among equal distances.
    other_cells : int
        Queries left out of that, because the last list visited and the first not visited are equally far within rounding, and each
        search chose another.
    other_ids : int
        Places where the ids differ, ties included.
    worst : float
        The largest difference of distances, as a share of what rounding may do.
    """

    queries: int
    different: int
    other_cells: int
    other_ids: int
    worst: float

    @property
    def is_same(self) -> bool:
        return self.different == 0

    @property
    def words(self) -> str:
        if not self.is_same:
            return f"{self.different} of {self.queries} queries differ"
        return "same" if not self.other_cells else f"same ({self.other_cells} tied cells)"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"is_same": self.is_same}


def compare_results(
    ours: SearchResult, peer: SearchResult, xq: FloatArray, base: FloatArray, centroids: FloatArray, nprobe: int
) -> Agreement:
    """Compare two searches for squared distances of the same codes.

    Distances must agree within 1e-4 · (d + 1e-3 · (‖q‖² + ‖x‖²)), at each rank and for each id that both found; an id
    that only one found must be as far as the last one of its row, within the same.
    """
    d_ours, d_peer = _known(ours), _known(peer)
    tolerance = _tolerance(d_ours, ours.ids, xq, base)
    same_place = np.abs(d_ours - d_peer)
    bad = ((ours.ids < 0) != (peer.ids < 0)) | (same_place > tolerance)
    pairs = (ours.ids[:, :, None] == peer.ids[:, None, :]) & (ours.ids >= 0)[:, :, None]
    lonely, partner = ~pairs.any(axis=2) & (ours.ids >= 0), pairs.argmax(axis=2)
    across = np.abs(d_ours - np.take_along_axis(d_peer, partner, 1))
    bad |= ~lonely & (ours.ids >= 0) & (across > tolerance)
    bad |= lonely & (np.abs(d_ours - d_ours.max(axis=1, keepdims=True)) > tolerance)
    lonely_peer = ~pairs.any(axis=1) & (peer.ids >= 0)
    bad |= lonely_peer & (np.abs(d_peer - d_peer.max(axis=1, keepdims=True)) > tolerance)
    suspects = np.flatnonzero(bad.any(axis=1))
    excused = [i for i in suspects.tolist() if _cells_are_tied(xq[i], centroids, nprobe)]
    counted = np.ones(len(xq), np.bool_)
    counted[excused] = False
    share = np.where(ours.ids >= 0, same_place / np.maximum(tolerance, np.finfo(np.float32).tiny), 0)[counted]
    return Agreement(
        queries=len(xq),
        different=len(suspects) - len(excused),
        other_cells=len(excused),
        other_ids=int((ours.ids != peer.ids).sum()),
        worst=round(float(share.max(initial=0)), 6),
    )


def _known(result: SearchResult) -> Array:
    """Distances in float64, 0 where nothing was found: FAISS and we mark that differently."""
    return np.array(np.where(result.ids < 0, 0, result.distances), np.float64)


def _tolerance(distances: Array, ids: IdArray, xq: FloatArray, base: FloatArray) -> Array:
    norms = np.einsum("nd,nd->n", base, base, dtype=np.float64)[np.maximum(ids, 0)]
    own = np.einsum("qd,qd->q", xq, xq, dtype=np.float64)[:, None]
    return np.array(1e-4 * (distances + 1e-3 * (own + norms)))


def _cells_are_tied(query: FloatArray, centroids: FloatArray, nprobe: int) -> bool:
    if nprobe >= len(centroids):
        return False
    far = np.sort(np.square(centroids.astype(np.float64) - query).sum(axis=1))[nprobe - 1 : nprobe + 1]
    size = float(np.square(query, dtype=np.float64).sum() + np.square(centroids, dtype=np.float64).sum(axis=1).max())
    return bool(far[1] - far[0] <= CELL_ROUNDING * size)

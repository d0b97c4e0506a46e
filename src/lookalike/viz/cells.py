"""What a map of an index's cells needs to know: sizes, spread, and the vectors nearest to each centroid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.errors import InputError, NotTrainedError
from lookalike.viz.layout import CellMap, cell_map

__all__ = ["Cells", "coded_part", "look_at_cells", "map_of_cells"]

CELLS = 1500  # drawn at the most
MEASURED = 512  # vectors of a list whose spread is measured
NEAREST = 6


@dataclass(frozen=True)
class Cells:
    """Cells of an index, or a sample of them.

    Attributes
    ----------
    list_no : ndarray of int64, shape (n,)
    centroids : ndarray of float32, shape (n, d)
    sizes : ndarray of int64, shape (n,)
    spread : ndarray of float32, shape (n,)
        Root of the mean squared distance between centroid and vectors, as the index holds them; 0 for an empty cell.
    nearest : list of ndarray of int64
        Ids of up to six vectors nearest to each centroid.
    all_sizes : ndarray of int64, shape (nlist,)
        Of all lists.
    """

    list_no: IdArray
    centroids: FloatArray
    sizes: IdArray
    spread: FloatArray
    nearest: list[IdArray]
    all_sizes: IdArray


def coded_part(index: Any) -> Any:
    """The inverted file inside an index: what refines or re-ranks is taken off.

    Raises
    ------
    NotTrainedError
        If it has no centroids yet.
    InputError
        If there are no cells.
    """
    inner = getattr(index, "base", getattr(index, "index", index))
    if not inner.is_trained:
        raise NotTrainedError(
            f"{type(inner).__name__} is not trained, so it has no cells to show; call train(xt) first"
        )
    if not hasattr(inner, "coarse_centroids"):
        raise InputError(
            f"{type(inner).__name__} has no cells to show: expected an index of inverted lists, such as IVFPQ"
        )
    return inner


def look_at_cells(index: Any, keep: IdArray | None = None) -> Cells:
    """Facts of the cells; of more than 1,500 those of `keep` and a sample of the others, with the largest and the empty.

    Parameters
    ----------
    index : IVFPQIndex, IVFFlatIndex or IVFSignsIndex
    keep : ndarray of int64, optional
        Lists that must be there.
    """
    sizes = index.list_sizes
    chosen = _chosen(sizes, np.empty(0, np.int64) if keep is None else keep)
    spread, nearest = np.zeros(len(chosen), np.float32), []
    for at, list_no in enumerate(chosen.tolist()):
        ids, squares = _residual_norms(index, list_no)
        spread[at] = np.sqrt(squares.mean()) if len(squares) else 0
        nearest.append(ids[np.argsort(squares, kind="stable")[:NEAREST]])
    return Cells(chosen, index.coarse_centroids[chosen], sizes[chosen], spread, nearest, sizes)


def map_of_cells(cells: Cells, places: Array) -> tuple[CellMap, CellMap]:
    """Two maps of the same cells, from their places in the plane: with areas by size, and by spread."""
    return cell_map(places, cells.sizes), cell_map(places, cells.spread)


def _chosen(sizes: IdArray, keep: IdArray) -> IdArray:
    if len(sizes) <= CELLS:
        return np.arange(len(sizes))
    order = np.argsort(-sizes, kind="stable")
    spaced = order[np.linspace(0, len(order) - 1, CELLS - len(keep)).astype(np.int64)]
    return np.union1d(spaced, keep)


def _residual_norms(index: Any, list_no: int) -> tuple[IdArray, Array]:
    """Ids of a list's first vectors, and the squared distance of each to the centroid."""
    *rows, ids = index._lists.rows(list_no)
    ids = ids[:MEASURED]
    decoded = index._codec.decode(tuple(row[:MEASURED] for row in rows), np.full(len(ids), list_no))
    return ids, np.square(decoded - index.coarse_centroids[list_no]).sum(axis=1)

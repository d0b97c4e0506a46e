"""One search of a collection, step by step: what the index did, how re-ranking changed it, what other settings would find.

Plain numbers, for `lookalike.viz` to draw and for other tools to read; nothing here draws. `lookalike.explain.search` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import CodeArray, FloatArray, IdArray

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.index.kinds import IVFPQIndex
    from lookalike.index.trace import Trace

__all__ = ["Explanation", "Scope"]


@dataclass(frozen=True)
class Scope:
    """Vectors that a search scanned or could have scanned, in the order in which it would visit their lists.

    Attributes
    ----------
    ids, list_no, list_rank : ndarray of int64, shape (n,)
        `list_rank` from 0: a search of more lists than that meets the vector.
    exact, estimated : ndarray of float32, shape (n,)
        Distances to the stored feature and to its code; NaN where there is no code, because it is newer than the index.
    lists : int
        So many lists are here in full.
    other : dict of int to ndarray
        Distances to codes with another m, of codebooks learnt on the spot.
    """

    ids: IdArray
    list_no: IdArray
    list_rank: IdArray
    exact: FloatArray
    estimated: FloatArray
    lists: int
    other: dict[int, FloatArray]


@dataclass(frozen=True)
class Explanation:
    """Everything that is to be told of one search; ids are those of entries, equal pictures under the first.

    Attributes
    ----------
    name : str
        Of the collection.
    spec : str
    temporary : bool
        The collection has no index; this one was made for the explanation, of a sample with the true neighbours where there
        are more features than it holds.
    index : IVFPQIndex
    asked : int
        So many lists the search visits. The trace, and what is re-ranked, are of the first of them where all hold more
        vectors than can be told.
    trace : Trace
        Of the search for k by codes.
    exact_ids, exact_distances : ndarray, shape (k',)
        The true neighbours.
    candidates : int
        So many are compared again by their stored features.
    final_ids, final_distances : ndarray, shape (k',)
        What comes of that: what `search` returns.
    scope : Scope
    detailed : IdArray
        Which vectors `residuals` and `codes` are of: those kept and those missed.
    residuals : ndarray of float32, shape (n, d)
        x − c, as the index knows them.
    codes : ndarray, shape (n, m)
    biases, list_terms : ndarray of float32, shape (n,)
        The parts of the distance that do not come from the table, see `lookalike.kernels.distances`.
    paths : dict of int to (str, Path)
        Name to show and file of every id above.
    entry_of : dict of int to int
        From the ids that the index holds (of features) to those of entries.
    total : int
        Pictures that can be found.
    """

    name: str
    spec: str
    temporary: bool
    index: IVFPQIndex
    asked: int
    trace: Trace
    exact_ids: IdArray
    exact_distances: FloatArray
    candidates: int
    final_ids: IdArray
    final_distances: FloatArray
    scope: Scope
    detailed: IdArray
    residuals: FloatArray
    codes: CodeArray
    biases: FloatArray
    list_terms: FloatArray
    paths: dict[int, tuple[str, Path]]
    entry_of: dict[int, int]
    total: int

    def to_json(self) -> dict[str, Any]:
        """The trace (`lookalike.index.trace.Trace.to_json`), and beside it what the collection makes of it.

        Floats have the nine digits that tell one float32 from another; a number that is not finite is None.
        """
        index = self.index
        ids = {int(i) for i in (*self.trace.ids, *self.exact_ids, *self.final_ids, *self.detailed)}
        ids |= {i for cell in self.trace.probed for i in cell.ids.tolist()}
        document = self.trace.to_json() | {
            "collection": {"name": self.name, "pictures": self.total},
            "index": {
                "spec": self.spec,
                "temporary": self.temporary,
                "nlist": index.nlist,
                "m": index.m,
                "nbits": index.nbits,
                "d": len(self.trace.query),
                "ntotal": index.ntotal,
                "nprobe": self.asked,
            },
            "exact": {"ids": self.exact_ids.tolist(), "distances": self.exact_distances.tolist()},
            "reranked": {
                "candidates": self.candidates,
                "ids": self.final_ids.tolist(),
                "distances": self.final_distances.tolist(),
            },
            "paths": {str(number): self.paths[number][0] for number in sorted(ids)},
        }
        shortened: dict[str, Any] = _short(document)
        return shortened


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_short(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if np.isfinite(value) else None
    return value

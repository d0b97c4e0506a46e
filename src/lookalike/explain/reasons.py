"""Why a picture is, or is not, among the results: how the index met it on its way, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import FloatArray, IdArray

if TYPE_CHECKING:
    from lookalike.collection.snapshot import Snapshot
    from lookalike.index.index import Index
    from lookalike.index.trace import Trace

__all__ = ["Met", "how_met"]


@dataclass(frozen=True, slots=True)
class Met:
    """How one search met one picture.

    Attributes
    ----------
    verdict : str
        In a sentence, for a person.
    found : bool
        Whether the index brought it as a candidate.
    list_rank : int or None
        Its list is so near among all lists, from 1; None where no index was asked.
    nprobe, nlist : int or None
        Lists visited, and all there are.
    code_rank : int or None
        Its place by the distance of its code among all vectors met, from 1.
    candidates : int or None
        So many were compared again by their stored features.
    code_distance : float or None
        What the index believed the distance to be.
    """

    verdict: str
    found: bool
    list_rank: int | None = None
    nprobe: int | None = None
    nlist: int | None = None
    code_rank: int | None = None
    candidates: int | None = None
    code_distance: float | None = None


def how_met(snapshot: Snapshot, xq: FloatArray, ids: IdArray) -> list[Met]:
    """How a search for 10 results, without a filter, would meet these entries.

    Parameters
    ----------
    snapshot : Snapshot
    xq : ndarray of float32, shape (d,)
    ids : ndarray of int64, shape (n,)
        Of entries that can be found.
    """
    index: Any = None if snapshot.loaded is None else snapshot.loaded.get()
    if snapshot.loaded is None or index is None:
        everything = f"Compared directly: this collection's {len(snapshot):,} pictures are all looked at."
        return [Met(everything, True)] * len(ids)
    generation = snapshot.loaded.generation
    features = snapshot.features_of(ids)
    coded: Index = index.index if hasattr(index, "index") else index
    trace = coded.trace(xq, generation.candidates, generation.nprobe, exact_ids=features)
    missed = {miss.id: miss for miss in trace.missed}
    scanned = np.sort(np.concatenate([cell.distances for cell in trace.probed]))
    met = []
    for feature in features.tolist():
        miss = missed.get(feature)
        if miss is not None and miss.reason == "not stored":
            met.append(Met("Compared directly: it is newer than the index.", True))
            continue
        facts: dict[str, Any] = {
            "nprobe": trace.nprobe,
            "nlist": len(trace.coarse_distances),
            "candidates": generation.candidates,
        }
        if miss is None:
            met.append(_brought(trace, scanned, feature, facts))
        elif miss.reason == "cell not probed":
            verdict = f"Missed: its list is number {miss.needed_nprobe}, and {trace.nprobe} lists were visited."
            met.append(Met(verdict, False, list_rank=miss.needed_nprobe, code_distance=miss.distance, **facts))
        else:
            verdict = (
                f"Missed: by its code it came {miss.rank + 1:,}th, and {generation.candidates:,} were looked at again."
            )
            ranks = {"list_rank": miss.needed_nprobe, "code_rank": miss.rank + 1}
            met.append(Met(verdict, False, code_distance=miss.distance, **ranks, **facts))
    return met


def _brought(trace: Trace, scanned: FloatArray, feature: int, facts: dict[str, Any]) -> Met:
    for cell in trace.probed:
        at = np.flatnonzero(cell.ids == feature)
        if len(at):
            distance = float(cell.distances[at[0]])
            rank = int(np.searchsorted(scanned, distance)) + 1
            verdict = (
                f"Found: number {rank:,} by its code, in list {cell.rank + 1} of {trace.nprobe} visited; "
                f"then compared by its stored features."
            )
            return Met(verdict, True, list_rank=cell.rank + 1, code_rank=rank, code_distance=distance, **facts)
    return Met("Found by its stored features.", True, **facts)

"""One search, written down: cells, tables, distances, what was kept, and why a true neighbour was missed.

Everything is computed again in plain numpy from what is stored, by the definitions of the paper, so a trace is also an
independent account of what the kernels did.
"""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lookalike._typing import CodeArray, FloatArray, IdArray
from lookalike._validate import MAX_K, check_count, check_ids
from lookalike.errors import InputError
from lookalike.index.codecs.pq import PQCodec
from lookalike.index.codecs.signs import SignsCodec
from lookalike.index.plain import distances_to, opened

if TYPE_CHECKING:
    from lookalike.index.index import Index

__all__ = ["Missed", "ProbedList", "Trace", "as_json", "trace_search"]


Reason = Literal["not stored", "cell not probed", "code too coarse", "beyond k"]


@dataclass(frozen=True)
class ProbedList:
    """One visited list.

    Attributes
    ----------
    list_no : int
    rank : int
        0 for the nearest.
    coarse_distance : float
        ‖q − c‖², or ⟨q, c⟩ for ``"ip"``.
    ids : ndarray of int64, shape (n,)
    codes : ndarray of uint8 or uint16, shape (n, m)
        m is 0 where vectors are kept whole.
    distances : ndarray of float32, shape (n,)
        To the decoded vectors, in the metric.
    """

    list_no: int
    rank: int
    coarse_distance: float
    ids: IdArray
    codes: CodeArray
    distances: FloatArray


@dataclass(frozen=True)
class Missed:
    """A true neighbour that the search did not return.

    Attributes
    ----------
    id : int
    reason : {"not stored", "cell not probed", "code too coarse", "beyond k"}
        The last one where vectors or rows are compared: it was seen, and k others are nearer. Of sign codes, "code too coarse" is
        one that its code kept from being a candidate.
    list_no : int
        Its cell; −1 if it is not stored, 0 where there are no cells.
    needed_nprobe : int
        The smallest nprobe that visits its cell.
    distance : float
        Of its code; what the search would have compared.
    worst_kept : float
        The distance of the last result: how much nearer its code would have had to be is ``distance − worst_kept``.
    rank : int
        Its place, from 0, among all vectors of the visited lists and itself, the lower id first where codes are equally far:
        re-ranking more candidates than this saves it.
    """

    id: int
    reason: Reason
    list_no: int = -1
    needed_nprobe: int = 0
    distance: float = float("nan")
    worst_kept: float = float("nan")
    rank: int = -1


@dataclass(frozen=True)
class Trace:
    """Every step of one search.

    Attributes
    ----------
    query : ndarray of float32, shape (d,)
        As the lists know it: for ``"cosine"`` of unit length, rotated if the index rotates.
    metric, k, nprobe
    coarse_distances : ndarray of float32, shape (nlist,)
        To every coarse centroid; empty where there are no cells.
    probed : tuple of ProbedList
        In the order of visit.
    lookup_table : ndarray of float32, shape (m, ksub)
        −2⟨q_j, p_jc⟩ (``"l2"``) or ⟨q_j, p_jc⟩: what the scan adds up for each code; empty where vectors are kept whole. Far from
        the origin, both as seen from among the vectors (`codecs.pq.PQCodec`).
    ids, distances : ndarray, shape (k',)
        What was kept, best first.
    missed : tuple of Missed
        Of the exact neighbours that were given.
    """

    query: FloatArray
    metric: str
    k: int
    nprobe: int
    coarse_distances: FloatArray
    probed: tuple[ProbedList, ...]
    lookup_table: FloatArray
    ids: IdArray
    distances: FloatArray
    missed: tuple[Missed, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for `json.dumps`."""
        return dict(as_json(self))


def as_json(value: Any) -> Any:
    """Dataclasses as dictionaries; tuples and arrays as lists."""
    if is_dataclass(value):
        return {name: as_json(own) for name, own in vars(value).items()}
    if isinstance(value, tuple):
        return [as_json(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def trace_search(index: Index, query: Any, k: int, nprobe: int | None, exact_ids: Any = None) -> Trace:
    """See `Index.trace`."""
    q, order, visits = _visits(index, query, nprobe)
    k, sign = check_count(k, "k", 1, MAX_K), -1 if index.metric == "ip" else 1
    coarse = np.empty(0, np.float32)
    if not _is_flat(index):  # lists of "cosine" are chosen by squared distances
        coarse = sign * opened(q, index._cells.centroids, "ip" if index.metric == "ip" else "l2")
    probed = []
    for rank, list_no in enumerate(order[:visits].tolist()):
        *rows, ids = index._lists.rows(list_no)
        vectors = index._codec.decode(tuple(rows), np.full(len(ids), list_no))
        near = float(coarse[list_no]) if len(coarse) else 0.0
        distances = sign * distances_to(q, vectors, index.metric) if len(ids) else np.empty(0, np.float32)
        probed.append(ProbedList(list_no, rank, near, ids, index._codec.codes(tuple(rows)), distances))
    found = index.search(query, k, nprobe=visits)
    kept = found.ids[0] >= 0
    return Trace(
        query=q,
        metric=index.metric,
        k=k,
        nprobe=visits,
        coarse_distances=coarse,
        probed=tuple(probed),
        lookup_table=index._codec.lookup_table(q),
        ids=found.ids[0][kept],
        distances=found.distances[0][kept],
        missed=_missed(index, q, order, tuple(probed), found.ids[0][kept], exact_ids),
    )


def _is_flat(index: Index) -> bool:
    """Whether it has neither cells nor codes."""
    return index.kind == "flat"


def _visits(index: Index, query: Any, nprobe: int | None) -> tuple[FloatArray, IdArray, int]:
    """The rotated query, all lists in the order in which they would be visited, and how many are."""
    vectors, visits, _, _ = index._check_request(query, None if _is_flat(index) else nprobe, None, None)
    if len(vectors) != 1:
        raise InputError(f"trace: expected one query, got {len(vectors)}")
    if _is_flat(index):
        return vectors[0], np.zeros(1, np.int64), 1
    rotated = index._rotated(vectors)
    return rotated[0], index._cells.probe(rotated, index.nlist)[0][0], visits


def _missed(
    index: Index, q: FloatArray, order: IdArray, probed: tuple[ProbedList, ...], kept: IdArray, exact_ids: Any
) -> tuple[Missed, ...]:
    if exact_ids is None:
        return ()
    sign = -1 if index.metric == "ip" else 1
    scanned = sign * np.concatenate([cell.distances for cell in probed])
    scanned_ids = np.concatenate([cell.ids for cell in probed])
    worst = float(np.partition(scanned, len(kept) - 1)[len(kept) - 1]) if len(kept) else float("inf")
    wanted = check_ids(exact_ids, name="exact_ids")
    with index._writing:
        places = index._find(wanted)
    missed = []
    for number, place in zip(wanted.tolist(), places.tolist(), strict=True):
        if number in kept:
            continue
        if place < 0:
            missed.append(Missed(number, "not stored"))
            continue
        list_no = place >> 32
        here = np.flatnonzero(scanned_ids == number)
        if len(here):  # as it was scanned, not computed again by itself: rounding would tell equal codes apart
            distance = float(scanned[here[0]])
        else:
            vector = index._codec.decode(index._lists.at(np.array([place])), np.array([list_no]))
            distance = float(distances_to(q, vector, index.metric)[0])
        before = (scanned < distance) | ((scanned == distance) & (scanned_ids < number))  # the lower id of equal ones
        needed = int(np.flatnonzero(order == list_no)[0]) + 1
        rank = int(before.sum())
        if needed > len(probed):
            reason: Reason = "cell not probed"
        elif isinstance(index._codec, PQCodec) or (isinstance(index._codec, SignsCodec) and rank < len(kept)):
            reason = "code too coarse"
        else:
            reason = "beyond k"
        missed.append(Missed(number, reason, list_no, needed, sign * distance, sign * worst, rank))
    return tuple(missed)
